"""Arguments of another kind: one line that names the argument, what is allowed and what came."""

from __future__ import annotations

import re

import pytest
import torch

from lrpilot import InvalidArgument, LearningRate, OnlineActorCritic, Pilot, Policy, Refinement, suggest


def online(**arguments):
    return OnlineActorCritic(sgd(), **arguments)


def sgd():
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1)


KNOBS = r"controls must be knobs, of which LearningRate\(\) is the first, in a list or tuple, got "
LENGTH = "total_steps must be a whole number, at least 1 and at most 2147483647, or None, got "

ABSURD = {
    "a knob alone": (lambda: online(controls=LearningRate()), KNOBS + "<.*LearningRate object at .*>"),
    "no controls": (lambda: online(controls=None), KNOBS + "None"),
    "a number as a generator": (lambda: online(generator=1), r"generator must be a torch\.Generator, or None, got 1"),
    "a number as a learner": (lambda: online(learner=1), "learner must be that of an .*, or None, got 1"),
    "whole numbers": (
        lambda: online(dtype=torch.int64),
        r"dtype must be a torch\.dtype of floating-point numbers, got torch\.int64",
    ),
    "a list as a setting": (lambda: online(setting=[]), r"setting must be one of paper, stable .*, got \[\]"),
    "no width": (lambda: Policy(width=0), "width must be a whole number, at least 1, got 0"),
    "two members": (lambda: Policy(members=2), "members must be an odd number, got 2"),
    "a number as a policy": (lambda: Refinement(1), "policy must be 'shipped', .*, got 1"),  # type: ignore[arg-type]
    "a number as a configuration": (
        lambda: Refinement(config=1),  # type: ignore[arg-type]
        "config must be a RefinementConfig, or None, got 1",
    ),
    "no step": (lambda: suggest(sgd(), None), "step must be a function .*, got None"),  # type: ignore[arg-type]
    "400 zeros": (lambda: Pilot(sgd(), 10**400), LENGTH + "1" + 199 * "0" + r"\.\.\."),
    "5000 zeros": (lambda: Pilot(sgd(), 10**5000), LENGTH + "<int object at .*>"),
    "several lines": (
        lambda: Pilot(sgd(), torch.nn.Sequential(torch.nn.Tanh())),  # type: ignore[arg-type]
        r"total_steps must be .*, or None, got Sequential\( \(0\): Tanh\(\) \)",
    ),
}


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_argument_is_refused_in_one_line(name):
    call, message = ABSURD[name]
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert re.fullmatch(message, str(caught.value))
