"""Columns that grow, and the way home as a plain scheduler."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.core.history import History


def test_columns_grow_on_their_own() -> None:
    history = History("a", "b")
    for k in range(2500):
        history.append(a=float(k))
    history.append(b=1.0)
    assert history["a"].tolist() == [float(k) for k in range(2500)]
    assert history["b"].dtype == torch.float64
    assert len(history["b"]) == 1


def test_several_numbers_at_once() -> None:
    """More than a column has room for, and others after them."""
    history = History("a", "b")
    history.extend(a=torch.tensor([1.0, 2.0]), b=torch.empty(0))
    history.extend(a=torch.arange(3000.0))
    history.append(a=7.0)
    assert history.numbers("a") == [1.0, 2.0, *range(3000), 7.0]
    assert history.numbers("b") == []


def test_a_column_is_moved_seldom_and_takes_little_room() -> None:
    """Rooms of 1024 numbers, 2048, 4096, 8192 and 16384, each used to its last place: a number is moved about once,
    however many there are, and no room is more than twice what is in it."""
    history, moves, place = History("a"), 0, 0
    for k in range(1, 16 * 1024 + 1):
        history.append(a=float(k))
        moves, place = moves + (history["a"].data_ptr() != place), history["a"].data_ptr()
        assert history["a"].untyped_storage().nbytes() <= 8 * max(1024, 2 * k)
    assert moves <= 5


def test_a_graph_is_not_kept() -> None:
    history = History("a")
    history.extend(a=torch.ones(2, requires_grad=True) * 2)
    assert not history["a"].requires_grad


def test_resume() -> None:
    one, two = History("a"), History("a")
    for k in range(5):
        one.append(a=float(k))
    two.load_state_dict(one.state_dict())
    two.append(a=9.0)
    assert two["a"].tolist() == [0, 1, 2, 3, 4, 9]
    assert len(one["a"]) == 5


def test_exported_schedule_repeats_the_rates() -> None:
    history = History("loss", "rate")
    for rate in (0.1, 0.4, 0.2):
        history.append(rate=rate)
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (2.0, 0.5)]
    optimizer = torch.optim.SGD(groups)
    schedule = history.export_schedule(optimizer)
    seen = []
    for _ in range(5):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    # Whatever rate the fresh optimizer has, its first group repeats the recorded one, and the other keeps its ratio.
    expected = [[r, r / 4] for r in (0.1, 0.4, 0.2, 0.2, 0.2)]
    assert seen == [pytest.approx(row) for row in expected]
    assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)


def test_nothing_to_export() -> None:
    with pytest.raises(InvalidArgument, match="history"):
        History("rate").export_schedule(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))


def test_plot_shows_both_curves() -> None:
    history = History("loss", "rate")
    for k in range(1, 20):
        history.append(loss=1.0 / k, rate=0.1)
    upper, lower = history.plot().axes
    assert upper.lines[0].get_ydata()[-1] == pytest.approx(1 / 19)
    assert list(lower.lines[0].get_ydata()) == pytest.approx([0.1] * 19)
    assert {axes.get_yscale() for axes in (upper, lower)} == {"log"}
    upper.set_xlim(3, 9)
    assert lower.get_xlim() == (3, 9)  # whoever looks closer sees both at the same steps


@pytest.mark.parametrize("losses", [(math.inf,), (math.nan, math.inf, -1.0)])
def test_losses_of_which_none_can_stand_on_a_log_axis(losses: tuple[float, ...]) -> None:
    """matplotlib would warn."""
    history = History("loss", "rate")
    for loss in losses:
        history.append(loss=loss, rate=0.1)
    upper, _ = history.plot().axes
    assert upper.get_yscale() == "linear"


def test_losses_below_0_are_plotted_too() -> None:
    history = History("loss", "rate")
    for k in range(3):
        history.append(loss=-1.0 * k, rate=0.1)
    upper, lower = history.plot().axes
    upper.figure.canvas.draw()
    assert (upper.get_yscale(), lower.get_yscale()) == ("linear", "log")
