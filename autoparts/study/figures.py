"""The study's figures: each function draws one, writes its alternative text, and returns it as a matplotlib Figure.

The alternative text is the figure's label: one sentence that says what the figure shows, with the result in it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from itertools import cycle
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
CHART = 5.6  # inches: on a phone's 3.5, labels are still large enough to read
# Okabe and Ito (2008): eight colours that readers with any colour vision tell apart; the yellow is too pale for lines.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, "black")
LINE_STYLES = ("-", "--", "-.", ":")
SHARES = ("accuracy", "ranked", "hard", "semi-hard", "easy", "validation precision@1")  # drawn in percent
GREY = {"cmap": "gray", "vmin": 0, "vmax": 255}  # how a photo is drawn
LOOKS = plt.cycler(color=PALETTE * 4, linestyle=LINE_STYLES * 7)  # 28 lines that differ in colour, style or both
STYLE = sns.axes_style("ticks") | sns.plotting_context("notebook", font_scale=0.85) | {"axes.prop_cycle": LOOKS}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "font.family": ["sans-serif"]}
TEXTS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
ON_ANY = STYLE | dict.fromkeys(TEXTS, "#7a7a7a")  # beside photos there is the page, which may be light or dark


def styled(draw: Callable[..., Figure], style: Mapping[str, Any] = STYLE) -> Callable[..., Figure]:
    """Have a function draw in the study's style, without changing that of anybody else's figures."""

    @wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Figure:
        """Draw in the style."""
        with plt.rc_context(style), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a name may hold what the font has not, such as an emoji
            figure = draw(*arguments, **options)
            figure.draw_without_rendering()  # ticks are made when they are first drawn, in the style of that moment
            figure.set_layout_engine("none")  # all has found its place, which takes longer than to draw it
        return figure

    return drawn


beside_photos = partial(styled, style=ON_ANY)


def told(figure: Figure, sentence: str) -> Figure:
    """Give a figure its alternative text, in one line."""
    figure.set_label(" ".join(sentence.split()))
    return figure


def plain(text: str, longest: int) -> str:
    """Shorten text, and keep matplotlib from reading a dollar sign in a part name as the start of a formula."""
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")


def sheet(height: float, right: float, top: float) -> tuple[Figure, Axes]:
    """An empty figure as wide as the text, all of it one plot without axes: from (0, 0) to (`right`, `top`)."""
    figure, axes = plt.subplots(figsize=(WIDTH, height))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1)
    axes.set(xlim=(0, right), ylim=(0, top), aspect="equal")
    axes.set_axis_off()
    return figure, axes


@styled
def category_bars(counts: pd.Series, top: int = 30) -> Figure:
    """Bar chart of the `top` largest categories, given the photos per category (Fig 3.5)."""
    largest = counts.sort_values(ascending=False, kind="stable").head(top)
    figure, axes = _canvas(0.2 * len(largest) + 0.9)
    _bars(axes, largest.to_dict(), 34, fontsize=8, padding=2)
    axes.tick_params("y", labelsize=8)
    axes.set_xlabel("photos")
    return told(
        figure,
        f"Bar chart of the {len(largest)} largest categories; the first, {largest.index[0]}, has {largest.iloc[0]} "
        f"photos, the last, {largest.index[-1]}, has {largest.iloc[-1]}. The five largest hold "
        f"{largest.head(5).sum() / counts.sum():.0%} of all photos.",
    )


@styled
def cumulative_variance(shares: np.ndarray, marks: Mapping[str, int]) -> Figure:
    """Cumulative share of variance (Fig 6.4), given the (K,) shares of components in order, with marked numbers."""
    total = np.cumsum(shares)
    figure, axes = _canvas(3.2, percent="y")
    axes.plot(np.arange(1, len(total) + 1), total)
    for label, number in marks.items():
        axes.plot(number, total[number - 1], "o", label=f"{label}: {number:,} components")
    axes.set(xscale="log", xlabel="number of principal components", ylabel="share of variance")
    axes.legend(loc="lower right")
    reached = ", ".join(f"{number:,} explain {label}" for label, number in marks.items())
    return told(figure, f"Cumulative variance by number of components: {reached}.")


@styled
def curves(history: pd.DataFrame, measures: str | Mapping[str, str] | Sequence[str], ylabel: str = "") -> Figure:
    """Curves over the epochs, training and validation (Figs 4.1, 4.2, 4.5, 4.6, 4.7).

    The history is as `training.fit` returns it. A measure such as "loss" stands for its columns training_loss and
    validation_loss (or plain loss); several come with words for the legend, or are named as they are.
    """
    figure, axes = _canvas(3.2)
    return told(figure, _curves(axes, history, measures, ylabel))


@styled
def side_by_side(panels: Mapping[str, tuple[pd.DataFrame, str]], columns: int = 3) -> Figure:
    """Draw several `curves` beside each other, so many in a row: title to history and measure."""
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH * 1.35, 2.6 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    sentences = []
    for axes, (title, (history, measure)) in zip(grid.flat, panels.items(), strict=False):
        sentences.append(f"{title}: {_curves(axes, history, measure)}")
        axes.set_title(title, fontsize=9)
        axes.legend(fontsize=8)
    return told(figure, " ".join(sentences))


def _curves(
    axes: Axes, history: pd.DataFrame, measures: str | Mapping[str, str] | Sequence[str], ylabel: str = ""
) -> str:
    """Draw curves, and tell in words where each begins and ends and where it is best."""
    measures = {measures: ""} if isinstance(measures, str) else measures
    measures = measures if isinstance(measures, Mapping) else {name: name for name in measures}
    percent = ylabel in SHARES or all(measure in SHARES for measure in measures)
    lines = {
        ", ".join(filter(None, (split, words))): history[column]
        for split, prefix in (("training", "training_"), ("validation", "validation_"), ("", ""))
        for measure, words in measures.items()
        if (column := prefix + measure) in history
    }
    if len(lines) > 4:  # in the order in which they end, so that the legend is read like the curves
        lines = dict(sorted(lines.items(), key=lambda line: -line[1].iloc[-1]))
    paths, along = [], "epoch" if "epoch" in history else history.columns[0]
    for label, values in lines.items():
        axes.plot(history[along], values, label=label, marker="o", markersize=3)
        place, extreme = (values.idxmax(), "highest") if percent else (values.idxmin(), "lowest")
        form = "{:.1%}" if percent else "{:.3g}"
        first, best, last = (form.format(value) for value in (values.iloc[0], values[place], values.iloc[-1]))
        paths.append(
            f"{label} from {first} to {last}, {extreme} in {along.split()[0]} {history[along][place]:.0f} at {best}"
        )
    named = ylabel or " and ".join(measure.replace("_", " ") for measure in measures)
    axes.set(xlabel=along, ylabel=named)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if percent:
        _in_percent(axes, "y")
    if len(lines) <= 4:
        axes.legend()
    else:  # curves are near each other, and the legend lies below them
        low, high = (choose(choose(values) for values in lines.values()) for choose in (min, max))
        if high > low:
            axes.set_ylim(max(0, low - 0.1 * (high - low)), min(high + 0.1 * (high - low), axes.get_ylim()[1]))
        columns = 1 if max(map(len, lines)) > 36 else 2  # as many as there is width for
        axes.figure.legend(loc="outside lower center", ncols=columns, fontsize=8)
        axes.figure.set_figheight(3.2 + 0.17 * -(-len(lines) // columns))
    counted = "epochs" if along == "epoch" else along.replace("pass", "passes", 1)
    return f"{named[:1].upper()}{named[1:]} over {len(history)} {counted}: {'; '.join(paths)}."


@styled
def distance_histogram(distances: np.ndarray, same: np.ndarray, thresholds: Mapping[str, float]) -> Figure:
    """Histogram of the (P,) distances of similar and of dissimilar pairs, with named thresholds (Fig 4.3)."""
    figure, axes = _canvas(3.2)
    bins = np.linspace(0, np.quantile(distances, 0.999), 60)
    axes.hist(distances[same], bins, color=BLUE, alpha=0.65, label="similar pairs")
    axes.hist(distances[~same], bins, color=ORANGE, alpha=0.65, label="dissimilar pairs", hatch="//", edgecolor="white")
    _lines_at(axes, thresholds, "black", "{label}: {at:.2f}")
    axes.set(xlabel="distance between embeddings", ylabel="pairs")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    apart = f"{distances[same].mean():.2f} apart on average, dissimilar ones {distances[~same].mean():.2f}"
    return told(figure, f"Histogram of distances: similar pairs are {apart}.")


@styled
def threshold_curves(curve: pd.DataFrame, thresholds: Mapping[str, float]) -> Figure:
    """Draw what `evaluation.threshold_curve` returns against the threshold, with named thresholds (Fig 4.4)."""
    figure, axes = _canvas(3.2, percent="y")
    for name in PAIR_MEASURES:
        axes.plot(curve["threshold"], curve[name], label=name if name != "f1" else "F1")
    _lines_at(axes, thresholds, "0.35", "{label}: {at:.2f}")
    axes.set(xlabel="distance threshold", ylabel="share")
    axes.legend(loc="lower right")
    best = curve.loc[curve["accuracy"].idxmax()]
    return told(
        figure,
        f"Accuracy peaks at {best['accuracy']:.1%} near the threshold {best['threshold']:.2f}; a larger threshold "
        "raises recall and, on the whole, lowers precision.",
    )


@styled
def margin_curve(gaps: np.ndarray, margin: float, thesis: float) -> Figure:
    """Draw which share of triplets keeps a margin, against it, with the margin of a run and the thesis's share.

    Takes how much farther than its positive each of T triplets has its negative, (T,), and the margin, both in units of
    the distance; and the share, 0 to 1.
    """
    figure, axes = _canvas(3.2, percent="y")
    margins = np.linspace(0, max(2 * margin, np.quantile(gaps, 0.95)), 200)
    kept = (gaps > margins[:, None]).mean(axis=1)
    axes.plot(margins, kept, label="test triplets that keep it")
    axes.axhline(thesis, color=RED, linestyle="--", linewidth=1.2, label=f"thesis: {thesis:.2%}")
    _lines_at(axes, {"margin of this run": margin}, "0.35", "{label}: {at:g}", first=2)
    axes.set(xlabel="margin, in units of the distance", ylabel="share of triplets")
    axes.legend()
    shares = f"{kept[0]:.1%} of the triplets keep a margin of 0, {(gaps > margin).mean():.1%} one of {margin:g}"
    return told(figure, f"{shares}, and {thesis:.2%}, as in the thesis, one of {np.quantile(gaps, 1 - thesis):.2g}.")


@styled
def interval_bars(table: pd.DataFrame, value: str, xlabel: str, reference: Mapping[str, float] | None = None) -> Figure:
    """Dots with their 95 % intervals, a row for each of the table's, and named reference lines such as chance.

    Shares all: the column `value`, and its ends in `<value> low` and `<value> high`, or in `low` and `high`.
    """
    low, high = (f"{value} low", f"{value} high") if f"{value} low" in table else ("low", "high")
    table = table[[value, low, high]].astype(float)
    reference = reference or {}
    figure, axes = _canvas(0.34 * len(table) + 1.1, percent="x")
    places = np.arange(len(table))
    axes.errorbar(table[value], places, xerr=_errors(table, value, low, high), fmt="o", color=BLUE, capsize=3)
    axes.set_yticks(places, [plain(str(name), 46) for name in table.index])
    axes.set(xlabel=xlabel, ylim=(len(table) - 0.4, -0.6))
    _lines_at(axes, reference, "0.35", "{label}", first=1)
    if reference:  # above, since each place within may hold a row
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    rows = [f"{name} {row[value]:.1%} ({row[low]:.1%} to {row[high]:.1%})" for name, row in table.iterrows()]
    lines = [f"{label} {at:.1%}" for label, at in reference.items()]
    return told(figure, f"{xlabel[:1].upper()}{xlabel[1:]}: {', '.join(rows + lines)}.")


@styled
def reliability_diagram(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy against confidence before and after calibration: two named tables of `calibration.reliability`."""
    figure, axes = _canvas(3.4, percent="xy")
    axes.axline((0, 0), slope=1, color="0.6", linewidth=1)
    for (label, table), colour, form in zip(tables.items(), (RED, BLUE), ("o--", "o-"), strict=True):
        drawn = {"fmt": form, "color": colour, "capsize": 3, "label": label}
        axes.errorbar(table["confidence"], table["accuracy"], _errors(table, "accuracy"), **drawn)
    axes.set(xlabel="confidence", ylabel="accuracy")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return told(figure, f"Accuracy against confidence, beside the diagonal: {'; '.join(tables)}.")


@styled
def confidence_bars(confidences: Mapping[str, float]) -> Figure:
    """Bars of the likeliest names of a photo. Category to confidence, likeliest first."""
    figure, axes = _canvas(0.3 * len(confidences) + 0.8, percent="x")
    _bars(axes, confidences, 40, fmt="{:.1%}", padding=3, fontsize=8)
    axes.set(xlabel="confidence", xlim=(0, 1))
    listed = ", ".join(f"{name} {share:.1%}" for name, share in confidences.items())
    return told(figure, f"Likeliest names: {listed}.")


def _canvas(height: float, percent: str = "") -> tuple[Figure, Axes]:
    """A figure of one plot, of whose axes those named in `percent` show shares."""
    figure, axes = plt.subplots(figsize=(CHART, height), layout="constrained")
    for name in percent:
        _in_percent(axes, name)
    return figure, axes


def _in_percent(axes: Axes, name: str) -> None:
    axes.set(**{f"{name}lim": (0, 1.02)})
    getattr(axes, f"{name}axis").set_major_formatter(PercentFormatter(1))


def _bars(axes: Axes, values: Mapping[str, float], longest: int, **labels: Any) -> None:
    """Draw horizontal bars from the top down, each with its value and its name, shortened to `longest` letters."""
    bars = axes.barh(range(len(values)), [*values.values()], color=BLUE)
    axes.set_yticks(range(len(values)), [plain(name, longest) for name in values])  # which may be alike
    axes.invert_yaxis()
    axes.bar_label(bars, **labels)


def _lines_at(axes: Axes, values: Mapping[str, float], colour: str, legend: str, first: int = 0) -> None:
    """Draw a vertical line at each value; the legend tells its label and where it is."""
    for (label, at), style in zip(values.items(), cycle(LINE_STYLES[first:]), strict=False):
        axes.axvline(at, color=colour, linestyle=style, linewidth=1.2, label=legend.format(label=label, at=at))


def _errors(table: pd.DataFrame, value: str, low: str = "low", high: str = "high") -> np.ndarray:
    """How far the ends of intervals are from their values: (2, rows)."""
    return np.stack([table[value] - table[low], table[high] - table[value]]).clip(min=0)
