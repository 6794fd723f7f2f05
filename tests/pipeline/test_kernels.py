import json
import tempfile

import toy_notebooks

from autoparts.pipeline import kernels
from autoparts.pipeline.notebooks import Notebook

TABLE = {"01_first": Notebook(writes=("results/first.json",)), "02_second": Notebook(reads=("results/first.json",))}
FIRST = 'import sys\nwrite("results/first.json", json.dumps({"version": 2, "late": "wave" in sys.modules}))'


def test_a_kernel_that_waits_is_replaced_where_it_does_not_serve(tmp_path, monkeypatch):
    """Since it has imported code of before, or has died."""
    toys = toy_notebooks.Toys(tmp_path, monkeypatch, TABLE)
    for stem in TABLE:
        toy_notebooks.write(toys.notebooks, stem, FIRST if stem == "01_first" else "")
    toys.run()
    toys.use_kernels(monkeypatch)
    far = tmp_path / ("far" * 30)  # too long for the path of a socket
    far.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(far))
    monkeypatch.setattr(kernels, "TABLE", {"01_first": Notebook(late=("wave",))})
    made, start = [], kernels.started
    monkeypatch.setattr(kernels, "started", lambda path: made.append(path.stem) or start(path))
    toy_notebooks.write(toys.notebooks, "01_first", FIRST, f"pathlib.Path({str(toys.code)!r}).write_text('answer = 3')")
    assert toys.run() == "01 02" and made == ["01_first", "02_second", "02_second"]
    assert json.loads((toys.folder / "results" / "first.json").read_text())["late"]
    made.clear()
    dead = (
        "import psutil\nwaits = max(psutil.Process().parent().children(), key=psutil.Process.create_time)\nwaits.kill()"
    )
    toy_notebooks.write(toys.notebooks, "01_first", FIRST, dead)
    assert toys.run(force=True) == "01 02" and made == ["01_first", "02_second", "02_second"]
