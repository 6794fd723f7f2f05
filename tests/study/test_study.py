import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import draw

from autoparts.errors import UserError
from autoparts.photos import decode, prepare_photo
from autoparts.study.study import SHARED, open_study

SPLITS = ("train", "validation", "test")


def opened(folder, seed=0, **options):
    return open_study(str(folder), seed, **{"device": "cpu", "size": 20} | options)


@pytest.fixture
def folder(small_folder, tmp_path):
    """A copy of the photos that may be changed."""
    return Path(shutil.copytree(small_folder, tmp_path / "photos"))


def test_a_study_holds_the_clean_catalogue_and_its_photos(small_study):
    assert small_study.categories == ["Mirror", "Pump", "Wheel"]
    assert not small_study.generated and small_study.photos.side == 20
    assert len(small_study.source) == 77 and len(small_study.catalogue) == 60 and len(small_study.skipped) == 1
    for row in small_study.catalogue.iloc[::7].itertuples():
        with Image.open(row.path) as photo:
            expected = np.asarray(photo.convert("L"), float).mean()
        inside = small_study.photos.pixels[row.row].double()[3:17, 1:19]  # without the white padding of a 4:3 photo
        assert abs(inside.mean().item() - expected) < 10


def test_rows_labels_and_pixels_belong_together(small_study):
    photos, places = small_study.photos, []
    for split in SPLITS:
        subset, rows, labels = small_study.subset(split), photos.rows[split], photos.labels[split]
        assert (subset["split"] == split).all() and len(subset) == len(rows) == len(labels) > 0
        assert [small_study.categories[label] for label in labels] == subset["category"].tolist()
        assert np.array_equal(np.stack(small_study.pixels(subset)), photos.pixels[rows].numpy())
        assert np.array_equal(np.stack(small_study.pixels_at(rows)), photos.pixels[rows].numpy())
        places += rows.tolist()
    assert sorted(places) == sorted(small_study.catalogue["row"])


def snapshot(*folders):
    return {path: path.stat().st_mtime_ns for folder in folders for path in sorted(folder.rglob("*"))}


def test_opening_writes_nothing_but_the_cache(folder, tmp_path, monkeypatch):
    """Not even a folder, whether the study is new, known or refused."""
    for name in ("reports", "home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("AUTOPARTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    before = snapshot(folder, *(tmp_path / name for name in ("reports", "home", "here")))
    study = opened(folder)
    cached = snapshot(tmp_path / "cache")
    study.photos.pairs("test")
    assert study.fingerprint and study.source_fingerprint and study.facts()
    assert cached and opened(folder).fingerprint == study.fingerprint
    with pytest.raises(UserError):
        opened(folder, cleaning="gentle")
    assert snapshot(folder, *(tmp_path / name for name in ("reports", "home", "here"))) == before
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "reports", "home", "here", "cache"}
    assert {path for path in snapshot(tmp_path / "cache") if path.is_file()} == {p for p in cached if p.is_file()}


def splits(study):
    return study.catalogue["split"].tolist()


def test_the_split_and_the_lists_follow_split_seed_and_the_training_seed_moves_nothing(small_study, small_folder):
    trained, divided = opened(small_folder, 1), opened(small_folder, split_seed=1)
    assert (trained.seed, trained.split_seed, divided.seed, divided.split_seed) == (1, 0, 0, 1)
    assert splits(trained) == splits(small_study) != splits(divided)
    assert trained.fingerprint == small_study.fingerprint != divided.fingerprint
    for draw_list in ("pairs", "triplets"):
        one, same, other = (
            torch.cat([*getattr(study.photos, draw_list)("test")]) for study in (small_study, trained, divided)
        )
        assert one.equal(same) and not (len(one) == len(other) and one.equal(other))
    assert "seed" in SHARED and "split_seed" in SHARED


def test_the_fingerprint_is_of_contents_and_not_of_places(small_study, folder):
    moved = folder.rename(folder.with_name("moved"))
    again = opened(moved)
    assert again.fingerprint == small_study.fingerprint and again.source_fingerprint == small_study.source_fingerprint
    draw(999).save(moved / "Pump" / "0.jpg")
    assert opened(moved).fingerprint != small_study.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: draw(77).save(folder / "Door Seal" / "new.jpg"),
        lambda folder: (folder / "Hose" / "0.jpg").unlink(),
        lambda folder: (folder / "Pump" / "worse.jpg").write_bytes(b"no photo either"),
        lambda folder: (folder / "Pump" / "broken.jpg").unlink(),
        lambda folder: (folder / "Door Seal").rename(folder / "Floor Seal"),
    ],
)
def test_what_is_removed_or_unreadable_is_noticed_in_the_source_alone(small_study, folder, change):
    change(folder)
    study = opened(folder)
    assert study.fingerprint == small_study.fingerprint
    assert study.source_fingerprint != small_study.source_fingerprint


def test_a_photo_replaced_with_the_same_size_and_time_is_noticed(small_study, folder):
    path = folder / "Pump" / "0.jpg"
    times, content = path.stat(), path.read_bytes()
    other = bytearray(content)
    other[-40] ^= 1
    path.unlink()
    path.write_bytes(other)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert opened(folder).fingerprint != small_study.fingerprint


def test_facts_identify_the_study_and_hold_no_path(small_study, small_folder):
    facts = small_study.facts()
    assert facts["data"] == "photos" and facts["generated"] is False and str(small_folder.parent) not in str(facts)
    assert [facts[name] for name in ("source_photos", "source_categories", "photos", "categories", "skipped")] == [
        77, 7, 60, 3, 1,
    ]  # fmt: skip
    assert facts["photos_by_split"] == {split: len(small_study.photos.rows[split]) for split in SPLITS}
    assert [facts[name] for name in ("seed", "split_seed", "cleaning", "split")] == [0, 0, "substring", "new"]
    groups = small_study.size_groups("test")  # by the number of training photos
    assert dict(zip(small_study.subset("test")["category"], groups, strict=True))["Wheel"] == "head"


def test_what_cannot_be_studied_is_refused(tmp_path, make_photos):
    two = make_photos(tmp_path / "two", {"Mirror": 2, "Pump": 2})
    with pytest.raises(UserError, match=r"no photo is left for validation: add photos"):
        opened(two)
    copies = make_photos(tmp_path / "copies", {"Mirror": 9, "Pump": 9})
    for photo in sorted(copies.rglob("*.jpg"))[1:]:
        photo.write_bytes((copies / "Mirror" / "0.jpg").read_bytes())
    with pytest.raises(UserError, match="all 18 photos are copies of one file"):
        opened(copies)
    with pytest.raises(UserError, match="two"):
        opened(make_photos(tmp_path / "hoses", {"Hose": 5, "Belt": 5}))
    with pytest.raises(UserError, match=r"cleaning is 'gentle' \(expected substring, word, none\)"):
        opened(two, cleaning="gentle")
    with pytest.raises(UserError, match="split 'mine'"):
        opened(two, split="mine")
    for wrong in (-1, 2**64, 1.5, "a", True):
        with pytest.raises(UserError, match=r"^seed is"):
            opened(two, wrong)
        with pytest.raises(UserError, match="split_seed is"):
            opened(two, split_seed=wrong)
    few = make_photos(tmp_path / "few", {"Mirror": 4, "Pump": 4})
    with pytest.raises(UserError, match=r"validation photos cannot be compared.*two categories, one of them with two"):
        opened(few).photos.pairs("validation")


def test_cleaning_and_the_split_can_be_chosen(small_study, small_folder, tmp_path, make_photos):
    everything = opened(small_folder, cleaning="none")
    assert len(everything.categories) == 7 and everything.removed.empty
    assert everything.source_fingerprint == small_study.source_fingerprint
    for split, count in (("train", 6), ("valid", 3), ("test", 3)):
        make_photos(tmp_path / "own" / split, {"Mirror": count, "Pump": count})
    for seed, photo in enumerate((tmp_path / "own").rglob("*.jpg")):
        draw(seed).save(photo)
    own = opened(tmp_path / "own", split="own")
    assert {split: len(rows) for split, rows in own.photos.rows.items()} == {"train": 12, "validation": 6, "test": 6}


def test_unusual_catalogues_become_a_study(tmp_path):
    names = ["m" * 200, "\U0001f697 horn", "Mirror", "mirror", "=1+1", "<img src=x onerror=alert(1)>"]
    names += [f"Part {number:05}" for number in range(3_000 - len(names))]
    for index in range(3):
        draw(index, (2, 1)).save(tmp_path / f"{index}.png")
    for number, name in enumerate(names):
        (tmp_path / "parts" / name).mkdir(parents=True)
        for index in range(3 if number < 300 else 2):
            os.link(tmp_path / f"{index}.png", tmp_path / "parts" / name / f"{index}.png")
    study = opened(tmp_path / "parts", size=4)
    assert study.categories == sorted(names) and len(study.catalogue) == 6_300
    assert [len(study.photos.rows[split]) for split in SPLITS] == [3_000, 300, 3_000]
    assert study.photos.labels["train"].max() == 2_999
    assert replace(study, data="other").fingerprint == study.fingerprint


def test_the_same_photos_are_prepared_in_colour_at_another_side(small_study, small_folder):
    colour, grey = small_study.prepared(12), small_study.prepared(20, colour=False)
    assert colour.pixels.shape == (len(small_study.source), 12, 12, 3) and colour.side == 12
    assert grey.pixels.equal(small_study.photos.pixels)
    assert colour.rows is small_study.photos.rows and colour.pairs("test").left.equal(grey.pairs("test").left)
    for row in (0, 40, len(small_study.source) - 1):
        path = small_study.source["path"][row]
        assert (colour.pixels[row].numpy() == prepare_photo(decode(Path(path).read_bytes(), 12, True), 12, True)).all()


def test_a_photo_that_has_changed_since_is_told(tmp_path, make_photos):
    study = open_study(str(make_photos(tmp_path, {"Mirror": 12, "Pump": 12})), device="cpu", size=20)
    draw(999).save(study.source["path"][3])
    with pytest.raises(UserError, match="have changed since they were first read"):
        study.prepared(16)
