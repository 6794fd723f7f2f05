"""Many trainings at once: a process for each core of this machine, or the workers of a Dask cluster."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import joblib
import torch
from threadpoolctl import threadpool_limits

from autoparts.errors import UserError
from autoparts.models import fast_bfloat16
from autoparts.sampling import Photos
from autoparts.study.fingerprint import PACKAGE, code_fingerprint, replaced
from autoparts.study.run import Run
from autoparts.study.study import compute_in

PATIENCE = 60  # seconds, for a first worker


@contextmanager
def one_thread(run: Run) -> Iterator[None]:
    """Have torch and BLAS compute with one thread: sums are the same however many trainings run side by side."""
    compute_in(run.study.precision)  # which a process of its own does not know
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(function: Callable, jobs: Sequence[tuple], device: torch.device, cluster: str = "") -> Iterator[Any]:
    """Call a function with each job, whose first member is the run; results come in order.

    On the workers of a Dask cluster, given the address of its scheduler; else in a process for each core, or one by one
    on a GPU, and where a notebook has put something in place of the core's own, which other processes lack.
    """
    # joblib replaces a process that has kept much memory, which torch does on purpose; no job is lost by it.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    if cluster and not replaced():
        return _on_cluster(function, jobs, device, cluster)
    workers = min(joblib.cpu_count(), len(jobs)) if device.type == "cpu" and not replaced() else 1
    return joblib.Parallel(workers, return_as="generator")(joblib.delayed(function)(*job) for job in jobs)


def _on_cluster(function: Callable, jobs: Sequence[tuple], device: torch.device, cluster: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError(f"{error.name} is missing; install it with: pip install 'autoparts[cluster]'") from None
    try:
        client = Client(cluster, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {cluster}: {error}") from None
    run = jobs[0][0]
    precision = "bfloat16" if fast_bfloat16(device) else "float32"  # not what each worker would choose
    run = replace(run, folder=run.folder.resolve(), study=replace(run.study, precision=precision))
    jobs = [(run, *rest) for _, *rest in jobs]
    sent = {id(each): each for job in jobs for each in job if isinstance(each, Run | Photos)}  # once to each worker
    with client:
        _check_workers(client, cluster, run)
        with joblib.parallel_config(backend="dask", client=client, scatter=[*sent.values()]):
            parallel = joblib.Parallel(return_as="generator")
        yield from parallel(joblib.delayed(function)(*job) for job in jobs)


def _check_workers(client: Any, cluster: str, run: Run) -> None:
    """Tell in a UserError of no worker at all, or of one that could not do its part or would do another's."""
    folder, facts = run.folder, (run.folder / "results" / "data.json").read_bytes()
    expected = {"autoparts": code_fingerprint(PACKAGE), "torch": torch.__version__}

    def amiss(dask_worker: Any) -> str:  # sent as it stands: a worker may have another version of this module, or none
        try:
            import torch

            from autoparts.study.fingerprint import PACKAGE, code_fingerprint
        except ImportError as error:
            return f"has no {error.name}"
        found = {"autoparts": code_fingerprint(PACKAGE), "torch": torch.__version__}
        if other := [name for name in found if found[name] != expected[name]]:
            return f"has another version of {other[0]}"
        if dask_worker.state.nthreads > 1:
            return "takes several trainings at once, which would share their threads: start it with --nthreads 1"
        try:
            seen = (folder / "results" / "data.json").read_bytes() == facts
        except OSError:
            seen = False
        return "" if seen else f"does not see the run folder {folder}: give all machines one file system"

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
        answers = client.run(amiss)
    except Exception as error:  # such as what another version of Python or Dask cannot read
        raise UserError(f"the workers of {cluster} cannot be used: {error}") from None
    if refused := [f"{worker} {answer}" for worker, answer in answers.items() if answer]:
        raise UserError(f"a worker of {cluster} cannot be used: {refused[0]}")
