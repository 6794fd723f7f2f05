"""Parts that are stages set upon one another: turned, sprung, ring- and box-shaped ones, fasteners.

stages.csv lists the stages of each part from its foot up: form, radius, length, start and material. Radius and length
are a number or low-high, with an x in shares of the stage before; start is where a stage begins, in lengths of the one
before (-1: beside it, empty: upon it). Of several forms or materials one is drawn; an empty one is as before.
"""

import csv
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from autoparts.generated import solids as s
from autoparts.generated.traits import Traits, connector

FACING = {"bearing", "seal", "bushing", "mount", "belt", "pulley", "gear", "module", "switch", "gauge"}  # others stand
X, STEPS = np.linspace(0, 1, 25), np.arange(25)
CURVES = {  # forms that are turned: radius along the axis
    "cone": np.array([1, 0.6]), "waist": np.array([0.95, 1, 0.8, 1, 0.95]), "dome": np.sqrt(1 - X**2),
    "ball": 2 * np.sqrt(X - X**2), "flare": 0.15 + 0.85 * X**3, "thread": 1 - 0.14 * (STEPS % 2),
    "folds": 1 - 0.2 * (STEPS // 2 % 2), "rim": 1 - 0.07 * (STEPS // 2 % 2), "grooves": 1 - 0.06 * (STEPS // 4 % 2),
}  # fmt: skip
HOLES = {"waist": 0.45, "rim": 0.82}  # in some of them
ENDS, PILLOW = ([0, 0.03, 0.1, 0.9, 0.97, 1], np.array([0.85, 0.96, 1, 1, 0.9, 0.7])), s.rounded(2, 2, power=4)
TEETH = s.toothed(60, 0.9, 0.95)
FORMS = {  # the others: from traits, radius, length and material to a model
    "plain": lambda t, r, z, m: s.cylinder(r, 0, z, m),
    "sleeve": lambda t, r, z, m: s.tube(0.8 * r, r, 0, z, m, 60),
    "washer": lambda t, r, z, m: s.tube(0.55 * r, r, 0, z, m, 60),
    "web": lambda t, r, z, m: s.extrude(s.circle(r, 60), z, m, s.around(t.whole(0, 6), 0.6 * r, t(0.08, 0.2) * r, 20)),
    "gear": lambda t, r, z, m: s.extrude(s.toothed(t.whole(14, 48), t(0.84, 0.9) * r, r), z, m, [s.circle(0.25 * r)]),
    "ring": lambda t, r, z, m: s.lathe(s.circle(z / 2, 20, (r, z / 2)), m, 56),
    "balls": lambda t, r, z, m: s.ring(s.place(s.sphere(z / 2, m), (0, 0, z / 2)), t.whole(9, 14), r),
    "grips": lambda t, r, z, m: s.ring(s.box(0.16 * r, 0.1, z, m, (0, 0, z / 2)), t.whole(6, 24), 0.95 * r),
    "ticks": lambda t, r, z, m: s.ring(s.box(0.1, 0.03, z, m, (0, 0, z / 2), 0.005), t.whole(12, 32), r),
    "hexagon": lambda t, r, z, m: s.extrude(s.circle(r, 6), z, m, (), (0, 0, z / 2)),
    "block": lambda t, r, z, m: s.box(2 * r, 1.2 * r, z, m, (0, 0, z / 2)),
    "label": lambda t, r, z, m: s.box(1.2 * r, 0.8 * r, z, m, (0, 0, z / 2), 0.02),
    "sticker": lambda t, r, z, m: s.box(1.6 * r, 1.22 * r, z, m, (0, 0, z / 2), 0.02),
    "bar": lambda t, r, z, m: s.place(s.box(2 * r, 0.06, z, m, (0, 0, z / 2), 0.02), turn=(0, 0, t(0, 360))),
    "keys": lambda t, r, z, m: s.row(s.box(0.3 * r, 0.9 * r, z, m, (0, 0, z / 2)), t.whole(1, 4), (0.4 * r, 0, 0)),
    "posts": lambda t, r, z, m: s.row(s.cylinder(0.12 * r, 0, z, m), 2, (1.4 * r, 0, 0)),
    "plate": lambda t, r, z, m: s.extrude(s.rounded(3 * r, 2 * r, r / 2), z, m, s.around(2, 1.2 * r, 0.12 * r)),
    "across": lambda t, r, z, m: s.place(s.tube(0.3 * z, z / 2, -r, r, m), (0, 0, z / 2), (0, 90, 0)),
    "eye": lambda t, r, z, m: s.place(s.tube(0.4 * r, r, -z / 2, z / 2, m), (0, 0, r), (90, 0, 0)),
    "plug": lambda t, r, z, m: connector(t, (r, 0, 0), (0, t(40, 90), 0)),
    "socket": lambda t, r, z, m: connector(t, (0, 0, z), (180, 0, 0)),
    "coil": lambda t, r, z, m: s.place(s.sweep(_helix(t, r, z, t(4, 9)), t(0.1, 0.25) * r, m), (0, 0, z / 2)),
    "loops": lambda t, r, z, m: _wire(t, _helix(t, r, z, t(1, 2.6)), 0.04, m),
    "lead": lambda t, r, z, m: _wire(t, s.curve([(0, 0, 0), (0, 0, 0.4), (t(-1, 1), 0.4, 1), (t(-1, 1), 0, z)]), r, m),
    "band": lambda t, r, z, m: s.place(s.extrude(s.circle(r, 72), z, m, [TEETH * r]), scale=(1, t(0.4, 1), 1)),
    "pillow": lambda t, r, z, m: s.sweep(np.outer(ENDS[0], (t(-0.2, 0.2), 0, z)), ENDS[1], m, PILLOW * (r, 0.6 * r)),
}


def _helix(t: Traits, radius: float, length: float, turns: float) -> s.Array:
    """Return a cylindrical, conical or barrel-shaped helix."""
    return s.helix(radius * np.array(t.pick([1, 1], [0.7, 1], [0.7, 1, 0.7])), length / turns, turns)


def _wire(t: Traits, path: s.Array, radius: float, material: s.Material) -> s.Model:
    """Return a wire along a path, with a plug at its end."""
    return s.sweep(path, radius, material) + connector(t, path[-1], (t(0, 180), t(0, 90), 0))


def _size(t: Traits, text: str, before: float) -> float:
    """Return a radius or length as stages.csv gives it."""
    low, _, high = (text or "x1").removeprefix("x").partition("-")
    return t(float(low), float(high or low)) * (1 if text[:1].isdigit() else before)


def _stacked(t: Traits, stages: list[dict[str, str]]) -> s.Model:
    """Return the model of stages, rows of stages.csv."""
    model, top, radius, length, material = [], 0.0, 0.0, 0.0, s.STEEL
    for stage in stages:
        form, name = t.pick(*stage["form"].split()), t.pick(*stage["material"].split(" "))
        if form == "none":
            continue
        top += float(stage["start"] or 0) * length
        radius, length = _size(t, stage["radius"], radius), _size(t, stage["length"], length)
        material = t.paint() if name == "paint" else getattr(s, name.upper(), material)
        if form in FORMS:
            made = FORMS[form](t, radius, length, material)
        else:
            hole, line = HOLES.get(form, 0) * radius, radius * CURVES[form]
            profile = zip(line, np.linspace(0, length, len(line)), strict=True)
            made = s.lathe([(hole, 0), *profile, (hole, length)], material)
        model, top = model + s.place(made, (0, 0, top)), top + length
    return s.place(model, turn=s.ZERO if stages[0]["part"] in FACING else s.STANDING)


ROWS = csv.DictReader(Path(__file__).with_name("stages.csv").read_text("utf-8").splitlines())
PARTS = {part: partial(_stacked, stages=list(stages)) for part, stages in groupby(ROWS, key=itemgetter("part"))}
