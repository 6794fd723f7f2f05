"""Archetypes of body and cooling parts; the same rules as in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import (
    ALUMINIUM,
    BLACKENED,
    CHROME,
    GLOSS_BLACK,
    GREY,
    PLASTIC,
    RUBBER,
    STEEL,
    WHITE,
    Traits,
    connector,
    part,
)  # fmt: skip
from autoparts.solids import (
    Material,
    Model,
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

GLASS = Material((0.85, 0.88, 0.92), 0.9, 90, 0.25, 0.0, 0.22)
PRIMER = Material((0.1, 0.1, 0.11), 0.45, 18, 0.05)
CORE = Material((0.33, 0.33, 0.34), 0.1, 5, 0, 0.35)


@part("Bumper Cover", "Bumper", "Valance", "Reinforcement", "Spoiler")
def bumper(t: Traits) -> Model:
    """Wide curved skin with an opening, lamp recesses and a crease."""
    high, wrap, skin = t(0.5, 0.95), t(0.3, 0.9), t.pick(PRIMER, GLOSS_BLACK, PRIMER, t.paint(), CHROME)
    u, v = np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 27))
    x, drop = 1.5 * np.sin(u * 1.35) / np.sin(1.35), t(0, 0.25)
    z = -wrap * np.abs(u) ** t(2, 5) - t(0.05, 0.2) * v**2 + t(0.02, 0.08) * np.tanh(12 * (v - t(-0.3, 0.3)))
    mouth = (np.abs(u) < t(0.2, 0.55)) & (np.abs(v + t(0, 0.5)) < t(0.1, 0.35))
    lamp = (np.abs(np.abs(u) - t(0.6, 0.75)) < t(0.05, 0.12)) & (np.abs(v + t(0.1, 0.6)) < 0.22)
    y = v * high * (1 - drop * u**2) / 1.2
    model = s.sheet(x, y, z - 0.3 * mouth - 0.16 * lamp, skin)
    bars = [(0, b * high / 1.2, z.max() - 0.1) for b in np.linspace(-0.5, 0.1, t.whole(1, 5))]
    return model + (repeat(box(t(0.5, 1.4), 0.03, 0.04, PLASTIC), bars) if t.pick(0, 1) else [])


@part("Hood", "Panel", "Shield", "Trunk Lid", "Tailgate", "Door", "Cover", "Roof")
def panel(t: Traits) -> Model:
    """Large pressed sheet with creases, a scoop or openings."""
    taper, bulge, ridge, skin = (
        t(-0.3, 0.3),
        t(0.05, 0.4),
        t(0.2, 0.8),
        t.pick(PRIMER, GLOSS_BLACK, t.paint(), ALUMINIUM, PLASTIC),
    )
    u, v = np.meshgrid(np.linspace(-1, 1, 45), np.linspace(-1, 1, 45))
    x, y = t(0.8, 1.3) * u * (1 + taper * v), v * t(0.7, 1) + t(-0.25, 0.25) * u**2
    z = (
        -bulge * u**2
        - t(0, 0.3) * v**2
        + t(0.02, 0.07) * np.tanh(14 * (ridge - np.abs(u)))
        + t(-0.05, 0.12) * np.exp(-((u / 0.4) ** 4) - ((v - t(-0.4, 0.4)) / 0.3) ** 4)
    )
    ribs = t.pick(0, 0, 0.03) * np.sign(np.sin(t(8, 20) * v)) * (np.abs(u) < 0.8)
    edge = s.sweep(np.stack([x, y, z], -1)[:, 0], 0.02, skin) + s.sweep(np.stack([x, y, z], -1)[:, -1], 0.02, skin)
    return s.sheet(x, y, z + ribs, skin) + edge


@part("Fender")
def fender(t: Traits) -> Model:
    """Wing with a wheel arch cut out of it."""
    arch, nose, high, skin = t(0.5, 0.68), t(0.2, 0.7), t(0.7, 1), t.pick(PRIMER, PRIMER, GLOSS_BLACK, t.paint())
    u, v = np.meshgrid(np.linspace(-1.3, 1.3, 53), np.linspace(0, 1, 27))
    low = np.sqrt(np.maximum(arch**2 - (u - t(-0.1, 0.3)) ** 2, 0))
    top = high * (1 - nose * np.maximum(-u / 1.3, 0) ** 2) + t(0, 0.15) * u
    y = low + np.maximum(top - low, 0.04) * v
    return s.sheet(u, y, -0.45 * v ** t(3, 6) + 0.06 * np.tanh(10 * (v - t(0.4, 0.7))) - 0.1 * (1 - v) ** 8, skin)


@part("Fender Liner", "Liner", "Splash Guard", "Flare")
def fender_liner(t: Traits) -> Model:
    """Half an arch of thin black plastic with steps, ribs and a flap."""
    span, wide, flap = t(150, 215), t(0.3, 0.7), t(0, 0.5)
    a, v = np.meshgrid(np.radians(np.linspace(90 - span / 2, 90 + span / 2, 64)), np.linspace(-1, 1, 15))
    r = (
        1
        + 0.05 * np.sign(np.sin(t(3, 9) * a + 2 * (v > t(-0.4, 0.4))))
        + t(0, 0.1) * v**2
        + t(0, 0.06) * np.sign(v - t(-0.5, 0.5))
    )
    z = wide * v + t(-0.2, 0.2) * np.sin(2 * a)
    model = s.sheet(r * np.cos(a), r * np.sin(a), z, t.pick(PLASTIC, PLASTIC, RUBBER))
    edge = np.stack([r * np.cos(a), r * np.sin(a), z], -1)[0]
    wall = np.stack([edge, edge * (1 - flap * 0.6, 1 - flap * 0.6, 1)])
    return model + s.sheet(*np.moveaxis(wall, -1, 0), PLASTIC)


@part("Grille Assembly", "Grille", "Guard", "Vent", "Screen")
def grille(t: Traits) -> Model:
    """Frame with slats, bars or a mesh, some with a badge."""
    wide, high, trim = t(1.4, 2.6), t(0.5, 1), t.pick(CHROME, PLASTIC, GLOSS_BLACK, GREY)
    outline = s.rounded(wide, high, power=t(2.5, 7)) * 1.0
    outline[:, 0] *= np.interp(outline[:, 1], [-high / 2, high / 2], [t(0.6, 1.1), 1])
    model = extrude(outline, 0.2, trim, [outline * (0.93, 0.85)])
    slats, bars, inner = t.whole(0, 9), t.whole(0, 16), t.pick(PLASTIC, trim, CHROME)
    model += (
        repeat(box(wide * 0.84, 0.035, 0.1, inner), [(0, y, 0) for y in np.linspace(-0.4, 0.4, slats) * high])
        if slats
        else []
    )
    model += repeat(box(0.03, high * 0.84, 0.08, inner), [(x, 0, 0) for x in np.linspace(-0.4, 0.4, bars + 2) * wide])
    return model + t.pick([], place(s.sphere(0.14, CHROME, 0.4), (0, 0, 0.08)))


@part("Mirror", "Visor")
def mirror(t: Traits) -> Model:
    """Rounded shell, glass, a foot on an arm."""
    wide, high, power, foot = t(0.9, 1.3), t(0.5, 1.2), t(2.5, 6), t.pick(PLASTIC, GLOSS_BLACK)
    z, grow = np.array([0, 0.03, 0.1, 0.25, 0.4, 0.48]), np.array([0.96, 1, 1, 0.93, 0.7, 0.3])
    face = s.rounded(wide, high, power=power)
    model = s.sweep(
        np.stack([t(0, 0.4) * z, 0 * z, -z * t(0.7, 1.3)], 1),
        grow,
        t.pick(PLASTIC, GLOSS_BLACK, t.paint(), CHROME),
        face[::-1] * (-1, 1),
    )
    model += extrude(face * 0.88, 0.04, Material((0.6, 0.68, 0.75), 0.6, 60, 0.8), (), (0, 0, 0.01))
    reach = t(0.6, 0.95) * wide
    stalk = curve(
        [(-wide * 0.3, -high * 0.3, -0.2), (-reach * 0.8, -high * 0.5, -0.2), (-reach, -high * 0.5, -0.2)], 12
    )
    plate = extrude(s.rounded(0.6, t(0.4, 0.9), power=t(2, 5)), 0.08, foot)
    return (
        model + s.sweep(stalk, t(0.1, 0.2), foot) + place(plate, (-reach, -high * 0.4, -0.2), (0, t(0, 80), t(-20, 20)))
    )


@part("Headlight", "Light", "Lamp", "Reflector", "Lens")
def headlight(t: Traits) -> Model:
    """Housing, chrome bowls with bulbs, clear or coloured lens of a swept outline."""
    wide, high, bowls, shell = t(1.1, 2), t(0.5, 1), t.whole(1, 3), t.pick(GLOSS_BLACK, PLASTIC, GREY)
    outline = s.rounded(wide, high, power=t(2, 6))
    outline[:, 1] *= np.interp(outline[:, 0], [-wide / 2, wide / 2], [t(0.3, 1), 1])
    outline[:, 0] += outline[:, 1] * t(-0.5, 0.5)
    model = extrude(outline, 0.5, shell, (), (0, 0, -0.32), 0.05) + extrude(
        outline, 0.17, shell, [outline * 0.93], (0, 0, 0.015)
    )
    model += extrude(outline * 0.96, 0.02, t.pick(CHROME, CHROME, GLOSS_BLACK, GREY), (), (0, 0, -0.06))
    tint = t.pick((0.9, 0.93, 0.95), (0.9, 0.93, 0.95), (0.75, 0.05, 0.05), (0.9, 0.5, 0.1))
    size = min(0.38 * high, 0.42 * wide / bowls)
    bowl = lathe([(size, 0.12), (size * 0.92, 0.02), (size * 0.6, -0.02), (0.1, -0.03)], CHROME, 32, closed=False)
    bowl += s.sphere(size * t(0.2, 0.5), t.pick(WHITE, CHROME, GLASS))
    model += repeat(bowl, [(x, 0, 0) for x in (np.arange(bowls) - (bowls - 1) / 2) * 0.8 * wide / bowls])
    lens = Material(tint, 0.9, 90, 0.2, 0, 0.2 if tint[1] > 0.9 else 0.72)
    return (
        model
        + extrude(outline * 0.95, 0.24, lens, (), (0, 0, 0.04), 0.05)
        + place(connector(t), (t(-0.4, 0.4), 0, -0.55), (180, 0, 0))
    )


@part("Radiator", "Condenser", "Cooler", "Core")
def radiator(t: Traits) -> Model:
    """Finned core between two tanks, necks."""
    wide, high, deep, tank = t(1.3, 2.2), t(0.8, 1.3), t(0.06, 0.2), t.pick(PLASTIC, ALUMINIUM, GLOSS_BLACK, ALUMINIUM)
    rows = t.whole(14, 30)
    tubes = box(wide, 0.4 * high / rows, deep, t.pick(ALUMINIUM, BLACKENED, GREY), corner=0.005)
    core = repeat(tubes, [(0, y, 0) for y in np.linspace(-high / 2, high / 2, rows)]) + box(
        wide, high, deep * 0.6, CORE
    )
    side = box(t(0.08, 0.2), high * 1.08, deep * t(1.2, 2.2), tank)
    model = (
        core
        + repeat(side, [(-wide / 2, 0, 0), (wide / 2, 0, 0)])
        + repeat(box(wide, 0.05, deep * 1.2, tank), [(0, high / 2, 0), (0, -high / 2, 0)])
    )
    neck = t(0.2, 0.45) * high
    return model + repeat(
        cylinder(t(0.04, 0.08), 0, 0.25, tank), [(-wide / 2, neck, deep / 2), (wide / 2, -neck, deep / 2)]
    )


@part("Fan", "Blade", "Impeller")
def fan(t: Traits) -> Model:
    """Blades about a hub, some within a shroud with a motor."""
    blades, twist, skin = t.whole(4, 11), t(20, 50), t.pick(PLASTIC, GLOSS_BLACK, WHITE, STEEL)
    u, v = np.meshgrid(np.linspace(0.2, 0.95, 9), np.linspace(-1, 1, 7))
    leaf = s.sheet(u, v * t(0.1, 0.22) * (0.6 + u * t(0, 0.8)) + t(0, 0.4) * (u - 0.2) ** 2, 0.08 * v**2, skin)
    model = ring(place(leaf, turn=(twist, 0, 0)), blades) + cylinder(t(0.2, 0.35), -0.12, 0.12, skin, 0.05)
    frame = extrude(s.rounded(2.3, 2.2, 0.15), 0.3, PLASTIC, [circle(1, 60)], (0, 0, -0.1)) + ring(
        box(0.85, 0.05, 0.05, PLASTIC, (0, 0, -0.2)), 4, 0.6, 45
    )
    return model + t.pick([], tube(0.97, 1.04, -0.15, 0.15, skin), frame, frame) + cylinder(0.2, -0.4, 0, STEEL)


@part("Reservoir", "Tank", "Bottle", "Canister", "Accumulator")
def reservoir(t: Traits) -> Model:
    """Moulded tank with a cap, necks and straps."""
    wide, high, deep = t(0.7, 1.7), t(0.6, 1.2), t(0.4, 0.9)
    skin = t.pick(Material((0.82, 0.8, 0.74), 0.4, 20, 0.03), PLASTIC, ALUMINIUM, WHITE)
    z = np.array([-0.5, -0.47, -0.4, 0.4, 0.47, 0.5]) * high
    body = s.sweep(
        np.stack([t(-0.3, 0.3) * z, z, t(-0.2, 0.2) * z], 1),
        np.array([0.85, 0.96, 1, 1, t(0.7, 0.96), t(0.5, 0.8)]),
        skin,
        s.rounded(wide, deep, power=t(2, 7)),
    )
    lid = place(
        cylinder(t(0.15, 0.28), -0.15, 0.2, t.pick(PLASTIC, t.paint()), 0.04),
        (t(-0.15, 0.15) * wide, high / 2, 0),
        (-90, 0, 0),
    )
    neck = place(cylinder(0.07, 0, wide / 2 + t(0.1, 0.3), skin), (0, t(-0.35, 0.2) * high, 0), (0, 90, 0))
    seam = box(wide * 0.7, high * 0.12, deep * 1.04, skin, (0, t(-0.3, 0.2), 0))
    return body + lid + neck + t.pick(seam, []) + box(0.4, 0.2, 0.1, skin, (-wide / 2, t(-0.2, 0.1), 0))


@part("Air Filter", "Cabin Filter", "Element")
def air_filter(t: Traits) -> Model:
    """Pleated panel in a rubber frame, or a pleated ring."""
    paper, frame = (
        t.pick(WHITE, Material((0.8, 0.7, 0.5), 0.1, 6, 0, 0.04), t.paint()),
        t.pick(RUBBER, t.paint(), PLASTIC),
    )
    pleats, wide, high = t.whole(14, 34), t(1, 2), t(0.7, 1.2)
    x, y = np.meshgrid(np.linspace(-1, 1, 2 * pleats + 1) * wide / 2, np.array([-1, 1]) * high / 2)
    flat = s.sheet(x, y, 0.08 * (np.arange(2 * pleats + 1) % 2) + 0 * y, paper) + extrude(
        s.rounded(wide * 1.06, high * 1.08, 0.08), 0.15, frame, [s.rounded(wide * 0.96, high * 0.96, 0.04)]
    )
    folds = extrude(s.toothed(40, 0.62, 0.7), t(0.5, 1.4), paper, [circle(0.42, 40)])
    deep = np.ptp(folds[0].points[..., 2]) / 2
    return t.pick(flat, flat, folds + repeat(tube(0.4, 0.76, -0.05, 0.05, frame, 48), [(0, 0, deep), (0, 0, -deep)]))
