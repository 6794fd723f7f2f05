import sys
from types import SimpleNamespace

import IPython
from IPython import display
from tqdm import tqdm

import autoparts


def test_in_a_notebook_a_bar_is_one_line_that_is_empty_in_the_end(monkeypatch):
    lines = []
    handle = SimpleNamespace(update=lambda data, raw: lines.append(data["text/plain"]))
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=None))
    monkeypatch.setattr(display, "display", lambda data, raw, display_id: handle.update(data, raw) or handle)
    for leave in (True, False):
        lines.clear()
        with tqdm(range(3), "Photos", leave=leave, mininterval=0, file=autoparts.bar_file(), disable=None) as bar:
            assert list(bar) == [0, 1, 2]
        assert lines[0].startswith("Photos:   0%") and "3/3" in "".join(lines) and lines[-1] == ""


def test_moves_of_a_cursor_are_not_shown():
    bar = autoparts._Output()
    bar.write("\n\x1b[A")  # as of a bar below another
    assert bar.shown is None


def test_elsewhere_it_is_where_bars_are(monkeypatch):
    assert autoparts.bar_file() is sys.stderr
    monkeypatch.delitem(sys.modules, "IPython")
    assert autoparts.bar_file() is sys.stderr
