"""How an archetype is written, and those of turned and sprung parts; the `parts_` modules hold the others.

An archetype is a function that takes `Traits`, which draw a proportion near the value its category fixed, and returns a
model of the primitives of `solids`. To add one, write the function and give `part` the names it draws: a category
belongs to the longest name that it ends in. `part` used twice gives look-alikes: one shape, told apart by a detail.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from autoparts import solids as s
from autoparts.solids import Material, Model

PAINTS = [(0.75, 0.08, 0.08), (0.1, 0.2, 0.6), (0.85, 0.85, 0.86), (0.1, 0.1, 0.11), (0.5, 0.52, 0.55), (0.9, 0.6, 0.1)]


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
        return Material(tuple(c * self(0.8, 1.1) for c in self.pick(*PAINTS)), 0.6, 60, 0.12)


Archetype = Callable[[Traits], Model]
PARTS: dict[str, Archetype] = {}


def part(*names: str, **fixed: Any) -> Callable[[Callable], Callable]:
    """Register an archetype, with the features that these names fix, under the part names that it draws."""

    def register(archetype: Callable) -> Callable:
        PARTS.update(dict.fromkeys(names, partial(archetype, **fixed)))
        return archetype

    return register


def connector(t: Traits, at: s.Vector = s.ZERO, turn: s.Vector = s.ZERO) -> Model:
    """Return a plug of black or grey plastic along z with a dark mouth and a latch."""
    shell, wide = t.pick(s.PLASTIC, s.GREY, s.PLASTIC), t(0.25, 0.5)
    mouth = s.rounded(wide - 0.08, 0.16, 0.04)
    model = s.extrude(s.rounded(wide, 0.24, 0.06), 0.4, shell, [mouth], (0, 0, 0.2))
    model += s.box(wide, 0.24, 0.05, shell, (0, 0, 0.1)) + s.box(0.1, 0.06, 0.3, shell, (0, 0.14, 0.22))
    return s.place(model, at, turn)


@part("Brake Disc", "Rotor")
@part("Flywheel", "Clutch Disc", toothed=True)
def brake_disc(t: Traits, toothed: bool = False) -> Model:
    """Vented friction ring, hat, bolt circle; some are drilled, a flywheel has teeth."""
    hat, thick, face = t(0.42, 0.6), t(0.06, 0.2), t.pick(s.MACHINED, s.STEEL, s.MACHINED)
    drilled = s.around(t.whole(18, 30), 0.78, 0.022, 8) if t.pick(0, 0, 1) else []
    edge = s.toothed(90, 0.96, 1) if toothed else s.circle(1, 72)
    plate = s.extrude(edge, thick / 3, face, [s.circle(hat, 60), *drilled])
    vanes = s.ring(s.box(0.95 - hat, 0.03, thick / 3, s.IRON), 30, (0.95 + hat) / 2)
    bore, top = t(0.14, 0.24), thick / 2 + t(0.05, 0.4)
    bell = s.tube(hat - 0.06, hat, -thick / 2, top, t.pick(s.IRON, s.MACHINED, s.BLACKENED))
    holes = [s.circle(bore, 40), *s.around(t.whole(4, 8), (hat + bore) / 2, t(0.035, 0.055))]
    lid = s.extrude(s.circle(hat - 0.02, 60), 0.06, face, holes, (0, 0, top - 0.03))
    return s.row(plate, 2, (0, 0, 2 * thick / 3)) + vanes + bell + lid


@part("Pulley", "Tensioner", "Balancer")
def pulley(t: Traits) -> Model:
    """Grooved or flat rim, web with openings, hub."""
    wide, hub, grooves, metal = t(0.2, 0.7), t(0.18, 0.35), t.whole(0, 7), t.pick(*s.METALS, s.PLASTIC)
    rim = [(0.93 if i % 2 else 1, z) for i, z in enumerate(np.linspace(-wide / 2, wide / 2, 2 * grooves + 2))]
    model = s.lathe([(0.82, -wide / 2), *rim, (0.82, wide / 2)], metal, 60)
    holes = [s.circle(hub * 0.6, 30), *s.around(t.whole(0, 6), 0.58, t(0.07, 0.17), 20)]
    model += s.extrude(s.circle(0.84, 60), t(0.06, 0.15), metal, holes, (0, 0, t(-0.3, 0.3) * wide))
    return model + s.tube(hub * 0.6, hub, -wide * 0.4, wide * 0.6, t.pick(s.STEEL, metal))


@part("Gear", "Sprocket")
def gear(t: Traits) -> Model:
    """Toothed wheel with a splined or round bore and openings in its web."""
    metal, thick = t.pick(s.STEEL, s.IRON, s.BLACKENED, s.MACHINED), t(0.1, 0.45)
    bore = s.toothed(t.whole(8, 20), 0.14, 0.17) if t.pick(0, 1) else s.circle(t(0.12, 0.35), 30)
    holes = [bore, *s.around(t.whole(0, 6), 0.58, t(0.06, 0.15), 20)]
    model = s.extrude(s.toothed(t.whole(14, 48), t(0.84, 0.9), 1, t(0.3, 0.5), 0.2), thick, metal, holes)
    return model + (s.tube(0.2, 0.36, -thick, thick, metal) if t.pick(0, 1) else [])


@part("Wheel")
def wheel(t: Traits) -> Model:
    """Rim with spokes, lug holes and a centre cap."""
    wide, metal = t(0.5, 0.9), t.pick(s.ALUMINIUM, s.CHROME, s.GLOSS_BLACK, s.STEEL, s.MACHINED)
    face = [(0.84, -0.3), (0.9, -0.1), (1, -0.05), (1, 0), (0.95, 0), (0.86, -0.12), (0.8, -0.3)]
    rim = [(1, -wide), (0.9, 0.12 - wide), *face, (0.86, -wide)]
    spoke = s.rounded(0.75, t(0.08, 0.3), 0.05)
    spoke[:, 1] *= np.interp(spoke[:, 0], [-0.4, 0.4], [t(0.5, 1.2), t(0.5, 1.2)])
    model = s.lathe(rim, metal, 64) + s.ring(s.extrude(spoke, 0.12, metal, (), (0, 0, -0.18)), t.whole(5, 10), 0.52)
    model += s.extrude(s.circle(0.3, 40), 0.14, metal, s.around(t.whole(4, 6), 0.2, 0.035), (0, 0, -0.16))
    return model + s.place(s.sphere(0.11, t.pick(s.CHROME, s.PLASTIC), 0.4), (0, 0, -0.1))


@part("Bearing", "Hub", core="balls")
@part("Seal", "Ring", "Washer", core="lip")
def bearing(t: Traits, core: str) -> Model:
    """Ring with balls between its races, or with a lip of rubber or metal."""
    hole, wide, metal = t(0.3, 0.6), t(0.2, 0.5), t.pick(s.STEEL, s.ZINC, s.ALUMINIUM)
    soft = t.pick(s.RUBBER, s.RUBBER, s.BLACKENED, t.paint())
    balls = s.ring(s.sphere((0.74 - hole) / 2, s.CHROME), t.whole(9, 14), (hole + 0.94) / 2)
    races = s.tube(hole, hole + 0.1, -wide / 2, wide / 2, metal) + s.tube(0.86, 1, -wide / 2, wide / 2, metal, 60)
    if core == "balls":
        return races + t.pick(balls, balls, s.tube(hole, 0.87, -0.05, 0.05, soft))
    slope = [(hole, 0), (0.9, wide * 0.2), (0.93, wide / 2), (1, wide / 2), (1, -wide / 2), (hole + 0.05, -wide / 2)]
    washer = s.tube(hole, 1, -0.05, 0.05, t.pick(*s.METALS), 60)
    return t.pick(s.lathe(slope, soft, 60), s.torus(0.9, t(0.05, 0.12), soft), washer)


@part("Bushing")
@part("Mount", "Insulator", plated=True)
def bushing(t: Traits, plated: bool = False) -> Model:
    """Rubber between two sleeves; a mount has a bolted plate under it."""
    hole, high, metal = t(0.15, 0.5), t(0.2, 0.7), t.pick(s.STEEL, s.ZINC, s.ALUMINIUM)
    waist = [(hole, -high), (0.85, -high), (0.95, -high / 2), (t(0.7, 0.95), 0), (0.95, high / 2), (0.85, high)]
    model = s.lathe([*waist, (hole, high)], t.pick(s.RUBBER, s.RUBBER, s.BLACKENED, t.paint()))
    model += s.tube(hole - 0.1, hole, -high * 1.1, high * 1.1, metal)
    model += t.pick([], s.tube(0.9, 1.02, -high * 0.5, high * 0.5, metal))
    foot, bolts = s.rounded(2.4, t(0.8, 1.7), t(0.1, 0.4)), [s.circle(0.1, 18, (x, 0)) for x in (-0.95, 0.95)]
    plate = s.extrude(foot, 0.1, t.pick(s.BLACKENED, s.STEEL, s.ALUMINIUM), bolts, (0, 0, -high))
    return model + (plate if plated else [])


@part("Spring")
def coil_spring(t: Traits) -> Model:
    """Cylindrical, conical or barrel-shaped coil."""
    shape = np.array(t.pick([1, 1], [0.7, 1], [0.7, 1, 0.7])) * 0.5
    skin = t.pick(s.GLOSS_BLACK, t.paint(), s.BLACKENED, s.STEEL)
    return s.upright(s.sweep(s.helix(shape, t(0.22, 0.42), t(4, 9)), t(0.05, 0.13), skin, s.circle(1, 9)))


@part("Leaf Spring")
def leaf_spring(t: Traits) -> Model:
    """Stacked bows with eyes and a clip."""
    leaves, bow, paint = t.whole(2, 7), t(0.1, 0.45), t.pick(s.BLACKENED, s.GLOSS_BLACK, s.IRON, s.GREY)
    section, model = s.rounded(0.05, t(0.16, 0.26), 0.01)[:, ::-1], []
    for i in range(leaves):
        x = np.linspace(-1, 1, 28) * (1 - 0.8 * i / max(leaves, 4))
        model += s.sweep(np.stack([x, bow * x**2 - 0.055 * i, 0 * x], 1), 1.0, paint, section)
    model += s.box(0.06, 0.06 * leaves + 0.06, 0.3, s.STEEL, (0, 0.03 - 0.03 * leaves, 0))
    return model + s.place(s.row(s.tube(0.05, 0.09, -0.1, 0.1, paint, 24), 2, (2, 0, 0)), (0, bow + 0.06, 0))


@part("Shock Absorber", "Damper", "Cylinder")
@part("Strut", sprung=True)
def strut(t: Traits, sprung: bool = False) -> Model:
    """Tube and rod with eyes or plates; a strut within its spring."""
    long, body = t(1.4, 2.6), t.pick(s.GLOSS_BLACK, t.paint(), s.STEEL, s.GREY, s.GLOSS_BLACK)
    model = s.cylinder(0.2, 0, long * 0.55, body) + s.cylinder(0.065, 0, long, s.CHROME)
    model += s.tube(0.18, t(0.2, 0.26), long * 0.5, long * t(0.56, 0.9), t.pick(body, s.RUBBER))
    eye = s.tube(0.07, 0.16, -0.15, 0.15, body) + s.tube(0.05, 0.12, -0.17, 0.17, s.RUBBER)
    eye = s.place(eye, turn=(90, 0, 0))
    plate = s.extrude(s.circle(0.4, 40), 0.1, s.BLACKENED, s.around(3, 0.3, 0.04))
    model += s.place(t.pick(eye, plate, s.cylinder(0.05, 0, 0.2, s.STEEL)), (0, 0, long))
    coil = s.sweep(s.helix(np.array([t(0.3, 0.45)] * 2), long * t(0.08, 0.12), 6), 0.05, t.paint(), s.circle(1, 8))
    coil = s.place(coil, (0, 0, long * 0.65)) + s.tube(0.2, 0.5, long * 0.32, long * 0.35, body)
    return s.upright(model + s.place(eye, (0, 0, -0.1)) + (coil if sprung else []))


@part("Piston")
def piston(t: Traits) -> Model:
    """Crown with a bowl, ring grooves, skirt with a pin bore."""
    high, deep, metal = t(0.8, 1.4), t(0.02, 0.2), t.pick(s.ALUMINIUM, s.MACHINED, s.STEEL)
    groove = [(0.6, 0), (0.55, 0.01), (0.55, 0.05), (0.6, 0.06)]
    grooves = [(r, high - 0.1 - 0.1 * i - z) for i in range(t.whole(2, 4)) for r, z in groove]
    crown = [(0, high - deep), (t(0.2, 0.45), high - deep), (t(0.46, 0.52), high), (0.6, high)]
    skirt = [(0.6, 0), (0.5, 0), (0.5, 0.5 * high), (0, 0.5 * high)]
    pin = s.place(s.tube(0.11, 0.17, -0.63, 0.63, s.MACHINED), (0, 0, 0.4 * high), (0, 90, 0))
    return s.upright(s.lathe([*crown, *grooves, *skirt], metal) + pin)


@part("Valve")
def engine_valve(t: Traits) -> Model:
    """Long stem with a flared head and a groove for its keeper."""
    head, stem, long = t(0.2, 0.42), t(0.035, 0.07), t(1.2, 2)
    flare = [(stem + (head - stem) * x**3, 0.45 * x - 0.45) for x in np.linspace(0, 0.97, 12)]
    groove = [(stem, 0.04 - long), (stem * 0.7, 0.05 - long), (stem * 0.7, 0.09 - long), (stem, 0.1 - long)]
    crown = [(head, 0), (head * 0.6, 0.03), (0, t(-0.05, 0.05))]
    metal = t.pick(s.STEEL, s.BLACKENED, s.MACHINED, s.CHROME)
    return s.place(s.lathe([(0, -long), (stem, -long), *groove, *flare, *crown], metal), turn=(90, 0, 0))


@part("Filter", "Canister")
def filter_canister(t: Traits) -> Model:
    """Spin-on canister: domed or fluted can, ported base plate with a gasket."""
    high, paint = t(0.9, 2), t.pick(t.paint(), s.WHITE, s.GLOSS_BLACK, t.paint())
    can = [(0, 0), (0.35, 0.01), (0.48, 0.06), (0.5, 0.15), (0.5, high - 0.1), (0.53, high - 0.08), (0.53, high)]
    model = s.lathe([*can, (0, high)], paint)
    model += t.pick([], s.tube(0.49, 0.503, high * 0.3, high * t(0.5, 0.8), t.paint()))
    model += t.pick([], s.ring(s.cylinder(0.05, 0.1, 0.35, paint, sides=10), 16, 0.46))
    ports = [s.circle(0.14, 24), *s.around(t.whole(4, 8), 0.27, 0.05)]
    model += s.extrude(s.circle(0.5, 40), 0.06, s.STEEL, ports, (0, 0, high + 0.03))
    return s.place(model + s.place(s.torus(0.42, 0.045, s.RUBBER), (0, 0, high + 0.06)), turn=(t.pick(90, -90), 0, 0))


@part("Cap", "Knob")
def cap(t: Traits) -> Model:
    """Gripped cap with a thread, or a shift knob."""
    high, grips, skin = t(0.25, 0.7), t.whole(6, 24), t.pick(s.PLASTIC, s.GLOSS_BLACK, s.STEEL, t.paint())
    model = s.lathe([(0, 0), (0.9, 0), (0.95, high * 0.8), (t(0.6, 0.85), high), (0, high + t(0, 0.15))], skin)
    model += s.ring(s.box(0.08, 0.1, high * 0.7, skin, (0, 0, high * 0.4)), grips, 0.94)
    thread = [(0.6 if i % 2 else 0.66, -0.05 * i) for i in range(t.whole(4, 12))]
    model += s.lathe([(0.5, 0), *thread, (0.5, -0.5)], t.pick(skin, s.ZINC, s.STEEL))
    bar, ball = s.box(1.3, 0.25, 0.3, skin, (0, 0, high)), s.place(s.sphere(0.8, skin, t(0.8, 1.5)), (0, 0, 0.7))
    return s.place(model + t.pick(bar, [], ball), turn=(t(-90, 0), 0, 0))
