"""Where photos come from: the generated catalogue, a folder, or a CSV manifest, each read into one table."""

import os
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from autoparts.files import UserError

SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {name: name for name in SPLITS} | {"valid": "validation", "val": "validation"}
_RUBBISH = {"thumbs.db", "desktop.ini", "__macosx"}


class CatalogueError(UserError):
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
            folder `train|valid|test/<category>`; or a CSV file in UTF-8 with the columns `path` (relative to
            the CSV), `category` and optionally `product` and `split`.
        own_split: Keep the split that the data brings along; by default it is dropped, to be drawn again.
        allow_outside: Let a CSV name files outside its own folder.

    Returns:
        DataFrame `path, category[, product][, split]`, sorted by category and path.

    Raises:
        CatalogueError: There is no such data, it holds no photos, or a manifest is not as described.
    """
    drawn = str(data).split(":")[0] == "synthetic"
    catalogue = _synthetic(str(data)) if drawn else _from_disk(data, allow_outside)
    if not own_split:
        catalogue = catalogue.drop(columns="split", errors="ignore")
    elif missing := [name for name in SPLITS if name not in set(catalogue.get("split", ()))]:
        raise CatalogueError(
            f"{data}: its own split has no {' and no '.join(missing)} photos. Leave own_split off to have one drawn."
        )
    return catalogue.sort_values(["category", "path"], ignore_index=True)


def _from_disk(data: str | Path, allow_outside: bool) -> pd.DataFrame:
    try:
        place = Path(data).expanduser().absolute()
        is_folder, is_file = place.is_dir(), place.is_file()
    except (OSError, RuntimeError) as error:  # a folder above that may not be entered; no such user
        raise CatalogueError(f"{str(data)[:200]}: cannot be opened ({getattr(error, 'strerror', error)}).") from None
    if not (is_folder or is_file):
        raise CatalogueError(f"{data}: no such folder or CSV file. Give a folder, a CSV manifest or `synthetic`.")
    return _read_folder(place) if is_folder else _read_manifest(place, allow_outside)


def _synthetic(name: str) -> pd.DataFrame:
    from autoparts import synthetic  # only generated data needs the drawing code

    try:
        return synthetic.catalogue(name.partition(":")[2] or "demo")
    except ValueError as error:
        raise CatalogueError(f"{name}: {error}") from error


def _visible(folder: str | Path) -> list[os.DirEntry]:
    """The entries of a folder that are neither hidden nor known rubbish."""
    with os.scandir(folder) as entries:
        return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _RUBBISH]


def _files(folder: str) -> Iterator[str]:
    """Every file beneath a folder, and what cannot be entered: links to folders, folders without permission."""
    folders = [folder]
    while folders:
        try:
            entries = _visible(folder := folders.pop())
        except OSError:
            yield folder  # it will be listed as skipped
            continue
        folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (entry.path for entry in entries if not entry.is_dir(follow_symlinks=False))


def _read_folder(root: Path) -> pd.DataFrame:
    above = {root.resolve(), *root.resolve().parents}

    def subfolders(folder: str | Path) -> list[os.DirEntry]:  # a link to a folder that holds it would not end
        try:
            return [e for e in _visible(folder) if e.is_dir() and Path(e.path).resolve() not in above]
        except OSError as error:
            raise CatalogueError(f"{folder}: cannot be opened ({error.strerror}).") from error

    top = subfolders(root)
    splits = {folder.path: _SPLIT_NAMES.get(folder.name.lower()) for folder in top}
    if "train" in splits.values() and all(splits.values()) and any(subfolders(folder) for folder in splits):
        categories = [(category, split) for folder, split in splits.items() for category in subfolders(folder)]
        columns = ["path", "category", "split"]
    else:
        categories = [(category, "") for category in top]
        columns = ["path", "category"]
    rows = [(_writable(path), category.name, split) for category, split in categories for path in _files(category.path)]
    if not rows:
        raise CatalogueError(f"{root}: no photos found; expected one sub-folder per category with photos in it.")
    catalogue = pd.DataFrame(rows, columns=["path", "category", "split"])[columns]
    return catalogue.assign(category=_tidy(catalogue["category"], str(root)))


def _writable(name: str) -> str:
    """A file name that is not UTF-8, made one that can be printed (its file is then listed as missing)."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _tidy(names: pd.Series, source: str) -> pd.Series:
    """Names in composed Unicode (NFC), without control characters, with single spaces."""

    def tidy(name: str) -> str:
        text = " ".join(_writable(name).split())
        return unicodedata.normalize("NFC", "".join(c for c in text if unicodedata.category(c) != "Cc")).strip()

    tidied = names.map({name: tidy(name) for name in names.unique()})
    _refuse(tidied == "", names, source, "is an empty category name")
    return tidied


def _refuse(wrong: pd.Series | np.ndarray, values: pd.Series, source: str | Path, why: str) -> None:
    """Raise an error that names the first wrong row as a spreadsheet counts it, the header being row 1."""
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise CatalogueError(f"{source}, row {row + 2}: {values.iloc[row][:200]!r} {why}.")


def _read_manifest(file: Path, allow_outside: bool) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = pd.read_csv(
                file, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False, compression=None
            )
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{file}: not UTF-8 text; save the table as “CSV UTF-8”.") from error
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise CatalogueError(f"{file}: not a CSV table with a header ({str(error).strip()}).") from error
    table = table.fillna("").rename(columns=lambda column: str(column).strip())
    if not {"path", "category"} <= set(table.columns) or table.columns.has_duplicates:
        found = ", ".join(table.columns)[:200]
        raise CatalogueError(f"{file}: needs the columns path and category, separated by commas; found: {found}.")
    if table.empty:
        raise CatalogueError(f"{file}: has a header but no rows.")
    given, table = table, table[[name for name in ("path", "category", "product", "split") if name in table]].copy()
    table["path"] = _inside(file, given["path"], allow_outside)
    _refuse(table["path"].duplicated(), given["path"], file, "is listed twice")
    table["category"] = _tidy(given["category"], str(file))
    if "product" in table:  # a photo of unknown product is its own product
        table["product"] = table["product"].str.strip().where(lambda product: product != "", table["path"])
    if "split" in table:
        table["split"] = given["split"].str.strip().str.lower().map(_SPLIT_NAMES)
        _refuse(table["split"].isna(), given["split"], file, f"is no split; expected {', '.join(SPLITS)}")
    return table


def _inside(file: Path, paths: pd.Series, allow_outside: bool) -> list[str]:
    """Absolute paths of a manifest's rows; refuses rows that lead outside the manifest's folder."""
    _refuse([not path.strip() or not path.isprintable() for path in paths], paths, file, "is not a file name")
    full = [os.path.normpath(file.parent / path) for path in paths]
    if allow_outside:
        return full
    root = os.path.realpath(file.parent)

    def leads_out(path: str) -> bool:
        return os.path.commonpath([root, os.path.realpath(path)]) != root

    # Plain names beneath a folder that is inside are inside, so only folders and links are resolved.
    folders = {folder: leads_out(folder) for folder in {os.path.split(path)[0] for path in full}}

    outside = [folders[os.path.split(path)[0]] or (Path(path).is_symlink() and leads_out(path)) for path in full]
    why = "leads outside the manifest's folder; move the photos beside it, or allow it with --allow-outside"
    _refuse(outside, paths, file, why)
    return full


def below_root(paths: pd.Series, catalogue: pd.Series) -> pd.Series:
    """Leave out of paths what all of a catalogue's share, so that no home directory gets into a report."""
    root = os.path.commonpath(list(catalogue.map(os.path.dirname)))
    if root and Path.home().is_relative_to(root):  # photos from all over the disk
        return paths.str.split("/").str[-2:].str.join("/")
    return paths.str.removeprefix(root + "/")
