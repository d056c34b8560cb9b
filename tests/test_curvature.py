"""bbprop against exact second derivatives where the two coincide, else against a slow recursion."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lrpilot.baselines.curvature import (
    BackwardRecorder,
    bias_curvature,
    bias_square,
    square_norms,
    weight_curvature,
    weight_square,
)
from lrpilot.errors import InvalidArgument


@pytest.fixture(autouse=True)
def double_precision():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def batch(samples, inputs=5, classes=4):
    return torch.randn(samples, inputs), torch.randint(0, classes, (samples,))


def record(network, x, y):
    recorder = BackwardRecorder(network)
    F.cross_entropy(network(x), y).backward()
    return recorder.take()


def loss_of(network, x, y, changed):
    """The mean loss with some parameters replaced, by name."""
    return F.cross_entropy(torch.func.functional_call(network, changed, (x,)), y)


def hessian_diagonal(network, name, x, y):
    parameter = dict(network.named_parameters())[name].detach()
    hessian = torch.autograd.functional.hessian(lambda p: loss_of(network, x, y, {name: p}), parameter)
    return hessian.reshape(parameter.numel(), -1).diagonal().reshape(parameter.shape)


def gauss_newton_diagonal(network, name, x):
    """diag(J^T (diag(p) - p p^T) J), the mean over samples, J the logits' Jacobian by the named parameter."""
    parameter = dict(network.named_parameters())[name].detach()
    total = torch.zeros(parameter.numel())
    for sample in x:
        logits = lambda p: torch.func.functional_call(network, {name: p}, (sample[None],))[0]  # noqa: B023, E731
        jacobian = torch.func.jacrev(logits)(parameter).reshape(-1, parameter.numel())
        p = torch.softmax(network(sample[None])[0], 0).detach()
        total += (jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian).diagonal()
    return (total / len(x)).reshape(parameter.shape)


@pytest.mark.parametrize("samples", [1, 7])
def test_softmax_regression_is_exact(samples):
    network = nn.Sequential(nn.Linear(5, 4))
    x, y = batch(samples)
    (layer,) = record(network, x, y)
    assert torch.allclose(weight_curvature(layer), hessian_diagonal(network, "0.weight", x, y))
    assert torch.allclose(bias_curvature(layer), hessian_diagonal(network, "0.bias", x, y))


@pytest.mark.parametrize("samples", [1, 7])
def test_last_layer_is_exact_and_equals_finite_differences(samples):
    network = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 4))
    x, y = batch(samples)
    last = record(network, x, y)[1]
    assert torch.allclose(weight_curvature(last), hessian_diagonal(network, "2.weight", x, y))
    weight, step = network[2].weight.detach(), 1e-4
    with torch.no_grad():
        for index in [(0, 0), (3, 1), (2, 2)]:
            moved = torch.zeros_like(weight)
            moved[index] = step
            up, here, down = (loss_of(network, x, y, {"2.weight": weight + k * moved}).item() for k in (1, 0, -1))
            assert weight_curvature(last)[index].item() == pytest.approx((up - 2 * here + down) / step**2, abs=1e-6)


@pytest.mark.parametrize("samples", [1, 7])
def test_hidden_layers_are_gauss_newton_where_each_unit_feeds_one(samples):
    network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    x, y = batch(samples)
    with torch.no_grad():
        for layer in (network[2], network[4]):
            layer.weight.mul_(torch.eye(4)[torch.randperm(4)])
    records = record(network, x, y)
    for index, name in enumerate(["0", "2", "4"]):
        exact = gauss_newton_diagonal(network, f"{name}.weight", x)
        assert torch.allclose(weight_curvature(records[index]), exact)
        assert torch.allclose(bias_curvature(records[index]), gauss_newton_diagonal(network, f"{name}.bias", x))


def test_dense_hidden_layers_follow_the_recursion_and_are_no_longer_gauss_newton():
    network = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 4))
    x, y = batch(6)
    first = record(network, x, y)[0]
    expected = torch.zeros(3, 5)
    for sample in x:
        hidden = torch.tanh(network[0](sample))
        p = torch.softmax(network[2](hidden), 0)
        for j in range(3):
            into_unit = sum(network[2].weight[k, j] ** 2 * p[k] * (1 - p[k]) for k in range(4))
            into_unit = into_unit * (1 - hidden[j] ** 2) ** 2
            for i in range(5):
                expected[j, i] += (into_unit * sample[i] ** 2 / len(x)).item()
    assert torch.allclose(weight_curvature(first), expected)
    # The control: with several targets for a unit, dropping off-diagonal terms matters.
    assert not torch.allclose(weight_curvature(first), gauss_newton_diagonal(network, "0.weight", x), rtol=0.05)


@pytest.mark.parametrize("samples", [1, 7])
def test_squares_are_of_each_samples_own_gradient(samples):
    network = nn.Sequential(nn.Flatten(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 4))
    x, y = batch(samples)
    records = record(network, x, y)
    squares = [torch.zeros_like(p) for p in network.parameters()]
    for k in range(samples):
        gradients = torch.autograd.grad(F.cross_entropy(network(x[k : k + 1]), y[k : k + 1]), network.parameters())
        for square, gradient in zip(squares, gradients, strict=True):
            square += gradient**2 / samples
    for layer, weight, bias in zip(records, squares[0::2], squares[1::2], strict=True):
        assert torch.allclose(weight_square(layer), weight)
        assert torch.allclose(bias_square(layer), bias)
        assert torch.allclose(torch.stack(square_norms(layer)), torch.stack([weight.sum(), bias.sum()]))
    if samples > 1:  # the control: the square of the mean gradient is something else
        assert not torch.allclose(network[1].weight.grad ** 2, squares[0], rtol=0.1)


def test_recorder_ignores_evaluation_and_refuses_other_numbers_of_passes():
    network = nn.Sequential(nn.Linear(5, 4))
    recorder = BackwardRecorder(network)
    x, y = batch(3)
    with torch.no_grad():
        network(x)
    F.cross_entropy(network(x), y).backward()
    with torch.no_grad():
        network(x)
    assert len(recorder.take()) == 1
    with pytest.raises(InvalidArgument, match="0 forward and 0 of 1"):
        recorder.take()
    for _ in range(2):
        F.cross_entropy(network(x), y).backward()
    with pytest.raises(InvalidArgument, match="2 forward and 1 of 1"):
        recorder.take()
    network(x)
    with pytest.raises(InvalidArgument, match="1 forward and 0 of 1"):
        recorder.take()


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(),
        nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(2, 2), nn.Tanh()),
        nn.Sequential(nn.Tanh(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Tanh(), nn.Linear(2, 2)),
        nn.Conv2d(1, 1, 1),
    ],
)
def test_other_networks_are_refused(network):
    with pytest.raises(InvalidArgument, match="network must be"):
        BackwardRecorder(network)
