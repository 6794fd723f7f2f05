"""Photographs a model of `solids`: turns it, lights it, sets it before a background and encodes a JPEG file."""

import io

import numpy as np
from PIL import Image, ImageFilter

from autoparts.generated.renderer import render
from autoparts.generated.solids import Model, rotation

UPRIGHT = 0.85  # share of photos that are not rolled
TURN = 13  # degrees by which a photographer strays from the habitual side


def studio(rng: np.random.Generator) -> dict:
    """Return how a photo is lit.

    Its key and half (3,) point to the lamp and its highlight, power and ambient are the strength of lamp and room,
    strip is where a mirror sees the lamp, and studio (128,) what it sees else, from floor to sky.
    """
    key = rng.uniform([-0.8, 0.3, 0.4], [0.8, 1.0, 1.0])
    key /= np.linalg.norm(key)
    half = key + np.array([0, 0, 1])
    up = np.linspace(-1, 1, 128)
    floor, sky, edge = rng.uniform(0.25, 0.7), rng.uniform(0.8, 1.15), rng.uniform(-0.25, 0.15)
    mirrored = np.where(up < edge, floor * (1 + 0.5 * up), sky - 0.25 * np.abs(up - 0.5))
    mirrored -= rng.uniform(0.3, 0.6) * np.exp(-(((up - edge) / 0.12) ** 2))
    numbers = {"power": rng.uniform(0.45, 0.75), "ambient": rng.uniform(0.3, 0.5), "strip": rng.uniform(-0.8, 0.8)}
    arrays = {"key": key, "half": half / np.linalg.norm(half), "studio": mirrored}
    return numbers | {name: array.astype(np.float32) for name, array in arrays.items()}


def _backdrop(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a background (3, height, width): mostly white, else near-white, graded, dark or a worn surface."""
    width, height = size
    kind = rng.random()
    if kind < 0.7:
        return np.ones((3, height, width), np.float32)
    low, high = (0.9, 1.0) if kind < 0.8 else (0.5, 0.9) if kind < 0.92 else (0.08, 0.35)
    field = rng.uniform(low, high) + rng.normal(0, 0.025, 3) + rng.normal(0, 0.07, (4, 1, 1)) * np.ones((4, 4, 1))
    if kind > 0.84 and rng.random() < 0.5:
        field = field + rng.normal(0, 0.12, (4, 4, 1))
    planes = [Image.fromarray(field[..., i].astype(np.float32)) for i in range(3)]
    return np.stack([np.asarray(p.resize(size, Image.Resampling.BICUBIC)) for p in planes])


def _shadow(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how much light a floor keeps (height, width): a soft shadow beneath the part in half of the photos."""
    height, width = alpha.shape
    kind = rng.random()
    if kind < 0.5:
        return np.ones_like(alpha)
    rows = np.flatnonzero(alpha.max(1) > 0.5)
    ground, small = int(rows[-1]) // 4 if len(rows) else 0, (width // 4, height // 4)
    tall = max(int(small[1] * (rng.uniform(0.12, 0.3) if kind < 0.85 else 1)), 2)
    flat = Image.fromarray((alpha * 255).astype(np.uint8)).resize((small[0], tall), Image.Resampling.BOX)
    cast = Image.new("L", small)
    foot = ground * (1 - tall / small[1]) + rng.uniform(-0.02, 0.05) * small[1]
    cast.paste(flat, (int(rng.uniform(-0.06, 0.06) * small[0]), int(foot)))
    cast = cast.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 5))).resize((width, height), Image.Resampling.BICUBIC)
    return 1 - np.float32(rng.uniform(0.2, 0.6) / 255) * np.asarray(cast)


def photograph(model: Model, habit: tuple[float, float], rng: np.random.Generator) -> bytes:
    """Return a JPEG file of a model, 160 to 600 pixels along its longer side.

    `habit` is from where such parts are usually photographed, in degrees to the side and from above; `rng` draws all
    about the photo that is not the product's: view, light, background, size, quality.
    """
    long = round(float(np.exp(rng.uniform(np.log(160), np.log(600)))))
    aspect, drawn = rng.choice([1.0, 1.0, 1.0, 4 / 3, 3 / 2, 3 / 4]), min(max(1.5 * long, 260), 400)
    width, height = round(drawn * min(1, aspect)), round(drawn * min(1, 1 / aspect))
    roll = rng.normal(0, 6) if rng.random() < UPRIGHT else rng.uniform(-180, 180)
    yaw, pitch = habit + rng.normal(0, TURN, 2) * (1, 0.5)
    turn = rotation(0, 0, roll) @ rotation(pitch, 0, 0) @ rotation(0, yaw, 0)
    fill = rng.uniform(0.82, 0.98)
    inner = round(width * fill), round(height * fill)
    colour, alpha = render(model, turn, inner, studio(rng), rng.spawn(1)[0])
    left, top = rng.integers(0, width - inner[0] + 1), rng.integers(0, height - inner[1] + 1)
    margin = ((top, height - inner[1] - top), (left, width - inner[0] - left))
    colour, alpha = np.pad(colour, ((0, 0), *margin)), np.pad(alpha, margin)
    photo = _backdrop(rng, (width, height)) * (_shadow(alpha, rng) * (1 - alpha)) + colour * rng.uniform(0.85, 1.15)
    if rng.random() < 0.35 and alpha.max() > 0.3:  # a shop that crops to the part
        rows, columns = (np.flatnonzero(alpha.max(i) > 0.3) for i in (1, 0))
        edge = rng.integers(3, 24)
        photo = photo[:, max(rows[0] - edge, 0) : rows[-1] + edge, max(columns[0] - edge, 0) : columns[-1] + edge]
    image = Image.fromarray(np.clip(photo * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    scale = long / max(image.size)
    image = image.resize([max(round(n * scale), 40) for n in image.size], Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(60, 95)))
    return file.getvalue()
