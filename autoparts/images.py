"""Photos: the one door through which every photo is opened, and the prepared array of a whole catalogue."""

import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from autoparts.catalog import CatalogueError

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES = 256 * 2**20  # of a file
MAX_PIXELS = 64 * 2**20  # of a decoded photo: 256 MiB in colour
PREPARATION_VERSION = 1  # part of the cache key: raise it whenever prepared pixels change
CHUNK = 64  # photos handed to a worker at once

with suppress(ImportError):  # optional: pip install 'autoparts[heic]'
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS += ("HEIF",)


class Prepared(NamedTuple):
    """A catalogue's readable photos, their pixels, and what was skipped."""

    catalogue: pd.DataFrame  # with `content` (SHA-256 of the file) and `row` (in `pixels`)
    pixels: np.ndarray  # uint8 (photos, size, size), memory-mapped, read-only
    skipped: pd.DataFrame  # path, category, reason


def read_bytes(path: str) -> bytes:
    """Read a photo's file, or draw the photo that a `synthetic:` path names.

    Raises:
        OSError: The file cannot be read, is no regular file, or is larger than `MAX_BYTES`.
    """
    if path.startswith("synthetic:"):
        from autoparts import synthetic  # only generated data needs the drawing code

        return synthetic.jpeg(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe or a device could wait for ever
        raise OSError("not a regular file")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES >> 20} MiB")
    return data


def open_photo(path: str) -> Image.Image:
    """Open a photo as one would look at it: first frame, turned by its EXIF tag, transparency on white.

    The format is decided by content: JPEG, PNG, WebP, GIF, BMP, TIFF, and HEIC where pillow-heif is installed.
    16-bit grey is scaled to 8 bits; colour profiles are not applied.

    Returns:
        Image of mode "L" for grey photos, else "RGB".

    Raises:
        OSError, ValueError and whatever else Pillow raises on files that are no photos.
    """
    return _decode(read_bytes(path))


def _decode(data: bytes, grey_at_least: int | None = None) -> Image.Image:
    """Decode a photo; with `grey_at_least`, only the luma of a JPEG, shrunk while both sides stay that long."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    progressive = "progressive" in image.info  # held whole in memory while it is decoded
    pixels = image.width * image.height
    if grey_at_least and image.format in ("JPEG", "MPO"):
        longer = max(image.size)
        image.draft("L", tuple(max(1, side * grey_at_least // longer) for side in image.size))
    if (pixels if progressive else image.width * image.height) > MAX_PIXELS:
        raise ValueError(f"{pixels:,} pixels, more than the limit of {MAX_PIXELS:,}")
    image.load()
    with suppress(Exception):  # a broken EXIF block does not make the pixels unreadable
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (0 to 65,535) and floating-point grey (0 to 1) to 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    white = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= white):
        raise ValueError(f"grey values outside 0 to {white:g}: no known white")
    grey = np.round(values * (255 / white)).astype(np.uint8)
    if isinstance(key := image.info.get("transparency"), int):  # the one transparent value
        grey[values == key] = 255
    return Image.fromarray(grey)


def prepare_photo(photo: Image.Image, size: int = 100) -> np.ndarray:
    """Make a photo grey, white-padded to a square and `size` pixels wide (thesis, chapter 3).

    Grey is ITU-R 601 luma. The photo is resized to fit before it is padded, which equals padding first up to
    rounding and is cheaper. The filter (Hamming) averages over all pixels it replaces, so nothing aliases.

    Args:
        photo: Image of any size, mode "RGB" or "L".
        size: Side of the square in pixels.

    Returns:
        uint8 array (size, size), 0 black to 255 white.
    """
    scale = size / max(photo.size)
    width, height = (max(1, round(side * scale)) for side in photo.size)
    grey = photo.convert("L").resize((width, height), Image.Resampling.HAMMING)
    square = np.full((size, size), 255, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = np.asarray(grey)
    return square


def _reason(error: Exception) -> str:
    """Why a photo was skipped: short, in plain characters, without paths."""
    if isinstance(error, UnidentifiedImageError):
        return "not a photo of a known format"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:120]


def _prepare_chunk(paths: list[str], size: int) -> tuple[list[np.ndarray], list[tuple[str, str]]]:
    """Prepare some photos: pixels of the readable ones; content hash and reason (or "") of each."""
    pixels, notes = [], []
    for path in paths:
        content = ""
        try:
            data = read_bytes(path)
            content = hashlib.sha256(data).hexdigest()
            if not data:
                raise ValueError("empty file")
            pixels.append(prepare_photo(_decode(data, grey_at_least=2 * size), size))
            notes.append((content, ""))
        except Exception as error:  # a file may make Pillow raise anything; none may end the run
            notes.append((content, _reason(error)))
    return pixels, notes


def _end_with_parent() -> None:
    """Let a worker process end when its parent is killed."""
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()


def _pool(paths: list[str], workers: int | None) -> Executor:
    """Threads for files (Pillow decodes without the interpreter lock), processes for drawing."""
    workers = workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count()))
    if any(path.startswith("synthetic:") for path in paths):  # "spawn": a fork would inherit torch's threads
        return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
    return ThreadPoolExecutor(workers)


def _in_order(pool: Executor, paths: list[str], size: int, ahead: int) -> Iterator:
    """Results of all chunks in order, with only `ahead` chunks in memory."""
    chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
    waiting = []
    for chunk in chunks:
        waiting.append(pool.submit(_prepare_chunk, chunk, size))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _key(paths: list[str], size: int) -> str:
    """Name of a catalogue's cache entry: of its files' names, sizes and times, and how they are prepared."""
    drawing = 0
    if any(path.startswith("synthetic:") for path in paths):
        from autoparts.synthetic import DRAWING_VERSION as drawing  # noqa: N811
    key = hashlib.blake2b(f"{PREPARATION_VERSION} {drawing} {size} {FORMATS}\n".encode(), digest_size=16)
    for path in paths:
        state = (0, 0)
        if not path.startswith("synthetic:"):
            with suppress(OSError):
                found = os.stat(path)
                state = (found.st_size, found.st_mtime_ns)
        key.update(f"{path}\0{state[0]}\0{state[1]}\n".encode(errors="surrogateescape"))
    return key.hexdigest()


def cache_folder() -> Path:
    """Where prepared arrays are kept: $AUTOPARTS_CACHE, else the user's cache folder."""
    if own := os.environ.get("AUTOPARTS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoparts"


def _write(entry: Path, paths: list[str], size: int, workers: int | None, progress: bool) -> None:
    """Prepare all photos into a temporary folder and rename it, so that no half-written entry is ever used."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    for left_over in entry.parent.glob("*.part"):  # of runs that were killed
        if time.time() - left_over.stat().st_mtime > 86400:
            shutil.rmtree(left_over, ignore_errors=True)
    part = Path(tempfile.mkdtemp(suffix=".part", dir=entry.parent))
    notes: list[tuple[str, str]] = []
    header = {"descr": "|u1", "fortran_order": False}
    try:
        show = progress and sys.stderr.isatty()
        with (
            (part / "pixels.npy").open("wb") as file,
            _pool(paths, workers) as pool,
            tqdm(total=len(paths), desc="Preparing photos", unit="photo", disable=not show) as bar,
        ):
            np.lib.format.write_array_header_1_0(file, header | {"shape": (0, size, size)})
            for pixels, chunk in _in_order(pool, paths, size, ahead=64):
                file.write(b"".join(array.tobytes() for array in pixels))
                notes += chunk
                bar.update(len(chunk))
            file.seek(0)  # the header leaves room for a longer first axis
            readable = sum(not reason for _, reason in notes)
            np.lib.format.write_array_header_1_0(file, header | {"shape": (readable, size, size)})
        pd.DataFrame(notes, columns=["content", "reason"]).to_csv(part / "photos.csv", index=False)
        with suppress(OSError):  # another run may have finished the same entry first
            part.rename(entry)
    except OSError as error:
        raise CatalogueError(
            f"{entry.parent}: the cache cannot be written ({error.strerror}). Free some space there, or set "
            "AUTOPARTS_CACHE to another folder."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def prepare(
    catalogue: pd.DataFrame,
    *,
    size: int = 100,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Prepare every photo of a catalogue once, and find the result again later.

    The cache entry is named by a hash of the files' names, sizes and times, of `size` and of this code's
    version; it holds one uint8 array, which is memory-mapped, and the content hash of each file.

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
    if not entry.is_dir():
        _write(entry, paths, size, workers, progress)
    notes = pd.read_csv(entry / "photos.csv", dtype=str, keep_default_na=False)
    readable = notes["reason"] == ""
    skipped = catalogue[["path", "category"]].assign(reason=notes["reason"])[~readable]
    if not readable.any():
        first = skipped.iloc[0]
        raise CatalogueError(
            f"none of {len(paths)} files is a readable photo; first: {first['path']}: {first['reason']}."
        )
    kept = catalogue.assign(content=notes["content"])[readable].reset_index(drop=True)
    pixels = np.load(entry / "pixels.npy", mmap_mode="r")
    return Prepared(kept.assign(row=np.arange(len(kept))), pixels, skipped.reset_index(drop=True))


def near_duplicates(pixels: np.ndarray, max_bits: int = 2) -> pd.DataFrame:
    """Find pairs of photos that look nearly the same, by 64-bit difference hashes.

    A bit says whether one of 8×8 cells is darker than its right neighbour. Two hashes within `max_bits` agree
    wholly in at least one of `max_bits + 1` parts, so only photos that share a part are compared: far from
    quadratic work. Photos with hardly any structure (fewer than 6 bits set) are left out.

    Args:
        pixels: uint8 array (photos, size, size).
        max_bits: Largest number of differing bits.

    Returns:
        DataFrame `first, second, bits`: row numbers in `pixels` with first < second, sorted.
    """
    hashes = difference_hashes(pixels)
    rows = np.flatnonzero(np.bitwise_count(hashes) >= 6)
    found = []
    for part in range(max_bits + 1):
        mask = np.uint64(sum(1 << bit for bit in range(part, 64, max_bits + 1)))
        order = rows[np.argsort(hashes[rows] & mask, kind="stable")]
        keys = hashes[order] & mask
        left = np.arange(len(order))
        for shift in count(1):
            left = left[left + shift < len(order)]
            left = left[keys[left] == keys[left + shift]]
            if not len(left):
                break
            bits = np.bitwise_count(hashes[order[left]] ^ hashes[order[left + shift]])
            near = bits <= max_bits
            found.append(np.stack([order[left], order[left + shift], bits], axis=1)[near].astype(np.int64))
    pairs = np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)
    pairs[:, :2] = np.sort(pairs[:, :2], axis=1)
    return pd.DataFrame(np.unique(pairs, axis=0), columns=["first", "second", "bits"])


def difference_hashes(pixels: np.ndarray) -> np.ndarray:
    """64-bit difference hash of each photo: uint8 (photos, size, size) → uint64 (photos,)."""
    hashes = np.empty(len(pixels), dtype=np.uint64)
    for index, photo in enumerate(pixels):
        small = np.asarray(Image.fromarray(photo).resize((9, 8), Image.Resampling.BOX))
        hashes[index] = np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)[0]
    return hashes
