import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from autoparts import comparison, evaluation, exploration, live
from autoparts.catalog import CatalogueError
from autoparts.study import StudyError, derived_seed, open_study, run_folder

SIZES = {"Mirror": 20, "Pump": 18, "Wheel": 22, "Door Seal": 7, "Trunk Seal": 6, "Hose": 3, "Lone": 1}


@pytest.fixture
def study(tmp_path, monkeypatch, make_photos):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    folder = make_photos(tmp_path / "photos", SIZES)
    (folder / "Pump" / "broken.jpg").write_bytes(b"no photo")
    return open_study(str(folder), "tiny", device="cpu", size=20)


def test_a_study_holds_the_clean_catalogue_and_its_photos(study):
    assert study.categories == ["Mirror", "Pump", "Wheel"]
    assert not study.generated
    assert len(study.source) == 77 and len(study.catalogue) == 60
    for row in study.catalogue.iloc[::7].itertuples():
        with Image.open(row.path) as photo:
            expected = np.asarray(photo.convert("L"), float).mean()
        pixels = study.photos[row.row].double()
        assert pixels.shape == (20, 20)
        inside = pixels[3:17, 1:19].mean().item()  # without the white padding of a 4:3 photo
        assert abs(inside - expected) < 10


def test_rows_labels_and_pixels_belong_together(study):
    places = []
    for split in ("train", "validation", "test"):
        part, rows, labels = study.part(split), study.rows(split), study.labels(split)
        assert (part["split"] == split).all() and len(part) == len(rows) == len(labels) > 0
        assert [study.categories[label] for label in labels] == part["category"].tolist()
        assert np.array_equal(np.stack(study.pixels(part)), study.photos[rows].numpy())
        assert np.array_equal(np.stack(study.pixels_at(rows)), study.photos[rows].numpy())
        places += rows.tolist()
    assert sorted(places) == sorted(study.catalogue["row"])


def test_lists_of_pairs_and_triplets_stay_within_their_split_and_are_fixed(study):
    for split in ("train", "validation", "test"):
        rows, label = study.rows(split), dict(zip(study.rows(split).tolist(), study.labels(split), strict=True))
        pairs, triplets = study.pairs(split, 30), study.triplets(split, 30)
        assert set(torch.cat([*pairs[:2], *triplets]).tolist()) <= set(rows.tolist())
        for left, right, same in zip(*(column.tolist() for column in pairs), strict=True):
            assert (label[left] == label[right]) == same and left != right
        for anchor, positive, negative in zip(*(column.tolist() for column in triplets), strict=True):
            assert label[anchor] == label[positive] != label[negative]
        assert all(one.equal(other) for one, other in zip(pairs, study.pairs(split, 30), strict=True))
        assert len(study.pairs(split).same) == len(study.triplets(split)[0]) == 10 * len(rows)


def test_random_steps_do_not_share_a_sequence(study):
    draws = [torch.rand(3, generator=study.generator(purpose)).tolist() for purpose in ("a", "b", "a")]
    assert draws[0] == draws[2] != draws[1]
    assert derived_seed(0, "split") != derived_seed(1, "split")


def test_facts_and_split_are_saved_without_a_path_of_the_user(study, tmp_path):
    folder = tmp_path / "reports" / "tiny"
    facts = json.loads((folder / "results" / "data.json").read_text())
    assert facts["data"] == "photos" and facts["generated"] is False
    assert [facts[name] for name in ("source_photos", "source_categories", "photos", "categories", "skipped")] == [
        77, 7, 60, 3, 1,
    ]  # fmt: skip
    assert facts["split"] == {part: len(study.rows(part)) for part in ("train", "validation", "test")}
    split = pd.read_csv(folder / "tables" / "split.csv")
    assert split["path"].iloc[0] == "Mirror/0.jpg"
    assert split["split"].tolist() == study.catalogue["split"].tolist()
    assert exploration.skipped_files(study)["path"].tolist() == ["Pump/broken.jpg"]
    assert not [path for path in folder.rglob("*") if path.is_file() and str(tmp_path) in path.read_text()]


def test_the_seed_fixes_the_split(study, tmp_path):
    again, other = (open_study(str(tmp_path / "photos"), "other", seed, device="cpu", size=20) for seed in (0, 1))
    assert again.catalogue["split"].tolist() == study.catalogue["split"].tolist()
    assert other.catalogue["split"].tolist() != study.catalogue["split"].tolist()
    assert again.fingerprint == study.fingerprint != other.fingerprint


def test_the_fingerprint_is_of_contents_and_not_of_places(study, tmp_path):
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert open_study(str(tmp_path / "moved"), "moved", device="cpu", size=20).fingerprint == study.fingerprint


def test_a_result_comes_back_and_belongs_to_its_data(study, tmp_path):
    study.save_result("cnn", history=pd.DataFrame({"a": [1, 2]}), share=np.float32(0.5), curve=torch.tensor([1.0, 2.0]))
    found = study.result("cnn", "02_cnn_baseline")
    assert found["history"] == {"a": [1, 2]} and found["share"] == 0.5 and found["curve"] == [1, 2]
    with pytest.raises(
        StudyError, match=r"triplet.json is missing in run 'tiny': run notebook 04_siamese_triplet first"
    ):
        study.result("triplet", "04_siamese_triplet")
    other = open_study(str(tmp_path / "photos"), "tiny", 1, device="cpu", size=20)
    with pytest.raises(StudyError, match=r"cnn.json .* made from other data or with another seed: run notebook 02_cnn"):
        other.result("cnn", "02_cnn_baseline")


def test_a_result_that_is_no_number_is_not_written(study):
    study.save_result("cnn", value=1)
    with pytest.raises(ValueError, match="JSON"):
        study.save_result("cnn", value=float("nan"))
    assert study.result("cnn", "02")["value"] == 1
    assert not list(study.folder.rglob("*.tmp"))


def test_the_key_of_a_training_changes_with_all_that_determines_it(study):
    key = study.key(model="cnn", epochs=3)
    assert key == study.key(epochs=3, model="cnn")
    assert key != study.key(model="cnn", epochs=4)
    assert key != replace(study, seed=1).key(model="cnn", epochs=3)
    poisoned = study.catalogue.assign(content=study.catalogue["content"].iloc[::-1].to_numpy())
    assert key != replace(study, catalogue=poisoned).key(model="cnn", epochs=3)


def test_size_groups_are_those_of_the_training_photos(study):
    groups = study.size_groups("test")
    assert len(groups) == len(study.rows("test"))
    assert dict(zip(study.part("test")["category"], groups, strict=True))["Wheel"] == "head"


def test_what_cannot_be_studied_is_refused(tmp_path, make_photos, monkeypatch):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    two = make_photos(tmp_path / "two", {"Mirror": 2, "Pump": 2})
    with pytest.raises(StudyError, match=r"no photo is left for validation: add photos"):
        open_study(str(two), "tiny")
    copies = make_photos(tmp_path / "copies", {"Mirror": 9, "Pump": 9})
    for photo in sorted(copies.rglob("*.jpg"))[1:]:
        photo.write_bytes((copies / "Mirror" / "0.jpg").read_bytes())
    with pytest.raises(StudyError, match="all 18 photos are copies of one file"):
        open_study(str(copies), "tiny")
    with pytest.raises(CatalogueError, match="two"):
        open_study(str(make_photos(tmp_path / "hoses", {"Hose": 5, "Belt": 5})), "tiny")
    with pytest.raises(StudyError, match=r"cleaning is 'gentle' \(expected substring, word, none\)"):
        open_study(str(two), "tiny", cleaning="gentle")
    with pytest.raises(StudyError, match="split 'mine'"):
        open_study(str(two), "tiny", split="mine")
    assert not (tmp_path / "reports").exists()
    few = make_photos(tmp_path / "few", {"Mirror": 4, "Pump": 4})
    with pytest.raises(StudyError, match=r"validation photos cannot be compared.*two categories, one of them with two"):
        open_study(str(few), "tiny").pairs("validation")


def test_an_unknown_way_of_drawing_is_named(study):
    with pytest.raises(StudyError, match=r"draw_by is 'product'; expected 'photo' or 'category'"):
        study.pairs("train", 4, "product")


def test_cleaning_can_be_switched(study, tmp_path):
    options = {"device": "cpu", "size": 20}
    everything = open_study(str(tmp_path / "photos"), "a", cleaning="none", **options)
    assert everything.categories == sorted(SIZES)
    assert everything.removed.empty


def test_the_run_folder_is_a_name_or_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    assert run_folder("mine") == tmp_path / "mine"
    assert run_folder("/elsewhere/mine") == Path("/elsewhere/mine")
    monkeypatch.delenv("AUTOPARTS_REPORTS")
    assert run_folder("mine") == Path(__file__).parents[1] / "reports" / "mine"


def test_the_source_summary_counts_each_step(study):
    table = exploration.source_summary(study)
    assert table["photos"].tolist() == [78, 77, 60] and table["categories"].tolist() == [7, 7, 3]


def test_the_cleaning_summary_adds_up(study):
    table = exploration.cleaning_summary(study.removed)
    assert table.iloc[-1].tolist() == ["total", "", 4, 17]
    assert table.iloc[:-1]["photos"].sum() == 17
    assert set(table["word"]) == {"Seal", "Hose", ""}


def test_excluded_examples_take_the_words_in_turn(study):
    found = exploration.excluded_examples(study, 2)
    assert found["category"].tolist() == ["Door Seal", "Hose"]
    assert len(exploration.excluded_examples(study, 9)) == 4


def test_the_most_diverse_category_is_the_one_that_varies(study):
    photos = study.photos.clone()
    for name in ("Mirror", "Pump"):
        photos[torch.tensor(study.catalogue.loc[study.catalogue["category"] == name, "row"].to_numpy(copy=True))] = 128
    assert exploration.most_diverse_category(replace(study, photos=photos)) == "Wheel"


def test_near_duplicates_are_counted_by_the_parts_they_fall_into(study):
    photos = study.photos.clone()
    train, test = study.rows("train"), study.rows("test")
    photos[test[0]] = photos[train[0]]
    photos[train[1]] = photos[train[0]]
    summary = exploration.duplicate_summary(exploration.near_duplicates(replace(study, photos=photos)))
    counts = summary.set_index("parts")["pairs"]
    assert counts["train and test"] == 2 and counts["train and train"] == 1 and counts.sum() == 3


def test_preparation_steps_end_in_what_the_network_sees(study):
    row = study.catalogue.iloc[0]
    steps = exploration.preparation_steps(row["path"], 20)
    assert [name.split("\n")[0] for name in steps] == ["as it is", "grey", "padded to a square", "resized"]
    last, prepared = list(steps.values())[-1].astype(int), study.photos[row["row"]].numpy().astype(int)
    assert np.abs(last - prepared).max() < 6  # preparation in bulk decodes JPEGs straight to grey


def test_the_threshold_explorer_tells_what_it_was_given(study):
    pairs = study.pairs("train", 40)
    distances = torch.rand(40, generator=study.generator("test"))
    curve = evaluation.threshold_curve(distances, pairs.same, torch.linspace(0, 1, 5))
    found = live.threshold_explorer(study, curve, {"a": 0.5, "b": 0.6}, pairs, distances, examples=6)
    assert found["chosen"] == 0.5 and found["thesis_choice"] == 0.6
    assert len(found["distances_same"]) == 20 and sorted(found["distances_same"]) == list(found["distances_same"])
    assert list(found["accuracy"]) == curve["accuracy"].round(5).tolist()
    assert len(found["pairs"]) == 6
    shown = [pair["distance"] for pair in found["pairs"]]
    assert shown == sorted(shown)
    for pair in found["pairs"]:
        assert pair["same"] == (pair["left_category"] == pair["right_category"])
        with Image.open(io.BytesIO(base64.b64decode(pair["left"].partition(",")[2]))) as photo:
            assert photo.size == (56, 56)
    study.save_result("threshold", **found)


def test_table_5_1_sets_the_thesis_beside_the_run():
    metrics = {
        "training_accuracy": 0.9, "validation_accuracy": 0.5, "test_accuracy": 0.25, "test_interval": [0.2, 0.3],
        "n_test": 80,
    }  # fmt: skip
    results = {
        name: {"title": name.upper(), "task": f"task of {name}", "chance": chance, "metrics": metrics}
        for name, chance in (("cnn", 0.01), ("contrastive", 0.5), ("triplet", None))
    }
    table = comparison.table_5_1(results)
    thesis, ours = table.iloc[0::2], table.iloc[1::2]
    assert thesis["test accuracy"].tolist() == [0.508, 0.7024, 0.4036]
    assert thesis["training accuracy"].tolist()[:2] == [0.9979, 0.9794]
    assert thesis["validation accuracy"].tolist()[:2] == [0.0007 / 100, 0.9198]
    assert np.isnan(thesis["training accuracy"].iloc[2]) and np.isnan(thesis["validation accuracy"].iloc[2])
    assert ours["test accuracy"].tolist() == [0.25] * 3 and ours["n (test)"].tolist() == [80] * 3
    assert ours["95 % interval"].tolist() == ["20.0% to 30.0%"] * 3
    assert ours["chance"].tolist()[:2] == [0.01, 0.5] and np.isnan(ours["chance"].iloc[2])
    assert ours["task"].tolist() == ["task of cnn", "task of contrastive", "task of triplet"]
    assert comparison.percent(0.000007) == "0.0007%" and comparison.percent(0.508) == "50.80%"
