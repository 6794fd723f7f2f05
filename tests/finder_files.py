"""Fixtures of the finder's tests: a small study of blobs, and the finder file of a network that was not trained."""

import pytest
import torch
from samples import draw

from autoparts import load_finder, models
from autoparts.finder import calibration
from autoparts.study.run import open_run
from autoparts.study.study import open_study

CATEGORIES = ("Clutch", "Mirror", "Pump", "Wheel")


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for number in range(72):
        path = folder / "photos" / CATEGORIES[number % 4] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(number).save(path)
    return open_study(str(folder / "photos"), device="cpu", side=48, cleaning="none")


@pytest.fixture(scope="session")
def run(study, tmp_path_factory):
    return open_run(str(tmp_path_factory.mktemp("reports") / "tiny"), study)


@pytest.fixture(scope="session")
def colour(study):
    """The study's photos as the network takes them."""
    return study.prepared(48)


@pytest.fixture(scope="session")
def network(study, colour):
    """The recommended model, new; but that its norms have seen photos, so that embeddings differ."""
    network = models.initialised(0, models.Recogniser, len(study.categories), channels=3).train()
    with torch.no_grad():
        for _ in range(20):
            network(models.photo_input(colour.pixels[colour.rows["train"]]))
    return network.eval()


@pytest.fixture(scope="session")
def built(run, network, colour):
    """The finder file and the table of its calibration."""
    return calibration.build(run, network, colour)


@pytest.fixture(scope="session")
def path(built):
    return built[0]


@pytest.fixture(scope="session")
def here(path):
    return load_finder(path)
