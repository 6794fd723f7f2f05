"""The report in a real browser, opened from disk with the network shut off."""

import os
import re
import shutil

import pytest
from tools import example_run

from autoparts.report.index import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium found (it is required where CI is set)"
)
PAGES = ["index", "01_eda_pca", "03_siamese_contrastive"]
TEXTS = """
<script>alert(1)</script>  <scr<script></script>ipt>alert(1)</script>  </script><script>alert(1)</script>
<img src=x onerror=alert(1)>  "><img src=x onerror=alert(1)>  '><svg onload=alert(1)>  <svg/onload=alert(1)>
<iframe src=https://example.org></iframe>  <iframe srcdoc='<script>parent.alert(1)</script>'></iframe>
<meta http-equiv=refresh content='0;url=https://example.org'>  <base href=https://example.org/>
<form action=https://example.org><button autofocus>x</button></form>  <input autofocus onfocus=alert(1)>
<a href=javascript:alert(1)>x</a>  [x](javascript:alert(1))  ![x](https://example.org/x.png)
<link rel=stylesheet href=https://example.org/x.css>  <style>@import 'https://example.org/x.css';</style>
<object data=https://example.org></object>  <video src=https://example.org onerror=alert(1)></video>
<details open ontoggle=alert(1)>x</details>  <math><mtext><style><img src=x onerror=alert(1)></style>
{{ 7 * 7 }}{% raw %}${alert(1)}`  javascript:alert(1)  \\text{<img src=x onerror=alert(1)>}$$x$$ --><!--
"""
HOSTILE = re.split(r"  |\n", TEXTS.strip())


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page; the test fails on a request to a host, a console error, a dialog or a navigation."""
    trouble, contexts = [], []

    def open_page(path, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)

        def guard(route):
            if route.request.url.startswith(("data:", path.as_uri())):
                route.continue_()
            else:
                trouble.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        page = context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        page.on("framenavigated", lambda frame: "#" in frame.url or trouble.append(frame.url))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble


def looks(page):
    """Show a page on a desk, on a phone and in the dark."""
    yield "1280 px"
    page.set_viewport_size({"width": 390, "height": 900})
    yield "390 px"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="dark")
    yield "dark"


RUNS = "main :is(script:not([type]), iframe, form, object, base, meta, link, style, video), [onerror], [onload]"


def test_twenty_five_hostile_strings_in_every_place_are_shown_as_text(visit, tmp_path):
    assert len(HOSTILE) == 25
    names = [text.replace("/", "∕") for text in HOSTILE]
    titles = [names[place] for place in (0, 4, 5, 14, 22, 24)]  # of notebooks, and of their files
    folder = example_run.write(tmp_path / names[4], HOSTILE)
    for name in titles:
        example_run.write_notebook(folder, name, f"# {name}\n\n{name}", [], [])
    render(folder)
    for path in sorted(folder.glob("*.html")):
        page = visit(path)
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        page.wait_for_timeout(20)
        assert page.locator(RUNS).count() == 0, path.name
        targets = page.evaluate("[...document.querySelectorAll('[href], [src]')].map(e => e.href || e.src)")
        assert all(target.startswith((folder.as_uri(), "data:", "https://example.org/thesis")) for target in targets)
        if path.stem in ("index", "03_siamese_contrastive"):
            text = page.locator("body").text_content()
            assert [name for name in HOSTILE if name not in text] == []
            page.get_by_role("slider").press("End")
        if path.stem == "index":
            assert page.locator(".pages a:not([download])").count() == len(titles) + 2
            page.locator(".queries input").nth(4).click()


def test_pages_are_whole_at_every_width_and_in_the_dark(run, visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for stem in PAGES:
        page = visit(run / f"{stem}.html")
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        for width in (1300, 1279, 1200, 900, 700):  # on both sides of where the layout changes
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (stem, width)
        page.set_viewport_size({"width": 1280, "height": 900})
        for look in looks(page):
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (stem, look)
            result = axe.run(page)
            assert result.violations_count == 0, f"{stem} {look}\n{result.generate_report()}"


def test_a_wide_table_leaves_the_column_keeps_its_first_column_and_is_printed_whole(run, visit):
    page = visit(run / "index.html")
    table, first = page.locator("main > .table"), page.locator("main > .table tbody th").first
    assert table.bounding_box()["width"] > page.locator("main > p").first.bounding_box()["width"]
    page.set_viewport_size({"width": 390, "height": 900})
    assert table.evaluate("table => { table.scrollLeft = 200; return table.scrollLeft; }") > 0
    assert first.bounding_box()["x"] >= 0
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 673, "height": 900})  # A4 within its margins
    cut = "[...document.querySelectorAll('table')].filter(table => table.getBoundingClientRect().right > innerWidth)"
    assert page.evaluate(f"{cut}.length") == 0


def test_code_folds_and_the_first_tab_skips_to_the_text(run, visit):
    page = visit(run / "03_siamese_contrastive.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    folds, opened = page.locator("details.code"), page.locator("details.code[open]")
    folds.nth(1).locator("summary").click()
    assert opened.count() == 1 and page.get_by_text("for pair in pairs").is_visible()
    folds.nth(1).locator("summary").press("Enter")
    assert opened.count() == 0
    everything = page.get_by_role("button", name="Show all code")
    everything.press("Enter")
    assert opened.count() == folds.count() and everything.get_attribute("aria-pressed") == "true"


def readings(page):
    section = page.locator("section.threshold").first
    shown = section.locator("[data-shown]").all_text_contents()
    return [*shown, section.locator("output").text_content(), section.locator(".pairs .wrong").count()]


def test_the_slider_looks_up_counts_measures_and_pairs(run, visit):
    for stem in ("index", "03_siamese_contrastive"):
        page = visit(run / f"{stem}.html")
        still = readings(visit(run / f"{stem}.html", java_script_enabled=False))
        slider = page.get_by_role("slider", name="Threshold")
        assert readings(page) == still
        slider.press("End")
        assert readings(page) == ["75.0%", "50.0%", "100.0%", "60.0%", "1,500", "0", "30", "0", "3.00", 5]
        slider.press("ArrowLeft")
        assert readings(page)[-2] == slider.get_attribute("aria-valuetext") == "2.90"
        page.get_by_role("button", name="Chosen").click()
        assert readings(page) == still


def test_a_look_alike_is_picked_by_mouse_and_keyboard(run, visit):
    page = visit(run / "index.html")
    photos, answer = page.locator(".queries input"), page.locator(".answer")
    assert photos.count() == 10 and answer.count() == 1
    photos.nth(1).click()
    assert f"Test photo: {example_run.HOSTILE}" in answer.inner_text()
    photos.nth(1).press("ArrowRight")
    assert "Test photo: =HYPERLINK(1)" in answer.inner_text()
    assert answer.locator("li.right").count() + answer.locator("li.wrong").count() == 15


def test_without_a_script_and_on_paper_the_page_still_says_everything(run, visit):
    page = visit(run / "index.html", java_script_enabled=False)
    assert page.locator(".answer").count() == 3 and page.locator(".threshold .pairs li").count() == 12
    assert not page.locator("input:visible, button:visible").count()
    page.emulate_media(media="print")
    assert not page.locator("header:visible nav:visible, .all-code:visible, details.code:visible").count()
    assert page.pdf(format="A4").startswith(b"%PDF")
