"""The page to drop photos on: what it says and keeps, and that it works in a browser without asking any other host."""

import csv
import dataclasses
import os
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from autoparts import catalogue
from autoparts.__main__ import main
from autoparts.errors import UserError

pytest_plugins = "finder_files"
page = pytest.importorskip("autoparts.finder.page", exc_type=UserError)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = ["<img src=x onerror=alert(1)>", "${alert(1)}", "{{7*7}}", "</li><script>alert(1)</script>"]


@pytest.fixture(scope="module")
def known(here):
    """A finder that takes every photo for a known part."""
    return dataclasses.replace(here, threshold=-9e9)


@pytest.fixture(scope="module")
def strict(known):
    """A finder that refuses every photo, was trained on drawings, and has hostile names."""
    return dataclasses.replace(known, threshold=9e9, categories=HOSTILE, facts=known.facts | {"generated": True})


@pytest.fixture(scope="module")
def photos(study, tmp_path_factory):
    """Paths of two photos and of a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [Path(shutil.copy(path, folder)) for path in study.subset("test")["path"][:2]]
    (folder / "<b>none.jpg").write_bytes(b"no photo")
    return [*map(str, paths), str(folder / "<b>none.jpg")]


def test_one_photo_is_answered_as_the_finder_does_and_two_together(known, photos):
    first, second = (known.identify(photo, top=4) for photo in photos[:2])
    assert page.together([first], top=4) == first
    both = page.together([first, second], top=4)
    chances = [dict(each.names) for each in (first, second)]
    assert dict(both.names) == pytest.approx({name: (chances[0][name] + chances[1][name]) / 2 for name in chances[0]})
    assert both.score == max(first.score, second.score)
    assert len({near.thumbnail for near in both.nearest}) == len(both.nearest) == 4
    refused = second._replace(known=False)
    assert page.together([first, refused]).known and not page.together([refused, refused]).known
    assert page.together([first, refused], top=4).names == first.names  # whose names alone are trusted


def test_an_answer_in_html_tells_names_look_alikes_and_what_is_no_photo(known, photos):
    html, best = page.answer(known, photos), page.together([known.identify(photo, 4) for photo in photos[:2]]).names[0]
    assert f"{best.category} <small>{best.confidence:.0%} sure" in html and html.count("data:image/jpeg") == 5
    assert "<strong>&lt;b&gt;none.jpg</strong> cannot be read: not a photo of a known format." in html
    assert f"“{best.category}”" in page.region(known, photos) and "Of 2 photos" in page.region(known, photos)
    assert page.region(known, photos[2:]) == "" and "verdict" not in page.answer(known, photos[2:])


def test_a_refusal_and_a_warning_are_told_and_names_are_escaped(strict, photos):
    html = page.answer(strict, photos[:1]) + page.region(strict, photos[:1])
    assert "Nothing like it in the catalogue" in html and "knows drawn parts only" in html
    assert "sure</small>" not in html
    assert "<img src=x" not in html and "<script" not in html and "&lt;img src=x onerror=alert(1)&gt;" in html


def test_photos_that_are_kept_are_a_manifest_in_which_the_last_word_counts(photos, tmp_path):
    page.keep(photos[:2], "Pump", tmp_path)
    table = tmp_path / "feedback.csv"
    table.write_text(table.read_text().replace("category", "category,product").replace("Pump", "Pump,a pump"))
    saved = table.read_text().replace(",", ";")
    table.write_text("\ufeff" + saved, "utf-8")  # as a spreadsheet may save it
    page.keep(photos[1:2], 'a "Wheel", <b>', tmp_path)
    rows = list(csv.DictReader(table.open()))
    assert [(row["category"], row["product"]) for row in rows] == [("Pump", "a pump"), ('a "Wheel", <b>', "")]
    assert [(tmp_path / row["path"]).read_bytes() for row in rows] == [Path(path).read_bytes() for path in photos[:2]]
    assert len(list(tmp_path.glob("[!.]*"))) == 3
    with ThreadPoolExecutor() as pages:  # of two at once neither loses a row
        list(pages.map(lambda photo: page.keep([photo], "Wheel", tmp_path), photos * 3))
    assert len(table.read_text().splitlines()) == len(photos) + 1


def sent(finder, folder, photos, name):
    """What the page says of photos that their giver names, and lets it keep."""
    learn = next(each.fn for each in page.build(finder, folder).fns.values() if each.name == "learn")
    return str(learn([(photo, None) for photo in photos], name, True))


def test_a_name_reaches_the_finder_as_it_was_chosen_and_no_formula_the_table(known, photos, tmp_path):
    finder = dataclasses.replace(known, categories=["Whe\u200eel", *known.categories[1:]])
    table = tmp_path / "feedback.csv"
    assert "photos are gone" in sent(finder, tmp_path, [str(tmp_path / "gone.jpg")], "Pump") and not table.exists()
    assert "a formula" in sent(finder, tmp_path, photos[:1], '=HYPERLINK("http://elsewhere")') and not table.exists()
    assert "Nothing is kept yet" in sent(finder, tmp_path, photos[:1], "\u200d") and not table.exists()
    assert "Photos kept: 1" in sent(finder, tmp_path, photos[:1], "Whe\u200eel")
    assert catalogue.read_catalogue(str(table))["category"].tolist() == ["Whe\u200eel"]
    for emptied in ("path,category\n", "path,category\r\n\r\n", "path;category\n;\n"):
        table.write_text(emptied)
        assert "Photos kept: 1" in sent(finder, tmp_path, photos[1:2], "Pump")
        assert catalogue.read_catalogue(str(table))["category"].tolist() == ["Pump"]
    table.write_text("no,table\n1,2\n")
    before = {*tmp_path.iterdir()}
    assert "not a CSV table" in sent(finder, tmp_path, photos[:1], "Pump") and {*tmp_path.iterdir()} == before


def test_nothing_is_fetched_from_where_a_request_says(known, monkeypatch):
    httpx, safehttpx = pytest.importorskip("httpx"), pytest.importorskip("safehttpx")
    asked, served = [], page.launch(known, None)
    monkeypatch.setattr(safehttpx, "async_validate_url", lambda host: asked.append(host) or 1 / 0)
    photo = {"image": {"path": "https://elsewhere.test/a.jpg", "meta": {"_type": "gradio.FileData"}}, "caption": None}
    with httpx.Client(base_url=served.local_url, timeout=30) as client:
        assert client.get("gradio_api/file=https://elsewhere.test/a.jpg").status_code == 403
        job = {"data": [[photo]], "fn_index": 0, "session_hash": "me"}
        assert client.post("gradio_api/queue/join", json=job).status_code == 200
        with client.stream("GET", "gradio_api/queue/data", params={"session_hash": "me"}) as told:
            said = next(line for line in told.iter_lines() if "process_completed" in line)
    served.close()
    assert '"success":false' in said.replace(" ", "") and not asked


def test_others_need_a_password(known, path, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("AUTOPARTS_PASSWORD", raising=False)
    assert main(["serve", "--run", str(path), "--host", "0.0.0.0"]) == 2 and "--password" in capsys.readouterr().err
    httpx, told = pytest.importorskip("httpx"), []

    def visit(served):
        with httpx.Client(base_url=served.local_url) as client:
            told.append(client.get("config").status_code)
            for given in ("wrong", "secret"):
                told.append(client.post("login", data={"username": "me", "password": given}).status_code)
            told.append(client.get("config").status_code)
        served.close()

    for name, value in {"no_proxy": "", "NO_PROXY": "", "AUTOPARTS_PASSWORD": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(page.gradio.Blocks, "block_thread", visit)
    page.serve(known, tmp_path, "127.0.0.1", None, None, "USB Stick")
    assert told == [401, 400, 200, 200]
    assert os.environ["no_proxy"].startswith("localhost,127.0.0.1,::1,127.0.0.1,")  # a proxy would be asked for it
    monkeypatch.setattr(page, "launch", lambda *given, **options: launched.append(options) or server)
    launched, server = [], SimpleNamespace(local_url="http://localhost", block_thread=lambda: None)
    page.serve(known, tmp_path, "0.0.0.0", None, "given", "./USB Stick")
    asked = launched.pop()["auth"]
    assert asked("me", "given") and not asked("me", "secret")
    monkeypatch.delenv("AUTOPARTS_PASSWORD")
    for host in ("localhost", "::1"):  # which nobody else can reach
        page.serve(known, tmp_path, host, None, None, "./USB Stick")
    assert [(options["server_name"], options["auth"]) for options in launched] == [("localhost", None), ("[::1]", None)]
    again = f"autoparts teach --run './USB Stick' {tmp_path / 'feedback.csv'}; then start the page again\n"
    assert capsys.readouterr().out.endswith(again)


def test_a_port_or_a_folder_that_cannot_be_is_told(known, photos, tmp_path):
    for port in (0, 70_000):
        with pytest.raises(UserError, match=rf"nothing can listen at 127\.0\.0\.1, port {port}"):
            page.serve(known, tmp_path, "127.0.0.1", port, None, "mine")
    with pytest.raises(UserError, match="is no folder; choose another"):
        page.serve(known, Path(photos[0]), "127.0.0.1", None, None, "mine")


def test_without_gradio_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "autoparts.finder.page")
    with pytest.raises(UserError, match=r"pip install 'autoparts\[web\]'"):
        __import__("autoparts.finder.page")


@pytest.fixture
def visit(monkeypatch):
    """Serve a finder's page and open it; the test fails on a request to another host, a dialog or an error."""
    if CHROMIUM is None and "CI" not in os.environ:
        pytest.skip("no Chromium found (it is required where CI is set)")
    sync_api, connect, trouble, served = pytest.importorskip("playwright.sync_api"), socket.socket.connect, [], []

    def watched(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            trouble.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)

        def open_page(finder, feedback):
            served.append(page.launch(finder, feedback))
            tab = chromium.new_page(viewport={"width": 1100, "height": 900})
            tab.set_default_timeout(60_000)
            near = (served[0].local_url, "data:", "blob:")
            tab.on("request", lambda request: request.url.startswith(near) or trouble.append(request.url))
            tab.on("pageerror", lambda error: trouble.append(str(error)))
            tab.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
            tab.goto(served[0].local_url)
            return tab

        yield open_page
        chromium.close()
    served[0].close()
    assert not trouble


def drop(tab, paths):
    tab.locator("input[type=file]").first.set_input_files(paths)
    tab.locator("figure").wait_for()


def assert_whole(tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width in (1100, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        result = axe.run(tab, options={"rules": {"nested-interactive": {"enabled": False}}})  # Gradio's upload button
        assert result.violations_count == 0, f"{width}\n{result.generate_report()}"


def test_photos_are_dropped_answered_and_kept_with_consent(known, photos, visit, tmp_path):
    tab = visit(known, tmp_path / "kept")
    drop(tab, photos[:1])
    best = known.identify(photos[0], 1).names[0].category
    assert tab.locator(".verdict").inner_text().startswith(best) and "photos, this one" not in tab.content()
    assert_whole(tab)
    drop(tab, photos[1:2])  # is added to the first
    tab.get_by_text("Of 2 photos, this one").wait_for()
    tab.get_by_label("It was a …").fill("Left Hose")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Send").click()
    tab.get_by_text("Nothing is kept yet").wait_for()
    assert not (tmp_path / "kept").exists()
    tab.get_by_role("checkbox").check()
    tab.get_by_role("button", name="Send").click()
    tab.get_by_text("Photos kept: 2").wait_for()
    found = catalogue.read_catalogue(str(tmp_path / "kept" / "feedback.csv"))
    assert found["category"].tolist() == ["Left Hose"] * 2


def test_a_refusal_with_hostile_names_in_a_browser(strict, photos, visit):
    tab = visit(strict, None)
    drop(tab, photos[:1])
    assert tab.get_by_text("Nothing like it in the catalogue").is_visible()
    told = tab.locator(".names").inner_text()
    assert all(name in told for name in HOSTILE), told
    assert not tab.get_by_role("button", name="Send").count()


def test_large_files_and_pasted_photos(known, visit, tmp_path):
    tab = visit(known, None)
    Image.new("RGB", (64, 64)).save(tmp_path / "large.png")
    with open(tmp_path / "large.png", "ab") as opened:  # noqa: PTH123
        opened.truncate(21_000_000)
    tab.locator("input[type=file]").first.set_input_files(tmp_path / "large.png")
    tab.get_by_text("exceed the maximum allowed size of 20.0 Mb").wait_for()
    tab.evaluate("""async () => {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 64;
        const blob = await new Promise(resolve => canvas.toBlob(resolve));
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([blob], "pasted.png", { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
    }""")
    tab.locator("figure").wait_for()
