"""Repeat a run from what its run.json says, and compare the tables."""

import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from autoparts.files import UserError
from autoparts.parameters import RunError
from autoparts.pipeline import SHARED, run, versions
from autoparts.study import open_study, run_folder

FACTS = {"name": str, "data": str, "generated": bool, "parameters": dict, "fingerprint": str, "timings": dict}


class DifferenceError(UserError):
    """Tables of the repeated run differ; the message lists them."""

    exit_code = 1


def repeat(like: Path, data: str | None = None, name: str | None = None) -> Path:
    """Run again what a run.json describes, in a run folder of its own.

    Args:
        like: the run.json of a run folder whose tables are still beside it.
        data: the same photos as then; not needed for generated ones.
        name: of the new run folder; by default the old one's with "-again".

    Returns:
        The path of the new report's index.

    Raises:
        RunError: if the file is no run.json, or the data are others than then.
        DifferenceError: if tables differ.
    """
    facts = _read(like)
    if not facts["generated"] and data is None:
        raise RunError(f"the photos of run '{facts['name']}' are not kept in it: give --data {facts['data']!r}")
    data, name = data or facts["data"], name or f"{facts['name']}-again"
    folder = run_folder(name)
    if folder.resolve() == like.resolve().parent:
        raise RunError(f"--name {name} is the run to compare with; choose another one")
    parameters = facts["parameters"]
    with tempfile.TemporaryDirectory() as elsewhere:  # so that other data leave the run folder as it is
        shared = {key: parameters[key] for key in SHARED if key in parameters}
        found = open_study(data, elsewhere, **shared).fingerprint
    if found != facts["fingerprint"]:
        raise RunError(
            f"{data} holds other photos, categories or products than run '{facts['name']}' had "
            f"(fingerprint {found}, then {facts['fingerprint']}), so the runs cannot be compared"
        )
    index = run(data, name, parameters, sorted({stem[:2] for stem in facts["timings"]}))
    _compare(like.parent / "tables", folder / "tables", _changes(facts))
    return index


def _read(like: Path) -> dict[str, Any]:
    try:
        facts = json.loads(like.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{like} cannot be read as the run.json of a run folder: {error}") from None
    for name, kind in FACTS.items():
        if not isinstance(facts, dict) or not isinstance(facts.get(name), kind):
            raise RunError(f"{like} is no run.json of a finished run: it does not say {name!r}")
    return facts


def _changes(facts: dict[str, Any]) -> str:
    """Say which versions and which processor are others than then."""
    now = {"processor": platform.processor() or platform.machine()} | versions()
    then = {"processor": facts.get("processor")} | facts.get("versions", {})
    changed = [f"{name} {then.get(name)} then, {value} now" for name, value in now.items() if value != then.get(name)]
    return "; ".join(changed) or "versions and processor are the same"


def _compare(old: Path, new: Path, changes: str) -> None:
    tables = {folder: {path.name: path.read_bytes() for path in folder.glob("*.csv")} for folder in (old, new)}
    names = sorted(tables[old] | tables[new])
    differing = [name for name in names if tables[old].get(name) != tables[new].get(name)]
    if differing:
        raise DifferenceError(
            f"{len(differing)} of {len(names)} tables differ from those in {old}: {', '.join(differing)} ({changes})"
        )
    print(f"all {len(names)} tables agree with those in {old}", file=sys.stderr)
