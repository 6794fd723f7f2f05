"""What varies from product to product, and how a part is written.

A part is a function that takes `Traits`, draws its proportions by them, each near the value that its category fixes,
and returns a model of the primitives of `solids`. Options give look-alikes: one shape, told apart by a detail.
"""

from typing import Any

import numpy as np

from autoparts.generated import solids as s

PAINTS = [(0.75, 0.08, 0.08), (0.1, 0.2, 0.6), (0.85, 0.85, 0.86), (0.1, 0.1, 0.11), (0.5, 0.52, 0.55), (0.9, 0.6, 0.1)]


class Traits:
    """Draws the proportions of one product: near its category's own, apart from them by `spread` (0-1)."""

    def __init__(self, category: np.random.Generator, product: np.random.Generator, spread: float) -> None:
        self.category, self.product, self.spread = category, product, spread

    def __call__(self, low: float, high: float) -> float:
        """Return a number between low and high."""
        own, shared = self.product.random(), self.category.random()
        return low + (high - low) * (self.spread * own + (1 - self.spread) * shared)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high."""
        return int(self(low, high + 0.999))

    def pick(self, *options: Any) -> Any:
        """Return the category's favourite, or by chance another option."""
        own, shared, change = self.product.random(), self.category.random(), self.product.random()
        return options[int((own if change < self.spread else shared) * len(options))]

    def paint(self) -> s.Material:
        """Return a glossy paint of any colour."""
        return s.Material(tuple(c * self(0.8, 1.1) for c in self.pick(*PAINTS)), 0.6, 60, 0.12)


def connector(t: Traits, at: s.Vector = s.ZERO, turn: s.Vector = s.ZERO) -> s.Model:
    """Return a plug of black or grey plastic along z with a dark mouth and a latch."""
    shell, wide = t.pick(s.PLASTIC, s.GREY, s.PLASTIC), t(0.25, 0.5)
    model = s.extrude(s.rounded(wide, 0.24, 0.06), 0.4, shell, [s.rounded(wide - 0.08, 0.16, 0.04)], (0, 0, 0.2))
    model += s.box(wide, 0.24, 0.05, shell, (0, 0, 0.1)) + s.box(0.1, 0.06, 0.3, shell, (0, 0.14, 0.22))
    return s.place(model, at, turn)
