"""The bank of real trainings: what is drawn, how schedules are searched and scored, and what lessons come of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lrpilot.errors import Damaged
from lrpilot.learning.bank import data, lessons, rollouts, store, teacher
from lrpilot.learning.bank.networks import build
from lrpilot.learning.bank.rounds import Rounds, bank_loss
from lrpilot.learning.bank.schedules import Schedule, search
from lrpilot.learning.bank.score import LOST, FinalMeasures, Yardstick
from lrpilot.learning.bank.task import BLOCK, HELD_OUT, BankTask
from lrpilot.learning.bank.tasks import JUDGED_LENGTHS, KINDS, OPTIMIZERS, draw_task
from lrpilot.learning.bank.training import BankTraining
from lrpilot.pilot.policy import LARGEST_STEP, Policy
from lrpilot.pilot.timetable import decision_steps


def small_task(**changes) -> BankTask:
    """A regression that takes a tenth of a second."""
    drawn = next(task for task in map(draw_task, range(200)) if task.kind == "regression" and task.optimizer == "Adam")
    options = {"inputs": 4, "outputs": 1, "rows": 60, "offset": 1.0, "scale": 1.0, "noise": 0.1, "seed": 3}
    network = {"inputs": 4, "widths": [8], "outputs": 1, "activation": "tanh"}
    known = {"data_options": options, "network_options": network, "batch_size": 8, "steps": 60, "usual": -2.0}
    return replace(drawn, **(known | changes))


def test_tasks_are_a_function_of_index_and_seed():
    assert draw_task(17) == draw_task(17)
    assert draw_task(17) != draw_task(17, seed=1)
    tasks = [draw_task(index) for index in range(400)]
    assert Counter(task.kind for task in tasks).keys() == KINDS.keys()
    plain = sum(task.optimizer == "SGD" and "momentum" not in task.optimizer_options for task in tasks)
    assert plain / 400 == pytest.approx(OPTIMIZERS["sgd"][0], abs=0.06)  # plain SGD as often as any other
    assert not {task.steps for task in tasks} & set(JUDGED_LENGTHS)
    assert min(task.steps for task in tasks) < 50
    assert max(task.steps for task in tasks) > 8000


def test_the_last_task_of_a_block_is_the_first_in_another_width():
    for block in range(10):
        first, last = draw_task(BLOCK * block), draw_task(BLOCK * block + BLOCK - 1)
        assert (first.kind, first.data, first.data_options) == (last.kind, last.data, last.data_options)
        assert (first.optimizer, first.optimizer_options, first.batch_size) == (
            last.optimizer,
            last.optimizer_options,
            last.batch_size,
        )
    assert any(
        draw_task(BLOCK * b).network_options != draw_task(BLOCK * b + BLOCK - 1).network_options for b in range(10)
    )


def test_whole_blocks_are_held_out():
    held = [draw_task(index).held_out for index in range(BLOCK * HELD_OUT * 3)]
    assert sum(held) == BLOCK * 3
    assert all(len(set(held[i : i + BLOCK])) == 1 for i in range(0, len(held), BLOCK))


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_trained(kind):
    task = next(task for task in map(draw_task, range(400)) if task.kind == kind)
    training = BankTraining(replace(task, steps=2, batch_size=min(task.batch_size, 4)))
    measured = training.follow(Schedule(-3.0))
    assert math.isfinite(training.score(measured))
    assert training.follow(Schedule(-3.0)) == measured


@pytest.mark.integration
def test_data_by_hand():
    recall = data.load("recall", {"length": 5, "symbols": 4, "rows": 20, "seed": 0})
    assert torch.equal(recall.targets, recall.inputs[:, 0])
    parity = data.load("parity", {"inputs": 6, "bits": 2, "rows": 20, "seed": 0})
    assert torch.equal(parity.targets.bool(), parity.inputs[:, 0] * parity.inputs[:, 1] > 0)
    text = data.load("text", {"length": 8, "rows": 20, "seed": 0})
    assert torch.equal(text.inputs[:, 1:], text.targets[:, :-1])
    numbers = data.load(
        "regression",
        {"inputs": 4, "outputs": 2, "rows": 5000, "offset": 3.0, "scale": 10.0, "noise": 0.0, "seed": 0},
    )
    torch.testing.assert_close(numbers.targets.mean(0), torch.full((2,), 30.0), rtol=0.02, atol=0.0)
    torch.testing.assert_close(numbers.targets.std(0), torch.full((2,), 10.0), rtol=0.02, atol=0.0)
    glyphs = {"classes": 10, "rows": 500, "noise": 0.0, "standardised": True, "flat": True, "seed": 0}
    clean = data.load("glyphs", glyphs)
    assert clean.inputs.mean().item() == pytest.approx(0.0, abs=1e-4)
    wrong = data.load("glyphs", glyphs | {"noise": 0.3})
    changed = clean.targets != wrong.targets
    assert changed[: clean.training].float().mean().item() == pytest.approx(0.3 * 0.9, abs=0.05)
    assert not changed[clean.training :].any()


def test_initial_weights():
    options = {"inputs": 50, "widths": [200], "outputs": 10, "activation": "relu"}
    weight = build("mlp", options, initial="kaiming", seed=0)[0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 50), rel=0.03)
    truncated = build("mlp", options, initial="truncated", seed=0)[0]
    assert truncated.weight.abs().max() <= 0.2
    assert (truncated.bias == 0.1).all()


def test_a_schedule_by_hand():
    schedule = Schedule(-1.0, warm_up=0.2, power=2.0, floor=0.1)
    assert schedule.rate(0.0) == pytest.approx(0.1 * 0.1 * 1.0)
    assert schedule.rate(0.1) == pytest.approx(0.1 * 0.5 * (0.1 + 0.9 * 0.81))
    assert schedule.rate(0.5) == pytest.approx(0.1 * (0.1 + 0.9 * 0.25))
    assert Schedule(0.0, warm_up=0.0, power=0.0).rate(0.99) == 1.0


@pytest.mark.parametrize(("peak", "power"), [(-1.1, 1.0), (0.9, 1.0), (-3.2, 0.4), (-0.4, 0.0)])
def test_the_search_finds_a_known_best(peak, power):
    """The score is a bowl around one peak and one power; the search ends within an eighth of a decade of the peak."""
    tried = []

    def score(schedule: Schedule) -> float:
        tried.append(schedule)
        return (schedule.peak - peak) ** 2 + 0.5 * abs(schedule.power - power) + abs(schedule.warm_up - 0.04)

    best = search(score, -1.5)
    assert len(tried) == len(set(tried))
    assert abs(best.peak - peak) <= 0.2
    assert best.power == power


def test_the_score_by_hand():
    yardstick = Yardstick(FinalMeasures(2.5, 2.4, 0.9), guess=2.0, classes=10, held_out=1000)
    score = yardstick.score(FinalMeasures(0.2, 0.4, 0.08))
    by_hand = 0.25 * math.log(0.2 / 2 + 0.005) + 0.25 * math.log(0.4 / 2 + 0.005) + 0.5 * math.log((0.08 + 0.01) / 0.9)
    assert score == pytest.approx(by_hand)
    few = replace(yardstick, held_out=30)
    assert few.score(FinalMeasures(0.2, 0.4, 0.08)) - score == pytest.approx(
        0.5 * math.log((0.08 + 2 / 30) / (0.08 + 0.01))
    )
    assert yardstick.score(LOST) == pytest.approx(0.5 * math.log(1.505) + 0.5 * math.log(0.91 / 0.9))
    regression = Yardstick(FinalMeasures(3.0, 3.0, math.nan), guess=1.0, classes=0, held_out=100)
    assert regression.score(FinalMeasures(0.1, 0.2, math.nan)) == pytest.approx(
        0.5 * math.log(0.105) + 0.5 * math.log(0.205)
    )


def test_the_bank_goes_on_where_it_stopped_and_reads_what_it_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "draw_task", lambda index, seed: small_task(index=index))
    path, reported = tmp_path / "bank.jsonl", []
    store.extend(path, 1, report=reported.append)
    store.extend(path, 2, report=reported.append)
    assert [line["task"]["index"] for line in reported] == [0, 1]
    entries = store.read(path)
    assert [entry.task for entry in entries] == [small_task(index=0), small_task(index=1)]
    entry = entries[0]
    assert len(entry.scores) == len(entry.schedules) >= 8
    training = BankTraining(entry.task)
    best = entry.schedules[entry.scores.index(entry.best)]
    assert training.score(training.follow(best)) == pytest.approx(entry.best, abs=1e-4)
    assert json.loads(path.read_text().splitlines()[0])["task"]["kind"] == "regression"


@pytest.mark.parametrize("content", [b"one line of another file", b'{"tasks": 3}', b"\xff\xfe\x00"])
def test_a_file_that_is_no_bank_is_left_alone(content, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for use in (store.read, lambda path: store.extend(path, 1)):
        with pytest.raises(Damaged, match=r"notes\.txt is no bank: name another file"):
            use(path)
    assert path.read_bytes() == content
    for cut in (b"", b"{", b'{"task": ', b'{"task": {"index": 0, "ki'):
        path.write_bytes(cut)
        assert store.read(path) == []


def entry_of(scores: dict[float, float], **shape: float) -> store.Entry:
    """Linear decays from these peaks; with ``shape``, a better schedule of that shape from the peak -1."""
    schedules, values = [Schedule(peak) for peak in scores], list(scores.values())
    if shape:
        schedules.append(Schedule(-1.0, **shape))
        values.append(min(values) - 0.1)
    return store.Entry(small_task(), tuple(schedules), tuple(values))


def test_what_each_peak_costs():
    lowest, costs = lessons.peak_costs(entry_of({-2.0: 0.4, -1.0: 0.0, 0.0: 0.8}))
    assert costs[lessons.BELOW].item() == pytest.approx(0.0, abs=1e-5)
    assert lowest + lessons.SPACING * lessons.BELOW == pytest.approx(-1.0 * math.log(10))
    assert costs[lessons.BELOW - 4].item() == pytest.approx(0.4 / 0.65)  # a decade lower
    assert costs[lessons.BELOW + 2].item() == pytest.approx(0.4 / 0.65)  # half a decade higher
    assert costs[-1] > costs[lessons.BELOW + 4]


def test_a_better_shape_is_taken_only_when_it_is_clear():
    scores = {-2.0: 0.4, -1.5: 0.0, 0.0: 0.8}
    assert entry_of(scores, power=0.0).best_schedule == Schedule(-1.0, power=0.0)
    unclear = entry_of(scores, power=0.0)
    unclear = replace(unclear, scores=(*unclear.scores[:-1], -store.UNDECIDED / 2))
    assert unclear.best_schedule == Schedule(-1.5)
    lowest, costs = lessons.peak_costs(entry_of(scores, power=0.0))
    assert costs[lessons.BELOW].item() == pytest.approx(0.0, abs=1e-5)
    assert lowest + lessons.SPACING * lessons.BELOW == pytest.approx(-1.0 * math.log(10))


@pytest.mark.integration
def test_runs_are_recorded_and_become_lessons(tmp_path):
    torch.manual_seed(0)
    task, policy = small_task(), Policy(width=8)
    runs = rollouts.judge_task(task, policy)
    assert [run.start - task.usual for run in runs] == pytest.approx(rollouts.STARTS)
    rollouts.save(tmp_path / "0.pt", runs)
    again = rollouts.load(tmp_path / "0.pt")
    assert [run.score for run in again] == [run.score for run in runs]
    entry = replace(entry_of({-3.0: 0.4, -2.0: 0.0, -1.0: 0.8}), task=task)
    taught = lessons.lessons([(entry, run) for run in again])
    decisions = len(decision_steps(task.steps)) - 1
    assert taught.present.sum(0).tolist() == [decisions] * len(runs)
    # The first decision's rate is a tenth of the one given; it stood for the peak of a linear decay at that place.
    middle = decision_steps(task.steps)[0] / 2 / task.steps
    expected = math.log(10) * (runs[0].start - 1) - math.log(1 - middle)
    assert taught.log_peaks[0, 0].item() == pytest.approx(expected, abs=1e-4)
    # An actor that leads to the best peak at every decision costs nothing; one that leads a decade off does.
    best = -2.0 * math.log(10)
    gap = (best + taught.shapes - taught.log_peaks) / LARGEST_STEP
    reachable = gap.abs() < 0.99
    perfect = torch.where(reachable, gap, 0.0).atanh()
    only = replace(taught, present=taught.present & reachable)
    assert only.present.any()
    assert only.loss(perfect).item() == pytest.approx(0.0, abs=1e-3)
    off = torch.where(reachable, (gap - 0.9).clamp(-0.99, 0.99), 0.0).atanh()
    assert only.loss(off) > 0.1


@pytest.mark.integration
def test_the_teacher_leads_each_run_to_the_best_schedule_and_wanders_about_it(monkeypatch):
    task = small_task(steps=400)
    monkeypatch.setattr(teacher, "WANDERING", 0.0)
    best = entry_of({-4.0: 0.4, -3.0: 0.0, -2.0: 0.8})
    entry = replace(best, task=task)
    runs = rollouts.explore_task(entry, None, noise=0.0, seed=0)
    marks = [0, *decision_steps(400)]
    middles = torch.tensor([(a + b) / 800 for a, b in pairwise(marks)])
    for run in runs:
        away = run.log_rates - math.log(1e-3) - (1 - middles[:-1]).log()
        assert away[0].abs() > 1  # it begins where the user's rate says
        assert away[35:42].abs().max() < 0.3
    monkeypatch.setattr(teacher, "WANDERING", 0.8)
    late = torch.stack([run.log_rates[-20:] for run in rollouts.explore_task(entry, None, noise=0.0, seed=0)])
    distances = late - math.log(1e-3) - (1 - middles[-21:-1]).log()
    assert 0.3 < distances.std().item() < 1.5


@pytest.mark.integration
def test_runs_to_learn_from_begin_in_each_quarter_of_the_range():
    task = small_task()
    policy = Policy(width=8)
    entry = replace(entry_of({-3.0: 0.4, -2.0: 0.0, -1.0: 0.8}), task=task)
    runs = rollouts.explore_task(entry, policy, noise=0.3, seed=4)
    quarter = (rollouts.HIGHEST - rollouts.LOWEST) / 4
    assert [(run.start - task.usual - rollouts.LOWEST) // quarter for run in runs] == [0, 1, 2, 3]
    again = rollouts.explore_task(entry, policy, noise=0.3, seed=4)
    assert all(torch.equal(a.log_rates, b.log_rates) for a, b in zip(runs, again, strict=True))
    quiet = rollouts.explore_task(entry, policy, noise=0.0, seed=4)
    assert not torch.equal(runs[0].log_rates, quiet[0].log_rates)
    assert torch.equal(runs[1].log_rates, quiet[1].log_rates)


@pytest.mark.integration
def test_rounds_run_what_is_missing_and_never_what_is_held_out(tmp_path):
    scores = entry_of({-3.0: 0.4, -2.0: 0.0, -1.0: 0.8})
    indices = (0, 1, 2, BLOCK * (HELD_OUT - 1))
    entries = [replace(scores, task=small_task(index=index)) for index in indices]
    rounds, policy = Rounds(entries, tmp_path, noise=0.1, seed=0), Policy(width=8)
    assert [entry.task.index for entry in rounds.entries] == [0, 1, 2]
    assert rounds.explore(policy, 0, tasks=2) == 2
    first = (tmp_path / "0" / "0.pt").read_bytes()
    assert rounds.explore(policy, 0, tasks=2) == 3
    assert rounds.explore(policy, 1, tasks=9) == 3
    assert (tmp_path / "0" / "0.pt").read_bytes() == first
    assert len(rounds.lessons(0).tasks) == 3 * rollouts.RUNS
    both = rounds.lessons(1)
    assert len(both.tasks) == 2 * 3 * rollouts.RUNS
    losses = [
        bank_loss(both, policy.actor, runs=5, blur=blur, generator=torch.Generator().manual_seed(0)).item()
        for blur in (0.0, 0.0, 0.5)
    ]
    assert 0 < losses[0] < 2
    assert losses[0] == losses[1] != losses[2]
