"""Photos as they might also have been taken: random changes made on whole batches, on the training device."""

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(
    inputs: Tensor,
    generator: torch.Generator,
    size: int | None = None,
    zoom: tuple[float, float] = (-0.2, 0.2),
    shift: float = 0.16,
) -> Tensor:
    """Turn, zoom, stretch, mirror, shift, light, tint and partly cover each photo anew.

    One affine map per photo does all the moving, so that a photo is resampled once (as RandomAffine of torchvision
    does for a whole batch alike). What enters at the edges is white, like the padding. Takes (B, C, S, S) float, 0
    white to 1 black, a generator on the CPU, the side of the result in pixels (None keeps S), the bounds of ln s
    where the result shows s times the photo's side (a crop below 0), and the largest shift in half sides.
    """
    count, side = len(inputs), size or inputs.shape[-1]

    def draw(low: float, high: float) -> Tensor:
        """Draw a number for each photo."""
        return torch.rand(count, generator=generator) * (high - low) + low

    angle, shown, stretch = draw(-12, 12).deg2rad(), draw(*zoom).exp(), draw(-0.12, 0.12).exp()
    mirror = draw(-1, 1).sign()
    across = [mirror * shown * stretch * angle.cos(), -mirror * shown * stretch * angle.sin(), draw(-shift, shift)]
    down = [shown / stretch * angle.sin(), shown / stretch * angle.cos(), draw(-shift, shift)]
    maps = torch.stack(across + down, dim=1).view(count, 2, 3).to(inputs.device)  # from result to source
    grid = F.affine_grid(maps, [count, 1, side, side], align_corners=False)
    moved = F.grid_sample(inputs, grid, align_corners=False)

    contrast, brightness = _per_photo(draw(-0.3, 0.3).exp(), moved), _per_photo(draw(-0.15, 0.15), moved)
    lit = (moved * contrast + brightness).clamp(0, 1)
    if inputs.shape[1] == 3:  # paler or more colourful, and in warmer or colder light
        lit = lit.mean(dim=1, keepdim=True).lerp(lit, _per_photo(draw(-0.5, 0.5).exp(), lit))
        light = torch.stack([draw(-0.1, 0.1).exp() for _ in range(3)], dim=1)[:, :, None, None]
        lit = (lit * light.to(lit.device)).clamp(0, 1)

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
