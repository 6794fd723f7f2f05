"""Mining, evaluation, import: what pytorch-metric-learning and scikit-learn do too, with the same results."""

import math
import subprocess
import sys
import timeit
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import TripletMarginMiner
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from scipy.optimize import brentq
from sklearn import metrics
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from autoparts import sampling
from autoparts.losses import distance, distance_matrix, mine
from autoparts.retrieval import retrieve, verify
from tests.benchmarks.clock import Bar, Row, interleaved, speed_up
from tests.benchmarks.data import Listed

SAME = {"precision@1": "precision_at_1", "R-precision": "r_precision", "MAP@R": "mean_average_precision_at_r"}


def clusters(labels: Tensor, size: int, spread: float, seed: int = 0) -> Tensor:
    """Embeddings (M, size) around a centre per category."""
    generator = sampling.seeded(seed)
    centres = torch.randn(int(labels.max()) + 1, size, generator=sampling.seeded(seed + 1))
    return centres[labels] + spread * torch.randn(len(labels), size, generator=generator)


def mined(photos: Listed, repeats: int, temporary: Path, times_each: int = 20) -> list[Row]:
    """All semi-hard and all hard triplets of a batch of 10 categories with 16 photos each."""
    labels = torch.arange(10).repeat_interleave(16)
    vectors, margin, rows = clusters(labels, 128, 3.0), 1.0, []

    def ours(kind: str) -> tuple[Tensor, ...]:
        return mine(distance_matrix(vectors, vectors), labels, kind, margin)

    for kind, their_name in (("semi-hard", "semihard"), ("hard", "hard")):
        miner = TripletMarginMiner(margin, their_name, distance=LpDistance(normalize_embeddings=False))
        work = {"ours": partial(ours, kind), "theirs": partial(miner, vectors, labels)}
        found, expected = (set(zip(*(column.tolist() for column in run()), strict=True)) for run in work.values())
        # A triplet on the boundary may fall to either side by a rounding of its distances.
        if not found or len(found ^ expected) > 1e-3 * len(found):
            raise AssertionError(f"{kind}: {len(found ^ expected)} of {len(found)} mined triplets differ")
        often = {name: partial(timeit.timeit, run, number=times_each) for name, run in work.items()}
        rows.append(speed_up(f"mining, {kind}", interleaved(repeats, **often), times_each, "batches/s", Bar(5, 10)))
    return rows


def evaluated(photos: Listed, repeats: int, temporary: Path, queries: int = 1_500, gallery: int = 12_000) -> list[Row]:
    """Retrieval and verification of `queries` photos among `gallery` others, 100 categories with a long tail."""
    labels = (100 * torch.rand(queries + gallery, generator=sampling.seeded(2)).square()).long()
    vectors = clusters(labels, 128, 4.0)
    asked, known = (vectors[:queries], labels[:queries]), (vectors[queries:], labels[queries:])
    pairs = [sampling.random_pairs(asked[1], 10_000, sampling.seeded(seed)) for seed in (3, 4)]
    same = pairs[0][2]

    def lengths() -> list[Tensor]:
        return [distance(asked[0][left], asked[0][right]) for left, right, _ in pairs]

    def ours() -> tuple[dict[str, float], dict[str, float]]:
        validation, test = lengths()
        return retrieve(*asked, *known).mean().to_dict(), verify(test, pairs[1][2], validation, same)

    calculator = AccuracyCalculator(
        include=tuple(SAME.values()), k="max_bin_count", knn_func=CustomKNN(LpDistance(normalize_embeddings=False))
    )

    def theirs() -> tuple[dict[str, float], dict[str, float]]:
        found = calculator.get_accuracy(*asked, *known)
        centres = NearestCentroid().fit(known[0].numpy(), known[1].numpy()).predict(asked[0].numpy())
        found["class top-1"] = float((centres == asked[1].numpy()).mean())
        validation, test = lengths()
        return found, usual_verification(test, pairs[1][2], validation, same)

    (ranked, verified), (their_ranked, their_verified) = ours(), theirs()
    for name, other in SAME.items():
        np.testing.assert_allclose(ranked[name], their_ranked[other], atol=1e-3, err_msg=name)
    for name, value in their_verified.items():
        np.testing.assert_allclose(verified[name], value, atol=2e-3, err_msg=name)
    return [speed_up("evaluation", interleaved(repeats, ours=ours, theirs=theirs), queries, "queries/s", Bar(4, 10))]


def usual_verification(test: Tensor, same: Tensor, validation: Tensor, validation_same: Tensor) -> dict[str, float]:
    """The measures of a verifier with scikit-learn; the threshold is that of best accuracy on validation pairs."""
    truth, scores = validation_same.numpy(), -validation.numpy()
    alarms, hits, cuts = metrics.roc_curve(truth, scores, drop_intermediate=False)
    threshold = cuts[(hits * truth.sum() + (1 - alarms) * (~truth).sum()).argmax()]
    truth, scores = same.numpy(), -test.numpy()
    called = scores >= threshold
    alarms, hits, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, called, average="binary")
    return {
        "ROC AUC": metrics.roc_auc_score(truth, scores),
        "EER": brentq(lambda rate: 1 - rate - np.interp(rate, alarms, hits), 0, 1),
        "FNMR at 1 % FMR": (1 - hits[alarms <= 0.01]).min(),
        "FNMR at 10 % FMR": (1 - hits[alarms <= 0.1]).min(),
        **{"accuracy": metrics.accuracy_score(truth, called), "precision": precision, "recall": recall, "f1": f1},
    }


def imported(photos: Listed, repeats: int, temporary: Path) -> list[Row]:
    """Seconds of `import autoparts` after `import torch`, without and with what finding a part needs."""
    rows = []
    for work, code, bar in (
        ("import autoparts", "import autoparts", Bar()),
        ("import, with the finder", "from autoparts import load_finder", Bar(0.5, 0.1, at_most=True)),
    ):
        clock = f"import time, torch; s = time.perf_counter(); {code}; print(time.perf_counter() - s)"
        command = [sys.executable, "-c", clock]
        seconds = median(float(subprocess.check_output(command)) for _ in range(repeats + 1))
        rows.append(Row(work, seconds, math.nan, "s", seconds, bar))
    return rows
