import socket
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from samples import poisoned
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from autoparts import evaluation, models, training
from autoparts.errors import UserError
from autoparts.experiments import recommended
from autoparts.experiments.muon import Muon
from autoparts.experiments.recommended import FIRST_SIDE, CosineNaming, cropped, growing, train_recommended
from autoparts.losses import supervised_contrastive_loss
from autoparts.retrieval import Embedded
from autoparts.sampling import Photos, seeded
from autoparts.study.run import Run

TINY = "test_efficientnet"  # timm's own for tests, here with random weights
COLOUR = {"backbone": TINY, "side": 32, "colour": True}
GREY = {"backbone": "", "side": 64, "colour": False}


def test_photos_grow_over_the_training():
    inputs, rows = torch.rand(4, 1, 100, 100, generator=seeded(0)), torch.arange(4)
    sides = [growing(inputs, rows, seeded(0), step / 50).shape[-1] for step in range(51)]
    assert sides[0] == FIRST_SIDE and sides == sorted(sides)
    assert sides[40:] == [96] * 11 and sides[38] < 96
    assert all(side % 4 == 0 for side in sides)
    assert {growing(inputs[..., :30, :30], rows, seeded(0), step / 5).shape[-1] for step in range(6)} == {24}
    crops = [cropped(torch.rand(2, 3, 160, 160), rows[:2], seeded(0), step / 50).shape for step in range(51)]
    assert crops[0] == (2, 3, 96, 96) and crops[-1] == (2, 3, 128, 128) and crops == sorted(crops)


def test_its_loss_is_smoothed_cross_entropy_and_supervised_contrastive():
    recogniser = models.initialised(0, models.Recogniser, 7, filters=(8, 16, 32), embedding_size=16)
    unit = F.normalize(torch.randn(6, 16, generator=seeded(0)), dim=1)
    labels = torch.tensor([0, 0, 3, 6, 6, 1])
    prior = torch.tensor([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]).log()
    values = CosineNaming(recogniser, prior, smoothing=0.2, contrast=0.5).values(unit, labels)
    log_shares = (recogniser.logits(unit) + prior).log_softmax(dim=1).detach()
    contrast = supervised_contrastive_loss(unit, labels)
    for place, label in enumerate(labels.tolist()):
        wanted = 0.8 * log_shares[place, label] + 0.2 * (prior.exp() * log_shares[place]).sum()
        assert float(values["loss"][place].detach()) == pytest.approx(float(contrast[place] / 2 - wanted), rel=1e-5)
    assert values["accuracy"].equal((log_shares - prior).argmax(dim=1) == labels)
    values["loss"].mean().backward()
    assert recogniser.head.weight.grad.isfinite().all() and recogniser.head.weight.grad.abs().sum() > 0


@pytest.fixture
def slim(monkeypatch):
    """The model in small, since many filters take long to be orthogonalised; and tuned after a few steps."""
    monkeypatch.setattr(recommended, "pretrained_weights", lambda _: {})  # they are random
    monkeypatch.setattr(models.Recogniser, "load_pretrained", lambda *_: None)
    monkeypatch.setattr(models, "Recogniser", partial(models.Recogniser, filters=(4, 8, 8)))
    monkeypatch.setattr(recommended, "LEAST_STEPS", 2)
    monkeypatch.setattr(recommended, "refuse_guesses", lambda *_: None)  # after so short a training
    monkeypatch.setattr(recommended, "LEAST_RATE", 0.4)


@pytest.mark.parametrize("how", [GREY, COLOUR], ids=["from scratch", "tuned"])
def test_it_trains_without_test_photos_and_goes_on_where_it_was_stopped(colours, slim, monkeypatch, tmp_path, how):
    whole = train_recommended(colours, 4, 1, **how)
    assert np.isfinite(whole.history.to_numpy()).all() and whole.history["epoch"].tolist() == [1, 2, 3, 4]
    assert {"training_accuracy", "validation_loss", "validation_accuracy"} <= set(whole.history.columns)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "progress_line", stop)
        train_recommended(colours, 4, 1, "stopped", **how)
    resumed = train_recommended(colours, 4, 1, "stopped", **how)
    prepared = type(colours.study).prepared
    with monkeypatch.context() as patch:
        patch.setattr(type(colours.study), "prepared", lambda *given: poisoned(prepared(*given)))
        blind = train_recommended(Run(tmp_path / "other", colours.study), 4, 1, **how)
    for same in (resumed, blind):
        pd.testing.assert_frame_equal(whole.history, same.history, check_exact=True)
        assert all(map(torch.equal, whole.network.state_dict().values(), same.network.state_dict().values()))
    monkeypatch.setattr(torch.Tensor, "backward", None)
    again = train_recommended(colours, 4, 1, **how)  # finished: nothing is trained
    assert again.seen.vectors.equal(whole.seen.vectors)
    assert again.network.architecture == whole.network.architecture


def test_trainings_begin_and_go_on_as_their_recipes_say(colours, slim, monkeypatch):
    """Tuning begins with the weights at once, and chooses its views at the end."""
    photos, given, told = colours.study.prepared(32, True), {}, []

    def fit(run, name, network, task, *settings, **options):
        state = {key: value.clone() for key, value in network.state_dict().items()}
        given.update(options, settings=settings, state=state, contrast=task.contrast)
        return pd.DataFrame({"epoch": [1]})

    def recipe():
        return [given[name] for name in ("optimiser", "augment", "contrast", "settings", "schedule", "photos", "seed")]

    monkeypatch.setattr(Run, "fit", fit)
    monkeypatch.setattr(recommended, "choose_views", lambda *shown: told.append(shown))
    once = recommended.at_once(colours, photos, TINY, 1)
    model = recommended.tuned(colours, once, 2, 7, "x")
    size, rest = min(recommended.BATCH, len(photos.rows["train"])), [training.one_cycle, photos, 7]
    assert recipe() == [recommended.discriminative, cropped, 0.5, (2, size, recommended.HEAD_RATE), *rest]
    assert told == [(model.network, photos)]
    assert all(map(torch.equal, given["state"].values(), once.network.state_dict().values()))
    given.clear()
    recommended.from_scratch(colours, photos, 2, 7, "x")
    assert recipe() == [Muon, growing, 1.0, (2, size, recommended.LEARNING_RATE), *rest]


def test_frozen_features_name_photos_at_once_without_any_connection(colours, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    model = train_recommended(colours, 0, 1, backbone=models.LITE0, side=32, colour=True)
    assert model.history.empty and model.accuracy == 1.0
    photos, vectors = model.photos, model.seen.vectors
    known = torch.cat([*photos.rows.values()])
    assert torch.allclose(vectors[known].norm(dim=1), torch.ones(len(known)))
    assert not torch.allclose(model.network.centre, torch.zeros(()))
    features = model.network.features(models.photo_input(photos.pixels[photos.rows["train"]])).detach()
    assert torch.allclose(features.mean(dim=0), model.network.centre, atol=1e-4)
    saved = torch.load(colours.weights("recommended"), weights_only=True)["network"]
    assert all(map(torch.equal, saved.values(), model.network.state_dict().values()))
    (kept,) = colours.weights("features").with_suffix("").glob("*.pt")
    made = kept.stat()
    again = train_recommended(colours, 0, 1, "again", backbone=models.LITE0, side=32, colour=True)
    assert again.seen.vectors[known].equal(vectors[known])
    assert kept.stat().st_mtime_ns == made.st_mtime_ns  # not computed again
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)  # whose sums differ in the last bits
        train_recommended(colours, 0, 1, "otherwise", backbone=models.LITE0, side=32, colour=True)
    assert len([*kept.parent.iterdir()]) == 2


def test_few_photos_are_not_tuned_on(colours, monkeypatch):
    monkeypatch.setattr(recommended, "pretrained_weights", lambda _: {})  # they are random
    monkeypatch.setattr(models.Recogniser, "load_pretrained", lambda *_: None)
    monkeypatch.setattr(torch.Tensor, "backward", None)
    assert train_recommended(colours, 9, 1, **COLOUR).history.empty


@pytest.mark.parametrize("sizes", [(60, 12, 6), (60, 12)])  # of two, the regression has but one row
def test_the_head_is_the_regression_without_its_preference_for_frequent_names(sizes, monkeypatch):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    rows = {"train": (torch.arange(len(labels)) % 4).nonzero().flatten(), "validation": torch.arange(len(labels))[::4]}
    photos = Photos(torch.zeros(len(labels), 8, 8), rows, {split: labels[places] for split, places in rows.items()})
    network = models.initialised(0, models.Recogniser, len(sizes), filters=(4, 8), embedding_size=6)
    features = torch.randn(len(labels), 6, generator=seeded(0))
    features[range(len(labels)), labels] += 1
    monkeypatch.setattr(recommended, "INVERSE_PENALTIES", (10.0,))
    recommended.fit_head(network, features, photos)
    unit, train = network.unit(features), photos.rows["train"]
    plain = LogisticRegression(C=10.0, max_iter=300).fit(unit[train].numpy(), photos.labels["train"].numpy())
    share = photos.labels["train"].bincount() / len(train)
    named = (network.logits(unit) + share.log()).softmax(dim=1).detach()
    np.testing.assert_allclose(named.numpy(), plain.predict_proba(unit.numpy()), atol=1e-4)
    assert float(network.head.bias.detach().mean()) == pytest.approx(0, abs=1e-6)  # as of names taught later
    rare = labels > 0
    assert (network.logits(unit)[rare].argmax(dim=1) > 0).sum() > (named[rare].argmax(dim=1) > 0).sum()


def test_of_three_penalties_the_one_best_on_validation_photos_is_taken(monkeypatch):
    labels = torch.arange(90) % 3
    rows = dict(zip(("train", "validation"), torch.arange(90).split((60, 30)), strict=True))
    photos = Photos(torch.zeros(90, 8, 8), rows, {split: labels[places] for split, places in rows.items()})
    features = torch.randn(90, 6, generator=seeded(0))
    features[range(90), labels] += 1.5
    heads, costs = [], []
    for penalties in ((1e-3,), (1.0,), (1e4,), (1e-3, 1.0, 1e4)):  # the weakest knows nothing, the strongest too much
        network = models.initialised(0, models.Recogniser, 3, filters=(4, 8), embedding_size=6)
        monkeypatch.setattr(recommended, "INVERSE_PENALTIES", penalties)
        recommended.fit_head(network, features, photos)
        logits = network.logits(network.unit(features[rows["validation"]])) + recommended.log_prior(photos)
        heads.append(network.head.weight)
        costs.append(float(F.cross_entropy(logits, photos.labels["validation"]).detach()))
    assert costs[1] < min(costs[0], costs[2]) and heads[3].equal(heads[1])


def test_earlier_layers_learn_slower_and_the_first_not_at_all():
    network = models.initialised(0, models.Recogniser, 4, models.LITE0, 3)
    optimiser = recommended.discriminative(network, 1e-3)
    rate = {id(weight): group.get("lr_scale", 1.0) for group in optimiser.param_groups for weight in group["params"]}
    trunk = network.trunk
    layers = trunk.conv_stem, trunk.blocks[4][0].conv_pw, trunk.conv_head
    first, middle, last = (rate.get(id(layer.weight), 0) for layer in layers)
    assert 0 == first < middle < last < 1 and rate[id(network.head.weight)] == 1.0
    assert not trunk.conv_stem.weight.requires_grad and trunk.conv_head.weight.requires_grad


def test_a_model_that_learned_nothing_is_refused_and_not_kept(colours, monkeypatch):
    photos = colours.study.prepared(24, False)
    network = models.initialised(0, models.Recogniser, 3, filters=(4, 8)).eval()
    torch.nn.init.zeros_(network.head.weight)  # all photos get the first name
    useless = recommended.judged(colours, network, photos, pd.DataFrame())
    monkeypatch.setattr(recommended, "at_once", lambda *_: useless)
    training.save_tensors({"of": "an earlier training"}, colours.weights("recommended"))
    with pytest.raises(UserError, match=r"names 42.9% of 7 validation photos, no more than .* \(42.9%\): add photos"):
        train_recommended(colours, 0, 1, **COLOUR)
    assert not colours.weights("recommended").exists()


def test_views_are_chosen_with_names_as_frequent_as_they_are(monkeypatch):
    labels = {"train": torch.tensor([0] * 90 + [1] * 10), "validation": torch.tensor([0] * 9 + [1])}
    photos = Photos(torch.zeros(10, 8, 8), {"validation": torch.arange(10)}, labels)
    network = SimpleNamespace(architecture={}, logits=lambda unit: unit)
    undecided, frequent = torch.zeros(10, 2), torch.tensor([[2.0, 0.0]]).expand(10, 2)
    seen = {(1.0,): undecided, (1.25,): frequent, (1.0, 1.25): -frequent}
    monkeypatch.setattr(evaluation, "embed", lambda network, *_: seen[tuple(network.architecture["views"])])
    recommended.choose_views(network, photos)
    assert network.architecture["views"] == [1.0]  # without the shares the one that prefers the frequent name


def test_a_model_that_knows_rare_names_is_not_refused_for_what_frequent_ones_lose(tmp_path):
    labels = {"train": torch.tensor([0] * 90 + [1] * 10), "validation": torch.tensor([0] * 18 + [1] * 2)}
    photos = Photos(torch.zeros(20, 8, 8), {"validation": torch.arange(20)}, labels)
    apart = torch.tensor([-3.0] * 14 + [1.0] * 4 + [3.0] * 2)  # of the logits: 80 % right, and 90 % are of one name
    model = SimpleNamespace(photos=photos, logits=Embedded(torch.stack([-apart / 2, apart / 2], dim=1)))
    weights = tmp_path / "weights.pt"
    recommended.refuse_guesses(model, weights)  # with names as likely as they are frequent, all are right
    model.logits.vectors[18:] *= -1
    with pytest.raises(UserError, match=r"names 90.0% of 20 validation photos, no more than .* \(90.0%\)"):
        recommended.refuse_guesses(model, weights)
    model.logits.vectors[:18] += torch.tensor([9.0, 0])
    model.photos.labels["validation"][18:] = 0  # one name alone: no model could name more
    recommended.refuse_guesses(model, weights)


def test_the_recommended_model_stands_beside_those_that_it_has_to_beat(colours, slim, monkeypatch):
    asked, fit = [], Run.fit
    monkeypatch.setattr(Run, "fit", lambda *given, **options: asked.append(given[3]) or fit(*given, **options))
    made = recommended.train_all(colours, 2, 1, 1, **COLOUR)
    assert list(made) == ["from scratch", "at once", "recommended"]
    shares = colours.study.photos.labels["train"].bincount().float()
    assert [task.log_prior.exp().tolist() for task in asked] == [pytest.approx((shares / shares.sum()).tolist())] * 2
    assert list(recommended.histories(made)) == ["from scratch", "recommended"]
    assert [model.photos.side for model in made.values()] == [16, 32, 32]
    assert {model.photos.pixels.shape[-1] for model in made.values()} == {3}  # in colour
    named = made["recommended"].logits.vectors[made["recommended"].photos.rows["validation"]].argmax(dim=1)
    right = named == made["recommended"].photos.labels["validation"]
    assert float(right.double().mean()) == made["recommended"].accuracy
    assert list(recommended.train_all(colours, 0, 0, 1, **COLOUR)) == ["recommended"]
    assert list(recommended.train_all(colours, 1, 1, 1, **COLOUR | {"backbone": ""})) == ["recommended"]


def test_one_choice_at_a_time_is_changed_on_frozen_features(colours, monkeypatch):
    recipe, loaded = {"backbone": models.LITE0, "side": 32, "colour": True}, []
    made, weights = recommended.train_all(colours, 0, 0, 1, **recipe), recommended.pretrained_weights
    monkeypatch.setattr(recommended, "pretrained_weights", lambda name: loaded.append(name) or weights(name))
    accuracy = recommended.ablation(colours, made, 1, **recipe)["validation accuracy"]
    changed = [f"at once, at 16 pixels{change}" for change in ("", ", in grey", ", from random weights")]
    assert accuracy.index.tolist() == ["recommended", *changed] and loaded == [models.LITE0] * 2
    assert accuracy[changed[1]] < accuracy[changed[0]] < accuracy["recommended"] == 1.0  # colour tells them apart
    assert recommended.ablation(colours, made, 1, "", 32, True).index.tolist() == ["recommended"]
