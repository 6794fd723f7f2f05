"""The models of the study trained several times, which tells what another start would change."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from autoparts import models, retrieval, tasks
from autoparts.experiments import comparison
from autoparts.experiments.parallel import heard, one_thread, side_by_side
from autoparts.experiments.recommended import train_recommended
from autoparts.experiments.trials import MEASURES, Settings, seeds_of, with_spread
from autoparts.retrieval import Embedded
from autoparts.study.run import Run


def over_seeds(
    run: Run, results: Mapping[str, dict], seen: Mapping[str, Embedded], settings: Settings, epochs: int, **recipe: Any
) -> dict[str, Any]:
    """Train the thesis's networks several times at full size, on the same split; the recommended one, if it is tuned.

    The first training of each is the run's own. How the thesis's were trained is in their saved results, and `seen` is
    what they, and what learned nothing, make of the photos; of the settings, `seeds` and `draws` count. The epochs and
    `recipe` are the recommended model's (see `train_recommended`). Returns nothing for a single seed, else the "table"
    with the mean of each model's measures, the 95 % interval over categories and trainings, and the spread; which of
    `seen` comes first, the "best"; and "paired", the differences of the others to that one.
    """
    if settings.seeds == 1:
        return {}
    photos = run.study.photos
    judged = {name: [retrieval.judge(model, photos)] for name, model in seen.items()}
    for short, result in results.items():
        jobs = [(run, short, result, seed) for seed in seeds_of(run, settings)[1:]]
        judged[result["title"]] += side_by_side(again, jobs, photos.device)
    for seed in range(run.study.seed, run.study.seed + settings.seeds):
        name = "recommended" if seed == run.study.seed else f"recommended-{seed}"
        model = train_recommended(run, epochs, seed, name, **recipe)
        judged.setdefault("recommended", []).append(retrieval.judge(model.seen, photos))
        if model.history.empty:  # it was not trained, so another seed changes nothing
            break
    hits = {name: pd.concat([named["precision@1"] for _, named in each], axis=1) for name, each in judged.items()}
    table = {}
    for name, each in judged.items():  # by as many draws as elsewhere, so that a single training has one interval
        limits = comparison.limits_of(hits[name], photos, retrieval.DRAWS)
        table[name] = {"95 % interval": comparison.interval_text(*limits)}
        table[name] |= with_spread(pd.DataFrame([scores for scores, _ in each]))
    frame = pd.DataFrame(table).T[["precision@1", "95 % interval", "spread", *MEASURES[1:]]].infer_objects()
    best = frame["precision@1"].drop("recommended").idxmax()
    paired = comparison.paired_differences({name: hits[name] for name in seen}, photos, best, settings.draws)
    return {"table": frame.rename_axis("model").reset_index(), "best": best, "paired": paired.reset_index()}


def again(run: Run, short: str, result: Mapping[str, Any], seed: int) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train one of the thesis's networks as its saved result says, with another seed, and judge it."""
    fields = dict(result["trained_for"])
    task = getattr(tasks, fields.pop("kind"))(**fields)
    network = models.thesis_network(**result["architecture"], seed=seed)
    with one_thread(run):
        run.fit(f"beyond/{short}-{seed}", network, task, **result["settings"], seed=seed, say=heard)
        return retrieval.judge(retrieval.embedded(network, run.study.photos), run.study.photos)
