import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score, roc_curve

from autoparts import comparison, retrieval
from autoparts.evaluation import Pairs
from autoparts.losses import DISTANCES, distance
from autoparts.models import seeded


def scene(seed, queries=40, photos=90, categories=7, noise=1.5):
    """Photos around the centres of categories of very different sizes; category 0 has no photo in the gallery."""
    generator = seeded(seed)
    centres = torch.randn(categories, 4, generator=generator)
    shares = torch.linspace(0.2, 3, categories - 1)
    gallery_labels = 1 + torch.multinomial(shares, photos, replacement=True, generator=generator)
    labels = torch.randint(0, categories, (queries,), generator=generator)
    gallery = centres[gallery_labels] + noise * torch.randn(photos, 4, generator=generator)
    return centres[labels] + noise * torch.randn(queries, 4, generator=generator), labels, gallery, gallery_labels


def naive(query, label, gallery, gallery_labels, kind):
    order = sorted(range(len(gallery)), key=lambda place: float(distance(query, gallery[place], kind)))
    hits = [int(gallery_labels[place]) == label for place in order]
    own = sum(hits)
    means = {c: gallery[gallery_labels == c].mean(dim=0) for c in set(gallery_labels.tolist())}
    classes = sorted(means, key=lambda c: float(distance(query, means[c], kind)))
    return [
        hits[0],
        any(hits[:5]),
        any(hits[:10]),
        sum(hits[:own]) / own,
        sum(sum(hits[: place + 1]) / (place + 1) for place in range(own) if hits[place]) / own,
        classes[0] == label,
        label in classes[:5],
    ]


@pytest.mark.parametrize("kind", DISTANCES)
def test_naming_is_that_of_a_loop(kind):
    for seed in range(3):
        queries, labels, gallery, gallery_labels = scene(seed)
        frame = retrieval.retrieve(queries, labels, gallery, gallery_labels, kind)
        assert frame.index.tolist() == [q for q in range(40) if labels[q] in gallery_labels]
        expected = [naive(queries[q], int(labels[q]), gallery, gallery_labels, kind) for q in frame.index]
        np.testing.assert_allclose(frame.to_numpy(), np.array(expected, dtype=float), atol=1e-6)


def test_naming_agrees_with_pytorch_metric_learning():
    names = {"precision_at_1": "precision@1", "r_precision": "R-precision", "mean_average_precision_at_r": "MAP@R"}
    reference = AccuracyCalculator(
        include=tuple(names), knn_func=CustomKNN(LpDistance(normalize_embeddings=False)), device=torch.device("cpu")
    )
    for seed in range(5):
        queries, labels, gallery, gallery_labels = scene(seed)
        frame = retrieval.retrieve(queries, labels, gallery, gallery_labels)
        expected = reference.get_accuracy(queries, labels, gallery, gallery_labels, ref_includes_query=False)
        assert 0 < len(frame) < len(labels)
        for theirs, ours in names.items():
            assert frame[ours].mean() == pytest.approx(expected[theirs], abs=1e-6)


def test_a_gallery_smaller_than_ten_and_categories_of_one_photo():
    queries = torch.tensor([[0.1], [2.1], [9.0]])
    frame = retrieval.retrieve(queries, torch.tensor([0, 2, 1]), torch.tensor([[0.0], [2.0]]), torch.tensor([0, 2]))
    assert frame.index.tolist() == [0, 1] and (frame == 1).all(axis=None)


@pytest.mark.parametrize("kind", DISTANCES)
def test_naming_does_not_depend_on_the_block_and_keeps_to_it(kind, monkeypatch):
    queries, labels, gallery, gallery_labels = scene(1)
    whole = retrieval.retrieve(queries, labels, gallery, gallery_labels, kind)
    sizes, measured = [], retrieval._ranking

    def noted(gallery, kind):
        rank = measured(gallery, kind)
        return lambda queries: sizes.append(len(queries)) or rank(queries)

    monkeypatch.setattr(retrieval, "_ranking", noted)
    for block in (1, 7, 30):
        sizes.clear()
        parts = retrieval.retrieve(queries, labels, gallery, gallery_labels, kind, block)
        pd.testing.assert_frame_equal(parts, whole)
        assert max(sizes) == block


@pytest.mark.parametrize("count", [1, 5, 300])
def test_the_smallest_come_in_order_and_equal_ones_by_place(count):
    values = torch.randn(20, 300, generator=seeded(0))
    values[:, 50:60] = values[:, 40:50]
    values[0] = 0
    assert retrieval.smallest(values, count).equal(values.sort(dim=1, stable=True).indices[:, :count])


def pairs(seed, count=400, overlap=1.0):
    generator = seeded(seed)
    same = torch.rand(count, generator=generator) < 0.5
    return torch.randn(count, generator=generator).abs() + torch.where(same, 0.0, overlap), same


def test_verification_agrees_with_scikit_learn():
    for seed in range(10):
        (distances, same), (held_out, held_out_same) = pairs(seed), pairs(seed + 100)
        scores = retrieval.verify(distances, same, held_out, held_out_same)
        assert scores["ROC AUC"] == pytest.approx(roc_auc_score(same, -distances))
        false_match, match, _ = roc_curve(same, -distances, drop_intermediate=False)
        crossing = np.abs(false_match - (1 - match)).argmin()
        assert scores["EER"] == pytest.approx((false_match[crossing] + 1 - match[crossing]) / 2)
        for rate in (0.01, 0.1):
            expected = 1 - match[false_match <= rate].max()
            assert scores[f"FNMR at {rate:.0%} FMR".replace("%", " %")] == pytest.approx(expected)
        # The threshold is any of those that are best on the validation pairs, and no other.
        cuts = [*held_out.tolist(), float(held_out.max()) + 1]
        right = [float(((held_out < cut) == held_out_same).double().mean()) for cut in cuts]
        threshold = retrieval.choose_threshold(held_out, held_out_same)
        assert float(((held_out < threshold) == held_out_same).double().mean()) == max(right)
        called = distances.double() < threshold
        for name, measure in {
            "accuracy": accuracy_score, "precision": precision_score, "recall": recall_score, "f1": f1_score
        }.items():  # fmt: skip
            assert scores[name] == pytest.approx(measure(same, called))


def test_verification_at_its_ends():
    same = torch.tensor([True, True, False, False])
    perfect = retrieval.verify(torch.tensor([0.1, 0.2, 1.0, 2.0]), same, torch.tensor([0.0, 0.1, 1.0, 1.1]), same)
    assert [perfect[name] for name in ("ROC AUC", "EER", "accuracy", "f1")] == [1, 0, 1, 1]
    wrong = retrieval.verify(torch.tensor([1.0, 2.0, 0.1, 0.2]), same, torch.tensor([0.0, 0.1, 1.0, 1.1]), same)
    assert [wrong[name] for name in ("ROC AUC", "EER", "accuracy", "FNMR at 10 % FMR")] == [0, 1, 0, 1]
    equal = retrieval.verify(torch.ones(4), same, torch.ones(4), same)
    assert [equal[name] for name in ("ROC AUC", "EER", "accuracy")] == [0.5, 0.5, 0.5]


def test_the_labels_of_test_pairs_do_not_move_the_threshold():
    (distances, same), (held_out, held_out_same) = pairs(0), pairs(1)
    called = {}
    for name, truth in (("given", same), ("all similar but one", torch.arange(len(same)) > 0), ("turned", ~same)):
        scores = retrieval.verify(distances, truth, held_out, held_out_same)
        hits = scores["recall"] * float(truth.sum())
        called[name] = round(hits / scores["precision"])  # pairs called similar, which the threshold alone decides
    assert len(set(called.values())) == 1


LABELS = torch.tensor([0] * 2 + [1] * 30 + [2] + [3] * 7)


def test_a_bootstrap_sample_draws_categories_and_then_their_photos():
    weights = retrieval.resampled_weights(LABELS, 4000, np.random.default_rng(0))
    assert weights.shape == (4000, 40) and (weights == weights.round()).all() and (weights >= 0).all()
    sizes = np.bincount(LABELS)
    drawn = np.stack([weights[:, LABELS.numpy() == c].sum(axis=1) for c in range(4)], axis=1) / sizes
    assert (drawn == drawn.round()).all()  # a category comes whole, so many times,
    assert (drawn.sum(axis=1) == 4).all()  # and as many come as there are
    assert drawn.mean(axis=0) == pytest.approx(np.ones(4), abs=0.06)
    assert drawn.var(axis=0) == pytest.approx(np.full(4, 4 * 0.25 * 0.75), abs=0.08)  # binomial
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.15)
    assert (weights.max(axis=0) > 1).all()  # photos within a category are drawn again too


def test_the_seed_fixes_the_bootstrap():
    weights = [retrieval.resampled_weights(LABELS, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (weights[0] == weights[1]).all() and (weights[0] != weights[2]).any()


def test_the_interval_of_a_mean():
    values = np.random.default_rng(0).random(40)
    low, high = retrieval.weighted_interval(values, np.random.default_rng(1).multinomial(40, np.ones(40) / 40, 4000))
    half = 1.96 * values.std() / 40**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert retrieval.weighted_interval(values, np.ones((3, 40))) == pytest.approx((values.mean(),) * 2)
    once = np.zeros((2, 40))
    once[0, 7] = 2  # a sample without any of these photos says nothing
    assert retrieval.weighted_interval(values, once) == pytest.approx((values[7],) * 2)


def test_the_interval_of_an_area_is_that_of_scikit_learn_for_every_sample():
    distances, same = (part.numpy() for part in pairs(3, 60))
    assert len(np.unique(distances)) == 60
    unit = np.ones((1, 60), dtype=np.float32)
    assert retrieval.auc_interval(distances, same, unit) == pytest.approx((roc_auc_score(same, -distances),) * 2)
    weights = np.random.default_rng(0).integers(0, 4, (200, 60)).astype(np.float32)
    areas = [roc_auc_score(same, -distances, sample_weight=row) for row in weights]
    expected = np.quantile(areas, [0.025, 0.975])
    assert retrieval.auc_interval(distances, same, weights) == pytest.approx(tuple(expected), abs=1e-5)
    only_similar = np.where(same, 1.0, 0.0).astype(np.float32)[None]  # no area in this sample
    assert retrieval.auc_interval(distances, same, np.concatenate([only_similar, unit]))[0] > 0.5


def embedded(seed, noise=1.5):
    queries, labels, gallery, gallery_labels = scene(seed, noise=noise)
    vectors = {"train": gallery, "validation": queries + 0.1, "test": queries}
    return retrieval.Embedded(vectors, {"train": gallery_labels, "validation": labels, "test": labels})


def lists(count=300):
    left, right = torch.randint(40, (2, count), generator=seeded(5))
    labels = embedded(0).labels["test"]
    listed = Pairs(left, right, labels[left] == labels[right])
    anchor = torch.randint(40, (count,), generator=seeded(6))
    positive, negative = (anchor + 1) % 40, (anchor + 7) % 40
    return {"validation": listed, "test": listed}, (anchor, positive, negative)


def test_a_model_is_judged_at_every_task():
    model, (listed, triplets) = embedded(0), lists()
    scores, named = retrieval.judge(model, listed, triplets, draws=200, seed=0)
    labels, vectors = model.labels["test"], model.vectors["test"]
    kept = labels[named.index.tolist()]
    assert scores["queries"] == len(named) == int((labels != 0).sum())
    by_category = [float(named["precision@1"][(kept == c).numpy()].mean()) for c in kept.unique()]
    assert scores["precision@1 macro"] == pytest.approx(np.mean(by_category))
    for name in retrieval.NAMING:
        assert scores[name] == pytest.approx(named[name].mean())
    apart = [(vectors[a] - vectors[b]).norm() for a, b in zip(*listed["test"][:2], strict=True)]
    assert scores["ROC AUC"] == pytest.approx(roc_auc_score(listed["test"].same, [-float(d) for d in apart]))
    nearer = [(vectors[a] - vectors[p]).norm() < (vectors[a] - vectors[n]).norm() for a, p, n in zip(*triplets)]  # noqa: B905
    assert scores["ranking"] == pytest.approx(np.mean([bool(value) for value in nearer]))
    for name in ("precision@1", "MAP@R", "ROC AUC", "ranking"):
        assert 0 <= scores[f"{name} low"] < scores[name] < scores[f"{name} high"] <= 1
    again, _ = retrieval.judge(model, listed, triplets, draws=200, seed=0)
    assert again == scores
    other, _ = retrieval.judge(model, listed, triplets, draws=200, seed=1)
    assert {name for name in scores if other[name] != scores[name]} <= {
        name for name in scores if name[-4:] in (" low", "high")
    }


def test_a_paired_difference_has_its_sign_and_is_narrower_than_an_unpaired_one():
    good, bad = embedded(0, 0.7), embedded(0, 2.0)
    queries = {
        name: retrieval.retrieve(m.vectors["test"], m.labels["test"], m.vectors["train"], m.labels["train"])
        for name, m in {"good": good, "bad": bad, "twin": bad}.items()
    }
    table = comparison.paired_differences(queries, good.labels["test"], "bad", 400, 0)
    assert table.index.tolist() == ["good", "twin"]
    gain = queries["good"]["precision@1"].mean() - queries["bad"]["precision@1"].mean()
    assert table.loc["good", "difference"] == pytest.approx(gain) and gain > 0
    assert table.loc["good", "low"] < gain < table.loc["good", "high"]
    assert table.loc["twin"].tolist() == [0, 0, 0]
    turned = comparison.paired_differences(queries, good.labels["test"], "good", 400, 0)
    expected = -table.loc["good", ["difference", "high", "low"]].to_numpy()
    np.testing.assert_allclose(turned.loc["bad"].to_numpy(dtype=float), expected.astype(float), atol=1e-6)


def test_the_comparison_has_a_row_per_model_and_one_of_chance():
    part = type("Lists", (), {})()
    part.labels, (part.pairs, part.triplets) = embedded(0).labels, lists()
    table, queries = comparison.fair_comparison({"one": embedded(0), "other": embedded(0, 0.7)}, part, 50, 0)
    assert table.index.tolist() == ["one", "other", "chance"] and list(queries) == ["one", "other"]
    train, test = part.labels["train"], part.labels["test"]
    shares = [float((train == label).double().mean()) for label in test]
    assert table.loc["chance", "precision@1"] == pytest.approx(np.mean(shares))
    assert (table.loc["chance", ["ROC AUC", "EER", "accuracy", "ranking"]] == 0.5).all()


def test_the_softmax_row_names_by_the_largest_logit():
    logits = torch.tensor([[3.0, 1, 0, 0, 0, 0], [9, 8, 0, 0, 0, -1], [0, 3, 5, 0, 0, 0], [6, 5, 4, 3, 2, 1]])
    truth = torch.tensor([0, 0, 1, 5])
    row = comparison.softmax_row(logits, truth, 50, 0)
    assert row["precision@1"] == 0.5 and row["queries"] == 4
    assert row["precision@1 macro"] == pytest.approx((1 + 0 + 0) / 3)
    assert row["class top-5"] == 0.75
    weights = retrieval.resampled_weights(truth, 50, np.random.default_rng(0))  # the samples of all other rows
    interval = retrieval.weighted_interval(np.array([1.0, 1, 0, 0]), weights)
    assert (row["precision@1 low"], row["precision@1 high"]) == interval


def test_precision_by_the_size_of_the_category():
    index = [0, 2, 3, 5]  # photos 1 and 4 had no category in the gallery
    queries = {
        "a": pd.DataFrame({"precision@1": [1.0, 0, 1, 1]}, index),
        "b": pd.DataFrame({"precision@1": [0.0] * 4}, index),
    }
    groups = pd.Series(["head", "head", "tail", "head", "tail", "tail"], index=range(10, 16))
    table = comparison.by_size(queries, groups)
    assert table.columns.tolist() == ["head", "tail"]
    assert table.loc["a"].tolist() == [1, 0.5] and table.loc["b"].tolist() == [0, 0]
