"""What is changed, and which notebooks then run: on the real table and parameters, with bodies of a few lines."""

import os
import shutil
from pathlib import Path

import pytest
import toy_notebooks
from samples import draw
from test_notebooks import code_of

from autoparts.errors import FailedError, UserError
from autoparts.pipeline import execution, notebooks, stamps
from autoparts.study.run import IDENTITY

TABLE = dict(notebooks.TABLE)
PATHS = notebooks.select()
DECLARED = {path.stem: notebooks.declared_parameters(path) for path in PATHS}
CELLS = {path.stem: code_of(path)[0] for path in PATHS}
ALL = "01 02 03 04 05 06 07"
CHART = str(Path(__file__).parents[2] / "reports" / "example" / "figures" / "contact_sheet.png")
OTHER = {  # another value for each parameter that may differ within a run folder
    "device": "cpu", "precision": "float32", "threads": 3, "allow_outside": True, "largest": 3,
    "epochs": 3, "batch_size": 8, "learning_rate": 0.1,
    "filters": [4], "embedding_size": 4, "margin": 0.5, "draw_by": "category", "threshold_pairs": 40, "bootstrap": 7,
    "row_epochs": 5, "rows": "all", "tune": True, "held_out_draws": 3, "row_side": 30, "seeds": 2, "recipe_epochs": 1,
    "recipe_side": 40, "colour": False, "scratch_epochs": 2, "top": 2, "accept": 0.5, "photo": CHART,
    "show_photos": False,
}  # fmt: skip


def toys_in(place, patch):
    toys = toy_notebooks.Toys(place, patch, TABLE)
    (toys.notebooks / "profiles" / "own.yaml").write_text("cleaning: substring")
    toys.manifest = toys.photos / "parts.csv"
    patch.setattr(execution, "render", lambda folder: folder)
    return toys


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        toys = toys_in(tmp_path_factory.mktemp("done"), patch)
        toy_notebooks.write_all(toys, CELLS)
        draw(0).save(toys.place / "me.jpg")
        rows = [f"{path.relative_to(toys.photos)},{path.parent.name}" for path in sorted(toys.photos.rglob("*.jpg"))]
        toys.manifest.write_text("\n".join(["path,category", *rows]))
        trained = [f"trains:{name}" for each in TABLE.values() for name in each.writes if name.startswith("models")]
        assert {*run(toys).split()} >= {*ALL.split(), *trained}
        assert run(toys) == ""
    return toys.place


@pytest.fixture
def toys(done, tmp_path, monkeypatch):
    shutil.copytree(done, tmp_path / "toys")
    return toys_in(tmp_path / "toys", monkeypatch)


def run(toys, **options):
    return toys.run(data=str(toys.manifest), **options)


def photo(toys):
    draw(99).save(toys.photos / "Pump" / "0.jpg")


def row(toys):
    toys.manifest.write_text(toys.manifest.read_text().replace("Pump/0.jpg,Pump", "Pump/0.jpg,Wheel"))


def left_out(toys):
    draw(99).save(toys.photos / "Hose" / "new.jpg")
    toys.manifest.write_text(toys.manifest.read_text() + "\nHose/new.jpg,Hose")


def cell(toys):
    path = toys.notebooks / "05_model_comparison.ipynb"
    path.write_text(path.read_text().replace("def log", "def  log"))


def cut(name):
    return lambda toys: os.truncate(toys.folder / name, 20)


def gone(name):
    return lambda toys: (toys.folder / name).unlink()


def code(text):
    return lambda toys: toys.code.write_text(text)


CHANGES = {
    "nothing": (lambda toys: None, ""),
    "a photo touched": (lambda toys: (toys.photos / "Pump" / "0.jpg").touch(), ""),
    "a photo of a removed category": (left_out, "01 07"),
    "code": (code('"""A module."""\n\nanswer = 2\n'), ALL),
    "a docstring and a comment": (code('"""The module."""\n\nanswer = 1  # of course\n'), ""),
    "a text of the package": (lambda toys: toys.code.with_name("words.csv").write_text("a,b"), ALL),
    "a cell": (cell, "05"),
    "a result, gone": (gone("results/cnn.json"), "02"),
    "weights, gone": (gone("models/cnn.pt"), "02 trains:models/cnn.pt"),
    "weights, cut": (cut("models/recommended.pt"), "06 07"),
    "weights of a row, gone": (gone("models/beyond/one.pt"), "06 trains:models/beyond/one.pt"),
    "a figure, cut": (cut("figures/fig_07.png"), "07"),
    "an executed notebook, gone": (gone("notebooks/04_siamese_triplet.ipynb"), "04"),
    "an executed notebook, cut": (cut("notebooks/04_siamese_triplet.ipynb"), "04"),
    "run.json, cut": (cut("run.json"), ""),
    "results/data.json, cut": (cut("results/data.json"), ""),
    "tables/split.csv, cut": (cut("tables/split.csv"), ""),
}


DAMAGED = ("an executed notebook, cut", "run.json, cut", "results/data.json, cut", "tables/split.csv, cut")


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_runs_again_and_nothing_else(toys, change, capsys):
    make, expected = CHANGES[change]
    make(toys)
    assert run(toys) == expected
    assert ("set aside" in capsys.readouterr().err) == (change in DAMAGED)
    if change != "weights, cut":
        before = toys.files() | {"run.json": b""}
        assert run(toys) == "" and toys.files() | {"run.json": b""} == before


@pytest.mark.parametrize("make", [photo, row])
def test_other_photos_or_names_are_another_study(toys, make):
    make(toys)
    before = toys.files()
    with pytest.raises(UserError, match=r"belongs to another study.*--name.*--restart"):
        run(toys)
    assert toys.files() == before
    assert not {*ALL.split()} - {*run(toys, restart=True).split()}


def reach(name):
    """Return the notebooks that declare a parameter, and those that read what they write, one after the other."""
    reached = []
    for stem, declared in TABLE.items():
        written = {file for other in reached for file in TABLE[other].writes}
        if name in DECLARED[stem] or written & {*declared.reads}:
            reached.append(stem)
    return " ".join(stem[:2] for stem in reached)


def test_parameters_reach_what_depends_on_them():
    known = {name for declared in DECLARED.values() for name in declared}
    assert known == {*OTHER, *IDENTITY, "data", "name", "backbone", "cluster"} - {"fingerprint"}
    assert reach("epochs") == "02 03 04 05 06 07" and reach("margin") == "03 04 05 06 07"
    assert reach("row_epochs") == "06 07" and reach("top") == "07"
    assert {reach(name) for name in ("device", "precision", "threads")} == {ALL}


def test_another_parameter_runs_what_depends_on_it(toys):
    records = {stem: stamps.read_record(toys.folder / "notebooks" / f"{stem}.ipynb") for stem in TABLE}
    study = execution.opened(str(toys.manifest), next(iter(notebooks.plan((), "own", {}).values())))
    for name, value in OTHER.items():
        due = stamps.due(notebooks.plan((), "own", {name: value}), toys.folder, records, study)
        assert " ".join(stem[:2] for stem in due) == reach(name), name
    given = {}
    for name in ("device", "epochs", "top"):  # and so it runs
        given[name] = OTHER[name]
        assert run(toys, parameters=given) == reach(name)
    assert run(toys, parameters=given | {"cluster": "tcp://elsewhere:8786"}) == ""  # where it is trained
    assert run(toys) == ALL


def test_a_cluster_that_cannot_be_reached_is_told_before_anything_is_trained(toys, monkeypatch):
    monkeypatch.setattr("autoparts.experiments.parallel.PATIENCE", 1)
    with pytest.raises(UserError, match="cannot be reached"):
        run(toys, parameters={"cluster": "tcp://127.0.0.1:9", "epochs": OTHER["epochs"]})
    with pytest.raises(UserError, match="cannot be reached"):
        run(toys, parameters={"cluster": "tcp://127.0.0.1:9"}, restart=True)
    assert run(toys) == ""


def test_the_photo_to_name_is_looked_at(toys):
    me = toys.place / "me.jpg"
    assert run(toys, parameters={"photo": str(me)}) == "07"
    draw(1).save(me)
    assert run(toys, parameters={"photo": str(me)}) == "07"
    assert run(toys, parameters={"photo": str(me)}) == ""


MACHINES = {  # by what they differ in: run.json calls it so, too
    "versions": ("versions", lambda: {"torch": "9.9"}),
    "threads": ("torch.get_num_threads", lambda: 77),
    "precision": ("precision", lambda study: "float8"),
}


@pytest.mark.parametrize("what", MACHINES)
def test_other_libraries_threads_or_precision_run_everything_again(toys, monkeypatch, what):
    name, other = MACHINES[what]
    monkeypatch.setattr(f"autoparts.pipeline.stamps.{name}", other)
    assert run(toys) == ALL and run(toys) == ""
    assert toys.facts()[what] in ({"torch": "9.9"}, 77, "float8")
    assert {"scipy", "torch", "scikit-learn"} <= {*stamps.LIBRARIES}


def test_force_forgets_what_was_learned_and_says_so(toys, capsys):
    assert run(toys, only=["02"], force=True) == "02 trains:models/cnn.pt"
    assert "02_cnn_baseline: forgets what it has learned (1 files" in capsys.readouterr().err
    assert run(toys, only=["01"], force=True) == "01"
    found = run(toys, only=["06"], force=True).split()
    own = "recommended", "beyond/one", "recommended-one"
    assert found == ["06", *(f"trains:models/{name}.pt" for name in (*own, "scratch", "features/one"))]
    assert run(toys) == ""  # the same came out


def test_what_a_notebook_no_longer_writes_is_removed(toys):
    path = toys.notebooks / "05_model_comparison.ipynb"
    path.write_text(path.read_text().replace("figures/fig_05.png", "figures/another.png"))
    assert run(toys) == "05"
    assert not (toys.folder / "figures" / "fig_05.png").exists()
    assert (toys.folder / "figures" / "another.png").exists()


def test_what_a_finder_is_taught_meanwhile_is_no_notebooks(toys):
    before = stamps.snapshot(toys.folder)
    (toys.folder / "models" / "finder-taught-12ab34cd.pt").write_bytes(b"taught")
    (toys.folder / "models" / "new.pt").write_bytes(b"new")
    assert {*stamps.snapshot(toys.folder)} - {*before} == {"models/new.pt"}


def test_what_is_declared_has_to_be_written(toys):
    path = toys.notebooks / "02_cnn_baseline.ipynb"
    path.write_text(path.read_text().replace("results/cnn.json", "results/ccn.json"))
    (toys.folder / "results" / "cnn.json").unlink()
    with pytest.raises(FailedError, match=r"02_cnn_baseline has not written results/cnn.json"):
        run(toys)
