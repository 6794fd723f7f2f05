"""Write the README's results from published runs: `make results`.

Between `<!-- results:NAME -->` and `<!-- /results -->` stands what `reports/NAME` holds, and nothing that is typed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from autoparts.errors import UserError, read_json, whole_file
from autoparts.experiments.comparison import JUDGED, THESIS_MODELS
from autoparts.experiments.variants import LONGER
from autoparts.study.tables import FORMATS, read_table

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"(?s)(<!-- results:([\w-]+) -->\n).*?(<!-- /results -->)")
TABLE_5_1 = ["model", "source", "training accuracy", "validation accuracy", "test accuracy", "95 % interval"]
TABLE_5_1 += ["n (test)", "chance"]
AGAIN = ["model", "precision@1", "95 % interval", "spread", "MAP@R", "ROC AUC", "ranking"]
BY_RECIPE = ["recipe", "loss", "precision@1", "to contrastive, in points", "judged", "beside untrained", "training"]
EVERY = ["model", "precision@1", "95 % interval", "recall@5", "MAP@R", "ROC AUC", "EER", "ranking"]


def written(readme: str, reports: Path = ROOT / "reports") -> str:
    """Return the text of a README with the results of the runs that its markers name; UserError if one is missing."""
    return MARKED.sub(lambda found: found[1] + results(reports / found[2]) + found[3], readme)


def results(folder: Path) -> str:
    """Say in Markdown what a published run found, as far as it went, or what `autoparts compare` did of finders."""
    if (folder / "tables" / "finders.csv").exists():
        return over_seeds(folder)
    facts, data = of_run(folder, "run.json"), of_run(folder, "results/data.json")
    split = " / ".join(f"{count:,}" for count in data["photos_by_split"].values())
    blocks = [
        f"{data['source_photos']:,} photos of {data['source_categories']} parts; {data['photos']:,} of "
        f"{data['categories']} after cleaning, split {split}, seed {data['seed']}, {data['side']} pixels a side. "
        f"Finished {facts['finished']} on "
        f"{facts['processor']}, {facts['threads']} threads, {facts['precision']}, torch {facts['versions']['torch']}, "
        f"commit {str(facts['commit'])[:10]}{'' if facts.get('clean_tree', True) else ' with uncommitted changes'}; "
        f"[the report](reports/{folder.name}/index.html), "
        f"[all settings](reports/{folder.name}/run.json). "
        "This text is written by `make results`."
    ]
    for file, told in (("comparison", compared), ("recommended", named), ("beyond", chapter_6)):
        blocks += told(folder, facts) if (folder / "results" / f"{file}.json").exists() else []
    return "\n\n".join(blocks) + "\n"


def over_seeds(folder: Path) -> str:
    """Say how often finders name a test photo rightly whose trainings differ in the seed alone."""
    table = read_table(folder / "tables" / "finders.csv")[0]
    ways = {way: dict(zip(table["run"], table[way], strict=True)) for way in ("by its head", "by the finder")}
    means = [run for run in table["run"] if run.startswith("mean of ")]
    if len(means) != 1:
        raise UserError(f"{folder}: compare runs that differ in the seed alone")
    mean, spread = means[0], means[0].replace("mean", "spread", 1)
    runs = mean.removeprefix("mean of ").split(", ")
    task, n = table.set_index("run").loc[runs[0], ["task", "n"]]
    told = [
        f"{way} {percent(of[mean])} in the mean ({', '.join(percent(of[run]) for run in runs)}; spread "
        f"{100 * of[spread]:.1f} points)"
        for way, of in ways.items()
    ]
    return (
        f"{len(runs)} trainings that differ in the seed alone, on one split, {task}: test photos named rightly "
        f"{' and '.join(told)}; n = {n:,}. "
        f"[All of them side by side](reports/{folder.name}/index.html). This text is written by `make results`.\n"
    )


def of_run(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a published run; a UserError if it is missing."""
    return read_json(folder / name, f"publish a finished run in {folder}")


def compared(folder: Path, facts: Mapping[str, Any]) -> list[str]:
    """Show Table 5.1, and every model at every task: the recommended one among them, if chapter 6 ran."""
    beyond = (folder / "results" / "beyond.json").exists()
    names = "table_5_1", "table_recommended" if beyond else "table_fair_comparison"
    (thesis, caption, _), (every, other, _) = (read_table(folder / "tables" / f"{name}.csv") for name in names)
    epochs = dict.fromkeys(facts["executed"][stem]["parameters"]["epochs"] for stem in THESIS_MODELS.values())
    rest = read_table(folder / "tables" / "table_convergence.csv")[0]
    lowest = "; ".join(f"{model}, {epoch}" for model, epoch in zip(rest["model"], rest["lowest in epoch"], strict=True))
    return [
        f"**{caption}**; its rows are different tasks, their networks trained for "
        f"{' / '.join(map(str, epochs))} epochs:",
        markdown(thesis[TABLE_5_1]),
        f"The epochs of their lowest validation losses, after which a training mostly fits its own photos: {lowest}.",
        f"**{other}**; intervals are 95 %, of precision@1:",
        markdown(every[EVERY]),
        *trained_again(folder),
    ]


def trained_again(folder: Path) -> list[str]:
    """Show what several trainings of the models reach in the mean, and how sure the thesis's best one is the best."""
    if not (folder / "tables" / "table_seeds_paired.csv").exists():
        return []
    (table, caption, _), (paired, _, _) = (
        read_table(folder / "tables" / f"{name}.csv") for name in ("table_seeds", "table_seeds_paired")
    )
    others = {judged: "; ".join(paired[paired["judged"] == judged].iloc[:, 0]) or "none" for judged in JUDGED}
    best = paired.columns[0].removeprefix("compared with: ")
    rivals = table[table["model"] != "recommended"].set_index("model")
    first = ", ".join(f"{measure} for {rivals[measure].idxmax()}" for measure in AGAIN[4:])
    return [
        f"**{caption}**, by the nearest photo; intervals are 95 %, over categories and trainings:",
        markdown(table[AGAIN]),
        f"Of the thesis's three and the baselines, {best} comes first by precision@1; by its paired intervals over "
        f"categories and trainings it, chosen on the same photos, is ahead of: {others['worse']}; not to be told apart "
        f"from: {others[JUDGED[2]]}. Other measures may order them otherwise: among them are highest {first}.",
    ]


def named(folder: Path, facts: Mapping[str, Any]) -> list[str]:
    """Say how often the recommended model names a test photo rightly, by its head and as the finder does."""
    model, finder = of_run(folder, "results/recommended.json"), of_run(folder, "results/finder.json")
    metrics, validation = model["metrics"], read_table(folder / "tables" / "table_calibration.csv")[0]
    known = float(validation.set_index("score by").loc["head", "accuracy"])
    low, high = (percent(limit) for limit in metrics["test_interval"])
    return [
        f"Recommended model ({model['backbone'] or 'from scratch'}, {model['epochs']} epochs, {model['side']} pixels), "
        f"{model['task']}: test accuracy {percent(metrics['test_accuracy'])} ({low} to {high}), "
        f"n = {metrics['n_test']:,} (validation {percent(known)}); the finder, which also looks at the nearest photos: "
        f"{percent(finder['accuracy'])}."
    ]


def chapter_6(folder: Path, facts: Mapping[str, Any]) -> list[str]:
    """Say how the rows of chapter 6 were judged, in three lists."""
    beyond, data = (of_run(folder, f"results/{name}.json") for name in ("beyond", "data"))
    given, against = facts["executed"]["06_beyond_the_thesis"]["parameters"], pd.DataFrame(beyond["against"])
    table = pd.DataFrame(beyond["table"])
    reference = table[~table["variant"].isin(against["variant"])].iloc[0]  # the row that all are compared with
    itself = f" (itself{marks(reference['verdict'])[1:]})" if marks(reference["verdict"]) else ""
    return [
        f"Chapter 6, one proposal at a time: {given['row_epochs']} passes over the training "
        f"photos at {given['row_side']} pixels for each row, trainings: {given['seeds']}, learning rates and margins "
        f"{'chosen on validation photos' if given['tune'] else 'not chosen anew'}. Difference in precision@1, in "
        f"points, to the thesis's, {reference['variant']}{itself}, with its paired 95 % interval; "
        f"{data['photos_by_split']['test']:,} test photos; judged by "
        "whether the interval leaves out zero, as about one in twenty does by chance where nothing differs; rows whose "
        "validation precision@1 still gained a point in the last quarter are marked *rising*, those whose loss ended "
        "hardly below the first *stuck*, and those that made all embeddings alike *collapsed*:",
        "\n".join(f"- **{judged}**: {listed(against[against['judged'] == judged], table)}" for judged in JUDGED),
        *learned(folder),
        *by_recipe(folder),
    ]


def learned(folder: Path) -> list[str]:
    """Say which rows of chapter 6 name parts better than a network that has learned nothing."""
    rows = (found := read_table(folder / "tables" / "table_learned.csv")[0]).set_index(found.columns[0])["judged"]
    others = [f"- **{judged}**: {'; '.join(rows.index[rows == judged]) or 'none'}" for judged in JUDGED]
    return ["Beside the untrained network, by the same rule:", "\n".join(others)]


def by_recipe(folder: Path) -> list[str]:
    """Show the thesis's three losses with its network and with the better recipe, if the run tried that."""
    if not (path := folder / "tables" / "table_losses_by_recipe.csv").exists():
        return []
    table = read_table(path)[0].rename(columns={"verdict": "training"})
    table["to contrastive, in points"] = [between(row) for row in table.to_dict("records")]
    return [
        f"Losses or recipe? The thesis's three losses on {LONGER} times as many passes, with its network and with the "
        "residual one on augmented photos; judged beside the contrastive loss with the same recipe, and beside the "
        "untrained network, without being better than which a loss has not shown what it is worth:",
        markdown(table[BY_RECIPE].replace({"training": {"": "–"}})),
    ]


def between(row: Mapping[str, Any]) -> str:
    """Write a difference with its interval, in points."""
    gain, low, high = (row[name] for name in ("difference", "difference low", "difference high"))
    return f"{100 * gain:+.1f}, {100 * low:+.1f} to {100 * high:+.1f}" if isinstance(gain, float) else "–"


def listed(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Name rows of chapter 6 with their differences, the largest first."""
    rows, verdicts = rows.sort_values("difference", ascending=False), table.set_index("variant")["verdict"]
    told = [f"{row['variant']} ({between(row)}{marks(verdicts[row['variant']])})" for row in rows.to_dict("records")]
    return "; ".join(told) or "none"


def marks(verdict: str) -> str:
    """Shorten what is said of a row's training to words in italics, each after a comma."""
    return "".join(f", *{word}*" for word in ("rising", "stuck", "collapsed") if word in verdict)


def markdown(frame: pd.DataFrame) -> str:
    """Write a table in Markdown, its cells as the report shows them."""
    rows = [[*frame.columns], ["---"] * len(frame.columns)]
    rows += [[cell(name, row[name]) for name in frame.columns] for row in frame.to_dict("records")]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(name: str, value: object) -> str:
    """Write one value as the report does, with the README's space before a percent sign."""
    if value is None or value != value:
        return "–"
    shown = (
        FORMATS.get(name, "{:,}".format)(value) if isinstance(value, int | float) else str(value).replace("|", "\\|")
    )
    return re.sub(r"(?<=\d)%", " %", shown)


def percent(share: float) -> str:
    """Write a share in percent."""
    return cell("accuracy", float(share))


if __name__ == "__main__":
    readme = ROOT / "README.md"
    try:
        text = written(readme.read_text("utf-8"))
    except UserError as error:
        raise SystemExit(f"results: {error}") from None
    with whole_file(readme) as unfinished:
        unfinished.write_text(text, "utf-8")
