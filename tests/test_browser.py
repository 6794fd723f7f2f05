"""The report in a real browser, opened from disk with the network shut off."""

import os
import shutil
from pathlib import Path

import example_run
import pytest

from autoparts.report import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium found (it is required where CI is set)"
)

PAGES = ["index", "01_eda_pca", "03_siamese_contrastive"]
EXAMPLE = sorted((Path(__file__).parents[1] / "reports" / "example").glob("*.html"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = example_run.write(tmp_path_factory.mktemp("reports") / "tiny")
    render(folder)
    return folder


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
    """Open a page; the test fails on a request to a host, a console error or a dialog."""
    trouble, contexts = [], []

    def open_page(path, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)

        def guard(route):
            if route.request.url.startswith(("file:", "data:", "blob:")):
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
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble


def looks(page):
    """Show a page on a desk, on a phone and in the dark."""
    yield "1280 px"
    page.set_viewport_size({"width": 360, "height": 900})
    yield "360 px"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="dark")
    yield "dark"


def every_page(run):
    return [run / f"{stem}.html" for stem in PAGES] + EXAMPLE


def test_pages_are_whole_at_every_width_and_in_the_dark(run, visit):
    for path in every_page(run):
        page = visit(path)
        for look in looks(page):
            broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.hasAttribute('alt')).length"
            assert page.evaluate(broken) == 0, path.name
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path.name, look)


def test_no_formula_is_left_raw(run, visit):
    raw = r"""() => {
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
            const text = walker.currentNode;
            const quoted = text.parentElement.closest('code, pre, script');
            if (!quoted && /\$[^$]+\$|\\[a-z]+\{/.test(text.data)) found.push(text.data);
        }
        return found;
    }"""
    for path in every_page(run):
        page = visit(path)
        assert page.evaluate(raw) == [], path.name
        assert page.locator("code.latex").count() == 0


def test_axe_finds_no_violation(run, visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for path in every_page(run):
        page = visit(path)
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        for look in looks(page):
            result = axe.run(page)
            assert result.violations_count == 0, f"{path.name} {look}\n{result.generate_report()}"


def test_every_link_leads_somewhere(run, visit):
    links = "links => [...new Set(links.map(link => link.href))]"
    anchors = "() => [...document.querySelectorAll('[id]')].map(element => element.id)"
    targets, known = set(), {}
    for path in every_page(run):
        page = visit(path)
        targets.update(page.eval_on_selector_all("a[href]", links))
        known[path.as_uri()] = {"", *page.evaluate(anchors)}
    for target in targets:
        file, _, anchor = target.partition("#")
        assert anchor in known[file], target


def test_code_folds_by_mouse_and_keyboard(run, visit):
    page = visit(run / "03_siamese_contrastive.html")
    folds = page.locator("details.code")
    opened = page.locator("details.code[open]")
    assert opened.count() == 0
    folds.nth(1).locator("summary").click()
    assert opened.count() == 1 and page.get_by_text("show(pair)").is_visible()
    folds.nth(1).locator("summary").press("Enter")
    assert opened.count() == 0
    everything = page.get_by_role("button", name="Show all code")
    everything.press("Enter")
    assert opened.count() == folds.count() and everything.get_attribute("aria-pressed") == "true"
    everything.click()
    assert opened.count() == 0


def test_the_first_tab_skips_to_the_text(run, visit):
    page = visit(run / "03_siamese_contrastive.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def readings(page):
    return page.locator(".threshold").first.evaluate(
        """section => ({
            hit: section.querySelector('[data-count=hit]').textContent,
            accuracy: section.querySelector('[data-measure=accuracy]').textContent,
            wrong: section.querySelectorAll('.pairs .wrong').length,
            shown: section.querySelector('output').textContent,
        })"""
    )


def test_the_threshold_moves_counts_measures_and_pairs(run, visit):
    for stem in ("index", "03_siamese_contrastive"):
        page = visit(run / f"{stem}.html")
        still = readings(visit(run / f"{stem}.html", java_script_enabled=False))
        slider = page.get_by_role("slider", name="Threshold")
        assert readings(page) == still
        slider.press("End")
        assert readings(page) == {"hit": "200", "accuracy": "50.0%", "wrong": 6, "shown": "3.00"}
        slider.press("ArrowLeft")
        assert readings(page)["shown"] == "2.98"
        box = slider.bounding_box()
        page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
        assert readings(page) == {"hit": "0", "accuracy": "50.0%", "wrong": 6, "shown": "0.00"}
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
    assert answer.locator("li.right .verdict").first.inner_text().startswith("✓")


def test_without_a_script_the_page_still_says_everything(run, visit):
    page = visit(run / "index.html", java_script_enabled=False)
    assert page.locator(".answer").count() == 3
    assert page.locator(".threshold .pairs li").count() == 12
    assert not page.locator("input:visible, button:visible").count()


def test_it_prints_without_controls(run, visit):
    page = visit(run / "03_siamese_contrastive.html")
    page.emulate_media(media="print")
    assert not page.locator("header:visible nav:visible, .all-code:visible, details.code:visible").count()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_names_of_photos_run_nothing(run, visit):
    for stem in PAGES:
        page = visit(run / f"{stem}.html")
        page.wait_for_load_state()
        assert page.locator("img[src=x]").count() == 0
