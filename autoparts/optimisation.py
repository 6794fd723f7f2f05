"""Optimisers and learning-rate schedules."""

import math

import torch
from torch import Tensor, nn


def adam(network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Return the thesis's optimiser (chapter 4)."""
    return torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)


def constant(progress: float) -> float:
    """Keep the learning rate, as the thesis does."""
    return 1.0


def one_cycle(progress: float, warm_up: float = 0.1) -> float:
    """Factor of the learning rate: up along a line, then down along half a cosine (Smith and Topin 2019).

    Args:
        progress: share of the training that is done.
        warm_up: share of the training that goes up.
    """
    if progress < warm_up:
        return progress / warm_up + 1e-3
    return max(1e-3, (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2)


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels (Jordan et al. 2024), Adam with decoupled decay for all other weights.

    Muon replaces the momentum of a kernel, taken as a matrix (outputs, inputs × places), by the nearest matrix with
    equal singular values, so that rare directions learn as fast as frequent ones. torch's own Muon takes matrices
    only. Both halves share one learning rate, because Muon's step is scaled to a root mean square (Liu et al. 2025).
    """

    def __init__(self, network: nn.Module, learning_rate: float, decay: float = 0.05) -> None:
        weights = list(network.parameters())
        kernels = [weight for weight in weights if weight.ndim == 4 and weight.shape[1] > 1]
        matrices = [weight for weight in weights if weight.ndim > 1 and not (weight.ndim == 4 and weight.shape[1] > 1)]
        groups = [
            {"params": kernels, "decay": decay, "muon": True},
            {"params": matrices, "decay": decay, "muon": False},
            {"params": [weight for weight in weights if weight.ndim < 2], "decay": 0.0, "muon": False},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": learning_rate})

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


def _adam_step(gradient: Tensor, state: dict[str, Tensor], betas: tuple[float, float] = (0.9, 0.999)) -> Tensor:
    if not state:
        state |= {"step": torch.zeros(()), "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    state["step"] += 1
    mean = state["mean"].lerp_(gradient, 1 - betas[0])
    square = state["square"].lerp_(gradient.square(), 1 - betas[1])
    step = float(state["step"])
    # 1e-8 as in Adam's paper, against a division by zero for weights without any gradient yet.
    return mean / (1 - betas[0] ** step) / ((square / (1 - betas[1] ** step)).sqrt() + 1e-8)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Bring all singular values of a (M, N) matrix near 1, with five Newton-Schulz steps in bfloat16."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    near = wide.bfloat16() / (wide.norm() + 1e-7)  # singular values below 1; 1e-7 for an all-zero gradient
    for _ in range(5):
        square = near @ near.T
        near = 3.4445 * near + (2.0315 * square @ square - 4.7750 * square) @ near
    return (near.T if wide is not matrix else near).to(matrix.dtype)
