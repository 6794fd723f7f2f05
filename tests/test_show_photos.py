"""With `show_photos` off, neither a page nor the run folder holds a photo, or an image made of photos."""

import re

import pytest
from bs4 import BeautifulSoup
from test_notebooks import NOTEBOOKS, code_of, executed

from autoparts.finder import calibration
from autoparts.models import Recogniser, initialised
from autoparts.report.index import render
from autoparts.study import run as runs
from autoparts.study.study import open_study

TINY = {"data": "synthetic:4x48", "name": "hidden", "device": "cpu", "side": 40, "show_photos": False}
TINY |= {"epochs": 1, "bootstrap": 20, "threshold_pairs": 40, "top": 3}
OF_PHOTOS = {  # what each notebook leaves out, on generated photos that nothing is cleaned from
    "01": "contact_sheet four_photos preparation fig_3_6",
    "02": "drawing_convolution drawing_cnn fig_cnn_wrong",
    "03": "drawing_siamese fig_pairs fig_6_3",
    "04": "drawing_triplet fig_triplets",
    "05": "fig_lookalikes",
    "07": "fig_occlusion fig_nearest fig_labels",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return what every notebook that has photos to show does show, by its number, and the run folder."""
    with pytest.MonkeyPatch.context() as patch:
        reports = tmp_path_factory.mktemp("reports")
        patch.setenv("AUTOPARTS_REPORTS", str(reports))
        study = open_study(TINY["data"], device="cpu", side=TINY["side"])
        patch.setattr(runs, "open_study", lambda *given, **options: study)
        photos = study.prepared(32)
        network = initialised(0, Recogniser, len(study.categories), channels=3).eval()
        patch.setattr(calibration, "recommended", lambda run: (network, photos))
        runs.open_run("hidden", study).save_result("recommended", title="R")
        stale = reports / "hidden" / "figures" / "contact_sheet.png"
        stale.parent.mkdir()
        stale.write_bytes(b"of an execution with photos")
        shown = {path.name[:2]: executed(path, **TINY)[1] for path in NOTEBOOKS if path.name[:2] in OF_PHOTOS}
        html = {number: "\n".join(str(getattr(each, "data", "")) for each in shown[number]) for number in shown}
        return html, reports / "hidden"


def test_a_page_holds_no_image_made_of_photos_and_says_what_is_left_out(pages):
    html, folder = pages
    files = {path.stem for path in (folder / "figures").iterdir()}
    for number, text in html.items():
        figures = {figure["id"] for figure in BeautifulSoup(text, "html.parser").select("figure:has(img)")}
        assert text.count("data:image/") == len(figures) and figures <= files
        assert text.count("Left out, since it shows photos: ") == len(OF_PHOTOS[number].split())
        assert not (figures | files) & {*OF_PHOTOS[number].split()}
    assert files > {"fig_3_5", "fig_6_4", "fig_4_1", "fig_4_4", "fig_fair_comparison", "fig_reliability"}


def test_results_and_the_report_hold_none_either(pages):
    results = {path.stem: path.read_text() for path in pages[1].glob("results/*.json")}
    assert "neighbours" in results["lookalikes"] and "data:image" not in "".join(results.values())
    report = BeautifulSoup(render(pages[1]).read_text("utf-8"), "html.parser")
    assert len(report.select("section.threshold .verdict")) == 12 and not report.select("section.lookalikes")
    assert not report.select("img[src*=jpeg], .interactive img") and "jpeg;base64" not in str(report)


def test_every_notebook_that_draws_photos_can_leave_them_out():
    for path in NOTEBOOKS:
        code = "\n".join(code_of(path))
        draws = re.search(r"photo_figures\.|drawings\.|exploring\.|interactive\.|thumbnail", code)
        assert ("show_photos: bool = True" in code) == bool(draws), path.stem
