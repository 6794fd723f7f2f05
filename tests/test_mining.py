from functools import partial

import pytest
import torch
from pytorch_metric_learning import distances as reference_distances
from pytorch_metric_learning import miners

from autoparts import mining, objectives
from autoparts.losses import DISTANCES, distance_matrix
from autoparts.models import seeded

NAMES = {"hard": "hard", "semi-hard": "semihard", "easy": "easy"}  # ours to pytorch-metric-learning's
EMPTY = [[0], [0, 0, 0], [0, 1, 2]]  # batches without any triplet


def batch(seed):
    """Up to 14 photos of up to 5 categories, many of them alone; some photos are there twice."""
    generator = seeded(seed)
    size = int(torch.randint(1, 15, (), generator=generator))
    photos = torch.randint(0, 2 * size, (size,), generator=generator)
    category_of = torch.randint(0, 5, (2 * size,), generator=generator)
    # Whole numbers, so that distances tie and lie exactly at the margin.
    vector_of = torch.randint(-2, 3, (2 * size, 3), generator=generator).float()
    return vector_of[photos], category_of[photos], photos


def naive(distances, labels, photos, wanted):
    distances, labels, photos = distances.tolist(), labels.tolist(), photos.tolist()
    found = set()
    for a in range(len(labels)):
        for p in range(len(labels)):
            for n in range(len(labels)):
                alike = labels[a] == labels[p] and photos[a] != photos[p]
                if alike and labels[a] != labels[n] and wanted(distances[a][p], distances[a][n]):
                    found.add((a, p, n))
    return found


def as_set(triplets):
    listed = list(zip(*(column.tolist() for column in triplets), strict=True))
    assert len(listed) == len(set(listed))
    return set(listed)


WANTED = {
    "hard": lambda near, far: far <= near,
    "semi-hard": lambda near, far: near < far <= near + 1,
    "easy": lambda near, far: far > near + 1,
}


@pytest.mark.parametrize("kind", mining.KINDS)
def test_mined_triplets_are_those_of_a_loop(kind):
    for seed in range(40):
        vectors, labels, photos = batch(seed)
        distances = distance_matrix(vectors, vectors, "squared")
        for known in (photos, None):
            apart = torch.arange(len(labels)) if known is None else photos
            expected = naive(distances, labels, apart, WANTED[kind])
            assert as_set(mining.mine(distances, labels, kind, 1.0, known)) == expected


def test_the_kinds_are_all_triplets_and_none_twice():
    for seed in range(40):
        vectors, labels, photos = batch(seed)
        distances = distance_matrix(vectors, vectors, "manhattan")
        kinds = [as_set(mining.mine(distances, labels, kind, 1.0, photos)) for kind in mining.KINDS]
        everything = naive(distances, labels, photos, lambda near, far: True)
        assert set.union(*kinds) == everything and sum(map(len, kinds)) == len(everything)
        counts = mining.count_kinds(distances, labels, 1.0)
        assert counts == {kind: len(mining.mine(distances, labels, kind, 1.0)[0]) for kind in mining.KINDS}


@pytest.mark.parametrize("kind", mining.KINDS)
@pytest.mark.parametrize(("power", "distance"), [(1, "euclidean"), (2, "squared")])
def test_mined_triplets_are_those_of_pytorch_metric_learning(kind, power, distance):
    reference = miners.TripletMarginMiner(
        margin=0.7,
        type_of_triplets=NAMES[kind],
        distance=reference_distances.LpDistance(power=power, normalize_embeddings=False),
    )
    found = 0
    for seed in range(30):
        vectors = torch.randn(12, 3, generator=seeded(seed))
        labels = torch.randint(0, 6, (12,), generator=seeded(seed + 100))
        ours = as_set(mining.mine(distance_matrix(vectors, vectors, distance), labels, kind, 0.7))
        assert ours == as_set(reference(vectors, labels))
        found += len(ours)
    assert found > 300


def test_the_hardest_of_a_batch_are_those_of_pytorch_metric_learning():
    reference = miners.BatchHardMiner(distance=reference_distances.LpDistance(normalize_embeddings=False))
    for seed in range(30):
        vectors = torch.randn(12, 3, generator=seeded(seed))
        labels = torch.randint(0, 6, (12,), generator=seeded(seed + 100))
        assert as_set(mining.hardest(distance_matrix(vectors, vectors), labels)) == as_set(reference(vectors, labels))


def test_the_hardest_of_a_batch_are_those_of_a_loop():
    for seed in range(40):
        vectors, labels, photos = batch(seed)
        distances = distance_matrix(vectors, vectors)
        table = distances.tolist()
        every = naive(distances, labels, photos, lambda near, far: True)
        anchors, positives, negatives = mining.hardest(distances, labels, photos)
        assert anchors.tolist() == sorted({a for a, _, _ in every})
        for a, p, n in as_set((anchors, positives, negatives)):
            assert (a, p, n) in every  # so never the anchor's own photo again
            assert table[a][p] == max(table[a][q] for b, q, _ in every if b == a)
            assert table[a][n] == min(table[a][q] for b, _, q in every if b == a)


def test_a_repeated_photo_is_not_its_own_positive():
    labels, photos = torch.tensor([0, 0, 1]), torch.tensor([7, 7, 8])
    distances = torch.rand(3, 3, generator=seeded(0))
    assert all(len(mining.mine(distances, labels, kind, 0.5, photos)[0]) == 0 for kind in mining.KINDS)
    assert len(mining.hardest(distances, labels, photos)[0]) == 0
    assert len(mining.hardest(distances, labels)[0]) == 2  # different photos of one category are


@pytest.mark.parametrize("labels", EMPTY)
def test_a_batch_without_triplets_gives_none(labels):
    labels = torch.tensor(labels, dtype=torch.int64)
    distances = torch.zeros(len(labels), len(labels))
    results = [mining.mine(distances, labels, kind, 1.0) for kind in mining.KINDS] + [mining.hardest(distances, labels)]
    for triplets in results:
        assert [(column.shape, column.dtype) for column in triplets] == [((0,), torch.int64)] * 3
    assert mining.count_kinds(distances, labels, 1.0) == dict.fromkeys(mining.KINDS, 0)


def test_an_unknown_kind_names_those_there_are():
    with pytest.raises(ValueError, match="hard, semi-hard, easy"):
        mining.mine(torch.zeros(2, 2), torch.tensor([0, 0]), "medium", 1.0)


LOSSES = [("triplet", kind) for kind in mining.KINDS] + [
    (loss, "random") for loss in ("all pairs", "soft margin", "supervised contrastive")
]


@pytest.mark.parametrize(("loss", "mined"), LOSSES)
@pytest.mark.parametrize("labels", EMPTY)
@pytest.mark.parametrize("kind", DISTANCES)
def test_a_batch_without_triplets_has_a_finite_loss_and_gradient(loss, mined, labels, kind):
    vectors = torch.randn(len(labels), 4, generator=seeded(0), requires_grad=True)
    values = objectives.grouped(vectors, torch.tensor(labels), loss=loss, mined=mined, kind=kind, margin=1.0)["loss"]
    values.mean().backward()
    assert values.isfinite().all() and vectors.grad.isfinite().all()
    if loss in ("triplet", "soft margin"):
        assert (values == 0).all() and (vectors.grad == 0).all()


@pytest.mark.parametrize("kind", mining.KINDS)
def test_the_mined_loss_is_the_triplet_loss_of_a_loop(kind):
    run = partial(objectives.grouped, loss="triplet", mined=kind, kind="squared", margin=1.0)
    for seed in range(20):
        vectors, labels, _ = batch(seed)
        distances = distance_matrix(vectors, vectors, "squared")
        triplets = naive(distances, labels, torch.arange(len(labels)), WANTED[kind])
        expected = sorted(max(0.0, float(distances[a, p] - distances[a, n]) + 1) for a, p, n in triplets)
        assert sorted(run(vectors, labels)["loss"].tolist()) == pytest.approx(expected or [0.0] * len(labels))
        assert kind != "easy" or not any(expected)  # easy triplets cost nothing


def test_all_pairs_weigh_similar_and_dissimilar_alike():
    vectors, labels = torch.randn(9, 3, generator=seeded(0)), torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4])
    means = {True: [], False: []}
    for i in range(9):
        for j in range(i):
            apart = float((vectors[i] - vectors[j]).norm())
            same = bool(labels[i] == labels[j])
            means[same].append(apart**2 / 2 if same else max(0, 2 - apart) ** 2 / 2)
    expected = sum(sum(values) / len(values) for values in means.values()) / 2
    values = objectives.grouped(vectors, labels, loss="all pairs", mined="", kind="euclidean", margin=1.0)["loss"]
    assert float(values.mean()) == pytest.approx(expected, rel=1e-5)
