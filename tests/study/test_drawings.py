import numpy as np

from autoparts.study import drawings


def test_the_feature_map_is_the_convolution_with_the_flipped_kernel():
    photo = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    kernel = np.array([[1.0, 2.0], [3.0, 4.0]])
    response = drawings.convolution(kernel, photo).axes[2].images[0].get_array()
    expected = sum(kernel[m, n] * photo.astype(float)[1 - m : 12 - m, 1 - n : 12 - n] for m in (0, 1) for n in (0, 1))
    np.testing.assert_allclose(response, expected)
