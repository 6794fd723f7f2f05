import math
from itertools import product

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss, SupConLoss, TripletMarginLoss
from pytorch_metric_learning.reducers import DoNothingReducer
from torch.testing import assert_close

from autoparts import losses, objectives
from autoparts.models import seeded


@pytest.fixture
def rows():
    """Two lists of eight embeddings, one row the same in both, one of the rows zero."""
    left, right = torch.randn(2, 8, 5, generator=seeded(0), dtype=torch.float64)
    left[3] = right[3]
    left[5] = 0
    return left, right


def naive_distance(a, b, kind):
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if kind == "euclidean":
        return math.sqrt(sum(d * d for d in differences))
    if kind == "squared":
        return sum(d * d for d in differences)
    if kind == "manhattan":
        return sum(abs(d) for d in differences)
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / max(lengths, 1e-12)


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_distances_are_those_of_a_loop(rows, kind):
    left, right = rows
    expected = [naive_distance(a, b, kind) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert_close(losses.distance(left, right, kind), torch.tensor(expected, dtype=torch.float64))
    matrix = [[naive_distance(a, b, kind) for b in right.tolist()] for a in left.tolist()]
    assert_close(
        losses.distance_matrix(left, right, kind), torch.tensor(matrix, dtype=torch.float64), atol=1e-7, rtol=0
    )


@pytest.mark.parametrize("kind", losses.DISTANCES)
@pytest.mark.parametrize("measure", [losses.distance, losses.distance_matrix])
@pytest.mark.parametrize("value", [0.0, 1.5, 1e4])
def test_gradients_are_finite_at_distance_zero(kind, measure, value):
    left = torch.full((3, 4), value, requires_grad=True)
    right = torch.full((3, 4), value, requires_grad=True)
    measure(left, right, kind).sum().backward()
    for gradient in (left.grad, right.grad):
        assert gradient.isfinite().all()
        if value != 1e4:  # where rounding leaves no distance, nothing pulls
            assert_close(gradient, torch.zeros(3, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_distance_matrix_has_the_gradient_of_single_distances(rows, kind):
    gradients = []
    for pairwise in (False, True):
        left, right = (part[[0, 1, 2, 4]].clone().requires_grad_() for part in rows)
        if pairwise:
            losses.distance(left[:, None], right[None, :], kind).sum().backward()
        else:
            losses.distance_matrix(left, right, kind).sum().backward()
        gradients.append((left.grad, right.grad))
    assert_close(*gradients)


def test_rounding_never_gives_a_distance_below_zero():
    rows = torch.randn(50, 16, generator=seeded(1)) * 1e-3 + 100
    for kind in ("euclidean", "squared"):
        matrix = losses.distance_matrix(rows, rows, kind)
        assert matrix.isfinite().all() and (matrix >= 0).all()


@pytest.mark.parametrize("measure", [losses.distance, losses.distance_matrix])
def test_an_unknown_distance_names_those_there_are(measure):
    with pytest.raises(ValueError, match=r"'hamming' is unknown.*euclidean, squared, cosine, manhattan"):
        measure(torch.zeros(2, 2), torch.zeros(2, 2), "hamming")


def test_contrastive_loss_is_that_of_a_loop():
    distances = torch.rand(40, generator=seeded(0), dtype=torch.float64) * 3
    same = torch.rand(40, generator=seeded(1)) < 0.5
    expected = []
    for d, similar in zip(distances.tolist(), same.tolist(), strict=True):
        y = 0 if similar else 1  # the thesis's Y
        expected.append((1 - y) * d**2 / 2 + y * max(0, 1.3 - d) ** 2 / 2)
    assert_close(losses.contrastive_loss(distances, same, 1.3), torch.tensor(expected, dtype=torch.float64))


def test_contrastive_loss_agrees_with_pytorch_metric_learning():
    embeddings = torch.randn(12, 4, generator=seeded(2))
    labels = torch.arange(12) % 3
    left, right = torch.combinations(torch.arange(12)).unbind(1)
    same = labels[left] == labels[right]
    other = ContrastiveLoss(neg_margin=2.0, distance=LpDistance(normalize_embeddings=False), reducer=DoNothingReducer())
    indices = (left[same], right[same], left[~same], right[~same])
    found = other(embeddings, labels, indices)  # without square and half
    ours = losses.contrastive_loss(losses.distance(embeddings[left], embeddings[right]), same, 2.0)
    assert (ours[~same] == 0).any() and (ours[~same] > 0).any()
    assert_close(ours[same], found["pos_loss"]["losses"].square() / 2)
    assert_close(ours[~same], found["neg_loss"]["losses"].square() / 2)


def test_the_printed_equation_differs_exactly_beyond_the_margin():
    distances = torch.linspace(0, 4, 81, dtype=torch.float64)
    dissimilar = torch.zeros(81, dtype=torch.bool)
    ours = losses.contrastive_loss(distances, dissimilar, 2.0)
    printed = (2.0 - distances).square().clamp(min=0) / 2  # (2.9): max(0, (m - D)²)
    assert (ours == printed).equal(distances <= 2.0)
    assert (ours[distances > 2.0] == 0).all() and (printed[distances > 2.0] > 0).all()


def test_contrastive_loss_at_the_margin_and_at_zero():
    distances = torch.tensor([0.0, 2.0, 2.0, 0.0, 5.0], requires_grad=True)
    same = torch.tensor([True, True, False, False, False])
    loss = losses.contrastive_loss(distances, same, 2.0)
    assert loss.tolist() == [0, 2, 0, 2, 0]
    loss.sum().backward()
    assert distances.grad.tolist() == [0, 2, 0, -2, 0]


def test_triplet_loss_is_that_of_a_loop_and_of_pytorch_metric_learning():
    embeddings = torch.randn(12, 4, generator=seeded(3))
    labels = torch.arange(12) % 3
    triplets = [
        (a, p, n)
        for a, p, n in product(range(12), repeat=3)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    anchor, positive, negative = torch.tensor(triplets).unbind(1)
    values = objectives.ranking(embeddings, anchor, positive, negative, margin=0.7)
    near = [naive_distance(embeddings[a].tolist(), embeddings[p].tolist(), "squared") for a, p, _ in triplets]
    far = [naive_distance(embeddings[a].tolist(), embeddings[n].tolist(), "squared") for a, _, n in triplets]
    hinge = [max(0.0, p - n + 0.7) for p, n in zip(near, far, strict=True)]
    assert_close(values["loss"], torch.tensor(hinge))
    other = TripletMarginLoss(
        margin=0.7, distance=LpDistance(normalize_embeddings=False, power=2), reducer=DoNothingReducer()
    )
    found = other(embeddings, labels, (anchor, positive, negative))["loss"]["losses"]
    assert_close(values["loss"], found)
    assert_close(values["positive_distance"], torch.tensor(near))
    assert_close(values["negative_distance"], torch.tensor(far))
    assert values["accuracy"].tolist() == [p + 0.7 < n for p, n in zip(near, far, strict=True)]
    assert values["ranked"].tolist() == [p < n for p, n in zip(near, far, strict=True)]
    assert values["active"].tolist() == [loss > 0 for loss in hinge]


def test_a_triplet_exactly_at_the_margin_costs_nothing_and_is_not_right():
    embeddings = torch.tensor([[0.0], [1.0], [math.sqrt(2.0)], [2.0]], dtype=torch.float64)
    at = objectives.ranking(embeddings, torch.tensor([0]), torch.tensor([1]), torch.tensor([3]), margin=3.0)
    assert at["loss"] == 0 and not at["accuracy"] and at["ranked"] and not at["active"]


def test_triplets_of_one_photo_thrice_keep_their_gradient_finite():
    embeddings = torch.ones(1, 3, requires_grad=True)
    place = torch.zeros(2, dtype=torch.long)
    objectives.ranking(embeddings, place, place, place)["loss"].sum().backward()
    assert embeddings.grad.isfinite().all()


def test_soft_margin_loss_is_that_of_a_loop_and_does_not_overflow():
    positive, negative = torch.rand(2, 20, generator=seeded(4), dtype=torch.float64) * 5
    expected = [math.log1p(math.exp(p - n)) for p, n in zip(positive.tolist(), negative.tolist(), strict=True)]
    assert_close(losses.soft_margin_triplet_loss(positive, negative), torch.tensor(expected, dtype=torch.float64))
    far = losses.soft_margin_triplet_loss(torch.tensor([1e4, 0.0, 1.0]), torch.tensor([0.0, 1e4, 1.0]))
    assert_close(far, torch.tensor([1e4, 0.0, math.log(2)]))


def test_quadruplet_loss_is_that_of_a_loop():
    positive, negative, between = torch.rand(3, 60, generator=seeded(5), dtype=torch.float64) * 3
    expected = [
        max(0, p - n + 1.2) + max(0, p - b + 0.4)
        for p, n, b in zip(positive.tolist(), negative.tolist(), between.tolist(), strict=True)
    ]
    found = losses.quadruplet_loss(positive, negative, between, 1.2, 0.4)
    assert_close(found, torch.tensor(expected, dtype=torch.float64))


def naive_supervised_contrastive(embeddings, labels, temperature):
    unit = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in embeddings.tolist()]
    result = []
    for i in range(len(unit)):
        others = [j for j in range(len(unit)) if j != i]
        cosine = {j: sum(x * y for x, y in zip(unit[i], unit[j], strict=True)) / temperature for j in others}
        total = sum(math.exp(value) for value in cosine.values())
        terms = [math.log(math.exp(cosine[j]) / total) for j in others if labels[j] == labels[i]]
        result.append(-sum(terms) / len(terms) if terms else 0.0)
    return torch.tensor(result, dtype=torch.float64)


def test_supervised_contrastive_loss_is_that_of_a_loop():
    """Categories 2 and 3 have one photo: anchors without a positive cost nothing, and are everyone's negatives."""
    labels = torch.tensor([0, 0, 1, 0, 1, 2, 3])
    embeddings = torch.randn(7, 4, generator=seeded(6), dtype=torch.float64).requires_grad_()
    found = losses.supervised_contrastive_loss(embeddings, labels, 0.3)
    assert_close(found.detach(), naive_supervised_contrastive(embeddings, labels.tolist(), 0.3))
    assert (found[5:] == 0).all() and (found[:5] > 0).all()
    found.sum().backward()
    assert embeddings.grad.isfinite().all()


def test_supervised_contrastive_loss_agrees_with_pytorch_metric_learning():
    embeddings = torch.randn(12, 8, generator=seeded(7))
    labels = torch.arange(12) % 4
    found = SupConLoss(temperature=0.2, reducer=DoNothingReducer())(embeddings, labels)["loss"]["losses"]
    assert_close(losses.supervised_contrastive_loss(embeddings, labels, 0.2), found)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 0]])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_supervised_contrastive_loss_of_lone_and_of_equal_photos_is_finite(labels, value):
    embeddings = torch.full((len(labels), 2), value, requires_grad=True)
    loss = losses.supervised_contrastive_loss(embeddings, torch.tensor(labels))
    loss.sum().backward()
    assert loss.tolist() == [0] * len(labels) and embeddings.grad.isfinite().all()


def test_classification_is_cross_entropy_and_log_softmax_before_it_changes_nothing():
    logits = torch.randn(9, 4, generator=seeded(8), dtype=torch.float64) * 5
    labels = torch.arange(9) % 4
    values = objectives.classification(logits, labels)
    expected = [math.log(sum(map(math.exp, row))) - row[y] for row, y in zip(logits.tolist(), labels, strict=True)]
    assert_close(values["loss"], torch.tensor(expected, dtype=torch.float64))
    hits = [max(range(4), key=row.__getitem__) == y for row, y in zip(logits.tolist(), labels.tolist(), strict=True)]
    assert values["accuracy"].tolist() == hits
    assert_close(objectives.classification(logits.log_softmax(1), labels)["loss"], values["loss"])


def test_verification_looks_its_pairs_up():
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    left, right, same = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 2]), torch.tensor([True, False, True])
    assert objectives.verification(embeddings, left, right, same, margin=2.0)["loss"].tolist() == [12.5, 0.5, 0.0]
