"""Archetypes of body, cooling and electrical parts; the same rules as in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import (
    ALUMINIUM,
    BLACKENED,
    CHROME,
    COPPER,
    DARKS,
    GLOSS_BLACK,
    GREY,
    METALS,
    PLASTIC,
    RUBBER,
    STEEL,
    WHITE,
    ZINC,
    Traits,
    part,
)  # fmt: skip
from autoparts.assemblies import connector
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
)

GLASS = Material((0.85, 0.88, 0.92), 0.9, 90, 0.25, 0.0, 0.22)
PRIMER = Material((0.1, 0.1, 0.11), 0.45, 18, 0.05)
CORE = Material((0.33, 0.33, 0.34), 0.1, 5, 0, 0.35)


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


@part("Headlight", "Light", "Lamp", "Reflector", "Lens")
def headlight(t: Traits) -> Model:
    """Housing, chrome bowls with bulbs, clear or coloured lens of a swept outline."""
    wide, high, bowls, shell = t(1.1, 2), t(0.5, 1), t.whole(1, 3), t.pick(GLOSS_BLACK, PLASTIC, GREY)
    outline = s.rounded(wide, high, power=t(2, 6))
    outline[:, 1] *= np.interp(outline[:, 0], [-wide / 2, wide / 2], [t(0.3, 1), 1])
    outline[:, 0] += outline[:, 1] * t(-0.5, 0.5)
    model = extrude(outline, 0.5, shell, (), (0, 0, -0.32), 0.05) + extrude(
        outline, 0.3, shell, [outline * 0.93], (0, 0, -0.05)
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


@part("Bumper Cover", "Bumper", "Valance", "Reinforcement", "Spoiler")
def bumper(t: Traits) -> Model:
    """Wide curved skin with an opening, lamp recesses and a crease."""
    high, wrap, skin = t(0.35, 0.8), t(0.3, 0.9), t.pick(PRIMER, GLOSS_BLACK, PRIMER, t.paint(), CHROME)
    u, v = np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 27))
    x, drop = 1.5 * np.sin(u * 1.35) / np.sin(1.35), t(0, 0.25)
    z = -wrap * np.abs(u) ** t(2, 5) - t(0.05, 0.2) * v**2 + t(0.02, 0.08) * np.tanh(12 * (v - t(-0.3, 0.3)))
    mouth = (np.abs(u) < t(0.2, 0.55)) & (np.abs(v + t(0, 0.5)) < t(0.1, 0.35))
    lamp = (np.abs(np.abs(u) - t(0.6, 0.75)) < t(0.05, 0.12)) & (np.abs(v + t(0.1, 0.6)) < 0.22)
    y = v * high * (1 - drop * u**2) / 1.2
    model = s.sheet(x, y, z - 0.16 * mouth - 0.1 * lamp, skin)
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


@part("Injector", "Nozzle", "Solenoid", "Actuator", "Regulator")
def injector(t: Traits) -> Model:
    """Slim stepped body with rings, nozzle and a side plug."""
    r = [t(0.06, 0.2) for _ in range(6)]
    line = (
        [(0, -1)]
        + [(a, z + d) for a, z in zip(r, np.linspace(-1, 0.7, 6), strict=True) for d in (0.02, 0.3)]
        + [(0, 1)]
    )
    model = lathe(line, t.pick(*METALS)) + cylinder(t(0.2, 0.32), t(-0.5, -0.2), t(0, 0.4), t.pick(*DARKS, COPPER))
    model += repeat(s.torus(0.15, 0.05, t.pick(RUBBER, t.paint())), [(0, 0, 0.85), (0, 0, -0.75)])
    return place(model + place(connector(t), (0.15, 0, t(0, 0.4)), (0, t(40, 90), 0)), turn=(-90, 0, 0))


@part("Sensor", "Probe", "Transmitter")
def sensor(t: Traits) -> Model:
    """Threaded probe with a hexagon and a plug or a cable."""
    tip, metal = t(0.1, 0.2), t.pick(STEEL, ZINC, COPPER, PLASTIC)
    thread = [(tip * (1 if i % 2 else 0.86), -0.5 + 0.03 * i) for i in range(14)]
    model = lathe([(0, -t(0.7, 1.3)), (tip * 0.8, -0.65), (tip * 0.8, -0.5), *thread, (0, -0.08)], STEEL) + extrude(
        circle(tip * 1.7, 6), 0.16, metal
    )
    model += cylinder(tip * t(0.9, 1.5), 0, t(0.2, 0.7), t.pick(STEEL, PLASTIC, GREY))
    cable = curve(
        [
            (0, 0, 0.3),
            (0, 0, 0.7),
            (t(-0.9, 0.9), 0.3, 0.9),
            (t(-0.9, 0.9), t(-0.7, 0.7), t(0.3, 1)),
            (t(-0.9, 0.9), t(-0.7, 0.7), t(0, 0.5)),
        ],
        40,
    )
    lead = s.sweep(cable, t(0.03, 0.06), t.pick(RUBBER, GREY)) + place(
        connector(t), tuple(cable[-1]), (t(0, 180), t(0, 90), 0), 0.8
    )
    flange = extrude(s.rounded(0.9, 0.34, 0.16), 0.08, PLASTIC, [circle(0.07, 14, (0.3, 0))]) + place(
        connector(t), (0, 0, 0.35), (0, t(0, 90), 0)
    )
    return place(model + t.pick(lead, lead, flange), turn=(-90, 0, 0))


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


@part("Module", "Relay", "Control", "Computer", "Amplifier", "Resistor", "Box")
def module(t: Traits) -> Model:
    """Box with ribs, ears, a label and plugs."""
    wide, high, deep, shell = t(0.7, 1.6), t(0.6, 1.2), t(0.2, 0.8), t.pick(PLASTIC, ALUMINIUM, GREY, GLOSS_BLACK)
    model = box(wide, high, deep, shell) + repeat(
        box(0.03, high * 0.8, 0.05, shell), [(x * wide, 0, deep / 2) for x in np.linspace(-0.4, 0.4, t.whole(2, 12))]
    )
    model += t.pick([], box(wide * t(0.4, 0.7), high * t(0.3, 0.6), 0.07, WHITE, (0, 0.05, deep / 2), 0.02))
    pins = repeat(
        box(0.08, 0.3, 0.02, COPPER), [(x, -high / 2 - 0.1, 0) for x in np.linspace(-0.3, 0.3, t.whole(3, 5)) * wide]
    )
    plugs = repeat(
        place(connector(t), (0, -high / 2, 0), (90, 0, 0)), [(x * wide, 0, 0) for x in t.pick((0,), (-0.25, 0.25))]
    )
    ears = repeat(
        extrude(circle(0.16, 24), 0.06, shell, [circle(0.07, 14)]),
        [(-wide / 2 - 0.08, 0, -deep / 3), (wide / 2 + 0.08, 0, -deep / 3)],
    )
    return model + t.pick(pins, plugs, plugs) + t.pick([], ears)


@part("Switch", "Button", "Lock", "Latch")
def switch(t: Traits) -> Model:
    """Bezel with rocker keys or a knob, body and plug behind."""
    wide, high, keys = t(0.6, 1.7), t(0.5, 0.9), t.whole(1, 4)
    model = extrude(s.rounded(wide, high, power=t(3, 8)), 0.12, t.pick(PLASTIC, GLOSS_BLACK, GREY), bevel=0.04) + box(
        wide * 0.8, high * 0.8, 0.5, PLASTIC, (0, 0, -0.3)
    )
    key = place(box(0.7 * wide / keys, high * 0.6, 0.16, t.pick(PLASTIC, GREY, t.paint())), turn=(t(-15, 15), 0, 0))
    knob = cylinder(min(wide, high) * 0.33, 0, t(0.15, 0.4), t.pick(PLASTIC, CHROME), 0.04) + box(
        0.05, 0.4, 0.1, WHITE, (0, 0, 0.3)
    )
    row = repeat(key, [(x, 0, 0.1) for x in (np.arange(keys) - (keys - 1) / 2) * wide * 0.85 / keys])
    return model + t.pick(row, row, knob) + place(connector(t), (0, 0, -0.5), (180, 0, 0))


@part("Ignition Coil", "Coil", "Transformer")
def ignition_coil(t: Traits) -> Model:
    """Pencil coil with a boot, or a block with towers."""
    head = box(0.6, 0.5, 0.35, PLASTIC) + extrude(
        s.rounded(0.9, 0.3, 0.14), 0.1, PLASTIC, [circle(0.07, 14, (0.33, 0))], (0.2, 0, 0)
    )
    pencil = (
        head
        + cylinder(0.17, -t(0.8, 1.4), 0, t.pick(PLASTIC, BLACKENED))
        + place(tube(0.1, 0.2, -2, -1, RUBBER), (0, 0, t(-0.3, 0.2)))
    )
    towers = t.whole(1, 4)
    block = box(t(0.9, 1.5), 0.9, 0.5, PLASTIC) + repeat(
        tube(0.08, 0.15, 0, 0.5, PLASTIC), [(0.3 * i - 0.4, 0.1, 0.2) for i in range(towers)]
    )
    return place(t.pick(pencil, pencil, block) + place(connector(t), (-0.3, 0, 0.1), (0, -80, 0)), turn=(-90, 0, 0))


@part("Battery")
def battery(t: Traits) -> Model:
    """Case with lid, terminals, handle and a label."""
    wide, high, case = t(1.1, 1.7), t(0.8, 1.2), t.pick(PLASTIC, GLOSS_BLACK, t.paint(), WHITE)
    model = box(wide, high, 0.8, case) + place(
        box(wide * 1.03, 0.22, 0.84, t.pick(case, PLASTIC, t.paint())), (0, high / 2, 0)
    )
    post = place(cylinder(0.09, 0, 0.16, t.pick(STEEL, ALUMINIUM)), (0, high / 2 + 0.1, 0.2), (-90, 0, 0))
    model += repeat(post, [(-wide * 0.36, 0, 0), (wide * 0.36, 0, 0)]) + box(
        wide * 0.8, high * t(0.3, 0.6), 0.83, t.paint(), (0, -0.1, 0), 0.02
    )
    model += box(wide * t(0.3, 0.6), high * 0.15, 0.85, t.pick(WHITE, GLOSS_BLACK), (0, t(-0.2, 0.1), 0), 0.01)
    handle = s.sweep(
        curve([(-wide * 0.3, 0, 0), (-wide * 0.25, t(0.1, 0.3), 0), (wide * 0.25, 0.2, 0), (wide * 0.3, 0, 0)], 20),
        0.04,
        PLASTIC,
    )
    return model + t.pick([], place(handle, (0, high / 2 + 0.1, 0)))


@part("Gauge", "Clock", "Speedometer", "Instrument Cluster")
def gauge(t: Traits) -> Model:
    """Dial with ticks and a needle behind a bezel, or a pen-shaped tester."""
    face, ink = t.pick((WHITE, GLOSS_BLACK), (GLOSS_BLACK, WHITE), (GLOSS_BLACK, t.paint()))
    ticks = ring(box(0.1, 0.03, 0.02, ink, (0, 0, 0.03), 0.005), t.whole(12, 32), 0.8)
    needle = place(box(0.8, 0.05, 0.02, t.paint(), (0.3, 0, 0), 0.02), (0, 0, 0.05), (0, 0, t(0, 360)))
    dial = (
        extrude(circle(0.95, 60), 0.04, face)
        + ticks
        + needle
        + cylinder(0.1, 0, 0.1, GLOSS_BLACK)
        + box(0.4, 0.14, 0.02, ink, (0, -0.4, 0.03), 0.02)
    )
    back = lathe([(0, -t(0.3, 0.9)), (0.8, -0.3), (0.9, -0.02), (0, -0.02)], PLASTIC)
    return (
        dial
        + back
        + tube(0.92, 1.05, -0.1, t(0.08, 0.2), t.pick(CHROME, PLASTIC, GLOSS_BLACK))
        + place(connector(t), (0, 0, -0.5), (180, 0, 0))
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


@part("Bulb", "Fuse", "Flashlight")
def bulb(t: Traits) -> Model:
    """Glass envelope with a filament on a metal or plastic base."""
    length, r = t(0.5, 1), t(0.14, 0.3)
    envelope = [(r * np.sin(x), length * (1 - np.cos(x)) / 2 + 0.1) for x in np.linspace(0.3, np.pi, 14)]
    tint = Material(t.pick((0.85, 0.88, 0.92), (0.85, 0.88, 0.92), (0.95, 0.6, 0.15)), 0.9, 90, 0.3, 0.0, 0.35)
    model = (
        lathe([(0, 0.1), *envelope], tint)
        + place(s.sweep(s.helix(0.04, 0.03, 6), 0.012, STEEL), (0, 0, length * 0.5))
        + cylinder(0.05, 0, length * 0.4, GREY)
    )
    base = lathe(
        [(0, -0.5), (r * 0.8, -0.5), (r * 0.8, 0), (r * 1.4, 0), (r * 1.4, 0.1), (r * 0.7, 0.12), (0, 0.2)],
        t.pick(STEEL, ZINC, PLASTIC),
    )
    return place(
        model
        + base
        + repeat(box(0.03, 0.08, 0.3, COPPER), [(0.06, 0, -0.6), (-0.06, 0, -0.6)])
        + t.pick([], place(connector(t), (0, 0, -0.5), (180, 0, 0), 0.7)),
        turn=(-90, 0, 0),
    )


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
