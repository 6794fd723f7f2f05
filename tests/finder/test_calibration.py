import pytest
import torch
from torch.nn import functional as F

import autoparts
from autoparts import models, training
from autoparts.errors import UserError
from autoparts.finder import calibration, finder
from autoparts.study.run import Run

pytest_plugins = "finder_files"


def test_the_file_holds_what_the_run_knows(study, run, built):
    path, table = built
    here, best = autoparts.load_finder(path), table.loc[table["NLL"].idxmin()]
    assert path == run.folder / "models" / "finder.pt"
    assert (here.share, here.temperature) == (best["share of nearest"], best["temperature"])
    assert here.categories == study.categories and here.labels.tolist() == study.photos.labels["train"].tolist()
    facts = {"run": "tiny", "data": "photos", "fingerprint": study.fingerprint, "seed": 0, "generated": False}
    assert here.facts == facts
    assert repr(here) == f"<finder of run 'tiny': 4 part names, {len(here.gallery)} training photos>"


def test_the_same_network_gives_the_same_file(study, network, path, tmp_path):
    again, _ = calibration.build(study, Run(tmp_path / "tiny", study), network)
    assert again.read_bytes() == path.read_bytes()


def test_the_threshold_lets_the_chosen_share_of_validation_photos_pass(study, network, tmp_path):
    pixels = study.photos.pixels[study.photos.rows["validation"]]
    for accept in (0.5, 0.95, 1.0):
        here = autoparts.load_finder(calibration.build(study, Run(tmp_path, study), network, accept)[0])
        distances = here.distances(here.embed(pixels))
        assert abs(int((distances <= here.threshold + 1e-6).sum()) - accept * len(distances)) <= 1.5


def test_the_recommended_model_is_loaded(study, network, tmp_path):
    run = Run(tmp_path, study)
    with pytest.raises(UserError, match="run notebook 06_beyond_the_thesis first"):
        calibration.recommended(run, study)
    run.save_result("recommended", backbone="")
    with pytest.raises(UserError, match=r"recommended\.pt cannot be used: it is missing"):
        calibration.recommended(run, study)
    training.save_tensors({"network": network.state_dict()}, run.weights("recommended"))
    loaded, pixels = calibration.recommended(run, study), study.photos.pixels[:4]
    assert not loaded.training
    assert torch.equal(finder.embed(loaded, pixels), finder.embed(network, pixels))


def test_a_finder_on_a_backbone_is_saved_and_loaded(study, tmp_path):
    network = models.initialised(0, models.Recogniser, len(study.categories), backbone="mobilenet_v2").eval()
    loaded = autoparts.load_finder(calibration.build(study, Run(tmp_path, study), network)[0])
    pixels = study.photos.pixels[:4]
    assert torch.allclose(loaded.embed(pixels), finder.embed(network, pixels), atol=1e-2)


def test_calibration_lowers_the_loss_and_finds_the_temperature():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4000, 5, generator=generator)
    truth = torch.multinomial(F.softmax(scores / 0.2, dim=1), 1, generator=generator).flatten()
    noise = torch.randn(4000, 5, generator=generator)
    table = calibration.calibrate(scores, noise, truth).set_index("share of nearest")
    assert table["NLL"].idxmin() == 0.0
    assert table.loc[0.0, "temperature"] == pytest.approx(0.2, rel=0.1)
    assert table.loc[0.0, "NLL"] < float(F.cross_entropy(scores / 0.05, truth))
    assert table.loc[0.0, "NLL"] < float(F.cross_entropy(scores, truth))
    assert table.loc[0.0, "accuracy"] == pytest.approx(float((scores.argmax(dim=1) == truth).double().mean()))
    assert calibration.calibrate(noise, scores, truth).set_index("share of nearest")["NLL"].idxmin() == 1.0
    views = [F.softmax(scores / temperature, dim=1) for temperature in (0.05, table.loc[0.0, "temperature"])]
    before, after = (calibration.reliability(p.amax(dim=1), p.argmax(dim=1) == truth)[1] for p in views)
    assert after < 0.03 < before


def test_reliability_by_hand():
    confidence = torch.tensor([0.95, 0.95, 0.95, 1.0, 0.31, 0.35])
    hits = torch.tensor([True, True, False, True, False, False])
    table, error = calibration.reliability(confidence, hits)
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

    influence = calibration.occlusion(chance, photo, patch=8, stride=3)
    assert influence.shape == (40, 40)
    top, left = divmod(int(influence.argmax()), 40)
    assert 4 <= top < 12 and 22 <= left < 30
    assert influence[4:12, 22:30].mean() > 0.3
    assert influence[20:].abs().max() == 0 and influence[:, :12].abs().max() == 0
    assert calibration.occlusion(lambda photos: -chance(photos), photo, 8, 3).min() == -influence.max()


def test_the_influence_is_on_the_likeliest_name(study, path):
    here = autoparts.load_finder(path)
    pixels = study.photos.pixels[study.photos.rows["test"][0]]
    influence = calibration.influence(here, pixels)
    best = here.probabilities(here.embed(pixels[None])).amax()
    assert influence.shape == pixels.shape and influence.max() <= best
    blank = torch.full_like(pixels, 255)
    assert calibration.influence(here, blank).abs().max() < 1e-5


def test_near_white_borders():
    photos = torch.full((4, 30, 30), 255, dtype=torch.uint8)
    photos[1, 3:-3, 3:-3] = 0  # dark inside the frame only
    photos[2, :3] = 0
    photos[3] = 239
    assert calibration.white_border(photos).tolist() == [True, True, False, False]
