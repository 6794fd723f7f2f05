import json
import signal
import subprocess
import sys

import pytest
import toy_notebooks

from autoparts import pipeline
from autoparts.__main__ import main


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Reports of the test, and SIGTERM as it was before."""
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def refused(capsys, *arguments):
    """Run a command that has to be refused; return what it said, a single line on the error stream."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("autoparts: ") and err.count("\n") == 1
    return err


def data_without(place, kind, make_photos):
    """Make data of which each lacks something; return it and what the message has to say."""
    folder = place / "data"
    folder.mkdir()
    if kind == "empty folder":
        return folder, "no photo"
    if kind == "missing path":
        return folder / "nowhere", "no such folder"
    if kind == "CSV without columns":
        (folder / "list.csv").write_text("file,name\na.jpg,Mirror\n")
        return folder / "list.csv", "path"
    if kind == "no readable photo":
        for name in ("Mirror", "Pump"):
            (folder / name).mkdir()
            (folder / name / "a.jpg").write_bytes(b"text")
        return folder, "read"
    if kind == "all removed by cleaning":
        return make_photos(folder, {"Hose": 4, "Belt": 4, "Seal Kit": 4}), "0 of 3 categories left after cleaning"
    if kind == "one category":
        return make_photos(folder, {"Mirror": 9}), "at least two"
    return make_photos(folder, {"Mirror": 2, "Pump": 2}), "no photo is left for validation"


@pytest.mark.parametrize(
    "kind",
    [
        "empty folder",
        "missing path",
        "CSV without columns",
        "no readable photo",
        "all removed by cleaning",
        "one category",
        "too few photos",
    ],
)
def test_data_that_cannot_be_used_is_told_in_one_line_and_leaves_nothing(place, kind, make_photos, capsys):
    data, message = data_without(place, kind, make_photos)
    assert message in refused(capsys, "run", "--data", str(data), "--name", "mine")
    assert not (place / "reports").exists() or not list((place / "reports").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "epoch", "3"], "no notebook has a parameter 'epoch'"),
        (["-p", "epochs", "-1"], "epochs is -1; it has to be positive"),
        (["-p", "epochs", "0"], "epochs is 0; it has to be positive"),
        (["-p", "epochs", "many"], "epochs is 'many'"),
        (["-p", "learning_rate", "-0.0005"], "learning_rate is -0.0005; it has to be positive"),
        (["-p", "filters", "[32"], "filters is '[32', which is no YAML value"),
        (["-p", "data", "elsewhere"], "--data"),
        (["-p", "cleaning", "gentle"], "cleaning is 'gentle'"),
        (["-p", "split", "mine"], "split 'mine'"),
        (["--profile", "quick"], "there is no profile 'quick'; choose demo, thesis"),
        (["--only", "02,99"], "there is no notebook '99'"),
        (["--data", "synthetic:huge"], "huge"),
        (["--data", "synthetic:0x0"], "0x0"),
    ],
)
def test_wrong_options_are_told_in_one_line(place, arguments, message, capsys):
    data = [] if "--data" in arguments else ["--data", "synthetic:3x18"]
    assert message in refused(capsys, "run", *data, "--name", "mine", *arguments)
    assert not (place / "reports").exists() or not list((place / "reports").iterdir())


def test_rendering_what_is_not_there_says_how_to_make_it(capsys):
    assert "autoparts run --name mine" in refused(capsys, "render", "mine")


def test_half_a_scale_is_refused(place, capsys):
    message = refused(capsys, "synthesize", str(place / "photos"), "--categories", "5")
    assert "--images" in message and not (place / "photos").exists()


def test_the_last_line_is_the_path_of_the_report(place, monkeypatch, make_photos, capsys):
    monkeypatch.setattr(pipeline, "NOTEBOOKS", place / "notebooks")
    toy_notebooks.write(place / "notebooks", "01_first", "assert (count, rate, names) == (7, 5e-4, ['a', 'b'])")
    (place / "notebooks" / "profiles").mkdir()
    (place / "notebooks" / "profiles" / "demo.yaml").write_text("{}")
    data = make_photos(place / "photos", {"Mirror": 6, "Pump": 6})
    values = ["-p", "count", "7", "-p", "rate", "5e-4", "-p", "names", "[a, b]"]
    assert main(["run", "--data", str(data), "--name", "mine", "--only", "01", *values]) == 0
    index = place / "reports" / "mine" / "index.html"
    assert capsys.readouterr().out == f"{index}\n"
    page = index.read_bytes()
    index.unlink()
    assert main(["render", "mine"]) == 0
    assert index.read_bytes() == page

    toy_notebooks.write(place / "notebooks", "01_first", "raise KeyError('gone')")
    assert main(["run", "--data", str(data), "--name", "mine"]) == 1
    err = capsys.readouterr().err
    assert "01_first failed in cell" in err and "KeyError: 'gone'" in err
    assert index.read_bytes() == page


@pytest.mark.parametrize("command", [[], ["run"], ["render"], ["synthesize"]])
def test_help_is_there_for_every_command(command, capsys):
    with pytest.raises(SystemExit) as found:
        main([*command, "--help"])
    assert found.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: autoparts {' '.join(command)}".rstrip())
    assert all(name in text for name in (["run", "render", "synthesize"] if not command else []))


def test_as_a_module_it_ends_with_the_exit_code_and_without_a_traceback(place):
    command = [sys.executable, "-m", "autoparts", "run", "--data", str(place / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("autoparts: ") and "Traceback" not in done.stderr
    assert json.dumps(str(place / "nowhere"))[1:-1] in done.stderr


def test_help_does_not_wait_for_torch():
    code = "import sys\nfrom autoparts.__main__ import _parser\n_parser()\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
