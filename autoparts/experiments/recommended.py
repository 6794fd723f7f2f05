"""The recommended model: named at once by frozen features, then tuned; or trained from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from autoparts import augmentation, evaluation, losses, models, training
from autoparts.errors import UserError
from autoparts.experiments.muon import Muon
from autoparts.retrieval import Embedded
from autoparts.sampling import Photos
from autoparts.study.backbones import pretrained_weights
from autoparts.study.run import Run
from autoparts.tasks import Grouped, Naming, Task

BATCH = 96  # photos
LEARNING_RATE = 3e-3  # the highest of a training from scratch
HEAD_RATE, TRUNK_RATE = 2e-3, 6e-4  # the highest of tuning; the trunk's is that of its last layers
LAYER_DECAY, LEAST_RATE = 0.9, 0.3  # each layer before learns slower by this factor; below that share it stays as it is
LEAST_STEPS = 200  # of tuning: fewer would only disturb what the trunk knows
INVERSE_PENALTIES = (10.0, 100.0, 1000.0)  # C of the logistic regression
VIEWS = ((1.0,), (1.25,), (1.0, 1.25))  # by what factors a photo is enlarged before it is looked at
FIRST_SIDE = 48  # pixels, from scratch; small photos first, which costs a quarter and teaches the coarse shapes


@dataclass(frozen=True)
class CosineNaming(Task):
    """Name photos by the network's head, and bring those of a category together."""

    distance: ClassVar[str] = "cosine"
    batches = Grouped.batches
    listed = Naming.listed

    network: models.Recogniser  # holds the head
    log_prior: Tensor  # (categories,) of the names among training photos, see `log_prior`
    smoothing: float = 0.1  # share of the probability for all names, each as frequent as it is: none is quite certain
    each: int = 4  # photos of a category that come together
    contrast: float = 1.0  # weight of the supervised contrastive loss

    def values(self, unit: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy plus supervised contrastive loss. (B, F) embeddings of length one and (B,) to (B,) values.

        How frequent a name is among training photos is added to the logits, which so need not learn it, and name photos
        as if all names were equally likely (Menon et al. 2021, equation 10).
        """
        logits, log_prior = self.network.logits(unit), self.log_prior.to(unit.device)  # (B, categories), (categories,)
        target = F.one_hot(labels, len(log_prior)).float().lerp(log_prior.exp(), self.smoothing)  # (B, categories)
        named = F.cross_entropy(logits + log_prior, target, reduction="none")
        loss = named + self.contrast * losses.supervised_contrastive_loss(unit, labels)
        return {"loss": loss, "accuracy": logits.argmax(dim=1) == labels}


@dataclass(frozen=True)
class Trained:
    """A model, and the study's photos as it sees them."""

    network: models.Recogniser
    photos: Photos
    seen: Embedded
    history: pd.DataFrame  # of its training; empty for frozen features
    accuracy: float  # by its head, on validation photos

    @property
    def logits(self) -> Embedded:
        """The photos as its head names them."""
        with torch.no_grad():
            return Embedded(self.network.logits(self.seen.vectors.to(self.photos.device)).cpu())


def growing(inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float) -> Tensor:
    """Augment photos at a side that grows from 48 nearly to their own over 80 % of the training (Howard 2018)."""
    last = inputs.shape[-1] // 8 * 8  # halves evenly in the trunk's stages: 96 costs a sixth less than 100
    side = round((FIRST_SIDE + (last - FIRST_SIDE) * min(1.0, progress / 0.8)) / 4) * 4
    return augmentation.augment(inputs, generator, min(side, last))


def cropped(inputs: Tensor, rows: Tensor, generator: torch.Generator, progress: float) -> Tensor:
    """Augment crops of half to all of each photo, at a side that grows from 0.6 to 0.8 of the photos' own.

    Parts look larger in crops than in whole photos, which are therefore judged at their own side (Touvron et al. 2019).
    """
    side = inputs.shape[-1] * (0.6 + 0.2 * min(1.0, progress / 0.8))
    return augmentation.augment(inputs, generator, max(32, round(side / 16) * 16), zoom=(-0.35, 0.05), shift=0.25)


def train_all(run: Run, epochs: int, scratch_epochs: int, seed: int, **recipe: Any) -> dict[str, Trained]:
    """Make the recommended model, and those that it has to beat; see `train_recommended` for the recipe.

    Returns them by name: from scratch (for so many epochs, unless 0, on photos of half the side), at once (unless it is
    the recommended one itself, or there is no backbone) and recommended.
    """
    made = {}
    if scratch_epochs and recipe["backbone"]:
        small = run.study.prepared(recipe["side"] // 2, recipe["colour"])
        made["from scratch"] = from_scratch(run, small, scratch_epochs, seed, "scratch")
    model = train_recommended(run, epochs, seed, **recipe)
    if recipe["backbone"] and len(model.history):
        made["at once"] = at_once(run, model.photos, recipe["backbone"], seed)
    return made | {"recommended": model}


def histories(made: Mapping[str, Trained]) -> dict[str, tuple[pd.DataFrame, str]]:
    """What `figures.side_by_side` draws of the accuracy over the epochs, of the models that were trained."""
    return {name: (model.history, "accuracy") for name, model in made.items() if not model.history.empty}


def train_recommended(
    run: Run, epochs: int, seed: int, name: str = "recommended", *, backbone: str, side: int, colour: bool
) -> Trained:
    """Make the recommended model for the photos of the run's study, and keep its weights as `name`.

    A backbone is the name of one of timm's convolutional networks, whose features name photos at once; it is then
    tuned for so many epochs, if these make `LEAST_STEPS`. With none, "", our residual trunk is trained from scratch.
    Both take photos at that side in pixels, in colour or grey. A UserError tells of a backbone that cannot be had, and
    of a model that names no more validation photos than their largest category.
    """
    photos = run.study.prepared(side, colour)
    model = at_once(run, photos, backbone, seed) if backbone else from_scratch(run, photos, epochs, seed, name)
    if backbone and epochs * max(1, len(photos.rows["train"]) // BATCH) >= LEAST_STEPS:
        model = tuned(run, model, epochs, seed, name)
    refuse_guesses(model, run.weights(name))
    if model.history.empty:  # nothing else has kept its weights
        training.save_tensors({"key": "at once", "network": model.network.state_dict()}, run.weights(name))
    return model


def from_scratch(run: Run, photos: Photos, epochs: int, seed: int, name: str) -> Trained:
    """Train our residual trunk and its head on augmented photos, small ones first."""
    channels = 3 if photos.pixels.dim() == 4 else 1
    network = models.initialised(seed, models.Recogniser, photos.categories, channels=channels)
    settings = epochs, min(BATCH, len(photos.rows["train"])), LEARNING_RATE
    recipe = {"optimiser": Muon, "schedule": training.one_cycle, "augment": growing, "photos": photos}
    task = CosineNaming(network, log_prior(photos))
    return judged(run, network, photos, run.fit(name, network, task, *settings, seed=seed, **recipe))


def at_once(run: Run, photos: Photos, backbone: str, seed: int, *, pretrained: bool = True) -> Trained:
    """Name photos by a backbone as it comes: a linear head on the features of each photo and its mirror image.

    Features are computed once and kept; they are those of random weights if it is not to be pretrained. The head is a
    logistic regression on centred features of length one, whose penalty is chosen on validation photos.
    """
    channels = 3 if photos.pixels.dim() == 4 else 1
    network = models.initialised(seed, models.Recogniser, photos.categories, backbone, channels, views=VIEWS[0])
    if pretrained:
        network.load_pretrained(pretrained_weights(backbone))
    network.to(photos.device).eval()
    features = run.features(network, photos)
    network.centre.copy_(features[photos.rows["train"]].mean(dim=0))
    fit_head(network, features, photos)
    return judged(run, network, photos, pd.DataFrame())


def ablation(run: Run, made: Mapping[str, Trained], seed: int, backbone: str, side: int, colour: bool) -> pd.DataFrame:
    """Validation accuracy of the models of `train_all`, and of frozen features with one choice changed at a time.

    The side is halved first, so that the other choices, colour or grey and what the backbone has learned on ImageNet,
    take a quarter of the time.
    """
    compared, halved = dict(made), f"at once, at {side // 2} pixels"
    if backbone:
        small, other = (run.study.prepared(side // 2, each) for each in (colour, not colour))
        compared[halved] = at_once(run, small, backbone, seed)
        compared[f"{halved}, in {'grey' if colour else 'colour'}"] = at_once(run, other, backbone, seed)
        compared[f"{halved}, from random weights"] = at_once(run, small, backbone, seed, pretrained=False)
    accuracies = {name: model.accuracy for name, model in compared.items()}
    return pd.Series(accuracies, name="validation accuracy").rename_axis("model").to_frame()


def log_prior(photos: Photos) -> Tensor:
    """Return the logarithm of each category's share of the training photos: (categories,) float32."""
    return (photos.labels["train"].bincount() / len(photos.labels["train"])).log().cpu()


def fit_head(network: models.Recogniser, features: Tensor, photos: Photos) -> None:
    """Set the head to the logistic regression on (N, F) features of training photos that names validation ones best.

    How frequent each name is among training photos is then taken from its bias (Menon et al. 2021, equation 9): a name
    of few photos is no less likely to be asked for. The mean of the biases stays, since names taught later have none.
    """
    prior = log_prior(photos)
    unit = network.cpu().unit(features)
    train, validation = (unit[photos.rows[split]].numpy() for split in ("train", "validation"))
    lowest = float("inf")
    for penalty in INVERSE_PENALTIES:
        with threadpool_limits(1, "blas"):  # with more they wait for each other, and sums depend on how many
            model = LogisticRegression(C=penalty, max_iter=300).fit(train, photos.labels["train"].numpy())
        weight, bias = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
        if len(weight) == 1:  # of two categories it only knows the second's odds
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        logits = torch.from_numpy(validation) @ weight.T + bias
        loss = float(F.cross_entropy(logits, photos.labels["validation"]))
        if loss < lowest:
            lowest = loss
            network.head.weight.data = weight / models.SCALE
            network.head.bias.data = (bias - prior + prior.mean()) / models.SCALE
    network.to(photos.device)


def tuned(run: Run, once: Trained, epochs: int, seed: int, name: str) -> Trained:
    """Tune all but the first layers of a model that names photos at once, from its head on (Kumar et al. 2022)."""
    photos = once.photos
    network = models.initialised(seed, models.Recogniser, photos.categories, **once.network.architecture)
    network.load_state_dict(once.network.state_dict())
    settings = epochs, min(BATCH, len(photos.rows["train"])), HEAD_RATE
    recipe = {"optimiser": discriminative, "schedule": training.one_cycle, "augment": cropped, "photos": photos}
    task = CosineNaming(network, log_prior(photos), contrast=0.5)
    history = run.fit(name, network, task, *settings, seed=seed, **recipe)
    choose_views(network, photos)
    return judged(run, network, photos, history)


def discriminative(network: models.Recogniser, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW, with lower rates for the trunk than for the head, lower for earlier layers (Howard and Ruder 2018)."""
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(
        network.trunk, weight_decay=0.05, layer_decay=LAYER_DECAY, no_opt_scale=LEAST_RATE
    )
    for group in groups:
        group["lr_scale"] *= TRUNK_RATE / HEAD_RATE
    groups.append({"params": [*network.head.parameters()], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def choose_views(network: models.Recogniser, photos: Photos) -> None:
    """Have the network look at photos in the views that name validation photos with the lowest cross-entropy.

    Names are here as likely as among training photos, see `fit_head`.
    """
    rows, labels = photos.rows["validation"], photos.labels["validation"].to(photos.device)
    prior, costs = log_prior(photos).to(photos.device), {}
    for views in VIEWS:
        network.architecture["views"] = list(views)
        with torch.no_grad():
            logits = network.logits(evaluation.embed(network, photos.pixels, rows).to(photos.device))
        costs[views] = float(F.cross_entropy(logits + prior, labels))
    network.architecture["views"] = list(min(costs, key=costs.get))


def judged(run: Run, network: models.Recogniser, photos: Photos, history: pd.DataFrame) -> Trained:
    """See the study's photos through a network, and have its head name the validation photos."""
    labels = photos.labels["validation"]
    with torch.no_grad():
        unit = network.unit(run.features(network, photos).to(photos.device))
        right = network.logits(unit[photos.rows["validation"]]).cpu().argmax(dim=1) == labels
    return Trained(network, photos, Embedded(unit.cpu(), "cosine"), history, float(right.double().mean()))


def summary(model: Trained, by_head: Mapping[str, Any]) -> dict[str, Any]:
    """What is saved of the recommended model, given how its head names test photos: `comparison.softmax_row`."""
    interval = [by_head["precision@1 low"], by_head["precision@1 high"]]
    pretrained = "A pretrained network and a linear head on its features"
    begun = pretrained if model.network.architecture["backbone"] else "A residual network of our own"
    accuracy = {"test_accuracy": by_head["precision@1"], "n_test": int(by_head["queries"]), "test_interval": interval}
    return {
        "title": "Recommended model",
        "reason": f"{begun}, {'trained with augmentation' if len(model.history) else 'not tuned in this run'}.",
        "task": f"naming among {model.photos.categories} parts",
        "metrics": accuracy,
        "chance": Naming().chance(model.photos),
        "epochs": len(model.history),
        "architecture": model.network.architecture,
        "history": model.history,
    }


def refuse_guesses(model: Trained, weights: Path) -> None:
    """Tell in a UserError that a model names no more validation photos than the name of their largest category would.

    Its weights are removed. Names are here as likely as among these photos, or it would be harder where sizes differ.
    """
    labels, logits = model.photos.labels["validation"], model.logits.vectors[model.photos.rows["validation"]]
    shares = labels.bincount(minlength=logits.shape[1]).double() / len(labels)
    accuracy = float(((logits + shares.log()).argmax(dim=1) == labels).double().mean())
    largest = float(shares.max())
    if accuracy <= largest < 1:  # where all have one name, they say nothing
        weights.unlink(missing_ok=True)
        raise UserError(
            f"the model names {accuracy:.1%} of {len(labels)} validation photos, no more than the name of the largest "
            f"category would ({largest:.1%}): add photos, look for wrong names among them, or take more epochs"
        )
