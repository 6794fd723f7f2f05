import math
from itertools import product
from operator import mul, sub

import pytest
import torch
from torch.testing import assert_close

from autoparts import losses
from autoparts.errors import UserError
from autoparts.sampling import seeded


def naive_distance(a, b, kind):
    if kind == "cosine":
        return 1 - sum(map(mul, a, b)) / max(math.hypot(*a) * math.hypot(*b), 1e-12)
    if kind == "manhattan":
        return sum(map(abs, map(sub, a, b)))
    return math.dist(a, b) ** (2 if kind == "squared" else 1)


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_distances_and_their_gradients_are_those_of_a_loop(kind):
    left, right = torch.randn(2, 8, 5, generator=seeded(0), dtype=torch.float64)
    left[3] = right[3]  # one row the same in both, one zero
    left[5] = 0
    expected = [[naive_distance(a, b, kind) for b in right.tolist()] for a in left.tolist()]
    expected = torch.tensor(expected, dtype=torch.float64)
    assert_close(losses.distance(left, right, kind), expected.diagonal())
    assert_close(losses.distance_matrix(left, right, kind), expected, atol=1e-7, rtol=0)
    gradients = []
    for measure in (lambda a, b, kind: losses.distance(a[:, None], b[None, :], kind), losses.distance_matrix):
        columns = [part[[0, 1, 2, 4]].clone().requires_grad_() for part in (left, right)]
        measure(*columns, kind).sum().backward()
        gradients.append([column.grad for column in columns])
    assert_close(*gradients)


@pytest.mark.parametrize("kind", losses.DISTANCES)
@pytest.mark.parametrize("measure", [losses.distance, losses.distance_matrix])
@pytest.mark.parametrize("value", [0.0, 1.5, 1e4])
def test_gradients_are_finite_at_distance_zero_and_rounding_gives_none_below(kind, measure, value):
    left, right = (torch.full((3, 4), value, requires_grad=True) for _ in range(2))
    apart = measure(left, right, kind)
    apart.sum().backward()
    assert apart.isfinite().all() and (apart >= (-1e-6 if kind == "cosine" else 0)).all()
    for gradient in (left.grad, right.grad):
        assert gradient.isfinite().all()
        if value != 1e4:  # where rounding leaves no distance, nothing pulls
            assert_close(gradient, torch.zeros(3, 4), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"'hamming' is unknown.*euclidean, squared, cosine, manhattan"):
        measure(left, right, "hamming")


def test_contrastive_loss_is_that_of_a_loop_also_at_the_margin_and_at_zero():
    distances = torch.cat([torch.rand(40, generator=seeded(0)) * 3, torch.tensor([0, 0, 1.3, 1.3, 2])]).double()
    same = torch.cat([torch.rand(40, generator=seeded(1)) < 0.5, torch.tensor([1, 0, 1, 0, 0]) > 0])
    rows = zip(distances.tolist(), (~same).tolist(), strict=True)  # with the thesis's Y
    expected = [(1 - y) * d**2 / 2 + y * max(0, 1.3 - d) ** 2 / 2 for d, y in rows]  # (2.9) prints max(0, (m - D)²)
    distances.requires_grad_()
    loss = losses.contrastive_loss(distances, same, 1.3)
    assert_close(loss, torch.tensor(expected, dtype=torch.float64))
    loss.sum().backward()
    assert_close(distances.grad[-5:], torch.tensor([0, -1.3, 1.3, 0, 0], dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("margin", [0, -1, math.nan])
def test_a_margin_that_is_not_positive_is_refused(margin):
    near = torch.ones(2)
    for loss, other in ((losses.contrastive_loss, near > 0), (losses.triplet_loss, near)):
        with pytest.raises(UserError, match=f"margin is {margin}; it has to be positive"):
            loss(near, other, margin)


def test_losses_of_triplets_and_quadruplets_are_those_of_a_loop_and_do_not_overflow():
    near, far, between = torch.rand(3, 60, generator=seeded(5), dtype=torch.float64) * 5
    rows = list(zip(near.tolist(), far.tolist(), between.tolist(), strict=True))
    for found, expected in (
        (losses.triplet_loss(near, far, 0.7), [max(0.0, p - n + 0.7) for p, n, _ in rows]),
        (losses.soft_margin_triplet_loss(near, far), [math.log1p(math.exp(p - n)) for p, n, _ in rows]),
        (losses.quadruplet_loss(near, far, between, 1.2, 0.4),
         [max(0, p - n + 1.2) + max(0, p - b + 0.4) for p, n, b in rows]),
    ):  # fmt: skip
        assert_close(found, torch.tensor(expected, dtype=torch.float64))
    extreme = losses.soft_margin_triplet_loss(torch.tensor([1e4, 0.0]), torch.tensor([0.0, 1e4]))
    assert_close(extreme, torch.tensor([1e4, 0.0]))


def naive_supervised_contrastive(embeddings, labels, temperature):
    result = []
    for i, row in enumerate(embeddings.tolist()):
        others = [j for j in range(len(labels)) if j != i]
        cosine = {j: (1 - naive_distance(row, embeddings[j].tolist(), "cosine")) / temperature for j in others}
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


# Mining


def batch(seed):
    """Up to 14 photos of up to 5 categories, many of them alone; some photos are equal."""
    generator = seeded(seed)
    size = int(torch.randint(1, 15, (), generator=generator))
    photos = torch.randint(0, 2 * size, (size,), generator=generator)
    category_of = torch.randint(0, 5, (2 * size,), generator=generator)
    # Whole numbers, so that distances tie and lie exactly at the margin.
    vector_of = torch.randint(-2, 3, (2 * size, 3), generator=generator).float()
    return vector_of[photos], category_of[photos]


def naive_triplets(distances, labels, wanted):
    """All triplets (anchor, positive, negative) whose two distances are `wanted`."""
    distances, labels = distances.tolist(), labels.tolist()
    return {
        (a, p, n)
        for a, p, n in product(range(len(labels)), repeat=3)
        if labels[a] == labels[p] and a != p and labels[a] != labels[n]
        if wanted(distances[a][p], distances[a][n])
    }


def as_set(triplets):
    listed = list(zip(*(column.tolist() for column in triplets), strict=True))
    assert len(listed) == len(set(listed))
    return set(listed)


WANTED = {
    "hard": lambda near, far: far <= near,
    "semi-hard": lambda near, far: near < far <= near + 1,
    "easy": lambda near, far: far > near + 1,
}


@pytest.mark.parametrize("kind", losses.KINDS)
def test_mined_triplets_are_those_of_a_loop(kind):
    for seed in range(40):
        vectors, labels = batch(seed)
        distances = losses.distance_matrix(vectors, vectors, "squared")
        expected = naive_triplets(distances, labels, WANTED[kind])
        assert as_set(losses.mine(distances, labels, kind, 1.0)) == expected
        assert losses.count_kinds(distances, labels, 1.0)[kind] == len(expected)
    with pytest.raises(ValueError, match="hard, semi-hard, easy"):
        losses.mine(distances, labels, "medium", 1.0)


def test_the_hardest_of_a_batch_are_those_of_a_loop():
    for seed in range(40):
        vectors, labels = batch(seed)
        distances = losses.distance_matrix(vectors, vectors)
        table = distances.tolist()
        every = naive_triplets(distances, labels, lambda near, far: True)
        anchors, positives, negatives = losses.hardest(distances, labels)
        assert anchors.tolist() == sorted({a for a, _, _ in every})
        for a, p, n in as_set((anchors, positives, negatives)):
            assert (a, p, n) in every  # so never the anchor itself
            assert table[a][p] == max(table[a][q] for b, q, _ in every if b == a)
            assert table[a][n] == min(table[a][q] for b, _, q in every if b == a)
