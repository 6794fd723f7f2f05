"""What the report's live pieces are fed with: photos as small data URIs, and the figures beside them."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from autoparts.evaluation import PAIR_MEASURES, Pairs
from autoparts.losses import distance_matrix
from autoparts.retrieval import Embedded
from autoparts.study import Study
from autoparts.variants import Part


def thumbnail(photo: np.ndarray, side: int = 56) -> str:
    """Turn a grey (S, S) uint8 photo into a small JPEG, as a data URI."""
    packed = io.BytesIO()
    Image.fromarray(photo).resize((side, side), Image.Resampling.BOX).save(packed, "JPEG", quality=70, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()


def threshold_explorer(
    study: Study,
    curve: pd.DataFrame,
    thresholds: Mapping[str, float],
    pairs: Pairs,
    distances: Tensor,
    examples: int = 12,
) -> dict[str, Any]:
    """Collect what the threshold slider shows (its form is described in `report`).

    Args:
        study: whose photos the pairs are.
        curve: measures of these pairs at rising thresholds, from `evaluation.threshold_curve`.
        thresholds: the one chosen on validation pairs, then the thesis's choice.
        pairs: P pairs of photos.
        distances: (P,) float, their distances.
        examples: number of pairs to show, spread evenly over the distances.
    """
    chosen, thesis_choice = thresholds.values()
    order = distances.argsort()
    spread = order[np.linspace(0, 0.98 * (len(order) - 1), examples).astype(int)]
    category = study.catalogue.set_index("row")["category"]
    shown = [
        {
            "left": thumbnail(study.pixels_at(pairs.left[place, None])[0]),
            "right": thumbnail(study.pixels_at(pairs.right[place, None])[0]),
            "left_category": category[int(pairs.left[place])],
            "right_category": category[int(pairs.right[place])],
            "distance": round(float(distances[place]), 4),
            "same": bool(pairs.same[place]),
        }
        for place in spread
    ]
    columns = {name: curve[name].round(5) for name in PAIR_MEASURES}
    kept = {"distances_same": distances[pairs.same], "distances_different": distances[~pairs.same]}
    return {
        "thresholds": curve["threshold"].round(5),
        **columns,
        "chosen": chosen,
        "thesis_choice": thesis_choice,
        **{name: np.sort(values.numpy().astype(float).round(4)) for name, values in kept.items()},
        "pairs": shown,
    }


def lookalikes(
    study: Study, part: Part, seen: Mapping[str, Embedded], queries: int = 60, neighbours: int = 6
) -> dict[str, Any]:
    """Collect what the look-alike browser shows (its form is described in `report`).

    Args:
        study: the photos.
        part: the test photos to ask about, and the training photos to find.
        seen: the photos as each model sees them.
        queries: test photos, spread evenly over the categories.
        neighbours: nearest training photos per model.
    """
    order = part.labels["test"].argsort(stable=True)
    asked = order[torch.linspace(0, len(order) - 1, min(queries, len(order))).long()]
    images: dict[int, int] = {}

    def image(row: int) -> int:
        return images.setdefault(row, len(images))

    entries = [
        {
            "image": image(int(part.rows["test"][place])),
            "category": study.categories[int(part.labels["test"][place])],
            "neighbours": {},
        }
        for place in asked
    ]
    for name, model in seen.items():
        distances = distance_matrix(model.vectors["test"][asked], model.vectors["train"], model.kind)
        nearest = distances.topk(neighbours, largest=False)
        for entry, values, places in zip(entries, nearest.values.tolist(), nearest.indices.tolist(), strict=True):
            entry["neighbours"][name] = [
                {
                    "image": image(int(part.rows["train"][place])),
                    "category": study.categories[int(part.labels["train"][place])],
                    "distance": round(value, 3),
                }
                for value, place in zip(values, places, strict=True)
            ]
    thumbnails = [thumbnail(photo) for photo in study.pixels_at(torch.tensor(list(images)))]
    return {"models": list(seen), "thumbnails": thumbnails, "queries": entries}
