"""Name the part in a photo: calibrated confidence, look-alikes, and a refusal of what the catalogue does not have.

Imports are few, so that a first answer takes seconds.
"""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from autoparts.catalogue import printable
from autoparts.errors import UserError
from autoparts.finder import file
from autoparts.finder.teach import Teachable
from autoparts.finder.textures import distances, textures
from autoparts.models import Recogniser, photo_input
from autoparts.photos import decode, prepare_file, prepare_photo, shape_of
from autoparts.study.folder import expanded

BLOCK = 64  # photos at a time


class Named(NamedTuple):
    """One of the likeliest part names."""

    category: str
    confidence: float  # calibrated probability


@dataclass(frozen=True)
class LookAlike:
    """One of the nearest training photos."""

    category: str
    distance: float  # one minus the cosine of the embeddings' angle
    thumbnail: bytes = field(repr=False)  # JPEG


class Answer(NamedTuple):
    """What the finder says of one photo."""

    known: bool  # False: nothing in the catalogue is like it, and the names are not to be trusted
    names: list[Named]  # likeliest first
    nearest: list[LookAlike]  # nearest first
    score: float  # of the likeliest name, before it became a probability
    threshold: float  # known if the score is not below it
    warning: str  # see `Finder.warning`


@dataclass(frozen=True, repr=False)
class Finder(Teachable):
    """A loaded finder file; see also what it can be taught: `add`, `forget` and `save`."""

    network: Recogniser
    categories: list[str]
    gallery: Tensor  # (G, D) float32, unit embeddings of the training photos
    labels: Tensor  # (G,) int64, their categories
    thumbnails: list[bytes]  # their JPEGs
    validation: Tensor  # (V, D) float32, unit embeddings of the validation photos, to judge changes by
    validation_labels: Tensor  # (V,) int64, their categories
    size: int  # side of prepared photos in pixels
    by_head: float  # weight of the network's logits in a score
    by_photo: float  # weight of the cosine to a category's nearest photo
    threshold: float  # lowest score of a known part's likeliest name
    texture_means: Tensor  # (K, C) float32, of the training photos, and of taught ones unlike these; see `textures`
    texture_whitening: Tensor  # (C, C) float32, for distances in units that hardly any photo of the catalogue exceeds
    texture_labels: Tensor  # (K,) int64, the categories of taught ones, and -1 for the training photos
    texture_cost: float  # what a photo that does loses of its score, for each unit beyond the first
    facts: dict[str, Any]  # about the run: its name, data, fingerprint, seed, and whether its photos were generated

    def __repr__(self) -> str:
        names, run = len(self.categories), printable(self.facts["run"])
        seen = f"{self.size} pixels in {'colour' if self.colour else 'grey'}"
        seen += f" through {self.network.architecture['backbone'] or 'a residual network'}"
        return f"<finder of run {run!r}: {names} part names, {len(self.gallery)} training photos; {seen}>"

    @property
    def colour(self) -> bool:
        """Whether the network sees photos in colour."""
        return self.network.architecture["channels"] == 3

    @property
    def warning(self) -> str:
        """What has to be said with every answer: empty for a finder that was trained on photos."""
        return "knows drawn parts only: trained on generated photos" if self.facts["generated"] else ""

    def identify(self, photo: str | Path | bytes | Image.Image, top: int = 5) -> Answer:
        """Name the part in one photo, a path, the content of a file, or an image, by `top` names and look-alikes.

        That it cannot be read as a photo is told in a UserError.
        """
        return self._answers(torch.from_numpy(self.prepare(photo))[None], top)[0]

    def identify_files(self, paths: Sequence[str], top: int = 5) -> Iterator[tuple[str, Answer | str]]:
        """Name the parts in many photos: yields each path with its answer, or with why it cannot be read."""
        prepare, shape = partial(prepare_file, size=self.size, colour=self.colour), shape_of(self.size, self.colour)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(paths), BLOCK):
                block = paths[start : start + BLOCK]
                with warnings.catch_warnings(action="ignore"):  # Pillow's of slightly broken files
                    prepared = list(pool.map(prepare, block))
                read = b"".join(pixels for pixels, _, _ in prepared)
                pixels = torch.from_numpy(np.frombuffer(bytearray(read), np.uint8).reshape(-1, *shape))
                answers = iter(self._answers(pixels, top) if len(pixels) else ())
                for path, (_, _, reason) in zip(block, prepared, strict=True):
                    yield path, reason or next(answers)

    def prepare(self, photo: str | Path | bytes | Image.Image) -> np.ndarray:
        """Return a photo as the network sees it, (size, size[, 3]) uint8; arguments and errors as for `identify`."""
        if isinstance(photo, str | Path):
            with warnings.catch_warnings(action="ignore"):  # Pillow's of slightly broken files
                pixels, _, reason = prepare_file(str(expanded(photo)), self.size, self.colour)
            if reason:
                raise UserError(f"{printable(photo)} cannot be read: {reason}")
            return np.frombuffer(bytearray(pixels), np.uint8).reshape(shape_of(self.size, self.colour))
        try:
            data = _packed(photo) if isinstance(photo, Image.Image) else photo
            return prepare_photo(decode(data, self.size, self.colour), self.size, self.colour)
        except Exception as error:  # a broken file may make Pillow raise anything
            raise UserError(f"the photo cannot be read: {printable(str(error))}") from None

    def embed(self, pixels: Tensor) -> Tensor:
        """(M, size, size[, 3]) uint8 to (M, D) float32 embeddings of length one."""
        return embed(self.network, pixels)

    @torch.inference_mode()
    def scores(self, unit: Tensor) -> Tensor:
        """What speaks for each category: its logit and its nearest photo's cosine, weighed. (M, D) to (M, C)."""
        nearest = nearest_of_each(unit, self.gallery, self.labels, len(self.categories))
        return self.by_head * self.network.logits(unit) + self.by_photo * nearest

    def strangeness(self, pixels: Tensor) -> Tensor:
        """What photos lose of all scores for textures that the catalogue does not have: (M, size, size[, 3]) to (M,).

        Probabilities stay as they are, since all names lose as much; but such a photo is refused.
        """
        apart = distances(textures(self.network, pixels), self.texture_means, self.texture_whitening)
        return self.texture_cost * (apart - 1).clamp(min=0)

    def best_scores(self, pixels: Tensor) -> Tensor:
        """Score of each photo's likeliest name, which is known if it reaches the threshold: pixels to (M,)."""
        return self.scores(self.embed(pixels)).amax(dim=1) - self.strangeness(pixels)

    def probabilities(self, unit: Tensor) -> Tensor:
        """Calibrated probabilities of the categories. (M, D) to (M, C)."""
        return F.softmax(self.scores(unit), dim=1)

    def _answers(self, pixels: Tensor, top: int) -> list[Answer]:
        unit = self.embed(pixels)
        scores = self.scores(unit) - self.strangeness(pixels)[:, None]
        chances, labels = F.softmax(scores, dim=1).topk(min(top, len(self.categories)))
        cosines, photos = (unit @ self.gallery.T).topk(min(top, len(self.gallery)))
        columns = (labels, chances, photos, (1 - cosines).clamp(min=0), scores.amax(dim=1))
        answers = []
        for named, confidences, near, apart, best in zip(*(column.tolist() for column in columns), strict=True):
            names = [Named(self.categories[label], chance) for label, chance in zip(named, confidences, strict=True)]
            nearest = [
                LookAlike(self.categories[self.labels[photo]], far, self.thumbnails[photo])
                for photo, far in zip(near, apart, strict=True)
            ]
            answers.append(Answer(best >= self.threshold, names, nearest, best, self.threshold, self.warning))
        return answers


@torch.inference_mode()
def embed(network: Recogniser, pixels: Tensor) -> Tensor:
    """(M, S, S[, 3]) uint8 to (M, D) float32 on the CPU; in full precision, so that all machines agree closely."""
    return torch.cat([network(photo_input(block)).cpu() for block in pixels.split(BLOCK)])


def nearest_of_each(unit: Tensor, gallery: Tensor, labels: Tensor, categories: int) -> Tensor:
    """Cosine to the most similar photo of each category, -1 where it has none.

    Takes (M, D) and (G, D) embeddings of length one and the gallery's (G,) int64 labels; returns (M, categories).
    """
    blocks = []
    for block in unit.split(BLOCK):
        empty, where = torch.full((len(block), categories), -1.0), labels.expand(len(block), -1)
        blocks.append(empty.scatter_reduce(1, where, block @ gallery.T, "amax"))
    return torch.cat(blocks)


def load_finder(path: str | Path) -> Finder:
    """Load a finder file, `models/finder.pt` in a run folder; nothing in it is ever run as code.

    That it is missing, damaged, no finder file, or made by another version is told in a UserError.
    """
    path = expanded(path)
    told = printable(path)
    if not path.is_file():
        raise UserError(f"there is no finder file {told}; make one with: autoparts train --data PHOTOS --name NAME")
    try:
        state = file.read(path)
    except Exception:  # torch and others raise many kinds
        raise UserError(f"{told} is no finder file: it is damaged, of another kind, or holds code") from None
    try:
        network, fields = file.checked(state, path.stat().st_size)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        reason = printable(str(error))[:200]
        raise UserError(f"{told} is no usable finder file ({reason}); make it again with notebook 07") from None
    fields |= {name: fields[name].float() for name in ("gallery", "validation")}
    lengths = fields.pop("offsets").diff().tolist()
    fields["thumbnails"] = [jpeg.numpy().tobytes() for jpeg in fields["thumbnails"].split(lengths)]
    return Finder(network, **fields)


def _packed(image: Image.Image) -> bytes:
    """Pack an image without loss, so that it comes in through the same door as a file."""
    packed = io.BytesIO()
    kept = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "F")
    kind = "TIFF" if image.mode == "F" else "PNG"
    (image if kept else image.convert("RGB")).save(packed, kind, compress_level=0, exif=image.getexif())
    return packed.getvalue()
