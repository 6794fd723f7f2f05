"""Every part is drawn whole, and parts that look alike are told apart."""

import numpy as np
import pytest

from autoparts.generated.camera import studio
from autoparts.generated.catalogue import PARTS
from autoparts.generated.renderer import render
from autoparts.generated.solids import rotation
from autoparts.generated.traits import Traits


@pytest.mark.parametrize("name", PARTS)
def test_every_part_fills_its_frame_and_is_shaded(name: str) -> None:
    rng = np.random.default_rng(1)
    for product in range(3):
        model = PARTS[name](Traits(np.random.default_rng(0), np.random.default_rng(product), 0.6))
        colour, alpha = render(model, rotation(25, 30 + 40 * product, 0), (120, 90), studio(rng), rng)
        assert colour.shape == (3, 90, 120) and alpha.shape == (90, 120)
        assert np.isfinite(colour).all() and alpha.max() <= 1 + 1e-6 and 0.02 < alpha.mean() < 0.95
        assert np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]]).max() == 0
        rows, columns = (np.flatnonzero(alpha.max(axis) > 0) for axis in (1, 0))
        assert max(np.ptp(rows) / 90, np.ptp(columns) / 120) > 0.8
        assert colour[:, alpha > 0.5].std() > 0.02


def test_an_option_tells_look_alikes_apart() -> None:
    def redness(part: str, product: int) -> float:
        model = PARTS[part](Traits(np.random.default_rng(0), np.random.default_rng(product), 0.6))
        colour, _ = render(model, np.eye(3), (90, 90), studio(np.random.default_rng(1)), np.random.default_rng(2))
        return float((colour[0] - colour[2]).mean())

    for product in range(5):
        assert redness("tail light", product) > 0.05 > abs(redness("headlight", product))
