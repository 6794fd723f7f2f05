"""Teach a finder names from a few photos: at once, without training; and have it forget names."""

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, compress
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from autoparts.catalogue import printable, read_catalogue, tidy_name
from autoparts.errors import UserError
from autoparts.finder import file
from autoparts.finder.textures import distances, textures
from autoparts.models import SCALE, Recogniser
from autoparts.photos import PREPARATION_VERSION
from autoparts.study.folder import expanded

SAME = 0.9999  # cosine of embeddings from which on two photos are one
PRIOR = 3  # pairs of a new name's photos that outweigh what other names' pairs say of how alike they should be
FEEDBACK = "feedback.csv"  # in a folder of feedback, as `page.keep` writes it
TAUGHT = 0.0  # bias in the head of a name that was taught; no training ends at this number


class Teachable:
    """What a `Finder`, whose fields these are, can learn after its training; each method returns another finder."""

    def add(self, name: str, photos: Sequence[str | Path | bytes | Image.Image]) -> Self:
        """Learn photos, as `identify` takes them, of a new part name or more of a known one.

        A photo that is in the gallery already gets the new name. A UserError tells of a photo that cannot be read, of
        no photos, and of a name that is too long or has nothing to be seen.
        """
        return self.add_prepared(name, [self.prepare(photo) for photo in photos])

    def add_prepared(self, name: str, photos: Sequence[np.ndarray]) -> Self:
        """As `add`, for photos as `prepare` returns them: (size, size[, 3]) uint8 each."""
        from autoparts.study.pictures import small_jpeg  # seconds, which naming a photo should not cost

        category = tidy_name(name)
        if not 0 < len(category) <= file.LONGEST_TEXT or not photos:
            raise UserError(
                f"'{printable(name)[:200]}' with {len(photos)} photos cannot be learned: give a name of 1 to "
                f"{file.LONGEST_TEXT} visible characters, and at least one photo"
            )
        pixels = torch.from_numpy(np.stack(photos))
        unit, seen = self.embed(pixels).half().float(), textures(self.network, pixels)  # as the file keeps them
        strange = seen[distances(seen, self.texture_means[:1], self.texture_whitening) > 1]
        first = ~(cosines(unit, unit) > SAME).triu(1).any(dim=0)  # of copies
        unit, side = unit[first], Image.open(io.BytesIO(self.thumbnails[0])).width
        renamed = (cosines(self.gallery, unit) > SAME).any(dim=1)
        categories = self.categories if category in self.categories else [*self.categories, category]
        label, others = categories.index(category), self._with_photos(~renamed)
        grown = replace(
            others,
            texture_means=torch.cat([self.texture_means, strange]),  # else they would be refused for theirs
            texture_labels=torch.cat([self.texture_labels, torch.full((len(strange),), label)]),
            categories=categories,
            gallery=torch.cat([others.gallery, unit]),
            labels=torch.cat([others.labels, torch.full((len(unit),), label)]),
            thumbnails=[*others.thumbnails, *(small_jpeg(photo, side) for photo in compress(photos, first.tolist()))],
        )
        return grown._named_anew(self, sorted({label, *self.labels[renamed].tolist()}))

    def _named_anew(self, before: Self, changed: Sequence[int]) -> Self:
        """The finder with a row in the head of `before` for each changed label that was taught, if it has photos."""
        more = len(self.categories) - len(before.categories)
        weight = F.pad(before.network.head.weight, (0, 0, 0, more))
        bias = F.pad(before.network.head.bias, (0, more), value=TAUGHT)
        taught = [label for label in changed if bias[label] == TAUGHT]  # others the head was trained to name
        photos = {label: self.gallery[self.labels == label] for label in taught}
        for label, unit in photos.items():
            if len(unit):
                weight[label] = imprinted(before, unit) / SCALE
        finder = replace(self, network=with_head(before.network, weight, bias))
        for name in [self.categories[label] for label, unit in photos.items() if not len(unit)]:
            finder = finder.forget(name)
        return finder

    def forget(self, name: str) -> Self:
        """Drop a part name with its photos. A UserError tells that there is no such name, or no other with photos."""
        category, told = tidy_name(name), f"the part name '{printable(name)[:200]}' cannot be forgotten: "
        if category not in self.categories:
            raise UserError(f"{told}the finder does not know it")
        label = self.categories.index(category)
        if bool((self.labels == label).all()):
            raise UserError(f"{told}no other has photos, and a finder needs some")
        rest, head = torch.arange(len(self.categories)) != label, self.network.head
        judged, own = self.validation_labels != label, self.texture_labels != label

        def _closed_up(labels: Tensor) -> Tensor:
            return labels - (labels > label).long()

        others = self._with_photos(self.labels != label)
        return replace(
            others,
            network=with_head(self.network, head.weight[rest], head.bias[rest]),
            categories=[other for other in self.categories if other != category],
            labels=_closed_up(others.labels),
            validation=self.validation[judged],
            validation_labels=_closed_up(self.validation_labels[judged]),
            texture_means=self.texture_means[own],
            texture_labels=_closed_up(self.texture_labels[own]),
        )

    def save(self, path: str | Path) -> None:
        """Write a file that `load_finder` reads."""
        from autoparts.training import save_tensors  # as above

        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        state: dict[str, Any] = {name: getattr(self, name) for name in file.VALUES}
        state |= {"format": file.FORMAT, "preparation": PREPARATION_VERSION}
        state |= {"weights": weights, "architecture": self.network.architecture}
        jpegs = torch.frombuffer(bytearray(b"".join(self.thumbnails)), dtype=torch.uint8)
        offsets = torch.tensor([0, *accumulate(map(len, self.thumbnails))])
        tensors = vars(self) | {"thumbnails": jpegs, "offsets": offsets}
        state |= {name: tensors[name].to(kind, copy=True) for name, kind in file.TENSORS.items()}
        save_tensors(state, Path(path))

    def _with_photos(self, kept: Tensor) -> Self:
        """The finder with some photos of its gallery, (G,) bool."""
        jpegs = [*compress(self.thumbnails, kept.tolist())]
        return replace(self, gallery=self.gallery[kept], labels=self.labels[kept], thumbnails=jpegs)


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of (M, D) and (N, D) embeddings whose length 16 bits have made other than one: (M, N)."""
    return one @ other.T / (one.norm(dim=1)[:, None] * other.norm(dim=1))


def imprinted(finder: Teachable, unit: Tensor) -> Tensor:
    """Make the row of logits by which a head names a new category, without training it: (n, D) embeddings to (D,).

    It points to the mean of the category's embeddings (Qi, Brown and Lowe 2018), and is so long that one more photo of
    it may expect the logit which validation photos, unseen like it, get on average for their own names (those of the
    gallery, if there are none).
    """
    seen = finder.validation, finder.validation_labels
    photos, names = seen if len(finder.validation) else (finder.gallery, finder.labels)
    own = finder.network.logits(photos).gather(1, names[:, None])
    n, alike = len(unit), alikeness(finder, unit)
    expected = alike * (n / (1 + (n - 1) * alike)) ** 0.5  # cosine of one more photo to the mean
    return own.mean() / expected * F.normalize(unit.sum(dim=0), dim=0)


def alikeness(finder: Teachable, unit: Tensor) -> float:
    """Estimate the cosine of two photos of a new category, from its (n, D) embeddings and from the gallery's.

    Few photos say little of it, one says nothing: what those of the gallery's categories have in common counts as much
    as `PRIOR` pairs.
    """
    counts = finder.labels.bincount(minlength=len(finder.categories))
    sums = torch.zeros(len(counts), unit.shape[1]).index_add_(0, finder.labels, finder.gallery)
    pairs = counts * (counts - 1) / 2
    several = pairs > 0
    usual = ((sums.square().sum(dim=1) - counts) / 2)[several] / pairs[several]
    usual = float(usual.mean()) if several.any() else 0.5
    own = len(unit) * (len(unit) - 1) / 2
    alike = float((unit.sum(dim=0).square().sum() - len(unit)) / 2)
    return max(0.05, (alike + PRIOR * usual) / (own + PRIOR))


def with_head(network: Recogniser, weight: Tensor, bias: Tensor) -> Recogniser:
    """Copy a network, with another head: (C, D) and (C,)."""
    made = copy.deepcopy(network)
    made.head = torch.nn.Linear(weight.shape[1], len(weight), device="meta")
    made.head.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return made.eval().requires_grad_(False)


@torch.inference_mode()
def named_by_others(finder: Teachable, rows: Tensor) -> Tensor:
    """Whether photos of the gallery that have taught names get these from the others, see `named`: (M,) places to bool.

    Neither the nearest photo nor the name's row in the head knows the photo itself.
    """
    scores, everywhere = [], torch.arange(len(finder.gallery))
    for row in rows.tolist():
        unit, truth = finder.gallery[row], finder.labels[row]
        alike = (finder.gallery @ unit).where(everywhere != row, -1)
        nearest = torch.full((len(finder.categories),), -1.0).scatter_reduce(0, finder.labels, alike, "amax")
        logits = finder.network.logits(unit)
        others = finder.gallery[(finder.labels == truth) & (everywhere != row)]
        logits[truth] = imprinted(finder, others) @ unit if len(others) else 0.0
        scores.append(finder.by_head * logits + finder.by_photo * nearest)
    return named(finder, torch.stack(scores), finder.labels[rows])


def named(finder: Teachable, scores: Tensor, truth: Tensor) -> Tensor:
    """Whether photos reach the threshold and are named rightly: (M, C) scores and (M,) labels to (M,) bool.

    What their textures would take from a score is not known of photos of which the finder keeps embeddings alone.
    """
    best = scores.max(dim=1)
    return (best.indices == truth) & (best.values >= finder.threshold)


def learn(finder: Teachable, photos: Mapping[str, Sequence[str]], say: Callable[[str], None] = print) -> Teachable:
    """Teach photos, paths by part name, and say what became of them and of the names known before.

    What cannot be read as a photo is told and left out; that nothing could be read, in a UserError.
    """
    taught = finder
    for name, paths in photos.items():
        prepared = []
        for path in paths:
            try:
                prepared.append(finder.prepare(path))
            except UserError as error:
                say(f"left out: {error}")
        if prepared:
            taught = taught.add_prepared(name, prepared)
            kind = "more of a known name" if tidy_name(name) in finder.categories else "a new name"
            say(f"{printable(tidy_name(name))}: {len(prepared)} photos, {kind}")
    if taught is finder:
        raise UserError(f"none of {sum(map(len, photos.values()))} files could be read as a photo; nothing was learned")
    _compare(finder, taught, say)
    return taught


def _compare(before: Teachable, after: Teachable, say: Callable[[str], None]) -> None:
    """Say how many validation photos are named rightly, before and after, and how many of a new name by its others."""
    both = {*before.categories} & {*after.categories}
    if len(before.validation) and len(after.validation):
        told = f"of {len(after.validation)} validation photos, all of names known before, named rightly"
        was, now = (named(each, each.scores(each.validation), each.validation_labels) for each in (before, after))
        say(f"{told}: {was.double().mean():.1%}, now {now.double().mean():.1%}")
    if gone := [name for name in before.categories if name not in both]:
        say(f"forgotten, since all their photos have another name now: {printable(', '.join(gone))}")
    for name in [name for name in after.categories if name not in both]:
        right = named_by_others(after, (after.labels == after.categories.index(name)).nonzero().flatten())
        few = "; more photos of it would help" if 2 * int(right.sum()) < len(right) else ""
        if len(right) > 1:
            say(f"of {printable(name)}: {int(right.sum())} of {len(right)}{few}")


def listed(table: str, allow_outside: bool = False) -> dict[str, list[str]]:
    """Read which photos show what, by part name, from a CSV or a folder as `read_catalogue` describes them.

    Of a folder of feedback it is the table in it.
    """
    feedback = expanded(table) / FEEDBACK
    found = read_catalogue(str(feedback) if feedback.is_file() else table, allow_outside=allow_outside)
    return {name: paths.tolist() for name, paths in found.groupby("category")["path"]}
