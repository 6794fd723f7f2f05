import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import nbformat
import pandas as pd
import pytest
import torch
from PIL import Image

import autoparts
from autoparts import experiments, pipeline, study, variants
from autoparts.dependencies import PACKAGE, sources_of

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TINY = {"epochs": "2", "bootstrap": "50", "row_epochs": "1", "recipe_epochs": "2", "side": "24", "seeds": "2"}
LONGEST = 15  # lines of a code cell
# The only results that prose may state are those of the thesis.
THESIS_NUMBERS = {"96.41", "0.0007", "99.79", "97.94", "91.98", "50.80", "70.24", "40.36", "74.47"}
FIGURES = (
    "fig_3_5 fig_3_6 fig_6_4 four_photos excluded_examples preparation fig_4_1 fig_4_2 fig_4_3 fig_4_4 fig_4_5 fig_4_6 "
    "fig_4_7 fig_6_3 drawing_cnn fig_cnn_groups fig_pairs fig_triplets fig_triplet_distances fig_triplet_active "
    "fig_fair_comparison fig_beyond fig_kinds fig_recommended fig_reliability fig_answer fig_occlusion fig_nearest "
    "fig_borders"
)
TABLES = (
    "table_source table_cleaning table_removed table_3_1 table_coverage table_cnn_layers table_cnn_test table_confused "
    "table_threshold table_5_1 split table_fair_comparison table_beyond table_recommended table_seeds table_unseen "
    "table_losses_by_recipe table_calibration table_refused table_answer table_borders"
)
RESULTS = "data eda cnn contrastive triplet threshold comparison lookalikes beyond recommended finder"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def code_of(path):
    return [cell.source for cell in cells(path, "code")]


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
def test_a_notebook_tells_and_calls_and_defines_nothing(path):
    for cell in cells(path, "code"):
        source = cell.source
        lines = [line for line in source.splitlines() if line.strip()]
        assert len(lines) <= LONGEST or "parameters" in cell.metadata.get("tags", []), lines[0]
        tree = ast.parse(source)  # no magics, no shell
        defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert not defined, source
        assert not re.search(
            r"sys\.path|subprocess|os\.system|urlopen|urlretrieve|requests|https?://|\bdownload", source
        )
    # What is told are the texts, and within code the captions, alternative texts and comments.
    everything = "".join(code_of(path))
    within = sum(map(len, re.findall(r'"[^"]{30,}"|  # .*', everything)))
    assert sum(len(cell.source) for cell in cells(path, "markdown")) + within >= len(everything) - within
    assert cells(path, "markdown")[0].source.startswith("# ")


@every_notebook
def test_parameters_are_commented_constants_in_the_first_code_cell(path):
    tagged = [cell for cell in cells(path, "code") if "parameters" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in tagged] == code_of(path)[:1]
    for line in tagged[0].source.splitlines():
        name, _, rest = line.partition(" = ")
        value, _, comment = rest.partition("  # ")
        assert re.fullmatch(r"[a-z_]+", name) and comment.strip(), line
        ast.literal_eval(value)


def test_the_parameters_that_open_the_study_are_the_same_everywhere():
    shared = [code_of(path)[0].splitlines()[: 2 + len(pipeline.SHARED)] for path in NOTEBOOKS]
    assert all(lines == shared[0] for lines in shared)
    assert {line.partition(" = ")[0] for line in shared[0]} == {"data", "run", *pipeline.SHARED}


@every_notebook
def test_no_result_is_typed_into_prose(path):
    for cell in cells(path, "markdown"):
        stated = re.findall(r"(\d+\.\d+)\s*(?:%|percent)|\b(0\.\d{2,})", cell.source)
        assert {number for pair in stated for number in pair if number} <= THESIS_NUMBERS, cell.source


@every_notebook
def test_every_module_that_a_notebook_imports_is_known_to_the_pipeline(path):
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    imported = set()
    for node in ast.walk(ast.parse("\n".join(code_of(path)))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "autoparts":
            imported |= {node.module.split(".")[1]} if "." in node.module else {name.name for name in node.names}
        elif isinstance(node, ast.Import):
            assert not any(name.name.startswith("autoparts") for name in node.names)
    modules = {name for name in imported if (PACKAGE / f"{name}.py").exists()}
    assert modules <= {file.stem for file in sources_of(source)[0]}


@every_notebook
def test_every_figure_has_a_caption_and_an_alternative_text(path):
    for node in ast.walk(ast.parse("\n".join(code_of(path)))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "figure":
            assert {"caption", "alt"} <= {word.arg for word in node.keywords}, ast.unparse(node)[:80]


# What a run makes


def start(name, folder, hash_seed):
    environment = os.environ | {
        "AUTOPARTS_REPORTS": str(folder / "reports"),
        "AUTOPARTS_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": hash_seed,
    }
    command = [sys.executable, "-m", "autoparts", "run", "--data", "synthetic:6x72", "--name", name]
    for parameter, value in TINY.items():
        command += ["-p", parameter, value]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of all notebooks on 72 photos, side by side: other folder, name, hash seed, and cache."""
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


def result(run, name):
    return json.loads((run / "results" / f"{name}.json").read_text())


def test_a_run_makes_all_that_was_promised(run):
    made = {kind: {path.stem for path in (run / kind).iterdir()} for kind in ("figures", "tables", "results", "models")}
    # The embedded catalogue at this size has nothing that cleaning would remove, so there may be no excluded example.
    assert set(FIGURES.split()) - {"excluded_examples"} <= made["figures"]
    assert set(TABLES.split()) <= made["tables"]
    assert set(RESULTS.split()) <= made["results"]
    assert {"cnn", "contrastive", "triplet", "recommended", "finder"} <= made["models"]
    pages = {path.stem for path in run.glob("*.html")}
    assert pages == {"index", *(path.stem for path in NOTEBOOKS)}
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def test_every_figure_of_the_run_has_a_caption_and_an_alternative_text(run):
    for path in (run / "figures").iterdir():
        with Image.open(path) as image:
            assert len(image.text["Title"]) > 10 and len(image.text["Description"]) > 10, path.name


def test_two_runs_of_one_seed_are_equal_to_the_byte(runs):
    first, second = (
        {
            str(path.relative_to(run)): path.read_bytes()
            for kind in ("figures", "tables", "results", "models")
            for path in sorted((run / kind).rglob("*"))
            if path.is_file()
        }
        for run in runs
    )
    assert first.keys() == second.keys()
    # A finder file tells which run it came from; apart from that it is equal too.
    assert [name for name in first if first[name] != second[name]] == ["models/finder.pt"]
    one, other = (torch.load(run / "models" / "finder.pt", weights_only=True) for run in runs)
    assert [finder["facts"].pop("run") for finder in (one, other)] == ["run-0", "run-1"]
    assert all(torch.equal(weights, other["weights"][name]) for name, weights in one.pop("weights").items())
    assert all(torch.equal(v, other[k]) if isinstance(v, torch.Tensor) else v == other[k] for k, v in one.items())


def test_two_runs_of_one_seed_have_equal_pages_apart_from_name_seconds_and_date(runs):
    varies = r"run-[01]|\b\d+(\.\d+)? s\b|\b\d{4}-\d\d-\d\d\b"
    first, second = (
        {path.name: re.sub(varies, "", path.read_text("utf-8")) for path in run.glob("*.html")} for run in runs
    )
    assert len(first) == 1 + len(NOTEBOOKS) and first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_table_5_1_holds_the_thesis_and_the_results(run):
    table = pd.read_csv(run / "tables" / "table_5_1.csv")
    thesis = table[table["source"] == "thesis"]
    assert thesis["test accuracy"].tolist() == [0.508, 0.7024, 0.4036]
    ours = table[table["source"] == "this run"].reset_index(drop=True)
    photos = result(run, "data")["split"]["test"]
    for row, name in enumerate(("cnn", "contrastive", "triplet")):
        saved = result(run, name)
        for part in ("training", "validation", "test"):
            assert ours.loc[row, f"{part} accuracy"] == pytest.approx(saved["metrics"][f"{part}_accuracy"])
        assert ours.loc[row, "task"] == saved["task"]
        assert ours.loc[row, "n (test)"] == (photos if name == "cnn" else 10 * photos)
        hits = saved["metrics"]["test_accuracy"] * ours.loc[row, "n (test)"]
        assert hits == pytest.approx(round(hits))  # a mean over samples
    assert ours["chance"].tolist()[:2] == [pytest.approx(1 / 6), 0.5] and pd.isna(ours["chance"][2])
    assert "table_5_1" in (run / "index.html").read_text() or "Table 5.1" in (run / "index.html").read_text()


def test_numbers_in_texts_are_those_of_the_results(run):
    def alt(name):
        with Image.open(run / "figures" / f"{name}.png") as image:
            return image.text["Description"]

    cnn, contrastive, triplet = (result(run, name) for name in ("cnn", "contrastive", "triplet"))
    assert f"{cnn['metrics']['test_accuracy']:.1%}" in alt("fig_cnn_groups")
    assert f"{cnn['history']['training_loss'][-1]:.2f}" in alt("fig_4_1")
    assert f"{contrastive['history']['validation_accuracy'][-1]:.1%}" in alt("fig_4_6")
    assert f"{triplet['history']['validation_loss'][-1]:.2f}" in alt("fig_4_7")
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
        for cell in cells(path, "code"):
            for output in cell.outputs:
                assert output.output_type != "stream" or output.name == "stdout", output.text
                assert "Warning" not in str(output.get("text", "")), output.text


def execute(path, opened, monkeypatch, **parameters):
    """Execute a notebook's cells here, on a study that is open already; pictures are left out."""
    for module in ("figures", "drawings", "live"):
        monkeypatch.setattr(autoparts, module, MagicMock(threshold_explorer=lambda *given: {}), raising=False)
    monkeypatch.setattr(study.Study, "figure", lambda *given, **texts: None)
    monkeypatch.setattr(study, "open_study", lambda *given, **options: opened)
    first, *rest = code_of(path)
    names = {}
    exec(first, names)
    names |= parameters
    for source in rest:
        exec(source, names)


@pytest.mark.parametrize("name", ["02_cnn_baseline", "03_siamese_contrastive", "04_siamese_triplet"])
def test_test_photos_reach_neither_training_nor_the_threshold(run, tmp_path, monkeypatch, name, capsys):
    """With noise for test photos and their labels shuffled, weights, history and threshold stay what they were."""
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    opened = study.open_study("synthetic:6x72", "poisoned", device="cpu")
    photos, catalogue = opened.photos.clone(), opened.catalogue.copy()
    tests = opened.rows("test")
    photos[tests] = torch.randint(0, 256, photos[tests].shape, dtype=torch.uint8)
    labels = catalogue.loc[catalogue["split"] == "test", "category"]
    catalogue.loc[labels.index, "category"] = labels.to_numpy()[::-1]
    assert not opened.catalogue["category"].equals(catalogue["category"])
    poisoned = replace(opened, photos=photos, catalogue=catalogue)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    execute(FOLDER / f"{name}.ipynb", poisoned, monkeypatch, epochs=2)
    torch.set_num_threads(threads)

    short = name.split("_")[-1] if name[:2] != "02" else "cnn"
    clean, dirty = (
        torch.load(folder / "models" / f"{short}.pt", weights_only=True) for folder in (run, poisoned.folder)
    )
    assert clean["history"] == dirty["history"]
    assert all(weights.equal(dirty["network"][part]) for part, weights in clean["network"].items())
    before, after = result(run, short), json.loads((poisoned.folder / "results" / f"{short}.json").read_text())
    for kept in ("history", "threshold", "thesis_threshold"):
        assert before.get(kept) == after.get(kept)
    for part in ("training", "validation"):
        assert before["metrics"][f"{part}_accuracy"] == after["metrics"][f"{part}_accuracy"]
    assert before["metrics"]["test_accuracy"] != after["metrics"]["test_accuracy"]


@pytest.mark.parametrize("name", ["cnn", "contrastive", "triplet"])
def test_what_a_result_says_of_its_training_repeats_it(run, monkeypatch, name):
    """So that notebook 6 can train the same network from other seeds."""
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(run.parent))
    opened = study.open_study("synthetic:6x72", run.name, device="cpu")
    saved = result(run, name)
    row, settings = variants.Variant(**saved["variant"]), variants.Settings(**saved["settings"])
    whole = experiments.part_of(opened, settings.side)
    _, history = variants.train(whole, row, settings, opened.seed, say=lambda line: None)
    expected = pd.DataFrame(saved["history"])["training_loss"]
    assert history["training_loss"].to_numpy() == pytest.approx(expected.to_numpy(), rel=2e-2)


def test_plain_papermill_works_from_any_folder(tmp_path, make_photos):
    """On a folder of photos; nothing that is saved tells where it is."""
    data = make_photos(tmp_path / "home" / "photos", {"Mirror": 14, "Pump": 14, "Wheel": 14, "Oil Seal": 3})
    place = tmp_path / "elsewhere"
    place.mkdir()
    command = [sys.executable, "-m", "papermill", str(FOLDER / "02_cnn_baseline.ipynb"), "out.ipynb", "-k", "python3"]
    command += ["-p", "data", str(data), "-p", "run", "plain", "-p", "epochs", "1", "--no-progress-bar"]
    environment = os.environ | {"AUTOPARTS_REPORTS": str(tmp_path / "reports")}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in place.iterdir()] == ["out.ipynb"]
    folder = tmp_path / "reports" / "plain"
    assert result(folder, "cnn")["epochs"] == 1
    for path in folder.rglob("*"):
        if path.suffix in (".csv", ".json", ".html"):
            assert str(tmp_path) not in path.read_text("utf-8"), path.name


def test_a_notebook_without_the_results_it_reads_says_which_one_to_run(tmp_path, monkeypatch, make_photos):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    data = make_photos(tmp_path / "photos", {"Mirror": 20, "Pump": 20})
    with pytest.raises(pipeline.NotebookError) as found:
        pipeline.run(str(data), "fresh", only=["05"])
    assert "05_model_comparison failed in cell" in str(found.value)
    assert "StudyError: cnn.json is missing in run 'fresh': run notebook 02_cnn_baseline first" in str(found.value)
    assert found.value.exit_code == 1
