"""The readings of Algorithm 1: what they are made of, and how they are judged."""

from dataclasses import fields, replace

import pytest
import torch

from lrpilot import PAPER, STABLE
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.report import studies
from lrpilot.experiments.runs.controllers import Terms
from lrpilot.experiments.runs.methods import METHODS
from lrpilot.experiments.studies.catalogue import READ, READINGS, SLIDING
from lrpilot.experiments.studies.frame import frame
from lrpilot.online.settings import DEVIATIONS, STABLE_DEVIATIONS, deviating
from made_up import result, trial


def terms(setting, generator):
    return Terms(steps=1, generator=generator, setting=setting)


def differing(one, other):
    return {field.name for field in fields(one) if getattr(one, field.name) != getattr(other, field.name)}


def test_no_deviation_is_the_paper_and_the_stable_ones_change_what_they_name():
    assert deviating() == PAPER
    changed = [name for number, changes in DEVIATIONS.items() if number not in ("D11", "D12") for name in changes]
    assert len(changed) == len(set(changed)) == len(differing(PAPER, deviating(*DEVIATIONS.keys() - {"D3", "D10"})))
    assert DEVIATIONS["D11"].keys() == DEVIATIONS["D3"].keys()  # in whose place it stands
    assert DEVIATIONS["D12"].keys() == DEVIATIONS["D10"].keys()
    assert differing(PAPER, STABLE) == {n for d in STABLE_DEVIATIONS for n in DEVIATIONS[d]}
    assert differing(PAPER, replace(PAPER, **SLIDING)) == set(SLIDING)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def network():
    return torch.nn.Linear(3, 2)


@pytest.mark.parametrize("number", ["D4", "D8"])
def test_a_deviation_without_the_one_it_needs_is_refused(number):
    with pytest.raises(InvalidArgument, match="deviations must be with D3 or D11"):
        deviating(number)


def test_an_unknown_deviation_is_refused():
    with pytest.raises(InvalidArgument, match="deviations must be some of D1"):
        deviating("D1", "D14")


@pytest.mark.parametrize(("reading", "setting"), READINGS.items(), ids=READINGS)
def test_every_reading_makes_a_controller_of_its_own(reading, setting, generator, network):
    method = METHODS[READ]
    made = method.controller(method.make_optimizer(network, setting), terms(setting, generator)).setting
    if reading not in ("paper", "stable"):
        assert made not in (PAPER, STABLE)
        assert differing(made, PAPER)
    else:
        assert made == {"paper": PAPER, "stable": STABLE}[reading]


def test_no_two_readings_are_the_same():
    settings = [tuple(sorted(setting.items())) for setting in READINGS.values()]
    assert len(settings) == len(set(settings))


def run(setting, task, error, status="finished", seed=0):
    made = trial(experiment="readings", method=READ, task=task, setting=setting, seed=seed)
    return result(status, trial=made, errors=(9, 4, error))


def test_a_reading_is_sound_where_no_run_diverges_and_the_mean_is_near_the_best_constants():
    constant = [
        result(trial=trial(task=task, setting={"lr": rate}), errors=(9, 9, error))
        for task, rate, error in [("m0", 0.1, 10.0), ("m0", 1.0, 12.0), ("m1", 0.1, 3.0)]
    ]
    stable = READINGS["stable"]
    runs = [run({}, "m0", 10.9), run({}, "m1", 3.4), run({}, "m1", 3.4, seed=1)]
    runs += [run(stable, "m0", 11.0), run(stable, "m1", 3.2), run(stable, "m1", 3.3, seed=1)]
    runs += [run({"discount": 0.0}, "m0", 9.0), run({"discount": 0.0}, "m0", 9.0, "diverged", seed=1)]
    table = studies.readings(frame([*runs, *constant]))
    assert table.rows == [
        ["paper", "10.90", "0.1 to 0.1", "3.40 ± 0.00", "0.1 to 0.1", "M0"],
        ["discount 0", "49.50 ± 57.28 (1 diverged)", "0.1 to 0.1", "-", "-", "nowhere"],
        ["stable", "11.00", "0.1 to 0.1", "3.25 ± 0.07", "0.1 to 0.1", "M0, M1"],
    ]
    assert "M0 11.00, M1 3.30" in table.note


def test_replacing_a_field_of_a_reading(generator, network):
    setting = {"deviations": "D1+D2", "discount": 0.5, "lr": 0.1}
    method = METHODS[READ]
    made = method.controller(method.make_optimizer(network, setting), terms(setting, generator)).setting
    assert made == replace(deviating("D1", "D2"), discount=0.5)
