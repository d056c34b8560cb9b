"""Once a run is long an action of the stable setting holds for several steps, which count as one (deviation D13).

With a few examples a batch it does from the beginning."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from functools import partial
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrpilot
from lrpilot import Knob, LearningRate, Momentum
from lrpilot.online.controls import Granularity
from lrpilot.online.opening import Opening
from lrpilot.online.repeat import ActionRepeat, repeats


class Over(Opening):
    """One that is over before the first step, and found for how many steps an action should hold."""

    def __init__(self, repeat: int) -> None:
        super().__init__()
        self.done, self.rate, self.repeat = True, 0.05, repeat


class Problem:
    """A small classifier that sees two examples a batch, its optimizer with momentum, and what drives it."""

    def __init__(
        self,
        seed: int = 0,
        granularity: Granularity = "global",
        repeat: int = 3,
        controls: Sequence[Knob] | None = None,
        **changes: Any,
    ) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).double()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.5)
        setting = dataclasses.replace(lrpilot.STABLE, **{"opening": partial(Over, repeat), **changes})
        self.drive = lrpilot.OnlineActorCritic(
            self.optimizer, setting, controls=controls or [LearningRate()], granularity=granularity, dtype=torch.float64
        )

    def weights(self) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self.network.parameters()])

    def go(self, steps: range, scale: float = 1.0) -> None:
        for t in steps:
            generator = torch.Generator().manual_seed(t)
            inputs = torch.randn(2, 6, generator=generator, dtype=torch.float64)
            self.drive.step(lambda x: scale * cross_entropy(self.network(x), (x[:, 0] > 0).long()), inputs)


@pytest.mark.parametrize(("granularity", "k"), [("global", 2), ("global", 3), ("tensor", 3)])
def test_steps_of_one_action_are_learned_from_as_one(granularity: Granularity, k: int) -> None:
    """D11 of weights and gradients looked at from outside: of what k steps moved, and their mean gradients."""
    problem = Problem(repeat=k, granularity=granularity)
    drive, starts, gradients = problem.drive, [], []

    def look(*_: object) -> None:
        starts.append(problem.weights())
        gradients.append(torch.cat([p.grad.flatten() for p in problem.network.parameters() if p.grad is not None]))

    problem.optimizer.register_step_pre_hook(look)
    problem.go(range(60 * k))
    starts.append(problem.weights())
    rates, losses = drive.history["rate"].tolist(), drive.history["loss"].tolist()
    names = drive.controls.names * (4 if granularity == "global" else 1)
    sizes = torch.tensor([p.numel() for p in problem.network.parameters()])
    everywhere = torch.stack([drive.history[name].double() for name in names], dim=1).repeat_interleave(sizes, dim=1)
    assert drive.state_dict()["step"] == len(rates) == 60 * k
    assert all(len(set(rates[t : t + k])) == 1 for t in range(0, 60 * k, k))
    assert len(set(rates)) > 20  # once it has learned, after twenty actions
    moved = [after - before for before, after in pairwise(starts[::k])]
    means = [sum(gradients[t : t + k]) / k for t in range(0, 60 * k, k)]
    trail, size, expected = 0.0, None, []
    for t in range(59):
        trail = 0.99 * trail + moved[t] / everywhere[k * t]
        loss = sum(losses[k * t : k * t + k]) / k
        size = loss if size is None else 0.99 * size + 0.01 * loss
        worth = (everywhere[k * t] * trail) @ means[t + 1] + 0.17 * moved[t] @ means[t]
        expected.append(-worth.item() / size)
    assert drive.history["reward"].tolist() == pytest.approx([r for r in expected for _ in range(k)], rel=1e-6, abs=0)
    assert len(drive.history["td_error"]) == len(drive.history["dq_da"]) == 59 * k
    assert len(set(drive.history["dq_da"].tolist())) > 20


def test_the_actor_sees_the_mean_loss_of_the_steps_before() -> None:
    problem = Problem()
    drive = problem.drive
    problem.go(range(9))
    losses = drive.history["loss"].tolist()
    s_t, _, f_t, *_ = drive.state_dict()["unlearned"]
    assert s_t.tolist() == pytest.approx([sum(losses[3:6]) / 3])
    assert f_t == pytest.approx(sum(losses[6:9]) / 3)


def test_what_places_show_of_themselves_is_of_the_mean_gradients() -> None:
    """The root mean square of each tensor's, beside that of all, when the next action is decided."""
    problem = Problem(granularity="tensor")
    drive, gradients, shown = problem.drive, [], []
    parameters = list(problem.network.parameters())
    problem.optimizer.register_step_pre_hook(lambda *_: gradients.append([p.grad.clone() for p in parameters]))  # type: ignore[union-attr]
    notice = drive.learner.notice
    drive.learner.notice = lambda seen: (shown.append(seen), notice(seen))[1]  # type: ignore[method-assign]
    problem.go(range(3))
    means = [torch.stack(column).mean(dim=0) for column in zip(*gradients, strict=True)]
    size = torch.cat([mean.flatten() for mean in means]).square().mean().sqrt()
    expected = [(mean.square().mean().sqrt() / size).log().item() for mean in means]
    assert shown[-1][:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("saved_after", [1, 3, 10, 11])
def test_a_run_goes_on_from_amid_an_action(saved_after: int) -> None:
    problem = Problem()
    drive = problem.drive
    problem.go(range(saved_after))
    saved = problem.network.state_dict(), problem.optimizer.state_dict(), drive.state_dict()
    torch.save(saved, file := io.BytesIO())
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    problem.go(range(saved_after, 30))
    again = Problem(seed=1)
    other = again.drive
    again.network.load_state_dict(saved[0])
    again.optimizer.load_state_dict(saved[1])
    other.load_state_dict(saved[2])
    again.go(range(saved_after, 30))
    assert torch.equal(problem.weights(), again.weights())
    for name in ("rate", "loss", "reward", "td_error", "dq_da"):
        assert drive.history[name].tolist() == other.history[name].tolist()


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_where_the_loss_explodes_the_action_under_way_is_taken_back(steps: int) -> None:
    """To where it began, or, if none is under way, to where the last one did; and the opening begins again."""
    problem = Problem()
    drive, starts = problem.drive, []
    problem.optimizer.register_step_pre_hook(lambda *_: starts.append(problem.weights()))
    problem.go(range(steps))
    problem.go(range(steps, steps + 1), scale=1e7)
    assert torch.allclose(starts[-1], starts[(steps - 1) // 3 * 3], atol=1e-12, rtol=0)
    assert drive.state_dict()["opening"]["done"] is False
    assert drive.state_dict()["repeat"] is None


@pytest.mark.parametrize(
    ("found", "step", "time", "steps"),
    [
        (1, 0, 1000.0, 1),
        (1, 3999, 1000.0, 1),
        (1, 4000, 1000.0, 2),
        (1, 8999, 1000.0, 2),
        (1, 9000, 1000.0, 3),
        (10, 999, 1000.0, 10),
        (10, 1210, 1000.0, 11),
        (10, 360_000, 1000.0, 189),
        (4, 100, 25.0, 8),
    ],
)
def test_how_long_an_action_holds(found: int, step: int, time: float, steps: int) -> None:
    """By hand: found times the root of step over time, rounded down, and never less than found."""
    assert repeats(found, step, time) == steps


@pytest.mark.parametrize(
    ("found", "lengths"),
    [(1, [1] * 16 + [2] * 10 + [3]), (2, [2] * 5 + [3, 3, 4, 4, 4, 5]), (None, [1] * 16 + [2] * 10 + [3])],
)
def test_an_action_holds_longer_as_the_run_goes_on(found: int | None, lengths: list[int]) -> None:
    """For sqrt(t / 4) times as long: the lengths by hand. Each action of the test is another. None: no opening."""
    problem = Problem(repeat_time=4.0, opening=None if found is None else partial(Over, found))
    drive = problem.drive
    actions = iter(range(1, 100))
    drive.learner.decide = lambda s_t: np.array([0.001 * next(actions)])  # type: ignore[method-assign]
    problem.go(range(sum(lengths)))
    rates = drive.history["rate"].tolist()
    assert [len(list(steps)) for _, steps in groupby(rates)] == lengths
    assert len(drive.history["reward"]) == sum(lengths) - lengths[-1]


def test_the_steps_of_an_opening_have_a_rate_each() -> None:
    """However many have been made."""
    long, short = (Problem(opening=Opening, repeat_time=time) for time in (0.01, None))
    for problem in (long, short):
        problem.go(range(20))
    rates = long.drive.history["rate"].tolist()
    assert rates == short.drive.history["rate"].tolist()
    assert len(set(rates)) == 20


@pytest.mark.parametrize(
    "changes",
    [{"controls": (LearningRate(), Momentum())}, {"discount": 0.5}, {"actor_batch": "same"}, {"repeat_time": None}],
    ids=["another knob", "discount", "same batch", "without D13"],
)
def test_where_every_step_is_learned_from(changes: dict[str, Any]) -> None:
    problem = Problem(**changes)
    problem.go(range(9))
    assert len(problem.drive.history["reward"]) == 8


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_mean_losses_and_gradients(layout: str) -> None:
    """The last batch's gradient is there again afterwards, and a parameter without one has none."""
    table, idle = nn.Embedding(4, 2, sparse=layout == "sparse"), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([table.weight, idle], lr=0.1)
    repeat = ActionRepeat(optimizer, 2, torch.zeros(1).numpy(), torch.zeros(1).numpy())
    assert not repeat.begun
    for loss, row in ((1.0, 0), (4.0, 1)):
        optimizer.zero_grad()
        table(torch.tensor([row])).sum().backward()
        assert not repeat.over
        repeat.add(loss)
    assert repeat.begun
    assert repeat.over
    assert repeat.loss == 2.5
    last = table.weight.grad
    with repeat.mean_gradients():
        assert table.weight.grad is not None
        assert table.weight.grad.to_dense().tolist() == [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]
        assert idle.grad is None
    assert table.weight.grad is last
