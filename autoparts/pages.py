"""One executed notebook as HTML: nbconvert with our own template, equations as MathML, code folded.

nbconvert's own pages load MathJax, require.js and mermaid from other hosts; this template extends its bare
`base` instead, so that a page asks for nothing.
"""

import getpass
import re
import tempfile
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import nbformat
import pandas as pd
from bs4 import BeautifulSoup
from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from papermill.inspection import inspect_notebook

from autoparts.display import table_html

TEMPLATE = Path(__file__).parent / "template"
FUNCTION = re.compile(r"<m[io]>([a-z]{2,})</m[io]>(?=(<mo[^>]*>&#x00028;)?)")


class Page(NamedTuple):
    """One notebook, ready for the report."""

    stem: str
    title: str
    summary: str
    contents: list[tuple[str, str]]
    body: str


def mathml(latex: str, display: str = "inline") -> str:
    r"""Turn LaTeX into MathML.

    Args:
        latex: the formula without its dollar signs.
        display: `"inline"` or `"block"`.

    Returns:
        A `<math>` element; a formula that cannot be converted stays readable as `<code class="latex">`.
    """
    # latex2mathml does not know aligned, would number the lines of align, and has \arg only in \argmax, \argmin.
    source = re.sub(r"\{align(ed)?\}", "{align*}", latex).replace(r"\arg\m", r"\argm")
    source = re.sub(r"\\(begin|end)\{equation\*?\}", "", source)
    try:
        element = convert(source.strip(), display=display)
        whole = "\\" not in "".join(ElementTree.fromstring(element).itertext())
    except Exception:  # each kind of bad input has an exception of its own
        whole = False
    if whole:
        return FUNCTION.sub(_spaced, element)
    return f'<code class="latex">{escape(latex.strip())}</code>'


def _spaced(function: re.Match[str]) -> str:
    """Space a function's name as TeX does: a thin space before it, and after it unless a parenthesis follows."""
    return f'<mo lspace="0.167em" rspace="{0 if function[2] else 0.167}em">{function[1]}</mo>'


def equation(latex: str) -> str:
    r"""Set a formula on a line of its own, with the number of its `\tag{…}` at the right."""
    tag = re.search(r"\\tag\*?\{([^}]*)\}", latex)
    formula = mathml(latex.replace(tag[0], "") if tag else latex, "block")
    number = f'<span class="equation-number">({escape(tag[1])})</span>' if tag else ""
    return f'<span class="equation" tabindex="0">{formula}{number}</span>'


class _Markdown(IPythonRenderer):
    """nbconvert's Markdown with MathML, and headings that are collected for the table of contents."""

    def __init__(self, headings: dict[str, tuple[int, str]], **options: Any) -> None:
        super().__init__(**options)
        self.headings = headings

    def block_math(self, body: str) -> str:
        return equation(body)

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        return equation(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def heading(self, text: str, level: int, **_: Any) -> str:
        plain = BeautifulSoup(text, "html.parser").get_text()
        slug = re.sub(r"\W+", "-", plain.lower()).strip("-") or "section"
        while slug in self.headings:
            slug += "-"
        if self.headings:  # a page has one h1: the notebook's first heading
            level = max(level, 2)
        self.headings[slug] = (level, plain)
        return f'<h{level} id="{escape(slug)}">{text}</h{level}>\n'


def read_page(path: Path) -> Page:
    """Convert an executed notebook.

    Args:
        path: the `.ipynb` file.

    Returns:
        The page's title (its first heading), first paragraph, sections and body.
    """
    notebook = nbformat.read(path, as_version=4)
    headings: dict[str, tuple[int, str]] = {}

    @pass_context
    def authored(context: Context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        options = {"escape": False, "attachments": attachments, "embed_images": True, "path": str(path.parent)}
        return MarkdownWithMath(renderer=_Markdown(headings, **options)).render(source)

    def shown(source: str) -> str:  # printed by code, so it may hold a category's name: no raw HTML
        return MarkdownWithMath(renderer=_Markdown(headings, escape=True)).render(source)

    exporter = HTMLExporter(
        preprocessors=[CoalesceStreamsPreprocessor],
        template_name=TEMPLATE.name,
        template_file="notebook.html.j2",
        extra_template_basedirs=[str(TEMPLATE.parent)],
        filters={
            "markdown2html": authored,
            "shown_markdown": shown,
            "without_progress": _without_progress,
            "without_scripts": _without_scripts,
        },
    )
    body, _ = exporter.from_notebook_node(notebook, {"parameters": _parameters(path, notebook)})
    title = next((text for level, text in headings.values() if level == 1), path.stem)
    if "<h1" not in body:
        body = f"<h1>{escape(title)}</h1>\n{body}"
    first = BeautifulSoup(body, "html.parser").find("p")
    contents = [(slug, text) for slug, (level, text) in headings.items() if level == 2]
    summary = " ".join(first.get_text().split()).removeprefix("Question. ") if first else ""
    return Page(path.stem, title, summary, contents, body)


def scrub(html: str, run_folder: Path) -> str:
    """Take the reader's folders out of a page: a report names no home directory and no user.

    Args:
        html: the page; pictures in it are left alone.
        run_folder: its path is shortened to its name.
    """
    shorter = {
        str(run_folder.resolve()): run_folder.name,
        str(TEMPLATE.parents[1]): ".",
        tempfile.gettempdir(): "…",
        str(Path.home()): "~",
    }
    literal = "|".join(re.escape(folder) for folder in sorted(shorter, key=len, reverse=True))
    user = re.escape(getpass.getuser())
    pattern = re.compile(
        rf"data:[\w/+.-]+;base64,[\w+/=]+|(?P<folder>{literal})(?![\w-])"
        rf"|(?:/(?:home|Users)/|[A-Z]:\\+Users\\+)[^/\\\s\"'<>&]+|/{user}(?=/)"
    )

    def replacement(match: re.Match[str]) -> str:
        if match["folder"]:
            return shorter[match["folder"]]
        return match[0] if match[0].startswith("data:") else "~"

    return pattern.sub(replacement, html)


def _parameters(path: Path, notebook: nbformat.NotebookNode) -> str:
    """Write the parameters of this run as a table, or nothing for a notebook without any."""
    given = notebook.metadata.get("papermill", {}).get("parameters", {})
    rows = [
        (name, repr(given[name]) if name in given else known["default"], known["help"])
        for name, known in inspect_notebook(str(path)).items()
    ]
    if not rows:
        return ""
    return table_html(pd.DataFrame(rows, columns=["name", "value", "meaning"]), "Parameters of this run")


def _without_progress(text: str) -> str:
    """Leave progress bars out of printed text."""
    return "\n".join(line for line in text.split("\n") if not re.search(r"\d+%\|.*\|", line)).strip()


def _without_scripts(html: str) -> str:
    return re.sub(r"<script\b.*?</script\s*>", "", html, flags=re.DOTALL | re.IGNORECASE)
