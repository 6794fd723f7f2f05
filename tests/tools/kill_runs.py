"""Runs interrupted at random moments: each one, started again, ends with the tables of a run that nobody disturbed.

At length: `python -m tests.tools.kill_runs --kills 30 --seed 1`. Linux only, for its full disk.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

TINY = "{epochs: 2, batch_size: 16, threshold_pairs: 40, filters: [4, 8], embedding_size: 8, side: 24}"
PATIENCE = 3600  # seconds for anything to end, on a machine that others use too
ENDED = "the end"  # the run was over before anything was done to it


def full_disk(process: int) -> None:
    """Let a process write no file of more than 500 bytes from now on."""
    resource.prlimit(process, resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))


FAULTS: dict[str, tuple[str, Callable[[int], None], tuple[int, ...]]] = {  # victim, what is done, how the command ends
    "Ctrl-C": ("group", lambda group: os.killpg(group, signal.SIGINT), (130, -signal.SIGINT)),
    "SIGTERM": ("pipeline", lambda process: os.kill(process, signal.SIGTERM), (130, -signal.SIGTERM)),
    "kill -9": ("pipeline", lambda process: os.kill(process, signal.SIGKILL), (-signal.SIGKILL,)),
    "kill -9 of the kernel": ("kernel", lambda process: os.kill(process, signal.SIGKILL), (1,)),
    "full disk": ("pipeline", full_disk, (1,)),
    "full disk for the kernel": ("kernel", full_disk, (0, 1)),  # 0 if it had written everything already
}


class Killed(NamedTuple):
    """What came of one run that was interrupted."""

    fault: str
    seconds: float  # from the start to the fault
    during: str  # the notebook that was running, or the last one that had run, or ENDED
    code: int
    message: str
    left_over: int  # processes still there ten seconds after the command had ended
    differing: list[str]  # tables that differ from the undisturbed run's, or are missing, after a run to the end


def start(run: Sequence[str], folder: Path) -> subprocess.Popen:
    """Start a run with reports and cache of its own, as a process group of its own; what it tells goes to a file."""
    own = {"AUTOPARTS_REPORTS": str(folder), "AUTOPARTS_CACHE": str(folder / "cache")}
    folder.mkdir(parents=True, exist_ok=True)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    process = subprocess.Popen(run, env=os.environ | own, **options)

    def keep() -> None:  # by this process, whose disk is never full
        with (folder / "errors.txt").open("ab", buffering=0) as errors:
            shutil.copyfileobj(process.stdout, errors, 100)

    threading.Thread(target=keep, daemon=True).start()
    return process


def processes_of(folder: Path) -> list[psutil.Process]:
    """Find every process that a run in this folder has started, by its environment."""
    told = psutil.process_iter(["environ", "status", "cmdline", "create_time"])  # None where it is not told
    running = (process for process in told if process.info["status"] != psutil.STATUS_ZOMBIE)
    return [each for each in running if (each.info["environ"] or {}).get("AUTOPARTS_REPORTS") == str(folder)]


def kernel_of(folder: Path) -> int | None:
    """Return the process number of the kernel of a run that is at work, if it has one now; another may wait."""
    kernels = [each for each in processes_of(folder) if any("ipykernel" in word for word in each.info["cmdline"] or ())]
    return min(kernels, key=lambda each: each.info["create_time"]).pid if kernels else None


def doing(folder: Path) -> str:
    """Say what a run is at, by the notebooks in its folder: a running one has a name that begins with a dot."""
    notebooks = sorted((folder / "run" / "notebooks").glob("*.ipynb"), key=lambda path: path.name.lstrip("."))
    running = [path.stem[1:] for path in notebooks if path.name.startswith(".")]
    return running[0] if running else f"after {notebooks[-1].stem[:2]}" if notebooks else "preparation"


def tables(folder: Path) -> dict[str, bytes]:
    """Read the tables of a run."""
    return {path.name: path.read_bytes() for path in sorted((folder / "run" / "tables").glob("*.csv"))}


def finish(run: Sequence[str], folder: Path) -> None:
    """Run to the end."""
    code = start(run, folder).wait(PATIENCE)
    assert code == 0, f"{folder} ended with {code}: {(folder / 'errors.txt').read_text()[-2000:]}"


def kill(run: Sequence[str], folder: Path, fault: str, moment: float, undisturbed: Mapping[str, bytes]) -> Killed:
    """Start a run, interrupt it, start it again to the end, and compare."""
    victim, strike, _ = FAULTS[fault]
    process = start(run, folder)
    began = time.monotonic()
    while process.poll() is None and time.monotonic() < began + moment:
        time.sleep(0.05)
    target = process.pid
    while victim == "kernel" and process.poll() is None and (target := kernel_of(folder)) is None:
        time.sleep(0.05)
    seconds = time.monotonic() - began
    during = doing(folder) if process.poll() is None else ENDED
    if during != ENDED:
        strike(target)
    code = process.wait(PATIENCE)
    patience = time.monotonic() + 10
    while (left_over := processes_of(folder)) and time.monotonic() < patience:
        time.sleep(0.2)
    lines = (folder / "errors.txt").read_text().splitlines()
    finish(run, folder)
    found = tables(folder)
    differing = [name for name in undisturbed | found if undisturbed.get(name) != found.get(name)]
    message = next((line for line in reversed(lines) if line.startswith("autoparts: ")), "")
    message = "Traceback" if any(line.startswith("Traceback") for line in lines) else message
    return Killed(fault, seconds, during, code, message, len(left_over), differing)


def wrong(killed: Killed) -> str:
    """Say all that is wrong with the outcome of an interruption; empty if nothing is."""
    possible = (0,) if killed.during == ENDED else FAULTS[killed.fault][2]
    faults = {
        f"ended with {killed.code}": killed.code not in possible,
        "no message": killed.code in (1, 130) and not killed.message,
        "a traceback": killed.message == "Traceback",
        f"{killed.left_over} processes left": killed.left_over,
        f"differing: {', '.join(killed.differing)}": killed.differing,
    }
    return "; ".join(fault for fault, there in faults.items() if there)


def main() -> int:
    """Interrupt as often as the command line says, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 30), ("seed", 0), ("only", "02,03,04"), ("data", "synthetic:6x72")):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    wanted = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, done, failures = np.random.default_rng(wanted.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder, profile = Path(name), Path(name) / "tiny.yaml"
        profile.write_text(TINY)
        run = [sys.executable, "-m", "autoparts", "run", "--data", wanted.data, "--name", "run"]
        run += ["--only", wanted.only, "--profile", str(profile)]
        began = time.monotonic()
        finish(run, folder / "undisturbed")
        length, undisturbed = time.monotonic() - began, tables(folder / "undisturbed")
        print(f"undisturbed: {length:.0f} s, {len(undisturbed)} tables", flush=True)
        for index in range(10 * wanted.kills):
            fault = [*FAULTS][done % len(FAULTS)]
            killed = kill(run, folder / str(index), fault, length * rng.random(), undisturbed)
            length = min(length, killed.seconds) if killed.during == ENDED else length  # the machine is faster by now
            done += killed.during != ENDED
            problem = wrong(killed)
            failures += bool(problem)
            where = f"{killed.seconds:6.1f} s  {killed.during:24} exit {killed.code:4}"
            print(f"{done:3}  {fault:24} {where}  {problem or 'tables identical'}", flush=True)
            if done == wanted.kills:
                break
    print(f"{done} interruptions, {failures} with something wrong")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
