import math
import os
import resource
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from samples import toy_photos
from torch import nn
from torch.testing import assert_close

from autoparts import models, tasks, training
from autoparts.errors import FailedError, UserError

SIDE = 8


@pytest.fixture(scope="module")
def photos():
    """Fifty photos of two kinds, thirty of them to train on: batches of 7, the last one of 2."""
    return toy_photos((30, 8, 8), SIDE)


def network(outputs=2, seed=0):
    return models.thesis_network(outputs, (4, 4), SIDE, seed=seed)


def forgetful(seed=0):
    """A network that draws, from torch's own generator, what it drops."""
    return nn.Sequential(network(seed=seed), nn.Dropout(0.3))


def fit(net, photos, task=tasks.Naming(), **options):  # noqa: B008
    defaults = {"epochs": 4, "batch_size": 7, "learning_rate": 0.01, "seed": 3, "say": lambda line: None}
    return training.fit(net, photos, task, **(defaults | options))


def same_weights(one, other):
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


# Learning


def test_the_loss_of_naming_falls(photos):
    history = fit(network(), photos, epochs=12)
    assert history["epoch"].tolist() == list(range(1, 13))
    assert history["training_loss"].iloc[-1] < 0.5 * history["training_loss"].iloc[0]
    assert history["validation_accuracy"].iloc[-1] == 1
    assert list(history) == ["epoch", "training_loss", "training_accuracy", "validation_loss", "validation_accuracy"]


@pytest.mark.parametrize("task", [tasks.Pairs(margin=1.0, threshold_pairs=20), tasks.Triplets()], ids=repr)
def test_the_loss_of_pairs_and_of_triplets_falls(photos, task):
    history = fit(network(3), photos, task, epochs=12, batch_size=8)
    for split in ("training", "validation"):
        assert history[f"{split}_loss"].iloc[-1] < 0.5 * history[f"{split}_loss"].iloc[0]
        assert history[f"{split}_accuracy"].iloc[-1] > 0.9
    assert ("threshold" in history) == isinstance(task, tasks.Pairs)


def test_the_seed_fixes_history_weights_and_checkpoint_to_the_byte(photos, tmp_path):
    nets, paths = [forgetful() for _ in range(3)], [tmp_path / name for name in ("one.pt", "two.pt", "three.pt")]
    one, same, _ = (fit(net, photos, seed=s, checkpoint=p) for net, s, p in zip(nets, (3, 3, 4), paths, strict=True))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert same_weights(nets[0], nets[1]) and not same_weights(nets[0], nets[2])
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


# Going on


class StopError(Exception):
    pass


def noisy(inputs, rows, generator, done):
    return inputs + 0.1 * torch.rand(inputs.shape, generator=generator)


def stopped(photos, path, after=1, make=network, **options):
    """Interrupt a training right after an epoch."""

    def say(line):
        if line.startswith(f"epoch   {after}/"):
            raise StopError

    with pytest.raises(StopError):
        fit(make(), photos, checkpoint=path, **options | {"say": say})


@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_and_resumed_is_as_uninterrupted_to_the_bit(photos, tmp_path, after):
    options = {"epochs": 5, "key": "k", "augment": noisy, "schedule": lambda done: 1 - done / 2}
    whole, others = forgetful(), torch.get_rng_state()
    expected = fit(whole, photos, checkpoint=tmp_path / "whole.pt", **options)
    assert torch.get_rng_state().equal(others)
    stopped(photos, tmp_path / "a.pt", after, forgetful, **options)
    resumed, lines = forgetful(seed=99), []
    history = fit(resumed, photos, checkpoint=tmp_path / "a.pt", **options | {"say": lines.append})
    assert lines[0] == f"going on after epoch {after} of 5" and len(lines) == 1 + 5 - after
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert same_weights(resumed, whole)
    state, whole_state = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "whole.pt"))
    assert state.pop("key") == whole_state.pop("key")
    assert_close(state, whole_state, rtol=0, atol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "whole.pt"]


def test_a_finished_training_is_not_trained_again(photos, tmp_path):
    expected = fit(network(), photos, checkpoint=tmp_path / "a.pt")
    again, before, said = network(seed=5), (tmp_path / "a.pt").stat().st_mtime_ns, []
    history = fit(again, photos, task=None, checkpoint=tmp_path / "a.pt", say=said.append)
    assert said == ["trained before: the result is taken"]
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert not again.training and (tmp_path / "a.pt").stat().st_mtime_ns == before


@dataclass
class Code:
    """What would run a command when it is unpickled without care."""

    trace: Path

    def __reduce__(self):
        return (os.system, (f"touch {self.trace}",))


def flipped(state, path):
    """Change one bit of a bias."""
    content = bytearray(path.read_bytes())
    weights = next(each for each in state["network"].values() if each.ndim == 1)
    content[content.index(weights.numpy().tobytes()) + 2] ^= 16
    path.write_bytes(content)


DAMAGES = {
    "empty": lambda state, path: path.write_bytes(b""),
    "cut": lambda state, path: path.write_bytes(path.read_bytes()[:-300]),
    "garbage": lambda state, path: path.write_bytes(b"PK\x03\x04" + bytes(range(200))),
    "a list": lambda state, path: torch.save([1, 2], path),
    "code": lambda state, path: torch.save(state | {"history": Code(path.with_name("was-here"))}, path),
    "one bit": flipped,
    "without key": lambda state, path: torch.save({name: state[name] for name in state if name != "key"}, path),
}


def test_weights_of_a_training_that_was_stopped_are_not_taken_for_those_of_its_result(photos, tmp_path):
    stopped(photos, tmp_path / "cnn.pt", 2)
    with pytest.raises(UserError, match=r"cnn\.pt cannot be used: it is unfinished"):
        training.load_weights(network(), tmp_path / "cnn.pt")
    fit(network(), photos, checkpoint=tmp_path / "cnn.pt")
    training.load_weights(network(), tmp_path / "cnn.pt", best=True)
    fit(network(), photos, tasks.Grouped(), checkpoint=tmp_path / "cnn.pt", key="other")  # has nothing to validate
    with pytest.raises(UserError, match="its task judges no weights best"):
        training.load_weights(network(), tmp_path / "cnn.pt", best=True)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_trained_anew_from_the_same_weights(photos, tmp_path, damage):
    path = tmp_path / "cnn.pt"
    stopped(photos, path, 2)
    DAMAGES[damage](torch.load(path, weights_only=True), path)
    damaged = path.read_bytes()
    if damage != "without key":
        with pytest.raises(UserError, match=r"cnn\.pt cannot be used: it is .*damaged.*run its notebook again"):
            training.load_weights(network(), path)
    net, fresh, lines = network(), network(), []
    history = fit(net, photos, checkpoint=path, say=lines.append)
    assert lines[0] == "cnn.pt is damaged and was set aside as cnn.pt.damaged; training starts over" and len(lines) == 5
    assert (tmp_path / "cnn.pt.damaged").read_bytes() == damaged and not (tmp_path / "was-here").exists()
    pd.testing.assert_frame_equal(history, fit(fresh, photos), check_exact=True)
    assert same_weights(net, fresh)
    assert same_weights(training.load_weights(network(seed=5), path), fresh)
    with pytest.raises(UserError, match=r"other\.pt cannot be used: it is missing"):
        training.load_weights(net, tmp_path / "other.pt")


def test_a_full_disk_is_told_and_the_last_file_stays(photos, tmp_path):
    large = replace(photos, pixels=torch.zeros(50, 60, 60, dtype=torch.uint8))
    path = tmp_path / "model.pt"
    training.save_tensors({"key": "old"}, path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as on a disk that is nearly full
    told = r"model\.pt cannot be written: File too large.*except with --restart or --force"
    try:
        with pytest.raises(FailedError, match=told):
            fit(models.thesis_network(2, (16,), 60), large, epochs=1, checkpoint=path, key="new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# What goes wrong


def test_a_loss_that_is_no_number_names_its_epoch_and_keeps_the_state_before(photos, tmp_path):
    soaring = {"schedule": lambda done: 1e30 if done >= 0.4 else 1}
    with pytest.raises(UserError, match=r"diverged in epoch 3 \(loss (nan|inf)\).*rate \(it is 0\.01.*epoch 2 is kept"):
        fit(network(), photos, epochs=5, checkpoint=tmp_path / "a.pt", **soaring)
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert len(state["history"]) == 2
    assert all(weights.isfinite().all() for weights in state["network"].values())
    with pytest.raises(UserError, match=r"in epoch 1.*no epoch was finished"):
        fit(network(), photos, learning_rate=1e30)
    with pytest.raises(UserError, match=r"diverged in epoch 1 \(loss \d"):  # in its only step
        fit(network(), photos, batch_size=1000, schedule=lambda done: math.inf)
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": -1}, {"learning_rate": math.nan}):
        with pytest.raises(UserError, match="have to be positive"):
            fit(network(), photos, **wrong)


# What is kept and told


@dataclass(frozen=True)
class Measured(tasks.Naming):
    """Naming that keeps the weights of each epoch."""

    seen: tuple[list, ...] = ()

    def measure(self, net, photos):
        self.seen[0].append({name: value.clone() for name, value in net.state_dict().items()})
        return {"measured": float(len(self.seen[0])), "mode": float(net.training)}


def test_the_checkpoint_holds_last_and_best_weights(photos, tmp_path):
    """The learning rate soars in the middle, so that the best epoch is not the last."""
    net, weights = network(), []
    options = {"epochs": 6, "schedule": lambda done: 60 if done >= 0.5 else 1}
    history = fit(net, photos, Measured((weights,)), checkpoint=tmp_path / "a.pt", **options)
    best = int(history["validation_loss"].idxmin())
    assert best < 5
    assert history["measured"].tolist() == [1, 2, 3, 4, 5, 6] and set(history["mode"]) == {0}
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert set(state) == {"key", "network", "history", "best"}  # finished: no state of the optimiser
    assert state["best"]["epoch"] == best + 1
    assert state["best"]["score"] == history["validation_loss"].min()
    for saved, expected in ((state["best"]["network"], weights[best]), (state["network"], weights[-1])):
        assert_close(dict(saved), expected, rtol=0, atol=0)
    assert same_weights(training.load_weights(network(seed=5), tmp_path / "a.pt"), net)
    pd.testing.assert_frame_equal(pd.DataFrame(state["history"]), history)


def test_the_schedule_scales_the_rate_of_each_group_of_weights_at_every_step(photos):
    rates = []

    class Noted(torch.optim.SGD):
        def step(self):
            rates.append([group["lr"] for group in self.param_groups])
            super().step()

    def two(net, rate):
        trunk, head = (part.parameters() for part in net)
        return Noted([{"params": trunk, "lr_scale": 0.5}, {"params": head}], rate)

    fit(network(), photos, epochs=2, learning_rate=0.5, optimiser=two, schedule=lambda done: 1 - done)
    expected = [0.5 * (1 - step / 10) for step in range(10)]
    assert rates == [pytest.approx([rate / 2, rate]) for rate in expected]


def test_augmentation_is_for_training_batches_only(photos):
    given = []

    def augment(inputs, rows, generator, done):
        given.append((inputs.shape, rows.tolist(), done))
        assert inputs.equal(models.photo_input(photos.pixels[rows]))
        return inputs

    fit(network(), photos, epochs=2, augment=augment)
    assert [shape[0] for shape, _, _ in given] == [7, 7, 7, 7, 2] * 2
    assert sorted(row for _, rows, _ in given[:5] for row in rows) == sorted(photos.rows["train"].tolist())
    assert [done for _, _, done in given] == pytest.approx([step / 10 for step in range(10)])


def test_one_cycle_rises_to_the_whole_rate_and_falls_to_nearly_nothing():
    rates = np.array([training.one_cycle(step / 100) for step in range(101)])
    assert rates.argmax() in (9, 10) and rates.max() == pytest.approx(1, abs=2e-3)
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) <= 0).all()
    assert 0 < rates[0] <= 1e-3 and 0 < rates[-1] <= 1e-3
    assert training.one_cycle(0.55) == pytest.approx(0.5)
    assert training.constant(0.3) == 1


def test_a_line_of_progress_says_epoch_and_figures():
    row = {"epoch": 3, "training_loss": 1.5, "validation_accuracy": 0.25, "threshold": 9.0}
    line = training.progress_line(row, 12, 4.06)
    assert line == "epoch   3/12  training loss 1.500  validation accuracy 0.250  4.1 s"
