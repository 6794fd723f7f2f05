"""What training minimises: from a network's outputs for a batch, and what is known of the batch, to values per sample.

Each returns a dictionary with "loss" and perhaps further values. U is the number of photos in the batch, D the
embedding size, P, T and Q the number of pairs, triplets and quadruplets.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from autoparts import mining
from autoparts.losses import (
    contrastive_loss,
    distance,
    distance_matrix,
    quadruplet_loss,
    soft_margin_triplet_loss,
    supervised_contrastive_loss,
    triplet_loss,
)


def classification(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy and hits of a classifier. (B, C) float logits and (B,) int64 labels to (B,) values."""
    return {
        "loss": F.cross_entropy(logits, labels, reduction="none"),
        "accuracy": logits.argmax(dim=1) == labels,
    }


def verification(
    embeddings: Tensor, left: Tensor, right: Tensor, same: Tensor, *, margin: float = 2.0
) -> dict[str, Tensor]:
    """Contrastive loss of pairs (2.9). (U, D) embeddings, (P,) positions and truth to (P,) values."""
    distances = distance(embeddings.index_select(0, left), embeddings.index_select(0, right))
    return {"loss": contrastive_loss(distances, same, margin)}


def ranking(
    embeddings: Tensor,
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 1.0,
    kind: str = "squared",
) -> dict[str, Tensor]:
    """Triplet loss (2.11), and how triplets fare. (U, D), three (T,) positions to (T,) values.

    `accuracy` is the thesis's, with the margin (2.10); `ranked` is without; `active` triplets still cost something.
    """
    anchors = embeddings.index_select(0, anchor)
    near = distance(anchors, embeddings.index_select(0, positive), kind)
    far = distance(anchors, embeddings.index_select(0, negative), kind)
    loss = triplet_loss(near, far, margin)
    return {
        "loss": loss,
        "accuracy": near + margin < far,
        "ranked": near < far,
        "active": loss > 0,
        "positive_distance": near,
        "negative_distance": far,
    }


def quadruplets(embeddings: Tensor, *columns: Tensor, kind: str, margin: float) -> dict[str, Tensor]:
    """Quadruplet loss: anchor, positive, two negatives of two further categories, (Q,) positions each."""
    anchors, positives, first, second = (embeddings.index_select(0, column) for column in columns)
    near, far = distance(anchors, positives, kind), distance(anchors, first, kind)
    loss = quadruplet_loss(near, far, distance(first, second, kind), margin, margin / 2)
    return {"loss": loss, "accuracy": near < far}


def grouped(
    embeddings: Tensor, labels: Tensor, *, loss: str, mined: str, kind: str, margin: float
) -> dict[str, Tensor]:
    """Losses on P×K batches: all pairs, mined triplets, the hardest ones, or supervised contrastive.

    Returns:
        "loss": one value per pair, triplet or anchor; a batch without any costs nothing.
    """
    if loss == "supervised contrastive":
        return {"loss": supervised_contrastive_loss(embeddings, labels)}
    distances = distance_matrix(embeddings, embeddings, kind)
    if loss == "all pairs":
        first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
        same = labels[first] == labels[second]
        each = contrastive_loss(distances[first, second], same)
        # Similar pairs are rare in a batch; weighing both kinds alike is what the thesis's pairs do.
        weights = torch.where(same, 0.5 / same.sum().clamp(min=1), 0.5 / (~same).sum().clamp(min=1))
        values = each * weights * len(each)
    elif loss == "soft margin":
        anchor, positive, negative = mining.hardest(distances.detach(), labels)
        values = soft_margin_triplet_loss(distances[anchor, positive], distances[anchor, negative])
    else:
        anchor, positive, negative = mining.mine(distances.detach(), labels, mined, margin)
        values = triplet_loss(distances[anchor, positive], distances[anchor, negative], margin)
    return {"loss": values if len(values) else embeddings.sum(dim=1) * 0}
