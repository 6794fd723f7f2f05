"""What the tests of the two kinds of parts share."""

from collections.abc import Callable

import numpy as np
import pytest

from autoparts.generated.camera import studio
from autoparts.generated.renderer import render
from autoparts.generated.solids import Model, rotation
from autoparts.generated.traits import Traits


@pytest.fixture
def assert_drawn() -> Callable[[Callable[[Traits], Model]], None]:
    """A function that draws three products of a part, and checks that each fills its frame and is shaded."""

    def check(part: Callable[[Traits], Model]) -> None:
        rng = np.random.default_rng(1)
        for product in range(3):
            model = part(Traits(np.random.default_rng(0), np.random.default_rng(product), 0.6))
            colour, alpha = render(model, rotation(25, 30 + 40 * product, 0), (120, 90), studio(rng), rng)
            assert colour.shape == (3, 90, 120) and alpha.shape == (90, 120)
            assert np.isfinite(colour).all() and alpha.max() <= 1 + 1e-6
            assert 0.02 < alpha.mean() < 0.95
            assert np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]]).max() == 0
            rows, columns = (np.flatnonzero(alpha.max(axis) > 0) for axis in (1, 0))
            assert max(np.ptp(rows) / 90, np.ptp(columns) / 120) > 0.8
            assert colour[:, alpha > 0.5].std() > 0.02

    return check
