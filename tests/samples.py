"""Photos made up for tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image


def draw(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A colour photo of smooth random blobs, distinct for every seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def write_photos(folder: Path, categories: dict[str, int]) -> Path:
    """Write small distinct JPEGs, so many of each category, and return the folder."""
    seed = 0
    for category, number in categories.items():
        (folder / category).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            draw(seed).save(folder / category / f"{index}.jpg")
            seed += 1
    return folder


def toy_photos(counts: tuple[int, int, int] = (30, 8, 8), side: int = 8, seed: int = 0):
    """`sampling.Photos` of two kinds, dark on the left or on the right, with noise; splits lie anywhere in the pixels.

    Each split holds as many photos as `counts` says, of both kinds in turn, and four further rows belong to none.
    """
    import torch

    from autoparts.sampling import Photos, seeded

    total = sum(counts) + 4
    pixels = torch.randint(150, 256, (total, side, side), generator=seeded(seed), dtype=torch.uint8)
    pixels[0::2, :, : side // 2] -= 150
    pixels[1::2, :, side // 2 :] -= 150
    rows = torch.randperm(total, generator=seeded(seed + 1))[4:].split(counts)
    rows = dict(zip(("train", "validation", "test"), rows, strict=True))
    return Photos(pixels, rows, {split: places % 2 for split, places in rows.items()}, seed)


def poisoned(photos):
    """The same `sampling.Photos` with negatives for test photos, and their labels turned round."""
    pixels, tests, labels = photos.pixels.clone(), photos.rows["test"], photos.labels["test"].flip(0)
    pixels[tests] = 255 - pixels[tests]
    assert not labels.equal(photos.labels["test"])
    return replace(photos, pixels=pixels, labels=photos.labels | {"test": labels})
