"""The tables that set models beside each other."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

from autoparts import models, retrieval, training
from autoparts.retrieval import Embedded
from autoparts.sampling import Photos
from autoparts.study.run import Run

Queries = Mapping[str, pd.DataFrame]  # model to the naming measures of each test photo
THESIS_MODELS = {"cnn": "02_cnn_baseline", "contrastive": "03_siamese_contrastive", "triplet": "04_siamese_triplet"}
THESIS = {  # Table 5.1 of the thesis; its CNN's validation accuracy is printed as 0.0007 %
    "cnn": {"training": 0.9979, "validation": 0.000007, "test": 0.5080},
    "contrastive": {"training": 0.9794, "validation": 0.9198, "test": 0.7024},
    "triplet": {"training": None, "validation": None, "test": 0.4036},
}


def table_5_1(results: Mapping[str, dict]) -> pd.DataFrame:
    """Table 5.1: accuracies (0 to 1) in the thesis and in this run, with chance and task, from the saved results."""
    rows = []
    for name, result in results.items():
        metrics = result["metrics"]
        low, high = metrics["test_interval"]
        thesis = {f"{split} accuracy": accuracy for split, accuracy in THESIS[name].items()}
        ours = {f"{split} accuracy": metrics[f"{split}_accuracy"] for split in THESIS[name]}
        certain = {"95 % interval": f"{low:.1%} to {high:.1%}", "n (test)": metrics["n_test"]}
        facts = {"chance": result["chance"], "task": result["task"]}
        rows.append({"model": result["title"], "source": "thesis", **thesis})
        rows.append({"model": "", "source": "this run", **ours, **certain, **facts})
    return pd.DataFrame(rows).astype({"n (test)": "Int64"})


def curves(results: Mapping[str, dict]) -> dict[str, tuple[pd.DataFrame, str]]:
    """What `figures.side_by_side` draws of saved histories: the losses in one row, the accuracies in the next."""
    return {
        f"{result['title']}: {measure}": (pd.DataFrame(result["history"]), measure)
        for measure in ("loss", "accuracy")
        for result in results.values()
    }


def views(run: Run, results: Mapping[str, dict]) -> dict[str, Embedded]:
    """See the photos as each model does: raw pixels, 500 principal components, and the trained networks.

    The plain network's are its logits, the output of its only fully connected layer. Results bear their weights' names.
    """
    photos = run.study.photos
    raw = retrieval.embedded(torch.nn.Flatten(), photos)
    train, rows = raw.vectors[photos.rows["train"]], torch.cat([*photos.rows.values()])
    pca = PCA(min(500, *train.shape), svd_solver="randomized", random_state=run.study.seed).fit(train.numpy())
    reduced = torch.from_numpy(pca.transform(raw.vectors[rows].numpy()))
    components = retrieval.placed(reduced, rows, len(photos.pixels))
    seen = {"raw pixels": raw, f"{pca.n_components_} principal components": components}
    for name, result in results.items():
        network = training.load_weights(models.thesis_network(**result["architecture"]), run.weights(name))
        seen[result["title"]] = retrieval.embedded(network.to(photos.device), photos)
    return seen


def fair_comparison(seen: Mapping[str, Embedded], photos: Photos, draws: int) -> tuple[pd.DataFrame, Queries]:
    """Put every model through every task, on the same lists and the same `draws` bootstrap samples.

    Returns a row of `retrieval.judge`'s measures per model, and one of chance levels; and its measures per test photo.
    """
    table, queries = {}, {}
    for name, model in seen.items():
        table[name], queries[name] = retrieval.judge(model, photos, draws)
    sizes = photos.labels["train"].bincount().double()
    named = float((sizes[photos.labels["test"]] / sizes.sum()).mean())
    table["chance"] = {"precision@1": named} | dict.fromkeys(("ROC AUC", "EER", "accuracy", "ranking"), 0.5)
    return pd.DataFrame(table).T.rename_axis("model"), queries


def intervals(table: pd.DataFrame, measure: str) -> pd.Series:
    """Write the 95 % interval of a measure of `fair_comparison` as text, empty where there is none."""
    limits = table[[f"{measure} low", f"{measure} high"]].astype(float)
    return limits.apply(lambda row: "" if row.isna().any() else f"{row.iloc[0]:.1%} to {row.iloc[1]:.1%}", axis=1)


def softmax_row(logits: Embedded, photos: Photos, draws: int) -> pd.Series:
    """Name test photos by a classifier's largest logit, as a row of `fair_comparison`'s naming measures."""
    truth, outputs = photos.labels["test"], logits.vectors[photos.rows["test"]]  # (M,), (M, categories)
    hits = outputs.topk(min(5, outputs.shape[1])).indices == truth[:, None]
    right = pd.Series(hits[:, 0].double().numpy())
    weights = retrieval.resampled_weights(truth, draws, np.random.default_rng(photos.seed))
    low, high = retrieval.weighted_interval(right.to_numpy(), weights)
    first = {"precision@1": right.mean(), "precision@1 low": low, "precision@1 high": high, "class top-1": right.mean()}
    macro, five = right.groupby(truth.numpy()).mean().mean(), float(hits.any(dim=1).double().mean())
    return pd.Series(first | {"precision@1 macro": macro, "class top-5": five, "queries": len(right)})


def by_size(queries: Queries, groups: pd.Series) -> pd.DataFrame:
    """Precision@1 of each model for head, middle and tail. `groups` names the group of each test photo."""
    named = groups.astype(str).to_numpy()
    table = {name: frame["precision@1"].groupby(named[frame.index]).mean() for name, frame in queries.items()}
    order = [group for group in ("head", "middle", "tail") if group in named]
    return pd.DataFrame(table).T.reindex(columns=order).rename_axis("model")


def paired_differences(queries: Queries, photos: Photos, against: str, draws: int) -> pd.DataFrame:
    """Difference in precision@1 of each model to `against`, with its 95 % interval over the same resampled photos."""
    weights = retrieval.resampled_weights(photos.labels["test"], draws, np.random.default_rng(photos.seed))
    rows = {}
    for name, frame in queries.items():
        gain = (frame["precision@1"] - queries[against]["precision@1"]).to_numpy()
        low, high = retrieval.weighted_interval(gain, weights[:, frame.index])
        rows[name] = {"difference": gain.mean(), "difference low": low, "difference high": high}
    return pd.DataFrame(rows).T.drop(against).rename_axis(f"compared with: {against}")
