import json
import urllib.error

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from autoparts import models
from autoparts.errors import UserError
from autoparts.sampling import seeded


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
    photos = torch.randn(5, 1, 12, 12, generator=seeded(1))
    results = []
    for trunk in (ours, thesis):
        inputs = photos.clone().requires_grad_()
        outputs = trunk(inputs)
        ours.zero_grad()
        outputs.square().sum().backward()
        results.append([outputs, inputs.grad, *(weights.grad.clone() for weights in ours.parameters())])
    assert (results[0][0] > 0).any() and (results[0][0] == 0).any()
    for one, other in zip(*results, strict=True):
        assert_close(one, other)


def test_white_becomes_zero_and_black_one():
    photos = torch.tensor([[[255, 0], [51, 255]]], dtype=torch.uint8)
    inputs = models.photo_input(photos)
    assert inputs.shape == (1, 1, 2, 2) and inputs.dtype == torch.float32
    assert inputs[0, 0, 0].tolist() == [0, 1]
    assert inputs[0, 0, 1, 0].item() == pytest.approx(0.8)
    assert photos.tolist() == [[[255, 0], [51, 255]]]


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
    network = models.thesis_network(10)
    assert models.count_parameters(network) == (32 * 9 + 32) + (64 * 32 * 9 + 64) + (10 * 64 * 25 * 25 + 10)
    network[1].bias.requires_grad_(False)
    assert models.count_parameters(network) == (32 * 9 + 32) + (64 * 32 * 9 + 64) + 10 * 64 * 25 * 25


# Recogniser


def photo_batch(count=64, side=40):
    return F.interpolate(torch.rand(count, 1, 5, 5, generator=seeded(0)), (side, side), mode="bilinear")


@pytest.fixture(scope="module")
def recogniser():
    network = models.initialised(0, models.Recogniser, 7, 16, (8, 16, 32))
    for step in range(3):  # so that the batch norms have seen photos
        network(photo_batch() + 0.1 * step)
    return network


def test_the_recogniser_gives_unit_embeddings_and_looks_at_the_mirror_image(recogniser):
    inputs = photo_batch()
    with torch.inference_mode():
        training_mode = recogniser.train()(inputs)
        network = recogniser.eval()
        found, mirrored = network(inputs), network(inputs.flip(3))
        one = network._unit(inputs)
    for vectors in (training_mode, found):
        assert vectors.shape == (64, 16)
        assert_close(vectors.norm(dim=1), torch.ones(64))
    assert_close(found, mirrored)
    assert (one - found).abs().max() > 1e-3
    for side in (32, 48, 99, 100):
        assert network(photo_batch(2, side)).shape == (2, 16)


def test_a_backbone_begins_with_the_weights_it_comes_with(monkeypatch):
    theirs = torchvision.models.resnet18(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", lambda *_, **__: theirs)
    network = models.Recogniser(5, 16, backbone="resnet18")
    weights = network.trunk[1].layer4[1].conv2.weight
    assert not weights.equal(theirs["layer4.1.conv2.weight"])
    network.load_pretrained()
    assert weights.equal(theirs["layer4.1.conv2.weight"])
    vectors = network.eval()(torch.rand(3, 1, 64, 64, generator=seeded(0)))
    assert_close(vectors.norm(dim=1), torch.ones(3))


def test_a_backbone_sees_photos_as_imagenet_has_them():
    """White paper is white: 1 in all channels, then the usual mean and deviation."""
    seen = models.AsColour()(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    theirs = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    mean, deviation = torch.tensor(theirs.mean), torch.tensor(theirs.std)
    assert_close(seen.flatten(1), torch.stack([(1 - mean) / deviation, -mean / deviation]))


@pytest.mark.parametrize(
    ("name", "message"), [("resnet19", "no model 'resnet19'"), ("resnet18", "cannot be downloaded")]
)
def test_a_backbone_that_cannot_be_had_is_told(name, message, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(UserError, match=message):
        models.pretrained_weights(name)
    assert models.pretrained_weights("") == {}


def test_devices_and_their_precision_are_those_that_are_there():
    for device in ("graphics card", "cuda:99", ""):
        with pytest.raises(UserError, match=r"device.*auto"):
            models.choose_device(device)
    assert models.choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("gain", [0.6, 1.1, 1.3])
def test_bfloat16_is_used_where_it_was_found_faster_and_tried_once(monkeypatch, tmp_path, gain):
    monkeypatch.setenv("AUTOPARTS_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    models._gain_of_bfloat16.cache_clear()
    first = models._gain_of_bfloat16()
    (kept,) = tmp_path.iterdir()
    assert first > 0 and json.loads(kept.read_text()) == {"gain": first}
    kept.write_text(json.dumps({"gain": gain}))
    assert models._gain_of_bfloat16() == first  # within a process it never changes
    models._gain_of_bfloat16.cache_clear()
    with models.half_precision(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if gain >= 1.2 else torch.float32)
    models._gain_of_bfloat16.cache_clear()
