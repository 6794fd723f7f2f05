import math
import socket
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from autoparts import load_finder, models, training
from autoparts.errors import UserError
from autoparts.finder import calibration, finder
from autoparts.study.run import Run

pytest_plugins = "finder_files"
SIX = SimpleNamespace(labels={"test": torch.tensor([0, 0, 0, 1, 1, 1])}, seed=0)  # photos, of two names


def drawn(count, by_head, by_photo, categories):
    """Logits and cosines drawn at random, and labels that follow from them with these weights."""
    generator = torch.Generator().manual_seed(0)
    logits, cosines = torch.randn(2, count, categories, generator=generator)
    chances = F.softmax(logits * by_head + cosines * by_photo, dim=1)
    return logits, cosines, torch.multinomial(chances, 1, generator=generator).flatten()


def test_the_file_holds_what_the_run_knows(study, run, built, here):
    path, table = built
    assert path == run.folder / "models" / "finder.pt"
    assert [here.by_head, here.by_photo] == table.loc["both", ["by_head", "by_photo"]].tolist()
    assert here.categories == study.categories and here.labels.tolist() == study.photos.labels["train"].tolist()
    facts = {"run": "tiny", "data": "photos", "fingerprint": study.fingerprint, "seed": 0, "generated": False}
    assert here.facts == facts and here.colour and here.size == 48
    told = f"4 part names, {len(here.gallery)} training photos; 48 pixels in colour through a residual network"
    assert repr(here) == f"<finder of run 'tiny': {told}>"


def test_the_threshold_lets_the_chosen_share_of_validation_photos_pass(study, network, colour, tmp_path):
    pixels = colour.pixels[colour.rows["validation"]]
    for accept in (0.5, 0.95, 1.0):
        here = load_finder(calibration.build(Run(tmp_path, study), network, colour, accept)[0])
        best = here.scores(here.embed(pixels)).amax(dim=1)
        assert abs(int((best >= here.threshold - 1e-6).sum()) - accept * len(best)) <= 1.5


def test_the_recommended_model_is_loaded(study, network, colour, tmp_path):
    run = Run(tmp_path, study)
    with pytest.raises(UserError, match=r"run notebook 06_beyond_the_thesis \(or autoparts train\) first"):
        calibration.recommended(run)
    run.save_result("recommended", architecture=network.architecture, side=48, colour=True)
    with pytest.raises(UserError, match=r"recommended\.pt cannot be used: it is missing"):
        calibration.recommended(run)
    training.save_tensors({"network": network.state_dict()}, run.weights("recommended"))
    loaded, photos = calibration.recommended(run)
    assert not loaded.training and photos.pixels.equal(colour.pixels)
    assert torch.equal(finder.embed(loaded, photos.pixels[:4]), finder.embed(network, colour.pixels[:4]))


def test_a_finder_on_a_backbone_is_saved_and_loaded_without_any_connection(study, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    photos = study.prepared(40)
    network = models.initialised(0, models.Recogniser, len(study.categories), "test_efficientnet", 3, views=(1.0, 1.25))
    loaded = load_finder(calibration.build(Run(tmp_path, study), network.eval(), photos)[0])
    assert torch.allclose(loaded.embed(photos.pixels[:4]), finder.embed(network, photos.pixels[:4]), atol=1e-5)
    assert loaded.network.standard.equal(network.standard) and "through test_efficientnet" in repr(loaded)


def test_calibration_finds_the_weights_of_lowest_loss():
    logits, cosines, truth = drawn(4000, 2, 5, categories=5)
    table = calibration.calibrate(logits, cosines, truth)
    assert table.index.tolist() == ["head", "nearest photo", "both"]
    assert table.loc["both", ["by_head", "by_photo"]].tolist() == pytest.approx([2, 5], rel=0.1)
    assert table.loc["head", "by_photo"] == table.loc["nearest photo", "by_head"] == 0
    assert table["NLL"].idxmin() == "both" and table.loc["head", "NLL"] < float(F.cross_entropy(logits, truth))
    right = ((logits * 2 + cosines * 5).argmax(dim=1) == truth).double().mean()
    assert table.loc["both", "accuracy"] == pytest.approx(float(right), abs=0.01)
    useless = calibration.calibrate(logits, cosines.roll(1, dims=0), truth)
    assert useless.loc["both", "by_photo"] < 0.1
    views = [F.softmax(logits * sharpness + cosines * 2.5 * sharpness, dim=1) for sharpness in (10, 2)]
    photos = SimpleNamespace(labels={"test": truth}, seed=0)
    before, after = (calibration.reliability(p.amax(dim=1), p.argmax(dim=1) == truth, photos)[1] for p in views)
    assert after < 0.03 < before


def test_names_count_alike_however_many_photos_they_have():
    """A name of three times as many photos, all of them questions thrice, changes nothing."""
    logits, cosines, truth = drawn(3000, 1, 1, categories=3)
    alike = calibration.calibrate(logits, cosines, truth)
    more = torch.cat([torch.arange(3000), *[(truth == 1).nonzero().flatten()] * 2])
    tail = calibration.calibrate(logits[more], cosines[more], truth[more])
    for name in ("by_head", "by_photo", "NLL"):
        assert tail[name].tolist() == pytest.approx(alike[name].tolist(), rel=2e-3)


def test_scores_are_never_all_alike():
    truth = torch.arange(90) % 3
    wrong = -2.0 * F.one_hot(truth, 3)  # says the opposite of what is true
    table = calibration.calibrate(wrong, wrong, truth)
    assert table.loc["both", ["by_head", "by_photo"]].tolist() == [calibration.LEAST] * 2 == [1e-3] * 2


def test_reliability_by_hand():
    confidence = torch.tensor([0.95, 0.95, 0.95, 1.0, 0.31, 0.35])
    hits = torch.tensor([True, True, False, True, False, False])
    table, error, low, high = calibration.reliability(confidence, hits, SIX)
    assert 0 <= low <= error <= high <= 1
    assert table.index.tolist() == [3, 9]
    assert table["photos"].tolist() == [2, 4] and table["accuracy"].tolist() == [0, 0.75]
    assert table["confidence"].tolist() == pytest.approx([0.33, 0.9625])
    assert error == pytest.approx((2 * 0.33 + 4 * 0.2125) / 6)
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()


def test_occlusion_finds_the_patch_that_decides():
    photo = torch.full((40, 40), 255, dtype=torch.uint8)
    photo[4:12, 22:30] = 0  # decides
    photo[28:36, 4:12] = 0  # does not

    def chance(photos):
        return 1 - photos[:, 4:12, 22:30].float().mean(dim=(1, 2)) / 255

    influence = calibration.occlusion(chance, photo)  # patches of 8 pixels, 3 apart
    assert influence.shape == (40, 40)
    top, left = divmod(int(influence.argmax()), 40)
    assert 4 <= top < 12 and 22 <= left < 30
    assert influence[4:12, 22:30].mean() > 0.3
    assert influence[20:].abs().max() == 0 and influence[:, :12].abs().max() == 0
    assert calibration.occlusion(lambda photos: -chance(photos), photo).min() == -influence.max()


def test_the_influence_is_on_the_likeliest_name(colour, here):
    pixels = colour.pixels[colour.rows["test"][0]]
    influence = calibration.influence(here, pixels.numpy())
    best = here.probabilities(here.embed(pixels[None])).amax()
    assert influence.shape == pixels.shape[:2] and influence.max() <= best
    blank = torch.full_like(pixels, 255)
    assert calibration.influence(here, blank.numpy()).abs().max() < 1e-5


def test_near_white_borders():
    photos = torch.full((4, 30, 30), 255, dtype=torch.uint8)
    photos[1, 3:-3, 3:-3] = 0  # dark inside the frame only
    photos[2, :3] = 0
    photos[3] = 239
    assert calibration.white_border(photos).tolist() == [True, True, False, False]
    assert calibration.white_border(photos[..., None].expand(-1, -1, -1, 3)).tolist() == [True, True, False, False]


def test_refusals_are_told_for_known_and_unknown_photos(here, monkeypatch):
    known, unknown, names = torch.zeros(6, 48, 48, 3), torch.ones(4, 48, 48, 3), pd.Series(list("aabb"))
    monkeypatch.setattr(type(here), "best_scores", lambda _, pixels: here.threshold + 1 - 2 * pixels[:, 0, 0, 0])
    right = torch.tensor([True, True, True, False, True, True])
    known[1] = 1  # it is refused
    table, auc = calibration.refusals(here, SIX, known, unknown, names, right)
    assert table["photos"].to_dict() == {"known: test photos": 6, "unknown: removed categories": 4}
    assert table["accuracy"].to_list() == pytest.approx([1 / 6, 1]) and auc == pytest.approx(11 / 12)
    assert table["named rightly"].to_list() == pytest.approx([4 / 6, math.nan], nan_ok=True)
    assert calibration.refusals(here, SIX, known, unknown[:0], names[:0], right)[1] is None
