"""Names that a finder is taught without training, and that it forgets."""

import dataclasses

import pytest
import torch
from samples import draw
from torch.nn import functional as F

from autoparts import load_finder
from autoparts.__main__ import main
from autoparts.errors import UserError
from autoparts.finder import places, teach

pytest_plugins = "finder_files"


@pytest.fixture
def here(here):
    """A finder whose head names its own photos, as a trained one does."""
    means = torch.stack([here.gallery[here.labels == label].mean(dim=0) for label in range(4)])
    network = teach.with_head(here.network, 2 * F.normalize(means, dim=1), torch.full((4,), 0.01))
    return dataclasses.replace(here, network=network, by_head=1.0, by_photo=5.0)


@pytest.fixture
def photos(tmp_path):
    """Photos of a part that no category has: six shades of one picture."""
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        draw(1000).point(lambda value, lift=number: min(255, value // 2 + 4 * lift)).save(path)
    return paths


def test_a_new_name_is_known_at_once_and_nothing_else_changes(here, photos, study, tmp_path):
    state = {name: value.clone() for name, value in here.network.state_dict().items()}
    learned = here.add(" Torque  Arm ", photos[:5])
    answer = learned.identify(photos[5])
    assert learned.categories == [*here.categories, "Torque Arm"] and answer.names[0].category == "Torque Arm"
    assert answer.nearest[0].category == "Torque Arm" and answer.nearest[0].thumbnail.startswith(b"\xff\xd8")
    assert here.identify(photos[5]).names[0].category != "Torque Arm" and len(here.categories) == 4
    assert all(value.equal(here.network.state_dict()[name]) for name, value in state.items())
    known = study.subset("train")["path"].iloc[0]
    assert learned.identify(known).names[0].category == here.identify(known).names[0].category
    learned.save(tmp_path / "again.pt")
    again = load_finder(tmp_path / "again.pt")
    assert again.gallery.equal(learned.gallery) and again.thumbnails == learned.thumbnails
    assert again.identify(photos[5]) == answer


def test_a_taught_name_expects_the_logit_that_known_ones_get(here):
    generator = torch.Generator().manual_seed(0)
    centre = F.normalize(torch.randn(128, generator=generator), dim=0)
    made = F.normalize(0.8 * centre + 0.6 * F.normalize(torch.randn(4000, 128, generator=generator), dim=1), dim=1)
    level = here.network.logits(here.validation).gather(1, here.validation_labels[:, None]).mean()
    for number, tolerance in ((50, 0.05), (10, 0.2)):
        row = teach.imprinted(here, made[:number])
        assert float((made[number:] @ row).mean()) == pytest.approx(float(level), rel=tolerance)
    one = teach.imprinted(here, made[:1])
    assert float(one.norm()) == pytest.approx(float(level) / teach.alikeness(here, made[:1]), rel=1e-4)


def test_more_photos_of_a_known_name_leave_a_trained_head_and_move_a_taught_one(here, photos):
    more = here.add("Pump", photos[:2])
    assert more.categories == here.categories and len(more.gallery) == len(here.gallery) + 2
    assert more.network.head.weight.equal(here.network.head.weight)
    first = here.add("Arm", photos[:2])
    both = first.add("Arm", photos[2:4])
    expected = F.normalize(both.gallery[both.labels == 4].sum(dim=0), dim=0)
    assert torch.allclose(F.normalize(both.network.head.weight[4], dim=0), expected, atol=1e-5)
    assert not torch.allclose(F.normalize(first.network.head.weight[4], dim=0), expected, atol=1e-5)


def test_a_photo_that_is_there_already_gets_the_new_name(here, photos):
    learned = here.add("Arm", photos[:3])
    assert len(learned.add("Arm", photos[:3]).gallery) == len(learned.gallery)
    moved = learned.add("Pump", photos[:1])
    assert len(moved.gallery) == len(learned.gallery) and moved.identify(photos[0]).nearest[0].category == "Pump"


def test_copies_in_a_lesson_count_once_and_what_was_taught_wrongly_is_undone(here, photos):
    learned = here.add("Arm", [photos[0], photos[1], photos[0]])
    assert learned.gallery.equal(here.add("Arm", [photos[1], photos[0]]).gallery[[*range(len(here.gallery)), -1, -2]])
    corrected = here.add("Arm", photos[:5]).add("Rod", photos[2:5])
    right = here.add("Arm", photos[:2])
    rows = [F.normalize(each.network.head.weight[4], dim=0) for each in (corrected, right)]
    assert torch.allclose(*rows, atol=1e-4)
    assert here.add("Arm", photos[:2]).add("Rod", photos[:2]).categories == [*here.categories, "Rod"]


def test_forgetting_undoes_teaching_and_stops_before_the_last_name(here, photos):
    forgot = here.add("Arm", photos[:3]).forget("Arm")
    assert forgot.categories == here.categories and forgot.thumbnails == here.thumbnails
    assert forgot.identify(photos[0]) == here.identify(photos[0])
    less = here.forget("Mirror")
    assert less.categories == ["Clutch", "Pump", "Wheel"] and len(less.thumbnails) == len(less.gallery)
    for kind in ("labels", "validation_labels"):
        names = [here.categories[label] for label in getattr(here, kind)]
        assert [less.categories[label] for label in getattr(less, kind)] == [name for name in names if name != "Mirror"]
    assert len(less.validation) == len(less.validation_labels)
    with pytest.raises(UserError, match=r"'Mi\\x1bror' cannot be forgotten: the finder does not know it"):
        less.forget("Mi\x1bror")
    with pytest.raises(UserError, match="'Wheel' cannot be forgotten: no other has photos"):
        less.forget("Clutch").forget("Pump").forget("Wheel")


@pytest.mark.parametrize("name", ["", " ", "\x1b\n", "x" * 1001])
def test_a_name_has_to_be_seen(here, photos, name):
    with pytest.raises(UserError, match="cannot be learned: give a name") as found:
        here.add(name, photos)
    assert str(found.value).isprintable()
    with pytest.raises(UserError, match="0 photos cannot be learned"):
        here.add("Arm", [])


def test_photos_are_named_by_the_others(here, photos):
    one = here.add("Arm", photos[:1])
    assert not teach.named_by_others(one, torch.tensor([len(here.gallery)]))  # itself does not count
    learned = here.add("Arm", photos[:5])
    rows = (learned.labels == 4).nonzero().flatten()
    assert teach.named_by_others(learned, rows).all()
    for row in rows[:2].tolist():
        cosines = learned.gallery @ learned.gallery[row]
        cosines[row] = -1
        nearest = torch.stack([cosines[learned.labels == label].amax() for label in range(5)])
        logits = learned.network.logits(learned.gallery[row])
        logits[4] = teach.imprinted(learned, learned.gallery[rows[rows != row]]) @ learned.gallery[row]
        assert int((logits + 5 * nearest).argmax()) == 4


@pytest.mark.parametrize("right", [2, 3])
def test_a_name_that_is_mostly_mistaken_needs_more_photos(here, photos, right, monkeypatch):
    said, learned = [], here.add("Arm", photos[:5])
    monkeypatch.setattr(teach, "named_by_others", lambda _, rows: torch.arange(len(rows)) < right)
    teach._compare(here, learned, said.append)
    assert said[-1] == f"of Arm: {right} of 5" + "; more photos of it would help" * (right == 2)


def test_what_teaching_does_to_known_names_is_told_on_validation_photos(here):
    said, scores = [], here.scores(here.validation)
    right = scores.argmax(dim=1) == here.validation_labels
    share = float((right & (scores.amax(dim=1) >= here.threshold)).double().mean())
    worse = dataclasses.replace(here, threshold=9e9)  # refuses all
    teach._compare(here, worse, said.append)
    told = f"of {len(scores)} validation photos, all of names known before, named rightly"
    assert said == [f"{told}: {share:.1%}, now 0.0%"]


def test_a_refused_photo_is_not_named(here):
    scores, truth = torch.tensor([[0.0, 9.0], [0.0, 9.0], [0.0, 1.0]]), torch.tensor([1, 0, 1])
    assert teach.named(dataclasses.replace(here, threshold=9.0), scores, truth).tolist() == [True, False, False]


def test_a_name_that_is_corrected_is_told_as_new_and_the_wrong_one_as_gone(here, photos, monkeypatch):
    said, judged, wrong = [], [], here.add("Amr", photos[:3])

    def named_by_others(finder, rows):
        judged.append({finder.categories[label] for label in finder.labels[rows]})
        return torch.ones(len(rows), dtype=torch.bool)

    monkeypatch.setattr(teach, "named_by_others", named_by_others)
    teach.learn(wrong, {"Arm": [str(photo) for photo in photos[:3]]}, said.append)
    assert said[-2:] == ["forgotten, since all their photos have another name now: Amr", "of Arm: 3 of 3"]
    assert judged == [{"Arm"}] and said[-3].startswith("of 7 validation photos, all of names known before")


def test_a_finder_all_of_whose_names_are_corrected_has_none_to_compare(here, photos):
    said, before, after = [], here.add("Amr", photos[:3]), here.add("Arm", photos[:3])
    for name in here.categories:
        before, after = before.forget(name), after.forget(name)
    assert not len(before.validation) and len(here.validation)
    teach._compare(before, after, said.append)
    gone = "forgotten, since all their photos have another name now"
    assert [line.partition(":")[0] for line in said] == [gone, "of Arm"]


def test_the_command_teaches_beside_the_file_and_identify_knows_it(path, photos, tmp_path, capsys):
    before, run = path.read_bytes(), ["--run", str(path)]
    (tmp_path / "no.png").write_bytes(b"no photo")
    assert main(["teach", *run, "--name", "Torque Arm", *map(str, photos[:5]), str(tmp_path / "no.png")]) == 0
    told = capsys.readouterr().out
    assert "no.png cannot be read" in told and "Torque Arm: 5 photos, a new name" in told
    assert "of Torque Arm: " in told and "of names known before, named rightly: " in told and "finder.pt stays" in told
    assert path.read_bytes() == before
    assert "Torque Arm" in load_finder(places.taught_file(path)).categories
    (tmp_path / "feedback.csv").write_text("path,category\n5.png,Torque Arm\n")
    assert main(["teach", *run, str(tmp_path / "feedback.csv")]) == 0
    assert "1 photos, more of a known name" in capsys.readouterr().out
    assert main(["identify", *run, "--csv", str(photos[0])]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.startswith("photo,known,name_1") and ",Torque Arm," in line
    assert main(["forget", *run, "--name", "Torque Arm"]) == 0
    assert "Torque Arm" not in load_finder(places.taught_file(path)).categories
    places.taught_file(path).rename(other := path.with_name("finder-taught-00000000.pt"))  # of a finder of before
    assert main(["identify", *run, "--csv", str(photos[0])]) == 0
    assert f"{other} was taught an earlier finder, and is not used" in capsys.readouterr().err
    other.unlink()
    (dotted := tmp_path / "parts.v2").joinpath("Arm").mkdir(parents=True)
    (dotted / "Arm" / "no.png").write_bytes(b"no photo")
    for wrong, message in (
        (["identify", *run, "--csv", "--json", "a.jpg"], "give one of them"),
        (["teach", *run, "a.jpg", "b.jpg"], "--name is missing"),
        (["teach", *run, "a.WebP"], "--name is missing"),
        (["teach", *run, str(dotted)], "none of 1 files could be read"),  # a folder of names, whatever it is called
        (["teach", *run, "--name", "Arm", str(tmp_path / "no.png")], "none of 1 files could be read"),
    ):
        assert main(wrong) == 2 and message in capsys.readouterr().err
    assert not places.taught_file(path).exists()
