"""Arguments of another kind: one line that names the argument, what is allowed and what came."""

from __future__ import annotations

import dataclasses
import inspect
import math
import pickle
import re
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch

from loops import take_a_step
from lrpilot import (
    STABLE,
    Beta,
    InvalidArgument,
    LastingDecrement,
    LearningRate,
    LogNormal,
    LogRate,
    OfflineActorCritic,
    OnlineActorCritic,
    Opening,
    Pilot,
    Policy,
    Refinement,
    RefinementConfig,
    RelativeLogLoss,
    Replay,
    Setting,
    TransferredDecrement,
    deviating,
    load_schedule,
    suggest,
)
from lrpilot.core.arguments import real, whole
from lrpilot.core.schedule import save_schedule
from lrpilot.errors import Damaged, Diverged, NonFiniteLoss, NonFiniteRate
from scripted import Scripted


def online(**arguments):
    return OnlineActorCritic(sgd(), **arguments)


def sgd(**entries):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    optimizer.param_groups[0] |= entries
    return optimizer


def piloted(steps=5):
    pilot = Pilot(sgd(), 60, policy=Scripted(0.0))
    for _ in range(steps):
        take_a_step(pilot.optimizer)
        pilot.step(1.0)
    return pilot


def joined(**entries):
    """A group that joins right before a decision."""
    pilot = piloted()
    take_a_step(pilot.optimizer)
    pilot.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))], **entries})
    pilot.step(1.0)


def given_anew(rate):
    """What the user gave is changed in mid-run, up to the next decision."""
    pilot = piloted()
    pilot.optimizer.param_groups[0]["initial_lr"] = rate
    take_a_step(pilot.optimizer)
    pilot.step(1.0)


KNOBS = r"controls must be knobs, of which LearningRate\(\) is the first, in a list or tuple, got "
LENGTH = "total_steps must be a whole number, at least 1 and at most 2147483647, or None, got "

ABSURD = {
    "a knob alone": (lambda: online(controls=LearningRate()), KNOBS + "<.*LearningRate object at .*>"),
    "no controls": (lambda: online(controls=None), KNOBS + "None"),
    "a number as a generator": (lambda: online(generator=1), r"generator must be a torch\.Generator, or None, got 1"),
    "a number as a learner": (lambda: online(learner=1), "learner must be that of an .*, or None, got 1"),
    "whole numbers": (
        lambda: online(dtype=torch.int64),
        r"dtype must be torch\.float32 or torch\.float64, got torch\.int64",
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


WRONG = {
    "None": None,
    "several": torch.ones(2),
    "none": torch.ones(0),
    "an array": np.ones(2),
    "a list": [],
    "NaN": math.nan,
    "infinite": math.inf,
    "huge": 10**400,
    "complex": 1j,
    "a name": np.str_("x"),
    "a path": "a\0b",
}
"""What no argument below may be, but for those named there."""

TAKES = {
    "Pilot(total_steps)": (lambda wrong: Pilot(sgd(), wrong), {"None"}),
    "Pilot(optimizer)": (lambda wrong: Pilot(wrong, 10), set()),
    "Pilot(policy)": (lambda wrong: Pilot(sgd(), 10, policy=wrong), set()),
    "Pilot(rollback)": (lambda wrong: Pilot(sgd(), 10, rollback=wrong), set()),
    "Pilot(network)": (lambda wrong: Pilot(sgd(), 10, network=wrong), {"None", "a list"}),
    "Pilot(process_group)": (lambda wrong: Pilot(sgd(), 10, process_group=wrong), {"None"}),
    "Pilot(on_decision)": (lambda wrong: Pilot(sgd(), 10, on_decision=wrong), {"None"}),
    "Pilot(on_rollback)": (lambda wrong: Pilot(sgd(), 10, on_rollback=wrong), {"None"}),
    "step": (lambda wrong: (take_a_step((pilot := piloted()).optimizer), pilot.step(wrong)), {"NaN", "infinite"}),
    "extend": (lambda wrong: piloted().extend(wrong), {"None"}),
    "finish": (lambda wrong: piloted().finish(wrong), set()),
    "load_state_dict": (lambda wrong: piloted().load_state_dict(wrong), set()),
    "export_schedule": (lambda wrong: piloted().export_schedule(wrong), set()),
    "export_schedule(total_steps)": (lambda wrong: piloted().export_schedule(sgd(), total_steps=wrong), {"None"}),
    "save_schedule": (lambda wrong: piloted().history.save_schedule(wrong), {"a name"}),
    "load_schedule": (lambda wrong: load_schedule(wrong, sgd()), set()),
    "lr": (lambda wrong: Pilot(sgd(lr=wrong), 10), set()),
    "initial_lr": (lambda wrong: Pilot(sgd(initial_lr=wrong), 10), set()),
    "lr_scale": (lambda wrong: Pilot(sgd(lr_scale=wrong), 10), set()),
    "lr of a group that joins": (lambda wrong: joined(lr=wrong), set()),
    "initial_lr of one": (lambda wrong: joined(initial_lr=wrong), set()),
    "lr_scale of one": (lambda wrong: joined(lr_scale=wrong), set()),
    "initial_lr in mid-run": (given_anew, set()),
    "Policy.load": (Policy.load, set()),
    "Policy.save": (lambda wrong: Policy().save(wrong), {"a name"}),
    "Policy(width)": (lambda wrong: Policy(width=wrong), set()),
    "Policy(provenance)": (lambda wrong: Policy(provenance=wrong), {"None"}),
    "suggest": (lambda wrong: suggest(sgd(), wrong), set()),
    "suggest(steps)": (lambda wrong: suggest(sgd(), lambda: 1.0, steps=wrong), set()),
}


@pytest.mark.integration
@pytest.mark.mistyped
@pytest.mark.filterwarnings("ignore::lrpilot.PilotWarning")
@pytest.mark.parametrize("name", TAKES)
def test_whatever_comes_is_taken_or_refused_in_one_line(name, tmp_path, monkeypatch):
    """Values of wrong kinds; no two of them alike in how torch, NumPy and Python take them."""
    monkeypatch.chdir(tmp_path)
    take, fitting = TAKES[name]
    for kind, wrong in WRONG.items():
        if kind in fitting:
            take(wrong)
            continue
        with pytest.raises(InvalidArgument) as caught:
            take(wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.mistyped
@pytest.mark.parametrize("number", [np.int64(5), torch.tensor(5)])
def test_whole_numbers_of_other_libraries(number):
    assert Pilot(sgd(), number).total_steps == 5
    assert Policy(width=number).width == 5
    assert piloted().export_schedule(sgd(), total_steps=number)


def test_a_rate_of_zero_given_in_mid_run():
    """The groups' ratios to it would be infinite."""
    with pytest.raises(InvalidArgument, match=r"^the optimizer's learning rate .* above 0, got 0\.0$"):
        given_anew(0)


def test_a_rate_that_holds_whole_numbers_alone():
    """Every rate of a run would be rounded to 0."""
    with pytest.raises(InvalidArgument, match="the optimizer's learning rate must be a tensor of a floating-point num"):
        Pilot(sgd(lr=torch.tensor(1)), 10)


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_argument_is_refused_in_one_line(name):
    call, message = ABSURD[name]
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert re.fullmatch(message, str(caught.value))


ODD = {
    "none": None,
    "tensor": torch.ones(2),
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 10**400,
    "empty list": [],
    "empty text": "",
    "bytes": b"x",
    "an object": object(),
    "a type": int,
    "dictionary": {},
    "negative": -1,
}
"""What is right for no number of a configuration."""


@pytest.mark.mistyped
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(RefinementConfig)])
def test_how_a_refinement_learns_is_checked_before_it_begins(field, odd):
    with pytest.raises(InvalidArgument, match=f"^{field} must be"):
        RefinementConfig(**{field: ODD[odd]})


@pytest.mark.mistyped
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Setting)])
def test_every_part_of_a_setting_is_checked_before_a_run(field, odd):
    if (field, odd) in {("opening", "none"), ("exploration", "none"), ("repeat_time", "none")}:
        assert Setting(**{field: None}) is not None
        return
    with pytest.raises(InvalidArgument, match=f"^{field} must be"):
        Setting(**{field: ODD[odd]})


PARTS = {
    LogNormal: ("start", "end", "time"),
    LogRate: ("unit", "ceiling", "limit"),
    RelativeLogLoss: ("decay", "floor"),
    TransferredDecrement: ("own_batch", "looks_every", "decay", "bound"),
    LastingDecrement: ("own_batch", "decay", "bound"),
    Opening: tuple(inspect.signature(Opening).parameters),
}
MEANT = {
    *(
        (name, "infinite")
        for name in ("start", "time", "ceiling", "limit", "bound", "tolerance", "small", "noise", "ruin")
    ),
    ("looks_every", "none"),
}
"""What is no mistake: never, without end."""


@pytest.mark.mistyped
@pytest.mark.parametrize("odd", ODD)
def test_parts_of_a_setting_check_their_own_numbers(odd):
    value = ODD[odd]
    for make, name in (
        (lambda: LogNormal(start=value), "start"),
        (lambda: Replay(batch=value), "batch"),
        (lambda: Beta(value), "number"),
        (lambda: deviating(value), "deviations"),
        *((partial(kind, **{field: value}), field) for kind, fields in PARTS.items() for field in fields),
    ):
        if (name, odd) in MEANT:
            continue
        with pytest.raises(InvalidArgument, match=f"^{name} must be"):
            make()


PATHS = {**{name: ODD[name] for name in ("none", "tensor", "bytes", "empty list", "empty text")}, "NUL": "a\0b"}


@pytest.mark.mistyped
@pytest.mark.parametrize("odd", PATHS)
def test_what_is_no_path_is_refused_wherever_one_is_taken(odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, study = PATHS[odd], Refinement()
    for call, name in (
        (lambda: Policy().save(path), "path"),
        (lambda: study.save(path), "path"),
        (lambda: save_schedule(path, [0.1]), "path"),
        (lambda: load_schedule(path, sgd()), "path"),
        (lambda: Policy.load(path), "policy"),
        (lambda: Refinement(path), "policy"),
        (lambda: Pilot(sgd(), 10, policy=path), "policy"),
    ):
        with pytest.raises(InvalidArgument, match=f"^{name} must be"):
            call()
    assert not list(tmp_path.iterdir())


def on_meta():
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2, device="meta"))])


def a_run_of(study, optimizer):
    with study.run(optimizer):
        pass


def step_of(controller, device):
    return controller.step(lambda batch: controller.optimizer.param_groups[0]["params"][0].sum().to(device), 0)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("optimizer", lambda: Pilot(on_meta(), 10)),
        ("optimizer", lambda: Pilot([sgd(), on_meta()], 10)),
        ("optimizer", lambda: suggest(on_meta(), lambda: 0.0)),
        ("optimizer", lambda: OnlineActorCritic(on_meta())),
        ("optimizer", lambda: a_run_of(OfflineActorCritic(), on_meta())),
        ("optimizer", lambda: a_run_of(Refinement(), on_meta())),
        ("loss", lambda: (take_a_step((pilot := piloted()).optimizer), pilot.step(torch.ones((), device="meta")))),
        ("loss", lambda: suggest(sgd(), lambda: torch.ones((), device="meta"))),
        ("the loss", lambda: step_of(OnlineActorCritic(sgd()), "meta")),
        ("the loss", lambda: step_of(OnlineActorCritic(sgd(), "paper"), "meta")),
    ],
)
def test_what_holds_no_numbers_is_refused(name, call):
    with pytest.raises(InvalidArgument, match=rf"^{name} must be .*meta( device)?'$"):
        call()


@pytest.mark.mistyped
@pytest.mark.parametrize("score", [None, "0.1", math.nan, math.inf, torch.ones(2), 10**400])
def test_a_run_is_scored_by_a_finite_number(score):
    with pytest.raises(InvalidArgument, match=r"^score must be a finite number, got "):
        Refinement().score(score)


@pytest.mark.mistyped
@pytest.mark.parametrize("loss", [10**400, int, None, "0.1", [], torch.ones(2)])
def test_a_loss_that_is_no_number_is_refused(loss):
    with pytest.raises(InvalidArgument, match=r"^(loss|step) must be "):
        suggest(sgd(), lambda: loss)
    with pytest.raises(InvalidArgument, match=r"^loss must be "):
        Pilot(sgd(), 10).step(loss)


@pytest.mark.mistyped
def test_what_is_a_number():
    assert [real(n) for n in (1, 0.5, Fraction(1, 4), np.float32(0.5), np.int64(3))] == [1.0, 0.5, 0.25, 0.5, 3.0]
    assert all(math.isnan(real(odd)) for odd in (True, None, "1", 10**400, torch.ones(()), [1.0]))
    assert whole("n", 0, least=0) == 0
    assert whole("n", 2**31 - 1) == 2**31 - 1
    assert whole("n", np.int64(3)) == 3
    for odd in (-1, False, True, 0.0, "0"):
        with pytest.raises(InvalidArgument, match=rf"^n must be a whole number, at least 0, got '?{odd}'?$"):
            whole("n", odd, least=0)
    for odd in (True, 1.0, "1", 2**31):
        with pytest.raises(InvalidArgument, match=r"^n must be a whole number, at least 1"):
            whole("n", odd)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("discount", "a number in [0, 1]", lambda: 1.5),
        Diverged("the loss is not finite", 3, 0.1),
        NonFiniteLoss(3, 0.1, math.nan),
        NonFiniteRate(3, 0.1, math.inf),
        Damaged("a file is damaged: remove it"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_from_another_process_as_it_was(error):
    """Without that a pool of processes breaks in place of the error."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_stable_setting_may_be_made_again():
    assert dataclasses.replace(STABLE) == STABLE
