"""What is looked for in a scheduler, on a run that is made up."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.pilot import shape
from lrpilot.pilot.logbook import Decision, Logbook
from lrpilot.pilot.shape import Shape


class Still(Shape):
    """After seven steps at rates of 0.3 and 0.03, with the given decisions; rates of 0.4 and 0.04 lie ahead."""

    def __init__(self, *decisions: Decision, total_steps: int | None = 9, step: int = 7) -> None:
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.5, 0.05)]
        self.knobs = Knobs(torch.optim.SGD(groups), (LearningRate(),))
        self.knobs.write({"learning_rate": 0.4})
        self._step, self._total_steps, self._book = step, total_steps, Logbook()
        self._rates = SimpleNamespace(used=lambda step: [0.3, 0.03] if step == 7 else [])  # type: ignore[assignment]
        self._book.decisions += decisions

    total_steps = property(lambda self: self._total_steps)
    history = property(lambda self: self._book)


def decision(step: int, **rest: object) -> Decision:
    return Decision(**{"step": step, "loss": step / 10, "rate_before": 0.1, "rate": 0.2, "reason": "policy"} | rest)


def test_rates_of_three_kinds() -> None:
    """Given, used in the last step, and in force."""
    run = Still()
    assert run.base_lrs == [0.5, 0.05]
    assert run.get_used_lr() == [0.3, 0.03]
    assert run.get_last_lr() == run._last_lr == pytest.approx([0.4, 0.04])
    assert run.last_epoch == 7


def test_numbers_for_a_logger() -> None:
    run = Still(decision(1), decision(2, back_to=0), decision(3), decision(4, back_to=2), decision(5))
    assert run.scalars() == {"step": 7, "lr": 0.3, "loss": 0.5, "decisions": 5, "rollbacks": 2}
    assert math.isnan(Still().scalars()["loss"])


def test_it_says_where_it_stands() -> None:
    assert repr(Still()) == "Still(SGD, step 7 of 9, rate 0.4)"
    assert repr(Still(total_steps=None)) == "Still(SGD, step 7, rate 0.4)"


def test_the_run_in_words_ends_in_where_it_stands() -> None:
    run = Still(decision(1))
    assert run.explain() == f"{run.history.explain()}\nnow at step 7 of 9, rate 0.4"
    assert Still().explain() == "now at step 7 of 9, rate 0.4"
    open_ended = "now at step 7, rate 0.4; no end is announced: pilot.finish(steps) ends with a decay"
    assert Still(total_steps=None).explain() == open_ended


def test_a_notebook_shows_the_last_three_decisions() -> None:
    run = Still(*map(decision, (1, 2, 3, 4)))
    lines = run._repr_html_().removeprefix("<pre>").removesuffix("</pre>").split("\n")
    assert lines[0] == repr(run)
    assert [line.partition(":")[0] for line in lines[1:]] == ["step 2", "step 3", "step 4"]
    assert "0.1 -&gt; 0.2" in lines[1]
    assert Still()._repr_html_() == "<pre>Still(SGD, step 7 of 9, rate 0.4)</pre>"


def test_a_picture_where_there_is_something_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    run = Still()
    run.history.extend(loss=torch.ones(7), rate=torch.ones(7))
    assert run._repr_png_().startswith(b"\x89PNG")  # type: ignore[union-attr]
    assert Still(step=0)._repr_png_() is None
    one = Still(step=1)
    one.history.extend(loss=torch.ones(1), rate=torch.ones(1))
    assert one._repr_png_() is not None
    monkeypatch.setattr(shape, "find_spec", lambda name: None)
    assert run._repr_png_() is None


def test_several_decisions_in_short() -> None:
    """From the first to the last, by way of the highest rate."""
    decisions = [decision(1), decision(3, rate=0.65), decision(4, rate=0.65, back_to=0), decision(6, rate=0.01)]
    *_, short, now = Still(*decisions).explain().splitlines()
    long = "in short: loss 0.1 -> 0.6; rate 0.1 -> 0.65 (highest, from step 3) -> 0.01; network taken back 1 time"
    assert (short, now) == (long, "now at step 7 of 9, rate 0.4")
    *_, short, now = Still(*decisions, decision(7, back_to=3)).explain().splitlines()
    assert short.endswith("network taken back 2 times")
    *_, short, now = Still(decision(1), decision(3)).explain().splitlines()
    assert short == "in short: loss 0.1 -> 0.3; rate 0.1 -> 0.2 (highest, from step 1) -> 0.2"
