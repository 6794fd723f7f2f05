import math
import urllib.error
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from autoparts import augmentation, files, images, models, optimisation, recipe, study, training
from autoparts.losses import supervised_contrastive_loss
from autoparts.models import seeded


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (32, 288)])
def test_orthogonalised_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=seeded(0)) * 1e-3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    near = optimisation.orthogonalised(matrix)
    assert near.shape == matrix.shape and near.dtype == matrix.dtype
    values = torch.linalg.svdvals(near)
    assert values.max() < 1.3
    assert values.min() > 0.5 or shape == (16, 16)  # a square one has some values near zero, which stay behind
    assert (near * (u @ v)).sum() > 0.97 * near.norm() * (u @ v).norm() * 0.98
    assert (optimisation.orthogonalised(torch.zeros(shape)) == 0).all()


def steps(network, optimiser, count=5):
    for step in range(count):
        optimiser.zero_grad()
        network(torch.randn(6, 5, generator=seeded(step))).square().mean().backward()
        optimiser.step()


def test_matrices_take_the_steps_of_adamw():
    """Matrices decay, biases do not, as in two groups of torch's own optimiser."""
    ours, theirs = (models.initialised(0, nn.Linear, 5, 3) for _ in range(2))
    steps(ours, optimisation.Muon(ours, 0.02, decay=0.3))
    groups = [{"params": [theirs.weight], "weight_decay": 0.3}, {"params": [theirs.bias], "weight_decay": 0.0}]
    steps(theirs, torch.optim.AdamW(groups, lr=0.02))
    assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-5)
    assert_close(ours.bias, theirs.bias, atol=1e-6, rtol=1e-5)


def test_a_step_of_a_kernel_is_orthogonal_and_its_decay_is_decoupled():
    kernel = nn.Conv2d(4, 6, 3, bias=False).to(memory_format=torch.channels_last)
    before = kernel.weight.detach().clone()
    optimiser = optimisation.Muon(kernel, 0.01, decay=0.3)
    gradient = torch.randn(before.shape, generator=seeded(1))
    kernel.weight.grad = gradient.clone()
    optimiser.step()
    decayed = before * (1 - 0.01 * 0.3 * 20 / 3)
    moved = (decayed - kernel.weight.detach()) / 0.01
    u, _, v = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    cosine = F.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0)
    assert cosine > 0.98
    assert moved.square().mean().sqrt() == pytest.approx(4 / 3, rel=0.25)  # per weight, whatever the shape
    assert kernel.weight.grad.equal(gradient)  # the step reads the gradient, and leaves it


def test_only_kernels_with_inputs_are_orthogonalised():
    network = models.Recogniser(5, 16, (8, 16))
    kinds = {}
    for group in optimisation.Muon(network, 0.1).param_groups:
        kinds |= {id(weight): (group["muon"], group["decay"] > 0) for weight in group["params"]}
    names = dict(network.named_parameters())
    assert len(kinds) == len(names)
    for name, weight in names.items():
        kernel = weight.ndim == 4 and name != "trunk.0.weight"  # the stem's kernels have one input, the grey photo
        assert kinds[id(weight)] == (kernel, weight.ndim > 1), name


def test_one_cycle_rises_to_the_whole_rate_and_falls_to_nearly_nothing():
    rates = [optimisation.one_cycle(step / 100) for step in range(101)]
    top = int(np.argmax(rates))
    assert top in (9, 10) and max(rates) == pytest.approx(1, abs=2e-3)
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert 0 < rates[0] <= 1e-3 and 0 < rates[-1] <= 1e-3
    assert optimisation.one_cycle(0.55) == pytest.approx(0.5)
    assert optimisation.constant(0.3) == 1


def photo_batch(count=64, side=40):
    coarse = torch.rand(count, 1, 5, 5, generator=seeded(0))
    return F.interpolate(coarse, (side, side), mode="bilinear")


def test_augmentation_follows_the_generator_and_keeps_shape_and_range():
    inputs = photo_batch()
    kept = inputs.clone()
    one, same, other = (augmentation.augment(inputs, seeded(seed)) for seed in (1, 1, 2))
    assert one.equal(same) and not one.equal(other) and inputs.equal(kept)
    assert one.shape == inputs.shape and one.dtype == inputs.dtype
    assert one.min() >= 0 and one.max() <= 1
    assert augmentation.augment(inputs, seeded(1), 24).shape == (64, 1, 24, 24)
    assert (one != inputs).flatten(1).any(dim=1).all()  # every photo,
    alike = augmentation.augment(inputs[:1].expand(9, -1, -1, -1), seeded(1))
    assert len(alike.flatten(1).unique(dim=0)) == 9  # and each in its own way


def test_augmented_photos_are_on_the_whole_what_they_were():
    spot = torch.zeros(2000, 1, 20, 20)
    spot[:, :, 6:10, 8:12] = 1  # above the middle
    moved = augmentation.augment(spot, seeded(0)).mean(dim=(0, 1))
    moved = moved - moved[[0, 0, -1, -1], [0, -1, 0, -1]].mean()  # the light that falls everywhere
    weights = moved.clamp(min=0)
    place = torch.arange(20.0)
    assert (weights.sum(dim=1) @ place / weights.sum()) == pytest.approx(7.5, abs=1)  # not upside down
    assert (weights.sum(dim=0) @ place / weights.sum()) == pytest.approx(9.5, abs=0.5)
    assert moved.flip(1).sub(moved).abs().max() < 0.05  # to the left as often as to the right
    assert moved[7, 9] > 0.4 and moved[7, 9] > 5 * moved[16, 9].abs()


def test_every_second_photo_is_partly_covered_and_none_wholly():
    changed = augmentation.augment(torch.full((400, 1, 30, 30), 0.5), seeded(3))
    # On an even photo whatever is neither its light nor the white that came in at an edge is a cover.
    covered = 0
    for photo in changed.flatten(1):
        values, counts = photo.unique(return_counts=True)
        big = int(((counts > 9) & (values > 0)).sum())
        covered += big > 2
        assert len(values) > 1 or float(values[0]) > 0
    assert 60 < covered < 300


def test_photos_grow_over_the_training():
    inputs, rows = photo_batch(4, 100), torch.arange(4)
    sides = [recipe.growing(inputs, rows, seeded(0), step / 50).shape[-1] for step in range(51)]
    assert sides[0] == recipe.FIRST_SIDE and sides == sorted(sides)
    assert sides[40:] == [96] * 11 and sides[38] < 96
    assert all(side % 4 == 0 for side in sides)
    small = photo_batch(4, 30)
    assert {recipe.growing(small, rows, seeded(0), step / 5).shape[-1] for step in range(6)} == {24}


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


def test_logits_are_scaled_cosines(recogniser):
    unit = F.normalize(torch.randn(5, 16, generator=seeded(0)), dim=1)
    logits = recogniser.logits(unit, 4.0)
    for i in range(5):
        for j in range(7):
            cosine = F.cosine_similarity(unit[i], recogniser.prototypes[j], dim=0)
            assert float(logits[i, j].detach()) == pytest.approx(4 * float(cosine.detach()), abs=1e-5)


def test_the_recipes_loss_is_smoothed_cross_entropy_and_supervised_contrastive(recogniser):
    unit = F.normalize(torch.randn(6, 16, generator=seeded(0)), dim=1)
    labels = torch.tensor([0, 0, 3, 6, 6, 1])
    values = recipe.naming(unit, labels, network=recogniser, smoothing=0.2)
    log_shares = recogniser.logits(unit).log_softmax(dim=1).detach()
    contrast = supervised_contrastive_loss(unit, labels)
    for place, label in enumerate(labels.tolist()):
        wanted = 0.8 * log_shares[place, label] + 0.2 * log_shares[place].mean()
        assert float(values["loss"][place].detach()) == pytest.approx(float(contrast[place] - wanted), rel=1e-5)
    assert values["accuracy"].equal(log_shares.argmax(dim=1) == labels)
    values["loss"].mean().backward()
    assert recogniser.prototypes.grad.isfinite().all() and recogniser.prototypes.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for category, count in {"bolt": 22, "horn": 22, "lamp": 20}.items():
        (folder / category).mkdir()
        for index in range(count):
            noise = generator.integers(0, 256, (6, 6), dtype=np.uint8)
            images.Image.fromarray(noise).resize((32, 32)).save(folder / category / f"{index}.png")
    return study.open_study(str(folder), str(tmp_path_factory.mktemp("run")), 3, device="cpu", size=32)


class StopError(Exception):
    pass


def test_the_recommended_model_trains_and_goes_on_where_it_was_stopped(small, tmp_path, monkeypatch):
    whole, history = recipe.train_recommended(small, 2, 1, tmp_path / "whole.pt")
    assert np.isfinite(history.to_numpy()).all() and history["epoch"].tolist() == [1, 2]
    assert math.isfinite(history["validation_accuracy"].iloc[-1])
    vectors = whole(models.photo_input(small.photos[:5]))
    assert_close(vectors.norm(dim=1), torch.ones(5))

    def stop(*_):
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(training, "progress_line", stop)
        with pytest.raises(StopError):
            recipe.train_recommended(small, 2, 1, tmp_path / "stopped.pt")
    resumed, again = recipe.train_recommended(small, 2, 1, tmp_path / "stopped.pt")
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    states = (whole.state_dict().values(), resumed.state_dict().values())
    assert all(a.equal(b) for a, b in zip(*states, strict=True))


def test_the_recommended_model_does_not_see_test_photos(small):
    photos = small.photos.clone()
    photos[small.rows("test")] = 255 - photos[small.rows("test")]
    catalogue = small.catalogue.copy()
    test = catalogue["split"] == "test"
    catalogue.loc[test, "category"] = catalogue.loc[test, "category"].to_numpy()[::-1]
    other = replace(small, photos=photos, catalogue=catalogue)
    (one, history), (same, again) = (recipe.train_recommended(each, 1, 1) for each in (small, other))
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    assert all(a.equal(b) for a, b in zip(one.parameters(), same.parameters(), strict=True))


@pytest.fixture
def downloads(monkeypatch):
    """Weights that "come from the network": random ones; returns the addresses that are asked for."""
    asked = []

    def fetch(weights, **_):
        asked.append(weights.url)
        return torchvision.models.resnet18(weights=None).state_dict()

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fetch)
    return asked


def test_a_backbone_begins_with_the_weights_it_comes_with(downloads):
    network = models.Recogniser(5, 16, backbone="resnet18")
    before = network.trunk[1].layer4[1].conv2.weight.detach().clone()
    assert not downloads
    network.load_pretrained()
    assert len(downloads) == 1 and not network.trunk[1].layer4[1].conv2.weight.equal(before)
    vectors = network.eval()(torch.rand(3, 1, 64, 64, generator=seeded(0)))
    assert_close(vectors.norm(dim=1), torch.ones(3))


def test_a_backbone_sees_photos_as_imagenet_has_them():
    """White paper is white: 1 in all channels, then the usual mean and deviation."""
    seen = models.AsColour()(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    theirs = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    mean, deviation = torch.tensor(theirs.mean), torch.tensor(theirs.std)
    assert_close(seen.flatten(1), torch.stack([(1 - mean) / deviation, -mean / deviation]))


def test_a_backbone_trains_and_has_a_checkpoint_of_its_own(small, tmp_path, downloads):
    path = tmp_path / "one.pt"
    _, history = recipe.train_recommended(small, 1, 1, path, "resnet18")
    assert np.isfinite(history.to_numpy()).all()
    key = torch.load(path, weights_only=True)["key"]
    recipe.train_recommended(small, 1, 1, path)
    assert torch.load(path, weights_only=True)["key"] != key


@pytest.mark.parametrize(
    ("name", "message"), [("resnet19", "no model 'resnet19'"), ("resnet18", "cannot be downloaded")]
)
def test_a_backbone_that_cannot_be_had_is_told(name, message, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(files.UserError, match=message):
        models.pretrained_weights(name)
    assert models.pretrained_weights("") == {}
