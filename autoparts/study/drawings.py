"""The study's own drawings of what it explains: convolution, architectures, negatives. No data in them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from autoparts.study.figures import BLUE, GREEN, GREY, ORANGE, RED, SKY, WIDTH, beside_photos, sheet, styled, told

Point = tuple[float, float]


@beside_photos
def convolution(kernel: np.ndarray, photo: np.ndarray) -> Figure:
    """An (S, S) uint8 photo, a (K, K) kernel, and the feature map that the convolution (2.4) makes of them."""
    windows = np.lib.stride_tricks.sliding_window_view(photo.astype(float), kernel.shape)
    response = np.einsum("ijkl,kl->ij", windows, kernel[::-1, ::-1])  # (2.4) flips the kernel
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained", width_ratios=(1, 0.6, 1))
    axes[0].imshow(photo, **GREY)
    for panel, weights in ((axes[1], kernel), (axes[2], response)):
        limit = np.abs(weights).max()
        panel.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (row, column), weight in np.ndenumerate(kernel):
        dark = abs(weight) > np.abs(kernel).max() / 2
        axes[1].text(column, row, f"{weight:g}", ha="center", va="center", color="white" if dark else "black")
    for panel, title in zip(axes, ("photo I", "kernel K", "feature map S = I ∗ K"), strict=True):
        panel.set_title(title, fontsize=9)
        panel.set_axis_off()
    answers = "the feature map, large where the photo is like the kernel turned by 180°"
    return told(figure, f"A photo, a {len(kernel)} by {len(kernel)} kernel, and {answers}.")


@beside_photos
def architecture(layers: Sequence[str], photo: np.ndarray) -> Figure:
    """A network as a row of boxes, each with its text, from an (S, S) uint8 photo to its output."""
    figure, axes = sheet(2.0, 10, 2.4)
    _photo(axes, photo, (0.9, 1.2), 1.5)
    step = 8.0 / len(layers)
    for place, text in enumerate(layers):
        x = 1.9 + step * (place + 0.5)
        _box(axes, (x, 1.2), step * 0.82, 1.4, text, (SKY, ORANGE)[place == len(layers) - 1])
        _arrow(axes, (x - step * 0.57, 1.2), (x - step * 0.42, 1.2))
    return told(figure, f"A photo goes through {len(layers) - 1} convolution blocks and one fully connected layer.")


@beside_photos
def towers(photos: Sequence[np.ndarray], names: Sequence[str], output: str) -> Figure:
    """Photos through copies of one network with shared weights, to one output: the Siamese architectures.

    Takes two or three (S, S) uint8 photos, their names such as anchor, and what becomes of the embeddings.
    """
    height = 1.25 * len(photos)
    figure, axes = sheet(height * 0.72, 10, height)
    for place, (photo, name) in enumerate(zip(photos, names, strict=True)):
        y = height - 0.65 - 1.2 * place
        _photo(axes, photo, (1.9, y), 1.05)
        axes.text(1.25, y, name, ha="right", va="center", fontsize=9)
        _arrow(axes, (2.5, y), (3.2, y))
        _box(axes, (4.2, y), 1.9, 0.8, "network", SKY)
        _arrow(axes, (5.2, y), (5.9, y))
        _box(axes, (6.6, y), 1.3, 0.6, "embedding", ORANGE)
        _arrow(axes, (7.3, y), (8.0, height / 2 + (y - height / 2) * 0.3))
        if place:
            axes.plot([4.2, 4.2], [y + 0.42, y + 0.78], color="0.5", linestyle=":", linewidth=1)
            axes.text(4.3, y + 0.6, "shared weights", fontsize=8, va="center")
    _box(axes, (9.0, height / 2), 1.9, 1.1, output, GREEN)
    copies = f"{len(photos)} photos go through copies of one network with shared weights"
    return told(figure, f"{copies}; their embeddings are compared.")


@styled
def negatives() -> Figure:
    """Where hard, semi-hard and easy negatives lie around an anchor and its positive (2.12)."""
    figure, axes = sheet(3.1, 10, 4.3)
    anchor, positive, margin = (3.4, 2.1), 1.15, 0.8
    for radius, style in ((positive, "-"), (positive + margin, "--")):
        axes.add_patch(Circle(anchor, radius, fill=False, linestyle=style, color="0.4"))
    dots = {
        "anchor": (anchor, "black"),
        "positive": ((3.4 - positive, 2.1), BLUE),
        "hard": ((3.9, 2.6), RED),
        "semi-hard": ((4.75, 1.5), ORANGE),
        "easy": ((6.1, 3.3), GREEN),
    }
    for name, (place, colour) in dots.items():
        axes.plot(*place, "o", color=colour, markersize=8)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # clear of the circles
        axes.annotate(name, place, (0, 8), textcoords="offset points", ha="center", fontsize=9, color=colour, bbox=box)
    notes = (
        "hard: nearer than the positive",
        "semi-hard: farther, but within the margin",
        "easy: beyond the margin; its loss is zero",
        "solid circle: distance of the positive",
        "dashed circle: that distance plus the margin m",
    )
    for line, note in enumerate(notes):
        axes.text(5.7, 2.6 - 0.42 * line, note, fontsize=8.5, va="center")
    circle = "An anchor with its positive on a circle: a hard negative inside it"
    return told(figure, f"{circle}, a semi-hard one between it and the margin, an easy one beyond the margin.")


def _photo(axes: Axes, photo: np.ndarray, centre: Point, side: float) -> None:
    left, bottom = (middle - side / 2 for middle in centre)
    right, top = (middle + side / 2 for middle in centre)
    axes.imshow(photo, **GREY, extent=(left, right, bottom, top), zorder=2)
    axes.plot([left, right, right, left, left], [bottom, bottom, top, top, bottom], "-", color="0.6")


def _box(axes: Axes, centre: Point, width: float, height: float, text: str, colour: str) -> None:
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.08", fc="none", ec=colour))
    axes.text(*centre, text, ha="center", va="center", fontsize=8)


def _arrow(axes: Axes, start: Point, end: Point) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="0.5"))
