"""Which notebooks there are, what each reads and writes, and with which parameters they are run."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from autoparts.catalogue import is_generated
from autoparts.errors import UserError
from autoparts.study.folder import PACKAGE
from autoparts.study.parameters import SHORT, Parameter, annotated, check

NOTEBOOKS = PACKAGE.parent / "notebooks"
Plan = Mapping[Path, Mapping[str, Any]]  # the notebooks to bring up to date, each with its parameters


@dataclass(frozen=True)
class Notebook:
    """What a notebook reads and writes besides results/data.json, tables and figures; and how long it takes."""

    reads: tuple[str, ...] = ()  # files of notebooks before it
    writes: tuple[str, ...] = ()  # files that others read: notebooks, report, finder
    keeps: tuple[str, ...] = ()  # patterns of further weights, which it alone uses
    shows_left_out: bool = False  # whether it also shows photos that are not part of the study
    seconds: float = 1  # that it takes by the demo profile, where no earlier execution tells
    late: tuple[str, ...] = ("torch._dynamo",)  # what it imports in the midst of its work, for seconds: optimisers do


def _files(*names: str) -> tuple[str, ...]:
    """Return the results of these names, and the weights where the result is of a model."""
    models = [name for name in names if name in ("cnn", "contrastive", "triplet", "recommended")]
    return tuple(f"results/{name}.json" for name in names) + tuple(f"models/{name}.pt" for name in models)


THESIS = _files("cnn", "contrastive", "triplet")
RECOMMENDED = _files("recommended")
BEYOND = ("models/beyond/*.pt", "models/recommended-*.pt", "models/scratch.pt", "models/features/*.pt")
TABLE = {
    "01_eda_pca": Notebook(writes=_files("eda"), shows_left_out=True, seconds=12, late=()),
    "02_cnn_baseline": Notebook(writes=_files("cnn"), seconds=10),
    "03_siamese_contrastive": Notebook(writes=_files("contrastive", "threshold"), seconds=15),
    "04_siamese_triplet": Notebook(writes=_files("triplet"), seconds=18),
    "05_model_comparison": Notebook(THESIS, _files("comparison", "lookalikes"), seconds=8, late=()),
    "06_beyond_the_thesis": Notebook(THESIS, RECOMMENDED + _files("beyond"), BEYOND, seconds=90, late=("timm",)),
    "07_find_a_part": Notebook(
        RECOMMENDED, ("results/finder.json", "models/finder.pt"), shows_left_out=True, seconds=12, late=("timm",)
    ),
}


def select(only: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks with these numbers, such as "02"; all of them without any."""
    if missing := [stem for stem in TABLE if not (NOTEBOOKS / f"{stem}.ipynb").is_file()]:
        raise UserError(
            f"{NOTEBOOKS} holds no {missing[0]}.ipynb: notebooks come with a clone of the repository, not with the "
            "installed package; clone it, and there: pip install --editable . (identify and synthesize work without)"
        )
    numbers = [stem[:2] for stem in TABLE]
    if unknown := [number for number in only if number not in numbers]:
        raise UserError(f"there is no notebook {SHORT.repr(unknown[0])}; choose among {', '.join(numbers)}")
    return [NOTEBOOKS / f"{stem}.ipynb" for stem in TABLE if not only or stem[:2] in only]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook, executed or not; a UserError says if it is none: the one door for all of them."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever nbformat stumbles over
        raise UserError(f"{path} is damaged: {getattr(error, 'strerror', None) or 'it is no notebook'}") from None
    return notebook


def declared_parameters(path: Path) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares in its tagged cell."""
    cells = read_notebook(path).cells
    return next((annotated(cell.source) for cell in cells if "parameters" in cell.metadata.get("tags", [])), {})


def plan(only: Sequence[str], profile: str, given: Mapping[str, Any]) -> Plan:
    """Decide with which parameters notebooks are run: those of a profile, overridden by those given.

    UserError for a value that will not do, and for a name that no notebook (if given: no selected one) declares.
    """
    selected, values = select(only), read_profile(profile)
    declared = {path: declared_parameters(path) for path in select()}
    check(values, ChainMap(*declared.values()), f"profile {profile}: no notebook has a")
    check(given, ChainMap(*declared.values()), "no notebook has a")
    for name in given.keys() - ChainMap(*(declared[path] for path in selected)):
        owners = ", ".join(path.stem[:2] for path in declared if name in declared[path])
        raise UserError(f"parameter {name} is of notebook {owners}, and {', '.join(only)} are to run")
    if option := next((name for name in ("data", "name") if name in values or name in given), None):
        raise UserError(f"{option} is given with --{option}, not as a parameter")
    return {path: complete(declared[path], {**values, **given}) for path in selected}


def usual_profile(data: str) -> str:
    """Name the profile of photos for which none is given."""
    return "demo" if is_generated(data) else "own"


def complete(declared: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every declared parameter but `data` and `name`: as given, else its default."""
    own = {name: values.get(name, known.default) for name, known in declared.items() if name not in ("data", "name")}
    return {name: float(value) if declared[name].kind == "float" else value for name, value in own.items()}


def read_profile(profile: str) -> dict[str, Any]:
    """Read a file of parameters: a name in notebooks/profiles/, or the path of a YAML file."""
    folder = NOTEBOOKS / "profiles"
    path = Path(profile) if profile.endswith((".yaml", ".yml")) else folder / f"{profile}.yaml"
    try:
        return dict(yaml.safe_load(path.read_text("utf-8")) or {})
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
    raise UserError(
        f"profile {profile[-200:]} cannot be read ({reason}); choose {known}, or give the path of a YAML file of names "
        "and values, such as epochs: 20"
    )
