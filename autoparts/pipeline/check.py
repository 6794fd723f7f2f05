"""Say in one screen whether a run folder is whole, of one study and of this code, and what would run again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoparts.errors import UserError, read_json
from autoparts.pipeline import stamps
from autoparts.pipeline.execution import opened
from autoparts.pipeline.notebooks import TABLE, complete, declared_parameters, select
from autoparts.report.pages import restored
from autoparts.study.run import IDENTITY, SPLIT, run_folder

MOST = 8  # files that are named
UNKNOWN = {"photos": "?", "data": "?", "categories": "?", "seed": "?"}


def check(name: str, data: str | None = None) -> bool:
    """Print what there is to say of a run folder, a name under reports/ or a path; nothing is executed.

    With `data`, photos are compared with those of the run; generated ones always are. Returns whether all is well:
    nothing is missing, mixed, changed or would run again. The rest of the study is no part of what `train` makes.
    """
    folder = run_folder(name)
    if not folder.is_dir():
        raise UserError(f"there is no run in {folder}; make one with: autoparts run --name {name}")
    records, facts, made, broken = _read(folder)
    mixed = [stem for stem, record in records.items() if _other_study(record, facts)]
    compared = records and (data or facts.get("generated"))
    study = opened(data or facts["data"], next(iter(records.values()))["parameters"]) if compared else None
    left = [stem for stem in TABLE if made.get("model") and stem not in made.get("executed", {})]
    executed = {stem: restored(record["parameters"]) for stem, record in records.items()}
    judged = [path for path in select() if path.stem not in left]
    wanted = {path: complete(declared_parameters(path), executed.get(path.stem, {})) for path in judged}
    again = stamps.due(wanted, folder, records, study, given=False)
    more = f" and {len(broken) - MOST} more" if len(broken) > MOST else ""
    lines = {
        "run": folder,
        "files": (", ".join(broken[:MOST]) or "all are as they were written") + more,
        "study": "{photos} photos of {data} in {categories} categories, seed {seed}".format_map(UNKNOWN | facts),
        "photos": "compared" if study else "not compared: give --data",
    }
    lines["study"] += f"; another one: {', '.join(mixed)}" if mixed else ""
    lines |= dict.fromkeys(TABLE, "up to date") | dict.fromkeys(left, "no part of what autoparts train makes") | again
    for what, told in lines.items():
        print(f"{what:24} {told}")
    return not (broken or mixed or again)


def _read(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any], dict[str, Any], list[str]]:
    """Return the records of notebooks, the facts of study and run, and what is missing, changed or damaged."""
    records, facts, broken = {}, {}, []
    for stem in TABLE:
        try:
            if record := stamps.read_record(folder / "notebooks" / f"{stem}.ipynb"):
                records[stem] = record
                broken += stamps.broken(record["outputs"], folder)
        except UserError as error:
            broken.append(str(error))
    for name in ("results/data.json", "run.json"):
        try:
            facts[name] = read_json(folder / name, "the next run writes it")
        except UserError as error:
            broken.append(str(error))
    study = facts.get("results/data.json", {})
    broken += stamps.broken({SPLIT: study["split_file"]} if "split_file" in study else {}, folder)
    return records, study, facts.get("run.json", {}), broken


def _other_study(record: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    own = {"fingerprint": record["stamp"].get("photos")} | record["parameters"]
    return bool(facts) and any(own[key] != facts.get(key) for key in IDENTITY if key in own)
