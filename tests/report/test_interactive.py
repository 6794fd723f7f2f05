import numpy as np
import pandas as pd
import pytest
import torch

from autoparts.evaluation import threshold_curve
from autoparts.report.interactive import lookalikes, threshold_explorer
from autoparts.retrieval import Embedded
from autoparts.sampling import LabelledPairs


@pytest.mark.parametrize("chosen", [0.75, -1e-6, 5.0, 0.7500000000000001])
def test_the_slider_says_what_the_table_says(small_study, chosen):
    random, photos = torch.Generator().manual_seed(1), small_study.photos
    rows, labels = (torch.cat([*of.values()]) for of in (photos.rows, photos.labels))
    left, right = torch.randint(0, len(rows), (2, 500), generator=random)
    same, pairs = labels[left] == labels[right], (rows[left], rows[right])
    distances = (torch.rand(500, generator=random) + 0.5 * ~same).round(decimals=2)  # many lie on a threshold
    told = threshold_explorer(small_study, LabelledPairs(*pairs, same), distances, {"chosen": chosen, "thesis": 0.5})
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


def test_look_alikes_are_the_nearest_training_photos(small_study):
    photos = small_study.photos
    vectors = torch.full((len(photos.pixels), 1), torch.nan)
    for split in ("train", "test"):
        vectors[photos.rows[split], 0] = photos.labels[split] + photos.rows[split] / 1000
    told = lookalikes(small_study, {"model": Embedded(vectors, "euclidean")}, queries=4, neighbours=50)
    assert told["models"] == ["model"] and len(told["queries"]) == 4 and len(told["thumbnails"]) == 4 + 48
    for query in told["queries"]:
        found = query["neighbours"]["model"]
        assert len(found) == 48 and found[0]["category"] == query["category"]
        assert [near["distance"] for near in found] == sorted(near["distance"] for near in found)
        assert query["image"] < 4 <= min(near["image"] for near in found)
