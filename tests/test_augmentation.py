import pytest
import torch
from torch.nn import functional as F

from autoparts.augmentation import augment
from autoparts.sampling import seeded


def test_augmentation_follows_the_generator_and_keeps_shape_and_range():
    inputs = F.interpolate(torch.rand(64, 1, 5, 5, generator=seeded(0)), (40, 40), mode="bilinear")
    kept = inputs.clone()
    one, same, other = (augment(inputs, seeded(seed)) for seed in (1, 1, 2))
    assert one.equal(same) and not one.equal(other) and inputs.equal(kept)
    assert one.shape == inputs.shape and one.dtype == inputs.dtype
    assert one.min() >= 0 and one.max() <= 1
    assert augment(inputs, seeded(1), 24).shape == (64, 1, 24, 24)
    assert (one != inputs).flatten(1).any(dim=1).all()  # every photo,
    alike = augment(inputs[:1].expand(9, -1, -1, -1), seeded(1))
    assert len(alike.flatten(1).unique(dim=0)) == 9  # and each in its own way


def test_augmented_photos_are_on_the_whole_what_they_were():
    spot = torch.zeros(2000, 1, 20, 20)
    spot[:, :, 6:10, 8:12] = 1  # above the middle
    moved = augment(spot, seeded(0)).mean(dim=(0, 1))
    moved = moved - moved[[0, 0, -1, -1], [0, -1, 0, -1]].mean()  # the light that falls everywhere
    weights = moved.clamp(min=0)
    place = torch.arange(20.0)
    assert (weights.sum(dim=1) @ place / weights.sum()) == pytest.approx(7.5, abs=1)  # not upside down
    assert (weights.sum(dim=0) @ place / weights.sum()) == pytest.approx(9.5, abs=0.5)
    assert moved.flip(1).sub(moved).abs().max() < 0.05  # to the left as often as to the right
    assert moved[7, 9] > 0.4 and moved[7, 9] > 5 * moved[16, 9].abs()


def centred_moments(photos):
    """Centres, down and across, and second moments of what is dark: (B, 2) and (B, 2, 2), in pixels from the middle."""
    dark = (photos[:, 0] > 0.4).double()  # whatever the light is
    places = torch.arange(photos.shape[-1]).double() - (photos.shape[-1] - 1) / 2
    mass, grid = dark.sum(dim=(1, 2)), torch.stack(torch.meshgrid(places, places, indexing="ij"))
    centres = torch.einsum("bij,kij->bk", dark, grid) / mass[:, None]
    products = torch.einsum("bij,kij,lij->bkl", dark, grid, grid) / mass[:, None, None]
    return centres, products - centres[:, :, None] * centres[:, None]


def test_each_photo_is_mirrored_turned_shifted_and_stretched():
    """Medians tell, since fewer than half of the photos have a cover; one may hide the whole bar, which is NaN."""
    places = torch.arange(40) - 19.5
    disc = (places[:, None].square() + places.square() < 100).float().expand(800, 1, 40, 40)
    centres, moments = centred_moments(augment(disc, seeded(0)))  # which neither turning nor mirroring moves
    assert centres.abs().median(dim=0).values.tolist() == pytest.approx([1.6, 1.6], abs=0.5)  # 0.16 of 20, at most
    longer = (moments[:, 0, 0] / moments[:, 1, 1]).log() / 2
    assert longer.abs().median() == pytest.approx(0.12, abs=0.04)
    bar = torch.zeros(800, 1, 40, 40)
    bar[:, :, 18:22, 3:17] = 1
    centres, moments = centred_moments(augment(bar, seeded(0)))
    assert (centres[:, 1] < 0).double().mean() == pytest.approx(0.5, abs=0.08)
    turned = torch.atan2(2 * moments[:, 0, 1], moments[:, 1, 1] - moments[:, 0, 0]).rad2deg() / 2
    assert 4 < turned.abs().nanmedian() < 10 and 0.4 < (turned > 0).double().mean() < 0.6


def test_light_and_contrast_vary():
    """Of an even photo the median is its light: covers and the white that comes in are less than half."""
    dim, bright = (augment(torch.full((400, 1, 16, 16), grey), seeded(1)).flatten(1) for grey in (0.25, 0.5))
    dim, bright = dim.median(dim=1).values, bright.median(dim=1).values
    contrast, brightness = (bright - dim) / 0.25, 2 * dim - bright
    assert contrast.log().abs().median() == pytest.approx(0.15, abs=0.03) and contrast.min() < 1 < contrast.max()
    assert brightness.abs().median() == pytest.approx(0.075, abs=0.015) and brightness.min() < 0 < brightness.max()


def test_every_second_photo_is_partly_covered_and_none_wholly():
    changed = augment(torch.full((400, 1, 30, 30), 0.5), seeded(3))
    # On an even photo whatever is neither its light nor the white that came in at an edge is a cover.
    covered = 0
    for photo in changed.flatten(1):
        values, counts = photo.unique(return_counts=True)
        big = int(((counts > 9) & (values > 0)).sum())
        covered += big > 2
        assert len(values) > 1 or float(values[0]) > 0
    assert 60 < covered < 300


def test_colours_change_too_and_crops_are_as_large_as_they_say():
    inputs = torch.rand(64, 3, 8, 8, generator=seeded(0)).repeat_interleave(5, dim=2).repeat_interleave(5, dim=3)
    changed = augment(inputs, seeded(1), 32)
    assert changed.shape == (64, 3, 32, 32) and changed.min() >= 0 and changed.max() <= 1
    grey = augment(torch.full((64, 3, 30, 30), 0.5), seeded(1))[:, :, 15, 15]
    assert (grey.max(dim=1).values - grey.min(dim=1).values).max() > 0.02  # the light is warmer or colder
    assert ((changed - changed.mean(dim=1, keepdim=True)).abs().mean() > 0.05) and not changed[0].equal(changed[1])
    spot = torch.zeros(200, 1, 40, 40)
    spot[:, :, 12:28, 12:28] = 1
    whole, crops = (augment(spot, seeded(2), None, zoom, 0.0) for zoom in ((0.0, 0.0), (-0.7, -0.69)))
    assert float((crops > 0.5).sum() / (whole > 0.5).sum()) == pytest.approx(4, rel=0.25)  # half a side shows
