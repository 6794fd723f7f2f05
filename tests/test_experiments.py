from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from autoparts import experiments, images, live, mining, models, recipe, retrieval, sampling, study, training, variants
from autoparts.evaluation import choose_threshold
from autoparts.losses import distance
from autoparts.models import seeded

SETTINGS = variants.Settings(epochs=1, batch_size=16, embedding_size=8, side=20, draws=20)
SIZES = {"bolt": 24, "gasket": 20, "horn": 30, "lamp": 10, "mirror": 20}
RANDOM = variants.variants()[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A study of five categories of random photos, 24 pixels a side."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for category, count in SIZES.items():
        (folder / category).mkdir()
        for index in range(count):
            noise = generator.integers(0, 256, (6, 6), dtype=np.uint8)
            images.Image.fromarray(noise).resize((24, 24)).save(folder / category / f"{index}.png")
    return study.open_study(str(folder), str(tmp_path_factory.mktemp("run")), 3, device="cpu", size=24)


@pytest.fixture(scope="module")
def part(small):
    return experiments.part_of(small, 20)


def toy(sizes, side=20, seed=0):
    """Photos of categories of these sizes, all to train on; each category has its own pattern."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    pattern = torch.randint(0, 156, (len(sizes), side, side), generator=seeded(seed))
    noise = torch.randint(0, 100, (len(labels), side, side), generator=seeded(seed + 1))
    rows = torch.arange(len(labels))
    splits = dict.fromkeys(study.SPLITS, rows)
    return variants.Part((pattern[labels] + noise).byte(), splits, dict.fromkeys(study.SPLITS, labels))


def test_a_part_holds_the_splits_at_its_side(small, part):
    assert part.photos.shape == (len(small.photos), 20, 20) and part.photos.dtype == torch.uint8
    for split in study.SPLITS:
        assert part.rows[split].equal(small.rows(split)) and part.labels[split].equal(small.labels(split))
    whole = small.photos.float().mean(dim=(1, 2))
    assert (part.photos.float().mean(dim=(1, 2)) - whole).abs().max() < 4
    assert experiments.part_of(small, 24).photos is small.photos


def test_the_lists_compare_different_photos_and_say_what_is_true(part):
    for split, pairs in part.pairs.items():
        labels = part.labels[split]
        assert (pairs.left != pairs.right).all()
        assert pairs.same.equal(labels[pairs.left] == labels[pairs.right])
        assert pairs.same.double().mean() == 0.5
    anchor, positive, negative = part.triplets
    labels = part.labels["test"]
    assert (anchor != positive).all() and labels[anchor].equal(labels[positive])
    assert (labels[anchor] != labels[negative]).all()


def test_the_lists_are_saved_as_they_are(small, part):
    experiments.save_lists(small, part)
    saved = pd.read_csv(small.folder / "tables" / "pairs_test.csv")
    assert saved["left"].tolist() == part.pairs["test"].left.tolist()
    assert saved["same"].tolist() == part.pairs["test"].same.tolist()
    saved = pd.read_csv(small.folder / "tables" / "triplets_test.csv")
    assert saved["negative"].tolist() == part.triplets[2].tolist()


SHARES = (*retrieval.NAMING, "precision@1 macro", "ROC AUC", "EER", "accuracy", "precision", "recall", "f1", "ranking")


def test_every_row_trains_and_is_judged(small, part, tmp_path):
    rows = variants.variants()
    assert len({row.name for row in rows}) == len(rows)
    table = experiments.compare(part, rows, SETTINGS, replace(small, folder=tmp_path))
    saved = [torch.load(path, weights_only=True) for path in (tmp_path / "models" / "beyond").glob("*.pt")]
    histories = pd.concat([pd.DataFrame(state["history"]) for state in saved])
    # The Hamming row is the baseline's network, looked up by its embedding cut at the medians.
    assert len(saved) == len(rows) - 1 and np.isfinite(histories[["epoch", "training_loss"]].to_numpy()).all()
    assert table["variant"].tolist() == [row.name for row in rows]
    scores = table[list(SHARES)]
    assert scores.notna().all(axis=None) and ((scores >= 0) & (scores <= 1)).all(axis=None)
    assert (table["precision@1 low"] <= table["precision@1"]).all()
    assert (table["precision@1"] <= table["precision@1 high"]).all()
    assert (table["spread"] == 0).all() and (table["verdict"] == "").all()


@pytest.mark.parametrize("name", ["supervised contrastive", "soft margin, hardest of a batch", "semi-hard triplets"])
def test_what_can_be_learned_is_learned_and_called_no_collapse(name):
    """A trained row tells the patterns apart, and no word is said against its training."""
    easy = toy([8] * 6)
    row = next(row for row in variants.variants() if row.name == name)
    settings = replace(SETTINGS, epochs=8, batch_size=24, learning_rate=2e-3)
    network, history = variants.train(easy, row, settings, 0, say=lambda line: None)
    vectors = experiments.embedded(network, easy, row.distance).vectors["test"]
    apart = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).argmin(dim=1)
    labels = easy.labels["test"]
    assert (labels[apart] == labels).double().mean() > 0.9
    assert training.collapse(vectors, history["training_loss"]) == ""


def test_the_same_seed_gives_the_same_table_and_a_finished_row_is_not_trained_again(small, part, tmp_path, monkeypatch):
    rows = [row for row in variants.variants() if row.name in (RANDOM.name, "semi-hard triplets")]
    elsewhere = replace(small, folder=tmp_path)
    table = experiments.compare(part, rows, SETTINGS, elsewhere)
    pd.testing.assert_frame_equal(table, experiments.compare(part, rows, SETTINGS, small), check_exact=True)
    monkeypatch.setattr(training, "_train_epoch", None)
    pd.testing.assert_frame_equal(table, experiments.compare(part, rows, SETTINGS, elsewhere), check_exact=True)
    experiments.compare(part, rows, replace(SETTINGS, draws=SETTINGS.draws + 1), elsewhere)


def test_seeds_are_averaged_and_their_spread_is_told(small, part):
    rows, settings = [RANDOM], replace(SETTINGS, seeds=2)
    table = experiments.compare(part, rows, settings, small)
    each = [experiments._score(part, part, RANDOM, settings, small, seed) for seed in range(2)]
    found = [scores["precision@1"] for scores in each]
    assert found[0] != found[1]
    assert table["precision@1"][0] == pytest.approx(np.mean(found))
    assert table["spread"][0] == pytest.approx(abs(found[0] - found[1]))


def scrambled(small):
    """The same study with the labels of its test photos drawn at random."""
    catalogue = small.catalogue.copy()
    test = catalogue["split"] == "test"
    drawn = np.random.default_rng(1).permutation(catalogue.loc[test, "category"])
    assert (drawn != catalogue.loc[test, "category"]).any()
    catalogue.loc[test, "category"] = drawn
    return replace(small, catalogue=catalogue)


def weights_of(small, folder, rows, settings):
    here = replace(small, folder=folder)
    part = experiments.part_of(here, 20)
    experiments.compare(part, rows, settings, here)
    states = [torch.load(path, weights_only=True) for path in sorted((folder / "models" / "beyond").glob("*.pt"))]
    return sorted(float(sum(v.double().sum() for v in state["network"].values())) for state in states)


def test_test_labels_reach_neither_training_nor_threshold(small, tmp_path, monkeypatch):
    names = (RANDOM.name, "offline triplets", "cross-entropy (plain network)", "500 principal components")
    rows = [row for row in variants.variants() if row.name in (*names, "small categories augmented, drawn alike")]
    thresholds = {}

    def noted(distances, same):
        thresholds.setdefault(current, []).append(choose_threshold(distances, same))
        return thresholds[current][-1]

    monkeypatch.setattr(retrieval, "choose_threshold", noted)
    weights = {}
    for current, one in (("given", small), ("scrambled", scrambled(small))):
        weights[current] = weights_of(one, tmp_path / current, rows, SETTINGS)
    assert len(weights["given"]) == 5 and len(set(weights["given"])) == 5
    assert weights["given"] == weights["scrambled"]
    assert thresholds["given"] == thresholds["scrambled"] and len(thresholds["given"]) == 5


def test_offline_triplets_leave_out_the_easiest_and_the_hardest():
    tiny = toy([3, 9, 20, 8])
    rows, labels = tiny.rows["train"], tiny.labels["train"]
    a, p, n = variants.offline_triplets(tiny.photos, rows, labels, seed=5)
    assert labels[a].equal(labels[p]) and (a != p).all() and (labels[a] != labels[n]).all()
    assert len(a) == pytest.approx(2 * len(rows), abs=2)
    pixels = torch.nn.functional.avg_pool2d(tiny.photos[:, None].float(), 5).flatten(1)
    drawn = sampling.random_triplets(labels, 4 * len(rows), seeded(5))
    gaps = [distance(pixels[x], pixels[z]) - distance(pixels[x], pixels[y]) for x, y, z in ((a, p, n), drawn)]
    ordered = gaps[1].sort().values
    assert ordered[len(rows) - 2] <= gaps[0].min() and gaps[0].max() <= ordered[3 * len(rows) + 1]
    assert ordered[0] < gaps[0].min() and gaps[0].max() < ordered[-1]


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.01])
def test_a_share_of_the_photos_keeps_two_of_each_category(share):
    tiny = toy([1, 2, 3, 8, 40])
    rows, labels = tiny.rows["train"] + 100, tiny.labels["train"]
    kept, kept_labels = variants._subset(rows, labels, share, 0)
    assert kept_labels.equal(labels[kept - 100]) and len(kept.unique()) == len(kept)
    for category, size in enumerate((1, 2, 3, 8, 40)):
        expected = min(size, max(2, -(-size * share // 1)))
        assert (kept_labels == category).sum() == expected
    if share == 1:
        assert kept.equal(rows)
    else:
        assert not kept.equal(variants._subset(rows, labels, share, 1)[0])


def test_augmentation_of_small_categories_leaves_the_others_alone():
    tiny = toy([3, 4, 20, 8, 30])  # the median size is 8
    row = next(row for row in variants.variants() if row.augmentation == "small")
    changed = {}
    for kind in ("small", "all"):
        augment = variants._augmentation(replace(row, augmentation=kind), tiny)
        inputs = torch.rand(len(tiny.photos), 1, 20, 20, generator=seeded(0))
        moved = augment(inputs, tiny.rows["train"], seeded(1), 0.5)
        changed[kind] = (moved != inputs).flatten(1).any(dim=1)
    assert changed["small"].equal(tiny.labels["train"] < 2)
    assert changed["all"].all()
    assert variants._augmentation(replace(row, augmentation="none"), tiny) is None


def test_principal_components_are_those_of_training_photos_and_stay():
    row = next(row for row in variants.variants() if row.network == "components")
    tiny = toy([8] * 4)
    fewer = replace(
        tiny,
        rows={**tiny.rows, "train": tiny.rows["train"][::2]},
        labels={**tiny.labels, "train": tiny.labels["train"][::2]},
    )
    network, _ = variants.train(fewer, row, SETTINGS, 0, say=lambda line: None)
    other = replace(fewer, photos=tiny.photos.clone())
    other.photos[1::2] = 255 - other.photos[1::2]  # photos that are not for training
    again, _ = variants.train(other, row, SETTINGS, 0, say=lambda line: None)
    assert all(a.equal(b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    reduced = network[:2](1 - fewer.photos[fewer.rows["train"]][:, None].float() / 255).detach()
    assert reduced.mean(dim=0).abs().max() < 1e-3
    assert (reduced.T @ reduced - (reduced.T @ reduced).diag().diag()).abs().max() < 1e-2 * reduced.square().sum()
    assert reduced.square().sum(dim=0).mean() / (len(reduced) - 1) == pytest.approx(1, rel=0.05)


def test_the_kinds_of_triplets_are_shares(part):
    row = next(row for row in variants.variants() if row.sampling == "semi-hard")
    kinds = experiments.triplet_kinds(part, row, replace(SETTINGS, epochs=2), 0)
    assert kinds.columns.tolist() == ["epoch", *mining.KINDS] and kinds["epoch"].tolist() == [1, 2]
    assert kinds[list(mining.KINDS)].sum(axis=1).to_numpy() == pytest.approx(np.ones(2))


def test_held_out_categories_are_never_trained_on(small, part, monkeypatch):
    seen = []

    def noted(given, rows, settings, of, judged):
        seen.append((given, judged))
        return original(given, rows, settings, of, judged)

    original = experiments.compare
    monkeypatch.setattr(experiments, "compare", noted)
    table = experiments.unseen(small, part, [RANDOM], SETTINGS, 0.3)
    assert table["trained on them"].tolist() == ["no", "yes"]
    category = small.catalogue.set_index("row")["category"]

    def categories(of, split):
        return set(category[of.rows[split].tolist()])

    (without, judged), (whole, judged_too) = seen
    assert whole is part and judged_too is judged
    hidden = categories(judged, "train")
    assert len(hidden) == 2 and categories(judged, "test") == hidden
    for split in study.SPLITS:
        assert categories(without, split) == set(SIZES) - hidden
    assert categories(judged, "validation") == set(SIZES) - hidden  # where the threshold comes from
    own = set(category.index[category.isin(hidden)])
    assert set(judged.rows["train"].tolist()) | set(judged.rows["test"].tolist()) == own
    assert not set(judged.rows["train"].tolist()) & set(judged.rows["test"].tolist())
    for split in study.SPLITS:
        names = [category[row] for row in judged.rows[split].tolist()]
        known = pd.DataFrame({"name": names, "label": judged.labels[split].tolist()}).drop_duplicates()
        assert known["name"].is_unique and known["label"].is_unique


def test_no_category_is_held_out_where_there_are_too_few(small, part, capsys):
    table = experiments.unseen(small, part, [RANDOM], SETTINGS, 0.9)
    assert table.empty and {"variant", "trained on them", "ROC AUC"} <= set(table.columns)
    assert "no categories are held out: the models cannot be judged" in capsys.readouterr().out


def test_a_part_of_categories_that_cannot_be_paired_can_still_be_trained_on(small):
    alone = small.categories.index("lamp")  # it has one validation photo and one test photo
    assert (small.labels("validation") == alone).sum() == (small.labels("test") == alone).sum() == 1
    lamps = experiments.part_of(small, 20, np.array([alone]))
    assert len(lamps.rows["train"]) == 8 and (lamps.labels["train"] == 0).all()


def test_losses_are_set_beside_those_of_the_better_recipe():
    rows = variants.variants()
    table = pd.DataFrame({"variant": [row.name for row in rows], "precision@1": np.arange(len(rows)) / 100})
    shown = experiments.losses_by_recipe(table)
    for column, network, augmented in (
        ("thesis network", "thesis", "none"),
        ("residual, augmented", "residual", "all"),
    ):
        for loss in ("cross-entropy", "contrastive", "triplet"):
            place = next(
                i
                for i, row in enumerate(rows)
                if (row.loss, row.sampling, row.network, row.augmentation) == (loss, "random", network, augmented)
            )
            assert shown.loc[loss, column] == place / 100


def test_hamming_keeps_a_bit_that_halves_the_training_photos(part):
    def network(inputs):
        return inputs.flatten(1)[:, :3] - 2

    model = experiments.embedded(network, part, "hamming")
    photos = {split: models.photo_input(part.photos[rows]).flatten(1)[:, :3] for split, rows in part.rows.items()}
    assert model.vectors["test"].equal((photos["test"] > photos["train"].median(dim=0).values).float())
    assert 0.3 < model.vectors["train"].mean() <= 0.5
    differing = (model.vectors["test"][0] != model.vectors["test"][1]).sum()
    assert float(model.distances("test", torch.tensor([0]), torch.tensor([1]))) == differing


def test_look_alikes_are_the_nearest_training_photos(small):
    whole = experiments.part_of(small, 24)
    vectors = {split: small.photos[whole.rows[split]].flatten(1).float() / 255 for split in study.SPLITS}
    shown = live.lookalikes(small, whole, {"pixels": retrieval.Embedded(vectors, whole.labels)}, 4, 3)
    assert shown["models"] == ["pixels"] and len(shown["queries"]) == 4
    assert {query["category"] for query in shown["queries"]} <= set(small.categories)
    query = shown["queries"][0]
    first = int(whole.labels["test"].argsort(stable=True)[0])
    apart = torch.cdist(vectors["test"][first, None], vectors["train"])[0].sort()
    names = [small.categories[int(whole.labels["train"][place])] for place in apart.indices[:3]]
    assert [found["category"] for found in query["neighbours"]["pixels"]] == names
    distances = [found["distance"] for found in query["neighbours"]["pixels"]]
    assert distances == pytest.approx(apart.values[:3].tolist(), abs=2e-3)
    used = {q["image"] for q in shown["queries"]} | {
        n["image"] for q in shown["queries"] for n in q["neighbours"]["pixels"]
    }
    assert used == set(range(len(shown["thumbnails"])))


def test_too_few_photos_to_judge_on_is_said_in_words(small):
    labels = {split: torch.arange(3) for split in study.SPLITS}
    with pytest.raises(study.StudyError, match="cannot be judged on so few photos"):
        experiments._lists(small, labels)


def test_the_four_networks_are_trained_again_for_each_seed(small, part, tmp_path, monkeypatch):
    seen = []
    network = models.initialised(0, models.Recogniser, len(small.categories), 8, (4, 8))
    monkeypatch.setattr(
        recipe,
        "train_recommended",
        lambda study, epochs, seed, path, backbone: seen.append((seed, path)) or (network, None),
    )
    own = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "filters": [4, 8]}
    results = {
        "cnn": {"title": "plain", "variant": {"loss": "cross-entropy", "distance": "euclidean"}, "settings": own},
        "triplet": {"title": "triplet", "variant": {"loss": "triplet", "margin": 1.0}, "settings": own},
    }
    settings = replace(SETTINGS, seeds=2)
    table = experiments.over_seeds(replace(small, folder=tmp_path), part, results, settings, 3)
    assert table["variant"].tolist() == ["plain", "triplet", "recommended"]
    assert [seed for seed, _ in seen] == [small.seed, small.seed + 1] and len({path for _, path in seen}) == 2
    assert table["spread"].iloc[2] == 0
    saved = [torch.load(path, weights_only=True) for path in (tmp_path / "models" / "beyond").glob("*.pt")]
    assert len(saved) == 4 and all(state["network"]["0.0.weight"].shape[0] == 4 for state in saved)
