"""What a notebook holds: the catalogue, its prepared photos, the split, and the run folder to save results in."""

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from torch import Tensor

from autoparts import catalog, display, images, sampling, sources
from autoparts.dependencies import sources_of
from autoparts.device import choose_device
from autoparts.evaluation import Pairs
from autoparts.files import UserError, whole_file
from autoparts.models import seeded

CLEANING = {"substring": {}, "word": {"whole_word": True}, "none": {"words": (), "smallest": 1}}
SPLITS = ("train", "validation", "test")
PACKAGE = Path(__file__).parent


class StudyError(UserError):
    """The study cannot go on; the message says why, and what to do."""


@dataclass(frozen=True)
class Study:
    """One catalogue, prepared, cleaned and split, and the folder that its results go to."""

    data: str
    folder: Path
    seed: int
    source: pd.DataFrame  # readable photos before cleaning: path, category, content, row [, product]
    skipped: pd.DataFrame  # path, category, reason
    removed: pd.DataFrame  # category, photos, rule, word
    catalogue: pd.DataFrame  # photos of the study: as `source`, and split
    photos: Tensor  # (N, S, S) uint8 on the training device; `row` of a photo is its place here

    @cached_property
    def categories(self) -> list[str]:
        """Part names in alphabetical order; a label is a place in this list."""
        return sorted(self.catalogue["category"].unique())

    @property
    def generated(self) -> bool:
        """Whether the photos are drawn by the procedural catalogue."""
        return self.data.startswith("synthetic")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content, category and split of every photo of the study."""
        columns = self.catalogue[["content", "category", "split"]]
        return hashlib.blake2b(columns.to_csv(index=False).encode(), digest_size=16).hexdigest()

    @property
    def device(self) -> torch.device:
        """Where the photos are, and networks belong."""
        return self.photos.device

    def pixels(self, photos: pd.DataFrame) -> list[np.ndarray]:
        """Return the prepared photos of rows of `source` or `catalogue`: (S, S) uint8 each."""
        return self.pixels_at(torch.from_numpy(photos["row"].to_numpy(np.int64, copy=True)))

    def pixels_at(self, rows: Tensor) -> list[np.ndarray]:
        """Return the prepared photos at these places: (S, S) uint8 each."""
        return list(self.photos[rows.to(self.device)].cpu().numpy())

    def part(self, split: str) -> pd.DataFrame:
        """Return the photos of one split."""
        return self.catalogue[self.catalogue["split"] == split]

    def rows(self, split: str) -> Tensor:
        """Places in `photos` of one split. (M,) int64."""
        return torch.from_numpy(self.part(split)["row"].to_numpy(np.int64, copy=True))

    def labels(self, split: str) -> Tensor:
        """Labels of one split. (M,) int64."""
        return torch.from_numpy(np.searchsorted(self.categories, self.part(split)["category"].to_numpy(str)))

    def generator(self, purpose: str) -> torch.Generator:
        """Return a generator for one purpose, so that no two random steps share a sequence."""
        return seeded(derived_seed(self.seed, purpose))

    def pairs(self, split: str, count: int | None = None, draw_by: str = "photo") -> Pairs:
        """Return the split's fixed list of pairs, half of them similar: the same for every model.

        Args:
            split: "train", "validation" or "test".
            count: number of pairs; None takes ten per photo, but at most 10,000.
            draw_by: see `sampling.random_pairs`.
        """
        rows = self.rows(split)
        count = count or min(10 * len(rows), 10_000)
        left, right, same = self._drawn(sampling.random_pairs, split, count, draw_by)
        return Pairs(rows[left], rows[right], same)

    def triplets(self, split: str, count: int | None = None, draw_by: str = "photo") -> list[Tensor]:
        """Return the split's fixed list of triplets (see `pairs`): rows of anchors, positives, negatives, (T,) each."""
        rows = self.rows(split)
        count = count or min(10 * len(rows), 10_000)
        return [rows[column] for column in self._drawn(sampling.random_triplets, split, count, draw_by)]

    def size_groups(self, split: str) -> pd.Series:
        """Return head, middle or tail for each photo of one split, by its category's number of training photos."""
        groups = catalog.size_groups(self.part("train")["category"].value_counts())
        return self.part(split)["category"].map(groups)

    def _drawn(self, draw: Any, split: str, count: int, draw_by: str) -> tuple[Tensor, ...]:
        try:
            return draw(self.labels(split), count, self.generator(f"{draw.__name__} {split}"), draw_by)
        except ValueError as error:
            raise StudyError(f"the {split} photos cannot be compared with each other: {error}") from None

    def figure(self, name: str, figure: Figure, caption: str, alt: str) -> HTML:
        """Save a figure in the run folder and return it for display; see `display.save_figure`."""
        return display.save_figure(self.folder, name, figure, caption, alt)

    def table(self, name: str, frame: pd.DataFrame, caption: str, **style: Any) -> HTML:
        """Save a table in the run folder and return it for display; see `display.save_table`."""
        return display.save_table(self.folder, name, frame, caption, **style)

    def save_result(self, name: str, **result: Any) -> None:
        """Write `results/<name>.json`, with the fingerprint of the data and the seed it belongs to."""
        content = {"fingerprint": self.fingerprint, "seed": self.seed, **result}
        with whole_file(self.folder / "results" / f"{name}.json") as path:
            path.write_text(json.dumps(content, indent=1, default=display.plain, allow_nan=False) + "\n")

    def result(self, name: str, notebook: str) -> dict[str, Any]:
        """Read `results/<name>.json`.

        Args:
            name: of the result.
            notebook: the one that makes it, named if it is missing.

        Raises:
            StudyError: if it is missing, or belongs to other data or another seed.
        """
        path = self.folder / "results" / f"{name}.json"
        if not path.exists():
            raise StudyError(f"{path.name} is missing in run '{self.folder.name}': run notebook {notebook} first")
        result = json.loads(path.read_text())
        if (result["fingerprint"], result["seed"]) != (self.fingerprint, self.seed):
            raise StudyError(
                f"{path.name} in run '{self.folder.name}' was made from other data or with another seed: "
                f"run notebook {notebook} again with the same data, cleaning, split and seed"
            )
        return result

    def checkpoint(self, name: str) -> Path:
        """Return where the weights called `name` are kept."""
        return self.folder / "models" / f"{name}.pt"

    def key(self, **parameters: Any) -> str:
        """Hash all that determines a training: data, seed, parameters, the code, torch, the device."""
        code = [path.read_bytes() for path in [*sources_of("from autoparts import variants")[0], PACKAGE / "recipe.py"]]
        facts = (self.fingerprint, self.seed, sorted(parameters.items()), torch.__version__, str(self.device))
        return hashlib.blake2b(repr(facts).encode() + b"".join(code), digest_size=16).hexdigest()


def open_study(
    data: str,
    run: str,
    seed: int = 0,
    *,
    cleaning: str = "substring",
    split: str = "new",
    device: str = "auto",
    size: int = 100,
) -> Study:
    """Read a catalogue, prepare its photos, clean and split it, and open its run folder.

    Args:
        data: "synthetic", "synthetic:thesis", a folder of photos, or a CSV manifest.
        run: name of the run folder under reports/, or a path.
        seed: of the split and of every random step after it.
        cleaning: how an excluded word has to match a part name: "substring" as in the thesis, "word" as a
            whole word; "none" keeps all categories.
        split: "new" draws train, validation and test 8:1:1; "own" keeps the split the data comes with.
        device: "auto", "cpu", "cuda" or "mps".
        size: side of the prepared photos in pixels.

    A manifest may name photos outside its folder only if the environment says AUTOPARTS_ALLOW_OUTSIDE=1.

    Returns:
        The study. Its facts are written to `results/data.json`, its split to `tables/split.csv`.

    Raises:
        CatalogueError: if the data cannot be used.
        StudyError: for an unknown option.
    """
    if cleaning not in CLEANING or split not in ("new", "own"):
        raise StudyError(f"cleaning is {cleaning!r} (expected {', '.join(CLEANING)}), split {split!r} (new or own)")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise StudyError(f"seed is {seed!r}; expected a whole number, 0 or more")
    allowed = os.environ.get("AUTOPARTS_ALLOW_OUTSIDE") == "1"
    read = catalog.read_catalogue(data, own_split=split == "own", allow_outside=allowed)
    prepared = images.prepare(read, size=size)
    kept, removed = catalog.clean(prepared.catalogue, **CLEANING[cleaning])
    catalogue = catalog.split_catalogue(kept, derived_seed(seed, "split"))
    empty = sorted(set(SPLITS) - set(catalogue["split"]), key=SPLITS.index)
    if empty:
        raise StudyError(f"no photo is left for {' and '.join(empty)}: add photos, three products per category or more")
    if catalogue["content"].nunique() == 1:
        raise StudyError(f"all {len(catalogue)} photos are copies of one file: there is nothing to tell apart")
    # Opened copy-on-write, since torch warns of read-only memory; nothing ever writes to it.
    pixels = torch.from_numpy(np.load(prepared.pixels.filename, mmap_mode="c"))
    photos = pixels.to(choose_device(device))
    study = Study(str(data), run_folder(run), seed, prepared.catalogue, prepared.skipped, removed, catalogue, photos)
    study.save_result("data", **_facts(study))
    columns = [name for name in ("path", "category", "product", "content", "split") if name in catalogue]
    listed = catalogue[columns].assign(path=sources.below_root(catalogue["path"], study.source["path"]))
    display.save_csv(study.folder, "split", listed)
    return study


def derived_seed(seed: int, purpose: str) -> int:
    """Derive the seed of one random step from the run's seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=7).digest())


def run_folder(run: str) -> Path:
    """Return the run folder: a path as it is; a name under $AUTOPARTS_REPORTS, or the project's reports/."""
    in_project = PACKAGE.parent / "reports" if (PACKAGE.parent / "notebooks").is_dir() else Path("reports")
    return Path(os.environ.get("AUTOPARTS_REPORTS", in_project)) / Path(run).expanduser()


def _facts(study: Study) -> dict[str, Any]:
    return {
        "data": study.data if study.generated else Path(study.data).name,
        "generated": study.generated,
        "source_photos": len(study.source),
        "source_categories": study.source["category"].nunique(),
        "photos": len(study.catalogue),
        "categories": len(study.categories),
        "skipped": len(study.skipped),
        "split": {name: len(study.rows(name)) for name in SPLITS},
        "processor": platform.processor() or platform.machine(),
    }
