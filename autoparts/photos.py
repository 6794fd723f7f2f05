"""Photos: one becomes a small square, a catalogue of them one memory-mapped array, prepared once."""

import hashlib
import io
import os
import stat
import sys
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError, features
from tqdm import tqdm

from autoparts import bar_file
from autoparts.catalogue import cache_folder, printable
from autoparts.errors import FailedError, set_aside, whole_folder

PREPARATION_VERSION = 1  # part of a cache entry's name: raise it whenever prepared pixels change
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # "JPEG" covers MPO
MAX_BYTES = 256 * 2**20  # of a file
MAX_PIXELS = 64 * 2**20  # of a decoded photo: 256 MiB in colour, three times as much while it is put on white
# Photos above these are decoded one at a time, so that all workers together hold about 1 GiB at most.
LARGE_BYTES, LARGE_PIXELS = 2**28 // (os.cpu_count() or 1), 2**25 // (os.cpu_count() or 1)
BLOCK, MOST_BLOCKS = 2**20, 512  # bytes of an entry's pixels in a block, and how many blocks are checked
_one_at_a_time = threading.RLock()
Image.MAX_IMAGE_PIXELS = 8 * MAX_PIXELS  # `decode` looks again, at what is left of a photo that it halves
Image.core.set_block_size(4 * MAX_PIXELS)  # memory in one piece returns to the system, in small ones to its thread

with suppress(ImportError):  # optional: pip install pillow-heif
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS += ("HEIF",)


def _read(path: str) -> bytes:
    state = os.stat(path)  # noqa: PTH116 (pathlib doubles the time of this function)
    if not stat.S_ISREG(state.st_mode):  # opening a pipe or a device could wait for ever
        folder = "a link to a folder, or a folder that may not be opened"
        raise OSError(folder if stat.S_ISDIR(state.st_mode) else "not a regular file")
    if state.st_size > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES >> 20} MiB")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


def decode(data: bytes, fit: int | None = None, colour: bool = False) -> Image.Image:
    """Decode a photo from its file's bytes, as one would look at it: first frame, turned by its EXIF tag, on white.

    The format is decided by content: JPEG, PNG, WebP, GIF, BMP, TIFF, and HEIC where pillow-heif is installed.
    16-bit grey is scaled to 8 bits; colour profiles are not applied. Returns an image of mode "L" for grey photos, else
    "RGB"; raises OSError, ValueError and whatever else Pillow raises on files that are no photos.

    With `fit` it is returned grey, or "RGB" with `colour`, resized to fit a square of this many pixels. The decoder of
    JPEGs then halves the photo itself, up to three times while it stays larger than that, by leaving out high
    frequencies: faster, above all for large photos, and as free of aliasing as a resize. For grey it reads luma only.
    """
    if not data:
        raise ValueError("empty file")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    pixels, box = image.width * image.height, None
    if fit and image.format in ("JPEG", "MPO"):
        fitted = _fit(image.size, fit)
        drafted = image.draft("RGB" if colour else "L", fitted)
        box = drafted and drafted[1]  # the photo without a last, half-filled pixel
        if "progressive" not in image.info:  # else it is held whole in memory while it is decoded
            pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ValueError(f"{pixels:,} pixels, more than the limit of {MAX_PIXELS:,}")
    with _one_at_a_time if pixels > LARGE_PIXELS else nullcontext():
        image.load()
        if box:
            image = image.resize(fitted, Image.Resampling.BICUBIC, box=box)
        with suppress(Exception):  # a broken EXIF block does not make the pixels unreadable
            ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "F" or image.mode.startswith("I"):
            image = _to_8_bits(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        mode = "L" if image.mode in ("L", "1") else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        return _fitted(image, fit, colour) if fit else image


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (0 to 65,535) and floating-point grey (0 to 1) to 8 bits."""
    values = np.asarray(image).astype(np.float32)
    white = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= white):
        raise ValueError(f"grey values outside 0 to {white:g}, so white is not known")
    if isinstance(clear := image.info.get("transparency"), int):  # the one transparent value
        values[values == clear] = white
    values *= 255 / white
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:  # keeps the aspect ratio
    return tuple(max(1, round(length * side / max(size))) for length in size)


def _fitted(photo: Image.Image, side: int, colour: bool) -> Image.Image:
    mode = "RGB" if colour else "L"
    photo = photo if photo.mode == mode else photo.convert(mode)
    return photo.resize(_fit(photo.size, side), Image.Resampling.BICUBIC)


def shape_of(size: int, colour: bool) -> tuple[int, ...]:
    """Return the shape of a prepared photo: (size, size) grey, (size, size, 3) in colour."""
    return (size, size, 3) if colour else (size, size)


def prepare_photo(photo: Image.Image, size: int = 100, colour: bool = False) -> np.ndarray:
    """Pad a photo, mode "RGB" or "L", with white to a square `size` pixels wide (thesis, chapter 3).

    Grey is ITU-R 601 luma. The photo is resized to fit and then padded, which equals padding first up to
    rounding and is cheaper. The filter (bicubic, widened by the scale) takes in all pixels, so little aliases.
    Returns uint8 (size, size), or (size, size, 3) in colour, 0 black to 255 white.
    """
    fitted = _fitted(photo, size, colour)
    square = np.full(shape_of(size, colour), 255, dtype=np.uint8)
    top, left = (size - fitted.height) // 2, (size - fitted.width) // 2
    square[top : top + fitted.height, left : left + fitted.width] = fitted
    return square


def prepare_file(path: str, size: int = 100, colour: bool = False) -> tuple[bytes, str, str]:
    """Prepare the photo of a path, whatever the file holds.

    Returns the bytes of its prepared pixels (empty if skipped), the SHA-256 of the file's bytes (empty if they cannot
    be read), and the reason why the photo is skipped (empty if it is not).
    """
    content = ""
    try:
        with _one_at_a_time if os.stat(path).st_size > LARGE_BYTES else nullcontext():  # noqa: PTH116
            data = _read(path)
            content = hashlib.sha256(data).hexdigest()
            return prepare_photo(decode(data, size, colour), size, colour).tobytes(), content, ""
    except Exception as error:  # a broken file may make Pillow raise anything; none may end the run
        return b"", content, _reason(error, path) or "unknown"


def _reason(error: Exception, path: str) -> str:
    """Say why a photo cannot be read: short, in plain characters, without its path."""
    if isinstance(error, UnidentifiedImageError):
        heic = path.lower().endswith((".heic", ".heif")) and "HEIF" not in FORMATS
        return "not a photo of a known format" + " (HEIC photos need: pip install pillow-heif)" * heic
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "".join(c if " " <= c <= "~" else "?" for c in str(error) or type(error).__name__)[:120]


class Prepared(NamedTuple):
    """A catalogue's readable photos, their pixels, and what was skipped."""

    catalogue: pd.DataFrame  # with `content` (SHA-256 of the file) and `row` (in `pixels`)
    pixels: np.ndarray  # uint8 (photos, size, size) or (photos, size, size, 3), memory-mapped, read-only
    skipped: pd.DataFrame  # path, category, reason


def prepare(
    catalogue: pd.DataFrame,
    *,
    size: int = 100,
    colour: bool = False,
    cache: Path | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Prepared:
    """Prepare every photo of a catalogue once, and find the result again later.

    A cache entry is a folder named by a hash of the files' names, sizes and times, of size, colour and this version.
    The time of the last change of anything cannot be set, so every replaced photo is noticed, but for one that changes
    again within a tick of the clock (milliseconds). An entry holds one uint8 array, memory-mapped, and each file's
    content hash. It appears whole or not at all, so runs that prepare the same at once do not disturb each other. If
    its checksum differs, it is set aside and made anew; of more than 512 MiB, 512 blocks of 1 MiB are checked. Where
    a file can be read by now that could not be, there is another entry.

    Takes a DataFrame with `path` and `category` (photos with an empty one are skipped), and the folder for entries, by
    default `cache_folder()`. So many workers (0: one per core) change no byte. Returns the readable photos sorted by
    category and path, with pixels in the same order; and the skipped ones. That none is readable, or that the disk is
    full, is told in a FailedError; a cache that cannot be written, in a UserError.
    """
    catalogue = catalogue.sort_values(["category", "path"], ignore_index=True)
    nameless = catalogue[catalogue["category"] == ""].assign(reason="the category's name has no visible character")
    catalogue = catalogue[catalogue["category"] != ""].reset_index(drop=True)
    paths = catalogue["path"].tolist()
    entry = Path(cache or cache_folder()) / _key(paths, size, colour)
    while (found := _load(entry)) and _readable_now(paths, found[0]["content"]):
        entry = entry.with_name(f"{entry.name}-again")  # others may be reading the earlier one
    if found is None:
        files = _prepared_in_order(paths, size, colour, workers or os.cpu_count() or 1)
        bar = tqdm(files, "Photos", len(paths), unit="", file=bar_file(), disable=not progress or None)
        _write(entry, bar, shape_of(size, colour))
        found = _load(entry)
    notes, pixels = found
    readable = notes["reason"] == ""
    unreadable = catalogue.assign(reason=notes["reason"])[~readable]
    skipped = pd.concat([nameless, unreadable], ignore_index=True)[["path", "category", "reason"]]
    if not readable.any():
        first = "".join(f"; the first, {printable(path)}: {why}" for path, _, why in skipped.values[:1])
        raise FailedError(f"None of {len(skipped)} files is a readable photo{first}.")
    kept = catalogue.assign(content=notes["content"])[readable].reset_index(drop=True)
    return Prepared(kept.assign(row=np.arange(len(kept))), pixels, skipped)


def _readable_now(paths: list[str], contents: Iterable[str]) -> bool:
    """Whether a file that could not be read can be now, such as on a network drive; its `content` is empty."""
    for path in (path for path, content in zip(paths, contents, strict=True) if not content):
        with suppress(Exception):
            _read(path)
            return True
    return False


def _key(paths: list[str], size: int, colour: bool) -> str:
    """Name of a catalogue's cache entry."""
    kind = f"{PREPARATION_VERSION} {features.version('pil')} {size} {FORMATS}{' colour' * colour}"
    key = hashlib.blake2b(kind.encode(), digest_size=16)
    for path in paths:
        state = None
        with suppress(OSError):
            file = os.stat(path)  # noqa: PTH116 (faster, for millions of files)
            state = file.st_size, file.st_mtime_ns, file.st_ctime_ns
        key.update(f"\n{path}\0{state}".encode(errors="surrogateescape"))
    return key.hexdigest()


def _load(entry: Path) -> tuple[pd.DataFrame, np.ndarray] | None:
    """Open a cache entry: `content, reason` of each photo, and pixels of the readable; None if it is not whole."""
    try:
        if (entry / "checksum").read_text() != _checksum(entry, entry.name):
            return None
        notes = pd.read_csv(entry / "photos.csv", dtype=str, keep_default_na=False)
        return notes, np.load(entry / "pixels.npy", mmap_mode="r")
    except (OSError, ValueError):
        return None


def _checksum(folder: Path, key: str) -> str:
    """CRC-32 (five times as fast as a cryptographic hash) of an entry's name, table, length and pixels."""
    with (folder / "pixels.npy").open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        value = zlib.crc32(f"{key} {length} ".encode() + (folder / "photos.csv").read_bytes())
        for place in np.linspace(0, max(0, length - BLOCK), min(MOST_BLOCKS, -(-length // BLOCK)), dtype=int):
            file.seek(place)
            value = zlib.crc32(file.read(BLOCK), value)
    return f"{value:08x}"


def _write(entry: Path, prepared: Iterable[tuple[bytes, str, str]], shape: tuple[int, ...]) -> None:
    """Write a stream of prepared photos as a cache entry."""
    header, notes = {"descr": "|u1", "fortran_order": False}, []
    write_header = np.lib.format.write_array_header_1_0  # leaves room for the first axis to grow
    with whole_folder(entry) as folder:
        with (folder / "pixels.npy").open("wb") as file:
            write_header(file, header | {"shape": (0, *shape)})
            for pixels, content, reason in prepared:
                file.write(pixels)
                notes.append((content, reason))
            file.seek(0)
            write_header(file, header | {"shape": (sum(not reason for _, reason in notes), *shape)})
        pd.DataFrame(notes, columns=["content", "reason"]).to_csv(folder / "photos.csv", index=False)
        (folder / "checksum").write_text(_checksum(folder, entry.name))
        if os.path.lexists(entry) and _load(entry) is None:
            with suppress(FileNotFoundError):  # another run may have done the same
                print(f"{entry}: damaged; set aside as {set_aside(entry).name}, and made anew", file=sys.stderr)


def _prepared_in_order(paths: list[str], size: int, colour: bool, workers: int) -> Iterator[tuple[bytes, str, str]]:
    """Prepare photos in threads, since Pillow decodes outside the interpreter's lock; memory stays flat."""
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(workers) as pool:  # of slightly broken photos
        for block in range(0, len(paths), 256 * workers):
            chunks = [paths[start : start + 8] for start in range(block, min(block + 256 * workers, len(paths)), 8)]
            for prepared in pool.map(lambda chunk: [prepare_file(path, size, colour) for path in chunk], chunks):
                yield from prepared
