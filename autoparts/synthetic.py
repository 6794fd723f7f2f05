"""The embedded default data: a generated catalogue of car-part photos that stands in for photos nobody may ship.

A category is an archetype with proportions fixed by its name, a product varies them, a photo shows a product from one
side. The path `synthetic:<seed>/<category>/<product>-<view>.jpg` alone determines a photo, down to its bytes.
"""

import hashlib
import re
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from autoparts import parts_bodywork, parts_castings, parts_electrics  # noqa: F401 - they fill PARTS
from autoparts.archetypes import PARTS, Traits
from autoparts.catalog import EXCLUDED_WORDS, CatalogueError
from autoparts.files import whole_file
from autoparts.photography import photograph

SPREAD = 0.27  # how far a product strays from its category: 0 not at all, 1 anywhere its archetype allows

REALISM = (
    "These photos are drawn, not taken. True to a parts catalogue are the long tail of categories, families of "
    "parts that differ in a detail, products that vary within a category, strong turns between views of one "
    "product, plain backgrounds, and the look of metal, rubber, glass and paint under studio light. Not true "
    "to life are the clean, unworn surfaces, the absence of lettering, hands, cars and workshops around the "
    "part, fewer kinds of part than names for them, and independent variation where real parts follow a "
    "vehicle model. Read results on them as a rehearsal of the study; what recognition is worth on a real "
    "catalogue, only photos of that catalogue can tell."
)

LARGEST = {"Bumper Cover": 952, "Mirror": 920, "Headlight": 761, "Brake Disc": 741, "Fender Liner": 557}
SMALLEST = ("Flashlight", "Tire Pressure Gauge", "Trailer Brake Control", "Transfer Case Chain", "Headlight Guard")
COMMON = [  # the order matters: the demo takes the first 55, neighbours in life among them
    "Radiator", "Tail Light", "Bumper", "Hood", "Fog Light", "Flywheel", "Alternator", "Interior Mirror",
    "Splash Guard", "Condenser", "Fender", "Starter", "Grille Assembly", "Corner Light", "Trunk Lid", "Wheel",
    "Water Pump", "Fuel Pump", "Muffler", "Catalytic Converter", "Shock Absorber", "Strut", "Oxygen Sensor",
    "Speed Sensor", "Oil Filter", "Fuel Filter", "Door Handle", "Tailgate Handle", "Engine Mount",
    "Transmission Mount", "Spark Plug", "Exhaust Manifold", "Valve Cover Gasket", "Coil Spring", "Leaf Spring",
    "Piston", "Fuel Injector", "Battery", "Drive Pulley", "Timing Gear", "Gas Cap", "Coolant Reservoir",
    "Headlight Bulb", "Temperature Gauge", "Window Switch", "Engine Valve",
    "Oil Cooler", "Brake Light", "Oil Pump", "Exhaust Pipe", "EGR Valve", "Fuel Tank", "Bumper Bracket",
    "Throttle Position Sensor", "Wiper Motor",
]  # fmt: skip
REMOVED = [
    "Control Arm", "Wheel Bearing", "Heater Hose", "Brake Hardware Kit", "Serpentine Belt", "Steering Shaft",
    "Rod Bearing Set", "Door Seal", "Fuel Tank Strap", "Sway Bar Link", "Leaf Spring Bushing",
]  # fmt: skip
SYSTEMS = [
    "Engine", "Transmission", "Fuel", "Ignition", "Clutch", "Brake", "Power Steering", "Cooling Fan",
    "Turbocharger", "Oil", "Heater", "Air Intake", "Exhaust", "EGR", "Door", "Hood", "Tailgate", "Trunk", "Wiper",
    "Fender", "Bumper", "Seat", "Window", "Transfer Case", "Differential", "Axle", "Wheel", "Suspension",
    "Throttle", "Blower Motor", "Cruise Control", "Washer", "Spare Tire", "Camshaft", "Crankshaft", "Sway Bar",
    "Drive", "Parking Brake",
]  # fmt: skip
NOUNS = [
    "Bracket", "Cap", "Cover", "Filter", "Gasket", "Housing", "Module", "Mount", "Pump", "Relay", "Sensor",
    "Solenoid", "Switch", "Valve", "Pulley", "Actuator", "Bolt", "Clip", "Cable", "Pipe", "Reservoir", "Handle",
    "Gear", "Panel", "Resistor", "Spring", "Support", "Hinge", "Plate", "Motor", "Lever", "Line", "Washer",
    "Retainer", "Regulator", "Shield", "Ring", "Nut", "Control", "Knob", "Lock", "Light", "Cooler", "Manifold",
    "Duct",
]  # fmt: skip


def _generator(*key: object) -> np.random.Generator:
    """Return the generator that belongs to a key, the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _excluded(name: str) -> bool:
    return any(word.lower() in name.lower() for word in EXCLUDED_WORDS)


@lru_cache(maxsize=1)
def _names() -> tuple[list[str], list[str]]:
    """Return names that the cleaning rule keeps, the common ones first, and names it removes."""
    pairs = sorted({f"{s} {n}" for s in SYSTEMS for n in NOUNS})
    pairs = [pairs[i] for i in _generator("names").permutation(len(pairs))]
    known = [*LARGEST, *COMMON]
    kept = [n for n in dict.fromkeys([*known, *sorted(PARTS), *pairs]) if not _excluded(n) and n not in SMALLEST]
    dropped = [f"{s} {n}" for s in SYSTEMS for n in EXCLUDED_WORDS]
    dropped = [dropped[i] for i in _generator("dropped").permutation(len(dropped))]
    return kept, list(dict.fromkeys([*REMOVED, *dropped]))


def _shares(total: int, shape: np.ndarray) -> np.ndarray:
    """Return whole numbers in the proportions of `shape`, largest first, that add up to `total`."""
    edges = np.round(np.cumsum(shape) / shape.sum() * total).astype(int)
    return np.sort(np.diff(edges, prepend=0))[::-1]


def _counts(scale: str) -> dict[str, int]:
    """Return the number of photos of each category."""
    kept, dropped = _names()
    if scale == "thesis":
        middle = _shares(2098, np.geomspace(178, 31, 25))
        rest = _shares(9126, np.interp(np.arange(317), [0, 285, 316], [30.6, 29.4, 3]))
        named = dict(zip(kept[5:], [*middle, *rest], strict=False))
        words = dict(zip(dropped, _shares(9217, np.geomspace(120, 6, 338)), strict=False))
        return LARGEST | named | dict.fromkeys(SMALLEST, 2) | words | dict.fromkeys(kept[347:647], 1)
    if scale == "demo":
        named = dict(zip(kept, _shares(2000, np.geomspace(140, 2.2, 60)), strict=False))
        return named | dict(zip(dropped, (70, 50, 36, 26, 18, 12, 8), strict=False)) | dict.fromkeys(SMALLEST[:2], 1)
    if not (match := re.fullmatch(r"(\d+)x(\d+)", scale)):
        raise ValueError(
            f"Unknown scale {scale!r}: expected 'demo', 'thesis' or '<categories>x<photos>' such as '8x120'."
        )
    categories, photos = map(int, match.groups())
    if not 1 <= categories <= len(kept) or photos < 2 * categories:
        raise ValueError(f"Scale {scale!r}: give 1 to {len(kept)} categories and at least two photos of each.")
    counts = 2 + _shares(photos - 2 * categories, np.linspace(1.6, 0.4, categories))
    return dict(zip(kept, counts.tolist(), strict=False))


def catalogue(scale: str = "demo", seed: int = 0) -> pd.DataFrame:
    """Return the generated catalogue; nothing is drawn yet.

    Args:
        scale: "demo", "thesis" (the thesis's counts, Table 3.1) or "<categories>x<photos>", such as "8x120".
        seed: another seed gives other parts under the same names.

    Returns:
        Columns path, category, product, sorted by path.

    Raises:
        ValueError: an unknown scale.
    """
    rows = []
    for category, count in _counts(scale).items():
        views = _generator("views", category).integers(1, 5, count)
        product = np.repeat(np.arange(count), views)[:count]
        view = np.arange(count) - np.searchsorted(product, product)
        rows += [
            (f"synthetic:{seed}/{category}/{p:04d}-{v}.jpg", category, f"{category} {p:04d}")
            for p, v in zip(product.tolist(), view.tolist(), strict=True)
        ]
    return pd.DataFrame(sorted(rows), columns=["path", "category", "product"])


def part_of(category: str) -> str:
    """Return the part name, a key of `archetypes.PARTS`, that a category ends in; the longest one.

    Raises:
        ValueError: the name ends in no known part.
    """
    names = [name for name in PARTS if f" {category}".endswith(f" {name}")]
    if not names:
        raise ValueError(
            f"{category!r} ends in no part that synthetic photos know; autoparts.archetypes.PARTS lists them."
        )
    return max(names, key=len)


def jpeg(path: str) -> bytes:
    """Draw the photo that a path names.

    Args:
        path: `synthetic:<seed>/<category>/<product>-<view>.jpg`.

    Returns:
        A JPEG file of 160 to 600 pixels.

    Raises:
        ValueError: a path of another form, or a category whose name ends in no part the package knows.
    """
    match = re.fullmatch(r"synthetic:(-?\d+)/([^/]+)/(\d+)-(\d+)\.jpg", path)
    if not match:
        raise ValueError(f"{path}: expected synthetic:<seed>/<category>/<product>-<view>.jpg.")
    seed, category, product, view = match.groups()
    traits = Traits(_generator(seed, category), _generator(seed, category, product), SPREAD)
    habits = _generator(seed, category, "views", view)  # the n-th photo of each product shows much the same side
    habit = habits.uniform(-75, 75) + 180 * (habits.random() < 0.15), habits.uniform(-25, 60)
    return photograph(PARTS[part_of(category)](traits), habit, _generator(seed, category, product, view))


def _save(job: tuple[str, Path]) -> None:
    path, file = job
    file.write_bytes(jpeg(path))


def write(
    folder: str | Path, scale: str = "demo", seed: int = 0, workers: int = 2, progress: bool = True
) -> pd.DataFrame:
    """Write the generated photos as JPEG files in one folder per category, with a manifest.csv.

    Args:
        folder: a folder that is empty or does not exist yet.
        scale: as for `catalogue`.
        seed: as for `catalogue`.
        workers: number of processes that draw.
        progress: show a progress bar.

    Returns:
        The manifest: path (relative to the folder), category, product.

    Raises:
        CatalogueError: the folder is not empty.
        ValueError: an unknown scale.
    """
    folder, photos = Path(folder), catalogue(scale, seed)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CatalogueError(f"{folder} is not an empty folder; name a new one, so that no file is overwritten.")
    manifest = photos.assign(path=photos["path"].str.partition("/")[2])
    for category in photos["category"].unique():
        (folder / category).mkdir(parents=True)
    jobs = [(path, folder / name) for path, name in zip(photos["path"], manifest["path"], strict=True)]
    with ProcessPoolExecutor(workers) as pool:
        done = pool.map(_save, jobs, chunksize=16)
        list(tqdm(done, total=len(jobs), desc="Drawing photos", unit="photo", disable=not progress))
    with whole_file(folder / "manifest.csv") as file:
        manifest.to_csv(file, index=False)
    return manifest
