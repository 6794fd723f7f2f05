"""Distances between embeddings, the losses made of them, and triplets chosen by distance: pure functions of tensors.

Numbers in brackets are the thesis's equations, here and elsewhere sections and figures too, unless a paper is named.

Each loss returns one value per pair, triplet, quadruplet or anchor; the mean is taken by who trains. B is the number of
photos in a batch, D the embedding size, P, T and Q the number of pairs, triplets and quadruplets.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from autoparts.errors import UserError

KINDS = {  # of triplets (section 2.2.3.2), by how much farther from the anchor the negative is than the positive
    "hard": lambda gap, margin: gap <= 0,
    "semi-hard": lambda gap, margin: (gap > 0) & (gap <= margin),  # (2.12)
    "easy": lambda gap, margin: gap > margin,
}
DISTANCES = {  # between corresponding rows
    "euclidean": lambda left, right: torch.linalg.vector_norm(left - right, dim=-1),
    "squared": lambda left, right: (left - right).square().sum(dim=-1),
    "cosine": lambda left, right: 1 - F.cosine_similarity(left, right, dim=-1),
    "manhattan": lambda left, right: (left - right).abs().sum(dim=-1),
}


def distance(left: Tensor, right: Tensor, kind: str = "euclidean") -> Tensor:
    """Distance between corresponding rows (2.6, section 6.3): (..., D) and (..., D) float to (...).

    `kind` is one of `DISTANCES`; another raises a ValueError. All gradients are finite, also where both rows are equal:
    the Euclidean norm has the subgradient zero there.
    """
    _check_distance(kind)
    return DISTANCES[kind](left, right)


def _check_distance(kind: str) -> None:
    if kind not in DISTANCES:
        raise ValueError(f"distance {kind!r} is unknown; choose one of {', '.join(DISTANCES)}")


def distance_matrix(left: Tensor, right: Tensor, kind: str = "euclidean") -> Tensor:
    """Distance of every row of `left` to every row of `right`: (M, D) and (N, D) float to (M, N) float32.

    Squared distances come from one matrix product, |a|² - 2ab + |b|², and are cut at zero since rounding can take them
    below; the root's gradient is that of zero where the distance is zero. `kind` is one of `DISTANCES`.
    """
    _check_distance(kind)
    if kind == "manhattan":
        return torch.cdist(left, right, p=1)
    if kind == "cosine":
        return 1 - F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T
    squared = left.square().sum(1)[:, None] - 2 * left @ right.T + right.square().sum(1)[None, :]
    squared = squared.clamp(min=0)
    if kind == "squared":
        return squared
    zero = squared == 0
    # The root's slope is infinite at zero: put a 1 there, which keeps the gradient finite, and mask it out.
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())


def contrastive_loss(distances: Tensor, same: Tensor, margin: float) -> Tensor:
    """Contrastive loss (2.9) with the hinge inside the square, as in Hadsell et al. (2006).

    The thesis prints max(0, (m - D)²), which would go on punishing dissimilar pairs beyond the margin. Takes (P,) float
    Euclidean distances, (P,) bool `same` (True where the thesis's Y is 0), and the margin beyond which a dissimilar
    pair costs nothing (not stated in the thesis). Returns (P,) float: half the square of the distance, or of what it
    lacks to the margin.
    """
    _check_margin(margin)
    amiss = torch.where(same, distances, (margin - distances).clamp(min=0))  # (P,), how far from costing nothing
    return amiss.square() / 2


def triplet_loss(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Triplet loss (2.11) with the hinge of Schroff et al. (2015), which the thesis leaves out.

    Takes (T,) float distances of anchor and positive, and of anchor and negative, and the margin by which the negative
    has to be farther away (not stated in the thesis). Returns (T,) float, zero for triplets that satisfy (2.10).
    """
    _check_margin(margin)
    return (positive - negative + margin).clamp(min=0)


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise UserError(f"margin is {margin}; it has to be positive")


def soft_margin_triplet_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Triplet loss with ln(1 + exp(positive - negative)) for the hinge (Hermans et al. 2017, section 2).

    Takes (T,) float distances as `triplet_loss` does, and returns (T,) float; ln 2 where both are equal.
    """
    return F.softplus(positive - negative)


def quadruplet_loss(positive: Tensor, negative: Tensor, between: Tensor, margin: float, second_margin: float) -> Tensor:
    """Quadruplet loss (Chen et al. 2017, equation 5): a triplet loss and a push between two other categories.

    Takes (Q,) float distances of anchor and positive, of anchor and first negative, and `between` the first negative
    and a second one of a third category; returns (Q,) float. The second margin is smaller: that push is the weaker one.
    """
    return triplet_loss(positive, negative, margin) + triplet_loss(positive, between, second_margin)


def supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss, the L_out of Khosla et al. (2020), equation 2.

    Takes (B, D) float embeddings of different photos, normalised here, and their (B,) int64 labels; the temperature
    divides the cosine similarities. Returns (B,) float, zero for an anchor without a positive in the batch.
    """
    positive, _ = partners(labels)  # (B, B)
    unit = F.normalize(embeddings, dim=-1)  # (B, D)
    logits = (unit @ unit.T / temperature).fill_diagonal_(-1e9)  # (B, B); not -inf, whose gradient is NaN
    log_share = logits - logits.logsumexp(dim=1, keepdim=True)  # (B, B)
    summed = log_share.masked_fill(~positive, 0.0).sum(dim=1)  # (B,)
    return -summed / positive.sum(dim=1).clamp(min=1)  # an anchor without a positive gives 0 and not 0/0


def partners(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Say who is whose positive and negative in a batch of different photos with (B,) int64 labels: two (B, B) bool."""
    same = labels[:, None] == labels[None, :]
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def mine(distances: Tensor, labels: Tensor, kind: str, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return all triplets of one kind, one of `KINDS`, in a batch; the margin is in units of the distance.

    Takes (B, B) float distances and (B,) int64 labels. Returns anchor, positive, negative: (T,) int64
    each, places in the batch; T is 0 where there is none of that kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
    is_positive, is_negative = partners(labels)
    anchor, positive = is_positive.nonzero(as_tuple=True)  # (M,)
    # How much farther each negative is, (M, B); NaN where there is none, since it is in no bounds.
    gap = distances.detach().masked_fill(~is_negative, torch.nan).index_select(0, anchor)  # faster than [anchor]
    gap -= distances.detach()[anchor, positive][:, None]
    pair, negative = KINDS[kind](gap, margin).nonzero(as_tuple=True)
    return anchor.index_select(0, pair), positive.index_select(0, pair), negative


def hardest(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each anchor its farthest positive and nearest negative ("batch hard", Hermans et al. 2017).

    Takes what `mine` takes, and returns anchor, positive, negative: (T,) int64 each, one triplet per anchor with both.
    """
    is_positive, is_negative = partners(labels)
    anchor = (is_positive.any(dim=1) & is_negative.any(dim=1)).nonzero().flatten()
    farthest = distances.masked_fill(~is_positive, -torch.inf).argmax(dim=1)
    nearest = distances.masked_fill(~is_negative, torch.inf).argmin(dim=1)
    return anchor, farthest[anchor], nearest[anchor]


def count_kinds(distances: Tensor, labels: Tensor, margin: float) -> dict[str, int]:
    """Count the triplets of each kind in a batch; see `mine`."""
    return {kind: len(mine(distances, labels, kind, margin)[0]) for kind in KINDS}
