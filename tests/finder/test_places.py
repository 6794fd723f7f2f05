import os
import threading

from samples import draw

import autoparts
from autoparts.finder import places
from autoparts.study.folder import run_folder

pytest_plugins = "finder_files"


def test_a_finder_trained_anew_does_not_meet_what_another_was_taught(path, tmp_path):
    first, second = tmp_path / "a" / "finder.pt", tmp_path / "b" / "finder.pt"
    for place, content in ((first, b"one"), (second, b"two")):
        place.parent.mkdir()
        place.write_bytes(content)
    assert places.taught_file(first).name != places.taught_file(second).name
    places.taught_file(first).write_bytes(b"taught")
    assert places.taught_file(places.taught_file(first)) == places.taught_file(first)


def test_a_run_is_a_name_or_a_path_from_here(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.chdir(tmp_path)
    assert places.finder_file("mine") == tmp_path / "reports" / "mine" / "models" / "finder.pt"
    here = tmp_path / "USB Stick"
    for path in ("./USB Stick/", str(here), f"../{tmp_path.name}/USB Stick"):
        assert places.finder_file(path) == here / "models" / "finder.pt"
    assert places.feedback_folder("./USB Stick") == here / "feedback" and str(places.finder_file("a/b.pt")) == "a/b.pt"
    assert places.finder_file("USB Stick/mine") == tmp_path / "reports" / "USB Stick" / "mine" / "models" / "finder.pt"
    (here / "mine").mkdir(parents=True)
    (tmp_path / "mine").mkdir()  # a name stays a name
    assert places.finder_file("USB Stick/mine") == here / "mine" / "models" / "finder.pt"
    assert places.finder_file("mine") == tmp_path / "reports" / "mine" / "models" / "finder.pt"
    (tmp_path / "reports" / "USB Stick" / "mine").mkdir(parents=True)
    assert run_folder("USB Stick/mine") == tmp_path / "reports" / "USB Stick" / "mine"
    monkeypatch.chdir(here)
    assert run_folder(".") == here


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
