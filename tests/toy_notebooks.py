"""Notebooks of a few lines, to try the pipeline without waiting for a training or, if that is wanted, for a kernel."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from samples import write_photos

PARAMETERS = """
data: str = "synthetic"  # the data
name: str = "lab"  # the run folder
seed: int = 0  # of every random step
device: str = "auto"  # where to compute
precision: str = "auto"  # in which numbers
threads: int = 0  # by how many
allow_outside: bool = False  # whether photos may lie anywhere
count: int = 3  # how many
rate: float = 0.5  # how fast
filters: list[int] = [8]  # how wide
label: str = ""  # what for
loud: bool = False  # or quiet
"""
START = """
import hashlib, json, os, pathlib
folder = pathlib.Path(os.environ["AUTOPARTS_REPORTS"]) / name
def log(word):
    with open(os.environ["TOY_LOG"], "a") as file:
        file.write(word + " ")
def write(file, text):
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)
log({name!r})
"""
WORK = """
seen = [hashlib.sha256((folder / each).read_bytes()).hexdigest() for each in {reads}]
made = json.dumps({{"seen": seen, "own": [(each, globals()[each]) for each in {own}]}})
for each in {writes}:
    if not (folder / each).exists() or each.startswith("results"):
        log("trains:" + each if each.startswith("models") else "")
        write(each, made)
write("figures/fig_{number}.png", made)
"""
MODULE = '"""A module."""\n\nanswer = 1\n'
PHOTOS = {"Mirror": 6, "Pump": 6, "Wheel": 6, "Hose": 1}  # the last one is removed by cleaning


def write(folder: Path, stem: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook that logs its name when it runs, then executes the cells."""
    tagged = new_code_cell(parameters.strip(), metadata={"tags": ["parameters"]})
    code = [new_code_cell(cell) for cell in (START.format(name=stem), *cells)]
    notebook = new_notebook(
        cells=[new_markdown_cell(f"# {stem}"), tagged, *code],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    folder.mkdir(parents=True, exist_ok=True)
    for place, cell in enumerate(notebook.cells):
        cell.id = f"{stem[:2]}-{place:02}"
    nbformat.write(notebook, folder / f"{stem}.ipynb")
    return folder / f"{stem}.ipynb"


def execute(path: Path, output: Path, values: Mapping[str, Any], told: Any, kernel: None = None) -> None:
    """Execute a toy notebook in this very process: stands in for `execution._execute`."""
    notebook = nbformat.read(path, as_version=4)
    namespace: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
            namespace |= values if "parameters" in cell.metadata.get("tags", []) else {}
    nbformat.write(notebook, output)


class Toys:
    """A folder with toy notebooks, photos, reports and a log of which notebooks ran."""

    def __init__(self, place: Path, patch: Any, table: Mapping[str, Any]) -> None:
        from autoparts.pipeline import check, execution, kernels, notebooks, repeat, stamps

        self.place, self.photos, self.reports = place, place / "photos" / "secret-place", place / "reports"
        self.notebooks, self.folder, self.code = place / "notebooks", self.reports / "toy", place / "code" / "module.py"
        patch.setenv("AUTOPARTS_REPORTS", str(self.reports))
        patch.setenv("TOY_LOG", str(place / "log"))
        patch.setattr(notebooks, "NOTEBOOKS", self.notebooks)
        patch.setattr(stamps, "PACKAGE", self.code.parent)
        self.by_kernel = [(kernels, "started", kernels.started), (execution, "_execute", execution._execute)]
        patch.setattr(kernels, "started", lambda path: nullcontext(kernels.Kernel(None, {})))
        patch.setattr(execution, "_execute", execute)
        for module in (notebooks, stamps, execution, check, repeat):
            patch.setattr(module, "TABLE", dict(table))
        if not self.notebooks.exists():
            (self.notebooks / "profiles").mkdir(parents=True)
            for profile in ("demo", "own"):
                (self.notebooks / "profiles" / f"{profile}.yaml").write_text("{}")
            self.code.parent.mkdir()
            self.code.write_text(MODULE)
            write_photos(self.photos, PHOTOS)

    def use_kernels(self, patch: Any) -> None:
        """Execute notebooks as users do from now on."""
        for module, name, function in self.by_kernel:
            patch.setattr(module, name, function)

    def run(self, **options: Any) -> str:
        """Run notebooks; say the numbers of those that were executed, and which weights were trained."""
        from autoparts.pipeline import execution

        (self.place / "log").write_text("")
        execution.run(**({"data": str(self.photos), "name": "toy"} | options))
        words = (self.place / "log").read_text().split()
        return " ".join(word if word.startswith("trains") else word[:2] for word in words)

    def facts(self) -> dict[str, Any]:
        """Return what run.json says."""
        return json.loads((self.folder / "run.json").read_text())

    def files(self) -> dict[str, bytes]:
        """Return every file of the run folder."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.name != ".lock"]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


def write_all(toys: Toys, parameters: Mapping[str, str]) -> None:
    """Write a toy for each notebook of the table, which reads and writes what it says; see `WORK`."""
    from autoparts.pipeline.notebooks import TABLE
    from autoparts.study.parameters import annotated

    for stem, declared in TABLE.items():
        own = sorted(annotated(parameters[stem]).keys() - {"data", "name"})
        kept = tuple(pattern.replace("*", "one") for pattern in declared.keeps)
        work = WORK.format(reads=declared.reads, writes=declared.writes + kept, own=own, number=stem[:2])
        write(toys.notebooks, stem, work, parameters=parameters[stem])
