"""The network as ONNX: ONNX Runtime names photos as torch does."""

import json
import sys

import numpy as np
import pytest
import torch

from autoparts import load_finder, models
from autoparts.__main__ import main
from autoparts.errors import FailedError
from autoparts.finder import calibration, export
from autoparts.study.run import Run

pytest_plugins = "finder_files"


def test_onnx_runtime_names_photos_as_torch_does(study, tmp_path, monkeypatch, capsys):
    """Those of a backbone, looked at in several views."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = models.initialised(0, models.Recogniser, 4, "test_efficientnet", 3, views=(1.0, 1.25)).eval()
    path, _ = calibration.build(Run(tmp_path, study), network, colour := study.prepared(40))
    made, export_once = [], torch.onnx.export

    def once(*given, **options):
        made[:] = made or [export_once(*given, **options)]
        return made[0]

    monkeypatch.setattr(torch.onnx, "export", once)
    written = tmp_path / "net.onnx"
    assert main(["export", "--run", str(path), "--onnx", str(written)]) == 0
    assert "embedding at most" in capsys.readouterr().out
    here, session = load_finder(path), onnxruntime.InferenceSession(written)
    facts = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    told = ("categories", "by_head", "by_photo", "threshold", "size", "colour", "warning")
    assert facts == {name: getattr(here, name) for name in told}
    for photos in (colour.pixels[:1], colour.pixels[3:8]):
        unit, logits = session.run(["embedding", "logits"], {"photos": photos.numpy()})
        expected = here.embed(photos)
        assert np.abs(unit - expected.numpy()).max() < 1e-4
        assert np.abs(logits - here.network.logits(expected).numpy()).max() < 1e-3
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(FailedError, match="differ"):
        export.to_onnx(here, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_photos_to_compare_are_the_gallerys(here):
    photos = export.gallery_photos(here)
    assert photos.shape == (64, 48, 48, 3) and photos.dtype == torch.uint8
    cosines = here.embed(photos[[0, -1]]) @ here.gallery.T
    assert cosines.argmax(dim=1).tolist() == [0, len(here.gallery) - 1]


def test_missing_libraries_are_told(path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "--run", str(path), "--onnx"]) == 2
    assert "pip install 'autoparts[export]'" in capsys.readouterr().err
