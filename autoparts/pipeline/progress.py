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


def trainings(values: Mapping[str, Any]) -> int:
    """Return about how many trainings a notebook prints lines on, given its parameters: notebook 6 many, others one."""
    if "row_epochs" not in values:
        return 1
    rows = variants.ROWS if values["rows"] == "all" else variants.FEW
    families = {(row.task, row.network) for row in rows if row.trained}
    tuned = len(families) + sum(bool(getattr(task, "margin", None)) for task, _ in families)
    held_out = sum(1 + row.trained for row in variants.HELD_OUT) * values["held_out_draws"] * values["seeds"]
    whole = bool(values["recipe_epochs"]) * values["seeds"] + bool(values["scratch_epochs"])
    return len(rows) + tuned * values["tune"] + held_out + whole


def done(told: str, trainings: int) -> float:
    """Return the share of a notebook's trainings that is done, by what it has printed so far on epochs and rows."""
    epochs = [int(epoch) / int(last) for epoch, last in EPOCH.findall(told)]
    whole = epochs.count(1) + len(ROW.findall(told))
    return min(1, (whole + (epochs[-1] % 1 if epochs else 0)) / trainings)


class Progress(io.StringIO):
    """The file that a notebook prints to: whole lines are shown above the bar as they appear, and move it."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        """Show a bar of so many expected seconds by notebook; none without notebooks."""
        super().__init__()
        self.seconds, self.stem, self.trainings, self.start, self.began = dict(seconds), "", 1, 0.0, 0.0
        self.lines = DummyTqdmFile(sys.stderr)
        look = "{desc:24}{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        self.bar = tqdm(total=sum(seconds.values()), bar_format=look, file=sys.stderr, disable=not seconds)

    def begin(self, stem: str, trainings: int) -> None:
        """Name the notebook that runs from now on, and say about how many trainings it prints lines."""
        self.truncate(self.seek(0))
        self.stem, self.trainings, self.start, self.began = stem, trainings, self.bar.n, time.monotonic()
        self.bar.set_description_str(stem)

    def write(self, text: str) -> int:
        """Take what it prints."""
        self.lines.write(text)
        length = super().write(text)
        self.move(done(self.getvalue(), self.trainings))
        return length

    def move(self, share: float) -> None:
        """Move the bar to where this share of the notebook is done, and expect its rest to go on as fast."""
        if share and self.stem in self.seconds:
            expected = (time.monotonic() - self.began) / share
            self.bar.total += expected - self.seconds[self.stem]
            self.seconds[self.stem] = expected
        self.bar.n = self.start + share * self.seconds.get(self.stem, 0)
        self.bar.refresh()

    def skip(self, stem: str) -> None:
        """Expect no more of a notebook, which turns out to be up to date."""
        self.bar.total -= self.seconds.get(stem, 0)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()
        super().close()
