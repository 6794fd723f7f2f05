import numpy as np
import pytest
from test_figures import check, drawing

from autoparts.study import photo_figures
from autoparts.study.pictures import small_jpeg

PHOTOS = list(np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8))
COMPONENTS = np.random.default_rng(0).normal(size=(6, 16))


def noise_grid(*arguments):
    return photo_figures.photo_grid(*arguments, shows="noise")


DRAWN = [  # function, its arguments, what its alternative text says of the result
    (noise_grid, (PHOTOS, ["$", "\U0001f697", "c", "d", "e\nf"], 3), ["5 photos: noise."]),
    (photo_figures.thumbnail_grid, ([small_jpeg(photo, 8) for photo in PHOTOS[:2]], ["Cap\n0.1", "Nut\n0.2"]),
     ["2 photos: Cap 0.1, Nut 0.2."]),
    (photo_figures.contact_sheet, ([PHOTOS[:2], PHOTOS[2:]], ["$ nut", "Cap"]), ["2 categories", "from $ nut to Cap"]),
    (photo_figures.component_grid, (COMPONENTS, np.array([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])),
     ["6 principal components", "the first explains 40.0%", "together 95.0%"]),
    (photo_figures.occlusion_map, (PHOTOS[0], np.linspace(-0.1, 0.3, 144).reshape(12, 12)),
     ["the strongest takes 30.0 percentage points"]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "texts"), DRAWN, ids=lambda value: getattr(value, "__name__", ""))
def test_figures_of_photos_tell_in_words_what_they_show(function, arguments, texts):
    check(function, arguments, texts)


def test_every_function_that_draws_is_tested_here():
    assert drawing(photo_figures) == {function for function, _, _ in DRAWN} - {noise_grid} | {photo_figures.photo_grid}


def test_components_are_grey_where_their_weight_is_zero():
    components = COMPONENTS[:3].copy()
    components[:, 5] = 0
    figure = photo_figures.component_grid(components, np.array([0.5, 0.3, 0.2]))
    for drawn, component in zip(figure.axes[0].images, components, strict=True):
        image = drawn.get_array()
        assert image[1, 1] == 128 and np.corrcoef(image.ravel(), component)[0, 1] > 0.99
        assert abs(int(image.max()) - 128) == 127 or abs(int(image.min()) - 128) == 127
