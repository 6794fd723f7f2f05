from dataclasses import replace
from types import SimpleNamespace

import ipywidgets
import pytest
import torch

from autoparts.report import exploring, interactive
from autoparts.retrieval import Embedded
from autoparts.sampling import LabelledPairs
from autoparts.study.run import Run


@pytest.fixture
def run(tmp_path, small_study):
    (tmp_path / "figures").mkdir()
    return Run(tmp_path, small_study)


@pytest.fixture
def moved(monkeypatch):
    """JupyterLab: what `interact` was given, with a kernel whose front end can be asked."""
    kernel = SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": True}})
    given = {}
    monkeypatch.setattr(exploring, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(exploring, "interact", lambda shown, choice: given.update(shown=shown, choice=choice))
    return given


def threshold(run):
    rows = run.study.photos.rows["train"][:30]
    pairs = LabelledPairs(rows, rows.flip(0), torch.arange(30) % 2 == 0)
    marks = {"chosen": 0.5, "thesis": 0.25}
    explorer = interactive.threshold_explorer(run.study, pairs, torch.linspace(0, 1, 30), marks)
    return exploring.threshold(run, "fig_4_4", explorer, marks), explorer


def lookalikes(run):
    vectors = torch.rand(len(run.study.photos.pixels), 3, generator=torch.Generator().manual_seed(0))
    found = interactive.lookalikes(run.study, {"pixels": Embedded(vectors, "euclidean")})
    return exploring.lookalikes(run, "fig_4_4", found), found


def hardest(run):
    logits = -torch.nn.functional.one_hot(run.study.photos.labels["test"], 3).double()  # all are wrong
    return exploring.hardest_photos(run, "fig_4_4", logits), logits


@pytest.mark.parametrize("explored", [threshold, lookalikes, hardest])
def test_a_still_is_saved_and_shown_and_a_control_only_where_somebody_can_choose(run, explored, moved, monkeypatch):
    assert explored(run)[0] is None and isinstance(moved["choice"], ipywidgets.Widget)
    file = run.folder / "figures" / "fig_4_4.png"
    saved, first = file.read_bytes(), moved["shown"](moved["choice"].value)
    _, other = moved["choice"].options[-1]
    assert (moved["shown"](other).data != first.data) == (len(moved["choice"].options) > 1)
    assert file.read_bytes() == saved
    moved.clear()
    assert "left out" in explored(replace(run, show_photos=False))[0].data.lower() or explored is threshold
    monkeypatch.setattr(exploring, "get_ipython", lambda: None)
    assert first.data.startswith(explored(run)[0].data) and not moved


def test_the_counts_are_those_of_the_threshold(run, moved):
    _, explorer = threshold(run)
    place = explorer["chosen"] + 7
    html = moved["shown"](place).data
    for count in ("true_positive", "false_positive", "true_negative", "false_negative"):
        assert f">{explorer['curve'][count][place]}</td>" in html


def test_the_surest_mistakes_come_first(run, monkeypatch):
    labels = run.study.photos.labels["test"]
    logits = torch.nn.functional.one_hot(labels, 3).double()
    assert "No test photo" in exploring.hardest_photos(run, "fig_cnn_wrong", logits).data
    logits[1] = -9 * logits[1]
    told = exploring.hardest_photos(run, "fig_cnn_wrong", logits).data
    assert "1 photos: named wrongly" in told and "The surest of 1 mistakes" in told
    shown, draw = [], exploring.photo_figures.photo_grid

    def photo_grid(photos, titles, **look):
        shown.extend(titles)
        return draw(photos, titles, **look)

    monkeypatch.setattr(exploring.photo_figures, "photo_grid", photo_grid)
    logits[-1] = -1 * logits[-1]  # of another category, and less sure
    exploring.hardest_photos(run, "fig_cnn_wrong", logits)
    names = run.study.subset("test")["category"].iloc[[1, -1]]
    assert [title.partition("\n")[0] for title in shown] == names.tolist() and names.nunique() == 2
