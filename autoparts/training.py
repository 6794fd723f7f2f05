"""One `fit` for every model: history as a DataFrame, a checkpoint after every epoch, resumable to the bit."""

import io
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from autoparts.errors import UserError, set_aside, whole_file
from autoparts.evaluation import values_of
from autoparts.models import half_precision, photo_input
from autoparts.sampling import Photos, derived_seed, seeded
from autoparts.tasks import Task

Augment = Callable[[Tensor, Tensor, torch.Generator, float], Tensor]  # see `fit`
Rate = Callable[[float], float]  # of the share of the training that is done


class DivergedError(UserError):
    """The loss or a weight has become NaN or infinite."""


def adam(network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Return the thesis's optimiser (chapter 4)."""
    return torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)


def constant(progress: float) -> float:
    """Keep the learning rate, as the thesis does."""
    return 1.0


def one_cycle(progress: float, warm_up: float = 0.1) -> float:
    """Factor of the learning rate: up along a line, then down half a cosine (a line in Smith and Topin 2019).

    Args:
        progress: share of the training that is done.
        warm_up: share of the training that goes up.
    """
    if progress < warm_up:
        return progress / warm_up + 1e-3
    return max(1e-3, (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2)


def fit(
    network: nn.Module,
    photos: Photos,
    task: Task,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    optimiser: Callable[[nn.Module, float], torch.optim.Optimizer] = adam,
    schedule: Rate = constant,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train a network and keep its last weights; go on from a checkpoint of the same training if there is one.

    Args:
        network: from (B, 1, S, S) photos to what the task takes; trained in place, and moved to the photos' device.
        photos: training and validation photos.
        task: draws the batches, and says from the network's outputs and a batch's target what each sample costs.
        epochs: times that the task draws its batches.
        batch_size: samples per step.
        learning_rate: of the optimiser; `schedule` scales it, and so does the "lr_scale" of a group of weights.
        seed: of the batches and the augmentation.
        optimiser: from network and learning rate to optimiser.
        schedule: from the share of the training that is done, 0 to 1, to a factor of the learning rate.
        augment: from (B, 1, S, S) inputs, the rows (B,) of their photos, a generator and the share of the training
            that is done to inputs, such as `lambda inputs, rows, generator, done: augmentation.augment(inputs,
            generator)`; for training batches only.
        checkpoint: file for the state after each epoch, and under "best" the weights of the lowest `task.score`.
        key: fingerprint of all that determines this training (`Run.fit` makes one); a checkpoint with another key is
            started over, and a damaged one is set aside.
        say: gets one line per epoch.

    Returns:
        History, one row per epoch: epoch, then means of the task's values, training_* over the epoch's batches while
        the weights change, validation_* with the weights at its end; then its measures, taken at the end too.

    Raises:
        DivergedError: the checkpoint of the epoch before is kept.
    """
    if epochs < 1 or batch_size < 1 or not learning_rate > 0:
        raise UserError(
            f"epochs is {epochs}, batch_size {batch_size}, learning_rate {learning_rate}; all have to be positive"
        )
    network.to(photos.device)
    state = _State(network, optimiser(network, learning_rate), seeded(seed))
    state.resume(checkpoint, key, say)
    if before := len(state.history):
        say(f"going on after epoch {before} of {epochs}" if before < epochs else "trained before: the result is taken")
    for epoch in range(len(state.history) + 1, epochs + 1):
        started = time.perf_counter()
        batches = task.batches(photos, batch_size, state.generator)
        with torch.random.fork_rng(devices=[]):  # layers that draw, such as dropout, only know torch's own generator
            torch.manual_seed(derived_seed(seed, f"layers in epoch {epoch}"))
            means = train_epoch(state, photos, task, batches, epochs, lambda at: learning_rate * schedule(at), augment)
        # The loss says nothing of the last step, the weights do.
        if not (math.isfinite(means["loss"]) and all(each.isfinite().all() for each in network.parameters())):
            raise DivergedError(
                f"the training diverged in epoch {epoch} (loss {means['loss']}); likely causes are a learning rate "
                f"(it is {learning_rate}) or a margin that is too large; "
                + (f"the state after epoch {epoch - 1} is kept" if epoch > 1 else "no epoch was finished")
            )
        row = {"epoch": epoch} | {f"training_{name}": value for name, value in means.items()}
        held_out = values_of(network, photos.pixels, task.listed(photos, "validation"), task.values)
        row |= {f"validation_{name}": float(values.double().mean()) for name, values in held_out.items()}
        row |= task.measure(network, photos)
        state.record(row, task.score(row))
        state.save(checkpoint, key, finished=epoch == epochs)
        say(progress_line(row, epochs, time.perf_counter() - started))
    network.eval()
    return pd.DataFrame(state.history)


@dataclass
class _State:
    """All that changes during a training, to be saved and restored together."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)

    def record(self, row: dict[str, float], score: float) -> None:
        """Keep an epoch's row, and its weights if its score is the lowest."""
        self.history.append(row)
        if score < self.best.get("score", math.inf):
            weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.best = {"score": score, "epoch": row["epoch"], "network": weights}

    def save(self, path: Path | None, key: str, finished: bool) -> None:
        """Write the checkpoint."""
        if path is None:
            return
        state = {"key": key, "network": self.network.state_dict(), "history": self.history, "best": self.best}
        if not finished:  # what only going on needs is most of the file
            state |= {"optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state()}
        save_tensors(state, path)

    def resume(self, path: Path | None, key: str, say: Callable[[str], None]) -> None:
        """Go on from the checkpoint if it is of this training."""
        if path is None or not path.exists():
            return
        try:
            state = load_tensors(path)
            if state["key"] != key:
                return
        except Exception:  # a damaged file, or one that holds code; torch raises many kinds
            say(f"{path.name} is damaged and was set aside as {set_aside(path).name}; training starts over")
            return
        self.network.load_state_dict(state["network"])
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])
            self.generator.set_state(state["generator"])
        self.history, self.best = state["history"], state["best"]


def train_epoch(
    state: _State, photos: Photos, task: Task, batches: list, epochs: int, rate: Rate, augment: Augment | None
) -> dict[str, float]:
    """Take one optimiser step per batch, in one of so many epochs; return the mean of each value over all samples."""
    state.network.train()
    totals: dict[str, Tensor] = {}  # kept on the device, so that no step waits for the processor
    exact = torch.float32 if photos.device.type == "mps" else torch.float64  # which Apple's GPUs do not have
    samples = 0
    for step, batch in enumerate(batches):
        done = (len(state.history) + step / len(batches)) / epochs  # share of the whole training
        for group in state.optimiser.param_groups:
            group["lr"] = rate(done) * group.get("lr_scale", 1.0)
        inputs = photo_input(photos.pixels[batch.rows.to(photos.device)])
        inputs = augment(inputs, batch.rows, state.generator, done) if augment else inputs
        with half_precision(inputs.device):
            outputs = state.network(inputs)
        # Losses subtract close numbers, so they are computed in float32 whatever the network ran in.
        values = task.values(outputs.float(), *(target.to(inputs.device) for target in batch.target))
        state.optimiser.zero_grad()
        values["loss"].mean().backward()
        state.optimiser.step()
        samples += len(values["loss"])
        for name, value in values.items():
            totals[name] = totals.get(name, 0) + value.detach().sum(dtype=exact)
    return {name: float(total) / samples for name, total in totals.items()}


def progress_line(row: Mapping[str, float], epochs: int, seconds: float) -> str:
    """Return one line on an epoch: number, training and validation figures, seconds."""
    figures = "  ".join(
        f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name.endswith(("loss", "accuracy"))
    )
    return f"epoch {row['epoch']:>3}/{epochs}  {figures}  {seconds:.1f} s"


def save_tensors(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values to a file that appears whole or not at all."""
    # In memory first, since torch would write the temporary name into a file, and hide that the disk is full.
    torch.save(state, packed := io.BytesIO())
    with whole_file(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def load_tensors(path: Path) -> dict[str, Any]:
    """Read a file of `save_tensors` to the CPU, and run nothing in it as code; what is damaged raises many kinds."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():  # which torch does not look at
            raise ValueError(f"{damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def load_weights(network: nn.Module, path: Path, best: bool = False) -> nn.Module:
    """Load the last or the best weights of a training into a network; nothing in the file is ever run as code.

    That the checkpoint is missing, unfinished, damaged, of another network, or holds code is told in a UserError.
    """
    try:
        if "optimiser" in (state := load_tensors(path)):  # the training was interrupted; its result is of another
            raise ValueError
        network.load_state_dict(state["best"]["network"] if best else state["network"])
    except Exception as error:  # torch raises many kinds, with advice to switch its safeguard off
        kinds = "unfinished, damaged, of another network, or holds code, which is never run"
        missing, unjudged = isinstance(error, FileNotFoundError), best and isinstance(error, KeyError)
        why = "it is missing" if missing else "its task judges no weights best" if unjudged else f"it is {kinds}"
        raise UserError(f"checkpoint {path.name} cannot be used: {why}; run its notebook again") from None
    return network.eval()
