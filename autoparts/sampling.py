"""Which photos meet in a batch: seeded index samplers for photos, pairs, triplets and P×K batches.

Nothing here touches a pixel. A sampler gets the category label of every candidate photo and a generator, and
returns positions among the candidates. All draws are vectorised and take the same time for any category size:
none tries again until a draw fits, so none can hang on a tiny category, and no photo is paired with itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """One step of training: the photos that go through the network, each once, and what the loss is told of them."""

    photos: Tensor  # (U,) int64, rows of the prepared array, without repetition
    target: tuple[Tensor, ...]  # labels, or positions among `photos`


class Groups(NamedTuple):
    """Candidates ordered by category, so that a category is a run `start, start + count` of `order`."""

    order: Tensor  # (N,) int64, candidates sorted by category
    start: Tensor  # (N,) int64, for each place in `order`: where its category begins
    count: Tensor  # (N,) int64, for each place in `order`: how many photos its category has


def group(labels: Tensor) -> Groups:
    """Order candidates by category.

    Args:
        labels: (N,) int64, category of each candidate.

    Returns:
        The candidates in category order.

    Raises:
        ValueError: if there are fewer than two categories, or none with two photos.
    """
    order = labels.argsort(stable=True)
    _, inverse, counts = labels[order].unique_consecutive(return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        most = max(counts.tolist(), default=0)
        raise ValueError(
            f"pairs and triplets need two categories, one of them with two photos; "
            f"these {len(labels)} photos form {len(counts)} categories of at most {most} photos"
        )
    return Groups(order, (counts.cumsum(0) - counts)[inverse], counts[inverse])


def draw_below(limits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each limit n a whole number 0..n-1, all equally likely. (M,) int64 to (M,) int64."""
    # float64 has 53 random bits, so the unevenness is below 2**-30 for a million candidates.
    draws = torch.rand(len(limits), generator=generator, dtype=torch.float64) * limits
    return torch.minimum(draws.long(), limits - 1)


def draw_anchors(groups: Groups, count: int, generator: torch.Generator, draw_by: str) -> Tensor:
    """Draw places of photos that have a second photo in their category.

    Args:
        groups: candidates in category order.
        count: how many.
        generator: source of randomness.
        draw_by: "photo" makes all photos equally likely, "category" all categories (not stated in the thesis).

    Returns:
        (count,) int64, places in `groups.order`.
    """
    if draw_by not in ("photo", "category"):
        raise ValueError(f"draw_by is {draw_by!r}; expected 'photo' or 'category'")
    places = torch.arange(len(groups.order))
    if draw_by == "photo":
        eligible = places[groups.count > 1]
        return eligible[torch.randint(len(eligible), (count,), generator=generator)]
    eligible = places[(groups.count > 1) & (places == groups.start)]
    first = eligible[torch.randint(len(eligible), (count,), generator=generator)]
    return first + draw_below(groups.count[first], generator)


def draw_positives(groups: Groups, anchor: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each anchor another photo of its category. (M,) places to (M,) places."""
    start, count = groups.start[anchor], groups.count[anchor]
    step = 1 + draw_below(count - 1, generator)  # going round the category by 1..count-1 never comes home
    return start + (anchor - start + step) % count


def draw_negatives(groups: Groups, anchor: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each anchor a photo of another category, all equally likely. (M,) places to (M,) places."""
    start, count = groups.start[anchor], groups.count[anchor]
    place = draw_below(len(groups.order) - count, generator)
    return torch.where(place >= start, place + count, place)  # leap over the anchor's own category


def random_pairs(
    labels: Tensor, count: int, generator: torch.Generator, draw_by: str = "photo"
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw pairs as in section 3.3: similar and dissimilar in turn, each dissimilar one reusing a photo of the last.

    Args:
        labels: (N,) int64, category of each candidate photo.
        count: number of pairs; of an odd number the last one is similar.
        generator: source of randomness.
        draw_by: what is equally likely for a similar pair, "photo" or "category" (not stated in the thesis).

    Returns:
        left (count,) int64, right (count,) int64, same (count,) bool; positions among the candidates.
    """
    groups = group(labels)
    half = (count + 1) // 2
    left = draw_anchors(groups, half, generator, draw_by)
    right = draw_positives(groups, left, generator)
    reuse_left = torch.randint(2, (half,), generator=generator, dtype=torch.bool)
    reused = torch.where(reuse_left, left, right)
    other = draw_negatives(groups, reused, generator)
    pairs = torch.stack([left, right, reused, other], dim=1).view(-1, 2)[:count]  # similar, dissimilar, ...
    same = torch.arange(count) % 2 == 0
    return groups.order[pairs[:, 0]], groups.order[pairs[:, 1]], same


def random_triplets(
    labels: Tensor, count: int, generator: torch.Generator, draw_by: str = "photo"
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw triplets at random, as the thesis does (section 4.3; it calls this online mining, but nothing is mined).

    Args:
        labels: (N,) int64, category of each candidate photo.
        count: number of triplets.
        generator: source of randomness.
        draw_by: what is equally likely for an anchor, "photo" or "category" (not stated in the thesis).

    Returns:
        anchor, positive, negative, each (count,) int64; positions among the candidates.
    """
    groups = group(labels)
    anchor = draw_anchors(groups, count, generator, draw_by)
    positive = draw_positives(groups, anchor, generator)
    negative = draw_negatives(groups, anchor, generator)
    return groups.order[anchor], groups.order[positive], groups.order[negative]


def fixed_batches(rows: Sequence[Tensor], *extra: Tensor, size: int | None = None) -> list[Batch]:
    """Cut pairs or triplets into batches in which each photo goes through the network once.

    Args:
        rows: rows of the prepared array, each (M,) int64: left and right; or anchor, positive, negative.
        *extra: further (M,) tensors for the loss, such as `same`.
        size: tuples per batch; None puts all into one, for evaluation.

    Returns:
        Batches whose target is `rows` as positions among the batch's photos, then the extras.
    """
    batches = []
    for places in torch.arange(len(rows[0])).split(size or len(rows[0])):
        photos, columns = torch.stack([column[places] for column in rows]).unique(return_inverse=True)
        batches.append(Batch(photos, (*columns, *(values[places] for values in extra))))
    return batches


def pair_batches(
    rows: Tensor, labels: Tensor, count: int, size: int, draw_by: str, generator: torch.Generator
) -> list[Batch]:
    """Draw an epoch of random pairs among the candidates `rows` (N,) with `labels` (N,); see `random_pairs`."""
    left, right, same = random_pairs(labels, count, generator, draw_by)
    return fixed_batches((rows[left], rows[right]), same, size=size)


def triplet_batches(
    rows: Tensor, labels: Tensor, count: int, size: int, draw_by: str, generator: torch.Generator
) -> list[Batch]:
    """Draw an epoch of random triplets among the candidates `rows` (N,) with `labels` (N,); see `random_triplets`."""
    triplets = random_triplets(labels, count, generator, draw_by)
    return fixed_batches([rows[column] for column in triplets], size=size)


def photo_batches(rows: Tensor, labels: Tensor, size: int, generator: torch.Generator | None = None) -> list[Batch]:
    """Cut photos into batches for a classifier, shuffled if there is a generator.

    Args:
        rows: (N,) int64, rows of the prepared array.
        labels: (N,) int64, category of each.
        size: photos per batch.
        generator: source of the order; None keeps the order, for evaluation.

    Returns:
        Batches whose target is the labels.
    """
    order = torch.arange(len(rows)) if generator is None else torch.randperm(len(rows), generator=generator)
    return [Batch(rows[places], (labels[places],)) for places in order.split(size)]


def category_batches(rows: Tensor, labels: Tensor, size: int, each: int, generator: torch.Generator) -> list[Batch]:
    """Put photos of one category together: groups of at most `each`, several groups to a batch (P×K batches).

    Every photo is drawn once an epoch, so none is repeated within a batch; a category with fewer photos than `each`
    makes one smaller group, and a photo that is alone serves as a negative only.

    Args:
        rows: (N,) int64, rows of the prepared array.
        labels: (N,) int64, category of each.
        size: photos per batch, P × K.
        each: photos of one category that come together, K.
        generator: source of randomness.

    Returns:
        Batches whose target is the labels; what is left over after the last whole batch waits for another epoch.
    """
    order = torch.randperm(len(rows), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    _, counts = labels[order].unique_consecutive(return_counts=True)
    groups = [group for run in order.split(counts.tolist()) for group in run.split(each)]
    order = torch.cat([groups[place] for place in torch.randperm(len(groups), generator=generator).tolist()])
    whole = max(1, len(order) // size) * size
    return [Batch(rows[places], (labels[places],)) for places in order[:whole].split(size)]


def quadruplet_batches(
    rows: Tensor, labels: Tensor, count: int, size: int, draw_by: str, generator: torch.Generator
) -> list[Batch]:
    """Draw an epoch of random quadruplets: a triplet, and a second negative of a third category.

    Where there are only two categories, the second negative is of the anchor's own: no other is left.
    """
    anchor, positive, first = random_triplets(labels, count, generator, draw_by)
    groups = group(labels)
    place_of = torch.empty_like(groups.order)
    place_of[groups.order] = torch.arange(len(groups.order))
    low, high = torch.stack([place_of[anchor], place_of[first]]).sort(dim=0).values
    for_low, for_high = groups.count[low], groups.count[high]
    free = len(labels) - for_low - for_high
    place = draw_below(free.clamp(min=1), generator)
    place = torch.where(place >= groups.start[low], place + for_low, place)  # leap over the nearer category
    place = torch.where(place >= groups.start[high], place + for_high, place)  # and over the farther one
    second = groups.order[torch.where(free > 0, place, place_of[positive])]
    return fixed_batches([rows[column] for column in (anchor, positive, first, second)], size=size)
