"""One optimizer, a wrapper of one, or several that train one network."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

import lrpilot
from lrpilot.errors import InvalidArgument
from lrpilot.pilot.optimizers import counterparts, inner_optimizers, names, together, unwrapped


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(1))


def test_wrappers_are_opened() -> None:
    one, two = torch.optim.SGD([parameter()], lr=0.1), torch.optim.Adam([parameter()])
    twice = SimpleNamespace(optimizer=SimpleNamespace(optimizer=two))
    assert unwrapped(one) == (one,)
    assert unwrapped(twice) == (two,)  # type: ignore[arg-type]
    assert unwrapped([one, twice]) == unwrapped((one, two)) == (one, two)  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match="one optimizer, or several different ones, got 'SGD and SGD'"):
        unwrapped([one, SimpleNamespace(optimizer=one)])  # type: ignore[list-item]


class Showing:
    """As Lightning's: its class is made to be the optimizer's as well, whose attributes it shows, hooks included."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self.__class__ = type("Showing", (Showing, type(optimizer)), {})

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._optimizer

    def __getattr__(self, name: str) -> object:
        return getattr(self._optimizer, name)


class Hooked(torch.optim.Optimizer):
    """As timm's Lookahead: hooks of its own, which nobody calls, and no call of torch's constructor."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = {}, {}  # type: ignore[assignment]
        self.base, self.param_groups = optimizer, optimizer.param_groups


@pytest.mark.parametrize("wrap", [Showing, Hooked, lambda one: Hooked(Showing(one))])
def test_wrappers_with_the_hooks_of_an_optimizer_are_opened(wrap: Callable[[Any], Any]) -> None:
    one = torch.optim.SGD([parameter()], lr=0.1)
    assert unwrapped(wrap(one)) == (one,)
    assert lrpilot.Pilot(wrap(one), 10).optimizer is one


def test_which_of_two_optimizers_a_wrapper_means_is_asked() -> None:
    wrapper = Hooked(torch.optim.SGD([parameter()], lr=0.1))
    wrapper.other = torch.optim.SGD([parameter()], lr=0.1)
    with pytest.raises(InvalidArgument, match=r"\(perhaps its \.base or \.other\), got 'Hooked'"):
        unwrapped(wrapper)


def test_a_ring_of_wrappers_has_no_end_and_is_refused() -> None:
    one = SimpleNamespace()
    one.optimizer = SimpleNamespace(optimizer=one)
    for wrong in (one, SimpleNamespace(optimizer=None)):
        with pytest.raises(InvalidArgument, match=r"keeps one as \.optimizer, got 'SimpleNamespace'"):
            unwrapped(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [10, 11])
def test_ten_wrappers_of_wrappers_are_opened(layers: int) -> None:
    """More are hardly meant; what answers whatever it is asked for, as a mock does, has no end."""
    wrapper = one = torch.optim.SGD([parameter()], lr=0.1)
    for _ in range(layers):
        wrapper = SimpleNamespace(optimizer=wrapper)
    if layers == 10:
        assert unwrapped(wrapper) == (one,)  # type: ignore[arg-type]
    else:
        with pytest.raises(InvalidArgument, match="got 'SimpleNamespace'"):
            unwrapped(wrapper)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="got 'MagicMock'"):
        unwrapped(MagicMock())


def test_a_wrapper_of_another_kind_is_told_where_its_optimizer_is() -> None:
    """fastai's ``OptimWrapper`` keeps it as ``.opt``."""
    wrapper = SimpleNamespace(opt=torch.optim.SGD([parameter()], lr=0.1), state={})
    with pytest.raises(InvalidArgument, match=r"keeps one as \.optimizer \(perhaps its \.opt\), got 'SimpleNamespace'"):
        unwrapped(wrapper)  # type: ignore[arg-type]


def test_each_needs_a_learning_rate() -> None:
    """Also where another one beside it has one: none could say what it was driven at."""
    without = torch.optim.Optimizer([parameter()], {"step_size": 0.1})
    for given in (without, [torch.optim.SGD([parameter()], lr=0.1), without]):
        with pytest.raises(InvalidArgument, match="optimizer must be one with a learning rate, got 'Optimizer'"):
            unwrapped(given)


def test_one_optimizer_is_read_itself() -> None:
    one = torch.optim.SGD([parameter()], lr=0.1)
    assert together([one]) is one


def test_whose_rates_another_optimizer_may_repeat() -> None:
    sgd, adam = torch.optim.SGD([parameter()], lr=0.1), torch.optim.Adam([parameter()])
    larger = torch.optim.SGD([torch.nn.Parameter(torch.zeros(7))], lr=0.1)
    assert counterparts([sgd], adam) == [sgd]  # the only one there is
    assert counterparts([sgd, adam], adam) == [adam]
    assert counterparts([sgd, larger], torch.optim.SGD([torch.nn.Parameter(torch.ones(7))], lr=1.0)) == [larger]


def test_several_are_read_as_one() -> None:
    first, second, late = parameter(), parameter(), parameter()
    one = torch.optim.SGD([first], lr=0.1, momentum=0.9)
    two = torch.optim.SGD([{"params": [second]}, {"params": [late], "lr": 0.3}], lr=0.2, momentum=0.9)
    both = together([one, two])
    assert repr(both) == names([one, two]) == "SGD and SGD"
    assert [group["lr"] for group in both.param_groups] == [0.1, 0.2, 0.3]
    assert both.param_groups[1] is two.param_groups[0]
    assert len(both.state) == 0
    assert list(both.state) == []
    first.grad = second.grad = torch.ones(1)
    one.step()
    two.step()
    assert list(both.state) == [first, second]
    assert len(both.state) == 2
    assert both.state[second] is two.state[second]
    assert both.state.get(first) is one.state[first]
    assert both.state.get(late, "none yet") == "none yet"
    assert late not in two.state  # asking for it has made none
    both.state[late]["step"] = 3
    assert two.state[late] == {"step": 3}
    stranger = parameter()
    with pytest.raises(KeyError):
        both.state[stranger]
    assert stranger not in one.state


def test_optimizers_within_others_have_names() -> None:
    one, two = torch.optim.SGD([parameter()], lr=0.1), torch.optim.SGD([parameter()], lr=0.1)
    one.base, one.other, two.inner = two, 3, one  # type: ignore[attr-defined]
    assert inner_optimizers([one, two]) == [".base", ".inner"]
