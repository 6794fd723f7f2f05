import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import toy_notebooks
from filelock import FileLock
from jupyter_client.kernelspec import KernelSpecManager

from autoparts import pipeline
from autoparts.dependencies import sources_of
from autoparts.files import UserError, whole_file

RESULT = """
import json, pathlib
from autoparts.files import whole_file
folder = pathlib.Path(os.environ["AUTOPARTS_REPORTS"]) / run
with whole_file(folder / "results" / "first.json") as path:
    path.write_text(json.dumps({"count": count}))
"""


@pytest.fixture
def toys(tmp_path, monkeypatch, make_photos):
    """Two notebooks, the second one reading what the first one saved, on eighteen photos."""
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(pipeline, "NOTEBOOKS", tmp_path / "notebooks")
    toy_notebooks.write(tmp_path / "notebooks", "01_first", RESULT)
    toy_notebooks.write(tmp_path / "notebooks", "02_second", '# study.result("first", "01_first")\ncount + 1')
    (tmp_path / "notebooks" / "profiles").mkdir()
    (tmp_path / "notebooks" / "profiles" / "demo.yaml").write_text("count: 4\n")
    make_photos(tmp_path / "photos" / "secret-place", {"Mirror": 6, "Pump": 6, "Wheel": 6})
    return tmp_path


def run(toys, **options):
    """Run the toy notebooks; return which ones ran this time."""
    (toys / "log").write_text("")
    defaults = {"data": str(toys / "photos" / "secret-place"), "name": "toy"}
    index = pipeline.run(**(defaults | options))
    assert index == toys / "reports" / "toy" / "index.html" and index.is_file()
    return (toys / "log").read_text().split()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_only_what_changed_runs_again(toys):
    assert run(toys) == ["01_first", "02_second"]
    before = files(toys / "reports" / "toy" / "notebooks")
    assert run(toys) == []
    assert files(toys / "reports" / "toy" / "notebooks") == before

    toy_notebooks.write(toys / "notebooks", "02_second", '# study.result("first", "01_first")\ncount + 2')
    assert run(toys) == ["02_second"]
    assert run(toys, only=["01"], force=True) == ["01_first"]
    assert run(toys) == []  # it saved the same result again

    assert run(toys, only=["01"], parameters={"count": 7}) == ["01_first"]
    assert run(toys, only=["02"]) == ["02_second"]  # since the result it reads is another one now
    assert run(toys, parameters={"seed": 1}) == ["01_first", "02_second"]
    executed = json.loads((toys / "reports" / "toy" / "results" / "first.json").read_text())
    assert executed == {"count": 4}  # from the profile


def test_a_changed_photo_runs_everything_again_and_a_touched_one_nothing(toys, make_photos):
    folder = toys / "photos" / "secret-place"
    assert len(run(toys)) == 2
    (folder / "Pump" / "0.jpg").touch()
    assert run(toys) == []
    (folder / "Pump" / "1.jpg").write_bytes((folder / "Wheel" / "2.jpg").read_bytes())
    assert len(run(toys)) == 2


def test_run_facts_and_no_path_of_the_user_in_the_report(toys):
    run(toys, parameters={"rate": 0.25}, only=["01"])
    run(toys, parameters={"rate": 0.25})
    folder = toys / "reports" / "toy"
    facts = json.loads((folder / "run.json").read_text())
    assert facts["name"] == "toy" and facts["data"] == "secret-place" and facts["generated"] is False
    assert facts["parameters"] == {"count": 4, "rate": 0.25}
    assert facts["photos"] == 18 and facts["categories"] == 3
    assert sum(facts["split"].values()) == 18
    assert facts["versions"].keys() >= {"python", "torch", "numpy", "pandas"}
    assert facts["timings"].keys() == {"01_first", "02_second"}
    assert facts["seed"] == 0 and len(facts["fingerprint"]) == 32
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".json", ".csv", ".ipynb"):
            text = path.read_text("utf-8")
            assert str(toys) not in text and str(Path.home()) + "/" not in text, path.name
    page = (folder / "01_first.html").read_text()
    assert [re.search(rf">{name}</th><td[^>]*>([^<]*)</td>", page)[1] for name in ("count", "rate")] == ["4", "0.25"]
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]


def test_a_failing_notebook_is_named_and_the_good_report_stays(toys):
    run(toys)
    before = files(toys / "reports" / "toy")
    toy_notebooks.write(toys / "notebooks", "02_second", "1 + 1", "1 / 0")
    with pytest.raises(
        pipeline.NotebookError, match=r"02_second failed in cell \d+: ZeroDivisionError: division"
    ) as found:
        run(toys)
    assert found.value.exit_code == 1
    assert "02_second.failed.ipynb" in str(found.value)
    after = files(toys / "reports" / "toy")
    failed = after.pop("notebooks/02_second.failed.ipynb")
    assert b"ZeroDivisionError" in failed
    assert after == before
    toy_notebooks.write(toys / "notebooks", "02_second", "1 + 2")
    assert run(toys) == ["02_second"]
    assert not list((toys / "reports" / "toy" / "notebooks").glob("*.failed.ipynb"))


def test_a_kernel_that_dies_is_a_failing_notebook(toys):
    toy_notebooks.write(toys / "notebooks", "01_first", "os._exit(1)")
    with pytest.raises(pipeline.NotebookError, match=r"01_first failed.*died"):
        run(toys)
    assert not list((toys / "reports" / "toy").rglob("*running*"))


def test_a_kernel_that_dies_while_it_starts_is_a_failing_notebook(toys, monkeypatch):
    def die(path, output, parameters, **options):
        Path(output).write_bytes(path.read_bytes())
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(pipeline.papermill, "execute_notebook", die)
    with pytest.raises(pipeline.NotebookError, match=r"01_first failed.*died"):
        run(toys)


def test_a_users_kernel_of_the_same_name_is_not_used(toys, monkeypatch):
    decoy = toys / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    for variable in ("JUPYTER_PATH", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(toys / "jupyter"))
    assert KernelSpecManager().get_kernel_spec("python3").argv == ["/bin/false"]
    toy_notebooks.write(toys / "notebooks", "01_first", "import sys\nassert sys.executable == names[0], sys.executable")
    assert run(toys, only=["01"], parameters={"names": [sys.executable]}) == ["01_first"]


def test_two_runs_into_one_folder_do_not_meet(toys):
    folder = toys / "reports" / "toy"
    folder.mkdir(parents=True)
    with (
        FileLock(folder / ".lock"),
        pytest.raises(UserError, match=r"run 'toy' is busy.*wait for it, or choose --name"),
    ):
        run(toys)
    assert run(toys, only=["02"]) == ["02_second"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"epoch": 3}}, "no notebook has a parameter 'epoch'; there are count, data, device"),
        ({"parameters": {"count": "three"}}, "count is 'three'; expected something like 3"),
        ({"parameters": {"count": 2.5}}, "count is 2.5; expected something like 3"),
        ({"parameters": {"count": True}}, "count is True; expected something like 3"),
        ({"parameters": {"loud": 1}}, "loud is 1; expected something like False"),
        ({"parameters": {"names": "a"}}, r"names is 'a'; expected something like \['a'\]"),
        ({"parameters": {"count": -1}}, "count is -1; it has to be positive"),
        ({"parameters": {"rate": 0}}, "rate is 0; it has to be positive"),
        ({"parameters": {"rate": float("nan")}}, "rate is nan; it has to be positive"),
        ({"parameters": {"device": "abacus"}}, "device 'abacus' cannot be used"),
        ({"parameters": {"data": "elsewhere"}}, "data is given with --data"),
        ({"parameters": {"run": "elsewhere"}}, "run is given with --name"),
        ({"profile": "quick"}, "there is no profile 'quick'; choose demo"),
        ({"only": ["9"]}, "there is no notebook '9'; choose among 01, 02"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_wrong_input_is_told_before_anything_is_written(toys, options, message):
    with pytest.raises(UserError, match=message) as found:
        run(toys, **options)
    assert found.value.exit_code == 2
    assert not (toys / "reports").exists() or not list((toys / "reports").iterdir())


def test_wrong_input_leaves_an_earlier_run_alone(toys):
    run(toys, only=["02"])
    before = files(toys / "reports" / "toy")
    for options in ({"data": "nowhere"}, {"parameters": {"count": 0}}, {"parameters": {"device": "abacus"}}):
        with pytest.raises(UserError):
            run(toys, **options)
    assert files(toys / "reports" / "toy") == before


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1\n", "names and values"), ("count: [\n", "no YAML"), ("countt: 3\n", "no notebook has a parameter 'countt'")],
)
def test_a_profile_that_is_none_is_refused(toys, text, message):
    (toys / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        run(toys, profile=str(toys / "mine.yaml"))


def test_a_switch_can_be_set_off_and_a_seed_to_zero(toys):
    toy_notebooks.write(toys / "notebooks", "02_second", "assert not loud and seed == 0")
    assert run(toys, only=["02"], parameters={"loud": False, "seed": 0}) == ["02_second"]


def test_a_profile_may_speak_of_notebooks_that_are_left_out(toys):
    toy_notebooks.write(toys / "notebooks", "03_third", parameters=toy_notebooks.PARAMETERS + "more = 1  # of it")
    (toys / "mine.yaml").write_text("more: 3\ncount: 2\n")
    assert run(toys, only=["02"], profile=str(toys / "mine.yaml")) == ["02_second"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such sockets")
def test_kernels_take_no_ports_that_others_may_be_given_too(toys):
    code = "import json, ipykernel\nassert json.loads(ipykernel.get_connection_info())['transport'] == 'ipc'"
    toy_notebooks.write(toys / "notebooks", "02_second", code)
    assert run(toys, only=["02"]) == ["02_second"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_goes_on_from_there(toys, number):
    toy_notebooks.write(toys / "notebooks", "02_second", "import time\nif count == 5:\n    time.sleep(120)")
    start = f"""if True:
        import pathlib, signal, sys
        from autoparts import pipeline, __main__
        pipeline.NOTEBOOKS = pathlib.Path({str(toys / "notebooks")!r})
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
        sys.exit(__main__.main(sys.argv[1:]))"""
    data = str(toys / "photos" / "secret-place")
    command = [sys.executable, "-c", start, "run", "--data", data, "--name", "toy", "-p", "count"]
    (toys / "log").write_text("")
    with subprocess.Popen([*command, "5"], stderr=subprocess.PIPE, text=True) as process:
        waited = time.monotonic()
        while "02_second" not in (toys / "log").read_text() and time.monotonic() < waited + 300:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        errors = process.stderr.read()
    assert process.returncode == 130, errors
    assert errors.rstrip().endswith("autoparts: interrupted; the same command goes on from here")
    assert "Traceback" not in errors
    folder = toys / "reports" / "toy"
    assert [path.name for path in (folder / "notebooks").iterdir()] == ["01_first.ipynb"]
    toy_notebooks.write(toys / "notebooks", "02_second", "import time")
    assert run(toys, parameters={"count": 5}) == ["02_second"]


def test_executed_notebooks_hold_nothing_that_differs_from_run_to_run(toys):
    run(toys)
    notebook = nbformat.read(toys / "reports" / "toy" / "notebooks" / "01_first.ipynb", as_version=4)
    assert notebook.metadata["papermill"].keys() == {"parameters"}
    assert notebook.metadata["autoparts"].keys() == {"stamp", "seconds"}
    assert not [cell for cell in notebook.cells if {"papermill", "execution"} & cell.metadata.keys()]
    assert [cell.id for cell in notebook.cells] == ["01-00", "01-01", "injected-parameters", "01-02", "01-03"]
    injected = notebook.cells[2].source
    assert "count = 4" in injected and "rate" not in injected


def test_declared_parameters_have_their_defaults(toys):
    found = pipeline.declared_parameters(toys / "notebooks" / "01_first.ipynb")
    assert found == {
        "data": "synthetic", "run": "lab", "seed": 0, "device": "auto", "count": 3, "rate": 0.5, "names": ["a"],
        "loud": False,
    }  # fmt: skip


def test_dependencies_of_a_notebook_are_found_through_each_other():
    modules, results = sources_of(
        "# A title about autoparts\nfrom autoparts.evaluation import embed\nfrom autoparts import files as f, nothing\n"
        'a = study.result("cnn", "02")\nb = study.result(\n    "triplet", "04")'
    )
    names = [path.stem for path in modules]
    assert names == sorted(names) and results == ["cnn", "triplet"]
    assert {"evaluation", "files", "losses", "models", "sampling", "device"} <= set(names)
    assert not {"nothing", "report", "figures", "pipeline"} & set(names)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with whole_file(target) as path:
        path.write_text("one")
        assert not target.exists() and path.parent == target.parent
    with pytest.raises(KeyError), whole_file(target) as path:
        path.write_text("two")
        raise KeyError
    assert target.read_text() == "one"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.txt"]
