"""A small run folder, executed notebooks included, for the tests of the report; every name in it is hostile."""

import base64
import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from PIL import Image

from autoparts.study.pictures import figure_html, figure_png, thumbnail
from autoparts.study.run import RESULTS_VERSION
from autoparts.study.tables import table_html, write_table

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

In code, `$HOME` and `$x$` stay as they are. See <em>the</em> [thesis](https://example.org/thesis).

## The distance

A second section of the same name.

# A second title
"""


def write(folder: Path, names: list[str] = CATEGORIES) -> Path:
    """Write the run folder, with these names as categories, captions, texts and outputs, and return it."""
    random = np.random.default_rng(0)
    for kind in ("notebooks", "figures", "results"):
        (folder / kind).mkdir(parents=True)
    text = " ".join(names[1:]).replace("\x00", "")
    frame = pd.DataFrame({"category": names, "photos": np.arange(len(names)) * 500, text: names, "f1": 0.5})
    write_table(folder, "table_5_1", frame, f"Table 5.1 {text}", best=True)
    for name in ("fig_4_4", "contact_sheet", "fig_3_5", "fig_4_1", "fig_4_3", "fig_4_7"):
        figure, axes = plt.subplots(figsize=(7.2, 3))
        axes.plot(random.random(30).cumsum())
        figure.set_label(f"A line that rises, {text}")
        (folder / "figures" / f"{name}.png").write_bytes(figure_png(figure, f"Fig {name}: a walk {text}"))
    slide = figure_html((folder / "figures" / "fig_4_4.png").read_bytes(), "fig_4_4")
    shown = [slide, table_html(frame, f"Table 5.1 {text}", True), *names]
    write_notebook(folder, "03_siamese_contrastive", INTRO, shown, names)
    write_notebook(folder, "01_eda_pca", "# 1 The data\n\nWhere the photos come from.", [], [])
    write_notebook(folder, "02_cnn_baseline.failed", "# 2 Failed", [], [])
    facts = {"seed": 7, "photos": 1234, "categories": 56, "data": f"synthetic {text}", "generated": True}
    for name, result in {"data": facts, **_results(random, names, text)}.items():
        (folder / "results" / f"{name}.json").write_text(json.dumps({"version": RESULTS_VERSION, **result}))
    run = {"parameters": {"epochs": 3}, "versions": {"python": "3.11", text: "2"}}
    run |= {"executed": {"01_eda_pca": {"seconds": 12.3}}, "name": folder.name, "commit": "0123456789"}
    run |= {"clean_tree": True, "finished": "2024-05-06", "processor": text}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def write_notebook(folder: Path, name: str, intro: str, shown: list[str], said: list[str]) -> None:
    """Write an executed notebook that shows some HTML, and says some texts in every other way that there is."""
    image = io.BytesIO()
    Image.new("RGB", (20, 10)).save(image, format="PNG")
    picture = {"image/png": base64.b64encode(image.getvalue()).decode()}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "HBox(children=())"}
    progress = f"\r 5%|█| 1/2\r100%|██| 2/2\nread {Path.home()}/a.jpg\n"
    outputs = [
        new_output("stream", name="stdout", text="\n".join(["trained", *said])),
        new_output("stream", name="stderr", text=progress + "\n".join(said)),
        new_output("display_data", widget),
        new_output("display_data", picture, metadata={"image/png": {"alt": 'A black "box"', "caption": "A box"}}),
        *(new_output("display_data", {"text/html": html, "text/plain": "<HTML>"}) for html in shown),
    ]
    for text in said:
        outputs += [new_output("display_data", {kind: text}) for kind in ("text/markdown", "text/latex", "text/plain")]
        outputs += [new_output("display_data", {"text/markdown": f"The best is **{text}** at $t = 1.7$."})]
        outputs += [new_output("display_data", {kind: text}) for kind in ("application/javascript", "image/svg+xml")]
        outputs += [new_output("display_data", picture, metadata={"image/png": {"alt": text, "caption": text}})]
    traceback = ["\x1b[31mZeroDivisionError\x1b[0m in /home/somebody/parts/x.py: division by zero", *said]
    error = new_output("error", ename="Error", evalue="0", traceback=traceback)
    code = 'for pair in pairs:\n    run.show(\n    "fig_4_4", pair)' if said else "1 / 0"
    parameters = "epochs: int = 3  # passes over the photos\nname = 'x'  # a name"
    cells = [*map(new_markdown_cell, [intro, *said]), *map(new_raw_cell, said)]
    cells += [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [new_code_cell("epochs = 5", metadata={"tags": ["injected-parameters"]})]
    cells += [new_code_cell(code, outputs=outputs), new_code_cell("\n".join(said), outputs=[error])]
    notebook = new_notebook(cells=cells)
    notebook.metadata = {
        "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
        "language_info": {"name": "python"},
        "autoparts": {"outputs": {"tables/table_5_1.csv": "x", "tables/gone.csv": "x", "models/a.pt": "x"}},
        "papermill": {"parameters": {"epochs": 5, "name": " ".join(said) or "x"}},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")


def _results(random: np.random.Generator, names: list[str], text: str) -> dict[str, dict]:
    def photo() -> str:
        return thumbnail(random.integers(0, 255, (56, 56), dtype=np.uint8))

    metrics = {"test_accuracy": 0.612, "n_test": 410, "test_interval": [0.56, 0.66]}
    card = {"task": f"one of many {text}", "chance": 0.02, "metrics": metrics, "reason": text}
    results = {name: card | {"title": f"{name} {text}"} for name in ("cnn", "contrastive", "triplet", "recommended")}
    called = np.arange(31)
    curve = {"threshold": called / 10, "accuracy": called / 40, "precision": 1 - called / 60, "recall": called / 30}
    curve |= {"f1": called / 50, "true_positive": called * 50, "false_positive": called, "true_negative": 30 - called}
    curve |= {"false_negative": 1500 - called * 50}
    pairs = [
        {"left": photo(), "right": photo(), "distance": place / 4, "same": place % 2 == 0, "similar_from": place * 3}
        | {"left_category": names[place % len(names)], "right_category": names[place // 2 % len(names)]}
        for place in range(12)
    ]
    curve = {name: values.tolist() for name, values in curve.items()}
    results["threshold"] = {"curve": curve, "chosen": 16, "thesis_choice": 17, "pairs": pairs}
    found = [{"image": 10 + place, "category": names[place % len(names)], "distance": place / 3} for place in range(5)]
    queries = [
        {"image": place % 10, "category": name, "neighbours": dict.fromkeys(("CNN", "Triplet", text), found)}
        for place, name in enumerate((names * 3)[: max(10, len(names))])
    ]
    table = {"model": ["CNN", text], "precision@1": [0.5, 0.625], "95 % interval": ["4% to 6%", "5% to 7%"]}
    table |= {"MAP@R": [0.25, 0.125], "ROC AUC": [0.5, 0.75], "ranking": [0.75, None]}
    paired = {f"compared with: {text}": ["CNN", "Triplet"], "judged": ["worse", "not to be told apart"]}
    results["comparison"] = {"table": table, "best": text, "paired": paired}
    refused = {"photos of": ["known", text], "photos": [410, 1200], "accuracy": [0.05, 0.875]}
    refused |= {"low": [0.03, 0.85], "high": [0.07, 0.9], "named rightly": [0.9, 0.0]}
    borders = {"test photos": ["white", "all test photos"], "low": [0.5, 0.91], "high": [0.6, 0.96]}
    results["finder"] = {"accuracy": 0.9375, "n_test": 410, "refused": refused, "borders": borders}
    against = {"variant": ["hard", text], "judged": ["better", "not to be told apart"], "difference": [0.04, 0.01]}
    results["beyond"] = {"against": against, "table": {"variant": ["hard", text], "spread": [0.0, 0.01]}}
    models = ["CNN", "Triplet", text]
    results["lookalikes"] = {"models": models, "thumbnails": [photo() for _ in range(20)], "queries": queries}
    return results
