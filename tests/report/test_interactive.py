from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from autoparts.evaluation import threshold_curve
from autoparts.report.interactive import lookalikes, threshold_explorer
from autoparts.retrieval import Embedded
from autoparts.sampling import LabelledPairs, Photos


@pytest.fixture(scope="module")
def study():
    pixels = torch.randint(0, 255, (40, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = {"train": torch.arange(0, 30), "validation": torch.arange(30, 33), "test": torch.arange(33, 40)}
    labels = {split: places % 3 for split, places in rows.items()}
    catalogue = pd.DataFrame({"row": range(40), "category": [f"part {row % 3}" for row in range(40)]})
    photos, names = Photos(pixels, rows, labels), ["part 0", "part 1", "part 2"]
    pixels_at = lambda rows: list(pixels[rows].numpy())  # noqa: E731
    return SimpleNamespace(photos=photos, catalogue=catalogue, categories=names, pixels_at=pixels_at)


@pytest.mark.parametrize("chosen", [0.75, -1e-6, 5.0, 0.7500000000000001])
def test_the_slider_says_what_the_table_says(study, chosen):
    random = torch.Generator().manual_seed(1)
    left, right = torch.randint(0, 40, (2, 500), generator=random)
    same = left % 3 == right % 3
    distances = (torch.rand(500, generator=random) + 0.5 * ~same).round(decimals=2)  # many lie on a threshold
    told = threshold_explorer(study, LabelledPairs(left, right, same), distances, {"chosen": chosen, "thesis": 0.5})
    curve = pd.DataFrame(told["curve"])
    assert len(curve) in (199, 200, 201) and curve["threshold"].is_monotonic_increasing
    for position, threshold in ((told["chosen"], chosen), (told["thesis_choice"], 0.5)):
        table = threshold_curve(distances, same, torch.tensor([threshold], dtype=torch.float64))
        assert curve.loc[[position]].reset_index(drop=True).equals(table)
    assert len(told["pairs"]) == 12
    for pair in told["pairs"]:
        called = np.arange(len(curve)) >= pair["similar_from"]
        assert (called == (pair["distance"] < curve["threshold"])).all()
        assert pair["same"] == (pair["left_category"] == pair["right_category"])


def test_look_alikes_are_the_nearest_training_photos(study):
    vectors = torch.arange(40.0)[:, None] % 3 + torch.arange(40.0)[:, None] / 100
    vectors[30:33] = float("nan")
    told = lookalikes(study, {"model": Embedded(vectors, "euclidean")}, queries=4, neighbours=50)
    assert told["models"] == ["model"] and len(told["queries"]) == 4 and len(told["thumbnails"]) == 4 + 30
    for query in told["queries"]:
        found = query["neighbours"]["model"]
        assert len(found) == 30 and found[0]["category"] == query["category"]
        assert [near["distance"] for near in found] == sorted(near["distance"] for near in found)
        assert query["image"] < 4 <= min(near["image"] for near in found)
