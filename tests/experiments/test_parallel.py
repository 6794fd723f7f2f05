import io
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from autoparts import losses, models
from autoparts.errors import FailedError, UserError
from autoparts.experiments import parallel, subsets, trials, variants
from autoparts.study.run import open_run

SETTINGS = trials.Settings(epochs=1, batch_size=16, embedding_size=8, draws=20)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workers():
    """A scheduler with two worker processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as workers:
        yield workers


@pytest.fixture(scope="module")
def cluster(workers):
    """Its address."""
    return workers.scheduler_address


@pytest.fixture
def opened(noise_study, tmp_path):
    return open_run(str(tmp_path / "run"), noise_study)


def pid(run):
    return os.getpid()


def test_rows_are_trained_in_the_precision_of_their_study_whatever_process_trains_them(opened, one_process):
    def used(run):
        with parallel.one_thread(run):
            return models.fast_bfloat16(CPU)

    chosen = ("bfloat16", "float32", "bfloat16")
    jobs = [(replace(opened, study=replace(opened.study, precision=each)),) for each in chosen]
    assert [*parallel.side_by_side(used, jobs, CPU)] == [True, False, True]
    assert [*parallel.side_by_side(used, [], CPU)] == []


def test_a_bar_tells_of_the_trainings_and_ends_before_the_last_result_is_used(opened, one_process, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(parallel, "bar_file", lambda: terminal)
    jobs = [(opened, replace(variants.BASELINE, name=name)) for name in ("one row", "another row")]
    results = parallel.side_by_side(lambda run, row: row.name, jobs, CPU)
    assert [next(results), next(results)] == ["one row", "another row"]  # and no third call, as `trials.compare`
    *_, last, end, _ = terminal.getvalue().split("\r")
    assert "another row: 100%" in last and "2/2" in last and not end.strip()


@pytest.mark.parametrize("side", [20, 24])  # 24 is the study's own
def test_a_cluster_gives_the_same_tables_and_keeps_what_is_trained(
    opened, noise_study, cluster, one_process, tmp_path, monkeypatch, side
):
    small = subsets.resized(noise_study.photos, side)
    rows = [variants.BASELINE, variants.PIXELS, variants.PLAIN, replace(variants.BASELINE, name="bits", hamming=True)]
    far = trials.compare(replace(opened, cluster=cluster), rows, SETTINGS, small).table
    assert len([*opened.folder.glob("models/beyond/*.pt")]) == 2 and not [*opened.folder.glob("models/jobs-*")]
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", None)  # here nothing is left to train
        here = trials.compare(opened, rows, SETTINGS, small).table
    pd.testing.assert_frame_equal(far, here, check_exact=True)
    anew = trials.compare(open_run(str(tmp_path / "other"), noise_study), rows, SETTINGS, small).table
    pd.testing.assert_frame_equal(far, anew, check_exact=True)


def test_trainings_of_a_run_that_has_ended_end(opened, cluster, tmp_path):
    def endless(run, number):
        while number:
            with (tmp_path / "epochs").open("a") as file:
                file.write(".")
            time.sleep(0.1)
            parallel.heard("epoch")

    def epochs():
        return (tmp_path / "epochs").stat().st_size

    results = parallel.side_by_side(endless, [(replace(opened, cluster=cluster), number) for number in range(2)], CPU)
    next(results)
    while not (tmp_path / "epochs").exists():
        time.sleep(0.1)
    results.close()
    time.sleep(1)
    before = epochs()
    time.sleep(1)
    assert epochs() == before and not [*opened.folder.glob("models/jobs-*")]


def test_what_other_processes_lack_is_not_asked_of_them(opened, monkeypatch, capsys):
    monkeypatch.setattr(losses, "contrastive_loss", lambda distances, same, margin: distances)
    jobs = [(replace(opened, cluster="tcp://nowhere:1"),)]
    assert [*parallel.side_by_side(pid, jobs, CPU)] == [os.getpid()] and "it trains alone" in capsys.readouterr().out


def test_what_cannot_be_used_is_refused_in_one_message(opened, cluster, monkeypatch, tmp_path):
    def refusal(at=cluster, device=CPU):
        with pytest.raises(UserError) as told:
            [*parallel.side_by_side(pid, [(replace(opened, cluster=at),)], device)]
        return str(told.value)

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "_code", lambda: "older")
        patch.setattr(torch, "__version__", "2.0")
        assert "has another version of autoparts and torch" in refusal()
    with monkeypatch.context() as patch:  # what the driver writes is elsewhere for the workers, which look by its name
        patch.setattr(parallel, "whole_file", lambda file: nullcontext(tmp_path / "elsewhere"))
        assert f"does not see the run folder {opened.folder}" in refusal()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        assert "pip install 'autoparts[cluster]'" in refusal()
    monkeypatch.setattr(parallel, "PATIENCE", 1)
    for address in ("tcp://127.0.0.1:9", "tls://127.0.0.1:9", "nonsense"):
        assert f"the Dask scheduler '{address}', as in tcp://HOST:8786, cannot be reached" in refusal(address)
    assert "set device to cpu" in refusal(device=torch.device("cuda"))


@pytest.mark.parametrize(("count", "message"), [(0, "has had no worker for 1 seconds"), (1, "--nthreads 1")])
def test_a_cluster_that_cannot_train_is_told(opened, monkeypatch, count, message):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "PATIENCE", 1)
    options = {"processes": False, "threads_per_worker": 2, "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=count, **options) as there, pytest.raises(UserError, match=message):
        [*parallel.side_by_side(pid, [(replace(opened, cluster=there.scheduler_address),)], CPU)]


def test_a_training_that_ends_in_a_timeout_is_no_waiting():
    def waited_for(error):
        waiting = iter([TimeoutError, error])

        def exception(timeout):  # as Dask's: raises that of the waiting, returns that of the training
            if (found := next(waiting)) is TimeoutError:
                raise found
            return found

        client = SimpleNamespace(scheduler_info=lambda: {"workers": {"one": {}}})
        return parallel._result_of(SimpleNamespace(exception=exception, result=lambda: 7), client, "tcp://here:1")

    with pytest.raises(FailedError, match=r"gave a training up: TimeoutError: .*timed out"):
        waited_for(TimeoutError(110, "Connection timed out"))  # as of a network drive
    with pytest.raises(UserError, match="diverged"):
        waited_for(UserError("diverged"))
    assert waited_for(None) == 7


# At the end, since workers start anew


def test_workers_that_are_killed_cost_time_only(opened, cluster, tmp_path):
    def struck(run, number, marks):
        if number < 2 and not (mark := marks / str(number)).exists():  # both workers at once, and what they hold
            mark.touch()
            os.kill(os.getpid(), 9)
        return number**2

    (tmp_path / "marks").mkdir()
    jobs = [(replace(opened, cluster=cluster), number, tmp_path / "marks") for number in range(6)]
    assert [*parallel.side_by_side(struck, jobs, CPU)] == [0, 1, 4, 9, 16, 25]
    assert len([*(tmp_path / "marks").iterdir()]) == 2


def test_a_training_whose_worker_is_killed_ends_as_if_it_had_not_been(opened, noise_study, cluster, tmp_path):
    def struck(run, row, *rest):
        with (mark := rest[-1] / row.name).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if mark.read_text().count("\n") == 1:
            trials.heard = lambda line: os.kill(os.getpid(), 9)  # in this worker, after an epoch
        return trials.try_row(run, row, *rest[:-1])

    settings, small = replace(SETTINGS, epochs=3), subsets.resized(noise_study.photos, 20)
    run, rows = replace(opened, cluster=cluster), (variants.BASELINE, variants.PLAIN)
    jobs = [(run, row, settings, small, small, 3, tmp_path) for row in rows]
    for row, far in zip(rows, parallel.side_by_side(struck, jobs, CPU), strict=True):
        here = trials.try_row(open_run(str(tmp_path / "other"), noise_study), row, settings, small, small, 3)
        assert len({*(tmp_path / row.name).read_text().split()}) == 2 and far.scores == here.scores
        pd.testing.assert_frame_equal(far.history, here.history, check_exact=True)


def test_a_training_that_kills_every_worker_is_told(opened, workers, cluster, monkeypatch):
    monkeypatch.setattr(workers.scheduler, "allowed_failures", 0)  # else four workers are killed, and started anew
    jobs = [(replace(opened, cluster=cluster),)]
    with pytest.raises(FailedError, match=r"gave a training up: KilledWorker.*except with --restart or --force"):
        [*parallel.side_by_side(lambda run: os.kill(os.getpid(), 9), jobs, CPU)]
