"""What chapter 6 and section 2.2.3.2 of the thesis propose: rows of changes, trained and judged alike."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import display, mining, models, recipe, retrieval, sampling, training
from autoparts.evaluation import Pairs, embed
from autoparts.losses import distance_matrix
from autoparts.study import SPLITS, Study, StudyError, derived_seed
from autoparts.variants import EACH, MARGINS, Part, Settings, Variant, train

MEASURES = ("precision@1", "precision@1 macro", "recall@5", "MAP@R", "ROC AUC", "EER", "ranking")


def part_of(study: Study, side: int, categories: np.ndarray | None = None) -> Part:
    """Take the study's photos at another size, and only those of some categories.

    Args:
        study: the photos and their split.
        side: in pixels.
        categories: labels to keep; None keeps all. A part of only some has no lists to judge on: a few categories
            may have none with two validation photos.
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
    return Part(photos, rows, labels, *(_lists(study, labels) if categories is None else ()))


def _lists(study: Study, labels: Mapping[str, Tensor]) -> tuple[dict[str, Pairs], tuple[Tensor, ...]]:
    """Draw the fixed lists that every model is judged on: validation and test pairs, test triplets."""
    counts = {split: min(10 * len(labels[split]), 10_000) for split in ("validation", "test")}
    try:
        pairs = {
            split: Pairs(*sampling.random_pairs(labels[split], count, study.generator(f"judge {split}")))
            for split, count in counts.items()
        }
        triplets = sampling.random_triplets(labels["test"], counts["test"], study.generator("judge triplets"))
    except ValueError as error:
        raise StudyError(f"the models cannot be judged on so few photos: {error}") from None
    return pairs, triplets


def embedded(network: nn.Module, part: Part, kind: str) -> retrieval.Embedded:
    """See a part's photos through a network; with `kind` "hamming" one bit per number of the embedding is kept."""
    vectors = {split: embed(network, part.photos, part.rows[split]) for split in SPLITS}
    if kind == "hamming":  # on 0 and 1, the Manhattan distance counts the places that differ
        middle = vectors["train"].median(dim=0).values  # so that each bit is set for half of the training photos
        bits = {name: (each > middle).float() for name, each in vectors.items()}
        return retrieval.Embedded(bits, part.labels, "manhattan")
    return retrieval.Embedded(vectors, part.labels, "euclidean" if kind == "squared" else kind)


def save_lists(study: Study, part: Part) -> None:
    """Write the fixed lists that models are judged on to tables/: rows of split.csv, within their part of the split."""
    for split, pairs in part.pairs.items():
        display.save_csv(study.folder, f"pairs_{split}", pd.DataFrame(dict(zip(Pairs._fields, pairs, strict=True))))
    names = ("anchor", "positive", "negative")
    display.save_csv(study.folder, "triplets_test", pd.DataFrame(dict(zip(names, part.triplets, strict=True))))


def triplet_kinds(part: Part, variant: Variant, settings: Settings, seed: int, batches: int = 5) -> pd.DataFrame:
    """Share of hard, semi-hard and easy triplets in some fixed batches, after each epoch of a training.

    Returns:
        One row per epoch: epoch, hard, semi-hard, easy.
    """
    rows, labels = part.rows["train"], part.labels["train"]
    fixed = sampling.category_batches(rows, labels, settings.batch_size, EACH, models.seeded(seed))[:batches]
    margin = MARGINS[variant.distance]

    def measure(network: nn.Module) -> dict[str, float]:
        total = dict.fromkeys(mining.KINDS, 0)
        for batch in fixed:
            vectors = embed(network, part.photos, batch.photos)
            counts = mining.count_kinds(distance_matrix(vectors, vectors, variant.distance), batch.target[0], margin)
            total = {kind: total[kind] + counts[kind] for kind in total}
        return {kind: count / max(sum(total.values()), 1) for kind, count in total.items()}

    _, history = train(part, variant, settings, seed, measure=measure, say=_silent)
    return history[["epoch", *mining.KINDS]]


def losses_by_recipe(table: pd.DataFrame) -> pd.DataFrame:
    """Set precision@1 of the thesis's three losses beside those of the same losses with the better recipe."""
    names = {
        "cross-entropy": ("cross-entropy (plain network)", "cross-entropy, residual trunk, augmented"),
        "contrastive": ("contrastive, random pairs", "contrastive, residual trunk, augmented"),
        "triplet": ("random triplets, as in the thesis", "random triplets, residual trunk, augmented"),
    }
    score = table.set_index("variant")["precision@1"]
    rows = {
        loss: {"thesis network": score[plain], "residual, augmented": score[better]}
        for loss, (plain, better) in names.items()
    }
    return pd.DataFrame(rows).T.rename_axis("loss")


def unseen(study: Study, part: Part, rows: list[Variant], settings: Settings, share: float = 0.15) -> pd.DataFrame:
    """Judge models on categories that they were not trained on, beside the same models trained on all categories.

    Args:
        study: whose photos these are.
        part: all its photos.
        rows: the models.
        settings: what all rows share.
        share: of the categories to hold out of training; drawn from the study's seed.

    Returns:
        Two rows per model, `trained on them` no and yes: the measures among the held-out categories alone, each with
        its training photos as gallery and the others as queries; the threshold comes from the other categories. No
        row where there are too few categories or photos for that.
    """
    count = max(2, round(share * len(study.categories)))
    order = torch.randperm(len(study.categories), generator=study.generator("unseen"))
    held_out = order[:count].numpy()
    others = np.setdiff1d(np.arange(len(study.categories)), held_out)
    seen, hidden = part_of(study, settings.side, others), part_of(study, settings.side, held_out)
    rows_of = {
        "train": hidden.rows["train"],
        "validation": seen.rows["validation"],
        "test": torch.cat([hidden.rows["validation"], hidden.rows["test"]]),
    }
    labels = {
        "train": hidden.labels["train"],
        "validation": seen.labels["validation"],
        "test": torch.cat([hidden.labels["validation"], hidden.labels["test"]]),
    }
    try:
        judged = Part(hidden.photos, rows_of, labels, *_lists(study, labels))
    except StudyError as error:
        print(f"no categories are held out: {error}")
        return pd.DataFrame(columns=["variant", "trained on them", *MEASURES])
    tables = []
    for trained_on, known in ((seen, "no"), (part, "yes")):
        tables.append(compare(trained_on, rows, settings, study, judged).assign(**{"trained on them": known}))
    return pd.concat(tables).sort_values("variant", kind="stable", ignore_index=True)


def compare(
    part: Part, rows: list[Variant], settings: Settings, study: Study, judged: Part | None = None
) -> pd.DataFrame:
    """Train and judge each row; a row that is done is not trained again.

    Args:
        part: photos to train on.
        rows: the models.
        settings: what all rows share; each of its seeds trains every row once.
        study: keeps the trained weights.
        judged: photos to judge on, if others than those of `part`.

    Returns:
        One row per variant: group, variant, the measures of `retrieval.judge` averaged over the seeds, `spread` (the
        largest minus the smallest precision@1 over the seeds), and a verdict where a training collapsed.
    """
    table = []
    for variant in rows:
        started = time.perf_counter()
        scores = [_score(part, judged or part, variant, settings, study, seed) for seed in range(settings.seeds)]
        print(f"{variant.group}: {variant.name}, {time.perf_counter() - started:.0f} s")
        table.append({"group": variant.group, "variant": variant.name, **_over_seeds(scores)})
    return pd.DataFrame(table)


def over_seeds(
    study: Study,
    part: Part,
    results: Mapping[str, Mapping[str, Any]],
    settings: Settings,
    recipe_epochs: int,
    backbone: str = "",
) -> pd.DataFrame:
    """Train the thesis's networks and the recommended one several times at full size, on the same split.

    Args:
        study: the photos and their split.
        part: all its photos, at full size.
        results: saved results of the thesis's networks, which hold how they were trained.
        settings: `seeds` and `draws` count.
        recipe_epochs: epochs of the recommended model; its first training is the run's own.
        backbone: see `recipe.train_recommended`.

    Returns:
        One row per model, as of `compare`.
    """
    side = part.photos.shape[-1]
    tables = [
        compare(
            part,
            [Variant(name=result["title"], **result["variant"])],
            replace(settings, side=side, **result["settings"]),
            study,
        )
        for result in results.values()
    ]
    scores = []
    for seed in range(study.seed, study.seed + settings.seeds):
        name = "recommended" if seed == study.seed else f"recommended-{seed}"
        network, _ = recipe.train_recommended(study, recipe_epochs, seed, study.checkpoint(name), backbone)
        model = embedded(network, part, "cosine")
        scores.append(retrieval.judge(model, part.pairs, part.triplets, settings.draws, study.seed)[0])
    tables.append(pd.DataFrame([{"group": "recipe", "variant": "recommended", **_over_seeds(scores)}]))
    return pd.concat(tables, ignore_index=True)


def _over_seeds(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean of each measure over trainings, spread of precision@1, and all that was said of them."""
    frame = pd.DataFrame(scores)
    verdicts = frame.pop("verdict") if "verdict" in frame else []
    spread = float(frame["precision@1"].max() - frame["precision@1"].min())
    return frame.mean().to_dict() | {"spread": spread, "verdict": "; ".join(sorted(set(verdicts) - {""}))}


def _score(part: Part, judged: Part, variant: Variant, settings: Settings, study: Study, seed: int) -> dict[str, Any]:
    seed = derived_seed(study.seed, f"variant {seed}")
    # Neither names nor how a network is judged change its training, so rows that differ in these share one.
    trained = replace(variant, group="", name="", judged_by=""), replace(settings, seeds=1, draws=0)
    key = study.key(variant=trained, seed=seed, rows=sorted(part.rows["train"].tolist()))
    checkpoint = study.checkpoint(f"beyond/{key}")
    network, history = train(part, variant, settings, seed, checkpoint=checkpoint, key=key, say=_silent)
    model = embedded(network, judged, variant.judged_by or variant.distance)
    # Hard triplets cost at least the margin, so their loss says nothing of progress.
    losses = history["training_loss"].head(0 if variant.sampling == "hard" else None)
    scores, _ = retrieval.judge(model, judged.pairs, judged.triplets, settings.draws, study.seed)
    return scores | {"verdict": training.collapse(model.vectors["validation"], losses)}


def _silent(line: str) -> None:
    """Say nothing of an epoch: a line for each row follows."""
