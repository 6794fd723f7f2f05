"""Archetypes of castings, linkages and assemblies; the same rules as in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import (
    ALUMINIUM,
    BLACKENED,
    CHROME,
    GLOSS_BLACK,
    GREY,
    IRON,
    PARTS,
    PLASTIC,
    RUBBER,
    STEEL,
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


@part("Alternator", "Starter", "Motor", "Generator")
def alternator(t: Traits) -> Model:
    """Vented housing with ears, stator band and pulley."""
    long, cast = t(0.9, 1.7), t.pick(ALUMINIUM, ALUMINIUM, GLOSS_BLACK, STEEL)
    shell = [(0, 0), (0.55, 0), (0.66, 0.1), (0.68, long * 0.4), (0.68, long - 0.12), (0.58, long), (0, long)]
    model = lathe(shell, cast) + tube(0.6, 0.7, long * 0.4, long * t(0.5, 0.7), t.pick(IRON, STEEL, BLACKENED))
    model += ring(place(box(0.26, 0.07, 0.1, BLACKENED), (0, 0, long)), t.whole(8, 14), 0.42)
    model += ring(place(box(0.1, 0.06, 0.22, BLACKENED), (0, 0, long - 0.12)), 14, 0.64)
    ear = extrude(s.rounded(0.5, 0.26, 0.12), 0.16, cast, [circle(0.06, 16, (0.12, 0))])
    model += repeat(
        ear, [(0.75, 0, long * 0.85), (-0.75, 0.1, long * 0.85), (0.72, 0, 0.2)], [(0, 0, 0), (0, 0, 170), (0, 0, 0)]
    )
    grooves = [(0.3 + 0.025 * (i % 2), long + 0.08 + 0.03 * i) for i in range(t.whole(6, 12))]
    model += lathe([(0, long), (0.28, long + 0.03), *grooves, (0, grooves[-1][1])], STEEL) + cylinder(
        0.1, long, grooves[-1][1] + 0.12, ZINC
    )
    return model + place(connector(t), (0.3, 0.62, 0.25), (-70, 0, 0))


@part("Pump", "Compressor", "Housing", "Turbocharger", "Distributor", "Carburetor", "Thermostat")
def pump(t: Traits) -> Model:
    """Cast housing: flange of its own outline with bolt ears, a scroll, necks, a pulley or impeller."""
    cast, lobes, radius = t.pick(ALUMINIUM, IRON, ALUMINIUM, BLACKENED, PLASTIC), t.whole(3, 8), t(0.6, 0.95)
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    rim = (
        radius
        + t(0.04, 0.12) * np.cos(lobes * angle)
        + t(-0.2, 0.2) * np.cos(angle + 1)
        + t(-0.15, 0.15) * np.cos(2 * angle)
    )
    flange = np.stack([rim * np.cos(angle), rim * np.sin(angle)], 1)
    holes = [0.85 * flange[int(i * 72 / lobes)] for i in range(lobes)]
    model = extrude(flange, t(0.1, 0.25), cast, [circle(0.05, 14, tuple(h)) for h in holes])
    swell, rise = t(0.35, 0.6), t(0.3, 0.9)
    model += lathe(
        [(0, 0), (swell, 0), (swell, rise * 0.5), (swell * 0.7, rise * 0.9), (swell * 0.4, rise), (0, rise)], cast
    )
    neck = curve([(0.2, 0, 0.2), (0.6, 0.1, 0.25), (t(0.8, 1.2), t(-0.3, 0.5), t(0.2, 0.6))], 14)
    pipe, bands = t(0.1, 0.2), np.where(np.arange(14) == 12, 1.12, 1.0)
    turns = [(0, 0, t(0, 360)) for _ in range(t.whole(1, 3))]
    model += repeat(s.sweep(neck, pipe * bands, cast, solid=False), [(0, 0, 0)] * len(turns), turns)
    model += ring(box(0.5, 0.04, rise * 0.8, cast, (0, 0, rise * 0.4)), t.whole(3, 7), swell)
    top = t.pick(
        lambda: tube(0.1, t(0.4, 0.6), rise, rise + 0.14, STEEL),
        lambda: cylinder(0.12, rise, rise + 0.4, STEEL),
        lambda: place(connector(t), (0, 0, rise)),
    )
    return model + top() + cylinder(0.07, -0.5, rise + 0.2, STEEL)


@part("Caliper")
def caliper(t: Traits) -> Model:
    """Bridge over the disc, one to three pistons, a carrier with two ears."""
    cast, count, wide = t.pick(IRON, t.paint(), ALUMINIUM, ZINC), t.whole(1, 3), t(1.1, 1.6)
    x = np.linspace(-wide / 2, wide / 2, 24)
    arch = np.concatenate([np.stack([x, 0.5 - 0.5 * x**2], 1), np.stack([x[::-1], -0.05 - 0.5 * x[::-1] ** 2], 1)])
    model = extrude(arch, t(0.7, 1), cast, bevel=0.06) + extrude(
        arch * (0.9, 1.3) - (0, 0.1), 0.25, cast, (), (0, 0, -0.45), 0.05
    )
    bore = cylinder(0.3, -0.9, -0.4, cast, 0.06)
    model += repeat(bore, [(v, 0.05, 0) for v in (np.arange(count) - (count - 1) / 2) * 0.5])
    carrier = extrude(
        s.rounded(wide + 0.6, 0.26, 0.13),
        0.14,
        t.pick(IRON, ZINC, BLACKENED),
        [circle(0.06, 14, (v, 0)) for v in (-wide / 2 - 0.15, wide / 2 + 0.15)],
    )
    return (
        model
        + place(carrier, (0, -0.25, -0.3))
        + repeat(cylinder(0.06, -0.7, 0.1, RUBBER), [(-wide / 2 - 0.1, -0.2, 0), (wide / 2 + 0.1, -0.2, 0)])
    )


@part("Pad", "Shoe")
def brake_pad(t: Traits) -> Model:
    """Steel back plates with friction blocks, laid out in pairs."""
    wide, bow = t(1.1, 1.7), t(0.1, 0.4)
    x = np.linspace(-wide / 2, wide / 2, 20)
    line = np.concatenate([np.stack([x, 0.5 - bow * x**2], 1), np.stack([x[::-1], -bow * x[::-1] ** 2], 1)])
    plate = extrude(line, 0.08, t.pick(BLACKENED, STEEL, GREY)) + repeat(
        box(0.2, 0.2, 0.08, BLACKENED), [(wide / 2, 0.1, 0), (-wide / 2, 0.1, 0)]
    )
    block = extrude(
        line * (0.88, 0.85) + (0, 0.03), 0.16, Material((0.3, 0.29, 0.28), 0.05, 5, 0, 0.25), (), (0, 0, 0.1)
    )
    pad = plate + block + box(0.03, 0.6, 0.17, BLACKENED, (0, 0.15, 0.1))
    places = t.pick(
        [(0, 0, 0), (0.3, 0.75, -0.1)], [(0, 0, 0), (0, 0.7, 0), (wide + 0.3, 0, 0), (wide + 0.3, 0.7, 0)], [(0, 0, 0)]
    )
    return repeat(pad, places, [(0, 180 * (i % 2) * t.pick(0, 1), t(-15, 15)) for i in range(len(places))])


@part("Arm", "Link", "Tie Rod", "Lever")
def control_arm(t: Traits) -> Model:
    """One- or two-legged forged arm with bushes and a ball joint."""
    metal, reach = t.pick(BLACKENED, IRON, ALUMINIUM, GLOSS_BLACK), t(0.8, 1.4)
    legs = t.pick([(-reach, 0.1)], [(-reach, 0.5), (-reach * 0.8, -0.6)], [(-0.9, 0.7), (-1.0, -0.3)])
    model = (
        place(s.sphere(0.15, metal), (0.6, 0, 0))
        + cylinder(0.17, -0.08, 0.1, metal)
        + place(cylinder(0.06, 0, 0.4, STEEL), (0.6, 0, 0))
    )
    bush = (
        tube(0.06, 0.19, -0.17, 0.17, RUBBER)
        + tube(0.05, 0.09, -0.2, 0.2, STEEL)
        + tube(0.17, 0.22, -0.13, 0.13, metal)
    )
    for x, y in legs:
        bend = t(-0.25, 0.25)
        path = curve([(0.6, 0, 0), (0.2, bend, t(-0.15, 0.15)), (x * 0.5, y * 0.6 + bend, 0.05), (x, y, 0)], 24)
        model += s.sweep(path, t(0.8, 1.3), metal, s.rounded(t(0.1, 0.16), t(0.14, 0.3), 0.04)) + place(
            bush, (x, y, 0), t.pick((90, 0, 0), (0, 0, 0), (90, 0, 60))
        )
    return model


@part("Bearing", "Hub")
def bearing(t: Traits) -> Model:
    """Races with balls or rollers, or a hub with a studded flange."""
    hole, wide = t(0.35, 0.6), t(0.2, 0.5)
    model = tube(hole, hole + 0.12, -wide / 2, wide / 2, STEEL) + tube(0.86, 1, -wide / 2, wide / 2, STEEL, 60)
    mid, ball = (hole + 0.98) / 2, (0.74 - hole) / 2
    rollers = ring(
        s.sphere(ball, CHROME) if t.pick(0, 1) else cylinder(ball * 0.7, -wide * 0.4, wide * 0.4, CHROME, sides=14),
        t.whole(9, 14),
        mid,
    )
    shield = extrude(circle(0.87, 50), wide * 0.8, t.pick(RUBBER, GLOSS_BLACK, ZINC), [circle(hole + 0.1, 40)])
    return model + t.pick(rollers, shield)


@part("Bushing", "Mount")
def bushing(t: Traits) -> Model:
    """Rubber in a steel sleeve, on a plate with bolts when it is a mount."""
    hole, wide, outer = t(0.12, 0.4), t(0.4, 1.4), t(0.6, 1)
    rubber = [
        (hole, -wide / 2),
        (outer * 0.9, -wide / 2),
        (outer, -wide / 4),
        (outer * t(0.7, 1), 0),
        (outer, wide / 4),
        (outer * 0.9, wide / 2),
        (hole, wide / 2),
    ]
    model = lathe(rubber, t.pick(RUBBER, RUBBER, t.paint())) + tube(
        hole * 0.7, hole + 0.04, -wide * 0.6, wide * 0.6, t.pick(STEEL, ZINC)
    )
    spots = [(-0.9, 0), (0.9, 0)]
    plate = extrude(
        s.rounded(2.3, t(0.7, 1.6), t(0.1, 0.4)),
        0.1,
        t.pick(BLACKENED, STEEL, ALUMINIUM, ZINC),
        [circle(0.1, 18, x) for x in spots],
        (0, 0, -wide / 2),
    )
    shell = tube(outer * 0.95, outer * 1.08, -wide * 0.4, wide * 0.4, t.pick(STEEL, ALUMINIUM, BLACKENED))
    return model + t.pick([], plate, plate + shell, shell)


@part("Manifold", "Header", "Rail")
def manifold(t: Traits) -> Model:
    """Runners from port flanges into one collector."""
    runners, metal, girth = t.whole(3, 6), t.pick(IRON, STEEL, ALUMINIUM, CHROME, GLOSS_BLACK), t(0.11, 0.17)
    out, drop, model = (t(-0.6, 0.6), t(-1.2, -0.6), t(0.5, 0.9)), t(0.3, 0.6), []
    for x in (np.arange(runners) - (runners - 1) / 2) * 0.5:
        flange = extrude(
            s.rounded(0.44, 0.5, t(0.08, 0.2)),
            0.08,
            metal,
            [circle(0.13, 20), circle(0.03, 8, (0.16, 0.19)), circle(0.03, 8, (-0.16, -0.19))],
        )
        path = curve([(x, 0, 0), (x, 0, drop), (0.5 * x + 0.5 * out[0], out[1] * 0.4, drop + 0.2), out], 16)
        model += place(flange, (x, 0, 0)) + s.sweep(path, girth, metal, solid=False)
    return model + place(
        s.sweep(curve([(0, 0.15, 0), (0, -0.3, 0), (0, -0.6, 0.1)], 8), girth * t(1.4, 1.8), metal, solid=False), out
    )


@part("Shock Absorber", "Strut", "Damper", "Cylinder")
def strut(t: Traits) -> Model:
    """Tube and rod with eyes or plates, some within a spring."""
    long, body = t(1.4, 2.6), t.pick(GLOSS_BLACK, t.paint(), STEEL, GREY, GLOSS_BLACK)
    model = (
        cylinder(0.2, 0, long * 0.55, body)
        + cylinder(0.065, 0, long, CHROME)
        + tube(0.18, t(0.2, 0.26), long * 0.5, long * t(0.56, 0.9), t.pick(body, RUBBER))
    )
    eye = place(tube(0.07, 0.16, -0.15, 0.15, body) + tube(0.05, 0.12, -0.17, 0.17, RUBBER), turn=(90, 0, 0))
    top = t.pick(eye, extrude(circle(0.4, 40), 0.1, BLACKENED, around(3, 0.3, 0.04)), cylinder(0.05, 0, 0.2, STEEL))
    foot = t.pick(eye, box(0.3, 0.5, 0.6, body))
    coil = place(s.sweep(s.helix(0.42, long * 0.1, 6), 0.05, t.paint(), circle(1, 8)), (0, 0, long * 0.65)) + tube(
        0.2, 0.5, long * 0.32, long * 0.35, body
    )
    return place(model + place(top, (0, 0, long)) + place(foot, (0, 0, -0.1)) + t.pick([], coil), turn=(-90, 0, 0))


@part("Kit", "Set")
def kit(t: Traits) -> Model:
    """Several small parts laid side by side."""
    small = ("Gasket", "Ring", "Bearing", "Bolt", "Clip", "Bushing", "Spring", "Gear", "Pad", "Hose")
    model, count = [], t.whole(3, 8)
    for i in range(count):
        piece = PARTS[t.pick(*small)](t)
        size = max(np.ptp(p.points.reshape(-1, 3), axis=0).max() for p in piece)
        model += place(
            piece, (i % 3 - 1, i // 3 - 0.5, t(-0.1, 0.1)), (t(-20, 20), t(-20, 20), t(0, 90)), t(0.6, 0.95) / size
        )
    return model
