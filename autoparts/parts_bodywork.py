"""Archetypes of body, lamp and cooling parts; how they are written is told in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import Traits, connector, part
from autoparts.solids import Material, Model

PRIMER = Material((0.1, 0.1, 0.11), 0.45, 18, 0.05)
CORE = Material((0.33, 0.33, 0.34), 0.1, 5, 0, 0.35)
NATURAL = Material((0.82, 0.8, 0.74), 0.4, 20, 0.03)  # milky plastic of tanks


def lens(red: float, green: float, blue: float, opacity: float = 0.72) -> Material:
    """Return clear or coloured lamp glass."""
    return Material((red, green, blue), 0.7, 90, 0.08, 0, opacity)


@part("Bumper Cover")
@part("Bumper", "Reinforcement", "Spoiler", chromed=True)
def bumper(t: Traits, chromed: bool = False) -> Model:
    """Wide curved skin with an opening, lamp recesses and a crease."""
    high, wrap = t(0.5, 0.95), t(0.3, 0.9)
    skin = t.pick(s.CHROME, PRIMER, s.STEEL) if chromed else t.pick(PRIMER, s.GLOSS_BLACK, PRIMER, t.paint())
    u, v = np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 27))
    x, drop = 1.5 * np.sin(u * 1.35) / np.sin(1.35), t(0, 0.25)
    z = -wrap * np.abs(u) ** t(2, 5) - t(0.05, 0.2) * v**2 + t(0.02, 0.08) * np.tanh(12 * (v - t(-0.3, 0.3)))
    mouth = (np.abs(u) < t(0.2, 0.55)) & (np.abs(v + t(0, 0.5)) < t(0.1, 0.35))
    lamp = (np.abs(np.abs(u) - t(0.6, 0.75)) < t(0.05, 0.12)) & (np.abs(v + t(0.1, 0.6)) < 0.22)
    model = s.sheet(x, v * high * (1 - drop * u**2) / 1.2, z - 0.3 * mouth - 0.16 * lamp, skin)
    bars = s.row(s.box(t(0.5, 1.4), 0.03, 0.04, s.PLASTIC), t.whole(1, 5), (0, 0.12 * high, 0))
    return model + t.pick([], s.place(bars, (0, -0.15 * high, z.max() - 0.1)))


@part("Hood", "Trunk Lid", "Door", "Panel", "Shield", "Cover")
def panel(t: Traits) -> Model:
    """Large pressed sheet with creases, a scoop or ribs."""
    taper, bulge, ridge = t(-0.3, 0.3), t(0.05, 0.4), t(0.2, 0.8)
    skin = t.pick(PRIMER, s.GLOSS_BLACK, t.paint(), s.ALUMINIUM, s.PLASTIC)
    u, v = np.meshgrid(np.linspace(-1, 1, 45), np.linspace(-1, 1, 45))
    x, y = t(0.8, 1.3) * u * (1 + taper * v), v * t(0.7, 1) + t(-0.25, 0.25) * u**2
    scoop = t(-0.05, 0.12) * np.exp(-((u / 0.4) ** 4) - ((v - t(-0.4, 0.4)) / 0.3) ** 4)
    crease = t(0.02, 0.07) * np.tanh(14 * (ridge - np.abs(u)))
    ribs = t.pick(0, 0, 0.03) * np.sign(np.sin(t(8, 20) * v)) * (np.abs(u) < 0.8)
    return s.sheet(x, y, crease + scoop + ribs - bulge * u**2 - t(0, 0.3) * v**2, skin)


@part("Fender")
def fender(t: Traits) -> Model:
    """Wing with a wheel arch cut out of it."""
    arch, nose, high, skin = t(0.5, 0.68), t(0.2, 0.7), t(0.7, 1), t.pick(PRIMER, PRIMER, s.GLOSS_BLACK, t.paint())
    u, v = np.meshgrid(np.linspace(-1.3, 1.3, 53), np.linspace(0, 1, 27))
    low = np.sqrt(np.maximum(arch**2 - (u - t(-0.1, 0.3)) ** 2, 0))
    top = high * (1 - nose * np.maximum(-u / 1.3, 0) ** 2) + t(0, 0.15) * u
    y = low + np.maximum(top - low, 0.04) * v
    return s.sheet(u, y, -0.45 * v ** t(3, 6) + 0.06 * np.tanh(10 * (v - t(0.4, 0.7))) - 0.1 * (1 - v) ** 8, skin)


@part("Fender Liner", "Splash Guard", "Flare")
def fender_liner(t: Traits) -> Model:
    """Half an arch of thin black plastic with steps, ribs and a flap."""
    span, wide, flap = t(150, 215), t(0.3, 0.7), t(0, 0.5)
    a, v = np.meshgrid(np.radians(np.linspace(90 - span / 2, 90 + span / 2, 64)), np.linspace(-1, 1, 15))
    ribs = 0.05 * np.sign(np.sin(t(3, 9) * a + 2 * (v > t(-0.4, 0.4))))
    r = 1 + ribs + t(0, 0.1) * v**2 + t(0, 0.06) * np.sign(v - t(-0.5, 0.5))
    shell = np.stack([r * np.cos(a), r * np.sin(a), wide * v + t(-0.2, 0.2) * np.sin(2 * a)])
    wall = np.stack([shell[:, 0], shell[:, 0] * np.array([[1 - flap * 0.6], [1 - flap * 0.6], [1]])], 1)
    return s.sheet(*shell, t.pick(s.PLASTIC, s.PLASTIC, s.RUBBER)) + s.sheet(*wall, s.PLASTIC)


@part("Grille Assembly", "Grille", "Guard")
def grille(t: Traits) -> Model:
    """Frame with slats or bars, some with a badge."""
    wide, high, trim = t(1.4, 2.6), t(0.5, 1), t.pick(s.CHROME, s.PLASTIC, s.GLOSS_BLACK, s.GREY)
    outline = s.rounded(wide, high, power=t(2.5, 7))
    outline[:, 0] *= np.interp(outline[:, 1], [-high / 2, high / 2], [t(0.6, 1.1), 1])
    slats, bars, inner = t.whole(0, 9), t.whole(2, 16), t.pick(s.PLASTIC, trim, s.CHROME)
    model = s.extrude(outline, 0.2, trim, [outline * (0.93, 0.85)])
    model += s.row(s.box(wide * 0.84, 0.035, 0.1, inner), slats, (0, 0.8 * high / max(slats, 2), 0))
    model += s.row(s.box(0.03, high * 0.84, 0.08, inner), bars, (0.84 * wide / bars, 0, 0))
    return model + t.pick([], s.place(s.sphere(0.14, s.CHROME, 0.4), (0, 0, 0.08)))


@part("Mirror", "Visor")
def mirror(t: Traits) -> Model:
    """Rounded shell, glass, a foot on an arm."""
    wide, high, power, foot = t(0.9, 1.3), t(0.5, 1.2), t(2.5, 6), t.pick(s.PLASTIC, s.GLOSS_BLACK)
    z, grow = np.array([0, 0.03, 0.1, 0.25, 0.4, 0.48]), np.array([0.96, 1, 1, 0.93, 0.7, 0.05])
    face, skin = s.rounded(wide, high, power=power), t.pick(s.PLASTIC, s.GLOSS_BLACK, t.paint(), s.CHROME)
    path = np.stack([t(0, 0.4) * z, 0 * z, -z * t(0.7, 1.3)], 1)
    model = s.sweep(path, grow, skin, face[::-1] * (-1, 1), solid=False)
    model += s.extrude(face * 0.92, 0.04, Material((0.6, 0.68, 0.75), 0.6, 60, 0.8), (), (0, 0, 0.01))
    reach, low = t(0.6, 0.95) * wide, -high / 2
    stalk = s.curve([(-wide * 0.3, low * 0.6, -0.2), (-reach * 0.8, low, -0.2), (-reach, low, -0.2)], 12)
    plate = s.extrude(s.rounded(0.6, t(0.4, 0.9), power=t(2, 5)), 0.08, foot)
    model += s.place(plate, (-reach, low * 0.8, -0.2), (0, t(0, 80), t(-20, 20)))
    return model + s.sweep(stalk, t(0.1, 0.2), foot)


@part("Headlight", "Fog Light", "Light", glass=lens(0.9, 0.93, 0.95, 0.2))
@part("Tail Light", "Brake Light", glass=lens(0.75, 0.05, 0.05))
@part("Corner Light", "Reflector", glass=lens(0.9, 0.5, 0.1))
def lamp(t: Traits, glass: Material) -> Model:
    """Housing, chrome bowls with bulbs, clear or coloured lens of a swept outline."""
    wide, high, bowls, shell = t(1.1, 2), t(0.5, 1), t.whole(1, 3), t.pick(s.GLOSS_BLACK, s.PLASTIC, s.GREY)
    outline, thin, lean = s.rounded(wide, high, power=t(2.2, 6)), t(0.4, 1), t(-0.5, 0.5)
    outline[:, 1] *= np.interp(outline[:, 0], [-wide / 2, wide / 2], [thin, 1])
    outline[:, 0] += outline[:, 1] * lean
    model = s.extrude(outline, 0.4, shell, (), (0, 0, -0.3), 0.05)
    model += s.extrude(outline, 0.24, shell, [outline * 0.92], (0, 0, 0))
    model += s.extrude(outline * 0.95, 0.02, t.pick(s.CHROME, s.CHROME, s.GLOSS_BLACK, s.GREY), (), (0, 0, -0.09))
    bulb, filament = t(0.2, 0.5), t.pick(s.WHITE, s.CHROME, s.GLASS)
    bowl = s.lathe([(1, 0.12), (0.9, 0), (0.6, -0.06), (0.1, -0.08)], s.CHROME, 32, closed=False)
    bowl += s.place(s.sphere(bulb, filament, 0.6), (0, 0, -0.04))
    for x in (np.arange(bowls) - (bowls - 1) / 2) * 0.74 * wide / bowls:
        room = 0.42 * min(high * np.interp(x, [-wide / 2, wide / 2], [thin, 1]), 0.8 * wide / bowls)
        model += s.place(bowl, (x, 0, 0), scale=(room, room, min(room, 0.8)))
    model += s.extrude(outline * 0.95, 0.1, glass, (), (0, 0, 0.1), 0.05)
    return model + connector(t, (t(-0.4, 0.4), 0, -0.5), (180, 0, 0))


@part("Radiator", "Condenser", "Cooler", "Core")
def radiator(t: Traits) -> Model:
    """Finned core between two tanks, necks."""
    wide, high, deep, rows = t(1.3, 2.2), t(0.8, 1.3), t(0.06, 0.2), t.whole(14, 30)
    tank = t.pick(s.PLASTIC, s.ALUMINIUM, s.GLOSS_BLACK, s.ALUMINIUM)
    fin = s.box(wide, 0.4 * high / rows, deep, t.pick(s.ALUMINIUM, s.BLACKENED, s.GREY), corner=0.005)
    model = s.row(fin, rows, (0, high / rows, 0)) + s.box(wide, high, deep * 0.6, CORE)
    model += s.row(s.box(t(0.08, 0.2), high * 1.08, deep * t(1.2, 2.2), tank), 2, (wide, 0, 0))
    model += s.row(s.box(wide, 0.05, deep * 1.2, tank), 2, (0, high, 0))
    return model + s.row(s.cylinder(t(0.04, 0.08), 0, 0.25, tank), 2, (wide, t(-0.9, 0.9) * high, deep))


@part("Reservoir", "Tank")
def reservoir(t: Traits) -> Model:
    """Moulded tank with a cap, a neck and a seam."""
    wide, high, deep, skin = t(0.7, 1.7), t(0.6, 1.2), t(0.4, 0.9), t.pick(NATURAL, s.PLASTIC, s.ALUMINIUM, s.WHITE)
    z = np.array([-0.5, -0.47, -0.4, 0.4, 0.47, 0.5]) * high
    path, grow = np.stack([t(-0.3, 0.3) * z, z, t(-0.2, 0.2) * z], 1), np.array([0.85, 0.96, 1, 1, 0.9, t(0.5, 0.8)])
    model = s.sweep(path, grow, skin, s.rounded(wide, deep, power=t(2, 7)))
    lid = s.upright(s.cylinder(t(0.15, 0.28), -0.15, 0.2, t.pick(s.PLASTIC, t.paint()), 0.04))
    model += s.place(lid, (t(-0.15, 0.15) * wide, high / 2, 0))
    model += s.place(s.cylinder(0.07, 0, wide / 2 + 0.2, skin), (0, t(-0.35, 0.2) * high, 0), (0, 90, 0))
    model += s.box(wide * 0.7, high * 0.12, deep * 1.04, skin, (0, t(-0.3, 0.2), 0))
    return model + s.box(0.4, 0.2, 0.1, skin, (-wide / 2, t(-0.2, 0.1), 0))


@part("Handle", "Pedal")
def handle(t: Traits) -> Model:
    """Pull handle on a base plate, or a bowed bar on two studs."""
    skin, wide, bow = t.pick(s.GLOSS_BLACK, s.CHROME, s.PLASTIC, t.paint()), t(1.4, 2.2), t(0.1, 0.5)
    sides = [(-wide / 2, 0, 0), (-wide * 0.4, 0, bow), (0, t(-0.1, 0.2), bow * 1.1), (wide * 0.4, 0, bow)]
    pull = s.curve([*sides, (wide / 2, 0, 0)], 30)
    model = s.sweep(pull, t(0.8, 1.2), skin, s.rounded(t(0.08, 0.14), t(0.16, 0.34), 0.05))
    outline = s.rounded(wide * 1.1, t(0.4, 0.8), power=t(2, 5))
    base = s.extrude(outline, 0.1, t.pick(skin, s.PLASTIC), (), (0, 0, -0.05), 0.03)
    studs = s.row(s.cylinder(0.08, -0.4, 0.05, s.STEEL), 2, (wide, 0, 0))
    return model + t.pick(base, base, studs) + t.pick([], s.cylinder(0.1, 0, 0.1, s.CHROME))
