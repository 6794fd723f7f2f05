"""What a network is asked: how batches are drawn, what is minimised on them, and how the network is judged.

The fields of a task are all that its training depends on; `training.fit` takes one, and its key covers them. B is the
number of samples in a batch, U that of its photos, D the embedding size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import losses, sampling
from autoparts.catalogue import SPLITS
from autoparts.evaluation import choose_threshold, pair_distances, pair_hits, values_of
from autoparts.losses import distance, distance_matrix
from autoparts.sampling import Batch, Photos


@dataclass(frozen=True)
class Task:
    """What `fit` needs of a task: `batches` of an epoch, `values` of each sample, among them "loss", and what follows.

    The thesis's three also say which `samples` their accuracy on test photos is of.
    """

    title: ClassVar[str] = ""  # of a model trained for it
    question: ClassVar[str] = ""  # what its accuracy answers
    distance = "euclidean"  # of embeddings; not annotated, or it would come first where a task makes it a field

    def listed(self, photos: Photos, split: str) -> list[Batch]:
        """Return the fixed batches that networks are judged on in a split; none if they are not."""
        return []

    def judge(self, network: nn.Module, photos: Photos, measure: str = "accuracy") -> dict[str, Tensor]:
        """Return a measure of `values`, whether an answer is right, of each of the `listed` samples: split to (M,)."""
        lists = {split: self.listed(photos, split) for split in SPLITS}
        return {split: values_of(network, photos.pixels, lists[split], self.values)[measure] for split in SPLITS}

    def measure(self, network: nn.Module, photos: Photos) -> dict[str, float]:
        """Return further columns of the history, taken after every epoch."""
        return {}

    def score(self, row: Mapping[str, float]) -> float:
        """Rate an epoch by its row of the history: the weights of the lowest score are kept as the best."""
        return row.get("validation_loss", math.inf)

    def chance(self, photos: Photos) -> float | None:
        """Return the accuracy of guessing; None where there is no such level."""
        return None


@dataclass(frozen=True)
class Naming(Task):
    """Choose one of all part names: the plain network (section 4.1)."""

    title: ClassVar[str] = "Plain CNN"
    question: ClassVar[str] = "naming among {categories} parts"

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Draw one epoch: every training photo once."""
        return sampling.photo_batches(photos.rows["train"], photos.labels["train"], size, generator)

    def values(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy and hits. (B, C) float logits and (B,) int64 labels to (B,) values."""
        loss = F.cross_entropy(logits, labels, reduction="none")
        return {"loss": loss, "accuracy": logits.argmax(dim=1) == labels}

    def listed(self, photos: Photos, split: str) -> list[Batch]:
        """Return all photos of a split."""
        return sampling.photo_batches(photos.rows[split], photos.labels[split], 256)

    def chance(self, photos: Photos) -> float:
        """One name drawn among all."""
        return 1 / photos.categories

    def samples(self, photos: Photos) -> tuple[Tensor, ...]:
        """Return the rows of the test photos."""
        return (photos.rows["test"],)


@dataclass(frozen=True)
class Pairs(Task):
    """Tell whether two photos show the same part: contrastive loss on random pairs (section 4.2)."""

    title: ClassVar[str] = "Siamese, contrastive loss"
    question: ClassVar[str] = "same part or not, balanced pairs"

    margin: float = 2.0  # distance beyond which a dissimilar pair costs nothing
    draw_by: str = "photo"  # what is equally likely to begin a similar pair: "photo" or "category"
    threshold_pairs: int = 9254  # training pairs for the thesis's choice of the threshold

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Draw one epoch: as many random pairs as there are training photos."""
        rows, labels = photos.rows["train"], photos.labels["train"]
        left, right, same = sampling.random_pairs(labels, len(rows), generator, self.draw_by)
        return sampling.tuple_batches((rows[left], rows[right]), same, size=size)

    def values(self, embeddings: Tensor, left: Tensor, right: Tensor, same: Tensor) -> dict[str, Tensor]:
        """Contrastive loss (2.9). (U, D) embeddings, (B,) positions and truth to (B,) values."""
        distances = distance(embeddings.index_select(0, left), embeddings.index_select(0, right))
        return {"loss": losses.contrastive_loss(distances, same, self.margin)}

    def listed(self, photos: Photos, split: str) -> list[Batch]:
        """Return the fixed pairs of a split."""
        pairs = photos.pairs(split)
        return sampling.tuple_batches(pairs[:2], pairs.same)

    def lists(self, photos: Photos, splits: Sequence[str] = SPLITS) -> dict[str, sampling.LabelledPairs]:
        """Return the fixed pairs of each split."""
        return {split: photos.pairs(split, self.threshold_pairs if split == "train" else None) for split in splits}

    def measure(self, network: nn.Module, photos: Photos) -> dict[str, float]:
        """Accuracy on the fixed pairs, training and validation alike at the threshold best on validation (Fig 4.6)."""
        threshold, hits = self._verify(network, photos, ("train", "validation"))
        right = {split: float(each.double().mean()) for split, each in hits.items()}
        return {"threshold": threshold, "training_accuracy": right["train"], "validation_accuracy": right["validation"]}

    def chance(self, photos: Photos) -> float:
        """Yes or no, on balanced pairs."""
        return 0.5

    def samples(self, photos: Photos) -> tuple[Tensor, ...]:
        """Return the rows of the fixed test pairs: left and right."""
        return photos.pairs("test")[:2]

    def judge(self, network: nn.Module, photos: Photos) -> dict[str, Tensor]:
        """Return whether each fixed pair is judged rightly, at the threshold best on validation: split to (P,) bool."""
        return self._verify(network, photos, SPLITS)[1]

    def _verify(self, network: nn.Module, photos: Photos, splits: Sequence[str]) -> tuple[float, dict[str, Tensor]]:
        pairs = self.lists(photos, splits)
        distances = {split: pair_distances(network, photos.pixels, pairs[split]) for split in splits}
        threshold = choose_threshold(distances["validation"], pairs["validation"].same)
        return threshold, {split: pair_hits(distances[split], pairs[split].same, threshold) for split in splits}


@dataclass(frozen=True)
class Triplets(Task):
    """Bring a positive nearer to the anchor than a negative: triplet loss on random triplets (section 4.3)."""

    title: ClassVar[str] = "Siamese, triplet loss"
    question: ClassVar[str] = "triplet ranked with the margin"

    margin: float = 1.0  # by how much the negative has to be farther, in units of the distance
    distance: str = "squared"
    draw_by: str = "photo"  # what is equally likely to be an anchor: "photo" or "category"

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Draw one epoch: as many random triplets as there are training photos."""
        rows, labels = photos.rows["train"], photos.labels["train"]
        triplets = sampling.random_triplets(labels, len(rows), generator, self.draw_by)
        return sampling.tuple_batches([rows[column] for column in triplets], size=size)

    def values(self, embeddings: Tensor, anchor: Tensor, positive: Tensor, negative: Tensor) -> dict[str, Tensor]:
        """Triplet loss (2.11), and how triplets fare. (U, D), three (B,) positions to (B,) values.

        `accuracy` is the thesis's, with the margin (2.10); `ranked` is without (a tie: half right).
        """
        anchors, positives, negatives = (embeddings.index_select(0, each) for each in (anchor, positive, negative))
        near, far = distance(anchors, positives, self.distance), distance(anchors, negatives, self.distance)
        loss = losses.triplet_loss(near, far, self.margin)
        facts = {"accuracy": near + self.margin < far, "ranked": (1 + (far - near).sign()) / 2}
        return {"loss": loss} | facts | {"positive_distance": near, "negative_distance": far}

    def listed(self, photos: Photos, split: str) -> list[Batch]:
        """Return the fixed triplets of a split."""
        return sampling.tuple_batches(photos.triplets(split))

    def samples(self, photos: Photos) -> tuple[Tensor, ...]:
        """Return the rows of the fixed test triplets: anchors, positives, negatives."""
        return tuple(photos.triplets("test"))


@dataclass(frozen=True)
class Grouped(Task):
    """Losses on batches of P categories with K photos each, compared all with all."""

    loss: str = "triplet"  # "triplet" (of the mined kind), "soft margin", "all pairs" or "supervised contrastive"
    mined: str = "semi-hard"  # which triplets, one of `losses.KINDS`
    distance: str = "squared"
    margin: float | None = 1.0  # in units of the distance; None where the loss has none
    each: int = 4  # photos of a category that come together: the K of P×K batches

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Draw one epoch: every training photo at most once."""
        rows, labels = photos.rows["train"], photos.labels["train"]
        return sampling.category_batches(rows, labels, size, self.each, generator)

    def values(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return "loss", one value per pair, triplet or anchor; a batch without any costs nothing. (U, D) and (U,)."""
        if self.loss == "supervised contrastive":
            return {"loss": losses.supervised_contrastive_loss(embeddings, labels)}
        distances = distance_matrix(embeddings, embeddings, self.distance)  # (U, U)
        if self.loss == "all pairs":
            values = balanced_pairs(distances, labels, self.margin)
        elif self.loss == "soft margin":
            anchor, positive, negative = losses.hardest(distances.detach(), labels)
            values = losses.soft_margin_triplet_loss(distances[anchor, positive], distances[anchor, negative])
        else:
            anchor, positive, negative = losses.mine(distances.detach(), labels, self.mined, self.margin)
            values = losses.triplet_loss(distances[anchor, positive], distances[anchor, negative], self.margin)
        return {"loss": values if len(values) else embeddings.sum(dim=1) * 0}


def balanced_pairs(distances: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Contrastive loss of all pairs of a batch, similar and dissimilar ones weighing alike, as in the thesis's pairs.

    Takes (U, U) float distances and (U,) int64 labels, and returns (U (U - 1) / 2,) float.
    """
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same = labels[first] == labels[second]
    each = losses.contrastive_loss(distances[first, second], same, margin)
    # At least 1, since a batch may hold no pair of one kind.
    weights = torch.where(same, 0.5 / same.sum().clamp(min=1), 0.5 / (~same).sum().clamp(min=1))
    return each * weights * len(each)  # whose plain mean is half the mean of similar and half that of dissimilar pairs
