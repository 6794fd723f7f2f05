"""One photo: the one door through which every photo is opened, and its way to a small grey square."""

import hashlib
import io
import os
import stat
from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # "JPEG" covers MPO
MAX_BYTES = 256 * 2**20  # of a file
MAX_PIXELS = 64 * 2**20  # of a decoded photo: 256 MiB in colour

with suppress(ImportError):  # optional: pip install 'autoparts[heic]'
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS += ("HEIF",)


def read_bytes(path: str) -> bytes:
    """Read a photo's file, or draw the photo that a `synthetic:` path names.

    Raises:
        OSError: The file cannot be read, is no regular file, or is larger than `MAX_BYTES`.
    """
    if path.startswith("synthetic:"):
        from autoparts import synthetic  # only generated data needs the drawing code

        return synthetic.jpeg(path)
    state = os.stat(path)  # noqa: PTH116 (pathlib doubles the time of this function)
    if stat.S_ISDIR(state.st_mode):
        raise OSError("a link to a folder, or a folder that may not be opened")
    if not stat.S_ISREG(state.st_mode):  # opening a pipe or a device could wait for ever
        raise OSError("not a regular file")
    if state.st_size > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES >> 20} MiB")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


def open_photo(path: str) -> Image.Image:
    """Open a photo as one would look at it: first frame, turned by its EXIF tag, transparency on white.

    The format is decided by content: JPEG, PNG, WebP, GIF, BMP, TIFF, and HEIC where pillow-heif is installed.
    16-bit grey is scaled to 8 bits; colour profiles are not applied.

    Returns:
        Image of mode "L" for grey photos, else "RGB".

    Raises:
        OSError, ValueError and whatever else Pillow raises on files that are no photos.
    """
    return decode(read_bytes(path))


def decode(data: bytes, fit: int | None = None) -> Image.Image:
    """Decode a photo from its file's bytes, as `open_photo` describes.

    Args:
        data: Content of the file.
        fit: Decode only the luma of a JPEG, and return it resized to fit a square of this many pixels. The
            decoder itself halves the photo, up to three times while it stays larger than that, by leaving
            out high frequencies: faster, above all for large photos, and as free of aliasing as a resize.
    """
    if not data:
        raise ValueError("empty file")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    pixels = image.width * image.height
    box, fitted = None, image.size
    if fit and image.format in ("JPEG", "MPO"):
        fitted = _fit(image.size, fit)
        _, box = image.draft("L", fitted) or (None, None)  # `box`: the photo without a last, half-filled pixel
        if "progressive" not in image.info:  # else it is held whole in memory while it is decoded
            pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ValueError(f"{pixels:,} pixels, more than the limit of {MAX_PIXELS:,}")
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
    return image if image.mode == mode else image.convert(mode)


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


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size in a square of `side` pixels that keeps the aspect ratio."""
    return tuple(max(1, round(length * side / max(size))) for length in size)


def prepare_photo(photo: Image.Image, size: int = 100) -> np.ndarray:
    """Make a photo grey, white-padded to a square and `size` pixels wide (thesis, chapter 3).

    Grey is ITU-R 601 luma. The photo is resized to fit and then padded, which equals padding first up to
    rounding and is cheaper. The filter (bicubic, widened by the scale) takes in all pixels, so little aliases.

    Args:
        photo: Image of any size, mode "RGB" or "L".
        size: Side of the square in pixels.

    Returns:
        uint8 array (size, size), 0 black to 255 white.
    """
    width, height = _fit(photo.size, size)
    grey = photo if photo.mode == "L" else photo.convert("L")
    grey = grey.resize((width, height), Image.Resampling.BICUBIC)
    square = np.full((size, size), 255, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = grey
    return square


def prepare_file(path: str, size: int = 100) -> tuple[bytes, str, str]:
    """Prepare the photo of a path, whatever the file holds.

    Returns:
        The `size` × `size` prepared pixels (empty if skipped), the SHA-256 of the file's bytes (empty if they
        cannot be read), and the reason why the photo is skipped (empty if it is not).
    """
    content = ""
    try:
        data = read_bytes(path)
        content = hashlib.sha256(data).hexdigest()
        return prepare_photo(decode(data, fit=size), size).tobytes(), content, ""
    except Exception as error:  # a broken file may make Pillow raise anything; none may end the run
        return b"", content, _reason(error) or "unknown"


def _reason(error: Exception) -> str:
    """Say why a photo cannot be read: short, in plain characters, without its path."""
    if isinstance(error, UnidentifiedImageError):
        return "not a photo of a known format"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    text = str(error) or type(error).__name__
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:120]
