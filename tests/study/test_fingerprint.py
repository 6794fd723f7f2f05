import copy
import re
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from autoparts import models, tasks, training
from autoparts.experiments import muon
from autoparts.study.fingerprint import code_fingerprint, fingerprint


def cell(source, **names):
    """Run a notebook's cell, and return its names."""
    names |= {"__name__": "__main__", "tasks": tasks, "torch": torch, "nn": nn, "dataclass": dataclass}
    exec(source, names)
    return names


def of(source, name, **names):
    return fingerprint(cell(source, **names)[name])


@dataclass
class Unpicklable:
    margin: float

    def __reduce_ex__(self, protocol):
        raise TypeError

    def __deepcopy__(self, memory):
        return Unpicklable(self.margin)


@dataclass(frozen=True, slots=True)
class Slots:
    margin: float


def test_equal_values_have_equal_fingerprints_and_others_have_not():
    values = [
        0, 1, True, 1.0, "1", b"1", None, [1], (1,), {"a": 1}, {"a": 2}, {"b": 1}, [], [[]], [[], []], [1, [2]],
        (1, 2, 1), (1, 2, 2), {1}, {2}, range(3), range(4), torch.zeros(2), torch.zeros(3), torch.zeros(2).double(),
        torch.ones(2), np.zeros(2), np.float32(1), np.float32(2), np.int64(3), np.int64(4), torch.device("cpu"),
        torch.float32, torch.float64, 1j, torch.relu, torch.sigmoid, int, float,
        tasks.Pairs(), tasks.Pairs(margin=1.0), tasks.Pairs(draw_by="category"), tasks.Triplets(),
        tasks.Triplets(distance="euclidean"), tasks.Grouped(), tasks.Grouped(each=5), tasks.Grouped("all pairs"),
        tasks.Grouped("all pairs", margin=0.5), tasks.Naming(), training.adam, muon.Muon, training.constant,
        training.one_cycle, partial(training.one_cycle, warm_up=0.1), partial(training.one_cycle, warm_up=0.2),
        pd.Series([1, 2]), pd.Series([1, 3]), pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]}), slice(1), slice(2),
        Slots(1.0), Slots(2.0), Unpicklable(1), Unpicklable(2), re.compile("a"), re.compile("b"),
    ]  # fmt: skip
    found = [fingerprint(value) for value in values]
    assert len(set(found)) == len(values)
    assert [fingerprint(copy.deepcopy(value)) for value in values] == found
    assert fingerprint(1, 2) != fingerprint(2, 1) != fingerprint((2, 1))
    texts = [np.array([text], dtype=object) for text in ("ab", "".join(["a", "b"]), "ac")]  # wherever they lie
    assert fingerprint(texts[0]) == fingerprint(texts[1]) != fingerprint(texts[2])


def test_what_comes_again_is_told_from_what_is_like_it_and_circles_end():
    for count in range(1, 7):  # pairs of a dictionary live for a moment; others take their place in memory
        settings = {str(place): place for place in range(count)}
        for place in settings:
            assert fingerprint(settings, settings) != fingerprint(settings, settings | {place: 99})
    shared, one, other = [1, 2], training.constant, training.one_cycle
    assert fingerprint([shared, shared]) == fingerprint([[1, 2], [1, 2]])
    assert [*{0, 8}] != [*{8, 0}] and fingerprint({0, 8}) == fingerprint({8, 0})  # whatever the order of a set
    assert fingerprint(one, other, one) != fingerprint(one, other, other)
    names = cell("def odd(n):\n return n and even(n - 1)\ndef even(n):\n return not n or odd(n - 1)")
    assert len({fingerprint(each) for each in (names["odd"], names["even"], [names["odd"], names["even"]])}) == 3


def test_a_network_is_its_layers_and_its_initial_weights():
    network = models.thesis_network(3, (4, 4), 8, seed=1)
    known = fingerprint(network)
    assert fingerprint(models.thesis_network(3, (4, 4), 8, seed=1)) == known
    assert fingerprint(copy.deepcopy(network).eval()) == known
    others = [models.thesis_network(4, (4, 4), 8, seed=1)]
    others += [nn.Sequential(network, nn.Dropout(rate)) for rate in (0.1, 0.2)]

    def changed():
        others.append(copy.deepcopy(network))
        return others[-1]

    for name, weights in network.state_dict().items():  # down to a single weight
        changed().state_dict()[name][(-1,) * weights.ndim] += 1e-3
    changed().forward = lambda inputs: inputs
    for layer in (0, 1):  # frozen, and with what no `state_dict` has
        changed()[layer].requires_grad_(False)
        changed().register_buffer("kept", torch.tensor(layer), persistent=False)
    assert len({known, *map(fingerprint, others)}) == 1 + len(others)


# What notebooks define

LOSS = "def loss(x):\n    return x * 7\n"
TASK = """
@dataclass(frozen=True)
class Mine(tasks.Pairs):
    def values(self, embeddings, left, right, same):
        return {"loss": embeddings.index_select(0, left)[:, 0] * 0 + 7}
"""
NETWORK = """
class Mine(nn.Module):
    def __init__(self, power=2):
        super().__init__()
        self.power = power
    def forward(self, inputs):
        return inputs.flatten(1) ** self.power
"""
CALLED = """
class C:
    def __init__(self, n):
        self.n = n
    def __call__(self, x):
        return x * self.n
"""
GLOBAL = "N = 7\ndef loss(x):\n    return {}"
CHANGES = [
    (LOSS, "7", "8"),
    (LOSS, "*", "+"),
    (LOSS, "(x)", "(x, y=1)"),
    (LOSS.replace("(x)", "(x, y=1)"), "y=1", "y=2"),
    (LOSS.replace("(x)", "(x, *, y=1)"), "y=1", "y=2"),
    ("def of(n):\n    return lambda x: x * n\nloss = of(7)", "7", "8"),
    (GLOBAL.format("x * N"), "7", "8"),
    (GLOBAL.format("map(lambda y: y * N, x)"), "7", "8"),
    ("def f(x):\n    return +x\ndef loss(x):\n    return f(x)", "+", "-"),
    (TASK, "7", "8"),
    (TASK, "tasks.Pairs", "tasks.Triplets"),
    (TASK, "7}", "7}\n    margin: float = 3.0"),
    (TASK + "    power = 2", "power = 2", "power = 3"),
    (TASK, "7}", "7}\n    @property\n    def power(self):\n        return 3"),
    (TASK, "7}", "7}\nMine.values = lambda self, *columns: {}"),
    (TASK + "Mine = Mine()", "7", "8"),
    (NETWORK, "inputs.flatten", "-inputs.flatten"),
    (NETWORK + "Mine = Mine(2)", "(2)", "(3)"),
    (NETWORK + "Mine = Mine(2)", "**", "*"),
    ("@dataclass" + CALLED.replace("def __init__(self, n):\n        self.n = n", "n: int") + "loss = C(1)", "*", "+"),
    (CALLED + "loss = C(1)", "C(1)", "C(2)"),
    (CALLED + "loss = C(1)", "*", "+"),
    (CALLED + "loss = C(1).__call__", "*", "+"),
    (CALLED + "loss = C(1).__call__", "C(1)", "C(2)"),
]


@pytest.mark.parametrize(("source", "old", "new"), CHANGES)
def test_what_a_notebook_defines_counts_with_its_code_and_all_it_uses(source, old, new):
    name = "Mine" if "Mine" in source else "loss"
    assert old in source and of(source, name) == of(source, name) != of(source.replace(old, new), name)


COMMENTED = '''
class Mine(tasks.Pairs):
    """A task of mine."""

    # more of it
    def values(self, embeddings, left, right, same):
        """Cost seven."""
        # always
        return {"loss": embeddings.index_select(0, left)[:, 0] * 0 + 7}
'''
INNER = "def loss(x):\n    def f(y):\n{}        return None if y else x\n    return f\n"


def test_comments_docstrings_places_and_unused_names_do_not_count():
    plain = TASK.replace("@dataclass(frozen=True)\n", "")
    assert of(plain, "Mine") == of(COMMENTED, "Mine") == of("\n\n# more\n" + plain, "Mine", other=3)
    told = LOSS.replace(":\n", ':\n    """Cost seven."""\n')
    assert of(told, "loss") == of("unused = 5\n\n" + LOSS, "loss") == of(LOSS, "loss")
    assert of(INNER.format(""), "loss") == of(INNER.format('        "Choose."\n'), "loss")


def test_methods_and_helpers_put_in_place_of_others_count(monkeypatch):
    values = tasks.Pairs(), tasks.Pairs, muon.Muon
    known = [fingerprint(value) for value in values]
    monkeypatch.setattr(tasks.Pairs, "values", lambda self, *columns: {"loss": columns[0]})
    monkeypatch.setattr(muon, "_orthogonal_step", lambda gradient, state: gradient)
    assert not {*known} & {fingerprint(value) for value in values}
    monkeypatch.undo()
    assert [fingerprint(value) for value in values] == known


# Code of the package

MODULE = '''"""What this module is for."""

CONSTANT = 3


class Thing:
    """A thing."""

    def method(self, x):
        """Return it."""
        return x + CONSTANT  # as it is
'''
SAME = {
    "A thing": "Anything", "Return": "Give", "  # as it is": "", "What this": "Which", "x + CONSTANT": "(x + CONSTANT)",
    '"""A thing."""': '"""A\n    thing."""', '    """A thing."""\n\n': "", "CONSTANT = 3": "# more\n\nCONSTANT = 3",
}  # fmt: skip
OTHER = {
    "3": "4", "+": "-", "method(self, x)": "method(self, x=1)", "Thing": "Other", "method": "other", MODULE: "",
    "CONSTANT = 3": "CONSTANT = 3\n'a text that is no docstring'",
}  # fmt: skip


def test_the_code_of_a_folder_counts_and_its_docstrings_and_comments_do_not(tmp_path):
    path = tmp_path / "room" / "module.py"
    path.parent.mkdir()

    def of_source(source):
        path.write_text(source)
        return code_fingerprint(tmp_path)

    same, others = ({of_source(MODULE.replace(*change)) for change in each.items()} for each in (SAME, OTHER))
    assert same == {known := of_source(MODULE)} and known not in others and len(others) == len(OTHER)
    (tmp_path / "new.py").touch()
    assert code_fingerprint(tmp_path) != known == code_fingerprint(tmp_path, "room/*.py")
    path.rename(tmp_path / "room" / "other.py")
    assert code_fingerprint(tmp_path, "room/*.py") != known
