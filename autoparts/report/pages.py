"""One executed notebook as HTML: nbconvert with our own template, equations as MathML, code folded, cleaned by nh3."""

import getpass
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import nbformat
import nh3
import pandas as pd
from bs4 import BeautifulSoup
from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from papermill.exceptions import PapermillException
from papermill.inspection import inspect_notebook

from autoparts.errors import UserError, read_json, set_aside
from autoparts.study.folder import expanded
from autoparts.study.tables import table_html

TEMPLATE = Path(__file__).parent / "template"  # nbconvert's own load MathJax, require.js and more from other hosts
TEMPORARY = "…"  # how a page calls the folder of temporary files
FUNCTION = re.compile(r"<m[io]>([a-z]{2,})</m[io]>")

# What a page may hold of a notebook. nh3 drops all else, and with it scripts, forms, frames, styles and handlers.
MATH = """math mrow mi mn mo mtext mspace mstyle mpadded mphantom menclose mfrac msqrt mroot msup msub msubsup
    mover munder munderover mtable mtr mtd"""
TAGS = nh3.ALLOWED_TAGS - {"map", "area"} | set(MATH.split())
ATTRIBUTES = """class id title role tabindex aria-label colspan rowspan scope start alt src href width height
    xmlns display displaystyle scriptlevel mathvariant mathsize lspace rspace stretchy fence form accent minsize maxsize
    movablelimits linethickness columnalign columnlines rowspacing columnspacing depth notation"""
SAFE = {
    "src": re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[\w+/=\s]*"),
    "href": re.compile(r"https?://\S*|mailto:\S*|(?:[\w%.-]+\.html)?(?:#\S*)?"),
}


class Page(NamedTuple):
    """One notebook, ready for the report."""

    stem: str
    title: str  # its first heading
    summary: str  # its first paragraph
    contents: list[tuple[str, str]]  # anchor and text of each section
    body: str
    made: list[str] | None = None  # tables that it wrote, in its run folder; None without an executed notebook


def harmless(html: str, links: bool = True) -> str:
    """Keep of HTML what is in the allow-list above, balanced; links stay links for an author, not in outputs."""
    return nh3.clean(
        html,
        tags=TAGS if links else TAGS - {"a"},
        attributes={"*": set(ATTRIBUTES.split())},
        attribute_filter=lambda _, name, value: value if name not in SAFE or SAFE[name].fullmatch(value) else None,
        url_schemes={"http", "https", "mailto", "data"},
    )


def mathml(latex: str, display: str = "inline") -> str:
    """Turn LaTeX, without its dollar signs, into a `<math>` element; display is "inline" or "block".

    A formula that cannot be converted stays readable as `<code class="latex">`.
    """
    # latex2mathml does not know aligned, would number the lines of align, and has \arg only in \argmax, \argmin.
    source = re.sub(r"\{align(ed)?\}", "{align*}", latex).replace(r"\arg\m", r"\argm")
    source = re.sub(r"\\(begin|end)\{equation\*?\}", "", source)
    try:
        element = convert(source.strip(), display=display)
        whole = "\\" not in "".join(ElementTree.fromstring(element).itertext())
    except Exception:  # each kind of bad input has an exception of its own
        whole = False
    if not whole:
        return f'<code class="latex">{escape(latex.strip())}</code>'
    # As TeX does: a thin space before a function's name, and after it unless a parenthesis follows.
    spaced = FUNCTION.sub(r'<mo lspace="0.167em" rspace="0.167em">\1</mo>', element)
    return re.sub(r'0\.167em(">[a-z]+</mo><mo[^>]*>&#x00028;)', r"0em\1", spaced)


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

    block_math = staticmethod(equation)
    inline_math = staticmethod(mathml)

    def latex_environment(self, name: str, body: str) -> str:
        """Set an environment such as align."""
        return equation(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def heading(self, text: str, level: int, **_: Any) -> str:
        """Write a heading with an anchor, and remember it."""
        plain = BeautifulSoup(text, "html.parser").get_text()
        slug = re.sub(r"\W+", "-", plain.lower()).strip("-") or "section"
        while slug in self.headings:
            slug += "-"
        if self.headings:  # a page has one h1: the notebook's first heading
            level = max(level, 2)
        self.headings[slug] = (level, plain)
        return f'<h{level} id="{escape(slug)}">{text}</h{level}>\n'


def read_page(path: Path, advice: str = "run it again") -> Page:
    """Convert an executed notebook; a UserError with the advice if it is missing or damaged, which is set aside."""
    content = read_json(path, advice)
    try:
        nbformat.validate(notebook := nbformat.v4.to_notebook(content))
    except (nbformat.ValidationError, AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path} is no notebook and was set aside as {set_aside(path).name}: {advice}") from None
    headings: dict[str, tuple[int, str]] = {}

    @pass_context
    def _authored(context: Context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=_Markdown(headings, escape=False, attachments=attachments)).render(source)

    def _shown(source: str) -> str:  # printed by code, so it may hold a category's name: no raw HTML
        return harmless(MarkdownWithMath(renderer=_Markdown(headings, escape=True)).render(source), links=False)

    exporter = HTMLExporter(
        preprocessors=[CoalesceStreamsPreprocessor],
        template_name=TEMPLATE.name,
        template_file="notebook.html.j2",
        extra_template_basedirs=[str(TEMPLATE.parent)],
        filters={
            "markdown2html": _authored,
            "shown_markdown": _shown,
            "without_progress": _without_progress,
            "harmless": lambda html: harmless(html, links=False),
        },
    )
    body = harmless(exporter.from_notebook_node(notebook, {"parameters": _parameters(path, notebook)})[0])
    title = next((text for level, text in headings.values() if level == 1), path.stem)
    if "<h1" not in body:
        body = f"<h1>{escape(title)}</h1>\n{body}"
    first = BeautifulSoup(body, "html.parser").find("p")
    contents = [(slug, text) for slug, (level, text) in headings.items() if level == 2]
    summary = " ".join(first.get_text().split()).removeprefix("Question. ") if first else ""
    written = dict(notebook.metadata.get("autoparts", {}).get("outputs", {}))
    made = [name for name in written if name.endswith(".csv") and (path.parents[1] / name).is_file()]
    return Page(path.stem, title, summary, contents, body, made)


def scrub(html: str, run_folder: Path) -> str:
    """Take the reader's folders out of a page, pictures aside: a report names no home directory and no user."""
    shorter = {
        str(run_folder.resolve()): run_folder.name,
        str(TEMPLATE.parents[2]): ".",
        tempfile.gettempdir(): TEMPORARY,
        str(home := expanded("~")): "~",
    }
    shorter |= {json.dumps(folder, ensure_ascii=False)[1:-1]: short for folder, short in shorter.items()}
    folders = sorted({*shorter} - {home.anchor, "~"}, key=len, reverse=True)  # in a container / may be one's home
    literal = "|".join(map(re.escape, folders))
    pattern = (
        rf"(?P<picture>data:[\w/+.-]+;base64,[\w+/=]+)|(?<![\w.-])(?P<folder>{literal})(?![\w-])"
        r"|(?:/(?:home|Users)/|[A-Z]:\\+Users\\+)[^/\\\s\"'<>&]+"
    )
    with suppress(KeyError, OSError):  # there, a user may have no name
        pattern += rf"|/{re.escape(getpass.getuser())}(?=/)"
    return re.sub(pattern, lambda match: match["picture"] or shorter.get(match["folder"], "~"), html)


def restored(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's parameters with what `scrub` shortened and `expanduser` does not know: temporary files."""
    texts = {name: value for name, value in parameters.items() if str(value).startswith(f"{TEMPORARY}/")}
    return {**parameters, **{name: tempfile.gettempdir() + text[len(TEMPORARY) :] for name, text in texts.items()}}


def _parameters(path: Path, notebook: nbformat.NotebookNode) -> str:
    given = {name: repr(value) for name, value in notebook.metadata.get("papermill", {}).get("parameters", {}).items()}
    try:
        declared = inspect_notebook(str(path))
    except (PapermillException, ValueError):  # it does not say in which language it is, or its name has braces
        declared = {}
    rows = [(name, given.get(name, known["default"]), known["help"]) for name, known in declared.items()]
    table = pd.DataFrame(rows, columns=["name", "value", "meaning"])
    return table_html(table, "Parameters of this run") if rows else ""


def _without_progress(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not re.search(r"\d+%\|.*\|", line)).strip()
