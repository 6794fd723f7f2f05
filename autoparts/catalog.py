"""The catalogue: which photos there are, what each shows, and which split it belongs to.

A catalogue is a pandas DataFrame with one row per photo, sorted by category and path: `path` (a file, or a
`synthetic:` name), `category`, optionally `product` (one article photographed from several sides) and `split`.
"""

import csv
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

EXCLUDED_WORDS = (
    "Seal", "Bearing", "Shaft", "Strap", "Hose", "Belt", "Link", "Arm", "Bushing", "Kit", "Set",
)  # fmt: skip
SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
_RUBBISH = {"thumbs.db", "desktop.ini", "__macosx"}


class CatalogueError(ValueError):
    """The data cannot be used as it is; the message says what is wrong and what to do."""


def read_catalogue(data: str | Path, *, own_split: bool = False, allow_outside: bool = False) -> pd.DataFrame:
    """Find the photos that `data` names.

    Which files are photos is decided later, by their content (`images.prepare`); here every file beneath a
    category counts, except hidden files and known rubbish (`Thumbs.db`, `__MACOSX`, …). Category names are
    brought to Unicode's composed form (NFC), with single spaces and without control characters, so that two
    spellings of the same letters are one category; names that differ in case stay different categories.

    Args:
        data: "synthetic", "synthetic:thesis" or "synthetic:<categories>x<photos>"; or a folder with one
            sub-folder per category (files directly in the folder, such as a manifest, are not read); or a
            folder `train|valid|test/<category>`; or a CSV file with the columns `path` (relative to the CSV),
            `category` and optionally `product` and `split`.
        own_split: Keep the split that the data brings along; by default it is dropped, to be drawn again.
        allow_outside: Let a CSV name files outside its own folder.

    Returns:
        DataFrame `path, category[, product][, split]`, sorted by category and path.

    Raises:
        CatalogueError: There is no such data, it holds no photos, or a manifest is not as described.
    """
    name = str(data)
    if name.split(":")[0] == "synthetic":
        catalogue = _synthetic(name)
    elif Path(name).expanduser().is_dir():
        catalogue = _read_folder(Path(name).expanduser())
    elif Path(name).expanduser().is_file():
        catalogue = _read_manifest(Path(name).expanduser(), allow_outside)
    else:
        raise CatalogueError(f"{name}: no such folder or CSV file. Give `synthetic`, a folder or a manifest.")
    if own_split and "split" not in catalogue:
        raise CatalogueError(f"{name} has no split of its own; leave own_split off to have one drawn.")
    if not own_split:
        catalogue = catalogue.drop(columns="split", errors="ignore")
    return catalogue.sort_values(["category", "path"], ignore_index=True)


def _synthetic(name: str) -> pd.DataFrame:
    from autoparts import synthetic  # only generated data needs the drawing code

    try:
        return synthetic.catalogue(name.partition(":")[2] or "demo")
    except ValueError as error:
        raise CatalogueError(f"{name}: {error}") from error


def _visible(folder: Path) -> list[os.DirEntry]:
    """The entries of a folder that are neither hidden nor known rubbish, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _RUBBISH]
    except OSError as error:
        raise CatalogueError(f"{folder}: cannot be read ({error.strerror}).") from error
    return sorted(kept, key=lambda entry: entry.name)


def _files(folder: Path) -> Iterator[str]:
    """Every visible entry beneath a folder that is no folder; links to folders are named, not followed."""
    for entry in _visible(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield entry.path


def _read_folder(folder: Path) -> pd.DataFrame:
    folder = folder.absolute()
    above = {folder.resolve(), *folder.resolve().parents}
    subfolders = [Path(e.path) for e in _visible(folder) if e.is_dir() and Path(e.path).resolve() not in above]
    splits = {sub: _SPLIT_NAMES.get(sub.name.lower()) for sub in subfolders}
    nested = "train" in splits.values() and all(splits.values())
    if nested and all(e.is_dir() for sub in subfolders for e in _visible(sub)):
        missing = [name for name in SPLITS if name not in splits.values()]
        rows = [
            (path, category.name, split)
            for sub, split in splits.items()
            for category in _visible(sub)
            for path in _files(Path(category.path))
        ]
        columns = ["path", "category"] if missing else ["path", "category", "split"]
        catalogue = pd.DataFrame(rows, columns=["path", "category", "split"])[columns]
    else:
        rows = [(path, sub.name) for sub in subfolders for path in _files(sub)]
        catalogue = pd.DataFrame(rows, columns=["path", "category"])
    if catalogue.empty:
        raise CatalogueError(f"{folder}: no photos found; expected one sub-folder per category with photos in it.")
    catalogue["category"] = _clean_names(catalogue["category"], f"{folder}: a category folder")
    return catalogue


def _clean_names(names: pd.Series, where: str) -> pd.Series:
    """Names in composed Unicode, without control characters, runs of spaces made one."""

    def tidy(name: str) -> str:
        visible = "".join(c for c in " ".join(name.split()) if unicodedata.category(c) not in ("Cc", "Cs"))
        return unicodedata.normalize("NFC", visible).strip()

    tidied = names.map({name: tidy(name) for name in names.unique()})
    if (tidied == "").any():
        row = int(np.argmax(tidied == ""))
        raise CatalogueError(f"{where} has an empty name ({names.iloc[row]!r}, row {row + 2}).")
    return tidied


def _read_manifest(file: Path, allow_outside: bool) -> pd.DataFrame:
    file = file.absolute()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{file}: not UTF-8 text; save the table as “CSV UTF-8”.") from error
    except (OSError, ValueError, pd.errors.ParserWarning, csv.Error) as error:
        raise CatalogueError(f"{file}: not a CSV table with a header ({str(error).strip()}).") from error
    table = table.fillna("").rename(columns=lambda column: str(column).strip())
    if not {"path", "category"} <= set(table.columns):
        found = ", ".join(table.columns)[:200]
        raise CatalogueError(f"{file}: needs the columns path and category, separated by commas; found {found}.")
    if table.empty:
        raise CatalogueError(f"{file}: has a header but no rows.")
    table = table[[column for column in ("path", "category", "product", "split") if column in table]]
    paths = _inside(file, table["path"], allow_outside)
    if paths.duplicated().any():
        row = int(np.argmax(paths.duplicated()))
        raise CatalogueError(f"{file}, row {row + 2}: {table['path'].iloc[row]!r} is listed twice.")
    table = table.assign(path=paths, category=_clean_names(table["category"], f"{file}: a category"))
    if "product" in table:  # a photo of unknown product is its own product
        table["product"] = table["product"].str.strip().where(lambda product: product != "", table["path"])
    if "split" in table:
        named = table["split"].str.strip().str.lower().map(_SPLIT_NAMES)
        if named.isna().any():
            row = int(np.argmax(named.isna()))
            raise CatalogueError(f"{file}, row {row + 2}: split {table['split'].iloc[row]!r}; expected {SPLITS}.")
        table["split"] = named
    return table


def _inside(file: Path, paths: pd.Series, allow_outside: bool) -> pd.Series:
    """Absolute paths of a manifest's rows; refuses rows that lead outside the manifest's folder."""
    root = os.path.realpath(file.parent)
    folders: dict[str, bool] = {}

    def leads_out(path: str) -> bool:
        real = os.path.realpath(path)
        return os.path.commonpath([root, real]) != root

    full = []
    for row, path in enumerate(paths, start=2):
        if not path.strip() or not path.isprintable():
            raise CatalogueError(f"{file}, row {row}: {path!r} is not a file name.")
        joined = os.path.normpath(os.path.join(file.parent, path))
        folder = os.path.dirname(joined)
        if not allow_outside:
            if folder not in folders:
                folders[folder] = leads_out(folder)
            named = os.path.isabs(path) or ".." in re.split(r"[/\\]", path)
            if named or folders[folder] or (os.path.islink(joined) and leads_out(joined)):
                raise CatalogueError(
                    f"{file}, row {row}: {path!r} leads outside the manifest's folder. Move the photos beside "
                    "the manifest, or allow it with allow_outside (--allow-outside)."
                )
        full.append(joined)
    return pd.Series(full, index=paths.index, dtype=paths.dtype)


def clean(
    catalogue: pd.DataFrame,
    words: Sequence[str] = EXCLUDED_WORDS,
    whole_word: bool = False,
    smallest: int = 2,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop categories by the thesis's rule (chapter 3): a name with an excluded word, or too few photos.

    Args:
        catalogue: DataFrame with a column `category`.
        words: Words that exclude a category, in any case; `()` switches the rule off.
        whole_word: Match whole words only, so that "Arm" no longer excludes "Alarm".
        smallest: Fewest photos that a category may have.

    Returns:
        The kept rows, and a table of the removed categories `category, photos, rule, word`, sorted by rule
        ("excluded word" or "too few photos"), then by photos, largest first. `word` is the first that matches.

    Raises:
        CatalogueError: Fewer than two categories are left.
    """
    edge = r"\b" if whole_word else ""
    patterns = [(word, re.compile(edge + re.escape(word) + edge, re.IGNORECASE)) for word in words if word]
    photos = catalogue["category"].value_counts().sort_index()
    removed = []
    for category, count in photos.items():
        word = next((word for word, pattern in patterns if pattern.search(category)), "")
        if word or count < smallest:
            removed.append((category, count, "excluded word" if word else "too few photos", word))
    table = pd.DataFrame(removed, columns=["category", "photos", "rule", "word"])
    table = table.sort_values(["rule", "photos", "category"], ascending=[True, False, True], ignore_index=True)
    kept = len(photos) - len(table)
    if kept < 2:
        rules = ", ".join(f"{count} by the rule “{rule}”" for rule, count in table["rule"].value_counts().items())
        raise CatalogueError(
            f"{kept} of {len(photos)} categories left after cleaning (removed: {rules or 'none'}); at least two "
            "are needed. Add photos, or loosen the rule (an empty word list, whole words, fewer photos)."
        )
    rows = ~catalogue["category"].isin(table["category"])
    return catalogue[rows].reset_index(drop=True), table


def split_catalogue(
    catalogue: pd.DataFrame, seed: int, shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> pd.DataFrame:
    """Divide every category into training, validation and test photos.

    What is drawn are products where the catalogue names them (a product is a name within its category), else
    single photos. Of a category with one product it goes to training; of two, one is for training and one for
    testing; of three or more, at least one for each. The rest of the validation and test shares is
    spread over the larger categories in proportion to their size (largest remainders), so that the totals
    keep to `shares` although small categories give more than their part.

    Args:
        catalogue: DataFrame `path, category[, product]`, in any order. A catalogue that has a `split` already
            (its own) is returned as it is, after a check that every category has a training photo.
        seed: Fixes which photos are drawn.
        shares: Parts of training, validation and test; they sum to one.

    Returns:
        The catalogue sorted by category and path, with the column `split`.

    Raises:
        CatalogueError: The catalogue's own split leaves a category without a training photo.
        ValueError: The shares are not three parts of one.
    """
    if len(shares) != 3 or min(shares) < 0 or shares[0] <= 0 or not np.isclose(sum(shares), 1):
        raise ValueError(f"shares={shares}: expected three parts (training, validation, test) that sum to 1.")
    catalogue = catalogue.sort_values(["category", "path"], ignore_index=True)
    if "split" in catalogue:
        trained = catalogue.loc[catalogue["split"] == "train", "category"].unique()
        missing = sorted(set(catalogue["category"]) - set(trained))
        if missing:
            raise CatalogueError(
                f"{missing[0]!r} ({len(missing)} such) has no training photo in the data's own split; "
                "leave own_split off to have a split drawn."
            )
        return catalogue
    unit = ["category", "product" if "product" in catalogue else "path"]
    units = catalogue[unit].drop_duplicates().sort_values(unit, ignore_index=True)
    units["draw"] = np.random.default_rng(seed).permutation(len(units))
    units = units.sort_values(["category", "draw"], ignore_index=True)
    sizes = units["category"].value_counts(sort=False).sort_index().to_numpy()
    test = np.minimum(_apportion(sizes, 2, shares[2]), sizes - 1)
    validation = np.minimum(_apportion(sizes, 3, shares[1]), sizes - test - 1)
    rank = units.groupby("category").cumcount().to_numpy()
    test, validation = np.repeat(test, sizes), np.repeat(validation, sizes)
    units["split"] = np.select([rank < test, rank < test + validation], ["test", "validation"], "train")
    return catalogue.merge(units.drop(columns="draw"), on=unit, how="left")


def _apportion(sizes: np.ndarray, smallest: int, share: float) -> np.ndarray:
    """Give `share` of all units to the categories: at least one each from `smallest` units on, and in all
    as near to `share` as that allows, the rest in proportion to size by largest remainders.
    """  # fmt: skip
    if share == 0:
        return np.zeros_like(sizes)
    eligible = sizes >= smallest
    total = max(round(share * sizes.sum()), eligible.sum())
    quota, free = eligible.astype(float), eligible.copy()
    while free.any():
        part = (total - eligible.sum() + free.sum()) * sizes / sizes[free].sum()
        if not (free & (part < 1)).any():
            quota[free] = part[free]
            break
        free &= part >= 1
    counts = np.floor(quota + 1e-9).astype(int)
    largest = np.lexsort((-sizes, counts - quota))
    counts[largest[: total - counts.sum()]] += 1
    return counts


def coverage(catalogue: pd.DataFrame) -> pd.DataFrame:
    """How much of a split catalogue each split reaches.

    Returns:
        One row per split: `split, photos, categories` (with at least one photo there), `share` of all
        categories, and `products` where the catalogue names them.
    """
    groups = catalogue.groupby("split")
    table = pd.DataFrame({"photos": groups.size(), "categories": groups["category"].nunique()})
    table["share"] = table["categories"] / catalogue["category"].nunique()
    if "product" in catalogue:
        table["products"] = catalogue.drop_duplicates(["category", "product"]).groupby("split").size()
    return table.reindex(SPLITS, fill_value=0).rename_axis("split").reset_index()


def size_groups(counts: pd.Series) -> pd.Series:
    """Put categories into head, middle and tail, each holding about a third of the training photos.

    Categories are lined up from large to small; one belongs to the third that the middle of its block falls
    into, where categories of equal size form one block (so a balanced catalogue is all "middle"). Groups of
    equal weight give accuracies of similar precision at any scale, unlike fixed numbers of photos.

    Args:
        counts: Training photos by category.

    Returns:
        Series category → "head", "middle" or "tail", in the order of `counts`.
    """
    blocks = counts.groupby(counts).sum().sort_index(ascending=False)
    middle = (blocks.cumsum() - blocks / 2) / blocks.sum()
    names = pd.Series(np.select([middle < 1 / 3, middle > 2 / 3], ["head", "tail"], "middle"), index=blocks.index)
    return counts.map(names).rename("group")
