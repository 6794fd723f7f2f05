"""Archetypes of electrical parts; the same rules as in `archetypes`."""

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
    tip, end, metal = t(0.1, 0.2), t(0.7, 1.3), t.pick(STEEL, ZINC, COPPER, PLASTIC)
    thread = [(tip * (1 if i % 2 else 0.86), -0.5 + 0.03 * i) for i in range(14)]
    model = lathe(
        [(0, -end), (tip * 0.6, -end), (tip * 0.75, 0.06 - end), (tip * 0.75, -0.5), *thread, (0, -0.08)], STEEL
    ) + extrude(circle(tip * 1.7, 6), 0.16, metal)
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
