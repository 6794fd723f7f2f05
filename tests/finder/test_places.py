import os
import threading

import pytest
from samples import draw

import autoparts
from autoparts.errors import FailedError
from autoparts.finder import places

pytest_plugins = "finder_files"


def test_a_finder_trained_anew_does_not_meet_what_another_was_taught(path, tmp_path):
    first, second = tmp_path / "a" / "finder.pt", tmp_path / "b" / "finder.pt"
    for place, content in ((first, b"one"), (second, b"two")):
        place.parent.mkdir()
        place.write_bytes(content)
    assert places.taught_file(first).name != places.taught_file(second).name
    places.taught_file(first).write_bytes(b"taught")
    assert places.taught_file(places.taught_file(first)) == places.taught_file(first)


def test_a_finder_is_that_of_a_run_or_named_itself(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here = tmp_path / "USB Stick"
    assert places.finder_file("./USB Stick/") == here / "models" / "finder.pt"
    assert places.feedback_folder("./USB Stick") == here / "feedback" and str(places.finder_file("a/b.pt")) == "a/b.pt"


def test_what_an_earlier_finder_was_taught_is_told(path, tmp_path, capsys):
    made = tmp_path / "mine" / "models" / "finder.pt"
    made.parent.mkdir(parents=True)
    made.write_bytes(path.read_bytes())
    assert places.file_in_use(str(made.parents[1])) == made and capsys.readouterr().err == ""
    finder = autoparts.load_finder(path)
    for age, name in enumerate(("New", "Old")):
        file = made.with_name(f"finder-taught-0000000{age}.pt")
        finder.add(name, [draw(0)]).save(file)
        os.utime(file, (1e9 - age, 1e9 - age))
    assert places.file_in_use(str(made.parents[1])) == made
    first, second = capsys.readouterr().err.splitlines()
    assert "finder-taught-00000000.pt was taught an earlier" in first and first.endswith("; only that one knows New")
    assert second.endswith(f"each of them again: autoparts teach --run {made.parents[1]} --name NAME PHOTO …")
    (feedback := made.parents[1] / "feedback" / "feedback.csv").parent.mkdir()
    feedback.write_text("path,category\n")
    assert places.file_in_use(str(made.parents[1])) == made
    told = capsys.readouterr().err
    assert told.endswith(f"what the page has kept: autoparts teach --run {made.parents[1]} {feedback}\n")


def test_a_finder_that_is_made_anew_meanwhile_is_not_hidden_by_the_earlier_one(path, tmp_path):
    made = tmp_path / "finder.pt"
    made.write_bytes(path.read_bytes())

    def train_meanwhile(finder):
        finder.add("Other", [draw(0)]).save(made)
        return finder

    with pytest.raises(FailedError, match="was made anew meanwhile, and nothing was kept"):
        places.change(str(made), train_meanwhile)
    assert [each.name for each in tmp_path.glob("*.pt")] == ["finder.pt"]


def test_of_two_who_teach_at_once_neither_is_lost(path, tmp_path, capsys):
    made = tmp_path / "finder.pt"
    made.write_bytes(path.read_bytes())
    first, second = threading.Event(), threading.Event()

    def slowly(finder):
        first.set()
        second.wait(2)
        return finder.add("One", [draw(0)])

    other = threading.Thread(target=places.change, args=(str(made), slowly))
    other.start()
    first.wait()
    places.change(str(made), lambda finder: finder.add("Two", [draw(1)]))
    other.join()
    assert {"One", "Two"} <= {*autoparts.load_finder(places.taught_file(made)).categories}
    assert "A page that is open knows it when it is started again" in capsys.readouterr().out
