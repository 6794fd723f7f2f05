"""A whole catalogue of photos: prepared once into one memory-mapped array, and searched for near-duplicates."""

import csv
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from autoparts.catalog import CatalogueError
from autoparts.decoding import FORMATS, open_photo, prepare_file, prepare_photo, read_bytes
from autoparts.dependencies import sources_of

__all__ = ["Prepared", "cache_folder", "near_duplicates", "open_photo", "prepare", "prepare_photo", "read_bytes"]

PREPARATION_VERSION = 1  # part of a cache entry's name: raise it whenever prepared pixels change
CHUNK = 16  # photos handed to a worker at once


class Prepared(NamedTuple):
    """A catalogue's readable photos, their pixels, and what was skipped."""

    catalogue: pd.DataFrame  # with `content` (SHA-256 of the file) and `row` (in `pixels`)
    pixels: np.ndarray  # uint8 (photos, size, size), memory-mapped, read-only
    skipped: pd.DataFrame  # path, category, reason


def prepare(
    catalogue: pd.DataFrame,
    *,
    size: int = 100,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Prepare every photo of a catalogue once, and find the result again later.

    A cache entry is a folder named by a hash of the files' names, sizes and times, of `size` and of this code's
    version. It holds one uint8 array, which is memory-mapped, and the content hash of each file. It appears
    whole or not at all, so runs that prepare the same catalogue at the same time do not disturb each other.

    Args:
        catalogue: DataFrame with `path` and `category`.
        size: Side of the prepared photos in pixels.
        cache: Folder for prepared arrays; by default `cache_folder()`.
        workers: Photos prepared at the same time; by default the processor's cores. Changes no byte.
        progress: Show a progress bar where there is a terminal.

    Returns:
        The readable photos sorted by category and path, with pixels in the same order; the skipped ones.

    Raises:
        CatalogueError: No photo is readable, or the cache cannot be written.
    """
    catalogue = catalogue.sort_values(["category", "path"], ignore_index=True)
    paths = catalogue["path"].tolist()
    entry = Path(cache or cache_folder()) / _key(paths, size)
    was_there = entry.is_dir()
    if (found := _load(entry)) is None:
        if was_there:  # damaged, since an entry appears whole
            shutil.rmtree(entry, ignore_errors=True)
        _write(entry, paths, size, workers or os.cpu_count() or 1, progress)
        found = _load(entry)
    notes, pixels = found
    readable = notes["reason"] == ""
    skipped = catalogue[["path", "category"]].assign(reason=notes["reason"])[~readable].reset_index(drop=True)
    if not readable.any():
        first = f"; the first, {paths[0]}: {skipped['reason'][0]}" if paths else ""
        raise CatalogueError(f"None of {len(paths)} files is a readable photo{first}.")
    kept = catalogue.assign(content=notes["content"])[readable].reset_index(drop=True)
    return Prepared(kept.assign(row=np.arange(len(kept))), pixels, skipped)


def cache_folder() -> Path:
    """Return the folder of prepared arrays: $AUTOPARTS_CACHE, else one in the user's cache folder."""
    if own := os.environ.get("AUTOPARTS_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoparts"


def _key(paths: list[str], size: int) -> str:
    """Name of a catalogue's cache entry."""
    key = hashlib.blake2b(f"{PREPARATION_VERSION} {size} {FORMATS}".encode(), digest_size=16)
    if _drawn(paths):  # drawn photos are what the code draws
        for module in sources_of("from autoparts import synthetic")[0]:
            key.update(module.read_bytes())
    for path in paths:
        state = None
        if not path.startswith("synthetic:"):
            with suppress(OSError):
                file = os.stat(path)  # noqa: PTH116 (faster, for millions of files)
                state = file.st_size, file.st_mtime_ns, os.access(path, os.R_OK)
        key.update(f"\n{path}\0{state}".encode())
    return key.hexdigest()


def _drawn(paths: list[str]) -> bool:
    return any(path.startswith("synthetic:") for path in paths)


def _load(entry: Path) -> tuple[pd.DataFrame, np.ndarray] | None:
    """Open a cache entry: `content, reason` of each photo, and pixels of the readable; None if it is not whole."""
    try:
        notes = pd.read_csv(entry / "photos.csv", dtype=str, keep_default_na=False)
        pixels = np.load(entry / "pixels.npy", mmap_mode="r")
        return (notes, pixels) if len(pixels) == (notes["reason"] == "").sum() else None
    except (OSError, ValueError, KeyError):
        return None


def _write(entry: Path, paths: list[str], size: int, workers: int, progress: bool) -> None:
    """Prepare photos in a stream into a temporary folder, and rename that to the cache entry."""
    header = {"descr": "|u1", "fortran_order": False}
    write_header = np.lib.format.write_array_header_1_0  # leaves room for the first axis to grow
    readable = 0
    bar = tqdm(total=len(paths), desc="Photos", unit="", disable=not (progress and sys.stderr.isatty()))
    try:
        # Pillow warns of files that are slightly broken; they are read, or listed as skipped.
        with _temporary_folder(entry.parent) as folder, bar, warnings.catch_warnings(action="ignore"):
            with (folder / "pixels.npy").open("wb") as file, (folder / "photos.csv").open("w", newline="") as listed:
                write_header(file, header | {"shape": (0, size, size)})
                notes = csv.writer(listed)
                notes.writerow(("content", "reason"))
                for chunk in _prepared_in_order(paths, size, workers):
                    file.writelines(pixels for pixels, _, _ in chunk)
                    notes.writerows((content, why) for _, content, why in chunk)
                    readable += sum(not why for _, _, why in chunk)
                    bar.update(len(chunk))
                file.seek(0)
                write_header(file, header | {"shape": (readable, size, size)})
            try:
                folder.rename(entry)
            except OSError:
                if not entry.is_dir():  # else another run has finished the same entry first
                    raise
    except OSError as error:
        raise CatalogueError(
            f"{entry.parent}: the cache cannot be written ({error.strerror}). Free some space there, or set "
            "AUTOPARTS_CACHE to another folder."
        ) from error
    except BrokenExecutor as error:
        raise CatalogueError(
            "A process that draws photos was killed, probably for lack of memory; run again."
        ) from error


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder that is removed afterwards; those that killed runs have left are removed after a day."""
    parent.mkdir(parents=True, exist_ok=True)
    for left_over in parent.glob("*.part"):
        with suppress(OSError):
            if time.time() - left_over.stat().st_mtime > 86_400:
                shutil.rmtree(left_over)
    folder = Path(tempfile.mkdtemp(suffix=".part", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepared_in_order(paths: list[str], size: int, workers: int) -> Iterator[list[tuple[bytes, str, str]]]:
    """Prepare chunks at the same time and yield them in order, few at a time: memory stays flat.

    Files go to threads, since Pillow decodes outside the interpreter's lock; drawing needs processes ("spawn",
    since a fork would inherit the locks of torch's threads).
    """
    chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
    if _drawn(paths):
        pool: Executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    else:
        pool = ThreadPoolExecutor(workers)
    waiting = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_prepare_chunk, chunk, size))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Let a worker leave Ctrl-C to its parent, and end when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()


def _prepare_chunk(paths: list[str], size: int) -> list[tuple[bytes, str, str]]:
    return [prepare_file(path, size) for path in paths]


def near_duplicates(pixels: np.ndarray, max_bits: int = 2, most: int = 1_000_000) -> pd.DataFrame:
    """Find pairs of photos that look nearly the same, by 64-bit difference hashes.

    A bit says whether one of 8×8 cells is brighter than its left neighbour. Hashes within `max_bits` agree
    wholly in at least one of `max_bits + 1` parts, so only photos that share a part are compared: far from
    quadratic work. Photos with hardly any structure (fewer than 6 bits set) are left out.

    Args:
        pixels: uint8 array (photos, size, size).
        max_bits: Largest number of differing bits.
        most: Stop searching at about this many pairs (a catalogue of copies has quadratically many).

    Returns:
        DataFrame `first, second, bits`: row numbers in `pixels` with first < second, sorted.
    """
    hashes = _difference_hashes(pixels)
    rows = np.flatnonzero(np.bitwise_count(hashes) >= 6)
    found = [np.empty((0, 3), dtype=np.int64)]
    for part in range(max_bits + 1):
        keys = hashes[rows] & np.uint64(sum(1 << bit for bit in range(part, 64, max_bits + 1)))
        order = np.argsort(keys, kind="stable")
        keys, numbers = keys[order], rows[order]
        left = np.arange(len(rows))
        for shift in count(1):  # compare each with the shift-th next while the part is the same
            left = left[: np.searchsorted(left, len(rows) - shift)]
            left = left[keys[left] == keys[left + shift]]
            if not len(left) or sum(map(len, found)) > most:
                break
            pairs = np.sort(np.stack([numbers[left], numbers[left + shift]], axis=1), axis=1)
            bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
            found.append(np.column_stack([pairs, bits])[bits <= max_bits])
    return pd.DataFrame(np.unique(np.concatenate(found), axis=0), columns=["first", "second", "bits"])


def _difference_hashes(pixels: np.ndarray) -> np.ndarray:
    """uint8 (photos, size, size) → uint64 (photos,)."""
    hashes = np.empty(len(pixels), dtype=np.uint64)
    for index, photo in enumerate(pixels):
        small = np.asarray(Image.fromarray(photo).resize((9, 8), Image.Resampling.LANCZOS))
        hashes[index] = np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)[0]
    return hashes
