"""The notebooks as they are committed, and what a small run of all of them makes."""

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import torch
from IPython.display import HTML
from PIL import Image
from samples import poisoned
from tools import opened
from torch._subclasses.fake_tensor import FakeTensorMode

from autoparts import models
from autoparts.errors import FailedError
from autoparts.pipeline import execution, notebooks, progress
from autoparts.study import run as runs_room
from autoparts.study.parameters import annotated
from autoparts.study.study import SHARED, open_study

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TINY = {"epochs": "2", "side": "48", "bootstrap": "50", "row_epochs": "1", "row_side": "24", "seeds": "2"}
TINY |= {"recipe_epochs": "2", "recipe_side": "32", "scratch_epochs": "2", "held_out_draws": "2"}
# The only results that prose may state are those of the thesis.
THESIS_NUMBERS = {"96.41", "0.0007", "99.79", "97.94", "91.98", "50.80", "70.24", "40.36", "74.47"}
FIGURES = (
    "fig_3_5 fig_3_6 fig_6_4 four_photos excluded_examples preparation fig_4_1 fig_4_2 fig_4_3 fig_4_4 fig_4_5 fig_4_6 "
    "fig_4_7 fig_6_3 drawing_cnn fig_cnn_groups fig_pairs fig_triplets fig_triplet_distances fig_triplet_margin "
    "fig_fair_comparison fig_beyond fig_rising fig_kinds fig_recommended fig_reliability "
    "fig_answer fig_occlusion fig_nearest fig_borders"
)
TABLES = (
    "table_source table_cleaning table_removed table_3_1 table_coverage table_cnn_layers table_cnn_test table_confused "
    "table_threshold table_5_1 split table_fair_comparison table_beyond table_against table_learned table_ablation "
    "table_recommended table_seeds table_seeds_paired table_convergence table_unseen table_unseen_differences "
    "table_calibration table_refused table_answer table_borders table_two_names"
)
KINDS = ("figures", "tables", "results", "models")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def code_of(path):
    return [cell.source for cell in cells(path, "code")]


def executed(path, **given):
    """Execute a notebook in this process with these parameters; return its names, and what its cells show."""
    outputs = []
    names = {"display": lambda *shown: outputs.extend(shown)}  # which a kernel has among its builtins
    first, *rest = code_of(path)
    exec(first, names)
    names |= given
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for source in rest:
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.stem, "exec"), names)
        outputs += [eval(compile(ast.Expression(last.value), path.stem, "eval"), names)] if last else []
    torch.set_num_threads(threads)
    return names, outputs


# What a reader of the repository finds


@every_notebook
def test_a_notebook_is_committed_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells(path, "code"))
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(rf"{path.stem[:2]}-[\w-]+", name) for name in ids)


@every_notebook
def test_a_notebook_calls_and_defines_nothing_and_ends_with_an_exercise(path):
    for source in code_of(path):
        tree = ast.parse(source)  # no magics, no shell
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)], source
        silent = [ast.unparse(node) for node in tree.body[:-1] if isinstance(node, ast.Expr)]  # only the last is shown
        assert not [call for call in silent if call.startswith(("run.show(", "run.table("))], source
        foreign = r"sys\.path|subprocess|os\.system|urlopen|urlretrieve|requests|https?://|\bdownload"
        assert not re.search(foreign, source)
    texts = cells(path, "markdown")
    assert texts[0].source.startswith("# ") and texts[-1].source.startswith("## Exercise")


@every_notebook
def test_parameters_are_typed_and_commented_in_the_first_code_cell(path):
    (tagged,) = [cell.source for cell in cells(path, "code") if "parameters" in cell.metadata.get("tags", [])]
    lines = tagged.splitlines()
    assert tagged == code_of(path)[0] and list(annotated(tagged)) == [line.partition(":")[0] for line in lines]
    assert all(line.partition("  # ")[2].strip() for line in lines)


def test_the_parameters_that_open_the_study_are_the_same_everywhere():
    shared = [code_of(path)[0].splitlines()[: 2 + len(SHARED)] for path in NOTEBOOKS]
    assert all(lines == shared[0] for lines in shared)
    assert [line.partition(":")[0] for line in shared[0]] == ["data", "name", *SHARED]


@every_notebook
def test_no_result_is_typed_into_prose(path):
    for cell in cells(path, "markdown"):
        stated = re.findall(r"(\d+\.\d+)\s*(?:%|percent)|\b(0\.\d{2,})", cell.source)
        assert {number for pair in stated for number in pair if number} <= THESIS_NUMBERS, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS[1:3], ids=lambda path: path.stem)
def test_shapes_are_shown_wherever_the_photos_are(path, capsys):
    (cell,) = [source for source in code_of(path) if "batch = " in source]
    network, study = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48 * 48, 5)), SimpleNamespace()
    made = SimpleNamespace(thesis_network=lambda *_, **__: network, photo_input=models.photo_input)
    names = {"network": network, "models": made, "study": study, "embedding_size": 5, "filters": (4,)}
    with FakeTensorMode(allow_non_fake_inputs=True):
        study.photos = SimpleNamespace(pixels=torch.empty(4, 48, 48, dtype=torch.uint8, device="cuda"))
        exec(cell, names | {"side": 48, "seed": 0})
    assert capsys.readouterr().out == "torch.Size([3, 1, 48, 48]) → torch.Size([3, 5])\n"


# What a run makes


def start(name, folder, hash_seed):
    own = {"AUTOPARTS_REPORTS": str(folder / "reports"), "AUTOPARTS_CACHE": str(folder / "cache")}
    own |= {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": hash_seed, "LOKY_MAX_CPU_COUNT": str(1 + int(hash_seed))}
    command = [sys.executable, "-m", "autoparts", "run", "--data", "synthetic:6x72", "--name", name]
    for parameter, value in TINY.items():
        command += ["-p", parameter, value]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=os.environ | opened.watch(folder) | own, **options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of all notebooks on 72 photos, other in folder, name, hash seed, cache, and number of processes."""
    folders = [tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("another")]
    processes = [start(f"run-{place}", folder, str(place)) for place, folder in enumerate(folders)]
    said = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, said, strict=True):
        assert process.returncode == 0, errors
    found = [folder / "reports" / f"run-{place}" for place, folder in enumerate(folders)]
    assert [out for out, _ in said] == [f"{folder / 'index.html'}\n" for folder in found]
    return found


@pytest.fixture(scope="module")
def run(runs):
    return runs[0]


def test_a_notebook_opens_no_result_and_no_weights_that_are_not_declared(run):
    folder = run.parents[1]
    assert opened.undeclared(run, folder) == []
    assert "05_model_comparison results/cnn.json" in (folder / "opened.txt").read_text()  # else it has seen nothing


def test_a_run_asks_no_other_host(run, tmp_path):
    assert opened.asked(run.parents[1]) == set()
    code = "import contextlib, socket\nfor name in ('localhost', 'parts.invalid'):\n"
    code += "    with contextlib.suppress(OSError): socket.getaddrinfo(name, 80)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | opened.watch(tmp_path), check=True)
    assert opened.asked(tmp_path) == {"parts.invalid"}  # else it would see nothing


def result(run, name):
    return json.loads((run / "results" / f"{name}.json").read_text())


def test_a_run_makes_all_that_was_promised(run):
    made = {kind: {path.stem for path in (run / kind).iterdir()} for kind in KINDS}
    # The embedded catalogue at this size has nothing that cleaning would remove, so there may be no excluded example.
    assert set(FIGURES.split()) - {"excluded_examples"} <= made["figures"]
    assert set(TABLES.split()) <= made["tables"]
    declared = {file for notebook in notebooks.TABLE.values() for file in notebook.writes}
    assert all((run / file).is_file() for file in declared)
    pages = {path.stem for path in run.glob("*.html")}
    assert pages == {"index", *(path.stem for path in NOTEBOOKS)}
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def test_notebook_6_prints_as_much_on_its_trainings_as_the_bar_expects(run):
    path = run / "notebooks" / "06_beyond_the_thesis.ipynb"
    outputs = [output for cell in cells(path, "code") for output in cell.outputs if output.output_type == "stream"]
    told = "".join(output.text for output in outputs)
    expected, by_epochs = progress.trainings(nbformat.read(path, as_version=4).metadata.autoparts.parameters)
    whole = [epoch for epoch, last in progress.EPOCH.findall(told) if epoch == last]
    assert len(whole) == 1  # from scratch; the recommended model, one for each seed, has too few photos to be tuned
    assert len(progress.ROW.findall(told)) == pytest.approx(expected - (1 + 2) * by_epochs)


def test_every_figure_of_the_run_has_a_caption_and_an_alternative_text(run):
    for path in (run / "figures").iterdir():
        with Image.open(path) as image:
            assert len(image.text["Title"]) > 10 and len(image.text["Description"]) > 10, path.name


def test_two_runs_of_one_seed_are_equal_to_the_byte(runs):
    def contents(run):
        paths = (path for kind in KINDS for path in (run / kind).rglob("*") if path.is_file())
        return {str(path.relative_to(run)): path.read_bytes() for path in paths}

    first, second = map(contents, runs)
    assert first.keys() == second.keys()
    # A finder file tells which run it came from; apart from that it is equal too.
    assert [name for name in first if first[name] != second[name]] == ["models/finder.pt"]
    one, other = (torch.load(run / "models" / "finder.pt", weights_only=True) for run in runs)
    assert [finder["facts"].pop("run") for finder in (one, other)] == ["run-0", "run-1"]
    assert all(torch.equal(weights, other["weights"][name]) for name, weights in one.pop("weights").items())
    assert all(torch.equal(v, other[k]) if isinstance(v, torch.Tensor) else v == other[k] for k, v in one.items())


def test_two_runs_of_one_seed_have_equal_pages_apart_from_name_seconds_and_date(runs):
    varies = re.compile(r"run-[01]|\b\d+(\.\d+)? s\b|\b\d{4}-\d\d-\d\d\b")
    first, second = (
        {path.name: varies.sub("", path.read_text("utf-8")) for path in run.glob("*.html")} for run in runs
    )
    assert len(first) == 1 + len(NOTEBOOKS) and first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_table_5_1_holds_the_results(run):
    table = pd.read_csv(run / "tables" / "table_5_1.csv")
    ours = table[table["source"] == "this run"]
    saved = [result(run, name)["metrics"]["test_accuracy"] for name in ("cnn", "contrastive", "triplet")]
    assert ours["test accuracy"].tolist() == pytest.approx(saved)
    photos = result(run, "data")["photos_by_split"]["test"]
    assert ours["n (test)"].tolist() == [photos, 10 * photos, 10 * photos]
    assert 'id="table-5-1"' in (run / "index.html").read_text()


def test_numbers_in_texts_are_those_of_the_results(run):
    def alt(name):
        with Image.open(run / "figures" / f"{name}.png") as image:
            return image.text["Description"]

    cnn, contrastive, triplet = (result(run, name) for name in ("cnn", "contrastive", "triplet"))
    assert f"{cnn['metrics']['test_accuracy']:.1%}" in alt("fig_cnn_groups")
    assert f"{cnn['history']['training_loss'][-1]:.3g}" in alt("fig_4_1")
    assert f"{contrastive['history']['validation_accuracy'][-1]:.1%}" in alt("fig_4_6")
    assert f"{triplet['history']['validation_loss'][-1]:.3g}" in alt("fig_4_7")
    index = (run / "index.html").read_text()
    for saved in (cnn, contrastive, triplet):
        assert f"{saved['metrics']['test_accuracy']:.2%}".rstrip("%") in index


def test_the_threshold_is_used_unchanged_on_test_pairs(run):
    table = pd.read_csv(run / "tables" / "table_threshold.csv")
    saved = result(run, "contrastive")
    assert table["threshold"].tolist() == pytest.approx([saved["threshold"], saved["thesis_threshold"]])
    assert table["accuracy"][0] == pytest.approx(saved["metrics"]["test_accuracy"])
    assert saved["threshold"] == pytest.approx(saved["history"]["threshold"][-1])


def test_executed_notebooks_say_nothing_to_wonder_about(run):
    for path in sorted((run / "notebooks").glob("*.ipynb")):
        assert "widget" not in path.read_text("utf-8"), "a still is kept, and no state of a widget"
        for cell in cells(path, "code"):
            for output in cell.outputs:
                assert output.output_type != "stream" or output.name == "stdout", output.text
                assert "Warning" not in str(output.get("text", "")), output.text


@pytest.mark.parametrize("path", NOTEBOOKS[1:4], ids=lambda path: path.stem)
def test_test_photos_reach_neither_training_nor_the_threshold(run, tmp_path, monkeypatch, path, capsys):
    """With other test photos and other labels of theirs, weights, history and threshold stay what they were."""
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    profile = notebooks.read_profile("demo") | {"side": int(TINY["side"])}
    opened = open_study("synthetic:6x72", split=profile["split"], side=profile["side"], device="cpu")
    opened = replace(opened, photos=poisoned(opened.photos))
    monkeypatch.setattr(runs_room, "open_study", lambda *given, **options: opened)
    monkeypatch.setattr(runs_room.Run, "show", lambda run, name, figure, caption: plt.close(figure) or HTML(""))
    names, _ = executed(path, **profile | {"epochs": 2, "name": "poisoned"})
    assert names["study"] is opened  # its measures on 13 test photos may be the same by chance

    short = {"02": "cnn", "03": "contrastive", "04": "triplet"}[path.name[:2]]
    clean, dirty = (torch.load(folder / "models" / f"{short}.pt") for folder in (run, tmp_path / "poisoned"))
    assert clean["history"] == dirty["history"]
    assert all(weights.equal(dirty["network"][part]) for part, weights in clean["network"].items())
    before, after = result(run, short), result(tmp_path / "poisoned", short)
    assert all(before.get(kept) == after.get(kept) for kept in ("history", "threshold", "thesis_threshold"))
    for split in ("training", "validation"):
        assert before["metrics"][f"{split}_accuracy"] == after["metrics"][f"{split}_accuracy"]


def test_plain_papermill_works_from_any_folder(tmp_path, make_photos):
    """On a folder of photos; nothing that is saved tells where it is."""
    data = make_photos(tmp_path / "home" / "photos", {"Mirror": 14, "Pump": 14, "Wheel": 14, "Oil Seal": 3})
    (place := tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-m", "papermill", str(FOLDER / "02_cnn_baseline.ipynb"), "out.ipynb", "-k", "python3"]
    command += ["-p", "data", str(data), "-p", "name", "plain", "-p", "epochs", "1", "-p", "side", "32"]
    environment = os.environ | {"AUTOPARTS_REPORTS": str(tmp_path / "reports")}
    done = subprocess.run([*command, "--no-progress-bar"], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in place.iterdir()] == ["out.ipynb"]
    folder = tmp_path / "reports" / "plain"
    assert result(folder, "cnn")["settings"]["epochs"] == 1
    for path in folder.rglob("*"):
        if path.suffix in (".csv", ".json", ".html"):
            assert str(tmp_path) not in path.read_text("utf-8"), path.name


def test_a_notebook_without_the_results_it_reads_says_which_one_to_run(tmp_path, monkeypatch, make_photos):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    data = make_photos(tmp_path / "photos", {"Mirror": 20, "Pump": 20})
    told = r"(?s)05_model_comparison failed in cell.*cnn\.json is missing: run notebook 02_cnn_baseline first"
    with pytest.raises(FailedError, match=told):
        execution.run(str(data), "fresh", only=["05"])
