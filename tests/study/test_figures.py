import inspect
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from autoparts import evaluation
from autoparts.study import drawings, figures, photo_figures, pictures

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "training_loss": [2.0, 1.0, 0.5],
        "validation_loss": [2.0, 1.25, 1.5],
        "training_accuracy": [0.2, 0.5, 0.8],
        "validation_accuracy": [0.25, 0.5, 0.45],
        "validation_ranked": [0.5, 0.6, 0.75],
        "hard": [0.5, 0.25, 0.125],
    }
)
COUNTS = pd.Series({"Wheel $ nut": 10, "\U0001f697 horn": 30, "Pump": 20, "Cap": 5, "Lamp": 5, "Lone": 1})
SAME = np.array([True, False] * 30)
DISTANCES = np.where(SAME, 1.0, 2.0) + np.linspace(-0.5, 0.5, 60)
CURVE = evaluation.threshold_curve(torch.tensor(DISTANCES), torch.tensor(SAME), torch.linspace(0, 3, 31))
INTERVALS = pd.DataFrame({"accuracy": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 1.0]}, index=["a $ b", "c" * 60])
NAMED = INTERVALS.rename(columns={"low": "accuracy low", "high": "accuracy high"})
RELIABILITY = INTERVALS.assign(confidence=[0.4, 0.8])
PHOTOS = list(np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8))
JPEGS = [pictures.small_jpeg(photo, 8) for photo in PHOTOS[:2]]
COMPONENTS = np.random.default_rng(0).normal(size=(6, 16))

DRAWN = [  # function, its arguments, what its alternative text says of the result
    (figures.category_bars, (COUNTS,), ["horn, has 30 photos", "Lone, has 1", "hold 99% of all"]),
    (figures.category_bars, (COUNTS, 2), ["2 largest", "Pump, has 20"]),
    (figures.cumulative_variance, (np.array([0.5, 0.3, 0.2]), {"80 %": 2}), ["2 explain 80 %"]),
    (figures.curves, (HISTORY, "loss"),
     ["Loss over 3 epochs", "training from 2 to 0.5, lowest in epoch 3", "from 2 to 1.5, lowest in epoch 2 at 1.25"]),
    (figures.curves, (HISTORY, {"accuracy": "with the margin", "ranked": "without"}, "share of triplets"),
     ["Share of triplets", "training, with the margin from 20.0% to 80.0%", "highest in epoch 3 at 75.0%"]),
    (figures.curves, (HISTORY, {"hard": "hard negatives"}), ["Hard over 3 epochs", "negatives from 50.0% to 12.5%"]),
    (figures.side_by_side, ({"One": (HISTORY, "loss"), "Two": (HISTORY, "accuracy")},), ["One: Loss", "Two: Accuracy"]),
    (figures.distance_histogram, (DISTANCES, SAME, {"best": 1.5}), ["similar pairs are 0.99 apart", "ones 2.01"]),
    (figures.threshold_curves, (CURVE, {"best": 1.5}), ["Accuracy peaks at 100.0% near the threshold 1.5"]),
    (figures.margin_curve, (np.linspace(-1, 3, 401), 1.0, 0.4036),
     ["74.8% of the triplets keep a margin of 0, 49.9% one of 1", "and 40.36%, as in the thesis, one of 1.4."]),
    (figures.interval_bars, (INTERVALS, "accuracy", "accuracy on test photos", {"chance": 0.25}),
     ["Accuracy on test photos: a $ b 50.0% (40.0% to 60.0%)", "90.0% (80.0% to 100.0%), chance 25.0%"]),
    (figures.interval_bars, (NAMED, "accuracy", "accuracy"), ["a $ b 50.0% (40.0% to 60.0%)"]),
    (figures.reliability_diagram, ({"ECE 9 %": RELIABILITY, "ECE 3 %": RELIABILITY},), ["ECE 9 %", "ECE 3 %"]),
    (figures.confidence_bars, ({"Wheel $ nut": 0.75, "\U0001f697 horn": 0.25},), ["Wheel $ nut 75.0%", "horn 25.0%"]),
    (photo_figures.photo_grid, (PHOTOS, ["$", "\U0001f697", "c", "d", "e\nf"], 3, "noise"), ["5 photos: noise."]),
    (photo_figures.thumbnail_grid, (JPEGS, ["Cap\n0.1", "Nut\n0.2"]), ["2 photos: Cap 0.1, Nut 0.2."]),
    (photo_figures.contact_sheet, ([PHOTOS[:2], PHOTOS[2:]], ["$ nut", "Cap"]), ["2 categories", "from $ nut to Cap"]),
    (photo_figures.component_grid, (COMPONENTS, np.array([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])),
     ["6 principal components", "the first explains 40.0%", "together 95.0%"]),
    (photo_figures.occlusion_map, (PHOTOS[0], np.linspace(-0.1, 0.3, 144).reshape(12, 12)),
     ["the strongest takes 30.0 percentage points"]),
    (drawings.convolution, (np.array([[1.0, 0, -1]] * 3), PHOTOS[0]), ["3 by 3 kernel", "turned by 180°"]),
    (drawings.architecture, (["block", "block", "fully connected"], PHOTOS[0]), ["2 convolution blocks and one fully"]),
    (drawings.towers, (PHOTOS[:2], ["left", "right"], "distance"), ["2 photos", "shared weights"]),
    (drawings.towers, (PHOTOS[:3], ["anchor", "positive", "negative"], "loss"), ["3 photos"]),
    (drawings.negatives, (), ["hard negative inside", "semi-hard"]),
]  # fmt: skip
HELPERS = {figures.styled, figures.told, figures.plain, figures.sheet}


@pytest.mark.parametrize(("function", "arguments", "texts"), DRAWN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_figure_tells_its_result_quietly_in_its_own_style_and_by_the_same_bytes(function, arguments, texts):
    plt.close("all")
    before = dict(mpl.rcParams)
    with warnings.catch_warnings(action="error"):  # names may hold what the font has not, or a formula's sign
        figure = function(*arguments)
        png = pictures.figure_png(figure, "Caption")
    assert isinstance(figure, Figure) and dict(mpl.rcParams) == before and not plt.get_fignums()
    told = figure.get_label()
    assert [text for text in texts if text not in told] == []
    assert told.endswith(".") and (told[0].isupper() or told[0].isdigit()) and "\n" not in told
    assert png == pictures.figure_png(function(*arguments), "Caption")


def test_every_function_that_draws_is_tested_here():
    for room in (drawings, figures, photo_figures):
        own = {each for _, each in inspect.getmembers(room, inspect.isfunction) if each.__module__ == room.__name__}
        tested = {function for function, _, _ in DRAWN if function.__module__ == room.__name__}
        assert {each for each in own - HELPERS if not each.__name__.startswith("_")} == tested


def test_curves_draw_what_is_in_the_history():
    (axes,) = figures.curves(HISTORY, "loss").axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn == {"training": [2, 1, 0.5], "validation": [2, 1.25, 1.5]}
    assert axes.get_ylabel() == "loss" and axes.get_xlabel() == "epoch"
    (axes,) = figures.curves(HISTORY, "accuracy").axes
    assert axes.get_ylim() == (0, 1.02)


def test_nothing_is_left_out_unsaid_and_curves_are_told_apart_with_and_without_colour():
    history = pd.DataFrame({"epoch": [1, 2]} | {f"{letter}_accuracy": [0.1, 0.2] for letter in "abcdefghijk"})
    figure = figures.curves(history, {name: name for name in history.columns[1:]}, "all")
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(looks) == len({*looks}) == figure.get_label().count("lowest") == 11
    assert len({colour for colour, _ in looks}) == 7 and len({style for _, style in looks[:4]}) == 4
    marked = figures.threshold_curves(CURVE, {str(at): at / 5 for at in range(6)})
    assert len(marked.axes[0].lines) == len(evaluation.PAIR_MEASURES) + 6
    with pytest.raises(ValueError, match="shorter"):
        figures.reliability_diagram(dict.fromkeys(("before", "after", "later"), RELIABILITY))


def test_rows_are_labelled_and_in_their_order_even_if_names_begin_alike():
    (axes,) = figures.confidence_bars({"x" * 50 + "a": 0.75, "x" * 50 + "b": 0.25}).axes
    places = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25] and len(set(places)) == 2
    (axes,) = figures.interval_bars(INTERVALS, "accuracy", "accuracy").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"a \$ b", "c" * 45 + "…"]
    (axes,) = figures.category_bars(COUNTS, 2).axes
    assert [bar.get_width() for bar in axes.patches] == [30, 20]


def test_the_legend_of_many_curves_lies_within_the_figure_in_the_order_of_their_ends():
    names = [f"a row of chapter 6 with quite a long name, number {place}" for place in range(15)]
    history = pd.DataFrame({"epoch": [1, 2], **{name: [0.1, place / 20] for place, name in enumerate(names)}})
    for shown in (names, [*"abcdef"]):
        figure = figures.curves(history.rename(columns=dict(zip(names, shown, strict=False))), shown, "accuracy")
        (legend,) = figure.legends
        inside, whole = legend.get_window_extent(), figure.bbox
        assert whole.x0 <= inside.x0 and inside.x1 <= whole.x1 and whole.y0 <= inside.y0 and inside.y1 <= whole.y1
        assert not legend.get_window_extent().overlaps(figure.axes[0].get_tightbbox())
        assert [text.get_text() for text in legend.get_texts()] == shown[::-1]
