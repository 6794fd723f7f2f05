"""The parameters of notebooks: what they declare, what a profile sets, and what is refused."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill
import yaml

from autoparts.files import UserError

CHOICES = {"draw_by": ("photo", "category")}  # what only a notebook's middle would refuse


class RunError(UserError):
    """A run cannot start; the message says why, and what to do."""


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Return the parameters that a notebook declares in its tagged cell: name to default."""
    return {
        name: yaml.safe_load(facts["default"]) if facts["default"][:1] not in "\"'" else facts["default"][1:-1]
        for name, facts in papermill.inspect_notebook(str(notebook)).items()
    }


def read_profile(profile: str, profiles: Path, declared: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """Read a parameter file: a name in the folder `profiles`, or the path of a YAML file.

    Raises:
        RunError: if it is missing, holds something else, or sets what no notebook declares.
    """
    path = Path(profile) if profile.endswith((".yaml", ".yml")) else profiles / f"{profile}.yaml"
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in profiles.glob("*.yaml")))
        raise RunError(f"there is no profile {profile!r}; choose {known}, or give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"profile {str(path)[-200:]} cannot be read: {getattr(error, 'strerror', 'no UTF-8')}") from None
    except yaml.YAMLError as error:
        raise RunError(f"profile {path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RunError(f"profile {path} has to hold names and values of parameters, such as epochs: 20")
    names = sorted({name for parameters in declared.values() for name in parameters})
    for name in values:
        _not_an_option(name)
        if name not in names:
            raise RunError(f"profile {path.name}: no notebook has a parameter {name!r}; there are {', '.join(names)}")
    return values


def check(values: Mapping[str, Any], declared: Mapping[Path, Mapping[str, Any]], given: Mapping[str, Any]) -> None:
    """Refuse parameters that no notebook has, or whose value is of another kind than the default or out of range."""
    defaults = {name: value for parameters in declared.values() for name, value in parameters.items()}
    for name in given:
        _not_an_option(name)
        if name not in defaults:
            raise RunError(f"no notebook has a parameter {name!r}; there are {', '.join(sorted(defaults))}")
    for name in values.keys() & defaults.keys():
        value, default = values[name], defaults[name]
        expected = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, expected) or isinstance(value, bool) != isinstance(default, bool):
            raise RunError(f"parameter {name} is {value!r}; expected something like {default!r}")
        if name in CHOICES and value not in CHOICES[name]:
            raise RunError(f"parameter {name} is {value!r}; expected {' or '.join(CHOICES[name])}")
        if name == "seed" and not 0 <= value < 2**63:
            raise RunError(f"parameter seed is {value!r}; expected a number from 0 to 2**63 - 1")
        if name == "accept" and not 0 < value < 1:
            raise RunError(f"parameter {name} is {value!r}; expected a share between 0 and 1")
        if isinstance(default, list) and not (value and all(_like(element, default[0]) for element in value)):
            raise RunError(f"parameter {name} is {value!r}; expected something like {default!r}")
        if name == "photo" and value and not value.startswith("synthetic:") and not os.path.isfile(value):  # noqa: PTH113
            raise RunError(f"parameter photo is {value!r}; there is no such file")
        if name == "backbone" and value:
            from autoparts.models import pretrained_weights  # torch, only where it is needed

            pretrained_weights(value)  # refuses what it does not know or cannot download
        for number in value if isinstance(value, list) else [value]:
            if _is_number(number) and name != "seed" and not (number > 0 and math.isfinite(number)):
                raise RunError(f"parameter {name} is {value!r}; it has to be positive")


def _not_an_option(name: Any) -> None:
    if name in ("data", "run"):
        raise RunError(f"{name} is given with --{'data' if name == 'data' else 'name'}, not as a parameter")


def _like(element: Any, model: Any) -> bool:
    return type(element) is type(model)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
