import math
import resource
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from autoparts import evaluation, models, sampling
from autoparts.sampling import LabelledPairs, seeded
from autoparts.tasks import Naming


@pytest.fixture
def judged():
    """Five hundred pairs whose distances overlap, some of them equal."""
    same = torch.rand(500, generator=seeded(0)) < 0.4
    distances = torch.rand(500, generator=seeded(1)) * 2 + torch.where(same, 0.0, 0.7)
    distances[::9] = 1.25
    return distances, same


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 1.0, 1.25, 1.2500001, 1.9, 5.0])
def test_the_threshold_curve_is_that_of_scikit_learn(judged, threshold):
    distances, same = judged
    row = evaluation.threshold_curve(distances, same, torch.tensor([threshold])).iloc[0]
    truth, called = same.numpy(), (distances < threshold).numpy()
    assert row["threshold"] == pytest.approx(threshold)
    for name, zero in (("accuracy", {}), ("precision", {"zero_division": 1}), ("recall", {}), ("f1", {})):
        assert row[name] == pytest.approx(getattr(metrics, f"{name}_score")(truth, called, **zero))
    counts = metrics.confusion_matrix(truth, called, labels=[False, True]).ravel()
    assert row[["true_negative", "false_positive", "false_negative", "true_positive"]].tolist() == counts.tolist()
    assert evaluation.pair_hits(distances, same, threshold).sum() == counts[0] + counts[3]


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
def test_the_chosen_threshold_is_as_good_as_any(seed, scale):
    same = torch.rand(30, generator=seeded(seed)) < 0.5
    distances = (torch.rand(30, generator=seeded(seed + 100)) + torch.where(same, 0, 0.4)) * scale
    distances[::7] = distances[0]
    threshold = evaluation.choose_threshold(distances, same)
    right = evaluation.pair_hits(distances, same, threshold).sum()
    assert right == max(((distances <= cut) == same).sum() for cut in [-math.inf, *distances])
    assert threshold not in distances.tolist()


def test_of_equally_good_thresholds_the_middle_one_is_chosen():
    same = torch.tensor([True, False, True, False, True])  # three are right at 1.5, at 3.5, and beyond 5
    assert evaluation.choose_threshold(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), same) == 3.5


@pytest.mark.parametrize("value", [0.0, 1.0, 20.0, 1000.0])
@pytest.mark.parametrize("kind", [True, False])
def test_a_threshold_can_lie_beyond_all_distances(value, kind):
    """Distances above 16 are farther apart in float32 than the step by which the last threshold lies beyond them."""
    distances, same = torch.full((4,), value), torch.full((4,), kind)
    assert evaluation.pair_hits(distances, same, evaluation.choose_threshold(distances, same)).all()
    assert np.isfinite(evaluation.threshold_curve(distances, same, torch.tensor([0.0, 0.5, 2.0])).to_numpy()).all()


def test_a_threshold_between_neighbouring_numbers_separates_them():
    low = torch.tensor(1.0)
    for _ in range(6):
        distances, same = torch.stack([low, low.nextafter(torch.tensor(9.0))]), torch.tensor([True, False])
        threshold = evaluation.choose_threshold(distances, same)
        assert evaluation.pair_hits(distances, same, threshold).all()
        curve = evaluation.threshold_curve(distances, same, torch.tensor([threshold], dtype=torch.float64))
        assert curve["accuracy"].tolist() == [1]
        low = distances[1]


def test_the_interval_is_wilsons():
    assert evaluation.wilson_interval(50, 120) == pytest.approx((0.33238, 0.50612), abs=1e-5)


def tiny_network():
    return models.thesis_network(5, (2, 2), 8)


@pytest.fixture
def photos():
    return torch.randint(0, 256, (20, 8, 8), generator=seeded(2), dtype=torch.uint8)


def test_embeddings_come_row_by_row_whatever_the_block(photos):
    rows = torch.tensor([3, 3, 0, 19, 7, 8, 9])
    network = nn.Sequential(tiny_network(), nn.Dropout(0.5)).train()
    found = evaluation.embed(network, photos, rows, size=3)
    assert found.shape == (7, 5) and found.dtype == torch.float32 and not found.requires_grad
    assert found[0].equal(found[1]) and not network.training
    with torch.no_grad():
        expected = network(models.photo_input(photos[rows]))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_pair_distances_belong_to_their_pairs(photos):
    pairs = LabelledPairs(torch.tensor([5, 2, 5]), torch.tensor([2, 2, 9]), torch.tensor([True, True, False]))
    embeddings = evaluation.embed(tiny_network(), photos, torch.arange(20))
    found = evaluation.pair_distances(tiny_network(), photos, pairs)
    expected = [float((embeddings[a] - embeddings[b]).norm()) for a, b in ((5, 2), (2, 2), (5, 9))]
    assert found.tolist() == pytest.approx(expected, abs=2e-2)
    assert found[1] == 0


def test_values_of_a_task_come_sample_by_sample(photos):
    labels = torch.arange(20) % 5
    batches = sampling.photo_batches(torch.arange(20), labels, 6)
    found = evaluation.values_of(tiny_network().train(), photos, batches, Naming().values)
    logits = evaluation.embed(tiny_network(), photos, torch.arange(20))
    expected = Naming().values(logits, labels)
    assert found["accuracy"].equal(expected["accuracy"])
    torch.testing.assert_close(found["loss"], expected["loss"], atol=2e-2, rtol=0)
    assert evaluation.values_of(tiny_network(), photos, [], Naming().values) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that can be told to keep memory")
def test_memory_that_torch_frees_serves_the_next_batch():
    def faults():  # pages that the system has to clear for 64 MiB, taken and freed ten times
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(16 << 20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert faults() < 1_000
