"""Fixtures that several test modules share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep prepared photos of tests out of the user's cache (worker processes inherit the variable)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPARTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def draw(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A colour photo of smooth random blobs, distinct for every seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def make_photos() -> Callable[..., Path]:
    """A function `(folder, {category: number})` that writes small distinct JPEGs, and returns the folder."""

    def write(folder: Path, categories: dict[str, int]) -> Path:
        seed = 0
        for category, number in categories.items():
            (folder / category).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                draw(seed).save(folder / category / f"{index}.jpg")
                seed += 1
        return folder

    return write
