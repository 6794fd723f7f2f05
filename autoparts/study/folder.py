"""Where a run lies. Imports are few, as in `finder`."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def run_folder(name: str) -> Path:
    """Return the run folder: a path as it is; a name under $AUTOPARTS_REPORTS, or the project's reports/.

    What begins with a dot is a path from here, and so is what holds a separator and lies here, not under reports/.
    """
    here, in_project = Path(name).expanduser(), (PACKAGE.parent / "notebooks").is_dir()
    reports = os.environ.get("AUTOPARTS_REPORTS", PACKAGE.parent / "reports" if in_project else Path("reports"))
    folder = Path(reports) / here
    lies_here = len(here.parts) > 1 and os.path.exists(here)  # noqa: PTH110 - a name may be too long for Path.exists
    if name.startswith(".") or (lies_here and not folder.exists()):
        return here.resolve()
    return folder
