"""The generated catalogue: exact counts, photos that depend on their path alone, files that are drawn once."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoparts.catalogue import EXCLUDED_WORDS, clean
from autoparts.errors import FailedError, UserError
from autoparts.generated import catalogue

SCRIPT = """
import sys
from pathlib import Path
from autoparts.generated import catalogue
catalogue.written("3x999", Path(sys.argv[1]))
"""  # no `if __name__` guard: nobody should need one


def test_thesis_counts() -> None:
    whole = catalogue.photos("thesis")
    assert (len(whole), whole["category"].nunique()) == (24_682, 990)
    kept, removed = clean(whole)
    counts = kept["category"].value_counts()
    assert (len(kept), len(counts), counts.head(30).sum()) == (15_165, 352, 6_029)
    assert counts.head(5).tolist() == [952, 920, 761, 741, 557] and counts.tail(5).tolist() == [2] * 5
    assert (whole["category"].value_counts() == 1).any() and whole["path"].is_unique
    for word in EXCLUDED_WORDS:
        assert removed["category"].str.contains(word).any()


def test_other_scales() -> None:
    counts = clean(catalogue.photos("demo"))[0]["category"].value_counts()
    assert 58 <= len(counts) <= 64 and counts.max() >= 120 and counts.min() <= 3
    small = catalogue.photos("8x120")
    counts = clean(small)[0]["category"].value_counts()
    assert len(small) == counts.sum() == 120 and len(counts) == 8 and counts.min() >= 2
    assert set(small["path"]) < set(catalogue.photos("thesis")["path"])  # photos do not depend on the scale


@pytest.mark.parametrize("scale", ["big", "0x10", "8x15", "99999x999999", "../x", "9" * 5000 + "x1", ""])
def test_unknown_scales(scale: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected demo, thesis or <categories>x<photos>|at least two photos of each"):
        catalogue.written(scale, tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_table_of_categories_agrees_with_the_parts_and_the_cleaning() -> None:
    table = catalogue.CATEGORIES
    assert table.index.is_unique and set(table["part"]) == set(catalogue.PARTS)
    words = [next((w for w in EXCLUDED_WORDS if w.lower() in name.lower()), "") for name in table.index]
    assert table["word"].tolist() == words
    assert "drawn, not taken" in catalogue.REALISM


def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    manifest = catalogue.write(tmp_path / "new", "2x4", seed=5, workers=2, progress=False)
    for path in manifest["path"]:
        assert (tmp_path / "new" / path).read_bytes() == catalogue.photo(path, 5)
    assert pd.read_csv(tmp_path / "new/manifest.csv").equals(manifest)
    path = "Water Pump/0002-1.jpg"
    variants = [(path, 5), (path, 6), (path.replace("-1", "-2"), 5), (path.replace("02-", "03-"), 5)]
    assert len({catalogue.photo(*variant) for variant in variants}) == 4


def test_write_refuses_what_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(UserError, match=r"empty folder|cannot be written"):
            catalogue.write(folder, "2x4")


def test_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_draw", lambda folder, *_: (folder / "manifest.csv").touch())
    manifests = [catalogue.written("2x4", tmp_path, seed) for seed in (1, 2)]
    (room := tmp_path / "room").mkdir()
    monkeypatch.setattr(catalogue, "ROOM", room)
    for code in ("x = 1", "x = 2"):
        (room / "code.py").write_text(code)
        manifests.append(catalogue.written("2x4", tmp_path, 1))
    monkeypatch.setattr(catalogue.PIL, "__version__", "99")
    manifests.append(catalogue.written("2x4", tmp_path, 1))
    assert len(set(manifests)) == 5 and {manifest.parent.parent for manifest in manifests} == {tmp_path}

    manifests[-1].unlink()  # a folder without manifest is damaged, since folders appear whole
    assert catalogue.written("2x4", tmp_path, 1) == manifests[-1]
    assert len(list(tmp_path.glob("*.damaged"))) == 1 and not list(tmp_path.glob("*.part"))
    monkeypatch.setattr(catalogue, "_draw", None)  # nothing is drawn any more
    assert catalogue.written("2x4", tmp_path, 1) == manifests[-1]


def test_a_killed_script_leaves_no_half_catalogue(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (script := tmp_path / "script.py").write_text(SCRIPT)
    home = {"PYTHONPATH": str(Path(catalogue.__file__).parents[2])}
    run = subprocess.Popen([sys.executable, script, cache], env=os.environ | home)
    while not any(cache.rglob("*.jpg")):
        assert run.poll() is None
        time.sleep(0.1)
    run.kill()
    run.wait()
    drawn = [-1, 0]
    while drawn[-1] != drawn[-2]:  # until its workers have ended
        time.sleep(0.5)
        drawn.append(len(list(cache.rglob("*.jpg"))))
    assert drawn[-1] < 999
    assert [path.suffix for path in cache.iterdir()] == [".part"]  # which goes after a day, see `whole_folder`


def test_trouble_of_a_worker_is_told_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")  # a process that ends at once, as a killed one does
        with pytest.raises(FailedError, match="free some memory"):
            catalogue.written("2x4", tmp_path)
        with pytest.raises(FailedError, match="free some memory"):
            catalogue.write(tmp_path / "mine", "2x4")
    assert [*tmp_path.rglob("*")] == [tmp_path / "mine"]
    catalogue.write(tmp_path / "mine", "2x4")  # nothing is in its way
    catalogue._draw_share(str(tmp_path / "none"), "2x4", "0", "1", "0")
    assert capfd.readouterr().out == "No such file or directory\n"


def test_categories_can_be_told_apart() -> None:
    photos = catalogue.photos("8x48")
    images = [Image.open(io.BytesIO(catalogue.photo(path, 2))).convert("L") for path in photos["path"]]
    pixels = np.stack([np.asarray(i.resize((32, 32), Image.Resampling.BOX), float).ravel() for i in images])
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    category, product = photos["category"].to_numpy(), pd.factorize(photos["product"])[0]
    alike = np.where(product[:, None] == product, -1, pixels @ pixels.T)  # a neighbour must be another product
    hits = (category[alike.argmax(1)] == category).mean()
    assert 2 * (photos["category"].value_counts(normalize=True) ** 2).sum() < hits < 0.95
