"""One `fit` for every model: history as a DataFrame, a checkpoint after every epoch, resumable to the bit."""

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from autoparts.checkpoints import unusable
from autoparts.device import half_precision, keep_memory
from autoparts.evaluation import values_of
from autoparts.files import UserError, whole_file
from autoparts.models import photo_input, seeded
from autoparts.optimisation import adam, constant
from autoparts.sampling import Batch

Objective = Callable[..., dict[str, Tensor]]
Augment = Callable[[Tensor, Tensor, torch.Generator, float], Tensor]


class TrainingError(UserError):
    """Training cannot go on; the message says why, and what to try."""


@dataclass(frozen=True)
class Data:
    """What `fit` draws from."""

    photos: Tensor  # (N, S, S) uint8, on the training device
    batches: Callable[[torch.Generator], Sequence[Batch]]  # one epoch of training batches
    validation: Sequence[Batch] = ()  # the same ones after every epoch


def fit(
    network: nn.Module,
    data: Data,
    objective: Objective,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    optimiser: Callable[[nn.Module, float], torch.optim.Optimizer] = adam,
    schedule: Callable[[float], float] = constant,
    augment: Augment | None = None,
    measure: Callable[[nn.Module], dict[str, float]] | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train a network and keep its last weights; go on from a checkpoint of the same training if there is one.

    Args:
        network: from (B, 1, S, S) photos to what the objective takes; trained in place, on the photos' device.
        data: photos, training batches, validation batches.
        objective: from the network's outputs and a batch's target to values per sample; "loss" is minimised in
            the mean, and the mean of each value over the samples of an epoch goes into the history.
        epochs: passes over `data.batches`.
        learning_rate: of the optimiser; `schedule` scales it.
        seed: of the batches and the augmentation.
        optimiser: from network and learning rate to optimiser.
        schedule: from the share of the training that is done, 0 to 1, to a factor of the learning rate.
        augment: from (B, 1, S, S) inputs, the rows (B,) of their photos, a generator and the share of the training
            that is done to inputs; for training batches only.
        measure: further figures of the history, taken after each epoch in evaluation mode.
        checkpoint: file that holds the state after each epoch, and with validation batches the weights of the epoch
            of lowest validation loss under "best".
        key: fingerprint of all that determines this training; a checkpoint with another key is started over.
        say: gets one line per epoch.

    Returns:
        History, one row per epoch: epoch, training_* and validation_* means, then the measures.

    Raises:
        TrainingError: if the loss becomes NaN or infinite; the checkpoint of the epoch before is kept.
    """
    if epochs < 1 or not learning_rate > 0:
        raise TrainingError(f"epochs is {epochs} and learning_rate {learning_rate}; both have to be positive")
    keep_memory()
    run = _Run(network, optimiser(network, learning_rate), seeded(seed))
    run.resume(checkpoint, key)
    if run.history:
        say(f"going on after epoch {len(run.history)} of {epochs}")
    for epoch in range(len(run.history) + 1, epochs + 1):
        started = time.perf_counter()
        means = _train_epoch(run, data, objective, partial(_progress, epoch, epochs), learning_rate, schedule, augment)
        if not math.isfinite(means["loss"]):
            raise TrainingError(
                f"the training loss became {means['loss']} in epoch {epoch}; likely causes are a learning rate (it is "
                f"{learning_rate}) or a margin that is too large; "
                + (f"the state after epoch {epoch - 1} is kept" if epoch > 1 else "no epoch was finished")
            )
        row = {"epoch": epoch} | {f"training_{name}": value for name, value in means.items()}
        held_out = values_of(network, data.photos, data.validation, objective)
        row |= {f"validation_{name}": float(values.double().mean()) for name, values in held_out.items()}
        row |= measure(network) if measure else {}
        run.record(row)
        run.save(checkpoint, key, finished=epoch == epochs)
        say(progress_line(row, epochs, time.perf_counter() - started))
    network.eval()
    return pd.DataFrame(run.history)


def _progress(epoch: int, epochs: int, done: float) -> float:
    """Share of the training that is done when a share of one epoch is."""
    return (epoch - 1 + done) / epochs


@dataclass
class _Run:
    """All that changes during a training, to be saved and restored together."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)

    def record(self, row: dict[str, float]) -> None:
        self.history.append(row)
        score = row.get("validation_loss", math.inf)
        if score < self.best.get("score", math.inf):
            weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.best = {"score": score, "epoch": row["epoch"], "network": weights}

    def save(self, path: Path | None, key: str, finished: bool) -> None:
        if path is None:
            return
        state = {"key": key, "network": self.network.state_dict(), "history": self.history, "best": self.best}
        if not finished:  # what only going on needs is most of the file
            state |= {"optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state()}
        # In memory first, since torch would write the temporary name into a file, and hide that the disk is full.
        torch.save(state, packed := io.BytesIO())
        with whole_file(path) as temporary:
            temporary.write_bytes(packed.getbuffer())

    def resume(self, path: Path | None, key: str) -> None:
        if path is None or not path.exists():
            return
        with unusable(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["key"] != key:
                return
            self.network.load_state_dict(state["network"])
            self.history, self.best = state["history"], state["best"]
            if "optimiser" in state:
                self.optimiser.load_state_dict(state["optimiser"])
                self.generator.set_state(state["generator"])


def _train_epoch(
    run: _Run,
    data: Data,
    objective: Objective,
    progress: Callable[[float], float],
    learning_rate: float,
    schedule: Callable[[float], float],
    augment: Augment | None,
) -> dict[str, float]:
    """Take one optimiser step per batch; return the sample-weighted mean of each value."""
    run.network.train()
    sums = Sums()
    batches = data.batches(run.generator)
    for step, batch in enumerate(batches):
        done = progress(step / len(batches))
        for group in run.optimiser.param_groups:
            group["lr"] = learning_rate * schedule(done)
        inputs = photo_input(data.photos[batch.photos.to(data.photos.device)])
        inputs = augment(inputs, batch.photos, run.generator, done) if augment else inputs
        values = _forward(run.network, inputs, batch.target, objective)
        run.optimiser.zero_grad()
        values["loss"].mean().backward()
        run.optimiser.step()
        sums.add(values)
    return sums.means()


def _forward(network: nn.Module, inputs: Tensor, target: tuple[Tensor, ...], objective: Objective) -> dict[str, Tensor]:
    with half_precision(inputs.device):
        outputs = network(inputs)
    # Losses subtract close numbers, so they are computed in float32 whatever the network ran in.
    return objective(outputs.float(), *(part.to(inputs.device) for part in target))


class Sums:
    """Sums of values per sample, kept on the device so that no step waits for the processor."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.samples = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the values of one batch, each (samples,)."""
        self.samples += len(values["loss"])
        for name, value in values.items():
            total = value.detach().sum(dtype=torch.float64)
            self.totals[name] = self.totals[name] + total if name in self.totals else total

    def means(self) -> dict[str, float]:
        """Return the mean of each value over all samples so far."""
        return {name: float(total) / self.samples for name, total in self.totals.items()}


def progress_line(row: dict[str, float], epochs: int, seconds: float) -> str:
    """Return one line on an epoch: number, training and validation figures, seconds."""
    figures = "  ".join(
        f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name.endswith(("loss", "accuracy"))
    )
    return f"epoch {row['epoch']:>3}/{epochs}  {figures}  {seconds:.1f} s"


def collapse(embeddings: Tensor, losses: pd.Series) -> str:
    """Say in words whether a training collapsed: all embeddings alike, or the loss stuck where it began.

    Args:
        embeddings: (M, D) float, of photos the network did not train on.
        losses: training loss of each epoch; empty where a falling loss is no sign of learning.

    Returns:
        A sentence, empty if there is nothing to say.
    """
    spread = float((embeddings - embeddings.mean(dim=0)).norm(dim=1).mean())
    size = float(embeddings.norm(dim=1).mean())
    if spread < 1e-3 * max(size, 1e-12):
        return "collapsed: all embeddings are alike"
    if len(losses) > 2 and losses.iloc[-1] >= 0.98 * losses.iloc[0]:
        return "stuck: the loss did not fall"
    return ""
