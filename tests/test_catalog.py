"""Reading, cleaning and splitting a catalogue, on good and on hostile data."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoparts.catalog import CatalogueError, clean, coverage, read_catalogue, size_groups, split_catalogue


def catalogue_of(sizes, products=None):
    """A catalogue with the given numbers of photos per category, or of photos per product per category."""
    rows = [(f"/p/{c}/{i:05}.jpg", f"c{c:04}") for c, size in enumerate(sizes) for i in range(size)]
    table = pd.DataFrame(rows, columns=["path", "category"])
    if products:
        table["product"] = [str(int(path[-9:-4]) // products) for path in table["path"]]
    return table


def manifest(folder, text, **options):
    file = folder / "parts.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_catalogue(file, **options)


# --- folders


def test_a_folder_holds_one_category_per_subfolder(tmp_path, make_photos):
    make_photos(tmp_path, {"Mirror": 2, "Mirror/left": 1, "Brake Disc": 1})
    (tmp_path / "manifest.csv").write_text("path,category\nx.jpg,Other\n")
    found = read_catalogue(str(tmp_path))
    assert list(found.columns) == ["path", "category"]
    assert found["category"].tolist() == ["Brake Disc", "Mirror", "Mirror", "Mirror"]
    photos = ["Brake Disc/0.jpg", "Mirror/0.jpg", "Mirror/1.jpg", "Mirror/left/0.jpg"]
    assert found["path"].tolist() == [str(tmp_path / photo) for photo in photos]


def test_hidden_files_and_rubbish_are_not_photos(tmp_path, make_photos):
    make_photos(tmp_path, {"A": 1, ".git": 1, "__MACOSX": 1, "A/__MACOSX": 1, "A/.thumbnails": 1})
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.jpg"):
        (tmp_path / "A" / name).write_text("rubbish")
    assert [path[len(str(tmp_path)) :] for path in read_catalogue(tmp_path)["path"]] == ["/A/0.jpg"]


def test_links_are_listed_but_loops_do_not_hang(tmp_path, make_photos):
    make_photos(tmp_path, {"A": 1})
    (tmp_path / "A" / "up").symlink_to(tmp_path)
    (tmp_path / "A" / "itself").symlink_to("itself")
    (tmp_path / "A" / "broken.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "B").symlink_to(tmp_path / "A")  # a linked category is a category
    found = read_catalogue(tmp_path)
    names = {category: [Path(path).name for path in rows] for category, rows in found.groupby("category")["path"]}
    assert names == {name: ["0.jpg", "broken.jpg", "itself", "up"] for name in ("A", "B")}


def test_composed_and_decomposed_names_are_one_category(tmp_path, make_photos):
    name = "Kühler é"
    make_photos(tmp_path, {unicodedata.normalize("NFC", name): 1, unicodedata.normalize("NFD", name): 1})
    assert read_catalogue(tmp_path)["category"].unique().tolist() == [unicodedata.normalize("NFC", name)]


def test_unusual_names_stay(tmp_path, make_photos):
    names = ["=1+1", "<img src=x onerror=alert(1)>", "🚗 hood", "x" * 200, "gas cap", "Gas Cap", "CON"]
    make_photos(tmp_path, dict.fromkeys(names, 1) | {"  two\n words\x07 ": 1})
    assert set(read_catalogue(tmp_path)["category"]) == {*names, "two words"}


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="needs file names of any bytes")
def test_names_that_are_not_utf8_can_be_written(tmp_path, make_photos):
    make_photos(tmp_path, {"A": 1})
    folder = tmp_path / os.fsdecode(b"K\xfchler")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.jpg")).touch()
    found = read_catalogue(tmp_path)
    assert "K\\xfchler" in set(found["category"])
    found.to_csv(tmp_path / "out.csv")


@pytest.mark.parametrize("valid", ["valid", "validation", "val"])
def test_kaggle_layout(tmp_path, make_photos, valid):
    for number, split in enumerate(("train", valid, "test"), start=1):
        make_photos(tmp_path / split, {"A": number, "B": number})
        (tmp_path / split / "labels.csv").touch()
    merged, own = read_catalogue(tmp_path), read_catalogue(tmp_path, own_split=True)
    assert list(merged.columns) == ["path", "category"] and len(merged) == 12
    assert own.value_counts(["category", "split"]).to_dict() == {
        (c, s): n for c in "AB" for n, s in enumerate(("train", "validation", "test"), start=1)
    }
    assert split_catalogue(own, seed=0).equals(own)


def test_own_split_must_be_there_and_whole(tmp_path, make_photos):
    make_photos(tmp_path / "plain", {"A": 1, "train": 1})
    with pytest.raises(CatalogueError, match="no train and no validation and no test"):
        read_catalogue(tmp_path / "plain", own_split=True)
    make_photos(tmp_path / "kaggle" / "train", {"A": 1, "B": 1})
    make_photos(tmp_path / "kaggle" / "test", {"A": 1})
    with pytest.raises(CatalogueError, match="no validation photos"):
        read_catalogue(tmp_path / "kaggle", own_split=True)
    make_photos(tmp_path / "kaggle" / "val", {"C": 1})
    with pytest.raises(CatalogueError, match=r"'C'.*no training photo"):
        split_catalogue(read_catalogue(tmp_path / "kaggle", own_split=True), seed=0)


def test_nothing_to_read(tmp_path):
    for data, message in ((tmp_path / "missing", "no such folder"), (tmp_path, "no photos found")):
        with pytest.raises(CatalogueError, match=message):
            read_catalogue(data)
    with pytest.raises(CatalogueError):
        read_catalogue("synthetic:rubbish")


# --- manifests


def test_a_manifest_names_photos_beside_it(tmp_path):
    found = manifest(
        tmp_path,
        "﻿path,category,product,split,price\nb/1.jpg, =A/C  fan ,,val,3\na/../a.jpg,NA,p1,TRAIN,\n./c.jpg,NA,p1,test,\n"
        .replace("a/../a", "a"),
        own_split=True,
    )  # fmt: skip
    assert list(found.columns) == ["path", "category", "product", "split"]
    assert found["category"].tolist() == ["=A/C fan", "NA", "NA"]
    assert found["split"].tolist() == ["validation", "train", "test"]
    assert found["path"].tolist() == [str(tmp_path / name) for name in ("b/1.jpg", "a.jpg", "c.jpg")]
    assert found["product"].tolist() == [str(tmp_path / "b/1.jpg"), "p1", "p1"]
    assert "split" not in read_catalogue(tmp_path / "parts.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV table"),
        ("path,category\n", "no rows"),
        ("file,label\na.jpg,A\n", "columns path and category.*file, label"),
        ("path;category\na.jpg;A\n", "separated by commas"),
        ("path, path,category\na.jpg,b.jpg,A\n", "columns path and category"),
        ("path,category\na.jpg,A\n,B\n", "row 3: '' is not a file name"),
        ("path,category\na.jpg,A\n\tb.jpg,B\n", "row 3"),
        ("path,category\na.jpg,A\nb.jpg, \x07\n", "row 3.*empty category"),
        ("path,category\na.jpg,A\nb.jpg\n", "row 3.*empty category"),
        ("path,category\na.jpg,A\n./a.jpg,B\n", "row 3.*twice"),
        ("path,category,split\na.jpg,A,train\nb.jpg,A,later\n", "row 3: 'later' is no split"),
        ("path,category\na.jpg,Kühler\n".encode("latin-1"), "UTF-8"),
        ("path,category\na.jpg,A\n".encode("utf-16"), "UTF-8"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "UTF-8"),
        ('path,category\n"a.jpg,A\n', "not a CSV table"),
        ("path,category\na.jpg,A,B,C\n", "not a CSV table"),
    ],
)
def test_bad_manifests_get_one_clear_message(tmp_path, text, message):
    with pytest.raises(CatalogueError, match=f"parts.csv.*{message}") as error:
        manifest(tmp_path, text)
    assert len(str(error.value)) < 500


def test_a_manifest_may_not_lead_outside(tmp_path):
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").touch()
    (inside / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (inside / "folder").symlink_to(tmp_path)
    (inside / "fine.jpg").symlink_to(inside / "sub")
    outside = ["../secret.jpg", "sub/../../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg"]
    for path in [*outside, "folder/secret.jpg", "folder/inside/fine.jpg/../../secret.jpg"]:
        text = f"path,category\nsub/a.jpg,A\n{path},A\n"
        with pytest.raises(CatalogueError, match=r"row 3: .* leads outside"):
            manifest(inside, text)
        assert len(manifest(inside, text, allow_outside=True)) == 2
    within = ["fine.jpg", "sub/b.jpg", "sub/../c.jpg", "folder/../d.jpg", "synthetic:0/x.jpg", f"{inside}/e.jpg"]
    found = manifest(inside, "path,category\n" + "".join(f"{path},A\n" for path in within))
    assert all(Path(path).is_relative_to(inside) and ".." not in path for path in found["path"])


# --- cleaning


def names(*categories):
    return pd.DataFrame([(f"{c}{i}", c) for c, n in categories for i in range(n)], columns=["path", "category"])


def test_the_thesis_rule():
    parts = names(
        ("Driveshaft", 3), ("Door seal", 5), ("Alarm", 5), ("Mirror", 2), ("Hood", 3), ("Cap", 1), ("Arm Kit", 1)
    )
    kept, removed = clean(parts)
    assert sorted(kept["category"].unique()) == ["Hood", "Mirror"] and list(kept.index) == [0, 1, 2, 3, 4]
    assert removed.values.tolist() == [
        ["Alarm", 5, "excluded word", "Arm"],
        ["Door seal", 5, "excluded word", "Seal"],
        ["Driveshaft", 3, "excluded word", "Shaft"],
        ["Arm Kit", 1, "excluded word", "Arm"],
        ["Cap", 1, "too few photos", ""],
    ]
    assert removed["photos"].sum() + len(kept) == len(parts)


def test_whole_words_and_other_rules():
    parts = names(("Alarm", 5), ("Control ARM", 5), ("Mirror", 2), ("Cap", 1))
    assert clean(parts, whole_word=True)[1]["category"].tolist() == ["Control ARM", "Cap"]
    assert clean(parts, words=(), smallest=1)[1].empty
    assert clean(parts, words=(), smallest=3)[1]["category"].tolist() == ["Mirror", "Cap"]


@pytest.mark.parametrize("sizes", [{"Belt": 3, "Hose": 3}, {"Belt": 3, "Hood": 3}, {"Hood": 1, "Cap": 1}, {}])
def test_fewer_than_two_categories_left(sizes):
    with pytest.raises(CatalogueError, match=r"[01] of \d categor.* at least two"):
        clean(names(*sizes.items()))


# --- splitting

TAILS = {
    "thesis-like": [
        952,
        920,
        761,
        741,
        557,
        *np.geomspace(178, 30, 25).astype(int),
        *np.linspace(60, 2, 322).astype(int),
    ],
    "balanced": [150] * 50,
    "short tail": [400, 200, 100, *[3] * 30, *[2] * 40, *[1] * 20],
    "few": [3, 2, 2, 1],
}


@pytest.mark.parametrize("sizes", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("products", [None, 3])
def test_every_category_is_divided_by_the_rule(sizes, products):
    parts = catalogue_of(sizes, products)
    divided = split_catalogue(parts, seed=1)
    unit = "product" if products else "path"
    units = divided.drop_duplicates(["category", unit])
    table = units.value_counts(["category", "split"]).unstack(fill_value=0)
    table = table.reindex(columns=["train", "validation", "test"], fill_value=0)
    number = table.sum(axis=1)
    assert (table["train"] >= 1).all()
    assert ((table["test"] >= 1) == (number >= 2)).all()
    assert ((table["validation"] >= 1) == (number >= 3)).all()
    assert len(units) == len(divided.drop_duplicates(["category", unit, "split"])), "a product is torn apart"
    if sizes in (TAILS["thesis-like"], TAILS["balanced"]):
        shares = divided["split"].value_counts(normalize=True)
        assert shares[["train", "validation", "test"]].tolist() == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_the_split_depends_on_seed_only():
    parts = catalogue_of(TAILS["few"] + [30, 40], products=2)
    divided = split_catalogue(parts, seed=5)
    shuffled = parts.sample(frac=1, random_state=0)
    assert divided.equals(split_catalogue(shuffled, seed=5))
    assert not divided.equals(split_catalogue(parts, seed=6))
    assert divided.drop(columns="split").equals(parts)


def test_shares_are_parts_of_one():
    parts = catalogue_of([10, 10])
    assert split_catalogue(parts, 0, (0.5, 0, 0.5))["split"].value_counts().to_dict() == {"train": 10, "test": 10}
    for shares in ((0.1, 0.5, 0.4), (0.1, 0, 0.9)):
        trained = split_catalogue(catalogue_of([3] * 9), 0, shares).query("split == 'train'")
        assert trained["category"].nunique() == 9
    for wrong in ((0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5)):
        with pytest.raises(ValueError, match="shares"):
            split_catalogue(parts, 0, wrong)


def test_ten_thousand_categories():
    parts = catalogue_of([2, 3, 4, 10, 1] * 2000)
    kept, removed = clean(parts)
    divided = split_catalogue(kept, seed=0)
    assert len(removed) == 2000 and divided["category"].nunique() == 8000


def test_coverage_counts_categories_with_photos():
    table = coverage(split_catalogue(catalogue_of([1, 2, 30], products=1), seed=0)).set_index("split")
    assert table.loc["train", ["categories", "share"]].tolist() == [3, 1]
    assert table["categories"].tolist() == [3, 1, 2] and table["photos"].sum() == 33
    assert table["products"].tolist() == table["photos"].tolist()
    assert coverage(split_catalogue(catalogue_of([1, 1]), seed=0))["photos"].tolist() == [2, 0, 0]


def test_size_groups_hold_a_third_each():
    groups = size_groups(pd.Series({"a": 30, "b": 20, "c": 10, "d": 5, "e": 5, "f": 5, "g": 15}))
    assert groups.to_dict() == {
        "a": "head",
        "b": "middle",
        "g": "middle",
        "c": "tail",
        "d": "tail",
        "e": "tail",
        "f": "tail",
    }
    assert set(size_groups(pd.Series([7] * 5, index=list("abcde")))) == {"middle"}
    sizes = pd.Series(TAILS["thesis-like"])
    photos = sizes.groupby(size_groups(sizes)).sum() / sizes.sum()
    assert photos[["head", "middle", "tail"]].between(0.25, 0.42).all()
