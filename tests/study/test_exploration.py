from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from samples import draw

from autoparts import evaluation, models, retrieval, sampling
from autoparts.photos import prepare_photo
from autoparts.sampling import LabelledPairs
from autoparts.study import exploration
from autoparts.tasks import Triplets


def test_what_was_read_skipped_and_removed_is_summed_up(small_study):
    table = exploration.source_summary(small_study)
    assert table["photos"].tolist() == [78, 77, 60] and table["categories"].tolist() == [7, 7, 3]
    table = exploration.skipped_files(small_study)
    assert table["path"].tolist() == ["Pump/broken.jpg"] and table["reason"].str.len().gt(5).all()
    table = exploration.cleaning_summary(small_study.removed)
    assert table.iloc[-1].tolist() == ["total", "", 4, 17] and table.iloc[:-1]["photos"].sum() == 17
    assert {*table["word"]} == {"Seal", "Hose", ""}
    assert exploration.excluded_examples(small_study, 2)["category"].tolist() == ["Door Seal", "Hose"]
    assert len(exploration.excluded_examples(small_study, 9)) == 4  # the words in turn, while there are any


def with_pixels(study, pixels):
    return replace(study, photos=replace(study.photos, pixels=pixels))


def test_the_most_diverse_category_is_the_one_that_varies(small_study):
    pixels = small_study.photos.pixels.clone()
    same = small_study.catalogue["category"] != "Wheel"
    pixels[torch.tensor(small_study.catalogue.loc[same, "row"].to_numpy(copy=True))] = 128
    assert exploration.most_diverse_category(with_pixels(small_study, pixels)) == "Wheel"


def test_near_duplicates_are_counted_by_the_splits_they_fall_into(small_study):
    pixels, labels = small_study.photos.pixels.clone(), small_study.photos.labels["train"]
    train, test = small_study.photos.rows["train"], small_study.photos.rows["test"]
    place = int((labels != labels[0]).nonzero()[0, 0])
    pixels[torch.stack([test[0], train[1], train[place]])] = small_study.photos.pixels[train[0]]
    pairs = exploration.near_duplicates(with_pixels(small_study, pixels))
    twice = exploration.under_two_names(small_study, pairs)
    other = small_study.subset("train")["path"].iloc[place]
    assert len(twice) == 3 and (twice["name"] != twice["its name"]).all() and (twice["bits that differ"] == 0).all()
    assert all(other.endswith(f"/{path}") for path in twice["nearly the same photo"])
    counts = exploration.duplicate_summary(pairs).set_index("splits")["pairs"]
    assert counts["train and test"] == 3 and counts["train and train"] == 3 and counts.sum() == 6


def naive_hash(photo):
    small = np.asarray(Image.fromarray(photo).resize((9, 8), Image.Resampling.LANCZOS))
    return int("".join(str(int(small[y, x + 1] > small[y, x])) for y in range(8) for x in range(8)), 2)


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_similar_photos_are_those_of_the_naive_search(most):
    noise = np.random.default_rng(0)
    photos = np.stack([prepare_photo(draw(seed)) for seed in range(60)])
    near = (photos[:40].astype(int) + noise.integers(-6, 7, photos[:40].shape)).clip(0, 255).astype(np.uint8)
    pixels = np.concatenate([photos, near, photos[:3]])
    hashes = [*enumerate(map(naive_hash, pixels))]
    pairs = [(i, j, (one ^ other).bit_count()) for (i, one), (j, other) in combinations(hashes, 2)]
    naive = [pair for pair in pairs if pair[2] <= most]
    assert [*exploration.similar_photos(pixels, most).itertuples(index=False, name=None)] == naive and len(naive) >= 3


def test_near_hashes_are_found_among_very_many():
    noise = np.random.default_rng(0)
    hashes = noise.integers(0, 2**64, 80_000, dtype=np.uint64)  # all 3.2e9 pairs of them take a minute
    places = noise.permutation(80_000)[:200].reshape(2, 100)
    hashes[places[1]] = hashes[places[0]] ^ np.uint64(2**63 + 1)
    left, right = exploration.near_hashes(hashes, 2, 1_000)
    assert sorted(zip(left, right, strict=True)) == sorted(map(tuple, np.sort(places, axis=0).T))


def test_blank_photos_are_not_compared_and_copies_do_not_explode():
    assert exploration.similar_photos(np.full((5000, 100, 100), 255, np.uint8)).empty
    copies = np.broadcast_to(prepare_photo(draw(1)), (3000, 100, 100))
    assert len(exploration.similar_photos(copies[:50])) == 50 * 49 / 2
    assert 10_000 <= len(exploration.similar_photos(copies, most=10_000)) < 3_000_000


def test_preparation_steps_end_in_what_the_network_sees(small_study):
    row = small_study.catalogue.iloc[0]
    steps = exploration.preparation_steps(row["path"], 20)
    assert [name.split("\n")[0] for name in steps] == ["as it is", "grey", "padded to a square", "resized"]
    assert [name.split("\n")[1] for name in steps] == ["64×48", "64×48", "64×64", "20×20"]
    last, prepared = list(steps.values())[-1].astype(int), small_study.photos.pixels[row["row"]].numpy().astype(int)
    assert np.abs(last - prepared).max() < 6  # preparation in bulk decodes JPEGs straight to grey


def test_the_photo_to_prepare_is_oblong_and_may_be_huge(tmp_path, monkeypatch):
    paths = [str(tmp_path / f"{width}x{height}.jpg") for width, height in ((60, 50), (40, 5000), (90, 80))]
    for path in paths:
        Image.new("RGB", tuple(map(int, Path(path).stem.split("x")))).save(path)
    study = SimpleNamespace(catalogue=pd.DataFrame({"path": paths}))
    assert exploration.most_oblong(study) == paths[1]
    monkeypatch.setattr("autoparts.photos.MAX_PIXELS", 100_000)  # of which its decoder leaves a quarter
    monkeypatch.setattr(exploration, "MAX_PIXELS", 100_000)
    assert next(iter(exploration.preparation_steps(paths[1], 20))) == "as it is\n16×2048"


def test_accuracies_by_split_are_the_shares_of_hits():
    hits = {"train": torch.tensor([True, False]), "test": torch.tensor([True, True, True, False])}
    table = exploration.accuracy_by_split({"with": hits, "without": {split: ~of for split, of in hits.items()}})
    assert table.to_dict() == {"with": {"train": 0.5, "test": 0.75}, "without": {"train": 0.5, "test": 0.25}}


def test_coverage_counts_categories_with_photos():
    splits = ["train"] * 4 + ["validation"] + ["test"] * 3
    catalogue = pd.DataFrame({"category": list("aabcabbc"), "split": splits, "product": list("11234567")})
    table = exploration.coverage(catalogue).set_index("split")
    assert table["photos"].tolist() == [4, 1, 3] and table["categories"].tolist() == [3, 1, 2]
    assert table["share of categories"].tolist() == pytest.approx([1, 1 / 3, 2 / 3])
    assert table["products"].tolist() == [3, 1, 3]
    one = exploration.coverage(catalogue.assign(category="a", product="1"))  # in all splits, as the data's own has it
    assert one["products"].tolist() == [1, 1, 1]
    without = exploration.coverage(catalogue.drop(columns="product").head(4))
    assert without["photos"].tolist() == [4, 0, 0] and "products" not in without


def test_the_layer_table_counts_all_weights():
    network = models.thesis_network(10)
    table = exploration.parameter_table(network)
    assert table["weights"].tolist()[:3] == [32 * 9 + 32, 64 * 32 * 9 + 64, 10 * 64 * 25 * 25 + 10]
    assert table["weights"].iloc[:-1].sum() == table["weights"].iloc[-1] == models.count_parameters(network)
    assert table["shape"].tolist()[:3] == ["32 × 1 × 3 × 3", "64 × 32 × 3 × 3", "10 × 40000"]


def test_most_confused_categories():
    truth = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    named = torch.tensor([0, 1, 1, 2, 0, 1, 1, 1, 2, 2])
    table = exploration.most_confused(truth, named, ["Axle", "Boot", "Cap"], top=3)
    assert table.to_dict("records") == [
        {"category": "Axle", "named as": "Boot", "photos": 2, "share": 0.5},
        {"category": "Cap", "named as": "Boot", "photos": 2, "share": 0.5},
        {"category": "Boot", "named as": "Axle", "photos": 1, "share": 0.5},
    ]
    assert exploration.most_confused(truth, truth, ["Axle", "Boot", "Cap"]).empty


def test_gaps_of_triplets_are_what_their_task_judges_by(small_study):
    task, photos = Triplets(margin=1e-4), small_study.photos
    network = models.thesis_network(8, (4,), photos.side, seed=1)
    kept = exploration.triplet_gaps(network, task, photos) > task.margin
    assert kept.tolist() == task.judge(network, photos)["test"].tolist() and 0 < kept.mean() < 1


def test_extreme_pairs_are_the_nearest_and_the_farthest_of_each_kind():
    left, right = torch.arange(8), torch.arange(10, 18)
    left, right = torch.cat([left, right[6:7]]), torch.cat([right, left[6:7]])  # the last is the seventh, turned round
    pairs = LabelledPairs(left, right, left % 2 == 0)
    distances = torch.tensor([3.0, 0.5, 1.0, 4.0, 2.0, 2.5, 0.1, 5.0, 0.1])
    rows, titles = exploration.extreme_pairs(pairs, distances, threshold=2.2, each=1)
    assert rows.tolist() == [6, 16, 0, 10, 1, 11, 7, 17]
    two, _ = exploration.extreme_pairs(pairs, distances, threshold=2.2, each=2)
    assert two.tolist()[:4] == [6, 16, 2, 12]
    assert titles == [
        "easiest similar", "0.10 ✓", "hardest similar", "3.00 ✗ wrong",
        "hardest dissimilar", "0.50 ✗ wrong", "easiest dissimilar", "5.00 ✓",
    ]  # fmt: skip


def test_accuracies_by_group_have_the_interval_of_their_categories_and_all_together_that_of_table_5_1():
    labels = torch.arange(240) % 12
    hits = (labels < 8) | (torch.arange(240) < 40)
    rows = {"test": torch.arange(240)}
    photos = sampling.Photos(torch.zeros(240, 1, 1, dtype=torch.uint8), rows, {"test": labels}, 3)
    groups = np.where(torch.arange(240) % 2 == 0, "even", "odd")
    table = exploration.accuracy_by_group(hits, groups, photos, "all")
    assert table.index.tolist() == ["even", "odd", "all"] and table["photos"].tolist() == [120, 120, 240]
    assert table.loc["all", "accuracy"] == pytest.approx(float(hits.double().mean()))
    assert tuple(table.loc["all", ["low", "high"]]) == retrieval.accuracy_interval(hits, (rows["test"],), photos)
    wide, narrow = (table.loc[name, "high"] - table.loc[name, "low"] for name in ("all", "even"))
    assert wide > 0.4 and narrow < 0.2  # twelve categories that are right or wrong as a whole; of six, single photos
    (unknown,) = exploration.accuracy_by_group(hits[:5], ["a"] * 5, photos, labels=torch.zeros(5)).to_dict("records")
    assert unknown["accuracy"] == 1 and (unknown["low"], unknown["high"]) == evaluation.wilson_interval(5, 5)
