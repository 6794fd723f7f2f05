import math
from dataclasses import fields, replace
from itertools import combinations

import pytest
import torch
from samples import toy_photos
from test_losses import WANTED, batch, naive_distance, naive_triplets
from torch import nn
from torch.testing import assert_close

from autoparts import losses, sampling, tasks
from autoparts.catalogue import SPLITS
from autoparts.errors import UserError
from autoparts.evaluation import choose_threshold
from autoparts.sampling import seeded

GROUPED = [tasks.Grouped(loss) for loss in ("all pairs", "soft margin", "supervised contrastive")]
GROUPED += [tasks.Grouped("triplet", mined) for mined in losses.KINDS]


class Seen(nn.Module):
    """A network that sees of a photo how dark its left and its right half are, and what little noise there is."""

    def forward(self, inputs):
        left, right = inputs.chunk(2, dim=3)
        dark, light = left.mean(dim=(1, 2, 3)), right.mean(dim=(1, 2, 3))
        return torch.stack([dark, light, 3 * (inputs[:, 0, 0, 0] - dark) - 9], dim=1)


@pytest.fixture(scope="module")
def photos():
    return toy_photos((30, 12, 12))


@pytest.fixture(scope="module")
def vectors(photos):
    """(N, 3) embeddings of all photos."""
    return Seen()(1 - photos.pixels[:, None].float() / 255).tolist()


def same_batches(found, expected):
    """Whether two lists of batches are the same, tensor by tensor."""
    one, other = ([[each.tolist() for each in (rows, *target)] for rows, target in some] for some in (found, expected))
    return one == other != []


@pytest.mark.parametrize("draw_by", ["photo", "category"])
def test_an_epoch_is_drawn_from_all_training_photos_by_the_generator(photos, draw_by):
    rows, labels = photos.rows["train"], photos.labels["train"]
    left, right, same = sampling.random_pairs(labels, 30, seeded(0), draw_by)
    triplets = sampling.random_triplets(labels, 30, seeded(0), draw_by)
    for task, drawn in (
        (tasks.Naming(), sampling.photo_batches(rows, labels, 8, seeded(0))),
        (tasks.Grouped(each=3), sampling.category_batches(rows, labels, 8, 3, seeded(0))),
        (tasks.Pairs(draw_by=draw_by), sampling.tuple_batches((rows[left], rows[right]), same, size=8)),
        (tasks.Triplets(draw_by=draw_by), sampling.tuple_batches([rows[column] for column in triplets], size=8)),
    ):
        assert same_batches(task.batches(photos, 8, seeded(0)), drawn), task


def test_the_validation_loss_is_taken_on_the_fixed_lists(photos):
    rows, labels, pairs = photos.rows["validation"], photos.labels["validation"], photos.pairs("validation")
    assert same_batches(tasks.Naming().listed(photos, "validation"), [sampling.Batch(rows, (labels,))])
    assert same_batches(tasks.Pairs().listed(photos, "validation"), sampling.tuple_batches(pairs[:2], pairs.same))
    triplets = sampling.tuple_batches(photos.triplets("validation"))
    assert same_batches(tasks.Triplets().listed(photos, "validation"), triplets)
    assert tasks.Grouped().listed(photos, "validation") == []


# Values


def test_naming_is_cross_entropy_and_log_softmax_before_it_changes_nothing():
    logits = torch.randn(9, 4, generator=seeded(8), dtype=torch.float64) * 5
    labels = torch.arange(9) % 4
    values = tasks.Naming().values(logits, labels)
    expected = [math.log(sum(map(math.exp, row))) - row[y] for row, y in zip(logits.tolist(), labels, strict=True)]
    assert_close(values["loss"], torch.tensor(expected, dtype=torch.float64))
    hits = [max(range(4), key=row.__getitem__) == y for row, y in zip(logits.tolist(), labels.tolist(), strict=True)]
    assert values["accuracy"].tolist() == hits
    assert_close(tasks.Naming().values(logits.log_softmax(1), labels)["loss"], values["loss"])


def test_pairs_look_their_photos_up():
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    left, right, same = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 2]), torch.tensor([True, False, True])
    assert tasks.Pairs(margin=2.0).values(embeddings, left, right, same)["loss"].tolist() == [12.5, 0.5, 0.0]


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_triplets_are_those_of_a_loop(kind):
    embeddings = torch.randn(9, 4, generator=seeded(3), dtype=torch.float64)
    columns = torch.randint(9, (3, 50), generator=seeded(4))
    columns = columns[:, columns[1] != columns[2]]  # where both distances are equal, rounding says which is the smaller
    values = tasks.Triplets(margin=0.7, distance=kind).values(embeddings, *columns)
    points = embeddings.tolist()
    near = [naive_distance(points[a], points[p], kind) for a, p, _ in columns.T.tolist()]
    far = [naive_distance(points[a], points[n], kind) for a, _, n in columns.T.tolist()]
    both = list(zip(near, far, strict=True))
    assert {name: value.tolist() for name, value in values.items()} == {
        "loss": pytest.approx([max(0.0, p - n + 0.7) for p, n in both], abs=1e-9),
        "accuracy": [p + 0.7 < n for p, n in both],
        "ranked": [p < n for p, n in both],
        "positive_distance": pytest.approx(near, abs=1e-9),
        "negative_distance": pytest.approx(far, abs=1e-9),
    }


def test_triplets_at_the_margin_are_not_right_and_ties_are_half_ranked():
    columns = torch.tensor([[0], [1], [2]])
    at = tasks.Triplets(margin=3.0).values(torch.tensor([[0.0], [1.0], [2.0]]), *columns)
    assert at["loss"] == 0 and not at["accuracy"] and at["ranked"] == 1
    tie = tasks.Triplets().values(torch.zeros(3, 4), *columns)  # of a collapsed network
    assert tie["ranked"] == 0.5 and not tie["accuracy"]


@pytest.mark.parametrize("kind", losses.KINDS)
def test_mined_triplets_cost_what_those_of_a_loop_cost(kind):
    for seed in range(20):
        embeddings, labels = batch(seed)
        distances = losses.distance_matrix(embeddings, embeddings, "squared")
        triplets = naive_triplets(distances, labels, WANTED[kind])
        expected = sorted(max(0.0, float(distances[a, p] - distances[a, n]) + 1) for a, p, n in triplets)
        found = tasks.Grouped("triplet", kind).values(embeddings, labels)["loss"]
        assert sorted(found.tolist()) == pytest.approx(expected or [0.0] * len(labels))
        assert kind != "easy" or not any(expected)  # easy triplets cost nothing


def test_the_soft_margin_costs_what_a_loop_over_anchors_costs():
    for seed in range(20):
        embeddings, labels = batch(seed)
        table = losses.distance_matrix(embeddings, embeddings, "euclidean").tolist()
        expected = []
        for a in range(len(labels)):
            near = [table[a][p] for p in range(len(labels)) if p != a and labels[p] == labels[a]]
            far = [table[a][n] for n in range(len(labels)) if labels[n] != labels[a]]
            expected += [math.log1p(math.exp(max(near) - min(far)))] if near and far else []
        found = tasks.Grouped("soft margin", distance="euclidean").values(embeddings, labels)["loss"]
        assert found.tolist() == pytest.approx(expected or [0.0] * len(labels), rel=1e-5)


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_all_pairs_weigh_similar_and_dissimilar_alike(margin):
    embeddings, labels = torch.randn(9, 3, generator=seeded(0)), torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4])
    means = {True: [], False: []}
    for i, j in combinations(range(9), 2):
        apart = naive_distance(embeddings[i].tolist(), embeddings[j].tolist(), "euclidean")
        same = bool(labels[i] == labels[j])
        means[same].append(apart**2 / 2 if same else max(0, margin - apart) ** 2 / 2)
    expected = sum(sum(values) / len(values) for values in means.values()) / 2
    values = tasks.Grouped("all pairs", distance="euclidean", margin=margin).values(embeddings, labels)["loss"]
    assert len(values) == 36 and float(values.mean()) == pytest.approx(expected, rel=1e-5)


def target_of(task, count, generator):
    """A target of the task's kind for `count` embeddings."""
    if isinstance(task, tasks.Naming | tasks.Grouped):
        return (torch.arange(count) % 3,)
    columns = torch.randint(count, (2 if isinstance(task, tasks.Pairs) else 3, 20), generator=generator)
    return (*columns, columns[0] % 3 == columns[1] % 3) if isinstance(task, tasks.Pairs) else tuple(columns)


WITH_MARGIN = [tasks.Pairs(), tasks.Triplets(), *(task for task in GROUPED if task.loss in ("triplet", "all pairs"))]


@pytest.mark.parametrize("task", WITH_MARGIN, ids=repr)
def test_a_margin_has_an_effect_wherever_there_is_one(task):
    embeddings = torch.randn(12, 4, generator=seeded(5))
    target = target_of(task, 12, seeded(6))
    sums = [float(replace(task, margin=margin).values(embeddings, *target)["loss"].sum()) for margin in (0.5, 4.0)]
    if getattr(task, "mined", "") == "easy" and task.loss == "triplet":
        assert sums == [0, 0]  # what lies beyond the margin costs nothing, whatever the margin is
    else:
        assert sums[0] < sums[1]
        with pytest.raises(UserError, match="margin is 0; it has to be positive"):
            replace(task, margin=0).values(embeddings, *target)


@pytest.mark.parametrize("task", [tasks.Naming(), tasks.Pairs(), tasks.Triplets(), *GROUPED], ids=repr)
@pytest.mark.parametrize("kind", losses.DISTANCES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradients_are_finite_where_all_photos_look_alike(task, kind, value):
    if "distance" in {field.name for field in fields(task)}:
        task = replace(task, distance=kind)
    embeddings = torch.full((12, 4), value, requires_grad=True)
    loss = task.values(embeddings, *target_of(task, 12, seeded(6)))["loss"]
    loss.mean().backward()
    assert loss.isfinite().all() and embeddings.grad.isfinite().all()


@pytest.mark.parametrize("task", GROUPED, ids=repr)
@pytest.mark.parametrize("labels", [[0], [0, 0, 0], [0, 1, 2]])
@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_a_batch_without_a_valid_pair_costs_nothing(task, labels, kind):
    embeddings = torch.randn(len(labels), 4, generator=seeded(0)).requires_grad_()
    loss = replace(task, distance=kind).values(embeddings, torch.tensor(labels))["loss"]
    assert len(loss) > 0  # the mean of nothing would be no number
    loss.mean().backward()
    assert loss.isfinite().all() and embeddings.grad.isfinite().all()
    if task.loss in ("triplet", "soft margin") or len(labels) == 1:
        assert (loss == 0).all() and (embeddings.grad == 0).all()


# Judging


def test_naming_is_judged_by_the_largest_output(photos, vectors):
    turned = replace(photos, labels=photos.labels | {"test": 1 - photos.labels["test"]})
    hits = tasks.Naming().judge(Seen(), turned)
    assert {split: set(right.tolist()) for split, right in hits.items()} == {
        "train": {True}, "validation": {True}, "test": {False},
    }  # fmt: skip
    for split in SPLITS:
        largest = [max(range(3), key=vectors[row].__getitem__) for row in turned.rows[split].tolist()]
        assert hits[split].tolist() == [a == b for a, b in zip(largest, turned.labels[split].tolist(), strict=True)]
    assert tasks.Naming().chance(photos) == 0.5


def apart(vectors, left, right, kind="euclidean"):
    return [naive_distance(vectors[a], vectors[b], kind) for a, b in zip(left.tolist(), right.tolist(), strict=True)]


def test_pairs_are_judged_at_the_threshold_best_on_validation(photos, vectors):
    task = tasks.Pairs(threshold_pairs=40)
    lists = task.lists(photos)
    assert {split: len(pairs.same) for split, pairs in lists.items()} == {"train": 40, "validation": 120, "test": 120}
    assert all(one.equal(other) for one, other in zip(lists["test"], photos.pairs("test"), strict=True))
    distances = {split: apart(vectors, pairs.left, pairs.right) for split, pairs in lists.items()}
    threshold = choose_threshold(torch.tensor(distances["validation"]), lists["validation"].same)
    hits, told = task.judge(Seen(), photos), task.measure(Seen(), photos)
    assert told["threshold"] == pytest.approx(threshold, abs=1e-5)
    for split, pairs in lists.items():
        expected = [(d < threshold) == same for d, same in zip(distances[split], pairs.same.tolist(), strict=True)]
        assert hits[split].tolist() == expected and 0.5 < sum(expected) / len(expected) < 1
    for name, split in (("training", "train"), ("validation", "validation")):
        assert told[f"{name}_accuracy"] == pytest.approx(float(hits[split].double().mean()))
    assert task.chance(photos) == 0.5


@pytest.mark.parametrize("kind", ["squared", "euclidean"])
def test_triplets_are_judged_with_and_without_the_margin(photos, vectors, kind):
    task = tasks.Triplets(margin=0.4, distance=kind)
    for measure, margin in (("accuracy", 0.4), ("ranked", 0.0)):
        hits = task.judge(Seen(), photos, measure)
        for split in SPLITS:
            anchor, positive, negative = photos.triplets(split)
            near, far = apart(vectors, anchor, positive, kind), apart(vectors, anchor, negative, kind)
            assert hits[split].tolist() == [p + margin < n for p, n in zip(near, far, strict=True)]
    assert task.judge(Seen(), photos)["test"].sum() < hits["test"].sum()
    assert task.chance(photos) is None
    assert str(tasks.Triplets(0.5)) == "Triplets(margin=0.5, distance='squared', draw_by='photo')"  # in this order
