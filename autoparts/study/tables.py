"""Tables: as HTML, as CSV, and as the same HTML again from the CSV. How a column is shown is known by its name."""

import csv
import io
import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from autoparts.errors import UserError, read_json, set_aside, whole_file


def percent(value: float) -> str:
    """Write a share in percent, with as many decimals as it takes to tell it from zero."""
    return f"{value:.4%}" if 0 < value < 0.0005 else f"{value:.2%}"


HIGH_IS_GOOD = ("precision@1", "precision@1 macro", "recall@5", "recall@10", "R-precision", "MAP@R", "class top-1")
HIGH_IS_GOOD += ("class top-5", "ROC AUC", "accuracy", "precision", "recall", "f1", "ranking")
LOW_IS_GOOD = ("EER", "FNMR at 1 % FMR", "FNMR at 10 % FMR")
SHARES = ("share of categories", "low", "high", "spread", "head", "middle", "tail", "refused", "confidence")
SHARES += ("by its head", "by the finder", "known, refused", "unknown, refused", "of its name", "of the likelier")
SHARES += ("with the margin", "without it", "named rightly")
BEST = dict.fromkeys(HIGH_IS_GOOD, max) | dict.fromkeys((*LOW_IS_GOOD, "NLL"), min)
FORMATS = (
    dict.fromkeys((*HIGH_IS_GOOD, *LOW_IS_GOOD, *SHARES), "{:.1%}".format)
    | dict.fromkeys(("training accuracy", "validation accuracy", "highest", "test accuracy", "chance"), percent)
    | dict.fromkeys(("difference", "difference low", "difference high"), lambda share: f"{100 * share:+.1f}")
    | {"share": "{:.0%}".format, "NLL": "{:.3f}".format, "threshold": "{:.2f}".format}
    | {"photos of a draw": "{:,.0f}".format}
)
NUMBERS = re.compile(r"(?:[\d.,%±+–−()\[\] -]|to|e[+-])*")  # columns of numbers, shares, intervals are right-aligned
FORMULA = re.compile(r"'*(?=[=+@\t\n-])(?![+-][\d.]+(?:e[+-]?\d+)?\Z)")  # what a spreadsheet would run, and no number
CELLS = {"i": int, "f": float, "b": {"True": True, "False": False}.__getitem__, "N": lambda text: None}
CELLS["s"] = lambda text: text[1:] if FORMULA.match(text) else text  # keys: the first letter of a cell's type


def table_html(frame: pd.DataFrame, caption: str, best: bool = False) -> str:
    """Write a table as HTML with a caption, header cells with a scope, and everything escaped.

    The index becomes the row headers; a frame with a plain RangeIndex has its first column there instead. Columns are
    shown as `FORMATS` says of their names; missing values are a dash. `best` marks the best values of those in `BEST`.
    """
    columns = enumerate(_columns(frame).items())
    cells = [_cells(name, values, place == 0, best) for place, (name, values) in columns]
    head, *rows = map("".join, zip(*cells, strict=True)) if cells else [""]
    body = "".join(f"<tr>{row}</tr>\n" for row in rows) or "<tr><td>none</td></tr>"
    shown = escape(caption) + (" (★ best)" if '<strong class="best">' in body else "")
    return (
        f'<div class="table" role="region" aria-label="{escape(caption)}" tabindex="0"><table><caption><span>'
        f"{shown}</span></caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cells(name: str, values: list, first: bool, best: bool) -> list[str]:
    """Write the cells of a column, its header before them."""
    texts = [_shown(value, FORMATS.get(name)) for value in values]
    number = ' class="number"' if texts and all(map(NUMBERS.fullmatch, texts)) else ""
    present = [value for value in values if value is not None]
    winner = BEST[name](present) if best and name in BEST and present else None
    cells = [f'<th scope="col"{number}>{escape(name.replace("_", " "))}</th>' if name else "<td></td>"]
    for text, value in zip(map(escape, texts), values, strict=True):
        cell, scope = ("th", ' scope="row"') if first and text else ("td", "")
        if winner is not None and value == winner:
            text = f'<strong class="best">{text}<span aria-label=" (best)" role="img">\u202f★</span></strong>'
        cells.append(f"<{cell}{scope}{number}>{text}</{cell}>")
    return cells


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV, without a plain RangeIndex; text that a spreadsheet would run gets an apostrophe first."""
    columns = {_harmless(name): list(map(_harmless, values)) for name, values in _columns(frame).items()}
    return pd.DataFrame(columns, dtype=object).to_csv(index=False, lineterminator="\n")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all, with line ends as they are."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, "utf-8", newline="")


def write_table(folder: Path, name: str, frame: pd.DataFrame, caption: str, best: bool = False) -> None:
    """Write `tables/<name>.csv`, and `<name>.json` with what a CSV cannot say; for the arguments see `table_html`."""
    kinds = ["".join(type(value).__name__[0] for value in values) for values in _columns(frame).values()]
    path = Path(folder) / "tables" / f"{name}.csv"
    write_text(path, csv_text(frame))
    facts = {"caption": caption, "best": best, "kinds": kinds}
    write_text(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


def read_table(path: Path, advice: str = "run its notebook again") -> tuple[pd.DataFrame, str, bool]:
    """Read the CSV that `write_table` wrote, as the arguments of `table_html`, which makes the same of them.

    An index is the first column now. If the CSV or the JSON beside it is missing or damaged, a UserError says so and
    ends in the advice; what is damaged is set aside.
    """
    facts = read_json(damaged := path.with_suffix(".json"), advice)
    try:
        caption, best, kinds = str(facts["caption"]), bool(facts["best"]), list(facts["kinds"])
        damaged = path
        head, *rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), strict=True)
        columns = {}
        for name, letters, *cells in zip(head, kinds, *rows, strict=True):
            columns[CELLS["s"](name)] = [CELLS[letter](cell) for letter, cell in zip(letters, cells, strict=True)]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {advice}") from None
    except (ValueError, KeyError, TypeError, csv.Error):
        raise UserError(f"{damaged} is damaged and was set aside as {set_aside(damaged).name}: {advice}") from None
    return pd.DataFrame(columns, dtype=object), caption, best


def _columns(frame: pd.DataFrame) -> dict[str, list]:
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=frame.index.name or "")
    return {_text(name): list(map(_plain, frame[name])) for name in frame.columns}


def _plain(value: object) -> str | float | bool | None:
    if value is None or value is pd.NA or value != value:  # not-a-number differs from itself
        return None
    if isinstance(value, np.generic):  # a float32 becomes the number that its digits say
        value = float(str(value)) if isinstance(value, np.floating) else value.item()
    return value if isinstance(value, int | float) else _text(value)


def _text(value: object) -> str:
    """Text that UTF-8 and CSV can hold, which a file's name need not be."""
    return re.sub("\r\n?", "\n", str(value)).encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(value: str | float | bool | None, form: Callable[[float], str] | None) -> str:
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    if form is not None:
        return form(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
