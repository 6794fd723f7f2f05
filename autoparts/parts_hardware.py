"""Archetypes of lines, fasteners, filters and small fittings; the same rules as in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import (
    ALUMINIUM,
    BLACKENED,
    CHROME,
    COPPER,
    GLOSS_BLACK,
    GREY,
    IRON,
    MACHINED,
    PLASTIC,
    RUBBER,
    STEEL,
    WHITE,
    ZINC,
    Traits,
    connector,
    part,
)  # fmt: skip
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
)  # fmt: skip

FIBRE = Material((0.2, 0.35, 0.3), 0.1, 6)


@part("Hose", "Pipe", "Duct", "Line", "Tube")
def hose(t: Traits) -> Model:
    """Bent tube with clamps or fittings, smooth or corrugated."""
    thick, skin = t(0.05, 0.2), t.pick(RUBBER, RUBBER, STEEL, GLOSS_BLACK, ALUMINIUM)
    side = [t(-0.8, 0.8), t(-0.5, 0.5), t(-0.6, 0.6), t(-0.9, 0.9)]
    deep = [0, t(-0.3, 0.3), t(-0.4, 0.4), 0]
    path = curve(np.column_stack([[t(-1.2, -0.6), -0.4, 0.3, t(0.5, 1.2)], side, deep]), 90)
    girth = thick * (1 + t.pick(0, 0, 0.14) * np.sin(np.arange(90) * 1.4))
    fitting = t.pick(STEEL, ZINC, RUBBER, ALUMINIUM)
    model = s.sweep(path, girth, skin, solid=False) + s.sweep(path[:9], thick * t(1.1, 1.35), fitting, solid=False)
    return model + s.sweep(path[-9:], thick * t(1.1, 1.35), fitting, solid=False)


@part("Belt", "Chain", "Strap")
def belt(t: Traits) -> Model:
    """Closed band with ribs or teeth inside."""
    a, wide, pinch, teeth = np.linspace(0, 2 * np.pi, 121), t(0.08, 0.4), t(-0.3, 0.4), t.pick(0, 1, 1)
    loop = np.stack(
        [np.cos(a) * (1 + pinch * np.cos(2 * a)), t(0.4, 1) * np.sin(a) * (1 - t(-0.2, 0.4) * np.cos(a)), 0 * a], 1
    )
    model = s.sweep(loop, 1.0, t.pick(RUBBER, RUBBER, STEEL), s.rounded(0.05, wide, 0.02), solid=False)
    facing = np.degrees(np.arctan2(*np.gradient(loop[:, :2], axis=0).T[::-1]))
    tooth = box(t(0.02, 0.05), 0.05, wide * 0.96, t.pick(RUBBER, STEEL), (0, t(0.02, 0.04), 0), corner=0.01)
    return model + (repeat(tooth, loop[:-1], [(0, 0, f) for f in facing[:-1]]) if teeth else [])


@part("Seal", "Ring", "Washer")
def seal(t: Traits) -> Model:
    """Lipped ring, thin or thick."""
    hole, high, skin = t(0.5, 0.9), t(0.05, 0.3), t.pick(RUBBER, RUBBER, t.paint(), STEEL, COPPER)
    lip = [
        (hole, 0),
        (hole + 0.04, high * 0.5),
        (0.9 * 1 + 0.02, high * 0.4),
        (0.93, high),
        (1, high),
        (1, -high),
        (hole + 0.05, -high),
    ]
    return t.pick(
        lathe(lip, skin, 64),
        s.torus(0.9, t(0.04, 0.12), skin),
        extrude(circle(1, 60), high * 0.4, skin, [circle(hole, 60)]),
    ) + tube(0.985, 1.01, -high * 0.9, high * 0.9, STEEL)


@part("Shaft", "Axle", "Bolt", "Stud", "Nut", "Rod")
def shaft(t: Traits) -> Model:
    """Stepped bar with threads, splines, boots or a flange."""
    long, r, metal = t(1, 3), t(0.08, 0.2), t.pick(STEEL, IRON, BLACKENED, ZINC, MACHINED)
    z = np.linspace(-long / 2, long / 2, 6)
    steps = [(r * t(0.7, 1.4), end) for i in range(5) for end in z[i : i + 2]]
    steps = [(steps[i - i % 2][0], end) for i, (_, end) in enumerate(steps)]  # both ends of a step are equally thick
    model = lathe([(0, z[0]), *steps, (0, z[-1])], metal)
    thread = [(r * (1.0 if i % 2 else 0.86), 0.02 * i) for i in range(t.whole(12, 30))]
    fold = [(r * (2.4 if i % 2 else 1.9) * (1 - 0.05 * i), 0.05 * i) for i in range(10)]
    head = [
        extrude(circle(r * t(1.6, 2.4), 6), r * 1.3, metal),
        extrude(circle(r * 2.6, 40), 0.08, metal, around(6, r * 1.9, 0.03)),
        lathe([(r, 0), *fold, (r, 0.5)], RUBBER),
    ]
    model += place(lathe([(0, 0), *thread, (0, 0.6)], STEEL, 30), (0, 0, long / 2))
    model += place(t.pick(*head), (0, 0, -long / 2 + t(0, 0.4)))
    return place(model + t.pick([], place(t.pick(*head), (0, 0, long / 2), (180, 0, 0))), turn=(0, 90, 0))


@part("Bracket", "Support", "Hinge", "Clip", "Retainer")
def bracket(t: Traits) -> Model:
    """Folded plate with holes, slots and a gusset."""
    metal, wide, bend = t.pick(STEEL, BLACKENED, ZINC, GLOSS_BLACK, PLASTIC), t(0.4, 1.1), t(50, 130)
    slot = [
        s.rounded(t(0.2, 0.5), 0.12, 0.06) + np.array([t(-0.2, 0.2), 0.15]),
        circle(t(0.05, 0.12), 18, (0.3, -0.25)),
    ]
    first = extrude(
        s.rounded(1.2, wide, t(0.03, 0.25)), 0.07, metal, slot if wide > 0.7 else [circle(0.09, 18, (-0.3, 0))]
    )
    second = extrude(
        s.rounded(t(0.6, 1.2), wide, t(0.03, 0.25)),
        0.07,
        metal,
        around(t.whole(1, 3), 0.2, t(0.05, 0.11)),
        (0.55, 0, 0),
    )
    model = first + place(second, (0.58, 0, 0), (0, -bend, 0))
    gusset = extrude(np.array([(0, 0), (0.5, 0), (0, 0.4)]), 0.05, metal, (), (0, 0, 0))
    third = place(second, (-0.58, 0, 0), (0, 180 + t(30, 120), t.pick(0, 90)))
    return model + t.pick(
        [], third, place(gusset, (0.1, 0, 0.05), (90, 0, 0)), place(cylinder(0.1, 0, 0.4, metal), (-0.3, 0, 0))
    )


@part("Gasket", "Plate", "Shim")
def gasket(t: Traits) -> Model:
    """Flat outline with bores in a row or a frame, bolt holes all around."""
    bores, high, skin = t.whole(1, 6), t(0.5, 1), t.pick(RUBBER, GREY, COPPER, STEEL, FIBRE)
    wide = max(0.7, 0.62 * bores)
    spots = (np.arange(bores) - (bores - 1) / 2) * 0.6
    frame = [s.rounded(wide - 0.2, high - 0.2, 0.1)]
    holes = t.pick(
        [circle(t(0.18, 0.26), 30, (x, 0)) for x in spots],
        frame,
        [s.rounded(0.35, high * 0.5, t(0.05, 0.17)) + np.array([x, 0]) for x in spots],
    )
    outline = s.rounded(wide, high, t(0.04, 0.3), t.pick(None, None, 3, 6))
    bolts = [circle(0.03, 10, tuple(spot)) for spot in outline[:: t.whole(3, 6)] * (1 - 0.1 / wide, 1 - 0.1 / high)]
    return extrude(outline, t(0.015, 0.06), skin, [*holes, *bolts], bevel=0.004)


@part("Cable", "Wire", "Harness", "Hook")
def cable(t: Traits) -> Model:
    """Thin looped cable with ends."""
    a, loops, r = np.linspace(0, 1, 110), t(0.8, 2.6), t(0.02, 0.06)
    spread = 1 - t(0.1, 0.5) * a
    path = np.stack(
        [spread * np.cos(a * 6.28 * loops), spread * np.sin(a * 6.28 * loops) * t(0.5, 1), t(0.1, 0.5) * a], 1
    )
    path += np.maximum(a - 0.85, 0)[:, None] * (t(-4, 4), t(-4, 4), 0)
    end = t.pick(connector(t), cylinder(0.07, 0, 0.4, STEEL), cylinder(0.09, 0, 0.35, RUBBER))
    return (
        s.sweep(path, r, t.pick(RUBBER, GREY, t.paint()))
        + place(end, tuple(path[-1]), (t(0, 180), 60, 0))
        + place(end, tuple(path[0]), (90, 0, 0))
    )


@part("Cap", "Knob", "Emblem")
def cap(t: Traits) -> Model:
    """Gripped cap with a thread, or a shift knob."""
    high, grips, skin = t(0.25, 0.7), t.whole(6, 30), t.pick(PLASTIC, GLOSS_BLACK, STEEL, t.paint())
    model = lathe([(0, 0), (0.9, 0), (0.95, high * 0.8), (t(0.6, 0.85), high), (0, high + t(0, 0.15))], skin) + ring(
        box(0.08, 0.1, high * 0.7, skin, (0, 0, high * 0.4)), grips, 0.94
    )
    neck = lathe(
        [(0.5, 0), *[(0.6 if i % 2 else 0.66, -0.05 * i) for i in range(t.whole(4, 12))], (0.5, -0.5)],
        t.pick(skin, ZINC, STEEL),
    )
    grip = t.pick(box(1.3, 0.25, 0.3, skin, (0, 0, high)), [], place(s.sphere(0.8, skin, t(0.8, 1.5)), (0, 0, 0.7)))
    return place(model + neck + grip, turn=(t(-90, 0), 0, 0))


@part("Handle", "Pedal", "Step")
def handle(t: Traits) -> Model:
    """Pull handle on a base plate, or a strap of bowed bar."""
    skin, wide, bow = t.pick(GLOSS_BLACK, CHROME, PLASTIC, t.paint()), t(1.4, 2.2), t(0.1, 0.5)
    pull = curve(
        [
            (-wide / 2, 0, 0),
            (-wide * 0.4, 0, bow),
            (0, t(-0.1, 0.2), bow * 1.1),
            (wide * 0.4, 0, bow),
            (wide / 2, 0, 0),
        ],
        30,
    )
    model = s.sweep(pull, t(0.8, 1.2), skin, s.rounded(t(0.08, 0.14), t(0.16, 0.34), 0.05))
    base = extrude(
        s.rounded(wide * 1.1, t(0.4, 0.8), power=t(2, 5)), 0.1, t.pick(skin, PLASTIC), (), (0, 0, -0.05), 0.03
    )
    return (
        model
        + t.pick(base, base, repeat(cylinder(0.08, -0.4, 0.05, STEEL), [(-wide / 2, 0, 0), (wide / 2, 0, 0)]))
        + t.pick([], place(cylinder(0.1, 0, 0.1, CHROME), (wide * 0.48, 0, 0)))
    )


@part("Filter", "Canister")
def filter_canister(t: Traits) -> Model:
    """Spin-on canister: domed or fluted can, ported base plate with a gasket."""
    high, paint = t(0.9, 2), t.pick(t.paint(), WHITE, GLOSS_BLACK, t.paint())
    can = [
        (0, 0),
        (0.35, 0.01),
        (0.48, 0.06),
        (0.5, 0.15),
        (0.5, high - 0.1),
        (0.53, high - 0.08),
        (0.53, high),
        (0, high),
    ]
    label = tube(0.49, 0.503, high * 0.3, high * t(0.5, 0.8), t.paint()) if t.pick(0, 1) else []
    flutes = ring(cylinder(0.05, 0.1, 0.35, paint, sides=10), 16, 0.46) if t.pick(0, 1) else []
    ports = [circle(0.14, 24), *around(t.whole(4, 8), 0.27, 0.05)]
    base = extrude(circle(0.5, 40), 0.06, STEEL, ports, (0, 0, high + 0.03)) + place(
        s.torus(0.42, 0.045, RUBBER), (0, 0, high + 0.06)
    )
    return place(lathe(can, paint) + label + flutes + base, turn=(t.pick(90, -90), 0, 0))
