"""What chapter 6 and section 2.2.3.2 of the thesis propose: rows of changes, trained and judged alike."""

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import retrieval, sampling, training
from autoparts.evaluation import Pairs, embed
from autoparts.study import SPLITS, Study
from autoparts.variants import Part, Settings, Variant, train


def part_of(study: Study, side: int, categories: np.ndarray | None = None) -> Part:
    """Take the study's photos at another size, and only those of some categories.

    Args:
        study: the photos and their split.
        side: in pixels.
        categories: labels to keep; None keeps all.
    """
    photos = study.photos
    if side != photos.shape[-1]:
        blocks = [F.interpolate(block[:, None].float(), (side, side), mode="area") for block in photos.split(1024)]
        photos = torch.cat([block[:, 0].round().byte() for block in blocks])
    rows, labels = {}, {}
    for split in SPLITS:
        own = study.labels(split)
        kept = (
            torch.ones_like(own, dtype=torch.bool)
            if categories is None
            else torch.isin(own, torch.as_tensor(categories))
        )
        rows[split] = study.rows(split)[kept]
        present = (
            own[kept] if categories is None else torch.searchsorted(torch.as_tensor(np.sort(categories)), own[kept])
        )
        labels[split] = present
    return Part(photos, rows, labels, *_lists(study, labels))


def _lists(study: Study, labels: Mapping[str, Tensor]) -> tuple[dict[str, Pairs], tuple[Tensor, ...]]:
    """Draw the fixed lists that every model is judged on: validation and test pairs, test triplets."""
    pairs = {}
    for split in ("validation", "test"):
        count = min(10 * len(labels[split]), 10_000)
        pairs[split] = Pairs(*sampling.random_pairs(labels[split], count, study.generator(f"judge {split}")))
    count = min(10 * len(labels["test"]), 10_000)
    return pairs, sampling.random_triplets(labels["test"], count, study.generator("judge triplets"))


def embedded(network: nn.Module, part: Part, kind: str) -> retrieval.Embedded:
    """See a part's photos through a network; with `kind` "hamming" only the signs of the embedding are kept."""
    vectors = {split: embed(network, part.photos, part.rows[split]) for split in SPLITS}
    if kind == "hamming":  # on 0 and 1, the Manhattan distance counts the places that differ
        return retrieval.Embedded({name: (v > 0).float() for name, v in vectors.items()}, part.labels, "manhattan")
    return retrieval.Embedded(vectors, part.labels, "euclidean" if kind == "squared" else kind)


def compare(part: Part, rows: list[Variant], settings: Settings, study: Study) -> pd.DataFrame:
    """Train and judge each row; a row that is done is not trained again.

    Returns:
        One row per variant: group, variant, the measures of `retrieval.judge`, and a verdict where training collapsed.
    """
    table = []
    for variant in rows:
        started = time.perf_counter()
        key = study.key(variant=variant, settings=settings, rows=len(part.rows["train"]))
        name = "beyond/" + key
        network, history = train(part, variant, settings, checkpoint=study.checkpoint(name), key=key, say=_silent)
        print(f"{variant.group}: {variant.name}, {time.perf_counter() - started:.0f} s")
        model = embedded(network, part, variant.judged_by or variant.distance)
        scores, _ = retrieval.judge(model, part.pairs, list(part.triplets), settings.draws, settings.seed)
        verdict = training.collapse(model.vectors["validation"], history)
        table.append({"group": variant.group, "variant": variant.name, **scores, "verdict": verdict})
    return pd.DataFrame(table)


def _silent(line: str) -> None:
    """Say nothing of an epoch: a table of all rows follows."""
