"""Archetypes of turned, cast and sprung parts: one short function each, built from the primitives of `solids`.

An archetype takes `Traits`, which draws a proportion near the value its category fixed, and returns a model. To add
one, write the function, here or in a `parts_` module, and give `part` the names it draws: a category belongs to the
longest name that it ends in.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from autoparts import solids as s
from autoparts.solids import (
    Material,
    Model,
    around,
    box,
    circle,
    curve,
    cylinder,
    extrude,
    lathe,
    place,
    repeat,
    ring,
    tube,
)

STEEL = Material((0.62, 0.63, 0.65), 0.45, 25, 0.35, 0.02)
CHROME = Material((0.85, 0.86, 0.88), 0.8, 120, 0.85)
MACHINED = Material((0.70, 0.70, 0.71), 0.5, 40, 0.3, 0.03)
ALUMINIUM = Material((0.66, 0.66, 0.65), 0.3, 12, 0.12, 0.09)
IRON = Material((0.34, 0.33, 0.32), 0.2, 10, 0.04, 0.12)
BLACKENED = Material((0.13, 0.13, 0.14), 0.5, 30, 0.10, 0.02)
GLOSS_BLACK = Material((0.07, 0.07, 0.08), 0.8, 60, 0.14)
PLASTIC = Material((0.15, 0.15, 0.16), 0.35, 14, 0.02, 0.03)
GREY = Material((0.48, 0.48, 0.49), 0.25, 12, 0.02, 0.02)
RUBBER = Material((0.14, 0.14, 0.14), 0.12, 6, 0.0, 0.05)
ZINC = Material((0.74, 0.68, 0.48), 0.5, 30, 0.3, 0.03)
COPPER = Material((0.72, 0.45, 0.28), 0.5, 30, 0.4)
WHITE = Material((0.92, 0.92, 0.90), 0.4, 30, 0.04)
METALS = (STEEL, MACHINED, ALUMINIUM, IRON, BLACKENED, ZINC, STEEL)
DARKS = (PLASTIC, GLOSS_BLACK, RUBBER, BLACKENED, PLASTIC, GREY)
COLOURS = (
    (0.75, 0.08, 0.08), (0.1, 0.2, 0.6), (0.85, 0.85, 0.86), (0.1, 0.1, 0.11), (0.5, 0.52, 0.55), (0.9, 0.6, 0.1),
    (0.1, 0.4, 0.2),
)  # fmt: skip


class Traits:
    """Draws the proportions of one product: near its category's own, apart from them by `spread` (0-1)."""

    def __init__(self, category: np.random.Generator, product: np.random.Generator, spread: float) -> None:
        self.category, self.product, self.spread = category, product, spread

    def __call__(self, low: float, high: float) -> float:
        """Return a number between low and high."""
        own, shared = self.product.random(), self.category.random()
        return low + (high - low) * (self.spread * own + (1 - self.spread) * shared)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high."""
        return int(self(low, high + 0.999))

    def pick(self, *options: Any) -> Any:
        """Return the category's favourite, or by chance another option."""
        own, shared, change = self.product.random(), self.category.random(), self.product.random()
        return options[int((own if change < self.spread else shared) * len(options))]

    def paint(self) -> Material:
        """Return a glossy paint of any colour."""
        return Material(tuple(c * self(0.8, 1.1) for c in self.pick(*COLOURS)), 0.6, 60, 0.12)


Archetype = Callable[[Traits], Model]
PARTS: dict[str, Archetype] = {}


def part(*names: str) -> Callable[[Archetype], Archetype]:
    """Register an archetype under the part names that it draws."""
    return lambda archetype: [PARTS.__setitem__(name, archetype) for name in names] and archetype


def connector(t: Traits) -> Model:
    """Return a plug of black or grey plastic along z with a dark mouth and a latch."""
    shell, wide = t.pick(PLASTIC, GREY, PLASTIC), t(0.25, 0.5)
    model = extrude(s.rounded(wide, 0.24, 0.06), 0.4, shell, [s.rounded(wide - 0.08, 0.16, 0.04)], (0, 0, 0.2))
    return model + box(wide, 0.24, 0.05, shell, (0, 0, 0.1)) + box(0.1, 0.06, 0.3, shell, (0, 0.14, 0.22))


@part("Brake Disc", "Rotor")
def brake_disc(t: Traits) -> Model:
    """Vented friction ring, hat, bolt circle; some are drilled."""
    hat, rise, thick, face = t(0.42, 0.6), t(0.05, 0.4), t(0.06, 0.2), t.pick(MACHINED, STEEL, MACHINED)
    bore, drilled = t(0.14, 0.24), around(t.whole(18, 36), 0.78, 0.022, 8) if t.pick(0, 0, 1) else []
    plate = extrude(circle(1, 72), thick / 3, face, [circle(hat, 60), *drilled])
    model = repeat(plate, [(0, 0, thick / 3), (0, 0, -thick / 3)])
    model += ring(box(0.95 - hat, 0.03, thick / 3, IRON), 40, (0.95 + hat) / 2)
    holes = [circle(bore, 40), *around(t.whole(4, 8), (hat + bore) / 2, t(0.035, 0.055))]
    top = thick / 2 + rise
    model += tube(hat - 0.06, hat, -thick / 2, top, t.pick(IRON, MACHINED, BLACKENED))
    return model + extrude(circle(hat - 0.02, 60), 0.06, face, holes, (0, 0, top - 0.03))


@part("Brake Drum", "Drum")
def drum(t: Traits) -> Model:
    """Deep bowl with a bolt circle and a lipped rim."""
    deep, lip, face = t(0.35, 0.75), t(0.03, 0.1), t.pick(IRON, BLACKENED, MACHINED)
    wall = [
        (0.9, 0),
        (0.98, 0),
        (0.98, deep - 0.1),
        (0.9, deep),
        (0.6, deep + 0.03),
        (0.6, deep - 0.04),
        (0.86, deep - 0.08),
    ]
    holes = [circle(t(0.15, 0.3), 40), *around(t.whole(4, 8), 0.44, 0.05)]
    return lathe(wall, face, 64) + extrude(circle(0.62, 60), 0.07, face, holes, (0, 0, deep)) + s.torus(0.98, lip, face)


@part("Pulley", "Tensioner", "Balancer")
def pulley(t: Traits) -> Model:
    """Grooved or flat rim, web with openings, hub."""
    wide, hub, grooves, metal = t(0.2, 0.7), t(0.18, 0.35), t.whole(0, 7), t.pick(*METALS, PLASTIC)
    rim = [(0.93 if i % 2 else 1, z) for i, z in enumerate(np.linspace(-wide / 2, wide / 2, 2 * grooves + 2))]
    model = lathe([(0.82, -wide / 2), *rim, (0.82, wide / 2)], metal, 60)
    holes = [circle(hub * 0.6, 30), *around(t.whole(0, 6), 0.58, t(0.07, 0.17), 20)]
    model += extrude(circle(0.84, 60), t(0.06, 0.15), metal, holes, (0, 0, t(-0.3, 0.3) * wide))
    return model + tube(hub * 0.6, hub, -wide * 0.4, wide * 0.6, t.pick(STEEL, metal))


@part("Gear", "Sprocket")
def gear(t: Traits) -> Model:
    """Toothed wheel with a splined or round bore and openings in its web."""
    metal, thick = t.pick(STEEL, IRON, BLACKENED, MACHINED), t(0.1, 0.45)
    bore = s.toothed(t.whole(8, 20), 0.14, 0.17) if t.pick(0, 1) else circle(t(0.12, 0.35), 30)
    holes = [bore, *around(t.whole(0, 6), 0.58, t(0.06, 0.15), 20)]
    model = extrude(s.toothed(t.whole(14, 48), t(0.84, 0.9), 1, t(0.3, 0.5), 0.2), thick, metal, holes)
    return model + (tube(0.2, 0.36, -thick, thick, metal) if t.pick(0, 1) else [])


@part("Wheel")
def wheel(t: Traits) -> Model:
    """Rim with spokes, lug holes and a centre cap."""
    wide, metal = t(0.5, 0.9), t.pick(ALUMINIUM, CHROME, GLOSS_BLACK, STEEL, MACHINED)
    rim = [(1, -wide), (0.9, 0.12 - wide), (0.84, -0.3), (0.9, -0.1), (1, -0.05), (1, 0), (0.95, 0), (0.86, -0.12)]
    rim += [(0.8, -0.3), (0.86, -wide)]
    spoke = s.rounded(0.75, t(0.08, 0.3), 0.05)
    spoke[:, 1] *= np.interp(spoke[:, 0], [-0.4, 0.4], [t(0.5, 1.2), t(0.5, 1.2)])
    model = lathe(rim, metal, 64) + ring(extrude(spoke, 0.12, metal, (), (0, 0, -0.18)), t.whole(5, 10), 0.52)
    model += extrude(circle(0.3, 40), 0.14, metal, around(t.whole(4, 6), 0.2, 0.035), (0, 0, -0.16))
    return model + place(s.sphere(0.11, t.pick(CHROME, PLASTIC), 0.4), (0, 0, -0.1))


@part("Tire")
def tire(t: Traits) -> Model:
    """Rubber ring with tread blocks."""
    hole, wide = t(0.55, 0.72), t(0.25, 0.45)
    wall = [
        (hole, -wide * 0.7),
        (0.8, -wide),
        (0.95, -wide * 0.9),
        (0.97, 0),
        (0.95, wide * 0.9),
        (0.8, wide),
        (hole, wide * 0.7),
    ]
    block = box(0.06, t(0.05, 0.1), wide * 0.5, RUBBER, corner=0.01)
    tread = ring(repeat(block, [(0, 0, -wide * 0.55), (0, t(-0.06, 0.06), wide * 0.1), (0, 0, wide * 0.68)]), 44, 0.97)
    return lathe(wall, RUBBER, 64) + tread + s.torus(0.88, 0.012, RUBBER)


@part("Spring")
def coil_spring(t: Traits) -> Model:
    """Cylindrical, conical or barrel-shaped coil."""
    shape = np.array(t.pick([1, 1], [0.7, 1], [0.7, 1, 0.7])) * 0.5
    line = s.helix(shape, t(0.22, 0.42), t(4, 9))
    return place(
        s.sweep(line, t(0.05, 0.13), t.pick(GLOSS_BLACK, t.paint(), BLACKENED, STEEL), circle(1, 9)), turn=(90, 0, 0)
    )


@part("Leaf Spring")
def leaf_spring(t: Traits) -> Model:
    """Stacked bows with eyes and a clip."""
    leaves, bow, paint = t.whole(1, 7), t(0.1, 0.45), t.pick(BLACKENED, GLOSS_BLACK, IRON, GREY)
    section, model = s.rounded(0.05, t(0.16, 0.26), 0.01)[:, ::-1], []
    for i in range(leaves):
        x = np.linspace(-1, 1, 28) * (1 - 0.8 * i / max(leaves, 4))
        model += s.sweep(np.stack([x, bow * x**2 - 0.055 * i, 0 * x], 1), 1.0, paint, section)
    model += box(0.06, 0.06 * leaves + 0.06, 0.3, STEEL, (0, 0.03 - 0.03 * leaves, 0))
    return model + repeat(tube(0.05, 0.09, -0.1, 0.1, paint, 24), [(-1, bow + 0.06, 0), (1, bow + 0.06, 0)])


@part("Muffler", "Converter", "Resonator")
def muffler(t: Traits) -> Model:
    """Oval body with seams and a pipe at either end."""
    long, pipe, bend, metal = t(0.9, 2), t(0.1, 0.2), t(-0.5, 0.5), t.pick(STEEL, CHROME, ALUMINIUM, IRON)
    z = np.array([-1, -0.97, -0.93, -0.9, 0.9, 0.93, 0.97, 1]) * long / 2
    girth = np.array([0.45, 0.52, 0.53, 0.5, 0.5, 0.53, 0.52, 0.45])
    model = s.sweep(np.stack([0 * z, 0 * z, z], 1), girth, metal, circle(1, 40) * (1, t(0.55, 1)))
    inlet = curve([(0, 0, 0), (0, 0, 0.3), (bend, 0, t(0.5, 0.9)), (bend * 2, t(-0.3, 0.3), t(0.9, 1.3))], 16)
    model += place(s.sweep(inlet, pipe, metal, solid=False), (t(-0.2, 0.2), 0, long / 2))
    tail = s.sweep(curve([(0, 0, 0), (0, 0, -t(0.2, 0.7))], 4), pipe, t.pick(metal, CHROME), solid=False)
    return place(model + repeat(tail, [(x, 0, -long / 2) for x in t.pick((0,), (-0.22, 0.22))]), turn=(0, 90, 0))


@part("Piston")
def piston(t: Traits) -> Model:
    """Crown with a bowl, ring grooves, skirt with a pin bore."""
    high, deep, metal = t(0.8, 1.4), t(0.02, 0.2), t.pick(ALUMINIUM, MACHINED, STEEL)
    grooves = [
        (r, high - 0.1 - 0.1 * i - d)
        for i in range(t.whole(2, 4))
        for r, d in ((0.6, 0), (0.55, 0.01), (0.55, 0.05), (0.6, 0.06))
    ]
    crown = [(0, high - deep), (t(0.2, 0.45), high - deep), (t(0.46, 0.52), high), (0.6, high)]
    model = lathe([*crown, *grooves, (0.6, 0), (0.5, 0), (0.5, 0.5 * high), (0, 0.5 * high)], metal)
    pin = place(tube(0.11, 0.17, -0.63, 0.63, MACHINED), (0, 0, 0.4 * high), (0, 90, 0))
    return place(model + pin, turn=(-90, 0, 0))


@part("Engine Valve", "Valve")
def engine_valve(t: Traits) -> Model:
    """Long stem with a flared head."""
    head, stem, long, metal = t(0.2, 0.42), t(0.035, 0.07), t(1.2, 2), t.pick(STEEL, BLACKENED, MACHINED, CHROME)
    flare = [(stem + (head - stem) * x**3, 0.45 * x - 0.45) for x in np.linspace(0, 0.97, 12)]
    groove = [(stem, 0.1 - long), (stem * 0.7, 0.09 - long), (stem * 0.7, 0.05 - long), (stem, 0.04 - long)]
    model = lathe(
        [(0, -long), (stem, -long), *reversed(groove), *flare, (head, 0), (head * 0.6, 0.03), (0, t(-0.05, 0.05))],
        metal,
    )
    return place(model, turn=(90, 0, 0))


@part("Spark Plug", "Plug")
def spark_plug(t: Traits) -> Model:
    """Ribbed white insulator, hexagon, thread, electrode."""
    ribs, shell = t.whole(0, 5), t.pick(STEEL, ZINC, BLACKENED)
    porcelain = [(0.16 + 0.02 * (i % 2), 0.45 + 0.06 * i) for i in range(2 * ribs)]
    model = lathe([(0, 0.3), (0.2, 0.3), *porcelain, (0.14, 1), (0.12, 1.3), (0, 1.3)], t.pick(WHITE, WHITE, GREY))
    model += cylinder(t(0.06, 0.1), 1.3, 1.5, STEEL) + extrude(circle(0.3, 6), 0.25, shell, (), (0, 0, 0.2))
    thread = [(0.19 if i % 2 else 0.165, 0.05 - 0.03 * i) for i in range(t.whole(14, 28))]
    model += lathe(
        [(0, 0.1), (0.24, 0.1), (0.24, 0.05), *thread, (0.12, thread[-1][1]), (0, thread[-1][1])][::-1], STEEL
    )
    hook = curve([(0.14, 0, 0), (0.14, 0, -0.14), (0.1, 0, -0.18), (0, 0, -0.18)], 10)
    return place(model + place(s.sweep(hook, 0.03, STEEL), (0, 0, thread[-1][1])), turn=(-90, 0, 0))
