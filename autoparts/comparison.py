"""The tables that set models beside each other."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

# Table 5.1 of the thesis; its CNN's validation accuracy is printed as 0.0007 %.
THESIS = {
    "cnn": {"training": 0.9979, "validation": 0.000007, "test": 0.5080},
    "contrastive": {"training": 0.9794, "validation": 0.9198, "test": 0.7024},
    "triplet": {"training": None, "validation": None, "test": 0.4036},
}


def table_5_1(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Table 5.1: for each model the thesis's accuracies and this run's, with task, chance level and n.

    Args:
        results: `cnn`, `contrastive`, `triplet` to their saved results.

    Returns:
        One row per model and source; accuracies between 0 and 1, missing where there is none.
    """
    rows = []
    for name, result in results.items():
        metrics = result["metrics"]
        low, high = metrics["test_interval"]
        ours = {part: metrics[f"{part}_accuracy"] for part in ("training", "validation", "test")}
        thesis = {"model": result["title"], "source": "thesis", **THESIS[name]}
        run = {"model": "", "source": "this run", **ours, "95 % interval": f"{low:.1%} to {high:.1%}"}
        facts = {"n (test)": metrics["n_test"], "chance": result["chance"], "task": result["task"]}
        rows += [thesis, run | facts]
    table = pd.DataFrame(rows).rename(columns={part: f"{part} accuracy" for part in ("training", "validation", "test")})
    return table.astype({"n (test)": "Int64"})


def percent(value: float) -> str:
    """Write a share in percent, with as many decimals as it takes to tell it from zero."""
    return f"{value:.4%}" if 0 < value < 0.0005 else f"{value:.2%}"


TABLE_5_1_FORMATS = dict.fromkeys(("training accuracy", "validation accuracy", "test accuracy", "chance"), percent)


def curves(results: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[pd.DataFrame, dict[str, str], str, bool]]:
    """What `figures.side_by_side` draws of the saved histories: the losses in one row, the accuracies in the next."""
    histories = {result["title"]: pd.DataFrame(result["history"]) for result in results.values()}
    panels = {}
    for measure, percent_axis in (("loss", False), ("accuracy", True)):
        names = {f"training_{measure}": "training", f"validation_{measure}": "validation"}
        panels |= {
            f"{title}: {measure}": (history, names, measure, percent_axis) for title, history in histories.items()
        }
    return panels
