"""One convolutional trunk, shared by the classifier and the embedding networks."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

THESIS_FILTERS = (32, 64)


def photo_input(photos: Tensor) -> Tensor:
    """Turn stored photos into network input.

    Ink becomes positive and white becomes exactly zero, so that the white padding around a photo
    and the zero padding of a convolution are the same thing.

    Args:
        photos: (B, S, S) uint8, 0 black to 255 white.

    Returns:
        (B, 1, S, S) float32 between 0 (white) and 1 (black).
    """
    return photos.unsqueeze(1).float().div_(-255).add_(1)


def thesis_trunk(filters: tuple[int, ...] = THESIS_FILTERS) -> nn.Sequential:
    """Convolution blocks of the thesis (section 4.1): 3x3 convolution, ReLU, 2x2 max-pooling, each block once.

    Max-pooling stands before the ReLU: both orders give identical outputs and gradients, because ReLU is
    monotone, and this one applies it to a quarter of the values.

    Args:
        filters: number of filters of each block (not stated in the thesis).

    Returns:
        A module from (B, 1, S, S) to (B, filters[-1] * (S // 2**blocks)**2).
    """
    channels = (1, *filters)
    blocks: list[nn.Module] = []
    for before, after in zip(channels, filters, strict=False):
        blocks += [nn.Conv2d(before, after, kernel_size=3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Flatten())


def thesis_network(outputs: int, filters: tuple[int, ...] = THESIS_FILTERS, size: int = 100) -> nn.Sequential:
    """Thesis network: the convolutional trunk and one fully connected layer.

    With one output per category it is the classifier (its outputs are the logits; the log-softmax is part of
    the cross-entropy). With `outputs` equal to the embedding size it is the tower G_W of the Siamese networks
    (2.6), whose embeddings are not normalised.

    Args:
        outputs: number of categories, or embedding size.
        filters: number of filters of each convolution block (not stated in the thesis).
        size: side of the square photos in pixels.

    Returns:
        A module from (B, 1, size, size) to (B, outputs).
    """
    trunk = thesis_trunk(filters)
    features = filters[-1] * (size // 2 ** len(filters)) ** 2
    return nn.Sequential(trunk, nn.Linear(features, outputs))


def initialised(seed: int, build: Callable[..., nn.Module], *arguments: Any, **options: Any) -> nn.Module:
    """Build a network whose initial weights follow from the seed alone, in memory order for fast convolutions.

    Args:
        seed: of the initial weights.
        build: function that builds the network, such as `thesis_network`.
        *arguments: handed to `build`.
        **options: handed to `build`.
    """
    with torch.random.fork_rng(devices=[]):  # torch's initialisers only know the global generator
        torch.manual_seed(seed)
        return build(*arguments, **options).to(memory_format=torch.channels_last)


def parameter_table(network: nn.Module) -> pd.DataFrame:
    """List the layers that have weights: layer, shape of the weights, number of weights with biases."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    table = pd.DataFrame(
        {
            "layer": ["convolution" if isinstance(layer, nn.Conv2d) else "fully connected" for layer in layers],
            "shape": [" × ".join(map(str, layer.weight.shape)) for layer in layers],
            "weights": [count_parameters(layer) for layer in layers],
        }
    )
    table.loc[len(table)] = ["all layers", "", count_parameters(network)]
    return table


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable weights."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator with this seed; every random step of the study draws from one of these."""
    return torch.Generator().manual_seed(seed)
