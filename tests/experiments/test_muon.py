import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from autoparts import models
from autoparts.experiments.muon import Muon, orthogonalised
from autoparts.sampling import seeded


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (32, 288)])
def test_orthogonalised_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=seeded(0)) * 1e-3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    near = orthogonalised(matrix)
    assert near.shape == matrix.shape and near.dtype == matrix.dtype
    values = torch.linalg.svdvals(near)
    assert values.max() < 1.3
    assert values.min() > 0.5 or shape == (16, 16)  # a square one has some values near zero, which stay behind
    assert (near * (u @ v)).sum() > 0.97 * near.norm() * (u @ v).norm() * 0.98
    assert (orthogonalised(torch.zeros(shape)) == 0).all()


def test_matrices_take_the_steps_of_adamw():
    """Matrices decay, biases do not, as in two groups of torch's own optimiser."""
    ours, theirs = (models.initialised(0, nn.Linear, 5, 3) for _ in range(2))
    groups = [{"params": [theirs.weight], "weight_decay": 0.3}, {"params": [theirs.bias], "weight_decay": 0.0}]
    for network, optimiser in ((ours, Muon(ours, 0.02, decay=0.3)), (theirs, torch.optim.AdamW(groups, lr=0.02))):
        for step in range(5):
            optimiser.zero_grad()
            network(torch.randn(6, 5, generator=seeded(step))).square().mean().backward()
            optimiser.step()
    assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-5)
    assert_close(ours.bias, theirs.bias, atol=1e-6, rtol=1e-5)


def test_a_step_of_a_kernel_is_orthogonal_and_its_decay_is_decoupled():
    kernel = nn.Conv2d(4, 6, 3, bias=False).to(memory_format=torch.channels_last)
    before = kernel.weight.detach().clone()
    gradient = torch.randn(before.shape, generator=seeded(1))
    kernel.weight.grad = gradient.clone()
    Muon(kernel, 0.01, decay=0.3).step()
    moved = (before * (1 - 0.01 * 0.3 * 20 / 3) - kernel.weight.detach()) / 0.01
    u, _, v = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    assert F.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0) > 0.98
    assert moved.square().mean().sqrt() == pytest.approx(4 / 3, rel=0.25)  # per weight, whatever the shape
    assert kernel.weight.grad.equal(gradient)  # the step reads the gradient, and leaves it


def test_only_kernels_with_inputs_are_orthogonalised():
    network = models.Recogniser(5, filters=(8, 16), embedding_size=16)
    kinds = {}
    for group in Muon(network, 0.1).param_groups:
        kinds |= {id(weight): (group["muon"], group["decay"] > 0) for weight in group["params"]}
    names = dict(network.named_parameters())
    assert len(kinds) == len(names)
    for name, weight in names.items():
        kernel = weight.ndim == 4 and name != "trunk.0.0.weight"  # the stem's kernels have one input, the grey photo
        assert kinds[id(weight)] == (kernel, weight.ndim > 1), name
