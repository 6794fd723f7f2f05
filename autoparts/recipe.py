"""The recommended model: what training it takes beyond the thesis's, and why."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from autoparts import augmentation, models, sampling, training
from autoparts.losses import supervised_contrastive_loss
from autoparts.optimisation import Muon, one_cycle
from autoparts.study import Study

BATCH, EACH = 96, 4  # photos a batch, in groups of at most EACH of one category
SMOOTHING = 0.1  # of the labels: part names are never quite certain
LEARNING_RATE = 3e-3  # the highest
FIRST_SIDE = 48  # pixels; small photos first, which costs a quarter and teaches the coarse shapes


def naming(
    unit: Tensor, labels: Tensor, *, network: models.Recogniser, smoothing: float = SMOOTHING
) -> dict[str, Tensor]:
    """Cross-entropy of the cosine logits plus the supervised contrastive loss on the same embeddings.

    Args:
        unit: (B, D) float, embeddings of length one.
        labels: (B,) int64.
        network: holds the prototypes.
        smoothing: share of the probability that is spread over all categories.

    Returns:
        loss and accuracy, (B,) each.
    """
    logits = network.logits(unit)
    named = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    return {"loss": named + supervised_contrastive_loss(unit, labels), "accuracy": logits.argmax(dim=1) == labels}


def growing(
    inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float, first: int = FIRST_SIDE
) -> Tensor:
    """Augment photos at a side that grows from `first` nearly to their own over 80 % of the training (Howard 2018)."""
    last = inputs.shape[-1] // 8 * 8  # halves evenly in the trunk's stages: 96 costs a sixth less than 100
    side = round((first + (last - first) * min(1.0, progress / 0.8)) / 4) * 4
    return augmentation.augment(inputs, generator, min(side, last))


def train_recommended(
    study: Study, epochs: int, seed: int, checkpoint: Path | None = None, backbone: str = ""
) -> tuple[models.Recogniser, pd.DataFrame]:
    """Train the recommended model on a study's training photos.

    Args:
        study: the photos and their split.
        epochs: passes over the training photos.
        seed: of initial weights, batches and augmentation.
        checkpoint: see `training.fit`.
        backbone: "" trains our residual trunk from scratch; the name of a convolutional network of torchvision
            takes that one, with its downloaded weights.

    Returns:
        The network and its history.

    Raises:
        UserError: if the backbone is unknown, or its weights cannot be downloaded.
    """
    network = models.initialised(seed, models.Recogniser, len(study.categories), backbone=backbone)
    network.load_pretrained()
    network.to(study.device)
    # What a backbone knows already, the rate of a training from scratch would wipe out.
    learning_rate = LEARNING_RATE / 10 if backbone else LEARNING_RATE
    rows, labels = study.rows("train"), study.labels("train")
    batches = partial(sampling.category_batches, rows, labels, min(BATCH, len(rows)), EACH)
    held_out = sampling.photo_batches(study.rows("validation"), study.labels("validation"), 256)
    history = training.fit(
        network,
        training.Data(study.photos, batches, held_out),
        partial(naming, network=network),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        optimiser=Muon,
        schedule=one_cycle,
        augment=growing,
        checkpoint=checkpoint,
        key=study.key(model="recommended", epochs=epochs, seed=seed, backbone=backbone),
    )
    return network, history
