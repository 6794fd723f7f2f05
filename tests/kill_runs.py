"""Runs killed at random moments: each one, started again, ends with the tables of a run that nobody disturbed.

Run at length with `python -m tests.kill_runs --kills 20 --seed 1`.
"""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

TINY = "{epochs: 2, batch_size: 16, threshold_pairs: 40, filters: [4, 8], embedding_size: 8}"
FAULTS = {  # who is killed, by which signal, and how the command then ends
    "Ctrl-C": ("group", signal.SIGINT, 130),
    "SIGTERM": ("pipeline", signal.SIGTERM, 130),
    "kill -9": ("pipeline", signal.SIGKILL, -signal.SIGKILL),
    "kill -9 of the kernel": ("kernel", signal.SIGKILL, 1),
}
PATIENCE = 600  # seconds for anything to end
ENDED = "the end"  # the run was over before it could be killed


class Killed(NamedTuple):
    """What came of one run that was killed."""

    fault: str
    seconds: float  # from the start to the kill
    during: str  # the notebook that was running, the last one that had run, or ENDED
    code: int
    message: str
    left_over: int  # processes still there ten seconds after the command had ended
    differing: list[str]  # tables that differ from the undisturbed run's, or are missing, after a run to the end


def command(data: str, only: str, folder: Path) -> list[str]:
    """Return the command that runs the pipeline with tiny networks; their profile is written to the folder."""
    (folder / "tiny.yaml").write_text(TINY)
    given = ["--data", data, "--name", "run", "--only", only, "--profile", str(folder / "tiny.yaml")]
    return [sys.executable, "-m", "autoparts", "run", *given]


def start(run: Sequence[str], folder: Path) -> subprocess.Popen:
    """Start a run with reports and cache of its own, as a process group of its own."""
    own = {"AUTOPARTS_REPORTS": str(folder), "AUTOPARTS_CACHE": str(folder / "cache")}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "errors.txt").open("a") as errors:
        return subprocess.Popen(
            run, env=os.environ | own, stdout=errors, stderr=errors, text=True, start_new_session=True
        )


def processes_of(folder: Path) -> list[psutil.Process]:
    """Find every process that a run in this folder has started, by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AUTOPARTS_REPORTS") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kernel_of(folder: Path) -> int | None:
    """Return the process number of the kernel of a run, if it has one now."""
    for process in processes_of(folder):
        try:
            if any("ipykernel" in word for word in process.cmdline()):
                return process.pid
        except psutil.Error:
            continue
    return None


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
    """Start a run, kill it, start it again to the end, and compare."""
    victim, number, _ = FAULTS[fault]
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
        (os.killpg if victim == "group" else os.kill)(target, number)
    code = process.wait(PATIENCE)
    patience = time.monotonic() + 10
    while (left_over := processes_of(folder)) and time.monotonic() < patience:
        time.sleep(0.2)
    lines = (folder / "errors.txt").read_text().splitlines()
    finish(run, folder)
    found = tables(folder)
    differing = [name for name in undisturbed | found if undisturbed.get(name) != found.get(name)]
    message = next((line for line in reversed(lines) if line.startswith("autoparts: ")), "")
    return Killed(fault, seconds, during, code, message, len(left_over), differing)


def wrong(killed: Killed) -> str:
    """Say all that is wrong with the outcome of a kill; empty if nothing is."""
    _, number, expected = FAULTS[killed.fault]
    possible = (0,) if killed.during == ENDED else (expected, -number)  # the latter before the command has begun
    faults = {
        f"ended with {killed.code}": killed.code not in possible,
        "no message": killed.code in (1, 130) and not killed.message,
        f"{killed.left_over} processes left": killed.left_over,
        f"differing: {', '.join(killed.differing)}": killed.differing,
    }
    return "; ".join(fault for fault, there in faults.items() if there)


def main() -> int:
    """Kill as often as the command line says, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="02,03,04")
    parser.add_argument("--data", default="synthetic:6x72")
    wanted = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.default_rng(wanted.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = command(wanted.data, wanted.only, folder)
        began = time.monotonic()
        finish(run, folder / "undisturbed")
        length = time.monotonic() - began
        undisturbed = tables(folder / "undisturbed")
        print(f"undisturbed: {length:.0f} s, {len(undisturbed)} tables", flush=True)
        done = 0
        for index in itertools.count():
            fault = list(FAULTS)[done % len(FAULTS)]
            killed = kill(run, folder / str(index), fault, length * rng.random(), undisturbed)
            if killed.during == ENDED:  # nothing was killed; the machine is faster by now
                length = min(length, killed.seconds)
            done += killed.during != ENDED
            problem = wrong(killed)
            failures += bool(problem)
            print(
                f"{done:3}  {fault:22} {killed.seconds:6.1f} s  {killed.during:24} exit {killed.code:4}  "
                f"{problem or 'tables identical'}",
                flush=True,
            )
            if done == wanted.kills:
                break
    print(f"{wanted.kills} kills, {failures} with something wrong")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
