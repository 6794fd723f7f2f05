"""The photos to measure with, and the usual way to read them: files, Pillow, torchvision and a DataLoader."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from autoparts.catalogue import read_catalogue
from autoparts.generated import catalogue as generated
from autoparts.photos import prepare
from autoparts.sampling import Photos

ENTRIES = 4_800  # photos that the catalogue seems to have
BATCH = 64  # pairs, triplets or photos per step, as in the thesis

USUAL = transforms.Compose([transforms.Grayscale(), transforms.Resize((100, 100)), transforms.ToTensor()])


class Listed(NamedTuple):
    """A catalogue to train on.

    A folder of a few hundred photos is listed several times over. With so few, most photos of a batch would be
    repeated ones, which `fit` sends through the network once, and ours would look better than it is.
    """

    files: pd.DataFrame  # path, category of each file
    paths: list[str]  # (N,), entries of the catalogue
    pixels: Tensor  # (N, 100, 100) uint8
    labels: Tensor  # (N,) int64

    def to_train(self, count: int | None = None) -> Photos:
        """The first `count` entries, all to train on."""
        labels = self.labels[:count]
        return Photos(self.pixels, {"train": torch.arange(len(labels))}, {"train": labels})


def listed(folder: Path | None, temporary: Path, count: int, entries: int = ENTRIES) -> Listed:
    """Read a folder of photos, at most `entries` of them; without a folder draw `count` JPEGs into a temporary one."""
    if folder is None:
        folder = temporary / "photos"
        generated.write(folder, f"12x{count}", progress=False)
    catalogue = read_catalogue(folder)
    if len(catalogue) > entries:
        catalogue = catalogue.sample(entries, random_state=0)
    prepared = prepare(catalogue, cache=temporary / "cache", progress=False)
    rows = np.resize(np.arange(len(prepared.catalogue)), max(entries, len(prepared.catalogue)))
    files = prepared.catalogue[["path", "category"]]
    labels = torch.from_numpy(pd.factorize(files["category"])[0][rows].astype(np.int64))
    return Listed(files, files["path"].iloc[rows].tolist(), torch.from_numpy(prepared.pixels[rows]), labels)


class Tuples(Dataset):
    """Photos that belong together, each opened where it is needed, and what is known of them."""

    def __init__(self, paths: list[str], columns: Sequence[Tensor], *extra: Tensor) -> None:
        self.paths, self.columns, self.extra = paths, [column.tolist() for column in columns], extra

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: int) -> list[Tensor]:
        opened = [USUAL(default_loader(self.paths[column[index]])) for column in self.columns]
        return [*opened, *(values[index] for values in self.extra)]


def loader(dataset: Dataset, workers: int) -> DataLoader:
    """Batches of a data set; worker processes stay, so that their start is not counted in every epoch."""
    return DataLoader(dataset, BATCH, shuffle=False, num_workers=workers, persistent_workers=workers > 0)
