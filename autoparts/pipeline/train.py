"""The short way to a finder: notebooks 1 and 7, and between them the recommended model of notebook 6 alone."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoparts.errors import UserError
from autoparts.experiments import comparison, recommended
from autoparts.pipeline.execution import carry_out, locked, opened
from autoparts.pipeline.notebooks import Plan, declared_parameters, plan, select, usual_profile
from autoparts.study.run import Run, open_run, run_folder
from autoparts.study.study import Study

RECIPE = ("backbone", "recipe_side", "colour", "recipe_epochs")  # what notebook 6 takes for the model


def train(data: str, name: str, parameters: Mapping[str, Any] | None = None, *, restart: bool = False) -> Path:
    """Make a finder of photos and the pages on them and on it; return the path of the index.

    Data, name, parameters and their defaults are those of `execution.run`, which afterwards does the rest of the study
    in the same folder, with this model. Where it has done so before, the model is the one that notebook 6 has made, and
    a line says so. With `restart` the folder is emptied first, such as after photos were added.
    """
    taken = sorted({*RECIPE}.union(*map(declared_parameters, select(("01", "07")))) - {"data", "name"})
    if idle := next((given for given in parameters or {} if given not in taken), None):
        raise UserError(f"parameter {idle} has no part in making a finder; those that have: {', '.join(taken)}")
    wanted = plan(("01", "06", "07"), usual_profile(data), parameters or {})
    values = next(iter(wanted.values()))
    with locked(run_folder(name)) as folder:
        return train_in(folder, opened(data, values, folder), name, wanted, restart)


def train_in(folder: Path, study: Study, name: str, wanted: Plan, restart: bool = False) -> Path:
    """Train in a run folder that is locked: the first wanted notebook, in place of 6 the model, and then the others."""
    first, model = next(iter(wanted)), next(path for path in wanted if path.name.startswith("06"))
    carry_out({first: wanted[first]}, study, folder, name, restart=restart)
    if (folder / "notebooks" / model.name).exists():
        print(f"run '{name}' holds a whole study: the model of its notebook 6 is taken", file=sys.stderr)
    else:
        make_model(open_run(name, study), wanted[model])
    return carry_out({path: values for path, values in wanted.items() if path != model}, study, folder, name)


def make_model(run: Run, values: Mapping[str, Any]) -> None:
    """Train and save the recommended model as notebook 6 does, given the values of its parameters, which are kept."""
    recipe = {"backbone": values["backbone"], "side": values["recipe_side"], "colour": values["colour"]}
    model = recommended.train_recommended(run, values["recipe_epochs"], values["seed"], **recipe)
    by_head, _ = comparison.softmax_row(model.logits, run.study.photos)
    run.save_result("recommended", **recommended.summary(model, by_head), **recipe, parameters=values)
