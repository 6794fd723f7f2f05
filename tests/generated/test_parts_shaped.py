"""Parts that are functions."""

from collections.abc import Callable

import numpy as np
import pytest

from autoparts.generated.camera import studio
from autoparts.generated.parts_shaped import PARTS
from autoparts.generated.renderer import render
from autoparts.generated.traits import Traits


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_drawn_inside_the_frame(name: str, assert_drawn: Callable) -> None:
    assert_drawn(PARTS[name])


def test_an_option_tells_look_alikes_apart() -> None:
    def redness(part: str, product: int) -> float:
        model = PARTS[part](Traits(np.random.default_rng(0), np.random.default_rng(product), 0.6))
        colour, _ = render(model, np.eye(3), (90, 90), studio(np.random.default_rng(1)), np.random.default_rng(2))
        return float((colour[0] - colour[2]).mean())

    for product in range(5):
        assert redness("tail light", product) > 0.05 > abs(redness("headlight", product))
