import os
import platform
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from samples import draw
from threadpoolctl import threadpool_info, threadpool_limits

from autoparts import models
from autoparts.errors import UserError
from autoparts.photos import decode, prepare_photo
from autoparts.study import study as studies
from autoparts.study.study import SHARED, open_study, processor, size_groups

SPLITS = ("train", "validation", "test")


def opened(folder, seed=0, **options):
    return open_study(str(folder), seed, **{"cleaning": "substring", "device": "cpu", "side": 20} | options)


@pytest.fixture
def folder(small_folder, tmp_path):
    """A copy of the photos that may be changed."""
    return Path(shutil.copytree(small_folder, tmp_path / "photos"))


def test_a_study_holds_the_clean_catalogue_and_its_photos_with_their_labels(small_study):
    study, photos = small_study, small_study.photos
    assert study.categories == ["Mirror", "Pump", "Wheel"] and not study.generated and photos.side == 20
    assert [len(table) for table in (study.source, study.catalogue, study.skipped)] == [77, 60, 1]
    for row in study.catalogue.iloc[::7].itertuples():
        with Image.open(row.path) as photo:
            expected = np.asarray(photo.convert("L"), float).mean()
        inside = photos.pixels[row.row].double()[3:17, 1:19]  # without the white padding of a 4:3 photo
        assert abs(inside.mean().item() - expected) < 10
    for split in SPLITS:
        subset, rows, labels = study.subset(split), photos.rows[split], photos.labels[split]
        assert (subset["split"] == split).all() and len(subset) == len(rows) > 0
        assert [study.categories[label] for label in labels] == subset["category"].tolist()
        for pixels in (study.pixels(subset), study.pixels_at(rows)):
            assert np.array_equal(np.stack(pixels), photos.pixels[rows].numpy())
    assert sorted(torch.cat([*photos.rows.values()]).tolist()) == sorted(study.catalogue["row"])


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_opening_writes_nothing_but_the_cache(folder, tmp_path, monkeypatch):
    """Not even a folder, whether the study is new, known or refused."""
    for name, variable in {"reports": "AUTOPARTS_REPORTS", "home": "HOME", "cache": "AUTOPARTS_CACHE"}.items():
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.chdir(tmp_path / "home")
    before, cache = snapshot(tmp_path), tmp_path / "cache"
    study = opened(folder)
    cached = {path for path in cache.rglob("*") if path.is_file()}
    study.photos.pairs("test")
    assert cached and study.fingerprint and study.source_fingerprint and study.facts()
    assert opened(folder).fingerprint == study.fingerprint
    with pytest.raises(UserError):
        opened(folder, cleaning="gentle")
    after = {path: time for path, time in snapshot(tmp_path).items() if not path.is_relative_to(cache)}
    assert after == {path: time for path, time in before.items() if path != cache}
    assert {path for path in cache.rglob("*") if path.is_file()} == cached


def test_the_split_and_the_lists_follow_split_seed_and_the_training_seed_moves_nothing(small_study, small_folder):
    trained, divided = opened(small_folder, 1), opened(small_folder, split_seed=1)
    assert (trained.seed, trained.split_seed, divided.seed, divided.split_seed) == (1, 0, 0, 1)
    splits = [study.catalogue["split"].tolist() for study in (trained, small_study, divided)]
    assert splits[0] == splits[1] != splits[2]
    assert trained.fingerprint == small_study.fingerprint != divided.fingerprint
    for draw_list in ("pairs", "triplets"):
        lists = (getattr(study.photos, draw_list)("test") for study in (small_study, trained, divided))
        one, same, other = (torch.cat([*drawn]) for drawn in lists)
        assert one.equal(same) and not (len(one) == len(other) and one.equal(other))
    assert "seed" in SHARED and "split_seed" in SHARED


def test_the_fingerprint_is_of_contents_and_not_of_places(small_study, folder):
    moved = folder.rename(folder.with_name("moved"))
    again = opened(moved)
    assert again.fingerprint == small_study.fingerprint and again.source_fingerprint == small_study.source_fingerprint
    draw(999).save(moved / "Pump" / "0.jpg")
    assert opened(moved).fingerprint != small_study.fingerprint


def test_what_is_removed_or_unreadable_is_noticed_in_the_source_alone(small_study, folder):
    found = {small_study.source_fingerprint}
    for change in (
        lambda: draw(77).save(folder / "Door Seal" / "new.jpg"),
        lambda: (folder / "Hose" / "0.jpg").unlink(),
        lambda: (folder / "Pump" / "worse.jpg").write_bytes(b"no photo either"),
        lambda: (folder / "Pump" / "broken.jpg").unlink(),
        lambda: (folder / "Door Seal").rename(folder / "Floor Seal"),
    ):
        change()
        study = opened(folder)
        assert study.fingerprint == small_study.fingerprint and study.source_fingerprint not in found
        found.add(study.source_fingerprint)


def test_a_processor_is_named_by_its_model(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: "processor : 0\nmodel name\t: Some Core 7\nflags : fpu\n")
    assert processor() == "Some Core 7"
    monkeypatch.setattr(Path, "read_text", lambda path: "processor : 0\nBogoMIPS : 48\n")
    assert processor() == (platform.processor() or platform.machine())


def test_facts_identify_the_study_and_hold_no_path(small_study, small_folder):
    facts = small_study.facts()
    assert facts.pop("processor") and str(small_folder.parent) not in str(facts)
    assert facts == {
        "data": "photos", "generated": False, "fingerprint": small_study.fingerprint, "seed": 0, "split_seed": 0,
        "cleaning": "substring", "split": "new", "side": 20, "source_photos": 77, "source_categories": 7, "photos": 60,
        "categories": 3, "skipped": 1, "photos_by_split": {"train": 48, "validation": 6, "test": 6},
    }  # fmt: skip
    groups = small_study.size_groups("test")  # by the number of training photos
    assert dict(zip(small_study.subset("test")["category"], groups, strict=True))["Wheel"] == "head"


REFUSED = [  # photos of each category, options, what is told
    ({"Mirror": 2, "Pump": 2}, {}, r"no photo is left for validation: add photos"),
    ({"Hose": 5, "Belt": 5}, {}, "two"),
    ({"Mirror": 2}, {"cleaning": "gentle"}, "cleaning is 'gentle'; expected auto, substring, word, none"),
    *(({"Mirror": 2}, {"split": wrong}, re.escape(f"split is {wrong!r}; expected new, own, or shares such as 6/2/2"))
      for wrong in ("mine", "8:1:1", "9/1", "8/1/0", "1/1/1/1", "6/\u0662/2", (6, 2, 2), [6], None)),
    *(({"Mirror": 2}, {name: wrong}, f"^parameter {name} is")
      for name in ("seed", "split_seed") for wrong in (-1, 2**64, 1.5, "a", True)),
]  # fmt: skip


@pytest.mark.parametrize(("counts", "options", "message"), REFUSED)
def test_what_cannot_be_studied_is_refused(tmp_path, make_photos, counts, options, message):
    with pytest.raises(UserError, match=message):
        opened(make_photos(tmp_path / "photos", counts), **options)


def test_photos_that_teach_nothing_are_refused(tmp_path, make_photos):
    copies = make_photos(tmp_path, {"Mirror": 9, "Pump": 9})
    for photo in copies.rglob("*.jpg"):
        draw(0).save(photo)
    with pytest.raises(UserError, match="all 18 photos are copies of one file"):
        opened(copies)


def test_cleaning_and_the_split_can_be_chosen(small_study, small_folder, tmp_path, make_photos):
    everything = opened(small_folder, cleaning="none")
    assert len(everything.categories) == 7 and everything.removed.empty
    assert everything.source_fingerprint == small_study.source_fingerprint
    assert opened(small_folder, cleaning="auto").removed["rule"].unique().tolist() == ["too few photos"]
    for split, count in (("train", 6), ("valid", 3), ("test", 3)):
        make_photos(tmp_path / "own" / split, {"Mirror": count, "Pump": count})
    for seed, photo in enumerate((tmp_path / "own").rglob("*.jpg")):
        draw(seed).save(photo)
    expected = {"new": [48, 6, 6], "6/2/2": [36, 12, 12], "5/1/4": [30, 6, 24], "own": [12, 6, 6]}
    for split, counts in expected.items():
        rows = opened(tmp_path / "own" if split == "own" else small_folder, split=split).photos.rows
        assert [len(rows[each]) for each in SPLITS] == counts


def test_unusual_catalogues_become_a_study(tmp_path):
    names = ["m" * 200, "\U0001f697 horn", "Mirror", "mirror", "=1+1", "<img src=x onerror=alert(1)>"]
    names += [f"Part {number:05}" for number in range(400 - len(names))]
    for index in range(3):
        draw(index, (2, 1)).save(tmp_path / f"{index}.png")
    for number, name in enumerate(names):
        (tmp_path / "parts" / name).mkdir(parents=True)
        for index in range(3 if number < 300 else 2):
            os.link(tmp_path / f"{index}.png", tmp_path / "parts" / name / f"{index}.png")
    study = opened(tmp_path / "parts", side=4)
    assert study.categories == sorted(names) and len(study.catalogue) == 1_100
    assert [len(study.photos.rows[split]) for split in SPLITS] == [400, 300, 400]
    assert study.photos.labels["train"].max() == 399
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
    study = open_study(str(make_photos(tmp_path, {"Mirror": 12, "Pump": 12})), device="cpu", side=20)
    draw(999).save(study.source["path"][3])
    with pytest.raises(UserError, match="have changed since they were first read"):
        study.prepared(16)


def test_networks_compute_in_the_precision_of_the_study_opened_last(small_folder, monkeypatch):
    monkeypatch.setenv(models.PRECISION, "auto")  # as it is again after this test
    for precision, dtype in {"bfloat16": torch.bfloat16, "float32": torch.float32}.items():
        assert opened(small_folder, precision=precision).precision == precision
        with models.half_precision(torch.device("cpu")):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert not torch.backends.cudnn.allow_tf32  # whose 10 bits would be neither
    with pytest.raises(UserError, match="precision is 'half'; expected auto, float32 or bfloat16"):
        opened(small_folder, precision="half")


def test_networks_compute_with_the_threads_of_the_study_opened_last(small_folder, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(studies, "THREADS", 5)  # as torch had found when the package was imported
    try:
        with threadpool_limits(None):  # which takes back what is set here
            for threads, found in ((3, 3), (0, 5), (1, 1)):
                opened(small_folder, threads=threads)
                assert torch.get_num_threads() == found
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
    finally:
        torch.set_num_threads(before)
    with pytest.raises(UserError, match="threads is -1; expected a number from 0 to 1024"):
        opened(small_folder, threads=-1)


def test_size_groups_hold_a_third_each():
    groups = size_groups(pd.Series({"a": 30, "b": 20, "c": 10, "d": 5, "e": 5, "f": 5, "g": 15}))
    assert "".join(group[0] for group in groups) == "hmttttm"
    assert set(size_groups(pd.Series([7] * 5, index=list("abcde")))) == {"middle"}
    sizes = pd.Series([952, 920, 761, 741, 557, *np.geomspace(178, 30, 25), *np.linspace(60, 2, 322)]).astype(int)
    photos = sizes.groupby(size_groups(sizes)).sum() / sizes.sum()
    assert photos[["head", "middle", "tail"]].between(0.25, 0.42).all()
