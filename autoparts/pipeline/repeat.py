"""Repeat a run, each notebook with the parameters it was executed with, and compare the tables."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from autoparts.errors import FailedError, UserError, read_json
from autoparts.pipeline.execution import carry_out, locked, opened
from autoparts.pipeline.notebooks import TABLE, complete, declared_parameters, select
from autoparts.pipeline.train import train_in
from autoparts.report.pages import restored
from autoparts.study.parameters import check
from autoparts.study.run import run_folder


def repeat(like: Path, data: str | None = None, name: str | None = None) -> Path:
    """Run again what a run.json describes, in a run folder of its own; return the path of the new report's index.

    The old run's tables are still beside its run.json; `data` are the same photos as then, and not needed for generated
    ones; the new run is called as the old one with "-again", if no name is given, and computes in the same precision
    with as many threads. UserError if the file is no run.json, or the photos are others than then; FailedError if
    tables differ.
    """
    facts, executed = _read(like)
    if not facts["generated"] and data is None:
        raise UserError(f"the photos of run '{facts['name']}' are not kept in it: give --data {facts['data']!r}")
    data, name = data or facts["data"], name or f"{facts['name']}-again"
    if run_folder(name).resolve() == like.resolve().parent:
        raise UserError(f"--name {name} is the run to compare with; choose another one")
    wanted = {}
    for path in select([stem[:2] for stem in executed]):
        check(executed[path.stem], declared := declared_parameters(path), f"notebook {path.stem} has no")
        wanted[path] = complete(declared, executed[path.stem])
    with locked(run_folder(name)) as folder:
        study = opened(data, next(iter(wanted.values())), folder)
        if study.fingerprint != facts["fingerprint"]:
            why = "; another kind of processor, numpy or Pillow draws some of them otherwise" * facts["generated"]
            raise UserError(
                f"{data} holds other photos, categories or products than run '{facts['name']}' had "
                f"(fingerprint {study.fingerprint}, then {facts['fingerprint']}), so the runs cannot be compared{why}"
            )
        made = facts.get("model")  # without notebook 6
        index = train_in(folder, study, name, wanted) if made else carry_out(wanted, study, folder, name)
        _compare(like.parent, folder, facts)
    return index


def _read(like: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what a run.json says, and from it the parameters with which each notebook was executed."""
    if like.name != "run.json":  # which is set aside if it is damaged, as no other file may be
        raise UserError(f"{like} cannot be repeated; give the run.json of a run folder")
    facts = read_json(like, "make the run again")
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        executed = {stem: _given(each) for stem, each in facts["executed"].items() if stem in TABLE}
        if facts.get("model"):  # made without its notebook
            executed["06_beyond_the_thesis"] = restored(facts["model"])
        texts = all(isinstance(facts[name], str) for name in ("name", "data", "fingerprint"))
        if executed and texts and facts["versions"].keys() and "generated" in facts:
            return facts, executed
    raise UserError(f"{like} was not written by this version of autoparts, or tells of no executed notebook")


def _given(executed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a notebook's parameters; what they left open, by "auto" or 0, is as it was found then."""
    given, found = restored(executed["parameters"]), executed.get("found", {})
    return given | {name: value for name, value in found.items() if given.get(name) in ("auto", 0)}


def _compare(old: Path, new: Path, then: Mapping[str, Any]) -> None:
    tables = {folder: {path.name: path.read_bytes() for path in folder.glob("tables/*.csv")} for folder in (old, new)}
    names = sorted(tables[old] | tables[new])
    if differing := [name for name in names if tables[old].get(name) != tables[new].get(name)]:
        before, now = ({**facts, **facts["versions"]} for facts in (then, read_json(new / "run.json", "")))
        compared = ("processor", "device", "precision", "threads", *now["versions"])
        changes = [f"{key} {before.get(key)} then, {now[key]} now" for key in compared if before.get(key) != now[key]]
        raise FailedError(
            f"{len(differing)} of {len(names)} tables differ from those in {old}: {', '.join(differing)} "
            f"({'; '.join(changes) or 'versions, processor, device, precision and threads are the same'})"
        )
    print(f"all {len(names)} tables agree with those in {old}", file=sys.stderr)
