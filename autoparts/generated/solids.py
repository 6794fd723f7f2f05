"""Materials, and the primitives that the model of a part is built from.

A model is a list of `Piece`, each a few grids of vertices (x to the right, y up, z towards the viewer) or a flat face
with holes; `renderer` draws it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

Array = np.ndarray


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
NATURAL = Material((0.82, 0.8, 0.74), 0.4, 20, 0.03)  # milky plastic of tanks
GLASS = Material((0.85, 0.88, 0.92), 0.9, 90, 0.25, 0.0, 0.22)


@dataclass(frozen=True)
class Piece:
    """One surface: `points` (copies, rows, columns, 3) float; `contours` replaces the grid by a flat face per copy.

    A closed piece shows only the faces turned towards the viewer; an open one (a sheet, a bowl) shows both sides.
    """

    points: Array
    material: Material
    closed: bool = True
    wraps: bool = False
    contours: tuple[tuple[Array, ...], ...] = ()


Model = list[Piece]
Vector = Sequence[float] | Array
ZERO = (0.0, 0.0, 0.0)
STANDING = (-90.0, 0.0, 0.0)  # the turn that stands a model built along z on its foot


def polar(radius: float | Array, angle: Array) -> Array:
    """Return points (n, 2) from their radii and angles (radians)."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def circle(radius: float, sides: int = 48, centre: Vector = (0.0, 0.0)) -> Array:
    """Return a circle as (sides, 2) points, anticlockwise."""
    return polar(radius, np.linspace(0, 2 * np.pi, sides, endpoint=False)) + centre


ROUND = circle(1, 14)  # the section of pipes, wires and bars


def around(count: int, radius: float, hole: float, sides: int = 14) -> list[Array]:
    """Return `count` round holes on a bolt circle."""
    return [circle(hole, sides, centre) for centre in circle(radius, count)]


def anticlockwise(line: Array) -> Array:
    """Return an outline (n, 2), turned round when it runs clockwise."""
    after = np.roll(line, -1, 0)
    return line[:: 1 if (line[:, 0] * after[:, 1] - after[:, 0] * line[:, 1]).sum() > 0 else -1]


def rounded(width: float, height: float, corner: float = 0.1, power: float | None = None) -> Array:
    """Return a rectangle with round corners (or a superellipse of the given power) as (40, 2) points."""
    if power is not None:
        unit = circle(1, 40)
        return np.sign(unit) * np.abs(unit) ** (2 / power) * (width / 2, height / 2)
    corner = min(corner, width / 2 - 1e-3, height / 2 - 1e-3)
    turn = circle(corner, 36)[np.add.outer(9 * np.arange(4), np.arange(10)) % 36]
    shift = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width / 2 - corner, height / 2 - corner)
    return (turn + shift[:, None]).reshape(-1, 2)


def toothed(count: int, inner: float, outer: float) -> Array:
    """Return the outline of a gear: `count` teeth between two radii."""
    angle = np.add.outer(np.arange(count), [-0.325, -0.175, 0, 0.175, 0.325]).ravel() * 2 * np.pi / count
    return polar(np.tile([inner, outer, outer, outer, inner], count), angle)


def lathe(profile: Sequence[Vector], material: Material, sides: int = 48, closed: bool = True) -> Model:
    """Turn a profile of (radius, z) points about the z axis; a closed profile encloses the material."""
    line = np.asarray(profile, float)
    line = anticlockwise(np.concatenate([line, line[:1]])) if closed else line
    angle, (radius, z) = np.linspace(0, 2 * np.pi, sides + 1), line.T[..., None]
    grid = np.stack(np.broadcast_arrays(radius * np.cos(angle), radius * np.sin(angle), z), -1)
    return [Piece(grid[None], material, closed, True)]


def tube(
    inner: float, outer: float, z0: float, z1: float, material: Material, sides: int = 40, bevel: float | None = None
) -> Model:
    """Return a hollow cylinder along z with a broken outer edge."""
    b = 0.12 * (outer - inner) if bevel is None else bevel
    wall = [(outer - b, z0), (outer, z0 + b), (outer, z1 - b), (outer - b, z1)]
    return lathe([(inner, z0), *wall, (inner, z1)], material, sides)


def cylinder(radius: float, z0: float, z1: float, material: Material) -> Model:
    """Return a solid cylinder along z with broken edges."""
    return tube(0, radius, z0, z1, material, bevel=min(0.02, radius / 2, abs(z1 - z0) / 3))


def sphere(radius: float, material: Material, squash: float = 1.0) -> Model:
    """Return a ball, or an ellipsoid shortened along z."""
    return lathe(polar(radius, np.linspace(-np.pi / 2, np.pi / 2, 17)) * (1, squash), material, 32)


def _at(line: Array, z: float) -> Array:
    return np.column_stack([line, np.full(len(line), z)])


def extrude(
    outline: Array, depth: float, material: Material, holes: Sequence = (), at: Vector = ZERO, bevel: float = 0.015
) -> Model:
    """Give an outline (n, 2), with holes one sees through, a depth along z centred on `at`."""
    pieces, rims = [], []
    for way, line in zip([1, *[-1] * len(holes)], [outline, *holes], strict=True):
        line = anticlockwise(line)[::way]
        tangent = np.roll(line, -1, 0) - np.roll(line, 1, 0)
        inward = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1)[:, None] + 1e-9)
        rims.append(line + inward * bevel)
        rows = [(rims[-1], -depth / 2), (line, bevel - depth / 2), (line, depth / 2 - bevel), (rims[-1], depth / 2)]
        grid = np.stack([_at(*row) for row in rows])
        pieces.append(Piece(np.concatenate([grid, grid[:, :1]], 1)[None], material, wraps=True))
    (x0, y0), (x1, y1) = outline.min(0), outline.max(0)
    for z, flip in ((-depth / 2, -1), (depth / 2, 1)):
        corners = np.array([[[x0, y0, z], [x1, y0, z]], [[x0, y1, z], [x1, y1, z]]])[:, ::flip]
        pieces.append(Piece(corners[None], material, contours=(tuple(_at(rim, z) for rim in rims),)))
    return place(pieces, at)


def box(wide: float, high: float, deep: float, material: Material, at: Vector = ZERO, corner: float = 0.06) -> Model:
    """Return a box with rounded edges about `at`."""
    return extrude(rounded(wide, high, corner), deep, material, (), at, min(0.03, deep / 4, corner))


def sweep(path: Array, radius: float | Array, material: Material, section: Array = ROUND, solid: bool = True) -> Model:
    """Carry a section (default: a circle) along a path (n, 3); the radius may vary along it."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1)[:, None] + 1e-9
    steep = np.abs(tangent).max(0)  # the section keeps upright about the first axis that the path never follows
    side = np.cross(np.eye(3)[next((i for i in (1, 2, 0) if steep[i] < 0.93), int(steep.argmin()))], tangent)
    side /= np.linalg.norm(side, axis=1)[:, None] + 1e-9
    up = np.cross(tangent, side)
    scale = np.broadcast_to(radius, len(path))[:, None, None]
    x, y = np.concatenate([section, section[:1]]).T[..., None]
    grid = path[:, None] + scale * (x * side[:, None] + y * up[:, None])
    if solid:
        grid = np.concatenate([path[:1, None] + 0 * grid[:1], grid, path[-1:, None] + 0 * grid[:1]])
    return [Piece(grid[None], material, solid, True)]


def curve(points: Sequence[Vector], steps: int = 40) -> Array:
    """Return a smooth path (steps, 3) through control points (Catmull-Rom)."""
    p = np.asarray(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, len(p) - 3 - 1e-9, steps)
    i, t = t.astype(int), (t % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return b + t * (c - a) / 2 + t**2 * (a - 2.5 * b + 2 * c - d / 2) + t**3 * (1.5 * (b - c) + (d - a) / 2)


def helix(radius: float | Array, pitch: float, turns: float) -> Array:
    """Return a helix (n, 3) about the z axis, centred on zero; the radius may vary along it."""
    turn = np.linspace(0, turns, int(turns * 26))
    radius = np.interp(turn, np.linspace(0, turns, np.size(radius)), np.atleast_1d(radius))
    return np.column_stack([polar(radius, 2 * np.pi * turn), (turn - turns / 2) * pitch])


def sheet(x: Array, y: Array, z: Array, material: Material) -> Model:
    """Return a thin curved panel from three (rows, columns) arrays of coordinates."""
    return [Piece(np.stack(np.broadcast_arrays(x, y, z), -1)[None], material, closed=False)]


def rotation(x: float, y: float, z: float) -> Array:
    """Return the 3×3 matrix that turns about x, then y, then z (degrees)."""
    (a, b, c), (s, t, u) = np.cos(np.radians((x, y, z))), np.sin(np.radians((x, y, z)))
    about_x = np.array([[1, 0, 0], [0, a, -s], [0, s, a]])
    about_y = np.array([[b, 0, t], [0, 1, 0], [-t, 0, b]])
    return np.array([[c, -u, 0], [u, c, 0], [0, 0, 1]]) @ about_y @ about_x


def place(model: Model, at: Vector = ZERO, turn: Vector = ZERO, scale: float | Vector = 1) -> Model:
    """Scale a model, turn it about x, then y, then z (degrees), and move it."""
    matrix = (rotation(*turn) * np.asarray(scale, float)).T

    def _moved(points: Array) -> Array:
        return points @ matrix + np.asarray(at, float)

    faces = [tuple(tuple(map(_moved, face)) for face in piece.contours) for piece in model]
    return [replace(p, points=_moved(p.points), contours=face) for p, face in zip(model, faces, strict=True)]


def repeat(model: Model, places: Sequence[Vector] | Vector = ZERO, turns: Sequence[Vector] | Vector = ZERO) -> Model:
    """Copy a model to several places, in several turns (n, 3); the copies of a piece stay one piece."""
    copies = [place(model, *spot) for spot in zip(*np.broadcast_arrays(np.atleast_2d(places), turns), strict=True)]
    return [
        replace(same[0], points=np.concatenate([p.points for p in same]), contours=sum((p.contours for p in same), ()))
        for same in zip(*copies, strict=True)
    ]


def row(model: Model, count: int, step: Vector) -> Model:
    """Copy a model `count` times, one `step` after another; the row is centred on zero."""
    return repeat(model, np.outer(np.arange(count) - (count - 1) / 2, step))


def ring(model: Model, count: int, radius: float = 0.0) -> Model:
    """Copy a model `count` times about the z axis, each turned to face outwards along x."""
    turns = np.outer(np.arange(count) * 360 / max(count, 1), (0, 0, 1))
    return repeat(place(model, (radius, 0, 0)), turns=turns)
