import pytest

from autoparts.pipeline.progress import Progress, done, trainings
from autoparts.training import progress_line


def epoch(number, epochs=10):
    return progress_line({"epoch": number, "training_loss": 0.5}, epochs, 1.5) + "\n"


ROW = "losses: contrastive, plain, 12 s\n"  # as `trials.compare` prints it


@pytest.mark.parametrize(
    ("told", "trainings", "share"),
    [
        ("", 1, 0),
        ("torch.Size([3, 4])\nepoch of noise, 3 seconds\nepoch 1/0 \n", 1, 0),
        (epoch(1) + epoch(2) + epoch(3), 1, 0.3),
        ("going on after epoch 7 of 10\n" + epoch(8), 1, 0.8),
        (epoch(10), 1, 1),
        (ROW * 3, 6, 0.5),
        (ROW * 3 + epoch(5), 6, 3.5 / 6),
        (ROW * 3 + epoch(9) + epoch(10) + ROW, 6, 5 / 6),
        (ROW * 9, 6, 1),
        ("best of three: plain, learning rate 0.0015, margin 2\n" + ROW, 4, 0.5),
    ],
)
def test_lines_say_how_much_of_a_notebook_is_done(told, trainings, share):
    assert done(told, trainings) == pytest.approx(share)


def test_the_bar_moves_with_the_lines_and_estimates_the_rest(capsys, monkeypatch):
    clock = iter([0, 20, 20, 100, 220])
    monkeypatch.setattr("autoparts.pipeline.progress.time.monotonic", lambda: next(clock))
    with Progress({"01": 30, "02": 100, "03": 70}) as progress:
        progress.begin("01")
        progress.move(1)
        assert progress.bar.n == 20 and progress.bar.total == 20 + 100 + 70  # it was quicker than expected
        progress.begin("02")
        progress.write(epoch(4)[:5])  # what is printed comes in pieces
        progress.write(epoch(4)[5:])
        assert progress.bar.n == pytest.approx(100) and progress.bar.total == pytest.approx(20 + 200 + 70)
        progress.move(1)
        progress.skip("03")  # it is up to date after all
        assert progress.bar.n == progress.bar.total == 220
    shown = capsys.readouterr().err
    assert epoch(4) in shown and "02 " in shown and " 34%|" in shown and "100%|" in shown and "left" in shown


def test_notebook_6_counts_in_rows_and_a_tuned_model_in_many():
    beyond = {"row_epochs": 2, "rows": "few", "tune": False, "held_out_draws": 5, "seeds": 1, "row_side": 32}
    beyond |= {"recipe_epochs": 0, "scratch_epochs": 0, "recipe_side": 64}
    assert trainings({"epochs": 3}) == (1, 1) and trainings(beyond) == (10 + 5 * 8, 0)
    larger = beyond | {"rows": "all", "tune": True, "seeds": 3, "recipe_epochs": 16, "scratch_epochs": 9}
    assert trainings(larger) == (24 + 7 + 36 + 5 * 8 * 3 + 4 * 48, 48)
    assert done(ROW * 3 + epoch(5), 51, 48) == pytest.approx((3 + 24) / 51)


def test_without_notebooks_there_is_no_bar(capsys):
    Progress({}).close()
    assert capsys.readouterr().err == ""
