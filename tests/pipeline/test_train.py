"""The short way to a finder: what it makes, what it leaves out, and what it refuses."""

import json

import pytest

from autoparts.__main__ import main
from autoparts.errors import UserError
from autoparts.experiments import recommended
from autoparts.pipeline import notebooks
from autoparts.pipeline import repeat as repeating
from autoparts.pipeline import train as training
from autoparts.pipeline.execution import opened
from autoparts.pipeline.notebooks import plan
from autoparts.pipeline.train import train
from autoparts.study.run import Run, run_folder

VALUES = {"backbone": "", "recipe_side": 32, "colour": False, "recipe_epochs": 2, "seed": 1, "bootstrap": 20}


@pytest.fixture
def carried(monkeypatch, tmp_path):
    """What notebooks are carried out, and in which order with the making of the model."""
    steps = []

    def carry_out(wanted, study, folder, name, restart=False):
        assert run_folder(name) == folder
        steps.append({path.stem[:2]: values for path, values in wanted.items()} | ({"emptied": {}} if restart else {}))
        return folder / "index.html"

    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(training, "carry_out", carry_out)
    monkeypatch.setattr(training, "make_model", lambda run, values: steps.append(values))
    return steps


def test_the_photos_the_model_and_the_finder_in_this_order(carried, make_photos, tmp_path, capsys):
    data = str(make_photos(tmp_path / "photos", {"Mirror": 9, "Pump": 9}))
    assert main(["train", "--data", data, "--name", "mine", "-p", "seed", "2", "-p", "recipe_epochs", "3"]) == 0
    assert capsys.readouterr().out.strip().endswith("mine/index.html")
    first, values, both = carried
    assert list(first) == ["01"] and list(both) == ["01", "07"] and both["07"]["seed"] == values["seed"] == 2
    assert (values["recipe_epochs"], values["recipe_side"], values["colour"]) == (3, 192, True)
    executed = tmp_path / "reports" / "mine" / "notebooks" / "06_beyond_the_thesis.ipynb"
    executed.parent.mkdir(parents=True)
    executed.write_text("")
    train(data, "mine")
    assert "the model of its notebook 6 is taken" in capsys.readouterr().err and len(carried) == 5
    assert main(["train", "--data", data, "--name", "mine", "--restart"]) == 0
    assert list(carried[5]) == ["01", "emptied"] and "emptied" not in carried[-1]
    with pytest.raises(
        UserError, match="parameter seeds has no part in making a finder; those that have: accept, allow_"
    ):
        train(data, "other", {"seed": 1, "seeds": 3})


@pytest.mark.parametrize("more", [(), ("02",)])
def test_a_finders_run_is_repeated_with_the_parameters_of_its_model(carried, make_photos, tmp_path, monkeypatch, more):
    data, like = str(make_photos(tmp_path / "photos", {"Mirror": 9, "Pump": 9})), tmp_path / "mine" / "run.json"
    wanted = plan(("01", "06", "07", *more), "own", {"recipe_epochs": 3})
    first, *others, model, last = wanted.items()
    executed = {path.stem: {"parameters": values} for path, values in (first, *others, last)}
    like.parent.mkdir()
    facts = {"name": "mine", "versions": {"torch": "2"}, "executed": executed, "model": model[1]}
    like.write_text(json.dumps(opened(data, first[1]).facts() | facts))
    monkeypatch.setattr(repeating, "_compare", lambda old, new, then: carried.append(new.name))
    repeating.repeat(like, data, str(tmp_path / "elsewhere" / "again"))
    assert [sorted(step) for step in carried[::2]] == [["01"], ["01", *more, "07"]] and carried[1] == model[1]
    assert carried[3] == "again"


@pytest.mark.parametrize("generated", [True, False])
def test_the_rest_of_the_study_takes_the_same_photos_and_model(carried, make_photos, tmp_path, monkeypatch, generated):
    data = str(make_photos(tmp_path / "photos", {"Mirror": 9, "Pump": 9}))
    monkeypatch.setattr(notebooks, "is_generated", lambda data: generated)
    training.train(data, "mine")
    rest = {path.stem[:2]: values for path, values in plan((), notebooks.usual_profile(data), {}).items()}
    assert carried == [{"01": rest["01"]}, rest["06"], {"01": rest["01"], "07": rest["07"]}]
    assert (rest["06"]["split"], rest["06"]["recipe_side"]) == (("6/2/2", 128) if generated else ("new", 192))


def test_the_model_is_saved_as_notebook_6_saves_it(small_study, tmp_path, monkeypatch):
    monkeypatch.setattr(recommended, "refuse_guesses", lambda *_: None)  # after so short a training
    run = Run(tmp_path, small_study)
    training.make_model(run, VALUES)
    result = json.loads((run.folder / "results" / "recommended.json").read_text())
    assert run.weights("recommended").is_file() and (result["side"], result["backbone"]) == (32, "")
    assert result["parameters"] == VALUES
    assert 0 < result["chance"] < result["metrics"]["test_interval"][1] and result["epochs"] == 2
    assert result["reason"] == "A residual network of our own, trained with augmentation."
