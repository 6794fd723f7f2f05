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
        assert [*tqdm(range(3), "Photos", leave=leave, mininterval=0, file=autoparts.bar_file(), disable=None)] == [
            0,
            1,
            2,
        ]
        assert lines[0].startswith("Photos:   0%") and "3/3" in "".join(lines) and lines[-1] == ""

    bar = autoparts.bar_file()
    bar.write("\n\x1b[A")  # as of a second bar
    assert len(lines) > 0 and not bar.shown


def test_elsewhere_it_is_where_bars_are(monkeypatch):
    assert autoparts.bar_file() is sys.stderr
    monkeypatch.delitem(sys.modules, "IPython")
    assert autoparts.bar_file() is sys.stderr
