"""Mutated photos and manifests: each is read or refused with a reason; nothing crashes, hangs or eats memory.

At length: `python -m tests.tools.fuzz_photos 2000 500 1`, photos, manifests and seed.
"""

import faulthandler
import io
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from autoparts.catalogue import read_catalogue
from autoparts.errors import UserError
from autoparts.photos import prepare

MEMORY = 1 << 30  # bytes that fuzzing may add to the process
HANG = 120  # seconds without end, for every hundred files

TURNED = Image.Exif()
TURNED[0x0112] = 6
FORMATS: dict[str, Callable[[Image.Image, io.BytesIO], None]] = {
    "jpeg": lambda image, file: image.save(file, "JPEG", exif=TURNED),
    "progressive jpeg": lambda image, file: image.save(file, "JPEG", progressive=True),
    "cmyk jpeg": lambda image, file: image.convert("CMYK").save(file, "JPEG"),
    "mpo": lambda image, file: image.save(file, "MPO", save_all=True, append_images=[image.rotate(90)]),
    "png": lambda image, file: image.convert("RGBA").save(file, "PNG"),
    "16-bit png": lambda image, file: Image.fromarray(np.asarray(image.convert("L"), "u2") * 257).save(file, "PNG"),
    "palette png": lambda image, file: image.quantize(16).save(file, "PNG", transparency=0),
    "webp": lambda image, file: image.save(file, "WEBP"),
    "animated webp": lambda image, file: image.save(file, "WEBP", save_all=True, append_images=[image.rotate(90)]),
    "gif": lambda image, file: image.save(file, "GIF", save_all=True, append_images=[image.rotate(90)]),
    "bmp": lambda image, file: image.save(file, "BMP"),
    "tiff": lambda image, file: image.save(file, "TIFF"),
    "packed tiff": lambda image, file: image.save(file, "TIFF", compression="tiff_lzw"),
    "1-bit tiff": lambda image, file: image.convert("1").save(file, "TIFF", compression="group4"),
}


def mutate(data: bytes, rng: np.random.Generator, most: int = 3) -> bytes:
    """Cut, flip, overwrite, remove, repeat or insert at one to `most` places, more often near the start."""
    data = bytearray(data)
    for _ in range(rng.integers(most) + 1):
        here = int(len(data) * rng.random() ** rng.choice([1, 4]))
        length = int(rng.choice([1, 2, 4, 16, 64]))
        kind = rng.choice(["cut", "flip", "extreme", "remove", "repeat", "insert"])
        if kind == "cut":
            del data[here:]
        elif kind == "flip":
            data[here : here + 1] = bytes(b ^ (1 << int(rng.integers(8))) for b in data[here : here + 1])
        elif kind == "extreme":
            byte = rng.choice([b"\0", b"\xff", b"\x7f", b'"', b"\n"])
            data[here : here + length] = byte * len(data[here : here + length])
        elif kind == "remove":
            del data[here : here + length]
        elif kind == "repeat":
            data[here:here] = data[here : here + length] * int(rng.integers(1, 20))
        else:
            data[here:here] = rng.bytes(length)
    return bytes(data)


def mutated_photos(number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `number` damaged photos with the names of their formats, which come round in turn."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    originals = {}
    for name, save in FORMATS.items():
        save(Image.fromarray(pixels).resize((120, 90)), file := io.BytesIO())
        originals[name] = file.getvalue()
    for index in range(number):
        name = list(originals)[index % len(originals)]
        yield name, mutate(originals[name], rng)


def fuzz_photos(number: int, seed: int, folder: Path) -> tuple[Counter, Counter]:
    """Prepare damaged photos; return how many were read, and how many skipped, by format and by reason."""
    read, reasons = Counter(), Counter()
    photos = list(mutated_photos(number, seed))
    for start in range(0, number, 100):
        part = folder / str(start)
        for index, (name, data) in enumerate(photos[start : start + 100]):
            (part / name).mkdir(parents=True, exist_ok=True)
            (part / name / f"{index}.jpg").write_bytes(data)
        faulthandler.dump_traceback_later(HANG, exit=True)
        prepared = prepare(read_catalogue(part), cache=folder / "cache", progress=False)
        faulthandler.cancel_dump_traceback_later()
        assert len(prepared.catalogue) + len(prepared.skipped) == len(photos[start : start + 100])
        assert prepared.pixels.shape == (len(prepared.catalogue), 100, 100)
        assert prepared.skipped["reason"].str.fullmatch(r"[ -~]{1,120}").all()
        assert not prepared.skipped["reason"].str.contains(str(folder), regex=False).any()
        read.update(prepared.catalogue["category"])
        reasons.update(prepared.skipped["reason"])
    return read, reasons


def fuzz_manifests(number: int, seed: int, folder: Path) -> Counter:
    """Read damaged manifests; return how many were read and how many refused."""
    rng = np.random.default_rng(seed)
    rows = [f'"{i}.jpg","Gas, ""Cap"" {i % 7} é",p{i // 3},{("train", "valid", "test")[i % 3]}' for i in range(30)]
    original = "\n".join(["path,category,product,split", *rows]).encode()
    outcomes = Counter()
    root = str(folder.resolve()) + "/"
    for index in range(number):
        (folder / "parts.csv").write_bytes(mutate(original, rng, most=1 + index % 2))
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            found = read_catalogue(folder / "parts.csv", own_split=bool(index % 2))
            assert found["path"].str.startswith(root).all() and not found["path"].str.contains(r"/\.\./").any()
            assert (found["category"].str.strip() != "").all()
            found.to_csv(folder / "out.txt")
            outcomes["read"] += 1
        except UserError as error:
            assert len(str(error)) < 1000
            outcomes["refused"] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
    return outcomes


def peak() -> int:
    """Return the most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(photos: int = 2000, manifests: int = 500, seed: int = 0) -> None:
    """Fuzz that often and print what happened."""
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        read, reasons = fuzz_photos(photos, seed, Path(folder) / "photos")
        outcomes = fuzz_manifests(manifests, seed, Path(folder))
    added = peak() - before
    print(f"photos read, by format: {dict(read)}; skipped, by reason: {dict(reasons.most_common(12))}")
    print(f"manifests: {dict(outcomes)}; memory added: {added >> 20} MiB")
    assert added < MEMORY


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
