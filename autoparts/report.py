"""From a run folder to a report: one page per notebook and an index, each a single file that opens offline.

    from autoparts.report import render
    index = render(Path("reports/demo"))

Nothing here computes or states a result: every number comes from a file of the run folder. What does not exist
is not shown. The index (template/index.html.j2) reads

    run.json             name, data, generated, parameters, seed, photos, categories, versions, commit, ...;
                         what it does not say is taken from results/data.json
    figures/<name>.png   written by `display.save_figure`
    tables/<name>.html   written by `display.save_table`
    results/<name>.json  one object each

Results with a place on the index:

`cnn`, `contrastive`, `triplet`: {"title", "task", "chance", "metrics": {"test_accuracy", "n_test",
    "test_interval": [low, high], ...}}; shares between 0 and 1, chance null if there is none.

`recommended`: {"title", "reason", "metrics" (optional, as above)}, shown as the recommended model.

`limits`: {"sentences": [text, ...]}, added to "What this run cannot say".

`threshold`, the slider below `fig_4_4` on the index and on the notebook's page:
    {"thresholds": [t, ...],                          rising
     "accuracy": [...], "precision": [...], "recall": [...], "f1": [...],   one per threshold, null where undefined
     "chosen": t, "thesis_choice": t or null,
     "distances_same": [...], "distances_different": [...],                 the pairs that the measures are about
     "pairs": [{"left": image, "right": image, "distance": d, "same": bool,
                "left_category": text, "right_category": text}, ...]}       about a dozen; image = data URI
    The measures must be those of exactly these distances ("similar" means distance <= threshold); the slider
    counts the confusion table from them.

`lookalikes`, the look-alike browser on the index:
    {"models": [name, ...],
     "thumbnails": [data URI, ...],                   each photo once, JPEG of about 56 pixels
     "queries": [{"image": index of a thumbnail, "category": text,
                  "neighbours": {model name: [{"image": index, "category": text, "distance": d}, ...]}}, ...]}
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from autoparts.display import figure_html
from autoparts.files import whole_file
from autoparts.pages import TEMPLATE, read_page, scrub

CHAPTERS = {
    "01_eda_pca": "Data and principal components",
    "02_cnn_baseline": "The convolutional network",
    "03_siamese_contrastive": "Siamese network with the contrastive loss",
    "04_siamese_triplet": "Siamese network with the triplet loss",
    "05_model_comparison": "Model comparison",
    "06_beyond_the_thesis": "Beyond the thesis",
    "07_find_a_part": "Find a part",
}


def render(run_folder: Path) -> Path:
    """Write `index.html` and one page per executed notebook into a run folder.

    Args:
        run_folder: holds `notebooks/*.ipynb` (executed) and what they saved; any of it may be missing.

    Returns:
        The path of `index.html`.

    Raises:
        FileNotFoundError: if the folder does not exist.
    """
    run_folder = Path(run_folder)
    if not run_folder.is_dir():
        raise FileNotFoundError(f"{run_folder} is no folder; make a run first: autoparts run --name NAME")
    notebooks = sorted(run_folder.glob("notebooks/[!.]*.ipynb"))
    pages = [read_page(path) for path in notebooks if not path.name.endswith(".failed.ipynb")]
    failed = {path.name.removesuffix(".failed.ipynb") for path in notebooks if ".failed." in path.name}
    have = _ingredients(run_folder)
    jinja = _environment()
    shared = {"run": have["run"], "pages": pages, "style": _asset("style.css"), "script": _asset("report.js")}
    shared["script_hash"] = base64.b64encode(hashlib.sha256(shared["script"].encode()).digest()).decode()
    live = _live(jinja, have["results"])
    for position, page in enumerate(pages):
        neighbours = {
            "previous": pages[position - 1] if position else None,
            "next": pages[position + 1] if position + 1 < len(pages) else None,
        }
        body = Markup(_with_live(page.body, live))
        html = jinja.get_template("page.html.j2").render(shared, page=page, body=body, **neighbours)
        _publish(run_folder / f"{page.stem}.html", html)
    missing = {stem: title for stem, title in CHAPTERS.items() if stem not in {page.stem for page in pages}}
    html = jinja.get_template("index.html.j2").render(shared, **have, live=live, missing=missing, failed=failed)
    index = run_folder / "index.html"
    _publish(index, _with_contents(html))
    return index


def confusion(same: list[float], different: list[float], threshold: float) -> dict[str, Any]:
    """Count a verification at one threshold; "similar" is the positive class.

    Args:
        same: distances of pairs of one category.
        different: distances of pairs of two categories.
        threshold: a pair at this distance or nearer is called similar.

    Returns:
        The four counts and the four measures, None where a measure divides by zero.
    """
    hit, false_alarm = (sum(d <= threshold for d in distances) for distances in (same, different))
    miss, rejection = len(same) - hit, len(different) - false_alarm

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return {
        "hit": hit,
        "miss": miss,
        "false_alarm": false_alarm,
        "rejection": rejection,
        "accuracy": share(hit + rejection, len(same) + len(different)),
        "precision": share(hit, hit + false_alarm),
        "recall": share(hit, len(same)),
        "f1": share(2 * hit, 2 * hit + miss + false_alarm),
    }


def _ingredients(run_folder: Path) -> dict[str, Any]:
    """Read what the notebooks saved: run facts, figures, tables and results by name."""

    def read(path: Path) -> dict[str, Any]:
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def files(pattern: str) -> list[Path]:
        return sorted(run_folder.glob(pattern))

    results = {path.stem: read(path) for path in files("results/[!.]*.json")}
    return {
        "run": {"name": run_folder.name} | results.get("data", {}) | read(run_folder / "run.json"),
        "figures": {
            path.stem: Markup(figure_html(path.read_bytes(), path.stem)) for path in files("figures/[!.]*.png")
        },
        "tables": {path.stem: Markup(path.read_text("utf-8")) for path in files("tables/[!.]*.html")},
        "results": results,
    }


def _environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["percent"] = lambda share, digits=1: "–" if share is None else f"{share:.{digits}%}"
    jinja.filters["data"] = _data
    jinja.filters["polyline"] = _polyline
    jinja.globals["confusion"] = confusion
    return jinja


def _data(value: Any) -> Markup:
    """JSON for a data block; no name in it can close the `<script>` element around it."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


def _polyline(values: list[float | None], thresholds: list[float]) -> str:
    """Points of a curve in a drawing 640 wide and 240 high."""
    first, span = thresholds[0], (thresholds[-1] - thresholds[0]) or 1
    points = zip(thresholds, values, strict=True)
    return " ".join(
        f"{640 * (t - first) / span:.1f},{240 * (1 - v):.1f}" for t, v in points if v is not None and math.isfinite(v)
    )


def _live(jinja: Environment, results: Mapping[str, Any]) -> dict[str, Markup]:
    """Write the live pieces whose data the run has."""
    return {
        name: Markup(jinja.get_template(f"{name}.html.j2").render(data=results[name]))
        for name in ("threshold", "lookalikes")
        if name in results
    }


def _with_live(body: str, live: Mapping[str, Markup]) -> str:
    """Put the slider below Fig 4.4, wherever a page shows it."""
    slider = str(live.get("threshold", ""))
    return re.sub(r'<figure id="fig_4_4">.*?</figure>', lambda found: found[0] + slider, body, flags=re.DOTALL)


def _with_contents(html: str) -> str:
    """Fill the index's table of contents from the sections it turned out to have."""
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', html)
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in sections)
    return html.replace("<!-- contents -->", links)


def _asset(name: str) -> Markup:
    return Markup((TEMPLATE / name).read_text("utf-8"))


def _publish(path: Path, html: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(scrub(html, path.parent), "utf-8")
