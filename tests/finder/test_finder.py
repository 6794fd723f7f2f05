import dataclasses
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import autoparts
from autoparts import models
from autoparts.errors import UserError
from autoparts.finder import calibration, finder

pytest_plugins = "finder_files"


@pytest.fixture(scope="module")
def photos(study):
    """Paths of the test photos."""
    return study.subset("test")["path"].tolist()


def unit(*rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_a_loaded_finder_answers_without_the_training_photos(path, here, photos, tmp_path):
    shutil.copy(path, tmp_path / "elsewhere.pt")
    code = (
        "import json, sys, autoparts\n"
        "assert 'torch' not in sys.modules\n"
        "from autoparts.finder import places\n"
        "found = autoparts.load_finder(sys.argv[1])\n"
        "print(json.dumps([found.identify(photo)[:2] for photo in sys.argv[2:]]))\n"
        "heavy = {'scipy', 'sklearn', 'matplotlib', 'IPython', 'autoparts.study.run', 'autoparts.retrieval'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "elsewhere.pt"), *photos]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    for (known, names), photo in zip(told, photos, strict=True):
        answer = here.identify(photo)
        assert answer.known == known
        assert [name for name, _ in names] == [name.category for name in answer.names]
        assert np.allclose([chance for _, chance in names], [name.confidence for name in answer.names], atol=1e-5)


def test_the_answer_is_the_one_of_the_network(study, network, colour, here, photos):
    pixels = colour.pixels[colour.rows["test"]]
    with torch.no_grad():
        expected = network(models.photo_input(pixels))
        scores = here.by_head * network.logits(expected)
    assert torch.allclose(here.embed(pixels), expected, atol=1e-5)
    gallery = finder.embed(network, colour.pixels[colour.rows["train"]])
    for label in range(len(study.categories)):
        scores[:, label] += here.by_photo * (expected @ gallery[colour.labels["train"] == label].T).amax(dim=1)
    assert torch.allclose(here.scores(expected), scores, atol=1e-2 * float(scores.abs().max()))
    probabilities = here.probabilities(expected)
    assert torch.allclose(probabilities, scores.softmax(dim=1), atol=1e-2)
    answer = here.identify(photos[0], top=3)
    assert len(answer.names) == len(answer.nearest) == 3
    assert answer.names[0].category == study.categories[int(probabilities[0].argmax())]
    assert [near.distance for near in answer.nearest] == sorted(near.distance for near in answer.nearest)
    assert len(here.identify(photos[0], top=99).names) == len(study.categories)


def test_the_score_that_is_told_is_the_one_that_is_compared(here, photos):
    for (_, answer), row in zip(here.identify_files(photos), photos, strict=True):
        expected = float(here.scores(here.embed(torch.from_numpy(here.prepare(row))[None])).amax())
        assert answer.score == pytest.approx(expected, rel=1e-4) and answer.threshold == here.threshold
        assert answer.known == (answer.score >= here.threshold)
        edge = dataclasses.replace(here, threshold=answer.score + 0.01).identify(row)
        assert not edge.known and edge.threshold > edge.score == pytest.approx(answer.score, rel=1e-4)
    opposite = F.normalize(-here.gallery.mean(dim=0, keepdim=True), dim=1)
    assert float(here.scores(opposite).amax()) < here.threshold


def test_a_finder_of_drawn_parts_says_so_with_every_answer(here, photos):
    assert here.facts["generated"] is False and here.warning == here.identify(photos[0]).warning == ""
    drawn = dataclasses.replace(here, facts=here.facts | {"generated": True})
    warning = "knows drawn parts only: trained on generated photos"
    assert drawn.warning == drawn.identify(photos[0]).warning == warning
    assert all(answer.warning == warning for _, answer in drawn.identify_files(photos))


def test_a_training_photo_finds_itself(study, colour, here):
    for place in (0, 7, 30):
        row = study.subset("train").iloc[place]
        near = here.identify(row["path"]).nearest[0]
        assert near.category == row["category"] and near.distance < 2e-3
        seen = Image.open(io.BytesIO(near.thumbnail))
        assert seen.size == (calibration.THUMBNAIL, calibration.THUMBNAIL)
        small = Image.fromarray(colour.pixels[row["row"]].numpy()).resize(seen.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(seen, int) - np.asarray(small, int)).mean() < 6


def test_path_bytes_and_image_are_the_same_photo(here, photos, tmp_path):
    turned, clear = tmp_path / "turned.jpg", tmp_path / "clear.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos[0]).save(turned, exif=exif, quality=95)
    Image.open(photos[1]).convert("RGBA").rotate(30, expand=True).save(clear)
    for file in (photos[0], turned, clear):
        plain = here.prepare(file)
        with open(file, "rb") as opened:  # noqa: PTH123 (a string, too)
            assert (here.prepare(str(file)) == plain).all() and (here.prepare(opened.read()) == plain).all()
        # A JPEG's path and bytes are reduced while they are decoded, an image that is open already is not.
        assert np.abs(here.prepare(Image.open(file)).astype(int) - plain).mean() < 3
    assert np.abs(np.rot90(here.prepare(photos[0]), -1).astype(int) - here.prepare(turned)).mean() < 3
    here.prepare(Image.open(photos[0]).convert("CMYK"))


def test_what_is_no_photo_is_told(here, photos, tmp_path, monkeypatch):
    (tmp_path / "3.jpg").write_bytes(b"no photo")
    for wrong in (tmp_path / "nowhere.jpg", tmp_path / "3.jpg", b"", b"no photo"):
        with pytest.raises(UserError, match="cannot be read: "):
            here.identify(wrong)
    with pytest.raises(UserError, match=r"\\x1b\[2J\.jpg cannot be read"):
        here.identify("\x1b[2J.jpg")
    paths = [photos[0], str(tmp_path / "3.jpg"), photos[1]]
    told = list(here.identify_files(paths))
    assert [photo for photo, _ in told] == paths and told[1][1] == "not a photo of a known format"
    assert told[2][1].names[0].category == here.identify(photos[1]).names[0].category
    monkeypatch.setattr("autoparts.photos.FORMATS", ("JPEG",))
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(UserError, match="pip install pillow-heif"):
        here.identify(tmp_path / "IMG_1.HEIC")


HOSTILE = ("\x1b[2J\x1b[Hclear", "a\nb  99.9 %\r\x08", "a\u202egpj.exe\u2066", "\x9b2J\x7f\u2028", "not UTF-8: \udcff")


@pytest.mark.parametrize("text", HOSTILE)
def test_names_cannot_write_to_the_terminal(here, text):
    assert finder.printable(text).isprintable()
    assert finder.printable("Brake Disc – Ø 30 mm, 刹车盘") == "Brake Disc – Ø 30 mm, 刹车盘"
    forged = dataclasses.replace(here, categories=[text] * 4, facts=here.facts | {"run": text})
    answer = forged.identify(Image.new("RGB", (9, 9)))
    assert answer.names[0].category == text  # as it is, for programs
    assert (repr(answer) + repr(forged)).isprintable()


def test_the_nearest_photo_of_each_category_counts():
    gallery, labels = unit([1, 0], [1, 1], [0, 1]), torch.tensor([0, 0, 1])
    nearest = finder.nearest_of_each(unit([1, 1], [1, 0]), gallery, labels, 3)
    half = 0.5**0.5
    assert torch.allclose(nearest, torch.tensor([[1, half, -1], [1, 0, -1]]), atol=1e-6)


def test_the_package_knows_its_names():
    with pytest.raises(AttributeError, match="no attribute 'load_finders'"):
        _ = autoparts.load_finders
