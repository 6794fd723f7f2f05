"""Figures made of photos; as those of `figures`, each writes its own alternative text."""

import io
from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from autoparts.study.figures import GREY, WIDTH, beside_photos, plain, sheet, told

GAP, LINE = 0.02, 0.145  # inches around a photo, and of a line of its title
LETTERS = 14  # of a title, to an inch


@beside_photos
def photo_grid(
    photos: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 8, shows: str = ""
) -> Figure:
    """Photos, (S, S) or (H, W, 3) uint8, so many in a row, each below its title.

    The alternative text says what they show, by default the titles.
    """
    step = WIDTH / columns
    texts = [_wrapped(title, int(step * LETTERS)) for title in titles or [""] * len(photos)]
    lines = [text.count("\n") + 1 if text else 0 for text in texts]
    heights = [step + LINE * max(lines[first : first + columns]) for first in range(0, len(photos), columns)]
    figure, axes = sheet(sum(heights), WIDTH, sum(heights))
    axes.invert_yaxis()
    for place, (photo, text) in enumerate(zip(photos, texts, strict=True)):
        row, column = divmod(place, columns)
        bottom = sum(heights[: row + 1])
        _lay(axes, photo, (column * step, bottom - step), step)
        axes.text((column + 0.5) * step, bottom - step, text, fontsize=8, ha="center", va="bottom", linespacing=1)
    return told(figure, f"{len(photos)} photos: {shows or ', '.join(titles or [])}.")


def _wrapped(title: str, longest: int) -> str:
    """Break the lines of a title that are longer than so many letters."""
    return "\n".join(fill(plain(line, 120), longest) for line in title.split("\n"))


def _lay(axes: Axes, photo: np.ndarray, corner: tuple[float, float], step: float) -> None:
    """Lay a photo on the middle of a square with that upper left corner and side, and leave some space around.

    All lie on one sheet, in inches from its upper left corner: axes for each photo take seconds.
    """
    height, width = np.array(photo.shape[:2]) / max(photo.shape[:2]) * (step - 2 * GAP)
    left, top = corner[0] + (step - width) / 2, corner[1] + (step - height) / 2
    axes.imshow(photo, **GREY, extent=(left, left + width, top + height, top), aspect="auto")


def thumbnail_grid(thumbnails: Sequence[bytes], titles: Sequence[str]) -> Figure:
    """Photos of JPEG files, five in a row, each below its title."""
    photos = [np.asarray(Image.open(io.BytesIO(thumbnail))) for thumbnail in thumbnails]
    return photo_grid(photos, titles, 5)


@beside_photos
def contact_sheet(photos: Sequence[Sequence[np.ndarray]], names: Sequence[str]) -> Figure:
    """One row of photos per category, (S, S) uint8 each, with its name on the left."""
    names_width = 1.3
    step = (WIDTH - names_width) / max(len(row) for row in photos)
    figure, axes = sheet(step * len(photos), WIDTH, step * len(photos))
    axes.invert_yaxis()
    for place, (row, name) in enumerate(zip(photos, names, strict=True)):
        for column, photo in enumerate(row):
            _lay(axes, photo, (names_width + column * step, place * step), step)
        label = "\n".join(plain(name, 60).split(" ", 1))
        axes.text(names_width - 0.06, (place + 0.5) * step, label, ha="right", va="center", fontsize=8)
    return told(
        figure, f"Contact sheet of {len(names)} categories, a row of photos each, from {names[0]} to {names[-1]}."
    )


@beside_photos
def component_grid(components: np.ndarray, shares: np.ndarray, columns: int = 10) -> Figure:
    """Principal components as images, dark where a weight is negative and light where it is positive (Fig 3.6).

    Takes (K, side * side) float components, and the (K,) share of variance of each.
    """
    side = round(components.shape[1] ** 0.5)
    # The sign of a component is arbitrary; grey 128 is zero, so that images can be compared.
    scale = 127 / np.abs(components).max(axis=1, keepdims=True)
    images = (128 + components * scale).astype(np.uint8).reshape(-1, side, side)
    grid = photo_grid(images, [str(number + 1) for number in range(len(images))], columns, shows="")
    return told(
        grid,
        f"{len(images)} principal components as grey images; the first explains {shares[0]:.1%} of the variance, the "
        f"first five together {shares[:5].sum():.1%}.",
    )


@beside_photos
def occlusion_map(photo: np.ndarray, influence: np.ndarray) -> Figure:
    """A photo as the network sees it, and beside it which regions decided. (S, S[, 3]) uint8 and (S, S) float."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH * 0.8, 2.8), layout="constrained")
    for axes in (left, right):
        axes.imshow(photo, **GREY)
        axes.set_axis_off()
    largest = max(float(np.abs(influence).max()), 1e-6)
    shades = right.imshow(influence, cmap="PuOr_r", vmin=-largest, vmax=largest, alpha=0.6)
    figure.colorbar(shades, ax=right, label="probability lost when covered", format=PercentFormatter(1))
    lost = max(0.0, float(influence.max()))
    most = f"{100 * lost:.1f} percentage points of probability, on average over the patches that cover it"
    return told(figure, f"A photo, and how much each of its regions speaks for the name: the strongest takes {most}.")
