"""The length of a run may change; its schedule goes to runs of other lengths."""

from __future__ import annotations

import io
import warnings

import pytest
import torch

import lrpilot
from loops import network, train
from lrpilot.errors import InvalidArgument, PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import LINEAR_DECAY
from lrpilot.pilot.timetable import Timetable, decision_steps
from scripted import Reactive, Scripted


class Linear(Scripted):
    """Decays linearly, and nothing else."""

    def act(self, features, memory):
        return features[LINEAR_DECAY], memory


def piloted(total_steps, policy=None):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 if policy is None else 0.005)
    return model, Pilot(optimizer, total_steps, policy=policy or Linear(), network=model)


def rest_of(announced):
    """The rates of a run of 300 steps that was announced as such from the start, by step."""
    model, pilot = piloted(announced)
    return train(pilot, model, announced)


@pytest.mark.parametrize("how", ["load", "extend"])
@pytest.mark.parametrize("pause", [10, 60, 99, 100])
def test_a_longer_run(how, pause):
    """Case L25: from then on the rate is about that of a run that was planned so, even after the first one's end."""
    model, pilot = piloted(100)
    train(pilot, model, pause)
    if how == "extend":
        longer, again = model, pilot
        pilot.extend(300)
    else:
        file = io.BytesIO()
        torch.save(pilot.state_dict(), file)
        file.seek(0)
        longer, again = piloted(300)
        again.load_state_dict(torch.load(file, weights_only=True))
    assert again.total_steps == 300
    rates = train(again, longer, 300 - pause, begin=pause)
    # An interval's rate is the mean over it, and the intervals are not the same on both sides of the change.
    assert rates == pytest.approx(rest_of(300)[pause:], rel=0.2, abs=5e-4)
    assert len(again.history["rate"]) == 300
    assert [d.step for d in again.history.decisions if d.step > pause] == [
        s for s in decision_steps(300)[:-1] if s > pause
    ]
    with pytest.warns(PilotWarning, match="300 steps that were announced"):
        train(again, longer, 1)


@pytest.mark.parametrize("first", ["the optimizer's", "the pilot's"])
@pytest.mark.parametrize("length", [100, 300])
def test_whichever_state_is_loaded_first(first, length):
    """The optimizer's holds the rate of the run that ended; of a longer one the pilot's counts."""
    model, pilot = piloted(100)
    train(pilot, model, 60)
    later, again = piloted(length)
    states = [(again.optimizer, pilot.optimizer.state_dict()), (again, pilot.state_dict())]
    for owner, state in states if first == "the optimizer's" else states[::-1]:
        owner.load_state_dict(state)
    rates = train(again, later, 40, begin=60)
    assert rates == pytest.approx(rest_of(length)[60:100], rel=0.2, abs=5e-4)


def test_a_state_loaded_in_mid_run_brings_its_rate():
    """Of the optimizer alone, after further steps: that is the user's doing."""
    model, pilot = piloted(100)
    saved = pilot.optimizer.state_dict()
    train(pilot, model, 60)
    pilot.optimizer.load_state_dict(saved)
    assert pilot.optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    with pytest.warns(PilotWarning, match="load_state_dict brought back an earlier learning rate: load the pilot's"):
        train(pilot, model, 40, begin=60)


def test_states_of_others_are_refused():
    model, pilot = piloted(100)
    adam = Pilot(torch.optim.Adam(network().parameters()), 100, policy=Linear())
    scheduler = torch.optim.lr_scheduler.StepLR(torch.optim.SGD(model.parameters(), lr=0.1), 1)
    for state, message in (
        (adam.state_dict(), "the saved state must be that of a run with SGD, got 'Adam'"),
        (scheduler.state_dict(), "delete the scheduler.pt that Hugging Face's Trainer wrote without one"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            pilot.load_state_dict(state)
    train(pilot, model, 100)


@pytest.mark.mistyped
@pytest.mark.parametrize("wrong", [None, 7, "state"])
def test_what_is_no_state_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="the saved state must be that of a Pilot, a dictionary"):
        piloted(100)[1].load_state_dict(wrong)


@pytest.mark.parametrize("extended", [60, 100])
def test_an_extension_opens_no_second_window_of_the_guard(extended):
    """Copies are taken throughout: within the first twentieth of the new length too, and after the old end."""
    model, pilot = piloted(100, Scripted(0.0))
    train(pilot, model, extended)
    pilot.extend(8_000)  # whose first twentieth has 400 steps
    train(pilot, model, 240 - extended, begin=extended)
    before = [decision.step for decision in pilot.history.decisions]
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    train(pilot, model, 60, begin=240)
    (back,) = [decision for decision in pilot.history.decisions if decision.back_to is not None]
    assert back.back_to == before[-2] > 100  # the last copy had not stood its test


def test_a_shorter_run():
    model, pilot = piloted(300)
    train(pilot, model, 60)
    shorter, again = piloted(100)
    again.load_state_dict(pilot.state_dict())
    assert train(again, shorter, 40, begin=60) == pytest.approx(rest_of(100)[60:], rel=0.2, abs=5e-4)
    rate, tried = pilot.get_last_lr(), piloted(60)[1]
    for refused in (lambda: pilot.extend(60), lambda: tried.load_state_dict(pilot.state_dict())):
        with pytest.raises(InvalidArgument, match="total_steps must be more than the 60 steps"):
            refused()
    assert tried.last_epoch == 0
    assert pilot.total_steps == 300
    assert pilot.get_last_lr() == rate


def test_what_was_extended_resumes_as_it_is():
    model, pilot = piloted(100, Reactive())
    train(pilot, model, 50)
    pilot.extend(200)
    train(pilot, model, 20, begin=50)
    state = pilot.state_dict()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    rates = train(pilot, model, 130, begin=70)
    for announced in (100, 200):  # the script as it was, and as it should have been
        twin, again = piloted(announced, Reactive())
        twin.load_state_dict(weights)
        again.load_state_dict(state)
        assert train(again, twin, 130, begin=70) == rates


@pytest.mark.parametrize("steps", [1, 7, 100])
def test_finish_cools_down_within_so_many_steps(steps):
    model, pilot = piloted(None)
    train(pilot, model, 150)
    rate = pilot.get_last_lr()[0]
    pilot.finish(steps)
    assert pilot.total_steps == 150 + steps
    assert pilot.get_last_lr() == [rate]
    rates = train(pilot, model, steps, begin=150)
    assert rates[0] == pytest.approx(rate)
    assert rates == sorted(rates, reverse=True)
    if steps == 100:
        middle = [rate * (1 - (step // 5 * 5 + 2.5) / 100) / 0.975 for step in range(100)]
        assert rates == pytest.approx(middle, rel=0.01)
    assert len({d.step for d in pilot.history.decisions if d.step > 150}) == min(20, steps) - 1
    with pytest.warns(PilotWarning, match=f"{150 + steps} steps that were announced"):
        train(pilot, model, 1)


@pytest.mark.parametrize("left", [6, 9])
def test_an_extension_by_nothing_changes_nothing(left):
    """So many steps before a decision: as its measurement begins, and before. It sees what its last steps tell."""
    due = next(step for step in decision_steps(400) if step > 200)
    seen = []
    for extends in (False, True):
        model, pilot = piloted(400, Reactive())
        train(pilot, model, due - left)
        if extends:
            pilot.extend(400)
        train(pilot, model, left, begin=due - left)
        seen.append(pilot.history.decisions[-1])
    assert seen[0].step == due
    assert seen[0] == seen[1]


def test_an_ended_run_goes_on_from_an_earlier_state():
    model, pilot = piloted(100, Scripted(0.05))
    train(pilot, model, 60)
    state = pilot.state_dict()
    rates = train(pilot, model, 40, begin=60)
    pilot.load_state_dict(state)
    assert train(pilot, model, 40, begin=60) == rates
    assert len(pilot.history["rate"]) == pilot.last_epoch == 100


def test_a_resume_amid_the_cooling():
    model, pilot = piloted(None, Reactive())
    train(pilot, model, 50)
    pilot.finish(40)
    train(pilot, model, 13, begin=50)
    twin, again = piloted(None, Reactive())
    twin.load_state_dict(model.state_dict())
    again.load_state_dict(pilot.state_dict())
    assert train(again, twin, 27, begin=63) == train(pilot, model, 27, begin=63)
    assert again.total_steps == 90


def test_linear_parts_of_a_timetable():
    timetable = Timetable(100)
    ends = [0, *decision_steps(100)]
    for decision in (0, 10, len(ends) - 2):
        assert timetable.linear(decision) == pytest.approx(1 - (ends[decision] + ends[decision + 1]) / 200)
        assert timetable.decisions_by(ends[decision]) == decision
        assert timetable.decisions_by(ends[decision + 1] - 1) == decision
    anytime = Timetable(None)
    assert anytime.linear(3) == 1
    assert all(anytime.decisions_by(anytime.end(d)) == d + 1 for d in range(30))


@pytest.mark.parametrize("steps", [50, 100, 230])
def test_schedules_stretch_and_come_back_from_disk(tmp_path, steps):
    model, pilot = piloted(100, Reactive())
    rates = train(pilot, model, 100)
    pilot.history.save_schedule(tmp_path / "schedule.json")

    def driven(make):
        optimizer = torch.optim.SGD(network().parameters(), lr=5.0)
        schedule, given = make(optimizer), []
        for _ in range(steps):
            given.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return given

    stretched = driven(lambda o: pilot.export_schedule(o, total_steps=steps))
    assert driven(lambda o: lrpilot.load_schedule(tmp_path / "schedule.json", o, total_steps=steps)) == stretched
    assert stretched == pytest.approx([rates[int((step + 0.5) * 100 / steps)] for step in range(steps)])


OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "Adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.01),  # whose state is there from the beginning
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_resume_without_the_pilots_state_is_told_of(kind):
    """Case L24, where the pilot is made before the optimizer's state is loaded. With its own state there is nothing to
    tell, nor where a second training goes on with the optimizer of the first."""

    def begun(state=None):
        model = network()
        optimizer = OPTIMIZERS[kind](model.parameters())
        pilot = Pilot(optimizer, 40, policy=Scripted(0.0))
        if state is not None:
            optimizer.load_state_dict(state)
        return model, pilot

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, pilot = begun()
        train(pilot, model, 20)
        saved, state = pilot.state_dict(), pilot.optimizer.state_dict()
        train(Pilot(pilot.optimizer, 40, policy=Scripted(0.0)), model, 5)
        model, pilot = begun(state)
        pilot.load_state_dict(saved)
        train(pilot, model, 5, begin=20)
    model, pilot = begun(state)
    with pytest.warns(PilotWarning, match=rf"^{kind} has loaded the state of earlier steps, .* load the pilot's state"):
        train(pilot, model, 1, begin=20)


def test_a_resume_for_the_steps_that_are_left_is_told_of():
    """total_steps counts those before too."""
    model, pilot = piloted(100)
    train(pilot, model, 40)
    _, again = piloted(60)
    with pytest.warns(PilotWarning, match=r"total_steps=60 is what was left .* make it 100"):
        again.load_state_dict(pilot.state_dict())
