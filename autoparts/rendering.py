"""The renderer of the generated catalogue: draws a model of `solids` as a lit photo of chosen size.

Pillow fills the faces of a piece, farthest first, with their numbers; numpy keeps the nearest piece of each pixel and
then lights every pixel once with its own normal (a deferred shader). Nothing but the two libraries is needed.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from autoparts.solids import Model

CREASE = 0.55  # neighbouring faces that turn by more than about 57 degrees meet in a sharp edge
PERSPECTIVE = 0.16


@lru_cache(maxsize=4096)
def _faces(copies: int, rows: int, columns: int, wraps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (faces, 4) of a grid's faces and the neighbours (faces, 4): left, right, below, above."""
    corner = np.arange(copies * rows * columns).reshape(copies, rows, columns)
    quads = np.stack([corner[:, :-1, :-1], corner[:, :-1, 1:], corner[:, 1:, 1:], corner[:, 1:, :-1]], -1)
    face = np.arange(quads[..., 0].size).reshape(quads.shape[:-1])
    left, right = np.roll(face, 1, 2), np.roll(face, -1, 2)
    if not wraps:
        left[:, :, 0], right[:, :, -1] = face[:, :, 0], face[:, :, -1]
    below = np.concatenate([face[:, :1], face[:, :-1]], 1)
    above = np.concatenate([face[:, 1:], face[:, -1:]], 1)
    return quads.reshape(-1, 4), np.stack([left, right, below, above], -1).reshape(-1, 4)


def _planes(corners: np.ndarray, neighbours: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each face what a pixel needs, and whether the face is seen.

    Args:
        corners: (faces, 4, 3) float, in pixels.
        neighbours: (faces, 4) int.
        closed: (faces,) bool, faces that are not seen from behind.

    Returns:
        (faces, 15) float32: centre x, y, z; half range of z; slopes of z, of the normal in x, in y; the normal. And
        (faces,) bool.
    """
    a, b, c, d = np.moveaxis(corners, 1, 0)
    along, across, centre = (b + c - a - d) / 2, (c + d - a - b) / 2, (a + b + c + d) / 4
    normal = np.cross(along, across)
    turn = normal[:, 2].copy()
    normal /= np.linalg.norm(normal, axis=1)[:, None] + 1e-9
    beside = normal[neighbours]
    near = (np.einsum("fc,fnc->fn", normal, beside) > CREASE)[:, :, None] * (beside - normal[:, None])
    bend_along, bend_across = (near[:, 1] - near[:, 0]) / 2, (near[:, 3] - near[:, 2]) / 2
    steep = 0.03 * np.linalg.norm(along, axis=1) * np.linalg.norm(across, axis=1) + 1e-3
    det = np.where(turn < 0, -1, 1) * np.maximum(np.abs(turn), steep)
    first = np.column_stack([along[:, 2], bend_along])
    second = np.column_stack([across[:, 2], bend_across])
    slope_x = (first * across[:, 1:2] - second * along[:, 1:2]) / det[:, None]
    slope_y = (second * along[:, 0:1] - first * across[:, 0:1]) / det[:, None]
    back = np.where(turn < 0, -1.0, 1.0)[:, None]
    half = np.ptp(corners[:, :, 2], axis=1) / 2
    plane = np.column_stack(
        [centre, half, slope_x[:, 0], slope_y[:, 0], slope_x[:, 1:] * back, slope_y[:, 1:] * back, normal * back]
    )
    return plane.astype(np.float32), (turn > 0) | (~closed & (turn != 0))


def _cover(
    corners: np.ndarray, contours: list[list[np.ndarray]], order: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill the faces `order` of a piece, farthest first; return the pixels (x, y) drawn and each one's face."""
    flat = corners[order, :, :2]
    low = np.maximum(np.floor(flat.min((0, 1))).astype(int) - 1, 0)
    high = np.minimum(np.ceil(flat.max((0, 1))).astype(int) + 2, size)
    if (high <= low).any():
        return (np.zeros(0, np.int64),) * 3
    numbers = Image.new("I", tuple((high - low).tolist()), 0)
    polygon = ImageDraw.Draw(numbers).polygon
    for number, line in zip((order + 1).tolist(), (flat - low).reshape(-1, 8).tolist(), strict=True):
        if not contours:
            polygon(line, fill=number)
        for hole, contour in enumerate(contours[number - 1] if contours else ()):
            polygon((contour - low).ravel().tolist(), fill=0 if hole else number)
    drawn = np.asarray(numbers)
    y, x = np.nonzero(drawn)
    return x + low[0], y + low[1], drawn[y, x] - 1


def _light(
    pixels: np.ndarray, x: np.ndarray, y: np.ndarray, look: np.ndarray, light: dict, noise: np.ndarray
) -> np.ndarray:
    """Return the colour (pixels, 3) of lit surfaces: diffuse, highlight and mirrored studio.

    Args:
        pixels: (pixels, 15) float32, planes as `_planes` returns them, one a pixel.
        x: (pixels,) pixel columns.
        y: (pixels,) pixel rows.
        look: (pixels, 8) float32, the materials.
        light: see `render`.
        noise: (pixels,) standard normal grain.
    """
    dx, dy = x.astype(np.float32) - pixels[:, 0], y.astype(np.float32) - pixels[:, 1]
    normal = pixels[:, 12:15] + pixels[:, 6:9] * dx[:, None] + pixels[:, 9:12] * dy[:, None]
    normal += (look[:, 6] * noise)[:, None] * np.float32([0.7, 0.7, 0])
    nx, ny, nz = (normal / (np.sqrt((normal**2).sum(1)) + 1e-6)[:, None]).T
    key, glare = light["key"], light["half"]
    facing = np.maximum(nx * key[0] + ny * key[1] + nz * key[2], 0)
    fill = np.maximum(-0.8 * nx * np.sign(key[0]) + 0.2 * ny + 0.5 * nz, 0)
    diffuse = light["ambient"] * (0.75 + 0.35 * ny + 0.25 * nz) + light["power"] * facing + 0.22 * fill
    up, aside = 2 * nz * ny, 2 * nz * nx
    studio = light["studio"].take(np.clip((up + 1) * 63.5, 0, 127).astype(np.int32))
    studio = studio + 0.45 * (np.abs(aside - light["strip"]) < 0.16) - 0.2 * (np.abs(aside + light["strip"]) < 0.2)
    spark = np.exp(look[:, 4] * (nx * glare[0] + ny * glare[1] + nz * glare[2] - 1))
    mirror, shine = look[:, 5], look[:, 3] + 0.35 * (1 - nz) ** 3 * (look[:, 3] > 0.1)
    matt = look[:, :3] * (diffuse * (1 - mirror) * (1 + look[:, 6] * noise))[:, None]
    tint = 0.35 + 0.65 * look[:, :3]
    return matt + tint * (mirror * studio)[:, None] + (shine * (spark + 0.25 * np.maximum(studio - 0.6, 0)))[:, None]


def _occlusion(depth: np.ndarray) -> np.ndarray:
    """Return how much of the light each pixel (height, width) keeps: hollows lie behind their surroundings."""
    height, width = depth.shape
    coarse = (max(width // 14, 2), max(height // 14, 2))
    there = np.isfinite(depth).astype(np.float32)
    depth = np.where(there > 0, depth, 0)
    around, share = (Image.fromarray(a).resize(coarse, Image.Resampling.BOX) for a in (depth, there))
    mean = Image.fromarray(np.asarray(around) / np.maximum(np.asarray(share), 0.02))
    mean = np.asarray(mean.resize((width, height), Image.Resampling.BILINEAR))
    return 1 - 0.55 * np.clip((mean - depth) / (0.05 * max(width, height)), 0, 1)


def _camera(model: Model, view: np.ndarray, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that takes points (..., 3) to pixels and depth, so that the model fills the frame."""
    shape = [line for p in model for line in ([x for f in p.contours for x in f] or [p.points.reshape(-1, 3)])]
    turned = np.concatenate(shape) @ view.T
    middle, extent = (turned.min(0) + turned.max(0)) / 2, np.ptp(turned, axis=0).max() + 1e-9

    def seen(turned: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis((turned - middle) / extent, -1, 0)
        return np.stack([x / (1 - PERSPECTIVE * z), y / (1 - PERSPECTIVE * z), z], -1)

    flat = seen(turned)[:, :2]
    zoom = ((np.array(size) - 4) / (np.ptp(flat, axis=0) + 1e-6)).min()
    shift = np.append(np.array(size) / 2 - zoom * (flat.min(0) + flat.max(0)) / 2, 0)
    return lambda raw: seen(raw @ view.T) * zoom + shift


def render(
    model: Model, view: np.ndarray, size: tuple[int, int], light: dict, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a model that fills a frame.

    Args:
        model: the pieces.
        view: (3, 3) rotation into the camera's axes.
        size: width and height in pixels.
        light: key and half (3 floats, towards the light and the highlight), power, ambient, strip (floats) and studio
            (128 floats, brightness mirrored from below to above).
        rng: draws the grain of the surfaces.

    Returns:
        Colour (height, width, 3) float32, 0 to about 1, premultiplied with its alpha (height, width) float32.
    """
    camera, (width, height) = _camera(model, view, size), size
    corners, neighbours, starts = [], [], [0]
    for p in model:
        quad, beside = _faces(*p.points.shape[:3], p.wraps)
        corners.append(p.points.reshape(-1, 3)[quad])
        neighbours.append(beside + starts[-1])
        starts.append(starts[-1] + len(quad))
    corners = camera(np.concatenate(corners))
    closed = np.repeat([p.closed for p in model], np.diff(starts))
    plane, seen = _planes(corners, np.concatenate(neighbours), closed)
    look = np.array([(*p.material.colour, *p.material[1:]) for p in model], np.float32)

    depth = np.full(height * width, -np.inf, np.float32)
    colour, alpha = np.zeros((height * width, 3), np.float32), np.zeros(height * width, np.float32)
    for glass in (False, True):  # what is behind glass must be there before the glass is laid over it
        front, owner = np.full(height * width, -1, np.int32), np.zeros(height * width, np.int32)
        for k, piece in enumerate(model):
            faces = slice(starts[k], starts[k + 1])
            order = np.flatnonzero(seen[faces])
            if (piece.material.opacity < 1) != glass or not len(order):
                continue
            order = order[np.argsort(plane[faces, 2][order])]
            contours = [[camera(line)[:, :2] for line in face] for face in piece.contours]
            x, y, face = _cover(corners[faces], contours, order, size)
            spot, face = y * width + x, face + starts[k]
            p = plane[:, :6].take(face, axis=0)
            z = p[:, 2] + np.clip(p[:, 4] * (x - p[:, 0]) + p[:, 5] * (y - p[:, 1]), -p[:, 3], p[:, 3])
            nearer = z > depth[spot]
            spot = spot[nearer]
            depth[spot], front[spot], owner[spot] = z[nearer], face[nearer], k
        spot = np.flatnonzero(front >= 0)
        y, x = np.divmod(spot, width)
        material = look.take(owner[spot], axis=0)
        noise = rng.standard_normal(len(spot), np.float32)
        lit = _light(plane.take(front[spot], axis=0), x, y, material, light, noise)
        if not glass:
            lit *= _occlusion(depth.reshape(height, width)).ravel()[spot][:, None]
        opacity = material[:, 7]
        colour[spot] = lit * opacity[:, None] + colour[spot] * (1 - opacity[:, None])
        alpha[spot] = opacity + alpha[spot] * (1 - opacity)
    return colour.reshape(height, width, 3)[::-1], alpha.reshape(height, width)[::-1]
