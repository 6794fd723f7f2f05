import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup

from autoparts import augmentation, losses, models, sampling, tasks, training
from autoparts.errors import UserError
from autoparts.study import fingerprint as fingerprints
from autoparts.study import run as runs
from autoparts.study import tables
from autoparts.study.run import RESULTS_VERSION as VERSION
from autoparts.study.run import open_run


@pytest.fixture
def run(small_study, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    return open_run("tiny", small_study)


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# One folder, one study


def test_a_new_folder_gets_facts_and_split_without_a_path_of_the_user(run, small_study, small_folder):
    facts = json.loads((run.folder / "results" / "data.json").read_text())
    assert facts == {"version": VERSION, "split_file": facts["split_file"], **small_study.facts()}
    split = pd.read_csv(run.folder / "tables" / "split.csv")
    assert split["path"].iloc[0] == "Mirror/0.jpg"
    assert split["split"].tolist() == small_study.catalogue["split"].tolist()
    before = snapshot(run.folder)
    assert {path.name for path in before} == {"data.json", "split.csv"}
    assert not any(str(small_folder.parent).encode() in content for content in before.values())
    times = [path.stat().st_mtime_ns for path in before]
    assert open_run("tiny", small_study) == run == open_run(str(run.folder), small_study)  # by its name or its path
    assert snapshot(run.folder) == before and [path.stat().st_mtime_ns for path in before] == times


CHANGES = {
    "seed": lambda study: {"seed": 1},
    "split_seed": lambda study: {"split_seed": 1},
    "cleaning": lambda study: {"cleaning": "word"},
    "split": lambda study: {"split": "own"},
    "side": lambda study: {"photos": replace(study.photos, pixels=study.photos.pixels[:, :10, :10])},
    "fingerprint": lambda study: {"catalogue": study.catalogue.iloc[:-1]},
    "version": lambda study: {},
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_study_is_refused_with_one_message_that_names_both_and_nothing_is_written(run, what, monkeypatch):
    study, before = run.study, snapshot(run.folder)
    other = replace(study, **CHANGES[what](study))
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"--name.*--restart") as found:
        patch.setattr(runs, "RESULTS_VERSION", 99 if what == "version" else VERSION)
        open_run("tiny", other)
    message = str(found.value)
    assert str(run.folder) in message and ("version 99)" in message) == (what == "version")
    for facts in ({"version": VERSION} | study.facts(), {"version": VERSION} | other.facts()):
        assert f"{facts['photos']} photos of {facts['data']} (fingerprint {facts['fingerprint'][:8]}" in message
        assert f"{what} {facts[what]}"[:20] in message
    assert snapshot(run.folder) == before
    open_run("elsewhere", other)


def test_facts_that_identify_nothing_are_brought_up_to_date(run, small_study):
    """The same photos from another folder are the same study."""
    open_run("tiny", replace(small_study, data="/elsewhere/photos-of-mine"))
    assert json.loads((run.folder / "results" / "data.json").read_text())["data"] == "photos-of-mine"


def test_damaged_facts_are_set_aside_and_made_again(run, small_study, capsys):
    path = run.folder / "results" / "data.json"
    whole = path.read_bytes()
    path.write_bytes(content := b"{")
    assert open_run("tiny", small_study) == run
    assert path.read_bytes() == whole and path.with_name("data.json.damaged").read_bytes() == content
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and "data.json is damaged and was set aside as data.json.damaged" in told.err


def test_a_folder_that_cannot_be_is_told(run):
    (run.folder.parent / "file").touch()
    for name in ("file", "file/run", "x" * 300):
        with pytest.raises(UserError, match=r"cannot be written: .*another name"):
            open_run(name, run.study)


# Results


def test_a_result_comes_back_as_it_was(run, small_study):
    run.save_result("cnn", history=pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]}), share=np.float32(0.5),
                    curve=torch.tensor([1.0, 2.0]), path=None)  # fmt: skip
    found = run.result("cnn", "02_cnn_baseline")
    assert found == {
        "version": VERSION, "fingerprint": small_study.fingerprint, "seed": 0, "path": None,
        "history": {"a": [1, 2], "b": [0.5, None]}, "share": 0.5, "curve": [1, 2],
    }  # fmt: skip
    for value in (float("nan"), float("inf"), object()):
        with pytest.raises((ValueError, TypeError), match="JSON"):
            run.save_result("cnn", value=value)
    assert run.result("cnn", "02_cnn_baseline") == found and not list(run.folder.rglob("*.tmp"))


def edited(**changes):
    def change(run, path):
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run, path: path.unlink(), "cnn.json is missing"),
        (lambda run, path: path.write_bytes(b""), "cnn.json is damaged and was set aside as cnn.json.damaged"),
        (edited(version=1), "cnn.json in run 'tiny' was made by another version of autoparts"),
        (edited(version=None), "another version"),
        (edited(fingerprint="f00"), "cnn.json in run 'tiny' belongs to another study"),
        (edited(seed=1), "belongs to another study"),
    ],
)
def test_a_result_that_cannot_be_used_is_told_with_the_notebook_that_makes_it(run, change, message):
    run.save_result("cnn", value=1)
    change(run, run.folder / "results" / "cnn.json")
    with pytest.raises(UserError, match=rf"{message}.*: run notebook 02_cnn_baseline first$"):
        run.result("cnn", "02_cnn_baseline")
    run.save_result("cnn", value=2)
    assert run.result("cnn", "02_cnn_baseline")["value"] == 2


# Figures and tables


def test_a_run_without_photos_saves_none_and_removes_those_of_before(run):
    def photo():
        figure, axes = plt.subplots()
        axes.imshow(np.zeros((3, 3)))
        figure.set_label("A photo")
        return figure

    assert "<img" in run.show("fig_1", photo(), "A < B").data
    hidden = replace(run, show_photos=False)
    assert hidden.show("fig_1", photo(), "A < B").data == "<p>Left out, since it shows photos: A &lt; B</p>"
    assert not (run.folder / "figures" / "fig_1.png").exists()
    for each, kept in ((run, "data:image/jpeg;base64,x"), (hidden, "")):
        each.save_result("cnn", pairs=[{"left": "data:image/jpeg;base64,x", "category": "data"}])
        assert run.result("cnn", "")["pairs"] == [{"left": kept, "category": "data"}]


def test_a_table_is_saved_and_shown_alike_and_a_long_one_is_whole_in_its_file(run):
    frame = pd.DataFrame({"photo": [f"{place}.jpg" for place in range(41)], "accuracy": 0.5})
    shown, path = run.table("table_1", frame, "A caption").data, run.folder / "tables" / "table_1.csv"
    assert ">39.jpg<" in shown and "40.jpg" not in shown and "A caption (the first 40; all are in table_1.csv)" in shown
    assert len(tables.read_table(path)[0]) == 41
    shown = run.table("table_1", frame.head(40), "A caption", best=True).data
    assert "the first" not in shown and tables.table_html(*tables.read_table(path)) == shown


def test_source_is_shown_without_its_docstring_and_with_its_comments(run):
    def shown(*functions):
        html = run.source(*functions).data
        assert 'class="highlight"' in html and "<span" in html
        text = BeautifulSoup(html, "html.parser").select_one(".highlight").text
        compile(text, "shown", "exec")
        return text

    text = shown(losses.contrastive_loss, tasks.Pairs.values)
    assert ".clamp(min=0))  # (P,)" in text and text.lstrip().startswith("def contrastive_loss(")
    assert "\ndef values(self, embeddings" in text and '"""' not in text  # a method, moved to the left
    text = shown(models.ThesisNetwork, training.constant)
    assert "class ThesisNetwork" in text and "The convolutional trunk" not in text and "return 1.0" in text


# Trainings


def network(seed=0, outputs=3):
    return models.thesis_network(outputs, (4, 4), 20, seed=seed)


def fit(run, task=None, net=None, epochs=2, batch_size=16, learning_rate=0.01, **options):
    """Train under the name "cnn"; return the history and how many epochs were trained for it."""
    lines, settings = [], (epochs, batch_size, learning_rate)
    history = run.fit("cnn", net or network(), task or tasks.Naming(), *settings, say=lines.append, **options)
    return history, sum(line.startswith("epoch") for line in lines)


def test_a_training_is_kept_with_its_settings_and_not_done_again_and_going_on_is_said(run, capsys):
    history, trained = fit(run)
    assert trained == 2 and run.weights("cnn").is_file()
    assert history.attrs["settings"] == {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
    net = network()
    again, trained = fit(run, net=net)
    assert trained == 0 and again.attrs == history.attrs
    pd.testing.assert_frame_equal(again, history, check_exact=True)
    kept = training.load_weights(network(5), run.weights("cnn"))
    assert all(a.equal(b) for a, b in zip(net.parameters(), kept.parameters(), strict=True))
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "seed": 0, "say": lambda line: None}
    expected = training.fit(network(), run.study.photos, tasks.Naming(), **settings)
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert capsys.readouterr().out == ""
    assert fit(run, net=net)[1] == 2 and "this network was trained before" in capsys.readouterr().out


class Naming(tasks.Naming):
    """Called as the package's own, with the same fields: a task that a notebook has replaced."""

    def values(self, logits, labels):
        return super().values(logits, labels) | {"loss": logits.sum(dim=1) * 0 + 7}


OTHERS = [
    *({"epochs": 1}, {"batch_size": 8}, {"learning_rate": 0.02}, {"seed": 4}, {"net": network(seed=1)}),
    {"task": Naming()},
    {"task": tasks.Pairs(margin=1.0)},
    {"schedule": training.one_cycle},
    {"augment": lambda inputs, rows, generator, done: augmentation.augment(inputs, generator)},
    {"optimiser": lambda net, rate: torch.optim.SGD(net.parameters(), lr=rate)},
    {"photos": lambda photos: replace(photos, labels=photos.labels | {"train": photos.labels["train"].flip(0)})},
    {"photos": lambda photos: replace(photos, seed=1)},
    {"photos": lambda photos: replace(photos, pixels=255 - photos.pixels)},
]


@pytest.mark.parametrize("options", OTHERS, ids=lambda options: "-".join(options))
def test_whatever_a_training_is_made_of_makes_another_one(run, options):
    if change := options.get("photos"):
        options = options | {"photos": change(run.study.photos)}
    fit(run, **{"task": tasks.Pairs()} if "Pairs" in str(options) else {})
    epochs = options.get("epochs", 2)
    assert fit(run, **options)[1] == epochs
    assert fit(run, **options)[1] == (0 if "net" not in options else epochs)  # that network is trained by now


def test_another_library_number_of_threads_or_code_of_the_package_makes_another_training(run, monkeypatch):
    fit(run)
    versions = {"torch.__version__": "99", "CORE": "other code", "PIL.__version__": "99"}
    for name, value in (versions | {"torch.get_num_threads": lambda: 99}).items():
        monkeypatch.setattr(f"autoparts.study.run.{name}", value)
        assert fit(run)[1] == 2


PUT_IN_PLACE = [  # of what, by what
    (losses, "contrastive_loss", lambda distances, same, margin: distances * 0 + 7),
    (losses.DISTANCES, "euclidean", lambda left, right: (left - right).abs().sum(dim=1)),
    (sampling.Photos, "pairs", lambda self, split, count=None: PAIRS(self, split, 30)),
    (tasks, "SPLITS", ("train", "validation", "test", "more")),
    (torch.nn.functional, "relu", lambda inputs, inplace=False: inputs.tanh()),
    (augmentation, "augment", lambda inputs, *given: inputs),
]
PAIRS = sampling.Photos.pairs


@pytest.mark.parametrize(("owner", "name", "value"), PUT_IN_PLACE)
def test_what_a_notebook_puts_in_place_of_the_packages_own_makes_another_training(run, monkeypatch, owner, name, value):
    task, set_in = tasks.Pairs(threshold_pairs=30), monkeypatch.setitem if type(owner) is dict else monkeypatch.setattr
    history, _ = fit(run, task)
    assert fit(run, task)[1] == 0
    set_in(owner, name, value)
    changed, trained = fit(run, task)
    assert trained == 2 and runs.replaced() and fit(run, task)[1] == 0
    if name == "contrastive_loss":  # put there before the room was imported, it is no less a notebook's
        assert changed["training_loss"].tolist() == [7, 7]
        monkeypatch.setitem(fingerprints.CORE_AS_MADE, ("losses", name), value)
        monkeypatch.setattr(value, "__module__", "__main__")
        assert (("losses", name), value) in runs.replaced()
    monkeypatch.undo()
    again, trained = fit(run, task)
    assert trained == 2 and not runs.replaced()
    pd.testing.assert_frame_equal(again, history, check_exact=True)


def test_a_model_of_the_thesis_is_saved_for_the_comparison(run):
    net, task = network(outputs=4), tasks.Triplets(margin=0.5)
    history, _ = fit(run, task, net, epochs=1)
    hits = task.judge(net, run.study.photos)
    run.save("triplet", net, task, history, hits, verdict="fine")
    found = run.result("triplet", "04")
    assert found["trained_for"] == {"kind": "Triplets", "margin": 0.5, "distance": "squared", "draw_by": "photo"}
    assert models.thesis_network(**found["architecture"]).architecture == net.architecture
    assert found["settings"] == {"epochs": 1, "batch_size": 16, "learning_rate": 0.01}
    assert found["metrics"]["test_accuracy"] == pytest.approx(float(hits["test"].double().mean()))
    assert found["history"]["training_loss"] == history["training_loss"].tolist()
    assert (found["chance"], found["verdict"], found["title"]) == (None, "fine", "Siamese, triplet loss")
    run.save("cnn", network(), tasks.Naming(), *fit(run)[:1], tasks.Naming().judge(net, run.study.photos))
    found = run.result("cnn", "02")
    assert found["chance"] == pytest.approx(1 / 3) and found["task"] == "naming among 3 parts"
