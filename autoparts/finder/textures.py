"""How far the textures of a photo lie from those of the catalogue.

To a network's last layers, which were trained to see parts, stripes may be a radiator; to its first ones, not.
"""

import torch
from torch import Tensor

from autoparts.models import Recogniser, photo_input

BLOCK = 64  # photos at a time


@torch.inference_mode()
def textures(network: Recogniser, pixels: Tensor) -> Tensor:
    """Average the maps that a trunk's first layers make of photos: (M, S, S[, 3]) uint8 to (M, C) float32 on the CPU.

    Of one of timm's these are its maps of an eighth of the photo's side, of our own those halfway.
    """
    mean, deviation = network.standard[:, :, None, None]
    blocks = [(1 - photo_input(block) - mean) / deviation for block in pixels.split(BLOCK)]
    return torch.cat([_maps(network, block).mean(dim=(2, 3)).float().cpu() for block in blocks])


def _maps(network: Recogniser, inputs: Tensor) -> Tensor:
    if network.architecture["backbone"]:
        if not hasattr(network.trunk, "forward_intermediates"):  # of some networks in older versions of timm
            return network.trunk.forward_features(inputs)
        early = {"indices": [-3], "stop_early": True, "intermediates_only": True}
        return network.trunk.forward_intermediates(inputs, **early)[0]
    layers = 3 + 2 * (len(network.architecture["filters"]) // 2)  # the stem, and blocks of half the stages
    return network.trunk[0][:layers](inputs)


def distances(found: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """Distances of textures (M, C) to the nearest of the means (K, C), once a (C, C) matrix has whitened both: (M,)."""
    exact = "donot_use_mm_for_euclid_dist"  # the quick way is off by a thousandth
    return torch.cdist(found @ whitening, means @ whitening, compute_mode=exact).amin(dim=1)


def usual(network: Recogniser, train: Tensor, validation: Tensor) -> tuple[Tensor, Tensor]:
    """Fit what textures the catalogue's photos have: their mean (1, C), and what whitens them (C, C).

    Distances are then Mahalanobis's (Lee et al. 2018), in units that hardly any validation photo exceeds. Takes pixels
    of training photos, for the mean and a covariance that few photos do not make singular (Ledoit and Wolf 2004), and
    of validation photos.
    """
    from sklearn.covariance import LedoitWolf  # which naming a photo should not wait for

    model = LedoitWolf().fit(textures(network, train).double().numpy())
    mean = torch.from_numpy(model.location_[None]).float()
    whitening = torch.linalg.cholesky(torch.from_numpy(model.precision_)).float()
    found = distances(textures(network, validation), mean, whitening)
    # Of few photos the far ones say little: there the median has to.
    return mean, (whitening / torch.maximum(found.quantile(0.99), 2.5 * found.median())).contiguous()
