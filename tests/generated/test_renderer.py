"""The renderer and the camera."""

import io

import numpy as np
from PIL import Image

from autoparts.generated.camera import photograph, studio
from autoparts.generated.parts_shaped import PARTS
from autoparts.generated.renderer import render
from autoparts.generated.solids import Material, box, circle, extrude
from autoparts.generated.traits import Traits


def test_what_is_behind_is_hidden_and_seen_through_holes() -> None:
    red, blue = Material((1, 0, 0), shine=0, grain=0), Material((0, 0, 1), shine=0, grain=0)
    plate = extrude(circle(1), 0.1, red, [circle(0.4)])
    light = studio(np.random.default_rng(0))
    for model in (plate + box(1.2, 1.2, 0.1, blue, (0, 0, -0.5)), box(1.2, 1.2, 0.1, blue, (0, 0, -0.5)) + plate):
        colour, alpha = render(model, np.eye(3), (101, 101), light, np.random.default_rng(0))
        assert colour[2, 50, 50] > 3 * colour[0, 50, 50]
        assert colour[0, 50, 74] > 3 * colour[2, 50, 74]
    _, alpha = render(plate, np.eye(3), (101, 101), light, np.random.default_rng(0))
    assert alpha[50, 50] == 0 and alpha[50, 74] == 1


def test_glass_lets_see_what_is_behind_it() -> None:
    red, glass = Material((1, 0, 0), shine=0), Material((0, 0, 1), shine=0, opacity=0.3)
    light = studio(np.random.default_rng(0))
    model = box(1, 1, 0.1, glass, (0, 0, 0.5)) + box(0.8, 0.8, 0.1, red)
    colour, alpha = render(model, np.eye(3), (60, 60), light, np.random.default_rng(0))
    assert colour[0, 30, 30] > colour[2, 30, 30] > 0.05 and alpha[30, 30] == 1
    assert 0.25 < alpha[30, 3] < 0.35


def test_photographs_vary_with_the_generator_and_the_product() -> None:
    def view(product: int, photo: int) -> np.ndarray:
        traits = Traits(np.random.default_rng(0), np.random.default_rng(product), 0.27)
        jpeg = photograph(PARTS["headlight"](traits), (20, 20), np.random.default_rng(photo))
        image = Image.open(io.BytesIO(jpeg))
        assert image.format == "JPEG" and 160 <= max(image.size) <= 600
        return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), float)

    assert np.std([view(i, 8) for i in range(4)], 0).mean() > 4 and np.std([view(0, i) for i in range(4)], 0).mean() > 4
