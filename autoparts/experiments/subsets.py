"""Other selections of a study's photos: at another size, a share of them, some categories, or all but some."""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from autoparts.sampling import Photos, seeded


def resized(photos: Photos, side: int) -> Photos:
    """Return the same photos at another size in pixels, each new pixel the mean of what it covers."""
    if side == photos.side:
        return photos
    blocks = photos.pixels.cpu()[:, None].split(1024)  # Apple's GPUs only know sides that divide each other
    pixels = [F.interpolate(block.float(), (side, side), mode="area")[:, 0].round().byte() for block in blocks]
    return replace(photos, pixels=torch.cat(pixels).to(photos.device))


def only(photos: Photos, categories: Tensor) -> Photos:
    """Keep the photos of some categories (C,) int64; their labels become 0 to C - 1, in the same order."""
    rows, labels, ordered = {}, {}, categories.sort().values
    for split, own in photos.labels.items():
        kept = torch.isin(own, ordered)
        rows[split], labels[split] = photos.rows[split][kept], torch.searchsorted(ordered, own[kept])
    return replace(photos, rows=rows, labels=labels)


def share_of(photos: Photos, share: float, seed: int) -> Photos:
    """Keep a share of each category's training photos, at least two where there are two."""
    rows, labels = photos.rows["train"], photos.labels["train"]
    order = torch.randperm(len(rows), generator=seeded(seed))
    groups = order[labels[order].argsort(stable=True)].split(labels.bincount().tolist())
    kept = torch.cat([group[: max(2, math.ceil(share * len(group)))] for group in groups]).sort().values
    return replace(photos, rows=photos.rows | {"train": rows[kept]}, labels=photos.labels | {"train": labels[kept]})


def held_out(photos: Photos, purpose: str, share: float) -> tuple[Photos, Photos]:
    """Draw a share of the categories: return the photos of all others, and those to judge what never saw them."""
    order = torch.randperm(photos.categories, generator=photos.generator(purpose))
    count = max(2, round(share * photos.categories))
    hidden, others = only(photos, order[:count]), only(photos, order[count:])
    rows = hidden.rows | {"validation": others.rows["validation"]}  # which the threshold is chosen on
    return others, replace(hidden, rows=rows, labels=hidden.labels | {"validation": others.labels["validation"]})
