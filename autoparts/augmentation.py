"""Photos as they might also have been taken: random changes made on whole batches, on the training device."""

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(inputs: Tensor, generator: torch.Generator, size: int | None = None) -> Tensor:
    """Turn, zoom, stretch, mirror, shift, light and partly cover each photo anew.

    One affine map per photo does all the moving, so that a photo is resampled once (as RandomAffine of torchvision
    does for a whole batch alike). What enters at the edges is white, like the padding. Takes (B, 1, S, S) float, 0
    white to 1 black, a generator on the CPU, and the side of the result in pixels (None keeps S).
    """
    count, side = len(inputs), size or inputs.shape[-1]

    def draw(low: float, high: float) -> Tensor:
        """Draw a number for each photo."""
        return torch.rand(count, generator=generator) * (high - low) + low

    angle, zoom, stretch = draw(-12, 12).deg2rad(), draw(-0.2, 0.2).exp(), draw(-0.12, 0.12).exp()
    mirror = draw(-1, 1).sign()
    across = [mirror * zoom * stretch * angle.cos(), -mirror * zoom * stretch * angle.sin(), draw(-0.16, 0.16)]
    down = [zoom / stretch * angle.sin(), zoom / stretch * angle.cos(), draw(-0.16, 0.16)]
    maps = torch.stack(across + down, dim=1).view(count, 2, 3).to(inputs.device)  # from result to source
    grid = F.affine_grid(maps, [count, 1, side, side], align_corners=False)
    moved = F.grid_sample(inputs, grid, align_corners=False)

    contrast, brightness = _per_photo(draw(-0.3, 0.3).exp(), moved), _per_photo(draw(-0.15, 0.15), moved)
    lit = (moved * contrast + brightness).clamp(0, 1)

    area, aspect = draw(0.02, 0.2) * (draw(0, 1) < 0.5), draw(-1, 1).exp()  # every second photo is covered
    tall, wide = (area * aspect).sqrt() * side, (area / aspect).sqrt() * side
    place = torch.arange(side)
    rows = (place - draw(0, side)[:, None]).abs() < tall[:, None] / 2  # (B, side)
    columns = (place - draw(0, side)[:, None]).abs() < wide[:, None] / 2
    covered = (rows[:, None, :, None] & columns[:, None, None, :]).to(inputs.device)
    return torch.where(covered, _per_photo(draw(0, 1), lit), lit)


def _per_photo(values: Tensor, like: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, 1), on the device of `like`."""
    return values[:, None, None, None].to(like.device)
