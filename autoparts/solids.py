"""Solids for the generated catalogue: materials, and the primitives that a parametric model is built from.

A model is a list of `Piece`, each a few grids of vertices (x to the right, y up, z towards the viewer) or a flat face
with holes; `rendering` draws it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class Material(NamedTuple):
    """How a surface answers light: colour (RGB, 0-1), highlight, its sharpness, mirror share, grain, opacity."""

    colour: tuple[float, float, float]
    shine: float = 0.2
    gloss: float = 20.0
    mirror: float = 0.0
    grain: float = 0.0
    opacity: float = 1.0


STEEL = Material((0.62, 0.63, 0.65), 0.45, 25, 0.35, 0.02)
CHROME = Material((0.85, 0.86, 0.88), 0.8, 120, 0.85)
MACHINED = Material((0.70, 0.70, 0.71), 0.5, 40, 0.3, 0.03)
ALUMINIUM = Material((0.66, 0.66, 0.65), 0.3, 12, 0.12, 0.09)
IRON = Material((0.34, 0.33, 0.32), 0.2, 10, 0.04, 0.12)
BLACKENED = Material((0.13, 0.13, 0.14), 0.5, 30, 0.10, 0.02)
GLOSS_BLACK = Material((0.07, 0.07, 0.08), 0.8, 60, 0.14)
PLASTIC = Material((0.15, 0.15, 0.16), 0.35, 14, 0.02, 0.03)
GREY = Material((0.48, 0.48, 0.49), 0.25, 12, 0.02, 0.02)
RUBBER = Material((0.14, 0.14, 0.14), 0.12, 6, 0.0, 0.05)
ZINC = Material((0.74, 0.68, 0.48), 0.5, 30, 0.3, 0.03)
COPPER = Material((0.72, 0.45, 0.28), 0.5, 30, 0.4)
WHITE = Material((0.92, 0.92, 0.90), 0.4, 30, 0.04)
GLASS = Material((0.85, 0.88, 0.92), 0.9, 90, 0.25, 0.0, 0.22)
METALS = (STEEL, MACHINED, ALUMINIUM, IRON, BLACKENED, ZINC, STEEL)


@dataclass(frozen=True)
class Piece:
    """One surface: `points` (copies, rows, columns, 3) float; `contours` replaces the grid by a flat face per copy.

    A closed piece shows only the faces turned towards the viewer; an open one (a sheet, a bowl) shows both sides.
    """

    points: np.ndarray
    material: Material
    closed: bool = True
    wraps: bool = False
    contours: tuple[tuple[np.ndarray, ...], ...] = ()


Model = list[Piece]
Vector = Sequence[float] | np.ndarray
ZERO = (0.0, 0.0, 0.0)


def circle(radius: float, sides: int = 48, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Return a circle as (sides, 2) points, anticlockwise."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1) + centre


ROUND = circle(1, 14)  # the section of pipes, wires and bars


def anticlockwise(line: np.ndarray) -> np.ndarray:
    """Return an outline (n, 2), turned round when it runs clockwise."""
    after = np.roll(line, -1, 0)
    return line[:: 1 if (line[:, 0] * after[:, 1] - after[:, 0] * line[:, 1]).sum() > 0 else -1]


def around(count: int, radius: float, hole: float, sides: int = 14) -> list[np.ndarray]:
    """Return `count` round holes on a bolt circle."""
    angles = np.arange(count) * 2 * np.pi / max(count, 1)
    return [circle(hole, sides, (radius * np.cos(a), radius * np.sin(a))) for a in angles]


def rounded(width: float, height: float, corner: float = 0.1, power: float | None = None) -> np.ndarray:
    """Return a rectangle with round corners (or a superellipse of the given power) as (40, 2) points."""
    if power is not None:
        cos, sin = circle(1, 40).T
        shape = [np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)]
        return np.stack(shape, 1) * (width / 2, height / 2)
    corner = min(corner, width / 2 - 1e-3, height / 2 - 1e-3)
    turn = circle(corner, 36)[np.add.outer(9 * np.arange(4), np.arange(10)) % 36]
    shift = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width / 2 - corner, height / 2 - corner)
    return (turn + shift[:, None]).reshape(-1, 2)


def toothed(count: int, inner: float, outer: float, duty: float = 0.5, slope: float = 0.15) -> np.ndarray:
    """Return the outline of a gear, a splined bore or a fan: `count` teeth between two radii."""
    marks = np.array([-duty / 2 - slope / 2, -duty / 2 + slope / 2, 0, duty / 2 - slope / 2, duty / 2 + slope / 2])
    angle = (np.arange(count)[:, None] + marks).ravel() * 2 * np.pi / count
    radius = np.tile([inner, outer, outer, outer, inner], count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def lathe(profile: Sequence[Vector], material: Material, sides: int = 48, closed: bool = True) -> Model:
    """Turn a profile of (radius, z) points about the z axis; a closed profile encloses the material."""
    line = np.asarray(profile, float)
    if closed:
        line = anticlockwise(np.concatenate([line, line[:1]]))
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    radius, z = line[:, :1], np.repeat(line[:, 1:], sides + 1, 1)
    return [Piece(np.stack([radius * np.cos(angle), radius * np.sin(angle), z], -1)[None], material, closed, True)]


def cylinder(radius: float, z0: float, z1: float, material: Material, bevel: float = 0.02, sides: int = 40) -> Model:
    """Return a solid cylinder along z with broken edges."""
    b = min(bevel, radius / 2, abs(z1 - z0) / 3)
    wall = [(radius - b, z0), (radius, z0 + b), (radius, z1 - b), (radius - b, z1)]
    return lathe([(0, z0), *wall, (0, z1)], material, sides)


def tube(inner: float, outer: float, z0: float, z1: float, material: Material, sides: int = 40) -> Model:
    """Return a hollow cylinder along z with a broken outer edge."""
    b = 0.12 * (outer - inner)
    wall = [(outer - b, z0), (outer, z0 + b), (outer, z1 - b), (outer - b, z1)]
    return lathe([(inner, z0), *wall, (inner, z1)], material, sides)


def sphere(radius: float, material: Material, squash: float = 1.0) -> Model:
    """Return a ball, or an ellipsoid shortened along z."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    return lathe(np.stack([radius * np.cos(angle), squash * radius * np.sin(angle)], 1), material, 32)


def torus(radius: float, tube: float, material: Material) -> Model:
    """Return a ring of round section about the z axis."""
    return lathe(circle(tube, 20, (radius, 0)), material, 56)


def extrude(
    outline: np.ndarray, depth: float, material: Material, holes: Sequence = (), at: Vector = ZERO, bevel: float = 0.015
) -> Model:
    """Give an outline (n, 2), with holes one sees through, a depth along z centred on `at`."""
    pieces, rims = [], []
    for hole, line in [(False, outline), *((True, h) for h in holes)]:
        line = anticlockwise(line)[:: -1 if hole else 1]
        tangent = np.roll(line, -1, 0) - np.roll(line, 1, 0)
        inward = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1)[:, None] + 1e-9)
        rim = line + inward * bevel
        rows = [(rim, -depth / 2), (line, bevel - depth / 2), (line, depth / 2 - bevel), (rim, depth / 2)]
        grid = np.stack([np.column_stack([xy, np.full(len(xy), z)]) for xy, z in rows])
        pieces.append(Piece(np.concatenate([grid, grid[:, :1]], 1)[None], material, wraps=True))
        rims.append(rim)
    (x0, y0), (x1, y1) = outline.min(0), outline.max(0)
    for z, flip in ((-depth / 2, -1), (depth / 2, 1)):
        corners = np.array([[[x0, y0, z], [x1, y0, z]], [[x0, y1, z], [x1, y1, z]]])[:, ::flip]
        face = tuple(np.column_stack([rim, np.full(len(rim), z)]) for rim in rims)
        pieces.append(Piece(corners[None], material, contours=(face,)))
    return place(pieces, at)


def box(
    width: float, height: float, depth: float, material: Material, at: Vector = ZERO, corner: float = 0.06
) -> Model:
    """Return a box with rounded edges about `at`."""
    return extrude(rounded(width, height, corner), depth, material, (), at, min(0.03, depth / 4, corner))


def sweep(
    path: np.ndarray, radius: float | np.ndarray, material: Material, section: np.ndarray = ROUND, solid: bool = True
) -> Model:
    """Carry a section (default: a circle) along a path (n, 3); the radius may vary along it."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1)[:, None] + 1e-9
    steep = np.abs(tangent).max(0)  # the section keeps upright about the first axis that the path never follows
    side = np.cross(np.eye(3)[next((i for i in (1, 2, 0) if steep[i] < 0.93), int(steep.argmin()))], tangent)
    side /= np.linalg.norm(side, axis=1)[:, None] + 1e-9
    up = np.cross(tangent, side)
    scale = np.broadcast_to(radius, len(path))[:, None, None]
    ring = np.concatenate([section, section[:1]])
    grid = path[:, None] + scale * (ring[None, :, :1] * side[:, None] + ring[None, :, 1:] * up[:, None])
    if solid:
        grid = np.concatenate([path[:1, None] + 0 * grid[:1], grid, path[-1:, None] + 0 * grid[:1]])
    return [Piece(grid[None], material, solid, True)]


def curve(points: Sequence[Vector], steps: int = 40) -> np.ndarray:
    """Return a smooth path (steps, 3) through control points (Catmull-Rom)."""
    p = np.asarray(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, len(p) - 3 - 1e-9, steps)
    i, t = t.astype(int), (t % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return b + t * (c - a) / 2 + t**2 * (a - 2.5 * b + 2 * c - d / 2) + t**3 * (1.5 * (b - c) + (d - a) / 2)


def helix(radius: float | np.ndarray, pitch: float, turns: float) -> np.ndarray:
    """Return a helix (n, 3) about the z axis, centred on zero; the radius may vary along it."""
    turn = np.linspace(0, turns, int(turns * 26))
    angle = 2 * np.pi * turn
    radius = np.interp(turn, np.linspace(0, turns, np.size(radius)), np.atleast_1d(radius))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), (turn - turns / 2) * pitch], 1)


def sheet(x: np.ndarray, y: np.ndarray, z: np.ndarray, material: Material) -> Model:
    """Return a thin curved panel from three (rows, columns) arrays of coordinates."""
    return [Piece(np.stack(np.broadcast_arrays(x, y, z), -1)[None], material, closed=False)]


def place(model: Model, at: Vector = ZERO, turn: Vector = ZERO, scale: float | Vector = 1) -> Model:
    """Scale a model, turn it about x, then y, then z (degrees), and move it."""
    matrix = rotation(*turn) * np.broadcast_to(np.asarray(scale, float), 3)

    def moved(points: np.ndarray) -> np.ndarray:
        return points @ matrix.T + np.asarray(at, float)

    return [
        replace(p, points=moved(p.points), contours=tuple(tuple(moved(line) for line in face) for face in p.contours))
        for p in model
    ]


def repeat(model: Model, places: Sequence[Vector], turns: Sequence[Vector] = ()) -> Model:
    """Copy a model to several places (and turns); the copies of a piece stay one piece."""
    copies = [place(model, *spot) for spot in (zip(places, turns, strict=True) if len(turns) else zip(places))]
    return [
        replace(same[0], points=np.concatenate([p.points for p in same]), contours=sum((p.contours for p in same), ()))
        for same in zip(*copies, strict=True)
    ]


def row(model: Model, count: int, step: Vector) -> Model:
    """Copy a model `count` times, one `step` after another; the row is centred on zero."""
    return repeat(model, (np.arange(count) - (count - 1) / 2)[:, None] * np.asarray(step, float))


def upright(model: Model) -> Model:
    """Stand a model that was built along z on its foot."""
    return place(model, turn=(-90, 0, 0))


def ring(model: Model, count: int, radius: float = 0.0) -> Model:
    """Copy a model `count` times about the z axis, each turned to face outwards along x."""
    angles = np.arange(count) * 360 / max(count, 1)
    return repeat(place(model, (radius, 0, 0)), [(0, 0, 0)] * count, [(0, 0, a) for a in angles])


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """Return the 3×3 matrix that turns about x, then y, then z (degrees)."""
    (a, b, c), (s, t, u) = np.cos(np.radians((x, y, z))), np.sin(np.radians((x, y, z)))
    about_x = np.array([[1, 0, 0], [0, a, -s], [0, s, a]])
    about_y = np.array([[b, 0, t], [0, 1, 0], [-t, 0, b]])
    return np.array([[c, -u, 0], [u, c, 0], [0, 0, 1]]) @ about_y @ about_x
