"""The two settings, and the ranges of what can be set."""

from __future__ import annotations

import dataclasses
import json
from functools import partial

import pytest

import lrpilot
from lrpilot.core.arguments import LONGEST
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
    assert (described["units"], described["layers"], described["critic_units"]) == (20, 2, 10)
    assert described["unroll_steps"] == 20
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
        ("output_scale", -0.1, "a finite number of at least 0"),
        ("output_scale", float("inf"), "a finite number of at least 0"),
        ("betas", (0.9, 1.0), "a tuple of two numbers in [0, 1)"),
        ("betas", (-0.1, 0.999), "a tuple of two numbers in [0, 1)"),
        pytest.param("betas", (0.9,), "a tuple of two numbers in [0, 1)", marks=pytest.mark.mistyped),
        pytest.param("betas", [0.9, 0.999], "a tuple of two numbers in [0, 1)", marks=pytest.mark.mistyped),
        ("repeat_time", 0, "a finite number above 0, or None"),
        ("repeat_time", float("inf"), "a finite number above 0, or None"),
        pytest.param("repeat_time", True, "a finite number above 0, or None", marks=pytest.mark.mistyped),
        ("unroll_steps", 0, "a whole number of at least 1"),
        ("units", LONGEST + 1, f"a whole number of at most {LONGEST}"),
        pytest.param("units", 2.5, "a whole number of at least 1", marks=pytest.mark.mistyped),
        pytest.param("learn_actor", 1, "True or False", marks=pytest.mark.mistyped),
        pytest.param("replay", 1, "a class, or a function that makes one", marks=pytest.mark.mistyped),
        pytest.param("actor_batch", "previous", "one of next, draw, same", marks=pytest.mark.mistyped),
        pytest.param("unroll", 20, "one of sliding, chunk", marks=pytest.mark.mistyped),
        pytest.param("critic_batch", "x_j", "one of own, other", marks=pytest.mark.mistyped),
        pytest.param("critic_activation", "gelu", "one of relu, tanh", marks=pytest.mark.mistyped),
        pytest.param("initialisation", "jax", "one of tensorflow, small, pytorch", marks=pytest.mark.mistyped),
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


@pytest.mark.parametrize(
    ("base", "change", "said"),
    [
        (lrpilot.STABLE, {"critic_batch": "other"}, "critic_batch must be 'own' where the reward measures a slope"),
        (lrpilot.PAPER, {"unroll": "chunk", "keep_evaluations": True}, "keep_evaluations must be False in chunks"),
    ],
)
def test_readings_that_exclude_each_other(base: lrpilot.Setting, change: dict, said: str) -> None:
    with pytest.raises(lrpilot.InvalidArgument, match=said):
        dataclasses.replace(base, **change)


def test_the_papers_numbers() -> None:
    """Section 4.1 and the readings of `docs/algorithm.md`. The map of readings chose chunks, small weights,
    tanh and a discount of 0.9, which looks ten steps ahead."""
    assert lrpilot.PAPER.describe() == {
        "observation": "BatchLoss",
        "action": "AbsoluteRate",
        "reward": "LossDecrement",
        "learn_slope": False,
        "replay": "LastTransition",
        "exploration": None,
        "opening": None,
        "repeat_time": None,
        "discount": 0.9,
        "actor_batch": "next",
        "critic_batch": "own",
        "actor_learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
        "learn_actor": True,
        "unroll": "chunk",
        "unroll_steps": 20,
        "units": 20,
        "layers": 2,
        "critic_units": 10,
        "critic_activation": "tanh",
        "initialisation": "small",
        "output_scale": 0.1,
        "keep_evaluations": False,
        "dropout": "fresh",
    }


def test_stable_differs_from_the_paper_in_its_deviations_alone() -> None:
    """D5: the slope looks one step ahead, and a discount above 0 would cost a forward pass in every step. D12: an actor
    that learns once in twenty steps comes to the rate that its reward asks for in hundreds of steps, not in thousands;
    at 3e-3 the rate on digits overshoots until the network is lost. D13: with one action a step the rate on M1 climbs
    once the loss is low (after 25 epochs at batches of 50, after five at 16)."""
    paper, stable = lrpilot.PAPER.describe(), lrpilot.STABLE.describe()
    assert {name: value for name, value in stable.items() if value != paper[name]} == {
        "action": "LogRate",
        "output_scale": 0.0,
        "reward": "LastingDecrement",
        "learn_slope": True,
        "discount": 0.0,
        "opening": "Opening",
        "dropout": "shared",
        "actor_learning_rate": 2e-3,
        "repeat_time": 1000.0,
    }


def test_a_deviation_that_was_not_adopted() -> None:
    """D10: in a sliding window, at the paper's 1e-3, the first slopes of a critic that has seen little throw the rate
    down a hundredfold now and then; at 3e-4 the critic learns thrice as fast as the actor that listens to it."""
    assert lrpilot.deviating("D10") == dataclasses.replace(lrpilot.PAPER, actor_learning_rate=3e-4)


def test_deviations_by_number() -> None:
    assert lrpilot.deviating() == lrpilot.PAPER
    assert lrpilot.deviating("D5") == dataclasses.replace(lrpilot.PAPER, discount=0.0)
    noisy = lrpilot.deviating("D1", "D6", "D7").describe()
    assert (noisy["observation"], noisy["replay"]) == ("RelativeLogLoss", "Replay")
    assert noisy["exploration"] == {"LogNormal": {"start": 0.2, "end": 0.1, "time": 1000.0}}
    with pytest.raises(lrpilot.InvalidArgument, match=r"deviations must be some of D1, D2, .*, D13, got 'D14'"):
        lrpilot.deviating("D14")
    for lacking in ("D4", "D8"):
        with pytest.raises(lrpilot.InvalidArgument, match="deviations must be with D3 or D11, which measure what D4"):
            lrpilot.deviating(lacking)
    for lacking in (("D13", "D11"), ("D5", "D13")):
        with pytest.raises(lrpilot.InvalidArgument, match="deviations must be with D5 and D11, without"):
            lrpilot.deviating(*lacking)
    assert lrpilot.deviating("D5", "D11", "D13").repeat_time == 1000
    assert lrpilot.Setting(repeat_time=0.5).repeat_time == 0.5
    for pair in (("D3", "D11"), ("D10", "D12")):
        with pytest.raises(lrpilot.InvalidArgument, match=f"with one of {min(pair)} and {max(pair)}, not with both"):
            lrpilot.deviating(*pair, "D2")


def test_a_settings_name() -> None:
    assert (lrpilot.PAPER.name, lrpilot.STABLE.name) == ("paper", "stable")
    assert lrpilot.deviating("D5", "D9").name == "paper, discount=0.0, dropout='shared'"


@pytest.mark.parametrize(
    "ends",
    [
        {"unroll_steps": 1, "units": 1, "layers": 1, "critic_units": 1},  # no back-propagation through time at all
        {"unroll_steps": LONGEST},
        {"discount": 0.0, "output_scale": 0.0, "action": lrpilot.LogRate, "betas": (0.0, 0.0)},
        {"output_scale": 0.0, "initialisation": "pytorch"},
        {"discount": 1.0},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(ends: dict) -> None:
    lrpilot.Setting(**ends)


def test_another_setting_is_told_from_this_one() -> None:
    """By the first field in which it differs, which another version may not have."""
    lrpilot.PAPER.check_same(lrpilot.PAPER.describe())
    with pytest.raises(lrpilot.InvalidArgument, match=r"the saved setting's discount must be 0\.9 as here"):
        lrpilot.PAPER.check_same(lrpilot.deviating("D5", "D9").describe())
    with pytest.raises(lrpilot.InvalidArgument, match="the saved setting's weather must be None as here, got 'fine'"):
        lrpilot.PAPER.check_same({"weather": "fine"})
