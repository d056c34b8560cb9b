"""The critic against its formula, its initial weights against the table."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.online.critic import Activation, Critic


@pytest.mark.parametrize(("name", "activation"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_one_hidden_layer(name: str, activation) -> None:
    critic = Critic(3, activation=name, generator=torch.Generator().manual_seed(0))
    s, a = torch.randn(5, 2), torch.randn(5, 1)
    hidden = activation(torch.cat([s, a], 1) @ critic.hidden.weight.T + critic.hidden.bias)
    q = (hidden @ critic.value.weight.T + critic.value.bias)[:, 0]
    torch.testing.assert_close(critic(s, a), q)
    torch.testing.assert_close(critic(s[0], a[0]), q[0])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("batch", [1, 7])
def test_the_closed_form_is_what_automatic_differentiation_finds(activation: Activation, batch: int) -> None:
    """For a loss of Q and of dQ/da, which has second derivatives in it; and for one of Q alone."""
    generator = torch.Generator().manual_seed(0)
    critic = Critic(4, activation=activation, generator=generator).double()
    s, a, g, along = (torch.randn(batch, n, dtype=torch.float64, generator=generator) for n in (2, 2, 1, 2))
    a.requires_grad_()
    q = critic(s, a)
    (slope,) = torch.autograd.grad(q.sum(), a, create_graph=True)
    torch.testing.assert_close(critic.slope(s, a), slope.detach())
    torch.testing.assert_close(critic.slope(s[0], a[0]), slope[0].detach())
    parameters = list(critic.parameters())
    for along_slope in (None, along):
        loss = (q * g.squeeze(-1)).sum() + (0.0 if along_slope is None else (slope * along_slope).sum())
        expected = torch.autograd.grad(loss, parameters, retain_graph=True)
        critic.differentiate(s, a, g.squeeze(-1), along_slope)
        for parameter, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


def test_small_weights_are_the_tutorials() -> None:
    critics = [Critic(2, initialisation="small", generator=torch.Generator().manual_seed(seed)) for seed in range(50)]
    for layer in ("hidden", "value"):
        weights = torch.cat([getattr(critic, layer).weight.flatten() for critic in critics])
        assert 0.19 < weights.abs().max() <= 0.2
        torch.testing.assert_close(weights.std(), torch.tensor(0.088), rtol=0.05, atol=0)
        biases = torch.cat([getattr(critic, layer).bias for critic in critics])
        assert torch.equal(biases, torch.full_like(biases, 0.1))


def test_ten_units_of_tensorflows_weights() -> None:
    """Section 4.1: ten hidden units. Uniform within sqrt(3 / fan-in), biases 0."""
    critics = [Critic(2, generator=torch.Generator().manual_seed(seed)) for seed in range(50)]
    assert critics[0].hidden.weight.shape == (10, 2)
    for layer, fan_in in (("hidden", 2), ("value", 10)):
        bound = math.sqrt(3 / fan_in)
        weights = torch.cat([getattr(critic, layer).weight.flatten() for critic in critics])
        assert 0.97 * bound < weights.abs().max() <= bound
        torch.testing.assert_close(weights.std(), torch.tensor(bound / math.sqrt(3)), rtol=0.05, atol=0)
        assert not any(getattr(critic, layer).bias.any() for critic in critics)


def test_pytorchs_weights_are_the_other_reading() -> None:
    critic = Critic(2, 400, initialisation="pytorch", generator=torch.Generator().manual_seed(0))
    for values, fan_in in ((critic.hidden.weight, 2), (critic.hidden.bias, 2), (critic.value.weight, 400)):
        assert 0.95 / math.sqrt(fan_in) < values.abs().max() <= 1 / math.sqrt(fan_in)
