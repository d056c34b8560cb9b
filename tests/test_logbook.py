"""What the pilot saw and did, in words, and as rates to be repeated."""

from __future__ import annotations

import pytest
import torch

from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.logbook import Decision, Logbook


def decision(step: int, **rest: object) -> Decision:
    return Decision(**{"step": step, "loss": 0.123456, "rate_before": 0.1, "rate": 0.025, "reason": "policy"} | rest)


def of(rates: list[float], *decisions: Decision) -> Logbook:
    book = Logbook()
    book.extend(loss=torch.ones(len(rates)), rate=torch.tensor(rates, dtype=torch.float64))
    book.decisions += decisions
    return book


def test_a_decision_in_words() -> None:
    assert str(decision(3)) == "step 3: loss 0.1235, rate 0.1 -> 0.025 (x0.25), policy"
    back = decision(7, reason="no progress", back_to=0, rate_before=0.0)
    assert str(back) == "step 7: loss 0.1235, rate 0 -> 0.025 (xnan), no progress, network taken back to step 0"
    assert of([0.1] * 7, decision(3), back).explain() == f"{decision(3)}\n{back}"
    assert Logbook().explain() == ""


def test_an_observation_has_names() -> None:
    numbers = tuple(map(float, range(len(FEATURES))))
    assert decision(1, features=numbers).observation() == dict(zip(FEATURES, numbers, strict=True))
    assert decision(1).observation() == {}


def test_rates_that_were_undone_are_not_repeated() -> None:
    """Steps 2 to 4 were undone, at a rate of 9, and those of 5 to 7 had a rate of 3; nested: 1 to 7, followed by 1."""
    rates = [0.1, 0.2, 9.0, 9.0, 9.0, 3.0, 3.0, 3.0, 1.0, 0.5]
    first = decision(5, back_to=2, rate=3.0)
    assert of(rates).replayable() == rates
    assert of(rates, decision(2), first).replayable() == [0.1, 0.2, *[3.0] * 6, 1.0, 0.5]
    nested = of(rates, first, decision(8, back_to=1, rate=1.0))
    assert nested.replayable() == [0.1, *[1.0] * 8, 0.5]
    restored = of(rates, first, decision(8, back_to=5, rate=1.0))  # steps 2 to 4 count again
    assert restored.replayable() == [*rates[:5], *[1.0] * 4, 0.5]


def test_what_was_undone_at_the_very_end_has_the_rate_that_was_to_follow() -> None:
    assert of([0.1, 9.0, 9.0], decision(3, back_to=1, rate=0.7)).replayable() == [0.1, 0.7, 0.7]


def test_a_state_is_a_value() -> None:
    book, again = of([0.1, 0.2], decision(2, back_to=0, features=(1.0, 2.0))), Logbook()
    state = book.state_dict()
    book.extend(loss=torch.ones(1), rate=torch.ones(1))
    book.decisions.clear()
    again.load_state_dict(state)
    assert again.numbers("rate") == pytest.approx([0.1, 0.2])
    assert again.decisions == [decision(2, back_to=0, features=(1.0, 2.0))]


def test_a_line_where_the_guard_intervened() -> None:
    pytest.importorskip("matplotlib")
    figure = of([0.1] * 9, decision(3), decision(5, back_to=0), decision(7, back_to=2)).plot()
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines[1:]] == [5, 7]
        assert {line.get_linestyle() for line in axes.lines[1:]} == {"--"}
    losses, rates = figure.axes
    assert [text.get_text() for text in losses.texts] == [" back to step 0", " back to step 2"]
    assert [text.xy for text in losses.texts] == [(5, 1), (7, 1)]  # at the upper end of its line
    assert not rates.texts
