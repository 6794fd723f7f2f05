import os
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from autoparts import losses, models
from autoparts.errors import UserError
from autoparts.experiments import parallel, subsets, trials, variants
from autoparts.study.run import open_run

SETTINGS = trials.Settings(epochs=1, batch_size=16, embedding_size=8, draws=20)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers:
        yield workers


@pytest.fixture
def opened(noise_study, tmp_path):
    return open_run(str(tmp_path / "run"), noise_study)


def test_rows_are_trained_in_the_precision_of_their_study_whatever_process_trains_them(opened, one_process):
    def used(run):
        with parallel.one_thread(run):
            return models.fast_bfloat16(CPU)

    chosen = ("bfloat16", "float32", "bfloat16")
    jobs = [(replace(opened, study=replace(opened.study, precision=each)),) for each in chosen]
    assert [*parallel.side_by_side(used, jobs, CPU)] == [True, False, True]


def test_a_cluster_gives_the_same_tables_and_keeps_what_is_trained(
    opened, noise_study, cluster, one_process, tmp_path, monkeypatch
):
    small, rows = subsets.resized(noise_study.photos, 20), [variants.BASELINE, variants.PIXELS, variants.PLAIN]
    elsewhere = replace(SETTINGS, seeds=2, cluster=cluster.scheduler_address)
    far = trials.compare(opened, rows, elsewhere, small).table
    monkeypatch.setattr(torch.Tensor, "backward", None)  # here nothing is left to train
    here = trials.compare(opened, rows, replace(elsewhere, cluster=""), small).table
    pd.testing.assert_frame_equal(far, here, check_exact=True)
    monkeypatch.undo()
    anew = trials.compare(open_run(str(tmp_path / "other"), noise_study), rows, replace(SETTINGS, seeds=2), small).table
    pd.testing.assert_frame_equal(far, anew, check_exact=True)


def test_a_worker_that_is_killed_costs_time_only(opened, cluster, tmp_path):
    def struck(run, number, mark):
        if number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return number**2

    jobs = [(opened, number, tmp_path / "struck") for number in range(6)]
    assert [*parallel.side_by_side(struck, jobs, CPU, cluster.scheduler_address)] == [0, 1, 4, 9, 16, 25]
    assert (tmp_path / "struck").exists()


def test_what_other_processes_lack_is_not_asked_of_them(opened, monkeypatch):
    monkeypatch.setattr(losses, "contrastive_loss", lambda distances, same, margin: distances)
    assert [*parallel.side_by_side(lambda run: os.getpid(), [(opened,)], CPU, "tcp://nowhere:1")] == [os.getpid()]


def test_workers_that_cannot_do_their_part_are_refused_in_one_message(opened, cluster, monkeypatch):
    def refusal(run=opened, at=cluster.scheduler_address):
        with pytest.raises(UserError) as told:
            [*parallel.side_by_side(len, [(run,)], CPU, at)]
        return str(told.value)

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "code_fingerprint", lambda folder: "older")
        assert "has another version of autoparts" in refusal()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.0")
        assert "has another version of torch" in refusal()
    seen = Path.read_bytes  # the workers, which are other processes, see another file
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: seen(path) + b" " * (path.name == "data.json"))
        assert f"does not see the run folder {opened.folder}" in refusal()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        assert "pip install 'autoparts[cluster]'" in refusal()
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in refusal(at="tcp://127.0.0.1:9")


def test_a_worker_of_several_threads_and_a_cluster_of_none_are_refused(opened, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "PATIENCE", 0.2)
    options = {"processes": False, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=0, **options) as workers:
        with pytest.raises(UserError, match="cannot be used"):
            [*parallel.side_by_side(len, [(opened,)], CPU, workers.scheduler_address)]
        workers.scale(1)
        monkeypatch.setattr(parallel, "PATIENCE", 60)
        with pytest.raises(UserError, match="--nthreads 1"):
            [*parallel.side_by_side(len, [(opened,)], CPU, workers.scheduler_address)]
