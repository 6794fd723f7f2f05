"""What a trained network is worth: accuracies with their intervals, and the threshold of a verifier.

Figures are means over samples, never means of batch means; nothing is chosen on test photos.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from autoparts.device import half_precision
from autoparts.losses import distance
from autoparts.models import photo_input
from autoparts.sampling import Batch

PAIR_MEASURES = ("accuracy", "precision", "recall", "f1")


@torch.inference_mode()
def embed(network: Callable[[Tensor], Tensor], photos: Tensor, rows: Tensor, size: int = 256) -> Tensor:
    """Send photos through a network in evaluation mode.

    Args:
        network: from (B, 1, S, S) inputs to (B, D).
        photos: (N, S, S) uint8, on the network's device.
        rows: (M,) int64, which photos.
        size: photos per block; memory does not grow with M beyond the result.

    Returns:
        (M, D) float32 on the CPU, row by row.
    """
    if isinstance(network, nn.Module):
        network.eval()
    with half_precision(photos.device):
        return torch.cat(
            [network(photo_input(photos[part])).float().cpu() for part in rows.to(photos.device).split(size)]
        )


class Pairs(NamedTuple):
    """A fixed list of pairs to judge networks by."""

    left: Tensor  # (P,) int64, rows of the prepared array
    right: Tensor  # (P,) int64
    same: Tensor  # (P,) bool


def pair_distances(network: nn.Module, photos: Tensor, pairs: Pairs) -> Tensor:
    """Euclidean distance of each pair (2.6), each photo embedded once.

    Args:
        network: the embedding network.
        photos: (N, S, S) uint8.
        pairs: which photos to compare.

    Returns:
        (P,) float32.
    """
    used, places = torch.stack(pairs[:2]).unique(return_inverse=True)
    embeddings = embed(network, photos, used)
    return distance(embeddings[places[0]], embeddings[places[1]])


@torch.inference_mode()
def values_of(
    network: nn.Module, photos: Tensor, batches: Iterable[Batch], objective: Callable[..., dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return what an objective says of every sample of the batches, in evaluation mode.

    A batch may be as large as a whole list of pairs: its photos go through the network block by block, each once.

    Returns:
        Name to (M,) values on the CPU; empty without a batch.
    """
    parts = []
    for batch in batches:
        outputs = embed(network, photos, batch.photos).to(photos.device)
        parts.append(objective(outputs, *(part.to(photos.device) for part in batch.target)))
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in (parts[0] if parts else {})}


def threshold_curve(distances: Tensor, same: Tensor, thresholds: Tensor) -> pd.DataFrame:
    """Accuracy, precision, recall and F1 of calling a pair similar when its distance is below a threshold (Fig 4.4).

    Similar is the positive class. Precision is the positive predictive value (which the thesis calls specificity);
    it is 1 where nothing is called similar.

    Args:
        distances: (P,) float.
        same: (P,) bool.
        thresholds: (T,) float.

    Returns:
        One row per threshold: threshold, accuracy, precision, recall, f1, true_positive, false_positive,
        true_negative, false_negative.
    """
    cuts = thresholds.double()  # a threshold between two neighbouring float32 distances is neither of them
    similar = distances[same].double().sort().values
    dissimilar = distances[~same].double().sort().values
    hits = torch.searchsorted(similar, cuts).numpy().astype(float)
    alarms = torch.searchsorted(dissimilar, cuts).numpy().astype(float)
    called = hits + alarms
    misses = len(similar) - hits
    return pd.DataFrame(
        {
            "threshold": thresholds.numpy(),
            "accuracy": (hits + len(dissimilar) - alarms) / len(distances),
            "precision": np.divide(hits, called, out=np.ones_like(hits), where=called > 0),
            "recall": hits / max(len(similar), 1),
            "f1": 2 * hits / np.maximum(2 * hits + alarms + misses, 1),
            "true_positive": hits.astype(int),
            "false_positive": alarms.astype(int),
            "true_negative": (len(dissimilar) - alarms).astype(int),
            "false_negative": misses.astype(int),
        }
    )


def choose_threshold(distances: Tensor, same: Tensor) -> float:
    """Return the threshold of best accuracy: the middle of the gap between two neighbouring distances.

    Args:
        distances: (P,) float, of validation pairs (or of training pairs, as the thesis does).
        same: (P,) bool.
    """
    ordered = distances.double().unique()
    cuts = torch.cat([ordered[:1] - 1e-6, (ordered[1:] + ordered[:-1]) / 2, ordered[-1:] + 1e-6])
    accuracy = threshold_curve(distances, same, cuts)["accuracy"].to_numpy()
    best = np.flatnonzero(accuracy == accuracy.max())
    return float(cuts[best[len(best) // 2]])  # of equally good ones the middle one


def verified(distances: Tensor, same: Tensor, threshold: float) -> Tensor:
    """Whether each pair is judged rightly at a threshold. (P,) float and (P,) bool to (P,) bool."""
    return (distances.double() < threshold) == same


def pair_accuracies(network: nn.Module, photos: Tensor, training: Pairs, validation: Pairs) -> dict[str, float]:
    """Accuracy on fixed training and validation pairs, both at the threshold that is best on validation.

    Returns:
        threshold, training_accuracy, validation_accuracy: columns of the history (Fig 4.6).
    """
    seen = pair_distances(network, photos, training)
    held_out = pair_distances(network, photos, validation)
    threshold = choose_threshold(held_out, validation.same)
    return {
        "threshold": threshold,
        "training_accuracy": float(verified(seen, training.same, threshold).double().mean()),
        "validation_accuracy": float(verified(held_out, validation.same, threshold).double().mean()),
    }


def wilson_interval(hits: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share, 0 to 1."""
    interval = stats.binomtest(int(hits), int(samples)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracies(**hits: Tensor) -> dict[str, float | int | list[float]]:
    """Summarise what was judged rightly in each part of the split.

    Args:
        **hits: part, such as test=, to (M,) bool.

    Returns:
        For each part `<part>_accuracy`, `n_<part>` and `<part>_interval` (Wilson, 95 %).
    """
    summary: dict[str, float | int | list[float]] = {}
    for part, right in hits.items():
        count = int(right.sum())
        summary |= {
            f"{part}_accuracy": count / len(right),
            f"n_{part}": len(right),
            f"{part}_interval": list(wilson_interval(count, len(right))),
        }
    return summary


def accuracy_by_group(hits: Tensor, groups: pd.Series) -> pd.DataFrame:
    """Accuracy of each group of samples, with its 95 % interval.

    Args:
        hits: (M,) bool.
        groups: (M,) group of each sample, such as head, middle, tail.

    Returns:
        One row per group: photos, accuracy, low, high.
    """
    table = pd.DataFrame({"hit": hits.numpy(), "group": groups.to_numpy()}).groupby("group", observed=True)["hit"]
    frame = table.agg(photos="size", hits="sum")
    limits = [wilson_interval(row.hits, row.photos) for row in frame.itertuples()]
    return frame.assign(
        accuracy=frame["hits"] / frame["photos"], low=[low for low, _ in limits], high=[high for _, high in limits]
    ).drop(columns="hits")


def most_confused(truth: Tensor, named: Tensor, categories: list[str], top: int = 10) -> pd.DataFrame:
    """Pairs of categories most often taken for each other.

    Args:
        truth: (M,) int64, category of each photo.
        named: (M,) int64, category it was given.
        categories: names.
        top: at most this many rows.

    Returns:
        category, named_as, photos, share (of the category's photos); most photos first.
    """
    frame = pd.DataFrame({"category": truth.numpy(), "named_as": named.numpy()})
    sizes = frame["category"].value_counts()
    wrong = frame[frame["category"] != frame["named_as"]].value_counts().reset_index(name="photos")
    wrong["share"] = wrong["photos"] / wrong["category"].map(sizes)
    wrong = wrong.sort_values(["photos", "share", "category", "named_as"], ascending=[False, False, True, True])
    names = pd.Series(categories)
    return (
        wrong.head(top)
        .assign(
            category=lambda table: names[table["category"]].to_numpy(),
            named_as=lambda table: names[table["named_as"]].to_numpy(),
        )
        .reset_index(drop=True)
    )
