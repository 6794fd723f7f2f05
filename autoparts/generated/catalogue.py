"""The generated catalogue: which photos there are, and how they get to the disk.

A category is a part with proportions fixed by the category's name, a product varies them, a photo shows a product from
one side. Seed, category, product and view determine a photo, down to its bytes by the same numpy and Pillow on the same
kind of processor: others round differently, which a few photos in a hundred show in a few pixels.

To add a part, write its stages into stages.csv (see `parts_stacked`), or a function in `parts_shaped` that PARTS names.
Then give it categories in categories.csv: name, part, excluded word in the name if any, photos at either scale.
"""

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np
import pandas as pd
import PIL
from tqdm import tqdm

from autoparts import bar_file
from autoparts.errors import FailedError, UserError, disk_errors, set_aside, whole_file, whole_folder
from autoparts.generated import parts_shaped, parts_stacked
from autoparts.generated.camera import photograph
from autoparts.generated.traits import Traits

ROOM = Path(__file__).parent
PARTS = parts_shaped.PARTS | parts_stacked.PARTS
CATEGORIES = pd.read_csv(ROOM / "categories.csv", index_col="category", keep_default_na=False)
REALISM = (ROOM / "realism.txt").read_text("utf-8")  # what is true to life in the photos, and what is not
SPREAD = 0.27  # how far a product strays from its category: 0 not at all, 1 anywhere its part allows


def _generator(*key: object) -> np.random.Generator:
    """Return the generator that belongs to a key, the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _counts(scale: str) -> dict[str, int]:
    """Return the number of photos of each category."""
    if scale in ("demo", "thesis"):
        return CATEGORIES.loc[CATEGORIES[scale] > 0, scale].to_dict()
    if not (match := re.fullmatch(r"(\d{1,9})x(\d{1,9})", scale)):
        raise UserError(f"Unknown scale {scale!r}: expected demo, thesis or <categories>x<photos> such as 8x120.")
    categories, photos = map(int, match.groups())
    names = CATEGORIES.index[CATEGORIES["word"] == ""]  # those that the thesis's cleaning keeps
    if not 1 <= categories <= len(names) or photos < 2 * categories:
        raise UserError(f"Scale {scale!r}: give 1 to {len(names)} categories and at least two photos of each.")
    shares = np.cumsum(np.linspace(1.6, 0.4, categories))
    more = np.diff(np.round(shares / shares[-1] * (photos - 2 * categories)).astype(int), prepend=0)
    return dict(zip(names, (2 + np.sort(more)[::-1]).tolist(), strict=False))


def photos(scale: str) -> pd.DataFrame:
    """Return which photos a scale has: path (<category>/<product>-<view>.jpg), category, product, sorted by path.

    Scales are "demo", "thesis" (the counts of the thesis, Table 3.1) and "<categories>x<photos>", such as "8x120"; an
    unknown one is told in a UserError.
    """
    rows = []
    for category, count in _counts(scale).items():
        views = _generator("views", category).integers(1, 5, count)
        product = np.repeat(np.arange(count), views)[:count]
        view = np.arange(count) - np.searchsorted(product, product)
        places = zip(product.tolist(), view.tolist(), strict=True)
        rows += [(f"{category}/{p:04d}-{v}.jpg", category, f"{category} {p:04d}") for p, v in places]
    return pd.DataFrame(sorted(rows), columns=["path", "category", "product"])


def photo(path: str, seed: int = 0) -> bytes:
    """Draw the photo of a path that `photos` returns: a JPEG file of 160 to 600 pixels."""
    category, product, view = re.fullmatch(r"(.+)/(\d+)-(\d+)\.jpg", path).groups()
    traits = Traits(_generator(seed, category), _generator(seed, category, product), SPREAD)
    habits = _generator(seed, category, "views", view)  # the n-th photo of each product shows much the same side
    habit = habits.uniform(-75, 75) + 180 * (habits.random() < 0.15), habits.uniform(-25, 60)
    part = PARTS[CATEGORIES.at[category, "part"]]
    return photograph(part(traits), habit, _generator(seed, category, product, view))


def written(scale: str, cache: Path, seed: int = 0, progress: bool = True) -> Path:
    """Return the manifest.csv of a catalogue of files below `cache`, drawn there unless an earlier call has done so.

    Its folder is named by scale (see `photos`), seed (another gives other parts under the same names) and a hash of
    this room's code and the libraries that draw. It appears whole or not at all, so two processes that draw the same do
    not disturb each other. `progress` shows a bar in a terminal or a notebook. An unknown scale, or a cache that cannot
    be written, is told in a UserError.
    """
    _counts(scale)  # refuses what is no scale
    code = b"".join(file.read_bytes() for file in sorted(ROOM.iterdir()) if file.suffix in (".py", ".csv"))
    drawing = hashlib.blake2b(code + f"numpy {np.__version__} Pillow {PIL.__version__}".encode(), digest_size=8)
    manifest = cache / f"{scale}-{seed}-{drawing.hexdigest()}" / "manifest.csv"
    if manifest.parent.exists() and not manifest.is_file():
        set_aside(manifest.parent)
    if manifest.is_file():
        return manifest
    with whole_folder(manifest.parent) as folder:
        _draw(folder, scale, seed, None, progress)
    return manifest


def write(
    folder: str | Path, scale: str = "demo", seed: int = 0, workers: int | None = None, progress: bool = True
) -> pd.DataFrame:
    """Write a catalogue into a new or empty folder: JPEG files in one folder per category, and manifest.csv.

    Scale, seed and progress are those of `written`; so many processes draw, by default one for each core. Returns the
    manifest: path (relative to the folder), category, product. A folder that is not empty or cannot be written, or an
    unknown scale, is told in a UserError.
    """
    with disk_errors(folder := Path(folder)):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is not an empty folder; name a new one, so that no file is overwritten.")
        try:
            return _draw(folder, scale, seed, workers, progress)
        except FileExistsError:  # somebody else draws there
            raise
        except BaseException:  # interrupted too: half a catalogue is none, and blocks the next attempt
            for category in folder.glob("*"):
                shutil.rmtree(category, ignore_errors=True)
            raise


def _draw(folder: Path, scale: str, seed: int, workers: int | None, progress: bool) -> pd.DataFrame:
    """Draw the photos of a scale into a folder, and write its manifest last.

    The processes are commands of their own: those of multiprocessing run a script without `if __name__` once more.
    """
    manifest = photos(scale)
    for category in manifest["category"].unique():
        (folder / category).mkdir(parents=True)
    workers = min(workers or os.cpu_count() or 1, 1 + len(manifest) // 20)
    command = [sys.executable, "-m", __spec__.name, str(folder.absolute()), scale, str(seed), str(workers)]
    options = {"cwd": ROOM.parents[1], "stdout": PIPE, "start_new_session": True}  # Ctrl-C reaches only this process
    running = [Popen([*command, str(worker)], **options) for worker in range(workers)]
    try:
        for index in tqdm(manifest.index, "Drawing photos", unit="", file=bar_file(), disable=not progress or None):
            line = running[index % workers].stdout.readline()
            if line != b"\n":
                trouble = line.decode().strip() or "a process was killed: free some memory, and call again"
                raise FailedError(f"{folder}: the photos cannot be drawn ({trouble})")
    finally:
        for process in running:
            process.kill()
            process.communicate()
    with whole_file(folder / "manifest.csv") as file:
        manifest.to_csv(file, index=False)
    return manifest


def _draw_share(folder: str, scale: str, seed: str, workers: str, worker: str) -> None:
    """Draw every `workers`-th photo, and tell the parent of each by an empty line, of trouble by its name."""
    try:
        for path in photos(scale)["path"][int(worker) :: int(workers)]:
            (Path(folder) / path).write_bytes(photo(path, int(seed)))
            os.write(1, b"\n")
    except BrokenPipeError:  # the parent was killed
        return
    except OSError as error:
        os.write(1, f"{error.strerror}\n".encode())


if __name__ == "__main__":
    _draw_share(*sys.argv[1:])
