"""The catalogue: which photos there are, what each shows, and which split it belongs to.

A catalogue is a pandas DataFrame with one row per photo, sorted by category and path: `path` (a file, or a
`synthetic:` name), `category`, optionally `product` (one article photographed from several sides) and `split`.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from autoparts.sources import SPLITS, CatalogueError, read_catalogue

__all__ = ["CatalogueError", "clean", "coverage", "read_catalogue", "size_groups", "split_catalogue"]

EXCLUDED_WORDS = (
    "Seal", "Bearing", "Shaft", "Strap", "Hose", "Belt", "Link", "Arm", "Bushing", "Kit", "Set",
)  # fmt: skip


def clean(
    catalogue: pd.DataFrame,
    words: Sequence[str] = EXCLUDED_WORDS,
    whole_word: bool = False,
    smallest: int = 2,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop categories by the thesis's rule (chapter 3): a name with an excluded word, or too few photos.

    Args:
        catalogue: DataFrame with a column `category`.
        words: Words that exclude a category, in any case; `()` switches the rule off.
        whole_word: Match whole words only, so that "Arm" no longer excludes "Alarm".
        smallest: Fewest photos that a category may have.

    Returns:
        The kept rows, and a table of the removed categories `category, photos, rule, word`, sorted by rule
        ("excluded word" or "too few photos"), then by photos, largest first. `word` is the first that matches.

    Raises:
        CatalogueError: Fewer than two categories are left.
    """
    edge = r"\b" if whole_word else ""
    patterns = [(word, re.compile(edge + re.escape(word) + edge, re.IGNORECASE)) for word in words if word]
    photos = catalogue["category"].value_counts().sort_index()
    removed = []
    for category, count in photos.items():
        word = next((word for word, pattern in patterns if pattern.search(category)), "")
        if word or count < smallest:
            removed.append((category, count, "excluded word" if word else "too few photos", word))
    table = pd.DataFrame(removed, columns=["category", "photos", "rule", "word"])
    table = table.sort_values(["rule", "photos", "category"], ascending=[True, False, True], ignore_index=True)
    kept = len(photos) - len(table)
    if kept < 2:
        rules = ", ".join(f"{count} by the rule “{rule}”" for rule, count in table["rule"].value_counts().items())
        raise CatalogueError(
            f"{kept} of {len(photos)} categories left after cleaning (removed: {rules or 'none'}); at least two "
            "are needed. Add photos, or set the parameter cleaning to word (whole words only) or none."
        )
    rows = ~catalogue["category"].isin(table["category"])
    return catalogue[rows].reset_index(drop=True), table


def split_catalogue(
    catalogue: pd.DataFrame, seed: int, shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> pd.DataFrame:
    """Divide every category into training, validation and test photos.

    What is drawn are products where the catalogue names them (a product is a name within its category), else
    single photos. Of a category with one product it goes to training; of two, one is for training and one for
    testing; of three or more, at least one for each. The rest of the validation and test shares is
    spread over the larger categories in proportion to their size (largest remainders), so that the totals
    keep to `shares` although small categories give more than their part.

    Args:
        catalogue: DataFrame `path, category[, product]`, in any order. A catalogue that has a `split` already
            (its own) is returned as it is, after a check that every category has a training photo.
        seed: Fixes which photos are drawn.
        shares: Parts of training, validation and test; they sum to one.

    Returns:
        The catalogue sorted by category and path, with the column `split`.

    Raises:
        CatalogueError: The catalogue's own split leaves a category without a training photo.
        ValueError: The shares are not three parts of one.
    """
    if len(shares) != 3 or min(shares) < 0 or shares[0] <= 0 or not np.isclose(sum(shares), 1):
        raise ValueError(f"shares={shares}: expected three parts (training, validation, test) that sum to 1.")
    catalogue = catalogue.sort_values(["category", "path"], ignore_index=True)
    if "split" in catalogue:
        trained = catalogue.loc[catalogue["split"] == "train", "category"].unique()
        missing = sorted(set(catalogue["category"]) - set(trained))
        if missing:
            raise CatalogueError(
                f"{missing[0]!r} ({len(missing)} such) has no training photo in the data's own split; "
                "leave own_split off to have a split drawn."
            )
        return catalogue
    category = catalogue["category"].factorize()[0]  # 0, 0, 1, … since rows are sorted
    if "product" in catalogue:
        unit = catalogue.groupby(["category", "product"]).ngroup().to_numpy()
    else:
        unit = np.arange(len(catalogue))
    of_unit = category[np.unique(unit, return_index=True)[1]]
    sizes = np.bincount(of_unit)
    test = np.minimum(_apportion(sizes, 2, shares[2]), sizes - 1)
    validation = np.minimum(_apportion(sizes, 3, shares[1]), sizes - test - 1)
    drawn = np.lexsort((np.random.default_rng(seed).permutation(len(of_unit)), of_unit))
    rank = np.empty_like(drawn)  # the place of each unit in its category's random order
    rank[drawn] = np.arange(len(drawn)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = [rank < test[of_unit], rank < (test + validation)[of_unit]]
    return catalogue.assign(split=np.select(places, ["test", "validation"], "train")[unit])


def _apportion(sizes: np.ndarray, smallest: int, share: float) -> np.ndarray:
    """Divide `share` of all units among the categories.

    One each from `smallest` units on; in all as near to `share` as that allows; the rest in proportion to
    size by largest remainders.
    """
    if share == 0:
        return np.zeros_like(sizes)
    eligible = sizes >= smallest
    total = max(round(share * sizes.sum()), eligible.sum())
    quota, free = eligible.astype(float), eligible.copy()
    while free.any():
        part = (total - eligible.sum() + free.sum()) * sizes / sizes[free].sum()
        if not (free & (part < 1)).any():
            quota[free] = part[free]
            break
        free &= part >= 1
    counts = np.floor(quota + 1e-9).astype(int)
    largest = np.lexsort((-sizes, counts - quota))
    counts[largest[: total - counts.sum()]] += 1
    return counts


def coverage(catalogue: pd.DataFrame) -> pd.DataFrame:
    """How much of a split catalogue each split reaches.

    Returns:
        One row per split: `split, photos, categories` (with at least one photo there), `share` of all
        categories, and `products` where the catalogue names them.
    """
    groups = catalogue.groupby("split")
    table = pd.DataFrame({"photos": groups.size(), "categories": groups["category"].nunique()})
    table["share"] = table["categories"] / catalogue["category"].nunique()
    if "product" in catalogue:
        table["products"] = catalogue.drop_duplicates(["category", "product"]).groupby("split").size()
    return table.reindex(SPLITS, fill_value=0).rename_axis("split").reset_index()


def size_groups(counts: pd.Series) -> pd.Series:
    """Put categories into head, middle and tail, each holding about a third of the training photos.

    Categories are lined up from large to small; one belongs to the third that the middle of its block falls
    into, where categories of equal size form one block (so a balanced catalogue is all "middle"). Groups of
    equal weight give accuracies of similar precision at any scale, unlike fixed numbers of photos.

    Args:
        counts: Training photos by category.

    Returns:
        Series category → "head", "middle" or "tail", in the order of `counts`.
    """
    blocks = counts.groupby(counts).sum().sort_index(ascending=False)
    middle = (blocks.cumsum() - blocks / 2) / blocks.sum()
    names = pd.Series(np.select([middle < 1 / 3, middle > 2 / 3], ["head", "tail"], "middle"), index=blocks.index)
    return counts.map(names).rename("group")
