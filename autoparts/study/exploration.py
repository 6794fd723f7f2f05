"""What notebooks 1 to 4 ask of a study: where its photos come from, what was removed, what is mistaken for what."""

from collections.abc import Mapping, Sequence
from itertools import combinations, count
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from autoparts.catalogue import SPLITS, below_root
from autoparts.evaluation import pair_hits, values_of
from autoparts.models import count_parameters
from autoparts.photos import MAX_PIXELS, decode, prepare_photo
from autoparts.retrieval import share_interval
from autoparts.sampling import LabelledPairs, Photos
from autoparts.study.study import Study
from autoparts.tasks import Triplets


def source_summary(study: Study) -> pd.DataFrame:
    """Count photos and categories at each step from the source to the study."""
    steps = {
        "files in the source": pd.concat([study.source, study.skipped]),
        "readable photos": study.source,
        "after cleaning": study.catalogue,
    }
    counts = [(name, len(step), step["category"].nunique()) for name, step in steps.items()]
    return pd.DataFrame(counts, columns=["step", "photos", "categories"]).set_index("step")


def skipped_files(study: Study) -> pd.DataFrame:
    """List files that could not be read as photos: path below the catalogue, category, reason."""
    return study.unreadable


def cleaning_summary(removed: pd.DataFrame) -> pd.DataFrame:
    """Sum up removed categories by rule and word: categories, photos, with a total."""
    groups = removed.fillna({"word": ""}).groupby(["rule", "word"], sort=False)["photos"]
    table = groups.agg(categories="size", photos="sum").reset_index()
    table.loc[len(table)] = ["total", "", table["categories"].sum(), table["photos"].sum()]
    return table


def excluded_examples(study: Study, count: int) -> pd.DataFrame:
    """Return one photo of each of the largest removed categories, the words in turn."""
    removed = study.removed.sort_values(["photos", "category"], ascending=[False, True])
    turn = removed.groupby("word", dropna=False).cumcount()
    chosen = removed.loc[turn.sort_values(kind="stable").index, "category"].head(count)
    return study.source.drop_duplicates("category").set_index("category", drop=False).loc[chosen].reset_index(drop=True)


def most_diverse_category(study: Study, smallest: int = 8) -> str:
    """Return the category whose photos differ most from their mean photo, among those with enough photos."""

    def spread(name: str) -> float:
        """Mean deviation of a pixel."""
        photos = np.float32(study.pixels(study.catalogue[study.catalogue["category"] == name].head(60)))
        return np.abs(photos - photos.mean(axis=0)).mean()

    counts = study.catalogue["category"].value_counts()
    return max(counts.index[counts >= min(smallest, counts.max())], key=spread)


def near_duplicates(study: Study) -> pd.DataFrame:
    """List pairs of nearly equal photos with the splits that the two are in, in the order of `SPLITS`."""
    pairs = similar_photos(np.stack(study.pixels(study.catalogue)))
    splits = study.catalogue["split"].to_numpy()[pairs[["first", "second"]].to_numpy()]
    return pairs.assign(splits=[" and ".join(sorted(pair, key=SPLITS.index)) for pair in splits])


def duplicate_summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """Count pairs of nearly equal photos by the splits they fall into."""
    kinds = [(split, split) for split in SPLITS] + [*combinations(SPLITS, 2)]
    counts = pairs["splits"].value_counts().reindex(map(" and ".join, kinds), fill_value=0)
    return counts.rename_axis("splits").reset_index(name="pairs")


def under_two_names(study: Study, pairs: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of `near_duplicates` whose photos have different names, the most alike first.

    Returns a row for each: photo (its path, the index), name, the other photo and its name, and the bits that differ.
    """
    paths = below_root(study.catalogue["path"], study.source["path"]).to_numpy()
    names = study.catalogue["category"].to_numpy()
    columns = {"photo": paths[pairs["first"]], "name": names[pairs["first"]]}
    columns |= {"nearly the same photo": paths[pairs["second"]], "its name": names[pairs["second"]]}
    table = pd.DataFrame(columns | {"bits that differ": pairs["bits"].to_numpy()})
    table = table[table["name"] != table["its name"]]
    return table.sort_values("bits that differ", kind="stable").set_index("photo")


def most_oblong(study: Study) -> str:
    """Return the path of a photo whose preparation shows something: of the first 200, the least like a square."""

    def oblong(path: str) -> float:
        """The longer side, in shorter ones."""
        with Image.open(path) as photo:  # which reads the header alone
            return max(photo.size) / min(photo.size)

    return max(study.catalogue["path"].head(200), key=oblong)


def preparation_steps(path: str, size: int = 100) -> dict[str, np.ndarray]:
    """Return what becomes of one photo on its way into the network: name of the step to (H, W[, 3]) uint8."""
    with Image.open(path) as header:
        huge = header.width * header.height > MAX_PIXELS  # of which a JPEG's decoder reads a smaller one
    photo = decode(Path(path).read_bytes(), 2048 if huge else None, colour=True)
    grey = photo.convert("L")
    padded = ImageOps.pad(grey, (max(grey.size),) * 2, color=255)
    steps = {"as it is": photo, "grey": grey, "padded to a square": padded}
    arrays = {f"{name}\n{step.width}×{step.height}": np.asarray(step) for name, step in steps.items()}
    return arrays | {f"resized\n{size}×{size}": prepare_photo(photo, size)}


def accuracy_by_group(
    hits: Tensor, groups: Sequence, photos: Photos, total: str = "", labels: Tensor | None = None
) -> pd.DataFrame:
    """Accuracy of each group of test photos, with its 95 % interval (`share_interval`): photos, accuracy, low, high.

    Takes (M,) bool hits, the (M,) group of each photo, such as head, middle, tail, the name of a last row for all
    photos (none if empty), and their (M,) int64 labels, if they are not the test photos.
    """
    labels = photos.labels["test"] if labels is None else labels
    chosen = pd.DataFrame({"group": np.asarray(groups)}).groupby("group").indices
    every = {total: np.arange(len(hits))} if total else {}
    rows = {}
    for name, own in (chosen | every).items():
        low, high = share_interval(hits[own], labels[own], photos.seed)
        rows[name] = {"photos": len(own), "accuracy": float(hits[own].double().mean()), "low": low, "high": high}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("group")


def similar_photos(pixels: np.ndarray, max_bits: int = 2, most: int = 1_000_000) -> pd.DataFrame:
    """Find pairs of photos (N, S, S) uint8 that look nearly the same, by 64-bit difference hashes.

    A bit says whether one of 8×8 cells is brighter than its left neighbour. Photos with hardly any structure (fewer
    than 6 bits set) are left out, and the search stops at about `most` pairs: a catalogue of copies has quadratically
    many. Returns `first, second, bits`: places with first < second, sorted, and the number of bits that differ.
    """
    small = [np.asarray(Image.fromarray(photo).resize((9, 8), Image.Resampling.LANCZOS)) for photo in pixels]
    brighter = np.stack([(cells[:, 1:] > cells[:, :-1]).ravel() for cells in small])  # (N, 64)
    kept = np.flatnonzero(brighter.sum(axis=1) >= 6)
    hashes = np.packbits(brighter[kept], axis=1).view(np.uint64).ravel()  # (M,)
    left, right = near_hashes(hashes, max_bits, most)
    bits = np.bitwise_count(hashes[left] ^ hashes[right])
    pairs = pd.DataFrame({"first": kept[left], "second": kept[right], "bits": bits.astype(np.int64)})
    return pairs.sort_values(["first", "second"], ignore_index=True)


def near_hashes(hashes: np.ndarray, max_bits: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the pairs of (M,) uint64 hashes with at most `max_bits` different bits: their places, left before right.

    Of `max_bits` + 2 chunks of the bits, two are then equal at least, so hashes are sorted by each two chunks and
    compared within runs of equal ones (Norouzi, Punjani, Fleet 2012): exact, and near-linear unless most are alike.
    """
    chunks = [sum(1 << bit for bit in range(start, 64, max_bits + 2)) for start in range(max_bits + 2)]
    masks = np.array([one | other for one, other in combinations(chunks, 2)], dtype=np.uint64)
    found = [np.empty((2, 0), dtype=np.int64)]
    for turn, mask in enumerate(masks):
        order = np.argsort(hashes & mask, kind="stable")
        keys, places = (hashes & mask)[order], np.arange(len(order))
        for step in count(1):
            places = places[places + step < len(order)]
            places = places[keys[places] == keys[places + step]]  # where a run goes on for so many steps
            if not len(places) or sum(pairs.shape[1] for pairs in found) > most:
                break
            pairs = order[np.stack([places, places + step])]
            apart = hashes[pairs[0]] ^ hashes[pairs[1]]
            earlier = ((apart[:, None] & masks[:turn]) == 0).any(axis=1)
            found.append(pairs[:, (np.bitwise_count(apart) <= max_bits) & ~earlier])
    left, right = np.concatenate(found, axis=1)
    return left, right


def coverage(catalogue: pd.DataFrame) -> pd.DataFrame:
    """How much of a split catalogue each split reaches: photos, categories, their share, and products if named."""
    groups = catalogue.groupby("split")
    table = pd.DataFrame({"photos": groups.size(), "categories": groups["category"].nunique()})
    table["share of categories"] = table["categories"] / catalogue["category"].nunique()
    if "product" in catalogue:
        table["products"] = catalogue.drop_duplicates(["split", "category", "product"]).groupby("split").size()
    return table.reindex(SPLITS, fill_value=0).rename_axis("split").reset_index()


def parameter_table(network: nn.Module) -> pd.DataFrame:
    """List the layers that have weights: layer, shape of the weights, number of weights with biases."""
    kinds, rows = {nn.Conv2d: "convolution", nn.Linear: "fully connected"}, []
    for layer in network.modules():
        if kind := kinds.get(type(layer)):
            rows.append((kind, " × ".join(map(str, layer.weight.shape)), count_parameters(layer)))
    return pd.DataFrame([*rows, ("all layers", "", count_parameters(network))], columns=["layer", "shape", "weights"])


def accuracy_by_split(judged: Mapping[str, Mapping[str, Tensor]]) -> pd.DataFrame:
    """Share of hits in each split, a row, by each way of judging, a column, from the (M,) hits of each."""
    shares = {way: {split: float(hit.double().mean()) for split, hit in hits.items()} for way, hits in judged.items()}
    return pd.DataFrame(shares).rename_axis("split")


def most_confused(truth: Tensor, named: Tensor, categories: list[str], top: int = 10) -> pd.DataFrame:
    """Pairs of categories most often taken for each other: category, named as, photos, share (of the category's).

    Takes the (M,) int64 category of each photo, the one it was given, and the names in alphabetical order.
    """
    names = np.array(categories, dtype=object)
    frame = pd.DataFrame({"category": names[truth.numpy()], "named as": names[named.numpy()]})
    wrong = frame[frame["category"] != frame["named as"]].value_counts().reset_index(name="photos")
    wrong["share"] = wrong["photos"] / wrong["category"].map(frame["category"].value_counts())
    order = ["photos", "share", "category", "named as"]
    return wrong.sort_values(order, ascending=[False, False, True, True]).head(top).reset_index(drop=True)


def triplet_gaps(network: nn.Module, task: Triplets, photos: Photos) -> np.ndarray:
    """How much farther than its positive each fixed test triplet has its negative: (T,), in the task's distance."""
    judged = values_of(network, photos.pixels, task.listed(photos, "test"), task.values)
    return (judged["negative_distance"] - judged["positive_distance"]).numpy()


def extreme_pairs(pairs: LabelledPairs, distances: Tensor, threshold: float, each: int = 4) -> tuple[Tensor, list[str]]:
    """Choose the easiest and the hardest similar and dissimilar pairs (Fig 6.3), `each` of a kind, no pair twice.

    Takes P pairs, their (P,) float distances, and the threshold below which one is called similar. Returns
    (8 * each,) int64 rows of the photos, two for each pair; and a title for each photo.
    """
    order = distances.argsort(stable=True)
    photos = torch.stack([pairs.left, pairs.right]).sort(dim=0).values[:, order]  # lists may hold a pair several times
    order = order[torch.from_numpy(~pd.DataFrame(photos.T).duplicated().to_numpy())]
    similar, dissimilar = order[pairs.same[order]], order[~pairs.same[order]]
    kinds = {"easiest similar": similar[:each], "hardest similar": similar[-each:]}
    kinds |= {"hardest dissimilar": dissimilar[:each], "easiest dissimilar": dissimilar[-each:]}
    right, titles = pair_hits(distances, pairs.same, threshold), []
    for kind, chosen in kinds.items():
        for place in chosen.tolist():
            titles += [kind, f"{distances[place]:.2f} {'✓' if right[place] else '✗ wrong'}"]
    chosen = torch.cat([*kinds.values()])
    return torch.stack([pairs.left[chosen], pairs.right[chosen]], dim=1).flatten(), titles
