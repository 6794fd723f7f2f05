"""Naming by nearest neighbours, and every model at every task: measures per query, so that they can be resampled.

Definitions follow Musgrave, Belongie and Lim, "A Metric Learning Reality Check" (2020).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from autoparts.evaluation import PAIR_MEASURES, choose_threshold, embed, threshold_curve, wilson_interval
from autoparts.losses import distance, distance_matrix
from autoparts.sampling import Photos

NAMING = ("precision@1", "recall@5", "recall@10", "R-precision", "MAP@R", "class top-1", "class top-5")
FEWEST = 10  # categories for a bootstrap to draw whole ones
DRAWS = 500  # of a bootstrap, for the interval of an accuracy


def retrieve(
    queries: Tensor, labels: Tensor, gallery: Tensor, gallery_labels: Tensor, kind: str = "euclidean", block: int = 64
) -> pd.DataFrame:
    """Rank a gallery for each query, and measure how high its own category comes.

    With R photos of the query's category in the gallery: R-precision is the share of right photos among the R
    nearest; MAP@R averages over the R nearest the precision at each right one, counting the others as zero. Class top-1
    and top-5 say whether one of the nearest category means, of embeddings, is the right one.

    Takes (Q, D) float queries and a (G, D) gallery with their int64 labels, a distance of `losses.DISTANCES`, and how
    many queries to rank at a time (fewer where the gallery is large, so that they take less than 1 GiB). Returns one
    row of `NAMING` measures per query whose category is in the gallery, indexed by its place.
    """
    sizes = torch.bincount(gallery_labels, minlength=int(max(labels.max(), gallery_labels.max())) + 1)
    kept = (sizes[labels] > 0).nonzero().flatten()
    kept = kept[sizes[labels[kept]].argsort(stable=True)]  # a block is ranked as deep as its largest category asks for
    present, members = gallery_labels.unique(return_inverse=True)
    means = torch.zeros(len(present), gallery.shape[1]).index_add_(0, members, gallery) / sizes[present, None]
    to_gallery, to_means = _ranking(gallery, kind), _ranking(means, kind)
    blocks = []
    for places in kept.split(max(1, min(block, 2**24 // len(gallery)))):
        truth, relevant = labels[places], sizes[labels[places]]  # (block,), and the R of each query
        depth = min(max(int(relevant.max()), 10), len(gallery))
        hits = gallery_labels.take(smallest(to_gallery(queries[places]), depth)) == truth[:, None]  # (block, depth)
        mean_hits = present.take(smallest(to_means(queries[places]), min(5, len(present)))) == truth[:, None]
        rank = torch.arange(1, depth + 1)
        hits_within_r = hits & (rank <= relevant[:, None])
        measures = [
            *(hits[:, :k].any(dim=1) for k in (1, 5, 10)),
            hits_within_r.sum(dim=1) / relevant,
            (hits.cumsum(dim=1) / rank * hits_within_r).sum(dim=1) / relevant,
            *(mean_hits[:, :k].any(dim=1) for k in (1, 5)),
        ]
        blocks.append(torch.stack([measure.double() for measure in measures], dim=1))
    return pd.DataFrame(torch.cat(blocks).numpy(), columns=list(NAMING), index=kept.numpy()).sort_index()


def smallest(values: Tensor, count: int) -> Tensor:
    """Return the places of the `count` smallest values of each row of (M, G) float32, in order: (M, count) int64.

    Of equal ones the first place comes first, which `topk` does not promise: the bits of a value and its place become
    one integer, so that no two are equal. NumPy partitions these about four times as fast as torch's `topk` does.
    """
    bits = (values.numpy() + np.float32(0)).view(np.int32)  # which makes -0.0 equal to 0.0
    ordered = bits ^ (bits >> 31 & 0x7FFFFFFF)  # the bits of negative floats run the other way
    keys = (ordered.astype(np.int64) << 32) | np.arange(values.shape[1])
    keys.partition(count - 1, axis=1)
    return torch.from_numpy(np.sort(keys[:, :count], axis=1) & 0xFFFFFFFF)


def _ranking(gallery: Tensor, kind: str) -> Callable[[Tensor], Tensor]:
    """Return what takes (M, D) queries to (M, G) values in the order of their distances to the gallery."""
    if kind in ("euclidean", "squared"):
        lengths = gallery.square().sum(dim=1)
        # |a|² - 2ab + |b|² without the query's own |a|² and without the root: neither changes the order.
        return lambda queries: torch.addmm(lengths, queries, gallery.T, alpha=-2)
    return lambda queries: distance_matrix(queries, gallery, kind)


def verify(distances: Tensor, same: Tensor, validation_distances: Tensor, validation_same: Tensor) -> dict[str, float]:
    """Measure a verifier on test pairs, (P,) float and (P,) bool; its threshold is chosen on validation pairs.

    Returns ROC AUC, equal error rate, accuracy, precision, recall and F1 at the threshold, and the false non-match rate
    (false negative rate) where the false match rate (false positive rate) is 1 % and 10 %.
    """
    threshold = choose_threshold(validation_distances, validation_same)
    at = threshold_curve(distances.double(), same, torch.tensor([threshold], dtype=torch.float64)).iloc[0]
    false_match, match, _ = roc_curve(same.numpy(), -distances.numpy(), drop_intermediate=False)
    false_non_match = 1 - match
    return {
        "ROC AUC": float(roc_auc_score(same.numpy(), -distances.numpy())),
        "EER": float(np.interp(0, false_match - false_non_match, false_match)),  # where the two are equal
        **{name: float(at[name]) for name in PAIR_MEASURES},
        "FNMR at 1 % FMR": float(false_non_match[false_match <= 0.01].min()),
        "FNMR at 10 % FMR": float(false_non_match[false_match <= 0.1].min()),
    }


def units(labels: Tensor) -> Tensor:
    """Number what a bootstrap draws: whole categories, or single photos if there are too few of these. (M,) to (M,).

    Categories are independent; to draw photos within them as well would count their noise twice (Davison and Hinkley
    1997, section 3.8). Of fewer than ten, intervals would be far too narrow: then they are of other photos of these.
    """
    categories, place = labels.unique(return_inverse=True)
    return place if len(categories) >= FEWEST else torch.arange(len(labels))


def resampled_weights(labels: Tensor, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Draw bootstrap weights of M photos, whose `units` are drawn with replacement.

    Takes their (M,) int64 labels, and returns (draws, M) float32: how often each photo is in each sample. The same seed
    gives all models the same samples, so they can be paired.
    """
    unit = units(labels)
    count = int(unit.max()) + 1
    return generator.multinomial(count, np.full(count, 1 / count), size=draws)[:, unit].astype(np.float32)


def weights_of(columns: Sequence[Tensor], photos: Photos, weights: np.ndarray) -> np.ndarray:
    """Return the bootstrap weights of samples of several test photos, from those of the photos: (draws, P) float32.

    Takes rows of `Photos.pixels`, (P,) int64 for each member, such as left and right; and the test photos' weights.
    A sample is there as often as each of its `units`, multiplied: a similar pair as often as its category, if these are
    drawn. Similar and dissimilar ones keep their shares of P.
    """
    tests, place = photos.labels["test"], torch.full((len(photos.pixels),), -1)  # of a photo among the test photos
    place[photos.rows["test"]] = torch.arange(len(photos.rows["test"]))
    labels, unit = ([of[place[column]].numpy() for column in columns] for of in (tests, units(tests)))
    products = weights[:, place[columns[0]]]
    for member, column in enumerate(columns[1:], 1):
        other = np.all([unit[member] != earlier for earlier in unit[:member]], axis=0)  # a unit of its own
        products[:, other] *= weights[:, place[column][other]]
    if len(columns) == 2:
        left, right = labels
        for kind in (left == right, left != right):  # NaN in a sample that has none of a kind
            totals = products[:, kind].sum(axis=1, keepdims=True)
            products[:, kind] *= kind.sum() / np.where(totals > 0, totals, np.nan)
    return products


def accuracy_interval(hits: Tensor, columns: Sequence[Tensor], photos: Photos) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy on test samples, (P,) bool, as `share_interval` does.

    Samples that share photos are not independent, so the photos are drawn anew; for the columns see `weights_of`.
    """
    tests = photos.labels["test"]
    return share_interval(hits, tests, photos.seed, lambda weights: weights_of(columns, photos, weights))


def share_interval(hits: Tensor, labels: Tensor, seed: int, weigh: Callable = np.asarray) -> tuple[float, float]:
    """Return the 95 % interval of the share of right samples, (P,) bool, by a bootstrap over the `units` of photos.

    Takes the photos' (M,) int64 labels, and what makes weights of samples of theirs, if these are not the photos.
    Where all are right, or none is, draws say nothing: then it is Wilson's of as many trials as there are units.
    """
    if hits.unique().numel() == 1:
        trials = len(units(labels).unique())
        return wilson_interval(int(hits[0]) * trials, trials)
    weights = weigh(resampled_weights(labels, DRAWS, np.random.default_rng(seed)))
    return percentile_interval(resampled_means(hits.numpy(), weights)[:, 0])


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """Return what holds the middle 95 % of bootstrap draws, those without a value (NaN) left out."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def resampled_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of (S, M) values, those of S trainings, or (M,), of one, under (draws, M) weights.

    (draws, S), NaN where nothing weighs.
    """
    values, totals = np.atleast_2d(values).astype(np.float32), weights.sum(axis=1, keepdims=True)
    return weights @ values.T / np.where(totals > 0, totals, np.nan)


@dataclass(frozen=True)
class Embedded:
    """Photos as one model sees them."""

    vectors: Tensor  # (N, D) float32, one for each row of `Photos.pixels`; NaN where a photo was not embedded
    distance: str = "euclidean"  # between them, one of `losses.DISTANCES`

    def between(self, left: Tensor, right: Tensor) -> Tensor:
        """Distance of pairs of photos. (P,), (P,) int64 rows to (P,) float."""
        blocks = zip(left.split(2048), right.split(2048), strict=True)
        return torch.cat([distance(self.vectors[a], self.vectors[b], self.distance) for a, b in blocks])


def embedded(network: Callable[[Tensor], Tensor], photos: Photos, distance: str = "euclidean") -> Embedded:
    """See all photos of the split through a network, (B, 1, S, S) to (B, D); see `placed` for the distance."""
    rows = torch.cat([*photos.rows.values()])
    return placed(embed(network, photos.pixels, rows), rows, len(photos.pixels), distance)


def placed(vectors: Tensor, rows: Tensor, count: int, distance: str = "euclidean") -> Embedded:
    """Put the (M, D) vectors of some rows (M,) into an `Embedded` of `count` photos.

    The squared distance ranks as the Euclidean one does, and gives way to it.
    """
    everywhere = vectors.new_full((count, vectors.shape[1]), torch.nan)
    everywhere[rows] = vectors
    return Embedded(everywhere, "euclidean" if distance == "squared" else distance)


def ranked(model: Embedded, triplets: Sequence[Tensor]) -> np.ndarray:
    """Whether each triplet's positive is nearer than its negative: (T,) 0 to 1; a tie, as all in a collapse, 0.5."""
    anchor, positive, negative = triplets
    return (1 + (model.between(anchor, negative) - model.between(anchor, positive)).sign().numpy()) / 2


def judge(model: Embedded, photos: Photos, interval: bool = False) -> tuple[dict[str, Any], pd.DataFrame]:
    """Put one model through every task, on the fixed lists of the photos: naming, verification, ranking.

    Returns the measures, and the naming measures per test photo; with `interval` also the ends of that of precision@1,
    "low" and "high", by a bootstrap that the photos' seed fixes, the same for all models.
    """
    rows, labels = photos.rows, photos.labels
    vectors = {split: model.vectors[rows[split]] for split in ("train", "test")}
    named = retrieve(vectors["test"], labels["test"], vectors["train"], labels["train"], model.distance)
    scores: dict[str, Any] = {"queries": len(named)} | {name: float(named[name].mean()) for name in NAMING}
    scores["precision@1 macro"] = float(named.groupby(labels["test"].numpy()[named.index])["precision@1"].mean().mean())
    test, validation = photos.pairs("test"), photos.pairs("validation")
    apart = model.between(test.left, test.right)
    scores |= verify(apart, test.same, model.between(validation.left, validation.right), validation.same)
    scores["ranking"] = float(ranked(model, photos.triplets("test")).mean())
    if interval:
        kept, hits = torch.tensor(named.index.to_numpy()), torch.tensor(named["precision@1"].to_numpy())
        limits = accuracy_interval(hits, (rows["test"][kept],), photos)
        scores |= dict(zip(("precision@1 low", "precision@1 high"), limits, strict=True))
    return scores, named
