import math
from functools import partial

import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from autoparts import models, objectives, sampling, training
from autoparts.models import seeded

SIDE = 8


@pytest.fixture(scope="module")
def photos():
    """Thirty-eight photos of two kinds: dark on the left or on the right, with noise."""
    pixels = torch.randint(150, 256, (38, SIDE, SIDE), generator=seeded(0), dtype=torch.uint8)
    pixels[0::2, :, :4] -= 150
    pixels[1::2, :, 4:] -= 150
    return pixels


def network(outputs=2, seed=0):
    return models.initialised(seed, models.thesis_network, outputs, (4, 4), size=SIDE)


def labels_of(rows):
    return rows % 2


def naming(photos, size=7):
    """Thirty photos to train on, in batches of 7 (the last one has 2), and eight to validate."""
    rows, held_out = torch.arange(30), torch.arange(30, 38)
    batches = partial(sampling.photo_batches, rows, labels_of(rows), size)
    return training.Data(photos, batches, sampling.photo_batches(held_out, labels_of(held_out), 5))


def fit(net, data, objective=objectives.classification, **options):
    defaults = {"epochs": 4, "learning_rate": 0.01, "seed": 3, "say": lambda line: None}
    return training.fit(net, data, objective, **(defaults | options))


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(a.equal(b) for a, b in pairs)


def test_the_loss_of_naming_falls(photos):
    history = fit(network(), naming(photos), epochs=12)
    assert history["epoch"].tolist() == list(range(1, 13))
    assert history["training_loss"].iloc[-1] < 0.5 * history["training_loss"].iloc[0]
    assert history["validation_accuracy"].iloc[-1] == 1
    assert list(history) == ["epoch", "training_loss", "training_accuracy", "validation_loss", "validation_accuracy"]


@pytest.mark.parametrize("task", ["pairs", "triplets"])
def test_the_loss_of_pairs_and_of_triplets_falls(photos, task):
    rows = torch.arange(30)
    draw, objective = {
        "pairs": (sampling.pair_batches, partial(objectives.verification, margin=1.0)),
        "triplets": (sampling.triplet_batches, objectives.ranking),
    }[task]
    batches = partial(draw, rows, labels_of(rows), 60, 16, "photo")
    history = fit(network(3), training.Data(photos, batches, batches(seeded(9))), objective, epochs=10)
    assert history["training_loss"].iloc[-1] < 0.5 * history["training_loss"].iloc[0]
    assert history["validation_loss"].iloc[-1] < 0.5 * history["validation_loss"].iloc[0]


def test_means_are_over_samples_although_the_last_batch_is_smaller(photos):
    """With weights that hardly move, an epoch's means are those of one pass over all samples."""
    net = network()
    history = fit(net, naming(photos), epochs=1, learning_rate=1e-12)
    with torch.no_grad():
        for part, rows in (("training", torch.arange(30)), ("validation", torch.arange(30, 38))):
            values = objectives.classification(net(models.photo_input(photos[rows])), labels_of(rows))
            assert_close(history[f"{part}_loss"][0], values["loss"].double().mean().item(), atol=2e-2, rtol=0)
            assert history[f"{part}_accuracy"][0] == pytest.approx(values["accuracy"].double().mean().item())


def test_sums_weigh_samples_alike():
    sums = training.Sums()
    sums.add({"loss": torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0]), "accuracy": torch.tensor([True] * 5)})
    sums.add({"loss": torch.tensor([7.0]), "accuracy": torch.tensor([False])})
    assert sums.means() == {"loss": 2.0, "accuracy": pytest.approx(5 / 6)}


def test_the_seed_fixes_history_and_weights(photos):
    nets = [network() for _ in range(3)]
    histories = [fit(net, naming(photos), seed=seed) for net, seed in zip(nets, (3, 3, 4), strict=True)]
    pd.testing.assert_frame_equal(histories[0], histories[1], check_exact=True)
    assert same_weights(nets[0], nets[1])
    assert not same_weights(nets[0], nets[2])


def test_training_leaves_the_global_generator_alone(photos):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    fit(network(), naming(photos), epochs=1)
    assert torch.rand(2).equal(expected)


def test_the_seed_fixes_the_checkpoint_to_the_byte(photos, tmp_path):
    for name in ("one.pt", "other.pt"):
        fit(network(), naming(photos), checkpoint=tmp_path / name)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()


class StopError(Exception):
    pass


def assert_same(one, other):
    """Nested dictionaries and lists hold equal values and equal tensors."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert one.equal(other)
    else:
        assert one == other


def noisy(inputs, rows, generator, done):
    return inputs + 0.1 * torch.rand(inputs.shape, generator=generator)


@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_and_resumed_is_as_uninterrupted(photos, tmp_path, after):
    options = {"epochs": 5, "key": "k", "augment": noisy, "schedule": lambda done: 1 - done / 2}
    whole = network()
    expected = fit(whole, naming(photos), checkpoint=tmp_path / "whole.pt", **options)

    said = []

    def say(line):
        said.append(line)
        if len(said) == after:
            raise StopError

    with pytest.raises(StopError):
        fit(network(), naming(photos), checkpoint=tmp_path / "a.pt", **options | {"say": say})
    resumed, lines = network(seed=99), []
    history = fit(resumed, naming(photos), checkpoint=tmp_path / "a.pt", **options | {"say": lines.append})
    assert lines[0] == f"going on after epoch {after} of 5" and len(lines) == 1 + 5 - after
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert same_weights(resumed, whole)
    assert_same(*(torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "whole.pt")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "whole.pt"]


def test_interrupted_within_an_epoch_is_as_uninterrupted(photos, tmp_path):
    whole = network()
    expected = fit(whole, naming(photos), checkpoint=tmp_path / "whole.pt")
    seen = []

    def objective(logits, labels):
        seen.append(1)
        if len(seen) == 10:  # in the second epoch
            raise StopError
        return objectives.classification(logits, labels)

    with pytest.raises(StopError):
        fit(network(), naming(photos), objective, checkpoint=tmp_path / "a.pt")
    resumed = network()
    history = fit(resumed, naming(photos), checkpoint=tmp_path / "a.pt")
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert same_weights(resumed, whole)


def test_a_finished_training_is_not_trained_again(photos, tmp_path):
    expected = fit(network(), naming(photos), checkpoint=tmp_path / "a.pt")
    again = network(seed=5)
    history = fit(again, training.Data(photos, batches=None), checkpoint=tmp_path / "a.pt")
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert not again.training


def test_another_key_starts_over(photos, tmp_path):
    fit(network(), naming(photos), checkpoint=tmp_path / "a.pt", key="one", learning_rate=0.02)
    lines, net, fresh = [], network(), network()
    options = {"checkpoint": tmp_path / "a.pt", "key": "other", "say": lines.append}
    history = fit(net, naming(photos), **options)
    assert len(lines) == 4
    pd.testing.assert_frame_equal(history, fit(fresh, naming(photos)), check_exact=True)
    assert same_weights(net, fresh)
    assert torch.load(tmp_path / "a.pt", weights_only=True)["key"] == "other"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_its_epoch_and_keeps_the_state_before(photos, tmp_path, value):
    calls = []

    def objective(logits, labels):
        calls.append(len(labels))
        values = objectives.classification(logits, labels)
        broken = sum(calls) > 2 * 38 + 15  # in the third epoch
        return values | {"loss": values["loss"] * value} if broken else values

    with pytest.raises(training.TrainingError, match=r"in epoch 3.*learning rate.*0\.01.*after epoch 2 is kept"):
        fit(network(), naming(photos), objective, checkpoint=tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert len(state["history"]) == 2
    assert all(weights.isfinite().all() for weights in state["network"].values())
    with pytest.raises(training.TrainingError, match=r"in epoch 1.*no epoch was finished"):
        fit(network(), naming(photos), lambda logits, labels: {"loss": logits.sum(dim=1) * value})


def test_a_huge_learning_rate_ends_in_advice_and_not_in_a_traceback_of_torch(photos):
    with pytest.raises(training.TrainingError, match="learning rate"):
        fit(network(), naming(photos), learning_rate=1e30)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"epochs": -1}, {"learning_rate": 0}, {"learning_rate": math.nan}])
def test_nonsense_is_refused(photos, wrong):
    with pytest.raises(training.TrainingError, match="have to be positive"):
        fit(network(), naming(photos), **wrong)


def test_the_checkpoint_holds_last_and_best_weights(photos, tmp_path):
    """The learning rate soars in the middle, so that the best epoch is not the last."""
    weights = []

    def measure(net):
        weights.append({name: value.clone() for name, value in net.state_dict().items()})
        return {"measured": float(len(weights))}

    options = {"epochs": 6, "schedule": lambda done: 60 if done >= 0.5 else 1, "measure": measure}
    net = network()
    history = fit(net, naming(photos), checkpoint=tmp_path / "a.pt", **options)
    best = int(history["validation_loss"].idxmin())
    assert best < 5
    assert history["measured"].tolist() == [1, 2, 3, 4, 5, 6]
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert state["best"]["epoch"] == best + 1
    assert state["best"]["score"] == history["validation_loss"].min()
    for saved, expected in ((state["best"]["network"], weights[best]), (state["network"], weights[-1])):
        assert saved.keys() == expected.keys()
        assert all(saved[name].equal(expected[name]) for name in saved)
    assert all(value.equal(state["network"][name]) for name, value in net.state_dict().items())
    pd.testing.assert_frame_equal(pd.DataFrame(state["history"]), history)


def test_networks_learn_in_training_mode_and_are_judged_in_evaluation_mode(photos):
    modes = []

    def objective(logits, labels):
        modes.append(net.training)
        return objectives.classification(logits, labels)

    net = nn.Sequential(network(), nn.Dropout(0.5))
    data = naming(photos)
    history = fit(net, data, objective, epochs=2, measure=lambda net: {"mode": float(net.training)})
    assert modes == ([True] * 5 + [False] * 2) * 2
    assert history["mode"].tolist() == [0, 0]
    assert not net.training


def test_without_validation_photos_nothing_is_called_best(photos, tmp_path):
    data = training.Data(photos, naming(photos).batches)
    history = fit(network(), data, checkpoint=tmp_path / "a.pt")
    assert list(history) == ["epoch", "training_loss", "training_accuracy"]
    assert torch.load(tmp_path / "a.pt", weights_only=True)["best"] == {}


def test_a_finished_training_keeps_no_state_of_the_optimiser(photos, tmp_path):
    fit(network(), naming(photos), checkpoint=tmp_path / "a.pt", epochs=2)
    assert set(torch.load(tmp_path / "a.pt", weights_only=True)) == {"key", "network", "history", "best"}


def test_the_schedule_scales_the_rate_at_every_step(photos):
    rates = []

    class Noted(torch.optim.SGD):
        def step(self):
            rates.append(self.param_groups[0]["lr"])
            super().step()

    def sgd(net, rate):
        return Noted(net.parameters(), lr=rate)

    fit(network(), naming(photos), epochs=2, learning_rate=0.5, optimiser=sgd, schedule=lambda done: 1 - done)
    assert rates == pytest.approx([0.5 * (1 - step / 10) for step in range(10)])


def test_augmentation_is_for_training_batches_only(photos):
    given = []

    def augment(inputs, rows, generator, done):
        given.append((inputs.shape, rows.tolist(), done))
        return inputs

    fit(network(), naming(photos), epochs=2, augment=augment)
    assert [shape[0] for shape, _, _ in given] == [7, 7, 7, 7, 2] * 2
    assert sorted(row for _, rows, _ in given[:5] for row in rows) == list(range(30))
    assert [done for _, _, done in given] == pytest.approx([step / 10 for step in range(10)])


def test_a_line_of_progress_says_epoch_and_figures():
    row = {"epoch": 3, "training_loss": 1.5, "validation_accuracy": 0.25, "threshold": 9.0}
    line = training.progress_line(row, 12, 4.06)
    assert line == "epoch   3/12  training loss 1.500  validation accuracy 0.250  4.1 s"


def test_a_collapsed_training_is_named():
    falling, flat = (pd.Series(losses) for losses in ([1, 0.7, 0.4], [1, 0.99, 0.99]))
    spread = torch.randn(9, 4, generator=seeded(1))
    assert "alike" in training.collapse(torch.ones(9, 4) * 3 + spread * 1e-5, falling)
    assert "stuck" in training.collapse(spread, flat)
    assert "stuck" in training.collapse(spread, flat * 0)
    assert training.collapse(spread, falling) == training.collapse(spread, flat.head(0)) == ""
