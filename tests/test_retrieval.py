from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn import metrics

from autoparts import retrieval
from autoparts.evaluation import wilson_interval
from autoparts.losses import DISTANCES, distance
from autoparts.sampling import Photos, seeded
from autoparts.tasks import Naming, Pairs, Triplets


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
    map_at_r = sum(sum(hits[: place + 1]) / (place + 1) for place in range(own) if hits[place]) / own
    recalls = hits[0], any(hits[:5]), any(hits[:10])
    return [*recalls, sum(hits[:own]) / own, map_at_r, classes[0] == label, label in classes[:5]]


@pytest.mark.parametrize("kind", DISTANCES)
def test_naming_is_that_of_a_loop_whatever_the_block(kind):
    for seed, block in enumerate((64, 7, 1)):
        queries, labels, gallery, gallery_labels = scene(seed)
        frame = retrieval.retrieve(queries, labels, gallery, gallery_labels, kind, block)
        assert frame.index.tolist() == [q for q in range(40) if labels[q] in gallery_labels]
        expected = [naive(queries[q], int(labels[q]), gallery, gallery_labels, kind) for q in frame.index]
        np.testing.assert_allclose(frame.to_numpy(), np.array(expected, dtype=float), atol=1e-6)
    few = retrieval.retrieve(queries[:3], torch.tensor([0, 2, 1]), queries[:2], torch.tensor([0, 2]), kind)
    assert few.index.tolist() == [0, 1] and (few == 1).all(axis=None)  # a gallery smaller than the ranks looked at


@pytest.mark.parametrize("count", [1, 5, 300])
def test_the_smallest_come_in_order_and_equal_ones_by_place(count):
    values = torch.randn(20, 300, generator=seeded(0))
    values[:, 50:60] = values[:, 40:50]
    values[0], values[0, 30:] = 0, -0.0
    assert retrieval.smallest(values, count).equal(values.sort(dim=1, stable=True).indices[:, :count])


def pairs(seed, count=400, overlap=1.0):
    generator = seeded(seed)
    same = torch.rand(count, generator=generator) < 0.5
    return torch.randn(count, generator=generator).abs() + torch.where(same, 0.0, overlap), same


def test_verification_agrees_with_scikit_learn():
    for seed in range(10):
        (distances, same), (held_out, held_out_same) = pairs(seed), pairs(seed + 100)
        scores = retrieval.verify(distances, same, held_out, held_out_same)
        assert scores["ROC AUC"] == pytest.approx(metrics.roc_auc_score(same, -distances))
        false_match, match, _ = metrics.roc_curve(same, -distances, drop_intermediate=False)
        crossing = brentq(lambda rate: 1 - rate - np.interp(rate, false_match, match), 0, 1)  # noqa: B023
        assert scores["EER"] == pytest.approx(crossing, abs=0.003)
        for rate in (0.01, 0.1):
            expected = 1 - match[false_match <= rate].max()
            assert scores[f"FNMR at {rate:.0%} FMR".replace("%", " %")] == pytest.approx(expected)
        called = distances.double() < retrieval.choose_threshold(held_out, held_out_same)  # of validation alone
        for name in ("accuracy", "precision", "recall", "f1"):
            assert scores[name] == pytest.approx(getattr(metrics, f"{name}_score")(same, called))


def test_equal_distances_share_the_way_between_two_points_of_the_curve():
    distances, same = torch.tensor([0.0] * 5 + [1] * 5 + [1] * 9 + [2]), torch.tensor([True] * 10 + [False] * 10)
    expected = 0.5 / (0.5 + 0.9) * 0.9  # from (0, 0.5) to (0.9, 0)
    assert retrieval.verify(distances, same, distances, same)["EER"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("distances", "validation", "expected"),
    [
        ([0.1, 0.2, 1.0, 2.0], [0.0, 0.1, 1.0, 1.1], {"ROC AUC": 1, "EER": 0, "accuracy": 1, "f1": 1}),
        ([1.0, 2.0, 0.1, 0.2], [0.0, 0.1, 1.0, 1.1], {"ROC AUC": 0, "EER": 1, "accuracy": 0, "FNMR at 10 % FMR": 1}),
        ([1.0] * 4, [1.0] * 4, {"ROC AUC": 0.5, "EER": 0.5, "accuracy": 0.5}),
    ],
)
def test_verification_at_its_ends(distances, validation, expected):
    same = torch.tensor([True, True, False, False])
    scores = retrieval.verify(torch.tensor(distances), same, torch.tensor(validation), same)
    assert {name: scores[name] for name in expected} == expected


LABELS = torch.tensor([0] * 2 + [1] * 30 + [2] + [3] * 7)


def test_of_few_categories_photos_are_drawn():
    weights = retrieval.resampled_weights(LABELS, 4000, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 40).all() and weights.var(axis=0) == pytest.approx(np.ones(40), abs=0.15)
    labels = torch.tensor([0] * 10 + [1] * 10)
    photos = Photos(torch.zeros(20, 2, 2).byte(), {"test": torch.arange(20)}, {"test": labels}, seed=1)
    right = torch.arange(20) % 10 < 8  # of both names as many: whole names would never differ
    low, high = retrieval.accuracy_interval(right, [torch.arange(20)], photos)
    assert low == pytest.approx(0.8 - 1.96 * 0.4 / 20**0.5, abs=0.05) and 0.9 <= high <= 1
    left, other, _ = photos.pairs("test")
    low, high = retrieval.accuracy_interval(right[left], (left, other), photos)
    assert high - low > 0.2
    all_right = right | True  # no draw of them has a wrong one
    assert retrieval.accuracy_interval(all_right, [torch.arange(20)], photos) == wilson_interval(20, 20)
    assert retrieval.accuracy_interval(~all_right[left], (left, other), photos) == wilson_interval(0, 20)


def test_a_bootstrap_sample_draws_whole_categories(monkeypatch):
    monkeypatch.setattr(retrieval, "FEWEST", 4)
    weights = retrieval.resampled_weights(LABELS, 4000, np.random.default_rng(0))
    assert weights.shape == (4000, 40) and (weights == weights.round()).all() and (weights >= 0).all()
    drawn = weights[:, [0, 2, 32, 33]]
    assert (weights == drawn[:, LABELS]).all()  # a category comes whole, so many times,
    assert (drawn.sum(axis=1) == 4).all()  # and as many come as there are
    assert drawn.mean(axis=0) == pytest.approx(np.ones(4), abs=0.06)
    assert drawn.var(axis=0) == pytest.approx(np.full(4, 4 * 0.25 * 0.75), abs=0.08)  # binomial


def test_the_interval_of_a_difference_is_as_wide_as_the_difference_varies():
    """Of models that are right of 95 % of the photos, on 45 categories of 18 photos that are drawn anew each time."""
    generator, labels = np.random.default_rng(0), torch.arange(45).repeat_interleave(18)
    weights = retrieval.resampled_weights(labels, 300, generator)
    hits = generator.random((400, 2, 810)) < 0.95
    gains = hits[:, 0].astype(np.float32) - hits[:, 1]  # (400, 810)
    limits = np.array([interval(gain, weights) for gain in gains])
    assert 3.92 * gains.mean(axis=1).std() == pytest.approx((limits[:, 1] - limits[:, 0]).mean(), rel=0.08)
    assert 0.91 < ((limits[:, 0] <= 0) & (limits[:, 1] >= 0)).mean() < 0.98


@pytest.mark.parametrize("fewest", [2, 1000])
def test_a_sample_of_photos_is_drawn_as_often_as_each_of_its_categories_or_photos(monkeypatch, fewest):
    monkeypatch.setattr(retrieval, "FEWEST", fewest)
    photos = judged(0)[1]
    weights = retrieval.resampled_weights(photos.labels["test"], 50, np.random.default_rng(0))
    of = dict(zip(photos.rows["test"].tolist(), weights.T, strict=True))
    anchor, positive, negative = photos.triplets("test")
    triplets = retrieval.weights_of((anchor, positive, negative), photos, weights)
    within = [1 if fewest == 2 else of[p] for p in positive.tolist()]  # a category of its own only the negative has
    expected = [of[a] * p * of[n] for a, p, n in zip(anchor.tolist(), within, negative.tolist(), strict=True)]
    assert np.array_equal(triplets, np.stack(expected, axis=1))
    left, right, same = photos.pairs("test")
    pairs = retrieval.weights_of((left, right), photos, weights)[:, same.numpy()]
    beside = [1 if fewest == 2 else of[row] for row in right[same].tolist()]
    expected = np.stack([of[row] * other for row, other in zip(left[same].tolist(), beside, strict=True)], axis=1)
    kept = expected.sum(axis=1) > 0
    found, wanted = (each[kept] / each[kept].sum(axis=1, keepdims=True) for each in (pairs, expected))
    assert np.allclose(found, wanted)


def interval(values, weights):
    return retrieval.percentile_interval(retrieval.resampled_means(values, weights)[:, 0])


def test_the_interval_of_a_mean():
    values = np.random.default_rng(0).random(40)
    weights = np.random.default_rng(1).multinomial(40, np.ones(40) / 40, 4000)
    half = 1.96 * values.std() / 40**0.5
    assert interval(values, weights) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert interval(values, np.ones((3, 40))) == pytest.approx((values.mean(),) * 2)
    once = np.zeros((2, 40))
    once[0, 7] = 2  # a sample without any of these photos says nothing
    assert interval(values, once) == pytest.approx((values[7],) * 2)


def test_each_of_several_trainings_has_a_mean():
    values, weights = np.random.default_rng(0).random((3, 40)), np.random.default_rng(1).multinomial(9, [0.025] * 40, 5)
    assert retrieval.resampled_means(values, weights) == pytest.approx(weights @ values.T / 9)


def judged(seed):
    """A model and its photos: gallery, validation and test photos of `scene`, at rows in no order."""
    queries, labels, gallery, gallery_labels = scene(seed)
    vectors = torch.cat([gallery, queries + 0.1, queries])
    order = torch.randperm(len(vectors) + 5, generator=seeded(0))[: len(vectors)]
    rows = dict(zip(("train", "validation", "test"), order.split([len(gallery), 40, 40]), strict=True))
    split_labels = {"train": gallery_labels, "validation": labels, "test": labels}
    photos = Photos(torch.zeros(len(vectors) + 5, 1, 1, dtype=torch.uint8), rows, split_labels)
    return retrieval.placed(vectors, order, len(vectors) + 5), photos


def test_photos_are_embedded_at_their_rows_and_others_are_not():
    photos = judged(0)[1]
    pixels = torch.arange(175, dtype=torch.uint8).view(175, 1, 1)
    model = retrieval.embedded(lambda inputs: (1 - inputs.flatten(1)) * 255, replace(photos, pixels=pixels), "squared")
    known = torch.cat([*photos.rows.values()])
    assert model.distance == "euclidean"  # which ranks alike
    torch.testing.assert_close(model.vectors[known].flatten(), known.float(), atol=1, rtol=1e-2)
    assert model.vectors.isnan().sum() == 5
    left, right = known[:7], known[7:14]
    torch.testing.assert_close(model.between(left, right), (model.vectors[left] - model.vectors[right]).abs().flatten())


def test_a_model_is_judged_at_every_task_on_the_fixed_lists():
    model, photos = judged(0)
    scores, named = retrieval.judge(model, photos, interval=True)
    labels, vectors = photos.labels["test"], model.vectors
    kept = labels[named.index.tolist()]
    assert scores["queries"] == len(named) == int((labels != 0).sum())
    by_category = [float(named["precision@1"][(kept == c).numpy()].mean()) for c in kept.unique()]
    assert scores["precision@1 macro"] == pytest.approx(np.mean(by_category))
    for name in retrieval.NAMING:
        assert scores[name] == pytest.approx(named[name].mean())
    left, right, same = photos.pairs("test")
    apart = (vectors[left] - vectors[right]).norm(dim=1)
    assert scores["ROC AUC"] == pytest.approx(metrics.roc_auc_score(same, -apart))
    anchor, positive, negative = vectors[photos.triplets("test")]
    nearer = (anchor - positive).norm(dim=1) < (anchor - negative).norm(dim=1)
    assert scores["ranking"] == pytest.approx(float(nearer.double().mean()))
    assert 0 <= scores["precision@1 low"] < scores["precision@1"] < scores["precision@1 high"] <= 1
    assert retrieval.judge(model, photos, interval=True)[0] == scores


def test_pairs_that_share_photos_are_as_uncertain_as_photos_are():
    """Ten pairs of one photo, judged alike, say no more than one of them."""
    labels = torch.arange(40).repeat_interleave(5)
    photos = Photos(torch.zeros(200, 2, 2).byte(), {"test": torch.arange(200)}, {"test": labels}, seed=1)
    right = torch.rand(200, generator=seeded(0)) < 0.5
    low, high = retrieval.accuracy_interval(right, [torch.arange(200)], photos)
    assert 0.1 < high - low < 0.25 and low < right.double().mean() < high
    left = torch.arange(200).repeat_interleave(10)
    least, most = retrieval.accuracy_interval(right[left], [left, left.roll(1)], photos)
    wilson = wilson_interval(int(right[left].sum()), 2000)
    assert most - least > 2 * (wilson[1] - wilson[0])


def test_similar_and_dissimilar_pairs_keep_their_shares_in_every_sample():
    """Who calls all pairs of a balanced list similar is right for half of them, whichever photos are drawn."""
    labels = torch.arange(8).repeat_interleave(5)
    photos = Photos(torch.zeros(40, 2, 2).byte(), {"test": torch.arange(40)}, {"test": labels}, seed=1)
    left, right, same = photos.pairs("test", 400)
    assert retrieval.accuracy_interval(same, (left, right), photos) == pytest.approx((0.5, 0.5), abs=1e-5)


@pytest.mark.parametrize("task", [Naming(), Pairs(), Triplets()])
def test_the_samples_of_a_task_are_those_that_it_judges(task):
    labels = torch.arange(5).repeat_interleave(6)
    rows = {split: torch.arange(30) for split in ("train", "validation", "test")}
    photos = Photos(torch.randint(0, 256, (30, 4, 4), generator=seeded(0)).byte(), rows, dict.fromkeys(rows, labels))
    hits = task.judge(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 5)), photos)
    assert {len(column) for column in task.samples(photos)} == {len(hits["test"])}
