"""From a run folder to a report: an index and one page per notebook, each a single file that opens offline.

Nothing here computes or states a result: every number comes from a file of the run folder. What does not exist
is not shown; what is damaged is set aside, with one line on stderr, and the page goes without it.
"""

import base64
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autoparts.catalogue import printable
from autoparts.errors import UserError, read_json, set_aside, whole_file
from autoparts.report.pages import SAFE, TEMPLATE, read_page, scrub
from autoparts.study.pictures import figure_html
from autoparts.study.run import RESULTS_VERSION, run_folder
from autoparts.study.tables import read_table, table_html

PIECES = dict.fromkeys(("cnn", "contrastive", "triplet", "recommended"), "card.html.j2")
PIECES |= {"threshold": "threshold.html.j2", "lookalikes": "lookalikes.html.j2"}  # results, and what shows them
PIECES |= {name: f"answer_{name}.html.j2" for name in ("comparison", "finder", "beyond")}


def render(folder: Path) -> Path:
    """Write `index.html` and one page per executed notebook into a run folder; return the path of `index.html`.

    Any of what notebooks saved may be missing or damaged. UserError if there is no folder, or none to write to.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; make a run first: autoparts run --name NAME")
    jinja, frame = templates()
    shared = frame | _ingredients(folder, jinja)
    pages, slider = shared["pages"], str(shared["pieces"].get("threshold", ""))
    for page, before, after in zip(pages, [None, *pages], [*pages[1:], None], strict=False):
        body = re.sub(r'(?s)<figure[^>]* id="fig_4_4"[^>]*>.*?</figure>', lambda found: slider or found[0], page.body)
        facts = {"page": page, "body": Markup(body), "previous": before, "next": after}
        html = jinja.get_template("page.html.j2").render(shared | facts)
        publish(folder / f"{page.stem}.html", html)
    html = jinja.get_template("index.html.j2").render(shared)
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', html)
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in sections)
    publish(folder / "index.html", html.replace("<!-- contents -->", links))
    return folder / "index.html"


def templates() -> tuple[Environment, dict[str, Any]]:
    """Return the report's templates, and what `page.html.j2` needs besides the page and the run's facts."""
    jinja = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["percent"] = lambda share, digits=1: f"{share:.{digits}%}"
    jinja.filters["thousands"] = "{:,}".format
    jinja.filters["photo"] = lambda source: SAFE["src"].fullmatch(source)[0]  # an address would be asked for
    jinja.filters["rows"] = lambda columns: pd.DataFrame(columns).to_dict("records")
    style, script = (Markup((TEMPLATE / name).read_text("utf-8")) for name in ("style.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return jinja, {"style": style, "script": script, "script_hash": digest}


def _ingredients(folder: Path, jinja: Environment) -> dict[str, Any]:
    """Read what the notebooks left: pages, run facts, figures, tables, results, and what templates make of results."""
    notebooks = sorted(path for path in folder.glob("notebooks/[!.]*.ipynb") if path.is_file())
    executed = [path for path in notebooks if not path.name.endswith(".failed.ipynb")]
    failed = {path.name.removesuffix(".failed.ipynb") for path in notebooks if path not in executed}
    name = folder.name if run_folder(folder.name) == folder else str(folder.resolve())
    again = f"autoparts run --name {shlex.quote(name)}{_data(folder)}"
    read = partial(_read, _advice(again, executed))
    results = read(folder.glob("results/[!.]*.json"), read_json)
    old = [name for name, result in results.items() if result.get("version") != RESULTS_VERSION]
    if old:
        told = f"{folder}: another version of autoparts wrote the results {', '.join(old)}; they are left out"
        _say(f"{told}. Make them again: {again} --restart")
    results = {name: result for name, result in results.items() if name not in old}
    used = [folder / "results" / f"{name}.json" for name in PIECES if name in results]
    strict = jinja.overlay(undefined=StrictUndefined)
    pieces = read(used, lambda path, _: Markup(strict.get_template(PIECES[path.stem]).render(data=results[path.stem])))
    facts = read(folder.glob("run.json"), read_json).get("run", {})
    figures, tables = folder.glob("figures/[!.]*.png"), folder.glob("tables/[!.]*.json")
    return {
        "pages": list(read(executed, read_page).values()),
        "failed": failed,
        "run": {"name": folder.name} | results.get("data", {}) | facts,
        "figures": read(figures, lambda path, _: Markup(figure_html(path.read_bytes(), path.stem))),
        "tables": read(tables, _table),
        "results": {name: results[name] for name in pieces},
        "pieces": pieces,
    }


def _table(facts: Path, advice: str) -> Markup:
    """Read a table by the JSON beside it, with a link to its CSV."""
    path = facts.with_suffix(".csv")
    link = f'<p class="byline"><a href="tables/{quote(path.name)}" download>CSV</a></p>'
    return Markup(table_html(*read_table(path, advice)) + link)


def _data(folder: Path) -> str:
    """The option that names the photos of a run; none for generated ones, which a command takes by itself."""
    facts: dict[str, Any] = {}
    with suppress(OSError, ValueError, TypeError):  # it is read, and damage told, with the other results
        facts |= json.loads((folder / "results" / "data.json").read_bytes())
    return "" if facts.get("generated", True) else f" --data {shlex.quote(str(facts.get('data')))}"


def _advice(command: str, notebooks: list[Path]) -> dict[str, str]:
    """Say how each notebook, and each figure, table and result that its code saves, is made again; "" is any other."""
    saving = re.compile(r"""(?:\.(?:show|table|save|save_result)\(|\(run,)(?:\\n|[\s",\\'])*([a-z]\w*)\\?["']""")
    advice = {"": command}
    for path in reversed(notebooks):
        made = [path.stem, *saving.findall(path.read_text("utf-8", "replace"))]
        again = f"run notebook {path.stem} again, with the parameters it had: {command} --only {path.stem[:2]}"
        advice |= dict.fromkeys(made, again)
    return advice


def _read(advice: dict[str, str], paths: Iterable[Path], how: Callable[[Path, str], Any]) -> dict[str, Any]:
    """Read files; of one that is damaged say so, and go without it."""
    found = {}
    for path in sorted(paths):
        again = advice.get(path.stem, advice[""])
        try:
            found[path.stem] = how(path, again)
        except UserError as error:
            _say(str(error))
        except Exception as error:  # Pillow, Jinja and nbconvert have many kinds for many ways of damage
            aside = "" if path.suffix == ".ipynb" else f" and was set aside as {set_aside(path).name}"
            _say(f"{path} cannot be shown{aside} ({type(error).__name__}): {again}")
    return found


def publish(path: Path, html: str) -> None:
    """Write a page whole or not at all, without the reader's folders; see `scrub`."""
    with whole_file(path) as unfinished:
        unfinished.write_text(scrub(html, path.parent), "utf-8", "backslashreplace")


def _say(message: str) -> None:
    """Print one line; a file's name cannot move the cursor in it."""
    print(printable(message), file=sys.stderr)
