"""Fixtures that several test modules share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from samples import write_photos

SIZES = {"Mirror": 20, "Pump": 18, "Wheel": 22, "Door Seal": 7, "Trunk Seal": 6, "Hose": 3, "Lone": 1}


def pytest_collection_modifyitems(items):
    """Begin with the file that takes longest, so that at the end no process waits for another."""
    items.sort(key=lambda item: item.path.stem != "test_notebooks")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep prepared photos of tests out of the user's cache, and the user's matplotlib settings and fonts out of tests.

    Processes that tests start inherit the variables.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPARTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        yield


@pytest.fixture
def make_photos() -> Callable[..., Path]:
    """A function `(folder, {category: number})` that writes small distinct JPEGs, and returns the folder."""
    return write_photos


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    """Seventy-seven photos of seven categories, four of which cleaning removes, and a file that is no photo."""
    folder = write_photos(tmp_path_factory.mktemp("small") / "photos", SIZES)
    (folder / "Pump" / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="session")
def small_study(small_folder):
    """The study of `small_folder`: sixty photos of three categories, twenty pixels a side."""
    from autoparts.study.study import open_study

    return open_study(str(small_folder), cleaning="substring", device="cpu", side=20)
