from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from autoparts import models, retrieval, training
from autoparts.errors import UserError
from autoparts.experiments import comparison
from autoparts.sampling import Photos, seeded


@pytest.fixture
def photos():
    """Thirty photos of three categories, without any pixels of interest."""
    labels = torch.arange(3).repeat(10)
    parts = {"train": slice(0, 12), "validation": slice(12, 18), "test": slice(18, 30)}
    rows = {split: torch.arange(30)[part] for split, part in parts.items()}
    return Photos(torch.zeros(30, 4, 4).byte(), rows, {split: labels[part] for split, part in parts.items()})


def model(noise, seed=0):
    """Vectors of those photos that are the nearer to those of their category, the less noise there is."""
    centres = torch.eye(3)[torch.arange(3).repeat(10)]
    return retrieval.Embedded(centres + noise * torch.randn(30, 3, generator=seeded(seed)))


def test_table_5_1_sets_the_thesis_beside_the_run_and_curves_are_those_saved():
    metrics = {"training_accuracy": 0.9, "validation_accuracy": 0.5, "test_accuracy": 0.25}
    metrics |= {"test_interval": [0.2, 0.3], "n_test": 80}
    results = {
        name: {"title": name.upper(), "task": f"task of {name}", "chance": chance, "metrics": metrics}
        for name, chance in (("cnn", 0.01), ("contrastive", 0.5), ("triplet", None))
    }
    table = comparison.table_5_1(results)
    thesis, ours, columns = table.iloc[0::2], table.iloc[1::2], [name.replace("_", " ") for name in [*metrics][:3]]
    np.testing.assert_equal(
        thesis[columns].to_numpy(float),
        [[0.9979, 0.0007 / 100, 0.508], [0.9794, 0.9198, 0.7024], [np.nan, np.nan, 0.4036]],
    )
    assert (ours[columns] == [0.9, 0.5, 0.25]).all(axis=None) and ours["n (test)"].tolist() == [80] * 3
    assert ours["95 % interval"].tolist() == ["20.0% to 30.0%"] * 3
    assert ours["chance"].tolist()[:2] == [0.01, 0.5] and np.isnan(ours["chance"].iloc[2])
    assert ours["task"].tolist() == ["task of cnn", "task of contrastive", "task of triplet"]
    history = {"epoch": [1, 2], "training_loss": [2.0, 1.0]}
    panels = comparison.curves({name: {"title": name, "history": history} for name in ("a", "b")})
    assert list(panels) == ["a: loss", "b: loss", "a: accuracy", "b: accuracy"]
    assert panels["b: loss"][0]["training_loss"].tolist() == [2.0, 1.0] and panels["b: loss"][1] == "loss"


def test_every_model_sees_the_photos_in_its_own_way(run):
    network = models.thesis_network(5, (4, 8), 24, seed=1)
    training.save_tensors({"network": network.state_dict(), "key": "this one"}, run.weights("cnn"))
    result = {"title": "Plain", "architecture": {"outputs": 5, "filters": [4, 8], "side": 24}, "key": "this one"}
    with pytest.raises(UserError, match=r"cnn.pt and cnn.json are of different trainings: run notebook 02_cnn"):
        comparison.views(run, {"cnn": result | {"key": "another"}})
    seen = comparison.views(run, {"cnn": result})
    photos = run.study.photos
    train = photos.rows["train"]
    assert list(seen) == ["raw pixels", f"{len(train)} principal components", "Plain"]
    inputs = models.photo_input(photos.pixels[train])
    raw, reduced, plain = (each.vectors[train] for each in seen.values())
    assert raw.equal(inputs.flatten(1))
    with torch.no_grad(), models.half_precision(inputs.device):
        torch.testing.assert_close(plain, network(inputs).float())
    torch.testing.assert_close(torch.cdist(reduced, reduced), torch.cdist(raw, raw), atol=0.05, rtol=0.01)
    assert (reduced.mean(dim=0).abs() < 1e-3).all()


def test_the_comparison_has_a_row_per_model_per_classifier_and_of_chance(photos):
    logits = model(0.7)
    table, queries = comparison.fair_comparison({"one": model(0.9), "other": model(0.5)}, photos, {"softmax": logits})
    assert table.index.tolist() == [*queries, "chance"] == ["one", "other", "softmax", "chance"]
    assert table.loc["chance", "precision@1"] == pytest.approx(1 / 3)
    assert (table.loc["chance", ["ROC AUC", "EER", "accuracy", "ranking"]] == 0.5).all()
    assert (table.loc["chance", ["95 % interval", *comparison.INTERVALS]] == "").all()
    for name in queries:
        limits = table.loc[name, ["precision@1 low", "precision@1 high"]]
        assert table.loc[name, "95 % interval"] == "{:.1%} to {:.1%}".format(*limits)
    for measure, limits in zip(("MAP@R", "ROC AUC", "ranking"), comparison.INTERVALS, strict=True):
        low, high = (float(end.rstrip("%")) / 100 for end in table.loc["other", limits].split(" to "))
        assert limits.startswith(measure) and low <= table.loc["other", measure] <= high
    right = (logits.vectors[photos.rows["test"]].argmax(dim=1) == photos.labels["test"]).double()
    assert queries["softmax"]["precision@1"].tolist() == right.tolist() and 0.5 < right.mean() < 1
    assert table.loc["softmax", "precision@1"] == pytest.approx(float(right.mean()))
    assert np.isnan(table.loc["softmax", "MAP@R"])
    gaps = comparison.paired_differences(queries, photos, "one", 50)["difference"]
    assert gaps["softmax"] == pytest.approx(float(right.mean()) - queries["one"]["precision@1"].mean())


def test_the_area_under_the_curve_is_sklearns_in_every_sample_though_distances_tie():
    distances = torch.tensor([0.5, 1.0, 1.0, 2.0, 2.0, 0.5, 3.0, 1.0])
    same = torch.tensor([True, True, False, False, True, False, False, True])
    weights = np.random.default_rng(0).integers(0, 4, (20, 8)).astype(np.float32)
    expected = [roc_auc_score(same.numpy(), -distances.numpy(), sample_weight=each) for each in weights]
    assert comparison.roc_areas(distances, same, weights) == pytest.approx(expected)


def test_models_are_listed_by_how_they_are_judged_and_own_rows_are_drawn():
    judged = pd.DataFrame({"judged": ["better", "worse", "better"]}, index=["a", "b", "c"])
    assert comparison.listed(judged) == "better: a; c\nworse: b\nnot to be told apart: none"
    history = pd.DataFrame({"epoch": [1.0, 2.0], "validation_precision@1": [0.1, 0.2]})
    verdicts = {"quadruplet": "", "semi-hard triplets": "", "my own": "", "offline triplets": "still rising"}
    curves = comparison.learning_curves(dict.fromkeys(verdicts, history))
    assert curves.columns.tolist() == ["pass over the training photos", *verdicts]
    table = pd.DataFrame({"variant": [*verdicts, "raw pixels"], "verdict": [*verdicts.values(), ""]})
    table["learning rate"] = [0.1] * 4 + [np.nan]
    assert comparison.decisive(table) == [*verdicts][1:]


def test_limits_are_wider_the_more_trainings_differ(photos):
    drawn = np.random.default_rng(0).random((2, len(photos.labels["test"]), 3))
    apart, near = (pd.DataFrame(each * 1.0) for each in (drawn[0] < [0.2, 0.5, 0.8], drawn[1] < 0.5))
    wide, narrow = (np.diff(comparison.limits_of(hits, photos, 400))[0] for hits in (apart, near))
    assert wide > 1.5 * narrow > 0
    low, high = comparison.limits_of(apart * 0 + 1, photos, 400)  # where all are right, another might not be
    assert low < 1 and high == pytest.approx(1)


def test_how_far_a_training_has_come_is_told():
    history = {"epoch": [1, 2, 3, 4, 5], "training_loss": [4.0, 3, 2, 1.5, 1]}
    history |= {"validation_accuracy": [0.1, 0.3, 0.5, 0.4, 0.3], "validation_loss": [3.0, 2, 4, 5, 6]}
    told = comparison.convergence({"cnn": {"title": "Plain", "history": history}}).loc["Plain"]
    assert told.tolist() == [5, 2.0, 1.0, 6, 2, 2, 0.3, 0.5, 3]


def test_the_softmax_row_names_by_the_largest_logit():
    logits = torch.tensor([[3.0, 1, 0, 0, 0, 0], [2] * 6, [0, 3, 5, 0, 0, 0], [6, 5, 4, 3, 2, 1]])
    truth = torch.tensor([0, 0, 1, 5])  # of equally sure names the first counts, as in Table 5.1: frequent in bfloat16
    of_test = {"test": torch.arange(4)}
    photos = SimpleNamespace(labels={"test": truth}, rows=of_test, pixels=torch.zeros(4, 1, 1), seed=0)
    row, named = comparison.softmax_row(retrieval.Embedded(logits), photos)
    assert named["precision@1"].tolist() == [1, 1, 0, 0]
    assert row["precision@1"] == row["class top-1"] == 0.5 and row["queries"] == 4
    assert row["precision@1 macro"] == pytest.approx((1 + 0 + 0) / 3)
    assert row["class top-5"] == 0.75
    weights = retrieval.resampled_weights(truth, retrieval.DRAWS, np.random.default_rng(0))  # those of all other rows
    means = retrieval.resampled_means(np.array([1.0, 1, 0, 0]), weights)
    assert (row["precision@1 low"], row["precision@1 high"]) == retrieval.percentile_interval(means)


def test_precision_by_the_size_of_the_category():
    index = [0, 2, 3, 5]  # photos 1 and 4 had no category in the gallery
    found = {"a": [1.0, 0, 1, 1], "b": [0.0] * 4}
    queries = {name: pd.DataFrame({"precision@1": hits}, index) for name, hits in found.items()}
    groups = pd.Series(["head", "head", "tail", "head", "tail", "tail"], index=range(10, 16))
    table = comparison.by_size(queries, groups)
    assert table.columns.tolist() == ["head", "tail"]
    assert table.loc["a"].tolist() == [1, 0.5] and table.loc["b"].tolist() == [0, 0]


def test_a_paired_difference_has_its_sign_and_one_model_does_not_differ_from_its_twin(photos):
    seen = {"good": model(0.3), "bad": model(1.5), "twin": model(1.5)}
    _, queries = comparison.fair_comparison(seen, photos)
    table = comparison.paired_differences(queries, photos, "bad", 400)
    assert table.index.tolist() == ["good", "twin"] and table.index.name == "compared with: bad"
    gain = queries["good"]["precision@1"].mean() - queries["bad"]["precision@1"].mean()
    assert table.loc["good", "difference"] == pytest.approx(gain) and gain > 0
    assert table.loc["good", "difference low"] < gain < table.loc["good", "difference high"]
    limits = ["difference", "difference low", "difference high"]
    assert table.loc["twin", limits].tolist() == [0, 0, 0]
    assert table["judged"].tolist() == ["better", "not to be told apart"]
    turned = comparison.paired_differences(queries, photos, "good", 400).loc["bad"]
    assert turned["judged"] == "worse"
    gain, low, high = table.loc["good", limits]
    assert turned[limits].tolist() == pytest.approx([-gain, -high, -low], abs=1e-6)


def test_a_difference_of_several_trainings_is_as_uncertain_as_they_are_apart(photos):
    hits = [retrieval.judge(model(0.9, seed), photos)[1]["precision@1"] for seed in (1, 2, 3, 4)]
    one, several = hits[0].to_frame(), pd.concat(hits, axis=1)
    row = comparison.paired_differences({"several": several, "one": one}, photos, "one", 400).loc["several"]
    gain = several.to_numpy().mean() - one.to_numpy().mean()
    assert row["difference"] == pytest.approx(gain) and row["difference low"] < gain < row["difference high"]


def test_the_interval_of_few_trainings_covers_what_they_differ_by():
    """With photos that never change, all that is uncertain is which trainings there are."""
    generator = np.random.default_rng(0)
    for trainings in (2, 3, 10):
        found = generator.normal(0.5, 0.02, (300, trainings))
        samples = [comparison.over_trainings(np.tile(means, (1000, 1)), seed) for seed, means in enumerate(found)]
        limits = np.quantile(samples, [0.025, 0.975], axis=1)
        assert 0.92 < ((limits[0] < 0.5) & (limits[1] > 0.5)).mean() < 0.98
    low, high = np.quantile(comparison.over_trainings(np.tile([0.4, 0.6], (500, 1)), 7), [0.025, 0.975])
    assert low + high == pytest.approx(1, abs=1e-3)  # neither side is the easier to be on
    photos, widths = generator.random((100, 3, 400)) < 0.5, []  # of trainings that differ by photos alone
    for hits in photos:
        samples = generator.multinomial(400, [1 / 400] * 400, 300).astype(np.float32)
        drawn = comparison.over_trainings(retrieval.resampled_means(hits, samples), 1)
        widths.append(np.ptp(np.quantile(drawn, [0.025, 0.975])))
    assert 1 < np.mean(widths) / (3.92 * photos.mean(axis=(1, 2)).std()) < 2.1
    alone = generator.random((50, 1))
    assert comparison.over_trainings(alone, 0).tolist() == alone[:, 0].tolist()


def test_rows_of_one_training_differ_by_what_sets_them_apart_in_each(photos):
    """As the Hamming row does, whose networks are the baseline's: that these differ among themselves says nothing."""
    hits = np.random.default_rng(0).random((12, 3)) < [0.3, 0.6, 0.9]
    queries = {"one": pd.DataFrame(hits.astype(float), columns=["precision@1"] * 3)}
    queries["less"] = queries["one"] - 0.1
    table = comparison.paired_differences(queries, photos, "one", 400)
    limits = table.loc["less", ["difference", "difference low", "difference high"]]
    assert limits.to_numpy(float) == pytest.approx([-0.1] * 3, abs=1e-5) and table.loc["less", "judged"] == "worse"
