"""What parameters of notebooks may be: one truth for `autoparts run`, plain papermill and JupyterLab."""

import ast
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from reprlib import Repr
from typing import Any, NamedTuple

from autoparts.errors import UserError

KINDS = {  # annotation: what is taken, and what a message calls it
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "str": (str, "a text (by papermill: -r)"),
    "bool": (bool, "True or False"),
    "list[int]": (list, "a list of whole numbers, such as [32, 64] (by papermill: -y)"),
}
LIMIT = 2**63
ALLOWED = {  # of other numbers than those above 0, and of texts that only a notebook's middle would refuse
    **dict.fromkeys(("seed", "split_seed"), (range(LIMIT), "a number from 0 to 2**63 - 1")),
    **dict.fromkeys(("recipe_epochs", "scratch_epochs"), (range(LIMIT), "a number, 0 or more")),
    "threads": (range(1025), "a number from 0 to 1024"),
    "recipe_side": (range(32, 513), "a number from 32 to 512"),  # fewer pixels leave a network's last layers one
    "row_side": (range(24, 513), "a number from 24 to 512"),
    "draw_by": (("photo", "category"), "photo or category"),
    "rows": (("few", "all"), "few or all"),
}
NAMES = (  # of all notebooks: a profile is for all, so papermill may give one what is meant for another
    "data name seed split_seed cleaning split side device precision threads allow_outside show_photos largest "
    "epochs batch_size learning_rate filters embedding_size margin draw_by threshold_pairs bootstrap row_epochs rows "
    "tune row_side held_out_draws seeds cluster recipe_epochs scratch_epochs backbone recipe_side colour photo top "
    "accept"
)
SHORT = Repr()  # a YAML file of a kilobyte may stand for a value of a gigabyte
SHORT.maxstring, SHORT.maxother, SHORT.maxlevel = 200, 200, 2


class Parameter(NamedTuple):
    """What the parameters cell of a notebook says of one of them."""

    kind: str  # as annotated, such as "list[int]"
    default: Any


def annotated(source: str) -> dict[str, Parameter]:
    """Find the parameters that a cell declares, such as `epochs: int = 10`: name to kind and default."""
    found = {}
    for statement in _statements(source):
        with suppress(ValueError, AttributeError, TypeError):  # what is annotated, but no literal or no plain name
            found[statement.target.id] = Parameter(ast.unparse(statement.annotation), ast.literal_eval(statement.value))
    return found


def check(values: Mapping[str, Any], declared: Mapping[str, Parameter], owner: str) -> None:
    """Refuse, in a UserError, the first parameter that is not declared, of another kind than declared, or out of range.

    For one that is not declared, the message begins with the `owner`, such as "this notebook has no".
    """
    for name, value in values.items():
        if name not in declared:
            raise UserError(f"{owner} parameter {SHORT.repr(name)}; there are {', '.join(sorted(declared))}")
        if expected := _expected(name, value, declared[name].kind):
            raise UserError(f"parameter {name} is {SHORT.repr(value)}; expected {expected}")


def check_notebook(namespace: Mapping[str, Any]) -> None:
    """Refuse in a notebook what `autoparts run` refuses; takes its `globals()`, with papermill's parameters set."""
    cells = namespace.get("In", [])  # IPython's history; other interpreters have the annotations alone
    kinds = namespace.get("__annotations__", {}).items()
    declared = {name: Parameter(kind.__name__ if type(kind) is type else str(kind), None) for name, kind in kinds}
    for cell in cells:
        declared |= annotated(cell)
    injected = next((cell for cell in reversed(cells) if cell.startswith("# Parameters")), "")  # papermill's comment
    given = {ast.unparse(target) for each in _statements(injected) for target in getattr(each, "targets", ())}
    names = sorted(declared.keys() | (given - {*NAMES.split()}))
    check({name: namespace[name] for name in names if name in namespace}, declared, "this notebook has no")


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError):  # half-written, or no Python at all
        return []


def _expected(name: str, value: Any, kind: str) -> str:
    """Say what was expected instead of a value; empty if it will do."""
    taken, words = KINDS.get(kind, (object, ""))
    if not isinstance(value, taken) or isinstance(value, bool) != (kind == "bool"):
        return words
    if kind == "list[int]" and not (value and all(type(number) is int for number in value)):
        return words
    if name in ALLOWED:
        allowed, words = ALLOWED[name]
        return "" if value in allowed else words
    if name == "accept":
        return "" if 0 < value < 1 else "a share between 0 and 1"
    if name == "photo" and value:
        if not os.path.isfile(path := os.path.expanduser(value)):  # noqa: PTH111, PTH113
            return "the path of a photo; there is no such file"
        from autoparts.photos import prepare_file  # torch, only where it is needed

        reason = prepare_file(path, 32)[2]
        return f"a photo; this one cannot be read: {reason}" if reason else ""
    if name == "cluster" and value and (not re.fullmatch(r"\w+://.+:\d+", value) or not find_spec("distributed")):
        return "an address such as tcp://HOST:8786, and Dask installed: pip install 'autoparts[cluster]'"
    if name == "backbone" and value:
        from autoparts.study.backbones import pretrained_weights  # torch, only where it is needed

        pretrained_weights(value)  # refuses what it does not know or cannot fetch
    numbers = value if kind == "list[int]" else [value] if kind in ("int", "float") else []
    return "" if all(0 < number < LIMIT for number in numbers) else "a number above 0"
