import shutil
import subprocess

import pytest
from bs4 import BeautifulSoup

from autoparts.__main__ import main
from autoparts.report import pdf

BROWSER = next(filter(None, map(shutil.which, pdf.BROWSERS)), None)


def test_all_pages_are_one_whose_links_stay_within(folder):
    (folder / "07_find_a_part.html").write_text("of a notebook that is gone")
    page = BeautifulSoup(pdf.one_page(folder), "html.parser")
    assert [main["id"].removesuffix("--main") for main in page.select("main")] == [
        "index",
        "01_eda_pca",
        "03_siamese_contrastive",
    ]
    ids = [element["id"] for element in page.select("main, main [id]")]
    assert len(set(ids)) == len(ids) and not page.select("script")
    links = {link["href"] for link in page.select("main a[href]")}
    assert "#03_siamese_contrastive--main" in links
    assert {link for link in links if link[1:] not in ids} == {"https://example.org/thesis"}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium found")
def test_the_report_is_printed_without_the_readers_folders(folder, capsys):
    assert main(["render", str(folder), "--pdf"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "report.pdf")
    printed = (folder / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF") and str(folder.parent).encode() not in printed


def test_without_a_browser_or_a_print_it_is_said(run, monkeypatch, capsys):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    assert main(["render", str(run), "--pdf"]) == 2 and "which is not installed" in capsys.readouterr().err
    monkeypatch.setattr(pdf.shutil, "which", lambda name: "/usr/bin/chrome")
    broken = subprocess.CompletedProcess([], 1, "", "no display")
    monkeypatch.setattr(pdf.subprocess, "run", lambda *given, **options: broken)
    assert main(["render", str(run), "--pdf"]) == 1 and "printed no PDF: no display" in capsys.readouterr().err
