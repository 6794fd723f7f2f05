"""The optimiser of the recommended model."""

import torch
from torch import Tensor, nn

from autoparts.models import fast_bfloat16


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels (Jordan et al. 2024), Adam with decoupled decay for all other weights.

    It replaces the momentum of a kernel, as a matrix (outputs, inputs × places), by the nearest one of equal singular
    values, so that rare directions learn as fast as frequent ones. Both halves share one learning
    rate, because Muon's step is scaled to a root mean square (Liu et al. 2025). Torch's own takes matrices only, and
    timm's computes in bfloat16 everywhere, for which some processors take many times as long.
    """

    def __init__(self, network: nn.Module, learning_rate: float, decay: float = 0.05) -> None:
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for weight in network.parameters():  # a kernel of several inputs; a matrix, which decays; a bias or a scale
            kernel = weight.ndim == 4 and weight.shape[1] > 1
            groups.setdefault((kernel, weight.ndim > 1), []).append(weight)
        settings = [{"params": group, "muon": key[0], "decay": decay * key[1]} for key, group in groups.items()]
        super().__init__(settings, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step along the gradients."""
        for group in self.param_groups:
            update = _orthogonal_step if group["muon"] else _adam_step
            decay = group["lr"] * group["decay"] * (20 / 3 if group["muon"] else 1)  # the ratio of their step sizes
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - decay).add_(update(weight.grad, self.state[weight]), alpha=-group["lr"])


def _orthogonal_step(gradient: Tensor, state: dict[str, Tensor], momentum: float = 0.95) -> Tensor:
    if not state:
        state["mean"] = torch.zeros_like(gradient)
    mean = state["mean"].lerp_(gradient, 1 - momentum)
    matrix = gradient.lerp(mean, momentum).flatten(1)  # Nesterov's look ahead
    return orthogonalised(matrix).view_as(gradient) * (4 / 3 * max(matrix.shape) ** 0.5)


def _adam_step(gradient: Tensor, state: dict, betas: tuple[float, float] = (0.9, 0.999)) -> Tensor:
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    step = state["step"] = state["step"] + 1
    mean = state["mean"].lerp_(gradient, 1 - betas[0])
    square = state["square"].lerp_(gradient.square(), 1 - betas[1])
    # 1e-8 as in Adam's paper, against a division by zero for weights without any gradient yet.
    return mean / (1 - betas[0] ** step) / ((square / (1 - betas[1] ** step)).sqrt() + 1e-8)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Bring all singular values of a (M, N) matrix near 1: five Newton-Schulz steps, in bfloat16 where that is fast."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    precision = torch.bfloat16 if fast_bfloat16(matrix.device) else matrix.dtype
    near = wide.to(precision) / (wide.norm() + 1e-7)  # singular values below 1; 1e-7 for an all-zero gradient
    for _ in range(5):
        square = near @ near.T
        near = 3.4445 * near + (2.0315 * square @ square - 4.7750 * square) @ near
    return (near.T if wide is not matrix else near).to(matrix.dtype)
