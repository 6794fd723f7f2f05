import os
import threading

import pytest
from samples import draw

from autoparts import load_finder
from autoparts.errors import FailedError
from autoparts.finder import places

pytest_plugins = "finder_files"


@pytest.fixture
def made(path, tmp_path):
    """A finder file in a run folder of its own."""
    (made := tmp_path / "mine" / "models" / "finder.pt").parent.mkdir(parents=True)
    made.write_bytes(path.read_bytes())
    return made


def test_a_finder_trained_anew_does_not_meet_what_another_was_taught(made):
    (before := places.taught_file(made)).write_bytes(b"taught")
    assert places.taught_file(before) == before == places.taught_file(made)
    made.write_bytes(b"another")
    assert places.taught_file(made) != before


def test_a_finder_is_that_of_a_run_or_named_itself(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here = tmp_path / "USB Stick"
    assert places.finder_file("./USB Stick/") == here / "models" / "finder.pt"
    assert places.feedback_folder("./USB Stick") == here / "feedback" and str(places.finder_file("a/b.pt")) == "a/b.pt"


def test_what_an_earlier_finder_was_taught_is_told(here, made, capsys):
    run = str(made.parents[1])
    assert places.file_in_use(run) == made and capsys.readouterr().err == ""
    for age, name in enumerate(("New", "Old")):
        file = made.with_name(f"finder-taught-0000000{age}.pt")
        here.add(name, [draw(0)]).save(file)
        os.utime(file, (1e9 - age, 1e9 - age))
    assert places.file_in_use(run) == made
    first, second = capsys.readouterr().err.splitlines()
    assert "finder-taught-00000000.pt was taught an earlier" in first and first.endswith("; only that one knows New")
    assert second.endswith(f"each of them again: autoparts teach --run {run} --name NAME PHOTO …")
    (feedback := made.parents[1] / "feedback" / "feedback.csv").parent.mkdir()
    feedback.write_text("path,category\n")
    assert places.file_in_use(run) == made
    told = capsys.readouterr().err
    assert told.endswith(f"what the page has kept: autoparts teach --run {run} {feedback}\n")


def test_a_finder_that_is_made_anew_meanwhile_is_not_hidden_by_the_earlier_one(made):
    def train_meanwhile(finder):
        finder.add("Other", [draw(0)]).save(made)
        return finder

    with pytest.raises(FailedError, match="was made anew meanwhile, and nothing was kept"):
        places.change(str(made), train_meanwhile)
    assert [*made.parent.glob("*.pt")] == [made]


def test_of_two_who_teach_at_once_neither_is_lost(made, capsys):
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
    assert {"One", "Two"} <= {*load_finder(places.taught_file(made)).categories}
    assert "A page that is open knows it when it is started again" in capsys.readouterr().out
