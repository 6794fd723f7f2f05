"""The generated catalogue: exact counts, photos that depend on their path alone, parts that can be told apart."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoparts import synthetic
from autoparts.archetypes import PARTS, Traits
from autoparts.catalog import EXCLUDED_WORDS, CatalogueError, clean
from autoparts.photography import photograph, studio
from autoparts.rendering import render
from autoparts.solids import Material, box, circle, extrude, rotation


def grey(jpeg: bytes, size: int = 32) -> np.ndarray:
    image = Image.open(io.BytesIO(jpeg)).convert("L")
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), float)


def test_thesis_counts() -> None:
    whole = synthetic.catalogue("thesis")
    assert (len(whole), whole["category"].nunique()) == (24_682, 990)
    kept, removed = clean(whole)
    counts = kept["category"].value_counts()
    assert (len(kept), len(counts), counts.head(30).sum()) == (15_165, 352, 6_029)
    assert counts.head(5).to_dict() == synthetic.LARGEST
    assert counts.tail(5).to_dict() == dict.fromkeys(synthetic.SMALLEST, 2)
    assert (whole["category"].value_counts() == 1).any()
    for word in EXCLUDED_WORDS:
        assert removed["category"].str.contains(word).any()
    assert whole["path"].is_unique


def test_other_scales() -> None:
    counts = clean(synthetic.catalogue("demo"))[0]["category"].value_counts()
    assert 58 <= len(counts) <= 64 and counts.max() >= 120 and counts.min() <= 3
    small = synthetic.catalogue("8x120", seed=3)
    kept, _ = clean(small)
    assert len(small) == len(kept) == 120 and small["category"].nunique() == 8
    assert small["category"].value_counts().min() >= 2
    for bad in ("big", "0x10", "8x15", "99999x999999"):
        with pytest.raises(ValueError, match=bad):
            synthetic.catalogue(bad)


def test_photos_do_not_depend_on_the_scale() -> None:
    small, large = (set(synthetic.catalogue(scale)["path"]) for scale in ("8x120", "thesis"))
    assert small < large


def test_every_part_name_is_drawn() -> None:
    for scale in ("demo", "thesis"):
        for category in synthetic.catalogue(scale)["category"].unique():
            assert synthetic.part_of(category) in PARTS


def test_same_bytes_in_another_process() -> None:
    path = "synthetic:5/Water Pump/0002-1.jpg"
    code = f"import sys; from autoparts import synthetic; sys.stdout.buffer.write(synthetic.jpeg({path!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert other == synthetic.jpeg(path)
    changed = {
        synthetic.jpeg(p)
        for p in (path, path.replace(":5", ":6"), path.replace("-1", "-2"), path.replace("02-", "03-"))
    }
    assert len(changed) == 4


@pytest.mark.parametrize("path", ["synthetic:0/Brake Disc.jpg", "synthetic:0/Teapot/0000-0.jpg", "0/Gear/0000-0.jpg"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="synthetic"):
        synthetic.jpeg(path)


@pytest.mark.parametrize("name", {archetype: name for name, archetype in PARTS.items()}.values())
def test_every_archetype_draws_a_part_inside_the_frame(name: str) -> None:
    rng = np.random.default_rng(1)
    for product in range(3):
        model = PARTS[name](Traits(np.random.default_rng(0), np.random.default_rng(product), 0.6))
        light = studio(rng)
        colour, alpha = render(model, rotation(25, 30 + 40 * product, 0), (120, 90), light, rng)
        assert colour.shape == (3, 90, 120) and alpha.shape == (90, 120)
        assert np.isfinite(colour).all() and alpha.max() <= 1 + 1e-6
        assert 0.02 < alpha.mean() < 0.95
        edge = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert edge.max() == 0
        rows, columns = (np.flatnonzero(alpha.max(axis) > 0) for axis in (1, 0))
        assert max(np.ptp(rows) / 90, np.ptp(columns) / 120) > 0.8
        assert colour[:, alpha > 0.5].std() > 0.02


def test_a_name_fixes_a_feature_of_a_shared_archetype() -> None:
    def redness(part: str, product: int) -> float:
        model = PARTS[part](Traits(np.random.default_rng(0), np.random.default_rng(product), 0.6))
        colour, _ = render(model, np.eye(3), (90, 90), studio(np.random.default_rng(1)), np.random.default_rng(2))
        return float((colour[0] - colour[2]).mean())

    for product in range(5):
        assert redness("Tail Light", product) > 0.05 > abs(redness("Headlight", product))


def test_renderer_hides_what_is_behind_and_shows_through_holes() -> None:
    red, blue = Material((1, 0, 0), shine=0, grain=0), Material((0, 0, 1), shine=0, grain=0)
    plate = extrude(circle(1), 0.1, red, [circle(0.4)])
    light = studio(np.random.default_rng(0))
    for model in (plate + box(1.2, 1.2, 0.1, blue, (0, 0, -0.5)), box(1.2, 1.2, 0.1, blue, (0, 0, -0.5)) + plate):
        colour, alpha = render(model, np.eye(3), (101, 101), light, np.random.default_rng(0))
        assert colour[2, 50, 50] > 3 * colour[0, 50, 50]
        assert colour[0, 50, 74] > 3 * colour[2, 50, 74]
    _, alpha = render(plate, np.eye(3), (101, 101), light, np.random.default_rng(0))
    assert alpha[50, 50] == 0 and alpha[50, 74] == 1


def test_categories_can_be_told_apart() -> None:
    photos = synthetic.catalogue("12x360", seed=2)
    pixels = np.stack([grey(synthetic.jpeg(path)) for path in photos["path"]]).reshape(len(photos), -1)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    category, product = photos["category"].to_numpy(), pd.factorize(photos["product"])[0]
    alike = pixels @ pixels.T
    alike[product[:, None] == product] = -1  # a neighbour must be another product
    hits = (category[alike.argmax(1)] == category).mean()
    chance = (photos["category"].value_counts(normalize=True) ** 2).sum()
    assert 2 * chance < hits < 0.9


def test_products_of_a_category_vary_but_less_than_categories() -> None:
    def traits(category: int, product: int) -> Traits:
        return Traits(np.random.default_rng([0, category]), np.random.default_rng([1, product]), synthetic.SPREAD)

    products, categories = (
        [traits(*pair)(0, 1) for pair in pairs] for pairs in ([(0, i) for i in range(99)], [(i, 0) for i in range(99)])
    )
    assert 0.05 < np.std(products) < np.std(categories)
    for name in ("Headlight", "Pump", "Gasket", "Bracket", "Hose", "Gear"):
        views = [photograph(PARTS[name](traits(0, i)), (20, 20), np.random.default_rng(8)) for i in range(6)]
        assert np.std([grey(view) for view in views], 0).mean() > 4


def test_write(tmp_path) -> None:
    folder = tmp_path / "photos"
    manifest = synthetic.write(folder, "3x9", seed=1, progress=False)
    pd.testing.assert_frame_equal(manifest, pd.read_csv(folder / "manifest.csv"))
    for path in manifest["path"]:
        assert (folder / path).read_bytes() == synthetic.jpeg(f"synthetic:1/{path}")
    with pytest.raises(CatalogueError, match="empty"):
        synthetic.write(folder, "3x9")
