"""The recommended model: what its training takes beyond the thesis's."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from autoparts import augmentation, losses, models, training
from autoparts.experiments.muon import Muon
from autoparts.study.run import Run
from autoparts.tasks import Grouped, Naming, Task

BATCH = 96  # photos
LEARNING_RATE = 3e-3  # the highest
REASON = "A residual network trained with augmentation, a softmax over cosines and a supervised contrastive loss."
FIRST_SIDE = 48  # pixels; small photos first, which costs a quarter and teaches the coarse shapes


@dataclass(frozen=True)
class CosineNaming(Task):
    """Name photos by their cosines to the categories' prototypes, and bring those of a category together."""

    distance: ClassVar[str] = "cosine"
    batches = Grouped.batches
    validation = Naming.validation

    network: models.Recogniser  # holds the prototypes
    smoothing: float = 0.1  # share of the probability for all names alike: part names are never quite certain
    each: int = 4  # photos of a category that come together

    def values(self, unit: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy plus supervised contrastive loss. (B, D) embeddings of length one and (B,) to (B,) values."""
        logits = self.network.logits(unit)
        named = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        loss = named + losses.supervised_contrastive_loss(unit, labels)
        return {"loss": loss, "accuracy": logits.argmax(dim=1) == labels}


def growing(inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float) -> Tensor:
    """Augment photos at a side that grows from 48 nearly to their own over 80 % of the training (Howard 2018)."""
    last = inputs.shape[-1] // 8 * 8  # halves evenly in the trunk's stages: 96 costs a sixth less than 100
    side = round((FIRST_SIDE + (last - FIRST_SIDE) * min(1.0, progress / 0.8)) / 4) * 4
    return augmentation.augment(inputs, generator, min(side, last))


def train_recommended(
    run: Run, epochs: int, seed: int, name: str = "recommended", backbone: str = ""
) -> tuple[models.Recogniser, pd.DataFrame]:
    """Train the recommended model on the photos of the run's study, keep it as `name`; return it and its history.

    A backbone is the name of one of torchvision's convolutional networks, which begins with downloaded weights (a
    UserError says that they cannot be had); without one, our residual trunk is trained from scratch.
    """
    photos = run.study.photos
    network = models.initialised(seed, models.Recogniser, photos.categories, backbone=backbone)
    network.load_pretrained()
    # What a backbone knows already, the rate of a training from scratch would wipe out.
    settings = epochs, min(BATCH, len(photos.rows["train"])), LEARNING_RATE / 10 if backbone else LEARNING_RATE
    recipe = {"optimiser": Muon, "schedule": training.one_cycle, "augment": growing}
    return network, run.fit(name, network, CosineNaming(network), *settings, seed=seed, **recipe)
