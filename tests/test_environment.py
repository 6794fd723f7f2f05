"""environment.yml (conda) and pyproject.toml (pip) ask for the same packages."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def bounds(requirements):
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups() for requirement in requirements)


def test_environment_and_project_are_in_step():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    expected = {CONDA_NAMES.get(name, name): bound for name, bound in bounds(project["dependencies"]).items()}
    expected |= bounds([f"python{project['requires-python']}"])
    conda = [package for package in environment["dependencies"] if isinstance(package, str) and package != "pip"]
    assert bounds(conda) == expected
    assert environment["dependencies"][-2:] == ["pip", {"pip": ["--no-deps --editable ."]}]
    assert environment["channels"] == ["conda-forge"] and environment["name"] == project["name"]
