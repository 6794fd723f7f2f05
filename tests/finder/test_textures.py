"""Photos whose textures no photo of the catalogue has are refused, whatever a network would call them."""

import dataclasses

import numpy as np
import pytest
import torch

from autoparts import load_finder, models
from autoparts.finder import textures

pytest_plugins = "finder_files"


def made(kind, size=48):
    """Noise, stripes, or one colour: a photo of nothing."""
    random, place = np.random.default_rng(0), np.arange(size)
    noise = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
    stripes = np.broadcast_to((place // 2 % 2 * 255)[:, None, None], (size, size, 3))
    return torch.from_numpy({"noise": noise, "stripes": stripes.astype(np.uint8), "flat": noise * 0 + 90}[kind])[None]


@pytest.mark.parametrize("kind", ["noise", "stripes", "flat"])
def test_what_no_photo_looks_like_is_refused_though_a_name_is_sure(here, kind, monkeypatch):
    photo = made(kind)
    assert here.strangeness(photo).item() > 0
    sure = torch.full((1, len(here.categories)), here.threshold) + torch.tensor([1.0, 0, 0, 0]) * 1e-3
    monkeypatch.setattr(type(here), "scores", lambda *_: sure)
    answer = here._answers(photo, 2)[0]
    assert not answer.known and answer.score < here.threshold
    lenient = dataclasses.replace(here, texture_cost=0.0)._answers(photo, 2)[0]
    assert lenient.known and lenient.names == answer.names


def test_what_is_taught_is_not_refused_for_its_textures(here, tmp_path):
    taught = here.add_prepared("Grille", [made("stripes")[0].numpy()])
    assert here.strangeness(made("stripes")).item() > 0 == taught.strangeness(made("stripes")).item()
    assert taught.strangeness(made("noise")).item() > 0
    taught.save(tmp_path / "taught.pt")
    again = load_finder(tmp_path / "taught.pt")
    assert again.texture_means.shape[0] == 2 and again.strangeness(made("stripes")).item() == 0


def test_hardly_a_photo_of_the_catalogue_is_strange(here, colour):
    pixels = colour.pixels[colour.rows["validation"]]
    assert (here.strangeness(pixels) > 0).double().mean() <= 0.2
    best = here.best_scores(pixels)
    assert (best >= here.threshold).double().mean() >= 0.8


def test_distances_are_those_of_mahalanobis():
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(500, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.2])
    mean, precision = found.mean(dim=0), torch.linalg.inv(torch.cov(found.T))
    whitening = torch.linalg.cholesky(precision)
    expected = [float((row - mean) @ precision @ (row - mean)) ** 0.5 for row in found[:5]]
    assert textures.distances(found[:5], mean[None], whitening).tolist() == pytest.approx(expected, rel=1e-4)
    nearer = textures.distances(found[:5], torch.stack([mean, found[2]]), whitening)
    assert nearer[2] == 0 and (nearer <= torch.tensor(expected) * 1.0001).all()


@pytest.mark.parametrize(("backbone", "width"), [("", 128), ("test_efficientnet", 32), ("resnet18", 128)])
def test_textures_are_of_the_first_layers_whatever_the_backbone(backbone, width):
    network = models.initialised(0, models.Recogniser, 3, backbone, 3).eval()
    photos = torch.cat([made("noise"), made("flat")])
    found = textures.textures(network, photos)
    assert found.shape == (2, width) and found.dtype == torch.float32 and not found[0].equal(found[1])
    assert found.equal(torch.cat([textures.textures(network, photo[None]) for photo in photos]))
