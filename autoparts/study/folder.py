"""Where a run lies, and what of it is read before it is written anew. Imports are few, as in `finder`."""

import os
import sys
from pathlib import Path
from typing import Any

from autoparts.errors import UserError, read_json

PACKAGE = Path(__file__).parents[1]


def expanded(path: str | Path) -> Path:
    """Return a path with ~ and ~somebody as their home folders; ~nobody, and the ~$ of office programs, stay."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises there


def run_folder(name: str) -> Path:
    """Return the run folder: a path as it is; a name under $AUTOPARTS_REPORTS, or the project's reports/.

    What begins with a dot is a path from here, and so is what holds a separator and lies here, not under reports/. A
    UserError tells of an empty name.
    """
    if not name.strip():
        raise UserError("the name of the run is empty; give it one, such as --name mine")
    here, in_project = expanded(name), (PACKAGE.parent / "notebooks").is_dir()
    reports = os.environ.get("AUTOPARTS_REPORTS", PACKAGE.parent / "reports" if in_project else Path("reports"))
    folder = Path(reports) / here
    lies_here = len(here.parts) > 1 and os.path.exists(here)  # noqa: PTH110 - a name may be too long for Path.exists
    if name.startswith(".") or (lies_here and not folder.exists()):
        return here.resolve()
    return folder


def read_json_or_empty(path: Path) -> dict[str, Any]:
    """Read a JSON object that the caller writes anew: empty if it is missing, or damaged, which is told on stderr."""
    try:
        return read_json(path, "it is written again") if path.exists() else {}
    except UserError as error:
        if path.exists():  # so it may not be read; a damaged one was moved away
            raise
        print(error, file=sys.stderr)
        return {}
