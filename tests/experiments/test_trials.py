from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from samples import poisoned
from threadpoolctl import threadpool_limits

from autoparts import models, retrieval, tasks, training
from autoparts.errors import UserError
from autoparts.evaluation import choose_threshold
from autoparts.experiments import comparison, subsets, trials, variants
from autoparts.sampling import seeded
from autoparts.study.run import Run

SETTINGS = trials.Settings(epochs=1, batch_size=16, embedding_size=8, draws=20)
# One process for tests: each further one imports torch anew.
pytestmark = pytest.mark.usefixtures("one_process")
SHARES = (*retrieval.NAMING, "precision@1 macro", "ROC AUC", "EER", "accuracy", "precision", "recall", "f1", "ranking")
ROWS = {row.name: row for row in variants.ROWS}


@pytest.mark.parametrize("first", [8, 32])
def test_a_rows_convolutions_are_as_many_as_the_settings_say(small, first):
    settings = replace(SETTINGS, filters=(first, 2 * first))
    for row in (variants.BASELINE, variants.DEEPER):
        kernels = [layer for layer in trials.network_of(row, settings, small, 0).parameters() if layer.dim() == 4]
        assert len(kernels[0]) == first and len(kernels[-1]) == (8 * first if row is variants.DEEPER else 2 * first)


def saved(folder):
    return [torch.load(path, weights_only=True) for path in sorted((folder / "models" / "beyond").glob("*.pt"))]


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.01])
def test_a_share_of_the_photos_keeps_two_of_each_category(patterns, share):
    photos = patterns(*(sizes := (1, 2, 3, 8, 40)))
    kept, otherwise = (subsets.share_of(photos, share, seed) for seed in (0, 1))
    rows, labels = kept.rows["train"], kept.labels["train"]
    assert labels.equal(photos.labels["train"][rows]) and len(rows.unique()) == len(rows)
    assert labels.bincount().tolist() == [min(size, max(2, -(-size * share // 1))) for size in sizes]
    assert rows.equal(photos.rows["train"]) == rows.equal(otherwise.rows["train"]) == (share == 1)


def test_augmentation_of_small_categories_leaves_the_others_alone(patterns):
    photos = patterns(3, 4, 20, 8, 30)  # the median size is 8
    inputs = torch.rand(len(photos.pixels), 1, 20, 20, generator=seeded(0))
    for kind, expected in (("small", photos.labels["train"] < 2), ("all", photos.labels["train"] >= 0)):
        augment = trials.augment_of(variants.Row("", "", augmentation=kind), photos)
        moved = augment(inputs, photos.rows["train"], seeded(1), 0.5)
        assert (moved != inputs).flatten(1).any(dim=1).equal(expected)
    assert trials.augment_of(variants.BASELINE, photos) is None


def test_principal_components_are_those_of_training_photos_and_stay(run, patterns):
    photos = subsets.share_of(patterns(*[8] * 4), 0.5, 0)
    network, _ = trials.train(run, ROWS["principal components, at most 500"], SETTINGS, photos, 0)
    reduced = network[:2](models.photo_input(photos.pixels[photos.rows["train"]])).detach()
    assert reduced.mean(dim=0).abs().max() < 1e-3
    products = reduced.T @ reduced
    assert (products - products.diag().diag()).abs().max() < 1e-2 * reduced.square().sum()
    assert reduced.square().sum(dim=0).mean() / (len(reduced) - 1) == pytest.approx(1, rel=0.05)


def test_every_row_trains_and_is_judged(run, small):
    compared = trials.compare(run, variants.ROWS, SETTINGS, small)
    table, trained = compared.table, [row.name for row in variants.ROWS if row.trained]
    # The Hamming row is the baseline's network, looked up by its embedding cut at the medians.
    assert len(saved(run.folder)) == len(trained) - 1 == len(ROWS) - 3
    assert table["variant"].tolist() == list(compared.queries) == list(ROWS) and list(compared.histories) == trained
    finite = pd.concat(compared.histories.values())[["epoch", "training_loss", "validation_precision@1"]]
    assert np.isfinite(finite.to_numpy()).all()
    scores = table[list(SHARES)]
    assert scores.notna().all(axis=None) and ((scores >= 0) & (scores <= 1)).all(axis=None)
    assert table["spread"].isna().all() and (table["verdict"] == "").all()
    named = {name: frame[["precision@1"]].to_numpy().mean() for name, frame in compared.queries.items()}
    assert table.set_index("variant")["precision@1"].to_dict() == pytest.approx(named)


@pytest.mark.parametrize("name", ["supervised contrastive", "soft margin, hardest of a batch", "semi-hard triplets"])
def test_what_can_be_learned_is_learned_and_called_no_collapse(run, patterns, name):
    """A trained row tells the patterns apart, and no word is said against its training."""
    photos, settings = patterns(*[8] * 6), replace(SETTINGS, epochs=8, batch_size=24, learning_rate=2e-3)
    network, history = trials.train(run, ROWS[name], settings, photos, 0)
    vectors = retrieval.embedded(network, photos, ROWS[name].task.distance).vectors
    nearest = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).argmin(dim=1)
    assert (photos.labels["test"][nearest] == photos.labels["test"]).double().mean() > 0.9
    assert trials.collapse(vectors, history["training_loss"]) == ""


def test_what_a_training_ended_in_is_told_though_an_earlier_epoch_is_judged(run, small, monkeypatch):
    """Hard triplets may end with all embeddings alike, in the direction that a cosine sees, and be best before that."""
    row, settings = ROWS["hard triplets"], replace(SETTINGS, epochs=2)
    _, history = trials.train(run, row, settings, small, 0)
    path = run.weights(history.attrs["name"])
    alike = training.load_tensors(path)
    last = [*alike["network"]][-2:]  # weights and biases of the embedding's layer
    alike["network"] = {part: value * (part not in last) for part, value in alike["network"].items()}
    alike["network"][last[1]] += torch.linspace(1, 2, len(alike["network"][last[1]]))
    training.save_tensors(alike, path)
    monkeypatch.setattr(Run, "fit", lambda *given, **options: history)
    trial = trials.try_row(run, row, settings, small, small, 0)
    assert trial.scores["verdict"] == "collapsed: all embeddings are alike" and trial.scores["precision@1"] > 0


def test_a_collapsed_training_is_named():
    spread, flat, falling = torch.randn(9, 4, generator=seeded(0)), pd.Series([1.0] * 4), pd.Series([4.0, 3, 2, 1])
    assert "alike" in trials.collapse(torch.ones(9, 4) * 3 + spread * 1e-3, falling)
    assert "stuck" in trials.collapse(spread, flat) and "stuck" in trials.collapse(spread, flat * 0)
    assert trials.collapse(spread, falling) == trials.collapse(spread, flat.head(0)) == ""


def test_the_same_seed_gives_the_same_table_and_what_is_trained_is_not_trained_again(run, small, tmp_path, monkeypatch):
    rows = [variants.BASELINE, ROWS["semi-hard triplets"], ROWS["principal components, at most 500"]]
    tables, threads = [], torch.get_num_threads()
    for place, each in enumerate((run, Run(tmp_path / "other", run.study)), 1):  # with one thread, and with two
        torch.set_num_threads(place)
        with threadpool_limits(place):
            tables.append(trials.compare(each, rows, SETTINGS, small).table)
        assert torch.get_num_threads() == place
    torch.set_num_threads(threads)
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    one, two = (saved(folder) for folder in (run.folder, tmp_path / "other"))
    assert len(one) == 3 and [each["key"] for each in one] == [each["key"] for each in two]
    table = tables[0]
    monkeypatch.setattr(torch.Tensor, "backward", None)
    pd.testing.assert_frame_equal(table, trials.compare(run, rows, SETTINGS, small).table, check_exact=True)
    trials.compare(run, rows, replace(SETTINGS, draws=SETTINGS.draws + 1), small)
    trials.compare(run, [replace(rows[0], group="other", name="name", hamming=True)], SETTINGS, small)
    for task in (tasks.Triplets(margin=1.5), tasks.Grouped(mined="easy")):
        with pytest.raises(TypeError):  # 'NoneType' object is not callable: this is another training
            trials.compare(run, [replace(rows[0], task=task)], SETTINGS, small)


def test_seeds_are_averaged_and_their_spread_is_told(run, small):
    table = trials.compare(run, [variants.BASELINE], replace(SETTINGS, seeds=2), small).table
    first = trials.compare(run, [variants.BASELINE], SETTINGS, small).table["precision@1"][0]
    second = 2 * table["precision@1"][0] - first
    assert len(saved(run.folder)) == 2 and table["spread"][0] == pytest.approx(abs(first - second)) and first != second


def test_test_photos_reach_no_choice(run, small, tmp_path, monkeypatch):
    """Neither training, threshold, best epoch, learning rate nor margin."""
    names = ("offline triplets", "principal components, at most 500", "small categories augmented, drawn alike")
    rows = [variants.BASELINE, variants.PLAIN, *(ROWS[name] for name in names)]
    thresholds, weights = {"given": [], "scrambled": []}, {}

    def noted(distances, same):
        thresholds[current].append(choose_threshold(distances, same))
        return thresholds[current][-1]

    monkeypatch.setattr(retrieval, "choose_threshold", noted)
    settings, tuned = replace(SETTINGS, epochs=3), {}
    for current, photos in (("given", small), ("scrambled", poisoned(small))):
        place = Run(tmp_path / current, run.study)
        trials.compare(place, rows, settings, photos)
        states = [(state["network"], state["best"]["network"]) for state in saved(place.folder)]
        weights[current] = [
            [float(sum(value.double().sum() for value in part.values())) for part in state] for state in states
        ]
        tried = [replace(variants.PLAIN, rate=rate) for rate in (0.3, 1, 3, 9)]  # what is chosen among
        tuned[current] = [trials.validated(place, row, settings, photos, 0) for row in tried]
    assert weights["given"] == weights["scrambled"] and len({last for last, _ in weights["given"]}) == 5
    assert [last != best for last, best in weights["given"]] != [False] * 5  # some were better before the last epoch
    assert thresholds["given"] == thresholds["scrambled"] and len(thresholds["given"]) == 5
    assert tuned["given"] == tuned["scrambled"] and len(set(tuned["given"])) > 1


def test_hamming_keeps_a_bit_that_halves_the_training_photos(small):
    pixels = models.photo_input(small.pixels).flatten(1)[:, :3] - 2
    model, train = trials.cut_at_medians(retrieval.Embedded(pixels), small), small.rows["train"]
    assert model.vectors.equal((pixels > pixels[train].median(dim=0).values).float())
    assert 0.3 < model.vectors[train].mean() <= 0.5
    assert model.between(train[:1], train[1:2]) == (model.vectors[train[0]] != model.vectors[train[1]]).sum()


def test_every_row_gets_as_many_photos(patterns):
    """In each epoch, to within three in a hundred: what a row is worth is not told by how long it was trained."""
    photos = patterns(*[40] * 20)
    for row in (row for row in variants.ROWS if row.trained):
        for size in (64, 16, 5):
            batches = variants.Budgeted(row.task, 800).batches(photos, size, seeded(0))
            assert sum(len(batch.rows) for batch in batches) == pytest.approx(800, abs=24), row.name
    assert len(variants.Budgeted(tasks.Naming(), 3).batches(photos, 64, seeded(0))) == 1  # never none at all


def test_the_best_epoch_on_validation_photos_is_judged(run, small):
    settings = replace(SETTINGS, epochs=4, learning_rate=5e-3)
    network, history = trials.train(run, variants.PLAIN, settings, small, 0)
    task = variants.Budgeted(tasks.Naming(), 1)
    assert task.measure(network, small)["validation_precision@1"] == history["validation_precision@1"].max()
    assert trials.validated(run, variants.PLAIN, settings, small, 0) == history["validation_precision@1"].max()


def test_a_row_is_trained_as_it_says_and_its_best_weights_are_returned(run, small, monkeypatch):
    given, fit = [], Run.fit
    monkeypatch.setattr(Run, "fit", lambda *told, **options: given.append((told, options)) or fit(*told, **options))
    monkeypatch.setattr(variants.Budgeted, "score", lambda _, row: row["epoch"])  # the first epoch counts as the best
    settings = replace(SETTINGS, epochs=2)
    for row, schedule in (
        (variants.BASELINE, training.constant),
        (ROWS["half of the training photos"], training.constant),  # and they come twice as often
        (variants.AUGMENTED, training.constant),
        (variants.DEEPER, training.one_cycle),  # and at four times the rate
    ):
        network, _ = trials.train(run, row, settings, small, 3)
        (_, name, _, task, *numbers), options = given.pop()
        assert numbers == [2, 16, settings.learning_rate * row.rate] and options["schedule"] is schedule
        assert task == variants.Budgeted(row.task, len(small.rows["train"])) and options["seed"] == 3
        assert (options["augment"] is not None) == (row is variants.AUGMENTED)
        kept = training.load_tensors(run.weights(name))
        weights = network.state_dict()
        assert all(value.equal(kept["best"]["network"][part]) for part, value in weights.items())
        assert not all(value.equal(kept["network"][part]) for part, value in weights.items())


@pytest.mark.parametrize("better", ["semi-hard", "hard"])
def test_hard_triplets_warm_up_within_their_budget(run, small, monkeypatch, better):
    given, begun, fit, row = [], [], Run.fit, ROWS["hard triplets"]

    def trained(*told, **options):
        given.append(told)
        begun.append({part: value.clone() for part, value in told[2].state_dict().items()})
        return fit(*told, **options)

    def measured(self, *_):
        return {"validation_precision@1": float(self.task.mined == better)}

    monkeypatch.setattr(Run, "fit", trained)
    monkeypatch.setattr(variants.Budgeted, "measure", measured)
    network, history = trials.train(run, replace(row, rate=0.5), replace(SETTINGS, epochs=7), small, 3)
    assert [(told[3].task.mined, *told[4:]) for told in given] == [
        ("semi-hard", 2, 16, SETTINGS.learning_rate / 2),
        ("hard", 5, 16, SETTINGS.learning_rate / 2),
    ]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    early, late = (training.load_tensors(run.weights(told[1])) for told in given)
    assert all(value.equal(late["best"]["network"][part]) for part, value in network.state_dict().items())
    assert all(value.equal(early["best"]["network"][part]) for part, value in begun[1].items())
    assert trials.ended(run, row, network, history, small) == ""  # of the last weights
    chosen = trials.validated(run, replace(row, rate=0.5), replace(SETTINGS, epochs=7), small, 3)
    assert chosen == float(better == "hard"), "what the warm-up reaches says nothing of hard triplets"


def test_what_still_rises_is_marked(run, small):
    def verdict(curve, warm_up=0):
        history = pd.DataFrame({"validation_precision@1": curve})
        history.attrs["warm-up"] = warm_up
        trial = trials.Trial({"precision@1": 0.5, "verdict": ""}, None, history, 0)
        return trials._summary([trial], pd.DataFrame(history))["verdict"]

    assert verdict([0.1, 0.3, 0.5, 0.52]) == "still rising" and verdict([0.1, 0.5, 0.5, 0.505]) == ""
    warm = [0.6, 0.1, 0.2, 0.3, 0.4]
    assert verdict(warm) == "" and verdict(warm, 1) == "still rising"


def test_rates_and_margins_are_chosen_on_validation_photos_for_a_whole_family(run, small, monkeypatch):
    wanted = {"rate": 1 / 3, "margin": 2.0}

    def validated(run, row, settings, photos, seed):
        return -abs(row.rate - wanted["rate"]) - abs(getattr(row.task, "margin", 0) - wanted["margin"])

    monkeypatch.setattr(trials, "validated", validated)
    rows = [variants.BASELINE, variants.PIXELS, variants.PLAIN, variants.AUGMENTED]
    tuned = trials.tuned(run, rows, SETTINGS, small)
    assert [row.rate for row in tuned] == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3]) and tuned[1] == rows[1]
    assert [tuned[place].task.margin for place in (0, 3)] == [2, 2] and tuned[3].augmentation == "all"


def test_what_diverges_is_not_chosen(run, small, monkeypatch):
    def train(run, row, settings, photos, seed):
        if row.rate > 1:
            raise training.DivergedError("the training diverged")
        history = pd.DataFrame({"validation_precision@1": [0.2, row.rate]})
        history.attrs["warm-up"] = 0
        return None, history

    monkeypatch.setattr(trials, "train", train)
    (tuned,) = trials.tuned(run, [variants.PLAIN], SETTINGS, small)
    assert tuned.rate == 1
    with pytest.raises(UserError, match="all its trainings diverge; give a lower learning_rate"):
        trials.tuned(run, [replace(variants.PLAIN, rate=9.0)], SETTINGS, small)


def test_losses_are_set_beside_those_of_the_better_recipe(small):
    names = [row.name for row in (variants.UNTRAINED, *variants.THESIS.values(), *variants.RECIPES.values())]
    table = pd.DataFrame({"variant": names, "precision@1": np.arange(7) / 100, "verdict": ["", *"abcdef"]})
    table[["learning rate", "margin"]] = 0.5
    hits = np.arange(len(small.labels["test"])) % 9
    queries = {name: pd.DataFrame({"precision@1": (hits <= place) * 1.0}) for place, name in enumerate(names)}
    shown = comparison.losses_by_recipe(table, queries, small, 50)
    assert shown.index.tolist() == ["cross-entropy", "contrastive", "triplet"] * 2 and shown.index.name == "loss"
    assert shown["precision@1"].tolist() == pytest.approx(np.arange(1, 7) / 100)
    assert "".join(shown["verdict"]) == "abcdef"
    first, other = (queries[name]["precision@1"].mean() for name in (variants.CONTRASTIVE.name, variants.PLAIN.name))
    assert shown["difference"].iloc[0] == pytest.approx(other - first)
    assert shown["difference"].isna().tolist()[1::3] == [True] * 2
    learned = comparison.paired_differences(queries, small, variants.UNTRAINED.name, 50)["judged"]
    assert shown["beside untrained"].tolist() == learned[names[1:]].tolist() and learned.iloc[0] == "better"


def test_the_recipe_is_tuned_for_itself_and_trained_for_longer(run, small, monkeypatch):
    told = {}

    def compare(run, rows, settings, photos):
        told["rows"], told["epochs"] = rows, settings.epochs
        return trials.Comparison(pd.DataFrame(), {}, {})

    monkeypatch.setattr(trials, "compare", compare)
    monkeypatch.setattr(comparison, "losses_by_recipe", lambda *given: given)
    monkeypatch.setattr(trials, "tuned", lambda run, rows, *rest: [replace(row, rate=9.0) for row in rows])
    chosen = [replace(row, rate=3.0) for row in variants.ROWS]
    trials.by_recipe(run, chosen, SETTINGS, small, True)
    assert told["epochs"] == 3 * SETTINGS.epochs
    thesis, recipes = told["rows"][:4], told["rows"][4:]
    assert {row.name for row in thesis} == {row.name for row in (variants.UNTRAINED, *variants.THESIS.values())}
    assert {row.rate for row in thesis} == {3.0} and {row.rate for row in recipes} == {9.0}
    assert [row.name for row in recipes] == [row.name for row in variants.RECIPES.values()]
    trials.by_recipe(run, chosen, SETTINGS, small, False)
    assert told["rows"][4:] == [*variants.RECIPES.values()]


def test_a_row_on_fewer_photos_is_looked_up_among_these(run, patterns, monkeypatch):
    photos, galleries = patterns(*[8] * 4), []
    judge = retrieval.judge
    monkeypatch.setattr(retrieval, "judge", lambda model, judged: galleries.append(judged) or judge(model, judged))
    row = variants.Row("data", "a quarter", network="pixels", share=0.25, trained=False)
    trials.try_row(run, row, SETTINGS, photos, photos, 3)
    assert galleries[0].rows["train"].equal(subsets.share_of(photos, 0.25, 3).rows["train"])


def test_rows_that_cannot_be_what_they_say_are_refused(run, patterns):
    photos = patterns(*[8] * 4)
    for wrong, message in {
        "network": r"row 'm' has network 'resnet18'; expected \('thesis', 'residual', .*\), or a function",
        "augmentation": r"row 'm' has augmentation 'resnet18'; expected \('none', 'all', 'small'\), or a function",
    }.items():
        row = variants.Row("mine", "m", **{wrong: "resnet18"})
        with pytest.raises(UserError, match=message):
            trials.compare(run, [row], SETTINGS, photos)
    with pytest.raises(UserError, match="rows have one name, 'm': give each its own"):
        trials.compare(run, [variants.Row("mine", "m"), variants.Row("mine", "m", share=0.5)], SETTINGS, photos)
