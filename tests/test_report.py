import json
import re
from pathlib import Path
from xml.etree import ElementTree

import example_run
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from autoparts import display
from autoparts.pages import mathml, scrub
from autoparts.report import confusion, render

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MATH = r"(?s)`[^`]*`|\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = example_run.write(tmp_path_factory.mktemp("reports") / "tiny")
    render(folder)
    return folder


def page(run, stem="03_siamese_contrastive"):
    return BeautifulSoup((run / f"{stem}.html").read_text("utf-8"), "html.parser")


def test_every_executed_notebook_has_a_page_and_failed_ones_have_none(run):
    assert {path.stem for path in run.glob("*.html")} == {"index", "01_eda_pca", "03_siamese_contrastive"}
    assert "02_cnn_baseline, failed" in page(run, "index").select_one(".missing").text


def test_nothing_half_written_is_left(run):
    assert not list(run.rglob(".*"))


def test_same_input_same_bytes(run, tmp_path):
    other = example_run.write(tmp_path / "tiny")
    render(other)
    for path in sorted(run.rglob("*.*")):
        assert path.read_bytes() == (other / path.relative_to(run)).read_bytes(), path.name


@pytest.mark.parametrize("stem", ["index", "01_eda_pca", "03_siamese_contrastive"])
def test_a_page_asks_no_host_for_anything(run, stem):
    html = page(run, stem)
    assert html.html["lang"] == "en" and html.title.text
    assert len(html.select("h1")) == 1
    for element in html.select("[src], link[href]"):
        assert element.get("src", element.get("href")).startswith("data:")
    for link in html.select("a[href]"):
        target, _, anchor = link["href"].partition("#")
        assert (run / target).is_file() if target else html.find(id=anchor), link


def test_pages_lead_on_and_back(run):
    first, last = page(run, "01_eda_pca"), page(run)
    assert first.select_one("header [rel=next]")["href"] == "03_siamese_contrastive.html"
    assert last.select_one("header [rel=prev]")["href"] == "01_eda_pca.html"
    assert not first.select("[rel=prev]") and not last.select("[rel=next]")
    assert [link["href"] for link in last.select(".contents a")] == [
        "#the-distance",
        "#the-distance-",
        "#a-second-title",
    ]


def test_formulas_become_mathml_and_code_is_left_alone(run):
    html = page(run)
    assert len(html.select("math")) == 5
    assert html.select_one(".equation-number").text == "(2.9)"
    assert [code.text for code in html.select(".prose code")] == ["$HOME", "$x$"]
    assert not html.select("code.latex")


@pytest.mark.parametrize("latex", [r"\badmacro{x}", r"\begin{cases} a", r"{", r"a & b", r"\left( x"])
def test_a_formula_beyond_the_converter_stays_readable(latex):
    text = mathml(latex)
    if not text.startswith('<code class="latex">'):
        ElementTree.fromstring(text)  # converted after all, then well-formed
    else:
        assert BeautifulSoup(text, "html.parser").text == latex


def test_an_unknown_command_is_not_shown_as_mathml():
    assert mathml(r"\badmacro{x}") == r'<code class="latex">\badmacro{x}</code>'


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_converts(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    formulas = [block or inline for source in sources for block, inline in re.findall(MATH, source)]
    for formula in filter(None, formulas):
        assert mathml(formula).startswith("<math"), formula


def test_code_is_folded_and_parameters_are_a_table(run):
    html = page(run)
    assert all(not fold.has_attr("open") for fold in html.select("details.code"))
    rows = html.select(".parameters tbody tr")
    assert [[cell.text for cell in row.select("th, td")] for row in rows] == [
        ["epochs", "5", "passes over the photos"],
        ["name", "'x'", "a name"],
    ]
    assert "epochs = 5" not in html.text


def test_progress_bars_widgets_and_scripts_of_outputs_are_dropped(run):
    html = (run / "03_siamese_contrastive.html").read_text("utf-8")
    assert "█" not in html and "HBox" not in html and "<script>alert" not in html


def test_alternative_text_and_caption_survive(run):
    html = page(run)
    figure = html.find(id="fig_4_4")
    assert figure.img["alt"] == f"A line that rises, {example_run.HOSTILE}"
    assert figure.figcaption.text == "Fig fig_4_4: a walk <b>"
    assert html.find("img", alt='A black "box"').find_next("figcaption").text == "A box"


def test_hostile_names_are_text(run):
    for stem in ("index", "03_siamese_contrastive"):
        html = page(run, stem)
        assert not html.find("img", src="x")
        assert example_run.HOSTILE in html.text
        assert len(html.select("script:not([type])")) == 1


def test_home_folders_and_users_are_not_named(run):
    html = (run / "03_siamese_contrastive.html").read_text("utf-8")
    assert str(Path.home()) not in html and "somebody" not in html
    assert "~/a.jpg" in html and "~/parts/x.py" in html
    assert scrub(f"{run}/figures and /data/x", run) == "tiny/figures and /data/x"
    picture = '<img src="data:image/png;base64,AA/home/somebody/AA==">'
    assert scrub(picture, run) == picture


def test_generated_data_is_said_at_the_top(run):
    assert "These photos are generated" in page(run, "index").select_one(".note").text


def test_a_run_without_anything_still_has_an_index(tmp_path):
    html = BeautifulSoup(render(tmp_path).read_text("utf-8"), "html.parser")
    assert not html.select(".note, figure, table, .live")
    assert "Not in this run" in html.text


def test_a_missing_run_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        render(tmp_path / "nowhere")


def test_confusion_counts_pairs_at_the_threshold_as_similar():
    counts = confusion([0.5, 1.0, 3.0], [1.0, 2.0], 1.0)
    assert [counts[name] for name in ("hit", "miss", "false_alarm", "rejection")] == [2, 1, 1, 1]
    assert counts["accuracy"] == 3 / 5 and counts["precision"] == counts["recall"] == counts["f1"] == 2 / 3
    assert confusion([1.0], [1.0], 0.5)["precision"] is None


def table(frame, **options):
    return BeautifulSoup(display.table_html(frame, "A <table>", **options), "html.parser")


def test_a_table_has_caption_scopes_and_escaped_cells():
    html = table(pd.DataFrame({"name": [example_run.HOSTILE, "b"], "photos": [12345, 2]}))
    assert html.caption.text == "A <table>"
    assert [cell["scope"] for cell in html.select("th")] == ["col", "col", "row", "row"]
    assert html.select_one("tbody th").text == example_run.HOSTILE
    assert html.select_one("td.number").text == "12,345"
    assert html.div["role"] == "region" and html.div["tabindex"] == "0"


def test_numbers_missing_values_and_an_index_are_shown():
    frame = pd.DataFrame({"share": [0.12345, None], "sure": [True, False]}, index=pd.Index(["a", "b"], name="model"))
    html = table(frame, formats={"share": "{:.1%}"})
    assert [cell.text for cell in html.select("thead *[scope]")] == ["model", "share", "sure"]
    assert [cell.text for cell in html.select("td")] == ["12.3%", "yes", "–", "no"]


def test_the_best_value_is_marked_by_more_than_colour():
    html = table(pd.DataFrame({"m": ["a", "b", "c"], "loss": [2.0, 1.0, 1.0]}), best={"loss": "min"})
    assert [cell.parent.parent.th.text for cell in html.select("strong.best")] == ["b", "c"]
    assert "best" in html.select_one("strong.best span")["aria-label"]


def test_columns_of_figures_are_right_aligned_and_an_empty_table_says_so():
    frame = pd.DataFrame({"m": ["a", "b"], "interval": ["+1.2% to 3.4%", "–"], "n": [1, None], "word": ["1", "one"]})
    aligned = [cell.text for cell in table(frame).select("thead .number")]
    assert aligned == ["interval", "n"]
    assert table(frame.head(0)).select_one("td").text == "none"


def test_a_figure_is_sharp_small_and_keeps_its_texts(tmp_path):
    figure, axes = plt.subplots(figsize=(7.2, 2))
    axes.imshow(np.random.default_rng(0).random((20, 20)), cmap="gray")
    html = BeautifulSoup(display.save_figure(tmp_path, "f", figure, "A caption", "What it shows").data, "html.parser")
    assert (html.img["width"], html.img["height"]) == ("720", "200")
    with Image.open(tmp_path / "figures" / "f.png") as image:
        assert image.size == (1440, 400) and image.mode == "L"
        assert image.text == {"Title": "A caption", "Description": "What it shows"}
    assert not plt.get_fignums()


def test_formats_and_best_of_other_columns_are_not_used():
    html = table(pd.DataFrame({"m": ["a"], "n": [1]}), formats={"lost": "{:.1%}"}, best={"lost": "max"})
    assert [cell.text for cell in html.select("tbody *[scope], td")] == ["a", "1"]


def test_csv_text_is_no_formula_and_numbers_stay_numbers(tmp_path):
    frame = pd.DataFrame({"name": ["=1+1", "-4", "@x", "a"], "value": [-1.5, 2, 3, 4]})
    display.save_table(tmp_path, "t", frame, "T")
    lines = (tmp_path / "tables" / "t.csv").read_text().splitlines()
    assert lines == ["name,value", "'=1+1,-1.5", "-4,2.0", "'@x,3.0", "a,4.0"]
    assert "'=1+1" not in (tmp_path / "tables" / "t.html").read_text()
