"""The study: one catalogue, prepared, cleaned and split; opening one writes nothing but the cache of photos."""

import hashlib
import os
import platform
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from autoparts import catalogue as catalogues
from autoparts import photos as prepared_photos
from autoparts.catalogue import SPLITS, printable
from autoparts.errors import UserError
from autoparts.models import PRECISION, choose_device
from autoparts.sampling import Photos, derived_seed
from autoparts.study.folder import expanded
from autoparts.study.parameters import Parameter, check

CLEANING = {  # what is removed: the thesis's words in two ways, nothing, or on own data what no model can learn
    "auto": {"words": ()},  # on own data; on generated photos it is "substring"
    "substring": {},
    "word": {"whole_word": True},
    "none": {"words": (), "smallest": 1},
}
IDENTITY = ("fingerprint", "seed", "split_seed", "cleaning", "split", "side")  # what makes two studies the same
THREADS = torch.get_num_threads()  # as torch found them
# Parameters that open a study:
SHARED = ("seed", "split_seed", "cleaning", "split", "side", "device", "precision", "threads", "allow_outside")
DRAWN = ".drawn-by-autoparts"  # a file in a folder of generated photos


@dataclass(frozen=True)
class Study:
    """Which photos there are, what each shows, and which split it belongs to."""

    data: str
    seed: int  # of every training
    split_seed: int  # of the split and of the lists that models are judged on
    cleaning: str
    split: str
    source: pd.DataFrame  # readable photos before cleaning: path, category, content, row [, product]
    skipped: pd.DataFrame  # path, category, reason
    removed: pd.DataFrame  # category, photos, rule, word
    catalogue: pd.DataFrame  # photos of the study: as `source`, and split
    photos: Photos  # their pixels, rows and labels; `row` of a photo is its place in the pixels
    precision: str = "auto"  # that networks compute in, see `compute_in`

    @cached_property
    def categories(self) -> list[str]:
        """Part names in alphabetical order; a label is a place in this list."""
        return sorted(self.catalogue["category"].unique())

    @property
    def side(self) -> int:
        """Side of the prepared photos in pixels."""
        return self.photos.side

    @property
    def generated(self) -> bool:
        """Whether the photos are drawn by the procedural catalogue."""
        return catalogues.is_generated(self.data)

    @property
    def drawn(self) -> bool:
        """Whether the photos are of no real part: generated, or by `autoparts synthesize`, which marks its folder."""
        place = expanded(self.data)
        return self.generated or ((place if place.is_dir() else place.parent) / DRAWN).exists()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content, category and split of every photo of the study."""
        return _hashed(self.catalogue[["content", "category", "split"]])

    @cached_property
    def source_fingerprint(self) -> str:
        """Hash of every file of the source: also of what cleaning removes, and of what cannot be read."""
        return _hashed(self.source[["content", "category"]], self.unreadable)

    @property
    def unreadable(self) -> pd.DataFrame:
        """Files that could not be read as photos, as `skipped`, with their paths below the catalogue."""
        every = pd.concat([self.source["path"], self.skipped["path"]])
        return self.skipped.assign(path=catalogues.below_root(self.skipped["path"], every))

    def subset(self, split: str) -> pd.DataFrame:
        """Return the photos of one split."""
        return self.catalogue[self.catalogue["split"] == split]

    def pixels(self, photos: pd.DataFrame) -> list[np.ndarray]:
        """Return the prepared photos of rows of `source` or `catalogue`: (S, S) uint8 each."""
        return self.pixels_at(_tensor(photos["row"]))

    def pixels_at(self, rows: Tensor) -> list[np.ndarray]:
        """Return the prepared photos at these places: (S, S) uint8 each."""
        return list(self.photos.pixels[rows.to(self.photos.device)].cpu().numpy())

    def prepared(self, side: int, colour: bool = True) -> Photos:
        """Return the same photos, with their split and lists, prepared at another side in pixels, in colour or grey.

        That a photo has changed since the study was opened is told in a UserError.
        """
        prepared = prepared_photos.prepare(self.source[["path", "category"]], size=side, colour=colour)
        if not prepared.catalogue["content"].equals(self.source["content"]):
            raise UserError(f"photos of {self.data} have changed since they were first read: start again")
        return replace(self.photos, pixels=_memory(prepared.pixels, self.photos.device))

    def size_groups(self, split: str) -> pd.Series:
        """Return head, middle or tail for each photo of one split, by its category's number of training photos."""
        groups = size_groups(self.subset("train")["category"].value_counts())
        return self.subset(split)["category"].map(groups)

    def facts(self) -> dict[str, Any]:
        """Return what identifies the study and sums it up: the content of a run folder's `results/data.json`."""
        return {
            "data": self.data if self.generated else expanded(self.data).absolute().name,
            "generated": self.generated,
            **{name: getattr(self, name) for name in IDENTITY},
            "source_photos": len(self.source),
            "source_categories": self.source["category"].nunique(),
            "photos": len(self.catalogue),
            "categories": len(self.categories),
            "skipped": len(self.skipped),
            "photos_by_split": {split: len(self.photos.rows[split]) for split in SPLITS},
            "processor": processor(),
        }


def processor() -> str:
    """Name this machine's processor: its model where Linux tells, else what Python knows."""
    with suppress(OSError):
        if named := re.search(r"^model name\s*: *(.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return printable(named[1])
    return platform.processor() or platform.machine()


def open_study(
    data: str = "synthetic",
    seed: int = 0,
    *,
    split_seed: int = 0,
    cleaning: str = "auto",
    split: str = "new",
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    side: int = 100,
    allow_outside: bool = False,
) -> Study:
    """Read a catalogue, prepare its photos, clean and split it; what cannot be used is told in a UserError.

    The data is "synthetic", "synthetic:thesis", a folder of photos, or a CSV manifest, which names photos outside its
    own folder only if `allow_outside`. `seed` is of every training, `split_seed` of the split and of the lists that
    models are judged on. Cleaning removes categories of a single photo and those whose name holds
    one of the thesis's words, as a "substring" as in the thesis or as a whole "word"; with "none" all are kept, and
    "auto" takes the words for generated photos only, since nobody's own parts are to disappear for their name. A "new"
    split is drawn 8/1/1, another as such shares of training, validation and test photos say, and the data's "own" is
    kept. The device is "auto", "cpu", "cuda" or "mps", and `side` that of the prepared photos in pixels. From then on
    networks compute in `precision`, see `compute_in`, and with so many `threads` on a processor; 0 stands for those
    that torch found.
    """
    compute_in(precision)
    if cleaning not in CLEANING:
        raise UserError(f"cleaning is {cleaning!r}; expected {', '.join(CLEANING)}")
    shares = shares_of(split)
    numbers = {"seed": seed, "split_seed": split_seed, "threads": threads}
    check(numbers, dict.fromkeys(numbers, Parameter("int", 0)), "a study has no")
    torch.set_num_threads(threads or THREADS)
    threadpool_limits(threads or THREADS, "blas")  # NumPy's and SciPy's, until another study is opened
    read = catalogues.read_catalogue(data, own_split=split == "own", allow_outside=allow_outside)
    prepared = prepared_photos.prepare(read, size=side)
    words = cleaning == "auto" and catalogues.is_generated(data)
    kept, removed = catalogues.clean(prepared.catalogue, **CLEANING["substring" if words else cleaning])
    catalogue = catalogues.split_catalogue(kept, derived_seed(split_seed, "split"), shares)
    if empty := [name for name in SPLITS if not (catalogue["split"] == name).any()]:
        enough = f"three {'products' if 'product' in catalogue else 'photos'} per category or more"
        raise UserError(f"no photo is left for {' and '.join(empty)}: add photos, {enough}")
    if catalogue["content"].nunique() == 1:
        raise UserError(f"all {len(catalogue)} photos are copies of one file: there is nothing to tell apart")
    photos = _photos(catalogue, prepared.pixels, choose_device(device), split_seed)
    tables = prepared.catalogue, prepared.skipped, removed, catalogue
    return Study(str(data), seed, split_seed, cleaning, split, *tables, photos, precision)


def size_groups(counts: pd.Series) -> pd.Series:
    """Put categories into head, middle and tail, each holding about a third of the training photos.

    Training photos lie on a line, those of the largest categories first; categories of equal size are one block, and
    belong to the third of the line that the middle of their block falls into (all are "middle" if all are equal). Takes
    training photos by category, and returns "head", "middle" or "tail" for each, in the same order.
    """
    blocks = counts.groupby(counts).sum().sort_index(ascending=False)
    middle = (blocks.cumsum() - blocks / 2) / blocks.sum()
    names = pd.Series(np.select([middle < 1 / 3, middle > 2 / 3], ["head", "tail"], "middle"), index=blocks.index)
    return counts.map(names).rename("group")


def shares_of(split: str) -> tuple[float, float]:
    """Return the shares of validation and test photos of a split such as "8/1/1"; another is refused in a UserError."""
    text = "8/1/1" if split in ("new", "own") else str(split)
    drawn = re.fullmatch(r"([1-9][0-9]?)/([1-9][0-9]?)/([1-9][0-9]?)", text)
    if not drawn:
        raise UserError(f"split is {split!r}; expected new, own, or shares such as 6/2/2 (training, validation, test)")
    train, validation, test = map(int, drawn.groups())
    return validation / (train + validation + test), test / (train + validation + test)


def compute_in(precision: str) -> None:
    """Have all networks of this process compute in "float32", "bfloat16", or with "auto" in the faster of these.

    Another precision is refused in a UserError.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise UserError(f"precision is {precision!r}; expected auto, float32 or bfloat16")
    os.environ[PRECISION] = precision
    torch.backends.cudnn.allow_tf32 = False  # which would be neither of them


def _photos(catalogue: pd.DataFrame, pixels: np.ndarray, device: torch.device, seed: int) -> Photos:
    labelled = catalogue.assign(label=catalogue["category"].factorize(sort=True)[0])
    splits = {split: labelled[labelled["split"] == split] for split in SPLITS}
    rows, labels = ({split: _tensor(photos[name]) for split, photos in splits.items()} for name in ("row", "label"))
    return Photos(_memory(pixels, device), rows, labels, seed)


def _memory(pixels: np.ndarray, device: torch.device) -> Tensor:
    # Opened copy-on-write, since torch warns of read-only memory; nothing ever writes to it.
    return torch.from_numpy(np.load(pixels.filename, mmap_mode="c")).to(device)


def _tensor(column: pd.Series) -> Tensor:
    return torch.from_numpy(column.to_numpy(np.int64, copy=True))


def _hashed(*tables: pd.DataFrame) -> str:
    text = "\0".join(table.to_csv(index=False) for table in tables)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
