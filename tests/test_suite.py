"""The suite: every task can be trained and is as it is said to be; what was made is not made again."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lrpilot.cli import main
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs import execute
from lrpilot.experiments.runs.perform import perform
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.suite import METHODS, trials
from lrpilot.experiments.tasks import suite_data
from lrpilot.experiments.tasks.catalogue import evaluate, loss_of
from lrpilot.experiments.tasks.suite import SUITE, load_suite_task
from lrpilot.experiments.tasks.tensors import Examples
from lrpilot.learning.bank.tasks import draw_task
from made_up import forget


@pytest.mark.parametrize("name", SUITE)
def test_every_task_can_be_trained(name):
    pilot = trials(tasks=[name], methods=["pilot"], seeds=1)[2]
    made = perform(replace(pilot, steps=2, batch_size=min(pilot.batch_size, 8), evaluations=1))
    assert (made.status, made.reason) == ("finished", None)
    for measure in ("test_loss", "validation_loss"):
        assert math.isfinite(made.final(measure))
    assert math.isnan(made.final("test_error")) == (name in ("autoencoder", "offset"))


def test_two_runs_of_one_seed_start_from_the_same_weights():
    task = load_suite_task("two-moons")
    first, again, other = (task.make_network(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_no_task_is_of_the_banks():
    long = {task.steps for task in SUITE.values() if task.steps > 300}
    assert not long & {draw_task(index).steps for index in range(400)}


def test_parts_share_no_example_and_are_the_same_at_every_call():
    data = suite_data.moons(200)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [200, 1000, 2000]
    whole = torch.cat([part.inputs for part in (data.train, data.validation, data.test)])
    assert len(whole.unique(dim=0)) == 3200
    assert torch.equal(suite_data.moons(200).test.inputs, data.test.inputs)


def test_data_by_hand():
    parity = suite_data.running_parity(100).train
    odd = torch.tensor([[sum(bits[: i + 1]) % 2 for i in range(16)] for bits in parity.inputs.tolist()])
    assert (odd == parity.targets).float().mean().item() == pytest.approx(0.95, abs=0.02)  # a tenth is drawn anew
    recall = suite_data.marked(500).train
    marks = recall.inputs >= suite_data.SYMBOLS
    assert marks.sum(1).tolist() == [1] * 500
    right = (recall.inputs[marks] - suite_data.SYMBOLS == recall.targets).float().mean().item()
    assert right == pytest.approx(1 - 0.1 * 7 / 8, abs=0.03)
    prose = suite_data.prose(5)
    assert torch.equal(prose.train.inputs[:, 1:], prose.train.targets[:, :-1])
    assert prose.test.targets.max() < prose.classes
    friedman = suite_data.friedman(1000).train
    assert friedman.targets.mean().item() == pytest.approx(14.4, abs=0.5)
    assert friedman.targets.std().item() == pytest.approx(5.0, abs=0.5)
    patches = suite_data.patches(20).train
    assert patches.inputs is patches.targets
    assert 0 <= patches.inputs.min() < patches.inputs.max() <= 1
    shapes = suite_data.shapes(20, flat=False)
    assert shapes.train.inputs.shape == (20, 1, 20, 20)
    assert torch.equal(shapes.train.inputs.flatten(1), suite_data.shapes(20, flat=True).train.inputs)


def test_a_loss_over_places_is_a_mean_over_places_and_of_numbers_there_is_no_error():
    outputs = torch.randn(250, 3, 4)
    targets = torch.randint(3, (250, 4))
    loss, error = evaluate(torch.nn.Identity(), Examples(outputs, targets))
    by_hand = -outputs.log_softmax(1).gather(1, targets.unsqueeze(1)).mean()
    assert loss == pytest.approx(by_hand.item(), rel=1e-5)
    assert error == pytest.approx(100 * (outputs.argmax(1) != targets).float().mean().item(), rel=1e-5)
    numbers = Examples(torch.zeros(250, 2), torch.ones(250, 2) * 3)
    assert evaluate(torch.nn.Identity(), numbers, torch.nn.functional.mse_loss) == (
        9.0,
        pytest.approx(math.nan, nan_ok=True),
    )
    assert loss_of(torch.nn.Identity(), torch.nn.functional.mse_loss)((numbers.inputs, numbers.targets)) == 9.0


def test_the_plan_is_every_start_and_every_opponent_seed_by_seed():
    plan = trials(seeds=2)
    assert len({trial.name for trial in plan}) == len(plan)
    one = [trial for trial in plan if trial.task == "resnet" and trial.seed == 1]
    assert len(one) == 5 * 5 + len(METHODS) - 5  # the pilot and four grids from five rates, all others once
    driven = [trial for trial in one if "optimizer" in trial.setting]
    assert {(trial.setting["optimizer"], trial.setting["weight_decay"]) for trial in driven} == {("momentum", 5e-4)}
    assert [trial.setting["lr"] for trial in one if trial.method == "pilot"] == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert [trial.seed for trial in plan] == sorted(trial.seed for trial in plan)
    with pytest.raises(InvalidArgument, match="did you mean resnet"):
        trials(tasks=["resnt"])
    with pytest.raises(InvalidArgument, match="methods"):
        trials(methods=["sgd"])


@pytest.mark.integration
def test_the_command_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    arguments = ["bench", "suite", "--task", "two-moons,20-steps", "--methods", "pilot,constant,prodigy,untrained"]
    arguments += ["--seeds", "1", "--results", str(tmp_path)]

    def command():
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
        return capsys.readouterr().out

    out = command()
    assert "24 done, 0 diverged, 0 failed" in out
    assert "LR sensitivity" in out
    assert (tmp_path / "suite.png").read_bytes().startswith(b"\x89PNG")
    file = tmp_path / "suite.jsonl"
    before = file.read_text().splitlines()
    forget(file, Store(tmp_path).saved("suite")[3].trial)
    made = []
    monkeypatch.setattr(execute, "perform", lambda trial, data: made.append(trial) or perform(trial, data))
    assert "1 done" in command()
    assert len(made) == 1
    assert len(file.read_text().splitlines()) == len(before)
