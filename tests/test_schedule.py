"""Recorded rates as a plain scheduler."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.core.schedule import load_schedule, recorded_schedule, save_schedule
from lrpilot.errors import InvalidArgument, Unusable

RATES = [0.1, 0.4, 0.2]


def two_groups() -> torch.optim.Optimizer:
    """At rates of 2 and 0.5."""
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (2.0, 0.5)])


def driven(make: Callable[[torch.optim.Optimizer], LambdaLR], steps: int) -> list[list[float]]:
    """The rates of both groups at each step."""
    optimizer = two_groups()
    schedule, seen = make(optimizer), []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize(
    ("total_steps", "first"),
    [
        (None, [0.1, 0.4, 0.2, 0.2, 0.2]),
        (1, [0.4, 0.4]),  # the rate in the middle
        (2, [0.1, 0.2, 0.2]),  # those at a quarter and three quarters: of the first third and of the last
        (3, [0.1, 0.4, 0.2, 0.2]),
        (4, [0.1, 0.4, 0.4, 0.2, 0.2]),  # at 1/8, 3/8, 5/8 and 7/8
        (6, [0.1, 0.1, 0.4, 0.4, 0.2, 0.2, 0.2]),
    ],
)
def test_rates_are_stretched_and_the_last_one_stays(total_steps: int | None, first: list[float]) -> None:
    """The second group keeps its quarter."""
    seen = driven(lambda o: recorded_schedule(o, RATES, total_steps=total_steps), len(first))
    assert seen == [pytest.approx([rate, rate / 4]) for rate in first]


def test_the_share_of_a_group_is_multiplied_in() -> None:
    """timm's ``lr_scale`` of layer decay: half of every rate."""
    optimizer = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 2.0, "lr_scale": 0.5}])
    assert recorded_schedule(optimizer, RATES).get_last_lr() == pytest.approx([0.05])


def test_a_step_has_the_rate_at_its_middle() -> None:
    """Of three steps for a hundred: at 16.7, 50 and 83.3."""
    rates = [float(1 + k) for k in range(100)]
    seen = driven(lambda o: recorded_schedule(o, rates, total_steps=3), 3)
    assert [first for first, _ in seen] == pytest.approx([17.0, 51.0, 84.0])


def test_nothing_cannot_be_repeated() -> None:
    with pytest.raises(InvalidArgument, match="history must be at least one step long"):
        recorded_schedule(two_groups(), [])
    with pytest.raises(InvalidArgument, match="history must be at least one step long"):
        save_schedule("nothing.json", [])


@pytest.mark.parametrize("wrong", [0, -1, *(pytest.param(w, marks=pytest.mark.mistyped) for w in (1.5, "10"))])
def test_a_length_that_is_none(wrong: int) -> None:
    with pytest.raises(InvalidArgument, match="total_steps must be a whole number, at least 1, or None, got"):
        recorded_schedule(two_groups(), RATES, total_steps=wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(None, marks=pytest.mark.mistyped),
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0),
    ],
)
def test_what_cannot_be_driven(wrong: torch.optim.Optimizer) -> None:
    """A rate of 0 is a multiple of nothing."""
    with pytest.raises(InvalidArgument, match="optimizer"):
        recorded_schedule(wrong, RATES)


def test_a_scheduler_is_saved_with_its_rates() -> None:
    schedule = recorded_schedule(two_groups(), RATES)
    schedule.optimizer.step()
    schedule.step()
    again = LambdaLR(two_groups(), [lambda step: 1.0, lambda step: 1.0])
    saved = pickle.loads(pickle.dumps(schedule.state_dict()))
    again.lr_lambdas = pickle.loads(pickle.dumps(schedule.lr_lambdas))
    again.load_state_dict(saved)
    again.optimizer.step()
    again.step()
    assert again.get_last_lr() == pytest.approx([0.2, 0.05])


def test_rates_come_back_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_schedule("~/schedule.json", RATES)
    assert json.loads((tmp_path / "schedule.json").read_text()) == {"kind": "lrpilot schedule", "rates": RATES}
    for total_steps in (None, 6):
        loaded = driven(lambda o, n=total_steps: load_schedule("~/schedule.json", o, total_steps=n), 8)
        assert loaded == driven(lambda o, n=total_steps: recorded_schedule(o, RATES, total_steps=n), 8)


def test_a_schedule_may_end_at_zero(tmp_path: Path) -> None:
    """As a cosine does."""
    save_schedule(tmp_path / "schedule.json", [0.1, 0.0])
    assert [first for first, _ in driven(lambda o: load_schedule(tmp_path / "schedule.json", o), 2)] == [0.1, 0.0]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        "7",
        '{"kind": "other", "rates": [1]}',
        '{"kind": "lrpilot schedule"}',
        '{"kind": "lrpilot schedule", "rates": 1}',
        '{"kind": "lrpilot schedule", "rates": ["high"]}',
        '{"kind": "lrpilot schedule", "rates": "123"}',
        '{"kind": "lrpilot schedule", "rates": []}',
        '{"kind": "lrpilot schedule", "rates": [0.1, NaN]}',
        '{"kind": "lrpilot schedule", "rates": [Infinity]}',
        '{"kind": "lrpilot schedule", "rates": [-0.1]}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_schedule(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "schedule.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidArgument, match=r"^path must be the file of a lrpilot schedule"):
        load_schedule(path, two_groups())


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """Nobody waits for a pipe, and none is replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidArgument, match=r"^path must be the file of a lrpilot schedule"):
        load_schedule(pipe, two_groups())
    with pytest.raises(Unusable, match="is not a regular file"):
        save_schedule(pipe, RATES)
    assert pipe.is_fifo()
