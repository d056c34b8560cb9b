"""The loop: batches, records, divergence, resuming in memory, what it costs."""

import copy
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from lrpilot.errors import InvalidArgument, NonFiniteLoss
from lrpilot.experiments.runs.methods import METHODS
from lrpilot.experiments.runs.optimizers import OPTIMIZERS, REFUSED, default_learning_rate, make_optimizer
from lrpilot.experiments.runs.training import Plan
from lrpilot.experiments.tasks.catalogue import LoadedTask, evaluate
from lrpilot.experiments.tasks.tensors import Batches, Examples, TensorData


def blobs(count=60):
    """Two classes that a line separates, with a validation part and a network with dropout and BatchNorm."""
    generator = torch.Generator().manual_seed(3)
    targets = torch.arange(count) % 2
    inputs = torch.randn(count, 4, generator=generator) + 3 * targets[:, None]
    data = TensorData("blobs", Examples(inputs, targets), Examples(inputs[:20], targets[:20]), classes=2)

    def network(generator):
        layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        for parameter in layers.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)
        return layers

    return LoadedTask("blobs", data.hold_out(10), network, batch_size=8, steps=30)


def training(controller="none", optimizer="sgd", *, lr=0.05, setting="stable", task=None, **plan):
    plan = {"steps": 30, "batch_size": 8, "evaluate_every": 10, "log_every": 3, **plan}
    method = METHODS[{"none": "constant", "online": f"online-{setting}"}.get(controller, controller)]
    return method.training(task or blobs(), Plan(**plan), {"optimizer": optimizer, "lr": lr})


def without_time(records):
    return [{name: value for name, value in record.as_json().items() if name != "seconds"} for record in records]


def test_batches_go_through_every_example_once_an_epoch():
    examples = Examples(torch.arange(10.0), torch.arange(10))
    batches = Batches(examples, 3, generator=torch.Generator().manual_seed(0))
    epochs = [torch.cat([batches.draw()[1] for _ in range(3)]).tolist() for _ in range(4)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)  # the incomplete batch is left out
    assert len({tuple(epoch) for epoch in epochs}) == 4
    inputs, targets = batches.draw()
    assert torch.equal(inputs, targets.float())


@pytest.mark.parametrize("drawn", [0, 2, 3, 7])
def test_batches_resume_where_they_were(drawn):
    examples = Examples(torch.arange(10.0), torch.arange(10))
    batches = Batches(examples, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(drawn):
        batches.draw()
    state = copy.deepcopy(batches.state_dict())
    expected = [batches.draw()[1].tolist() for _ in range(8)]
    resumed = Batches(examples, 3, generator=torch.Generator().manual_seed(9))
    resumed.load_state_dict(state)
    assert [resumed.draw()[1].tolist() for _ in range(8)] == expected


@pytest.mark.parametrize("size", [0, 11])
def test_batches_larger_than_the_data_are_refused(size):
    examples = Examples(torch.arange(10.0), torch.arange(10))
    with pytest.raises(InvalidArgument, match=rf"batch_size must be .*\[1, 10\].*, got {size}"):
        Batches(examples, size, generator=torch.Generator())


def test_records_come_when_planned_and_say_what_they_should():
    run = training(steps=25)
    records = list(run.run())
    assert [record.step for record in records] == [3, 6, 9, 10, 12, 15, 18, 20, 21, 24, 25]
    assert [record.step for record in records if record.test_error is not None] == [10, 20, 25]
    last = records[-1]
    assert (last.test_loss, last.test_error) == evaluate(run.network, run.task.data.test)
    assert last.validation_error is not None
    assert last.learning_rate == 0.05
    assert records[-1].loss < records[0].loss
    assert all(later.seconds > earlier.seconds > 0 for earlier, later in pairwise(records))
    assert "validation_error" not in records[0].as_json()


def test_the_loss_of_a_record_is_the_mean_since_the_one_before():
    every_step = [record.loss for record in training(log_every=1).run()]
    every_third = [record.loss for record in training(log_every=3, evaluate_every=30).run()]
    means = [sum(every_step[start : start + 3]) / 3 for start in range(0, 30, 3)]
    assert every_third == pytest.approx(means, rel=1e-5)


def test_the_loop_does_what_a_bare_loop_does():
    run = training(steps=20)
    list(run.run())
    seeds = torch.randint(2**62, (4,), generator=torch.Generator().manual_seed(0)).tolist()
    task = blobs()
    network = task.make_network(torch.Generator().manual_seed(seeds[0]))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    batches = Batches(task.data.train, 8, generator=torch.Generator().manual_seed(seeds[1]))
    torch.manual_seed(seeds[3])
    for _ in range(20):
        inputs, targets = batches.draw()
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    for ours, theirs in zip(run.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_seed_fixes_a_run_and_another_one_changes_it():
    torch.manual_seed(1)
    first = without_time(training().run())
    torch.manual_seed(2)
    assert without_time(training().run()) == first
    assert without_time(training(seed=1).run()) != first


def test_looking_at_a_run_does_not_change_it():
    often = [record.loss for record in training("online", evaluate_every=1, log_every=1).run()]
    seldom = [record.loss for record in training("online", evaluate_every=30, log_every=1).run()]
    assert often == seldom


def test_runs_side_by_side_do_not_disturb_each_other():
    alone = without_time(training().run())
    one, other = training(), training(seed=1)
    interleaved = [record for record, _ in zip(one.run(), other.run(), strict=True)]
    assert without_time(interleaved) == alone


@pytest.mark.integration
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "tf-rmsprop"])
@pytest.mark.parametrize("controller", ["none", "online", "paper", "pilot"])
@pytest.mark.parametrize("stop", [3, 10, 24])
def test_a_run_resumed_from_any_record_goes_on_bit_for_bit(controller, optimizer, stop, tmp_path):
    make = partial(
        training,
        *(("online" if controller == "paper" else controller), optimizer),
        setting="paper" if controller == "paper" else "stable",
        lr=0.01,
    )
    undisturbed = make()
    expected = without_time(undisturbed.run())
    first, records = make(), []
    for record in first.run():
        records.append(record)
        if record.step == stop:
            torch.save(first.state_dict(), tmp_path / "state")
            break
    torch.manual_seed(77)
    second = make(task=blobs())
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert without_time([*records, *second.run()]) == expected
    for resumed, whole in zip(
        second.network.state_dict().values(), undisturbed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(resumed, whole)


@pytest.mark.parametrize("after", [1, 4, 10])
def test_a_run_stopped_between_records_goes_on_bit_for_bit(after, tmp_path):
    expected = without_time(training("online").run())
    first = training("online")
    train, steps = first.controller.step, []

    def counted(loss_fn, batch):
        steps.append(None)
        first.stop_requested = len(steps) == after
        return train(loss_fn, batch)

    first.controller.step = counted
    records = list(first.run())
    assert first.step == after
    torch.save(first.state_dict(), tmp_path / "state")
    second = training("online")
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert without_time([*records, *second.run()]) == expected


def test_a_fixed_rate_that_diverges_is_an_outcome_with_its_step():
    run = training(lr=1e30, log_every=10)
    records = list(run.run())
    assert records[-1].diverged
    assert math.isnan(records[-1].loss)
    assert records[-1].step < 30
    assert isinstance(run.failure, NonFiniteLoss)
    assert 0 < run.failure.step < records[-1].step
    assert run.failure.learning_rate == 1e30
    assert records[-1].as_json()["loss"] is None
    assert records[-1].as_json()["diverged"] is True


def test_a_loss_that_is_not_finite_under_the_controller_is_an_outcome():
    task = blobs()
    task.data.train.inputs[7] = math.inf
    run = training("online", task=task)
    records = list(run.run())
    assert records[-1].diverged
    assert "finite scalar" in str(run.failure)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("batch_size", -1), ("evaluate_every", 0), ("log_every", -1), ("seed", -1)],
)
def test_plans_out_of_range_are_refused(name, value):
    with pytest.raises(InvalidArgument, match=f"{name} must be .*, got {value}"):
        training(**{name: value})


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_trains(name):
    records = list(training(optimizer=name, lr=None).run())
    assert records[-1].learning_rate == pytest.approx(default_learning_rate(name))
    assert records[-1].loss < 2


def test_optimizers_by_name():
    weights = [nn.Parameter(torch.zeros(2))]
    assert type(make_optimizer("AdamW", weights)) is torch.optim.AdamW
    assert make_optimizer("sgd", weights, momentum=0.9).defaults["momentum"] == 0.9
    assert {"adam", "adamw", "sgd", "rmsprop", "adagrad", "tf-adam"} <= set(OPTIMIZERS)
    for name in REFUSED:
        with pytest.raises(InvalidArgument, match=f"got '{name}'"):
            make_optimizer(name, weights)
    with pytest.raises(InvalidArgument, match=r"one of .*tf-rmsprop \(did you mean adagrad\?\), got 'adagard'"):
        make_optimizer("adagard", weights)
    for lr in (0.0, -0.1, math.nan, math.inf):
        with pytest.raises(InvalidArgument, match="lr must be a finite number above 0"):
            make_optimizer("sgd", weights, learning_rate=lr)
    with pytest.raises(InvalidArgument, match="momentum must be left out for adam"):
        make_optimizer("adam", weights, momentum=0.9)
    with pytest.raises(InvalidArgument, match=r"momentum must be a number in \[0, 1\), got 1.0"):
        make_optimizer("sgd", weights, momentum=1.0)
