"""The study's figures: each function draws one, writes its alternative text, and returns it as a matplotlib Figure.

The alternative text is the figure's label: one sentence that says what the figure shows, with the result in it.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

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
SHARES = ("accuracy", "ranked", "active", "hard", "semi-hard", "easy")  # measures that are shares, drawn in percent


@lru_cache
def _style() -> dict[str, Any]:
    own = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "font.family": ["sans-serif"]}
    cycle = {"axes.prop_cycle": plt.cycler(color=PALETTE)}
    return sns.axes_style("ticks") | sns.plotting_context("notebook", font_scale=0.85) | cycle | own


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Have a function draw in the study's style, without changing that of anybody else's figures."""

    @wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Figure:
        """Draw in the style."""
        with plt.rc_context(_style()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a name may hold what the font has not, such as an emoji
            figure = draw(*arguments, **options)
            figure.draw_without_rendering()  # ticks are made when they are first drawn, in the style of that moment
        return figure

    return drawn


def _canvas(height: float) -> tuple[Figure, Axes]:
    return plt.subplots(figsize=(WIDTH, height), layout="constrained")


def _lines_at(axes: Axes, values: Mapping[str, float], colour: str, styles: tuple[str, ...] = LINE_STYLES) -> None:
    """Draw a vertical line at each value."""
    for (label, value), style in zip(values.items(), styles, strict=False):
        axes.axvline(value, color=colour, linestyle=style, linewidth=1.2, label=label)


@styled
def category_bars(counts: pd.Series, top: int = 30) -> Figure:
    """Bar chart of the `top` largest categories, given the photos per category (Fig 3.5)."""
    largest = counts.sort_values(ascending=False, kind="stable").head(top)
    figure, axes = _canvas(0.2 * len(largest) + 0.9)
    axes.barh(range(len(largest)), largest.to_numpy(), color=BLUE)
    axes.set_yticks(range(len(largest)), [plain(name, 34) for name in largest.index], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("photos")
    axes.bar_label(axes.containers[0], fontsize=7, padding=2)
    figure.set_label(
        f"Bar chart of the {len(largest)} largest categories; the first, {largest.index[0]}, has {largest.iloc[0]} "
        f"photos, the last, {largest.index[-1]}, has {largest.iloc[-1]}. The five largest hold "
        f"{largest.head(5).sum() / counts.sum():.0%} of all photos."
    )
    return figure


@styled
def cumulative_variance(shares: np.ndarray, marks: Mapping[str, int]) -> Figure:
    """Cumulative share of variance by number of components (Fig 6.4).

    Args:
        shares: (K,) share of variance of each component, in order.
        marks: label and number of components of each point to mark.
    """
    total = np.cumsum(shares)
    figure, axes = _canvas(3.2)
    axes.plot(np.arange(1, len(total) + 1), total, color=BLUE)
    for (label, number), colour in zip(marks.items(), PALETTE[1:], strict=False):
        axes.plot(number, total[number - 1], "o", color=colour, label=f"{label}: {number:,} components")
    axes.set(xscale="log", xlabel="number of principal components", ylabel="share of variance", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    reached = ", ".join(f"{number:,} explain {label}" for label, number in marks.items())
    figure.set_label(f"Cumulative variance by number of components: {reached}.")
    return figure


@styled
def curves(history: pd.DataFrame, measures: str | Mapping[str, str], ylabel: str = "") -> Figure:
    """Curves over the epochs, training and validation (Figs 4.1, 4.2, 4.5, 4.6, 4.7).

    Args:
        history: one row per epoch, as `training.fit` returns it.
        measures: such as "loss", whose columns are training_loss and validation_loss (or plain loss); or several of
            them, each with its words for the legend.
        ylabel: label of the vertical axis; by default the measure.
    """
    figure, axes = _canvas(3.2)
    figure.set_label(_curves(axes, history, measures, ylabel))
    return figure


@styled
def side_by_side(panels: Mapping[str, tuple[pd.DataFrame, str]], columns: int = 3) -> Figure:
    """Draw several `curves` beside each other.

    Args:
        panels: title to history and measure.
        columns: panels per row.
    """
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH * 1.35, 2.6 * rows), layout="constrained", squeeze=False)
    told = []
    for axes, (title, (history, measure)) in zip(grid.flat, panels.items(), strict=False):
        told.append(f"{title}: {_curves(axes, history, measure)}")
        axes.set_title(title, fontsize=9)
        axes.legend(fontsize=7)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    figure.set_label(" ".join(told))
    return figure


def _curves(axes: Axes, history: pd.DataFrame, measures: str | Mapping[str, str], ylabel: str = "") -> str:
    """Draw curves, and tell in words where each begins and ends and where it is best."""
    measures = {measures: ""} if isinstance(measures, str) else measures
    percent = all(measure in SHARES for measure in measures)
    lines = {
        ", ".join(filter(None, (split, words))): history[column]
        for split, prefix in (("training", "training_"), ("validation", "validation_"), ("", ""))
        for measure, words in measures.items()
        if (column := prefix + measure) in history
    }
    told = []
    for (label, values), colour, style in zip(lines.items(), PALETTE, LINE_STYLES, strict=False):
        axes.plot(history["epoch"], values, style, color=colour, label=label, marker="o", markersize=3)
        place = values.idxmax() if percent else values.idxmin()
        extreme = f"{'highest' if percent else 'lowest'} in epoch {history['epoch'][place]:.0f} at "
        form = "{:.1%}" if percent else "{:.3g}"
        first, best, last = (form.format(value) for value in (values.iloc[0], values[place], values.iloc[-1]))
        told.append(f"{label} from {first} to {last}, {extreme}{best}")
    named = ylabel or " and ".join(measure.replace("_", " ") for measure in measures)
    axes.set(xlabel="epoch", ylabel=named)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylim(0, 1.02)
    axes.legend()
    return f"{named[:1].upper()}{named[1:]} over {len(history)} epochs: {'; '.join(told)}."


@styled
def distance_histogram(distances: np.ndarray, same: np.ndarray, thresholds: Mapping[str, float]) -> Figure:
    """Histogram of the (P,) distances of similar and of dissimilar pairs, with named thresholds (Fig 4.3)."""
    figure, axes = _canvas(3.2)
    bins = np.linspace(0, np.quantile(distances, 0.999), 60)
    axes.hist(distances[same], bins, color=BLUE, alpha=0.65, label="similar pairs")
    axes.hist(distances[~same], bins, color=ORANGE, alpha=0.65, label="dissimilar pairs", hatch="//", edgecolor="white")
    _lines_at(axes, {f"{label}: {value:.2f}": value for label, value in thresholds.items()}, "black")
    axes.set(xlabel="distance between embeddings", ylabel="pairs")
    axes.legend()
    apart = f"{distances[same].mean():.2f} apart on average, dissimilar ones {distances[~same].mean():.2f}"
    figure.set_label(f"Histogram of distances: similar pairs are {apart}.")
    return figure


@styled
def threshold_curves(curve: pd.DataFrame, thresholds: Mapping[str, float]) -> Figure:
    """Draw what `evaluation.threshold_curve` returns against the threshold, with named thresholds (Fig 4.4)."""
    figure, axes = _canvas(3.2)
    for name, colour, style in zip(PAIR_MEASURES, PALETTE, LINE_STYLES, strict=False):
        axes.plot(curve["threshold"], curve[name], style, color=colour, label=name if name != "f1" else "F1")
    _lines_at(axes, {f"{label}: {value:.2f}": value for label, value in thresholds.items()}, "0.35")
    axes.set(xlabel="distance threshold", ylabel="share", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right", fontsize=8)
    best = curve.loc[curve["accuracy"].idxmax()]
    figure.set_label(
        f"Accuracy peaks at {best['accuracy']:.1%} near the threshold {best['threshold']:.2f}; a larger threshold "
        "raises recall and lowers precision."
    )
    return figure


@styled
def interval_bars(table: pd.DataFrame, value: str, xlabel: str, reference: Mapping[str, float] | None = None) -> Figure:
    """Dots with their 95 % intervals, one row each, and reference lines such as chance.

    Args:
        table: index names the rows; columns `value`, and `<value> low` and `<value> high` or `low` and `high`: shares.
        value: column of the dots.
        xlabel: label of the horizontal axis.
        reference: label and value of each vertical line.
    """
    low, high = (f"{value} low", f"{value} high") if f"{value} low" in table else ("low", "high")
    table = table[[value, low, high]].astype(float)
    figure, axes = _canvas(0.34 * len(table) + 1.1)
    places = np.arange(len(table))
    axes.errorbar(table[value], places, xerr=_errors(table, value, low, high), fmt="o", color=BLUE, capsize=3)
    axes.set_yticks(places, [plain(str(name), 40) for name in table.index])
    axes.set_ylim(len(table) - 0.4, -0.6)
    _lines_at(axes, reference or {}, "0.35", LINE_STYLES[1:])
    axes.set(xlabel=xlabel, xlim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    if reference:
        axes.legend(fontsize=8)
    rows = [f"{name} {row[value]:.1%} ({row[low]:.1%} to {row[high]:.1%})" for name, row in table.iterrows()]
    lines = [f"{label} {at:.1%}" for label, at in (reference or {}).items()]
    figure.set_label(f"{xlabel[:1].upper()}{xlabel[1:]}: {', '.join(rows + lines)}.")
    return figure


def _errors(table: pd.DataFrame, value: str, low: str, high: str) -> np.ndarray:
    """How far the ends of intervals are from their values: (2, rows)."""
    return np.stack([table[value] - table[low], table[high] - table[value]]).clip(min=0)


@styled
def reliability_diagram(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy against confidence, for named tables as `calibration.reliability` returns them."""
    figure, axes = _canvas(3.4)
    axes.axline((0, 0), slope=1, color="0.6", linewidth=1)
    for (label, table), colour, style in zip(tables.items(), (RED, BLUE), ("--", "-"), strict=False):
        errors = _errors(table, "accuracy", "low", "high")
        drawn = {"fmt": "o" + style, "color": colour, "capsize": 3, "label": label}
        axes.errorbar(table["confidence"], table["accuracy"], errors, **drawn)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="upper left")
    figure.set_label(f"Accuracy against confidence, beside the diagonal: {'; '.join(tables)}.")
    return figure


@styled
def confidence_bars(confidences: Mapping[str, float]) -> Figure:
    """Bars of the likeliest names of a photo. Category to confidence, likeliest first."""
    figure, axes = _canvas(0.3 * len(confidences) + 0.8)
    axes.barh(range(len(confidences)), list(confidences.values()), color=BLUE)
    axes.set_yticks(range(len(confidences)), [plain(name, 40) for name in confidences])  # which may be alike
    axes.invert_yaxis()
    axes.bar_label(axes.containers[0], fmt="{:.1%}", padding=3, fontsize=8)
    axes.set(xlabel="confidence", xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.set_label(f"Likeliest names: {', '.join(f'{name} {share:.1%}' for name, share in confidences.items())}.")
    return figure


def plain(text: str, longest: int) -> str:
    """Shorten text, and keep matplotlib from reading a dollar sign in a part name as the start of a formula."""
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")
