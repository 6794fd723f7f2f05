"""The whole report as one PDF, printed by the Chromium that is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bs4 import BeautifulSoup

from autoparts.errors import FailedError, UserError, whole_file

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
BROWSERS += (  # where installers put them that leave PATH alone
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)


def print_report(folder: Path) -> Path:
    """Print the rendered pages of a run folder as its `report.pdf`; return the path.

    UserError without a Chromium, FailedError if it prints nothing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise UserError(
            "a PDF is printed by Chromium or Chrome, which is not installed: install one, or open index.html in any "
            "browser and print that"
        )
    with tempfile.TemporaryDirectory() as room, whole_file(folder / "report.pdf") as unfinished:
        page, printed = Path(room) / "report.html", Path(room) / "report.pdf"
        page.write_text(one_page(folder), "utf-8")
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={room}/profile"]
        options += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root has to go without
        command = [browser, *options, f"--print-to-pdf={printed}", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if not printed.is_file():
            raise FailedError(f"{browser} printed no PDF: {done.stderr.strip()[-300:] or 'it said nothing'}")
        shutil.move(printed, unfinished)
    return folder / "report.pdf"


def one_page(folder: Path) -> str:
    """Join the index and the notebooks' pages to one, for paper: without scripts, links lead within it or to hosts."""
    made = sorted(path.stem for path in folder.glob("*.html"))
    stems = [stem for stem in made if (folder / "notebooks" / f"{stem}.ipynb").is_file()]  # else it is an old page
    pages = {
        stem: BeautifulSoup((folder / f"{stem}.html").read_text("utf-8"), "html.parser") for stem in ["index", *stems]
    }
    for stem, page in pages.items():
        for element in page.main.select("[id]"):
            element["id"] = f"{stem}--{element['id']}"
        for link in page.main.select("a[href]"):
            target, _, anchor = link["href"].partition("#")
            target = target.removesuffix(".html") or stem
            if target in pages:
                link["href"] = f"#{target}--{anchor or 'main'}"
            elif ":" not in target:  # a file beside the report
                link.unwrap()
        page.main["id"] = f"{stem}--main"
        for script in page.select("script, .onward"):
            script.decompose()
    whole = pages["index"]
    for stem in stems:
        pages[stem].main["class"] = "chapter"
        whole.footer.insert_before(pages[stem].main)
    return str(whole)
