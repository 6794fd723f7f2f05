"""How the part finder is made and examined: scores calibrated, unknown parts told apart, the file written."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from autoparts.evaluation import accuracy_by_group
from autoparts.finder import file
from autoparts.finder.finder import Finder, blended, embed, similarities
from autoparts.models import Recogniser
from autoparts.photos import PREPARATION_VERSION
from autoparts.study.pictures import small_jpeg
from autoparts.study.run import Run
from autoparts.study.study import Study
from autoparts.training import load_weights, save_tensors

THUMBNAIL = 64  # pixels
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the nearest photos in a score; the prototypes have the rest
TEMPERATURES = (0.003, 1.0)  # scores are cosines, so neither end is ever wanted


def recommended(run: Run, study: Study) -> Recogniser:
    """Load the recommended model that notebook 6 trained.

    Raises:
        UserError: if it is missing, or no longer fits.
    """
    backbone = run.result("recommended", "06_beyond_the_thesis")["backbone"]
    network = Recogniser(len(study.categories), backbone=backbone).to(memory_format=torch.channels_last)
    return load_weights(network, run.weights("recommended")).to(study.photos.device)


def build(study: Study, run: Run, network: Recogniser, accept: float = 0.95) -> tuple[Path, pd.DataFrame]:
    """Calibrate on the validation photos, and write the finder file of a run, `models/finder.pt`.

    Args:
        study: its training photos become the gallery.
        run: where the file belongs.
        network: trained on them.
        accept: share of the validation photos that the threshold of known parts lets pass.

    Returns:
        The file, and the table of `calibrate`: the row of lowest `NLL` is used.
    """
    photos = study.photos
    train, validation = (photos.pixels[photos.rows[split].to(photos.device)] for split in ("train", "validation"))
    gallery, labels = embed(network, train).half(), photos.labels["train"].cpu()
    prototypes = F.normalize(network.prototypes.detach().cpu(), dim=1)
    compared = similarities(embed(network, validation), prototypes, gallery.float(), labels)
    table = calibrate(*compared, photos.labels["validation"].cpu())
    best = table.loc[table["NLL"].idxmin()]
    distances = 1 - blended(*compared, best["share of nearest"]).amax(dim=1)
    thumbnails = [small_jpeg(pixels, THUMBNAIL) for pixels in train.cpu().numpy()]
    state = {
        "format": file.FORMAT,
        "preparation": PREPARATION_VERSION,
        "size": photos.side,
        "architecture": network.architecture,
        "weights": {name: value.cpu().contiguous() for name, value in network.state_dict().items()},
        "categories": [str(name) for name in study.categories],
        "gallery": gallery,
        "labels": labels.clone(),  # of a view, all that it looks at would be saved
        "thumbnails": torch.frombuffer(bytearray(b"".join(thumbnails)), dtype=torch.uint8),
        "offsets": torch.tensor([0, *map(len, thumbnails)]).cumsum(dim=0),
        "share": float(best["share of nearest"]),
        "temperature": float(best["temperature"]),
        "threshold": float(torch.quantile(distances, accept)),
        "facts": {"run": run.folder.name} | {name: study.facts()[name] for name in file.FACTS if name != "run"},
    }
    save_tensors(state, run.weights("finder"))
    return run.weights("finder"), table


def calibrate(by_prototype: Tensor, by_photo: Tensor, truth: Tensor) -> pd.DataFrame:
    """For each share, find the temperature of lowest negative log-likelihood (Guo et al. 2017, section 4.2).

    Args:
        by_prototype: (M, C) cosines of validation photos; see `similarities`.
        by_photo: (M, C).
        truth: (M,) int64.

    Returns:
        One row per share: share of nearest, temperature, NLL (nats per photo), accuracy.
    """
    rows = []
    for share in SHARES:
        scores = blended(by_prototype, by_photo, share)
        # In 1/T the loss is convex, so there is one lowest point.
        lowest = minimize_scalar(
            lambda sharpness, scores=scores: float(F.cross_entropy(scores * sharpness, truth)),
            bounds=[1 / temperature for temperature in reversed(TEMPERATURES)],
            method="bounded",
        )
        accuracy = (scores.argmax(dim=1) == truth).double().mean()
        rows.append((share, 1 / float(lowest.x), float(lowest.fun), float(accuracy)))
    return pd.DataFrame(rows, columns=["share of nearest", "temperature", "NLL", "accuracy"])


def reliability(confidence: Tensor, hits: Tensor, bins: int = 10) -> tuple[pd.DataFrame, float]:
    """Accuracy by confidence, and the expected calibration error (Guo et al. 2017, section 2).

    Args:
        confidence: (M,) float, probability of the name given.
        hits: (M,) bool, whether it is right.
        bins: of equal width.

    Returns:
        One row per bin with photos: photos, accuracy, low, high (95 % interval), confidence (their mean); and the
        mean over photos of the bins' difference between confidence and accuracy.
    """
    groups = pd.Series((confidence * bins).int().clamp(max=bins - 1).numpy())
    table = accuracy_by_group(hits, groups)
    table["confidence"] = pd.Series(confidence.numpy()).groupby(groups).mean()
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return table, float((gaps * table["photos"]).sum() / len(hits))


def occlusion(chance: Callable[[Tensor], Tensor], pixels: Tensor, patch: int = 20, stride: int = 8) -> Tensor:
    """Map how much of a probability is lost where a white patch covers the photo (Zeiler and Fergus 2014).

    White is the padding, which the network takes for nothing.

    Args:
        chance: from (B, S, S) uint8 photos to (B,) probabilities.
        pixels: (S, S) uint8.
        patch: side of the patch in pixels.
        stride: pixels between patches.

    Returns:
        (S, S) float: for each pixel the mean loss over the patches that cover it; negative where covering helps.
    """
    side = len(pixels)
    corners = sorted({*range(0, side - patch, stride), side - patch})
    masks = torch.zeros(len(corners) ** 2, side, side, dtype=torch.bool)
    for place, mask in enumerate(masks):
        top, left = corners[place // len(corners)], corners[place % len(corners)]
        mask[top : top + patch, left : left + patch] = True
    chances = chance(torch.cat([pixels[None], pixels.masked_fill(masks, 255)]))
    return torch.tensordot(chances[0] - chances[1:], masks.float(), dims=1) / masks.sum(dim=0)


def influence(finder: Finder, pixels: Tensor) -> Tensor:
    """Map how much each region of a prepared photo adds to its likeliest name. (S, S) uint8 to (S, S) float."""
    best = int(finder.probabilities(finder.embed(pixels[None])).argmax())
    return occlusion(lambda photos: finder.probabilities(finder.embed(photos))[:, best], pixels)


def white_border(pixels: Tensor, width: int = 3, least: int = 240) -> Tensor:
    """Whether the outer frame of each photo is nearly white on average. (M, S, S) uint8 to (M,) bool."""
    frame = torch.ones(pixels.shape[1:], dtype=torch.bool)
    frame[width:-width, width:-width] = False
    return pixels[:, frame].float().mean(dim=1) >= least
