"""Run the notebooks in sequence into a run folder, and render the report."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import papermill
from filelock import FileLock, Timeout
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import DeadKernelError

from autoparts.dependencies import sources_of
from autoparts.files import UserError, disk_errors, whole_file
from autoparts.pages import scrub
from autoparts.parameters import RunError, check, declared_parameters, read_profile
from autoparts.report import render
from autoparts.study import PACKAGE, Study, open_study, run_folder

NOTEBOOKS = PACKAGE.parent / "notebooks"
SHARED = ("seed", "cleaning", "split", "device")  # parameters that open the study, the same for all notebooks
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scikit-learn",
    "pillow",
    "matplotlib",
    "papermill",
    "nbconvert",
)


class NotebookError(UserError):
    """A notebook failed; the message names it, its cell and its error."""

    exit_code = 1


def run(
    data: str = "synthetic",
    name: str = "demo",
    profile: str | Mapping[str, Any] = "demo",
    only: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Path:
    """Execute notebooks that are not up to date, and render the report.

    Args:
        data: see `study.open_study`.
        name: of the run folder under reports/, or a path.
        profile: name of a parameter file in notebooks/profiles/, or a path to one, or its values.
        only: numbers of the notebooks to run, such as "02"; all if empty.
        parameters: override the profile.
        force: run notebooks again that are up to date.

    Returns:
        The path of the report's index.

    Raises:
        UserError: for what the user can mend, before anything long starts, or for a notebook that failed.
    """
    notebooks = _select(only)
    declared = {path: declared_parameters(path) for path in _select(())}
    parameters = dict(parameters or {})
    named = isinstance(profile, str)
    values = (read_profile(profile, NOTEBOOKS / "profiles", declared) if named else dict(profile)) | parameters
    values |= {"data": str(data), "run": str(name)}
    check(values, {path: declared[path] for path in notebooks}, given=parameters)
    folder = run_folder(name)
    with disk_errors(folder), _locked(folder):
        study = open_study(str(data), str(name), **{key: values[key] for key in SHARED if key in values})
        print(f"{len(study.catalogue):,} photos in {len(study.categories)} categories", file=sys.stderr)
        timings = {}
        for path in notebooks:
            own = {key: value for key, value in values.items() if key in declared[path]}
            timings[path.stem] = _bring_up_to_date(path, folder, study, own, force)
        _write_facts(folder, study, values, timings)
        return render(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a run folder, and leave no trace of a new run that comes to nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise RunError(f"{folder} cannot be a run folder: {error.strerror}; choose another --name") from None
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise RunError(
            f"run '{folder.name}' is busy: another process writes to {folder}; wait for it, or choose --name"
        ) from None
    except UserError:
        if [path.name for path in folder.iterdir()] == [".lock"]:
            shutil.rmtree(folder)
        raise


def _select(only: Sequence[str]) -> list[Path]:
    notebooks = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise RunError(f"{NOTEBOOKS} holds no notebooks; install autoparts from a clone: pip install --editable .")
    numbers = [path.name[:2] for path in notebooks]
    unknown = [number for number in only if number not in numbers]
    if unknown:
        raise RunError(f"there is no notebook {unknown[0]!r}; choose among {', '.join(numbers)}")
    return [path for path in notebooks if not only or path.name[:2] in only]


def _bring_up_to_date(path: Path, folder: Path, study: Study, parameters: dict[str, Any], force: bool) -> float:
    """Execute one notebook unless its last result came of the same things; return the seconds it took then."""
    done = folder / "notebooks" / path.name
    stamp = _stamp(path, folder, study, parameters)
    if done.exists() and not force:
        facts = nbformat.read(done, as_version=4).metadata.get("autoparts", {})
        if facts.get("stamp") == stamp:
            print(f"{path.stem}: up to date", file=sys.stderr)
            return facts["seconds"]
    running = done.with_name(f".{done.name}")
    failed = done.with_suffix(".failed.ipynb")
    running.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    try:
        _execute(path, running, parameters)
        seconds = round(time.perf_counter() - started, 1)
        notebook = nbformat.read(running, as_version=4)
        _clean(notebook, parameters)
        # Taken anew, since the notebook may have written results that it reads itself.
        notebook.metadata["autoparts"] = {"stamp": _stamp(path, folder, study, parameters), "seconds": seconds}
        running.write_text(scrub(nbformat.writes(notebook), folder), "utf-8")
        running.replace(done)
    except (papermill.PapermillExecutionError, DeadKernelError) as error:
        running.replace(failed)
        raise NotebookError(
            f"notebook {path.stem} failed{_reason(error)}\n"
            f"The notebook with its error is {failed}; the last good one, if any, stays in the report."
        ) from None
    finally:
        running.unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    return seconds


def _reason(error: papermill.PapermillExecutionError | DeadKernelError) -> str:
    if isinstance(error, DeadKernelError):
        return ": its Python process died or does not answer; a likely cause is too little memory"
    return f" in cell {error.cell_index}: {error.ename}: {error.evalue}"


def _execute(path: Path, output: Path, parameters: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        # Without folders to search, the only kernel is the one of this very interpreter. It is talked to through
        # sockets in a folder, since of two kernels that start at once both may be given the same free port.
        manager = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            kernel_name="python3",
            transport="tcp" if os.name == "nt" else "ipc",
            connection_file=f"{sockets}/kernel.json",
        )
        try:
            papermill.execute_notebook(
                path,
                output,
                parameters,
                progress_bar={"desc": f"{path.stem:24}", "unit": "cell", "file": sys.stderr},
                km=manager,
                extra_arguments=["--log-level=ERROR"],
            )
        except RuntimeError as error:  # which is what jupyter_client raises of a kernel that dies while it starts
            raise DeadKernelError(str(error)) from None
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)


def _clean(notebook: nbformat.NotebookNode, parameters: Mapping[str, Any]) -> None:
    """Take out of an executed notebook what differs from run to run: times, paths, random identifiers."""
    notebook.metadata["papermill"] = {"parameters": dict(parameters)}  # for the table on its page
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"


def _stamp(path: Path, folder: Path, study: Study, parameters: Mapping[str, Any]) -> str:
    """Hash all that a notebook's result depends on: its source, parameters, code, data, results that it reads."""
    notebook = nbformat.read(path, as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells)
    modules, results = sources_of(source)
    parts = [source, json.dumps(parameters, sort_keys=True), study.fingerprint, json.dumps(versions())]
    parts += [module.read_text() for module in modules]
    read = [folder / "results" / f"{name}.json" for name in results]
    parts += [file.read_text() if file.exists() else "" for file in read]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def _write_facts(folder: Path, study: Study, values: Mapping[str, Any], timings: Mapping[str, float]) -> None:
    facts = json.loads((folder / "results" / "data.json").read_text())
    commit, changes = (_git("rev-parse", "HEAD"), _git("status", "--porcelain"))
    earlier = json.loads((folder / "run.json").read_text())["timings"] if (folder / "run.json").exists() else {}
    facts |= {
        "name": folder.name,
        "parameters": {key: value for key, value in values.items() if key not in ("data", "run")},
        "fingerprint": study.fingerprint,
        "versions": versions(),
        "commit": commit,
        "clean_tree": None if changes is None else changes == "",
        "timings": earlier | dict(timings),
        "finished": datetime.now(UTC).date().isoformat(),
    }
    with whole_file(folder / "run.json") as path:
        path.write_text(scrub(json.dumps(facts, indent=1), folder) + "\n")


def _git(*arguments: str) -> str | None:
    result = subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None
