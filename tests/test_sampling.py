import numpy as np
import pytest
import torch

from autoparts import sampling
from autoparts.models import seeded

SIZES = (1, 5, 2, 1, 9, 3)  # two categories have a single photo
LABELS = torch.tensor(np.random.default_rng(0).permutation(np.repeat(np.arange(6), SIZES)))
SEEDS = range(60)


@pytest.mark.parametrize("draw_by", ["photo", "category"])
def test_pairs_are_what_they_say(draw_by):
    alone = (LABELS == 0) | (LABELS == 3)
    seen_alone = torch.zeros(len(LABELS), dtype=torch.bool)
    for seed in SEEDS:
        left, right, same = sampling.random_pairs(LABELS, 41, seeded(seed), draw_by)
        assert len(left) == len(right) == len(same) == 41
        assert same.tolist() == [place % 2 == 0 for place in range(41)]
        assert (LABELS[left] == LABELS[right]).equal(same)
        assert (left != right).all()
        assert not alone[left].any() and not alone[right[same]].any()
        seen_alone[right] |= True
        for place in range(1, 41, 2):  # each dissimilar pair reuses a photo of the similar one before it
            assert left[place] in (left[place - 1], right[place - 1])
    assert seen_alone[alone].all()


@pytest.mark.parametrize("draw_by", ["photo", "category"])
def test_triplets_are_what_they_say(draw_by):
    alone = (LABELS == 0) | (LABELS == 3)
    negatives = set()
    for seed in SEEDS:
        anchor, positive, negative = sampling.random_triplets(LABELS, 40, seeded(seed), draw_by)
        assert len(anchor) == len(positive) == len(negative) == 40
        assert (LABELS[anchor] == LABELS[positive]).all() and (anchor != positive).all()
        assert (LABELS[anchor] != LABELS[negative]).all()
        assert not alone[anchor].any()
        negatives |= set(negative.tolist())
    assert negatives == set(range(len(LABELS)))


def off(counts, expected):
    """Chi-square per degree of freedom: about 1 for a fair draw."""
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    assert ((expected > 0) | (counts == 0)).all()
    kept = expected > 0
    return ((counts - expected)[kept] ** 2 / expected[kept]).sum() / max(kept.sum() - 1, 1)


def test_anchors_are_uniform_over_photos_or_categories():
    count, able = 60_000, torch.tensor([size > 1 for size in SIZES])[LABELS]
    sizes = torch.tensor(SIZES)[LABELS]
    for draw_by, share in (("photo", able / able.sum()), ("category", able / sizes / 4)):
        for drawn in (
            sampling.random_triplets(LABELS, count, seeded(1), draw_by)[0],
            sampling.random_pairs(LABELS, 2 * count, seeded(2), draw_by)[0][::2],
        ):
            assert off(drawn.bincount(minlength=len(LABELS)), count * share) < 2.5, draw_by


def test_positives_and_negatives_are_uniform_for_every_anchor():
    anchor, positive, negative = sampling.random_triplets(LABELS, 120_000, seeded(3))
    same = LABELS[:, None] == LABELS[None, :]
    itself = torch.eye(len(LABELS), dtype=torch.bool)
    for drawn, able in ((positive, same & ~itself), (negative, ~same)):
        counts = torch.zeros(len(LABELS), len(LABELS)).index_put((anchor, drawn), torch.tensor(1.0), accumulate=True)
        expected = able * counts.sum(1, keepdim=True) / able.sum(1, keepdim=True).clamp(min=1)
        assert off(counts, expected) < 1.3


def test_a_dissimilar_pair_reuses_either_photo_equally_often():
    left, right, _ = sampling.random_pairs(LABELS, 20_000, seeded(4))
    first = (left[1::2] == left[0::2]).double().mean()
    assert 0.48 < first < 0.52
    assert ((left[1::2] == left[0::2]) | (left[1::2] == right[0::2])).all()


def test_the_seed_fixes_the_draw():
    for draw in (sampling.random_pairs, sampling.random_triplets):
        first, again, other = (torch.stack(draw(LABELS, 30, seeded(seed))) for seed in (5, 5, 6))
        assert first.equal(again) and not first.equal(other)


def test_the_smallest_catalogue_that_can_be_drawn_from():
    """Two categories, one with two photos: there is one similar pair, and nothing to wait for."""
    labels = torch.tensor([4, 7, 4])
    anchor, positive, negative = sampling.random_triplets(labels, 1000, seeded(0), "category")
    assert {tuple(sorted(pair)) for pair in zip(anchor.tolist(), positive.tolist(), strict=True)} == {(0, 2)}
    assert (negative == 1).all()


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
@pytest.mark.parametrize("draw", [sampling.random_pairs, sampling.random_triplets])
def test_what_cannot_be_drawn_from_is_refused(draw, labels):
    with pytest.raises(ValueError, match=r"two categories, one of them with two photos; these .* photos form"):
        draw(torch.tensor(labels, dtype=torch.long), 4, seeded(0))


def test_an_unknown_way_of_drawing_is_refused():
    with pytest.raises(ValueError, match="draw_by is 'product'; expected 'photo' or 'category'"):
        sampling.random_pairs(LABELS, 4, seeded(0), "product")


def test_draws_below_a_limit_reach_every_number_and_never_the_limit():
    limits = torch.tensor([1, 2, 3]).repeat(3000)
    drawn = sampling.draw_below(limits, seeded(0))
    assert (drawn >= 0).all() and (drawn < limits).all()
    assert off(drawn[2::3].bincount(), [1000, 1000, 1000]) < 4


@pytest.mark.parametrize("size", [1, 7, 256])
def test_fixed_batches_hold_each_photo_once_and_map_back(size):
    rows = torch.arange(100, 121)[torch.randperm(21, generator=seeded(0))]
    left, right, same = sampling.random_pairs(LABELS, 50, seeded(1))
    pairs = (rows[left], rows[right])
    batches = sampling.fixed_batches(pairs, same, size=size)
    assert [len(batch.target[0]) for batch in batches] == [size] * (50 // size) + [50 % size] * (50 % size > 0)
    for batch in batches:
        assert len(batch.photos.unique()) == len(batch.photos)
        assert set(torch.cat(batch.target[:2]).tolist()) == set(range(len(batch.photos)))
    for column in range(2):
        assert torch.cat([batch.photos[batch.target[column]] for batch in batches]).equal(pairs[column])
    assert torch.cat([batch.target[2] for batch in batches]).equal(same)


def test_epochs_of_pairs_and_triplets_are_rows_of_the_candidates():
    rows = torch.arange(1000, 1021)
    label_of = dict(zip(rows.tolist(), LABELS.tolist(), strict=True))

    def names(batch, column):
        return [label_of[row] for row in batch.photos[batch.target[column]].tolist()]

    pairs = sampling.pair_batches(rows, LABELS, 21, 8, "photo", seeded(0))
    assert [len(batch.target[2]) for batch in pairs] == [8, 8, 5]
    for batch in pairs:
        equal = [a == b for a, b in zip(names(batch, 0), names(batch, 1), strict=True)]
        assert equal == batch.target[2].tolist()
    assert sum(int(batch.target[2].sum()) for batch in pairs) == 11
    triplets = sampling.triplet_batches(rows, LABELS, 21, 8, "photo", seeded(0))
    assert [len(batch.target[0]) for batch in triplets] == [8, 8, 5]
    for batch in triplets:
        assert names(batch, 0) == names(batch, 1)
        assert all(a != n for a, n in zip(names(batch, 0), names(batch, 2), strict=True))


def test_photo_batches_hold_every_photo_once_with_its_label():
    rows = torch.arange(50, 71)
    for generator in (None, seeded(3)):
        batches = sampling.photo_batches(rows, LABELS, 8, generator)
        photos = torch.cat([batch.photos for batch in batches])
        assert sorted(photos.tolist()) == rows.tolist()
        assert photos.equal(rows) == (generator is None)
        assert torch.cat([batch.target[0] for batch in batches]).equal(LABELS[photos - 50])
        assert [len(batch.photos) for batch in batches] == [8, 8, 5]


def test_category_batches_hold_groups_of_a_category_and_no_photo_twice():
    rows = torch.arange(200, 221)
    missed = set(range(200, 221))
    for seed in SEEDS:
        batches = sampling.category_batches(rows, LABELS, 8, 3, seeded(seed))
        assert [len(batch.photos) for batch in batches] == [8, 8]
        photos = torch.cat([batch.photos for batch in batches])
        assert len(photos.unique()) == 16
        labels = torch.cat([batch.target[0] for batch in batches])
        assert labels.equal(LABELS[photos - 200])
        runs = labels.unique_consecutive(return_counts=True)[1]
        assert runs.double().mean() > 1.4  # at random neighbours would hardly ever agree
        missed -= set(photos.tolist())
    assert not missed  # what an epoch leaves out, another one takes
    few = sampling.category_batches(rows[:5], LABELS[:5], 8, 3, seeded(0))
    assert len(few) == 1 and sorted(few[0].photos.tolist()) == rows[:5].tolist()


def test_quadruplets_have_a_second_negative_of_a_third_category():
    rows = torch.arange(200, 221)
    seen = set()
    for seed in range(20):
        for batch in sampling.quadruplet_batches(rows, LABELS, 30, 8, "photo", seeded(seed)):
            anchor, positive, first, second = (batch.photos[column] - 200 for column in batch.target)
            assert (LABELS[anchor] == LABELS[positive]).all() and (anchor != positive).all()
            for one, other in ((anchor, first), (anchor, second), (first, second)):
                assert (LABELS[one] != LABELS[other]).all()
            seen |= set(second.tolist())
    assert seen == set(range(21))
    two = torch.tensor([0, 0, 0, 1, 1])
    for batch in sampling.quadruplet_batches(torch.arange(5), two, 30, 8, "photo", seeded(0)):
        anchor, _, first, second = (batch.photos[column] for column in batch.target)
        assert (two[second] == two[anchor]).all() and (two[first] != two[anchor]).all()
