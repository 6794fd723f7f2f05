"""What a notebook shows: figures with a caption and an alternative text, and tables that everyone can read.

`save_figure` and `save_table` write a result into the run folder and return what a cell displays: HTML that
looks the same in JupyterLab, on the notebook's page and on the report's index. The index reads the same files:

    figures/<name>.png    PNG text chunks Title (caption) and Description (alternative text)
    tables/<name>.csv     the values, unrounded, for further work
    tables/<name>.html    the table as it is shown

Same input, same bytes: no dates, no random identifiers.
"""

import base64
import io
import re
import warnings
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from autoparts.files import whole_file

DENSITY = 2
"""Image pixels per CSS pixel, so that figures are sharp on high-density screens."""

CSS_PIXELS_PER_INCH = 100
"""A figure 7.2 inches wide is shown 720 pixels wide, the width of the report's text."""

FIGURES = re.compile(r"(?:[\d.,%±+–−()\[\] -]|to|e[+-])*")
"""Text of numbers, shares, intervals and missing values: columns of nothing else are right-aligned."""


def figure_png(figure: Figure, caption: str, alt: str) -> bytes:
    """Draw a figure as a PNG that carries its caption and its alternative text.

    Args:
        figure: the figure; it is closed afterwards.
        caption: shown below the figure; kept as the text chunk `Title`.
        alt: a sentence saying what the figure shows; kept as the text chunk `Description`.

    Returns:
        The PNG's bytes, at `DENSITY` image pixels per CSS pixel, with at most 64 grey levels or 128 colours:
        no eye sees the difference, and photos take a third less space.
    """
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name may hold what the font has not, such as an emoji
        figure.savefig(drawn, format="png", dpi=DENSITY * CSS_PIXELS_PER_INCH, facecolor="white")
    plt.close(figure)
    image = Image.open(drawn).convert("RGB")
    red, green, blue = image.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        image = red.point([round(round(level * 63 / 255) * 255 / 63) for level in range(256)])
    else:
        image = image.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    texts = PngInfo()
    texts.add_itxt("Title", caption)
    texts.add_itxt("Description", alt)
    packed = io.BytesIO()
    image.save(packed, format="PNG", optimize=True, pnginfo=texts)
    return packed.getvalue()


def figure_html(png: bytes, name: str) -> str:
    """Wrap a PNG made by `figure_png` in a `<figure>` with its caption, alternative text and size.

    Args:
        png: the bytes of the PNG.
        name: the file's stem, such as `fig_4_4`; it becomes the figure's anchor.
    """
    with Image.open(io.BytesIO(png)) as image:
        width, height = (side // DENSITY for side in image.size)
        texts = image.text
    caption, alt = texts.get("Title", ""), texts.get("Description", "")
    source = base64.b64encode(png).decode("ascii")
    return (
        f'<figure id="{escape(name)}"><img src="data:image/png;base64,{source}" alt="{escape(alt)}" '
        f'width="{width}" height="{height}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def save_figure(folder: Path, name: str, figure: Figure, caption: str, alt: str) -> HTML:
    """Save a figure as `folder/figures/<name>.png` and return it for display.

    Args:
        folder: the run folder.
        name: the file's stem, such as `fig_4_4`.
        figure: the figure, at most 7.2 inches wide to fit the text; it is closed afterwards.
        caption: what the reader sees below the figure.
        alt: one sentence that says what the figure shows, with the result in it.
    """
    png = figure_png(figure, caption, alt)
    with whole_file(Path(folder) / "figures" / f"{name}.png") as unfinished:
        unfinished.write_bytes(png)
    return HTML(figure_html(png, name))


def table_html(
    frame: pd.DataFrame,
    caption: str,
    *,
    formats: Mapping[str, str | Callable[[object], str]] | None = None,
    best: Mapping[str, str] | None = None,
) -> str:
    """Write a table as HTML with a caption, header cells with a scope, and everything escaped.

    The index becomes the row headers; a frame with a plain RangeIndex has its first column there instead.
    Columns of figures are right-aligned. Missing values are shown as a dash.

    Formats and best values of columns that the table does not have are not used, so that tables of the same measures
    can share them.

    Args:
        frame: the table; column names are the headers.
        caption: the table's title, also the accessible name of its scrollable region.
        formats: per column a format string such as `"{:.1%}"` or `"{:,}"`, or a function from value to text.
            Without one, whole numbers get thousands separators and other numbers four significant digits.
        best: per column `"max"` or `"min"`; the best value is set in bold and marked with a star.
    """
    formats, best = dict(formats or {}), dict(best or {})
    winners = {column: getattr(frame[column], goal)() for column, goal in best.items() if column in frame}
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=frame.index.name or "")
    texts = {column: [_shown(value, formats.get(column)) for value in frame[column]] for column in frame.columns}
    right = {
        column: ' class="number"' if shown and all(map(FIGURES.fullmatch, shown)) else ""
        for column, shown in texts.items()
    }
    head = "".join(
        f'<th scope="col"{right[column]}>{escape(str(column))}</th>' if str(column) else "<td></td>" for column in texts
    )
    body = ""
    for row in range(len(frame)):
        body += "<tr>"
        for position, column in enumerate(texts):
            text = escape(texts[column][row])
            if column in winners and frame[column].iloc[row] == winners[column]:
                text = f'<strong class="best">{text}<span aria-label=" (best)" role="img">\u202f★</span></strong>'
            kind, scope = ("th", ' scope="row"') if position == 0 and text else ("td", "")
            body += f"<{kind}{scope}{right[column]}>{text}</{kind}>"
        body += "</tr>\n"
    body = body or f'<tr><td colspan="{len(texts)}">none</td></tr>'
    title = escape(caption)
    return (
        f'<div class="table" role="region" aria-label="{title}" tabindex="0">'
        f"<table><caption><span>{title}</span></caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def save_table(
    folder: Path,
    name: str,
    frame: pd.DataFrame,
    caption: str,
    *,
    formats: Mapping[str, str | Callable[[object], str]] | None = None,
    best: Mapping[str, str] | None = None,
) -> HTML:
    """Save a table as `folder/tables/<name>.csv` and `.html` and return it for display.

    Args:
        folder: the run folder.
        name: the file's stem, such as `table_5_1`.
        frame: the table, with unrounded values.
        caption: see `table_html`, as for `formats` and `best`.
        formats: see `table_html`.
        best: see `table_html`.
    """
    shown = table_html(frame, caption, formats=formats, best=best)
    save_csv(folder, name, frame)
    with whole_file(Path(folder) / "tables" / f"{name}.html") as unfinished:
        unfinished.write_text(shown, "utf-8")
    return HTML(shown)


def save_csv(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Save a table as `folder/tables/<name>.csv` only, for lists too long to be shown.

    Text that a spreadsheet would run as a formula (it begins with = + - @, a tab or a carriage return, and is not
    a number) gets an apostrophe in front, as OWASP advises; numbers stay numbers. Pages show the text as it is.

    Args:
        folder: the run folder.
        name: the file's stem.
        frame: the table; its index is left out if it is a plain RangeIndex.
    """
    safe = frame.map(_harmless).rename(columns=_harmless, index=_harmless)
    with whole_file(Path(folder) / "tables" / f"{name}.csv") as unfinished:
        with_index = not isinstance(frame.index, pd.RangeIndex)
        safe.to_csv(unfinished, index=with_index, lineterminator="\n", encoding="utf-8")


def _shown(value: object, form: str | Callable[[object], str] | None) -> str:
    """Text of one cell; a list of formats is needless where a number's kind says how to show it."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if form is not None:
        return form(value) if callable(form) else form.format(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return str(value)


def _harmless(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def plain(value: Any) -> Any:
    """Turn what NumPy, pandas and torch return into what JSON knows."""
    if isinstance(value, pd.DataFrame):
        return value.to_dict(orient="list")
    if hasattr(value, "tolist"):  # series, arrays, their elements, tensors
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
