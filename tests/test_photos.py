"""Opening and preparing photos, and the cache of prepared ones, on good and on hostile files."""

import errno
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from samples import draw
from tools.fuzz_photos import fuzz_manifests, fuzz_photos

from autoparts import photos
from autoparts.catalogue import read_catalogue
from autoparts.errors import FailedError
from autoparts.photos import decode, prepare, prepare_photo

GREY = np.array([[0, 64, 128, 255]], dtype=np.uint8)
DEEP = GREY.astype(np.uint16) * 257
root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")


def listed(*paths):
    return pd.DataFrame({"path": [str(path) for path in paths], "category": "A"})


def opened(tmp_path, image, name="photo", **options):
    """What comes back when an image is saved and opened again."""
    options.setdefault("format", "PNG")
    image.save(tmp_path / name, **options)
    return np.asarray(decode((tmp_path / name).read_bytes()))


# --- one photo


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO"])
def test_the_format_is_decided_by_content(tmp_path, kind):
    photo, names = draw(1), ("photo.jpg", "photo.txt", "photo")
    for name in names:
        assert opened(tmp_path, photo, name, format=kind) == pytest.approx(np.asarray(photo), abs=70)
    for pixels in prepare(listed(*(tmp_path / name for name in names))).pixels:
        assert pixels == pytest.approx(prepare_photo(photo), abs=25)


@pytest.mark.parametrize("kind", ["PPM", "ICO", "PCX", "EPS", "PDF"])
def test_other_formats_are_not_opened(tmp_path, kind):
    with pytest.raises(OSError, match="cannot identify"):
        opened(tmp_path, draw(1), format=kind)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_and_of_1_bit(tmp_path, kind):
    assert (opened(tmp_path, Image.fromarray(DEEP), format=kind) == GREY).all()
    assert (opened(tmp_path, Image.fromarray(GREY > 100), format=kind) == (GREY > 100) * 255).all()


def test_grey_numbers_of_32_bits(tmp_path):
    for values in (GREY.astype(np.float32) / 255, GREY.astype(np.int32) * 257):
        assert (opened(tmp_path, Image.fromarray(values), format="TIFF") == GREY).all()
    for values in (GREY - 1.0, GREY * np.nan, GREY * 1000.0):
        with pytest.raises(ValueError, match="white is not known"):
            opened(tmp_path, Image.fromarray(values.astype(np.float32)), format="TIFF")


def test_transparency_becomes_white(tmp_path):
    photo = draw(1)
    alpha = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (48, 32)))
    clear = np.asarray(alpha) == 0
    for mode in ("RGBA", "LA"):
        image = photo.convert(mode[:-1])
        image.putalpha(alpha)
        found = opened(tmp_path, image)
        assert (found[clear] == 255).all()
        assert (found[~clear] == np.asarray(image.convert("RGB"))[~clear]).all()
    image = Image.fromarray(np.asarray(alpha) // 255, mode="P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    for options in ({"transparency": 0}, {"transparency": b"\0\xff"}, {"transparency": 0, "format": "GIF"}):
        found = opened(tmp_path, image, **options)
        assert (found[clear] == 255).all() and (found[~clear] == [0, 0, 200]).all()
    assert (opened(tmp_path, Image.fromarray(GREY), transparency=64) == [[[c] * 3 for c in (0, 255, 128, 255)]]).all()
    assert (opened(tmp_path, Image.fromarray(DEEP), transparency=64 * 257) == [0, 255, 128, 255]).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(tmp_path, kind):
    photo = Image.new("RGB", (40, 30), (200, 100, 50))
    assert opened(tmp_path, photo.convert("CMYK"), format=kind) == pytest.approx(np.asarray(photo), abs=6)
    assert prepare(listed(tmp_path / "photo")).pixels[0, 50, 50] == pytest.approx(124, abs=6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "MPO"])
def test_the_first_frame_counts(tmp_path, kind):
    dark, light = Image.new("RGB", (40, 30), (30, 30, 30)), Image.new("RGB", (40, 30), (220, 220, 220))
    assert opened(tmp_path, dark, format=kind, save_all=True, append_images=[light]).mean() == pytest.approx(30, abs=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(tmp_path, kind, orientation):
    stored = Image.new("L", (60, 40), 220)
    stored.paste(20, (0, 0, 20, 20))  # a dark corner, top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    # EXIF 2.3: where row 0 and column 0 of the stored picture are seen
    top, left, turned = {
        1: (1, 1, 0), 2: (1, 0, 0), 3: (0, 0, 0), 4: (0, 1, 0), 5: (1, 1, 1), 6: (1, 0, 1), 7: (0, 0, 1), 8: (0, 1, 1),
    }[orientation]  # fmt: skip
    found = opened(tmp_path, stored, format=kind, exif=exif)
    assert found.shape[:2] == ((60, 40) if turned else (40, 60))
    assert found[5 if top else -6, 5 if left else -6].max() < 40
    assert found[-6 if top else 5, 5 if left else -6].min() > 200
    prepared = prepare(listed(tmp_path / "photo")).pixels[0]
    assert np.abs(prepared - prepare_photo(decode((tmp_path / "photo").read_bytes())).astype(int)).mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_block_is_no_obstacle(tmp_path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12" + b"\xff" * 40
    assert opened(tmp_path, draw(1), format="JPEG", exif=exif).shape == (48, 64, 3)


# --- preparation of one photo


@pytest.mark.parametrize(("size", "box"), [((400, 200), (25, 75, 0, 100)), ((30, 90), (0, 100, 33, 66))])
def test_white_padding_keeps_the_aspect_ratio(size, box):
    top, bottom, left, right = box
    square = prepare_photo(Image.new("RGB", size, "black"))
    assert square.shape == (100, 100) and square.dtype == np.uint8
    assert (square[top:bottom, left:right] == 0).all()
    assert square.sum() == 255 * (10_000 - (bottom - top) * (right - left))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF"])
def test_colour_is_prepared_as_grey_is(tmp_path, mode, kind):
    """The same place and size, of all kinds of photos; and its luma is what grey photos hold."""
    photo = draw(5, (90, 60)).convert(mode)
    try:
        photo.save(tmp_path / "photo", format=kind)
    except (OSError, ValueError):  # this format has no such mode
        pytest.skip(f"{kind} has no {mode}")
    colour = prepare(listed(tmp_path / "photo"), size=48, colour=True).pixels
    assert colour.shape == (1, 48, 48, 3) and colour.dtype == np.uint8 and isinstance(colour, np.memmap)
    assert (colour[0, :8] == 255).all() and (colour[0, -8:] == 255).all()
    slow = prepare_photo(decode((tmp_path / "photo").read_bytes()), 48, colour=True)
    assert np.abs(colour[0].astype(int) - slow).mean() < 1
    grey = prepare(listed(tmp_path / "photo"), size=48).pixels[0].astype(int)
    assert np.abs(colour[0] @ [0.299, 0.587, 0.114] - grey).mean() < 2
    assert (mode in ("L", "LA")) == (np.ptp(colour[0], axis=2).max() < 12)


def test_resizing_takes_in_all_pixels():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (600, 300)))
    assert prepare_photo(stripes) == pytest.approx(127.5, abs=8)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 20), (20, 20_000), (99, 101), (3000, 2000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_any_size(tmp_path, size, kind):
    Image.new("RGB", size, (90, 90, 90)).save(tmp_path / "photo", format=kind)
    pixels = prepare(listed(tmp_path / "photo")).pixels
    assert pixels.shape == (1, 100, 100) and pixels.min() == pytest.approx(90, abs=2)
    assert (pixels < 255).sum() == 100 * max(1, round(100 * min(size) / max(size)))


@pytest.mark.parametrize("size", [(150, 100), (224, 224), (431, 640), (1600, 1200), (801, 99)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_the_fast_way_for_jpegs_gives_what_the_slow_one_gives(tmp_path, size, options):
    draw(3, size).save(tmp_path / "photo.jpg", **options)
    fast = prepare(listed(tmp_path / "photo.jpg")).pixels[0].astype(int)
    slow = prepare_photo(decode((tmp_path / "photo.jpg").read_bytes())).astype(int)
    assert np.abs(fast - slow).mean() < 1
    assert np.percentile(np.abs(fast - slow), 99) < 10


# --- files that are no photos


def bomb(width, height):
    """A PNG of a few hundred bytes that claims to hold many pixels."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))
    body = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_bad_files_are_skipped_with_a_reason(tmp_path, make_photos):
    folder = make_photos(tmp_path, {"A": 2, "B": 1}) / "A"
    whole = (folder / "0.jpg").read_bytes()
    expected = {
        "bomb.png": (bomb(20_000, 20_000), "400,000,000 pixels, more than the limit"),
        "bomb2.png": (bomb(10_000, 10_000), "100,000,000 pixels, more than the limit"),
        "cut.jpg": (whole[:-60], "truncated"),
        "empty.jpg": (b"", "empty file"),
        "page.jpg": (b"<html><body>Not found</body></html>", "not a photo"),
        "zeros.jpg": (bytes(5000), "not a photo"),
    }
    for name, (data, _) in expected.items():
        (folder / name).write_bytes(data)
    (folder / "broken.jpg").symlink_to("nowhere")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "up").symlink_to(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
    prepared = prepare(read_catalogue(tmp_path))
    assert [Path(path).name for path in prepared.catalogue["path"]] == ["0.jpg", "1.jpg", "0.jpg"]
    reasons = {Path(path).name: reason for path, reason in prepared.skipped[["path", "reason"]].itertuples(index=False)}
    expected |= {"broken.jpg": (0, "No such file"), "itself.jpg": (0, "symbolic links"), "up": (0, "link to a folder")}
    assert reasons.pop("pipe.jpg", "not a regular file") == "not a regular file"
    assert reasons.keys() == expected.keys()
    assert [name for name, reason in reasons.items() if expected[name][1] not in reason] == []
    assert list(prepared.skipped.columns) == ["path", "category", "reason"]


def test_limits_of_bytes_and_pixels(tmp_path, monkeypatch):
    Image.new("RGB", (1000, 1000)).save(tmp_path / "plain.jpg")
    Image.new("RGB", (1000, 1000)).save(tmp_path / "progressive.jpg", progressive=True)
    monkeypatch.setattr(photos, "MAX_PIXELS", 500_000)
    prepared = prepare(listed(tmp_path / "plain.jpg", tmp_path / "progressive.jpg"))  # a plain JPEG is shrunk at once
    assert prepared.skipped["reason"].tolist() == ["1,000,000 pixels, more than the limit of 500,000"]
    monkeypatch.setattr(photos, "MAX_BYTES", 1000)
    assert "larger than" in photos.prepare_file(str(tmp_path / "plain.jpg"))[2]


@root_only
def test_a_photo_without_permission_is_skipped_until_it_is_given(tmp_path, make_photos):
    make_photos(tmp_path, {"A": 2, "B": 1})
    (tmp_path / "A" / "1.jpg").chmod(0)
    (tmp_path / "B").chmod(0)
    reasons = ["Permission denied", "a link to a folder, or a folder that may not be opened"]
    assert prepare(read_catalogue(tmp_path)).skipped["reason"].tolist() == reasons
    (tmp_path / "A" / "1.jpg").chmod(0o600)
    (tmp_path / "B").chmod(0o700)
    assert prepare(read_catalogue(tmp_path)).skipped.empty


def test_a_photo_that_could_not_be_read_for_once_is_there_the_next_time(tmp_path, make_photos, monkeypatch):
    """As on a network drive: nothing of the file has changed, so the cache alone would never notice."""
    found, read, broken = read_catalogue(make_photos(tmp_path, {"A": 2, "B": 1})), photos._read, ["0.jpg"]

    def failing(path):
        if path.endswith(tuple(broken)):
            raise OSError(errno.EIO, "Input/output error", path)
        return read(path)

    monkeypatch.setattr(photos, "_read", failing)
    for _ in range(2):
        assert prepare(found).skipped["reason"].tolist() == ["Input/output error"] * 2
    broken.clear()
    assert prepare(found).skipped.empty and len(prepare(found).pixels) == 3


def test_large_photos_are_decoded_one_at_a_time(tmp_path):
    """Each of four takes 110 MB; the memory of one has to be given back before the next is decoded."""
    for index in range(4):
        Image.new("RGBA", (3000, 3000)).save(tmp_path / f"{index}.png", compress_level=1)
    code = (
        "import resource, sys, pandas as pd; from autoparts import photos\n"
        "unit = 20 if sys.platform == 'darwin' else 10\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> unit\n"
        "photos.LARGE_PIXELS, before = 2**20, peak()\n"
        f"table = pd.DataFrame({{'path': [f'{tmp_path}/{{i}}.png' for i in range(4)], 'category': 'A'}})\n"
        f"assert len(photos.prepare(table, cache='{tmp_path}/cache', workers=4).catalogue) == 4\n"
        "assert peak() - before < 140, peak() - before\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_large_files_are_read_one_at_a_time(tmp_path, make_photos, monkeypatch):
    inside, most, read = [], [], photos._read

    def watched(path):
        inside.append(path)
        time.sleep(0.001)
        most.append(len(inside))
        inside.remove(path)
        return read(path)

    monkeypatch.setattr(photos, "LARGE_BYTES", 100)
    monkeypatch.setattr(photos, "_read", watched)
    assert prepare(read_catalogue(make_photos(tmp_path, {"A": 40})), workers=8).skipped.empty and max(most) == 1


def test_no_readable_photo_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    for _ in range(2):
        with pytest.raises(FailedError, match=r"None of 1 files is a readable photo.*a\.jpg: not a photo"):
            prepare(listed(tmp_path / "a.jpg"))


def test_mutated_photos_and_manifests(tmp_path):
    read, reasons = fuzz_photos(140, seed=0, folder=tmp_path / "photos")
    assert read.total() > 20 and reasons.total() > 60
    outcomes = fuzz_manifests(60, seed=0, folder=tmp_path)
    assert min(outcomes["read"], outcomes["refused"]) > 3


# --- the prepared array and its cache


def test_pixels_are_aligned_with_rows(tmp_path, make_photos):
    make_photos(tmp_path, {"B": 40, "A": 30})
    (tmp_path / "A" / "17.jpg").write_text("text")
    found = read_catalogue(tmp_path)
    prepared = prepare(found.sample(frac=1, random_state=0), cache=tmp_path / "cache")
    kept = prepared.catalogue
    assert kept["path"].tolist() == [path for path in found["path"] if not path.endswith("A/17.jpg")]
    assert kept["row"].tolist() == list(range(69)) and prepared.pixels.shape == (69, 100, 100)
    assert isinstance(prepared.pixels, np.memmap) and not prepared.pixels.flags.writeable
    for path, content, pixels in zip(kept["path"], kept["content"], prepared.pixels, strict=True):
        assert content == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert (pixels == prepare_photo(photos.decode(Path(path).read_bytes(), 100))).all()


def test_workers_change_no_byte(tmp_path, make_photos):
    found, contents = read_catalogue(make_photos(tmp_path / "photos", {"A": 100, "B": 33})), []
    for workers in (1, 2, 7):
        prepare(found, cache=(folder := tmp_path / str(workers)), workers=workers)
        contents.append({file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.*")})
    assert contents[0] == contents[1] == contents[2] and len(contents[0]) == 2


def test_a_prepared_catalogue_is_found_again(tmp_path, make_photos, monkeypatch):
    found = read_catalogue(make_photos(tmp_path / "<b>=1", {"<i>": 3, "=2": 2}))
    first = prepare(found, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(photos, "prepare_file", None)
        again = prepare(found.iloc[::-1], cache=tmp_path / "cache")
        assert again.catalogue.equals(first.catalogue) and (again.pixels == first.pixels).all()
    (entry,) = (tmp_path / "cache").iterdir()
    assert set(entry.name) <= set("0123456789abcdef")
    assert sorted(path.name for path in entry.iterdir()) == ["checksum", "photos.csv", "pixels.npy"]
    draw(99).save(found["path"][0])
    changed = prepare(found, cache=tmp_path / "cache")
    assert (changed.pixels[0] != first.pixels[0]).any() and (changed.pixels[1:] == first.pixels[1:]).all()
    assert prepare(found, cache=tmp_path / "cache", size=20).pixels.shape == (5, 20, 20)
    assert prepare(found, cache=tmp_path / "cache", size=20, colour=True).pixels.shape == (5, 20, 20, 3)
    with monkeypatch.context() as patch:  # another Pillow decodes a little differently
        patch.setattr(photos.features, "version", lambda library: f"another {library}")
        before = len(list((tmp_path / "cache").iterdir()))
        prepare(found, cache=tmp_path / "cache")
        assert len(list((tmp_path / "cache").iterdir())) == before + 1


@pytest.mark.parametrize("renamed", [False, True])
def test_a_photo_replaced_with_the_same_size_and_time_is_noticed(tmp_path, make_photos, renamed):
    found = read_catalogue(make_photos(tmp_path / "photos", {"A": 2}))
    path, other = Path(found["path"][0]), tmp_path / "other"
    Image.new("RGB", (64, 48)).save(path, format="BMP")
    draw(9).save(other, format="BMP")
    first, state = prepare(found), path.stat()
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    time.sleep(0.02)  # the file system's clock ticks
    if renamed:
        other.replace(path)
    else:
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    after = prepare(found)
    assert (after.catalogue["content"] != first.catalogue["content"]).tolist() == [True, False]
    assert (after.pixels != first.pixels).any(axis=(1, 2)).tolist() == [True, False]


def flip(file):
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


DAMAGES = {
    "cut": lambda entry, other: os.truncate(entry / "pixels.npy", 5000),
    "no pixels": lambda entry, other: (entry / "pixels.npy").unlink(),
    "empty pixels": lambda entry, other: (entry / "pixels.npy").write_bytes(b""),
    "no array": lambda entry, other: (entry / "pixels.npy").write_text("hello"),
    "one bit": lambda entry, other: flip(entry / "pixels.npy"),
    "other pixels": lambda entry, other: shutil.copy(other / "pixels.npy", entry),
    "no table": lambda entry, other: (entry / "photos.csv").unlink(),
    "half a table": lambda entry, other: os.truncate(entry / "photos.csv", 150),
    "no column": lambda entry, other: (entry / "photos.csv").write_text("content\na\nb\nc\n"),
    "no checksum": lambda entry, other: (entry / "checksum").write_bytes(b"\xff"),
    "another entry": lambda entry, other: (shutil.rmtree(entry), shutil.copytree(other, entry)),
    "a file": lambda entry, other: (shutil.rmtree(entry), entry.write_text("hello")),
    "a link to nowhere": lambda entry, other: (shutil.rmtree(entry), entry.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_made_again(tmp_path, make_photos, capsys, damage):
    found = read_catalogue(make_photos(tmp_path / "photos", {"A": 3}))
    prepare(found[1:], cache=tmp_path / "other")
    first = np.array(prepare(found, cache=tmp_path / "cache").pixels)
    (entry,), (other,) = (tmp_path / "cache").iterdir(), (tmp_path / "other").iterdir()
    damage(entry, other)
    assert (prepare(found, cache=tmp_path / "cache").pixels == first).all()
    assert capsys.readouterr().err == f"{entry}: damaged; set aside as {entry.name}.damaged, and made anew\n"
    assert (prepare(found, cache=tmp_path / "cache").pixels == first).all() and capsys.readouterr().err == ""
    assert sorted(path.name for path in entry.iterdir()) == ["checksum", "photos.csv", "pixels.npy"]


def test_every_byte_is_checked_or_evenly_spread_ones(tmp_path, monkeypatch):
    (tmp_path / "photos.csv").write_text("content,reason\n")
    monkeypatch.setattr(photos, "BLOCK", 20)
    data = bytes(range(1, 101))
    for length in (0, 1, 19, 20, 21, 70, 100):
        for blocks, unseen in ((5, 0), (3, max(0, length - 60))):
            monkeypatch.setattr(photos, "MOST_BLOCKS", blocks)
            sums = []
            for place in range(-1, length):  # first the whole array, then with one byte wrong
                (tmp_path / "pixels.npy").write_bytes(bytes(b * (p != place) for p, b in enumerate(data[:length])))
                sums.append(photos._checksum(tmp_path, "key"))
            assert sums.count(sums[0]) - 1 == unseen and photos._checksum(tmp_path, "other") not in sums


def test_two_at_once_do_not_disturb_each_other(tmp_path, make_photos):
    found = read_catalogue(make_photos(tmp_path / "photos", {"A": 60}))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: prepare(found, cache=tmp_path / "cache", workers=1), range(4)))
    assert all((result.pixels == results[0].pixels).all() for result in results)
    assert len(list((tmp_path / "cache").iterdir())) == 1
