"""How far a run is: a bar of the seconds that its notebooks are expected to take, moved by what they print."""

import io
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from autoparts.experiments import variants

EPOCH = re.compile(r"^epoch +(\d{1,9})/([1-9]\d{0,8}) ", re.MULTILINE)  # as `training.progress_line` writes it
# As `experiments.trials` says that a row is trained, or which of three learning rates or margins it takes:
ROW = re.compile(r"^\S.*, \d+ s$|^best of three: ", re.MULTILINE)


def trainings(values: Mapping[str, Any]) -> tuple[float, float]:
    """Return about how much a notebook trains, given its parameters, and how much of that a training told by epochs is.

    Notebook 6 counts in rows; beside them it tunes the recommended model, by epochs. The others train once.
    """
    if "row_epochs" not in values:
        return 1, 1
    whole = values["rows"] == "all"
    rows, recipes = (variants.ROWS, [*variants.RECIPES.values()]) if whole else (variants.FEW, [])
    families = {(row.task, row.network) for row in rows if row.trained}
    tried = [task for task, _ in families] + [row.task for row in recipes]
    tuned = len(tried) + sum(bool(getattr(task, "margin", None)) for task in tried)
    again = whole * (1 + len(variants.THESIS) + len(recipes))  # section 6.6
    held_out = sum(1 + row.trained for row in variants.HELD_OUT) * values["held_out_draws"] * values["seeds"]
    by_epochs = bool(values["recipe_epochs"]) * values["seeds"] + bool(values["scratch_epochs"])
    passes = max(values["recipe_epochs"], values["scratch_epochs"]) / values["row_epochs"]
    heavy = 1.5 * passes * (values["recipe_side"] / values["row_side"]) ** 2  # found by timing both
    return len(rows) + tuned * values["tune"] + held_out + again + by_epochs * heavy, heavy


def done(told: str, trainings: float, by_epochs: float = 1) -> float:
    """Return the share of a notebook's trainings that is done, by what it has printed so far on epochs and rows."""
    epochs = [int(epoch) / int(last) for epoch, last in EPOCH.findall(told)]
    whole = by_epochs * (epochs.count(1) + (epochs[-1] % 1 if epochs else 0)) + len(ROW.findall(told))
    return min(1, whole / trainings)


class Progress(io.StringIO):
    """The file that a notebook prints to: whole lines are shown above the bar as they appear, and move it."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        """Show a bar of so many expected seconds by notebook; none without notebooks."""
        super().__init__()
        self.seconds, self.stem, self.trainings, self.start, self.began = dict(seconds), "", (1, 1), 0.0, 0.0
        self.lines = DummyTqdmFile(sys.stderr)
        look = "{desc:24}{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        self.bar = tqdm(total=sum(seconds.values()), bar_format=look, file=sys.stderr, disable=not seconds)

    def begin(self, stem: str, trainings: tuple[float, float] = (1, 1)) -> None:
        """Name the notebook that runs from now on, and say what it trains, see `trainings`."""
        self.truncate(self.seek(0))
        self.stem, self.trainings, self.start, self.began = stem, trainings, self.bar.n, time.monotonic()
        self.bar.set_description_str(stem)

    def write(self, text: str) -> int:
        """Take what it prints."""
        self.lines.write(text)
        length = super().write(text)
        self.move(done(self.getvalue(), *self.trainings))
        return length

    def move(self, share: float) -> None:
        """Move the bar to where this share of the notebook is done, and expect its rest to go on as fast."""
        if share and self.stem in self.seconds:
            expected = (time.monotonic() - self.began) / share
            self.bar.total += expected - self.seconds[self.stem]
            self.seconds[self.stem] = expected
        self.bar.n = min(self.start + share * self.seconds.get(self.stem, 0), self.bar.total)  # but for rounding
        self.bar.refresh()

    def skip(self, stem: str) -> None:
        """Expect no more of a notebook, which turns out to be up to date."""
        self.bar.total -= self.seconds.get(stem, 0)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()
        super().close()
