"""The parts that the generated catalogue knows: one short function an archetype, built from the primitives of `solids`.

An archetype takes `Traits`, which draws a proportion around the value that the category fixed, and returns a model. To
add one: write the function, give it names in `synthetic.NAMES`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from autoparts.solids import (
    Material,
    Model,
    around,
    box,
    circle,
    curve,
    cylinder,
    extrude,
    helix,
    lathe,
    place,
    repeat,
    ring,
    rounded,
    sheet,
    sphere,
    sweep,
    toothed,
    torus,
)

STEEL = Material((0.62, 0.63, 0.65), 0.45, 25, 0.35, 0.02)
CHROME = Material((0.85, 0.86, 0.88), 0.8, 120, 0.85)
MACHINED = Material((0.72, 0.72, 0.73), 0.5, 40, 0.3, 0.03)
ALUMINIUM = Material((0.70, 0.70, 0.69), 0.3, 12, 0.12, 0.09)
IRON = Material((0.36, 0.35, 0.34), 0.2, 10, 0.04, 0.14)
BLACKENED = Material((0.13, 0.13, 0.14), 0.5, 30, 0.10, 0.02)
GLOSS_BLACK = Material((0.07, 0.07, 0.08), 0.8, 60, 0.14)
PLASTIC = Material((0.15, 0.15, 0.16), 0.35, 14, 0.02, 0.03)
GREY = Material((0.48, 0.48, 0.49), 0.25, 12, 0.02, 0.02)
RUBBER = Material((0.14, 0.14, 0.14), 0.12, 6, 0.0, 0.05)
ZINC = Material((0.74, 0.68, 0.48), 0.5, 30, 0.3, 0.03)
COPPER = Material((0.72, 0.45, 0.28), 0.5, 30, 0.4)
BRASS = Material((0.78, 0.64, 0.34), 0.5, 30, 0.4)
WHITE = Material((0.92, 0.92, 0.90), 0.4, 30, 0.04)
GLASS = Material((0.85, 0.88, 0.92), 0.9, 90, 0.25, 0.0, 0.22)
METALS = (STEEL, MACHINED, ALUMINIUM, IRON, BLACKENED, ZINC, CHROME)
DARKS = (PLASTIC, GLOSS_BLACK, RUBBER, BLACKENED, GREY)


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
        return options[int((own if change < 0.8 * self.spread else shared) * len(options))]

    def paint(self, gloss: float = 60) -> Material:
        """Return a paint of any colour, mostly a product's own."""
        hue = self.pick(
            (0.75, 0.08, 0.08),
            (0.1, 0.2, 0.6),
            (0.85, 0.85, 0.86),
            (0.1, 0.1, 0.11),
            (0.5, 0.52, 0.55),
            (0.9, 0.6, 0.1),
            (0.1, 0.4, 0.2),
        )
        return Material(tuple(c * self(0.8, 1.1) for c in hue), 0.6, gloss, 0.12)


def brake_disc(t: Traits) -> Model:
    """Vented or solid rotor: hat, friction ring, bolt circle, sometimes drilled or slotted."""
    hat, rise, thick, face = t(0.42, 0.6), t(0.05, 0.4), t(0.06, 0.2), t.pick(MACHINED, STEEL, MACHINED)
    bore, bolts = t(0.14, 0.24), t.whole(4, 8)
    drilled = around(t.whole(18, 36), 0.78, 0.022, 8) if t.pick(0, 0, 1) else []
    gap = 0.35 * thick
    plate = extrude(circle(1, 72), (thick - gap) / 2, face, [circle(hat, 60), *drilled])
    model = place(plate, (0, 0, (thick + gap) / 4)) + place(plate, (0, 0, -(thick + gap) / 4))
    model += ring(place(box(0.95 - hat, 0.03, gap, IRON), (0, 0, 0)), 40, (0.95 + hat) / 2)
    top = thick / 2 + rise
    wall = [
        (hat, -thick / 2),
        (hat, top - 0.04),
        (hat - 0.05, top - 0.01),
        (hat - 0.06, top - 0.04),
        (hat - 0.06, -thick / 2),
    ]
    holes = [circle(bore, 40), *around(bolts, (hat + bore) / 2, t(0.035, 0.055))]
    return (
        model
        + lathe(wall, t.pick(IRON, MACHINED, BLACKENED))
        + place(extrude(circle(hat - 0.02, 60), 0.06, face, holes), (0, 0, top - 0.03))
    )


def drum(t: Traits) -> Model:
    """Brake drum: a deep bowl with a bolt circle, fins on its rim."""
    deep, lip, bolts, face = t(0.35, 0.75), t(0.03, 0.1), t.whole(4, 8), t.pick(IRON, BLACKENED, MACHINED)
    profile = [
        (0.9, 0),
        (0.98, 0),
        (0.98, deep - 0.1),
        (0.9, deep),
        (0.6, deep + 0.03),
        (0.6, deep - 0.04),
        (0.86, deep - 0.08),
        (0.9, deep - 0.15),
    ]
    holes = [circle(t(0.15, 0.3), 40), *around(bolts, 0.44, 0.05)]
    model = lathe(profile, face, 64) + place(extrude(circle(0.62, 60), 0.07, face, holes), (0, 0, deep))
    return model + torus(0.98, lip, face) + (torus(0.98, lip * 0.8, face) if t.pick(0, 1) else [])


def pulley(t: Traits) -> Model:
    """Grooved or flat pulley with a hub, spokes or a solid web."""
    wide, hub, grooves, metal = t(0.2, 0.7), t(0.18, 0.35), t.whole(0, 7), t.pick(*METALS, PLASTIC)
    z = np.linspace(-wide / 2, wide / 2, 2 * grooves + 2)
    rim = [(0.93 if i % 2 else 1.0, float(v)) for i, v in enumerate(z)]
    model = lathe([(0.82, -wide / 2), *rim, (0.82, wide / 2)], metal, 60)
    holes = [circle(hub * 0.6, 30), *around(t.whole(0, 6), 0.58, t(0.07, 0.17), 20)]
    model += place(extrude(circle(0.84, 60), t(0.06, 0.15), metal, holes), (0, 0, t(-0.3, 0.3) * wide))
    return model + lathe(
        [(hub * 0.6, -wide * 0.4), (hub, -wide * 0.4), (hub, wide * 0.6), (hub * 0.6, wide * 0.6)], t.pick(STEEL, metal)
    )


def gear(t: Traits) -> Model:
    """Gear or sprocket: teeth, web with openings, hub."""
    teeth, metal, thick = t.whole(14, 48), t.pick(STEEL, IRON, BLACKENED, MACHINED), t(0.1, 0.45)
    bore = toothed(t.whole(8, 20), 0.14, 0.17) if t.pick(0, 1) else circle(t(0.12, 0.35), 30)
    holes = [bore, *around(t.whole(0, 6), 0.58, t(0.06, 0.15), 20)]
    model = extrude(toothed(teeth, t(0.84, 0.9), 1.0, t(0.3, 0.5), 0.2), thick, metal, holes)
    return model + lathe([(0.2, -thick), (0.36, -thick), (0.36, thick), (0.2, thick)], metal) if t.pick(0, 1) else model


def wheel(t: Traits) -> Model:
    """Wheel rim with spokes, lug holes and a centre cap."""
    wide, spokes, metal = t(0.5, 0.9), t.whole(5, 10), t.pick(ALUMINIUM, CHROME, GLOSS_BLACK, STEEL, MACHINED)
    rim = [
        (1, -wide),
        (1, -wide + 0.05),
        (0.9, -wide + 0.12),
        (0.84, -0.3),
        (0.9, -0.1),
        (1, -0.05),
        (1, 0),
        (0.95, 0),
        (0.86, -0.12),
        (0.8, -0.3),
        (0.86, -wide),
    ]
    arm = rounded(0.75, t(0.08, 0.3), 0.05) * np.array([1, 1])
    arm[:, 1] *= np.interp(arm[:, 0], [-0.4, 0.4], [t(0.5, 1.2), t(0.5, 1.2)])
    model = lathe(rim, metal, 64) + ring(place(extrude(arm, 0.12, metal), (0, 0, -0.18)), spokes, 0.52)
    model += place(extrude(circle(0.3, 40), 0.14, metal, around(5, 0.2, 0.035)), (0, 0, -0.16))
    return model + place(sphere(0.11, t.pick(CHROME, PLASTIC), 0.4), (0, 0, -0.1))


def coil_spring(t: Traits) -> Model:
    """Coil spring: cylindrical, conical or barrel shaped."""
    wire, turns = t(0.05, 0.13), t(4, 9)
    shape = t.pick([1, 1], [0.7, 1], [0.7, 1, 0.7])
    paint = t.pick(GLOSS_BLACK, t.paint(), BLACKENED, STEEL)
    return place(sweep(helix(np.array(shape) * 0.5, t(0.22, 0.42), turns), wire, paint, circle(1, 9)), turn=(90, 0, 0))


def leaf_spring(t: Traits) -> Model:
    """Leaf spring: stacked bows with eyes and clips."""
    leaves, bow, paint = t.whole(1, 7), t(0.1, 0.45), t.pick(BLACKENED, GLOSS_BLACK, IRON, GREY)
    section, model = rounded(0.05, t(0.16, 0.26), 0.01), []
    for i in range(leaves):
        x = np.linspace(-1, 1, 28) * (1 - 0.8 * i / max(leaves, 4))
        model += sweep(np.stack([x, bow * x**2 - 0.055 * i, 0 * x], 1), 1.0, paint, section[:, ::-1])
    eye = lathe([(0.05, -0.1), (0.09, -0.1), (0.09, 0.1), (0.05, 0.1)], paint, 24)
    clip = place(box(0.06, 0.06 * leaves + 0.06, 0.3, STEEL), (0, -0.03 * leaves + 0.03, 0))
    return model + repeat(eye, [(-1, bow + 0.06, 0), (1, bow + 0.06, 0)]) + clip


def muffler(t: Traits) -> Model:
    """Muffler or converter: an oval body with seams and pipes at both ends."""
    long, flat, metal = t(0.9, 2.0), t(0.55, 1.0), t.pick(STEEL, CHROME, ALUMINIUM, IRON)
    z = np.array([-1, -0.97, -0.93, -0.9, 0.9, 0.93, 0.97, 1]) * long / 2
    body = sweep(
        np.stack([0 * z, 0 * z, z], 1),
        np.array([0.45, 0.52, 0.53, 0.5, 0.5, 0.53, 0.52, 0.45]),
        metal,
        circle(1, 40) * (1, flat),
    )
    pipe, bend = t(0.1, 0.2), t(-0.5, 0.5)
    ends = curve([(0, 0, 0), (0, 0, 0.3), (bend, 0, t(0.5, 0.9)), (bend * 2, t(-0.3, 0.3), t(0.9, 1.3))], 16)
    model = body + place(sweep(ends, pipe, metal, solid=False), (t(-0.2, 0.2), 0, long / 2))
    tails = [(x, 0, -long / 2) for x in t.pick((0,), (-0.22, 0.22))]
    tail = place(
        sweep(
            np.stack([0 * z[:4], 0 * z[:4], np.linspace(0, t(0.2, 0.7), 4)], 1),
            pipe,
            t.pick(metal, CHROME),
            solid=False,
        ),
        turn=(180, 0, 0),
    )
    return place(model + repeat(tail, tails), turn=(0, 90, 0))


def radiator(t: Traits) -> Model:
    """Radiator, condenser or cooler: finned core between two tanks, necks."""
    wide, high, deep, tank = t(1.3, 2.2), t(0.8, 1.3), t(0.06, 0.2), t.pick(PLASTIC, ALUMINIUM, GLOSS_BLACK, ALUMINIUM)
    rows = t.whole(14, 30)
    tube = box(wide, 0.4 * high / rows, deep, t.pick(ALUMINIUM, BLACKENED, GREY), 0.005)
    core = repeat(tube, [(0, y, 0) for y in np.linspace(-high / 2, high / 2, rows)])
    core += place(box(wide, high, deep * 0.6, Material((0.33, 0.33, 0.34), 0.1, 5, 0, 0.35)))
    side = box(t(0.08, 0.2), high * 1.08, deep * t(1.2, 2.2), tank)
    model = core + repeat(side, [(-wide / 2, 0, 0), (wide / 2, 0, 0)])
    neck = cylinder(0.07, 0, 0.25, tank)
    return model + repeat(neck, [(-wide / 2, high * t(0.2, 0.45), deep), (wide / 2, -high * t(0.2, 0.45), deep)])


def headlight(t: Traits) -> Model:
    """Lamp: housing, chrome bowls with bulbs, clear or coloured lens with a swept outline."""
    wide, high, bowls = t(1.2, 2.0), t(0.6, 1.0), t.whole(1, 3)
    outline = rounded(wide, high, power=t(2, 6))
    outline[:, 1] *= np.interp(outline[:, 0], [-wide / 2, wide / 2], [t(0.3, 1), 1])
    outline[:, 0] += outline[:, 1] * t(-0.5, 0.5)
    shell = t.pick(GLOSS_BLACK, PLASTIC, GREY)
    model = place(extrude(outline, 0.5, shell, bevel=0.05), (0, 0, -0.32))
    tint = t.pick((0.9, 0.93, 0.95), (0.9, 0.93, 0.95), (0.75, 0.05, 0.05), (0.9, 0.5, 0.1))
    model += place(extrude(outline * 0.97, 0.02, t.pick(CHROME, CHROME, GLOSS_BLACK, GREY)), (0, 0, -0.06))
    size = min(0.38 * high, 0.42 * wide / bowls)
    bowl = lathe(
        [(size, 0.12), (size * 0.92, 0.02), (size * 0.6, -0.02), (0.1, -0.03)], CHROME, 32, closed=False
    ) + sphere(size * t(0.2, 0.5), t.pick(WHITE, CHROME, GLASS))
    model += repeat(bowl, [(x, 0, 0) for x in (np.arange(bowls) - (bowls - 1) / 2) * 0.8 * wide / bowls])
    opaque = 0.2 if tint[1] > 0.9 else 0.72
    return model + place(extrude(outline, 0.12, Material(tint, 0.9, 90, 0.2, 0, opaque), bevel=0.05), (0, 0, 0.12))


def mirror(t: Traits) -> Model:
    """Door mirror: a rounded shell, glass, a foot."""
    wide, high, foot = t(0.9, 1.3), t(0.6, 1.1), t.pick(PLASTIC, GLOSS_BLACK)
    power, shell = t(2.5, 6), t.pick(PLASTIC, GLOSS_BLACK, t.paint(), CHROME)
    z = np.array([0, 0.03, 0.1, 0.25, 0.4, 0.48])
    grow = np.array([0.96, 1, 1, 0.93, 0.7, 0.3]) * 1.0
    body = sweep(np.stack([0.15 * z, 0 * z, -z], 1), grow, shell, rounded(wide, high, power=power)[::-1])
    glass = place(
        extrude(rounded(wide, high, power=power) * 0.88, 0.04, Material((0.6, 0.68, 0.75), 0.6, 60, 0.8)), (0, 0, 0.01)
    )
    neck = sweep(
        curve(
            [(-wide * 0.3, -high * 0.3, -0.2), (-wide * 0.6, -high * 0.5, -0.2), (-wide * 0.85, -high * 0.5, -0.2)], 12
        ),
        t(0.12, 0.2),
        foot,
    )
    plate = place(
        extrude(rounded(0.6, t(0.5, 0.9), power=t(2, 5)), 0.08, foot),
        (-wide * 0.85, -high * 0.4, -0.2),
        (0, 70, t(-20, 20)),
    )
    return body + glass + neck + plate


PARTS = {
    "Brake Disc": brake_disc,
    "Brake Drum": drum,
    "Pulley": pulley,
    "Gear": gear,
    "Wheel": wheel,
    "Coil Spring": coil_spring,
    "Leaf Spring": leaf_spring,
    "Muffler": muffler,
    "Radiator": radiator,
    "Headlight": headlight,
    "Mirror": mirror,
}
