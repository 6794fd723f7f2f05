import numpy as np
import pytest
from test_figures import check, drawing

from autoparts.study import drawings

PHOTOS = list(np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8))

DRAWN = [  # function, its arguments, what its alternative text says
    (drawings.convolution, (np.array([[1.0, 0, -1]] * 3), PHOTOS[0]), ["3 by 3 kernel", "turned by 180°"]),
    (drawings.architecture, (["block", "block", "fully connected"], PHOTOS[0]), ["2 convolution blocks and one fully"]),
    (drawings.towers, (PHOTOS[:2], ["left", "right"], "distance"), ["2 photos", "shared weights"]),
    (drawings.towers, (PHOTOS[:3], ["anchor", "positive", "negative"], "loss"), ["3 photos"]),
    (drawings.negatives, (), ["hard negative inside", "semi-hard"]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "texts"), DRAWN, ids=lambda value: getattr(value, "__name__", ""))
def test_drawings_tell_in_words_what_they_show(function, arguments, texts):
    check(function, arguments, texts)


def test_every_function_that_draws_is_tested_here():
    assert drawing(drawings) == {function for function, _, _ in DRAWN}


def test_the_feature_map_is_the_convolution_with_the_flipped_kernel():
    kernel = np.array([[1.0, 2.0], [3.0, 4.0]])
    response = drawings.convolution(kernel, PHOTOS[0]).axes[2].images[0].get_array()
    photo = PHOTOS[0].astype(float)
    expected = sum(kernel[m, n] * photo[1 - m : 12 - m, 1 - n : 12 - n] for m in range(2) for n in range(2))
    np.testing.assert_allclose(response, expected)
