"""The README's results are those of the published runs."""

import json
import re
import shutil

import pandas as pd
import pytest
from PIL import Image
from tools.results import MARKED, ROOT, written

from autoparts.errors import UserError
from autoparts.study.tables import write_table

README = (ROOT / "README.md").read_text("utf-8")
PUBLISHED = [ROOT / "reports" / found[2] for found in MARKED.finditer(README)]
MARKS = "before\n<!-- results:some -->\ntyped\n<!-- /results -->\nafter\n"


def test_the_readme_has_the_results_of_the_published_runs():
    assert PUBLISHED
    if missing := [folder.name for folder in PUBLISHED if not (folder / "index.html").is_file()]:
        pytest.skip(f"not published yet: {missing}")
    assert written(README) == README, "the README and the published runs disagree: make results"
    assert written(MARKED.sub(r"\1typed\n\3", README)) == README


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_run_of_real_photos_shows_none_and_is_small(folder):
    if not folder.is_dir():
        pytest.skip(f"not published yet: {folder.name}")
    paths = [path for path in folder.rglob("[!.]*") if path.is_file()]
    files = [path for path in paths if "models" not in path.relative_to(folder).parts]  # as git ignores them
    assert sum(path.stat().st_size for path in files) < 6e6
    for path in files:
        if path.suffix == ".png":  # charts alone: what shows photos is transparent around them
            assert not Image.open(path).has_transparency_data, path.name
        else:
            shown = re.findall(r"data:image/(?!png)|class=.{0,2}photos", path.read_text("utf-8"))
            assert not shown, f"{path.name}: {shown}"


@pytest.fixture
def reports(tmp_path):
    """A folder with a copy of the published run that has all that a run may have."""
    if not PUBLISHED[0].is_dir():
        pytest.skip(f"not published yet: {PUBLISHED[0].name}")
    for name in ("results", "tables"):
        shutil.copytree(PUBLISHED[0] / name, tmp_path / "some" / name)
    shutil.copy(PUBLISHED[0] / "run.json", tmp_path / "some")
    return tmp_path


def test_results_are_written_between_the_markers_as_far_as_they_are_there(reports):
    text = written(MARKS, reports)
    assert text.startswith("before\n<!-- results:some -->\n") and text.endswith("\n<!-- /results -->\nafter\n")
    for table, told in (("losses_by_recipe", "Losses or recipe?"), ("seeds_paired", "comes first by precision@1")):
        assert told in written(MARKS, reports)
        (reports / "some" / "tables" / f"table_{table}.csv").unlink()
        assert told not in written(MARKS, reports)


def test_rows_of_chapter_6_are_listed_by_their_differences(reports):
    judged = {"variant": ["a", "b", "c"], "difference": [0.01, -0.2, 0.125], "judged": ["better", "worse", "better"]}
    judged |= {"difference low": [0.001, -0.3, 0.1], "difference high": [0.02, -0.1, 0.15]}
    table = {"variant": [*"abcx"], "verdict": ["still rising", "", "stuck: it did not fall", "still rising"]}
    (reports / "some/results/beyond.json").write_text(json.dumps({"against": judged, "table": table}))
    text = written(MARKS, reports)
    assert "- **better**: c (+12.5, +10.0 to +15.0, *stuck*); a (+1.0, +0.1 to +2.0, *rising*)\n" in text
    assert "\n- **worse**: b (-20.0, -30.0 to -10.0)\n- **not to be told apart**: none\n" in text
    assert "in points, to the thesis's, x (itself *rising*), with its paired 95 % interval; " in text


def test_finders_of_several_seeds_have_a_mean_and_a_spread(tmp_path):
    shares = {"a": 0.95, "b": 0.96, "c": 0.98, "mean of a, b, c": 0.963, "spread of a, b, c": 0.03}
    rows = [
        {"task": "naming among 45 parts", "run": run, "n": 1831, "by its head": share, "by the finder": share / 2}
        for run, share in shares.items()
    ]
    rows.insert(0, rows[0] | {"task": "another", "run": "of another version", "n": 7})
    write_table(tmp_path / "some", "finders", pd.DataFrame(rows), "Finders")
    text = written(MARKS, tmp_path)
    assert "\n3 trainings that differ in the seed alone, on one split, naming among 45 parts: test photos nam" in text
    assert "by its head 96.3 % in the mean (95.0 %, 96.0 %, 98.0 %; spread 3.0 points) and by the finder 48.1 " in text
    assert "; n = 1,831. [All of them side by side](reports/some/index.html)." in text and "another" not in text
    write_table(tmp_path / "some", "finders", pd.DataFrame(rows[:4]), "Finders")
    with pytest.raises(UserError, match="some: compare runs that differ in the seed alone"):
        written(MARKS, tmp_path)


def test_a_run_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"some/run\.json is missing: publish a finished run"):
        written(MARKS, tmp_path)


@pytest.mark.parametrize("folder", [*PUBLISHED, ROOT / "reports" / "example"], ids=lambda folder: folder.name)
def test_what_a_published_page_links_to_is_there(folder):
    for page in folder.glob("*.html"):
        linked = re.findall(r'href="([^"#:]+)"', page.read_text("utf-8"))
        assert linked and [name for name in linked if not (folder / name).is_file()] == [], page.name
