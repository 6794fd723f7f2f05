"""Figures as PNGs that carry their caption and alternative text, and photos as small data URIs.

Same input, same bytes: no dates, no random identifiers.
"""

import base64
import io
import warnings
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, BboxImage
from PIL import Image
from PIL.PngImagePlugin import PngInfo

DENSITY = 2  # image pixels per CSS pixel, so that figures are sharp on high-density screens
CSS_PIXELS_PER_INCH = 100  # a figure 7.2 inches wide is shown 720 pixels wide, the width of the report's text


def figure_png(figure: Figure, caption: str) -> bytes:
    """Draw a figure as a PNG at `DENSITY`, and close it.

    The PNG carries the caption as the text chunk `Title`, and as `Description` the alternative text: the figure's
    label; without one, a ValueError. At most 64 grey levels or 128 colours, near what was drawn, take less space.
    A chart is on white, for pages to bring to their own colours, which photos must keep: around those is transparency.
    """
    alternative = figure.get_label()
    if not alternative:
        raise ValueError("this figure has no alternative text: have its function call figure.set_label(sentence)")
    photos = shows_photos(figure)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name may hold what the font has not, such as an emoji
        options = {"facecolor": "none" if photos else "white", "pil_kwargs": {"compress_level": 0}}
        figure.savefig(drawn, format="png", dpi=DENSITY * CSS_PIXELS_PER_INCH, **options)
    plt.close(figure)
    image = Image.open(drawn)
    opacity, image = image.getchannel("A"), image.convert("RGB")
    red, green, blue = image.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        image = red.point([round(round(level * 63 / 255) * 255 / 63) for level in range(256)])
    else:
        image = image.quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    if photos:
        image = image if image.mode == "L" else image.convert("RGB")
        image.putalpha(opacity)
    texts = PngInfo()
    texts.add_itxt("Title", caption)
    texts.add_itxt("Description", alternative)
    packed = io.BytesIO()
    image.save(packed, format="PNG", pnginfo=texts)
    return packed.getvalue()


def shows_photos(figure: Figure) -> bool:
    """Whether a figure holds an image: a photo, or what is made of photos, such as a principal component or a map."""
    return bool(figure.findobj(lambda artist: isinstance(artist, AxesImage | BboxImage)))


def figure_html(png: bytes, name: str) -> str:
    """Wrap a PNG of `figure_png` in a `<figure>` with its caption, alternative text, size and `name` as anchor.

    Its class tells charts, which pages may turn to their own colours, from photos, and what is too wide for a phone.
    """
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        width, height = (side // DENSITY for side in image.size)
        kind = ("photos" if image.has_transparency_data else "chart") + (" wide" if width > 600 else "")
        texts = image.text  # reads the whole file, so that a damaged one is noticed here
    caption, alternative = (escape(texts.get(chunk, "")) for chunk in ("Title", "Description"))
    source = base64.b64encode(png).decode("ascii")
    return (
        f'<figure id="{escape(name)}" class="{kind}"><img src="data:image/png;base64,{source}" alt="{alternative}" '
        f'width="{width}" height="{height}"><figcaption>{caption}</figcaption></figure>'
    )


def small_jpeg(photo: np.ndarray, side: int) -> bytes:
    """Shrink an (S, S) or (S, S, 3) uint8 photo to `side` pixels; return it as a JPEG."""
    packed = io.BytesIO()
    small = Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS)
    small.save(packed, "JPEG", quality=75, optimize=True)
    return packed.getvalue()


def thumbnail(photo: np.ndarray, side: int = 56) -> str:
    """Return a small JPEG of a photo as a data URI; see `small_jpeg`."""
    return "data:image/jpeg;base64," + base64.b64encode(small_jpeg(photo, side)).decode()
