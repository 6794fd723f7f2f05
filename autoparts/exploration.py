"""What notebook 1 asks of a study: where its photos come from, what was removed, which ones to show."""

import numpy as np
import pandas as pd
from PIL import ImageOps

from autoparts import images
from autoparts.sources import below_root
from autoparts.study import SPLITS, Study


def source_summary(study: Study) -> pd.DataFrame:
    """Count photos and categories at each step from the source to the study."""
    steps = {
        "files in the source": pd.concat([study.source, study.skipped]),
        "readable photos": study.source,
        "after cleaning": study.catalogue,
    }
    return pd.DataFrame(
        {
            "photos": [len(step) for step in steps.values()],
            "categories": [step["category"].nunique() for step in steps.values()],
        },
        index=pd.Index(steps, name="step"),
    )


def skipped_files(study: Study) -> pd.DataFrame:
    """List files that could not be read as photos: path below the catalogue, category, reason."""
    every = pd.concat([study.source["path"], study.skipped["path"]])
    return study.skipped.assign(path=below_root(study.skipped["path"], every))


def cleaning_summary(removed: pd.DataFrame) -> pd.DataFrame:
    """Sum up removed categories by rule and word: categories, photos, with a total."""
    table = (
        removed.fillna({"word": ""})
        .groupby(["rule", "word"], sort=False)["photos"]
        .agg(categories="size", photos="sum")
    )
    table = table.reset_index()
    table.loc[len(table)] = ["total", "", table["categories"].sum(), table["photos"].sum()]
    return table


def excluded_examples(study: Study, count: int) -> pd.DataFrame:
    """Return one photo of each of the largest removed categories, the words in turn."""
    removed = study.removed.sort_values(["photos", "category"], ascending=[False, True])
    turn = removed.groupby("word", dropna=False).cumcount()
    chosen = removed.loc[turn.sort_values(kind="stable").index, "category"].head(count)
    return study.source.drop_duplicates("category").set_index("category", drop=False).loc[chosen].reset_index(drop=True)


def most_diverse_category(study: Study, smallest: int = 8) -> str:
    """Return the category whose photos differ most from their mean photo, among those with enough photos."""
    counts = study.catalogue["category"].value_counts()
    enough = counts[counts >= min(smallest, counts.max())]
    spread = {}
    for name in enough.index:
        photos = np.stack(study.pixels(study.catalogue[study.catalogue["category"] == name].head(60))).astype(
            np.float32
        )
        spread[name] = float(np.abs(photos - photos.mean(axis=0)).mean())
    return max(spread, key=spread.get)


def near_duplicates(study: Study) -> pd.DataFrame:
    """List pairs of nearly equal photos with the part of the split that each is in, in alphabetical order."""
    rows = study.catalogue["row"].to_numpy()
    pairs = images.near_duplicates(study.photos.cpu().numpy()[rows])
    parts = study.catalogue["split"].to_numpy()[pairs[["first", "second"]].to_numpy()]
    return pairs.assign(parts=[" and ".join(sorted(pair, key=SPLITS.index)) for pair in parts])


def duplicate_summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """Count pairs of nearly equal photos by the parts of the split they fall into."""
    within = [f"{part} and {part}" for part in SPLITS]
    across = ["train and validation", "train and test", "validation and test"]
    counts = pairs["parts"].value_counts().reindex([*within, *across], fill_value=0)
    return counts.rename_axis("parts").reset_index(name="pairs")


def preparation_steps(path: str, size: int = 100) -> dict[str, np.ndarray]:
    """Return what becomes of one photo on its way into the network: name of the step to (H, W[, 3]) uint8."""
    photo = images.open_photo(path)
    grey = photo.convert("L")
    padded = ImageOps.pad(grey, (max(grey.size),) * 2, color=255)
    steps = {"as it is": photo, "grey": grey, "padded to a square": padded}
    shapes = {name: f"{name}\n{step.width}×{step.height}" for name, step in steps.items()}
    arrays = {shapes[name]: np.asarray(step) for name, step in steps.items()}
    return arrays | {f"resized\n{size}×{size}": images.prepare_photo(photo, size)}
