"""The two settings, and the ranges of what can be set."""

from __future__ import annotations

import dataclasses
import json
from functools import partial

import pytest

import lrpilot
from lrpilot.online.reward import TransferredDecrement
from lrpilot.online.settings import resolve


def test_names_resolve() -> None:
    assert resolve("paper") is lrpilot.PAPER
    assert resolve("stable") is lrpilot.STABLE
    assert resolve(lrpilot.PAPER) is lrpilot.PAPER
    with pytest.raises(lrpilot.InvalidArgument, match=r"setting must be one of paper, stable .*, got 'papr'"):
        resolve("papr")


def test_paper_is_what_the_paper_fixes() -> None:
    described = lrpilot.PAPER.describe()
    assert described["observation"] == "BatchLoss"
    assert described["action"] == "AbsoluteRate"
    assert (described["units"], described["layers"], described["unroll"], described["critic_units"]) == (20, 2, 20, 10)
    assert (described["actor_learning_rate"], described["betas"]) == (1e-3, [0.9, 0.999])
    assert described["exploration"] is None
    assert described["opening"] is None


@pytest.mark.parametrize("setting", [lrpilot.PAPER, lrpilot.STABLE])
def test_descriptions_are_plain_data(setting: lrpilot.Setting) -> None:
    assert json.loads(json.dumps(setting.describe())) == setting.describe()


def test_descriptions_tell_parts_apart() -> None:
    other = dataclasses.replace(lrpilot.STABLE, reward=partial(TransferredDecrement, own_batch=0.5))
    assert other.describe()["reward"] != lrpilot.STABLE.describe()["reward"]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("discount", 1.5, "a number in [0, 1]"),
        ("discount", -0.1, "a number in [0, 1]"),
        ("discount", float("nan"), "a number in [0, 1]"),
        ("actor_learning_rate", 0.0, "a finite number above 0"),
        ("critic_learning_rate", float("inf"), "a finite number above 0"),
        ("unroll", 0, "a whole number of at least 1"),
        pytest.param("units", 2.5, "a whole number of at least 1", marks=pytest.mark.mistyped),
        pytest.param("actor_batch", "previous", "one of next, draw, same", marks=pytest.mark.mistyped),
        pytest.param("critic_activation", "gelu", "one of relu, tanh", marks=pytest.mark.mistyped),
        pytest.param("initialisation", "jax", "one of tensorflow, pytorch", marks=pytest.mark.mistyped),
        pytest.param("dropout", "none", "one of fresh, shared", marks=pytest.mark.mistyped),
    ],
)
def test_what_is_out_of_range_is_named(field: str, value: object, allowed: str) -> None:
    with pytest.raises(lrpilot.InvalidArgument) as caught:
        lrpilot.Setting(**{field: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{field} must be {allowed}, got {value!r}"


def test_an_opening_needs_a_measured_slope() -> None:
    with pytest.raises(lrpilot.InvalidArgument, match="opening must be None where the reward measures no slope"):
        dataclasses.replace(lrpilot.PAPER, opening=lrpilot.STABLE.opening)
