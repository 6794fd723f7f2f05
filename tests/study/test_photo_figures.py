import numpy as np

from autoparts.study import photo_figures


def test_components_are_grey_where_their_weight_is_zero():
    components = np.random.default_rng(0).normal(size=(3, 16))
    components[:, 5] = 0
    figure = photo_figures.component_grid(components, np.array([0.5, 0.3, 0.2]))
    for drawn, component in zip(figure.axes[0].images, components, strict=True):
        image = drawn.get_array()
        assert image[1, 1] == 128 and np.corrcoef(image.ravel(), component)[0, 1] > 0.99
        assert abs(int(image.max()) - 128) == 127 or abs(int(image.min()) - 128) == 127
