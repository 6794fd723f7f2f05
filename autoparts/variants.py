"""One row of notebook 6's comparison: what is changed from the thesis's triplet training, and its training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import augmentation, models, objectives, sampling, training
from autoparts.evaluation import Pairs
from autoparts.losses import distance
from autoparts.optimisation import adam, constant, one_cycle

MARGINS = {"euclidean": 1.0, "squared": 1.0, "manhattan": 5.0, "cosine": 0.2}  # in each distance's own units
CONTRASTIVE_MARGIN = 2.0  # between any two photos of different categories
EACH = 4  # photos of a category in a P×K batch


@dataclass(frozen=True)
class Variant:
    """One row of the comparison: the thesis's triplet training, with some of it changed."""

    group: str = "baseline"
    name: str = "random triplets, as in the thesis"
    loss: str = "triplet"  # also cross-entropy, contrastive, all pairs, soft margin, quadruplet, supervised contrastive
    sampling: str = "random"  # also offline, hard, semi-hard, easy
    distance: str = "squared"  # what the loss measures, and retrieval after it
    network: str = "thesis"  # also residual, components
    augmentation: str = "none"  # also all, small
    draw_by: str = "photo"
    share: float = 1.0  # of the training photos
    judged_by: str = ""  # distance of retrieval where it is not that of the loss
    margin: float | None = None  # of the loss; None takes one that fits the distance

    def changed(self, group: str, name: str, **changes: Any) -> "Variant":
        """Return this variant with some of it changed, under a new name."""
        return replace(self, group=group, name=name, **changes)


def variants() -> list[Variant]:
    """List the rows of the comparison, the baseline first."""
    triplet = Variant()
    contrastive = triplet.changed("loss", "contrastive, random pairs", loss="contrastive", distance="euclidean")
    plain = triplet.changed("loss", "cross-entropy (plain network)", loss="cross-entropy", distance="euclidean")
    rows = [triplet]
    for kind in ("offline", "hard", "semi-hard", "easy"):
        rows.append(triplet.changed("sampling", f"{kind} triplets", sampling=kind))
    rows += [
        plain,
        contrastive,
        triplet.changed("loss", "all pairs of a batch", loss="all pairs", distance="euclidean"),
        triplet.changed("loss", "soft margin, hardest of a batch", loss="soft margin", distance="euclidean"),
        triplet.changed("loss", "quadruplet", loss="quadruplet"),
        triplet.changed("loss", "supervised contrastive", loss="supervised contrastive", distance="cosine"),
    ]
    for kind in ("euclidean", "cosine", "manhattan"):
        rows.append(triplet.changed("distance", f"{kind} distance", distance=kind))
    rows += [
        triplet.changed("distance", "Hamming, embedding cut at its medians", judged_by="hamming"),
        triplet.changed("input", "500 principal components", network="components"),
        triplet.changed("augmentation", "all photos augmented", augmentation="all"),
        triplet.changed("augmentation", "categories drawn alike, not augmented", draw_by="category"),
        triplet.changed(
            "augmentation", "small categories augmented, drawn alike", augmentation="small", draw_by="category"
        ),
        triplet.changed("data", "half of the training photos", share=0.5),
        triplet.changed("data", "a quarter of the training photos", share=0.25),
    ]
    for base, name in ((plain, "cross-entropy"), (contrastive, "contrastive"), (triplet, "random triplets")):
        recipe = base.changed("recipe", f"{name}, residual trunk, augmented", network="residual", augmentation="all")
        rows.append(recipe)
    return rows


@dataclass(frozen=True)
class Settings:
    """What all rows share."""

    epochs: int
    batch_size: int = 64
    learning_rate: float = 5e-4
    embedding_size: int = 128
    filters: Sequence[int] = models.THESIS_FILTERS
    side: int = 100  # of the photos in pixels; half of it trains about four times as fast
    seeds: int = 1  # trainings per row
    draws: int = 500  # bootstrap samples


@dataclass(frozen=True)
class Part:
    """Photos to train and judge on: those of the study, perhaps smaller, perhaps without some categories."""

    photos: Tensor  # (N, side, side) uint8
    rows: Mapping[str, Tensor]  # split to (M,) int64
    labels: Mapping[str, Tensor]  # split to (M,) int64, 0 .. categories - 1
    pairs: Mapping[str, Pairs] = field(default_factory=dict)  # places among the split's photos
    triplets: tuple[Tensor, ...] = ()  # places among the test photos


def train(
    part: Part, variant: Variant, settings: Settings, seed: int, **options: Any
) -> tuple[nn.Module, pd.DataFrame]:
    """Train one row of the comparison.

    Args:
        part: photos to train on.
        variant: what is changed from the baseline.
        settings: what all rows share.
        seed: of initial weights, batches and augmentation.
        **options: `checkpoint`, `key` and `say` of `training.fit`.

    Returns:
        The network, (B, 1, side, side) to embeddings or logits, and its history.
    """
    rows, labels = _subset(part.rows["train"], part.labels["train"], variant.share, seed)
    categories = int(part.labels["train"].max()) + 1
    outputs = categories if variant.loss == "cross-entropy" else settings.embedding_size
    network = models.initialised(seed, _network(variant, settings, outputs, part, rows)).to(part.photos.device)
    batches, objective = _task(part, variant, settings, seed, rows, labels)
    residual = variant.network == "residual"
    history = training.fit(
        network,
        training.Data(part.photos, batches),
        objective,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate * (4 if residual else 1),
        seed=seed,
        optimiser=adam,
        schedule=one_cycle if residual else constant,
        augment=_augmentation(variant, part),
        **options,
    )
    return network, history


def _network(variant: Variant, settings: Settings, outputs: int, part: Part, rows: Tensor) -> Callable[[], nn.Module]:
    side = part.photos.shape[-1]
    if variant.network == "residual":
        return partial(models.residual_network, outputs)
    if variant.network == "components":
        return partial(_on_components, outputs, models.photo_input(part.photos[rows]).flatten(1).numpy())
    return partial(models.thesis_network, outputs, tuple(settings.filters), side)


def _on_components(outputs: int, pixels: np.ndarray) -> nn.Module:
    """Build a network on 500 principal components of training photos, its first layer; that layer is not trained."""
    pca = PCA(min(500, *pixels.shape), svd_solver="randomized", random_state=0).fit(pixels)
    projection = nn.Linear(pixels.shape[1], pca.n_components_)
    # Brought to unit variance on the whole, so that one learning rate fits this input too.
    weights = torch.from_numpy(pca.components_) / float(np.sqrt(pca.explained_variance_.mean()))
    projection.weight.data, projection.bias.data = weights, -weights @ torch.from_numpy(pca.mean_)
    return nn.Sequential(
        nn.Flatten(),
        projection.requires_grad_(False),
        nn.Linear(pca.n_components_, 512),
        nn.ReLU(),
        nn.Linear(512, outputs),
    )


def _augmentation(variant: Variant, part: Part) -> training.Augment | None:
    if variant.augmentation == "none":
        return None
    sizes = torch.bincount(part.labels["train"])
    small = torch.zeros(len(part.photos), dtype=torch.bool)
    small[part.rows["train"]] = (sizes < sizes[sizes > 0].median())[part.labels["train"]]
    changed = small if variant.augmentation == "small" else torch.ones_like(small)

    def augment(inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        chosen = changed[rows].to(inputs.device)[:, None, None, None]
        return torch.where(chosen, augmentation.augment(inputs, generator), inputs)

    return augment


def _subset(rows: Tensor, labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Keep a share of each category's photos, at least two where there are two."""
    order = torch.randperm(len(rows), generator=models.seeded(seed))
    order = order[labels[order].argsort(stable=True)]
    groups = sampling.group(labels[order])
    rank = torch.arange(len(order)) - groups.start
    kept = order[rank < (groups.count * share).clamp(min=2)].sort().values
    return rows[kept], labels[kept]


def _task(
    part: Part, variant: Variant, settings: Settings, seed: int, rows: Tensor, labels: Tensor
) -> tuple[Callable[[torch.Generator], list[sampling.Batch]], training.Objective]:
    """Return how batches are drawn and what is minimised on them."""
    size, count, margin = settings.batch_size, len(rows), variant.margin or MARGINS[variant.distance]
    if variant.loss == "cross-entropy":
        return partial(sampling.photo_batches, rows, labels, size), objectives.classification
    if variant.loss == "contrastive":
        batches = partial(sampling.pair_batches, rows, labels, count, size, variant.draw_by)
        return batches, partial(objectives.verification, margin=variant.margin or CONTRASTIVE_MARGIN)
    if variant.loss == "quadruplet":
        objective = partial(objectives.quadruplets, kind=variant.distance, margin=margin)
        return partial(sampling.quadruplet_batches, rows, labels, count, size, variant.draw_by), objective
    if variant.loss == "triplet" and variant.sampling in ("random", "offline"):
        objective = partial(objectives.ranking, kind=variant.distance, margin=margin)
        if variant.sampling == "random":
            return partial(sampling.triplet_batches, rows, labels, count, size, variant.draw_by), objective
        drawn = offline_triplets(part.photos, rows, labels, seed)
        return partial(_shuffled, drawn, size), objective
    objective = partial(
        objectives.grouped, loss=variant.loss, mined=variant.sampling, kind=variant.distance, margin=margin
    )
    return partial(sampling.category_batches, rows, labels, size, EACH), objective


def offline_triplets(photos: Tensor, rows: Tensor, labels: Tensor, seed: int, drawn: int = 4) -> list[Tensor]:
    """Draw triplets before training and drop the too easy and the too hard ones, judged by the photos' pixels.

    Args:
        photos: (N, S, S) uint8.
        rows: (M,) int64, candidates.
        labels: (M,) int64.
        seed: of the draw.
        drawn: triplets drawn per candidate; the middle half by difficulty is kept.

    Returns:
        Rows of anchors, positives, negatives, (drawn * M / 2,) int64 each.
    """
    columns = sampling.random_triplets(labels, drawn * len(rows), models.seeded(seed))
    small = F.avg_pool2d(photos[rows][:, None].float(), min(5, photos.shape[-1])).flatten(1)
    anchor, positive, negative = (small[column] for column in columns)
    gap = distance(anchor, negative) - distance(anchor, positive)
    low, high = gap.quantile(torch.tensor([0.25, 0.75], device=gap.device))
    kept = ((gap >= low) & (gap <= high)).nonzero().flatten().cpu()
    return [rows[column[kept]] for column in columns]


def _shuffled(columns: list[Tensor], size: int, generator: torch.Generator) -> list[sampling.Batch]:
    """One epoch of half the drawn triplets, in a new order."""
    order = torch.randperm(len(columns[0]), generator=generator)[: len(columns[0]) // 2]
    return sampling.fixed_batches([column[order] for column in columns], size=size)
