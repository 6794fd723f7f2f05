import pytest
import torch

from autoparts import losses, sampling, tasks
from autoparts.experiments import variants
from autoparts.experiments.variants import CountedTriplets, OfflineTriplets, Quadruplets
from autoparts.losses import distance, quadruplet_loss
from autoparts.sampling import seeded


def test_rows_have_names_of_their_own_and_a_margin_in_units_of_their_distance():
    assert len({row.name for row in variants.ROWS}) == len(variants.ROWS) == 24
    assert variants.ROWS[0] is variants.BASELINE and variants.BASELINE.task == tasks.Triplets(1.0, "squared")
    triplets = [row.task for row in variants.ROWS if type(row.task) is tasks.Triplets and row.trained]
    assert {task.distance: task.margin for task in triplets} == {
        "squared": 1.0,
        "euclidean": 1.0,
        "cosine": 0.2,
        "manhattan": 5.0,
    }
    for loss, row in variants.THESIS.items():
        better = variants.RECIPES[loss]
        assert better.task == row.task and row in variants.ROWS and better not in variants.ROWS
        assert (better.network, better.augmentation) == ("residual", "all")


@pytest.mark.parametrize("sizes", [(1, 5, 9, 2, 30), (4, 7)])
def test_quadruplets_are_triplets_with_a_negative_of_a_third_category(patterns, sizes):
    photos = patterns(*sizes)
    (batch,) = Quadruplets().batches(photos, 1000, seeded(0))
    columns = [batch.rows[column] for column in batch.target]
    kinds = torch.stack([photos.labels["train"][column] for column in columns])
    (same,) = tasks.Triplets().batches(photos, 1000, seeded(0))
    assert all(mine.equal(same.rows[theirs]) for mine, theirs in zip(columns, same.target, strict=False))
    assert kinds[0].equal(kinds[1]) and (kinds[0] != kinds[2]).all() and (kinds[3] != kinds[2]).all()
    assert (kinds[3] != kinds[0]).all() if len(sizes) > 2 else kinds[3].equal(kinds[0])


def test_the_quadruplet_loss_has_half_the_margin_between_the_negatives():
    vectors = torch.randn(4, 6, generator=seeded(0))
    values = Quadruplets(margin=3.0).values(vectors, *torch.arange(4)[:, None])
    near, far, apart = (distance(vectors[[a]], vectors[[b]], "squared") for a, b in ((0, 1), (0, 2), (2, 3)))
    assert values["loss"].equal(quadruplet_loss(near, far, apart, 3.0, 1.5))
    assert values["accuracy"].equal(near < far)


def test_offline_triplets_leave_out_the_easiest_and_the_hardest(patterns):
    photos = patterns(3, 9, 20, 8)
    labels = photos.labels["train"]
    pixels = torch.nn.functional.avg_pool2d(photos.pixels[:, None].float(), 5).flatten(1)

    def gaps(anchor, positive, negative):
        return distance(pixels[anchor], pixels[negative]) - distance(pixels[anchor], pixels[positive])

    taken = []
    for seed in range(30):  # each epoch takes half of the same triplets
        (batch,) = OfflineTriplets().batches(photos, 10_000, seeded(seed))
        a, p, n = (batch.rows[column] for column in batch.target)
        assert labels[a].equal(labels[p]) and (a != p).all() and (labels[a] != labels[n]).all()
        assert len(a) == pytest.approx(len(labels), abs=1)
        taken.append(gaps(a, p, n))
    drawn = gaps(*sampling.random_triplets(labels, 4 * len(labels), photos.generator("offline triplets")))
    found = torch.cat(taken).unique()
    middle = drawn[(drawn >= drawn.quantile(0.25)) & (drawn <= drawn.quantile(0.75))]
    assert found.equal(middle.unique()) and len(found) < len(drawn.unique())


def test_the_kinds_of_triplets_are_counted_in_the_same_batches_every_time(patterns):
    photos, task = patterns(8, 8, 8), CountedTriplets(batch_size=12)
    kinds, again = (task.measure(lambda inputs: inputs.flatten(1)[:, :4], photos) for _ in range(2))
    assert list(kinds) == list(losses.KINDS) and sum(kinds.values()) == pytest.approx(1) and kinds == again
