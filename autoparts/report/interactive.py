"""What the page's threshold slider and its look-alike browser show: counted and looked up here, once, by the core."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoparts.evaluation import threshold_curve
from autoparts.losses import distance_matrix
from autoparts.retrieval import Embedded
from autoparts.sampling import LabelledPairs
from autoparts.study.pictures import thumbnail
from autoparts.study.study import Study


def threshold_explorer(
    study: Study, pairs: LabelledPairs, distances: Tensor, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """Collect what the threshold slider shows of P pairs of the study's photos and their distances, (P,) float.

    `thresholds` are the one chosen on validation pairs and the thesis's; both are positions of the slider. Returned are
    the columns of `evaluation.threshold_curve` at all positions, the places of these two, and a dozen pairs, each with
    `similar_from`, the first position at which it is called similar.
    """
    marks, exact = torch.tensor([*thresholds.values()], dtype=torch.float64), distances.double()
    grid = torch.linspace(0, float(exact.quantile(0.999)), 201 - len(marks), dtype=torch.float64)
    positions = torch.cat([grid, marks]).unique()  # rising
    chosen, thesis_choice = torch.searchsorted(positions, marks).tolist()
    curve = threshold_curve(distances, pairs.same, positions).to_dict("list")
    category = study.catalogue.set_index("row")["category"]
    spread = exact.argsort()[np.linspace(0, 0.98 * (len(exact) - 1), 12).astype(int)]
    left, right = pairs.left[spread], pairs.right[spread]
    columns = {
        "left": [thumbnail(photo) for photo in study.pixels_at(left)],
        "right": [thumbnail(photo) for photo in study.pixels_at(right)],
        "left_category": category.loc[left.tolist()].tolist(),
        "right_category": category.loc[right.tolist()].tolist(),
        "distance": exact[spread].tolist(),
        "same": pairs.same[spread].tolist(),
        "similar_from": torch.searchsorted(positions, exact[spread], right=True).tolist(),
    }
    shown = pd.DataFrame(columns).to_dict("records")
    return {"curve": curve, "chosen": chosen, "thesis_choice": thesis_choice, "pairs": shown}


def lookalikes(study: Study, models: Mapping[str, Embedded], queries: int = 60, neighbours: int = 6) -> dict[str, Any]:
    """Collect what the look-alike browser shows: for test photos, spread evenly, the nearest training photos by model.

    Each photo is once among `thumbnails`, as a data URI; `image` is its place there. `queries` have `image`, `category`
    and `neighbours`: model to a list of `image`, `category` and `distance`, nearest first.
    """
    rows, labels = study.photos.rows, study.photos.labels
    order = labels["test"].argsort(stable=True)
    asked = order[torch.linspace(0, len(order) - 1, min(queries, len(order))).long()]
    images: dict[int, int] = {}

    def _entry(split: str, place: int) -> dict[str, Any]:
        image = images.setdefault(int(rows[split][place]), len(images))
        return {"image": image, "category": study.categories[int(labels[split][place])]}

    entries = [_entry("test", place) | {"neighbours": {}} for place in asked.tolist()]
    for name, model in models.items():
        distances = distance_matrix(model.vectors[rows["test"][asked]], model.vectors[rows["train"]], model.distance)
        nearest = distances.topk(min(neighbours, len(rows["train"])), largest=False)
        for query, values, places in zip(entries, nearest.values.tolist(), nearest.indices.tolist(), strict=True):
            query["neighbours"][name] = [
                _entry("train", place) | {"distance": round(value, 3)}
                for value, place in zip(values, places, strict=True)
            ]
    thumbnails = [thumbnail(photo) for photo in study.pixels_at(torch.tensor(list(images)))]
    return {"models": list(models), "thumbnails": thumbnails, "queries": entries}
