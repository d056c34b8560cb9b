"""The critic's update against automatic differentiation of its loss as it is written down."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lrpilot.online.action import AbsoluteRate
from lrpilot.online.actor_critic import ActorCritic
from lrpilot.online.observation import RelativeLogLoss
from lrpilot.online.replay import Transition
from lrpilot.online.reward import LossDecrement
from lrpilot.online.settings import PAPER, STABLE, Setting

RAW = dataclasses.replace(STABLE, action=AbsoluteRate, output_scale=0.1)
WITHOUT = dataclasses.replace(STABLE, learn_slope=False, discount=0.9)


@pytest.mark.parametrize("setting", [STABLE, RAW, WITHOUT], ids=["log rate", "rate", "no slope"])
def test_the_critics_update_is_the_gradient_of_both_of_its_losses(setting: Setting) -> None:
    """Equation 8 and D4: halves of the mean squares of the TD error and of what the slope in log rate misses.

    Without D4 the first alone, though the reward of D3 has measured a slope.
    """
    generator = torch.Generator().manual_seed(0)
    pair = ActorCritic(setting, generator=generator, dtype=torch.float64)
    pair.begin_run([0.1])
    size = setting.observation().size
    s, following = torch.randn(2, 6, size, dtype=torch.float64, generator=generator)
    rates, next_rates = (0.1 * torch.randn(2, 6, 1, dtype=torch.float64, generator=generator)).exp() / 10
    r = torch.randn(6, dtype=torch.float64, generator=generator)
    slope = torch.randn(6, 1, dtype=torch.float64, generator=generator)

    def q_of(s: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
        z = (rates / 0.1).log() / 2
        seen = rates if setting.action is AbsoluteRate else torch.cat((z, z.square()), 1)
        hidden = (torch.cat((s, seen), 1) @ pair.critic.hidden.weight.T + pair.critic.hidden.bias).tanh()
        return (hidden @ pair.critic.value.weight.T + pair.critic.value.bias)[:, 0]

    log_rates = rates.log().requires_grad_()
    q = q_of(s, log_rates.exp())
    (along,) = torch.autograd.grad(q.sum(), log_rates, create_graph=True)
    with torch.no_grad():
        target = r + setting.discount * q_of(following, next_rates)
    loss = (target - q).square().mean() / 2
    if setting.learn_slope:
        loss = loss + (slope - along).square().sum(1).mean() / 2
    expected = torch.autograd.grad(loss, list(pair.critic.parameters()))

    arrays = (part.numpy() for part in (s, rates, r, following, next_rates, slope))
    td_error = pair.improve_critic(Transition(*arrays), LossDecrement())
    assert td_error == pytest.approx((target - q)[0].item())
    for parameter, gradient in zip(pair.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("evaluate", ["foresee", "policy_gradient"])
@pytest.mark.parametrize("keeps", [True, False])
def test_whether_an_evaluation_advances_the_actors_memory(evaluate: str, keeps: bool) -> None:
    """The next decision is the one that would follow a decision at what was evaluated, or is as if nothing had been."""
    setting = dataclasses.replace(PAPER, observation=RelativeLogLoss, unroll="sliding", keep_evaluations=keeps)
    s = np.random.default_rng(0).standard_normal((3, setting.observation().size))

    def decided(before: str | None) -> np.ndarray:
        pair = ActorCritic(setting, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        pair.begin_run([0.1])
        pair.decide(s[0])
        if before is not None:
            getattr(pair, before)(s[1])
        return pair.decide(s[2])

    assert np.array_equal(decided(evaluate), decided(None)) != keeps
    np.testing.assert_allclose(decided(evaluate), decided("decide" if keeps else None))


def test_what_the_actor_has_just_read_it_does_not_read_again() -> None:
    """As a rule a decision reads what the actor was judged at: half of the actor's answers are at hand."""
    pair = ActorCritic(PAPER, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    read: list[np.ndarray] = []
    step = pair.actor.step
    pair.actor.step = lambda observation, memory: read.append(observation) or step(observation, memory)
    first, second = np.array([2.0]), np.array([1.0])
    pair.foresee(first)
    pair.decide(first)
    assert len(read) == 1
    pair.decide(first)  # from another memory
    pair.foresee(second)
    assert len(read) == 3
