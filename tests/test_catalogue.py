"""Reading, cleaning and splitting a catalogue, on good and on hostile data."""

import ntpath
import os
import shutil
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from samples import draw

from autoparts import catalogue
from autoparts.catalogue import SPLITS, below_root, clean, printable, read_catalogue, split_catalogue
from autoparts.errors import UserError
from autoparts.photos import prepare

odd_names = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs file names of any bytes")


def catalogue_of(sizes, products=None):
    """A catalogue with the given numbers of photos per category, or of photos per product per category."""
    rows = [(f"/p/{c}/{i:05}.jpg", f"c{c:04}") for c, size in enumerate(sizes) for i in range(size)]
    table = pd.DataFrame(rows, columns=["path", "category"])
    if products:
        table["product"] = [str(int(path[-9:-4]) // products) for path in table["path"]]
    return table


def manifest(folder, text, **options):
    (file := folder / "parts.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
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
    make_photos(tmp_path, {"A/@eaDir/0.jpg": 1, "#recycle": 1, "$RECYCLE.BIN": 1})  # of network drives
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.jpg"):
        (tmp_path / "A" / name).write_text("rubbish")
    assert [path[len(str(tmp_path)) :] for path in read_catalogue(tmp_path)["path"]] == ["/A/0.jpg"]


def test_links_are_listed_but_loops_do_not_hang(tmp_path, make_photos):
    make_photos(tmp_path, {"A": 1})
    links = {"A/up": tmp_path, "A/itself": "itself", "A/broken.jpg": "nowhere.jpg", "loop": tmp_path}
    for link, target in (links | {"B": tmp_path / "A"}).items():  # a linked category is a category
        (tmp_path / link).symlink_to(target)
    found = read_catalogue(tmp_path)
    names = {category: [Path(path).name for path in rows] for category, rows in found.groupby("category")["path"]}
    assert names == {name: ["0.jpg", "broken.jpg", "itself", "up"] for name in ("A", "B")}


def test_unusual_names_stay(tmp_path, make_photos):
    names = ["=1+1", "<img src=x onerror=alert(1)>", "🚗 hood", "x" * 200, "gas cap", "Gas Cap", "CON"]
    decomposed = unicodedata.normalize("NFD", "Kühler é")
    make_photos(tmp_path, dict.fromkeys([*names, decomposed, "Kühler é", "  two\n words\x07 "], 1))
    assert set(read_catalogue(tmp_path)["category"]) == {*names, "Kühler é", "two words"}


@odd_names
def test_names_that_are_not_utf8_are_read(tmp_path, make_photos):
    make_photos(tmp_path, {"A": 1})
    (folder := tmp_path / os.fsdecode(b"K\xfchler")).mkdir()
    shutil.copy(tmp_path / "A" / "0.jpg", folder / os.fsdecode(b"\xff.jpg"))
    found = read_catalogue(tmp_path)
    assert found["category"].tolist() == ["A", "K\\xfchler"] and all(map(os.path.isfile, found["path"]))
    prepared = prepare(found)
    assert len(prepared.catalogue) == 2 and prepared.skipped.empty
    listed = prepared.catalogue.assign(path=below_root(prepared.catalogue["path"], found["path"]))
    listed.to_csv(tmp_path / "out.csv")
    assert listed["path"].tolist() == ["A/0.jpg", "K\\xfchler/\\xff.jpg"]


@odd_names
def test_a_category_without_a_visible_name_is_skipped(tmp_path, make_photos):
    found = read_catalogue(make_photos(tmp_path, {"A": 2, "\x07": 2, "\u200b ": 1}))
    prepared = prepare(found)
    assert len(prepared.catalogue) == len(prepared.pixels) == 2
    shown = below_root(prepared.skipped["path"], found["path"])
    assert shown.tolist() == ["\\x07/0.jpg", "\\x07/1.jpg", "\\u200b /0.jpg"]
    assert set(prepared.skipped["reason"]) == {"the category's name has no visible character"}


def test_names_are_shown_without_control_characters_and_no_home_directory(monkeypatch):
    assert printable("a\x1b[2J\n\x9b\u202e \udcff\ud800") == r"a\x1b[2J\n\x9b\u202e \xff\ud800"
    assert printable(as_it_is := "Kühler – نمی\u200cخواهم 👩\u200d🔧") == as_it_is
    monkeypatch.setenv("HOME", "/home/me")
    paths = pd.Series(["/home/me/p/A/1.jpg", "/home/me/p/B/2.jpg"], index=[4, 7])
    assert below_root(paths, paths).to_dict() == {4: "A/1.jpg", 7: "B/2.jpg"}
    with monkeypatch.context() as windows:
        windows.setattr(catalogue, "os", SimpleNamespace(path=ntpath, sep="\\"))
        there = pd.Series([r"C:\Users\me\p\A/1.jpg", r"C:\Users\me\p\B\2.jpg"])
        assert below_root(there, there).tolist() == ["A/1.jpg", "B/2.jpg"]
    for elsewhere in ("/home/me/q/C/3.jpg", "/mnt/C/3.jpg"):
        assert below_root(paths, pd.concat([paths, pd.Series([elsewhere])])).tolist() == ["A/1.jpg", "B/2.jpg"]


@pytest.mark.parametrize("valid", ["valid", "validation", "val"])
def test_kaggle_layout(tmp_path, make_photos, valid):
    for number, split in enumerate(("train", valid, "test"), start=1):
        make_photos(tmp_path / split, {"A": number, "B": number})
        (tmp_path / split / "labels.csv").touch()
    merged, own = read_catalogue(tmp_path), read_catalogue(tmp_path, own_split=True)
    assert list(merged.columns) == ["path", "category"] and len(merged) == 12
    counts = own.value_counts(["category", "split"])
    assert [counts["B", split] for split in SPLITS] == [1, 2, 3]
    assert split_catalogue(own, seed=0).equals(own)


def test_a_folder_beside_splits_is_told_before_they_become_names(tmp_path, make_photos):
    for split in ("train", "test"):
        make_photos(tmp_path / split, {"Pump": 2, "Mirror": 2})
    assert set(read_catalogue(tmp_path)["category"]) == {"Pump", "Mirror"}
    make_photos(tmp_path, {"images to predict": 1})
    with pytest.raises(UserError, match="beside its splits there is the folder 'images to predict'; move it elsewhere"):
        read_catalogue(tmp_path)


def test_own_split_must_be_there_and_whole(tmp_path, make_photos):
    make_photos(tmp_path / "plain", {"A": 1, "train": 1})
    with pytest.raises(UserError, match="no train and no validation and no test"):
        read_catalogue(tmp_path / "plain", own_split=True)
    make_photos(tmp_path / "kaggle" / "train", {"A": 1, "B": 1})
    make_photos(tmp_path / "kaggle" / "test", {"A": 1})
    with pytest.raises(UserError, match="no validation photos"):
        read_catalogue(tmp_path / "kaggle", own_split=True)
    make_photos(tmp_path / "kaggle" / "val", {"C": 1})
    with pytest.raises(UserError, match=r"'C'.*no training photo"):
        split_catalogue(read_catalogue(tmp_path / "kaggle", own_split=True), seed=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("missing", "no such folder.*`synthetic`"), (".", "no photos found"), ("x" * 5000, "name too long"),
        ("~no-such-user/photos", "no such folder"), ("synthetic:rubbish", "rubbish.*<categories>x<photos>"),
        ("a\x1b[2J", r"^a\\x1b\[2J: no such"), ("photo", "this is a photo; give a folder with one sub-folder"),
    ],
)  # fmt: skip
def test_nothing_to_read(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    draw(1).save("photo", format="JPEG")
    with pytest.raises(UserError, match=f"(?i){message}") as error:
        read_catalogue(data)
    assert len(str(error.value)) < 500


# --- generated photos


def test_generated_photos_are_files_drawn_once():
    found = read_catalogue("synthetic:2x6", progress=False)
    assert list(found.columns) == ["path", "category", "product"] and len(found) == 6
    assert all(Path(path).is_relative_to(catalogue.cache_folder()) for path in found["path"])
    before = [Path(path).stat() for path in found["path"]]
    again = read_catalogue("synthetic:2x6", progress=False)
    assert again.equals(found) and [Path(path).stat() for path in again["path"]] == before
    assert prepare(found, progress=False).skipped.empty
    assert catalogue.is_generated("synthetic") and catalogue.is_generated("synthetic:thesis")
    assert not catalogue.is_generated("synthetics") and not catalogue.is_generated(Path("a/synthetic"))


# --- manifests


def test_a_manifest_names_photos_beside_it(tmp_path):
    text = "\ufeffpath,category,product,split,x\nb/1.jpg, =A/C  fan ,,val,3\na.jpg,NA,p1,TRAIN,\n./c.jpg,NA,p1,test,\n"
    found = manifest(tmp_path, text, own_split=True)
    assert list(found.columns) == ["path", "category", "product", "split"]
    assert found["category"].tolist() == ["=A/C fan", "NA", "NA"]
    assert found["split"].tolist() == ["validation", "train", "test"]
    assert found["path"].tolist() == [str(tmp_path / name) for name in ("b/1.jpg", "a.jpg", "c.jpg")]
    assert found["product"].tolist() == [str(tmp_path / "b/1.jpg"), "p1", "p1"]
    assert "split" not in read_catalogue(tmp_path / "parts.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_manifests_as_spreadsheets_write_them(tmp_path, make_photos, separator, newline):
    make_photos(tmp_path, {"Gas Cap": 2})
    (tmp_path / "a\\b.jpg").write_bytes((tmp_path / "Gas Cap" / "0.jpg").read_bytes())  # called so
    rows = [["Path", '"Category "', "Note"], ["Gas Cap\\0.jpg", "Gas Cap", '"a, b; c"']]
    rows += [[".\\Gas Cap\\1.jpg", "Gas Cap", ""], ["a\\b.jpg", "Other", ""]]
    text = newline.join(map(separator.join, rows))
    found = manifest(tmp_path, "\ufeff" + text)
    spaced = text.replace(separator, f" {separator} ").replace("a , b", "a, b")
    assert all(found.equals(manifest(tmp_path, same)) for same in (f"sep={separator}{newline}{text}", spaced))
    photos = ["Gas Cap/0.jpg", "Gas Cap/1.jpg", "a\\b.jpg"]
    assert found["path"].tolist() == [str(tmp_path / photo) for photo in photos]
    assert found["category"].tolist() == ["Gas Cap", "Gas Cap", "Other"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV table"), ("path,category\n", "rows.*0 rows"), ('path,category\n"a.jpg,A\n', "not a CSV table"),
        ("path,category\na.jpg,A,B,C\n", "a row has more .* in quotes"), (b"\xff\xd8\xff\xe0\x00\x10JFIF", "UTF-8"),
        ("path,category\na.jpg,A\nb.jpg,B, C\n", "line 3 has more columns than the header: put names with commas in"),
        ("path,category\na.jpg,A\n".encode("utf-16-le"), "UTF-8"), ("PK\3\4\0[Content_Types].xml", "save the table as"),
        ("path,category\na.jpg,Kühler\n".encode("latin-1"), "UTF-8"), ("path,category\n".encode("utf-16"), "UTF-8"),
        ("file,label\na.jpg,A\n", "columns path and category.*file, label"),
        ("path|category\na.jpg|A\n", "columns path and category.*path.category"),
        ("path, Path,category\na.jpg,b.jpg,A\n", "columns path and category"),
        ("path,category\na.jpg,A\n,B\n", "row 3: '' is not a file name"), ("path,category\n\tb.jpg,B\n", "row 2"),
        ("path,category\na.jpg,A\nb.jpg, \x07\n", "row 3.*empty category"),
        ("path,category\na.jpg,A\nb.jpg\n", "row 3.*empty category"),
        ("path,category\na.jpg,A\n./a.jpg,B\n", "row 3.*twice"),
        ("path,category\na.jpg,A\n\n,\nb.jpg,\n", "row 5.*empty category"),
        ("path;category\nx/0.jpg;A\nx\\0.jpg;A", "row 3.*twice"),
        ("path;category\n..\\0.jpg;A", "row 2.*leads outside"),
    ],
)  # fmt: skip
def test_bad_manifests_get_one_clear_message(tmp_path, text, message):
    with pytest.raises(UserError, match=f"parts.csv.*{message}") as error:
        manifest(tmp_path, text)
    assert len(str(error.value)) < 500


def test_a_column_of_splits_is_looked_at_where_it_counts(tmp_path):
    text = "path,category,split\na.jpg,A,train\nb.jpg,A,fold 1\n"
    assert len(manifest(tmp_path, text)) == 2
    with pytest.raises(UserError, match="row 3: 'fold 1' is no split; expected train, validation, test"):
        manifest(tmp_path, text, own_split=True)


def test_a_manifest_may_not_lead_outside(tmp_path):
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").touch()
    for link, target in (("link.jpg", tmp_path / "secret.jpg"), ("folder", tmp_path), ("fine.jpg", inside / "sub")):
        (inside / link).symlink_to(target)
    outside = ["../secret.jpg", "sub/../../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg"]
    for path in [*outside, "folder/secret.jpg", "folder/inside/fine.jpg/../../secret.jpg"]:
        text = f"path,category\nsub/a.jpg,A\n{path},A\n"
        with pytest.raises(UserError, match=r"row 3: .* leads outside"):
            manifest(inside, text)
        assert len(manifest(inside, text, allow_outside=True)) == 2
    within = ["fine.jpg", "sub/b.jpg", "sub/../c.jpg", "folder/../d.jpg", f"{inside}/e.jpg"]
    found = manifest(inside, "path,category\n" + "".join(f"{path},A\n" for path in within))
    assert all(Path(path).is_relative_to(inside) and ".." not in path for path in found["path"])


# --- cleaning


def names(**categories):
    return pd.DataFrame({"category": [name.replace("_", " ") for name, n in categories.items() for _ in range(n)]})


def test_the_thesis_rule():
    kept, removed = clean(names(Driveshaft=3, Door_seal=5, Alarm=5, Mirror=2, Hood=3, Cap=1, Arm_Kit=1))
    assert kept["category"].tolist() == ["Mirror"] * 2 + ["Hood"] * 3 and list(kept.index) == [0, 1, 2, 3, 4]
    assert list(removed.itertuples(index=False, name=None)) == [
        ("Alarm", 5, "excluded word", "Arm"), ("Door seal", 5, "excluded word", "Seal"),
        ("Driveshaft", 3, "excluded word", "Shaft"), ("Arm Kit", 1, "excluded word", "Arm"),
        ("Cap", 1, "too few photos", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "removed"),
    [
        ({"whole_word": True}, ["Control ARM", "Cap"]), ({"words": (), "smallest": 1}, []),
        ({"words": (), "smallest": 3}, ["Mirror", "Cap"]),
    ],
)  # fmt: skip
def test_whole_words_and_other_rules(rule, removed):
    parts = names(Alarm=5, Control_ARM=5, Mirror=2, Cap=1)
    assert clean(parts, **rule)[1]["category"].tolist() == removed


@pytest.mark.parametrize("sizes", [{"Belt": 3, "Hose": 3}, {"Belt": 3, "Hood": 3}, {"Hood": 1, "Cap": 1}, {}])
def test_fewer_than_two_categories_left(sizes):
    advice = "set cleaning" if "Belt" in sizes else "of more kinds"
    with pytest.raises(UserError, match=rf"[01] of \d categor.* at least two.*{advice}"):
        clean(names(**sizes))


# --- splitting

MIDDLE = [*np.geomspace(178, 30, 25).astype(int), *np.linspace(60, 2, 322).astype(int)]
TAILS = {
    "thesis-like": [952, 920, 761, 741, 557, *MIDDLE],
    "balanced": [150] * 50,
    "short tail": [400, 200, 100, *[3] * 30, *[2] * 40, *[1] * 20],
    "few": [3, 2, 2, 1],
}


@pytest.mark.parametrize("sizes", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("products", [None, 3])
@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.2, 0.2), (0.1, 0.8)])
def test_every_category_is_divided_by_the_rule(sizes, products, shares):
    parts = catalogue_of(sizes, products)
    divided = split_catalogue(parts, 1, shares)
    unit = "product" if products else "path"
    units = divided.drop_duplicates(["category", unit])
    table = units.value_counts(["category", "split"]).unstack(fill_value=0).reindex(columns=SPLITS, fill_value=0)
    number = table.sum(axis=1)
    assert (table["train"] >= 1).all()
    assert ((table["test"] >= 1) == (number >= 2)).all() and ((table["validation"] >= 1) == (number >= 3)).all()
    assert len(units) == len(divided.drop_duplicates(["category", unit, "split"])), "a product is torn apart"
    if sizes in (TAILS["thesis-like"], TAILS["balanced"]) and shares != (0.1, 0.8):  # more than small ones can give
        found = divided["split"].value_counts(normalize=True)
        assert found[[*SPLITS]].tolist() == pytest.approx([1 - sum(shares), *shares], abs=0.01)


def test_the_split_depends_on_seed_only():
    parts = catalogue_of(TAILS["few"] + [30, 40], products=2)
    divided = split_catalogue(parts, seed=5)
    shuffled = parts.sample(frac=1, random_state=0)
    assert divided.equals(split_catalogue(shuffled, seed=5))
    assert not divided.equals(split_catalogue(parts, seed=6))
    assert divided.drop(columns="split").equals(parts)
