"""Where the finder of a run lies, what it was taught beside it, and the photos that its page may keep."""

import shlex
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from filelock import FileLock

from autoparts.catalogue import printable
from autoparts.errors import FailedError, disk_errors
from autoparts.finder import file
from autoparts.finder.teach import FEEDBACK
from autoparts.study.folder import expanded, run_folder


def finder_file(run: str) -> Path:
    """Return the finder file that a run's notebooks make, or the one that is named itself."""
    if run.endswith(".pt"):
        return expanded(run)
    return run_folder(run) / "models" / "finder.pt"


def feedback_folder(run: str) -> Path:
    """Return where photos go that the page of a run's finder may keep."""
    made = finder_file(run)
    return (made.parent.parent if made.parent.name == "models" else made.parent) / "feedback"


def taught_file(path: Path) -> Path:
    """Return where what a finder file is taught is kept: beside it, as `finder-taught-<hash of the file>.pt`.

    The file itself stays as its notebook wrote it, else the next `autoparts run` would make it again; and a finder that
    was trained anew does not meet what another was taught.
    """
    if "-taught-" in path.stem or not path.is_file():
        return path
    return path.with_name(f"{path.stem}-taught-{blake2b(path.read_bytes(), digest_size=4).hexdigest()}{path.suffix}")


def file_in_use(run: str) -> Path:
    """Return the file that was taught, if there is one for a run's finder, else that of the notebooks.

    What an earlier finder was taught and this one does not know is told on stderr, and how to teach it again.
    """
    made = finder_file(run)
    if (taught := taught_file(made)).is_file():
        return taught
    others = made.parent.glob(f"{made.stem}-taught-*{made.suffix}")
    if made.is_file() and (last := max(others, key=lambda path: path.stat().st_mtime, default=None)):
        lost = _lost(last, made)
        only = f"; only that one knows {printable(', '.join(lost))}" if lost else ""
        print(f"autoparts: {last} was taught an earlier finder, and is not used{only}", file=sys.stderr)
        if (feedback := feedback_folder(run)).joinpath(FEEDBACK).is_file():
            print(f"autoparts: teach this one what the page has kept: {learning(run, feedback)}", file=sys.stderr)
        elif lost:
            again = f"autoparts teach --run {shlex.quote(run)} --name NAME PHOTO …"
            print(f"autoparts: teach this one each of them again: {again}", file=sys.stderr)
    return made


def learning(run: str, feedback: Path) -> str:
    """Return the command by which a run's finder learns what its page has kept in a folder."""
    return f"autoparts teach --run {shlex.quote(run)} {shlex.quote(str(feedback / FEEDBACK))}"


def _lost(before: Path, now: Path) -> list[str]:
    """Find the part names that an earlier finder file has and another lacks."""
    try:
        known, names = (file.read(path)["categories"] for path in (now, before))
        return [str(name) for name in names if name not in known]
    except Exception:  # of an older version, or damaged: torch and others raise many kinds
        return []


def change(run: str, how: Callable[[Any], Any]) -> None:
    """Change a run's finder by `how`, keep it beside the one that the notebooks made, which stays, and say where.

    One process at a time, so that what another one teaches meanwhile is not lost. UserError if there is no finder.
    """
    from autoparts.finder.finder import load_finder

    if not (made := finder_file(run)).is_file():
        load_finder(made)  # says that there is none
    with disk_errors(made.parent), FileLock(made.with_name(f".{made.stem}.lock")):
        taught = taught_file(made)
        changed = how(load_finder(file_in_use(run)))
        if taught_file(made) != taught:
            raise FailedError(f"{made} was made anew meanwhile, and nothing was kept: give the same command again")
        changed.save(taught)
    told = f"; {made.name} stays as it was" if made != taught else ""
    print(f"{changed!r} is kept as {taught}{told}. A page that is open knows it when it is started again")
