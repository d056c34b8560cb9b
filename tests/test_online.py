"""Algorithm 1 as a user meets it. (That it is Algorithm 1 is for `test_oracle.py`.)"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrpilot

SETTINGS = ("paper", "stable")
CHUNK = dataclasses.replace(lrpilot.PAPER, unroll="chunk", initialisation="small")


class Problem:
    """A small classifier with BatchNorm and dropout, its optimizer, and a stream of batches."""

    def __init__(self, lr: float = 0.05, seed: int = 0, make: Callable = torch.optim.SGD) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.2), nn.Linear(12, 3))
        self.optimizer = make(self.network.parameters(), lr=lr)
        self.calls = 0
        self._teacher = torch.randn(6, 3)

    def batch(self, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(t))
        return inputs, (inputs @ self._teacher).argmax(-1)

    def loss_fn(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        return cross_entropy(self.network(batch[0]), batch[1])


def controller(problem: Problem, setting: str | lrpilot.Setting, **kwargs: object) -> lrpilot.OnlineActorCritic:
    generator = torch.Generator().manual_seed(7)
    return lrpilot.OnlineActorCritic(problem.optimizer, setting, generator=generator, **kwargs)


@pytest.mark.parametrize(
    "setting",
    ["paper", lrpilot.deviating("D3"), dataclasses.replace(lrpilot.deviating("D3", "D5"), actor_batch="same")],
    ids=["paper", "transferred", "transferred, same batch"],
)
def test_the_paper_costs_one_extra_forward_pass_a_step(setting: str | lrpilot.Setting) -> None:
    """And so does whatever reads the state after the step: a discount, or an actor that is judged there."""
    problem = Problem()
    drive = controller(problem, setting)
    for t in range(10):
        drive.step(problem.loss_fn, problem.batch(t))
    assert problem.calls == 20


def test_stable_costs_none_once_its_opening_is_over() -> None:
    problem = Problem()
    drive = controller(problem, "stable")
    calls = []
    for t in range(150):
        drive.step(problem.loss_fn, problem.batch(t))
        calls.append(problem.calls)
    assert calls[9] == 20
    assert calls[-1] - calls[-41] == 40


def test_a_reward_that_looks_now_and_then_costs_so_many() -> None:
    """Until version 0.2 the stable setting's looked in one step of eight."""
    problem = Problem()
    drive = controller(problem, dataclasses.replace(lrpilot.deviating("D3"), discount=0.0))
    for t in range(40):
        drive.step(problem.loss_fn, problem.batch(t))
    assert problem.calls == 40 + 5


@pytest.mark.parametrize(("actor_batch", "calls"), [("next", 20), ("draw", 30), ("same", 20)])
def test_a_critic_on_the_other_batch_costs_as_many(actor_batch: str, calls: int) -> None:
    problem = Problem()
    setting = dataclasses.replace(lrpilot.PAPER, critic_batch="other", actor_batch=actor_batch)
    drive = controller(problem, setting, draw=(lambda: problem.batch(-1)) if actor_batch == "draw" else None)
    for t in range(10):
        drive.step(problem.loss_fn, problem.batch(t))
    last = {"next": 1, "draw": 2, "same": 0}[actor_batch]  # the tenth step has not been learned from yet
    assert problem.calls == calls - last


def test_the_critic_on_the_other_batch_is_rewarded_by_its_decrement() -> None:
    """f(w_t; x_j) - f(w_{t+1}; x_j), with x_j the next batch: looked at from outside."""
    problem = Problem()
    problem.network[3].p = 0.0
    drive = controller(problem, dataclasses.replace(lrpilot.PAPER, critic_batch="other"))
    seen = []
    for t in range(6):
        loss_next = [0.0, 0.0]
        for i in (0, 1):
            probe = copy.deepcopy(problem.network)
            inputs, targets = problem.batch(t + 1)
            loss_next[i] = cross_entropy(probe(inputs), targets).item()
            if i == 0:
                drive.step(problem.loss_fn, problem.batch(t))
        seen.append(loss_next[0] - loss_next[1])
    assert drive.history["reward"].tolist() == pytest.approx(seen[:5], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("opens", [False, True])
def test_the_stable_setting_is_rewarded_by_what_the_last_steps_did_to_the_next_batch(opens: bool) -> None:
    """Deviation D11 as docs/algorithm.md has it, of weights and gradients looked at from outside.

    The steps of an opening stand alone: none of them counts once it is over.
    """
    problem = Problem()
    problem.network = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).double()
    problem.optimizer = torch.optim.SGD(problem.network.parameters(), lr=0.05)
    setting = lrpilot.STABLE if opens else lrpilot.deviating("D2", "D4", "D5", "D9", "D11", "D12")
    drive = controller(problem, setting, dtype=torch.float64)
    parameters = list(problem.network.parameters())
    before, after, gradients = [], [], []

    def weights() -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in parameters])

    def look(*_: object) -> None:
        before.append(weights())
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))

    problem.optimizer.register_step_pre_hook(look)
    problem.optimizer.register_step_post_hook(lambda *_: after.append(weights()))
    opening, first, mean = opens, 0, None
    for t in range(90):
        inputs, targets = problem.batch(t)
        drive.step(problem.loss_fn, (inputs.double(), targets))
        if opening and drive._opening.done:
            opening, mean = False, drive.state_dict()["reward"]["loss"]
            first = t if drive.state_dict()["unlearned"] else t + 1  # which may have taken the network back
    rates, losses = drive.history["rate"].tolist(), drive.history["loss"].tolist()
    moved = [later - earlier for earlier, later in zip(before, after, strict=True)]
    expected = []
    for t in range(first, 89):
        trail = sum(0.99 ** (t - k) * moved[k] / rates[k] for k in range(first, t + 1))
        worth = -(rates[t] * trail) @ gradients[t + 1] - 0.17 * moved[t] @ gradients[t]
        mean = losses[t] if mean is None else 0.99 * mean + 0.01 * losses[t]
        expected.append(worth.item() / mean)
    assert (first > 10) == opens
    assert drive.history["reward"].tolist() == pytest.approx(expected, rel=1e-6, abs=0)


@pytest.mark.parametrize("dropout", ["fresh", "shared"])
def test_masks_are_shared_within_a_step_only_where_the_setting_says_so(dropout: str) -> None:
    """The loss is that of the masks alone: with the same ones after the step nothing has changed."""
    w = nn.Parameter(torch.ones(1))
    drive = lrpilot.OnlineActorCritic(torch.optim.SGD([w], lr=0.1), dataclasses.replace(lrpilot.PAPER, dropout=dropout))
    for _ in range(4):
        drive.step(lambda ones: nn.functional.dropout(ones, 0.5).mean() + 0 * w.sum(), torch.ones(64))
    assert (drive.history["reward"] == 0).all() == (dropout == "shared")


def test_in_chunks_the_actor_moves_once_in_twenty_steps() -> None:
    problem = Problem()
    drive = controller(problem, CHUNK)
    moved_at, before = [], drive.learner.actor.output.bias.item()
    for t in range(65):
        drive.step(problem.loss_fn, problem.batch(t))
        if (now := drive.learner.actor.output.bias.item()) != before:
            moved_at.append(t)
            before = now
    assert moved_at == [20, 40, 60]
    assert len(drive.history["dq_da"]) == 64


def test_a_run_that_opens_anew_drops_the_chunk_under_way() -> None:
    """No chunk spans the steps of the sweep, which nobody judges: twenty judged ones lie before each update."""
    problem = Problem()
    drive = controller(problem, dataclasses.replace(lrpilot.STABLE, unroll="chunk"))
    judged, moved_at, before = [0], [], drive.learner.actor.output.weight.clone()
    for t in range(400):
        scale = 1e6 if t >= 205 else 1.0
        drive.step(lambda batch: scale * problem.loss_fn(batch), problem.batch(t))  # noqa: B023
        judged.append(len(drive.history["dq_da"]))
        if not torch.equal(drive.learner.actor.output.weight, before):
            before = drive.learner.actor.output.weight.clone()
            moved_at.append(t)
    assert judged[150] > 40
    gap = max(t for t in range(206, 400) if judged[t] == judged[206])
    assert gap > 210
    dropped = judged[206] % 20
    assert dropped
    for t in moved_at:
        assert (judged[t + 1] - (dropped if t > 206 else 0)) % 20 == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_step_returns_belongs_to_the_caller(setting: str) -> None:
    rates = []
    for factor in (1.0, 100.0):
        problem = Problem()
        drive = controller(problem, setting)
        for t in range(30):
            drive.step(problem.loss_fn, problem.batch(t)).mul_(factor)
        rates.append(drive.history.numbers("rate"))
    assert rates[0] == rates[1]


def test_two_with_a_batch_of_its_own() -> None:
    problem = Problem()
    setting = dataclasses.replace(lrpilot.PAPER, actor_batch="draw")
    drive = controller(problem, setting, draw=lambda: problem.batch(-1))
    for t in range(11):
        drive.step(problem.loss_fn, problem.batch(t))
    assert problem.calls == 32  # the eleventh step has not been learned from yet


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_exported_schedule_repeats_the_run(setting: str) -> None:
    """Plain SGD under the exported LambdaLR ends at the same weights and running statistics."""
    problem, plain = Problem(), Problem()
    for network in (problem.network, plain.network):
        network[3].p = 0.0  # masks would be drawn from a stream that an extra pass moves on
    drive = controller(problem, dataclasses.replace(getattr(lrpilot, setting.upper()), opening=None))
    for t in range(30):
        drive.step(problem.loss_fn, problem.batch(t))
    schedule = drive.export_schedule(plain.optimizer)
    for t in range(30):
        plain.optimizer.zero_grad()
        plain.loss_fn(plain.batch(t)).backward()
        plain.optimizer.step()
        schedule.step()
    for mine, theirs in zip(problem.network.state_dict().values(), plain.network.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("setting", [*SETTINGS, CHUNK, dataclasses.replace(CHUNK, critic_batch="other")])
@pytest.mark.parametrize("interrupted_at", [1, 7, 60])
def test_resume_is_bit_exact(setting: str | lrpilot.Setting, interrupted_at: int) -> None:
    def run(resume: bool) -> tuple[Problem, lrpilot.OnlineActorCritic]:
        problem = Problem(make=torch.optim.Adam, lr=1e-3)
        drive = controller(problem, setting)
        for t in range(80):
            if resume and t == interrupted_at:
                saved = copy.deepcopy(
                    (
                        problem.network.state_dict(),
                        problem.optimizer.state_dict(),
                        drive.state_dict(),
                        torch.get_rng_state(),
                    )
                )
                problem = Problem(make=torch.optim.Adam, lr=1e-3)
                drive = lrpilot.OnlineActorCritic(problem.optimizer, setting)
                for part, state in zip((problem.network, problem.optimizer, drive), saved, strict=False):
                    part.load_state_dict(state)
                torch.set_rng_state(saved[-1])
            drive.step(problem.loss_fn, problem.batch(t))
        return problem, drive

    (one, undisturbed), (two, resumed) = run(False), run(True)
    for name in ("loss", "rate", "td_error", "dq_da"):
        assert torch.equal(undisturbed.history[name], resumed.history[name])
    for mine, theirs in zip(one.network.state_dict().values(), two.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_resume_right_before_the_opening_takes_the_network_back() -> None:
    """The step at which it does so needs the copy that the state holds."""
    problem = Problem()
    drive = controller(problem, "stable")
    state = None
    for t in range(200):
        if drive._sweep is None and t:
            break
        state = copy.deepcopy((problem.network.state_dict(), problem.optimizer.state_dict(), drive.state_dict()))
        torch.manual_seed(t)
        drive.step(problem.loss_fn, problem.batch(t))
    assert state is not None
    again = Problem()
    resumed = lrpilot.OnlineActorCritic(again.optimizer, "stable")
    for part, saved in zip((again.network, again.optimizer, resumed), state, strict=True):
        part.load_state_dict(saved)
    torch.manual_seed(t - 1)
    resumed.step(again.loss_fn, again.batch(t - 1))
    assert resumed.history["loss"].tolist() == drive.history["loss"].tolist()
    assert resumed.get_last_lr() == drive.get_last_lr()
    for mine, theirs in zip(again.network.state_dict().values(), problem.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_state_of_another_setting_is_refused() -> None:
    paper, stable = controller(Problem(), "paper"), controller(Problem(), "stable")
    with pytest.raises(lrpilot.InvalidArgument, match="the saved setting's action must be 'LogRate'"):
        stable.load_state_dict(paper.state_dict())


def test_a_frozen_actor_does_not_learn() -> None:
    problem = Problem()
    drive = controller(problem, dataclasses.replace(lrpilot.PAPER, learn_actor=False))
    before = copy.deepcopy(drive.learner.actor.state_dict())
    for t in range(20):
        drive.step(problem.loss_fn, problem.batch(t))
    for name, value in drive.learner.actor.state_dict().items():
        assert torch.equal(value, before[name])
    assert len(drive.history["dq_da"]) == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_loss_that_is_not_finite_names_step_and_rate(setting: str) -> None:
    problem = Problem(lr=0.05)
    drive = controller(problem, setting)
    assert not drive.mends
    for t in range(100):
        drive.step(problem.loss_fn, problem.batch(t))
    inputs, targets = problem.batch(100)
    with pytest.raises(lrpilot.NonFiniteLoss, match=r"got nan at step 100, after a learning rate of \d") as caught:
        drive.step(problem.loss_fn, (inputs * float("nan"), targets))
    assert caught.value.step == 100
    assert all(p.isfinite().all() for p in problem.network.parameters())


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    problem = Problem()
    drive = controller(problem, "stable")
    with pytest.raises(
        lrpilot.InvalidArgument, match=r"the loss must be a tensor of one element, got 'shape \(32, 3\)'"
    ):
        drive.step(lambda batch: problem.network(batch[0]), problem.batch(0))


@pytest.mark.parametrize("setting", ["paper", "stable"])
def test_a_loss_that_is_no_real_number_is_refused(setting: str) -> None:
    problem = Problem()
    drive = controller(problem, setting)
    with pytest.raises(lrpilot.InvalidArgument, match=r"of a floating-point dtype, got torch.complex64"):
        drive.step(lambda batch: problem.loss_fn(batch) + 0j, problem.batch(0))
    drive.step(problem.loss_fn, problem.batch(0))


def test_a_drawing_function_is_asked_for_exactly_when_it_is_used() -> None:
    with pytest.raises(lrpilot.InvalidArgument, match="draw"):
        controller(Problem(), "paper", draw=lambda: None)
    with pytest.raises(lrpilot.InvalidArgument, match="draw"):
        controller(Problem(), dataclasses.replace(lrpilot.PAPER, actor_batch="draw"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (torch.optim.LBFGS, "one whose step needs no closure, got 'LBFGS'"),
        (torch.optim.Rprop, "one that reads the learning rate at each step, not at its first, got 'Rprop'"),
    ],
)
def test_an_optimizer_that_no_rate_drives_step_by_step_is_refused(make: Any, said: str) -> None:
    network = nn.Linear(2, 1)
    with pytest.raises(lrpilot.InvalidArgument, match=said):
        lrpilot.OnlineActorCritic(make(network.parameters()))


def test_a_loss_that_takes_gradients_of_its_own() -> None:
    """A gradient penalty: it must be able to where the loss is computed without gradients, and the error says how."""
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def penalised(inputs: torch.Tensor) -> torch.Tensor:
        inputs = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(inputs).sum(), inputs, create_graph=True)
        return slope.square().mean() + (network(inputs) - 1).square().mean()

    def steps(loss_fn: Any) -> None:
        driven = lrpilot.OnlineActorCritic(torch.optim.SGD(network.parameters(), lr=0.01))
        for _ in range(20):
            driven.step(loss_fn, torch.ones(8, 2))

    with pytest.raises(RuntimeError, match="does not require grad") as failure:
        steps(penalised)
    assert "torch.enable_grad()" in "".join(failure.value.__notes__)
    before = penalised(torch.ones(8, 2)).item()
    steps(torch.enable_grad()(penalised))
    assert penalised(torch.ones(8, 2)).item() < before


@pytest.mark.mistyped
def test_what_cannot_be_driven_is_refused_in_a_line() -> None:
    parameters = list(nn.Linear(2, 1).parameters())
    for wrong, said in (
        ("sgd", "optimizer must be a torch.optim.Optimizer, got 'str'"),
        ([torch.optim.SGD(parameters, lr=0.1)], "optimizer must be a torch.optim.Optimizer, got 'list'"),
        (torch.optim.SGD(parameters, lr=0.1, maximize=True), "optimizer must be one that minimises"),
        (torch.optim.SGD([{"params": []}], lr=0.1), "optimizer must be one with parameters"),
    ):
        with pytest.raises(lrpilot.InvalidArgument, match=said):
            lrpilot.OnlineActorCritic(wrong)  # type: ignore[arg-type]


def test_a_first_group_without_parameters() -> None:
    network = nn.Linear(2, 1)
    groups = [{"params": []}, {"params": network.parameters()}]
    drive = lrpilot.OnlineActorCritic(torch.optim.SGD(groups, lr=0.1), "paper")
    drive.step(lambda batch: network(batch).square().mean(), torch.ones(4, 2))
    assert len(drive.history["loss"]) == 1


def noisy_quadratic(setting: str | lrpilot.Setting | None, lr: float, scale: float = 1.0) -> float:
    """Trains ``h/2 |w - noise|^2`` for 1,500 steps, h between 0.1 and 2; returns the exact loss at the end."""
    torch.manual_seed(0)
    curvature = torch.logspace(-1, 0.3, 20)
    w = nn.Parameter(torch.full((20,), 2.0))
    optimizer = torch.optim.SGD([w], lr=lr / scale)
    loss_fn = lambda noise: scale * 0.5 * (curvature * (w - noise).square()).sum()  # noqa: E731
    drive = None
    if setting is not None:
        generator = torch.Generator().manual_seed(1)
        drive = lrpilot.OnlineActorCritic(optimizer, setting, generator=generator)
    for t in range(1500):
        noise = 0.3 * torch.randn(20, generator=torch.Generator().manual_seed(t))
        if drive is not None:
            drive.step(loss_fn, noise)
        else:
            optimizer.zero_grad()
            loss_fn(noise).backward()
            optimizer.step()
    return float(0.5 * (curvature * w.detach().square()).sum())


@pytest.mark.integration
@pytest.mark.parametrize("start", [1e-5, 1e-2, 10.0])
def test_stable_finds_a_good_rate_on_a_noisy_quadratic_from_any_start(start: float) -> None:
    """As good as the best constant rate of a grid over five decades, within the noise of one run."""
    best = min(noisy_quadratic(None, rate) for rate in (1e-4, 1e-3, 1e-2, 1e-1))
    assert noisy_quadratic("stable", start) < 2 * best


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_stable_learns_from_small_batches_of_very_different_losses(make: Any) -> None:
    """A regression, eight examples a batch, whose loss is half its mean in one batch and twice that in the next."""
    for seed in range(3):
        torch.manual_seed(seed)
        teacher = torch.randn(10, 1)
        network = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))

        def loss_fn(inputs: torch.Tensor, network: nn.Module = network, teacher: torch.Tensor = teacher) -> Any:
            return (network(inputs) - inputs @ teacher).square().mean()

        drawn = torch.Generator().manual_seed(7)
        drive = lrpilot.OnlineActorCritic(make(network.parameters(), lr=0.01), generator=drawn)
        for _ in range(300):
            drive.step(loss_fn, torch.randn(8, 10))
        inputs = torch.randn(1000, 10)
        assert loss_fn(inputs) < 0.1 * (inputs @ teacher).square().mean(), seed


def test_the_starts_above_are_bad_rates() -> None:
    """Negative control: what the controller was saved from."""
    best = noisy_quadratic(None, 1e-2)
    assert noisy_quadratic(None, 1e-5) > 10 * best
    assert not noisy_quadratic(None, 10.0) < 10 * best


def test_stable_works_at_any_scale_of_the_loss() -> None:
    """The opening is the same; then the actor, which sees the loss as it is, stays near."""
    rates = []
    for scale in (1.0, 2.0**20):  # a power of two: the same roundings
        problem = Problem(lr=0.01 / scale)
        drive = controller(problem, "stable")
        for t in range(120):
            drive.step(lambda batch: scale * problem.loss_fn(batch), problem.batch(t))  # noqa: B023
        rates.append(drive.history["rate"] * scale)
        opening = int(drive.history["rate"].diff().argmin()) + 1  # it ends with a drop to a quarter
    torch.testing.assert_close(rates[0][:opening], rates[1][:opening], rtol=1e-3, atol=0)
    assert (rates[0] < 2 * rates[1]).all()
    assert (rates[1] < 2 * rates[0]).all()


def test_an_opening_that_ends_by_taking_the_network_back_hands_over_its_rate() -> None:
    """Scripted losses that no step changes, with a gradient of 1.

    4 + 8 + 9 is more than three times 2 + 1 + 3, 4 + 4 + 8 is not.
    """
    w = torch.nn.Parameter(torch.ones(1))
    controller = lrpilot.OnlineActorCritic(torch.optim.SGD([w], lr=0.01), "stable")
    for loss in (2.0, 1.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 8.0, 9.0):
        controller.step(lambda batch: w.sum() - w.detach().sum() + batch, loss)
    swept = controller.history["rate"][-1].item()
    assert swept == pytest.approx(0.01 / 100 * 1.2**9)
    assert controller.learner.action.rate(np.zeros(1)).item() == pytest.approx(swept / 4)
    assert w.item() == 1.0
    controller.step(lambda batch: w.sum() - w.detach().sum() + batch, 1e7)  # a sweep anew, at a hundredth of 0.01
    assert w.item() == pytest.approx(1.0 - 1e-4, abs=1e-6)  # with no step to take back first


@pytest.mark.parametrize("start", [0.05, 10.0])
def test_every_step_is_along_the_gradient_of_the_network_as_it_stands(start: float) -> None:
    """Also the one in which the opening takes the network back, after the gradients were made."""
    problem = Problem(lr=start)
    problem.network = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    problem.optimizer = torch.optim.SGD(problem.network.parameters(), lr=start)
    drive = controller(problem, "stable")
    parameters = list(problem.network.parameters())
    wrong, batch = 0.0, problem.batch(0)

    def compare(optimizer: object, args: object, kwargs: object) -> None:
        nonlocal wrong
        here = torch.autograd.grad(cross_entropy(problem.network(batch[0]), batch[1]), parameters)
        wrong = max(wrong, *((p.grad - g).abs().max().item() for p, g in zip(parameters, here, strict=True)))

    problem.optimizer.register_step_pre_hook(compare)
    for t in range(80):
        batch = problem.batch(t)
        drive.step(problem.loss_fn, batch)
    assert drive.history["rate"].diff().min() < 0  # the opening is over
    assert wrong < 1e-6


def test_the_rate_stays_below_ten_times_what_the_opening_found() -> None:
    """Deviation D2's ceiling, which the opening settles: however high the actor's raw output."""
    problem = Problem()
    drive = controller(problem, lrpilot.STABLE)
    highest = np.full(1, 50.0)
    t = 0
    while not drive._opening.done:
        drive.step(problem.loss_fn, problem.batch(t))
        t += 1
    assert 10 < t < 200
    assert drive.learner.action.rate(highest).item() == pytest.approx(10 * drive._opening.rate)
