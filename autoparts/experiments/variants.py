"""The rows of chapter 6's comparison as data, and the tasks and the network that only these rows have."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from autoparts import losses, models, sampling
from autoparts.evaluation import embed
from autoparts.losses import distance, distance_matrix
from autoparts.retrieval import retrieve
from autoparts.sampling import Batch, Photos
from autoparts.tasks import Grouped, Naming, Pairs, Task, Triplets
from autoparts.training import Augment


@dataclass(frozen=True)
class Quadruplets(Triplets):
    """Triplets with a second negative, from which the first is pushed away as well (Chen et al. 2017)."""

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Draw one per training photo; the second negative's category is a third, or the anchor's if none is left."""
        rows, labels = photos.rows["train"], photos.labels["train"]
        anchor, positive, first = sampling.random_triplets(labels, len(rows), generator, self.draw_by)
        order, start, count = sampling.group(labels)
        place_of = order.argsort()
        low, high = torch.stack([place_of[anchor], place_of[first]]).sort(dim=0).values
        free = len(labels) - count[low] - count[high]
        place = sampling.draw_below(free.clamp(min=1), generator)
        for near in (low, high):  # leap over the nearer category, then over the farther one
            place = torch.where(place >= start[near], place + count[near], place)
        second = order[torch.where(free > 0, place, place_of[positive])]
        return sampling.tuple_batches([rows[column] for column in (anchor, positive, first, second)], size=size)

    def values(self, embeddings: Tensor, *columns: Tensor) -> dict[str, Tensor]:
        """Quadruplet loss, the second margin half of the first. (U, D) embeddings, four (B,) positions to (B,)."""
        anchor, positive, first, second = (embeddings.index_select(0, column) for column in columns)
        pairs = (anchor, positive), (anchor, first), (first, second)
        near, far, apart = (distance(*pair, self.distance) for pair in pairs)
        return {"loss": losses.quadruplet_loss(near, far, apart, self.margin, self.margin / 2), "accuracy": near < far}


@dataclass(frozen=True)
class OfflineTriplets(Triplets):
    """The middle half, by how far apart their pixels are, of triplets drawn before training from the photos' seed."""

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Take half of what is kept, in a new order."""
        rows, labels, before = photos.rows["train"], photos.labels["train"], photos.generator("offline triplets")
        drawn = torch.stack(sampling.random_triplets(labels, 4 * len(rows), before, self.draw_by))
        small = F.avg_pool2d(photos.pixels[rows][:, None].float(), min(5, photos.side)).flatten(1)
        anchor, positive, negative = (small[column] for column in drawn)
        gap = distance(anchor, negative) - distance(anchor, positive)
        kept = ((gap >= gap.quantile(0.25)) & (gap <= gap.quantile(0.75))).nonzero().flatten().cpu()
        kept = kept[torch.randperm(len(kept), generator=generator)[: len(kept) // 2]]
        return sampling.tuple_batches(rows[drawn[:, kept]], size=size)


@dataclass(frozen=True)
class HardTriplets(Grouped):
    """Hard triplets of unit embeddings, which can collapse early in training (Schroff et al. 2015): so warmed up."""

    mined: str = "hard"
    distance: str = "cosine"
    margin: float = 0.2

    @property
    def warm_up(self) -> Grouped:
        """What the first third of the passes is spent on."""
        return Grouped(mined="semi-hard", distance=self.distance, margin=self.margin)


@dataclass(frozen=True)
class CountedTriplets(Grouped):
    """Semi-hard triplets of unit embeddings; after each epoch those of five fixed batches are counted by kind."""

    distance: str = "cosine"
    margin: float = 0.2
    batch_size: int = 64

    def measure(self, network: nn.Module, photos: Photos) -> dict[str, float]:
        """Return the shares of hard, semi-hard and easy triplets."""
        rows, labels, generator = photos.rows["train"], photos.labels["train"], photos.generator("counted triplets")
        counts = []
        for batch in sampling.category_batches(rows, labels, self.batch_size, self.each, generator)[:5]:
            vectors = embed(network, photos.pixels, batch.rows)
            distances = distance_matrix(vectors, vectors, self.distance)
            counts.append(losses.count_kinds(distances, batch.target[0], self.margin))
        total = pd.DataFrame(counts).sum()
        return (total / max(total.sum(), 1)).to_dict()


@dataclass(frozen=True)
class Budgeted(Task):
    """Another task on the same number of photos an epoch as any other, whatever its samples consist of."""

    task: Task
    photos: int  # sent through the network in one epoch, to within a few

    @property
    def distance(self) -> str:
        """That of the task."""
        return self.task.distance

    def batches(self, photos: Photos, size: int, generator: torch.Generator) -> list[Batch]:
        """Draw the task's batches again and again until the photos are used up; the last batch is a smaller one."""
        batches, left, last = [], self.photos, size
        while left > 0 and last >= min(8, size):  # a step on fewer would be mostly chance
            for batch in self.task.batches(photos, last, generator):
                if len(batch.rows) > left:
                    last = last * left // len(batch.rows)
                    break
                batches.append(batch)
                left -= len(batch.rows)
        return batches or self.task.batches(photos, size, generator)[:1]

    def values(self, outputs: Tensor, *target: Tensor) -> dict[str, Tensor]:
        """Return those of the task."""
        return self.task.values(outputs, *target)

    def measure(self, network: nn.Module, photos: Photos) -> dict[str, float]:
        """Name the validation photos after their nearest training photos."""
        train, held_out = (embed(network, photos.pixels, photos.rows[split]) for split in ("train", "validation"))
        named = retrieve(held_out, photos.labels["validation"], train, photos.labels["train"], self.distance)
        return {"validation_precision@1": float(named["precision@1"].mean()), **self.task.measure(network, photos)}

    def score(self, row: Mapping[str, float]) -> float:
        """The best weights are those of the highest validation precision@1: one rule for all losses."""
        return -row["validation_precision@1"]


def on_components(outputs: int, photos: Photos) -> nn.Module:
    """Build a network on up to 500 principal components of training photos: its first layer, which is not trained."""
    pixels = models.photo_input(photos.pixels[photos.rows["train"]]).flatten(1).cpu().numpy()
    pca = PCA(min(500, *pixels.shape), svd_solver="randomized", random_state=0).fit(pixels)
    project = nn.Linear(pixels.shape[1], pca.n_components_).requires_grad_(False)
    # Brought to unit variance on the whole, so that one learning rate fits this input too.
    weights = torch.from_numpy(pca.components_) / math.sqrt(pca.explained_variance_.mean())
    project.weight.data, project.bias.data = weights, -weights @ torch.from_numpy(pca.mean_)
    hidden = nn.Linear(pca.n_components_, 512)
    return nn.Sequential(nn.Flatten(), project, hidden, nn.ReLU(), nn.Linear(512, outputs))


NETWORKS = ("thesis", "residual", "components", "pixels")  # the last one is none at all
AUGMENTATIONS = ("none", "all", "small")  # of no photos, of all, of those in categories smaller than the median one


@dataclass(frozen=True)
class Row:
    """One row of the comparison: the thesis's triplet training, with some of it changed."""

    group: str  # what is changed
    name: str
    task: Task = field(default_factory=Triplets)  # with a margin that fits its distance
    network: str | Callable[[int, Photos], nn.Module] = "thesis"  # of NETWORKS, or built for so many outputs
    augmentation: str | Augment = "none"  # one of AUGMENTATIONS, or as `training.fit` takes it
    rate: float = 1.0  # factor of the learning rate
    share: float = 1.0  # of the training photos
    hamming: bool = False  # whether one bit per number of the embedding is kept for retrieval
    trained: bool = True


BASELINE = Row("baseline", "random triplets")
PIXELS = Row("baseline", "raw pixels", Triplets(distance="euclidean"), "pixels", trained=False)
UNTRAINED = Row("baseline", "untrained network", trained=False)
PLAIN = Row("loss", "cross-entropy (plain network)", Naming())
CONTRASTIVE = Row("loss", "contrastive, random pairs", Pairs())
SEMI_HARD = Row("sampling", "semi-hard triplets", CountedTriplets())
SUPERVISED = Row("loss", "supervised contrastive", Grouped("supervised contrastive", distance="cosine", margin=None))
AUGMENTED = Row("augmentation", "all photos augmented", augmentation="all")
DRAWN_ALIKE = Row("augmentation", "categories drawn alike, not augmented", Triplets(draw_by="category"))
DEEPER = Row("network", "residual network", network="residual", rate=4.0)
THESIS = {"cross-entropy": PLAIN, "contrastive": CONTRASTIVE, "triplet": BASELINE}
HELD_OUT = (PIXELS, UNTRAINED, *THESIS.values())  # judged on categories that no training shows them
RECIPE = {"network": "residual", "augmentation": "all", "rate": 4.0}
LONGER = 3  # times the passes, where the recipe is tried
RECIPES = {
    "cross-entropy": Row("recipe", "cross-entropy, residual network, augmented", Naming(), **RECIPE),
    "contrastive": Row("recipe", "contrastive, residual network, augmented", Pairs(), **RECIPE),
    "triplet": Row("recipe", "random triplets, residual network, augmented", **RECIPE),
}
FEW = (BASELINE, PIXELS, UNTRAINED, SEMI_HARD, PLAIN, CONTRASTIVE, SUPERVISED, AUGMENTED, DRAWN_ALIKE, DEEPER)
ROWS = (
    *FEW[:3],
    Row("sampling", "offline triplets", OfflineTriplets()),
    Row("sampling", "hard triplets", HardTriplets()),
    SEMI_HARD,
    Row("sampling", "easy triplets", Grouped(mined="easy", distance="cosine", margin=0.2)),
    PLAIN,
    CONTRASTIVE,
    Row("loss", "all pairs of a batch", Grouped(loss="all pairs", distance="euclidean", margin=2.0)),
    Row("loss", "soft margin, hardest of a batch", Grouped("soft margin", distance="euclidean", margin=None)),
    Row("loss", "quadruplet", Quadruplets()),
    SUPERVISED,
    Row("distance", "euclidean distance", Triplets(distance="euclidean", margin=1.0)),
    Row("distance", "cosine distance", Triplets(distance="cosine", margin=0.2)),
    Row("distance", "manhattan distance", Triplets(distance="manhattan", margin=5.0)),
    Row("distance", "Hamming, embedding cut at its medians", hamming=True),
    Row("input", "principal components, at most 500", network="components"),
    AUGMENTED,
    DRAWN_ALIKE,
    Row("augmentation", "small categories augmented, drawn alike", Triplets(draw_by="category"), augmentation="small"),
    Row("data", "half of the training photos", share=0.5),
    Row("data", "a quarter of the training photos", share=0.25),
    DEEPER,
)
