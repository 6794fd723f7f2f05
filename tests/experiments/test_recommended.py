from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch.nn import functional as F

from autoparts import models, training
from autoparts.experiments import recommended
from autoparts.experiments.recommended import FIRST_SIDE, CosineNaming, growing, train_recommended
from autoparts.losses import supervised_contrastive_loss
from autoparts.sampling import seeded
from autoparts.study.run import Run


def test_photos_grow_over_the_training():
    inputs, rows = torch.rand(4, 1, 100, 100, generator=seeded(0)), torch.arange(4)
    sides = [growing(inputs, rows, seeded(0), step / 50).shape[-1] for step in range(51)]
    assert sides[0] == FIRST_SIDE and sides == sorted(sides)
    assert sides[40:] == [96] * 11 and sides[38] < 96
    assert all(side % 4 == 0 for side in sides)
    assert {growing(inputs[..., :30, :30], rows, seeded(0), step / 5).shape[-1] for step in range(6)} == {24}


def test_its_loss_is_smoothed_cross_entropy_and_supervised_contrastive():
    recogniser = models.initialised(0, models.Recogniser, 7, 16, (8, 16, 32))
    unit = F.normalize(torch.randn(6, 16, generator=seeded(0)), dim=1)
    labels = torch.tensor([0, 0, 3, 6, 6, 1])
    values = CosineNaming(recogniser, smoothing=0.2).values(unit, labels)
    log_shares = recogniser.logits(unit).log_softmax(dim=1).detach()
    contrast = supervised_contrastive_loss(unit, labels)
    for place, label in enumerate(labels.tolist()):
        wanted = 0.8 * log_shares[place, label] + 0.2 * log_shares[place].mean()
        assert float(values["loss"][place].detach()) == pytest.approx(float(contrast[place] - wanted), rel=1e-5)
    assert values["accuracy"].equal(log_shares.argmax(dim=1) == labels)
    values["loss"].mean().backward()
    assert recogniser.prototypes.grad.isfinite().all() and recogniser.prototypes.grad.abs().sum() > 0


@pytest.fixture
def slim(monkeypatch):
    """The model in small, since many filters take long to be orthogonalised."""
    monkeypatch.setattr(models, "Recogniser", partial(models.Recogniser, filters=(4, 8, 8)))


def test_it_trains_and_goes_on_where_it_was_stopped(run, slim, monkeypatch):
    whole, history = train_recommended(run, 2, 1)
    assert np.isfinite(history.to_numpy()).all() and history["epoch"].tolist() == [1, 2]
    assert {"training_accuracy", "validation_loss", "validation_accuracy"} <= set(history.columns)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "progress_line", stop)
        train_recommended(run, 2, 1, "stopped")
    resumed, its_history = train_recommended(run, 2, 1, "stopped")
    pd.testing.assert_frame_equal(history, its_history, check_exact=True)
    assert all(map(torch.equal, whole.state_dict().values(), resumed.state_dict().values()))
    monkeypatch.setattr(training, "train_epoch", None)
    train_recommended(run, 2, 1)  # finished: nothing is trained


def test_it_does_not_see_test_photos(run, slim, tmp_path):
    photos = run.study.photos
    pixels = photos.pixels.clone()
    pixels[photos.rows["test"]] = 255 - pixels[photos.rows["test"]]
    labels = photos.labels | {"test": photos.labels["test"].flip(0)}
    other = Run(tmp_path / "other", replace(run.study, photos=replace(photos, pixels=pixels, labels=labels)))
    (one, history), (same, again) = (train_recommended(each, 1, 1) for each in (run, other))
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    assert all(map(torch.equal, one.parameters(), same.parameters()))


def test_a_backbone_begins_with_its_weights_and_has_a_training_of_its_own(run, monkeypatch):
    fetched = torchvision.models.resnet18(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", lambda *_, **__: fetched)
    monkeypatch.setattr(recommended, "Muon", training.adam)  # which is faster
    _, history = train_recommended(run, 1, 1, backbone="resnet18")
    assert np.isfinite(history.to_numpy()).all()
    key = torch.load(run.weights("recommended"), weights_only=True)["key"]
    train_recommended(run, 1, 1)
    assert torch.load(run.weights("recommended"), weights_only=True)["key"] != key
