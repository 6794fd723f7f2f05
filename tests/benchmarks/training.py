"""Reading photos and training: batches, preparing, epochs, steps."""

import shutil
import timeit
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets import ImageFolder

from autoparts import keep_freed_memory, models, sampling, tasks, training
from autoparts.experiments import recommended
from autoparts.experiments.muon import Muon
from autoparts.models import half_precision
from autoparts.photos import prepare
from autoparts.training import adam
from tests.benchmarks.clock import Bar, Row, best_of, interleaved, overhead, speed_up
from tests.benchmarks.data import BATCH, USUAL, Listed, Tuples, loader

WORKERS = {"none": 0, "two": 2}
CPU = torch.device("cpu")
EMBEDDING = 128
CHUNK = 16  # photos that a thread decodes at a time
ONE_EPOCH = {"epochs": 1, "batch_size": BATCH, "learning_rate": 1e-3, "seed": 0, "say": lambda line: None}


def batches(photos: Listed, repeats: int, temporary: Path) -> list[Row]:
    """Network input from the prepared array, and from an ImageFolder of the same JPEGs."""
    files = Tuples(photos.files["path"].tolist(), [torch.arange(len(photos.files))])
    if len({Path(path).parent.parent for path in photos.files["path"]}) == 1:  # one folder per category
        files = ImageFolder(Path(photos.files["path"].iloc[0]).parent.parent, USUAL)

    def ours() -> None:
        for batch in sampling.photo_batches(torch.arange(len(photos.pixels)), photos.labels, BATCH, sampling.seeded(0)):
            models.photo_input(photos.pixels[batch.rows]).contiguous(memory_format=torch.channels_last)

    loaders = {name: loader(files, workers) for name, workers in WORKERS.items()}
    usual = {name: partial(_exhaust, read) for name, read in loaders.items()}
    times = best_of(interleaved(repeats, ours=ours, **usual), *usual)
    return [speed_up("batches", times, len(photos.pixels), "photos/s", Bar(20, 50), len(files))]


def _exhaust(batches: Sequence[object]) -> None:
    for _ in batches:
        pass


def preparing(photos: Listed, repeats: int, temporary: Path) -> list[Row]:
    """JPEG files into the prepared array, and Pillow's bare decode of their bytes, both in two threads."""
    files, cache = photos.files, temporary / "measured"
    contents = [Path(path).read_bytes() for path in files["path"]]
    chunks = [contents[start : start + CHUNK] for start in range(0, len(contents), CHUNK)]

    def ours() -> None:
        prepare(files, cache=cache, workers=2, progress=False)
        shutil.rmtree(cache)

    def theirs() -> None:
        with ThreadPoolExecutor(2) as pool:
            _exhaust(pool.map(lambda chunk: [Image.open(BytesIO(content)).load() for content in chunk], chunks))

    times = interleaved(repeats, ours=ours, theirs=theirs)
    return [speed_up("preparing", times, len(files), "photos/s", Bar(0.8, 0.9))]


def usual_network(ours: nn.Sequential) -> nn.Sequential:
    """The thesis network as it is usually written: ReLU before pooling, float32, default memory order."""
    layers: list[nn.Module] = []
    for layer in ours[0]:
        if isinstance(layer, nn.Conv2d):
            layers += [nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(ours[1].in_features, ours[1].out_features))
    for usual, weights in zip(network.parameters(), ours.parameters(), strict=True):
        usual.data = weights.detach().clone(memory_format=torch.contiguous_format)
    return network


def contrastive_loss(left: Tensor, right: Tensor, same: Tensor) -> Tensor:
    """Loss of pairs as usually written (2.9)."""
    apart = F.pairwise_distance(left, right)
    return torch.where(same, apart.square(), F.relu(2 - apart).square()).mean()


@dataclass(frozen=True)
class Drawn(tasks.Task):
    """How an epoch is drawn, and what its samples cost; nothing is validated."""

    batches: Callable[..., list[sampling.Batch]]
    values: Callable[..., dict[str, Tensor]]

    def score(self, row: dict[str, float]) -> float:
        """Rate an epoch: there is only one."""
        return 0.0


def contrastive(photos: Listed, repeats: int, temporary: Path, count: int = 10 * BATCH) -> list[Row]:
    """One epoch of random pairs with `fit`, and the same pairs the usual way."""

    def draw(_: sampling.Photos, size: int, generator: torch.Generator) -> list[sampling.Batch]:
        left, right, same = sampling.random_pairs(photos.labels, count, generator)
        return sampling.tuple_batches((left, right), same, size=size)

    left, right, same = sampling.random_pairs(photos.labels, count, sampling.seeded(0))
    task, pairs = Drawn(draw, tasks.Pairs().values), Tuples(photos.paths, [left, right], same)
    return [_epoch("contrastive epoch", photos, task, pairs, contrastive_loss, repeats)]


def triplet(photos: Listed, repeats: int, temporary: Path, count: int = 10 * BATCH) -> list[Row]:
    """One epoch of random triplets with `fit`, and the same triplets the usual way."""

    def draw(_: sampling.Photos, size: int, generator: torch.Generator) -> list[sampling.Batch]:
        return sampling.tuple_batches(sampling.random_triplets(photos.labels, count, generator), size=size)

    task = Drawn(draw, tasks.Triplets().values)
    triplets = Tuples(photos.paths, sampling.random_triplets(photos.labels, count, sampling.seeded(0)))
    return [_epoch("triplet epoch", photos, task, triplets, nn.TripletMarginLoss(), repeats)]


def _epoch(work: str, photos: Listed, task: Drawn, tuples: Tuples, loss: Callable[..., Tensor], repeats: int) -> Row:
    network = models.thesis_network(EMBEDDING)
    other = usual_network(network)
    optimiser = torch.optim.Adam(other.parameters(), lr=1e-3)

    def usual(batches: Sequence[list[Tensor]]) -> None:
        for batch in batches:
            opened, known = batch[: len(tuples.columns)], batch[len(tuples.columns) :]
            value = loss(*(other(one) for one in opened), *known)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()

    contestants = {name: partial(usual, loader(tuples, workers)) for name, workers in WORKERS.items()}
    ours = partial(training.fit, network, photos.to_train(), task, **ONE_EPOCH)
    times = best_of(interleaved(repeats, ours=ours, **contestants), *contestants)
    return speed_up(work, times, len(tuples), "tuples/s", Bar(6, 10))


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, inputs: Tensor, loss: Callable[..., Tensor]) -> None:
    """Forward, backward, optimiser."""
    with half_precision(CPU):
        outputs = network(inputs)
    optimiser.zero_grad()
    loss(outputs.float()).backward()
    optimiser.step()


def _repeat(steps: int, step: Callable[[], None]) -> None:
    keep_freed_memory()  # as ours does
    for _ in range(steps):
        step()


def fit(photos: Listed, repeats: int, temporary: Path, steps: int = 40) -> list[Row]:
    """A step of `fit` on the classifier, and the bare step on one fixed batch."""
    network = models.thesis_network(int(photos.labels.max()) + 1)
    data = photos.to_train(steps * BATCH)
    often, naming = len(data.rows["train"]) // BATCH, tasks.Naming()
    inputs, labels = models.photo_input(photos.pixels[:BATCH]), photos.labels[:BATCH]
    step = partial(_step, network, adam(network, 1e-3), inputs, partial(F.cross_entropy, target=labels))
    times = interleaved(
        repeats,
        ours=partial(training.fit, network, data, Drawn(naming.batches, naming.values), **ONE_EPOCH),
        theirs=partial(_repeat, often, step),
    )
    return [overhead("fit per step", times, often, Bar(1.10, 1.03, at_most=True))]


def step(photos: Listed, repeats: int, temporary: Path, steps: int = 10) -> list[Row]:
    """The bare step of the thesis network and of the recommended one, and this machine's matrix products."""
    categories = int(photos.labels.max()) + 1
    thesis = models.thesis_network(EMBEDDING)
    batch = tasks.Pairs().batches(photos.to_train(), BATCH, sampling.seeded(0))[0]
    recogniser = models.initialised(0, models.Recogniser, categories)
    shares = torch.full((categories,), 1 / categories)
    size, task = recommended.BATCH, recommended.CosineNaming(recogniser, shares.log())
    return [
        _rate("thesis network", thesis, adam(thesis, 1e-3), photos.pixels[batch.rows],
              _mean(tasks.Pairs(), *batch.target), repeats, steps),
        _rate("recommended network", recogniser, Muon(recogniser, 1e-3), photos.pixels[:size],
              _mean(task, photos.labels[:size]), repeats, steps),
    ]  # fmt: skip


def _mean(task: tasks.Task, *target: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda outputs: task.values(outputs, *target)["loss"].mean()


def product() -> Callable[[], Tensor]:
    """A product of 2048 x 2048 matrices in the precision that is faster here, whichever a network computes in."""

    def multiply(side: int, dtype: torch.dtype) -> Callable[[], Tensor]:
        left, right, out = (torch.ones(side, side, dtype=dtype) for _ in range(3))
        return partial(torch.mm, left, right, out=out)

    # Told by small ones: where bfloat16 is imitated, a large product takes a minute.
    precisions = torch.float32, torch.bfloat16
    return multiply(2048, min(precisions, key=lambda each: min(timeit.repeat(multiply(256, each), number=1))))


def _rate(
    work: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    pixels: Tensor,
    loss: Callable[[Tensor], Tensor],
    repeats: int,
    steps: int,
) -> Row:
    inputs = models.photo_input(pixels)
    with FlopCounterMode(display=False) as counter:  # forward and backward: what the network needs, exactly
        with half_precision(CPU):
            outputs = network.train()(inputs)
        loss(outputs.float()).backward()
    giga = steps / 1e9
    operations, products = counter.get_total_flops() * giga, 2 * 2048**3 * giga
    ours = partial(_step, network, optimiser, inputs, loss)
    times = interleaved(repeats, ours=partial(_repeat, steps, ours), theirs=partial(_repeat, steps, product()))
    return speed_up(f"step, {work}", times, operations, "GFLOP/s", Bar(0.4, 0.6), products)
