"""The run folder: what notebooks save in it and read from it, and the trainings whose weights it keeps."""

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import PIL
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from torch import Tensor, nn
from tqdm import tqdm

from autoparts import bar_file, catalogue, evaluation, models, retrieval, training
from autoparts.errors import UserError, disk_errors, read_json, set_aside, whole_file
from autoparts.sampling import Photos
from autoparts.study import pictures, tables
from autoparts.study.fingerprint import code_fingerprint, fingerprint, replaced
from autoparts.study.folder import PACKAGE, read_json_or_empty, run_folder
from autoparts.study.parameters import check_notebook
from autoparts.study.study import IDENTITY, SHARED, Study, open_study
from autoparts.tasks import Task

LONGEST = 40  # rows of a table that are shown
SPLIT = "tables/split.csv"  # which opening a run writes, not a notebook
RESULTS_VERSION = 2  # raised when a result is written in another form
PHOTO = re.compile(r'"data:image/[^"]*"')  # in JSON
CORE = code_fingerprint(PACKAGE, "[!_]*.py")  # taken now: the files may be edited while this code is running


@dataclass(frozen=True)
class Run:
    """A study's run folder."""

    folder: Path
    study: Study
    show_photos: bool = True  # else figures and results that show photos are saved and shown without them
    cluster: str = ""  # address of the Dask scheduler whose workers train rows; none: this machine's cores

    def show(self, name: str, figure: Figure, caption: str) -> HTML:
        """Save a figure with an alternative text as `figures/<name>.png`, close it, and return it for display.

        One that shows photos, or what is made of them, is left out unless the run shows photos; a line says so.
        """
        file = self.folder / "figures" / f"{name}.png"
        if pictures.shows_photos(figure) and not self.show_photos:
            plt.close(figure)
            file.unlink(missing_ok=True)  # of an execution with photos
            return HTML(f"<p>Left out, since it shows photos: {escape(caption)}</p>")
        with whole_file(file) as path:
            path.write_bytes(png := pictures.figure_png(figure, caption))
        return HTML(pictures.figure_html(png, name))

    def table(self, name: str, frame: pd.DataFrame, caption: str, best: bool = False) -> HTML:
        """Save a table as `tables/<name>.csv` and return it, or its first rows, for display; see `table_html`."""
        tables.write_table(self.folder, name, frame, caption, best)
        shown = f"{caption} (the first {LONGEST}; all are in {name}.csv)" if len(frame) > LONGEST else caption
        return HTML(tables.table_html(frame.head(LONGEST), shown, best))

    def source(self, *functions: Callable) -> HTML:
        """Return the code of functions of the package, highlighted, without their docstrings."""
        shown = "\n\n".join(map(_undocumented, functions))
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
        all settings, the code of the package's core and of functions and classes that the notebook itself defines, what
        it puts in place of the core's own (`losses.contrastive_loss = ...`), versions, the device and the number of
        threads. The rest of an interrupted training is done. Photos and seed are the study's, if none are given.
        A cell that makes a network and trains it may be executed again; one that only trains goes on, and says so.
        """
        if getattr(network, "_trained", False):
            print("this network was trained before, and its weights are where that begins: make it anew to start over")
        network._trained = True
        settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        photos = options.pop("photos", self.study.photos)
        options = {"seed": self.study.seed} | options
        key = fingerprint(
            [self.study.fingerprint, photos.side, dict(photos.rows), dict(photos.labels), photos.seed],
            None if photos.pixels is self.study.photos.pixels else photos.pixels,
            [network, task, *settings.values(), {name: value for name, value in options.items() if name != "say"}],
            [CORE, torch.__version__, torch.get_num_threads(), str(photos.device), models.fast_bfloat16(photos.device)],
            PIL.__version__,  # another one decodes some pixels otherwise
            *replaced(),
        )
        history = training.fit(network, photos, task, checkpoint=self.weights(name), key=key, **settings, **options)
        history.attrs = {"settings": settings, "key": key}  # for `save`
        return history

    def features(self, network: models.Recogniser, photos: Photos) -> Tensor:
        """Return what a network's trunk says of the photos of the split: (N, F) float32 on the CPU, NaN for others.

        Computed once, in full precision as a finder does, and kept in `models/features/`. The photos are the study's
        own, as `Study.prepared` returns them.
        """
        seen = [network.trunk, network.standard, network.architecture["views"]]
        shape, device = photos.pixels.shape, str(photos.device)
        ran = [CORE, torch.__version__, torch.get_num_threads(), device, PIL.__version__]
        key = fingerprint(self.study.fingerprint, shape, seen, ran, *replaced())
        path, rows = self.weights(f"features/{key[:16]}"), torch.cat([*photos.rows.values()])
        with suppress(Exception):  # there is none, or it is damaged: torch raises many kinds
            return training.load_tensors(path)[key]
        blocks = tqdm(rows.split(64), "Features", unit_scale=64, file=bar_file(), disable=None)
        everywhere = torch.full((len(photos.pixels), len(network.centre)), torch.nan)
        with torch.inference_mode():
            for block in blocks:
                everywhere[block] = network.features(models.photo_input(photos.pixels[block])).cpu()
        training.save_tensors({key: everywhere}, path)
        return everywhere

    def save(
        self, name: str, network: nn.Module, task: Task, history: pd.DataFrame, hits: dict[str, Tensor], **facts: Any
    ) -> None:
        """Save what the comparison needs to know of one of the thesis's models, under the name of its weights.

        Takes the trained network, its task, the history of `fit`, the hits of `task.judge`, and more facts to keep.
        """
        photos = self.study.photos
        metrics = evaluation.accuracies(training=hits["train"], validation=hits["validation"], test=hits["test"])
        interval = retrieval.accuracy_interval(hits["test"], task.samples(photos), photos)
        self.save_result(
            name,
            title=task.title,
            task=task.question.format(categories=photos.categories),
            chance=task.chance(photos),
            trained_for={"kind": type(task).__name__, **asdict(task)},
            architecture=getattr(network, "architecture", str(network)),  # text of a notebook's own
            weights=models.count_parameters(network),
            **history.attrs,
            history=history,
            metrics=metrics | {"test_interval": interval},
            **facts,
        )

    def save_result(self, name: str, **result: Any) -> None:
        """Write `results/<name>.json`, with the fingerprint of the study that it belongs to.

        Photos in it, which are data URIs, are empty texts unless the run shows photos.
        """
        content = {"version": RESULTS_VERSION, "fingerprint": self.study.fingerprint, "seed": self.study.seed, **result}
        _write_json(self.folder / "results" / f"{name}.json", content, self.show_photos)

    def result(self, name: str, notebook: str) -> dict[str, Any]:
        """Read `results/<name>.json`, which the named notebook makes.

        What is missing, damaged, of another version or of another study is told in a UserError.
        """
        advice = f"run notebook {notebook} first"
        result = read_json(self.folder / "results" / f"{name}.json", advice)
        file = f"{name}.json in run '{self.folder.name}'"
        if result.get("version") != RESULTS_VERSION:
            raise UserError(f"{file} was made by another version of autoparts: {advice}")
        if (result.get("fingerprint"), result.get("seed")) != (self.study.fingerprint, self.study.seed):
            raise UserError(f"{file} belongs to another study: {advice}")
        return result


def open_run(name: str, study: Study) -> Run:
    """Open the run folder of a study, a name under reports/ or a path, with the study's facts and its split.

    Another table of the split, such as a damaged one, is set aside and written again. A folder of another study is
    refused in a UserError, and nothing is written.
    """
    folder, split = run_folder(name), tables.csv_text(split_table(study))
    path, table = folder / "results" / "data.json", folder / SPLIT
    digest = blake2b(split.encode(), digest_size=16).hexdigest()
    facts = {"version": RESULTS_VERSION, **study.facts(), "split_file": digest}
    with disk_errors(path):  # the name may be too long to be looked for
        there = read_json_or_empty(path)
    if there and any(there.get(key) != facts[key] for key in ("version", *IDENTITY)):
        raise UserError(
            f"run folder {folder} belongs to another study: it holds {_told(there)}, and this is {_told(facts)}. "
            "Choose another --name, or empty the folder by --restart with the same command of autoparts: feedback, and "
            "what the finder was taught, stay."
        )
    if there != facts:
        _write_json(path, facts)
    if table.exists() and not (table.is_file() and table.read_bytes() == split.encode()):
        print(f"{table} is not of this study, set aside as {set_aside(table).name}, and written again", file=sys.stderr)
    if not table.exists():
        tables.write_text(table, split)
    return Run(folder, study)


def split_table(study: Study) -> pd.DataFrame:
    """List the photos of a study as its run folder does, with their paths below the catalogue."""
    columns = [name for name in ("path", "category", "product", "content", "split") if name in study.catalogue]
    listed = study.catalogue[columns].astype(object)
    below = catalogue.below_root(listed["path"], study.source["path"])
    if "product" in listed:  # a photo without one is its own, by its path
        listed["product"] = listed["product"].where(listed["product"] != listed["path"], below)
    return listed.assign(path=below)


def open_notebook(namespace: dict[str, Any]) -> tuple[Study, Run]:
    """Open the study and the run that a notebook's parameters describe, given its `globals()`; see `check_notebook`."""
    check_notebook(namespace)
    study = open_study(namespace["data"], **{key: namespace[key] for key in SHARED})
    options = {name: namespace[name] for name in ("show_photos", "cluster") if name in namespace}
    return study, replace(open_run(namespace["name"], study), **options)


def _told(facts: dict[str, Any]) -> str:
    return (
        f"{facts.get('photos')} photos of {facts.get('data')} (fingerprint {str(facts.get('fingerprint'))[:8]}, "
        f"cleaning {facts.get('cleaning')}, split {facts.get('split')}, split_seed {facts.get('split_seed')}, "
        f"seed {facts.get('seed')}, side {facts.get('side')}, results of version {facts.get('version')})"
    )


def _write_json(path: Path, content: dict[str, Any], photos: bool = True) -> None:
    text = json.dumps(content, indent=1, default=_for_json, allow_nan=False) + "\n"
    tables.write_text(path, text if photos else PHOTO.sub('""', text))


def _for_json(value: Any) -> Any:
    """Turn what NumPy, pandas and torch return into what JSON knows."""
    if isinstance(value, pd.DataFrame):
        return value.astype(object).where(value.notna(), None).to_dict(orient="list")
    if hasattr(value, "tolist"):  # series, arrays, their elements, tensors
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _undocumented(function: Callable) -> str:
    """Return the source of a function or class, moved to the left, without its docstring; comments stay."""
    source = inspect.cleandoc("\n" + inspect.getsource(function))
    lines, definition = source.splitlines(), ast.parse(source).body[0]
    if ast.get_docstring(definition) is not None:
        del lines[definition.body[0].lineno - 1 : definition.body[0].end_lineno]
    return "\n".join(lines)
