"""The default report: what its networks have to compute, and what it takes."""

import subprocess
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoparts import models, sampling, tasks
from autoparts.experiments import subsets, trials, variants
from autoparts.pipeline.notebooks import plan
from autoparts.sampling import Photos
from autoparts.study.study import SHARED, open_study
from tests.benchmarks.clock import Bar, Row
from tests.benchmarks.training import product

COUNTED = 32  # photos whose operations are counted


def report(photos: object, repeats: int, temporary: Path) -> list[Row]:
    """Core-seconds that its networks would take at the rate of matrix products, and core-seconds that all of it takes.

    Once, since it takes minutes, and on a machine that does nothing else: all that it does is counted.
    """
    values = {name: value for each in plan((), "demo", {}).values() for name, value in each.items()}
    given = SimpleNamespace(**values)
    study = open_study("synthetic", **{name: values[name] for name in SHARED})
    before = _busy()
    command = [sys.executable, "-m", "autoparts", "run", "--name", str(temporary / "report")]
    subprocess.run(command, check=True, capture_output=True)
    taken, threads = _busy() - before, torch.get_num_threads()
    torch.set_num_threads(1)
    rate = 2 * 2048**3 / min(timeit.repeat(product(), number=1, repeat=20))
    torch.set_num_threads(threads)
    needed = sum([*_trainings(study.photos, given), *_features(study.photos, given)]) / rate
    return [Row("the default report", needed, taken, "core-seconds", needed / taken, Bar(0.4, 0.6))]


def _busy() -> float:
    times = psutil.cpu_times()
    return times.user + times.system + times.nice


def _trainings(photos: Photos, given: SimpleNamespace) -> Iterator[float]:
    """Count the operations of each training: those of a photo, times the photos sent."""
    size = given.embedding_size
    for task, outputs in ((tasks.Naming(), photos.categories), (tasks.Pairs(), size), (tasks.Triplets(), size)):
        batches = task.batches(photos, given.batch_size, sampling.seeded(0))
        network = models.thesis_network(outputs, tuple(given.filters), given.side)
        yield given.epochs * sum(len(batch.rows) for batch in batches) * _operations(network, 1, given.side)
    small = subsets.resized(photos, given.row_side)
    settings = trials.Settings(given.row_epochs, embedding_size=size, filters=given.filters)
    draws = [subsets.held_out(small, f"unseen {draw}", 0.15)[0] for draw in range(given.held_out_draws)]
    trained = [(row, small) for row in variants.FEW if row.trained]
    for row, seen in trained + [(row, seen) for row in variants.THESIS.values() for seen in draws]:
        network = trials.network_of(row, settings, seen, 0)
        yield given.row_epochs * len(seen.rows["train"]) * _operations(network, 1, given.row_side)


def _features(photos: Photos, given: SimpleNamespace) -> Iterator[float]:
    """Count the operations of the recommended model's features and of those that the ablation sets beside them."""
    network = models.Recogniser(photos.categories, given.backbone, 3, views=(1.0,)).eval()
    for side in (given.recipe_side, *[given.recipe_side // 2] * 3):
        yield sum(map(len, photos.rows.values())) * _operations(network, 3, side)


def _operations(network: nn.Module, channels: int, side: int) -> float:
    """Count a photo's floating-point operations: forward, and backward if it is in training mode."""
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(network.training):
        outputs = network(torch.rand(COUNTED, channels, side, side))
        if network.training:
            outputs.sum().backward()
    return counter.get_total_flops() / COUNTED
