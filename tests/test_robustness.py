import json
import math
import os
import resource
from pathlib import Path

import nbformat
import pytest
import torch
import toy_notebooks
from conftest import draw
from kill_runs import ENDED, FAULTS, Killed, wrong
from torch import nn

from autoparts import __main__, checkpoints, losses, pipeline, repeat, training
from autoparts.catalog import read_catalogue
from autoparts.files import DiskError, UserError, whole_file
from autoparts.parameters import RunError, check, declared_parameters
from autoparts.study import StudyError, open_study

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("0*.ipynb"))


@pytest.fixture
def toys(tmp_path, monkeypatch, make_photos):
    """One notebook on eighteen photos; it is not executed, but writes a table of its parameters."""

    def execute(path, output, parameters):
        nbformat.write(nbformat.read(path, as_version=4), output)
        with whole_file(tmp_path / "reports" / parameters["run"] / "tables" / "toy.csv") as table:
            table.write_text(f"{parameters['count']},{os.environ.get('TOY', '')}\n")

    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(pipeline, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(pipeline, "_execute", execute)
    toy_notebooks.write(tmp_path / "notebooks", "01_first")
    make_photos(tmp_path / "photos", {"Mirror": 6, "Pump": 6, "Wheel": 6})
    return tmp_path


def run(toys, **options):
    return pipeline.run(**({"data": str(toys / "photos"), "name": "toy", "profile": {"count": 4, "seed": 3}} | options))


def command(*arguments):
    return __main__.main(["run", *map(str, arguments)])


# What a run did, again


def test_a_run_is_repeated_and_its_tables_compared(toys, capsys, monkeypatch):
    run(toys)
    facts = toys / "reports" / "toy" / "run.json"
    assert command("--like", facts, "--data", toys / "photos") == 0
    assert "all 2 tables agree" in capsys.readouterr().err
    again = json.loads((toys / "reports" / "toy-again" / "run.json").read_text())
    assert again["parameters"] == {"count": 4, "seed": 3} and again["seed"] == 3
    monkeypatch.setenv("TOY", "another machine")
    assert command("--like", facts, "--data", toys / "photos", "--name", "other") == 1
    message = capsys.readouterr().err
    assert "1 of 2 tables differ" in message and "toy.csv (versions and processor are the same)" in message


def test_other_photos_are_not_compared(toys, capsys):
    run(toys)
    draw(99).save(toys / "photos" / "Pump" / "0.jpg")
    assert command("--like", toys / "reports" / "toy" / "run.json", "--data", toys / "photos") == 2
    assert "holds other photos, categories or products than run 'toy' had" in capsys.readouterr().err
    assert not (toys / "reports" / "toy-again").exists()


def test_what_cannot_be_repeated_is_told(toys, capsys):
    run(toys)
    facts = toys / "reports" / "toy" / "run.json"
    with pytest.raises(RunError, match="give --data 'photos'"):
        repeat.repeat(facts)
    with pytest.raises(RunError, match="choose another one"):
        repeat.repeat(facts, str(toys / "photos"), "toy")
    assert command("--like", facts, "-p", "count", "5") == 2
    assert "leave -p out" in capsys.readouterr().err
    (toys / "wrong.json").write_text('{"name": "toy"}')
    for path, message in (("none.json", "cannot be read"), ("wrong.json", "does not say 'data'")):
        with pytest.raises(RunError, match=message):
            repeat.repeat(toys / path)


def test_run_facts_hold_no_home_folder(toys):
    run(toys, parameters={"names": [str(Path.home() / "photos" / "me.jpg")]})
    text = (toys / "reports" / "toy" / "run.json").read_text()
    assert json.loads(text)["parameters"]["names"] == ["~/photos/me.jpg"] and str(toys) not in text


# Manifests that lead outside


def test_photos_outside_a_manifests_folder_take_a_permission(toys, monkeypatch, capsys):
    monkeypatch.delenv("AUTOPARTS_ALLOW_OUTSIDE", raising=False)
    (toys / "lists").mkdir()
    rows = [f"../photos/{name}/{index}.jpg,{name}" for name in ("Mirror", "Pump") for index in range(6)]
    (toys / "lists" / "parts.csv").write_text("\n".join(["path,category", *rows]))
    wanted = ("--data", toys / "lists" / "parts.csv", "--profile", toys / "tiny.yaml", "--name", "toy")
    (toys / "tiny.yaml").write_text("count: 2\n")
    assert command(*wanted) == 2
    assert "--allow-outside" in capsys.readouterr().err
    monkeypatch.setenv("AUTOPARTS_ALLOW_OUTSIDE", "0")  # so that what the command sets is taken back
    assert command(*wanted, "--allow-outside") == 0
    assert "\nMirror/0.jpg," in (toys / "reports" / "toy" / "tables" / "split.csv").read_text()


# Disks


@pytest.fixture
def small_files():
    """No file may be larger than 20,000 bytes, as on a disk that is nearly full; kernels inherit that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_the_last_file_stays(tmp_path, request):
    batch = training.Batch(torch.arange(4), ())
    data = training.Data(torch.zeros(4, 8, 8, dtype=torch.uint8), lambda generator: [batch])
    options = {"learning_rate": 0.1, "seed": 0, "checkpoint": tmp_path / "model.pt", "say": lambda line: None}

    def train(epochs):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 200))
        objective = lambda outputs: {"loss": outputs.square().mean(dim=1)}  # noqa: E731
        training.fit(network, data, objective, epochs=epochs, key=str(epochs), **options)

    train(1)
    before = (tmp_path / "model.pt").read_bytes()
    request.getfixturevalue("small_files")
    with pytest.raises(
        DiskError, match=r"model\.pt cannot be written: File too large.*the same command goes on"
    ) as found:
        train(2)
    assert found.value.exit_code == 1
    assert (tmp_path / "model.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_in_the_pipeline_keeps_the_report(toys, monkeypatch, request):
    run(toys)
    request.getfixturevalue("small_files")
    before = {path: path.read_bytes() for path in (toys / "reports").rglob("*") if path.is_file()}

    def execute(path, output, parameters):
        output.write_bytes(bytes(30_000))

    monkeypatch.setattr(pipeline, "_execute", execute)
    with pytest.raises(DiskError, match=r"toy cannot be written: File too large"):
        run(toys, force=True)
    assert {path: path.read_bytes() for path in (toys / "reports").rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_folder_that_may_not_be_written_is_told(toys):
    closed = toys / "closed"
    closed.mkdir(mode=0o555)
    with pytest.raises(UserError, match=r"closed/run cannot be written: Permission denied.*--name") as found:
        run(toys, name=str(closed / "run"))
    assert found.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("file", "cannot be a run folder: File exists.*--name"), ("file/run", "Not a directory"), ("x" * 300, "too long")],
)
def test_a_run_folder_that_cannot_be_is_told(toys, name, message):
    (toys / "file").touch()
    with pytest.raises(UserError, match=message):
        run(toys, name=str(toys / name))


@pytest.mark.parametrize("data", ["~no-such-user/photos", "x" * 5000])
def test_data_that_cannot_be_looked_for_are_told(data):
    with pytest.raises(UserError, match="cannot be opened"):
        read_catalogue(data)


# Parameters


def test_a_profile_that_cannot_be_read_is_told(toys):
    (toys / "folder.yaml").mkdir()
    (toys / "bytes.yaml").write_bytes(b"\xff\xfe")
    (toys / "lists.yaml").write_text("? [1]\n: 2\n")
    (toys / "data.yaml").write_text("data: elsewhere\n")
    for name, message in (("folder", "Is a dir"), ("bytes", "no UTF-8"), ("lists", "no YAML"), ("data", "with --data")):
        with pytest.raises(RunError, match=message):
            run(toys, profile=str(toys / f"{name}.yaml"))
    with pytest.raises(RunError, match="too long"):
        run(toys, profile="x" * 5000)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"margin": 0}, "margin is 0; it has to be positive"),
        ({"epochs": -3}, "epochs is -3; it has to be positive"),
        ({"epochs": 2.5}, "epochs is 2.5; expected something like"),
        ({"learning_rate": math.inf}, "learning_rate is inf; it has to be positive"),
        ({"draw_by": "product"}, "draw_by is 'product'; expected photo or category"),
        ({"filters": [32, -1]}, r"filters is \[32, -1\]; it has to be positive"),
        ({"filters": []}, r"filters is \[\]; expected something like"),
        ({"filters": ["a"]}, r"filters is \['a'\]; expected something like"),
        ({"accept": 1}, "accept is 1; expected a share"),
        ({"seed": -1}, "seed is -1; expected a number from 0"),
        ({"seed": 2**64}, "seed is 18446744073709551616; expected"),
        ({"photo": "/nowhere.jpg"}, "photo is '/nowhere.jpg'; there is no such file"),
        ({"backbone": "resnet99"}, "torchvision has no model 'resnet99'"),
        ({"modell": "cnn"}, "no notebook has a parameter 'modell'"),
    ],
)
def test_impossible_parameters_of_the_notebooks_are_refused(given, message):
    declared = {path: declared_parameters(path) for path in NOTEBOOKS}
    check({name: value for values in declared.values() for name, value in values.items()}, declared, {})
    with pytest.raises(UserError, match=message):
        check(given, declared, given)


def test_a_notebook_run_alone_is_told_too(tmp_path):
    for wrong_seed in (-1, 2**64, 1.5, "a", True):
        with pytest.raises(StudyError, match="seed is"):
            open_study("synthetic:2x12", str(tmp_path / "run"), wrong_seed)
    near = torch.ones(2)
    for margin in (0, -1, math.nan):
        with pytest.raises(UserError, match=f"margin is {margin}; it has to be positive"):
            losses.contrastive_loss(near, near, margin)
        with pytest.raises(UserError, match="margin"):
            losses.triplet_loss(near, near, margin)


# Files that lie


class Code:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (os.system, (f"touch {self.trace}",))


@pytest.mark.parametrize(
    "content",
    [Code, lambda trace: {"key": "k", "network": Code(trace)}, lambda _: [1, 2],
     lambda _: {"key": "k", "network": {"weight": torch.ones(9)}}, None],
)  # fmt: skip
def test_checkpoints_with_code_or_of_other_shapes_are_refused(tmp_path, content):
    trace = tmp_path / "was-here"
    path = tmp_path / "cnn.pt"
    torch.save(content(trace), path) if content else path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(checkpoints.CheckpointError, match=r"cnn\.pt cannot be used: it is damaged.*run its notebook"):
        checkpoints.load_weights(nn.Linear(2, 2), path)
    data = training.Data(torch.zeros(1, 2, 2, dtype=torch.uint8), lambda generator: [])
    with pytest.raises(checkpoints.CheckpointError, match=r"cnn\.pt"):
        training.fit(nn.Linear(2, 2), data, lambda x: {}, epochs=1, learning_rate=1, seed=0, checkpoint=path, key="k")
    assert not trace.exists()


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match=r"cnn\.pt cannot be used: it is missing"):
        checkpoints.load_weights(nn.Linear(2, 2), tmp_path / "cnn.pt")


# Catalogues


def test_unusual_catalogues_become_a_study(tmp_path):
    names = ["m" * 200, "\U0001f697 horn", "Mirror", "mirror", "=1+1", "<img src=x onerror=alert(1)>"]
    names += [f"Part {number:05}" for number in range(10_000 - len(names))]
    for index in range(3):
        draw(index, (2, 1)).save(tmp_path / f"{index}.png")
    for number, name in enumerate(names):
        (tmp_path / "parts" / name).mkdir(parents=True)
        for index in range(3 if number < 1000 else 2):
            os.link(tmp_path / f"{index}.png", tmp_path / "parts" / name / f"{index}.png")
    study = open_study(str(tmp_path / "parts"), str(tmp_path / "run"), size=4)
    assert study.categories == sorted(names) and len(study.catalogue) == 21_000
    assert [len(study.rows(split)) for split in ("train", "validation", "test")] == [10_000, 1000, 10_000]
    text = (tmp_path / "run" / "tables" / "split.csv").read_text()
    assert "\n=1+1" not in text and ",=1+1" not in text and ",'=1+1," in text
    assert study.labels("train").max() == 9999


# Kills: their outcome is judged rightly (`python -m tests.kill_runs` does the killing)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"code": 1}, "ended with 1"),
        ({"code": 0}, "ended with 0"),
        ({"code": 0, "during": ENDED}, ""),
        ({"message": ""}, "no message"),
        ({"left_over": 2}, "2 processes left"),
        ({"left_over": 2, "message": ""}, "no message; 2 processes left"),
        ({"differing": ["split.csv"]}, "differing: split.csv"),
    ],
)
def test_what_is_wrong_after_a_kill_is_named(changes, message):
    good = Killed("Ctrl-C", 1.0, "none", FAULTS["Ctrl-C"][2], "autoparts: interrupted", 0, [])
    assert wrong(good._replace(**changes)) == message
