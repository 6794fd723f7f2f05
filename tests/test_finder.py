import dataclasses
import io
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import autoparts
from autoparts import calibration, decoding, finder, models, recipe
from autoparts.__main__ import main
from autoparts.finder import FinderError
from autoparts.study import open_study

MADE = {}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPARTS_REPORTS", str(tmp_path_factory.mktemp("reports")))
        study = open_study("synthetic:6x72", "tiny", device="cpu", size=48)
        recipe.train_recommended(study, 12, 0, study.checkpoint("recommended"))
        study.save_result("recommended", backbone="")
        yield study


@pytest.fixture(scope="module")
def path(study):
    file, MADE["table"] = calibration.build(study, calibration.recommended(study))
    assert file == study.folder / "models" / "finder.pt"
    return file


def test_a_finder_on_a_backbone_is_saved_and_loaded(study, tmp_path):
    network = models.initialised(0, models.Recogniser, len(study.categories), backbone="mobilenet_v2").eval()
    file, _ = calibration.build(dataclasses.replace(study, folder=tmp_path), network)
    loaded = finder.load_finder(file)
    pixels = study.photos[:4]
    assert torch.allclose(loaded.embed(pixels), finder.embed(network, pixels), atol=1e-2)


@pytest.fixture(scope="module")
def photos(study, tmp_path_factory):
    """Test photos as files, one of them broken, one in a hidden folder."""
    folder = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(study.part("test")["path"][:3]):
        (folder / f"{number}.jpg").write_bytes(decoding.read_bytes(name))
    (folder / "3.jpg").write_bytes(b"no photo")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "0.jpg", folder / ".hidden")
    return folder


def unit(*rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_a_loaded_finder_answers_without_the_training_photos(study, path, photos, tmp_path):
    shutil.copy(path, tmp_path / "elsewhere.pt")
    code = (
        "import json, sys, autoparts\n"
        "assert 'torch' not in sys.modules\n"
        "found = autoparts.load_finder(sys.argv[1])\n"
        "print(json.dumps([found.identify(photo)[:2] for photo in sys.argv[2:]]))\n"
        "heavy = {'scipy', 'sklearn', 'matplotlib', 'IPython', 'nbconvert', 'autoparts.study'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    files = [str(photos / f"{number}.jpg") for number in range(3)]
    command = [sys.executable, "-c", code, str(tmp_path / "elsewhere.pt"), *files]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    here = autoparts.load_finder(path)
    for (known, names), file in zip(told, files, strict=True):
        answer = here.identify(file)
        assert answer.known == known
        assert [name for name, _ in names] == [name.category for name in answer.names]
        assert np.allclose([chance for _, chance in names], [name.confidence for name in answer.names], atol=1e-5)


def test_the_answer_is_the_one_of_the_network(study, path):
    here = autoparts.load_finder(path)
    network = calibration.recommended(study)
    rows = study.rows("test")
    with torch.inference_mode():
        expected = network(finder.photo_input(study.photos[rows]))
    assert torch.allclose(here.embed(study.photos[rows]), expected, atol=1e-5)
    gallery = finder.embed(network, study.photos[study.rows("train")])
    prototypes = F.normalize(network.prototypes.detach(), dim=1)
    best = torch.full((len(rows),), -1.0)
    for label in range(len(study.categories)):
        by_photo = (expected @ gallery[study.labels("train") == label].T).amax(dim=1)
        best = torch.maximum(best, here.share * by_photo + (1 - here.share) * expected @ prototypes[label])
    assert torch.allclose(here.distances(expected), 1 - best, atol=2e-3)
    probabilities = here.probabilities(expected)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(rows)))
    answer = here.identify(study.part("test")["path"].iloc[0], top=3)
    assert len(answer.names) == len(answer.nearest) == 3
    assert answer.names[0].category == study.categories[int(probabilities[0].argmax())]
    assert [near.distance for near in answer.nearest] == sorted(near.distance for near in answer.nearest)
    assert len(here.identify(study.part("test")["path"].iloc[0], top=99).names) == len(study.categories)


def test_a_training_photo_finds_itself(study, path):
    here = autoparts.load_finder(path)
    for place in (0, 7, 30):
        row = study.part("train").iloc[place]
        near = here.identify(row["path"]).nearest[0]
        assert near.category == row["category"] and near.distance < 2e-3
        seen = Image.open(io.BytesIO(near.thumbnail))
        assert seen.size == (calibration.THUMBNAIL, calibration.THUMBNAIL)
        small = Image.fromarray(study.photos[row["row"]].numpy()).resize(seen.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(seen, int) - np.asarray(small, int)).mean() < 6


def test_path_bytes_and_image_are_the_same_photo(path, photos, tmp_path):
    here = autoparts.load_finder(path)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos / "0.jpg").save(turned, exif=exif, quality=95)
    clear = tmp_path / "clear.png"
    Image.open(photos / "1.jpg").convert("RGBA").rotate(30, expand=True).save(clear)
    for file in (photos / "0.jpg", turned, clear):
        plain = here.prepare(file)
        assert (here.prepare(str(file)) == plain).all() and (here.prepare(file.read_bytes()) == plain).all()
        # A JPEG's path and bytes are reduced while they are decoded, an image that is open already is not.
        assert np.abs(here.prepare(Image.open(file)).astype(int) - plain).mean() < 3
    assert here.prepare(turned).shape == (48, 48)
    assert np.abs(np.rot90(here.prepare(photos / "0.jpg"), -1).astype(int) - here.prepare(turned)).mean() < 3
    here.prepare(Image.open(photos / "0.jpg").convert("CMYK"))
    for wrong in (tmp_path / "nowhere.jpg", photos / "3.jpg", b"", b"no photo"):
        with pytest.raises(FinderError, match="cannot be read: "):
            here.identify(wrong)


def test_a_heic_photo_names_what_to_install(path, tmp_path, monkeypatch):
    monkeypatch.setattr(finder, "FORMATS", ("JPEG",))
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(FinderError, match="pip install pillow-heif"):
        autoparts.load_finder(path).identify(tmp_path / "IMG_1.HEIC")


class Hostile:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return exec, (f"open({str(self.trace)!r}, 'w')",)


def test_code_in_a_file_is_refused_and_never_run(path, tmp_path):
    trace = tmp_path / "it-ran"
    state = torch.load(path, weights_only=True)
    torch.save(state | {"facts": {"x": Hostile(trace)}}, tmp_path / "hostile.pt", pickle_protocol=2)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile(trace), protocol=2))
    for name in ("hostile.pt", "plain.pt"):
        with pytest.raises(FinderError, match=f"{name} is no finder file"):
            autoparts.load_finder(tmp_path / name)
    assert not trace.exists()


def test_damaged_and_other_files_are_refused(path, tmp_path):
    whole = path.read_bytes()
    for content in (b"", b"a photo", whole[:1000], whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "file.pt").write_bytes(content)
        with pytest.raises(FinderError, match=r"file\.pt is no finder file: it is damaged"):
            autoparts.load_finder(tmp_path / "file.pt")
    with pytest.raises(FinderError, match="there is no finder file"):
        autoparts.load_finder(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {"weights": state["weights"]}, "format"),
        (lambda state: [1, 2], "format"),
        (lambda state: state | {"more": 1}, "fields"),
        (lambda state: state | {"preparation": 0}, "prepared by another version"),
        (lambda state: state | {"gallery": state["gallery"].double()}, "gallery is not torch.float16"),
        (lambda state: state | {"gallery": state["gallery"][:, :-1]}, "gallery"),
        (lambda state: state | {"gallery": state["gallery"] * float("nan")}, "not finite"),
        (lambda state: state | {"labels": state["labels"] + 1}, "labels"),
        (lambda state: state | {"labels": state["labels"][1:]}, "labels"),
        (lambda state: state | {"offsets": state["offsets"].flip(0)}, "offsets"),
        (lambda state: state | {"thumbnails": state["thumbnails"][1:]}, "thumbnails"),
        (lambda state: state | {"categories": state["categories"][1:]}, "finder file"),
        (lambda state: state | {"categories": [1] * len(state["categories"])}, "not names"),
        (lambda state: state | {"temperature": 0.0}, "values"),
        (lambda state: state | {"temperature": "warm"}, "temperature is no float"),
        (lambda state: state | {"architecture": {"embedding_size": 10**9, "filters": [32], "backbone": ""}}, "widths"),
        (lambda state: state | {"architecture": 3}, "finder file"),
        (lambda state: state | {"architecture": state["architecture"] | {"backbone": "no_such_net"}}, "no_such_net"),
        (lambda state: state | {"weights": {}}, "finder file"),
    ],
)
def test_a_file_whose_content_does_not_fit_is_refused(path, tmp_path, change, message):
    torch.save(change(torch.load(path, weights_only=True)), tmp_path / "file.pt")
    with pytest.raises(FinderError, match=message) as found:
        autoparts.load_finder(tmp_path / "file.pt")
    assert "file.pt" in str(found.value) and "\n" not in str(found.value)[:60]


def test_similarities_take_the_nearest_photo_of_each_category():
    prototypes = unit([1, 0], [0, 1], [-1, 0])
    gallery, labels = unit([1, 0], [1, 1], [0, 1]), torch.tensor([0, 0, 1])
    by_prototype, by_photo = finder.similarities(unit([1, 1], [1, 0]), prototypes, gallery, labels)
    half = 0.5**0.5
    assert torch.allclose(by_prototype, torch.tensor([[half, half, -half], [1, 0, -1]]), atol=1e-6)
    assert torch.allclose(by_photo, torch.tensor([[1, half, -1], [1, 0, -1]]), atol=1e-6)
    assert torch.allclose(finder.blended(by_prototype, by_photo, 0.25), 0.75 * by_prototype + 0.25 * by_photo)


def test_calibration_lowers_the_loss_and_finds_the_temperature():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4000, 5, generator=generator)
    truth = torch.multinomial(F.softmax(scores / 0.2, dim=1), 1, generator=generator).flatten()
    noise = torch.randn(4000, 5, generator=generator)
    table = calibration.calibrate(scores, noise, truth).set_index("share")
    assert table["nll"].idxmin() == 0.0
    assert table.loc[0.0, "temperature"] == pytest.approx(0.2, rel=0.1)
    assert table.loc[0.0, "nll"] < float(F.cross_entropy(scores / 0.05, truth))
    assert table.loc[0.0, "nll"] < float(F.cross_entropy(scores, truth))
    assert table.loc[0.0, "accuracy"] == pytest.approx(float((scores.argmax(dim=1) == truth).double().mean()))
    assert calibration.calibrate(noise, scores, truth).set_index("share")["nll"].idxmin() == 1.0
    views = [F.softmax(scores / temperature, dim=1) for temperature in (0.05, table.loc[0.0, "temperature"])]
    before, after = (calibration.reliability(p.amax(dim=1), p.argmax(dim=1) == truth)[1] for p in views)
    assert after < 0.03 < before


def test_the_lowest_loss_is_used(path):
    here, best = autoparts.load_finder(path), MADE["table"].loc[MADE["table"]["nll"].idxmin()]
    assert (here.share, here.temperature) == (best["share"], best["temperature"])


def test_reliability_by_hand():
    confidence = torch.tensor([0.95, 0.95, 0.95, 1.0, 0.31, 0.35])
    hits = torch.tensor([True, True, False, True, False, False])
    table, error = calibration.reliability(confidence, hits)
    assert table.index.tolist() == [3, 9]
    assert table["photos"].tolist() == [2, 4] and table["accuracy"].tolist() == [0, 0.75]
    assert table["confidence"].tolist() == pytest.approx([0.33, 0.9625])
    assert error == pytest.approx((2 * 0.33 + 4 * 0.2125) / 6)
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()


def test_the_threshold_lets_the_chosen_share_of_validation_photos_pass(study, path):
    here = autoparts.load_finder(path)
    held_out = here.distances(here.embed(study.photos[study.rows("validation")]))
    assert abs(int((held_out <= here.threshold).sum()) - 0.95 * len(held_out)) <= 1
    strict, _ = calibration.build(study, calibration.recommended(study), accept=0.5)
    try:
        assert autoparts.load_finder(strict).threshold < here.threshold
    finally:
        calibration.build(study, calibration.recommended(study))


def test_what_is_far_from_all_photos_is_not_known(path, photos):
    here = autoparts.load_finder(path)
    far = dataclasses.replace(here, threshold=-1.0)
    near = dataclasses.replace(here, threshold=2.0)
    assert not far.identify(photos / "0.jpg").known
    assert near.identify(photos / "0.jpg").known
    opposite = F.normalize(-here.gallery.mean(dim=0, keepdim=True), dim=1)
    assert float(here.distances(opposite)) > here.threshold
    mean = F.normalize(here.gallery[here.labels == 0].mean(dim=0, keepdim=True), dim=1)
    assert float(here.distances(mean)) < float(here.distances(opposite))


def test_occlusion_finds_the_patch_that_decides():
    photo = torch.full((40, 40), 255, dtype=torch.uint8)
    photo[4:12, 22:30] = 0  # decides
    photo[28:36, 4:12] = 0  # does not

    def chance(photos):
        return 1 - photos[:, 4:12, 22:30].float().mean(dim=(1, 2)) / 255

    influence = calibration.occlusion(chance, photo, patch=8, stride=3)
    assert influence.shape == (40, 40)
    top, left = divmod(int(influence.argmax()), 40)
    assert 4 <= top < 12 and 22 <= left < 30
    assert influence[4:12, 22:30].mean() > 0.3
    assert influence[20:].abs().max() == 0 and influence[:, :12].abs().max() == 0
    assert calibration.occlusion(lambda photos: -chance(photos), photo, 8, 3).min() == -influence.max()


def test_the_influence_is_on_the_likeliest_name(study, path):
    here = autoparts.load_finder(path)
    pixels = study.photos[study.rows("test")[0]]
    influence = calibration.influence(here, pixels)
    best = here.probabilities(here.embed(pixels[None])).amax()
    assert influence.shape == pixels.shape and influence.max() <= best
    blank = torch.full_like(pixels, 255)
    assert calibration.influence(here, blank).abs().max() < 1e-5


def test_near_white_borders():
    photos = torch.full((4, 30, 30), 255, dtype=torch.uint8)
    photos[1, 3:-3, 3:-3] = 0  # dark inside the frame only
    photos[2, :3] = 0
    photos[3] = 239
    assert calibration.white_border(photos).tolist() == [True, True, False, False]


def test_a_missing_model_names_the_notebook(study, tmp_path):
    moved = dataclasses.replace(study, folder=tmp_path)
    with pytest.raises(FinderError, match="run notebook 06_beyond_the_thesis first"):
        calibration.recommended(moved)


def test_the_package_imports_nothing_heavy_and_knows_its_names():
    with pytest.raises(AttributeError, match="no attribute 'load_finders'"):
        _ = autoparts.load_finders


@pytest.fixture
def identify(study, path, capsys, monkeypatch):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(study.folder.parent))

    def run(*arguments):
        code = main(["identify", *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_identify_writes_a_table(identify, study, photos, monkeypatch):
    here = autoparts.load_finder(study.folder / "models" / "finder.pt")
    answer = here.identify(photos / "0.jpg")
    code, out, _ = identify(photos / "0.jpg", "--run", "tiny", "--top", 3)
    assert code == 0
    if answer.known:
        lines = out.splitlines()
        assert len(lines) == 3 and "0.jpg" in lines[0] and "0.jpg" not in lines[1]
        assert lines[0].endswith(f"{answer.names[0].confidence:.1%}  {answer.names[0].category}")
    monkeypatch.setattr(finder, "load_finder", lambda _: dataclasses.replace(here, threshold=-1.0))
    code, out, _ = identify(photos / "0.jpg", "--run", "tiny")
    assert code == 0 and len(out.splitlines()) == 1
    assert f"nothing like it in the catalogue (nearest: {answer.nearest[0].category}, distance " in out


def test_identify_takes_folders_and_goes_on_after_what_it_cannot_read(identify, study, photos):
    code, out, _ = identify(photos, photos / "nowhere.jpg", "--run", study.folder, "--top", 1)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 5
    assert "3.jpg  cannot be read: not a photo of a known format" in lines[3]
    assert "nowhere.jpg  cannot be read: No such file" in lines[4]


def test_identify_writes_lines_of_json(identify, path, photos):
    code, out, _ = identify(photos, "--run", path, "--json", "--top", 2)
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["photo"] for row in rows] == [str(photos / f"{number}.jpg") for number in range(4)]
    assert rows[3].keys() == {"photo", "error"}
    for row in rows[:3]:
        assert row.keys() == {"photo", "known", "name", "names", "nearest"}
        assert row["name"] == (row["names"][0]["category"] if row["known"] else None)
        assert len(row["names"]) == len(row["nearest"]) == 2
        assert 0 <= row["names"][1]["confidence"] <= row["names"][0]["confidence"] <= 1


def test_identify_says_what_to_do(identify, photos, tmp_path):
    code, out, err = identify(photos / "0.jpg", "--run", "elsewhere")
    assert (code, out) == (2, "") and err.rstrip().endswith("make one with: autoparts run --name elsewhere")
    assert identify(photos / "0.jpg", "--run", "tiny", "--top", 0)[0] == 2
    code, out, err = identify(photos / "3.jpg", "--run", "tiny")
    assert code == 1 and "not a photo of a known format" in out and "none of 1 files could be read" in err
    code, out, err = identify(tmp_path, "--run", "tiny")
    assert (code, out) == (2, "") and f"there is no file in {tmp_path}" in err
    code, out, err = identify(photos / "0.jpg", "--run", tmp_path / "mine.pt")
    assert (code, out) == (2, "") and f"there is no finder file {tmp_path / 'mine.pt'}" in err


def test_a_reader_who_has_enough_is_no_error(path, photos):
    command = [sys.executable, "-m", "autoparts", "identify", *[str(photos)] * 40, "--run", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b"" and running.wait() == 1
