"""Sizes and initial weights of the experiments' networks, as docs and protocol state them."""

import pytest
import torch
from torch import nn

from lrpilot.experiments.tasks import networks


def layers_of(name, seed=0):
    network = getattr(networks, name)(torch.Generator().manual_seed(seed))
    return [layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("digits_mlp", (64,), 4_810),
        ("m0", (784,), 7_850),
        ("m1", (784,), 95_410),
        ("m2", (784,), 545_810),
        ("mnist_batchnorm", (784,), (784 * 256 + 3 * 256) + (256 * 256 + 3 * 256) + 2_570),
        ("mnist_lstm", (1, 28, 28), 4 * 64 * (28 + 64 + 2) + 650),
        ("mnist_attention", (1, 28, 28), 928 + 28 * 32 + 4 * (32 * 32 + 32) + 2_112 + 2_080 + 3 * 64 + 330),
        ("mnist_cnn", (1, 28, 28), 832 + 51_264 + (3136 * 512 + 512) + 5_130),
        ("cifar10_cnn", (3, 32, 32), 4_864 + 102_464 + (4096 * 384 + 384) + (384 * 192 + 192) + 1_930),
    ],
)
def test_size_and_output(name, shape, parameters):
    network = getattr(networks, name)(torch.Generator().manual_seed(0))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network(torch.zeros(3, *shape)).shape == (3, 10)


@pytest.mark.parametrize("name", ["digits_mlp", "m0", "m1", "m2", "mnist_cnn"])
def test_mnist_weights_are_truncated_normal_with_small_biases(name):
    for index, layer in enumerate(layers_of(name)):
        assert layer.weight.abs().max() <= 0.2
        # A normal cut at two standard deviations keeps 0.8796 of its standard deviation.
        tolerance = 4 * 0.1 / layer.weight.numel() ** 0.5
        assert layer.weight.std().item() == pytest.approx(0.08796, abs=tolerance)
        assert layer.weight.mean().item() == pytest.approx(0, abs=tolerance)
        first_convolution = index == 0 and isinstance(layer, nn.Conv2d)
        assert torch.all(layer.bias == (0.0 if first_convolution else 0.1))


def test_cifar10_weights_follow_the_tutorial():
    layers = layers_of("cifar10_cnn")
    standard_deviations = [layer.weight.std().item() for layer in layers]
    expected = [0.05, 0.05, 0.04 * 0.8796, 0.04 * 0.8796, 0.8796 / 192]
    assert standard_deviations == pytest.approx(expected, rel=0.04)
    assert [layer.bias.unique().tolist() for layer in layers] == [
        [0.0], pytest.approx([0.1]), pytest.approx([0.1]), pytest.approx([0.1]), [0.0]
    ]  # fmt: skip
    assert layers[0].weight.abs().max() > 0.1  # convolutions are not truncated


def test_weights_depend_on_the_generator_alone():
    torch.manual_seed(1)
    first = layers_of("m1", seed=5)
    torch.manual_seed(2)
    again = layers_of("m1", seed=5)
    other = layers_of("m1", seed=6)
    assert torch.equal(first[0].weight, again[0].weight)
    assert torch.equal(first[1].bias, again[1].bias)
    assert not torch.equal(first[0].weight, other[0].weight)


@pytest.mark.parametrize("name", ["mnist_batchnorm", "mnist_lstm", "mnist_attention"])
def test_weights_that_pytorch_draws_come_from_the_generator_alone(name):
    def weights(seed):
        return nn.utils.parameters_to_vector(
            getattr(networks, name)(torch.Generator().manual_seed(seed)).parameters()
        ).detach()

    before = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_rows_are_read_in_their_order():
    pictures = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    for name in ("mnist_lstm", "mnist_attention"):
        network = getattr(networks, name)(torch.Generator().manual_seed(0)).eval()
        assert not torch.allclose(network(pictures), network(pictures.flip(2)), atol=1e-4)
