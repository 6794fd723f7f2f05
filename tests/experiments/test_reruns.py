from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from autoparts import models, retrieval
from autoparts.experiments import comparison, reruns, trials

SETTINGS = trials.Settings(epochs=1, draws=20)
pytestmark = pytest.mark.usefixtures("one_process")


def test_the_four_networks_are_trained_again_for_each_further_seed(run, monkeypatch):
    network, asked = models.initialised(0, models.Recogniser, 5, filters=(4, 8), embedding_size=8), []

    def trained(of, epochs, seed, name, backbone):
        asked.append((seed, name, epochs, backbone))
        seen_by = retrieval.embedded(network, of.study.photos, "cosine")
        return SimpleNamespace(seen=seen_by, history=pd.DataFrame({"epoch": range(1, epochs + 1)}))

    monkeypatch.setattr(reruns, "train_recommended", trained)
    shared = {"architecture": {"outputs": 5, "filters": [4, 8], "side": 24}}
    shared["settings"] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
    results = {
        "cnn": {"title": "plain", "trained_for": {"kind": "Naming"}, **shared},
        "triplet": {"title": "ranks", "trained_for": {"kind": "Triplets", "margin": 0.5, "draw_by": "photo"}, **shared},
    }
    own = retrieval.embedded(models.thesis_network(5, (4, 8), 24, seed=9), run.study.photos)
    worse = retrieval.Embedded(torch.zeros_like(own.vectors))  # which names all photos alike
    seen, settings = {"raw": worse, "plain": own, "ranks": own}, replace(SETTINGS, seeds=3)
    told = reruns.over_seeds(run, results, seen, settings, 3, backbone="x")
    table = told["table"].set_index("model")
    assert table.index.tolist() == ["raw", "plain", "ranks", "recommended"]
    assert told["best"] == table["precision@1"].drop("recommended").idxmax() != table["precision@1"].idxmin()
    others, best = told["paired"].set_index(f"compared with: {told['best']}")["difference"], told["best"]
    assert set(others.index) == {"raw", "plain", "ranks"} - {best}
    assert asked == [(3, "recommended", 3, "x"), (4, "recommended-4", 3, "x"), (5, "recommended-5", 3, "x")]
    photos = run.study.photos
    first_hits = retrieval.judge(own, photos)[1]["precision@1"]
    assert others["raw"] == pytest.approx(table.loc["raw", "precision@1"] - table.loc[best, "precision@1"])
    for short, result in results.items():  # the run's own training and two others
        further = [reruns.again(run, short, result, seed) for seed in trials.seeds_of(run, settings)[1:]]
        each = [first_hits.mean(), *(scores["precision@1"] for scores, _ in further)]
        row = table.loc[result["title"]]
        told = row[["precision@1", "spread"]].tolist()
        assert told == pytest.approx([sum(each) / 3, max(each) - min(each)])
        hits = pd.concat([first_hits, *(named["precision@1"] for _, named in further)], axis=1)
        limits = comparison.limits_of(hits, photos, retrieval.DRAWS)
        assert row["95 % interval"] == comparison.interval_text(*limits)
    single = comparison.fair_comparison({"raw": worse}, photos)[0].loc["raw", "95 % interval"]
    assert table.loc["raw", "95 % interval"] == single and table.loc["recommended", "spread"] == 0
    assert len([*(run.folder / "models" / "beyond").glob("*.pt")]) == 4  # the run's own are not trained again
    frozen = reruns.over_seeds(run, results, seen, settings, 0, backbone="x")["table"]  # the same for any seed
    assert asked[3:] == [(3, "recommended", 0, "x")] and frozen["spread"].isna().tolist() == [True, False, False, True]
    assert reruns.over_seeds(run, results, seen, SETTINGS, 3, backbone="x") == {}
