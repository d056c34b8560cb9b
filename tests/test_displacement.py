"""What a step was worth to a batch, to first order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrpilot.online.displacement import Displacement, inner_product


def test_displacement_is_the_directional_derivative() -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 1).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    displacement = Displacement(optimizer, like=torch.empty(0, dtype=torch.float64))
    x, other = torch.randn(8, 4).double(), torch.randn(8, 4).double()
    net(x).square().mean().backward()
    displacement.begin()
    before = [p.detach().clone() for p in net.parameters()]
    optimizer.step()
    displacement.end()
    optimizer.zero_grad()
    net(other).square().mean().backward()
    measured = displacement.decrement()
    moved = [p.detach() - b for p, b in zip(net.parameters(), before, strict=True)]

    def loss_along(t: float) -> torch.Tensor:
        weight, bias = (b + t * m for b, m in zip(before, moved, strict=True))
        return (other @ weight.T + bias).square().mean()

    by_differences = (loss_along(1 - 1e-5) - loss_along(1 + 1e-5)) / 2e-5
    torch.testing.assert_close(measured, by_differences, rtol=1e-6, atol=1e-9)


def test_within_undone_the_parameters_are_what_they_were_and_then_what_they_are() -> None:
    weights = [nn.Parameter(torch.randn(5, dtype=torch.float64)) for _ in range(2)]
    optimizer = torch.optim.SGD(weights, lr=0.3)
    displacement = Displacement(optimizer, like=torch.empty(0))
    before = [w.detach().clone() for w in weights]
    for w in weights:
        w.grad = torch.randn(5, dtype=torch.float64)
    displacement.begin()
    optimizer.step()
    displacement.end()
    after = [w.detach().clone() for w in weights]
    with displacement.undone():
        within = [w.detach().clone() for w in weights]
    torch.testing.assert_close(within, before)
    assert all(torch.equal(w, value) for w, value in zip(weights, after, strict=True))


def test_what_has_no_gradient_or_was_not_there_before_the_step_counts_nothing() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([first], lr=1.0)
    displacement = Displacement(optimizer, like=torch.empty(0))
    displacement.begin()
    with torch.no_grad():
        first -= 0.5
    displacement.end()
    assert displacement.decrement() == 0.0
    optimizer.add_param_group({"params": [second]})
    first.grad, second.grad = torch.tensor([1.0, 3.0]), torch.ones(3)
    assert displacement.decrement() == 0.5 * 1 + 0.5 * 3
    state = displacement.state_dict()
    assert list(state["moved"]) == [0]
    resumed = Displacement(optimizer, like=torch.empty(0))
    resumed.load_state_dict(state)
    assert resumed.decrement() == 2.0


def test_inner_products_of_sparse_and_complex_tensors() -> None:
    rows = torch.tensor([[0, 2, 0]])  # the first twice: 1 + 3
    values = torch.tensor([[1.0, 2.0], [5.0, 6.0], [3.0, 0.0]])
    sparse = torch.sparse_coo_tensor(rows, values, (3, 2), check_invariants=True)
    dense = torch.tensor([[10.0, 1.0], [7.0, 7.0], [2.0, 3.0]])
    assert inner_product(dense, sparse) == 10 * 4 + 1 * 2 + 2 * 5 + 3 * 6
    left, right = torch.tensor([1 + 2j, -1j]), torch.tensor([3 - 1j, 2 + 4j])
    assert inner_product(left, right) == (1 * 3 - 2 * 1) + (0 * 2 - 1 * 4)


def test_the_trail_is_what_the_last_steps_would_be_at_todays_rate() -> None:
    """Steps of -1, 2 and 3 times rates of 0.1, 0.2 and 0.5, a memory of a half: 0.5 (-0.25 + 1 + 3) on a slope of 2."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    displacement = Displacement(optimizer, like=torch.empty(0, dtype=torch.float64), memory=0.5)
    for rate, gradient in ((0.1, -1.0), (0.2, 2.0), (0.5, 3.0)):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        displacement.begin()
        optimizer.step()
        displacement.end()
    weight.grad = torch.tensor([2.0], dtype=torch.float64)
    assert displacement.decrement(trail=True).item() == pytest.approx(0.5 * (-0.25 + 1 + 3) * 2)
    assert displacement.decrement().item() == pytest.approx(0.5 * 3 * 2)
    resumed = Displacement(optimizer, like=torch.empty(0, dtype=torch.float64), memory=0.5)
    resumed.load_state_dict(displacement.state_dict())
    assert torch.equal(resumed.decrement(trail=True), displacement.decrement(trail=True))
    displacement.forget()
    assert torch.equal(displacement.decrement(trail=True), displacement.decrement())


def test_each_group_leaves_a_trail_at_its_own_rate() -> None:
    """And a rate of 0 leaves none."""
    first, second, third = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    groups = [{"params": [p], "lr": rate} for p, rate in ((first, 0.5), (second, 0.25), (third, 0.0))]
    optimizer = torch.optim.SGD(groups)
    displacement = Displacement(optimizer, like=torch.empty(0), memory=0.5)
    for _ in range(2):
        for p in (first, second, third):
            p.grad = torch.ones(1)
        displacement.begin()
        optimizer.step()
        displacement.end()
        groups[0]["lr"] = optimizer.param_groups[0]["lr"] = 1.0
    assert displacement.decrements(trail=True).tolist() == [1.5, 0.375, 0.0]


def test_without_a_memory_the_trail_is_the_last_step() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    displacement = Displacement(optimizer, like=torch.empty(0))
    for gradient in (5.0, 3.0):
        weight.grad = torch.tensor([gradient])
        displacement.begin()
        optimizer.step()
        displacement.end()
    assert displacement.decrement(trail=True) == displacement.decrement() == 9.0
    assert displacement.state_dict()["trail"] == {}


@pytest.mark.parametrize("rate", [0.03, 0.1])
def test_what_noise_alone_makes_of_the_last_steps(rate: float) -> None:
    """At rest, in a direction of curvature h, a hundred steps are worth -1/2 a h K / (1 + a h K) of a step's promise.

    K = 100 is one over one minus the memory. From the autocovariance of SGD on a noisy quadratic; many copies at once.
    """
    generator = torch.Generator().manual_seed(0)
    curvature = torch.tensor([[0.5], [0.05]], dtype=torch.float64)
    noise = torch.tensor([[1.0], [2.0]], dtype=torch.float64)  # standard deviation
    start = noise * (rate / (curvature * (2 - rate * curvature))).sqrt()
    w = nn.Parameter(start * torch.randn(2, 20_000, generator=generator, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=rate)
    displacement = Displacement(optimizer, like=torch.empty(0, dtype=torch.float64), memory=0.99)
    worth, promised = 0.0, 0.0
    for t in range(900):
        w.grad = curvature * w.detach() + noise * torch.randn(2, 20_000, generator=generator, dtype=torch.float64)
        if t >= 600:
            worth += float(displacement.decrement(trail=True))
        displacement.begin()
        optimizer.step()
        displacement.end()
        if t >= 600:
            promised += float(displacement.decrement())
    power = (noise**2).flatten()
    product = (rate * curvature * 100).flatten()
    expected = -0.5 * float((power * product / (1 + product)).sum() / power.sum())
    assert worth / promised == pytest.approx(expected, rel=0.05)
