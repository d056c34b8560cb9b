"""The appendix: a frozen actor within a run, equation 10 at its end."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import lrpilot


def drive(study: lrpilot.OfflineActorCritic, steps: int = 12) -> lrpilot.OnlineActorCritic:
    w = torch.nn.Parameter(torch.full((4,), 2.0, dtype=torch.float64))
    with study.run(torch.optim.SGD([w], lr=0.1)) as controller:
        for t in range(steps):
            target = torch.randn(4, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
            controller.step(lambda batch: (w - batch).square().mean(), target)
    return controller


def new_study(**changes: object) -> lrpilot.OfflineActorCritic:
    setting = dataclasses.replace(lrpilot.PAPER, **changes)  # type: ignore[arg-type]
    return lrpilot.OfflineActorCritic(setting, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_actor_moves_only_between_runs_and_the_critic_within() -> None:
    study = new_study()
    before = copy.deepcopy(study.learner.actor.state_dict())
    critic = copy.deepcopy(study.learner.critic.state_dict())
    frozen = new_study(learn_actor=False)
    assert torch.equal(drive(study).history["rate"], drive(frozen).history["rate"])
    moved = [not torch.equal(value, before[name]) for name, value in study.learner.actor.state_dict().items()]
    assert any(moved)
    assert not torch.equal(study.learner.critic.value.weight, critic["value.weight"])
    assert study.runs == 1


def test_the_update_is_equation_10() -> None:
    """The weighted sum of the terms, taken apart: by hand one gradient at a time, then one step of Adam."""
    study = new_study(unroll="sliding")
    terms: list[list[torch.Tensor]] = []
    policy_gradient = study.learner.policy_gradient

    def recording(s_j: np.ndarray, weight: float) -> tuple[bool, np.ndarray]:
        parameters = [p for p in study.learner.actor.parameters() if p.requires_grad]
        summed = [p.grad for p in parameters]
        study.learner.actor.zero_grad()
        policy_gradient(s_j)
        terms.append([p.grad for p in parameters])
        for parameter, gradient in zip(parameters, summed, strict=True):
            parameter.grad = gradient
        return policy_gradient(s_j, weight)

    study.learner.policy_gradient = recording  # type: ignore[method-assign]
    before = [p.detach().clone() for p in study.learner.actor.parameters() if p.requires_grad]
    drive(study)
    assert len(terms) == 11
    after = [p for p in study.learner.actor.parameters() if p.requires_grad]
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        gradient = sum(term[i] / t for t, term in enumerate(terms, start=1))
        first_step_of_adam = 1e-3 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(new.detach(), old - first_step_of_adam)


def test_in_chunks_the_update_is_equation_10_as_well() -> None:
    """Two chunks of four outputs and one of three, each a term of the sum with its own weight: the actor, frozen, reads
    each anew from the memory that the decisions left at its beginning."""
    study = new_study(unroll="chunk", unroll_steps=4)
    before = copy.deepcopy(study.learner.actor)
    controller = drive(study)
    states, slopes = controller.history["loss"], controller.history["dq_da"]
    assert len(slopes) == 11
    _, memory = before.step(states[:1, None].numpy(), before.initial_memory())
    for begin in (1, 5, 9):  # x_j of step t is the state of step t + 1
        chunk = torch.arange(begin, min(begin + 4, 12))
        outputs, memory = before.unroll(states[chunk, None, None, None].numpy(), memory)
        (slopes[chunk - 1] / chunk * outputs.abs().squeeze()).sum().backward()
    for old, new in zip(before.parameters(), study.learner.actor.parameters(), strict=True):
        if old.requires_grad:
            gradient = -old.grad
            torch.testing.assert_close(new, old - 1e-3 * gradient / (gradient.abs() + 1e-8))


def test_a_run_that_fails_teaches_the_actor_nothing() -> None:
    study = new_study()
    before = copy.deepcopy(study.learner.actor.state_dict())
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))

    def run() -> None:
        with study.run(torch.optim.SGD([w], lr=0.1)) as controller:
            for scale in (1.0, 1.0, float("nan")):
                controller.step(lambda s: (s * w).sum(), scale)

    with pytest.raises(lrpilot.NonFiniteLoss):
        run()
    assert study.runs == 0
    for name, value in study.learner.actor.state_dict().items():
        assert torch.equal(value, before[name])


def test_resume_between_runs_is_exact() -> None:
    one, two = new_study(), new_study()
    drive(one)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    assert torch.equal(drive(one).history["rate"], drive(two).history["rate"])
    assert two.runs == 2


def test_the_sum_of_equation_10_so_far_belongs_to_the_state() -> None:
    one, two = new_study(unroll="sliding"), new_study(unroll="sliding")
    states: list[Any] = []
    policy_gradient = one.learner.policy_gradient

    def saving(s_j: np.ndarray, weight: float) -> Any:
        states.append(copy.deepcopy(one.learner.state_dict()))
        return policy_gradient(s_j, weight)

    one.learner.policy_gradient = saving  # type: ignore[method-assign]
    drive(one)
    two.learner.load_state_dict(states[-1])
    sums = [parameter.grad for parameter in two.learner.actor.parameters() if parameter.requires_grad]
    saved = [total for total in states[-1]["gradients"] if total is not None]
    assert all(total is not None and total.any() for total in sums)
    torch.testing.assert_close(sums, saved, rtol=0, atol=0)


def test_a_state_is_a_value_and_loading_is_all_or_nothing() -> None:
    one, two = new_study(), new_study()
    drive(one)
    state = one.state_dict()
    drive(one)
    two.load_state_dict(state)
    drive(two)
    assert torch.equal(one.learner.actor.output.weight, two.learner.actor.output.weight)

    fresh = new_study()
    untouched = copy.deepcopy(fresh.state_dict())
    with pytest.raises(lrpilot.InvalidArgument, match="the saved state must be that of an OfflineActorCritic like"):
        fresh.load_state_dict({name: part for name, part in state.items() if name != "runs"})
    for name, value in fresh.learner.actor.state_dict().items():
        assert torch.equal(value, untouched["learner"]["actor"][name])
    assert torch.equal(drive(fresh).history["rate"], drive(new_study()).history["rate"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, "paper"), ({"discount": 0.8, "unroll_steps": 5}, "paper, discount=0.8, unroll_steps=5")],
)
def test_it_says_what_it_is(changes: dict, said: str) -> None:
    study = new_study(**changes)
    drive(study)
    assert repr(study) == f"OfflineActorCritic({said}, runs=1)"


def test_a_run_without_a_lesson_does_not_count() -> None:
    study = lrpilot.OfflineActorCritic("paper")
    with study.run(torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)):
        pass
    assert study.runs == 0


def test_a_study_of_another_precision_is_refused() -> None:
    state = lrpilot.OfflineActorCritic("paper", dtype=torch.float64).state_dict()
    with pytest.raises(
        lrpilot.InvalidArgument, match=r"the saved dtype must be torch\.float32 as here, got 'torch\.float64'"
    ):
        lrpilot.OfflineActorCritic("paper").load_state_dict(state)


def test_a_given_learner_brings_its_precision() -> None:
    learner = lrpilot.OfflineActorCritic("paper", dtype=torch.float64).learner
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    assert lrpilot.OnlineActorCritic(optimizer, learner=learner).state_dict()["dtype"] == "torch.float64"


@pytest.mark.mistyped
def test_a_way_to_draw_is_a_function_and_one_that_is_asked() -> None:
    draws = dataclasses.replace(lrpilot.PAPER, actor_batch="draw")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    for make in (
        lambda setting, draw: lrpilot.OfflineActorCritic(setting, draw=draw),
        lambda setting, draw: lrpilot.OnlineActorCritic(optimizer, setting, draw=draw),
    ):
        for setting, draw in ((draws, (1, 2)), (draws, None), ("paper", list)):
            with pytest.raises(
                lrpilot.InvalidArgument, match="draw must be a function exactly when actor_batch is 'draw'"
            ):
                make(setting, draw)
