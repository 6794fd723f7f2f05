"""Parts that are stages of stages.csv."""

import numpy as np

from autoparts.generated import parts_stacked, solids
from autoparts.generated.parts_stacked import PARTS
from autoparts.generated.traits import Traits


def test_the_table_names_forms_and_materials_that_there_are() -> None:
    forms = {*parts_stacked.FORMS, *parts_stacked.CURVES, "none"}
    for name, part in PARTS.items():
        for stage in part.keywords["stages"]:
            assert set(stage["form"].split()) <= forms, (name, stage)
            materials = set(stage["material"].split()) - {"paint"}
            assert all(isinstance(getattr(solids, m.upper()), solids.Material) for m in materials), (name, stage)
    assert parts_stacked.FACING.issubset(PARTS)


def test_stages_stand_upon_one_another() -> None:
    def stage(**given: str) -> dict[str, str]:
        return {"part": "seal", "form": "plain", "radius": "", "length": "", "start": "", "material": ""} | given

    steel = stage(radius="0.5", length="2", material="chrome")
    part = [steel, stage(radius="x0.5-0.5"), stage(length="x0.5", start="-1", form="none plain", material="rubber")]
    model = parts_stacked._stacked(Traits(np.random.default_rng(3), np.random.default_rng(0), 0), part)
    ends = [(p.points[..., 2].min(), p.points[..., 2].max(), p.points[..., 0].max()) for p in model]
    np.testing.assert_allclose(ends, [(0, 2, 0.5), (2, 4, 0.25), (2, 3, 0.25)])
    assert model[2].material == solids.RUBBER
    assert model[1].material == solids.CHROME
