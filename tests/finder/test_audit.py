"""Labels that look wrong."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from autoparts import models
from autoparts.finder import audit
from autoparts.finder.audit import suspicious_labels

pytest_plugins = "finder_files"
NOTHING = pd.DataFrame(columns=[*audit.FOUND]).astype(audit.FOUND)


@pytest.fixture
def asked(monkeypatch):
    """What `suspicious_labels` is asked; it finds what is set as `found`."""
    asked = SimpleNamespace(given=[], found=NOTHING)
    monkeypatch.setattr(audit, "suspicious_labels", lambda *given: asked.given.extend(given) or asked.found)
    return asked


@pytest.fixture
def vectors():
    """Embeddings of 240 photos around six centres, and their labels; three photos of a seventh."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.arange(240) % 6, torch.full((3,), 6)])
    centres = torch.randn(7, 16, generator=generator)
    return F.normalize(centres[labels] + 0.2 * torch.randn(243, 16, generator=generator), dim=1), labels


def test_planted_errors_are_found_with_their_true_label(vectors):
    unit, labels = vectors
    planted = [3, 50, 77, 120, 200]
    wrong = labels.clone()
    wrong[planted] = (labels[planted] + 2) % 6
    found = suspicious_labels(unit, wrong)
    assert sorted(found["photo"][:5]) == planted and len(found) <= 7
    first = found.set_index("photo").loc[planted]
    assert first["likelier"].tolist() == labels[planted].tolist() and first["label"].tolist() == wrong[planted].tolist()
    assert (first["of the likelier"] > first["of its name"]).all()
    pd.testing.assert_frame_equal(found, suspicious_labels(unit, wrong))
    assert len(suspicious_labels(unit, labels)) <= 2  # none is wrong, and some are rare


def test_too_few_photos_are_not_judged(vectors):
    unit, labels = vectors
    for few in (labels < 0, labels == 6, labels == 0, (labels == 0) | (labels == 6)):
        pd.testing.assert_frame_equal(suspicious_labels(unit[few], labels[few]), NOTHING)


def test_photos_of_a_product_do_not_vouch_for_each_other():
    """Two whole products of six bear a wrong name; photos of a product are nearly the same."""
    generator = torch.Generator().manual_seed(0)
    products, labels = torch.arange(192) // 4, torch.arange(192) // 24  # 48 products, of 8 names
    of_products = torch.randn(8, 16, generator=generator)[labels[::4]] + 0.5 * torch.randn(48, 16, generator=generator)
    unit = F.normalize(of_products[products] + 0.05 * torch.randn(192, 16, generator=generator), dim=1)
    wrong = labels.clone()
    wrong[:4], wrong[100:104] = 3, 6
    found = suspicious_labels(unit, wrong, products=products.numpy())
    assert {*range(4), *range(100, 104)} <= {*found["photo"]} and len(found) <= 12
    assert not {*range(4), *range(100, 104)} <= {*suspicious_labels(unit, wrong)["photo"]}


def test_suspicious_photos_are_training_photos_of_the_study(study, run, network, colour, asked):
    asked.found = pd.DataFrame([[5, 1, 2, 0.1, 0.9], [0, 0, 3, 0.3, 0.6]], columns=[*audit.FOUND]).astype(audit.FOUND)
    told = audit.suspicious_photos(run, network, colour)
    train = study.subset("train")
    assert told["photo"].tolist() == ["/".join(train["path"].iloc[place].split("/")[-2:]) for place in (5, 0)]
    assert told["row"].tolist() == train["row"].iloc[[5, 0]].tolist()
    assert told["name"].tolist() == ["Mirror", "Clutch"] and told["likelier"].tolist() == ["Pump", "Wheel"]
    assert asked.given[0].shape == (len(train), 128) and asked.given[1].equal(colour.labels["train"])
    assert asked.given[2:] == [study.seed, None]


def test_a_tuned_backbone_is_not_asked_but_the_one_it_began_with(run, colour, asked, monkeypatch):
    pretrained = models.initialised(1, models.Recogniser, 4, "test_efficientnet", 3, views=(1.0,)).eval()
    monkeypatch.setattr(audit, "pretrained_weights", lambda _: pretrained.trunk.state_dict())
    tuned = models.initialised(0, models.Recogniser, 4, "test_efficientnet", 3, views=(1.0, 1.25)).eval()
    assert audit.suspicious_photos(run, tuned, colour).empty
    features = run.features(pretrained, colour)[colour.rows["train"]]
    assert torch.allclose(asked.given[0], F.normalize(features - features.mean(dim=0), dim=1), atol=1e-5)
