"""Chapter 6's proposals tried: each row trained on as many photos, and judged alike."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import augmentation, models, retrieval, tasks, training
from autoparts.errors import UserError
from autoparts.evaluation import embed
from autoparts.experiments import comparison, subsets, variants
from autoparts.experiments.parallel import heard, one_thread, side_by_side
from autoparts.experiments.variants import Budgeted, Row
from autoparts.sampling import Photos, derived_seed
from autoparts.study.fingerprint import fingerprint
from autoparts.study.run import Run

MEASURES = ("precision@1", "precision@1 macro", "recall@5", "MAP@R", "ROC AUC", "EER", "ranking")
SHOWN = [*MEASURES, "spread", *comparison.TRAINED]
RISING = 0.01  # of validation precision@1
ALIKE = 0.01  # mean distance of embeddings to their mean, as a share of their length


@dataclass(frozen=True)
class Settings:
    """What all rows share."""

    epochs: int  # as many photos as this many passes over the training photos go through each network
    batch_size: int = 64
    learning_rate: float = 5e-4
    embedding_size: int = 128
    filters: Sequence[int] = models.THESIS_FILTERS
    seeds: int = 1  # trainings per row
    draws: int = 500  # bootstrap samples


class Trial(NamedTuple):
    """One row trained once and judged."""

    scores: dict[str, Any]
    named: pd.Series  # precision@1 of each test photo
    history: pd.DataFrame  # one row per epoch; none if it was not trained
    seconds: float


class Comparison(NamedTuple):
    """All rows, judged alike."""

    table: pd.DataFrame  # a line each
    queries: dict[str, pd.DataFrame]  # name of the row to the precision@1 of each test photo, a column per training
    histories: dict[str, pd.DataFrame]  # name of a trained row to the mean of its trainings' histories


def network_of(row: Row, settings: Settings, photos: Photos, seed: int) -> nn.Module:
    """Build a row's network, (B, 1, side, side) to embeddings or logits, with new weights; UserError if unknown."""
    outputs = photos.categories if isinstance(row.task, tasks.Naming) else settings.embedding_size
    if callable(row.network):
        return models.initialised(seed, row.network, outputs, photos)
    if row.network not in variants.NETWORKS:
        raise UserError(f"row {row.name!r} has network {row.network!r}; expected {variants.NETWORKS}, or a function")
    if row.network == "pixels":
        return nn.Flatten()
    if row.network == "residual":
        stages = tuple(settings.filters[0] * 2**stage for stage in range(4))
        return models.initialised(seed, models.residual_network, outputs, stages)
    if row.network == "components":
        return models.initialised(seed, variants.on_components, outputs, photos)
    return models.thesis_network(outputs, tuple(settings.filters), photos.side, seed=seed)


def augment_of(row: Row, photos: Photos) -> training.Augment | None:
    """Return a row's augmentation: its own, or of all photos, or of those in categories smaller than the median one."""
    if callable(row.augmentation):
        return row.augmentation
    if row.augmentation not in variants.AUGMENTATIONS:
        known = f"{variants.AUGMENTATIONS}, or a function"
        raise UserError(f"row {row.name!r} has augmentation {row.augmentation!r}; expected {known}")
    rows, labels = photos.rows["train"], photos.labels["train"]
    sizes = labels.bincount()
    changed = rows[(sizes < sizes[sizes > 0].median())[labels]] if row.augmentation == "small" else rows

    def augment(inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        """Change the chosen photos of a batch."""
        chosen = torch.isin(rows, changed).to(inputs.device)[:, None, None, None]
        return torch.where(chosen, augmentation.augment(inputs, generator), inputs)

    return None if row.augmentation == "none" else augment


def train(run: Run, row: Row, settings: Settings, photos: Photos, seed: int) -> tuple[nn.Module, pd.DataFrame]:
    """Train a row, unless that is done; return the network of the best epoch on validation photos, and the history.

    Weights are named after what determines them: rows that differ in names alone share a training. A task that has a
    warm-up begins with the best weights of a third of the passes on that, but the best epoch is one of its own.
    """
    given = replace(subsets.share_of(photos, row.share, seed), seed=seed)
    network, begun = network_of(row, settings, given, seed), pd.DataFrame()
    if not row.trained:
        return network, begun
    if isinstance(warm_up := getattr(row.task, "warm_up", None), tasks.Task) and (first := settings.epochs // 3):
        warm, begun = train(run, replace(row, task=warm_up), replace(settings, epochs=first), photos, seed)
        network.load_state_dict(warm.state_dict())
    same = replace(row, group="", name="", hamming=False), replace(settings, seeds=1, draws=0)
    name = f"beyond/{fingerprint(same, seed, given.side, given.rows['train'])[:16]}"
    task, rate = Budgeted(row.task, len(photos.rows["train"])), settings.learning_rate * row.rate
    schedule = training.one_cycle if row.network == "residual" else training.constant
    options = {"photos": given, "seed": seed, "augment": augment_of(row, given), "schedule": schedule, "say": heard}
    later = run.fit(name, network, task, settings.epochs - len(begun), settings.batch_size, rate, **options)
    later["epoch"] += len(begun)
    history = pd.concat([begun, later], ignore_index=True) if len(begun) else later
    history.attrs |= {"name": name, "warm-up": len(begun)}
    return training.load_weights(network, run.weights(name), best=True), history


def try_row(run: Run, row: Row, settings: Settings, photos: Photos, judged: Photos, seed: int) -> Trial:
    """Train a row on `photos`, and judge it on `judged`: on a share of either's training photos, if the row says so."""
    started, judged = time.perf_counter(), subsets.share_of(judged, row.share, seed)
    with one_thread(run):
        network, history = train(run, row, settings, photos, seed)
        model = retrieval.embedded(network.to(judged.device), judged, row.task.distance)
        model = cut_at_medians(model, judged) if row.hamming else model
        scores, named = retrieval.judge(model, judged)
        verdict = ended(run, row, network, history, judged)
    return Trial(scores | {"verdict": verdict}, named["precision@1"], history, time.perf_counter() - started)


def validated(run: Run, row: Row, settings: Settings, photos: Photos, seed: int) -> float:
    """Return the highest validation precision@1 of a row's training, or NaN if it diverges; no test photo is seen."""
    with one_thread(run), suppress(training.DivergedError):
        history = train(run, row, settings, photos, seed)[1]
        return history["validation_precision@1"].iloc[history.attrs["warm-up"] :].max()
    return math.nan


def ended(run: Run, row: Row, network: nn.Module, history: pd.DataFrame, judged: Photos) -> str:
    """Say what a row's training ended in, see `collapse`: after its last epoch, though an earlier one may be judged."""
    if not row.trained:
        return ""
    network = training.load_weights(network, run.weights(history.attrs["name"])).to(judged.device)
    vectors = embed(network, judged.pixels, judged.rows["validation"])
    vectors = F.normalize(vectors, dim=1) if row.task.distance == "cosine" else vectors
    # Hard triplets cost at least the margin, so their loss hardly falls, whatever they learn.
    falling = [] if getattr(row.task, "mined", "") == "hard" else history["training_loss"]
    return collapse(vectors, pd.Series(falling, dtype=float))


def collapse(embeddings: Tensor, losses: pd.Series) -> str:
    """Say whether (M, D) embeddings of photos not trained on are all alike, or the epochs' losses do not fall."""
    spread = float((embeddings - embeddings.mean(dim=0)).norm(dim=1).mean())
    if spread < ALIKE * max(float(embeddings.norm(dim=1).mean()), 1e-12):
        return "collapsed: all embeddings are alike"
    return "stuck: the loss did not fall" if len(losses) > 2 and losses.iloc[-1] >= 0.98 * losses.iloc[0] else ""


def cut_at_medians(model: retrieval.Embedded, photos: Photos) -> retrieval.Embedded:
    """Keep one bit per number of the embeddings, set for half of the training photos; apart is how many differ."""
    bits = model.vectors > model.vectors[photos.rows["train"]].median(dim=0).values
    return retrieval.Embedded(bits.float(), "manhattan")


def compare(run: Run, rows: Sequence[Row], settings: Settings, photos: Photos) -> Comparison:
    """Train each row on the photos, once for each seed, unless that is done, and judge it on them.

    The table has group, variant, the measures of `retrieval.judge` averaged over the seeds, `spread` (the
    largest minus the smallest precision@1), the learning rate and the margin, and a verdict where a training
    collapsed, or where the last quarter of its photos still gained a point of validation precision@1.
    UserError for two rows of one name.
    """
    names = [row.name for row in rows]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"rows have one name, {sorted(twice)[0]!r}: give each its own, or drop the earlier one")
    # The longest trainings come first: at the end one of them would run alone. A row that only reads another's bits
    # comes after all have ended, so that no two processes train the same.
    seeds, order = seeds_of(run, settings), sorted(rows, key=lambda row: (row.hamming, row.network != "residual"))
    tried: dict[str, list[Trial]] = {}
    for _, group in groupby(order, key=lambda row: row.hamming):
        part = [*group]
        jobs = [(run, row, settings, photos, photos, seed) for row in part for seed in seeds]
        done = side_by_side(try_row, jobs, photos.device)
        for row in part:
            tried[row.name] = [next(done) for _ in seeds]
            print(f"{row.group}: {row.name}, {sum(trial.seconds for trial in tried[row.name]):.0f} s")
    table, queries, histories = [], {}, {}
    for row in rows:
        trials = tried[row.name]
        queries[row.name] = pd.concat([trial.named for trial in trials], axis=1)
        facts = {"group": row.group, "variant": row.name}
        if row.trained:
            histories[row.name] = sum(trial.history for trial in trials) / len(trials)
            facts |= {"learning rate": settings.learning_rate * row.rate, "margin": getattr(row.task, "margin", None)}
        facts |= _summary(trials, histories.get(row.name))
        low, high = comparison.limits_of(queries[row.name], photos, settings.draws)
        table.append(facts | {"precision@1 low": low, "precision@1 high": high})
    return Comparison(pd.DataFrame(table), queries, histories)


def seeds_of(run: Run, settings: Settings) -> list[int]:
    """Return the seeds of a row's trainings."""
    return [derived_seed(run.study.seed, f"variant {seed}") for seed in range(settings.seeds)]


def _summary(trials: Sequence[Trial], history: pd.DataFrame | None) -> dict[str, Any]:
    frame = pd.DataFrame([trial.scores for trial in trials])
    verdicts = set(frame.pop("verdict")) - {""}
    if history is not None:
        curve = history["validation_precision@1"].iloc[trials[0].history.attrs["warm-up"] :]
        if curve.max() - curve.head(max(1, len(curve) * 3 // 4)).max() >= RISING:
            verdicts.add("still rising")
    return with_spread(frame) | {"verdict": "; ".join(sorted(verdicts))}


def tuned(run: Run, rows: Sequence[Row], settings: Settings, photos: Photos) -> list[Row]:
    """Choose the rate, then the margin, of each task on each network among three, on validation photos for one seed."""
    chosen: dict[tuple, Row] = {}
    for row in rows:
        if row.trained:
            chosen.setdefault((row.task, row.network), row)
    for varied in (_rates, _margins):
        chosen |= _best(run, {family: varied(row) for family, row in chosen.items()}, settings, photos)
    kept = {family: {"task": best.task, "rate": best.rate} for family, best in chosen.items()}
    return [replace(row, **kept.get((row.task, row.network), {})) for row in rows]


def _rates(row: Row) -> list[Row]:
    return [replace(row, rate=row.rate * factor) for factor in (1, 1 / 3, 3)]


def _margins(row: Row) -> list[Row]:
    margin = getattr(row.task, "margin", None)
    return [replace(row, task=replace(row.task, margin=margin * factor)) for factor in (1, 1 / 2, 2)] if margin else []


def _best(run: Run, tried: Mapping[tuple, list[Row]], settings: Settings, photos: Photos) -> dict[tuple, Row]:
    """Return of each family's rows, all trained side by side, the one best on validation photos; none of no rows."""
    jobs = [(run, row, settings, photos, seeds_of(run, settings)[0]) for rows in tried.values() for row in rows]
    found, best = iter(side_by_side(validated, jobs, photos.device)), {}
    for family, rows in tried.items():
        if scores := [next(found) for _ in rows]:
            if np.isnan(scores).all():
                raise UserError(f"{rows[0].name}: all its trainings diverge; give a lower learning_rate than they had")
            best[family] = row = rows[int(np.nanargmax(scores))]
            margin = getattr(row.task, "margin", None)
            values = f"learning rate {settings.learning_rate * row.rate:g}" + (f", margin {margin:g}" if margin else "")
            print(f"best of three: {row.name}, {values}")
    return best


def by_recipe(run: Run, rows: Sequence[Row], settings: Settings, photos: Photos, tune: bool) -> pd.DataFrame:
    """Compare the thesis's three losses with its network and with the better recipe, see `comparison.losses_by_recipe`.

    Of `rows` those of the thesis and the untrained network are taken. All are trained for `variants.LONGER` times the
    passes of the settings, since the deeper network learns slowly from augmented photos. With `tune` the rates and
    margins of the recipe's rows are chosen first, by as many passes as those of all others.
    """
    thesis = {row.name for row in (variants.UNTRAINED, *variants.THESIS.values())}
    recipes = [*variants.RECIPES.values()]
    recipes = tuned(run, recipes, settings, photos) if tune else recipes
    longer = replace(settings, epochs=variants.LONGER * settings.epochs)
    compared = compare(run, [*(row for row in rows if row.name in thesis), *recipes], longer, photos)
    return comparison.losses_by_recipe(compared.table, compared.queries, photos, settings.draws)


def with_spread(scores: pd.DataFrame) -> dict[str, float]:
    """Average the measures of trainings, a row each, and tell how far apart they are in precision@1."""
    spread = scores["precision@1"].max() - scores["precision@1"].min() if len(scores) > 1 else math.nan
    return scores.mean().to_dict() | {"spread": float(spread)}
