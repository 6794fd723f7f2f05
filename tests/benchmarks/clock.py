"""Timing ours and theirs in turn, and the row of the table that comes of it."""

import ctypes
import math
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import NamedTuple

import torch

from autoparts import keep_freed_memory
from autoparts.study.study import processor

Times = dict[str, list[float]]  # name of a contestant to seconds of each repetition


class Bar(NamedTuple):
    """What a ratio has to reach, and what it is aimed at; with `at_most` the smaller is the better."""

    least: float = math.nan
    aim: float = math.nan
    at_most: bool = False

    def met(self, ratio: float) -> str:
        if math.isnan(self.least):
            return ""
        for limit, word in ((self.aim, "aim"), (self.least, "met")):
            if (ratio <= limit) if self.at_most else (ratio >= limit):
                return word
        return "missed"


class Row(NamedTuple):
    """One line of the table; ours and theirs are medians, the ratio is the median of the ratios."""

    work: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    bar: Bar

    def facts(self) -> dict[str, object]:
        sign = "≤" if self.bar.at_most else "≥"
        limits = [f"{sign} {limit:g}" if limit == limit else "" for limit in self.bar[:2]]
        return dict(zip(("bar", "aim"), limits, strict=True)) | {"met": self.bar.met(self.ratio)}


def usual_memory() -> None:
    """Have glibc treat memory as it does by itself after a while: thresholds at the top of their range.

    `autoparts` changes them for the whole process, from which the usual way must neither gain nor lose.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 65_536)
        libc.mallopt(-3, 32 << 20)
        libc.mallopt(-1, 64 << 20)


def interleaved(repeats: int, **contestants: Callable[[], object]) -> Times:
    """Run each contestant once to warm up, then all of them in turn; the order alternates."""
    times: Times = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        order = list(contestants) if repeat % 2 else list(contestants)[::-1]
        for name in order:
            (keep_freed_memory if name == "ours" else usual_memory)()
            started = time.perf_counter()
            contestants[name]()
            if repeat:
                times[name].append(time.perf_counter() - started)
    return times


def best_of(times: Times, *names: str) -> Times:
    """Keep of several contestants the one with the smallest median, as "theirs"."""
    best = min(names, key=lambda name: median(times[name]))
    return {"ours": times["ours"], "theirs": times[best]}


def speed_up(work: str, times: Times, amount: float, unit: str, bar: Bar, their_amount: float | None = None) -> Row:
    """Row of rates: `amount` is what ours does in one repetition, in the unit's numerator (theirs as much or else)."""
    ours = [amount / seconds for seconds in times["ours"]]
    theirs = [(their_amount or amount) / seconds for seconds in times["theirs"]]
    ratio = median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return Row(work, median(ours), median(theirs), unit, ratio, bar)


def overhead(work: str, times: Times, steps: int, bar: Bar) -> Row:
    """Row of milliseconds per step: ours as a multiple of theirs."""
    ours, theirs = ([1e3 * seconds / steps for seconds in times[name]] for name in ("ours", "theirs"))
    ratio = median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return Row(work, median(ours), median(theirs), "ms", ratio, bar)


def machine() -> dict[str, object]:
    """Say where and with what was measured."""
    packages = ("autoparts", "torch", "torchvision", "numpy", "pillow", "scikit-learn", "pytorch-metric-learning")
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else math.nan,
        "threads": torch.get_num_threads(),
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{package} {version(package)}" for package in packages)]
        ),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
