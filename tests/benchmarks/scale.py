"""How time and memory grow with the catalogue: opening, batches, preparing, retrieval, up to a million photos.

The array is a sparse file of zeros: 100×100 as ever and mapped like any other, but without 10 GB on the disk, so
reading it costs page faults and no disk access. Preparing streams one small JPEG listed again and again to 32×32.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Event, Thread

import numpy as np
import pandas as pd
import torch
from PIL import Image

from autoparts import models, sampling, tasks
from autoparts.photos import prepare
from autoparts.retrieval import retrieve

COUNTS = [1_000, 15_000, 150_000, 1_000_000]
BATCH, STEPS = 64, 200
QUERIES = 256
PREPARED_SIDE = 32


def measure(folder: Path, counts: list[int]) -> pd.DataFrame:
    """Measure each kind of work at each number of photos, in a process of its own, so that its memory can be told.

    Returns:
        One row per measured point: work, photos, value, unit; then one row per work and unit: the slope in log-log.
    """
    rows = []
    for work in WORK:
        for count in counts:
            command = [sys.executable, "-m", "tests.benchmarks.scale", work, str(count), str(folder)]
            values = json.loads(subprocess.check_output(command).splitlines()[-1])
            rows += [{"work": work, "photos": count, "value": value, "unit": unit} for unit, value in values.items()]
            print(f"{work}, {count} photos: {values}", file=sys.stderr)
    table = pd.DataFrame(rows)
    slopes = [
        {"work": work, "value": _slope(points), "unit": f"slope of {unit}"}
        for (work, unit), points in table.groupby(["work", "unit"], sort=False)
    ]
    return pd.concat([table, pd.DataFrame(slopes)], ignore_index=True).astype({"photos": "Int64"})


def _slope(points: pd.DataFrame) -> float:
    """Slope of the line through the logarithms: 0 is constant, 1 is linear."""
    return float(np.polyfit(np.log(points["photos"]), np.log(points["value"].clip(lower=1e-6)), 1)[0])


def _array(count: int, folder: Path) -> Path:
    file = folder / f"{count}.npy"
    if not file.exists():
        np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, 100, 100)).flush()
    return file


def opening(count: int, folder: Path) -> dict[str, float]:
    """Open the array as a study does, and read one photo."""
    file, seconds = _array(count, folder), []
    for _ in range(5):
        started = time.perf_counter()
        torch.from_numpy(np.load(file, mmap_mode="c"))[count // 2].sum()
        seconds.append(time.perf_counter() - started)
    return {"ms": 1e3 * median(seconds)}


def batches(count: int, folder: Path) -> dict[str, float]:
    """Draw shuffled batches of 64 as network input, with the file in the page cache as after a first epoch."""
    file = _array(count, folder)
    with file.open("rb") as content:
        while content.read(2**24):
            pass
    pixels = torch.from_numpy(np.load(file, mmap_mode="c"))
    generator, seconds = sampling.seeded(0), []
    for _ in range(STEPS):
        rows = torch.randint(count, (BATCH,), generator=generator)
        started = time.perf_counter()
        models.photo_input(pixels[rows])
        seconds.append(time.perf_counter() - started)
    return {"ms per batch": 1e3 * median(seconds)}


def pairs(count: int, folder: Path) -> dict[str, float]:
    """Draw an epoch of as many pairs as photos, cut into batches."""
    photos = sampling.Photos(torch.empty(0), {"train": torch.arange(count)}, {"train": _labels(count)})
    started = time.perf_counter()
    tasks.Pairs().batches(photos, BATCH, sampling.seeded(1))
    return {"s per epoch": time.perf_counter() - started}


def _labels(count: int) -> torch.Tensor:
    return torch.arange(count) % max(count // 100, 2)  # 100 photos each


def preparing(count: int, folder: Path) -> dict[str, float]:
    """Prepare files in a stream."""
    photo = folder / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((64, 64)).save(photo)
    catalogue = pd.DataFrame({"path": [str(photo)] * count, "category": "one"})
    prepare(catalogue.head(10), size=PREPARED_SIDE, cache=folder / "warm", progress=False)
    return _grown(lambda: prepare(catalogue, size=PREPARED_SIDE, cache=folder / str(count), progress=False))


def retrieval(count: int, folder: Path) -> dict[str, float]:
    """Rank a gallery of this many embeddings for 256 queries."""
    gallery, labels = torch.randn(count, 128, generator=sampling.seeded(0)), _labels(count)
    queries = gallery[:QUERIES] + 0.1
    retrieve(queries[:2], labels[:2], gallery[:100], labels[:100])
    return _grown(lambda: retrieve(queries, labels[:QUERIES], gallery, labels))


def _grown(work: Callable[[], object]) -> dict[str, float]:
    """Seconds, and by how much the process's anonymous memory (not files it maps) rose at its highest."""
    before, highest, done = _resident(), [0], Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], _resident())

    watcher = Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    return {"s": seconds, "MiB": max(highest[0] - before, 0) / 1024}


def _resident() -> int:
    """Anonymous memory of this process in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


WORK = {work.__name__: work for work in (opening, batches, pairs, preparing, retrieval)}

if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(WORK[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))))
