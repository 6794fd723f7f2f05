"""environment.yml (conda), pyproject.toml (pip) and CITATION.cff say the same."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
CONDA_NAMES |= {"jupyter-client": "jupyter_client", "jupyter-core": "jupyter_core"}


def bounds(requirements):
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups() for requirement in requirements)


def test_environment_and_project_are_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    expected = {CONDA_NAMES.get(name, name): bound for name, bound in bounds(PROJECT["dependencies"]).items()}
    expected |= bounds([f"python{PROJECT['requires-python']}"])
    from_pypi = environment["dependencies"][-1]["pip"]  # what conda-forge does not have, and the package itself
    conda = [package for package in environment["dependencies"] if isinstance(package, str) and package != "pip"]
    assert bounds(conda + from_pypi[:-1]) == expected
    # Conda writes these lines to a file of requirements, in which pip takes few of its options: not --no-deps.
    assert environment["dependencies"][-2] == "pip" and from_pypi[-1] == "--editable ."
    assert environment["channels"] == ["conda-forge"] and environment["name"] == PROJECT["name"]


@pytest.mark.parametrize(("folder", "extras"), [("autoparts", ("export", "cluster")), ("tests", ("dev",))])
def test_what_is_imported_is_declared(folder, extras):
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    known = packages_distributions()
    own = {"autoparts", "tests", *(path.stem for path in (ROOT / "tests").rglob("*"))}
    tops = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - own - {"gradio", "pillow_heif"}
    distributions = {top: {re.sub(r"[-_.]+", "-", name).lower() for name in known[top]} for top in tops}
    optional = [each for extra in extras for each in PROJECT["optional-dependencies"][extra]]
    declared = bounds(PROJECT["dependencies"] + optional).keys()
    assert not {top for top, names in distributions.items() if not names & declared}


def test_the_citation_is_in_step():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    told = {name: citation[name] for name in ("title", "version", "license")}
    assert told == {"title": PROJECT["name"], "version": PROJECT["version"], "license": PROJECT["license"]}
    assert citation["references"][0]["authors"] == [{"family-names": "Lee", "given-names": "Yewon"}]
