"""Answers of a finder for a terminal, for programs and for spreadsheets. Imports are few, as in `finder`."""

import csv
import io
import json
import re
from collections.abc import Sequence

from autoparts.catalogue import printable
from autoparts.finder.finder import Answer

FORMULA = re.compile(r"[=@]|[+-](?![\d.]+$)")  # what begins so, a spreadsheet may run; a number it only shows


def table_rows(path: str, answer: Answer | str, width: int) -> str:
    """One row for each name; the photo is named in the first one, by the end of its path if that is long.

    Instead of an answer a reason may be given why the photo cannot be read; so it is in all functions here.
    """
    photo = printable(path)
    photo = photo if len(photo) <= width else "…" + photo[1 - width :]
    if isinstance(answer, str):
        rows = [f"cannot be read: {answer}"]
    elif answer.known:
        rows = [f"{name.confidence:7.1%}  {name.category}" for name in answer.names] + [answer.warning]
    else:
        compared = f"score {answer.score:.2f}, most known parts have {answer.threshold:.2f} or more"
        likeliest = f"likeliest: {answer.names[0].category}, {compared}"
        rows = [f"nothing like it in the catalogue ({likeliest})", answer.warning]
    rows = [printable(row) for row in rows if row]
    return "\n".join(f"{photo if place == 0 else '':{width}}  {row}" for place, row in enumerate(rows))


def json_line(path: str, answer: Answer | str) -> str:
    """One line of JSON: photo, known, name (null for an unknown part), and what `Answer` holds; or photo, error."""
    if isinstance(answer, str):
        return json.dumps({"photo": path, "error": answer})
    nearest = [{"category": near.category, "distance": round(near.distance, 4)} for near in answer.nearest]
    names = [{"category": name.category, "confidence": round(name.confidence, 4)} for name in answer.names]
    told = {"photo": path, "known": answer.known, "name": names[0]["category"] if answer.known else None}
    compared = {"score": round(answer.score, 4), "threshold": round(answer.threshold, 4)}
    return json.dumps(told | {"names": names, "nearest": nearest} | compared | {"warning": answer.warning})


def csv_header(top: int) -> str:
    """Return the first line of a CSV table with `top` names for each photo, of which finders with fewer leave some."""
    names = [column for place in range(1, top + 1) for column in (f"name_{place}", f"confidence_{place}")]
    return _csv_line(["photo", "known", *names, "score", "threshold", "warning", "error"])


def csv_line(path: str, answer: Answer | str, top: int) -> str:
    """One line of that table. The names are given of an unknown part, too; `known` says whether to trust them."""
    if isinstance(answer, str):
        return _csv_line([path, *[""] * (2 * top + 4), answer])
    names = [value for name in answer.names for value in (name.category, f"{name.confidence:.4f}")]
    names += [""] * (2 * top - len(names))
    compared = [f"{answer.score:.4f}", f"{answer.threshold:.4f}"]
    return _csv_line([path, "yes" if answer.known else "no", *names, *compared, answer.warning, ""])


def _csv_line(values: Sequence[str]) -> str:
    """Quote values as RFC 4180 does; an apostrophe keeps a text from being a spreadsheet's formula."""
    safe = [f"'{text}" if FORMULA.match(text) else text for text in map(printable, values)]
    csv.writer(line := io.StringIO(), lineterminator="").writerow(safe)
    return line.getvalue()
