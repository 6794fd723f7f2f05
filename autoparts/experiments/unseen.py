"""Categories never seen in training: how well networks name parts of these alone, and whether training helped."""

from collections.abc import Sequence
from itertools import product

import pandas as pd
from scipy import stats

from autoparts.errors import UserError
from autoparts.experiments import subsets, variants
from autoparts.experiments.parallel import side_by_side
from autoparts.experiments.trials import MEASURES, Settings, seeds_of, try_row, validated
from autoparts.experiments.variants import Row
from autoparts.sampling import Photos
from autoparts.study.run import Run

SHOWN = ["precision@1", "low", "high", "MAP@R", "ROC AUC", "EER", "ranking", "draws", "photos of a draw"]
DIFFERENCES = ["difference", "difference low", "difference high"]


def judge(
    run: Run, rows: Sequence[Row], settings: Settings, photos: Photos, times: int = 5, share: float = 0.15
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold a share of the categories out of training, and judge rows on these alone, for different draws of them.

    Their training photos are the gallery, their test photos the queries; the threshold comes from the other categories.
    Returns means over the draws, with the 95 % interval of that of precision@1 by Student's t (none of a single draw),
    and how many test photos a draw has: two lines per row, `trained on them` no, and yes for a training on all; one
    line of a row that is not trained. And `differences`. Both have no line where there are too few categories.
    """
    held_out = (subsets.held_out(photos, f"unseen {place}", share) for place in range(times))
    # Of few categories the same may be drawn again, which would be trained and counted twice.
    draws = [*{tuple(judged.rows["train"].tolist()): (others, judged) for others, judged in held_out}.values()]
    try:
        for _, judged in draws:
            judged.pairs("validation"), judged.pairs("test")
    except UserError as error:
        print(f"no categories are held out: {error}")
        return pd.DataFrame(columns=["variant", "trained on them", *SHOWN]), pd.DataFrame(columns=DIFFERENCES)
    seeds, trained = seeds_of(run, settings), [row for row in rows if row.trained]
    # What all draws judge is trained first, unless that is done, so that no two processes train it.
    shared = [(run, row, settings, photos, seed) for row, seed in product(trained, seeds)]
    list(side_by_side(validated, shared, photos.device))
    jobs = {
        (row.name, known, place, seed): (run, row, settings, others if known == "no" else photos, judged, seed)
        for (place, (others, judged)), known, row, seed in product(enumerate(draws), ("no", "yes"), rows, seeds)
        if row.trained or known == "no"
    }
    scores = {}
    for job, trial in zip(jobs, side_by_side(try_row, [*jobs.values()], photos.device), strict=True):
        shown = "trained on all" if job[1] == "yes" else "never saw them"
        print(f"held out, draw {job[2] + 1} of {len(draws)}: {job[0]}, {shown}, {trial.seconds:.0f} s")
        scores[job] = trial.scores
    table = pd.DataFrame(scores).T.rename_axis(["variant", "trained on them", "draw", "seed"])[[*MEASURES, "queries"]]
    of_draws = table.astype(float).groupby(level=[0, 1, 2], sort=False).mean()
    means, precision = of_draws.groupby(level=[0, 1], sort=False).mean(), of_draws["precision@1"].unstack()
    reach = _reach(precision)
    limits = {"low": (means["precision@1"] - reach).clip(0), "high": (means["precision@1"] + reach).clip(upper=1)}
    counts = {"draws": len(draws), "photos of a draw": means["queries"]}
    table = means.assign(**limits, **counts)[SHOWN].reindex([row.name for row in rows], level=0)
    return table.reset_index(), differences(precision)


def differences(precision: pd.DataFrame) -> pd.DataFrame:
    """Set rows of precision@1 against each other, draw by draw, with the 95 % interval of the mean by Student's t.

    Takes a row for each variant and whether it was trained on the categories, and a column for each draw. Returns two
    lines per trained variant: what never saw the categories less the untrained network (if that is there), and less
    itself trained on all.
    """
    lines, untrained = {}, variants.UNTRAINED.name
    for variant, known in precision.xs("yes", level=1).iterrows():
        never = precision.loc[(variant, "no")]
        lines[f"{variant}, less trained on all"] = never - known
        if (untrained, "no") in precision.index:
            lines[f"{variant}, less {untrained}"] = never - precision.loc[(untrained, "no")]
    table = pd.DataFrame(lines).T.rename_axis("not trained on them")
    means, reach = table.mean(axis=1), _reach(table)
    return pd.DataFrame(dict(zip(DIFFERENCES, (means, means - reach, means + reach), strict=True)))


def _reach(values: pd.DataFrame) -> pd.Series:
    """Half the 95 % interval of each row's mean, of few and so by Student's t; NaN of a single column."""
    return values.sem(axis=1) * stats.t.ppf(0.975, max(values.shape[1] - 1, 1))
