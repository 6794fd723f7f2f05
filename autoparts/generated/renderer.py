"""The renderer of the generated catalogue: draws a model of `solids` as a lit photo of chosen size.

Pillow fills the faces of a piece, farthest first, with their numbers; numpy keeps the nearest piece of each pixel and
then lights every pixel once with its own normal (a deferred shader). Nothing but the two libraries is needed.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from autoparts.generated.solids import Array, Model

CREASE = 0.55  # neighbouring faces that turn by more than about 57 degrees meet in a sharp edge
PERSPECTIVE = 0.16


@lru_cache(maxsize=4096)
def _faces(copies: int, rows: int, columns: int, wraps: bool) -> tuple[Array, Array]:
    """Return the corners (faces, 4) of a grid's faces and the neighbours (faces, 4): left, right, below, above."""
    corner = np.arange(copies * rows * columns).reshape(copies, rows, columns)
    quads = np.stack([corner[:, :-1, :-1], corner[:, :-1, 1:], corner[:, 1:, 1:], corner[:, 1:, :-1]], -1)
    face = np.arange(quads[..., 0].size).reshape(quads.shape[:-1])
    wide = np.pad(face, ((0, 0), (0, 0), (1, 1)), "wrap" if wraps else "edge")
    high = np.pad(face, ((0, 0), (1, 1), (0, 0)), "edge")
    beside = np.stack([wide[:, :, :-2], wide[:, :, 2:], high[:, :-2], high[:, 2:]], -1)
    return quads.reshape(-1, 4), beside.reshape(-1, 4)


def _planes(corners: Array, neighbours: Array, closed: Array) -> tuple[Array, Array]:
    """Return what a pixel needs of its face, and which faces are seen: a closed piece's only from the front.

    From corners (faces, 4, 3) in pixels, neighbours (faces, 4) and closed (faces,) to (15, faces) float32: centre
    x, y, z; half range of z; slopes of z, of the normal in x, in y; the normal. And to (faces,) bool.
    """
    a, b, c, d = np.moveaxis(corners, 1, 0)
    along, across, centre = (b + c - a - d) / 2, (c + d - a - b) / 2, (a + b + c + d) / 4
    normal = np.cross(along, across)
    turn = normal[:, 2].copy()
    normal /= np.linalg.norm(normal, axis=1)[:, None] + 1e-9
    beside = normal[neighbours]
    near = (np.einsum("fc,fnc->fn", normal, beside) > CREASE)[:, :, None] * (beside - normal[:, None])
    first = np.column_stack([along[:, 2], (near[:, 1] - near[:, 0]) / 2])
    second = np.column_stack([across[:, 2], (near[:, 3] - near[:, 2]) / 2])
    steep = 0.03 * np.linalg.norm(along, axis=1) * np.linalg.norm(across, axis=1) + 1e-3
    back = np.where(turn < 0, -1.0, 1.0)[:, None]
    det = back * np.maximum(np.abs(turn), steep)[:, None]
    slope_x = (first * across[:, 1:2] - second * along[:, 1:2]) / det
    slope_y = (second * along[:, 0:1] - first * across[:, 0:1]) / det
    half = np.ptp(corners[:, :, 2], axis=1) / 2
    bends = slope_x[:, 1:] * back, slope_y[:, 1:] * back
    plane = np.column_stack([centre, half, slope_x[:, 0], slope_y[:, 0], *bends, normal * back])
    return plane.T.astype(np.float32, order="C"), (turn > 0) | (~closed & (turn != 0))


def _cover(corners: Array, contours: list[list[Array]], order: Array, size: tuple[int, int]) -> tuple[Array, ...]:
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
    y, x = np.nonzero(drawn > 0)
    return x + low[0], y + low[1], drawn[y, x] - 1


def _light(plane: Array, x: Array, y: Array, look: Array, light: dict, noise: Array) -> Array:
    """Return the colour (3, pixels) of lit surfaces: diffuse light, highlight and mirrored studio.

    For each pixel: its face as `_planes` returns it (15,), its column x and row y, its material (8,) and normal noise.
    """
    shine, gloss, mirror, grain = look[3:7]
    noise = noise * grain
    normal = plane[12:] + plane[6:9] * (x - plane[0]) + plane[9:12] * (y - plane[1])
    normal[:2] += 0.7 * noise
    nx, ny, nz = normal * (1 / np.sqrt((normal * normal).sum(0) + 1e-9))
    key, glare = light["key"], light["half"]
    facing = np.maximum(nx * key[0] + ny * key[1] + nz * key[2], 0)
    fill = np.maximum(nx * (-0.8 * np.sign(key[0])) + 0.2 * ny + 0.5 * nz, 0)
    diffuse = light["ambient"] * (0.75 + 0.35 * ny + 0.25 * nz) + light["power"] * facing + 0.22 * fill
    aside = 2 * nz * nx
    studio = light["studio"].take(((2 * nz * ny + 1) * 63.5).astype(np.int32), mode="clip")
    studio += 0.45 * (np.abs(aside - light["strip"]) < 0.16)
    studio -= 0.2 * (np.abs(aside + light["strip"]) < 0.2)
    spark = np.exp(gloss * (nx * glare[0] + ny * glare[1] + nz * glare[2] - 1))
    rim = 1 - np.maximum(nz, 0)
    sheen = (shine + 0.35 * rim * rim * rim * (shine > 0.1)) * (spark + np.maximum(0.25 * studio - 0.15, 0))
    matt, glow = diffuse * (1 - mirror) * (1 + noise) + 0.65 * mirror * studio, 0.35 * mirror * studio + sheen
    return look[:3] * matt + glow


def _occlusion(depth: Array) -> Array:
    """Return how much of the light each pixel (height, width) keeps: hollows lie behind their surroundings."""
    height, width = depth.shape
    there = np.isfinite(thinned := depth[::3, ::3]).astype(np.float32)
    coarse = (max(width // 14, 2), max(height // 14, 2))
    layers = np.where(there > 0, thinned, 0), there
    total, share = (np.asarray(Image.fromarray(a).resize(coarse, Image.Resampling.BOX)) for a in layers)
    mean = Image.fromarray(total / np.maximum(share, 0.02)).resize((width, height), Image.Resampling.BILINEAR)
    return 1 - 0.55 * np.clip((np.asarray(mean) - depth) * (20 / max(width, height)), 0, 1)


def _camera(model: Model, view: Array, size: tuple[int, int]) -> Callable[[Array], Array]:
    """Return the function that takes points (..., 3) to pixels and depth, so that the model fills the frame."""
    shape = [line for p in model for line in ([x for f in p.contours for x in f] or [p.points.reshape(-1, 3)])]
    turned = np.concatenate(shape) @ view.T
    middle, extent = (turned.min(0) + turned.max(0)) / 2, np.ptp(turned, axis=0).max() + 1e-9

    def _seen(turned: Array) -> Array:
        x, y, z = np.moveaxis((turned - middle) / extent, -1, 0)
        return np.stack([x / (1 - PERSPECTIVE * z), y / (1 - PERSPECTIVE * z), z], -1)  # what is near is larger

    flat = _seen(turned)[:, :2]
    zoom = ((np.array(size) - 4) / (np.ptp(flat, axis=0) + 1e-6)).min()
    shift = np.append(np.array(size) / 2 - zoom * (flat.min(0) + flat.max(0)) / 2, 0)
    return lambda raw: _seen(raw @ view.T) * zoom + shift


def render(model: Model, view: Array, size: tuple[int, int], light: dict, rng: Generator) -> tuple[Array, Array]:
    """Draw a model that fills a frame.

    Takes the pieces, the (3, 3) rotation into the camera's axes, width and height in pixels, the light as
    `camera.studio` returns it, and what draws the grain of the surfaces. Returns colour (3, height, width) float32, 0
    to about 1, premultiplied with its alpha (height, width) float32.
    """
    camera, (width, height) = _camera(model, view, size), size
    grids = [_faces(*p.points.shape[:3], p.wraps) for p in model]
    starts = np.cumsum([0, *(len(quads) for quads, _ in grids)])
    points = [p.points.reshape(-1, 3)[quads] for p, (quads, _) in zip(model, grids, strict=True)]
    corners = camera(np.concatenate(points))
    neighbours = np.concatenate([beside + start for (_, beside), start in zip(grids, starts[:-1], strict=True)])
    plane, seen = _planes(corners, neighbours, np.repeat([p.closed for p in model], np.diff(starts)))
    look = np.array([(*p.material.colour, *p.material[1:]) for p in model], np.float32).T.copy()

    depth = np.full(height * width, -np.inf, np.float32)
    colour, alpha = np.zeros((3, height * width), np.float32), np.zeros(height * width, np.float32)
    for glass in (False, True):  # what is behind glass must be there before the glass is laid over it
        front, owner = np.full(height * width, -1, np.int32), np.zeros(height * width, np.int32)
        for k, piece in enumerate(model):
            faces = slice(starts[k], starts[k + 1])
            order = np.flatnonzero(seen[faces])
            if (piece.material.opacity < 1) != glass or not len(order):
                continue
            order = order[np.argsort(plane[2, faces][order])]
            contours = [[camera(line)[:, :2] for line in face] for face in piece.contours]
            x, y, face = _cover(corners[faces], contours, order, size)
            spot, face = y * width + x, face + starts[k]
            cx, cy, cz, half, slope_x, slope_y = plane[:6].take(face, axis=1)
            z = cz + np.clip(slope_x * (x.astype(np.float32) - cx) + slope_y * (y.astype(np.float32) - cy), -half, half)
            nearer = z > depth[spot]
            spot = spot[nearer]
            depth[spot], front[spot], owner[spot] = z[nearer], face[nearer], k
        if not len(spot := np.flatnonzero(front >= 0)):
            continue
        y, x = (axis.astype(np.float32) for axis in np.divmod(spot, width))
        material = look.take(owner[spot], axis=1)
        lit = _light(plane.take(front[spot], axis=1), x, y, material, light, rng.standard_normal(len(spot), np.float32))
        if not glass:
            lit *= _occlusion(depth.reshape(height, width)).ravel()[spot]
        opacity = material[7]
        colour[:, spot] = lit * opacity + colour[:, spot] * (1 - opacity)
        alpha[spot] = opacity + alpha[spot] * (1 - opacity)
    return colour.reshape(3, height, width)[:, ::-1], alpha.reshape(height, width)[::-1]
