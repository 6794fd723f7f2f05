import json
import shutil

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from tools import example_run

from autoparts.report.index import render
from autoparts.study.tables import write_table


def page(run, stem="index"):
    return BeautifulSoup((run / f"{stem}.html").read_text("utf-8"), "html.parser")


def test_every_executed_notebook_has_a_page_and_failed_ones_have_none(run):
    assert {path.stem for path in run.glob("*.html")} == {"index", "01_eda_pca", "03_siamese_contrastive"}
    assert "02_cnn_baseline, failed" in page(run).select_one(".missing").text
    assert not list(run.rglob(".*"))
    assert "Failed when last executed" not in page(run).text


def test_a_page_that_is_older_than_a_failure_says_so(folder):
    shutil.copy(folder / "notebooks" / "02_cnn_baseline.failed.ipynb", folder / "notebooks" / "01_eda_pca.failed.ipynb")
    render(folder)
    assert "Failed when last executed: 01_eda_pca." in page(folder).select(".missing")[0].text


def test_what_chapter_6_leaves_open_is_said_where_it_leaves_something_open(folder):
    told = " ".join(page(folder).select_one("#answers + ul").text.split())
    assert "Better, by paired intervals without zero: hard (+4.0 points). Worse, by paired" in told
    assert "Worse, by paired intervals without zero: none. Not to be told apart, at this budget: 1 of 2." in told
    path = folder / "results" / "beyond.json"
    path.write_text(path.read_text().replace("not to be told apart", "worse"))
    render(folder)
    told = page(folder).text
    assert "at this budget: 0 of 2." in told and "the rows of chapter 6 were" in told
    assert "Each network was trained once" not in told
    result = json.loads(path.read_text())
    del result["table"]["spread"]
    path.write_text(json.dumps(result))
    render(folder)
    assert "Each network was trained once: another start might move it." in page(folder).text


@pytest.mark.parametrize("stem", ["index", "01_eda_pca", "03_siamese_contrastive"])
def test_a_page_asks_no_host_for_anything(run, stem):
    html = page(run, stem)
    assert html.html["lang"] == "en" and html.title.text
    assert stem != "index" or len(html.select("h1")) == 1
    for element in html.select("[src], link[href]"):
        assert element.get("src", element.get("href")).startswith("data:")
    for link in html.select("a[href]:not([href='https://example.org/thesis'])"):
        target, _, anchor = link["href"].partition("#")
        assert (run / target).is_file() if target else html.find(id=anchor), link
    policy = html.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    for rule in ("default-src", "base-uri", "form-action", "frame-src", "object-src"):
        assert f"{rule} 'none'" in policy


def test_pages_lead_on_and_back(run):
    first, last = page(run, "01_eda_pca"), page(run, "03_siamese_contrastive")
    assert first.select_one("header [rel=next]")["href"] == "03_siamese_contrastive.html"
    assert last.select_one("header [rel=prev]")["href"] == "01_eda_pca.html"
    assert not first.select("[rel=prev]") and not last.select("[rel=next]")


def test_the_index_shows_figures_tables_results_and_facts(run):
    html = page(run)
    assert "These photos are generated" in html.select_one(".note").text
    assert len(html.select(".card")) == 4 and "61.2%" in html.select_one(".card").text
    assert [cell.text for cell in html.select("main > .table tr:nth-child(1) td")][1:] == ["BRAKE DISC", "50.0%\u202f★"]
    assert "1,234 photos" in html.text and "12 s" in html.select_one(".pages").text
    assert html.select_one("section.threshold") and html.select_one("section.lookalikes")
    assert (html := page(run, "03_siamese_contrastive")).select_one("section.threshold") and not html.select("#fig_4_4")


def test_the_index_answers_first_from_results(run):
    html = page(run)
    name = " ".join(example_run.CATEGORIES[1:])
    assert html.h2["id"] == "answers"
    said = [" ".join(item.text.split()) for item in html.select("#answers + ul > li")]
    assert len(said) == 4
    assert f"baselines, {name} names the most test photos rightly: 62.5% (95% interval 5% to 7%)." in said[0]
    assert (
        "It may be ahead by chance of Triplet. By paired intervals without zero, it is ahead of CNN. A photo" in said[0]
    )
    orders = "MAP@R is highest for CNN (25.0%); ROC AUC is highest for {} (75.0%); ranking is highest for CNN (75.0%)."
    assert f"Other measures may order them otherwise. In this run: {orders.format(name)}" in said[0]
    assert "right for 93.8% of 410 test photos (95% interval 91.0% to 96.0%); it refuses to name 5.0%" in said[2]
    assert "5.0% (3.0% to 7.0%) of 410 photos (known) and 87.5%" in said[2]
    assert said[2].endswith(" It names 90.0% of the test photos, and rightly.")
    assert "; what other initial weights would change, since each network was trained once" in said[3]


def test_the_index_answers_from_several_trainings_where_there_are(folder):
    seeds = json.loads((folder / "results" / "comparison.json").read_text())
    seeds["table"] |= {"precision@1": [0.25, 0.75], "spread": [0.01, 0.02]}
    path = folder / "results" / "beyond.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trained": seeds}))
    for name in ("table_beyond", "table_seeds", "table_seeds_paired", "table_losses_by_recipe"):
        write_table(folder, name, pd.DataFrame({"model": ["CNN"]}), f"Caption of {name}")
    render(folder)
    said = [" ".join(item.text.split()) for item in page(folder).select("#answers + ul > li")]
    assert len(said) == 4 and "rightly, in the mean of its trainings: 75.0% (95% interval 5% to 7%)." in said[0]
    assert "what other initial weights" not in said[3]
    captions = [caption.text for caption in page(folder).select("caption")]
    assert all(f"Caption of table_{name}" in captions for name in ("seeds", "seeds_paired", "losses_by_recipe"))


def test_the_page_of_a_finder_alone_tells_of_no_other_networks(folder):
    def told():
        render(folder)
        return " ".join(page(folder).main.text.split())

    grey, path = "Each photo is made grey, padded", folder / "results" / "recommended.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"side": 192, "colour": True}))
    assert f"{grey} with white" in (whole := told()) and "two Siamese networks, trained on the same photos" in whole
    assert "This report repeats the study" in whole and "the finder sees" not in whole
    shutil.rmtree(folder / "notebooks")
    for name in ("cnn", "contrastive", "triplet"):
        (folder / "results" / f"{name}.json").unlink()
    assert "photos: a part finder, made from these photos." in (alone := told()) and "made only the finder" in alone
    assert "the finder sees it in colour, at 192 × 192 pixels. The table below" in alone and grey not in alone
    assert "This report repeats" not in alone and "two Siamese networks, trained" not in alone
    path.unlink()
    assert grey in (bare := told()) and "Naming car parts from photos." in bare and "made only the finder" not in bare


def test_tables_and_notebooks_can_be_taken_along(run):
    assert page(run).select_one("main > .table + p a[href='tables/table_5_1.csv']").text == "CSV"
    links = [link["href"] for link in page(run, "03_siamese_contrastive").select("main a[download]")]
    assert links == ["notebooks/03_siamese_contrastive.ipynb", "tables/table_5_1.csv"]
    notebooks = [link["href"] for link in page(run).select(".pages a[download]")]
    assert notebooks == ["notebooks/01_eda_pca.ipynb", "notebooks/03_siamese_contrastive.ipynb"]
    for stem in ("index", "01_eda_pca"):
        assert "autoparts run --like run.json in its folder" in page(run, stem).footer.text


def test_a_run_without_anything_still_has_an_index(tmp_path):
    html = BeautifulSoup(render(tmp_path).read_text("utf-8"), "html.parser")
    assert not html.select(".note, figure, table, .interactive")
    assert "Not in this run" in html.text


ONE = "run.json results/cnn.json results/threshold.json results/data.json figures/fig_4_4.png tables/table_5_1.csv"
OTHER = "tables/table_5_1.json notebooks/03_siamese_contrastive.ipynb"  # which would hide what is wrong with the first


@pytest.mark.parametrize("content", [b"", b"garbage \xff\x1b[2J", b"[1]"])
@pytest.mark.parametrize("names", [ONE.split(), OTHER.split()], ids=["one", "other"])
def test_no_damaged_file_keeps_a_run_from_its_report(names, content, folder, capsys):
    for name in names:
        (folder / name).write_bytes(content)
    render(folder)
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == len(names) and all(map(str.isprintable, messages))
    for name in names:
        (message,) = (message for message in messages if message.startswith(f"{folder / name} "))
        assert ".damaged" in message and "autoparts run" in message
        assert (folder / f"{name}.damaged").exists() and not (folder / name).exists()
        if name.startswith(("figures", "notebooks")):
            assert f"again, with the parameters it had: autoparts run --name {folder} --only 03" in message
    render(folder)
    assert ".damaged" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cnn", "recommended", "threshold", "lookalikes", "finder"])
def test_a_result_without_its_parts_is_set_aside(name, folder, capsys):
    shutil.rmtree(folder / "notebooks")  # whose pages take long
    path = folder / "results" / f"{name}.json"
    whole = json.loads(path.read_text())
    remote = json.dumps(whole).replace("data:image/jpeg;base64,", "https://example.org/")
    needed = whole.keys() - {"version", "reason", "chance"}
    parts = [json.dumps({key: whole[key] for key in whole if key != left}) for left in needed]
    for content in {*parts, remote} - {json.dumps(whole)}:
        path.write_text(content)
        render(folder)
        assert f"{name}.json cannot be shown and was set aside" in capsys.readouterr().err and not path.exists()


def test_facts_of_another_kind_are_no_obstacle(folder, capsys):
    facts = {"photos": "many", "versions": [1], "executed": {"01_eda_pca": "x"}, "finished": 3, "seed": [], "commit": 7}
    (folder / "run.json").write_text(json.dumps(facts))
    assert render(folder).exists() and not capsys.readouterr().err


def test_results_of_another_version_are_left_out_with_one_message(folder, capsys):
    for path in folder.glob("results/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 1}))
    html = BeautifulSoup(render(folder).read_text("utf-8"), "html.parser")
    message = capsys.readouterr().err
    assert (
        message.count("\n") == 1
        and "cnn, comparison, contrastive" in message
        and f"--name {folder} --restart" in message
    )
    assert not html.select(".card, .interactive") and html.select("figure") and (folder / "results/cnn.json").exists()
    data = folder / "results" / "data.json"
    data.write_text(json.dumps(json.loads(data.read_text()) | {"generated": False, "data": "my photos"}))
    render(folder)
    assert f"--name {folder} --data 'my photos' --restart" in capsys.readouterr().err
