from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import toy_photos

from autoparts import sampling
from autoparts.catalogue import SPLITS
from autoparts.errors import UserError
from autoparts.sampling import derived_seed, seeded

SIZES = (1, 5, 2, 1, 9, 3)  # two categories have a single photo
LABELS = torch.tensor(np.random.default_rng(0).permutation(np.repeat(np.arange(6), SIZES)))


def test_seeds_and_purposes_share_no_sequence():
    photos = toy_photos()
    draws = [torch.rand(3, generator=photos.generator(purpose)).tolist() for purpose in ("a", "b", "a")]
    assert draws[0] == draws[2] != draws[1]
    assert len({derived_seed(seed, purpose) for seed in (0, 1) for purpose in ("split", "pairs", "")}) == 6


# Photos


@pytest.mark.parametrize("draw_by", ["photo", "category"])
def test_fixed_lists_name_photos_by_their_row_and_stay_within_their_split(draw_by):
    photos = toy_photos()
    dark, light = photos.pixels.double().mean(dim=1).unflatten(1, (2, 4)).mean(dim=2).T
    kind = dark < light  # of each row of the pixels
    for split in SPLITS:
        left, right, same = photos.pairs(split, 30, draw_by)
        anchors, positives, negatives = photos.triplets(split, 30, draw_by)
        listed = torch.cat([left, right, anchors, positives, negatives])
        assert torch.isin(listed, photos.rows[split]).all()
        assert (kind[left] == kind[right]).equal(same) and (left != right).all()
        assert (kind[anchors] == kind[positives]).all() and (anchors != positives).all()
        assert (kind[anchors] != kind[negatives]).all()
        assert len(photos.pairs(split).same) == photos.triplets(split).shape[1] == 10 * len(photos.rows[split])


def listed(photos):
    """All fixed lists as plain numbers."""
    pairs = [torch.stack(photos.pairs(split)[:2]).tolist() for split in SPLITS]
    return pairs + [photos.triplets(split).tolist() for split in SPLITS]


def test_lists_depend_on_the_labels_of_the_split_and_the_seed_and_nothing_else():
    photos = toy_photos()
    expected = listed(photos)
    torch.rand(5)
    torch.manual_seed(9)
    assert listed(photos) == expected
    assert listed(replace(photos, pixels=255 - photos.pixels)) == expected
    assert all(mine != other for mine, other in zip(listed(replace(photos, seed=1)), expected, strict=True))
    for changed in SPLITS:  # other labels move the lists of their split alone
        labels = photos.labels[changed].clone()
        labels[:4] = 1 - labels[:4]
        other = replace(photos, labels=photos.labels | {changed: labels})
        moved = [mine != before for mine, before in zip(listed(other), expected, strict=True)]
        assert moved == [split == changed for split in SPLITS * 2]
    elsewhere = replace(photos, rows={split: rows + 100 for split, rows in photos.rows.items()})
    assert (elsewhere.triplets("test") - 100).equal(photos.triplets("test"))


def test_photos_that_cannot_be_compared_are_told_with_their_split():
    photos = toy_photos((30, 1, 8))
    for draw in (photos.pairs, photos.triplets):
        with pytest.raises(UserError, match=r"the validation photos cannot be compared.*two categories, one of them"):
            draw("validation")
        with pytest.raises(UserError, match="draw_by is 'product'; expected 'photo' or 'category'"):
            draw("train", 4, "product")


# Random draws


@pytest.mark.parametrize("draw_by", ["photo", "category"])
def test_a_dissimilar_pair_keeps_a_photo_of_the_similar_one_before_it(draw_by):
    left, right, same = sampling.random_pairs(LABELS, 2401, seeded(0), draw_by)
    assert len(left) == len(right) == 2401 and same.tolist() == [place % 2 == 0 for place in range(2401)]
    reused, similar = left[1::2], torch.stack([left, right])[:, :-1:2]
    assert (reused == similar).any(dim=0).all()
    assert (reused == similar[0]).double().mean() == pytest.approx(0.5, abs=0.06)  # be it the left or the right one


def off(counts, expected):
    """Chi-square per degree of freedom: about 1 for a fair draw; what cannot be drawn must not be."""
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


@pytest.mark.parametrize("draw_by", ["photo", "category"])
def test_positives_and_negatives_are_uniform_for_every_anchor(draw_by):
    anchor, positive, negative = sampling.random_triplets(LABELS, 120_000, seeded(3), draw_by)
    left, right, similar = sampling.random_pairs(LABELS, 240_000, seeded(4), draw_by)
    same = LABELS[:, None] == LABELS[None, :]
    itself = torch.eye(len(LABELS), dtype=torch.bool)
    for first, drawn, able in (
        (anchor, positive, same & ~itself),
        (anchor, negative, ~same),
        (left[similar], right[similar], same & ~itself),
        (left[~similar], right[~similar], ~same),
    ):
        counts = torch.zeros(len(LABELS), len(LABELS)).index_put((first, drawn), torch.tensor(1.0), accumulate=True)
        expected = able * counts.sum(1, keepdim=True) / able.sum(1, keepdim=True).clamp(min=1)
        assert off(counts, expected) < 1.3


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
@pytest.mark.parametrize("draw", [sampling.random_pairs, sampling.random_triplets])
def test_what_cannot_be_drawn_from_is_refused(draw, labels):
    with pytest.raises(ValueError, match=r"two categories, one of them with two photos; these .* photos form"):
        draw(torch.tensor(labels, dtype=torch.long), 4, seeded(0))


# Batches


@pytest.mark.parametrize("size", [1, 7, 256])
def test_tuple_batches_hold_each_photo_once_and_map_back(size):
    rows = torch.arange(100, 121)[torch.randperm(21, generator=seeded(0))]
    left, right, same = sampling.random_pairs(LABELS, 50, seeded(1))
    pairs = (rows[left], rows[right])
    batches = sampling.tuple_batches(pairs, same, size=size)
    assert [len(batch.target[0]) for batch in batches] == [size] * (50 // size) + [50 % size] * (50 % size > 0)
    for batch in batches:
        assert len(batch.rows.unique()) == len(batch.rows)
        assert set(torch.cat(batch.target[:2]).tolist()) == set(range(len(batch.rows)))
    for column in range(2):
        assert torch.cat([batch.rows[batch.target[column]] for batch in batches]).equal(pairs[column])
    assert torch.cat([batch.target[2] for batch in batches]).equal(same)


def test_photo_batches_hold_every_photo_once_with_its_label():
    rows = torch.arange(50, 71)
    for generator in (None, seeded(3)):
        batches = sampling.photo_batches(rows, LABELS, 8, generator)
        photos = torch.cat([batch.rows for batch in batches])
        assert sorted(photos.tolist()) == rows.tolist()
        assert photos.equal(rows) == (generator is None)
        assert torch.cat([batch.target[0] for batch in batches]).equal(LABELS[photos - 50])
        assert [len(batch.rows) for batch in batches] == [8, 8, 5]


def test_category_batches_hold_groups_of_a_category_and_no_photo_twice():
    rows = torch.arange(200, 221)
    missed = set(rows.tolist())
    for seed in range(60):
        batches = sampling.category_batches(rows, LABELS, 8, 3, seeded(seed))
        assert [len(batch.rows) for batch in batches] == [8, 8]
        photos = torch.cat([batch.rows for batch in batches])
        assert len(photos.unique()) == 16
        labels = torch.cat([batch.target[0] for batch in batches])
        assert labels.equal(LABELS[photos - 200])
        runs = labels.unique_consecutive(return_counts=True)[1]
        assert runs.double().mean() > 1.4  # at random neighbours would hardly ever agree
        missed -= set(photos.tolist())
    assert not missed  # what an epoch leaves out, another one takes
    few = sampling.category_batches(rows[:5], LABELS[:5], 8, 3, seeded(0))
    assert len(few) == 1 and sorted(few[0].rows.tolist()) == rows[:5].tolist()


def test_groups_are_as_large_as_asked_and_others_in_each_epoch():
    labels, generator = torch.arange(8).repeat(6), seeded(0)
    epochs = []
    for _ in range(2):
        (batch,) = sampling.category_batches(torch.arange(48), labels, 48, 3, generator)
        groups = batch.rows.view(-1, 3)  # two for each category of six
        assert (labels[groups] == labels[groups[:, :1]]).all()
        epochs.append(set(map(frozenset, groups.tolist())))
    assert len(epochs[0] & epochs[1]) < 8  # of 16: by chance a tenth meet again
