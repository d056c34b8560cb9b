"""Several actions as one, against each by itself and against automatic differentiation."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

import lrpilot
from lrpilot import AbsoluteRate, LogRate
from lrpilot.online.actor_critic import ActorCritic
from lrpilot.online.controls import Layout
from lrpilot.online.joint import JointAction

LAYOUT = Layout(seats=((0, 0), (1, 0), (0, 1), (2, 2)), places=3, limits=(math.inf, 1.0, 1.0))
"""Rates in two places, a momentum in the first alone, a dropout in a place of its own."""
GIVEN = [0.1, 0.02, 0.3, 0.5]


def numbers(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rates", [AbsoluteRate, LogRate])
def test_each_number_is_what_its_own_action_says(rates: type) -> None:
    joint = JointAction(rates(), LAYOUT)
    joint.centre(GIVEN, settled=True)
    raw = numbers(5, 4) - 0.5
    columns = []
    for column, (kind, given) in enumerate(zip((rates, rates, LogRate, LogRate), GIVEN, strict=True)):
        one = kind() if column < 2 else LogRate(limit=1.0)
        one.centre([given], settled=column < 2)
        columns.append((one, one.rate(raw[:, column])))
    action = joint.rate(raw)
    torch.testing.assert_close(action, torch.stack([values for _, values in columns], dim=-1))
    seen = torch.cat([one.describe(values) for one, values in columns], dim=-1)
    torch.testing.assert_close(joint.describe(action), seen)
    assert seen.shape[-1] == joint.size


def test_the_chain_rule_is_that_of_the_description() -> None:
    joint = JointAction(LogRate(), LAYOUT)
    joint.centre(GIVEN)
    action = numbers(5, 4).requires_grad_()
    seen = joint.describe(action)
    along = numbers(*seen.shape)
    (expected,) = torch.autograd.grad((seen * along).sum(), action)
    torch.testing.assert_close(joint.chain(action.detach(), along), expected)
    weights = numbers(5, 4)
    back = joint.unchain(action.detach(), weights)
    torch.testing.assert_close((back * along).sum(), (weights * expected).sum())
    torch.testing.assert_close(joint.unchain(action[0].detach(), weights[0]), back[0])


FULL = Layout(seats=((0, 0), (1, 0), (0, 1), (1, 1)), places=2, limits=(math.inf, 1.0))
"""Two knobs, both in both places."""


@pytest.mark.parametrize("layout", [LAYOUT, FULL])
def test_of_what_the_actor_says_the_numbers_that_there_are_are_picked_knob_by_knob(layout: Layout) -> None:
    outputs = numbers(5, layout.places, len(layout.limits))
    picked = JointAction(LogRate(), layout).pick(outputs)
    for number, (place, knob) in enumerate(layout.seats):
        assert torch.equal(picked[:, number], outputs[:, place, knob])
    assert picked.shape == (5, 4)
    assert torch.equal(JointAction(LogRate(), layout).pick(outputs[0]), picked[0])


def test_a_momentum_or_a_dropout_never_leaves_its_range() -> None:
    joint = JointAction(LogRate(), LAYOUT)
    joint.centre(GIVEN)
    torch.testing.assert_close(joint.rate(torch.zeros(4)), torch.tensor(GIVEN))
    for raw in (-20.0, 20.0):
        assert ((joint.rate(torch.full((4,), raw))[2:]) <= 1).all()
    assert joint.rate(torch.full((4,), 20.0))[2] > 0.99
    assert joint.rate(torch.full((4,), 20.0))[0] > 1000 * GIVEN[0]  # a rate that no sweep has found has no ceiling
    assert joint.within(torch.tensor([3.0, 3.0, 3.0, 0.2])).tolist() == pytest.approx([3.0, 3.0, 1.0, 0.2])


def test_two_knobs_in_one_place() -> None:
    """A rate that has no limit, and a momentum's distance to one, which is at most 1."""
    joint = JointAction(AbsoluteRate(), Layout(seats=((0, 0), (0, 1)), limits=(math.inf, 1.0)))
    joint.centre([0.1, 0.2])
    momentum = LogRate(limit=1.0)
    momentum.centre([0.2])
    raw = torch.tensor([-0.3, 2.0])
    torch.testing.assert_close(joint.rate(raw), torch.stack([torch.tensor(0.3), momentum.rate(raw[1])]))
    assert joint.describe(torch.tensor([0.3, 0.2])).tolist() == pytest.approx([0.3, 0.0, 0.0], abs=1e-6)
    assert joint.within(torch.tensor([7.0, 7.0])).tolist() == [7.0, 1.0]


def test_it_resumes() -> None:
    one, two = JointAction(LogRate(), LAYOUT), JointAction(LogRate(), LAYOUT)
    one.centre(GIVEN, settled=True)
    two.load_state_dict(one.state_dict())
    raw = torch.tensor([5.0, -1.0, 2.0, 0.3])
    assert torch.equal(one.rate(raw), two.rate(raw))


@pytest.mark.parametrize("unroll", ["sliding", "chunk"])
@pytest.mark.parametrize("action", [AbsoluteRate, LogRate])
def test_equation_9_is_the_gradient_of_the_critic_through_all_numbers(unroll: str, action: type) -> None:
    """The critic's value of the actor's answers, differentiated as one function of the actor's weights."""
    setting = dataclasses.replace(lrpilot.PAPER, unroll=unroll, unroll_steps=4, action=action)
    like = torch.empty(0, dtype=torch.float64)
    learner = ActorCritic(setting, generator=torch.Generator().manual_seed(3), like=like, layout=LAYOUT)
    learner.begin_run(GIVEN)
    shown, s = numbers(8, 3, 2), numbers(8, 1) + 1
    read = torch.cat((s.unsqueeze(1).expand(-1, 3, 1), shown), dim=-1)
    learner.notice(shown[0])
    learner.decide(s[0])
    after_one = learner._recollection.memory
    for t in range(4):
        learner.notice(shown[t + 1])
        loss, dq_da = learner.policy_loss(s[t + 1])
        assert dq_da.shape == (4,)
        if t < 3:
            learner.decide(s[t + 1])
    # In chunks the outputs at s_1 to s_4, from the memory after s_0; sliding the last one, from the memory before s_1.
    judged = range(4) if unroll == "chunk" else [3]
    total = torch.zeros((), dtype=torch.float64)
    for t in judged:
        outputs, _ = learner.actor(read[1 : t + 2], after_one)
        a = learner.action.rate(learner.action.pick(outputs))
        total = total + learner.critic(s[t + 1], learner.action.describe(a))
    assert loss is not None
    parameters = [p for p in learner.actor.parameters() if p.requires_grad]
    mine = torch.autograd.grad(-loss, parameters)
    expected = torch.autograd.grad(total, parameters)
    for one, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert sum(each.abs().sum() for each in mine) > 1e-3
