"""Figures that a reader moves in JupyterLab; where nobody can, as under papermill and on pages, a still is shown."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import HTML
from ipywidgets import Dropdown, SelectionSlider, interact
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from autoparts.study import figures, photo_figures, pictures
from autoparts.study.run import Run
from autoparts.study.tables import table_html

PAGE = 16  # photos
Drawn = tuple[Figure, str, str]  # a figure, its caption, and HTML that stands below it while it is moved


def attended() -> bool:
    """Whether the cell that runs was sent by a front end that can ask its reader: JupyterLab can, papermill cannot."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(kernel and kernel.get_parent().get("content", {}).get("allow_stdin"))


def explore(
    run: Run, name: str, draw: Callable[[int], Drawn], choices: Sequence[str], at: int = 0, control: type = Dropdown
) -> HTML | None:
    """Save and return the figure of the choice `at`; if somebody can choose, show a control with all of them instead.

    What is drawn for another choice is not saved, and the widget exists under JupyterLab only, so no file holds it.
    """
    figure, caption, _ = draw(at)
    still = run.show(name, figure, caption)
    if not (attended() and run.show_photos):
        return still

    def _shown(choice: int) -> HTML:
        figure, caption, below = draw(choice)
        return HTML(pictures.figure_html(pictures.figure_png(figure, caption), name) + below)

    options = [(label, place) for place, label in enumerate(choices)]
    interact(_shown, choice=control(options=options, value=at, description="Show"))
    return None


def threshold(run: Run, name: str, explorer: Mapping[str, Any], marks: Mapping[str, float]) -> HTML | None:
    """Move the threshold of `interactive.threshold_explorer`: its figure and the counts of pairs follow (Fig 4.4)."""
    curve = pd.DataFrame(explorer["curve"])

    def _draw(place: int) -> Drawn:
        row = curve.loc[place]
        counts = row.filter(regex="positive$|negative$").astype(int)
        cells = {
            "similar": counts[["true_positive", "false_positive"]].to_list(),
            "dissimilar": counts[["false_negative", "true_negative"]].to_list(),
        }
        table = pd.DataFrame(cells, index=["same category", "different categories"])
        here = {} if row["threshold"] in marks.values() else {"here": row["threshold"]}
        caption = f"Figure 4.4 · Accuracy, precision, recall, F1 of {counts.sum():,} validation pairs."
        below = table_html(table, f"Pairs called similar and dissimilar at the threshold {row['threshold']:.2f}")
        return figures.threshold_curves(curve, {**marks, **here}), caption, below

    labels = [f"{value:.2f}" for value in curve["threshold"]]
    return explore(run, name, _draw, labels, explorer["chosen"], SelectionSlider)


def hardest_photos(run: Run, name: str, logits: Tensor) -> HTML | None:
    """Page through the test photos named wrongly, the least likely true name first, given (M, categories) logits."""
    study, truth = run.study, run.study.photos.labels["test"]
    named, sure = logits.argmax(dim=1), logits.softmax(dim=1)
    right = sure.gather(1, truth[:, None]).flatten()
    order = right.argsort(stable=True)
    wrong = order[(named != truth)[order]].tolist()
    if not wrong:
        return HTML("<p>No test photo is named wrongly.</p>")

    def _draw(page: int) -> Drawn:
        places = wrong[PAGE * page : PAGE * (page + 1)]
        mistaken = study.subset("test").iloc[places]
        given = [study.categories[guess] for guess in named[places]]
        titles = [f"{category}\n→ {guess}" for category, guess in zip(mistaken["category"], given, strict=True)]
        grid = photo_figures.photo_grid(study.pixels(mistaken), titles, shows=f"named wrongly, {', '.join(titles)}")
        return grid, f"The surest of {len(wrong):,} mistakes: true → given name.", ""

    return explore(run, name, _draw, [f"page {page + 1}" for page in range(-(-len(wrong) // PAGE))])


def lookalikes(run: Run, name: str, found: Mapping[str, Any]) -> HTML | None:
    """Pick a test photo of `interactive.lookalikes`: the nearest training photos follow, a row for each model."""
    photos = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in found["thumbnails"]
    ]
    queries = found["queries"]

    def _draw(place: int) -> Drawn:
        asked = queries[place]
        shown, titles = [], []
        for model, nearest in asked["neighbours"].items():
            shown += [photos[each["image"]] for each in (asked, *nearest)]
            titles += [model] + [f"{each['category']}\n{each['distance']:.2f}" for each in nearest]
        columns = 1 + len(nearest)
        grid = photo_figures.photo_grid(shown, titles, columns, shows=f"{asked['category']}, and what looks like it")
        return grid, f"{asked['category']} (left), and the nearest training photos under each model.", ""

    return explore(run, name, _draw, [f"{place + 1} · {each['category']}" for place, each in enumerate(queries)])
