"""A small run of two notebooks with its report."""

import shutil
from pathlib import Path

import pytest
from tools import example_run

from autoparts.report.index import render


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The run, rendered, for all tests that change nothing in it."""
    folder = example_run.write(tmp_path_factory.mktemp("reports") / "tiny")
    render(folder)
    return folder


@pytest.fixture
def folder(run, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(run, tmp_path / "tiny"))
