"""Chapter 6's proposals tried: each row trained and judged alike, on all categories and on unseen ones."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import augmentation, losses, models, retrieval, tasks, training
from autoparts.errors import UserError
from autoparts.experiments.recommended import train_recommended
from autoparts.experiments.variants import RECIPES, THESIS, CountedTriplets, Row
from autoparts.sampling import Photos, derived_seed, seeded
from autoparts.study.fingerprint import fingerprint
from autoparts.study.run import Run

MEASURES = ("precision@1", "precision@1 macro", "recall@5", "MAP@R", "ROC AUC", "EER", "ranking")


@dataclass(frozen=True)
class Settings:
    """What all rows share."""

    epochs: int
    batch_size: int = 64
    learning_rate: float = 5e-4
    embedding_size: int = 128
    filters: Sequence[int] = models.THESIS_FILTERS
    seeds: int = 1  # trainings per row
    draws: int = 500  # bootstrap samples


def resized(photos: Photos, side: int) -> Photos:
    """Return the same photos at another size in pixels, each new pixel the mean of what it covers."""
    if side == photos.side:
        return photos
    blocks = [F.interpolate(block[:, None].float(), (side, side), mode="area") for block in photos.pixels.split(1024)]
    return replace(photos, pixels=torch.cat([block[:, 0].round().byte() for block in blocks]))


def only(photos: Photos, categories: Tensor) -> Photos:
    """Keep the photos of some categories (C,) int64; their labels become 0 to C - 1, in the same order."""
    rows, labels, ordered = {}, {}, categories.sort().values
    for split, own in photos.labels.items():
        kept = torch.isin(own, ordered)
        rows[split], labels[split] = photos.rows[split][kept], torch.searchsorted(ordered, own[kept])
    return replace(photos, rows=rows, labels=labels)


def share_of(photos: Photos, share: float, seed: int) -> Photos:
    """Keep a share of each category's training photos, at least two where there are two."""
    rows, labels = photos.rows["train"], photos.labels["train"]
    order = torch.randperm(len(rows), generator=seeded(seed))
    groups = order[labels[order].argsort(stable=True)].split(labels.bincount().tolist())
    kept = torch.cat([group[: max(2, math.ceil(share * len(group)))] for group in groups]).sort().values
    return replace(photos, rows=photos.rows | {"train": rows[kept]}, labels=photos.labels | {"train": labels[kept]})


def network_of(row: Row, settings: Settings, photos: Photos, seed: int) -> nn.Module:
    """Build a row's network, (B, 1, side, side) to embeddings or logits, with new weights."""
    outputs = photos.categories if isinstance(row.task, tasks.Naming) else settings.embedding_size
    if row.network == "residual":
        return models.initialised(seed, models.residual_network, outputs)
    if row.network == "components":
        return models.initialised(seed, on_components, outputs, photos)
    return models.thesis_network(outputs, tuple(settings.filters), photos.side, seed=seed)


def on_components(outputs: int, photos: Photos) -> nn.Module:
    """Build a network on 500 principal components of training photos, its first layer; that layer is not trained."""
    pixels = models.photo_input(photos.pixels[photos.rows["train"]]).flatten(1).cpu().numpy()
    pca = PCA(min(500, *pixels.shape), svd_solver="randomized", random_state=0).fit(pixels)
    project = nn.Linear(pixels.shape[1], pca.n_components_).requires_grad_(False)
    # Brought to unit variance on the whole, so that one learning rate fits this input too.
    weights = torch.from_numpy(pca.components_) / math.sqrt(pca.explained_variance_.mean())
    project.weight.data, project.bias.data = weights, -weights @ torch.from_numpy(pca.mean_)
    hidden = nn.Linear(pca.n_components_, 512)
    return nn.Sequential(nn.Flatten(), project, hidden, nn.ReLU(), nn.Linear(512, outputs))


def augment_of(row: Row, photos: Photos) -> training.Augment | None:
    """Return the augmentation of all photos, or of those in categories smaller than the median one."""
    rows, labels = photos.rows["train"], photos.labels["train"]
    sizes = labels.bincount()
    changed = rows[(sizes < sizes[sizes > 0].median())[labels]] if row.augmentation == "small" else rows

    def augment(inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        """Change the chosen photos of a batch."""
        chosen = torch.isin(rows, changed).to(inputs.device)[:, None, None, None]
        return torch.where(chosen, augmentation.augment(inputs, generator), inputs)

    return None if row.augmentation == "none" else augment


def train(
    run: Run, row: Row, settings: Settings, photos: Photos, seed: int, validate: bool = False
) -> tuple[nn.Module, pd.DataFrame]:
    """Train a row on photos, unless that is done; return the network and its history.

    Weights in `models/beyond/` are named after what determines them: rows that differ in names alone share a training.
    """
    given = replace(share_of(photos, row.share, seed), seed=seed)
    same = replace(row, group="", name="", hamming=False), replace(settings, seeds=1, draws=0)
    name = f"beyond/{fingerprint(same, seed, given.side, given.rows['train'])[:16]}"
    network, rate, schedule = network_of(row, settings, given, seed), settings.learning_rate, training.constant
    if row.network == "residual":
        rate, schedule = 4 * rate, training.one_cycle
    options = {"photos": given, "seed": seed, "augment": augment_of(row, given), "schedule": schedule}
    options |= {"validate": validate, "say": lambda line: None}  # a line for each row is enough
    return network, run.fit(name, network, row.task, settings.epochs, settings.batch_size, rate, **options)


def collapse(embeddings: Tensor, losses: pd.Series) -> str:
    """Say whether (M, D) embeddings of photos not trained on are all alike, or the epochs' losses do not fall."""
    spread = float((embeddings - embeddings.mean(dim=0)).norm(dim=1).mean())
    if spread < 1e-3 * max(float(embeddings.norm(dim=1).mean()), 1e-12):
        return "collapsed: all embeddings are alike"
    return "stuck: the loss did not fall" if len(losses) > 2 and losses.iloc[-1] >= 0.98 * losses.iloc[0] else ""


def cut_at_medians(model: retrieval.Embedded, photos: Photos) -> retrieval.Embedded:
    """Keep one bit per number of the embeddings, set for half of the training photos; apart is how many differ."""
    medians = model.vectors[photos.rows["train"]].median(dim=0).values
    return retrieval.Embedded((model.vectors > medians).float(), "manhattan")


def compare(
    run: Run, rows: Sequence[Row], settings: Settings, photos: Photos, judged: Photos | None = None
) -> pd.DataFrame:
    """Train each row on `photos`, once for each seed, unless that is done, and judge it on them or on `judged`.

    Returns:
        One row per model: group, variant, the measures of `retrieval.judge` averaged over the seeds, `spread` (the
        largest minus the smallest precision@1 over the seeds), and a verdict where a training collapsed.
    """
    judged, table = judged or photos, []
    for row in rows:
        started, scores = time.perf_counter(), []
        for seed in range(settings.seeds):
            network, history = train(run, row, settings, photos, derived_seed(run.study.seed, f"variant {seed}"))
            model = retrieval.embedded(network, judged, row.task.distance)
            model = cut_at_medians(model, judged) if row.hamming else model
            # Hard triplets cost at least the margin, so their loss says nothing of progress.
            falling = history["training_loss"].head(0 if getattr(row.task, "mined", "") == "hard" else None)
            verdict = collapse(model.vectors[judged.rows["validation"]], falling)
            scores.append(retrieval.judge(model, judged, settings.draws)[0] | {"verdict": verdict})
        print(f"{row.group}: {row.name}, {time.perf_counter() - started:.0f} s")
        table.append({"group": row.group, "variant": row.name, **_summary(scores)})
    return pd.DataFrame(table)


def _summary(scores: Sequence[dict]) -> dict:
    frame = pd.DataFrame(scores)
    verdicts = sorted(set(frame.pop("verdict")) - {""})
    spread = float(frame["precision@1"].max() - frame["precision@1"].min())
    return frame.mean().to_dict() | {"spread": spread, "verdict": "; ".join(verdicts)}


def triplet_kinds(run: Run, settings: Settings, photos: Photos) -> pd.DataFrame:
    """Train on semi-hard triplets: epoch, and the shares of hard, semi-hard and easy triplets after it."""
    row = Row("", "", CountedTriplets(batch_size=settings.batch_size))
    return train(run, row, settings, photos, run.study.seed, validate=True)[1][["epoch", *losses.KINDS]]


def losses_by_recipe(table: pd.DataFrame) -> pd.DataFrame:
    """Set precision@1 of the thesis's three losses beside those of the same losses with the better recipe."""
    score = table.set_index("variant")["precision@1"]
    plain = {loss: score[row.name] for loss, row in THESIS.items()}
    better = {loss: score[RECIPES[loss].name] for loss in THESIS}
    return pd.DataFrame({"thesis network": plain, "residual, augmented": better}).rename_axis("loss")


def unseen(run: Run, rows: Sequence[Row], settings: Settings, photos: Photos, share: float = 0.15) -> pd.DataFrame:
    """Hold a share of the categories out of training, and judge models on these alone; as of `compare`.

    Their training photos are the gallery, all others the queries; the threshold comes from the other categories. Two
    rows per model: `trained on them` no, and yes for one trained on all. No row where there are too few categories.
    """
    order = torch.randperm(photos.categories, generator=photos.generator("unseen"))
    count = max(2, round(share * photos.categories))
    hidden, others = only(photos, order[:count]), only(photos, order[count:])

    def mixed(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take queries from one side, and the threshold's photos from the other."""
        test = torch.cat([own["validation"], own["test"]])
        return {"train": own["train"], "validation": other["validation"], "test": test}

    judged = replace(photos, rows=mixed(hidden.rows, others.rows), labels=mixed(hidden.labels, others.labels))
    try:
        judged.pairs("validation"), judged.pairs("test")
    except UserError as error:
        print(f"no categories are held out: {error}")
        return pd.DataFrame(columns=["variant", "trained on them", *MEASURES])
    tables = {"no": compare(run, rows, settings, others, judged), "yes": compare(run, rows, settings, photos, judged)}
    marked = [table.assign(**{"trained on them": known}) for known, table in tables.items()]
    return pd.concat(marked).sort_values("variant", kind="stable", ignore_index=True)


def over_seeds(run: Run, results: Mapping[str, dict], settings: Settings, epochs: int, **recipe: Any) -> pd.DataFrame:
    """Train the thesis's networks and the recommended one several times at full size, on the same split.

    How the thesis's were trained is in their saved results; of the settings, `seeds` and `draws` count. The epochs and
    `recipe` are the recommended model's (see `train_recommended`), whose first training is the run's own. Returns rows
    as of `compare`.
    """
    study, tables, scores = run.study, [], []
    for result in results.values():
        fields, layout = dict(result["trained_for"]), result["architecture"]
        task = {"Naming": tasks.Naming, "Pairs": tasks.Pairs, "Triplets": tasks.Triplets}[fields.pop("kind")]
        sizes = {"embedding_size": layout["outputs"], "filters": tuple(layout["filters"])}
        row, own = Row("thesis", result["title"], task(**fields)), replace(settings, **sizes, **result["settings"])
        tables.append(compare(run, [row], own, study.photos))
    for seed in range(study.seed, study.seed + settings.seeds):
        name = "recommended" if seed == study.seed else f"recommended-{seed}"
        model = train_recommended(run, epochs, seed, name, **recipe).seen
        scores.append(retrieval.judge(model, study.photos, settings.draws)[0] | {"verdict": ""})
    best = {"group": "recipe", "variant": "recommended", **_summary(scores)}
    return pd.concat([*tables, pd.DataFrame([best])], ignore_index=True)
