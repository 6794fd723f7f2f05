"""Runs side by side: their tables stacked, a mean where runs differ in the seed alone, and what sets them apart."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from autoparts.errors import UserError, read_json
from autoparts.report.index import publish, templates
from autoparts.report.pages import Page
from autoparts.study.run import run_folder
from autoparts.study.tables import FORMATS, read_table, table_html, write_table

TABLES = {  # which notebooks' parameters decide what stands in them
    "table_cnn_test": "02",
    "table_threshold": "03",
    "table_5_1": "02 03 04 05",
    "table_fair_comparison": "02 03 04 05",
    "table_recommended": "02 03 04 05 06",
    "table_beyond": "06",
    "table_against": "06",
    "table_calibration": "06 07",
    "table_borders": "06 07",
}
FINDERS = "Test photos that recommended models name rightly, and photos that finders refuse"
FREE = ("seed", "threads", "show_photos", "photo", "top")  # parameters that may differ within a mean
SAID = (
    "Mean and spread (largest minus smallest) stand below runs of the same photos, split, settings, code and versions, "
    "which differ in the seed, and perhaps in how many threads computed them; of each seed one run counts. Other runs "
    "stand beside each other only: a mean over them would be of nothing."
)
Facts = dict[str, Any]  # of a run.json


def compare(names: Sequence[str], to: str | None = None) -> Path:
    """Write an index.html with the runs' tables side by side, and each as CSV; return the path of the page.

    UserError for fewer than two runs, for two of one name, and if a folder is no run, or the one to write to is a run.
    """
    folders = {folder.name: folder for folder in map(run_folder, names)}
    if len(folders) < 2 or len(folders) < len(names):
        raise UserError(f"{', '.join(names)}: give two runs or more, whose folders have different names")
    runs = {name: _facts(folder) for name, folder in folders.items()}
    target = run_folder(to or f"compare-{'-'.join(folders)}")
    if (target / "run.json").exists():
        raise UserError(f"{target} is a run, whose report would be overwritten; choose another folder with --to")
    shown = {"differences": (_differences(runs), "What the runs differ in")}
    if finders := {name: found for name, folder in folders.items() if not (found := _finder(folder)).empty}:
        alike = _alike({name: runs[name] for name in finders}, "06 07")
        shown["finders"] = _stacked(finders, alike), FINDERS
    for table, notebooks in TABLES.items():
        found = {name: folder / "tables" / f"{table}.csv" for name, folder in folders.items()}
        if read := {name: read_table(path)[:2] for name, path in found.items() if path.exists()}:
            alike = _alike({name: runs[name] for name in read}, notebooks)
            shown[table] = _stacked({name: frame for name, (frame, _) in read.items()}, alike), read.popitem()[1][1]
    body = f"<h1>Runs side by side</h1><p>{SAID}</p>"
    for table, (frame, caption) in shown.items():
        write_table(target, table, frame, caption)
        body += f'<h2 id="{table}">{escape(caption)}</h2>{table_html(frame, caption)}'
    jinja, shared = templates()
    page = Page("index", "Runs side by side", "", [(table, caption) for table, (_, caption) in shown.items()], body)
    facts = {"page": page, "run": {"name": target.name}, "body": Markup(body)}
    publish(target / "index.html", jinja.get_template("page.html.j2").render(shared | facts))
    return target / "index.html"


def _facts(folder: Path) -> Facts:
    facts = read_json(folder / "run.json", "give folders of finished runs; make one with autoparts run")
    executed = facts.get("executed")
    if not (isinstance(executed, dict) and all("parameters" in each for each in executed.values())):
        raise UserError(f"{folder / 'run.json'} does not tell how the run was made: finish it with autoparts run")
    return facts


def _settings(facts: Facts) -> dict[tuple[str, str], Any]:
    """Return the values of parameters, or what they came to, and the code; by name and number of the notebook."""
    made = {"06_beyond_the_thesis": {"parameters": facts["model"]}} if facts.get("model") else {}  # without it
    settings = {}
    for stem, each in (facts["executed"] | made).items():
        values = each["parameters"] | (each.get("found") or {})
        settings |= {(name, stem[:2]): value for name, value in values.items()}
    return settings


def _differences(runs: dict[str, Facts]) -> pd.DataFrame:
    """List facts, versions and parameters that differ: a row for each, a column for each run."""
    told = {}
    for name, facts in runs.items():
        flat = facts | facts.get("versions", {})
        told[name] = {key: value for key, value in flat.items() if not isinstance(value, dict | list)}
        values = pd.Series(_settings(facts), dtype=object).map(str).groupby(level=0, sort=False).unique()
        told[name] |= values.map(" / ".join).to_dict()
    table = pd.DataFrame(told, dtype=object).drop(index="name", errors="ignore").rename_axis("")
    return table[table.astype(str).nunique(axis=1) > 1]


def _finder(folder: Path) -> pd.DataFrame:
    """What the recommended model and the finder do with test photos, and with those of names that neither knows."""
    paths = [folder / "results" / f"{name}.json" for name in ("recommended", "finder")]
    if not all(path.exists() for path in paths):
        return pd.DataFrame()
    model, finder = (read_json(path, "run its notebook again") for path in paths)
    told = {"task": model["task"], "n": finder["n_test"], "by its head": model["metrics"]["test_accuracy"]}
    told |= {"by the finder": finder["accuracy"]}
    told |= dict(zip(("known, refused", "unknown, refused"), finder["refused"]["accuracy"], strict=False))
    return pd.DataFrame([told]).astype({"n": "Int64"})


def _alike(runs: dict[str, Facts], notebooks: str) -> list[list[str]]:
    """Group runs, one of each seed, by photos, split, all settings of these notebooks, and what they ran with."""
    groups: dict[str, dict[int, str]] = {}
    for name, facts in runs.items():
        settings = {key: value for key, value in _settings(facts).items() if key[1] in notebooks and key[0] not in FREE}
        key = [facts.get(fact) for fact in ("fingerprint", "commit", "versions", "processor", "device")]
        key = json.dumps([*key, sorted(settings.items())])
        groups.setdefault(key, {}).setdefault(facts.get("seed"), name)
    return [[*group.values()] for group in groups.values() if len(group) > 1]


def _stacked(frames: dict[str, pd.DataFrame], alike: list[list[str]]) -> pd.DataFrame:
    """Stack tables by their first column, with mean and spread of what is measured below the runs that are alike."""
    whole = pd.concat([frame.assign(run=name) for name, frame in frames.items()], ignore_index=True)
    key = whole.columns[0]
    if "source" in whole:  # Table 5.1 has the thesis in every other row, which alone names the model
        whole[key] = whole[key].where(whole[key] != "").ffill()
        whole.loc[whole.pop("source") == "thesis", "run"] = "thesis"
        whole = whole.drop_duplicates([key, "run"])
    ends = tuple(name for name in whole if name.endswith(("low", "high")))  # the mean of intervals is no interval
    measured = [name for name in whole if name in FORMATS and name not in ("chance", *ends)]
    for group in alike:
        own = whole[whole["run"].isin(group)]
        own = own[own.groupby(key)["run"].transform("size") == len(group)]
        by = own.astype(dict.fromkeys(measured, float)).groupby(key)[measured]
        rows = {"mean": by.mean(), "spread": by.max() - by.min()}
        stacked = [frame.assign(run=f"{what} of {', '.join(group)}") for what, frame in rows.items()]
        whole = pd.concat([whole, *(frame.reset_index() for frame in stacked)], ignore_index=True)
    places = {value: place for place, value in enumerate(whole[key].unique())}
    whole = whole.sort_values(key, key=lambda values: values.map(places), kind="stable", ignore_index=True)
    return whole[[key, "run", *whole.columns.drop([key, "run"])]]
