"""The study's figures: each function draws one and returns it as a matplotlib Figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from autoparts.evaluation import PAIR_MEASURES

WIDTH = 7.2  # inches, the width of the report's text
# Okabe and Ito (2008): eight colours that readers with any colour vision tell apart; the yellow is too pale for lines.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
LINE_STYLES = ("-", "--", "-.", ":")

sns.set_theme(context="notebook", style="ticks", palette=PALETTE, font_scale=0.85)
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})


def category_bars(counts: pd.Series, top: int = 30) -> Figure:
    """Bar chart of the largest categories (Fig 3.5).

    Args:
        counts: photos per category.
        top: how many categories.
    """
    largest = counts.sort_values(ascending=False, kind="stable").head(top)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.2 * len(largest) + 0.9), layout="constrained")
    axes.barh(range(len(largest)), largest.to_numpy(), color=BLUE)
    axes.set_yticks(range(len(largest)), [_plain_text(name, 34) for name in largest.index], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("photos")
    axes.bar_label(axes.containers[0], fontsize=7, padding=2)
    return figure


def photo_grid(
    photos: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 8, colours: Sequence[str] = ()
) -> Figure:
    """Photos in rows, each with a title.

    Args:
        photos: grey (S, S) or colour (H, W, 3) uint8 arrays, shown as they are.
        titles: text above each photo.
        columns: photos per row.
        colours: colour of each title, black if not given.
    """
    rows = -(-len(photos) // columns)
    side = WIDTH / columns
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    figure, grid = plt.subplots(
        rows, columns, figsize=(WIDTH, rows * (side + 0.15 * lines)), squeeze=False, layout="constrained"
    )
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place < len(photos):
            axes.imshow(photos[place], cmap="gray", vmin=0, vmax=255)
            if titles:
                colour = colours[place] if colours else "black"
                axes.set_title(_plain_text(titles[place], 120), fontsize=6.5, color=colour, pad=2)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    return figure


def contact_sheet(photos: Sequence[Sequence[np.ndarray]], names: Sequence[str]) -> Figure:
    """One row of photos per category, its name on the left.

    Args:
        photos: for each category its photos, grey (S, S) uint8.
        names: of the categories.
    """
    columns = max(len(row) for row in photos)
    side = (WIDTH - 1.3) / columns
    figure, grid = plt.subplots(len(photos), columns, figsize=(WIDTH, side * len(photos)), squeeze=False)
    figure.subplots_adjust(left=1.3 / WIDTH, right=1, top=1, bottom=0, wspace=0.04, hspace=0.04)
    for axes, row, name in zip(grid, photos, names, strict=True):
        for cell in axes:
            cell.set_axis_off()
        for cell, photo in zip(axes, row, strict=False):
            cell.imshow(photo, cmap="gray", vmin=0, vmax=255)
        label = "\n".join(_plain_text(name, 60).split(" ", 1))
        axes[0].text(-0.08, 0.5, label, transform=axes[0].transAxes, ha="right", va="center", fontsize=7)
    return figure


def component_grid(components: np.ndarray, side: int, columns: int = 10) -> Figure:
    """Principal components as images, dark where a weight is negative and light where it is positive (Fig 3.6).

    Args:
        components: (K, side * side) float.
        side: of the photos in pixels.
        columns: images per row.
    """
    # The sign of a component is arbitrary; grey 128 is zero, so that images can be compared.
    scale = 127 / np.abs(components).max(axis=1, keepdims=True)
    images = (128 + components * scale).astype(np.uint8).reshape(-1, side, side)
    return photo_grid(list(images), [str(number + 1) for number in range(len(images))], columns)


def cumulative_variance(shares: np.ndarray, marks: Mapping[str, int]) -> Figure:
    """Cumulative share of variance by number of components (Fig 6.4).

    Args:
        shares: (K,) share of variance of each component, in order.
        marks: label and number of components of each point to mark.
    """
    total = np.cumsum(shares)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    axes.plot(np.arange(1, len(total) + 1), total, color=BLUE)
    for (label, number), colour in zip(marks.items(), PALETTE[1:], strict=False):
        axes.plot(number, total[number - 1], "o", color=colour, label=f"{label}: {number:,} components")
    axes.set(
        xscale="log", xlabel="number of principal components", ylabel="cumulative share of variance", ylim=(0, 1.02)
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    return figure


def history_curves(
    history: pd.DataFrame, columns: Mapping[str, str], ylabel: str, *, percent: bool = False, ax: Axes | None = None
) -> Figure:
    """Curves over the epochs (Figs 4.1, 4.2, 4.5, 4.6, 4.7).

    Args:
        history: one row per epoch, as `training.fit` returns it.
        columns: column and its name in the legend.
        ylabel: label of the vertical axis.
        percent: whether values are shares.
        ax: axes to draw on; None makes a figure.
    """
    axes = ax or plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")[1]
    for (column, label), colour, style in zip(columns.items(), PALETTE, LINE_STYLES, strict=False):
        axes.plot(history["epoch"], history[column], style, color=colour, label=label, marker="o", markersize=3)
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylim(0, 1.02)
    axes.legend()
    return axes.get_figure()


def side_by_side(curves: Mapping[str, tuple[pd.DataFrame, Mapping[str, str], str, bool]]) -> Figure:
    """Draw several `history_curves` beside each other.

    Args:
        curves: title to history, columns, label of the vertical axis, and whether values are shares.
    """
    columns = 3
    rows = -(-len(curves) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH * 1.35, 2.6 * rows), layout="constrained", squeeze=False)
    for axes, (title, (history, names, ylabel, percent)) in zip(grid.flat, curves.items(), strict=False):
        history_curves(history, names, ylabel, percent=percent, ax=axes)
        axes.set_title(title, fontsize=9)
        axes.legend(fontsize=7)
    for axes in list(grid.flat)[len(curves) :]:
        axes.set_axis_off()
    return figure


def distance_histogram(distances: np.ndarray, same: np.ndarray, thresholds: Mapping[str, float]) -> Figure:
    """Histogram of the distances of similar and of dissimilar pairs, with thresholds (Fig 4.3).

    Args:
        distances: (P,) float.
        same: (P,) bool.
        thresholds: label and value of each vertical line.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    bins = np.linspace(0, np.quantile(distances, 0.999), 60)
    axes.hist(distances[same], bins, color=BLUE, alpha=0.65, label="similar pairs")
    axes.hist(distances[~same], bins, color=ORANGE, alpha=0.65, label="dissimilar pairs", hatch="//", edgecolor="white")
    for (label, value), style in zip(thresholds.items(), LINE_STYLES, strict=False):
        axes.axvline(value, color="black", linestyle=style, label=f"{label}: {value:.2f}")
    axes.set(xlabel="distance between embeddings", ylabel="pairs")
    axes.legend()
    return figure


def threshold_curves(curve: pd.DataFrame, thresholds: Mapping[str, float]) -> Figure:
    """Accuracy, precision, recall and F1 against the threshold (Fig 4.4).

    Args:
        curve: as `evaluation.threshold_curve` returns it.
        thresholds: label and value of each vertical line.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for name, colour, style in zip(PAIR_MEASURES, PALETTE, LINE_STYLES, strict=False):
        axes.plot(curve["threshold"], curve[name], style, color=colour, label=name if name != "f1" else "F1")
    for (label, value), style in zip(thresholds.items(), LINE_STYLES, strict=False):
        axes.axvline(value, color="0.35", linestyle=style, linewidth=1, label=f"{label}: {value:.2f}")
    axes.set(xlabel="distance threshold", ylabel="share", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right", fontsize=8)
    return figure


def interval_bars(table: pd.DataFrame, value: str, xlabel: str, reference: Mapping[str, float] | None = None) -> Figure:
    """Dots with their 95 % intervals, one row each, and reference lines such as chance.

    Args:
        table: index names the rows; columns `value`, `low` and `high`, all shares.
        value: column of the dots.
        xlabel: label of the horizontal axis.
        reference: label and value of each vertical line.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.34 * len(table) + 1.1), layout="constrained")
    places = np.arange(len(table))
    errors = np.stack([table[value] - table["low"], table["high"] - table[value]]).clip(min=0)
    axes.errorbar(table[value], places, xerr=errors, fmt="o", color=BLUE, capsize=3)
    axes.set_yticks(places, [_plain_text(str(name), 40) for name in table.index])
    axes.set_ylim(len(table) - 0.4, -0.6)
    for (label, at), style in zip((reference or {}).items(), LINE_STYLES[1:], strict=False):
        axes.axvline(at, color="0.35", linestyle=style, linewidth=1, label=label)
    axes.set(xlabel=xlabel, xlim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    if reference:
        axes.legend(fontsize=8)
    return figure


def reliability_diagram(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy against confidence with 95 % intervals, for tables as `calibration.reliability` returns them."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4), layout="constrained")
    axes.axline((0, 0), slope=1, color="0.6", linewidth=1)
    for (label, table), colour, style in zip(tables.items(), (RED, BLUE), ("--", "-"), strict=False):
        errors = np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]]).clip(min=0)
        axes.errorbar(
            table["confidence"], table["accuracy"], errors, fmt="o" + style, color=colour, capsize=3, label=label
        )
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="upper left")
    return figure


def occlusion_map(photo: np.ndarray, influence: np.ndarray) -> Figure:
    """A photo as the network sees it, and beside it which regions decided. (S, S) uint8 and (S, S) float."""
    figure, (plain, mapped) = plt.subplots(1, 2, figsize=(WIDTH * 0.8, 2.8), layout="constrained")
    for axes in (plain, mapped):
        axes.imshow(photo, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
    largest = max(float(np.abs(influence).max()), 1e-6)
    shades = mapped.imshow(influence, cmap="PuOr_r", vmin=-largest, vmax=largest, alpha=0.6)
    figure.colorbar(shades, ax=mapped, label="probability lost when covered", format=PercentFormatter(1))
    return figure


def _plain_text(text: str, longest: int) -> str:
    """Shorten text, and keep matplotlib from reading a dollar sign in a part name as the start of a formula."""
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")
