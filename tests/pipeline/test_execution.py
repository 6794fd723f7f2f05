import contextlib
import io
import json
import re
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import toy_notebooks
from filelock import FileLock
from jupyter_client.kernelspec import KernelSpecManager
from tools import kill_runs, opened

from autoparts import photos
from autoparts.__main__ import main
from autoparts.errors import FailedError, UserError
from autoparts.finder.places import taught_file
from autoparts.pipeline import execution, notebooks
from autoparts.pipeline.notebooks import Notebook
from autoparts.study import exploration
from autoparts.study.study import open_study

TABLE = {
    "01_first": Notebook(writes=("results/first.json",)),
    "02_second": Notebook(reads=("results/first.json",), writes=("models/second.pt",)),
}
FIRST = """
write("results/first.json", json.dumps({"version": 2, "count": count}))
write("tables/first.csv", f"{count},{os.environ.get('TOY', '')}\\n")
"""
SECOND = 'write("models/second.pt", (folder / "results" / "first.json").read_text())'
ASKED = """
import ipykernel, sys
assert json.loads(ipykernel.get_connection_info())["transport"] == ("tcp" if os.name == "nt" else "ipc")
assert sys.executable == label
assert early.cells == 1  # the kernel has imported what the notebook will before any cell
assert str(get_ipython().history_manager.hist_file) == ":memory:"  # what users have typed is left alone
import psutil
assert psutil.Process().create_time() < (folder / "results" / "first.json").stat().st_mtime  # while 01 worked
print("epoch 1", flush=True)
print("epoch 2", data)
"""


def written(place, patch):
    toys = toy_notebooks.Toys(place, patch, TABLE)
    toy_notebooks.write(toys.notebooks, "01_first", FIRST)
    toy_notebooks.write(toys.notebooks, "02_second", SECOND)
    return toys


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Two notebooks, the second one reading what the first one saved, executed without a kernel."""
    return written(tmp_path, monkeypatch)


# With kernels


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run by kernels that are watched, and what it told; a user's kernel of the same name is a program that fails."""
    place, told = tmp_path_factory.mktemp("ran"), io.StringIO()
    decoy = place / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(told):
        (place / "early.py").write_text("import IPython\ncells = len(IPython.get_ipython().user_ns['In'])\n")
        for name, value in {"JUPYTER_PATH": str(place / "jupyter"), **opened.watch(place)}.items():
            patch.setenv(name, value)
        assert KernelSpecManager().get_kernel_spec("python3").argv == ["/bin/false"]
        toys = written(place, patch)
        toys.use_kernels(patch)
        parameters = toy_notebooks.PARAMETERS + "import early\n"
        toy_notebooks.write(toys.notebooks, "02_second", ASKED, SECOND, parameters=parameters)
        assert toys.run(parameters={"rate": 0.25, "label": sys.executable}) == "01 02"
    return toys, told.getvalue()


def test_what_a_notebook_prints_is_told_as_it_runs(ran):
    _, told = ran
    assert (
        re.search(r"[\r\n]01_first: not executed by autoparts so far\n", told) and "18 photos in 3 categories\n" in told
    )
    assert re.search(r"(^|\r|\n)epoch 1\n", told) and f"epoch 2 {ran[0].photos}\n" in told
    assert told.index("02_second  ") < told.index("epoch 1") < told.rindex("02_second  ")


def test_run_facts(ran):
    toys, _ = ran
    facts = toys.facts()
    assert facts["name"] == "toy" and facts["data"] == "secret-place" and facts["generated"] is False
    assert facts["photos"] == 18 and facts["categories"] == 3 and facts["seed"] == 0 and facts["threads"] > 0
    values = {"count": 3, "rate": 0.25, "filters": [8], "loud": False, "device": "auto"}
    assert values.items() <= facts["executed"]["02_second"]["parameters"].items()
    assert facts["executed"].keys() == {"01_first", "02_second"}
    assert facts["versions"].keys() >= {"python", "torch", "numpy", "pandas"} and len(facts["fingerprint"]) == 32


def test_no_path_of_the_user_is_in_the_report(ran):
    toys, _ = ran
    for name, content in toys.files().items():
        if name.endswith((".html", ".json", ".csv", ".ipynb")):
            assert str(toys.place) not in content.decode() and str(Path.home()) + "/" not in content.decode(), name
    page = toys.files()["01_first.html"].decode()
    assert [re.search(rf">{name}</th><td[^>]*>([^<]*)</td>", page)[1] for name in ("count", "rate")] == ["3", "0.25"]


def test_executed_notebooks_hold_nothing_that_differs_from_run_to_run(ran):
    toys, _ = ran
    notebook = nbformat.read(toys.folder / "notebooks" / "01_first.ipynb", as_version=4)
    assert notebook.metadata["papermill"].keys() == {"parameters"}
    assert notebook.metadata["autoparts"].keys() == {"stamp", "outputs", "parameters", "seconds"}
    assert notebook.metadata["autoparts"]["outputs"].keys() == {"results/first.json", "tables/first.csv"}
    assert not [cell for cell in notebook.cells if {"papermill", "execution"} & cell.metadata.keys()]
    assert [cell.id for cell in notebook.cells] == ["01-00", "01-01", "injected-parameters", "01-02", "01-03"]
    assert {path.name for path in toys.folder.rglob(".*")} == {".lock"}


def test_what_a_kernel_opens_or_writes_beyond_its_declaration_is_found(ran, monkeypatch):
    monkeypatch.setattr(opened, "TABLE", TABLE | {"02_second": Notebook()})
    assert opened.undeclared(ran[0].folder, ran[0].place) == [
        "01_first does not read results/data.json",
        "02_second does not read results/data.json",
        "02_second reads results/first.json",
        "02_second writes models/second.pt",
    ]


def test_a_failing_notebook_is_named_and_the_good_report_stays(toys, monkeypatch):
    toys.run()
    before = toys.files()
    toys.use_kernels(monkeypatch)
    toy_notebooks.write(toys.notebooks, "02_second", "1 + 1", "1 / 0")
    with pytest.raises(FailedError, match=r"02_second failed in cell \d+: ZeroDivisionError: division") as found:
        toys.run()
    assert found.value.exit_code == 1 and "02_second.failed.ipynb" in str(found.value)
    after = toys.files()
    assert b"ZeroDivisionError" in after.pop("notebooks/02_second.failed.ipynb")
    assert after == before
    toy_notebooks.write(toys.notebooks, "02_second", SECOND, "os._exit(1)")
    with pytest.raises(FailedError, match=r"02_second failed: its Python process died"):
        toys.run()
    toy_notebooks.write(toys.notebooks, "02_second", SECOND)
    assert toys.run() == ""  # what it wrote is still there
    assert not [name for name in toys.files() if ".failed." in name]


def test_a_kernel_that_dies_while_it_starts_is_a_failing_notebook(toys, monkeypatch):
    def die(path, output, parameters, **options):
        Path(output).write_bytes(path.read_bytes())
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(execution.papermill, "execute_notebook", die)
    toys.use_kernels(monkeypatch)
    with pytest.raises(FailedError, match=r"01_first failed.*died"):
        toys.run()


FAULTS = {  # who gets which signal, and how the command ends
    "Ctrl-C": (False, signal.SIGINT, 130, "autoparts: interrupted; the same command goes on from here\n"),
    "SIGTERM": (False, signal.SIGTERM, 130, "autoparts: interrupted; the same command goes on from here\n"),
    "kill -9 of the kernel": (True, signal.SIGKILL, 1, "stays in the report.\n"),
}


def test_interrupted_runs_go_on_from_there(toys, monkeypatch, capsys, tmp_path_factory):
    toys.run(only=["01"])
    toys.use_kernels(monkeypatch)
    toy_notebooks.write(toys.notebooks, "01_first", "import time\ntime.sleep(120)", FIRST)  # the other's kernel waits
    sockets = tmp_path_factory.mktemp("s")
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))
    log, here = toys.place / "log", psutil.Process()
    others = {*here.children()}  # such as multiprocessing's tracker, after a test with a cluster
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores

    def interrupt(kernel, number):
        while "01_first" not in log.read_text() or len(kernels := {*here.children()} - others) < 2:
            time.sleep(0.1)
        (min(kernels, key=psutil.Process.create_time) if kernel else here).send_signal(number)

    for fault, (kernel, number, code, message) in FAULTS.items():
        log.write_text("")
        threading.Thread(target=interrupt, args=(kernel, number), daemon=True).start()
        assert main(["run", "--data", str(toys.photos), "--name", "toy"]) == code, fault
        assert capsys.readouterr().err.endswith(message)
        assert log.read_text() == "01_first " and {*here.children()} <= others and not [*sockets.iterdir()]
        left = {path.name for path in (toys.folder / "notebooks").iterdir() if ".failed." not in path.name}
        assert left == {"01_first.ipynb"}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    toy_notebooks.write(toys.notebooks, "01_first", FIRST)
    assert toys.run() == "02"


# Without


def test_run_facts_say_with_what_each_notebook_was_executed_and_name_no_home(toys):
    toys.run(only=["01"], parameters={"rate": 1, "label": str(Path.home() / "photos" / "me.jpg")})
    assert toys.facts()["executed"]["01_first"]["parameters"]["label"] == "~/photos/me.jpg"
    toys.run(only=["02"], parameters={"rate": 2})
    rates = {stem: each["parameters"]["rate"] for stem, each in toys.facts()["executed"].items()}
    assert rates == {"01_first": 1.0, "02_second": 2.0}


def test_generated_photos_and_others_get_a_profile_of_their_own(toys, monkeypatch):
    (toys.notebooks / "profiles" / "own.yaml").write_text("count: 5")
    (toys.notebooks / "profiles" / "demo.yaml").write_text("count: 6")
    toys.run(only=["01"])
    assert toys.facts()["executed"]["01_first"]["parameters"]["count"] == 5
    toys.run(only=["01"], profile="demo")
    assert toys.facts()["executed"]["01_first"]["parameters"]["count"] == 6
    monkeypatch.setattr(notebooks, "is_generated", lambda data: data == str(toys.photos))
    assert toys.run(only=["01"]) == ""


def test_two_runs_into_one_folder_do_not_meet(toys):
    toys.folder.mkdir(parents=True)
    with (
        FileLock(toys.folder / ".lock"),
        pytest.raises(UserError, match=r"run 'toy' is busy: wait for .*, or choose --name"),
    ):
        toys.run()
    assert toys.run(only=["01"]) == "01"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"count": 0}}, "count is 0; expected a number above 0"),
        ({"parameters": {"device": "abacus"}}, "device 'abacus' cannot be used"),
        ({"data": "nowhere"}, "nowhere"),
        ({"data": "nowhere", "restart": True, "force": True}, "nowhere"),
    ],
)
def test_wrong_input_is_told_before_anything_is_written(toys, options, message):
    with pytest.raises(UserError, match=message) as found:
        toys.run(**options)
    assert found.value.exit_code == 2
    assert not toys.reports.exists() or not list(toys.reports.iterdir())
    toys.run(only=["01"])
    before = toys.files()
    with pytest.raises(UserError, match=message):
        toys.run(**options)
    assert toys.files() == before


def test_a_run_folder_may_be_there_but_not_among_the_photos(toys, monkeypatch):
    with pytest.raises(UserError, match="lies among the photos and would become a part name; choose --name elsewhere"):
        toys.run(data=str(toys.photos), name=str(toys.photos / "report"))
    (own := toys.place / "mine").mkdir()
    with pytest.raises(UserError, match="nowhere"):
        toys.run(data="nowhere", name=str(own))
    assert own.is_dir() and not (toys.photos / "report").exists()


def test_another_study_is_refused_or_takes_the_emptied_folder(toys, capsys):
    toys.run()
    (toys.folder / "notes.txt").write_text("mine")
    (toys.folder / "feedback").mkdir()
    (toys.folder / "feedback" / "feedback.csv").write_text("path,category\n")
    (finder := toys.folder / "models" / "finder.pt").write_bytes(b"a finder")
    (taught := taught_file(finder)).write_bytes(b"which has learned")
    before = toys.files()
    with pytest.raises(UserError, match=r"18 photos .*seed 0.*seed 1.*--name.*--restart"):
        toys.run(only=["02"], parameters={"seed": 1})
    assert toys.files() == before
    assert toys.run(only=["01"], parameters={"seed": 1}, restart=True) == "01"
    assert f"{toys.folder} is emptied, but for feedback and what its finder was taught" in capsys.readouterr().err
    assert toys.facts()["seed"] == 1 and toys.facts()["executed"].keys() == {"01_first"}
    kept = toys.files().keys()
    assert kept >= {"notes.txt", "feedback/feedback.csv", f"models/{taught.name}"}
    assert not [name for name in kept if "second" in name] and not finder.exists()
    no_run = toys.place / "no run" / "models" / "mine.pt"
    no_run.parent.mkdir(parents=True)
    no_run.touch()
    toys.run(name=str(toys.place / "no run"), only=["01"], restart=True)
    assert no_run.exists()


def test_photos_outside_a_manifests_folder_take_a_permission(toys):
    (toys.place / "lists").mkdir()
    rows = [f"{path},{path.parent.name}" for path in sorted(toys.photos.rglob("*.jpg"))]
    (toys.place / "lists" / "parts.csv").write_text("\n".join(["path,category", *rows]))
    data = str(toys.place / "lists" / "parts.csv")
    with pytest.raises(UserError, match="--allow-outside"):
        toys.run(data=data)
    assert toys.run(data=data, parameters={"allow_outside": True}) == "01 02"
    assert "\nMirror/0.jpg," in (toys.folder / "tables" / "split.csv").read_text()


def test_a_full_disk_keeps_the_report(toys, monkeypatch):
    toys.run()
    before, limits = toys.files(), resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(execution, "_execute", lambda path, output, *given: output.write_bytes(bytes(30_000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as on a disk that is nearly full
    try:
        with pytest.raises(FailedError, match=r"toy cannot be written: File too large"):
            toys.run(only=["01"], force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert toys.files() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [("file", "cannot be a run folder: File exists.*--name"), ("file/run", "Not a directory"), ("x" * 300, "too long")],
)
def test_a_run_folder_that_cannot_be_is_told(toys, name, message):
    (toys.place / "file").touch()
    with pytest.raises(UserError, match=message):
        toys.run(name=str(toys.place / name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"code": 0}, "ended with 0"),
        ({"code": 0, "during": kill_runs.ENDED}, ""),
        ({"left_over": 2, "message": ""}, "no message; 2 processes left"),
        ({"message": "Traceback", "differing": ["split.csv"]}, "a traceback; differing: split.csv"),
    ],
)
def test_what_is_wrong_after_a_kill_is_named(changes, message):
    """Of the program `python -m tests.tools.kill_runs`."""
    good = kill_runs.Killed("Ctrl-C", 1.0, "02_cnn_baseline", 130, "autoparts: interrupted", 0, [])
    assert kill_runs.wrong(good._replace(**changes)) == message


def test_without_git_a_run_knows_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert execution._git("rev-parse", "HEAD") is None


def test_what_is_missing_is_said_on_the_terminal(make_photos, tmp_path, capsys, monkeypatch):
    folder = make_photos(tmp_path, {"Mirror": 9, "Pump": 9, "pump": 9, "Lone": 1})
    (folder / "Pump" / "broken.jpg").write_bytes(b"no photo")
    (folder / "Hose").mkdir()
    (folder / "Hose" / "IMG.HEIC").write_bytes(b"of a phone")
    monkeypatch.setattr(photos, "FORMATS", photos.FORMATS[:6])  # pillow-heif may be installed
    study = open_study(str(folder), device="cpu", side=24)
    execution._say_what_is_missing(study)
    unread, removed, alike = capsys.readouterr().err.splitlines()
    assert unread.startswith("2 files could not be read as photos, listed in tables/table_skipped.csv, all of: Hose; ")
    assert "pip install pillow-heif" in exploration.skipped_files(study)["reason"].iloc[0]
    known = "not a photo of a known format"
    assert {*unread.partition("; reasons: ")[2].split(", ")} == {
        known,
        f"{known} (HEIC photos need: pip install pillow-heif)",
    }
    assert removed.endswith(": 1 photos in 1 categories (Lone); a finder can be taught them: autoparts teach")
    assert alike == "names that differ in capitals alone count as different parts: Pump, pump"
