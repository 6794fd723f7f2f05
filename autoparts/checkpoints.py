"""Checkpoints come from files, and files can lie: they are read as data, and what is wrong with one is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from autoparts.files import UserError


class CheckpointError(UserError):
    """A checkpoint cannot be used; the message says which, and what to do."""


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the last weights of a training into a network; nothing in the file is ever run as code.

    Raises:
        CheckpointError: if the checkpoint is missing, damaged, of another network, or holds code.
    """
    with unusable(path):
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["network"])


@contextmanager
def unusable(path: Path) -> Iterator[None]:
    """Have whatever goes wrong with a checkpoint told by a message."""
    try:
        yield
    except Exception as error:  # torch raises many kinds, with advice to switch its safeguard off
        known = isinstance(error, FileNotFoundError)
        why = "it is missing" if known else "it is damaged, of another network, or holds code, which is never run"
        raise CheckpointError(
            f"checkpoint {path.name} cannot be used: {why}; delete it if it is there, and run its notebook again"
        ) from None
