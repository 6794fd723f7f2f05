"""Archetypes of electrical parts; how they are written is told in `archetypes`."""

import numpy as np

from autoparts import solids as s
from autoparts.archetypes import Traits, connector, part
from autoparts.solids import Material, Model


@part("Spark Plug", "Plug")
def spark_plug(t: Traits) -> Model:
    """Ribbed white insulator, hexagon, thread, electrode."""
    ribs, shell = t.whole(0, 5), t.pick(s.STEEL, s.ZINC, s.BLACKENED)
    folds = [(0.16 + 0.02 * (i % 2), 0.45 + 0.06 * i) for i in range(2 * ribs)]
    model = s.lathe([(0, 0.3), (0.2, 0.3), *folds, (0.14, 1), (0.12, 1.3), (0, 1.3)], t.pick(s.WHITE, s.WHITE, s.GREY))
    model += s.cylinder(t(0.06, 0.1), 1.3, 1.5, s.STEEL) + s.extrude(s.circle(0.3, 6), 0.25, shell, (), (0, 0, 0.2))
    thread = [(0.19 if i % 2 else 0.165, 0.05 - 0.03 * i) for i in range(t.whole(14, 28))]
    tip = thread[-1][1]
    model += s.lathe([(0, 0.1), (0.24, 0.1), (0.24, 0.05), *thread, (0.12, tip), (0, tip)], s.STEEL)
    hook = s.curve([(0.14, 0, tip), (0.14, 0, tip - 0.14), (0.1, 0, tip - 0.18), (0, 0, tip - 0.18)], 10)
    return s.upright(model + s.sweep(hook, 0.03, s.STEEL))


@part("Injector", "Solenoid", "Actuator", "Regulator")
def injector(t: Traits) -> Model:
    """Slim stepped body with rings, nozzle and a side plug."""
    steps = [(t(0.06, 0.2), z) for z in np.linspace(-1, 0.7, 6)]
    line = [(r, z + end) for r, z in steps for end in (0.02, 0.3)]
    model = s.lathe([(0, -1), *line, (0, 1)], t.pick(*s.METALS))
    coat = t.pick(s.PLASTIC, s.GLOSS_BLACK, s.BLACKENED, s.GREY, s.COPPER)
    model += s.cylinder(t(0.2, 0.32), t(-0.5, -0.2), t(0, 0.4), coat)
    model += s.row(s.torus(0.15, 0.05, t.pick(s.RUBBER, t.paint())), 2, (0, 0, 1.6))
    return s.upright(model + connector(t, (0.15, 0, t(0, 0.4)), (0, t(40, 90), 0)))


@part("Sensor", "Probe")
def sensor(t: Traits) -> Model:
    """Threaded probe with a hexagon and a cable with a plug, or a flange and a plug."""
    tip, end, metal = t(0.1, 0.2), t(0.7, 1.3), t.pick(s.STEEL, s.ZINC, s.COPPER, s.PLASTIC)
    thread = [(tip * (1 if i % 2 else 0.86), -0.5 + 0.03 * i) for i in range(14)]
    probe = [(0, -end), (tip * 0.6, -end), (tip * 0.75, 0.06 - end), (tip * 0.75, -0.5)]
    model = s.lathe([*probe, *thread, (0, -0.08)], s.STEEL) + s.extrude(s.circle(tip * 1.7, 6), 0.16, metal)
    model += s.cylinder(tip * t(0.9, 1.5), 0, t(0.2, 0.7), t.pick(s.STEEL, s.PLASTIC, s.GREY))
    loop = [(t(-0.9, 0.9), 0.3, 0.9), *[(t(-0.9, 0.9), t(-0.7, 0.7), t(0, 0.9)) for _ in range(2)]]
    wire = s.curve([(0, 0, 0.3), (0, 0, 0.7), *loop], 40)
    lead = s.sweep(wire, t(0.03, 0.06), t.pick(s.RUBBER, s.GREY)) + connector(t, wire[-1], (t(0, 180), t(0, 90), 0))
    flange = s.extrude(s.rounded(0.9, 0.34, 0.16), 0.08, s.PLASTIC, [s.circle(0.07, 14, (0.3, 0))])
    return s.upright(model + t.pick(lead, lead, flange + connector(t, (0, 0, 0.35), (0, t(0, 90), 0))))


@part("Cable", "Wire")
def cable(t: Traits) -> Model:
    """Thin looped cable with ends."""
    a, r = np.linspace(0, 1, 90), t(0.02, 0.06)
    turn, spread = a * 2 * np.pi * t(0.8, 2.6), 1 - t(0.1, 0.5) * a
    path = np.stack([spread * np.cos(turn), spread * np.sin(turn) * t(0.5, 1), t(0.1, 0.5) * a], 1)
    path += np.maximum(a - 0.85, 0)[:, None] * (t(-4, 4), t(-4, 4), 0)
    end = t.pick(connector(t), s.cylinder(0.07, 0, 0.4, s.STEEL), s.cylinder(0.09, 0, 0.35, s.RUBBER))
    ends = s.place(end, path[-1], (t(0, 180), 60, 0)) + s.place(end, path[0], (90, 0, 0))
    return s.sweep(path, r, t.pick(s.RUBBER, s.GREY, t.paint())) + ends


@part("Module", "Relay", "Control", "Resistor")
@part("Switch", "Lock", keyed=True)
def module(t: Traits, keyed: bool = False) -> Model:
    """Box with ribs or a label, ears and plugs; a switch has rocker keys or a knob."""
    wide, high, deep = t(0.8, 1.6), t(0.5, 1.1), t(0.2, 0.5 if keyed else 0.8)
    shell = t.pick(s.PLASTIC, s.ALUMINIUM, s.GREY, s.GLOSS_BLACK)
    model = s.box(wide, high, deep, shell)
    count, mark = (t.whole(1, 4), t.pick(s.PLASTIC, s.GREY, t.paint())) if keyed else (t.whole(2, 12), shell)
    key = s.place(s.box(0.7 * wide / count, high * 0.7, 0.16, mark), (0, 0, 0.02), (t(-15, 15), 0, 0))
    knob = s.cylinder(0.33 * high, 0, t(0.15, 0.4), mark, 0.04) + s.box(0.05, 0.3, 0.06, s.WHITE, (0, 0, 0.3))
    rib = s.box(0.03, high * 0.8, 0.05, shell)
    front = s.row(t.pick(key, key, knob if count == 1 else key) if keyed else rib, count, (0.86 * wide / count, 0, 0))
    label = s.box(wide * t(0.4, 0.7), high * t(0.3, 0.6), 0.07, s.WHITE, (0, 0.05, deep / 2), 0.02)
    pins = s.row(s.box(0.08, 0.3, 0.02, s.COPPER, (0, -high / 2 - 0.1, 0)), t.whole(3, 5), (0.15 * wide, 0, 0))
    plugs = s.row(connector(t, (0, -high / 2, 0), (90, 0, 0)), t.pick(1, 2), (wide / 2, 0, 0))
    ear = s.extrude(s.circle(0.16, 24), 0.06, shell, [s.circle(0.07, 14)], (0, 0, -deep / 3))
    model += s.place(front, (0, 0, deep / 2)) + t.pick(pins, plugs, plugs) + ([] if keyed else t.pick([], label))
    return model + t.pick([], s.row(ear, 2, (wide + 0.16, 0, 0)))


@part("Battery")
def battery(t: Traits) -> Model:
    """Case with lid, terminals, handle and a label."""
    wide, high, case = t(1.1, 1.7), t(0.8, 1.2), t.pick(s.PLASTIC, s.GLOSS_BLACK, t.paint(), s.WHITE)
    top, lid = high / 2 + 0.1, t.pick(case, s.PLASTIC, t.paint())
    model = s.box(wide, high, 0.8, case) + s.box(wide * 1.03, 0.22, 0.84, lid, (0, high / 2, 0))
    post = s.place(s.upright(s.cylinder(0.09, 0, 0.16, t.pick(s.STEEL, s.ALUMINIUM))), (0, top, 0.2))
    model += s.row(post, 2, (wide * 0.72, 0, 0))
    model += s.box(wide * 0.8, high * t(0.3, 0.6), 0.83, t.paint(), (0, -0.1, 0), 0.02)
    model += s.box(wide * t(0.3, 0.6), high * 0.15, 0.85, t.pick(s.WHITE, s.GLOSS_BLACK), (0, t(-0.2, 0.1), 0), 0.01)
    rise, x = top + t(0.1, 0.3), wide * 0.3
    handle = s.sweep(s.curve([(-x, top, 0), (-x * 0.8, rise, 0), (x * 0.8, rise, 0), (x, top, 0)], 20), 0.04, s.PLASTIC)
    return model + t.pick([], handle)


@part("Gauge", "Clock", "Speedometer")
def gauge(t: Traits) -> Model:
    """Dial with ticks and a needle behind a bezel."""
    face, ink = t.pick((s.WHITE, s.GLOSS_BLACK), (s.GLOSS_BLACK, s.WHITE), (s.GLOSS_BLACK, t.paint()))
    model = s.extrude(s.circle(0.95, 60), 0.04, face) + s.cylinder(0.1, 0, 0.1, s.GLOSS_BLACK)
    model += s.ring(s.box(0.1, 0.03, 0.02, ink, (0, 0, 0.03), 0.005), t.whole(12, 32), 0.8)
    model += s.place(s.box(0.8, 0.05, 0.02, t.paint(), (0.3, 0, 0), 0.02), (0, 0, 0.05), (0, 0, t(0, 360)))
    model += s.box(0.4, 0.14, 0.02, ink, (0, -0.4, 0.03), 0.02)
    model += s.lathe([(0, -t(0.3, 0.9)), (0.8, -0.3), (0.9, -0.02), (0, -0.02)], s.PLASTIC)
    bezel = s.tube(0.92, 1.05, -0.1, t(0.08, 0.2), t.pick(s.CHROME, s.PLASTIC, s.GLOSS_BLACK))
    return model + bezel + connector(t, (0, 0, -0.5), (180, 0, 0))


@part("Bulb", "Flashlight")
def bulb(t: Traits) -> Model:
    """Glass envelope with a filament on a metal or plastic base."""
    length, r = t(0.5, 1), t(0.14, 0.3)
    tint = t.pick(s.GLASS, s.GLASS, Material((0.95, 0.6, 0.15), 0.9, 90, 0.3, 0.0, 0.35))
    envelope = [(r * np.sin(x), length * (1 - np.cos(x)) / 2 + 0.1) for x in np.linspace(0.3, np.pi, 14)]
    model = s.lathe([(0, 0.1), *envelope], tint) + s.cylinder(0.05, 0, length * 0.4, s.GREY)
    model += s.place(s.sweep(s.helix(0.04, 0.03, 6), 0.012, s.STEEL), (0, 0, length * 0.5))
    foot = [(0, -0.5), (0.8 * r, -0.5), (0.8 * r, 0), (1.4 * r, 0), (1.4 * r, 0.1), (0.7 * r, 0.12), (0, 0.2)]
    model += s.lathe(foot, t.pick(s.STEEL, s.ZINC, s.PLASTIC))
    pins = s.row(s.box(0.03, 0.08, 0.3, s.COPPER, (0, 0, -0.6)), 2, (0.12, 0, 0))
    return s.upright(model + t.pick(pins, connector(t, (0, 0, -0.5), (180, 0, 0))))
