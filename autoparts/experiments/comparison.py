"""The tables that set models beside each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.decomposition import PCA
from torch import Tensor

from autoparts import models, retrieval, tasks, training
from autoparts.errors import UserError
from autoparts.experiments import variants
from autoparts.retrieval import Embedded
from autoparts.sampling import Photos
from autoparts.study.run import Run

Queries = Mapping[str, pd.DataFrame]  # model to the naming measures of each test photo
THESIS_MODELS = {"cnn": "02_cnn_baseline", "contrastive": "03_siamese_contrastive", "triplet": "04_siamese_triplet"}
NEAREST = ["precision@1 macro", "recall@5", "recall@10", "R-precision", "MAP@R"]
HEADLINE = ["precision@1", "95 % interval", *NEAREST, "ROC AUC", "EER", "ranking"]
BESIDE = [name for name in HEADLINE if name not in ("recall@10", "R-precision")] + ["class top-1"]
INTERVALS = ["MAP@R, 95 % interval", "ROC AUC, 95 % interval", "ranking, 95 % interval"]
NAMED = ["precision@1", *NEAREST, "class top-1", "class top-5", "queries"]  # columns on naming alone
VERIFIED = ["ROC AUC", "EER", "accuracy", "precision", "recall", "f1", "FNMR at 1 % FMR", "FNMR at 10 % FMR"]
TRAINED = ["learning rate", "margin", "verdict"]  # how a row was, and what that ended in
JUDGED = ("better", "worse", "not to be told apart")
THESIS = {  # Table 5.1 of the thesis; its CNN's validation accuracy is printed as 0.0007 %
    "cnn": {"training accuracy": 0.9979, "validation accuracy": 0.000007, "test accuracy": 0.5080},
    "contrastive": {"training accuracy": 0.9794, "validation accuracy": 0.9198, "test accuracy": 0.7024},
    "triplet": {"training accuracy": None, "validation accuracy": None, "test accuracy": 0.4036},
}


def thesis_results(run: Run) -> dict[str, dict]:
    """Read the saved results of the thesis's three models, by the names of their weights."""
    return {model: run.result(model, notebook) for model, notebook in THESIS_MODELS.items()}


def table_5_1(results: Mapping[str, dict]) -> pd.DataFrame:
    """Table 5.1: accuracies (0 to 1) in the thesis and in this run, with chance and task, from the saved results."""
    rows = []
    for name, result in results.items():
        metrics = result["metrics"]
        rows.append({"model": result["title"], "source": "thesis", **THESIS[name]})
        ours = {column: metrics[column.replace(" ", "_")] for column in THESIS[name]}
        ours |= {"95 % interval": interval_text(*metrics["test_interval"]), "n (test)": metrics["n_test"]}
        rows.append({"model": "", "source": "this run", **ours, "chance": result["chance"], "task": result["task"]})
    return pd.DataFrame(rows).astype({"n (test)": "Int64"})


def curves(results: Mapping[str, dict]) -> dict[str, tuple[pd.DataFrame, str]]:
    """What `figures.side_by_side` draws of saved histories: the losses in one row, the accuracies in the next."""
    return {
        f"{result['title']}: {measure}": (pd.DataFrame(result["history"]), measure)
        for measure in ("loss", "accuracy")
        for result in results.values()
    }


def convergence(results: Mapping[str, dict]) -> pd.DataFrame:
    """Say of each saved training what its last quarter still changed, and when it was best, by validation photos."""
    rows = {}
    for result in results.values():
        history = pd.DataFrame(result["history"]).set_index("epoch")
        loss, accuracy = history["validation_loss"], history["validation_accuracy"]
        rows[result["title"]] = {
            "epochs": len(history),
            "training loss after three quarters": history["training_loss"].iloc[max(0, len(history) * 3 // 4 - 1)],
            "training loss": history["training_loss"].iloc[-1],
            "validation loss": loss.iloc[-1],
            "lowest": loss.min(),
            "lowest in epoch": loss.idxmin(),
            "validation accuracy": accuracy.iloc[-1],
            "highest": accuracy.max(),
            "highest in epoch": accuracy.idxmax(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def views(run: Run, results: Mapping[str, dict]) -> dict[str, Embedded]:
    """See the photos as each model does: raw pixels, at most 500 principal components, and the trained networks.

    The plain network's are its logits, the output of its only fully connected layer. Results bear their weights' names.
    """
    photos = run.study.photos
    raw = retrieval.embedded(torch.nn.Flatten(), photos)
    train, rows = raw.vectors[photos.rows["train"]], torch.cat([*photos.rows.values()])
    pca = PCA(min(500, *train.shape), svd_solver="randomized", random_state=run.study.seed % 2**32).fit(train.numpy())
    reduced = torch.from_numpy(pca.transform(raw.vectors[rows].numpy()))
    components = retrieval.placed(reduced, rows, len(photos.pixels))
    seen = {"raw pixels": raw, f"{pca.n_components_} principal components": components}
    for name, result in results.items():
        network = training.load_weights(models.thesis_network(**result["architecture"]), run.weights(name))
        if training.load_tensors(run.weights(name))["key"] != result.get("key"):
            notebook = THESIS_MODELS[name]
            raise UserError(f"{name}.pt and {name}.json are of different trainings: run notebook {notebook} to its end")
        seen[result["title"]] = retrieval.embedded(network.to(photos.device), photos)
    return seen


def fair_comparison(
    seen: Mapping[str, Embedded], photos: Photos, by_logits: Mapping[str, Embedded] | None = None
) -> tuple[pd.DataFrame, Queries]:
    """Put every model through every task, on the same lists and the same `retrieval.DRAWS` bootstrap samples.

    Returns a row of `retrieval.judge`'s measures per model, with 95 % intervals as text (that of precision@1, and
    `INTERVALS`), a row of naming measures for each classifier of `by_logits` (see `softmax_row`), and one of chance
    levels; and the measures per test photo.
    """
    table, queries = {}, {}
    samples = retrieval.resampled_weights(photos.labels["test"], retrieval.DRAWS, np.random.default_rng(photos.seed))
    for name, model in seen.items():
        measures, queries[name] = retrieval.judge(model, photos, interval=True)
        limits = interval_text(measures["precision@1 low"], measures["precision@1 high"])
        table[name] = {"precision@1": measures["precision@1"], "95 % interval": limits} | measures
        table[name] |= _intervals(model, queries[name], photos, samples)
    for name, logits in (by_logits or {}).items():
        table[name], queries[name] = softmax_row(logits, photos)
    guessing = {"precision@1": tasks.Naming().chance(photos)} | dict.fromkeys(("95 % interval", *INTERVALS), "")
    table["chance"] = guessing | dict.fromkeys(("ROC AUC", "EER", "accuracy", "ranking"), 0.5)
    return pd.DataFrame(table).T.infer_objects().rename_axis("model"), queries


def _intervals(model: Embedded, named: pd.DataFrame, photos: Photos, samples: np.ndarray) -> dict[str, str]:
    """Tell `INTERVALS` of a model; nothing where all samples are alike, as of a perfect model, and so say nothing."""
    pairs, triplets = photos.pairs("test"), photos.triplets("test")
    of_pairs, of_triplets = (retrieval.weights_of(columns, photos, samples) for columns in (pairs[:2], triplets))
    drawn = (
        retrieval.resampled_means(named["MAP@R"].to_numpy(), samples[:, named.index]),
        roc_areas(model.between(*pairs[:2]), pairs.same, of_pairs),
        retrieval.resampled_means(retrieval.ranked(model, triplets), of_triplets),
    )
    ends = map(retrieval.percentile_interval, drawn)
    return {name: interval_text(*each) if each[0] < each[1] else "" for name, each in zip(INTERVALS, ends, strict=True)}


def roc_areas(distances: Tensor, same: Tensor, weights: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of (P,) pairs in each sample of (draws, P) weights: (draws,).

    It is the chance that a dissimilar pair is farther apart than a similar one; half of those as far apart count.
    scikit-learn's takes one sample at a time, which for all models would take minutes.
    """
    values, order = distances.sort()
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])  # pairs as far apart are one step
    similar, dissimilar = (
        np.add.reduceat(weights[:, order] * kind[order].numpy(), starts, axis=1) for kind in (same, ~same)
    )
    farther = dissimilar[:, ::-1].cumsum(axis=1)[:, ::-1] - dissimilar / 2
    return (similar * farther).sum(axis=1) / (similar.sum(axis=1) * dissimilar.sum(axis=1))


def interval_text(low: float, high: float) -> str:
    """Write the ends of an interval of a share."""
    return f"{low:.1%} to {high:.1%}"


def softmax_row(logits: Embedded, photos: Photos) -> tuple[dict[str, Any], pd.DataFrame]:
    """Name test photos by a classifier's largest logit: a row of `fair_comparison`'s measures, and hits per photo."""
    truth, outputs = photos.labels["test"], logits.vectors[photos.rows["test"]]  # (M,), (M, categories)
    hits = retrieval.smallest(-outputs, min(5, outputs.shape[1])) == truth[:, None]
    named = pd.DataFrame({"precision@1": hits[:, 0].double().numpy()})
    right = named["precision@1"]
    low, high = retrieval.accuracy_interval(hits[:, 0], (photos.rows["test"],), photos)
    first = {"precision@1": right.mean(), "95 % interval": interval_text(low, high), "precision@1 low": low}
    first |= {"precision@1 high": high, "class top-1": right.mean()}
    macro, five = right.groupby(truth.numpy()).mean().mean(), float(hits.any(dim=1).double().mean())
    return first | {"precision@1 macro": macro, "class top-5": five, "queries": len(right)}, named


def by_size(queries: Queries, groups: pd.Series) -> pd.DataFrame:
    """Precision@1 of each model for head, middle and tail. `groups` names the group of each test photo."""
    named = groups.astype(str).to_numpy()
    table = {name: frame["precision@1"].groupby(named[frame.index]).mean() for name, frame in queries.items()}
    order = [group for group in ("head", "middle", "tail") if group in named]
    return pd.DataFrame(table).T.reindex(columns=order).rename_axis("model")


def paired_differences(queries: Queries, photos: Photos, against: str, draws: int) -> pd.DataFrame:
    """Difference in precision@1 of each model to `against`, with its 95 % interval over the same resampled photos.

    Of a model trained several times, `queries` have a column "precision@1" for each training, in all models as many, or
    one. Those of one place are a pair, which may share a start, and their differences vary too, see `over_trainings`.
    `judged` is "better" or "worse" where the interval leaves zero out, else "not to be told apart". Best come first.
    """
    rows, weights = {}, retrieval.resampled_weights(photos.labels["test"], draws, np.random.default_rng(photos.seed))
    means = {
        name: retrieval.resampled_means(frame[["precision@1"]].to_numpy().T, weights[:, frame.index])  # (draws, S)
        for name, frame in queries.items()
    }
    for name, frame in queries.items():
        gain = float(frame[["precision@1"]].mean().mean() - queries[against][["precision@1"]].mean().mean())
        gains = over_trainings(means[name] - means[against], photos.seed)
        low, high = retrieval.percentile_interval(gains)
        judged = JUDGED[0 if low > 0 else 1 if high < 0 else 2]
        rows[name] = {"difference": gain, "difference low": low, "difference high": high, "judged": judged}
    table = pd.DataFrame(rows).T.drop(against).infer_objects().rename_axis(f"compared with: {against}")
    return table.sort_values("difference", ascending=False, kind="stable")


def limits_of(hits: pd.DataFrame, photos: Photos, draws: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, over what `retrieval.units` draws and over trainings.

    Takes a column of hits for each training, by test photo. Where no hit differs from another, it is that of a single
    training.
    """
    if np.unique(hits).size == 1:
        alike = torch.tensor(hits.iloc[:, 0].to_numpy())
        return retrieval.share_interval(alike, photos.labels["test"][torch.tensor(hits.index)], photos.seed)
    weights = retrieval.resampled_weights(photos.labels["test"], draws, np.random.default_rng(photos.seed))
    means = retrieval.resampled_means(hits.to_numpy().T, weights[:, hits.index])  # (draws, S)
    return retrieval.percentile_interval(over_trainings(means, photos.seed).clip(0, 1))


def over_trainings(means: np.ndarray, seed: int) -> np.ndarray:
    """Draw the mean over all trainings there could be, given those of S of them in each sample: (draws, S) to (draws,).

    Few trainings drawn anew would vary too little (S - 1 parts in S of their variance, by few values): the error of
    their mean has Student's t, whose quantiles come in random order. That trainings differ by other photos is in both
    errors, so an interval is a little too wide rather than too narrow. A single training stays as it is.
    """
    draws, trainings = means.shape
    if trainings == 1:
        return means[:, 0]
    places = np.random.default_rng([seed, 1]).permutation(draws)
    apart = np.nanmean(means, axis=0).std(ddof=1)  # not in each sample, which has the noise of photos once more
    return means.mean(axis=1) + stats.t.ppf((places + 0.5) / draws, trainings - 1) * apart / trainings**0.5


def listed(differences: pd.DataFrame) -> str:
    """Name the models of `paired_differences` in three lines: better, worse, not to be told apart."""
    models = differences.groupby("judged").groups
    return "\n".join(f"{judged}: {'; '.join(models.get(judged, ['none']))}" for judged in JUDGED)


def learning_curves(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Set the validation precision@1 of rows side by side: a pass a line."""
    shown = {name: history["validation_precision@1"] for name, history in histories.items()}
    passes = next(iter(histories.values()))["epoch"].astype(int)
    return pd.DataFrame({"pass over the training photos": passes, **shown})


def decisive(table: pd.DataFrame) -> list[str]:
    """Name the rows whose curves tell most: the few that matter, a reader's own, and all that are still rising."""
    others = {row.name for row in variants.ROWS} - {row.name for row in variants.FEW}
    alike = {row.name for row in variants.ROWS if row.hamming}  # whose training is another row's
    trained = table[table["learning rate"].notna() & ~table["variant"].isin(alike)]
    return trained["variant"][trained["verdict"].str.contains("rising") | ~trained["variant"].isin(others)].to_list()


def losses_by_recipe(table: pd.DataFrame, queries: Queries, photos: Photos, draws: int) -> pd.DataFrame:
    """Set the thesis's three losses beside each other, with its network and with the better recipe.

    Takes what `trials.compare` returns of their rows and of the untrained network. Returns a line for each, with its
    precision@1, how that differs from the contrastive loss's with the same recipe and whether from the untrained
    network's, see `paired_differences`, its learning rate and margin, and the verdict on its training.
    """
    learned = paired_differences(queries, photos, variants.UNTRAINED.name, draws)["judged"]
    facts, lines = table.set_index("variant").assign(**{"beside untrained": learned}), []
    for recipe, rows in {"thesis network": variants.THESIS, "residual, augmented": variants.RECIPES}.items():
        named = {loss: queries[row.name] for loss, row in rows.items()}
        apart = paired_differences(named, photos, "contrastive", draws)
        told = facts.loc[[row.name for row in rows.values()]].set_axis(list(rows))
        lines.append(told.join(apart).assign(recipe=recipe))
    columns = ["recipe", "precision@1", "difference", "difference low", "difference high", "judged"]
    return pd.concat(lines)[[*columns, "beside untrained", *TRAINED]].rename_axis("loss")
