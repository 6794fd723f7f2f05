"""Say in one screen whether a run folder is whole, of one study and of this code, and what would run again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoparts.errors import UserError, read_json
from autoparts.pipeline import stamps
from autoparts.pipeline.execution import opened
from autoparts.pipeline.notebooks import TABLE, complete, declared_parameters, select
from autoparts.study.run import IDENTITY, run_folder
from autoparts.study.study import Study

MOST = 8  # files that are named


def check(name: str, data: str | None = None) -> bool:
    """Print what there is to say of a run folder; nothing is executed.

    Args:
        name: of the run folder under reports/, or a path.
        data: the photos of the run, to see whether they are still the same; not needed for generated ones.

    Returns:
        Whether all is well: nothing is missing, mixed, changed or would run again.
    """
    folder = run_folder(name)
    if not folder.is_dir():
        raise UserError(f"there is no run in {folder}; make one with: autoparts run --name {name}")
    records, facts, broken = _read(folder)
    mixed = [stem for stem, record in records.items() if _other_study(record, facts)]
    compared = records and (data or facts.get("generated"))
    study = opened(data or facts["data"], next(iter(records.values()))["parameters"]) if compared else None
    again = _again(folder, records, study)
    known = {"photos": "?", "data": "?", "categories": "?", "seed": "?"} | facts
    lines = {
        "run": str(folder),
        "files": ", ".join(broken[:MOST]) or "all are as they were written",
        "study": "{photos} photos of {data} in {categories} categories, seed {seed}".format_map(known),
        "photos": "compared" if study else "not compared: give --data",
    }
    lines["files"] += f" and {len(broken) - MOST} more" if len(broken) > MOST else ""
    lines["study"] += f"; another one: {', '.join(mixed)}" if mixed else ""
    for what, told in (lines | {stem: again.get(stem, "up to date") for stem in TABLE}).items():
        print(f"{what:24} {told}")
    return not (broken or mixed or again)


def _read(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """Return the records of notebooks, the facts of the study, and what is missing, changed or damaged."""
    records, facts, broken = {}, {}, []
    for stem in TABLE:
        try:
            if record := stamps.read_record(folder / "notebooks" / f"{stem}.ipynb"):
                records[stem] = record
                broken += stamps.broken(record, folder)
        except UserError as error:
            broken.append(str(error))
    try:
        facts = read_json(folder / "results" / "data.json", "the next run writes it")
    except UserError as error:
        broken.append(str(error))
    return records, facts, broken


def _other_study(record: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    own = {"fingerprint": record["stamp"].get("photos")} | record["parameters"]
    return any(own[key] != facts.get(key) for key in IDENTITY if key in own)


def _again(folder: Path, records: Mapping[str, Mapping[str, Any]], study: Study | None) -> dict[str, str]:
    """Say of each notebook that would run again why, given the parameters that it was executed with."""
    again: dict[str, str] = {}
    for path in select():
        record, now = records.get(path.stem), {}
        if record:
            now = stamps.stamp(path, folder, complete(declared_parameters(path), record["parameters"]), study)
            del now["parameters"]  # of which paths are not kept in full
        before = [stem for stem in again if {*TABLE[stem].writes} & {*TABLE[path.stem].reads}]
        if reason := stamps.why(record, now, folder):
            again[path.stem] = f"would run: {reason}"
        elif before:
            again[path.stem] = f"would run, if these write something else: {', '.join(before)}"
    return again
