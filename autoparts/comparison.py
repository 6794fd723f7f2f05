"""The tables that set models beside each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from autoparts import models, retrieval
from autoparts.checkpoints import load_weights
from autoparts.evaluation import embed
from autoparts.study import SPLITS, Study
from autoparts.variants import Part

# Table 5.1 of the thesis; its CNN's validation accuracy is printed as 0.0007 %.
THESIS = {
    "cnn": {"training": 0.9979, "validation": 0.000007, "test": 0.5080},
    "contrastive": {"training": 0.9794, "validation": 0.9198, "test": 0.7024},
    "triplet": {"training": None, "validation": None, "test": 0.4036},
}


def table_5_1(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Table 5.1: for each model the thesis's accuracies and this run's, with task, chance level and n.

    Args:
        results: `cnn`, `contrastive`, `triplet` to their saved results.

    Returns:
        One row per model and source; accuracies between 0 and 1, missing where there is none.
    """
    rows = []
    for name, result in results.items():
        metrics = result["metrics"]
        low, high = metrics["test_interval"]
        ours = {part: metrics[f"{part}_accuracy"] for part in ("training", "validation", "test")}
        thesis = {"model": result["title"], "source": "thesis", **THESIS[name]}
        run = {"model": "", "source": "this run", **ours, "95 % interval": f"{low:.1%} to {high:.1%}"}
        facts = {"n (test)": metrics["n_test"], "chance": result["chance"], "task": result["task"]}
        rows += [thesis, run | facts]
    table = pd.DataFrame(rows).rename(columns={part: f"{part} accuracy" for part in ("training", "validation", "test")})
    return table.astype({"n (test)": "Int64"})


def percent(value: float) -> str:
    """Write a share in percent, with as many decimals as it takes to tell it from zero."""
    return f"{value:.4%}" if 0 < value < 0.0005 else f"{value:.2%}"


THESIS_MODELS = {"cnn": "02_cnn_baseline", "contrastive": "03_siamese_contrastive", "triplet": "04_siamese_triplet"}
LOW_IS_GOOD = ("EER", "FNMR at 1 % FMR", "FNMR at 10 % FMR")
VERIFICATION = ("ROC AUC", *LOW_IS_GOOD, "accuracy", "precision", "recall", "f1", "ranking")
PERCENTS = dict.fromkeys((*retrieval.NAMING, "precision@1 macro", *VERIFICATION, "spread"), "{:.1%}")
BEST = {name: "min" if name in LOW_IS_GOOD else "max" for name in PERCENTS if name != "spread"}
TABLE_5_1_FORMATS = dict.fromkeys(("training accuracy", "validation accuracy", "test accuracy", "chance"), percent)


def curves(results: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[pd.DataFrame, dict[str, str], str, bool]]:
    """What `figures.side_by_side` draws of the saved histories: the losses in one row, the accuracies in the next."""
    histories = {result["title"]: pd.DataFrame(result["history"]) for result in results.values()}
    panels = {}
    for measure, percent_axis in (("loss", False), ("accuracy", True)):
        names = {f"training_{measure}": "training", f"validation_{measure}": "validation"}
        panels |= {
            f"{title}: {measure}": (history, names, measure, percent_axis) for title, history in histories.items()
        }
    return panels


def load_network(study: Study, name: str, result: Mapping[str, Any]) -> torch.nn.Module:
    """Load the last weights of one of the thesis's models, as its notebook saved them."""
    network = models.thesis_network(**result["architecture"]).to(memory_format=torch.channels_last)
    load_weights(network, study.checkpoint(name))
    return network.to(study.device)


def views(study: Study, part: Part, results: Mapping[str, Mapping[str, Any]]) -> dict[str, retrieval.Embedded]:
    """See the photos as each model does: raw pixels, 500 principal components, and the trained networks.

    The plain network's embedding is its logits, the output of its only fully connected layer.

    Args:
        study: the photos.
        part: which of them, and the lists to judge on.
        results: name to saved result of each trained model.
    """
    pixels = {split: models.photo_input(study.photos[part.rows[split]]).flatten(1).cpu() for split in SPLITS}
    pca = PCA(min(500, *pixels["train"].shape), svd_solver="randomized", random_state=study.seed)
    pca.fit(pixels["train"].numpy())
    reduced = {split: torch.from_numpy(pca.transform(values.numpy())) for split, values in pixels.items()}
    seen = {
        "raw pixels": retrieval.Embedded(pixels, part.labels),
        f"{pca.n_components_} principal components": retrieval.Embedded(reduced, part.labels),
    }
    for name, result in results.items():
        network = load_network(study, name, result)
        vectors = {split: embed(network, study.photos, part.rows[split]) for split in SPLITS}
        seen[result["title"]] = retrieval.Embedded(vectors, part.labels)
    return seen


def fair_comparison(
    seen: Mapping[str, retrieval.Embedded], part: Part, draws: int, seed: int
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Put every model through every task, on the same lists and the same bootstrap samples.

    Returns:
        One row per model with all measures of `retrieval.judge`, and a row of chance levels; and for each model the
        naming measures per test photo.
    """
    table, queries = {}, {}
    for name, model in seen.items():
        table[name], queries[name] = retrieval.judge(model, part.pairs, part.triplets, draws, seed)
    sizes = torch.bincount(part.labels["train"]).double()
    shares = sizes[part.labels["test"]] / sizes.sum()
    half = {"ROC AUC": 0.5, "EER": 0.5, "accuracy": 0.5, "ranking": 0.5}
    table["chance"] = {"precision@1": float(shares.mean()), **half}
    return pd.DataFrame(table).T.rename_axis("model"), queries


def intervals(table: pd.DataFrame, measure: str) -> pd.Series:
    """Write the 95 % interval of a measure of `fair_comparison` as text, empty where there is none."""
    limits = table[[f"{measure} low", f"{measure} high"]].astype(float)
    return limits.apply(lambda row: "" if row.isna().any() else f"{row.iloc[0]:.1%} to {row.iloc[1]:.1%}", axis=1)


def softmax_row(logits: Tensor, truth: Tensor, draws: int, seed: int) -> dict[str, float]:
    """Name test photos by a classifier's largest logit, as a row of the naming measures. (M, C) and (M,)."""
    hits = logits.argmax(dim=1) == truth
    right = hits.double()
    weights = retrieval.resampled_weights(truth, draws, np.random.default_rng(seed))
    low, high = retrieval.weighted_interval(right.numpy(), weights)
    by_category = [float(right[truth == label].mean()) for label in truth.unique()]
    top = (logits.topk(min(5, logits.shape[1])).indices == truth[:, None]).any(dim=1)
    return {
        "precision@1": float(right.mean()),
        "precision@1 low": low,
        "precision@1 high": high,
        "precision@1 macro": float(np.mean(by_category)),
        "class top-1": float(right.mean()),
        "class top-5": float(top.double().mean()),
        "queries": len(hits),
    }


def by_size(queries: Mapping[str, pd.DataFrame], groups: pd.Series) -> pd.DataFrame:
    """Precision@1 of each model for head, middle and tail. `groups` names the group of each test photo."""
    named = groups.reset_index(drop=True)
    table = {
        name: frame["precision@1"].groupby(named[frame.index], observed=True).mean() for name, frame in queries.items()
    }
    order = [group for group in ("head", "middle", "tail") if group in set(named)]
    return pd.DataFrame(table).T.reindex(columns=order).rename_axis("model")


def paired_differences(
    queries: Mapping[str, pd.DataFrame], labels: Tensor, against: str, draws: int, seed: int
) -> pd.DataFrame:
    """Difference in precision@1 of each model to one of them, with its 95 % interval over the same resampled photos."""
    weights = retrieval.resampled_weights(labels, draws, np.random.default_rng(seed))
    rows = {}
    for name, frame in queries.items():
        if name != against:
            gain = (frame["precision@1"] - queries[against]["precision@1"]).to_numpy()
            low, high = retrieval.weighted_interval(gain, weights[:, frame.index])
            rows[name] = {"difference": gain.mean(), "low": low, "high": high}
    return pd.DataFrame(rows).T.rename_axis(f"compared with: {against}")
