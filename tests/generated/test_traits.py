"""What varies from product to product."""

import numpy as np

from autoparts.generated.catalogue import SPREAD
from autoparts.generated.traits import Traits


def traits(category: int, product: int, spread: float = SPREAD) -> Traits:
    return Traits(np.random.default_rng([0, category]), np.random.default_rng([1, product]), spread)


def test_products_of_a_category_vary_but_less_than_categories() -> None:
    products, categories = [traits(0, i)(0, 1) for i in range(99)], [traits(i, 0)(0, 1) for i in range(99)]
    assert 0.05 < np.std(products) < np.std(categories)


def test_draws_stay_in_their_range() -> None:
    drawn = traits(1, 2, 1.0)
    assert {drawn.whole(2, 4) for _ in range(99)} == {2, 3, 4}
    assert {drawn.pick("a", "b") for _ in range(99)} == {"a", "b"}
    assert all(2 <= drawn(2, 3) <= 3 for _ in range(99))
    assert len({traits(1, i, 0.0).pick(*range(9)) for i in range(9)}) == 1  # no spread: all as their category
