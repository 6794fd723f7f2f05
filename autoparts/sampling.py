"""Which photos meet in a batch: seeded samplers of photos, pairs, triplets, and P categories with K photos each.

No pixel is read here. A photo is named by its row in `Photos.pixels`, everywhere. All draws are vectorised and take the
same time for any category size: none tries again until a draw fits, so none can hang on a tiny category, and no photo
is paired with itself.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from autoparts.errors import UserError

Columns = tuple[Tensor, Tensor, Tensor]  # of a table of pairs or triplets


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator with this seed; every random step of the study draws from one of these."""
    return torch.Generator().manual_seed(seed)


def derived_seed(seed: int, purpose: str) -> int:
    """Derive the seed of one random step from the run's seed; steps of other purposes share no sequence."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=7).digest())


class Batch(NamedTuple):
    """One step of training: the photos that go through the network, each once, and what the loss is told of them."""

    rows: Tensor  # (U,) int64, of `Photos.pixels`, without repetition
    target: tuple[Tensor, ...]  # labels, or positions among `rows`


class LabelledPairs(NamedTuple):
    """A fixed list of pairs to judge networks by."""

    left: Tensor  # (P,) int64, rows of `Photos.pixels`
    right: Tensor  # (P,) int64
    same: Tensor  # (P,) bool


@dataclass(frozen=True)
class Photos:
    """A study's prepared photos, the rows and labels of each split, and the fixed lists that networks are judged by."""

    pixels: Tensor  # (N, S, S) uint8, or (N, S, S, 3) in colour, on the training device
    rows: Mapping[str, Tensor]  # split to (M,) int64, places in `pixels`
    labels: Mapping[str, Tensor]  # split to (M,) int64, 0 .. categories - 1
    seed: int = 0  # of the lists

    @property
    def side(self) -> int:
        """Width and height of a photo in pixels."""
        return self.pixels.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the pixels are, and networks belong."""
        return self.pixels.device

    @property
    def categories(self) -> int:
        """Number of categories; each has a training photo."""
        return int(self.labels["train"].max()) + 1

    def generator(self, purpose: str) -> torch.Generator:
        """Return a generator for one purpose."""
        return seeded(derived_seed(self.seed, purpose))

    def pairs(self, split: str, count: int | None = None, draw_by: str = "photo") -> LabelledPairs:
        """Return the split's fixed list of pairs, half of them similar: the same for every model.

        `count` None takes ten per photo, but at most 10,000; for `draw_by` see `random_pairs`. A split with too few
        photos for any pair is told in a UserError.
        """
        left, right, same = self._drawn(random_pairs, split, count, draw_by)
        return LabelledPairs(self.rows[split][left], self.rows[split][right], same)

    def triplets(self, split: str, count: int | None = None, draw_by: str = "photo") -> Tensor:
        """Return the split's fixed list of triplets (see `pairs`): (3, T) int64, anchors, positives, negatives."""
        return self.rows[split][torch.stack(self._drawn(random_triplets, split, count, draw_by))]

    def _drawn(self, draw: Callable, split: str, count: int | None, draw_by: str) -> tuple[Tensor, ...]:
        labels = self.labels[split]
        count = count or min(10 * len(labels), 10_000)
        try:
            return draw(labels, count, self.generator(f"{draw.__name__} {split}"), draw_by)
        except ValueError as error:
            why = f"the {split} photos cannot be compared with each other: {error}"
            raise UserError(f"{why}. Add photos, or have more of them set apart: -p split 6/2/2") from None


class Groups(NamedTuple):
    """Candidates ordered by category, so that a category is a run `start, start + count` of `order`."""

    order: Tensor  # (N,) int64, candidates sorted by category
    start: Tensor  # (N,) int64, for each place in `order`: where its category begins
    count: Tensor  # (N,) int64, for each place in `order`: how many photos its category has


def group(labels: Tensor) -> Groups:
    """Order candidates with these (N,) int64 labels by category.

    Raises a ValueError if there are fewer than two categories, or none with two photos.
    """
    order = labels.argsort(stable=True)
    _, inverse, counts = labels[order].unique_consecutive(return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        found = f"{len(counts)} categories of at most {max(counts.tolist(), default=0)} photos"
        needed = "pairs and triplets need two categories, one of them with two photos"
        raise ValueError(f"{needed}; these {len(labels)} photos form {found}")
    return Groups(order, (counts.cumsum(0) - counts)[inverse], counts[inverse])


def draw_below(limits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each limit n a whole number 0..n-1, all equally likely. (M,) int64 to (M,) int64."""
    # float64 has 53 random bits, so the unevenness is below 2**-30 for a million candidates.
    draws = torch.rand(len(limits), generator=generator, dtype=torch.float64) * limits
    return draws.long().minimum(limits - 1)


def draw_anchors(groups: Groups, count: int, generator: torch.Generator, draw_by: str) -> Tensor:
    """Draw `count` places in `groups.order` of photos that have a second photo in their category: (count,) int64.

    `draw_by` "photo" makes all photos equally likely, "category" all categories (of pairs, 3.3 may mean either).
    """
    if draw_by not in ("photo", "category"):
        raise ValueError(f"draw_by is {draw_by!r}; expected 'photo' or 'category'")
    places = torch.arange(len(groups.order))
    eligible = places[(groups.count > 1) & ((draw_by == "photo") | (places == groups.start))]
    drawn = eligible[torch.randint(len(eligible), (count,), generator=generator)]  # photos, or first ones of categories
    return drawn if draw_by == "photo" else drawn + draw_below(groups.count[drawn], generator)


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


def random_pairs(labels: Tensor, count: int, generator: torch.Generator, draw_by: str = "photo") -> Columns:
    """Draw pairs as in the thesis (section 3.3): similar and dissimilar in turn.

    A dissimilar pair keeps a photo of the similar one before it. Takes the (N,) int64 labels of the candidates, the
    number of pairs (of an odd one the last is similar), and what is equally likely to begin a similar pair, "photo" or
    "category". Returns left and right, (count,) int64 positions among the candidates, and same, (count,) bool.
    """
    groups = group(labels)
    half = (count + 1) // 2
    left = draw_anchors(groups, half, generator, draw_by)
    right = draw_positives(groups, left, generator)
    reused = torch.where(torch.randint(2, (half,), generator=generator, dtype=torch.bool), left, right)
    other = draw_negatives(groups, reused, generator)
    pairs = torch.stack([left, right, reused, other], dim=1).view(-1, 2)[:count]  # similar, dissimilar, ...
    return *groups.order[pairs].unbind(dim=1), torch.arange(count) % 2 == 0


def random_triplets(labels: Tensor, count: int, generator: torch.Generator, draw_by: str = "photo") -> Columns:
    """Draw triplets at random, as the thesis does (section 4.3; it calls this online mining, but nothing is mined).

    Arguments are those of `random_pairs`. Returns anchor, positive, negative: (count,) int64 positions each.
    """
    groups = group(labels)
    anchor = draw_anchors(groups, count, generator, draw_by)
    positive = draw_positives(groups, anchor, generator)
    negative = draw_negatives(groups, anchor, generator)
    return groups.order[anchor], groups.order[positive], groups.order[negative]


def tuple_batches(rows: Sequence[Tensor], *extra: Tensor, size: int | None = None) -> list[Batch]:
    """Cut pairs or triplets into batches in which each photo goes through the network once.

    Takes rows of `Photos.pixels`, each (M,) int64: left and right, or anchor, positive, negative; further (M,) tensors
    for the loss, such as `same`; and the tuples per batch (None puts all into one, for evaluation). Returns batches
    whose target is `rows` as positions among the batch's photos, then the extras.
    """
    batches = []
    for places in torch.arange(len(rows[0])).split(size or len(rows[0])):
        photos, columns = torch.stack([column[places] for column in rows]).unique(return_inverse=True)
        batches.append(Batch(photos, (*columns, *(values[places] for values in extra))))
    return batches


def photo_batches(rows: Tensor, labels: Tensor, size: int, generator: torch.Generator | None = None) -> list[Batch]:
    """Cut photos, rows (N,) int64 with labels (N,), into batches whose target is the labels.

    They are shuffled by the generator, once each; without one the order is kept, for evaluation.
    """
    order = torch.arange(len(rows)) if generator is None else torch.randperm(len(rows), generator=generator)
    return [Batch(rows[places], (labels[places],)) for places in order.split(size)]


def category_batches(rows: Tensor, labels: Tensor, size: int, each: int, generator: torch.Generator) -> list[Batch]:
    """Put photos of one category together: groups of at most `each`, several groups to a batch (P×K batches).

    Every photo, rows (N,) int64 with labels (N,), is drawn once an epoch, so none is repeated within a batch of `size`
    photos; a category with fewer photos than `each` makes one smaller group, and a photo that is alone serves as a
    negative only. What is left over after the last whole batch waits for another epoch.
    """
    order = torch.randperm(len(rows), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    _, counts = labels[order].unique_consecutive(return_counts=True)
    groups = [group for run in order.split(counts.tolist()) for group in run.split(each)]
    order = torch.cat([groups[place] for place in torch.randperm(len(groups), generator=generator).tolist()])
    order = order[: max(1, len(order) // size) * size]
    return photo_batches(rows[order], labels[order], size)
