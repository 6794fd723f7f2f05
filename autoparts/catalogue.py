"""The catalogue: which photos there are, what each shows, and which split it belongs to.

A catalogue is a pandas DataFrame with one row per photo, sorted by category and path: `path` (a file), `category`,
optionally `product` (one article photographed from several sides) and `split`.
"""

import os
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from autoparts.errors import UserError

pd.options.mode.string_storage = "python"  # not Arrow's: it refuses names that are not UTF-8, which files may have
SPLITS = ("train", "validation", "test")
EXCLUDED_WORDS = ("Seal", "Bearing", "Shaft", "Strap", "Hose", "Belt", "Link", "Arm", "Bushing", "Kit", "Set")
_SPLIT_NAMES = {name: name for name in SPLITS} | {"valid": "validation", "val": "validation"}
_hidden = re.compile(r"\.|(thumbs\.db|desktop\.ini|__macosx|@eadir|#recycle|\$recycle\.bin)\Z", re.IGNORECASE).match
_EXPECTED = "give a folder with one sub-folder per category, or a CSV manifest"


def cache_folder() -> Path:
    """Return the folder of prepared and generated photos: $AUTOPARTS_CACHE, else one in the user's cache folder."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "autoparts")
    return Path(os.path.expanduser(os.environ.get("AUTOPARTS_CACHE") or usual))  # noqa: PTH111 - as below


def is_generated(data: str | Path) -> bool:
    """Say whether data is the generated catalogue: "synthetic" or "synthetic:<scale>"."""
    return str(data).partition(":")[0] == "synthetic"


def read_catalogue(
    data: str | Path, *, own_split: bool = False, allow_outside: bool = False, progress: bool = True
) -> pd.DataFrame:
    """Find the photos that `data` names: DataFrame `path, category[, product][, split]`, sorted by category and path.

    `data` is "synthetic", "synthetic:thesis" or "synthetic:<categories>x<photos>", drawn once into the cache; or a
    folder with one sub-folder per category (files directly in it, such as a manifest, are not read); or a folder
    `train|valid|test/<category>`; or a CSV file in UTF-8 (commas, semicolons or tabs) with the columns `path` (relative
    to the file, beneath its folder unless `allow_outside`), `category`, maybe `product` and, for `own_split`, `split`.

    Which files are photos is decided later, by their content (`photos.prepare`); here every file beneath a category
    counts, except hidden files and known rubbish (`Thumbs.db`, `@eaDir`, …). `path` opens the file and need not be
    printable. Category names are brought to Unicode's composed form (NFC), with single spaces and without control
    characters, so that two spellings of the same letters are one category; names that differ in case stay two, and one
    without a visible character is empty. A UserError tells of no such data, of no photos, or of a wrong manifest.
    """
    if is_generated(data):
        from autoparts.generated import catalogue as generated  # only generated data needs the drawing code

        data = generated.written(str(data).partition(":")[2] or "demo", cache_folder(), progress=progress)
    try:
        place = Path(os.path.expanduser(data)).absolute()  # noqa: PTH111 - Path's own raises for nobody's home
        if place.is_dir():
            catalogue = _read_folder(place)
        elif place.is_file():
            catalogue = _read_manifest(place, allow_outside, own_split)
        else:
            raise UserError(f"{printable(data)}: no such folder or CSV file; {_EXPECTED}, or `synthetic`.")
    except OSError as error:  # a folder that may not be entered, above or below
        raise UserError(f"{printable(data)[:200]}: {getattr(error, 'strerror', error)}; {_EXPECTED}.") from None
    if not own_split:
        catalogue = catalogue.drop(columns="split", errors="ignore")
    elif missing := " and no ".join(name for name in SPLITS if name not in set(catalogue.get("split", ()))):
        raise UserError(f"{data}: its own split has no {missing} photos. Have one drawn: -p split new")
    return catalogue.sort_values(["category", "path"], ignore_index=True)


def printable(name: str | Path) -> str:
    """Return a name for terminals and tables: control characters, and bytes that are not UTF-8, are escaped."""
    shown = (c if c.isprintable() or c in "\u200c\u200d" else ascii(c)[1:-1] for c in str(name))  # joiners stay
    return "".join(shown).replace("\\udc", "\\x")  # how Python keeps bytes that are not UTF-8


def below_root(paths: pd.Series, catalogue: pd.Series) -> pd.Series:
    """Return paths printable and without what all of a catalogue's share, so that no report names a home directory."""
    root = os.path.commonpath([os.path.split(path)[0] for path in catalogue]).replace(os.sep, "/")
    anywhere = root and Path(os.path.expanduser("~")).is_relative_to(root)  # noqa: PTH111 - all over the disk
    whole = paths.str.replace(os.sep, "/")
    short = ["/".join(path.split("/")[-2:]) if anywhere else path.removeprefix(root + "/") for path in whole]
    return pd.Series(map(printable, short), paths.index, name=paths.name, dtype=paths.dtype)


def files_beneath(folder: Path) -> Iterator[str]:
    """Yield every file beneath a folder, and what cannot be entered: links to folders, folders without permission."""
    closed: list[OSError] = []  # they will be listed as skipped
    for parent, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not _hidden(name)]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (f"{parent}/{name}" for name in [*files, *links] if not _hidden(name))
    yield from (error.filename for error in closed)


def _read_folder(root: Path) -> pd.DataFrame:
    above = {root.resolve(), *root.resolve().parents}  # a link to a folder that holds it would not end

    def _subfolders(folder: Path) -> list[Path]:
        found = [f for f in folder.iterdir() if not _hidden(f.name) and f.is_dir()]
        return [f for f in found if not (f.is_symlink() and f.resolve() in above)]

    folders = {folder: _SPLIT_NAMES.get(folder.name.lower()) for folder in _subfolders(root)}
    splits = {folder: split for folder, split in folders.items() if split and _subfolders(folder)}
    if {"train", "test"} <= {*splits.values()} and (others := [f.name for f in folders if f not in splits]):
        told = f"beside its splits there is the folder {printable(others[0])!r}"
        raise UserError(f"{printable(root)}: {told}; move it elsewhere, or name the photos in a CSV")
    if "train" not in folders.values() or not all(folders.values()) or not splits:
        folders = {root: None}  # they are no splits but categories
    categories = [(tidy_name(f.name), f, split) for folder, split in folders.items() for f in _subfolders(folder)]
    rows = [(path, name, split) for name, folder, split in categories for path in files_beneath(folder)]
    if not rows:
        raise UserError(f"{printable(root)}: no photos found; expected one sub-folder per category with photos in it.")
    return pd.DataFrame(rows, columns=["path", "category", "split"])


def tidy_name(name: str) -> str:
    """Return a name in composed Unicode (NFC), with single spaces; empty if nothing visible is left."""
    text = os.fsencode(name).decode(errors="backslashreplace")  # need not be UTF-8
    text = "".join(c for c in " ".join(text.split()) if unicodedata.category(c) != "Cc").strip()
    return unicodedata.normalize("NFC", text) if any(map(str.isprintable, text)) else ""


def _read_manifest(file: Path, allow_outside: bool, own_split: bool) -> pd.DataFrame:
    given, names = csv_rows(file), ("path", "category", "product", *["split"] * own_split)
    table = given[[name for name in names if name in given]].copy()
    table["path"] = _inside(file, given["path"], allow_outside)
    _refuse(table["path"].duplicated(), given["path"], file, "is listed twice")
    table["category"] = given["category"].map(cache(tidy_name))
    wrong = ~table["category"].str.len().between(1, 1000)
    _refuse(wrong, given["category"], file, "is an empty category name, or one of more than 1,000 characters")
    if "product" in table:  # a photo of unknown product is its own product
        table["product"] = table["product"].str.strip().where(lambda product: product != "", table["path"])
    if "split" in table:
        table["split"] = given["split"].str.strip().str.lower().map(_SPLIT_NAMES)
        _refuse(table["split"].isna(), given["split"], file, f"is no split; expected {', '.join(SPLITS)}")
    return table


def csv_rows(file: Path) -> pd.DataFrame:
    """Return the rows of a manifest as they stand there, columns in lower case; UserError: it is none."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text, warnings.catch_warnings(action="error"):
            told = (first := text.readline()).lower().startswith("sep=")  # by a spreadsheet, which does not show it
            separator = max(",;\t", key=(text.readline() if told else first).count)
            text.seek(0)
            options = {"sep": separator, "header": int(told), "dtype": str, "na_filter": False, "index_col": False}
            options |= {"skipinitialspace": True, "skip_blank_lines": False}  # after a comma people write a space
            table = pd.read_csv(text, **options).fillna("")
        table = table[(table != "").any(axis=1)]  # spreadsheets leave empty rows
        table.columns = [str(column).strip().lower() for column in table]
        if not {"path", "category"} <= set(table) or table.columns.has_duplicates or table.empty:
            found = printable(", ".join(table))[:200]
            raise ValueError(f"it needs the columns path and category, and rows; found: {found}; {len(table)} rows")
        return table
    except (ValueError, pd.errors.ParserWarning) as error:
        why = f"not a CSV table of photos ({str(error).strip()})"
        if isinstance(error, pd.errors.ParserWarning) or " fields in line " in why:
            row = re.search("line [0-9]+|$", why)[0] or "a row"
            why = f"{row} has more columns than the header: put names with commas in quotes"
        if isinstance(error, UnicodeDecodeError) or "\\x0" in why:  # UTF-16, or a workbook
            why = "not UTF-8 text; save the table as “CSV UTF-8”, and unpack an archive"
        with suppress(Exception), Image.open(file):  # Pillow may raise anything on a file that is no photo
            why = f"this is a photo; {_EXPECTED}"
        raise UserError(f"{printable(file)}: {why}.") from error


def _inside(file: Path, paths: pd.Series, allow_outside: bool) -> pd.Series:
    """Absolute paths of a manifest's rows; refuses rows that lead outside the manifest's folder."""
    paths = paths.str.rstrip()
    wrong = [not path or any(unicodedata.category(c) == "Cc" for c in path) for path in paths]
    _refuse(wrong, paths, file, "is not a file name")
    # Windows writes paths with backslashes; elsewhere a file may be called so.
    slashed = [p.replace("\\", "/") if "\\" in p and not (file.parent / p).exists() else p for p in paths]
    full = [os.path.normpath(file.parent / path) for path in slashed]
    if not allow_outside:
        root = os.path.realpath(file.parent)
        leads_out = cache(lambda path: not Path(os.path.realpath(path)).is_relative_to(root))
        # Plain names beneath a folder that is inside are inside, so only folders and links are resolved.
        outside = [leads_out(os.path.split(path)[0]) or (Path(path).is_symlink() and leads_out(path)) for path in full]
        _refuse(outside, paths, file, "leads outside the manifest's folder; move it there, or give --allow-outside")
    return pd.Series(full, paths.index)


def _refuse(wrong: pd.Series | Sequence[bool], values: pd.Series, file: Path, why: str) -> None:
    """Raise an error that names the first wrong row as a spreadsheet counts it, the header being row 1."""
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise UserError(f"{printable(file)}, row {values.index[row] + 2}: {values.iloc[row][:200]!r} {why}.")


def clean(
    catalogue: pd.DataFrame, words: Sequence[str] = EXCLUDED_WORDS, whole_word: bool = False, smallest: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop categories by the thesis's rule (chapter 3): a name with an excluded word, or too few photos.

    `words` exclude in any case (`()` switches the rule off), and with `whole_word` only as whole words, so that "Arm"
    no longer excludes "Alarm"; `smallest` is the fewest photos of a category. Returns the kept rows, and the removed
    categories `category, photos, rule, word` (by rule, the largest first). Fewer than two left are told in a UserError.
    """
    edge = r"\b" if whole_word else ""
    patterns = {word: re.compile(edge + re.escape(word) + edge, re.IGNORECASE) for word in words if word}
    table = catalogue["category"].value_counts().rename("photos").reset_index()
    matched = [next((word for word, p in patterns.items() if p.search(name)), "") for name in table["category"]]
    table = table.assign(rule=["excluded word" if word else "too few photos" for word in matched], word=matched)
    removed = table[(table["word"] != "") | (table["photos"] < smallest)]
    removed = removed.sort_values(["rule", "photos", "category"], ascending=[True, False, True], ignore_index=True)
    if (kept := len(table) - len(removed)) < 2:
        rules = ", ".join(f"{count} by the rule “{rule}”" for rule, count in removed["rule"].value_counts().items())
        left = f"{kept} of {len(table)} categories left after cleaning (removed: {rules or 'none'}); at least two"
        cure = ", or set cleaning to auto, word or none" if any(matched) else " of more kinds"
        raise UserError(f"{left} are needed. Add photos{cure}.")
    return catalogue[~catalogue["category"].isin(removed["category"])].reset_index(drop=True), removed


def split_catalogue(catalogue: pd.DataFrame, seed: int, shares: tuple[float, float] = (0.1, 0.1)) -> pd.DataFrame:
    """Divide every category into training, validation and test photos, by the seed; the shares are of the last two.

    Products are drawn where the catalogue names them (within a category), else single photos. A category's only one
    goes to training; of two, one is for training and one for testing; of three or more, at least one for each. The
    rest of validation and test is spread over the larger categories in proportion to their size (largest remainders),
    so that the totals keep to the shares, as far as categories suffice, although small ones give more than their part.

    Takes `path, category[, product]` in any order, and returns it sorted by category and path, with `split`. One that
    has its own `split` already keeps it; a category without a training photo there is told in a UserError.
    """
    catalogue = catalogue.sort_values(["category", "path"], ignore_index=True)
    if "split" in catalogue:
        trained = catalogue.loc[catalogue["split"] == "train", "category"]
        if missing := sorted(set(catalogue["category"]) - set(trained)):
            found = f"{missing[0]!r} has no training photo in the data's own split ({len(missing)} such)"
            raise UserError(f"{found}; have a split drawn: -p split new")
        return catalogue
    unit = catalogue.groupby(["category", "product" if "product" in catalogue else "path"]).ngroup().to_numpy()
    of_unit = catalogue["category"].factorize()[0][np.unique(unit, return_index=True)[1]]  # 0, 0, 1, …: rows are sorted
    sizes = np.bincount(of_unit)
    test = np.minimum(_apportion(sizes, 2, shares[1]), sizes - np.where(sizes >= 3, 2, 1))
    validation = np.minimum(_apportion(sizes, 3, shares[0]), sizes - test - 1)
    place = pd.Series(np.random.default_rng(seed).permutation(len(of_unit))).groupby(of_unit).rank().to_numpy()
    wanted = [place <= test[of_unit], place <= (test + validation)[of_unit]]  # `place`: 1, 2, … in random order
    return catalogue.assign(split=np.select(wanted, ["test", "validation"], "train")[unit])


def _apportion(sizes: np.ndarray, smallest: int, share: float) -> np.ndarray:
    """Divide `share` of all units among the categories by largest remainders, one at least from `smallest` units on.

    Categories whose proportional portion is below one get one, and the rest is divided again, until none is below.
    """
    eligible = sizes >= smallest
    total = max(round(share * sizes.sum()), eligible.sum())
    proportional = eligible.copy()
    while True:
        portion = (total - (eligible & ~proportional).sum()) * sizes / max(sizes[proportional].sum(), 1)
        if (portion[proportional] >= 1).all():
            break
        proportional &= portion >= 1
    quota = np.where(proportional, portion, eligible)
    counts = np.floor(quota + 1e-9).astype(int)
    largest = np.lexsort((-sizes, counts - quota))
    counts[largest[: total - counts.sum()]] += 1
    return counts
