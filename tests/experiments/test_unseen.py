from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autoparts.catalogue import SPLITS
from autoparts.experiments import subsets, trials, unseen, variants

SETTINGS = trials.Settings(epochs=1, batch_size=16, embedding_size=8, draws=20)
BASELINES = [variants.PIXELS, variants.UNTRAINED]
HELD_OUT = [*BASELINES, variants.BASELINE]
pytestmark = pytest.mark.usefixtures("one_process")


def test_held_out_categories_are_never_trained_on(run, small, monkeypatch):
    seen, original = [], unseen.side_by_side

    def in_turn(function, jobs, *where):
        if function is trials.try_row:
            seen.extend(job[3:5] for job in jobs if job[1] is variants.BASELINE)
        return original(function, jobs, *where)

    monkeypatch.setattr(unseen, "side_by_side", in_turn)
    table, _ = unseen.judge(run, [variants.BASELINE, *BASELINES], SETTINGS, small, 2, 0.3)
    assert table["variant"].tolist() == [variants.BASELINE.name] * 2 + ["raw pixels", "untrained network"]
    assert table["trained on them"].tolist() == ["no", "yes", "no", "no"] and set(table["draws"]) == {2}
    assert (table["low"] < table["precision@1"]).all() and (table["precision@1"] < table["high"]).all()
    category = run.study.catalogue.set_index("row")["category"]

    def categories(of, split):
        return set(category[of.rows[split].tolist()])

    drawn = []
    for (without, judged), (whole, judged_too) in (seen[:2], seen[2:]):
        assert whole is small and judged_too is judged
        hidden = categories(judged, "train")
        drawn.append(hidden)
        assert len(hidden) == 2 and categories(judged, "test") == hidden
        for split in SPLITS:
            assert categories(without, split) == set(run.study.categories) - hidden
            names = [category[row] for row in judged.rows[split].tolist()]
            known = pd.DataFrame({"name": names, "label": judged.labels[split].tolist()}).drop_duplicates()
            assert known["name"].is_unique and known["label"].is_unique
        assert categories(judged, "validation") == set(run.study.categories) - hidden  # the threshold's
        gallery, queries = (set(judged.rows[split].tolist()) for split in ("train", "test"))
        chose = set(small.rows["validation"].tolist())  # the epoch of what is trained on all
        assert gallery | queries == set(category.index[category.isin(hidden)]) - chose and not gallery & queries
    assert drawn[0] != drawn[1]
    monkeypatch.setattr(subsets, "held_out", lambda *given, original=subsets.held_out: original(small, "one", 0.3))
    table, gaps = unseen.judge(run, HELD_OUT, SETTINGS, small, 3, 0.3)
    assert set(table["draws"]) == {1} and table["low"].isna().all()  # of a single draw nothing is known
    assert gaps["difference"].notna().all() and gaps["difference low"].isna().all()


def test_no_category_is_held_out_where_there_are_too_few(run, small, capsys):
    table, gaps = unseen.judge(run, HELD_OUT, SETTINGS, small, 2, 0.9)
    assert table.empty and gaps.empty and {"variant", "trained on them", "ROC AUC"} <= set(table.columns)
    assert "no categories are held out: the validation photos cannot be compared" in capsys.readouterr().out


def test_means_and_intervals_are_of_draws_each_the_mean_of_its_trainings(run, patterns, monkeypatch):
    photos, given, generator = patterns(*[4] * 8), {}, np.random.default_rng(0)

    def tried(function, jobs, device):
        for _, row, _, seen, judged, _ in jobs if function is trials.try_row else ():
            draws = given.setdefault((row.name, "yes" if seen is photos else "no"), {})
            draws.setdefault(id(judged), []).append(generator.random())
            scores = dict.fromkeys(trials.MEASURES, draws[id(judged)][-1]) | {"queries": 10 * len(draws)}
            yield trials.Trial(scores, None, None, 0)

    monkeypatch.setattr(unseen, "side_by_side", tried)
    rows = [variants.PLAIN, variants.PIXELS, variants.BASELINE, variants.UNTRAINED]
    table, gaps = unseen.judge(run, rows, replace(SETTINGS, seeds=2), photos, 4)
    table = table.set_index(["variant", "trained on them"])
    known = [(row.name, told) for row in rows for told in ("no", "yes") if row.trained or told == "no"]
    assert table.index.tolist() == known and set(table["draws"]) == {4} and set(table["photos of a draw"]) == {25}
    found = {key: np.array([*draws.values()]) for key, draws in given.items()}
    assert {values.shape for values in found.values()} == {(4, 2)}
    for key, values in found.items():
        low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values.mean(axis=1)))
        expected = [values.mean(), max(low, 0), min(high, 1)]
        assert table.loc[key, ["precision@1", "low", "high"]].tolist() == pytest.approx(expected)
    pairs = {}  # of what, less what
    for name in (variants.PLAIN.name, variants.BASELINE.name):
        others = {"trained on all": (name, "yes"), "untrained network": known[-1]}
        pairs |= {f"{name}, less {told}": ((name, "no"), other) for told, other in others.items()}
    assert gaps.index.tolist() == [*pairs]
    for name, (one, other) in pairs.items():
        gap = (found[one] - found[other]).mean(axis=1)  # draw by draw
        interval = stats.t.interval(0.95, 3, gap.mean(), stats.sem(gap))
        assert gaps.loc[name].tolist() == pytest.approx([gap.mean(), *interval])
    assert unseen.judge(run, rows[:3], SETTINGS, photos, 4)[1].index.tolist() == [*pairs][::2]  # without the untrained
