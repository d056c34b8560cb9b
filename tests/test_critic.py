"""The critic against its formula, its initial weights against the table."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.online.critic import Critic


@pytest.mark.parametrize(("name", "activation"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_one_hidden_layer(name: str, activation) -> None:
    critic = Critic(3, activation=name, generator=torch.Generator().manual_seed(0))
    s, a = torch.randn(5, 2), torch.randn(5, 1)
    hidden = activation(torch.cat([s, a], 1) @ critic.hidden.weight.T + critic.hidden.bias)
    torch.testing.assert_close(critic(s, a), (hidden @ critic.value.weight.T + critic.value.bias)[:, 0])


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
