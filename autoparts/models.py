"""The networks: the thesis's, the residual one, and the recommended recogniser; and where they compute."""

import difflib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts.catalogue import cache_folder
from autoparts.errors import UserError, whole_file

THESIS_FILTERS = (32, 64)
RESIDUAL_FILTERS = (32, 64, 128, 256)
LARGER = 1.16  # by how much a second look at a photo is enlarged
SCALE = 16.0  # of logits: cosines alone could not be sure of a name
LITE0 = "tf_efficientnet_lite0"
PRECISION = "AUTOPARTS_PRECISION"  # environment variable: "float32", "bfloat16", or "auto" for the faster one


def photo_input(photos: Tensor) -> Tensor:
    """Turn stored photos, uint8 from black to white, into network input, float32 from 1 to 0.

    Ink becomes positive and white becomes exactly zero, so that the white padding around a photo and the zero padding
    of a convolution are the same thing. Grey (B, S, S) becomes (B, 1, S, S), colour (B, S, S, 3) becomes (B, 3, S, S).
    """
    channels_first = photos.unsqueeze(1) if photos.dim() == 3 else photos.movedim(3, 1)
    return channels_first.float().div_(-255).add_(1)


def thesis_trunk(filters: tuple[int, ...] = THESIS_FILTERS) -> nn.Sequential:
    """Convolution blocks of the thesis (section 4.1): 3x3 convolution, ReLU, 2x2 max-pooling, each block once.

    Max-pooling stands before the ReLU: both orders give identical outputs and gradients, because ReLU is
    monotone, and this one applies it to a quarter of the values. The number of filters is not stated in the thesis.
    (B, 1, S, S) becomes (B, filters[-1] * (S // 2**blocks)**2).
    """
    blocks: list[nn.Module] = []
    for before, after in zip((1, *filters), filters, strict=False):
        blocks += [nn.Conv2d(before, after, kernel_size=3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Flatten())


class ThesisNetwork(nn.Sequential):
    """The convolutional trunk and one fully connected layer: (B, 1, side, side) to (B, outputs)."""

    def __init__(self, outputs: int, filters: tuple[int, ...] = THESIS_FILTERS, side: int = 100) -> None:
        left = side // 2 ** len(filters)
        if left == 0:
            raise UserError(
                f"{len(filters)} convolution blocks halve {side} pixels to nothing: fewer filters, or larger photos"
            )
        super().__init__(thesis_trunk(filters), nn.Linear(filters[-1] * left**2, outputs))
        self.architecture = {"outputs": outputs, "filters": list(filters), "side": side}


def thesis_network(
    outputs: int, filters: tuple[int, ...] = THESIS_FILTERS, side: int = 100, *, seed: int = 0
) -> ThesisNetwork:
    """Build the thesis's network, (B, 1, side, side) to (B, outputs), with new weights that follow from the seed.

    With one output per category it is the classifier (its outputs are the logits; the log-softmax is part of
    the cross-entropy). With `outputs` equal to the embedding size it is the tower G_W of the Siamese networks
    (2.6), whose embeddings are not normalised. A UserError tells of so many blocks that nothing is left of a photo.
    """
    return initialised(seed, ThesisNetwork, outputs, tuple(filters), side)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015) that shrinks by averaging (He et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        nn.init.zeros_(self.body[-1].weight)  # a block begins as its shortcut alone (Goyal et al. 2017)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if inputs != outputs:
            self.shortcut.extend([nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)])

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return F.relu(self.body(maps) + self.shortcut(maps))


def residual_trunk(filters: tuple[int, ...] = RESIDUAL_FILTERS, blocks: int = 2, channels: int = 1) -> nn.Sequential:
    """Stem of stride 2, stages of residual blocks that halve the maps, and the mean over the places.

    The filters are those of the stem and of each stage. (B, channels, S, S), of S from about 32, to (B, filters[-1]).
    """
    stem, *stages = filters
    layers: list[nn.Module] = [nn.Conv2d(channels, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem)]
    layers.append(nn.ReLU(inplace=True))
    for before, width in zip(filters, stages, strict=False):
        layers += [Residual(before, width, 2), *(Residual(width, width, 1) for _ in range(blocks - 1))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def residual_network(outputs: int, filters: tuple[int, ...] = RESIDUAL_FILTERS) -> nn.Sequential:
    """Return the residual trunk with one fully connected layer: (B, 1, S, S) to (B, outputs), not normalised."""
    return nn.Sequential(residual_trunk(filters), nn.Linear(filters[-1], outputs))


def timm_trunk(backbone: str) -> nn.Module:
    """Return timm's network of this name, headless and untrained: (B, 3, S, S) to (B, F). UserError: none fits."""
    import timm  # seconds that only backbones cost

    if not timm.is_model(backbone):
        near = ", ".join(difflib.get_close_matches(backbone, timm.list_models()) or [LITE0])
        raise UserError(f"timm has no model {backbone!r}; near that name, or recommended: {near}")
    trunk = timm.create_model(backbone, num_classes=0)
    if trunk.pretrained_cfg.get("fixed_input_size"):
        raise UserError(f"{backbone} takes photos of one size only; take a convolutional network, such as {LITE0}")
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels:
            layer.forward = partial(_depthwise, layer.forward)
    return trunk


def _depthwise(forward: Callable[[Tensor], Tensor], maps: Tensor) -> Tensor:
    """Convolve in float32 if gradients are taken, for which a processor takes up to six times as long in bfloat16."""
    if maps.is_cuda or not torch.is_grad_enabled():
        return forward(maps)
    with torch.autocast("cpu", enabled=False):
        return forward(maps.float())


class Recogniser(nn.Module):
    """Recommended model: a trunk to features, brought to unit embeddings, and a linear head that names them.

    (B, C, S, S) to (B, F). The trunk's layers turn a photo into F numbers, its features; the embedding is these minus
    `centre` (of a backbone, their mean over training photos before it was tuned; else zero), scaled to length one; the
    head is a linear classifier on it. In evaluation mode features are the mean of those of some views: the photo,
    copies enlarged by the factors `views`, and the mirror images of all. The trunk is our residual one, with a
    projection, or timm's network called `backbone`, with random weights until `load_pretrained`.
    """

    def __init__(
        self,
        categories: int,
        backbone: str = "",
        channels: int = 1,
        filters: Sequence[int] = RESIDUAL_FILTERS,
        embedding_size: int = 128,
        views: Sequence[float] = (1.0, LARGER),
    ) -> None:
        super().__init__()
        self.architecture = {"backbone": backbone, "channels": channels, "filters": list(filters)}
        self.architecture |= {"embedding_size": embedding_size, "views": list(views)}
        if backbone:
            self.trunk = timm_trunk(backbone)
            size, own = self.trunk.head_hidden_size, self.trunk.pretrained_cfg
            standard = torch.tensor([own["mean"], own["std"]])
        else:
            project = nn.Linear(filters[-1], embedding_size, bias=False)
            norm = nn.BatchNorm1d(embedding_size)
            self.trunk = nn.Sequential(residual_trunk(tuple(filters), channels=channels), project, norm)
            size, standard = embedding_size, torch.tensor([[1.0] * channels, [-1.0] * channels])  # (1 - x - 1) / -1 = x
        self.register_buffer("standard", standard)  # mean and deviation that the trunk's inputs are brought to
        self.register_buffer("centre", torch.zeros(size))
        self.head = nn.Linear(size, categories)
        nn.init.normal_(self.head.weight, std=size**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C, S, S) to (B, F)."""
        return self.unit(self.features(inputs))

    def features(self, inputs: Tensor) -> Tensor:
        """What the trunk says of the photos, before it is centred: (B, C, S, S) to (B, F)."""
        mean, deviation = self.standard[:, :, None, None]
        inputs = (1 - inputs - mean) / deviation
        if self.training:
            return self.trunk(inputs).float()
        sides = [round(scale * inputs.shape[-1]) for scale in self.architecture["views"]]
        looks = [F.interpolate(inputs, (side, side), mode="bilinear", align_corners=False) for side in sides]
        views = [view for look in looks for view in (look, look.flip(3))]
        return sum(self.trunk(view).float() for view in views) / len(views)

    def unit(self, features: Tensor) -> Tensor:
        """Centre features, and bring them to length one. (B, F) to (B, F)."""
        return F.normalize(features - self.centre, dim=1)

    def logits(self, unit: Tensor) -> Tensor:
        """Name (B, F) unit embeddings: (B, categories)."""
        return SCALE * self.head(unit)

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Give the trunk what its backbone has learned, by the names of weights; those of the last layer are left."""
        self.trunk.load_state_dict({name: weights[name] for name in self.trunk.state_dict()})

    def train(self, mode: bool = True) -> "Recogniser":
        """Switch the mode, but not of a backbone's batch norms: with their statistics the head was fitted."""
        super().train(mode)
        if self.architecture["backbone"]:
            for layer in self.trunk.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        return self


def initialised(seed: int, build: Callable[..., nn.Module], *arguments: Any, **options: Any) -> nn.Module:
    """Have `build` make a network whose weights follow from the seed alone, in memory order for fast convolutions."""
    with torch.random.fork_rng(devices=[]):  # torch's initialisers only know the global generator
        torch.manual_seed(seed)
        return build(*arguments, **options).to(memory_format=torch.channels_last)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable weights."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to train on: with "auto" CUDA, else MPS, else the processor.

    A device that this machine does not have is told in a UserError.
    """
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            reason = str(error).partition("\n")[0]
            raise UserError(f"device {device!r} cannot be used ({reason}); leave it at auto, or choose cpu") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_bfloat16(device: torch.device) -> bool:
    """Whether training is at least 1.2 times faster in bfloat16: measured once on a processor, told by CUDA.

    The environment variable `PRECISION` decides instead, unless it is "auto".
    """
    if (chosen := os.environ.get(PRECISION, "auto")) != "auto":
        return chosen == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported() and _gain_of_bfloat16() >= 1.2


@cache
def _gain_of_bfloat16() -> float:
    """Return how many times faster a step of the thesis's network is in bfloat16; measured once, kept in the cache.

    A processor's flag does not tell: without matrix units bfloat16 may take longer than float32.
    """
    processor: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    name = hashlib.blake2b(f"{processor}{torch.__version__}".encode(), digest_size=8).hexdigest()
    kept = cache_folder() / f"bfloat16-gain-{name}.json"
    with suppress(OSError, ValueError, KeyError):
        return float(json.loads(kept.read_text())["gain"])
    threads, seconds = torch.get_num_threads(), {True: math.inf, False: math.inf}
    torch.set_num_threads(1)  # and its own time: what else the machine does shall not decide
    try:
        with torch.inference_mode(False), torch.enable_grad():
            network, inputs = thesis_network(64, side=64), torch.zeros(16, 1, 64, 64)
            for enabled in (True, False) * 4:
                started = time.thread_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                    outputs = network(inputs)
                outputs.float().sum().backward()
                seconds[enabled] = min(seconds[enabled], time.thread_time() - started)
    finally:
        torch.set_num_threads(threads)
    gain = seconds[False] / seconds[True]
    with whole_file(kept) as unfinished:
        unfinished.write_text(json.dumps({"gain": gain}))
    return gain


def half_precision(device: torch.device) -> torch.autocast:
    """Return the autocast context to bfloat16, switched off where that would gain nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device))
