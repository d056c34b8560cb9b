"""States are taken up whole or not at all."""

from __future__ import annotations

import pytest
import torch

from lrpilot.core.state import StateDict, load_all_or_nothing, on_device
from lrpilot.errors import InvalidArgument


class Pair:
    """Two numbers; the second must not be negative."""

    def __init__(self) -> None:
        self.values = [1, 2]

    def state_dict(self) -> StateDict:
        return {"values": list(self.values)}

    def load_state_dict(self, state: StateDict) -> None:
        load_all_or_nothing(self, state, self.take_up)

    def take_up(self, state: StateDict) -> None:
        self.values[0] = state["values"][0]
        if state["values"][1] < 0:
            raise InvalidArgument("the second", "at least 0", state["values"][1])
        self.values = state["values"]


def test_a_state_is_a_value() -> None:
    pair, state = Pair(), {"values": [3, 4]}
    pair.load_state_dict(state)
    assert pair.values == [3, 4]
    pair.values[0] = 5
    assert state == {"values": [3, 4]}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"values": [7, -1]}, "the second must be at least 0, got -1"),  # in the owner's own words
        ({"values": [7]}, "the saved state must be that of a Pair like this one, got 'IndexError: list index out of r"),
        ({}, "the saved state must be that of a Pair like this one, got \"one without 'values'\""),
    ],
)
def test_what_does_not_fit_changes_nothing(state: StateDict, said: str) -> None:
    pair = Pair()
    with pytest.raises(InvalidArgument) as caught:
        pair.load_state_dict(state)
    assert str(caught.value).startswith(said)
    assert pair.values == [1, 2]


def test_only_the_first_line_of_an_error_is_told() -> None:
    def fail(state: StateDict) -> None:
        if state:
            raise RuntimeError("one\ntwo")

    class Nothing(Pair):
        def state_dict(self) -> StateDict:
            return {}

    with pytest.raises(InvalidArgument, match=r"got 'RuntimeError: one'$"):
        load_all_or_nothing(Nothing(), {"some": "thing"}, fail)


def test_tensors_are_moved_in_containers_of_every_kind() -> None:
    state = {"one": torch.ones(2), "more": [torch.ones(1), (torch.ones(3), "text")], "number": 4, "none": None}
    moved = on_device(state, torch.device("meta"))
    assert moved["one"].is_meta
    assert moved["more"][0].is_meta
    assert moved["more"][1][0].is_meta
    assert type(moved["more"][1]) is tuple
    assert (moved["more"][1][1], moved["number"], moved["none"]) == ("text", 4, None)
    assert not state["one"].is_meta
