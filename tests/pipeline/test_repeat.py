import json

import pytest
import torch
import toy_notebooks
from samples import draw

from autoparts.errors import FailedError, UserError
from autoparts.models import PRECISION
from autoparts.pipeline import stamps
from autoparts.pipeline.notebooks import Notebook
from autoparts.pipeline.repeat import repeat

TABLE = {"01_first": Notebook(), "02_second": Notebook()}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A run of two notebooks that write tables of their parameters; the second was run again with another one."""
    toys = toy_notebooks.Toys(tmp_path, monkeypatch, TABLE)
    for stem in TABLE:
        own = f"write(\"tables/{stem}.csv\", f\"{{count}},{{rate}},{{os.environ.get('TOY', '')}}\\n\")"
        toy_notebooks.write(toys.notebooks, stem, own)
    threads = torch.get_num_threads()
    toys.run(parameters={"rate": 1.5, "seed": 3, "precision": "float32"})
    monkeypatch.setenv(PRECISION, "auto")
    toys.run(only=["01"], parameters={"count": 9, "seed": 3, "threads": 3})
    torch.set_num_threads(threads)
    return toys


def test_each_notebook_is_repeated_as_it_was_executed(toys, capsys):
    repeat(toys.folder / "run.json", str(toys.photos))
    assert "all 3 tables agree" in capsys.readouterr().err
    again = json.loads((toys.reports / "toy-again" / "run.json").read_text())
    found = [(each["parameters"]["precision"], each["parameters"]["threads"]) for each in again["executed"].values()]
    assert found == [
        (toys.facts()["precision"], 3),
        ("float32", toys.facts()["executed"]["02_second"]["found"]["threads"]),
    ]
    assert again["executed"].keys() == TABLE.keys() and again["seed"] == 3
    found = {
        stem: (each["parameters"]["count"], each["parameters"]["rate"]) for stem, each in again["executed"].items()
    }
    assert found == {"01_first": (9, 0.5), "02_second": (3, 1.5)}


def test_differing_tables_are_named_with_what_may_be_the_reason(toys, monkeypatch):
    monkeypatch.setenv("TOY", "another machine")
    with pytest.raises(FailedError, match=r"2 of 3 tables differ.*01_first.csv, 02_second.csv \(versions.* the same\)"):
        repeat(toys.folder / "run.json", str(toys.photos))
    monkeypatch.setattr(stamps, "versions", lambda: {"torch": "9.9"})
    with pytest.raises(FailedError, match=r"\(torch .* then, 9.9 now\)"):
        repeat(toys.folder / "run.json", str(toys.photos), "third")


def test_other_photos_are_not_compared(toys):
    draw(99).save(toys.photos / "Pump" / "0.jpg")
    with pytest.raises(UserError, match="holds other photos, categories or products than run 'toy' had"):
        repeat(toys.folder / "run.json", str(toys.photos))
    assert not (toys.reports / "toy-again").exists()


def test_what_cannot_be_repeated_is_told(toys):
    facts = toys.folder / "run.json"
    with pytest.raises(UserError, match="give --data 'secret-place'"):
        repeat(facts)
    with pytest.raises(UserError, match="choose another one"):
        repeat(facts, str(toys.photos), "toy")
    (toys.place / "notes.json").write_text("{")
    with pytest.raises(UserError, match=r"give the run.json of a run folder"):
        repeat(toys.place / "notes.json")
    assert (toys.place / "notes.json").exists()
    with pytest.raises(UserError, match=r"run.json is missing"):
        repeat(toys.place / "run.json")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("executed", None, "not written by this version"),
        ("executed", {}, "no executed notebook"),
        ("executed", {"99_other": {"parameters": {}}}, "not written by this version"),
        ("executed", {"01_first": 3}, "not written by this version"),
        ("executed", {"01_first": {"parameters": {"countt": 1}}}, "01_first has no parameter 'countt'"),
        ("executed", {"01_first": {"parameters": {"count": "x"}}}, "count is 'x'; expected a whole number"),
        ("data", 3, "not written by this version"),
        ("executed", {"01_first": {"parameters": {"threads": 0}, "found": {"threads": -1}}}, "threads is -1; expected"),
    ],
)
def test_forged_run_facts_are_refused(toys, name, value, message):
    path = toys.folder / "run.json"
    path.write_text(json.dumps(toys.facts() | {name: value}))
    with pytest.raises(UserError, match=message):
        repeat(path, str(toys.photos))
