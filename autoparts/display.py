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
from collections.abc import Callable, Mapping
from html import escape
from numbers import Number
from pathlib import Path

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


def figure_png(figure: Figure, caption: str, alt: str) -> bytes:
    """Draw a figure as a PNG that carries its caption and its alternative text.

    Args:
        figure: the figure; it is closed afterwards.
        caption: shown below the figure; kept as the text chunk `Title`.
        alt: a sentence saying what the figure shows; kept as the text chunk `Description`.

    Returns:
        The PNG's bytes, at `DENSITY` image pixels per CSS pixel, with at most 256 colours or grey levels.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DENSITY * CSS_PIXELS_PER_INCH, facecolor="white")
    plt.close(figure)
    image = Image.open(drawn).convert("RGB")
    red, green, blue = image.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        image = red
    else:
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
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
    Columns of numbers are right-aligned. Missing values are shown as a dash.

    Args:
        frame: the table; column names are the headers.
        caption: the table's title, also the accessible name of its scrollable region.
        formats: per column a format string such as `"{:.1%}"` or `"{:,}"`, or a function from value to text.
            Without one, whole numbers get thousands separators and other numbers four significant digits.
        best: per column `"max"` or `"min"`; the best value is set in bold and marked with a star.

    Raises:
        ValueError: if `formats` or `best` names a column that the table does not have.
    """
    formats, best = dict(formats or {}), dict(best or {})
    unknown = [column for column in [*formats, *best] if column not in frame.columns]
    if unknown:
        raise ValueError(f"table {caption!r} has no column {unknown[0]!r}; it has {list(frame.columns)}")
    columns = list(frame.columns)
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=frame.index.name or "")
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame.columns]
    winners = {column: getattr(frame[column], best[column])() for column in columns if column in best}
    head = "".join(
        f'<th scope="col"{_aligned(right)}>{escape(str(column))}</th>' if str(column) else "<td></td>"
        for column, right in zip(frame.columns, numeric, strict=True)
    )
    body = []
    for values in frame.itertuples(index=False, name=None):
        cells = []
        for position, (column, value) in enumerate(zip(frame.columns, values, strict=True)):
            text = escape(_shown(value, formats.get(column)))
            if column in winners and value == winners[column]:
                text = f'<strong class="best">{text}<span aria-label=" (best)" role="img">\u2009★</span></strong>'
            right = _aligned(numeric[position] or isinstance(value, Number))
            cells.append(f'<th scope="row"{right}>{text}</th>' if position == 0 else f"<td{right}>{text}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    title = escape(caption)
    return (
        f'<div class="table" role="region" aria-label="{title}" tabindex="0"><table><caption>{title}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{''.join(row + chr(10) for row in body)}</tbody></table></div>"
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

    In the CSV, text that a spreadsheet would run as a formula (it begins with = + - @, a tab or a carriage
    return, and is not a number) gets an apostrophe in front, as OWASP advises; the shown table has the text as
    it is, and numbers stay numbers.

    Args:
        folder: the run folder.
        name: the file's stem, such as `table_5_1`.
        frame: the table, with unrounded values.
        caption: see `table_html`, as for `formats` and `best`.
        formats: see `table_html`.
        best: see `table_html`.
    """
    shown = table_html(frame, caption, formats=formats, best=best)
    safe = frame.map(_harmless).rename(columns=_harmless, index=_harmless)
    csv = safe.to_csv(index=not isinstance(frame.index, pd.RangeIndex), lineterminator="\n")
    for ending, text in (("csv", csv), ("html", shown)):
        with whole_file(Path(folder) / "tables" / f"{name}.{ending}") as unfinished:
            unfinished.write_bytes(text.encode("utf-8"))
    return HTML(shown)


def _aligned(right: bool) -> str:
    return ' class="number"' if right else ""


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
