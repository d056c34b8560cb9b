"""The critic against its formula, its initial weights against the table."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lrpilot.online.critic import Activation, Critic


def written_out(critic: Critic, activation: str, inputs: torch.Tensor) -> torch.Tensor:
    """Q as the formula has it, which torch can differentiate."""
    phi = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    hidden = phi(inputs @ critic.hidden.weight.T + critic.hidden.bias)
    return (hidden @ critic.value.weight.T + critic.value.bias)[..., 0]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("batch", [1, 7])
def test_the_closed_form_is_what_automatic_differentiation_finds(activation: Activation, batch: int) -> None:
    """For a loss of Q and of dQ/da, which has second derivatives in it; and for one of Q alone."""
    generator = torch.Generator().manual_seed(0)
    critic = Critic(5, activation=activation, initialisation="pytorch", generator=generator)
    s, a, g, along = (torch.randn(batch, n, dtype=torch.float64, generator=generator) for n in (3, 2, 1, 2))
    reading = critic.read(s.numpy(), a.numpy())
    a.requires_grad_()
    q = written_out(critic, activation, torch.cat((s, a), 1))
    (slope,) = torch.autograd.grad(q.sum(), a, create_graph=True)
    np.testing.assert_allclose(critic.q(reading), q.detach().numpy())
    np.testing.assert_allclose(critic.slope(reading), slope.detach().numpy())
    one = critic.read(s[0].numpy(), a[0].detach().numpy())
    np.testing.assert_allclose(critic.q(one), q[0].detach().numpy())
    np.testing.assert_allclose(critic.slope(one), slope[0].detach().numpy())
    parameters = list(critic.parameters())
    for along_slope in (None, along):
        loss = (q * g.squeeze(-1)).sum() + (0.0 if along_slope is None else (slope * along_slope).sum())
        expected = torch.autograd.grad(loss, parameters, retain_graph=True)
        critic.differentiate(reading, g.squeeze(-1).numpy(), None if along_slope is None else along_slope.numpy())
        for parameter, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


def test_small_weights_are_the_tutorials() -> None:
    critics = [Critic(2, initialisation="small", generator=torch.Generator().manual_seed(seed)) for seed in range(50)]
    for layer in ("hidden", "value"):
        weights = torch.cat([getattr(critic, layer).weight.flatten() for critic in critics])
        assert 0.19 < weights.abs().max() <= 0.2
        assert weights.std().item() == pytest.approx(0.088, rel=0.05)
        biases = torch.cat([getattr(critic, layer).bias for critic in critics])
        assert torch.equal(biases.float(), torch.full((len(biases),), 0.1))


def test_ten_units_of_tensorflows_weights() -> None:
    """Section 4.1: ten hidden units. Uniform within sqrt(3 / fan-in), biases 0."""
    critics = [Critic(2, generator=torch.Generator().manual_seed(seed)) for seed in range(50)]
    assert critics[0].hidden.weight.shape == (10, 2)
    for layer, fan_in in (("hidden", 2), ("value", 10)):
        bound = math.sqrt(3 / fan_in)
        weights = torch.cat([getattr(critic, layer).weight.flatten() for critic in critics])
        assert 0.97 * bound < weights.abs().max() <= bound
        assert weights.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not any(getattr(critic, layer).bias.any() for critic in critics)


def test_pytorchs_weights_are_the_other_reading() -> None:
    critic = Critic(2, 400, initialisation="pytorch", generator=torch.Generator().manual_seed(0))
    for values, fan_in in ((critic.hidden.weight, 2), (critic.hidden.bias, 2), (critic.value.weight, 400)):
        assert 0.95 / math.sqrt(fan_in) < values.abs().max() <= 1 / math.sqrt(fan_in)
