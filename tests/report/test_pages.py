import json
import re
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from tools import example_run

from autoparts.errors import UserError
from autoparts.report import pages
from autoparts.report.pages import harmless, mathml, read_page, scrub

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
MATH = r"(?s)`[^`]*`|\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$"


@pytest.fixture(scope="module")
def page(run):
    return read_page(run / "notebooks" / "03_siamese_contrastive.ipynb")


@pytest.fixture(scope="module")
def html(page):
    return BeautifulSoup(page.body, "html.parser")


def test_a_page_knows_its_title_summary_and_sections(page):
    assert (page.stem, page.title) == ("03_siamese_contrastive", "3 Contrastive loss")
    assert page.summary == "Which of two photos show the same part? About five minutes."
    assert page.contents[1:3] == [("the-distance-", "The distance"), ("a-second-title", "A second title")]


def test_formulas_become_mathml_and_code_is_left_alone(html):
    assert len(html.select("div.prose:not(.shown) math")) == 4
    assert html.select_one(".equation-number").text == "(2.9)"
    assert [code.text for code in html.select(".prose code")][:2] == ["$HOME", "$x$"]
    assert '<mo lspace="0.167em" rspace="0em">max</mo>' in mathml(r"a \max(b)")
    assert '<mo lspace="0.167em" rspace="0.167em">max</mo>' in mathml(r"\max_i b")


@pytest.mark.parametrize("latex", [r"\badmacro{x}", r"\begin{cases} a", r"{", r"a & b", r"\left( x"])
def test_a_formula_beyond_the_converter_stays_readable(latex):
    text = mathml(latex)
    if text.startswith('<code class="latex">'):
        assert BeautifulSoup(text, "html.parser").text == latex
    else:  # converted after all, then well-formed
        assert "badmacro" not in latex and ElementTree.fromstring(text) is not None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_converts_and_is_harmless(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    formulas = [block or inline for source in sources for block, inline in re.findall(MATH, source)]
    for formula in filter(None, formulas):
        made = mathml(formula)
        assert made.startswith("<math"), formula
        assert BeautifulSoup(harmless(made), "html.parser") == BeautifulSoup(made, "html.parser"), formula


def test_code_is_folded_and_parameters_are_a_table(html):
    assert all(not fold.has_attr("open") for fold in html.select("details.code"))
    rows = [[cell.text for cell in row.select("th, td")] for row in html.select(".parameters tbody tr")]
    assert rows[0] == ["epochs", "5", "passes over the photos"]
    assert rows[1][0] == "name" and example_run.HOSTILE in rows[1][1] and rows[1][2] == "a name"
    assert "epochs = 5" not in html.text


def test_progress_bars_and_widgets_are_dropped_and_other_outputs_kept(html):
    assert "█" not in html.text and "HBox" not in html.text
    assert html.find("img", alt='A black "box"').find_next("figcaption").text == "A box"
    assert html.find(id="fig_4_4").img["src"].startswith("data:image/png;base64,")
    assert html.select_one("table .best") and html.select_one("div.table[tabindex][role=region]")


def test_an_author_may_link_and_emphasise_and_an_output_may_not_link():
    link = '<p>See <a href="https://example.org/" onclick="x()">it</a> <em style="color:red">here</em></p>'
    assert harmless(link) == '<p>See <a href="https://example.org/" rel="noopener noreferrer">it</a> <em>here</em></p>'
    assert harmless(link, links=False) == "<p>See it <em>here</em></p>"


DANGEROUS = """<a href="javascript:alert(1)">x</a><a href=" java&#9;script:alert(1)">x</a><a href="file:///etc">x</a>
<a href="data:text/html,x">x</a><a href="da&#9;ta:text/html,x">x</a><img src="//x"><img src="data:text/html;base64,AA">
<scr<script></script>ipt>alert(1)</script><base href="https://x"><meta http-equiv="refresh" content="0"><link href="x">
<form action="//x"><input><button formaction="https://x">x</button></form><object data="x"></object><embed src="x">
<iframe srcdoc="<script>alert(1)</script>"></iframe><div style="background:url(https://x)" onmouseover="alert(1)">x
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
<svg><a xlink:href="javascript:alert(1)"><animate attributeName="href" values="javascript:alert(1)"/></svg>
<map name="m"><area href="https://x"></map><video src="https://x" poster="https://x"></video>"""


@pytest.mark.parametrize("html", DANGEROUS.split("\n"))
def test_what_runs_asks_or_leads_away_is_dropped(html):
    soup = BeautifulSoup(harmless(html), "html.parser")
    assert not soup.select(
        "script, iframe, object, embed, form, input, button, base, meta, link, style, svg, video, area"
    )
    for element in soup.find_all(True):
        assert not set(element.attrs) & {"href", "src", "style"}
        assert not any(name.startswith("on") or ":" in name for name in element.attrs)


@pytest.mark.parametrize("content", ["{}", '{"nbformat": 4}', '{"nbformat": 4, "nbformat_minor": 5, "cells": [7]}'])
def test_what_is_no_notebook_is_set_aside(content, tmp_path):
    path = tmp_path / "05_x.ipynb"
    path.write_text(content)
    with pytest.raises(UserError, match=r"05_x\.ipynb is .*set aside as 05_x\.ipynb\.damaged: run notebook 05"):
        read_page(path, "run notebook 05")
    assert not path.exists()


def test_home_folders_and_users_are_not_named(page, tmp_path, monkeypatch):
    html = scrub(page.body, tmp_path / "tiny")
    assert str(Path.home()) not in html and "somebody" not in html
    assert "~/a.jpg" in html and "~/parts/x.py" in html
    assert scrub(f"{tmp_path / 'tiny'}/figures and /data/x", tmp_path / "tiny") == "tiny/figures and /data/x"
    assert scrub("/mnt/nas/tmp/a '/tmp/x/a'", Path("/tmp/x")) == "/mnt/nas/tmp/a 'x/a'"
    monkeypatch.setattr(pages, "expanded", lambda _: PureWindowsPath(r"C:\Users\Jö Smith"))
    written = json.dumps([r"C:\Users\Jö Smith\a.jpg"], ensure_ascii=False)
    assert json.loads(scrub(written, tmp_path)) == [r"~\a.jpg"]
    picture = '<img src="data:image/png;base64,AA/home/somebody/AA==">'
    assert scrub(picture, tmp_path) == picture


def test_in_a_container_the_home_may_be_everything_and_the_user_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    script = "<br/> // a comment, /home/somebody/a.jpg"
    assert scrub(script, tmp_path) == "<br/> // a comment, ~/a.jpg"

    def nobody():
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert scrub(script, tmp_path) == "<br/> // a comment, ~/a.jpg"
