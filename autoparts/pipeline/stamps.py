"""What a notebook's result depends on, and whether what it wrote is still there: when it has to run again."""

import platform
import re
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b, file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from autoparts.errors import FailedError
from autoparts.models import fast_bfloat16
from autoparts.pipeline.notebooks import PACKAGE, TABLE, Plan, read_notebook
from autoparts.study.fingerprint import code_fingerprint, fingerprint
from autoparts.study.folder import expanded
from autoparts.study.study import Study

LIBRARIES = ("torch", "timm", "numpy", "scipy", "pandas", "scikit-learn", "cleanlab", "pillow", "matplotlib", "seaborn")
LIBRARIES += ("papermill",)
FOLDERS = ("tables", "figures", "results", "models")  # which notebooks write to
RECORD = {"stamp": dict, "outputs": dict, "parameters": dict, "seconds": float}
Records = Mapping[str, Mapping[str, Any]]  # of executed notebooks, by stem; see `read_record`


@cache  # reading what is installed takes as long as all else that a stamp is made of
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def code() -> dict[str, str]:
    """Return a hash of the package, as its files are now and with the texts beside them, and of the libraries."""
    texts = sorted(text for text in PACKAGE.rglob("*") if text.suffix in (".csv", ".txt"))
    return {"code": fingerprint(code_fingerprint(PACKAGE), *map(digest, texts)), "libraries": fingerprint(versions())}


def precision(study: Study) -> str:
    """Name the numbers that trainings of a study compute with, on its device and this machine."""
    return "bfloat16" if fast_bfloat16(study.photos.device) else "float32"


def stamp(path: Path, folder: Path, parameters: Mapping[str, Any], study: Study | None) -> dict[str, str]:
    """Return a hash of each thing that a notebook's result depends on, among them the files of `folder` that it reads.

    Parameters are values of all that it declares; photos and precision are left out without a study.
    """
    declared, photo = TABLE[path.stem], parameters.get("photo")
    read = {kind: [digest(folder / name) for name in declared.reads if name.startswith(kind)] for kind in FOLDERS}
    known = {"photos": study.fingerprint, "precision": f"{precision(study)}, {study.photos.device}"} if study else {}
    if study and declared.shows_left_out:
        known["photos left out"] = study.source_fingerprint
    return known | {
        **code(),
        "notebook": fingerprint([cell.source for cell in read_notebook(path).cells]),
        "parameters": fingerprint({name: value for name, value in parameters.items() if name != "cluster"}),
        "photo": digest(expanded(photo)) if photo else "",
        "results": fingerprint(read["results"]),
        "weights": fingerprint(read["models"]),
        "threads": str(parameters.get("threads") or torch.get_num_threads()),
    }


def read_record(executed: Path) -> dict[str, Any] | None:
    """Read what an executed notebook says of itself: stamp, outputs (file: hash), parameters and seconds.

    None if there is no such notebook, or none that this version of autoparts has executed; UserError if it is damaged.
    """
    record = read_notebook(executed).metadata.get("autoparts", {}) if executed.exists() else {}
    return record if all(isinstance(record.get(name), kind) for name, kind in RECORD.items()) else None


def why(record: Mapping[str, Any] | None, now: Mapping[str, str], folder: Path) -> str:
    """Say why a notebook has to run, from the record of its last execution and its stamp now; empty if it has not."""
    if record is None:
        return "not executed by autoparts so far"
    if changed := [name for name, value in now.items() if record["stamp"].get(name) != value]:
        return f"changed: {', '.join(changed)}"
    return ", ".join(broken(record["outputs"], folder)[:1])


def due(wanted: Plan, folder: Path, records: Records, study: Study | None, given: bool = True) -> dict[str, str]:
    """Say why notebooks would run, those included that read what others then write anew.

    Parameters count as `given` by the user; else they are of the records, in which paths are not kept in full.
    """
    reasons: dict[str, str] = {}
    for path, values in wanted.items():
        now = stamp(path, folder, values, study)
        now = now if given else {name: value for name, value in now.items() if name != "parameters"}
        before = [stem for stem in reasons if {*TABLE[stem].writes} & {*TABLE[path.stem].reads}]
        if reason := why(records.get(path.stem), now, folder):
            reasons[path.stem] = f"would run: {reason}"
        elif before:
            reasons[path.stem] = f"would run, if these write something else: {', '.join(before)}"
    return reasons


def broken(outputs: Mapping[str, str], folder: Path) -> list[str]:
    """Name the files that are missing, or have another hash than when they were written."""
    found = {name: digest(folder / name) for name in outputs}
    return [f"{name} is {'changed' if now else 'missing'}" for name, now in found.items() if now != outputs[name]]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """List the files that notebooks have written, each with what is another after it is written again."""
    paths = [path for kind in FOLDERS for path in (folder / kind).rglob("[!.]*") if path.is_file()]
    own = [path for path in paths if not re.search("[.]damaged|-taught-", path.name)]  # as `places.taught_file`
    states = {path.relative_to(folder).as_posix(): path.stat() for path in own}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()}


def written(stem: str, folder: Path, before: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Hash what a notebook declares to write, and what is new or rewritten since the snapshot before it."""
    declared = TABLE[stem]
    kept = [path.relative_to(folder).as_posix() for pattern in declared.keeps for path in folder.glob(pattern)]
    changed = [name for name, state in snapshot(folder).items() if before.get(name) != state]
    outputs = {name: digest(folder / name) for name in sorted({*declared.writes, *kept, *changed})}
    if missing := [name for name, value in outputs.items() if not value]:
        raise FailedError(f"notebook {stem} has not written {missing[0]}, as the table of notebooks says it does")
    return outputs


def digest(path: Path) -> str:
    """Hash a file's content; empty if there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
