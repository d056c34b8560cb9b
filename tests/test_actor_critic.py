"""The critic's update against automatic differentiation of its loss as it is written down."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lrpilot.online import losses
from lrpilot.online.action import AbsoluteRate
from lrpilot.online.actor_critic import ActorCritic
from lrpilot.online.observation import RelativeLogLoss
from lrpilot.online.replay import Transition
from lrpilot.online.reward import LossDecrement
from lrpilot.online.settings import PAPER, STABLE, Setting

RAW = dataclasses.replace(STABLE, action=AbsoluteRate)
WITHOUT = dataclasses.replace(STABLE, learn_slope=False, discount=0.9)


@pytest.mark.parametrize("setting", [STABLE, RAW, WITHOUT], ids=["log rate", "rate", "no slope"])
def test_the_critics_update_is_the_gradient_of_both_of_its_losses(setting: Setting) -> None:
    """Equation 8 and D4: halves of the mean squares of the TD error and of what the slope in log rate misses.

    Without D4 the first alone, though the reward of D3 has measured a slope.
    """
    generator = torch.Generator().manual_seed(0)
    pair = ActorCritic(setting, generator=generator, like=torch.empty(0, dtype=torch.float64))
    pair.begin_run([0.1])
    size = setting.observation().size
    s, following = torch.randn(2, 6, size, dtype=torch.float64, generator=generator)
    rates, next_rates = (0.1 * torch.randn(2, 6, 1, dtype=torch.float64, generator=generator)).exp() / 10
    r = torch.randn(6, dtype=torch.float64, generator=generator)
    slope = torch.randn(6, 1, dtype=torch.float64, generator=generator)

    log_rates = rates.log().requires_grad_()
    q = pair.critic(s, pair.action.describe(log_rates.exp()))
    (along,) = torch.autograd.grad(q.sum(), log_rates, create_graph=True)
    with torch.no_grad():
        q_next = pair.critic(following, pair.action.describe(next_rates))
        target = losses.td_target(r, q_next, setting.discount)
    loss = (target - q).square().mean() / 2
    if setting.learn_slope:
        loss = loss + (slope - along).square().sum(1).mean() / 2
    expected = torch.autograd.grad(loss, list(pair.critic.parameters()))

    td_error = pair.improve_critic(Transition(s, rates, r, following, next_rates, slope), LossDecrement())
    torch.testing.assert_close(td_error, (target - q)[0].detach())
    for parameter, gradient in zip(pair.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("evaluate", ["foresee", "policy_loss"])
@pytest.mark.parametrize("keeps", [True, False])
def test_whether_an_evaluation_advances_the_actors_memory(evaluate: str, keeps: bool) -> None:
    """The next decision is the one that would follow a decision at what was evaluated, or is as if nothing had been."""
    setting = dataclasses.replace(PAPER, observation=RelativeLogLoss, unroll="sliding", keep_evaluations=keeps)
    s = torch.randn(3, setting.observation().size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def decided(before: str | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        pair = ActorCritic(setting, generator=generator, like=torch.empty(0, dtype=torch.float64))
        pair.begin_run([0.1])
        pair.decide(s[0])
        if before is not None:
            getattr(pair, before)(s[1])
        return pair.decide(s[2]).detach()

    assert torch.equal(decided(evaluate), decided(None)) != keeps
    torch.testing.assert_close(decided(evaluate), decided("decide" if keeps else None))


def test_what_the_actor_has_just_read_it_does_not_read_again() -> None:
    """As a rule a decision reads what the actor was judged at: half of the actor's answers are at hand."""
    pair = ActorCritic(PAPER, generator=torch.Generator().manual_seed(0), like=torch.empty(0))
    read: list[torch.Tensor] = []
    step = pair.actor.step
    pair.actor.step = lambda observation, memory: read.append(observation) or step(observation, memory)
    first, second = torch.tensor([2.0]), torch.tensor([1.0])
    pair.foresee(first)
    pair.decide(first)
    assert len(read) == 1
    pair.decide(first)  # from another memory
    pair.foresee(second)
    assert len(read) == 3
