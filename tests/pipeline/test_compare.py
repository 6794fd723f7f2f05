import json

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from autoparts.__main__ import main
from autoparts.errors import UserError
from autoparts.pipeline.compare import compare
from autoparts.study.tables import write_table


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path))
    return tmp_path


def make(reports, name, test=0.5, seed=0, fingerprint="f", epochs=10, row_epochs=3, top=5, found=None, torch="2"):
    """Write what a comparison reads of a run."""
    parameters = {"seed": seed, "epochs": epochs}
    executed = {"02_cnn": {"parameters": parameters, "found": found}, "03_siamese": {"parameters": parameters}}
    executed |= {"06_beyond": {"parameters": {"seed": seed, "row_epochs": row_epochs}}}
    executed |= {"07_find": {"parameters": {"seed": seed, "top": top}}}
    facts = {"name": name, "data": "<b>", "seed": seed, "fingerprint": fingerprint, "executed": executed}
    (reports / name).mkdir()
    (reports / name / "run.json").write_text(json.dumps(facts | {"versions": {"torch": torch}}))
    rows = [
        {"model": "CNN", "source": "thesis", "training accuracy": None, "test accuracy": 0.508},
        {"model": "", "source": "this run", "training accuracy": 1.0, "test accuracy": test, "n (test)": 80,
         "chance": 0.1, "95 % interval": "4% to 6%"},
    ]  # fmt: skip
    write_table(reports / name, "table_5_1", pd.DataFrame(rows).astype({"n (test)": "Int64"}), "Table 5.1")
    beyond = pd.DataFrame({"variant": ["triplets", f"only {name}"], "precision@1": [test, 0.9]})
    borders = pd.DataFrame({"test photos": ["all test photos"], "photos": [80], "accuracy": [test]})
    write_table(reports / name, "table_borders", borders, "Accuracy of the likeliest name")
    write_table(reports / name, "table_beyond", beyond.set_index("variant"), "One change at a time")
    (reports / name / "results").mkdir()
    results = {"recommended": {"task": "naming among 9 parts", "metrics": {"test_accuracy": test}}}
    results["finder"] = {"n_test": 80, "accuracy": 1 - test, "refused": {"accuracy": [0.05, 0.9]}}
    for result, content in results.items():
        (reports / name / "results" / f"{result}.json").write_text(json.dumps(content))
    return name


def read(index, table):
    return pd.read_csv(index.parent / "tables" / f"{table}.csv")


def test_seeds_have_a_mean_and_a_spread(reports):
    names = [make(reports, "a", 0.4, seed=0), make(reports, "b", 0.5, seed=1, top=3)]
    names += [make(reports, "c", 0.8, seed=2, found={"threads": 1})]  # sums of one thread are as good as those of two
    index = compare(names)
    assert index == reports / "compare-a-b-c" / "index.html"
    table = read(index, "table_5_1").set_index("run")
    assert table.index.tolist() == ["thesis", *names, "mean of a, b, c", "spread of a, b, c"]
    assert (table["model"] == "CNN").all() and "source" not in table
    assert table["test accuracy"].tolist() == pytest.approx([0.508, 0.4, 0.5, 0.8, 1.7 / 3, 0.4])
    assert (
        table["n (test)"].tolist()[1:4] == [80] * 3
        and "80.0" not in index.with_name("tables").joinpath("table_5_1.csv").read_text()
    )
    assert table.loc["mean of a, b, c", ["chance", "n (test)", "95 % interval"]].isna().all()
    rows = read(index, "table_beyond").set_index(["variant", "run"])["precision@1"]
    assert rows["triplets", "spread of a, b, c"] == pytest.approx(0.4) and rows["only b", "b"] == 0.9
    finder = read(index, "table_borders").set_index("run")["accuracy"]
    assert finder.loc["mean of a, b, c"] == pytest.approx(1.7 / 3)
    assert ",80," in index.with_name("tables").joinpath("finders.csv").read_text()
    finders = read(index, "finders").set_index("run")
    assert finders["by its head"].tolist() == pytest.approx([0.4, 0.5, 0.8, 1.7 / 3, 0.4])
    assert finders["by the finder"].tolist() == pytest.approx([0.6, 0.5, 0.2, 1.3 / 3, 0.4])
    assert finders.loc["b", ["task", "n", "known, refused", "unknown, refused"]].tolist() == [
        "naming among 9 parts", 80, 0.05, 0.9,
    ]  # fmt: skip
    differ = read(index, "differences").set_index("Unnamed: 0").loc[["seed", "top"]]
    assert differ.T.to_dict("list") == {"seed": [0, 1, 2], "top": [5, 3, 5]}
    page = BeautifulSoup(index.read_text(), "html.parser")
    assert "56.67%" in page.text and not page.select("main b, main script, [src]")


def test_what_was_found_and_a_model_made_alone_are_settings_too(reports):
    make(reports, "a", found={"precision": "float32", "code": "c"})
    make(reports, "b", found={"precision": "bfloat16", "code": "d"})
    for name, side in (("a", 96), ("b", 192)):
        facts = json.loads((reports / name / "run.json").read_text())
        facts["executed"].pop("06_beyond")
        (reports / name / "run.json").write_text(json.dumps(facts | {"model": {"recipe_side": side}}))
    differ = read(compare(["a", "b"]), "differences").set_index("Unnamed: 0")
    assert differ.T.to_dict("list") == {
        "precision": ["float32", "bfloat16"], "code": ["c", "d"], "recipe_side": ["96", "192"],
    }  # fmt: skip


def test_a_row_of_some_runs_has_no_mean(reports):
    names = [make(reports, "a"), make(reports, "b", seed=1)]
    (reports / "a" / "results" / "finder.json").unlink()
    (reports / "b" / "results" / "finder.json").write_text(
        '{"n_test": 80, "accuracy": 0.5, "refused": {"accuracy": [0]}}'
    )
    index = compare(names)
    finders = read(index, "finders")
    assert finders["run"].tolist() == ["b"] and finders["known, refused"].tolist() == [0]
    (reports / "b" / "results" / "finder.json").unlink()
    assert not (compare(names, "without").parent / "tables" / "finders.csv").exists()
    runs = read(index, "table_beyond").groupby("variant")["run"].apply(list).to_dict()
    assert runs["only a"] == ["a"] and len(runs["triplets"]) == 4


OTHERS = [{"fingerprint": "g"}, {"epochs": 20}, {"found": {"precision": "float32"}}, {"torch": "3"}, {"seed": 1}]
OTHERS += [{"found": {"code": "c"}}]


@pytest.mark.parametrize("other", OTHERS)
def test_what_differs_in_more_than_the_seed_or_not_even_in_it_has_no_mean(reports, other):
    index = compare([make(reports, "a"), make(reports, "b", seed=1), make(reports, "other", **{"seed": 2} | other)])
    runs = read(index, "table_5_1")["run"].tolist()
    assert runs == ["thesis", "a", "b", "other", "mean of a, b", "spread of a, b"]
    rows_alike = "mean of a, b, other" in read(index, "table_beyond")["run"].tolist()
    assert rows_alike == bool({"epochs", "found"} & {*other})  # which are not of notebook 06
    assert "a mean over them would be of nothing" in index.read_text()


def test_what_cannot_be_compared_is_told(reports, capsys):
    make(reports, "a")
    make(reports, "b")
    (reports / "more" / "a").mkdir(parents=True)
    for names in (["a"], ["a", "a"], ["a", str(reports / "more" / "a")]):
        with pytest.raises(UserError, match="two runs or more, whose folders have different names"):
            compare(names)
    with pytest.raises(UserError, match=r"nowhere/run\.json is missing: give folders of finished runs"):
        compare(["a", "nowhere"])
    with pytest.raises(UserError, match="b is a run, whose report would be overwritten; choose another folder with"):
        compare(["a", "b"], "b")
    assert main(["compare", "a", "b", "--to", "c"]) == 0
    assert capsys.readouterr().out == f"{reports / 'c' / 'index.html'}\n"
    (reports / "b" / "run.json").write_text("{}")
    with pytest.raises(UserError, match="does not tell how the run was made"):
        compare(["a", "b"])
