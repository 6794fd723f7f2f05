import csv
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from autoparts import retrieval
from autoparts.errors import UserError
from autoparts.study import tables

HOSTILE = "<img src=x onerror=alert(1)>"
AWKWARD = ["=1+1", "'=1+1", "''@x", "-4", "'-4", "- 4", "+-1", "\tx", "a\r\nb", "\rx", "", " ", "NA", "None", "True"]
AWKWARD += ["01", "1e5", "a,b", 'say "x"', "é ★ 你", "\udcff.jpg", "\x00", "\u2028", "nan", HOSTILE, "95.1% to 97.3%"]
FRAMES = {
    "text": pd.DataFrame({"category": AWKWARD, "=rule": AWKWARD[::-1]}),
    "text index": pd.DataFrame({"n": range(len(AWKWARD))}, index=pd.Index(AWKWARD, name="@model")),
    "index without a name": pd.DataFrame({"accuracy": [0.5, 1 / 3]}, index=["", "b"]),
    "whole numbers, some missing": pd.DataFrame({"m": ["a", "b"], "n (test)": pd.array([12345, None], dtype="Int64")}),
    "whole numbers become others": pd.DataFrame({"m": ["a", "b"], "queries": [1200, None], "big": [10**7, 1.5]}),
    "truth": pd.DataFrame({"trained on them": [True, False], "sure": [True, None], "numpy": np.array([True, False])}),
    "single precision": pd.DataFrame({"threshold": np.array([0.1245, 1.1, 1e-9, 1e9], dtype=np.float32)}),
    "numbers": pd.DataFrame({"accuracy": [0.1245, 0.71350, 1.0, 2 / 3, -0.0], "x": [1e-7, 12345.678, np.inf, 0.5, 3]}),
    "mixed": pd.DataFrame({"value": [1, 2.0, "3", None, True, "", np.nan, pd.NA, 10**12]}),
    "missing text": pd.DataFrame({"word": ["a", None, "", np.nan], "95 % interval": ["1.2% to 3.4%", "", "", None]}),
    "groups": pd.DataFrame({"g": pd.Categorical(["a", "b"]), "chance": [0.0001, None]}, pd.Index([1, 2], name="y")),
    "no rows": pd.DataFrame({"path": [], "reason": []}),
    "one column": pd.DataFrame({"word": ["", "a", None]}),
    "best": pd.DataFrame({"f1": [0.5, None, 0.5], "EER": pd.array([1, 2, None], dtype="Int64"), "MAP@R": [None] * 3}),
}


def html(frame, *options):
    return BeautifulSoup(tables.table_html(frame, "A <table>", *options), "html.parser")


@pytest.mark.parametrize("kind", FRAMES)
def test_a_table_read_back_looks_as_it_did(kind, tmp_path):
    for best in (False, True):
        tables.write_table(tmp_path, "t", FRAMES[kind], "A <caption>", best)
        path = tmp_path / "tables" / "t.csv"
        assert tables.table_html(*tables.read_table(path)) == tables.table_html(FRAMES[kind], "A <caption>", best)
        assert path.read_bytes().decode() == tables.csv_text(FRAMES[kind])


def test_any_table_read_back_looks_as_it_did(tmp_path):
    random = np.random.default_rng(0)
    cells = [*AWKWARD, *random.normal(0, 1000, 20), *random.integers(0, 10**6, 20).tolist(), None, True, False, np.nan]
    names = ["category", *tables.FORMATS, ""]
    for _ in range(100):
        chosen = random.permutation(len(names))[:5]
        frame = pd.DataFrame({names[place]: random.choice(np.array(cells, dtype=object), 6) for place in chosen})
        tables.write_table(tmp_path, "t", frame, "c")
        assert tables.table_html(*tables.read_table(tmp_path / "tables" / "t.csv")) == tables.table_html(frame, "c")


def test_a_table_has_caption_scopes_and_escaped_cells():
    table = html(pd.DataFrame({"name": [HOSTILE, "b"], "photos": [12345, 2]}))
    assert table.caption.text == table.div["aria-label"] == "A <table>" and table.div["tabindex"] == "0"
    assert [cell["scope"] for cell in table.select("th")] == ["col", "col", "row", "row"]
    assert table.select_one("tbody th").text == HOSTILE and table.select_one("td.number").text == "12,345"


def test_columns_are_shown_as_their_names_say():
    frame = pd.DataFrame({"accuracy": [0.12345, None], "sure": [True, False], "difference": [0.05, -0.1]})
    frame = frame.assign(share=2 / 3, chance=[1 / 60, 0.00001], NLL=1.23456, x=[1234.5678, 0.000123456])
    rows = html(frame.set_axis(pd.Index(["a", "b"], name="model"))).select("tr")
    assert [[cell.text for cell in row.select("th, td")] for row in rows] == [
        ["model", *frame.columns],
        ["a", "12.3%", "yes", "+5.0", "67%", "1.67%", "1.235", "1235"],
        ["b", "–", "no", "-10.0", "67%", "0.0010%", "1.235", "0.0001235"],
    ]
    assert set(retrieval.NAMING) <= set(tables.BEST) <= set(tables.FORMATS)


def test_the_best_value_is_marked_by_more_than_colour():
    frame = pd.DataFrame({"m": ["a", "b", "c"], "EER": [2.0, 1.0, 1.0], "f1": [1, None, 0], "other": [1, 2, 3]})
    assert [cell.parent.parent.th.text for cell in html(frame, True).select("strong.best")] == ["a", "b", "c"]
    assert "best" in html(frame, True).select_one("strong.best span")["aria-label"]
    assert not html(frame).select("strong.best")


def test_columns_of_numbers_are_right_aligned_and_an_empty_table_says_so():
    frame = pd.DataFrame({"m": ["a", "b"], "interval": ["+1.2% to 3.4%", "–"], "n": [1, None], "word": ["1", "one"]})
    assert [cell.text for cell in html(frame).select("thead .number")] == ["interval", "n"]
    assert html(frame.head(0)).select_one("td").text == "none"


def test_csv_text_is_no_formula_and_numbers_stay_numbers():
    frame = pd.DataFrame({"name": ["=1+1", "-4", "@x", "a"], "value": [-1.5, 2, 3, 4]})
    assert tables.csv_text(frame).splitlines() == ["name,value", "'=1+1,-1.5", "-4,2.0", "'@x,3.0", "a,4.0"]
    for frame in FRAMES.values():
        for cell in chain.from_iterable(csv.reader(tables.csv_text(frame).split("\n"))):
            assert cell[:1] not in ("=", "@", "\t") and (cell[:1] not in ("+", "-") or float(cell) is not None)


DAMAGED = [b"", b"\xff", b"{}", b"sure,n\nTrue,<b>\n", b"sure\nTrue\n", b'{"kinds": 2}', None]


@pytest.mark.parametrize("ending", [".csv", ".json"])
@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_set_aside_and_named(ending, content, tmp_path):
    tables.write_table(tmp_path, "t", pd.DataFrame({"sure": [True], "n": [3]}), "c")
    path = tmp_path / "tables" / f"t{ending}"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=rf"t\{ending} is .*: run notebook 03") as refused:
        tables.read_table(path.with_suffix(".csv"), "run notebook 03")
    assert content is None or f"set aside as t{ending}.damaged" in str(refused.value)
    assert not path.exists() and len(list(path.parent.iterdir())) == (1 if content is None else 2)
