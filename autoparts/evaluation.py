"""What a trained network is worth: accuracies with their intervals, and the threshold of a verifier.

Figures are means over samples, never means of batch means; nothing is chosen on test photos.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from autoparts.losses import distance
from autoparts.models import half_precision, photo_input
from autoparts.sampling import Batch, LabelledPairs

PAIR_MEASURES = ("accuracy", "precision", "recall", "f1")


@torch.inference_mode()
def embed(network: Callable[[Tensor], Tensor], pixels: Tensor, rows: Tensor, size: int = 256) -> Tensor:
    """Send photos, rows (M,) int64 of (N, S, S) uint8 pixels, through a network in evaluation mode, block by block.

    The network is on the pixels' device and takes (B, 1, S, S) inputs to (B, D). Returns (M, D) float32 on the CPU, row
    by row; memory does not grow with M beyond that.
    """
    if isinstance(network, nn.Module):
        network.eval()
    blocks = rows.to(pixels.device).split(size)
    with half_precision(pixels.device):
        return torch.cat([network(photo_input(pixels[block])).float().cpu() for block in blocks])


def pair_distances(network: nn.Module, pixels: Tensor, pairs: LabelledPairs) -> Tensor:
    """Euclidean distance of each of P pairs (2.6), each photo embedded once: (P,) float32."""
    used, places = torch.stack(pairs[:2]).unique(return_inverse=True)
    embeddings = embed(network, pixels, used)
    return distance(embeddings[places[0]], embeddings[places[1]])


@torch.inference_mode()
def values_of(
    network: nn.Module, pixels: Tensor, batches: Iterable[Batch], values: Callable[..., dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return what a task's `values` say of every sample of the batches, in evaluation mode: name to (M,) on the CPU.

    A batch may be as large as a whole list of pairs: its photos go through the network block by block, each once.
    """
    blocks = []
    for batch in batches:
        outputs = embed(network, pixels, batch.rows).to(pixels.device)
        blocks.append(values(outputs, *(target.to(pixels.device) for target in batch.target)))
    return {name: torch.cat([block[name].cpu() for block in blocks]) for name in (blocks[0] if blocks else {})}


def threshold_curve(distances: Tensor, same: Tensor, thresholds: Tensor) -> pd.DataFrame:
    """Accuracy, precision, recall and F1 of calling a pair similar when its distance is below a threshold (Fig 4.4).

    Similar is the positive class. Precision is the positive predictive value (which the thesis calls specificity),
    1 where nothing is called similar; recall is the sensitivity. Takes (P,) float distances, (P,) bool `same` and (T,)
    float thresholds; returns one row per threshold: it, the four measures, the counts true_positive to false_negative.
    """
    cuts = thresholds.double()  # a threshold between two neighbouring float32 distances is neither of them
    similar, dissimilar = (distances[kind].double().sort().values for kind in (same, ~same))
    true_positive, false_positive = (torch.searchsorted(ordered, cuts).numpy() for ordered in (similar, dissimilar))
    called, right = true_positive + false_positive, true_positive + len(dissimilar) - false_positive
    columns = {
        "threshold": thresholds.numpy(),
        "accuracy": right / len(distances),
        "precision": np.divide(true_positive, called, out=np.ones(len(cuts)), where=called > 0),
        "recall": true_positive / max(len(similar), 1),
        "f1": 2 * true_positive / np.maximum(called + len(similar), 1),
        "true_positive": true_positive,
        "false_positive": false_positive,
        "true_negative": len(dissimilar) - false_positive,
        "false_negative": len(similar) - true_positive,
    }
    return pd.DataFrame(columns)


def choose_threshold(distances: Tensor, same: Tensor) -> float:
    """Return the threshold of best accuracy: the middle of the gap between two neighbouring distances.

    Takes (P,) float distances and (P,) bool `same` of validation pairs (or of training pairs, as the thesis does).
    """
    ordered = distances.double().unique()
    cuts = torch.cat([ordered[:1] - 1e-6, (ordered[1:] + ordered[:-1]) / 2, ordered[-1:] + 1e-6])
    accuracy = threshold_curve(distances, same, cuts)["accuracy"].to_numpy()
    best = np.flatnonzero(accuracy == accuracy.max())
    return float(cuts[best[len(best) // 2]])  # of equally good ones the middle one


def pair_hits(distances: Tensor, same: Tensor, threshold: float) -> Tensor:
    """Whether each pair is judged rightly at a threshold. (P,) float and (P,) bool to (P,) bool."""
    return (distances.double() < threshold) == same


def wilson_interval(hits: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share, 0 to 1."""
    interval = stats.binomtest(int(hits), int(samples)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracies(**hits: Tensor) -> dict[str, float | int]:
    """Summarise what was judged rightly in each split, such as test=, (M,) 0 to 1: `<split>_accuracy`, `n_<split>`."""
    summary: dict[str, float | int] = {}
    for split, right in hits.items():
        summary |= {f"{split}_accuracy": float(right.double().mean()), f"n_{split}": len(right)}
    return summary
