"""A study of random photos, with a run folder for each test; and photos that are easily told apart."""

import joblib
import numpy as np
import pytest
import torch
from PIL import Image

from autoparts.experiments import subsets
from autoparts.sampling import Photos, seeded
from autoparts.study.run import Run
from autoparts.study.study import open_study

COUNTS = {"bolt": 24, "gasket": 20, "horn": 30, "lamp": 10, "mirror": 20}


@pytest.fixture(scope="session")
def noise_study(tmp_path_factory):
    """Five categories, twenty-four pixels a side."""
    folder, generator = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for category, count in COUNTS.items():
        (folder / category).mkdir()
        for index in range(count):
            noise = generator.integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(noise).resize((24, 24)).save(folder / category / f"{index}.png")
    return open_study(str(folder), 3, device="cpu", side=24)


@pytest.fixture(scope="session")
def small(noise_study):
    photos = noise_study.photos
    small = subsets.resized(photos, 20)
    assert small.pixels.shape == (len(photos.pixels), 20, 20) and subsets.resized(photos, 24) is photos
    assert (small.pixels.float().mean(dim=(1, 2)) - photos.pixels.float().mean(dim=(1, 2))).abs().max() < 4
    return small


@pytest.fixture
def run(noise_study, tmp_path):
    return Run(tmp_path, noise_study)


@pytest.fixture(scope="session")
def colour_study(tmp_path_factory):
    """Three categories that differ in colour alone, thirty-two pixels a side."""
    folder, generator = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for category, tint in {"blue": (0.4, 0.4, 1), "green": (0.4, 1, 0.4), "red": (1, 0.4, 0.4)}.items():
        (folder / category).mkdir()
        for index in range(24):
            noise = generator.integers(100, 256, (6, 6, 1)) * np.array(tint)
            Image.fromarray(noise.astype(np.uint8)).resize((32, 32)).save(folder / category / f"{index}.png")
    return open_study(str(folder), 3, device="cpu", side=24)


@pytest.fixture
def colours(colour_study, tmp_path):
    return Run(tmp_path, colour_study)


@pytest.fixture
def patterns():
    """A function from sizes to photos of categories of these sizes, all to train on, each with a pattern of its own."""

    def drawn(*sizes):
        labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        pattern = torch.randint(0, 156, (len(sizes), 20, 20), generator=seeded(0))
        noise = torch.randint(0, 100, (len(labels), 20, 20), generator=seeded(1))
        rows = dict.fromkeys(("train", "validation", "test"), torch.arange(len(labels)))
        return Photos((pattern[labels] + noise).byte(), rows, dict.fromkeys(rows, labels), seed=5)

    return drawn


@pytest.fixture
def one_process(monkeypatch):
    """Rows are tried in this process: each further one would import torch."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)


@pytest.fixture(autouse=True)
def _observed(monkeypatch):
    """Tests put functions in place of the core's to see what is trained again; that is to be no reason for it."""
    monkeypatch.setattr("autoparts.study.run.replaced", list)
