import json
import os
import tempfile

import pytest
import torch
import toy_notebooks
from samples import draw

from autoparts.pipeline.check import check
from autoparts.pipeline.notebooks import Notebook
from autoparts.pipeline.repeat import repeat

TABLE = {
    "01_first": Notebook(writes=("results/first.json",)),
    "02_second": Notebook(reads=("results/first.json",)),
    "03_third": Notebook(),
}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    toys = toy_notebooks.Toys(tmp_path, monkeypatch, TABLE)
    first = 'write("results/first.json", json.dumps({"version": 2, "count": count}))\nwrite("figures/fig_a.txt", "a")'
    for stem, cell in (("01_first", first), ("02_second", ""), ("03_third", 'write("tables/list.csv", "a\\n1\\n")')):
        toy_notebooks.write(toys.notebooks, stem, cell)
    toys.run(parameters={"count": 7})
    return toys


def told(capsys, *arguments):
    """Check; return whether all is well, and what was printed by its first word."""
    capsys.readouterr()
    well = check("toy", *arguments)
    lines = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) <= 24
    return well, dict(lines)


def test_a_run_that_is_whole_and_up_to_date(toys, capsys):
    before = toys.files()
    well, lines = told(capsys, str(toys.photos))
    assert well and lines["files"] == "all are as they were written" and lines["photos"] == "compared"
    assert lines["study"] == "18 photos of secret-place in 3 categories, seed 0"
    assert [lines[stem] for stem in TABLE] == ["up to date"] * 3
    well, lines = told(capsys)
    assert well and lines["photos"] == "not compared: give --data"
    assert toys.files() == before


def test_a_run_with_threads_of_its_own_is_up_to_date_without_its_photos(toys, capsys):
    threads = torch.get_num_threads()
    toys.run(parameters={"count": 7, "threads": threads + 1})
    torch.set_num_threads(threads)  # as another process finds them
    well, lines = told(capsys)
    assert well and lines["photos"] == "not compared: give --data"


def test_what_is_missing_changed_or_damaged_is_named(toys, capsys):
    (toys.folder / "figures" / "fig_a.txt").unlink()
    os.truncate(toys.folder / "tables" / "list.csv", 1)
    os.truncate(toys.folder / "notebooks" / "02_second.ipynb", 10)
    well, lines = told(capsys)
    assert not well
    for part in ("figures/fig_a.txt is missing", "tables/list.csv is changed", "02_second.ipynb is damaged"):
        assert part in lines["files"]
    assert lines["01_first"] == "would run: figures/fig_a.txt is missing"
    assert lines["02_second"] == "would run: not executed by autoparts so far"


def test_what_would_run_again_and_why(toys, capsys):
    toy_notebooks.write(toys.notebooks, "01_first", "1 + 1")
    well, lines = told(capsys)
    assert not well and lines["01_first"] == "would run: changed: notebook"
    assert lines["02_second"] == "would run, if these write something else: 01_first"
    assert lines["03_third"] == "up to date"
    toys.code.write_text("answer = 2")
    assert told(capsys)[1]["03_third"] == "would run: changed: code"
    draw(99).save(toys.photos / "Pump" / "0.jpg")
    assert told(capsys, str(toys.photos))[1]["03_third"] == "would run: changed: photos, code"


def test_a_split_that_is_damaged_is_named_and_written_again(toys, capsys):
    split = toys.folder / "tables" / "split.csv"
    whole = split.read_bytes()
    for damage in (lambda: os.truncate(split, 9), split.unlink, lambda: (split.unlink(), split.mkdir())):
        damage()
        well, lines = told(capsys)
        assert not well and "tables/split.csv is " in lines["files"] and lines["01_first"] == "up to date"
        assert toys.run(parameters={"count": 7}) == "" and split.read_bytes() == whole and told(capsys)[0]


def test_a_photo_among_temporary_files_is_found_again(toys, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(toys.place))
    draw(0).save(toys.place / "me.jpg")
    parameters = toy_notebooks.PARAMETERS + 'photo: str = ""  # to name'
    toy_notebooks.write(toys.notebooks, "03_third", parameters=parameters)
    toys.run(parameters={"count": 7, "photo": str(toys.place / "me.jpg")})
    assert toys.facts()["executed"]["03_third"]["parameters"]["photo"] == "…/me.jpg" and told(capsys)[0]
    repeat(toys.folder / "run.json", str(toys.photos))
    draw(1).save(toys.place / "me.jpg")
    assert told(capsys)[1]["03_third"] == "would run: changed: photo"


def test_a_folder_of_two_studies_is_told(toys, capsys):
    data = toys.folder / "results" / "data.json"
    data.write_text(json.dumps(json.loads(data.read_text()) | {"seed": 5}))
    well, lines = told(capsys)
    assert not well and lines["study"].endswith("seed 5; another one: 01_first, 02_second, 03_third")
    data.write_text("garbage")
    lines = told(capsys)[1]
    assert "data.json is damaged and was set aside" in lines["files"] and "another one" not in lines["study"]


def test_of_a_finder_made_alone_the_rest_of_the_study_is_no_part(toys, capsys):
    """Nor does what the second notebook reads of the first, which `train` leaves out, make it run again."""
    (toys.folder / "notebooks" / "01_first.ipynb").unlink()
    well, lines = told(capsys, str(toys.photos))
    assert not well and lines["01_first"] == "would run: not executed by autoparts so far"
    assert lines["02_second"] == "would run, if these write something else: 01_first"
    facts = json.loads((toys.folder / "run.json").read_text()) | {"model": {"recipe_side": 192}}
    del facts["executed"]["01_first"]
    (toys.folder / "run.json").write_text(json.dumps(facts))
    well, lines = told(capsys, str(toys.photos))
    assert well and lines["01_first"] == "no part of what autoparts train makes" and lines["02_second"] == "up to date"
    (toys.folder / "notebooks" / "03_third.ipynb").unlink()
    well, lines = told(capsys, str(toys.photos))
    assert not well and lines["03_third"] == "would run: not executed by autoparts so far"
