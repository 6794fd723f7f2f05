"""Selecting triplets by distance within a batch: hard, semi-hard, easy (section 2.2.3.2)."""

import torch
from torch import Tensor

KINDS = ("hard", "semi-hard", "easy")


def partners(labels: Tensor, photos: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Say who is whose positive and negative in a batch.

    Args:
        labels: (B,) int64, category of each place.
        photos: (B,) int64, photo at each place; a repeated photo is never its own positive. None: all differ.

    Returns:
        positive (B, B) bool and negative (B, B) bool.
    """
    same = labels[:, None] == labels[None, :]
    photos = torch.arange(len(labels), device=labels.device) if photos is None else photos
    return same & (photos[:, None] != photos[None, :]), ~same


def mine(
    distances: Tensor, labels: Tensor, kind: str, margin: float, photos: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all triplets of one kind in a batch.

    Hard: the negative is not farther than the positive. Semi-hard (2.12): it is farther, but by at most the margin.
    Easy: it is farther by more.

    Args:
        distances: (B, B) float.
        labels: (B,) int64.
        kind: one of `KINDS`.
        margin: in units of the distance.
        photos: see `partners`.

    Returns:
        anchor, positive, negative: (T,) int64 each, places in the batch; T is 0 where there is none of that kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
    is_positive, is_negative = partners(labels, photos)
    anchor, positive = is_positive.nonzero(as_tuple=True)  # (M,)
    # How much farther each negative is, (M, B); NaN where there is none, since it is in no bounds.
    gap = distances.detach().masked_fill(~is_negative, torch.nan).index_select(0, anchor)  # faster than [anchor]
    gap -= distances.detach()[anchor, positive][:, None]
    if kind == "hard":
        chosen = gap <= 0
    elif kind == "semi-hard":
        chosen = (gap > 0) & (gap <= margin)
    else:
        chosen = gap > margin
    pair, negative = chosen.nonzero(as_tuple=True)
    return anchor.index_select(0, pair), positive.index_select(0, pair), negative


def hardest(distances: Tensor, labels: Tensor, photos: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each anchor its farthest positive and nearest negative ("batch hard", Hermans et al. 2017).

    Args:
        distances: (B, B) float.
        labels: (B,) int64.
        photos: see `partners`.

    Returns:
        anchor, positive, negative: (T,) int64 each, one triplet per anchor that has both.
    """
    is_positive, is_negative = partners(labels, photos)
    anchor = (is_positive.any(dim=1) & is_negative.any(dim=1)).nonzero().flatten()
    farthest = distances.masked_fill(~is_positive, -torch.inf).argmax(dim=1)
    nearest = distances.masked_fill(~is_negative, torch.inf).argmin(dim=1)
    return anchor, farthest[anchor], nearest[anchor]


def count_kinds(distances: Tensor, labels: Tensor, margin: float) -> dict[str, int]:
    """Count the triplets of each kind in a batch; see `mine`."""
    return {kind: len(mine(distances, labels, kind, margin)[0]) for kind in KINDS}
