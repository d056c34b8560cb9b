"""The pairs of runs with rollback and without, and what is counted of them."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks import rollback as bench
from benchmarks.rollback import EVENTS, Run, better, destroyed, tables, worse
from benchmarks.small_runs import CLASSES, EXAMPLES, PROBLEMS, problem, rows
from lrpilot.pilot.controller import Pilot


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_the_same_for_the_same_seed_alone(name):
    first, again, other = problem(name, 3), problem(name, 3), problem(name, 4)
    assert first.whole() == again.whole() != other.whole()
    assert torch.equal(first.inputs, again.inputs)
    assert first.network.training


def test_the_whole_loss_by_hand():
    task = problem("batch norm", 0)
    task.network.eval()  # running mean 0, variance 1
    with torch.no_grad():
        outputs = task.network(task.inputs)
    assert task.whole() == pytest.approx(F.cross_entropy(outputs, task.targets).item())
    mirrored = torch.tensor([[2, 1, 0][each] for each in task.targets.tolist()])
    assert CLASSES == 3
    assert task.whole(flipped=True) == pytest.approx(F.cross_entropy(outputs, mirrored).item())


def test_batches_do_not_depend_on_what_else_is_drawn():
    first = list(rows(4, 3, 7))
    torch.manual_seed(1)
    assert torch.equal(torch.stack(list(rows(4, 3, 7))), torch.stack(first))
    assert all(0 <= row < EXAMPLES for batch in first for row in batch.tolist())


def test_a_run_is_drawn_from_its_seed_alone():
    drawn = [Run.drawn(seed) for seed in range(300)]
    assert drawn == [Run.drawn(seed) for seed in range(300)]
    assert {run.event for run in drawn} == set(EVENTS)
    assert all(1e-4 <= run.lr <= 10 and 100 <= run.steps <= 600 and run.at < run.steps for run in drawn)
    assert 60 - 21 <= sum(run.at == 0 for run in drawn) <= 60 + 23  # one in five: three standard deviations


@pytest.mark.parametrize("event", EVENTS)
def test_the_two_runs_are_the_same_but_for_the_guard(monkeypatch, event):
    monkeypatch.setattr(bench, "Pilot", lambda *args, rollback, **more: Pilot(*args, rollback=False, **more))
    found = Run(seed=1, problem="batch norm", optimizer="sgd", lr=0.1, batch=8, steps=30, event=event, at=9).both()
    assert found["with"] == found["without"]
    assert found["returns_with"] == found["returns_without"]


def test_a_batch_spoils_a_run_and_rollback_mends_it():
    found = Run.drawn(119).both()  # one batch a thousand times as large
    assert found["returns_with"] > found["returns_without"]
    assert better(found)
    assert found["with"] < 0.1 * found["without"]
    assert found["with"] < found["untrained"]


def test_targets_that_stay_flipped_are_what_the_end_is_judged_by():
    run = Run(seed=1, problem="relu", optimizer="sgd", lr=0.01, batch=32, steps=30, event="targets flipped", at=29)
    found = run.both()
    assert found["untrained"] == problem("relu", 1).whole(flipped=True)
    assert found["with"] > found["untrained"]  # for 29 of its 30 steps it learned the opposite


def pair(without, guarded, untrained=1.0, **more):
    known = {"seed": 0, "problem": "relu", "optimizer": "sgd", "lr": 0.1, "batch": 8, "steps": 100, "at": 3}
    ends = {"untrained": untrained, "without": without, "with": guarded}
    return {**known, "event": "nothing", **ends, "returns_without": 0, "returns_with": 2, **more}


@pytest.mark.parametrize(
    ("without", "guarded", "expected"),
    [
        (0.5, 0.5, (False, False, False)),
        (0.5, 0.504, (False, False, False)),
        (0.5, 0.506, (True, False, False)),
        (0.506, 0.5, (False, True, False)),
        (1e-9, 5e-7, (False, False, False)),  # both are nothing
        (1.1, 1.2, (True, False, True)),
        (None, 1.2, (False, True, True)),
        (0.5, None, (True, False, False)),
        (None, None, (False, False, True)),
    ],
)
def test_what_is_counted(without, guarded, expected):
    found = pair(without, guarded)
    assert (worse(found), better(found), destroyed(found)) == expected


def test_runs_that_are_worse_are_shown_one_by_one():
    findings = [pair(0.5, 0.5), pair(None, 0.4, event="one loss of 0"), pair(0.25, 0.75, seed=17)]
    counts, lost = tables(findings)
    assert counts.rows == [
        ["nothing", "2", "1", "0", "0", "0"],
        ["one loss of 0", "1", "0", "1", "1", "1"],
        ["all", "3", "1", "1", "1", "1"],
    ]
    assert counts.note.endswith("At its worst it is 3 times as high.")
    assert lost.rows == [
        ["17", "relu", "sgd", "0.1", "nothing, step 3 of 100", "1", "0.25", "0.75", "0", "2"],
    ]
    assert len(tables(findings[:2])) == 1
