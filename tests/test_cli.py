import signal
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import pytest
import toy_notebooks

from autoparts import __main__
from autoparts.__main__ import main
from autoparts.pipeline.notebooks import Notebook
from autoparts.study.study import DRAWN, open_study


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Reports of the test, and SIGTERM as it was before."""
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def refused(capsys, *arguments):
    """Run a command that has to be refused; return what it said, a single line on the error stream."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("autoparts: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "epochs", "-1"], "epochs is -1; expected a number above 0"),
        (["-p", "filters", "[32"], "filters is '[32', which is no YAML value"),
        (["--profile", "quick"], "profile quick cannot be read"),
        (["--only", "02,99"], "there is no notebook '99'"),
        (["--data", "/nowhere/at/all"], "no such folder"),
        (["--like", "run.json", "-p", "count", "5"], "leave -p out"),
        (["--like", "run.json", "--allow-outside"], "leave --allow-outside out"),
        (["--cluster", "host:8786"], "cluster is 'host:8786'; expected an address such as tcp://HOST:8786"),
    ],
)
def test_wrong_options_are_told_in_one_line(place, arguments, message, capsys):
    data = [] if "--data" in arguments or "--like" in arguments else ["--data", "synthetic:3x18"]
    assert message in refused(capsys, "run", *data, "--name", "mine", *arguments)
    assert not (place / "reports").exists() or not list((place / "reports").iterdir())


def test_what_is_not_there_is_told(place, capsys):
    assert "autoparts run --name" in refused(capsys, "render", "mine")
    assert "autoparts run --name" in refused(capsys, "check", "mine")
    assert "there is no finder file" in refused(capsys, "identify", "a.jpg", "--run", "mine")
    assert "there is no file in" in refused(capsys, "identify", str(place))


def test_a_catalogue_is_written_and_half_a_scale_refused(place, capsys):
    command = ["synthesize", str(place / "photos"), "--categories", "2"]
    assert "--images" in refused(capsys, *command) and not (place / "photos").exists()
    assert "at least two" in refused(capsys, *command[:-1], "0", "--images", "6")
    assert main([*command, "--images", "24", "--seed", "1"]) == 0
    assert len(list((place / "photos").rglob("*.jpg"))) == 24
    for data in (place / "photos", place / "photos" / "manifest.csv"):  # so that a finder made of them says so
        study = open_study(str(data), cleaning="none", side=20, device="cpu")
        assert study.drawn and not study.generated and not len(study.skipped)
    (place / "photos" / DRAWN).rename(place / DRAWN)  # where it says nothing of a folder below
    assert not study.drawn


def test_the_last_line_is_the_path_of_the_report(place, monkeypatch, capsys):
    toys = toy_notebooks.Toys(place, monkeypatch, {"01_first": Notebook()})
    toy_notebooks.write(toys.notebooks, "01_first", "assert (count, rate, filters) == (7, 5e-4, [3, 4])")
    values = ["-p", "count", "7", "-p", "rate", "5e-4", "-p", "filters", "[3, 4]"]
    assert [__main__._value("any", text) for text in ("", "5e-4", "010", "[3, 4]")] == ["", 5e-4, 10, [3, 4]]
    command = ["run", "--data", str(toys.photos), "--name", "toy", "--only", "01", *values, "--allow-outside"]
    assert main(command) == 0
    index = toys.folder / "index.html"
    assert capsys.readouterr().out == f"{index}\n"
    assert toys.facts()["executed"]["01_first"]["parameters"]["allow_outside"] is True
    assert main(["check", "toy"]) == 0
    assert "01_first                 up to date" in capsys.readouterr().out
    page = index.read_bytes()
    index.unlink()
    assert main(["render", "toy"]) == 0 and index.read_bytes() == page
    assert main(["run", "--like", str(toys.folder / "run.json"), "--data", str(toys.photos)]) == 0
    assert main([*command, "--restart", "--force"]) == 0
    (toys.folder / "notebooks" / "01_first.ipynb").unlink()
    assert main(["check", "toy"]) == 1


def test_help_is_there_for_every_command(capsys):
    (added,) = (each for each in __main__._parser()._actions if each.choices)
    assert len(added.choices) > 10
    for command in ([], *([name] for name in added.choices)):
        with pytest.raises(SystemExit) as found:
            main([*command, "--help"])
        assert found.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: autoparts {' '.join(command)}".rstrip())


def test_as_a_module_it_ends_with_the_exit_code_and_without_a_traceback():
    command = [sys.executable, "-m", "autoparts", "identify", "a.jpg", "--top", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "autoparts: --top is 0; it has to be at least 1\n"


def test_help_does_not_wait_for_torch():
    code = "import sys\nfrom autoparts.__main__ import _parser\n_parser()\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_interruption_that_falls_into_a_destructor_is_not_lost(monkeypatch, capsys):
    def work(chosen):
        fallen = threading.Event()
        reference = weakref.ref(fallen, lambda _: signal.raise_signal(signal.SIGINT))  # where Python ignores it
        del fallen
        assert reference() is None
        threading.Event().wait(30)

    monkeypatch.setattr(__main__, "_parser", lambda: SimpleNamespace(parse_args=lambda _: SimpleNamespace(action=work)))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
    started = time.monotonic()
    code = main([])
    assert signal.getsignal(signal.SIGHUP) in (signal.default_int_handler, signal.SIG_IGN)  # the latter under nohup
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert code == 130 and time.monotonic() < started + 20
    assert capsys.readouterr().err == "autoparts: interrupted\n"


@pytest.mark.parametrize("anew", ["--restart", "--force", "--restart --force"])
def test_an_interrupted_run_goes_on_unless_it_begins_anew(anew, monkeypatch, capsys):
    def stop(chosen):
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "_run", stop)
    assert main(["run", *anew.split()]) == 130
    without = anew.replace(" ", " and ")
    assert capsys.readouterr().err == f"autoparts: interrupted; the same command without {without} keeps what is done\n"


def test_values_of_parameters_are_read_by_what_they_are_for():
    given = {"photo": "Bild #1.jpg", "cleaning": "none", "split": "8/1/1", "seed": "1", "margin": "5e-4", "epoch": "no"}
    read = __main__._parameters(SimpleNamespace(p=[*given.items()], allow_outside=True))
    assert read == given | {"seed": 1, "margin": 5e-4, "epoch": False, "allow_outside": True}


def test_only_a_run_is_rendered(tmp_path, capsys):
    (tmp_path / "index.html").write_text("mine")
    assert main(["render", str(tmp_path)]) == 2
    assert "holds no executed notebooks" in capsys.readouterr().err and (tmp_path / "index.html").read_text() == "mine"


def test_names_that_are_no_paths_are_told(tmp_path, monkeypatch, capsys):
    """Path's own methods raise for what is too long, or begins with a tilde as the lock files of office programs do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    for command in (["check"], ["render"], ["identify", "a.jpg", "--run"]):
        assert main([*command, "~no-such-user/x"]) == 2 and "~no-such-user" in capsys.readouterr().err
    assert main(["identify", "a.jpg", "--run", "x" * 300 + ".pt"]) == 2
    assert capsys.readouterr().err == f"autoparts: '{'x' * 300}.pt': File name too long\n"
    assert __main__._photos_of(["~$a.jpg", "x" * 300]) == ["~$a.jpg", "x" * 300]
