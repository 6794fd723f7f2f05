import pytest
import torch
from torch import nn
from torch.testing import assert_close

from autoparts import models
from autoparts.device import choose_device, half_precision, keep_memory
from autoparts.files import UserError
from autoparts.models import seeded


@pytest.mark.parametrize(("filters", "size"), [((32, 64), 100), ((4,), 10), ((2, 3, 5), 33)])
def test_the_network_takes_photos_to_its_outputs(filters, size):
    photos = torch.zeros(3, size, size, dtype=torch.uint8)
    network = models.thesis_network(7, filters, size)
    assert network(models.photo_input(photos)).shape == (3, 7)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == list(filters)
    assert all(layer.kernel_size == (3, 3) and layer.padding == (1, 1) for layer in convolutions)
    assert sum(isinstance(layer, nn.Linear) for layer in network.modules()) == 1


def test_a_network_that_leaves_nothing_of_a_photo_is_refused():
    with pytest.raises(UserError, match=r"7 convolution blocks halve 100 pixels to nothing"):
        models.thesis_network(7, (4,) * 7)


def test_pooling_before_the_activation_changes_nothing():
    ours = models.initialised(0, models.thesis_trunk, (4, 6))
    first, pool, relu, second, _, _, flatten = ours
    thesis = nn.Sequential(first, relu, pool, second, relu, pool, flatten)  # the same weights, the thesis's order
    photos = torch.randn(5, 1, 12, 12, generator=seeded(1))
    results = []
    for trunk in (ours, thesis):
        inputs = photos.clone().requires_grad_()
        outputs = trunk(inputs)
        ours.zero_grad()
        outputs.square().sum().backward()
        results.append([outputs, inputs.grad, *(weights.grad.clone() for weights in ours.parameters())])
    assert (results[0][0] > 0).any() and (results[0][0] == 0).any()
    for one, other in zip(*results, strict=True):
        assert_close(one, other)


def test_white_becomes_zero_and_black_one():
    photos = torch.tensor([[[255, 0], [51, 255]]], dtype=torch.uint8)
    inputs = models.photo_input(photos)
    assert inputs.shape == (1, 1, 2, 2) and inputs.dtype == torch.float32
    assert inputs[0, 0, 0].tolist() == [0, 1]
    assert inputs[0, 0, 1, 0].item() == pytest.approx(0.8)
    assert photos.tolist() == [[[255, 0], [51, 255]]]


def test_white_padding_is_the_convolutions_own_padding():
    """A photo with white around it gives, in its middle, what the photo alone gives."""
    convolution = models.initialised(0, nn.Conv2d, 1, 3, 3, padding=1)
    photo = torch.randint(0, 256, (1, 8, 8), generator=seeded(2), dtype=torch.uint8)
    padded = nn.functional.pad(photo, (4, 4, 4, 4), value=255)
    with torch.no_grad():
        alone, inside = (convolution(models.photo_input(one)) for one in (photo, padded))
    assert_close(alone, inside[..., 4:-4, 4:-4])


def test_initial_weights_follow_from_the_seed_alone():
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    first = models.initialised(5, models.thesis_network, 4, (2, 3), size=12)
    assert torch.rand(3).equal(expected)  # the global generator is where it was
    torch.manual_seed(9)
    again = models.initialised(5, models.thesis_network, 4, (2, 3), size=12)
    other = models.initialised(6, models.thesis_network, 4, (2, 3), size=12)
    weights = [torch.cat([part.flatten() for part in network.parameters()]) for network in (first, again, other)]
    assert weights[0].equal(weights[1]) and not weights[0].equal(weights[2])


def test_the_layer_table_counts_all_weights():
    network = models.thesis_network(10)
    table = models.parameter_table(network)
    assert table["weights"].tolist()[:2] == [32 * 9 + 32, 64 * 32 * 9 + 64]
    assert table["weights"].tolist()[2] == 10 * 64 * 25 * 25 + 10
    assert table["weights"].iloc[:-1].sum() == table["weights"].iloc[-1] == models.count_parameters(network)
    assert table["shape"].tolist()[:3] == ["32 × 1 × 3 × 3", "64 × 32 × 3 × 3", "10 × 40000"]
    network[1].bias.requires_grad_(False)
    assert models.count_parameters(network) == table["weights"].iloc[-1] - 10


def test_generators_of_one_seed_agree_and_are_independent():
    one, other = seeded(3), seeded(3)
    assert torch.rand(2, generator=one).equal(torch.rand(2, generator=other))
    torch.rand(1, generator=one)
    assert not torch.rand(2, generator=one).equal(torch.rand(2, generator=other))


def test_the_device_is_one_that_is_there():
    device = choose_device()
    assert device.type == ("cuda" if torch.cuda.is_available() else device.type)
    assert torch.zeros(2, device=device).sum() == 0
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("device", ["graphics card", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused_with_advice(device):
    with pytest.raises(ValueError, match=r"device.*auto"):
        choose_device(device)


def test_half_precision_is_used_where_the_processor_has_it():
    with half_precision(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    fast = torch.cpu._is_avx512_bf16_supported()
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)
    with half_precision(torch.device("cpu")):
        pass
    keep_memory()  # a second call is harmless, wherever it runs
    keep_memory()
