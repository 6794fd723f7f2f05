"""Figures made of photos; as those of `figures`, each writes its own alternative text."""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from autoparts.study.figures import GREY, WIDTH, beside_photos, plain, told


@beside_photos
def photo_grid(
    photos: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 8, *, shows: str
) -> Figure:
    """Photos, (S, S) or (H, W, 3) uint8, so many in a row, each below its title; the alternative text says `shows`."""
    rows, side = -(-len(photos) // columns), WIDTH / columns
    lines = max((title.count("\n") + 1 for title in titles or ()), default=0)
    size = (WIDTH, rows * (side + 0.15 * lines))
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, photo, title in zip(grid.flat, photos, titles or [""] * len(photos), strict=False):
        axes.imshow(photo, **GREY)
        axes.set_title(plain(title, 120), fontsize=6.5, pad=2)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    return told(figure, f"{len(photos)} photos: {shows}.")


def thumbnail_grid(thumbnails: Sequence[bytes], titles: Sequence[str]) -> Figure:
    """Photos of JPEG files, five in a row, each below its title."""
    photos = [np.asarray(Image.open(io.BytesIO(thumbnail))) for thumbnail in thumbnails]
    return photo_grid(photos, titles, 5, shows=", ".join(titles).replace("\n", " at "))


@beside_photos
def contact_sheet(photos: Sequence[Sequence[np.ndarray]], names: Sequence[str]) -> Figure:
    """One row of photos per category, (S, S) uint8 each, with its name on the left."""
    columns = max(len(row) for row in photos)
    side = (WIDTH - 1.3) / columns
    figure, grid = plt.subplots(len(photos), columns, figsize=(WIDTH, side * len(photos)), squeeze=False)
    figure.subplots_adjust(left=1.3 / WIDTH, right=1, top=1, bottom=0, wspace=0.04, hspace=0.04)
    for axes in grid.flat:
        axes.set_axis_off()
    for cells, row, name in zip(grid, photos, names, strict=True):
        for axes, photo in zip(cells, row, strict=False):
            axes.imshow(photo, **GREY)
        label = "\n".join(plain(name, 60).split(" ", 1))
        cells[0].text(-0.08, 0.5, label, transform=cells[0].transAxes, ha="right", va="center", fontsize=8)
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
    shows = (
        f"principal components as grey images; the first explains {shares[0]:.1%} of the variance, the first five "
        f"together {shares[:5].sum():.1%}"
    )
    return photo_grid(images, [str(number + 1) for number in range(len(images))], columns, shows=shows)


@beside_photos
def occlusion_map(photo: np.ndarray, influence: np.ndarray) -> Figure:
    """A photo as the network sees it, and beside it which regions decided. (S, S) uint8 and (S, S) float."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH * 0.8, 2.8), layout="constrained")
    for axes in (left, right):
        axes.imshow(photo, **GREY)
        axes.set_axis_off()
    largest = max(float(np.abs(influence).max()), 1e-6)
    shades = right.imshow(influence, cmap="PuOr_r", vmin=-largest, vmax=largest, alpha=0.6)
    figure.colorbar(shades, ax=right, label="probability lost when covered", format=PercentFormatter(1))
    lost = max(0.0, float(influence.max()))
    return told(figure, f"Covering the most important region lowers the probability by {lost:.1%}.")
