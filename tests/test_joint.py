"""Several actions as one, against each by itself and against automatic differentiation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import lrpilot
from lrpilot import AbsoluteRate, LogRate
from lrpilot.online.actor_critic import ActorCritic
from lrpilot.online.controls import Layout
from lrpilot.online.joint import JointAction

LAYOUT = Layout(seats=((0, 0), (1, 0), (0, 1), (2, 2)), places=3, limits=(math.inf, 1.0, 1.0))
"""Rates in two places, a momentum in the first alone, a dropout in a place of its own."""
GIVEN = [0.1, 0.02, 0.3, 0.05]  # of the dropout ten times as much, a settled rate's ceiling, is below its limit


def numbers(*shape: int) -> np.ndarray:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()


def rates_and_others(rates: type, raw: torch.Tensor, settled: bool = False) -> torch.Tensor:
    """The action written out: log rates below ten times their centre once settled, what is not a rate below 1."""
    given = torch.tensor(GIVEN, dtype=torch.float64)
    ceiling = torch.cat((given[:2] * 10, torch.ones(2)))
    others = ceiling / (1 + (ceiling / given - 1) * (-raw).exp())
    if rates is AbsoluteRate:
        return torch.cat((raw[..., :2].abs(), others[..., 2:]), dim=-1)
    return others if settled else torch.cat((given[:2] * raw[..., :2].exp(), others[..., 2:]), dim=-1)


def description(rates: type, action: torch.Tensor) -> torch.Tensor:
    """What the critic sees written out: ``z = log(a / given) / 2`` and its square, of the paper's rate itself."""
    z = (action / torch.tensor(GIVEN, dtype=torch.float64)).log() / 2
    seen = torch.stack((z, z**2), dim=-1).flatten(-2)
    return torch.cat((action[..., :2], seen[..., 4:]), dim=-1) if rates is AbsoluteRate else seen


@pytest.mark.parametrize("rates", [AbsoluteRate, LogRate])
def test_each_number_is_what_its_own_action_says(rates: type) -> None:
    joint = JointAction(rates(), LAYOUT)
    joint.centre(GIVEN, settled=True)
    raw = numbers(5, 4) - 0.5
    ones = []
    for column, (kind, given) in enumerate(zip((rates, rates, LogRate, LogRate), GIVEN, strict=True)):
        one = kind() if column < 2 else LogRate(limit=1.0)
        one.centre([given], settled=column < 2)
        ones.append((one, raw[:, [column]]))
    action = joint.rate(raw)
    assert np.array_equal(action, np.concatenate([one.rate(raw) for one, raw in ones], axis=1))
    assert np.array_equal(joint.slope(raw), np.concatenate([one.slope(raw) for one, raw in ones], axis=1))
    parts = [(one, one.rate(raw), one.describe(one.rate(raw))) for one, raw in ones]
    seen = np.concatenate([part[:, 0] for _, _, part in parts], axis=1)
    assert np.array_equal(joint.describe(action), seen)
    assert seen.shape[-1] == joint.size
    derivative = np.concatenate([one.derivative(rate, part)[:, 0] for one, rate, part in parts], axis=1)
    assert np.array_equal(joint.derivative(action, seen), derivative)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("rates", [AbsoluteRate, LogRate])
def test_the_slope_is_the_derivative_of_each_number(rates: type, settled: bool) -> None:
    joint = JointAction(rates(), LAYOUT)
    joint.centre(GIVEN, settled=settled)
    raw = 4 * numbers(5, 4) - 2
    here = torch.tensor(raw, requires_grad=True)
    action = rates_and_others(rates, here, settled)
    (expected,) = torch.autograd.grad(action.sum(), here)
    np.testing.assert_allclose(joint.rate(raw), action.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(joint.slope(raw), expected.numpy(), rtol=1e-12)
    np.testing.assert_allclose(joint.slope(raw[0]), expected[0].numpy(), rtol=1e-12)


@pytest.mark.parametrize("rates", [AbsoluteRate, LogRate])
def test_the_chain_rule_is_that_of_the_description(rates: type) -> None:
    joint = JointAction(rates(), LAYOUT)
    joint.centre(GIVEN)
    action = torch.tensor(numbers(5, 4), requires_grad=True)
    at = action.detach().numpy()
    seen = description(rates, action)
    along = numbers(*seen.shape)
    (expected,) = torch.autograd.grad((seen * torch.tensor(along)).sum(), action)
    np.testing.assert_allclose(joint.describe(at), seen.detach().numpy(), rtol=1e-12)
    derivative = joint.derivative(at, joint.describe(at))
    np.testing.assert_allclose(joint.gather(derivative * along), expected.numpy(), rtol=1e-12)
    weights = numbers(5, 4)
    back = joint.spread(weights) * derivative
    np.testing.assert_allclose((back * along).sum(), (weights * expected.numpy()).sum(), rtol=1e-12)
    one = joint.spread(weights[0]) * joint.derivative(at[0], joint.describe(at[0]))
    np.testing.assert_allclose(one, back[0], rtol=1e-12)


FULL = Layout(seats=((0, 0), (1, 0), (0, 1), (1, 1)), places=2, limits=(math.inf, 1.0))
"""Two knobs, both in both places."""


@pytest.mark.parametrize(
    ("rates", "layout", "gathered", "spread"),
    [
        (LogRate, LAYOUT, [1 + 2, 4 + 8, 16 + 32, 64 + 128], [1, 1, 2, 2, 3, 3, 4, 4]),
        (AbsoluteRate, LAYOUT, [1, 2, 4 + 8, 16 + 32], [1, 2, 3, 3, 4, 4]),
        (AbsoluteRate, Layout(), [1], [1]),
        (LogRate, Layout(), [1 + 2], [1, 1]),
    ],
)
def test_what_tells_of_a_number_is_gathered_and_spread(
    rates: type, layout: Layout, gathered: list[float], spread: list[float]
) -> None:
    """By hand, and as transposes of each other."""
    joint = JointAction(rates(), layout)
    assert joint.gather(2.0 ** np.arange(joint.size)).tolist() == gathered
    assert joint.spread(1.0 + np.arange(len(gathered))).tolist() == spread
    one, other = numbers(5, joint.size), numbers(5, len(gathered))
    np.testing.assert_allclose((joint.gather(one) * other).sum(), (one * joint.spread(other)).sum(), rtol=1e-12)
    np.testing.assert_allclose(joint.gather(one[0]), joint.gather(one)[0], rtol=1e-12)
    assert np.array_equal(joint.spread(other[0]), joint.spread(other)[0])


@pytest.mark.parametrize("layout", [LAYOUT, FULL])
def test_of_what_the_actor_says_the_numbers_that_there_are_are_picked_knob_by_knob(layout: Layout) -> None:
    outputs = numbers(5, layout.places, len(layout.limits))
    picked = JointAction(LogRate(), layout).pick(outputs)
    for number, (place, knob) in enumerate(layout.seats):
        assert np.array_equal(picked[:, number], outputs[:, place, knob])
    assert picked.shape == (5, 4)
    assert np.array_equal(JointAction(LogRate(), layout).pick(outputs[0]), picked[0])


@pytest.mark.parametrize("layout", [LAYOUT, FULL])
def test_numbers_go_back_to_where_they_were_picked(layout: Layout) -> None:
    joint = JointAction(LogRate(), layout)
    outputs, along = numbers(5, layout.places, len(layout.limits)), numbers(5, 4)
    back = joint.unpick(along)
    assert back.shape == outputs.shape
    for number, (place, knob) in enumerate(layout.seats):
        assert np.array_equal(back[:, place, knob], along[:, number])
    assert np.count_nonzero(back) == along.size  # and zeros elsewhere
    np.testing.assert_allclose((joint.pick(outputs) * along).sum(), (outputs * back).sum(), rtol=1e-12)  # transposed
    assert np.array_equal(joint.unpick(along[0]), back[0])


def test_a_momentum_or_a_dropout_never_leaves_its_range() -> None:
    joint = JointAction(LogRate(), LAYOUT)
    joint.centre(GIVEN)
    np.testing.assert_allclose(joint.rate(np.zeros(4)), GIVEN)
    for raw in (-20.0, 20.0):
        assert (joint.rate(np.full(4, raw))[2:] <= 1).all()
    assert joint.rate(np.full(4, 20.0))[2] > 0.99
    assert joint.rate(np.full(4, 20.0))[0] > 1000 * GIVEN[0]  # a rate that no sweep has found has no ceiling
    assert joint.within(np.array([3.0, 3.0, 3.0, 0.2])).tolist() == [3.0, 3.0, 1.0, 0.2]


def test_two_knobs_in_one_place() -> None:
    """A rate that has no limit, and a momentum's distance to one, which is at most 1."""
    joint = JointAction(AbsoluteRate(), Layout(seats=((0, 0), (0, 1)), limits=(math.inf, 1.0)))
    joint.centre([0.1, 0.2])
    momentum = LogRate(limit=1.0)
    momentum.centre([0.2])
    raw = np.array([-0.3, 2.0])
    assert joint.rate(raw).tolist() == [0.3, *momentum.rate(raw[1:])]
    assert joint.describe(np.array([0.3, 0.2])).tolist() == pytest.approx([0.3, 0.0, 0.0], abs=1e-12)
    assert joint.within(np.array([7.0, 7.0])).tolist() == [7.0, 1.0]


def test_it_resumes() -> None:
    one, two = JointAction(LogRate(), LAYOUT), JointAction(LogRate(), LAYOUT)
    one.centre(GIVEN, settled=True)
    two.load_state_dict(one.state_dict())
    raw = np.array([5.0, -1.0, 2.0, 0.3])
    assert np.array_equal(one.rate(raw), two.rate(raw))


@pytest.mark.parametrize("unroll", ["sliding", "chunk"])
@pytest.mark.parametrize("action", [AbsoluteRate, LogRate])
def test_equation_9_is_the_gradient_of_the_critic_through_all_numbers(unroll: str, action: type) -> None:
    """The critic's value of the actor's answers, differentiated as one function of the actor's weights."""
    setting = dataclasses.replace(lrpilot.PAPER, unroll=unroll, unroll_steps=4, action=action)
    generator = torch.Generator().manual_seed(3)
    learner = ActorCritic(setting, generator=generator, dtype=torch.float64, layout=LAYOUT)
    learner.begin_run(GIVEN)
    actor, critic = learner.actor, learner.critic
    shown, s = numbers(8, 3, 2), numbers(8, 1) + 1
    read = torch.tensor(np.concatenate((s[:, None].repeat(3, axis=1), shown), axis=-1))
    learner.notice(shown[0])
    learner.decide(s[0])
    after_one = tuple(torch.tensor(part) for part in learner._recollection.memory)
    for t in range(4):
        learner.notice(shown[t + 1])
        actor.zero_grad()
        complete, dq_da = learner.policy_gradient(s[t + 1])
        assert dq_da.shape == (4,)
        assert complete == (unroll == "sliding" or t == 3)
        if t < 3:
            learner.decide(s[t + 1])
    # In chunks the outputs at s_1 to s_4, from the memory after s_0; sliding the last one, from the memory before s_1.
    judged = range(4) if unroll == "chunk" else [3]
    total = torch.zeros((), dtype=torch.float64)
    for t in judged:
        outputs = actor.output(actor.lstm(read[1 : t + 2], after_one)[0][-1])
        raw = torch.stack([outputs[place, knob] for place, knob in LAYOUT.seats])
        x = torch.cat((torch.tensor(s[t + 1]), description(action, rates_and_others(action, raw))))
        hidden = torch.tanh(critic.hidden.weight @ x + critic.hidden.bias)
        total = total + (critic.value.weight @ hidden + critic.value.bias).squeeze()
    parameters = [p for p in actor.parameters() if p.requires_grad]
    expected = torch.autograd.grad(total, parameters)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(-parameter.grad, gradient)
    assert sum(parameter.grad.abs().sum() for parameter in parameters) > 1e-3
