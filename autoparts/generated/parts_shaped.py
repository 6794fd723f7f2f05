"""Parts with a shape of their own, each a function (`traits` tells how): body, lamps, discs, castings, linkages."""

from functools import partial

import numpy as np

from autoparts.generated import solids as s
from autoparts.generated.solids import Material, Model
from autoparts.generated.traits import Traits, connector

PRIMER = Material((0.1, 0.1, 0.11), 0.45, 18, 0.05)
CORE = Material((0.33, 0.33, 0.34), 0.1, 5, 0, 0.35)
MIRROR = Material((0.6, 0.68, 0.75), 0.6, 60, 0.8)
CLEAR = Material((0.9, 0.93, 0.95), 0.7, 90, 0.08, 0, 0.2)  # lamp glass
RED = Material((0.75, 0.05, 0.05), 0.7, 90, 0.08, 0, 0.72)
AMBER = Material((0.9, 0.5, 0.1), 0.7, 90, 0.08, 0, 0.72)
FIBRE = Material((0.2, 0.35, 0.3), 0.1, 6)


def _bumper(t: Traits, chromed: bool = False) -> Model:  # wide curved skin with an opening, lamp recesses and a crease
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


def _panel(t: Traits) -> Model:  # large pressed sheet with creases, a scoop or ribs
    taper, bulge, ridge = t(-0.3, 0.3), t(0.05, 0.4), t(0.2, 0.8)
    skin = t.pick(PRIMER, s.GLOSS_BLACK, t.paint(), s.ALUMINIUM, s.PLASTIC)
    u, v = np.meshgrid(np.linspace(-1, 1, 45), np.linspace(-1, 1, 45))
    x, y = t(0.8, 1.3) * u * (1 + taper * v), v * t(0.7, 1) + t(-0.25, 0.25) * u**2
    scoop = t(-0.05, 0.12) * np.exp(-((u / 0.4) ** 4) - ((v - t(-0.4, 0.4)) / 0.3) ** 4)
    crease = t(0.02, 0.07) * np.tanh(14 * (ridge - np.abs(u)))
    ribs = t.pick(0, 0, 0.03) * np.sign(np.sin(t(8, 20) * v)) * (np.abs(u) < 0.8)
    return s.sheet(x, y, crease + scoop + ribs - bulge * u**2 - t(0, 0.3) * v**2, skin)


def _fender(t: Traits) -> Model:  # wing with a wheel arch cut out of it
    arch, nose, high, skin = t(0.5, 0.68), t(0.2, 0.7), t(0.7, 1), t.pick(PRIMER, PRIMER, s.GLOSS_BLACK, t.paint())
    u, v = np.meshgrid(np.linspace(-1.3, 1.3, 53), np.linspace(0, 1, 27))
    low = np.sqrt(np.maximum(arch**2 - (u - t(-0.1, 0.3)) ** 2, 0))
    top = high * (1 - nose * np.maximum(-u / 1.3, 0) ** 2) + t(0, 0.15) * u
    y = low + np.maximum(top - low, 0.04) * v
    return s.sheet(u, y, -0.45 * v ** t(3, 6) + 0.06 * np.tanh(10 * (v - t(0.4, 0.7))) - 0.1 * (1 - v) ** 8, skin)


def _fender_liner(t: Traits) -> Model:  # half an arch of thin black plastic with steps, ribs and a flap
    span, wide, flap = t(150, 215), t(0.3, 0.7), t(0, 0.5)
    a, v = np.meshgrid(np.radians(np.linspace(90 - span / 2, 90 + span / 2, 64)), np.linspace(-1, 1, 15))
    ribs = 0.05 * np.sign(np.sin(t(3, 9) * a + 2 * (v > t(-0.4, 0.4))))
    r = 1 + ribs + t(0, 0.1) * v**2 + t(0, 0.06) * np.sign(v - t(-0.5, 0.5))
    shell = np.stack([r * np.cos(a), r * np.sin(a), wide * v + t(-0.2, 0.2) * np.sin(2 * a)])
    wall = np.stack([shell[:, 0], shell[:, 0] * np.array([[1 - flap * 0.6], [1 - flap * 0.6], [1]])], 1)
    return s.sheet(*shell, t.pick(s.PLASTIC, s.PLASTIC, s.RUBBER)) + s.sheet(*wall, s.PLASTIC)


def _grille(t: Traits) -> Model:  # frame with slats or bars, some with a badge
    wide, high, trim = t(1.4, 2.6), t(0.5, 1), t.pick(s.CHROME, s.PLASTIC, s.GLOSS_BLACK, s.GREY)
    outline = s.rounded(wide, high, power=t(2.5, 7))
    outline[:, 0] *= np.interp(outline[:, 1], [-high / 2, high / 2], [t(0.6, 1.1), 1])
    slats, bars, inner = t.whole(0, 9), t.whole(2, 16), t.pick(s.PLASTIC, trim, s.CHROME)
    model = s.extrude(outline, 0.2, trim, [outline * (0.93, 0.85)])
    model += s.row(s.box(wide * 0.84, 0.035, 0.1, inner), slats, (0, 0.8 * high / max(slats, 2), 0))
    model += s.row(s.box(0.03, high * 0.84, 0.08, inner), bars, (0.84 * wide / bars, 0, 0))
    return model + t.pick([], s.place(s.sphere(0.14, s.CHROME, 0.4), (0, 0, 0.08)))


def _mirror(t: Traits) -> Model:  # rounded shell, glass, a foot on an arm
    wide, high, power, foot = t(0.9, 1.3), t(0.5, 1.2), t(2.5, 6), t.pick(s.PLASTIC, s.GLOSS_BLACK)
    z, grow = np.array([0, 0.03, 0.1, 0.25, 0.4, 0.48]), np.array([0.96, 1, 1, 0.93, 0.7, 0.05])
    face, skin = s.rounded(wide, high, power=power), t.pick(s.PLASTIC, s.GLOSS_BLACK, t.paint(), s.CHROME)
    path = np.stack([t(0, 0.4) * z, 0 * z, -z * t(0.7, 1.3)], 1)
    model = s.sweep(path, grow, skin, face[::-1] * (-1, 1), solid=False)
    model += s.extrude(face * 0.92, 0.04, MIRROR, (), (0, 0, 0.01))
    reach, low = t(0.6, 0.95) * wide, -high / 2
    stalk = s.curve([(-wide * 0.3, low * 0.6, -0.2), (-reach * 0.8, low, -0.2), (-reach, low, -0.2)], 12)
    plate = s.extrude(s.rounded(0.6, t(0.4, 0.9), power=t(2, 5)), 0.08, foot)
    model += s.place(plate, (-reach, low * 0.8, -0.2), (0, t(0, 80), t(-20, 20)))
    return model + s.sweep(stalk, t(0.1, 0.2), foot)


def _lamp(t: Traits, glass: Material) -> Model:  # housing, chrome bowls with bulbs, lens of a swept outline
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


def _radiator(t: Traits) -> Model:  # finned core between two tanks, necks
    wide, high, deep, rows = t(1.3, 2.2), t(0.8, 1.3), t(0.06, 0.2), t.whole(14, 30)
    tank = t.pick(s.PLASTIC, s.ALUMINIUM, s.GLOSS_BLACK, s.ALUMINIUM)
    fin = s.box(wide, 0.4 * high / rows, deep, t.pick(s.ALUMINIUM, s.BLACKENED, s.GREY), corner=0.005)
    model = s.row(fin, rows, (0, high / rows, 0)) + s.box(wide, high, deep * 0.6, CORE)
    model += s.row(s.box(t(0.08, 0.2), high * 1.08, deep * t(1.2, 2.2), tank), 2, (wide, 0, 0))
    model += s.row(s.box(wide, 0.05, deep * 1.2, tank), 2, (0, high, 0))
    return model + s.row(s.cylinder(t(0.04, 0.08), 0, 0.25, tank), 2, (wide, t(-0.9, 0.9) * high, deep))


def _handle(t: Traits) -> Model:  # pull handle on a base plate, or a bowed bar on two studs
    skin, wide, bow = t.pick(s.GLOSS_BLACK, s.CHROME, s.PLASTIC, t.paint()), t(1.4, 2.2), t(0.1, 0.5)
    sides = [(-wide / 2, 0, 0), (-wide * 0.4, 0, bow), (0, t(-0.1, 0.2), bow * 1.1), (wide * 0.4, 0, bow)]
    pull = s.curve([*sides, (wide / 2, 0, 0)], 30)
    model = s.sweep(pull, t(0.8, 1.2), skin, s.rounded(t(0.08, 0.14), t(0.16, 0.34), 0.05))
    outline = s.rounded(wide * 1.1, t(0.4, 0.8), power=t(2, 5))
    base = s.extrude(outline, 0.1, t.pick(skin, s.PLASTIC), (), (0, 0, -0.05), 0.03)
    studs = s.row(s.cylinder(0.08, -0.4, 0.05, s.STEEL), 2, (wide, 0, 0))
    return model + t.pick(base, base, studs) + t.pick([], s.cylinder(0.1, 0, 0.1, s.CHROME))


def _brake_disc(t: Traits, toothed: bool = False) -> Model:  # vented ring, hat, bolt circle; drilled or toothed
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


def _wheel(t: Traits) -> Model:  # rim with spokes, lug holes and a centre cap
    wide, metal = t(0.5, 0.9), t.pick(s.ALUMINIUM, s.CHROME, s.GLOSS_BLACK, s.STEEL, s.MACHINED)
    face = [(0.84, -0.3), (0.9, -0.1), (1, -0.05), (1, 0), (0.95, 0), (0.86, -0.12), (0.8, -0.3)]
    rim = [(1, -wide), (0.9, 0.12 - wide), *face, (0.86, -wide)]
    spoke = s.rounded(0.75, t(0.08, 0.3), 0.05)
    spoke[:, 1] *= np.interp(spoke[:, 0], [-0.4, 0.4], [t(0.5, 1.2), t(0.5, 1.2)])
    model = s.lathe(rim, metal, 64) + s.ring(s.extrude(spoke, 0.12, metal, (), (0, 0, -0.18)), t.whole(5, 10), 0.52)
    model += s.extrude(s.circle(0.3, 40), 0.14, metal, s.around(t.whole(4, 6), 0.2, 0.035), (0, 0, -0.16))
    return model + s.place(s.sphere(0.11, t.pick(s.CHROME, s.PLASTIC), 0.4), (0, 0, -0.1))


def _leaf_spring(t: Traits) -> Model:  # stacked bows with eyes and a clip
    leaves, bow, paint = t.whole(2, 7), t(0.1, 0.45), t.pick(s.BLACKENED, s.GLOSS_BLACK, s.IRON, s.GREY)
    section, model = s.rounded(0.05, t(0.16, 0.26), 0.01)[:, ::-1], []
    for i in range(leaves):
        x = np.linspace(-1, 1, 28) * (1 - 0.8 * i / max(leaves, 4))
        model += s.sweep(np.stack([x, bow * x**2 - 0.055 * i, 0 * x], 1), 1.0, paint, section)
    model += s.box(0.06, 0.06 * leaves + 0.06, 0.3, s.STEEL, (0, 0.03 - 0.03 * leaves, 0))
    return model + s.place(s.row(s.tube(0.05, 0.09, -0.1, 0.1, paint, 24), 2, (2, 0, 0)), (0, bow + 0.06, 0))


def _alternator(t: Traits) -> Model:  # vented housing with ears, stator band and pulley
    long, cast = t(0.9, 1.7), t.pick(s.ALUMINIUM, s.ALUMINIUM, s.GLOSS_BLACK, s.STEEL)
    shell = [(0, 0), (0.55, 0), (0.66, 0.1), (0.68, long * 0.4), (0.68, long - 0.12), (0.58, long), (0, long)]
    band = t.pick(s.IRON, s.STEEL, s.BLACKENED)
    model = s.lathe(shell, cast) + s.tube(0.6, 0.7, long * 0.4, long * t(0.5, 0.7), band)
    model += s.ring(s.box(0.26, 0.07, 0.1, s.BLACKENED, (0, 0, long)), t.whole(8, 14), 0.42)
    model += s.ring(s.box(0.1, 0.06, 0.22, s.BLACKENED, (0, 0, long - 0.12)), 14, 0.64)
    ear = s.extrude(s.rounded(0.5, 0.26, 0.12), 0.16, cast, [s.circle(0.06, 16, (0.12, 0))])
    spots = [(0.75, 0, long * 0.85), (-0.75, 0.1, long * 0.85), (0.72, 0, 0.2)]
    model += s.repeat(ear, spots, [(0, 0, 0), (0, 0, 170), (0, 0, 0)])
    grooves = [(0.3 + 0.025 * (i % 2), long + 0.08 + 0.03 * i) for i in range(t.whole(6, 12))]
    top = grooves[-1][1]
    model += s.lathe([(0, long), (0.28, long + 0.03), *grooves, (0, top)], s.STEEL)
    return model + s.cylinder(0.1, long, top + 0.12, s.ZINC) + connector(t, (0.3, 0.62, 0.25), (-70, 0, 0))


def _pump(t: Traits) -> Model:  # cast flange with bolt ears, scroll, necks; pulley, shaft or plug
    cast, lobes = t.pick(s.ALUMINIUM, s.IRON, s.ALUMINIUM, s.BLACKENED, s.PLASTIC), t.whole(3, 8)
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    rim = t(0.6, 0.95) + t(0.04, 0.12) * np.cos(lobes * angle) + t(-0.2, 0.2) * np.cos(angle + 1)
    rim += t(-0.15, 0.15) * np.cos(2 * angle)
    flange = np.stack([rim * np.cos(angle), rim * np.sin(angle)], 1)
    bolts = [s.circle(0.05, 14, 0.85 * flange[int(i * 72 / lobes)]) for i in range(lobes)]
    model = s.extrude(flange, t(0.1, 0.25), cast, bolts)
    swell, rise = t(0.35, 0.6), t(0.3, 0.9)
    scroll = [(0, 0), (swell, 0), (swell, rise * 0.5), (swell * 0.7, rise * 0.9), (swell * 0.4, rise), (0, rise)]
    neck = s.curve([(0.2, 0, 0.2), (0.6, 0.1, 0.25), (t(0.8, 1.2), t(-0.3, 0.5), t(0.2, 0.6))], 14)
    turns = [(0, 0, t(0, 360)) for _ in range(t.whole(1, 3))]
    pipe = s.sweep(neck, t(0.1, 0.2) * np.where(np.arange(14) == 12, 1.12, 1.0), cast, solid=False)
    model += s.lathe(scroll, cast) + s.repeat(pipe, [(0, 0, 0)] * len(turns), turns)
    model += s.ring(s.box(0.5, 0.04, rise * 0.8, cast, (0, 0, rise * 0.4)), t.whole(3, 7), swell)
    drive, plug = s.tube(0.1, t(0.4, 0.6), rise, rise + 0.14, s.STEEL), connector(t, (0, 0, rise))
    return model + t.pick(drive, s.cylinder(0.12, rise, rise + 0.4, s.STEEL), plug)


def _manifold(t: Traits) -> Model:  # runners from port flanges into one collector
    runners, girth = t.whole(3, 6), t(0.11, 0.17)
    metal = t.pick(s.IRON, s.STEEL, s.ALUMINIUM, s.CHROME, s.GLOSS_BLACK)
    end, drop, model = np.array([t(-0.6, 0.6), t(-1.2, -0.6), t(0.5, 0.9)]), t(0.3, 0.6), []
    holes = [s.circle(0.13, 20), s.circle(0.03, 8, (0.16, 0.19)), s.circle(0.03, 8, (-0.16, -0.19))]
    flange = s.extrude(s.rounded(0.44, 0.5, t(0.08, 0.2)), 0.08, metal, holes)
    for x in (np.arange(runners) - (runners - 1) / 2) * 0.5:
        middle = (0.5 * x + 0.5 * end[0], end[1] * 0.4, drop + 0.2)
        model += s.sweep(s.curve([(x, 0, 0), (x, 0, drop), middle, end], 16), girth, metal, solid=False)
    tail = s.sweep(s.curve([(0, 0.15, 0), (0, -0.3, 0), (0, -0.6, 0.1)], 8), girth * t(1.4, 1.8), metal, solid=False)
    return model + s.row(flange, runners, (0.5, 0, 0)) + s.place(tail, end)


def _muffler(t: Traits, pipes: bool = True) -> Model:  # oval body, a pipe at either end; a converter has a flange
    long, pipe, metal = t(0.9, 2), t(0.1, 0.2), t.pick(s.STEEL, s.CHROME, s.ALUMINIUM, s.IRON)
    z = np.array([-1, -0.97, -0.93, -0.9, 0.9, 0.93, 0.97, 1]) * long / 2
    girth, bend = np.array([0.45, 0.52, 0.53, 0.5, 0.5, 0.53, 0.52, 0.45]), t(-0.5, 0.5) * pipes
    model = s.sweep(np.stack([0 * z, 0 * z, z], 1), girth, metal, s.circle(1, 40) * (1, t(0.55, 1)))
    inlet = s.curve([(0, 0, 0), (0, 0, 0.3), (bend, 0, t(0.5, 0.9)), (bend * 2, t(-0.3, 0.3), t(0.9, 1.3))], 16)
    tail = s.cylinder(pipe, -long / 2 - t(0.2, 0.7), 0, t.pick(metal, s.CHROME))
    model += s.place(s.sweep(inlet, pipe, metal, solid=False), (t(-0.2, 0.2), 0, long / 2))
    model += s.row(tail, t.pick(1, 2), (0.44, 0, 0))
    flange = s.extrude(s.rounded(0.8, 0.5, 0.2), 0.08, metal, s.around(2, 0.32, 0.05), (0, 0, -long / 2 - 0.2))
    return s.place(model + ([] if pipes else flange), turn=(0, 90, 0))


def _control_arm(t: Traits) -> Model:  # one- or two-legged forged arm with bushes and a ball joint
    metal, reach = t.pick(s.BLACKENED, s.IRON, s.ALUMINIUM, s.GLOSS_BLACK), t(0.8, 1.4)
    model = s.place(s.sphere(0.18, metal, 0.8) + s.cylinder(0.06, 0, 0.4, s.STEEL), (0.6, 0, 0))
    bush = s.tube(0.06, 0.19, -0.17, 0.17, s.RUBBER) + s.tube(0.17, 0.22, -0.13, 0.13, metal)
    for x, y in t.pick([(-reach, 0.1)], [(-reach, 0.5), (-reach * 0.8, -0.6)], [(-0.9, 0.7), (-1.0, -0.3)]):
        bend, section = t(-0.25, 0.25), s.rounded(t(0.1, 0.16), t(0.14, 0.3), 0.04)
        path = s.curve([(0.6, 0, 0), (0.2, bend, t(-0.15, 0.15)), (x * 0.5, y * 0.6 + bend, 0.05), (x, y, 0)], 24)
        model += s.sweep(path, t(0.8, 1.3), metal, section)
        model += s.place(bush, (x, y, 0), t.pick((90, 0, 0), (0, 0, 0), (90, 0, 60)))
    return model


def _hose(t: Traits) -> Model:  # bent tube with clamps or fittings, smooth or corrugated
    thick, skin = t(0.05, 0.2), t.pick(s.RUBBER, s.RUBBER, s.STEEL, s.GLOSS_BLACK, s.ALUMINIUM)
    x, y = [t(-1.2, -0.6), -0.4, 0.3, t(0.5, 1.2)], [t(-0.8, 0.8), t(-0.5, 0.5), t(-0.6, 0.6), t(-0.9, 0.9)]
    path = s.curve(np.column_stack([x, y, [0, t(-0.3, 0.3), t(-0.4, 0.4), 0]]), 90)
    girth = thick * (1 + t.pick(0, 0, 0.14) * np.sin(np.arange(90) * 1.4))
    cuff, fitting = thick * t(1.1, 1.35), t.pick(s.STEEL, s.ZINC, s.RUBBER, s.ALUMINIUM)
    ends = s.sweep(path[:9], cuff, fitting, solid=False) + s.sweep(path[-9:], cuff, fitting, solid=False)
    return s.sweep(path, girth, skin, solid=False) + ends


def _bracket(t: Traits) -> Model:  # folded plate with holes, a slot, and a third leg or a stud
    metal, wide, bend = t.pick(s.STEEL, s.BLACKENED, s.ZINC, s.GLOSS_BLACK, s.PLASTIC), t(0.4, 1.1), t(50, 130)
    slot = s.rounded(t(0.2, 0.5), 0.12, 0.06) + np.array([t(-0.2, 0.2), 0.15 * wide])
    holes = [slot, s.circle(t(0.05, 0.12), 18, (0.35, -0.25 * wide))]
    first = s.extrude(s.rounded(1.2, wide, t(0.03, 0.25)), 0.07, metal, holes)
    outline, bolts = s.rounded(t(0.6, 1.2), wide, t(0.03, 0.25)), s.around(t.whole(1, 3), 0.2, t(0.05, 0.11))
    second = s.extrude(outline, 0.07, metal, bolts, (0.55, 0, 0))
    third = s.place(second, (-0.58, 0, 0), (0, 180 + t(30, 120), t.pick(0, 90)))
    return first + s.place(second, (0.58, 0, 0), (0, -bend, 0)) + t.pick([], third, s.cylinder(0.1, 0, 0.4, metal))


def _gasket(t: Traits) -> Model:  # flat outline with bores in a row or a frame, bolt holes all around
    bores, high, skin = t.whole(1, 6), t(0.5, 1), t.pick(s.RUBBER, s.GREY, s.COPPER, s.STEEL, FIBRE)
    wide, spots = max(0.7, 0.62 * bores), [((i - (bores - 1) / 2) * 0.6, 0) for i in range(bores)]
    slot = s.rounded(0.35, high * 0.5, t(0.05, 0.17))
    bore, frame = s.circle(t(0.18, 0.26), 30), [s.rounded(wide - 0.2, high - 0.2, 0.1)]
    holes = t.pick([bore + spot for spot in spots], frame, [slot + spot for spot in spots])
    outline = s.rounded(wide, high, t(0.04, 0.3), t.pick(None, None, 3, 6))
    bolts = [s.circle(0.03, 10, spot) for spot in outline[:: t.whole(3, 6)] * (1 - 0.1 / wide, 1 - 0.1 / high)]
    return s.extrude(outline, t(0.015, 0.06), skin, [*holes, *bolts], bevel=0.004)


PARTS = {
    "bumper cover": _bumper, "bumper": partial(_bumper, chromed=True), "panel": _panel, "fender": _fender,
    "fender liner": _fender_liner, "grille": _grille, "mirror": _mirror, "headlight": partial(_lamp, glass=CLEAR),
    "tail light": partial(_lamp, glass=RED), "corner light": partial(_lamp, glass=AMBER), "radiator": _radiator,
    "handle": _handle, "brake disc": _brake_disc, "flywheel": partial(_brake_disc, toothed=True), "wheel": _wheel,
    "leaf spring": _leaf_spring, "alternator": _alternator, "pump": _pump, "manifold": _manifold, "muffler": _muffler,
    "converter": partial(_muffler, pipes=False), "control arm": _control_arm, "hose": _hose, "bracket": _bracket,
    "gasket": _gasket,
}  # fmt: skip
