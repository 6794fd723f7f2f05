"""How the part finder is made and examined: scores calibrated, unknown parts told apart, the file written."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from autoparts.finder import file
from autoparts.finder.finder import Finder, nearest_of_each
from autoparts.finder.textures import usual
from autoparts.models import Recogniser
from autoparts.retrieval import DRAWS, percentile_interval, resampled_weights
from autoparts.sampling import Photos
from autoparts.study.exploration import accuracy_by_group
from autoparts.study.pictures import small_jpeg
from autoparts.study.run import Run
from autoparts.training import load_weights

THUMBNAIL = 64  # pixels
LEAST, MOST = 1e-3, 1e3  # weights in a score: with none all names would be alike, and no photos ask for more
FARTHEST = 1.4  # distance of textures (`textures.usual`) at which even the highest score falls to about the threshold
WEIGHTS = ["by_head", "by_photo"]
FREE, NONE = (LEAST, MOST), (0.0, 0.0)  # bounds of a weight
KINDS = {"head": (FREE, NONE), "nearest photo": (NONE, FREE), "both": (FREE, FREE)}  # of scores


def recommended(run: Run) -> tuple[Recogniser, Photos]:
    """Load notebook 6's model, and the study's photos as it takes them; UserError: it is missing, or fits no longer."""
    result, photos = run.result("recommended", "06_beyond_the_thesis (or autoparts train)"), run.study.photos
    network = Recogniser(photos.categories, **result["architecture"]).to(memory_format=torch.channels_last)
    network = load_weights(network, run.weights("recommended")).to(photos.device)
    return network, run.study.prepared(result["side"], result["colour"])


def build(run: Run, network: Recogniser, photos: Photos, accept: float = 0.95) -> tuple[Path, pd.DataFrame]:
    """Calibrate on the validation photos, and write the finder file of a run, `models/finder.pt`.

    The training photos, as the network takes them, become the gallery. The score of the likeliest name, before it
    becomes a probability, tells known parts from others, as the largest logit does in Hendrycks et al. (2022), once
    strange textures have lowered it: its threshold lets the share `accept` of the validation photos pass. Returns the
    file, and the table of `calibrate`, whose last row is used.
    """
    study, rows, labels = run.study, photos.rows, photos.labels["train"].cpu()
    features = run.features(network, photos)
    pixels, judged = (photos.pixels[rows[split].to(photos.device)].cpu() for split in ("train", "validation"))
    with torch.no_grad():
        unit = network.cpu().unit(features).half().float()  # as the file keeps it
        gallery, seen = unit[rows["train"]], unit[rows["validation"]]
        by_head, by_photo = network.logits(seen), nearest_of_each(seen, gallery, labels, photos.categories)
    table = calibrate(by_head, by_photo, truth := photos.labels["validation"].cpu())
    weights = table.loc["both", WEIGHTS].to_dict()
    best = (weights["by_head"] * by_head + weights["by_photo"] * by_photo).amax(dim=1)
    jpegs = [small_jpeg(photo, THUMBNAIL) for photo in pixels.numpy()]
    mean, whitening = usual(network, pixels, judged)
    cost = float(best.max() - torch.quantile(best, 1 - accept)) / (FARTHEST - 1)
    told = study.facts() | {"run": run.folder.name, "generated": study.drawn}
    finder = Finder(
        network,
        [str(name) for name in study.categories],
        *(gallery, labels, jpegs, seen, truth, photos.side),
        **weights,
        threshold=0.0,
        texture_means=mean,
        texture_whitening=whitening,
        texture_labels=torch.tensor([-1]),
        texture_cost=max(cost, LEAST),
        facts={name: told[name] for name in file.FACTS},
    )
    threshold = float(torch.quantile(best - finder.strangeness(judged), 1 - accept))
    replace(finder, threshold=threshold).save(run.weights("finder"))
    return run.weights("finder"), table


def calibrate(by_head: Tensor, by_photo: Tensor, truth: Tensor) -> pd.DataFrame:
    """Weigh logits and nearest photos so that the negative log-likelihood is lowest (Guo et al. 2017, section 4.2).

    The loss is convex in the weights, so there is one lowest point. The truth is smoothed by one photo's worth, for
    where all names are right no finite weight would do (Platt 1999). All names that have validation photos count
    alike, as for the head: else the nearest photo, which favours names of many photos, would weigh too much. Takes
    (M, C) logits of validation photos, the (M, C) cosines of `nearest_of_each` and (M,) int64 labels. Returns a row for
    each of `KINDS`: by_head, by_photo, NLL (nats, the mean of the names' means), accuracy.
    """
    counted = (1 / truth.bincount().double())[truth]  # (M,), to one for each name
    counted /= counted.sum()
    both = torch.stack([by_head, by_photo], dim=-1).double()  # (M, C, 2)

    def _loss(weights: np.ndarray, smoothing: float = 0.0) -> float:
        scores = both @ torch.from_numpy(weights)
        losses = F.cross_entropy(scores, truth, reduction="none", label_smoothing=smoothing)  # (M,)
        return float((losses * counted).sum())

    rows = {}
    for kind, bounds in KINDS.items():
        weights = minimize(_loss, np.ones(2), (1 / (len(truth) + 2),), bounds=bounds).x
        right = (both @ torch.from_numpy(weights)).argmax(dim=1) == truth
        rows[kind] = [*weights, _loss(weights), float(right.double().mean())]
    columns = [*WEIGHTS, "NLL", "accuracy"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).rename_axis("score by")


def reliability(
    confidence: Tensor, hits: Tensor, photos: Photos, bins: int = 10
) -> tuple[pd.DataFrame, float, float, float]:
    """Accuracy by confidence, and the expected calibration error (Guo et al. 2017, section 2).

    Takes the (M,) float probability of the name given to each test photo, (M,) bool whether it is right, the photos,
    for the bootstrap, and the number of bins of equal width. Returns a row for each bin with photos: photos, accuracy,
    low, high (95 % interval), confidence (their mean); the mean over photos of the bins' difference between confidence
    and accuracy; and the ends of its 95 % interval, which lie a little high, since draws add noise of their own.
    """
    groups = (confidence * bins).long().clamp(max=bins - 1)
    table = accuracy_by_group(hits, groups.numpy(), photos)
    table["confidence"] = pd.Series(confidence.numpy()).groupby(groups.numpy()).mean()
    gaps = (F.one_hot(groups, bins) * (confidence - hits.float())[:, None]).numpy()  # (M, bins), in sums
    weights = resampled_weights(photos.labels["test"], DRAWS, np.random.default_rng(photos.seed))
    drawn = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
    return table, float(np.abs(gaps.sum(axis=0)).sum() / len(hits)), *percentile_interval(drawn)


def refusals(
    finder: Finder, photos: Photos, known: Tensor, unknown: Tensor, names: pd.Series, right: Tensor
) -> tuple[pd.DataFrame, float | None]:
    """How many known and unknown photos a finder refuses.

    Takes the photos, the (M, S, S[, 3]) uint8 pixels of the test photos among them and of unknown ones, the names of
    the latter, and (M,) bool, whether the likeliest name of each test photo is right. Returns a row for each kind, as
    of `accuracy_by_group`, with the share that is named, and rightly so (NaN for unknown ones); and the area under the
    ROC curve of the scores of their likeliest names, None if there are no unknown ones.
    """
    best = torch.cat([finder.best_scores(pixels) for pixels in (known, unknown) if len(pixels)])
    strange = torch.arange(len(best)) >= len(known)
    kinds = np.where(strange, "unknown: removed categories", "known: test photos")
    labels = torch.cat([photos.labels["test"], torch.from_numpy(names.factorize()[0])])
    auc = float(roc_auc_score(strange, -best)) if len(unknown) else None
    table = accuracy_by_group(best < finder.threshold, kinds, photos, labels=labels)
    named = right & (best[: len(known)] >= finder.threshold)
    return table.assign(**{"named rightly": [float(named.double().mean()), *[math.nan] * (len(table) - 1)]}), auc


def occlusion(chance: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """Map how much of a probability is lost where a white patch covers the photo (Zeiler and Fergus 2014).

    White is what the padding is; a patch is a fifth of the photo's side, a step a twelfth. Takes what makes (B,)
    probabilities of (B, S, S[, 3]) uint8 photos, and the pixels of one, (S, S[, 3]). Returns (S, S) float: for each
    pixel the mean loss over the patches that cover it; negative where covering helps.
    """
    side = len(pixels)
    patch, stride, place = side // 5, max(1, side // 12), torch.arange(side)
    corners = torch.tensor(sorted({*range(0, side - patch, stride), side - patch}))[:, None]
    spans = (corners <= place) & (place < corners + patch)  # (K, S)
    masks = (spans[:, None, :, None] & spans[None, :, None, :]).flatten(0, 1)  # (K * K, S, S)
    covered = pixels.masked_fill(masks[..., None] if pixels.dim() == 3 else masks, 255)
    chances = chance(torch.cat([pixels[None], covered]))
    return torch.tensordot(chances[0] - chances[1:], masks.float(), dims=1) / masks.sum(dim=0)


def influence(finder: Finder, prepared: np.ndarray, label: int | None = None) -> Tensor:
    """Map how much each region of a photo adds to a name (None: its likeliest). (S, S[, 3]) uint8 to (S, S) float."""
    pixels = torch.from_numpy(prepared)
    label = int(finder.probabilities(finder.embed(pixels[None])).argmax()) if label is None else label
    return occlusion(lambda photos: finder.probabilities(finder.embed(photos))[:, label], pixels)


def white_border(pixels: Tensor, width: int = 3, least: int = 240) -> Tensor:
    """Whether the outer frame of each photo is nearly white on average. (M, S, S[, 3]) uint8 to (M,) bool."""
    frame = torch.ones(pixels.shape[1:3], dtype=torch.bool)
    frame[width:-width, width:-width] = False
    return pixels[:, frame].float().flatten(1).mean(dim=1) >= least
