"""Run the notebooks that are not up to date in sequence into a run folder, and render the report."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
import papermill
import torch
from filelock import FileLock, Timeout
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode, writes
from tqdm import tqdm

from autoparts.catalogue import printable
from autoparts.errors import FailedError, UserError, disk_errors, read_json, set_aside, whole_file
from autoparts.experiments.parallel import connected
from autoparts.pipeline import kernels, stamps
from autoparts.pipeline.notebooks import PACKAGE, TABLE, Plan, plan, read_notebook, usual_profile
from autoparts.pipeline.progress import Progress, trainings
from autoparts.report.index import render
from autoparts.report.pages import scrub
from autoparts.study.folder import expanded, read_json_or_empty, run_folder
from autoparts.study.run import open_run
from autoparts.study.study import SHARED, Study, open_study

PATIENCE = 600  # seconds until a kernel has to answer, which imports packages first


def run(
    data: str = "synthetic",
    name: str = "demo",
    profile: str = "",
    only: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
    restart: bool = False,
) -> Path:
    """Execute notebooks that are not up to date, render the report, and return the path of its index.

    `only` holds numbers such as "02", and stands for all if empty; `parameters` override those of the profile, which by
    default is "demo" for generated photos and "own" for others. With `force` notebooks run that are up to date, from
    the start: the weights they have made are removed. With `restart` the run folder is emptied first. What the user can
    mend is told in a UserError before anything is written; a notebook that fails, in a FailedError.
    """
    wanted = plan(only, profile or usual_profile(data), parameters or {})
    with locked(run_folder(name)) as folder:
        study = opened(data, next(iter(wanted.values())), folder)
        return carry_out(wanted, study, folder, name, force, restart)


def opened(data: str, parameters: Mapping[str, Any], folder: Path | None = None) -> Study:
    """Open the study that a notebook with these parameters opens, for a run folder, if one is to be written.

    UserError if that lies among the photos, or a notebook cannot hold the path of the photos.
    """
    if data.encode(errors="replace").decode() != data:
        raise UserError(f"{printable(data)}: this path is not UTF-8; rename the folder, or give a symbolic link to it")
    photos = expanded(data).resolve()
    if folder and photos.is_dir() and folder.resolve().is_relative_to(photos):
        raise UserError(f"{folder} lies among the photos and would become a part name; choose --name elsewhere")
    return open_study(data, **{name: parameters[name] for name in SHARED if name in parameters})


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Keep other runs out of a run folder, and leave no trace of a new run that comes to nothing."""
    with disk_errors(folder):
        new = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / ".lock").acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"run '{folder.name}' is busy: wait for the process that writes to it, or choose --name"
            ) from None
        except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
            raise UserError(f"{folder} cannot be a run folder: {error.strerror}; choose another --name") from None
        try:
            with lock:
                yield folder
        finally:
            if new and {path.name for path in folder.iterdir()} <= {".lock"}:  # which Windows has removed by now
                shutil.rmtree(folder)


def carry_out(wanted: Plan, study: Study, folder: Path, name: str, force: bool = False, restart: bool = False) -> Path:
    """Bring notebooks up to date in a run folder that is locked; see `run`."""
    if restart:
        _reach_clusters(wanted.values(), study)
        _empty(folder)
    read_json_or_empty(folder / "run.json")  # a damaged one is set aside, not overwritten
    open_run(name, study)
    _say(f"{len(study.catalogue):,} photos in {len(study.categories)} categories")
    _say_what_is_missing(study)
    read = {stem: _record(folder / "notebooks" / f"{stem}.ipynb") for stem in TABLE}
    records = {stem: record for stem, record in read.items() if record}
    due = [path.stem for path in wanted] if force else stamps.due(wanted, folder, records, study)
    _reach_clusters([values for path, values in wanted.items() if path.stem in due], study)
    took = {stem: records[stem]["seconds"] if stem in records else TABLE[stem].seconds for stem in due}
    paths = [path for path in wanted if path.stem in due]
    with Progress(took) as progress, closing(kernels.in_turn(paths)) as started:
        for path, values in wanted.items():
            stem, record = path.stem, records.get(path.stem)
            stamp = stamps.stamp(path, folder, values, study)
            reason = "--force" if force else stamps.why(record, stamp, folder)
            _say(f"{stem}: {reason or 'up to date'}")
            if force:
                _forget(stem, folder)
            kernel = next(started) if stem in due else None
            if reason:
                progress.begin(stem, trainings(values))
                given = {**values, "data": study.data, "name": str(name)}
                with kernels.fresh(kernel, path) as manager:
                    records[stem] = _executed(path, folder, given, stamp, progress, manager)
                progress.move(1)
                _remove_stale(folder, record["outputs"] if record else {}, records[stem]["outputs"])
            else:
                progress.skip(stem)
            (folder / "notebooks" / f"{stem}.failed.ipynb").unlink(missing_ok=True)
    _write_facts(folder, study, records)
    return render(folder)


def _reach_clusters(values: Iterable[Mapping[str, Any]], study: Study) -> None:
    """Have a cluster that cannot be reached told at once, and not after hours of other trainings."""
    for cluster in {each["cluster"] for each in values if each.get("cluster")}:
        with connected(cluster, study.photos.device):
            pass


def _say_what_is_missing(study: Study) -> None:
    """Say which files could not be read, which categories were removed, and which names differ in capitals alone."""
    if len(unread := study.skipped):
        lost = sorted({*unread["category"]} - {*study.source["category"], ""})
        told = f"{len(unread):,} files could not be read as photos, listed in tables/table_skipped.csv"
        told += f", all of: {_listed(lost)}" if lost else ""
        _say(f"{told}; reasons: {_listed(unread['reason'].value_counts().index)}")
    for rule, gone in study.removed.groupby("rule"):
        count, names = f"{gone['photos'].sum():,} photos in {len(gone)} categories", _listed(gone["category"])
        more = "; a finder can be taught them: autoparts teach" if rule == "too few photos" else ""
        _say(f"removed as “{rule}”: {count} ({names}){more}")
    names = pd.Series(study.source["category"].unique())
    for _, alike in names.groupby(names.str.casefold()):
        if len(alike) > 1:
            _say(f"names that differ in capitals alone count as different parts: {_listed(alike)}")


def _listed(names: Iterable[str]) -> str:
    return printable(", ".join([*names][:8])) + (", …" if len([*names]) > 8 else "")


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)  # above the bar, if there is one


def _record(executed: Path) -> dict[str, Any] | None:
    try:
        return stamps.read_record(executed)
    except UserError as error:
        _say(f"{error}; it was set aside as {set_aside(executed).name}")
        return None


def _empty(folder: Path) -> None:
    """Remove what a run writes, and nothing of its users; nothing at all from a folder that holds no run."""
    names = [*stamps.FOLDERS, "notebooks", "run.json", "index.html", "report.pdf", *(f"{stem}.html" for stem in TABLE)]
    if any((folder / name).exists() for name in ("run.json", "results/data.json")):
        _say(f"{folder} is emptied, but for feedback and what its finder was taught")
        weights = [path for path in folder.glob("models/*") if "-taught-" not in path.name]  # as `places.taught_file`
        for path in [*weights, *(folder / name for name in names if name != "models")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _forget(stem: str, folder: Path) -> None:
    """Remove the weights that a notebook has made, so that it trains from the start."""
    patterns = [name for name in TABLE[stem].writes + TABLE[stem].keeps if name.startswith("models/")]
    if weights := [path for pattern in patterns for path in folder.glob(pattern)]:
        _say(f"{stem}: forgets what it has learned ({len(weights)} files in {folder / 'models'})")
    for path in weights:
        path.unlink()


def _remove_stale(folder: Path, earlier: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Remove tables, figures and results that a notebook wrote before and not this time; weights may serve again."""
    for name in earlier.keys() & stamps.snapshot(folder).keys() - now.keys():
        if not name.startswith("models/") and stamps.digest(folder / name) == earlier[name]:
            (folder / name).unlink()


def _executed(
    path: Path,
    folder: Path,
    values: Mapping[str, Any],
    stamp: Mapping[str, str],
    told: TextIO,
    kernel: AsyncKernelManager,
) -> dict[str, Any]:
    """Execute one notebook into the run folder; return its record."""
    done = folder / "notebooks" / path.name
    running, failed = done.with_name(f".{done.name}"), done.with_suffix(".failed.ipynb")
    running.parent.mkdir(parents=True, exist_ok=True)
    before, started = stamps.snapshot(folder), time.perf_counter()
    try:
        _execute(path, running, values, told, kernel)
        shown = {name: value for name, value in values.items() if name != "cluster"}  # on it no result depends
        own = {name: value for name, value in shown.items() if name not in ("data", "name")}
        record = {"stamp": stamp, "parameters": own, "seconds": round(time.perf_counter() - started, 1)}
        record["outputs"] = stamps.written(path.stem, folder, before)
        notebook = _clean(read_notebook(running), shown)
        notebook.metadata["autoparts"] = record
        running.write_text(scrub(writes(notebook), folder), "utf-8")
        running.replace(done)
    except (papermill.PapermillExecutionError, DeadKernelError) as error:
        running.replace(failed)
        reason = ": its Python process died or does not answer; a likely cause is too little memory"
        if isinstance(error, papermill.PapermillExecutionError):
            reason = f" in cell {error.cell_index}: {error.ename}: {error.evalue}"
        raise FailedError(
            f"notebook {path.stem} failed{reason}\n"
            f"The notebook with its error is {failed}; the last good one, if any, stays in the report."
        ) from None
    finally:
        running.unlink(missing_ok=True)
    return record


def _execute(path: Path, output: Path, values: Mapping[str, Any], told: TextIO, kernel: AsyncKernelManager) -> None:
    options = {"progress_bar": False, "stdout_file": told}  # a bar of cells would stand still: one takes minutes
    try:
        papermill.execute_notebook(path, output, dict(values), km=kernel, start_timeout=PATIENCE, **options)
    except RuntimeError as error:  # which is what jupyter_client raises of a kernel that dies while it starts
        raise DeadKernelError(str(error)) from None


def _clean(notebook: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """Take out of an executed notebook what differs from run to run: times, paths, random identifiers."""
    notebook.metadata["papermill"] = {"parameters": dict(values)}  # for the table on its page
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    return notebook


def _write_facts(folder: Path, study: Study, records: stamps.Records) -> None:
    """Write run.json: what was studied, by what, and with which parameters each notebook was executed.

    Those of a recommended model that was made without its notebook are in the model's result; see `train.make_model`.
    """
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    made = folder / "results" / "recommended.json"
    facts = study.facts() | {
        "name": folder.name,
        "executed": {stem: _told(record) for stem, record in records.items()},
        "model": read_json(made, "make the model again").get("parameters") if made.exists() else None,
        "threads": torch.get_num_threads(),
        "device": str(study.photos.device),
        "precision": stamps.precision(study),
        "versions": stamps.versions(),
        "commit": commit,
        "clean_tree": None if changes is None else changes == "",
        "finished": datetime.now(UTC).date().isoformat(),
    }
    with whole_file(folder / "run.json") as path:
        text = scrub(json.dumps(facts, indent=1, ensure_ascii=False), folder)
        path.write_text(f"{text}\n", "utf-8", "backslashreplace")  # names of files need not be UTF-8


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Say with which parameters a notebook was executed, for how long, and what precision and threads it found."""
    precision, threads = record["stamp"].get("precision", ""), record["stamp"].get("threads", "0")
    found = {"precision": precision.partition(",")[0] or "auto", "threads": int(threads)}
    found |= {name: record["stamp"].get(name) for name in ("code", "libraries")}
    return {"parameters": record["parameters"], "seconds": record["seconds"], "found": found}


def _git(*arguments: str) -> str | None:
    with suppress(FileNotFoundError):  # there may be no git
        result = subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=False)
        return result.stdout.strip() if result.returncode == 0 else None
    return None
