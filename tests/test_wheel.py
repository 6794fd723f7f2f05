"""The package works from a wheel, outside the clone: the finder without notebooks, and what needs them says so."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from samples import draw

ROOT = Path(__file__).parents[1]
pytest_plugins = "finder_files"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources, so that the clone stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "autoparts", folder / "autoparts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Run Python with the wheel, and the packages that are installed here, in an empty folder outside the clone."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # Read after the wheel, and without the .pth files in it, of which one leads to the clone.
    (packages / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*arguments, expect=0):
        command = [folder / "venv" / "bin" / "python", *map(str, arguments)]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # may lead to the clone
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
        assert done.returncode == expect, done.stderr
        return done.stdout + done.stderr

    return run


def test_all_packages_and_their_files_are_in_the_wheel(wheel):
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "autoparts").rglob("*") if path.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == expected
    assert {"py", "csv", "j2", "css", "js"} <= {name.rpartition(".")[2] for name in expected}


CODE = """
import sys, autoparts
from autoparts.__main__ import main
path, photo = sys.argv[1:]
assert main(["identify", photo, "--run", path, "--json"]) == 0
print(autoparts.__file__)
print(autoparts.load_finder(path).identify(photo).names[0].category)
print(sorted(name for name in ("IPython", "nbformat", "jupyter_client", "papermill") if name in sys.modules))
sys.exit(main(["run", "--name", "mine"]))
"""


def test_outside_the_clone_a_photo_is_named_and_what_needs_notebooks_says_so(python, path, tmp_path):
    draw(5).save(tmp_path / "photo.jpg")
    told, where, name, notebooks, *message = python("-c", CODE, path, tmp_path / "photo.jpg", expect=2).splitlines()
    assert json.loads(told)["names"][0]["category"] == name
    assert "elsewhere" in where and notebooks == "[]"
    assert len(message) == 1 and "notebooks come with a clone" in message[0]
