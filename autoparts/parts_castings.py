"""Archetypes of castings, linkages, lines and fasteners; how they are written is told in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import Traits, connector, part
from autoparts.solids import Material, Model

FIBRE = Material((0.2, 0.35, 0.3), 0.1, 6)


@part("Alternator", "Starter", "Motor")
def alternator(t: Traits) -> Model:
    """Vented housing with ears, stator band and pulley."""
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


@part("Pump", "Housing", "Compressor", "Turbocharger")
def pump(t: Traits) -> Model:
    """Cast housing: flange of its own outline with bolt ears, a scroll, necks, a pulley, a shaft or a plug."""
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


@part("Manifold")
def manifold(t: Traits) -> Model:
    """Runners from port flanges into one collector."""
    runners, girth = t.whole(3, 6), t(0.11, 0.17)
    metal = t.pick(s.IRON, s.STEEL, s.ALUMINIUM, s.CHROME, s.GLOSS_BLACK)
    end, drop, model = np.array([t(-0.6, 0.6), t(-1.2, -0.6), t(0.5, 0.9)]), t(0.3, 0.6), []
    holes = [s.circle(0.13, 20), s.circle(0.03, 8, (0.16, 0.19)), s.circle(0.03, 8, (-0.16, -0.19))]
    flange = s.extrude(s.rounded(0.44, 0.5, t(0.08, 0.2)), 0.08, metal, holes)
    for x in (np.arange(runners) - (runners - 1) / 2) * 0.5:
        middle = (0.5 * x + 0.5 * end[0], end[1] * 0.4, drop + 0.2)
        model += s.sweep(s.curve([(x, 0, 0), (x, 0, drop), middle, end], 16), girth, metal, solid=False)
    collector = s.sweep(
        s.curve([(0, 0.15, 0), (0, -0.3, 0), (0, -0.6, 0.1)], 8), girth * t(1.4, 1.8), metal, solid=False
    )
    return model + s.row(flange, runners, (0.5, 0, 0)) + s.place(collector, end)


@part("Muffler", "Resonator")
@part("Converter", pipes=False)
def muffler(t: Traits, pipes: bool = True) -> Model:
    """Oval body with seams and a pipe at either end; a converter has a short one and a flange."""
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


@part("Arm", "Link", "Lever")
def control_arm(t: Traits) -> Model:
    """One- or two-legged forged arm with bushes and a ball joint."""
    metal, reach = t.pick(s.BLACKENED, s.IRON, s.ALUMINIUM, s.GLOSS_BLACK), t(0.8, 1.4)
    legs = t.pick([(-reach, 0.1)], [(-reach, 0.5), (-reach * 0.8, -0.6)], [(-0.9, 0.7), (-1.0, -0.3)])
    joint = s.sphere(0.15, metal) + s.cylinder(0.17, -0.08, 0.1, metal) + s.cylinder(0.06, 0, 0.4, s.STEEL)
    bush = s.tube(0.06, 0.19, -0.17, 0.17, s.RUBBER) + s.tube(0.05, 0.09, -0.2, 0.2, s.STEEL)
    bush, model = bush + s.tube(0.17, 0.22, -0.13, 0.13, metal), s.place(joint, (0.6, 0, 0))
    for x, y in legs:
        bend, section = t(-0.25, 0.25), s.rounded(t(0.1, 0.16), t(0.14, 0.3), 0.04)
        path = s.curve([(0.6, 0, 0), (0.2, bend, t(-0.15, 0.15)), (x * 0.5, y * 0.6 + bend, 0.05), (x, y, 0)], 24)
        model += s.sweep(path, t(0.8, 1.3), metal, section)
        model += s.place(bush, (x, y, 0), t.pick((90, 0, 0), (0, 0, 0), (90, 0, 60)))
    return model


@part("Hose", "Pipe", "Duct", "Line")
def hose(t: Traits) -> Model:
    """Bent tube with clamps or fittings, smooth or corrugated."""
    thick, skin = t(0.05, 0.2), t.pick(s.RUBBER, s.RUBBER, s.STEEL, s.GLOSS_BLACK, s.ALUMINIUM)
    x, y = [t(-1.2, -0.6), -0.4, 0.3, t(0.5, 1.2)], [t(-0.8, 0.8), t(-0.5, 0.5), t(-0.6, 0.6), t(-0.9, 0.9)]
    path = s.curve(np.column_stack([x, y, [0, t(-0.3, 0.3), t(-0.4, 0.4), 0]]), 90)
    girth = thick * (1 + t.pick(0, 0, 0.14) * np.sin(np.arange(90) * 1.4))
    cuff, fitting = thick * t(1.1, 1.35), t.pick(s.STEEL, s.ZINC, s.RUBBER, s.ALUMINIUM)
    ends = s.sweep(path[:9], cuff, fitting, solid=False) + s.sweep(path[-9:], cuff, fitting, solid=False)
    return s.sweep(path, girth, skin, solid=False) + ends


@part("Belt", "Chain", "Strap")
def belt(t: Traits) -> Model:
    """Closed band with ribs or teeth inside."""
    a, wide, pinch = np.linspace(0, 2 * np.pi, 91), t(0.08, 0.4), t(-0.3, 0.4)
    y = t(0.4, 1) * np.sin(a) * (1 - t(-0.2, 0.4) * np.cos(a))
    loop = np.stack([np.cos(a) * (1 + pinch * np.cos(2 * a)), y, 0 * a], 1)
    facing = np.degrees(np.arctan2(*np.gradient(loop[:, :2], axis=0).T[::-1]))
    skin = t.pick(s.RUBBER, s.RUBBER, s.STEEL)
    tooth = s.box(t(0.03, 0.06), 0.05, wide * 0.96, skin, (0, t(0.02, 0.04), 0), corner=0.01)
    teeth = s.repeat(tooth, loop[:-1], [(0, 0, f) for f in facing[:-1]])
    return s.sweep(loop, 1.0, skin, s.rounded(0.05, wide, 0.02), solid=False) + t.pick([], teeth, teeth)


@part("Shaft", "Axle", "Bolt", "Stud", "Nut", "Rod")
def shaft(t: Traits) -> Model:
    """Stepped bar with a thread and a hexagon, a flange or a boot."""
    long, r, metal = t(1, 3), t(0.08, 0.2), t.pick(s.STEEL, s.IRON, s.BLACKENED, s.ZINC, s.MACHINED)
    z = np.linspace(-long / 2, long / 2, 6)
    steps = [(girth, end) for i, girth in enumerate(r * t(0.7, 1.4) for _ in range(5)) for end in z[i : i + 2]]
    thread = [(r * (1.0 if i % 2 else 0.86), 0.02 * i) for i in range(t.whole(12, 30))]
    model = s.lathe([(0, z[0]), *steps, (0, z[-1])], metal)
    model += s.place(s.lathe([(0, 0), *thread, (0, 0.6)], s.STEEL, 30), (0, 0, long / 2))
    fold = [(r * (2.4 if i % 2 else 1.9) * (1 - 0.05 * i), 0.05 * i) for i in range(10)]
    flange = s.extrude(s.circle(r * 2.6, 40), 0.08, metal, s.around(6, r * 1.9, 0.03))
    hexagon, boot = (
        s.extrude(s.circle(r * t(1.6, 2.4), 6), r * 1.3, metal),
        s.lathe([*fold, (r, 0.5), (r, 0)], s.RUBBER),
    )
    heads = hexagon, flange, boot
    model += s.place(t.pick(*heads), (0, 0, -long / 2 + t(0, 0.4)))
    return s.place(model + t.pick([], s.place(t.pick(*heads), (0, 0, long / 2), (180, 0, 0))), turn=(0, 90, 0))


@part("Bracket", "Support", "Hinge", "Clip", "Retainer")
def bracket(t: Traits) -> Model:
    """Folded plate with holes, a slot, and a third leg, a gusset or a stud."""
    metal, wide, bend = t.pick(s.STEEL, s.BLACKENED, s.ZINC, s.GLOSS_BLACK, s.PLASTIC), t(0.4, 1.1), t(50, 130)
    slot = s.rounded(t(0.2, 0.5), 0.12, 0.06) + np.array([t(-0.2, 0.2), 0.15 * wide])
    holes = [slot, s.circle(t(0.05, 0.12), 18, (0.35, -0.25 * wide))]
    first = s.extrude(s.rounded(1.2, wide, t(0.03, 0.25)), 0.07, metal, holes)
    outline, bolts = s.rounded(t(0.6, 1.2), wide, t(0.03, 0.25)), s.around(t.whole(1, 3), 0.2, t(0.05, 0.11))
    second = s.extrude(outline, 0.07, metal, bolts, (0.55, 0, 0))
    third = s.place(second, (-0.58, 0, 0), (0, 180 + t(30, 120), t.pick(0, 90)))
    gusset = s.extrude(np.array([(0, 0), (0.5, 0), (0, 0.4)]), 0.05, metal)
    gusset, stud = s.place(gusset, (0.1, 0, 0.05), (90, 0, 0)), s.cylinder(0.1, 0, 0.4, metal)
    return first + s.place(second, (0.58, 0, 0), (0, -bend, 0)) + t.pick([], third, gusset, stud)


@part("Gasket", "Plate", "Kit", "Set")
def gasket(t: Traits) -> Model:
    """Flat outline with bores in a row or a frame, bolt holes all around."""
    bores, high, skin = t.whole(1, 6), t(0.5, 1), t.pick(s.RUBBER, s.GREY, s.COPPER, s.STEEL, FIBRE)
    wide, spots = max(0.7, 0.62 * bores), [((i - (bores - 1) / 2) * 0.6, 0) for i in range(bores)]
    slot = s.rounded(0.35, high * 0.5, t(0.05, 0.17))
    bore, frame = s.circle(t(0.18, 0.26), 30), [s.rounded(wide - 0.2, high - 0.2, 0.1)]
    holes = t.pick([bore + spot for spot in spots], frame, [slot + spot for spot in spots])
    outline = s.rounded(wide, high, t(0.04, 0.3), t.pick(None, None, 3, 6))
    bolts = [s.circle(0.03, 10, spot) for spot in outline[:: t.whole(3, 6)] * (1 - 0.1 / wide, 1 - 0.1 / high)]
    return s.extrude(outline, t(0.015, 0.06), skin, [*holes, *bolts], bevel=0.004)
