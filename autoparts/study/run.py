"""The run folder: what notebooks save in it and read from it, and the trainings whose weights it keeps."""

import ast
import inspect
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from torch import Tensor, nn
from tqdm import tqdm

from autoparts import catalogue, evaluation, models, training
from autoparts.errors import UserError, disk_errors, read_json, read_json_again, whole_file
from autoparts.sampling import Photos
from autoparts.study import pictures, tables
from autoparts.study.fingerprint import code_fingerprint, fingerprint, machine
from autoparts.study.parameters import check_notebook
from autoparts.study.study import SHARED, Study, open_study
from autoparts.tasks import Task

RESULTS_VERSION = 2  # raised when a result is written in another form
PACKAGE = Path(__file__).parents[1]
CORE = code_fingerprint(PACKAGE, "[!_]*.py")  # taken now: the files may be edited while this code is running
IDENTITY = ("fingerprint", "seed", "split_seed", "cleaning", "split")  # what makes two studies the same


@dataclass(frozen=True)
class Run:
    """A study's run folder."""

    folder: Path
    study: Study

    def show(self, name: str, figure: Figure, caption: str) -> HTML:
        """Save a figure as `figures/<name>.png` and return it for display, with what the reader sees below it.

        The figure is as the functions of `figures` and `drawings` return it, with an alternative text; it is closed.
        """
        png = pictures.figure_png(figure, caption)
        with whole_file(self.folder / "figures" / f"{name}.png") as path:
            path.write_bytes(png)
        return HTML(pictures.figure_html(png, name))

    def table(self, name: str, frame: pd.DataFrame, caption: str, best: bool = False) -> HTML:
        """Save a table as `tables/<name>.csv` and return it for display; see `tables.table_html`."""
        tables.write_table(self.folder, name, frame, caption, best)
        return HTML(tables.table_html(frame, caption, best))

    def csv(self, name: str, frame: pd.DataFrame) -> None:
        """Save a table as `tables/<name>.csv` only, for lists too long to be shown."""
        with whole_file(self.folder / "tables" / f"{name}.csv") as path:
            path.write_text(tables.csv_text(frame), "utf-8", newline="")

    def source(self, *functions: Callable) -> HTML:
        """Return the code of functions of the package, highlighted, without their docstrings."""
        shown = "\n\n".join(_undocumented(inspect.getsource(function)) for function in functions)
        formatter = HtmlFormatter(cssclass="highlight")  # pages have colours of their own for its classes
        style = f"<style>{formatter.get_style_defs('.highlight')}</style>"
        return HTML(style + highlight(shown, PythonLexer(), formatter))

    def weights(self, name: str) -> Path:
        """Return where the weights called `name` are kept."""
        return self.folder / "models" / f"{name}.pt"

    def fit(
        self,
        name: str,
        network: nn.Module,
        task: Task,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        **options: Any,
    ) -> pd.DataFrame:
        """Train a network, unless `models/<name>.pt` holds the result of this very training; see `training.fit`.

        What counts as this very training: the photos, the task and its fields, the network and its initial weights,
        all settings, the code of the package's core and of functions and classes that the notebook itself defines,
        torch's version, the device and the number of threads. Of a training that was interrupted the rest is done.
        Photos and seed are those of the study, if none are given.
        """
        photos = options.pop("photos", self.study.photos)
        options = {"seed": self.study.seed} | options
        told = {name: value for name, value in options.items() if name != "say"}
        key = fingerprint(
            [self.study.fingerprint, photos.side, dict(photos.rows), dict(photos.labels), photos.seed],
            None if photos.pixels is self.study.photos.pixels else photos.pixels,
            [network, task, epochs, batch_size, learning_rate, told],
            [CORE, *machine(), str(photos.device)],
        )
        history = training.fit(
            network,
            photos,
            task,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            checkpoint=self.weights(name),
            key=key,
            **options,
        )
        history.attrs = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return history

    def features(self, network: models.Recogniser, photos: Photos) -> Tensor:
        """Return what a network's trunk says of the photos of the split: (N, F) float32 on the CPU, NaN for others.

        Computed once, in full precision as a finder does, and kept in `models/features/`. The photos are the study's
        own, as `Study.prepared` returns them.
        """
        seen = [network.trunk, network.standard, network.architecture["views"]]
        key = fingerprint(self.study.fingerprint, photos.pixels.shape, seen, CORE, machine(), str(photos.device))
        path, rows = self.weights(f"features/{key[:16]}"), torch.cat([*photos.rows.values()])
        with suppress(Exception):  # there is none, or it is damaged: torch raises many kinds
            return torch.load(path, weights_only=True)[key]
        blocks = tqdm(rows.split(64), "Features", unit_scale=64, disable=None)
        with torch.inference_mode():
            found = [network.features(models.photo_input(photos.pixels[block])).cpu() for block in blocks]
        everywhere = torch.full((len(photos.pixels), found[0].shape[1]), torch.nan)
        everywhere[rows] = torch.cat(found)
        training.save_tensors({key: everywhere}, path)
        return everywhere

    def save(
        self, name: str, network: nn.Module, task: Task, history: pd.DataFrame, hits: dict[str, Tensor], **facts: Any
    ) -> None:
        """Save what the comparison needs to know of one of the thesis's models, under the name of its weights.

        Args:
            name: of the result.
            network: trained.
            task: what it was trained for.
            history: of its training, as `fit` returns it with its settings.
            hits: what it judged rightly in each split, as `task.judge` returns it.
            **facts: more to keep.
        """
        self.save_result(
            name,
            title=task.title,
            task=task.question.format(categories=self.study.photos.categories),
            chance=task.chance(self.study.photos),
            trained_for={"kind": type(task).__name__, **asdict(task)},
            architecture=network.architecture,
            weights=models.count_parameters(network),
            settings=history.attrs,
            history=history,
            metrics=evaluation.accuracies(training=hits["train"], validation=hits["validation"], test=hits["test"]),
            **facts,
        )

    def save_result(self, name: str, **result: Any) -> None:
        """Write `results/<name>.json`, with the fingerprint of the study that it belongs to."""
        content = {"version": RESULTS_VERSION, "fingerprint": self.study.fingerprint, "seed": self.study.seed, **result}
        _write_json(self.folder / "results" / f"{name}.json", content)

    def result(self, name: str, notebook: str) -> dict[str, Any]:
        """Read `results/<name>.json`, which the named notebook makes.

        Raises:
            UserError: if it is missing, damaged, of another version, or belongs to another study.
        """
        advice = f"run notebook {notebook} first"
        result = read_json(self.folder / "results" / f"{name}.json", advice)
        if result.get("version") != RESULTS_VERSION:
            raise UserError(
                f"{name}.json in run '{self.folder.name}' was made by another version of autoparts: {advice}"
            )
        if (result.get("fingerprint"), result.get("seed")) != (self.study.fingerprint, self.study.seed):
            raise UserError(f"{name}.json in run '{self.folder.name}' belongs to another study: {advice}")
        return result


def open_run(name: str, study: Study) -> Run:
    """Open the run folder of a study, a name under reports/ or a path; a new one gets the study's facts and its split.

    Raises:
        UserError: if the folder belongs to another study; nothing is written then.
    """
    folder = run_folder(name)
    path = folder / "results" / "data.json"
    facts = {"version": RESULTS_VERSION, **study.facts()}
    with disk_errors(path):  # the name may be too long to be looked for
        there = read_json_again(path)
    if there and any(there.get(key) != facts[key] for key in ("version", *IDENTITY)):
        raise UserError(
            f"run folder {folder} belongs to another study: it holds {_told(there)}, and this is {_told(facts)}. "
            "Choose another name (autoparts run --name), or empty the folder with autoparts run --restart."
        )
    if there != facts:
        _write_json(path, facts)
    run = Run(folder, study)
    if not (folder / "tables" / "split.csv").exists():
        columns = [name for name in ("path", "category", "product", "content", "split") if name in study.catalogue]
        listed = study.catalogue[columns].astype(object)
        below = catalogue.below_root(listed["path"], study.source["path"])
        if "product" in listed:  # a photo without one is its own, by its path
            listed["product"] = listed["product"].where(listed["product"] != listed["path"], below)
        run.csv("split", listed.assign(path=below))
    return run


def open_notebook(namespace: dict[str, Any]) -> tuple[Study, Run]:
    """Check a notebook's parameters, and open the study and the run that they describe.

    Takes the notebook's `globals()`, in which its parameters cell has run. A parameter that the notebook does not have,
    or that cannot be so, is told in a UserError.
    """
    check_notebook(namespace)
    study = open_study(namespace["data"], **{key: namespace[key] for key in SHARED})
    return study, open_run(namespace["name"], study)


def run_folder(name: str) -> Path:
    """Return the run folder: a path as it is; a name under $AUTOPARTS_REPORTS, or the project's reports/."""
    in_project = PACKAGE.parent / "reports" if (PACKAGE.parent / "notebooks").is_dir() else Path("reports")
    return Path(os.environ.get("AUTOPARTS_REPORTS", in_project)) / Path(name).expanduser()


def _told(facts: dict[str, Any]) -> str:
    return (
        f"{facts.get('photos')} photos of {facts.get('data')} (fingerprint {str(facts.get('fingerprint'))[:8]}, "
        f"cleaning {facts.get('cleaning')}, split {facts.get('split')}, split_seed {facts.get('split_seed')}, "
        f"seed {facts.get('seed')}, results of version {facts.get('version')})"
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, default=_plain, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """Turn what NumPy, pandas and torch return into what JSON knows."""
    if isinstance(value, pd.DataFrame):
        return value.astype(object).where(value.notna(), None).to_dict(orient="list")
    if hasattr(value, "tolist"):  # series, arrays, their elements, tensors
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _undocumented(source: str) -> str:
    """Leave the docstring of a function or method out of its source; comments stay."""
    source = inspect.cleandoc("\n" + source)
    lines = source.splitlines()
    first = ast.parse(source).body[0].body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines)
