"""Measure what no report does of a finder: `python -m tests.tools.measure_finder RUN DATA [FOLDER]`.

RUN is a run folder under reports/ or a path, whose finder is pretrained and takes photos in colour; it keeps features
that are computed here. DATA are the photos that it was made of; FOLDER holds photos of anything else.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import autoparts
from autoparts.errors import read_json
from autoparts.finder.audit import suspicious_labels
from autoparts.finder.finder import Finder
from autoparts.finder.places import finder_file
from autoparts.models import Recogniser
from autoparts.study.backbones import pretrained_weights
from autoparts.study.run import open_run, run_folder
from autoparts.study.study import SHARED, Study, open_study

TAUGHT = 5  # photos of a new name
PLANTED = 0.03  # of the names of training photos


def refused(finder: Finder, pixels: Tensor) -> Tensor:
    """Whether a finder refuses each of (M, S, S, 3) uint8 photos: (M,) bool."""
    return finder.best_scores(pixels) < finder.threshold


def rightly(finder: Finder, pixels: Tensor, truth: Tensor) -> float:
    """Share of photos that are named, not refused, and rightly so, given their labels (M,)."""
    right = finder.scores(finder.embed(pixels)).argmax(dim=1) == truth
    return float((right & ~refused(finder, pixels)).double().mean())


def seen(finder: Finder, paths: list[str]) -> Tensor:
    """Photos as a finder sees them; all have to be readable."""
    return torch.from_numpy(np.stack([finder.prepare(path) for path in paths]))


def drawn(side: int, each: int = 25) -> Tensor:
    """Noise, one colour, stripes and clouds: (4 * each, side, side, 3) uint8."""
    generator = np.random.default_rng(0)
    down, across = np.mgrid[:side, :side]
    noise = [generator.integers(0, 256, (side, side, 3)) for _ in range(each)]
    flat = [np.full((side, side, 3), generator.integers(0, 256, 3)) for _ in range(each)]
    stripes, clouds = [], []
    for _ in range(each):
        period, turn = generator.integers(4, 60), generator.random() * np.pi
        wave = np.sin((across * np.cos(turn) + down * np.sin(turn)) * 2 * np.pi / period) > 0
        stripes.append(np.where(wave[..., None], generator.integers(0, 256, 3), generator.integers(0, 256, 3)))
    for _ in range(each):
        count = generator.integers(4, 40)
        few = Image.fromarray(generator.integers(0, 256, (count, count, 3), dtype=np.uint8))
        clouds.append(np.asarray(few.resize((side, side), Image.Resampling.BICUBIC)))
    return torch.from_numpy(np.stack([*noise, *flat, *stripes, *clouds]).astype(np.uint8))


def turned(finder: Finder, pixels: Tensor, truth: Tensor) -> Iterator[str]:
    """Test photos that lie on their side."""
    for quarter in range(4):
        photos = torch.rot90(pixels, quarter, (1, 2)).contiguous()
        right = finder.scores(finder.embed(photos)).argmax(dim=1) == truth
        away = refused(finder, photos).double().mean()
        yield f"turned by {90 * quarter}°: likeliest name right {right.double().mean():.1%}, refused {away:.1%}"


def taught(finder: Finder, study: Study, pixels: Tensor, truth: Tensor) -> Iterator[str]:
    """Names that cleaning removed, taught all together from a few photos each, and judged on their others."""
    strange = study.source[~study.source["category"].isin(study.categories)]
    learned, others = finder, {}
    for name, paths in strange.groupby("category")["path"]:
        if len(paths) <= TAUGHT:
            continue
        order = np.random.default_rng(study.seed).permutation(paths.to_numpy())
        learned, others[name] = learned.add(name, list(order[:TAUGHT])), list(order[TAUGHT:])
    places = torch.tensor([learned.categories.index(name) for name in finder.categories])
    for when, share in {
        "before": rightly(finder, pixels, truth),
        "after": rightly(learned, pixels, places[truth]),
    }.items():
        yield f"{len(pixels)} test photos of known names, named rightly {when} teaching: {share:.1%}"
    for name, paths in others.items():
        share = rightly(learned, seen(learned, paths), torch.tensor(learned.categories.index(name)))
        yield f"taught {name} by {TAUGHT} photos: of {len(paths)} others named rightly {share:.1%}"


def planted(study: Study, finder: Finder, run: str) -> Iterator[str]:
    """Names of training photos, changed at random and looked for."""
    architecture = finder.network.architecture
    network = Recogniser(1, **architecture | {"views": [1.0]}).to(memory_format=torch.channels_last).eval()
    network.load_pretrained(pretrained_weights(architecture["backbone"]))
    photos = study.prepared(finder.size, finder.colour)
    features = open_run(run, study).features(network, photos)[photos.rows["train"]]
    unit, labels = F.normalize(features - features.mean(dim=0), dim=1), photos.labels["train"]
    for seed in range(3):
        generator, count = np.random.default_rng(seed), round(PLANTED * len(labels))
        changed, wrong = generator.choice(len(labels), count, replace=False), labels.clone()
        wrong[changed] += torch.from_numpy(generator.integers(1, photos.categories, count))
        found = {*suspicious_labels(unit, wrong % photos.categories)["photo"]}
        hit = len(found & {*changed.tolist()})
        yield f"{count} names changed: {hit / count:.1%} of them suspected; of {len(found)} suspects {hit} changed"


def timed(run: str, finder: Finder, paths: list[str]) -> Iterator[str]:
    """The first answer of a new process, and photos a second afterwards."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "autoparts", "identify", paths[0], "--run", str(finder_file(run))]
    subprocess.run(command, check=True)
    yield f"first answer: {time.perf_counter() - started:.1f} s"
    started = time.perf_counter()
    list(finder.identify_files(paths[:128]))
    yield f"photos a second: {len(paths[:128]) / (time.perf_counter() - started):.0f}"


def main(run: str, data: str, *other: str) -> None:
    """Print a line for each figure."""
    finder = autoparts.load_finder(finder_file(run))
    facts = read_json(run_folder(run) / "run.json", "give a finished run")
    given = next(iter(facts["executed"].values()))["parameters"]
    study = open_study(data, **{name: given[name] for name in SHARED})
    tests = study.subset("test")
    pixels, truth = seen(finder, tests["path"].tolist()), study.photos.labels["test"]
    print("\n".join(timed(run, finder, tests["path"].tolist())), flush=True)
    away = refused(finder, drawn(finder.size)).view(4, -1).sum(dim=1).tolist()
    print(f"refused of 25 each: noise, one colour, stripes, clouds: {away}", flush=True)
    for folder in other:
        photos = seen(finder, sorted(map(str, Path(folder).iterdir())))
        print(f"refused of {len(photos)} in {folder}: {refused(finder, photos).double().mean():.1%}", flush=True)
    for lines in (turned(finder, pixels, truth), taught(finder, study, pixels, truth), planted(study, finder, run)):
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
