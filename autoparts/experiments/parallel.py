"""Many trainings at once: a process for each core of this machine, or the workers of a Dask cluster."""

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import joblib
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from autoparts import bar_file
from autoparts.errors import FailedError, UserError, whole_file
from autoparts.models import fast_bfloat16
from autoparts.study.fingerprint import code_fingerprint, replaced
from autoparts.study.folder import PACKAGE
from autoparts.study.run import Run
from autoparts.study.study import compute_in

PATIENCE = 900  # seconds without any worker
_sent: list[Path] = []  # the file of the job that this process, a worker of a cluster, is at


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


def side_by_side(function: Callable, jobs: Sequence[tuple], device: torch.device) -> Iterator[Any]:
    """Call a function with each job, whose first member is the run; results come in order.

    If the run names a Dask cluster, its workers take the jobs; else a process for each core does, on a GPU this one. So
    does this one where a notebook has put something in place of the core's own, which other processes lack.
    """
    # joblib replaces a process that has kept much memory, which torch does on purpose; no job is lost by it.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    cluster, alone = jobs[0][0].cluster if jobs else "", bool(replaced())
    if cluster and not alone:
        return _counted(_on_cluster(function, jobs, device, cluster), jobs)
    if cluster:
        print(f"the workers of {cluster} lack what this notebook has replaced: it trains alone")
    workers = 1 if alone or not jobs or device.type != "cpu" else min(joblib.cpu_count(), len(jobs))
    calls = (joblib.delayed(function)(*job) for job in jobs)
    return _counted(joblib.Parallel(workers, return_as="generator")(calls), jobs)


def _counted(results: Generator[Any], jobs: Sequence[tuple]) -> Iterator[Any]:
    """Pass results on; a bar in a terminal or a notebook tells how many are done, the last one, and the time left."""
    look = {"unit": "", "leave": False, "file": bar_file(), "disable": None if jobs else True}
    with closing(results), tqdm(total=len(jobs), **look) as bar:
        for done, job in enumerate(jobs, 1):
            result = next(results)
            bar.update()
            bar.set_description("".join(str(getattr(each, "name", each)) for each in job[1:2]))
            if done == len(jobs):
                next(results, None)  # ends the generator, which would else be aborted, and its processes with it
                bar.close()
            yield result


def heard(line: str) -> None:
    """Say nothing of an epoch, and end the training if the run that a cluster's worker trains for has ended."""
    if _sent and not _sent[0].exists():
        raise FailedError("the run that this training belongs to has ended")


def _on_cluster(function: Callable, jobs: Sequence[tuple], device: torch.device, cluster: str) -> Iterator[Any]:
    """Submit all jobs at once, through a file that all workers read: what they share is in it, and there, once."""
    run = jobs[0][0]
    compute_in(run.study.precision)
    precision = "bfloat16" if fast_bfloat16(device) else "float32"  # not what each worker would choose
    told = replace(run, folder=run.folder.resolve(), study=replace(run.study, precision=precision))
    for left in run.folder.glob("models/jobs-*.pkl"):  # of a run that was killed: its trainings end with it
        left.unlink(missing_ok=True)
    file = told.folder / "models" / f"jobs-{uuid4().hex}.pkl"
    with connected(cluster, device) as client:
        from distributed.protocol import pickle  # which also takes functions of a notebook

        with whole_file(file) as unfinished:
            unfinished.write_bytes(pickle.dumps((function, [(told, *rest) for _, *rest in jobs])))
        try:
            work = _work_of(file, {"autoparts": _code(), "torch": torch.__version__})
            futures = [client.submit(work, place, pure=False) for place in range(len(jobs))]
            for future in futures:
                refusal, result = _result_of(future, client, cluster)
                if refusal:
                    raise UserError(f"a worker of {cluster} {refusal}")
                yield result
        finally:
            file.unlink(missing_ok=True)


@contextmanager
def connected(cluster: str, device: torch.device) -> Iterator[Any]:
    """Connect to a Dask scheduler; a UserError tells that it cannot be reached, or cannot train for a device."""
    if device.type != "cpu":
        raise UserError(f"a cluster trains on processors, and the device is {device}: set device to cpu")
    try:
        from distributed import Client

        client = Client(cluster, timeout=min(10, PATIENCE), set_as_default=False)
    except ImportError as error:
        raise UserError(f"{error.name} is missing; install it with: pip install 'autoparts[cluster]'") from None
    except Exception as error:  # Dask raises many kinds, by the kind of address
        raise UserError(f"the Dask scheduler {cluster!r}, as in tcp://HOST:8786, cannot be reached: {error}") from None
    with client:
        yield client


def _work_of(file: Path, expected: dict[str, str]) -> Callable[[int], tuple[str, Any]]:
    """Return what does a job of the file on a worker: it returns why it may not, or an empty text and the result."""

    def work(place: int) -> tuple[str, Any]:
        """Do a job; sent as it stands, since a worker may have another version of this module, or none."""
        try:
            import torch
            from distributed import get_worker

            from autoparts.experiments import parallel
        except ImportError as error:
            return f"has no {error.name}", None
        found = {"autoparts": parallel._code(), "torch": torch.__version__}
        if other := [name for name in found if found[name] != expected[name]]:
            return f"has another version of {' and '.join(other)}", None
        if get_worker().state.nthreads > 1:
            return "takes several trainings at once, which would share threads: start it with --nthreads 1", None
        if not file.exists():
            return f"does not see the run folder {file.parents[1]}: give all machines one file system", None
        parallel._sent.append(file)
        try:
            function, jobs = parallel._jobs(file)
            return "", function(*jobs[place])
        finally:
            parallel._sent.clear()

    return work


def _result_of(future: Any, client: Any, cluster: str) -> tuple[str, Any]:
    """Wait for a result, as long as there are workers; what Dask gives up is told in a FailedError."""
    seen, kept = time.monotonic(), "what is trained is kept, except with --restart or --force"
    while True:
        try:
            if (error := future.exception(timeout=min(5, PATIENCE))) is None:
                return future.result()
        except TimeoutError:  # of this waiting: a training's own is returned above
            if client.scheduler_info()["workers"]:
                seen = time.monotonic()
            elif time.monotonic() - seen >= PATIENCE:
                raise FailedError(f"the cluster {cluster} has had no worker for {PATIENCE} seconds; {kept}") from None
            continue
        except Exception as unread:  # what another version of Python or Dask cannot read
            error = unread
        if isinstance(error, UserError):
            raise error
        raise FailedError(f"the cluster {cluster} gave a training up: {type(error).__name__}: {error}; {kept}")


@cache
def _code() -> str:
    """The package's code as this process runs it, taken before its first training: files may be edited later."""
    return code_fingerprint(PACKAGE)


@lru_cache(maxsize=1)
def _jobs(file: Path) -> tuple[Callable, list[tuple]]:
    """Read, once in each process, the function and the jobs that a run has sent last."""
    from distributed.protocol import pickle

    return pickle.loads(file.read_bytes())
