"""Tests of pipeline/notebooks.py (tests/test_notebooks.py is about the notebooks themselves)."""

import pytest
import toy_notebooks

from autoparts.errors import UserError
from autoparts.pipeline import notebooks
from autoparts.pipeline.notebooks import Notebook, plan

TABLE = {"01_first": Notebook(), "02_second": Notebook(), "03_third": Notebook()}


def test_the_table_is_of_the_notebooks_there_are():
    assert [path.name for path in notebooks.select()] == [
        path.name for path in sorted(notebooks.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    ]
    made = set()
    for declared in notebooks.TABLE.values():  # read is only what an earlier one writes
        assert made >= {*declared.reads}
        assert not made & {*declared.writes}
        made |= {*declared.writes}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    toys = toy_notebooks.Toys(tmp_path, monkeypatch, TABLE)
    for stem in TABLE:
        more = "more: int = 1  # of it" if stem == "03_third" else ""
        toy_notebooks.write(toys.notebooks, stem, parameters=toy_notebooks.PARAMETERS + more)
    (toys.notebooks / "profiles" / "demo.yaml").write_text("count: 4\n")
    (toys.place / "mine.yaml").write_text("more: 3\ncount: 2\n")
    return toys


def test_values_are_given_or_of_the_profile_or_defaults(toys):
    found = plan(["02"], str(toys.place / "mine.yaml"), {"rate": 1, "loud": False, "seed": 0})
    assert [path.stem for path in found] == ["02_second"]
    assert next(iter(found.values())) == {
        "seed": 0, "device": "auto", "precision": "auto", "threads": 0, "allow_outside": False, "count": 2, "rate": 1.0,
        "filters": [8], "label": "",
        "loud": False,
    }  # fmt: skip
    assert [values["count"] for values in plan([], "demo", {}).values()] == [4, 4, 4]


@pytest.mark.parametrize(
    ("only", "profile", "given", "message"),
    [
        ([], "demo", {"epoch": 3}, "no notebook has a parameter 'epoch'; there are allow_outside, count, data"),
        (["01", "02"], "demo", {"more": 3}, "parameter more is of notebook 03, and 01, 02 are to run"),
        ([], "demo", {"count": "three"}, "count is 'three'; expected a whole number"),
        ([], "demo", {"data": "elsewhere"}, "data is given with --data"),
        ([], "demo", {"name": "elsewhere"}, "name is given with --name"),
        (["9"], "demo", {}, "there is no notebook '9'; choose among 01, 02, 03"),
        ([], "quick", {}, "profile quick cannot be read .*; choose demo, own, or give"),
        ([], "x" * 5000, {}, "too long"),
        ([], "folder.yaml", {}, "Is a directory"),
        ([], "bytes.yaml", {}, "'utf-8' codec"),
        ([], "lists.yaml", {}, "unhashable key"),
        ([], "list.yaml", {}, "names and values"),
        ([], "half.yaml", {}, "while parsing"),
        ([], "data.yaml", {}, "data is given with --data"),
        ([], "typo.yaml", {}, "typo.yaml: no notebook has a parameter 'countt'"),
        ([], "bomb.yaml", {}, r"count is \[\[.*expected a whole number"),
    ],
)
def test_what_cannot_be_planned_is_told(toys, monkeypatch, only, profile, given, message):
    monkeypatch.chdir(toys.place)
    (toys.place / "folder.yaml").mkdir()
    (toys.place / "bytes.yaml").write_bytes(b"\xff\xfe")
    files = {"lists": "? [1]\n: 2\n", "list": "- 1\n", "half": "count: [\n", "data": "data: x\n", "typo": "countt: 3\n"}
    doubled = "".join(f", &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))  # 9 to the power of 9
    files["bomb"] = f"count: [&a0 [x, x, x, x, x, x, x, x, x]{doubled}]\n"
    for name, text in files.items():
        (toys.place / f"{name}.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as found:
        plan(only, profile, given)
    assert len(str(found.value)) < 1000


def test_a_notebook_that_is_damaged_or_missing_is_named_with_what_to_do(toys):
    (toys.notebooks / "02_second.ipynb").write_text("[]")
    with pytest.raises(UserError, match=r"02_second.ipynb is damaged: it is no notebook"):
        plan([], "demo", {})
    (toys.notebooks / "02_second.ipynb").unlink()
    with pytest.raises(UserError, match=r"holds no 02_second.ipynb: notebooks come with a clone.*pip install"):
        plan([], "demo", {})
