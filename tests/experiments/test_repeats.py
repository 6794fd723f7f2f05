from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from autoparts import models, retrieval
from autoparts.experiments import repeats, trials

SETTINGS = trials.Settings(epochs=1, draws=20, seeds=3)
pytestmark = pytest.mark.usefixtures("one_process")


def test_the_four_networks_are_trained_again_for_each_further_seed(run, monkeypatch):
    network, asked = models.initialised(0, models.Recogniser, 5, filters=(4, 8), embedding_size=8), []

    def trained(of, epochs, seed, name, backbone):
        asked.append((seed, name, epochs, backbone))
        seen_by = retrieval.embedded(network, of.study.photos, "cosine")
        return SimpleNamespace(seen=seen_by, history=pd.DataFrame({"epoch": range(1, epochs + 1)}))

    monkeypatch.setattr(repeats, "train_recommended", trained)
    shared = {"architecture": {"outputs": 5, "filters": [4, 8], "side": 24}}
    shared["settings"] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
    results = {
        "cnn": {"title": "plain", "trained_for": {"kind": "Naming"}, **shared},
        "triplet": {"title": "ranks", "trained_for": {"kind": "Triplets", "margin": 0.5, "draw_by": "photo"}, **shared},
    }
    own = retrieval.embedded(models.thesis_network(5, (4, 8), 24, seed=9), run.study.photos)
    table, hits = repeats.over_seeds(run, results, {"plain": own, "ranks": own}, SETTINGS, 3, backbone="x")
    assert table.index.tolist() == list(hits) == ["plain", "ranks", "recommended"]
    assert asked == [(3, "recommended", 3, "x"), (4, "recommended-4", 3, "x"), (5, "recommended-5", 3, "x")]
    first = retrieval.judge(own, run.study.photos)[1]["precision@1"]
    assert all(hits[name].shape[1] == 3 and hits[name].iloc[:, 0].equals(first) for name in ("plain", "ranks"))
    assert table["precision@1"].to_dict() == pytest.approx({name: each.mean().mean() for name, each in hits.items()})
    spread = hits["plain"].mean().max() - hits["plain"].mean().min()
    assert table["spread"].tolist()[::2] == pytest.approx([spread, 0]) and spread > 0
    assert len([*(run.folder / "models" / "beyond").glob("*.pt")]) == 4  # the run's own are not trained again
    frozen, _ = repeats.over_seeds(run, {}, {}, replace(SETTINGS, seeds=2), 0, backbone="x")  # the same for any seed
    assert asked[3:] == [(3, "recommended", 0, "x")] and frozen["spread"].isna().all()
