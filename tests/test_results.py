"""The README's results are those of the published runs."""

import json
import re

import pandas as pd
import pytest
from PIL import Image
from tools.results import MARKED, ROOT, written

from autoparts.errors import UserError
from autoparts.experiments.comparison import THESIS_MODELS
from autoparts.study.tables import write_table

README = (ROOT / "README.md").read_text("utf-8")
MARKS = "before\n<!-- results:some -->\ntyped\n<!-- /results -->\nafter\n"


def test_the_readme_has_the_results_of_the_published_runs():
    published = [found[2] for found in MARKED.finditer(README)]
    assert published
    if missing := [name for name in published if not (ROOT / "reports" / name / "index.html").is_file()]:
        pytest.skip(f"not published yet: {missing}")
    assert written(README) == README, "the README and the published runs disagree: make results"


PUBLISHED = [ROOT / "reports" / found[2] for found in MARKED.finditer(README)]


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
    """A folder with a published run of a few made-up results."""
    five = {"model": "CNN", "source": "this run", "training accuracy": 1.0, "validation accuracy": None}
    five |= {"test accuracy": 0.5, "95 % interval": "46.7% to 53.5%", "n (test)": 1831, "chance": 0.02}
    every = {"model": "recommended", "precision@1": 0.952, "95 % interval": "93.0% to 97.4%", "recall@5": 0.97}
    every |= {"MAP@R": 0.924, "ROC AUC": 0.997, "EER": 0.03, "ranking": 0.99}
    for name, row in {
        "5_1": five,
        "recommended": every,
        "against": {"compared with: x": "y"},
        "convergence": {"model": "CNN", "lowest in epoch": 7},
        "learned": {"compared with: untrained network": "semi-hard triplets", "judged": "better"},
        "calibration": {"score by": "head", "accuracy": 0.941},
    }.items():
        write_table(tmp_path / "some", f"table_{name}", pd.DataFrame([row]), f"Caption of {name}")
    judged = {"variant": ["a", "b", "c"], "difference": [0.01, -0.2, 0.125], "judged": ["better", "worse", "better"]}
    judged |= {"difference low": [0.001, -0.3, 0.1], "difference high": [0.02, -0.1, 0.15]}
    data = {"source_photos": 9000, "source_categories": 50, "photos": 8000, "categories": 45, "seed": 3, "side": 64}
    files = {
        "results/data": data | {"photos_by_split": {"train": 6400, "test": 800}},
        "results/beyond": {"against": judged,
                           "table": {"variant": ["a", "b", "c", "x"],
                                     "verdict": ["still rising", "", "stuck: it did not fall", "still rising"]}},
        "results/recommended": {"title": "Recommended model", "backbone": "lite0", "epochs": 16, "task": "naming",
                                "side": 192,
                                "metrics": {"test_accuracy": 0.957, "test_interval": [0.94, 0.97], "n_test": 831}},
        "results/finder": {"accuracy": 0.961},
        "results/comparison": {},
        "run": {"finished": "2026-01-02", "threads": 2, "precision": "float32", "versions": {"torch": "2.11"},
                "processor": "Core 7", "commit": "0123456789abcdef",
                "executed": {
                    **{stem: {"parameters": {"epochs": 15}} for stem in THESIS_MODELS.values()},
                    "06_beyond_the_thesis":
                        {"parameters": {"row_epochs": 20, "row_side": 32, "seeds": 3, "tune": True}}}},
    }  # fmt: skip
    (tmp_path / "some" / "results").mkdir()
    for name, content in files.items():
        (tmp_path / "some" / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_results_are_written_between_the_markers_and_nowhere_else(reports):
    text = written(MARKS, reports)
    assert text.startswith("before\n<!-- results:some -->\n9,000 photos of 50 parts; 8,000 of 45 after cleaning")
    assert text.endswith("\n<!-- /results -->\nafter\n") and "typed" not in text
    assert "split 6,400 / 800, seed 3, 64 pixels a side. Finished 2026-01-02 on Core 7, 2 threads, float32," in text
    assert "| CNN | this run | 100.00 % | – | 50.00 % | 46.7 % to 53.5 % | 1,831 | 2.00 % |" in text
    assert "| recommended | 95.2 % | 93.0 % to 97.4 % | 97.0 % | 92.4 % | 99.7 % | 3.0 % | 99.0 % |" in text
    assert "(lite0, 16 epochs, 192 pixels), naming: test accuracy 95.7 % (94.0 % to 97.0 %), n = 831 (valid" in text
    assert "(validation 94.1 %); the finder, which also looks at the nearest photos: 96.1 %." in text
    assert "- **better**: c (+12.5, +10.0 to +15.0, *stuck*); a (+1.0, +0.1 to +2.0, *rising*)\n" in text
    assert "\n- **worse**: b (-20.0, -30.0 to -10.0)\n" in text
    assert "\n- **not to be told apart**: none\n" in text
    assert "in points, to the thesis's, x (itself *rising*), with its paired 95 % interval; 800 test photos; " in text
    told = "by the same rule:\n\n- **better**: semi-hard triplets\n- **worse**: none\n- **not to be told apart**: none"
    assert told in text and "Losses or recipe" not in text
    assert "lowest validation losses, after which a training mostly fits its own photos: CNN, 7." in text
    assert "trained for 15 epochs" in text and "20 passes" in text and "trainings: 3, learning rates" in text
    assert written(text, reports) == text
    again = {"model": "CNN", "precision@1": 0.5, "95 % interval": "40.0% to 60.0%", "spread": 0.013}
    again |= {"MAP@R": 0.2, "ROC AUC": 0.7, "ranking": 0.8}
    other = again | {"model": "one", "MAP@R": 0.3, "ROC AUC": 0.6, "ranking": 0.9}
    models = [again, other, other | {"model": "recommended", "MAP@R": 0.99}]
    write_table(reports / "some", "table_seeds", pd.DataFrame(models), "Mean of 3")
    paired = pd.DataFrame({"compared with: CNN": ["one", "two"], "judged": ["worse", "not to be told apart"]})
    write_table(reports / "some", "table_seeds_paired", paired, "Paired")
    text = written(MARKS, reports)
    assert "| CNN | 50.0 % | 40.0 % to 60.0 % | 1.3 % | 20.0 % | 70.0 % | 80.0 % |" in text and "**Mean of 3**" in text
    assert (
        "CNN comes first by precision@1; by its paired intervals over categories and trainings it, chosen on the"
        in text
    )
    assert "ahead of: one; not to be told apart from: two. Other measures may order them otherwise: among" in text
    assert "among them are highest MAP@R for one, ROC AUC for CNN, ranking for one." in text
    losses = {
        "loss": ["contrastive", "triplet"],
        "recipe": "r",
        "precision@1": [0.5, 0.625],
        "judged": [None, "better"],
    }
    losses |= {f"difference{end}": [None, gain] for end, gain in (("", 0.125), (" low", 0.1), (" high", 0.15))}
    losses |= {"beside untrained": "better", "verdict": ["", "still rising"]}
    write_table(reports / "some", "table_losses_by_recipe", pd.DataFrame(losses), "By recipe")
    text = written(MARKS, reports)
    assert "| r | contrastive | 50.0 % | – | – | better | – |" in text and "Losses or recipe?" in text
    assert "| r | triplet | 62.5 % | +12.5, +10.0 to +15.0 | better | better | still rising |" in text
    path = reports / "some" / "results" / "beyond.json"
    path.write_text(path.read_text().replace("-0.2", "-0.3"))
    assert written(text, reports) != text


def test_a_run_without_chapter_6_shows_the_thesiss_models(reports):
    for name in ("results/beyond.json", "results/recommended.json"):
        (reports / "some" / name).unlink()
    for ending in ("csv", "json"):
        table = reports / "some" / "tables" / f"table_recommended.{ending}"
        table.rename(table.with_stem("table_fair_comparison"))
    text = written(MARKS, reports)
    assert "**Caption of 5_1**" in text and "**Caption of recommended**" in text and "Chapter 6" not in text


def test_a_finders_run_says_how_well_it_names(reports):
    for name in ("results/beyond.json", "results/comparison.json", "tables/table_5_1.csv"):
        (reports / "some" / name).unlink()
    text = written(MARKS, reports)
    assert "test accuracy 95.7 %" in text and "Caption" not in text and "Chapter 6" not in text


def test_finders_of_several_seeds_have_a_mean_and_a_spread(tmp_path):
    shares = {"a": 0.95, "b": 0.96, "c": 0.98, "mean of a, b, c": 0.963, "spread of a, b, c": 0.03}
    rows = [
        {"task": "naming among 45 parts", "run": run, "n": 1831, "by its head": share, "by the finder": share / 2}
        for run, share in shares.items()
    ]
    rows.insert(0, rows[0] | {"task": "another", "run": "of another version", "n": 7})
    write_table(tmp_path / "some", "finders", pd.DataFrame(rows), "Finders")
    text = written(MARKS, tmp_path)
    assert (
        "\n3 trainings that differ in the seed alone, on one split, naming among 45 parts: test photos named " in text
    )
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
