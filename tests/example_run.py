"""A small run folder, executed notebooks included, for the tests of the report."""

import base64
import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from autoparts.display import save_figure, save_table

HOSTILE = "<img src=x onerror=alert(1)>"
CATEGORIES = ["BRAKE DISC", HOSTILE, "=HYPERLINK(1)", "</script><script>alert(2)</script>"]

INTRO = r"""# 3 Contrastive loss

Which of two photos show the same part? About five minutes.

## The distance

Two photos lie $D = \|x_1 - x_2\|_2$ apart. The loss is

$$L = \frac{1}{2}\left( y D^2 + (1 - y)\max(0, m - D)^2 \right) \tag{2.9}$$

and with cases and a sum

$$f(x) = \begin{cases} \sum_{i=1}^{n} x_i & x > 0 \\ 0 & \text{otherwise} \end{cases}$$

\begin{align} a &= b \\ c &= d \end{align}

In code, `$HOME` and `$x$` stay as they are.

## The distance

A second section of the same name.

# A second title
"""


def write(folder: Path) -> Path:
    """Write the run folder and return it."""
    random = np.random.default_rng(0)
    (folder / "notebooks").mkdir(parents=True)
    (folder / "results").mkdir()
    shown = [_figure(folder, "fig_4_4", random).data, _table(folder).data]
    for name in ("contact_sheet", "fig_3_5", "fig_4_1", "fig_4_3", "fig_4_7"):
        _figure(folder, name, random)
    _notebook(folder / "notebooks" / "03_siamese_contrastive.ipynb", INTRO, shown)
    _notebook(folder / "notebooks" / "01_eda_pca.ipynb", "# 1 The data\n\nWhere the photos come from.", [])
    _notebook(folder / "notebooks" / "02_cnn_baseline.failed.ipynb", "# 2 Failed", [])
    for name, result in _results(random).items():
        (folder / "results" / f"{name}.json").write_text(json.dumps(result))
    run = {
        "name": folder.name,
        "data": "synthetic",
        "generated": True,
        "parameters": {"epochs": 3},
        "seed": 7,
        "photos": 1234,
        "categories": 56,
        "versions": {"python": "3.11", "torch": "2.11"},
        "commit": "0123456789abcdef",
        "clean_tree": True,
        "timings": {"01_eda_pca": 12.3},
        "finished": "2024-05-06T07:08:09",
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def _figure(folder: Path, name: str, random: np.random.Generator):
    figure, axes = plt.subplots(figsize=(7.2, 3))
    axes.plot(random.random(30).cumsum())
    return save_figure(folder, name, figure, f"Fig {name}: a walk <b>", f"A line that rises, {HOSTILE}")


def _table(folder: Path):
    frame = pd.DataFrame({"category": CATEGORIES, "photos": [1200, 30, 4, 1], "share": [0.9, 0.05, 0.04, 0.01]})
    return save_table(folder, "table_5_1", frame, "Table 5.1", formats={"share": "{:.1%}"}, best={"photos": "max"})


def _notebook(path: Path, intro: str, shown: list[str]) -> None:
    outputs = [new_output("display_data", {"text/html": html, "text/plain": "<HTML>"}) for html in shown]
    image = io.BytesIO()
    Image.new("RGB", (20, 10)).save(image, format="PNG")
    plain = new_output(
        "display_data",
        {"image/png": base64.b64encode(image.getvalue()).decode()},
        metadata={"image/png": {"alt": 'A black "box"', "caption": "A box"}},
    )
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "HBox(children=())"}
    cells = [
        new_markdown_cell(intro),
        new_code_cell("epochs = 3  # passes over the photos\nname = 'x'  # a name", metadata={"tags": ["parameters"]}),
        new_code_cell("epochs = 5", metadata={"tags": ["injected-parameters"]}),
        new_code_cell(
            "print('trained')\nfor pair in pairs:\n    show(pair)",
            outputs=[
                new_output("stream", name="stdout", text="trained\n"),
                new_output("stream", name="stderr", text=f"\r 5%|█| 1/2\r100%|██| 2/2\nread {Path.home()}/a.jpg\n"),
                new_output("display_data", {"text/markdown": f"The best is **{HOSTILE}** at $t = 1.7$."}),
                new_output("display_data", widget),
                new_output("display_data", {"text/html": "<p>fine</p><script>alert(3)</script>"}),
                plain,
                *outputs,
            ],
        ),
        new_code_cell(
            "1 / 0",
            outputs=[
                new_output(
                    "error",
                    ename="ZeroDivisionError",
                    evalue="division by zero",
                    traceback=["\x1b[31mZeroDivisionError\x1b[0m in /home/somebody/parts/x.py: division by zero"],
                )
            ],
        ),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata = {
        "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
        "language_info": {"name": "python"},
        "papermill": {"parameters": {"epochs": 5}},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    nbformat.write(notebook, path)


def _thumbnail(random: np.random.Generator) -> str:
    packed = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (56, 56), dtype=np.uint8)).save(packed, format="JPEG", quality=60)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()


def _results(random: np.random.Generator) -> dict[str, dict]:
    metrics = {"training_accuracy": 0.99, "test_accuracy": 0.612, "n_test": 410, "test_interval": [0.56, 0.66]}
    results = {
        name: {"model": name, "title": title, "task": f"one of many {HOSTILE}", "chance": 0.02, "metrics": metrics}
        for name, title in (("cnn", "CNN"), ("contrastive", "Contrastive"), ("triplet", "Triplet"))
    }
    same, different = (sorted(random.normal(mean, 0.4, 200).clip(0.01).round(4).tolist()) for mean in (1.1, 2.0))
    thresholds = np.linspace(0, 3, 31).round(2)
    hits = np.array([[sum(d <= t for d in group) for group in (same, different)] for t in thresholds])
    recall = hits[:, 0] / 200
    results["threshold"] = {
        "thresholds": thresholds.tolist(),
        "accuracy": ((hits[:, 0] + 200 - hits[:, 1]) / 400).tolist(),
        "precision": [hit / total if total else None for hit, total in zip(hits[:, 0], hits.sum(axis=1), strict=True)],
        "recall": recall.tolist(),
        "f1": (2 * hits[:, 0] / (200 + hits.sum(axis=1))).tolist(),
        "chosen": 1.6,
        "thesis_choice": 1.7,
        "distances_same": same,
        "distances_different": different,
        "pairs": [
            {
                "left": _thumbnail(random),
                "right": _thumbnail(random),
                "distance": float(distance),
                "same": position % 2 == 0,
                "left_category": CATEGORIES[position % 4],
                "right_category": CATEGORIES[(position + position % 2) % 4],
            }
            for position, distance in enumerate(np.linspace(0.4, 2.6, 12).round(3))
        ],
    }
    models = ["CNN", "Contrastive", "Triplet"]
    results["lookalikes"] = {
        "models": models,
        "thumbnails": [_thumbnail(random) for _ in range(30)],
        "queries": [
            {
                "image": query,
                "category": CATEGORIES[query % 4],
                "neighbours": {
                    model: [
                        {
                            "image": 10 + (query + rank) % 20,
                            "category": CATEGORIES[(query + rank) % 4],
                            "distance": rank / 3,
                        }
                        for rank in range(5)
                    ]
                    for model in models
                },
            }
            for query in range(10)
        ],
    }
    return results
