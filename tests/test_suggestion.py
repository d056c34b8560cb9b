"""The suggested rate: known answers, any loss, and everything left as it was."""

from __future__ import annotations

import copy
import math
import multiprocessing
import random
import shlex
import statistics
import types

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from benchmarks import suggest as benchmark
from loops import batch, loss_of, network
from lrpilot import cli
from lrpilot.commands import suggesting
from lrpilot.errors import InvalidArgument, NonFiniteLoss
from lrpilot.pilot.controller import Pilot
from lrpilot.suggestion import Suggestion, suggest
from scripted import Scripted


def stepping(optimizer, loss_fn):
    """A function that makes one step after the other; ``loss_fn`` gets their number."""
    taken = 0

    def step():
        nonlocal taken
        loss = loss_fn(taken)
        taken += 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


@pytest.mark.parametrize("curvature", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("given", [1e-4, 1.0])
def test_the_ceiling(curvature, given):
    """At 1 / curvature gradient descent takes the weights to 0, which is to say by their own size."""
    weight = nn.Parameter(torch.ones(4))
    optimizer = torch.optim.SGD([weight], lr=given)
    found = suggest(optimizer, stepping(optimizer, lambda _: 0.5 * curvature * weight.square().sum()))
    assert found.highest_sound == pytest.approx(1 / curvature, rel=1e-2)
    assert found.rate == found.highest_sound / 10


def test_the_rate_at_which_a_loss_rises():
    """Far from 0 a step hardly moves the weights. At a rate r the losses settle at n / (1 - r): half above n at 1/3.

    The average of the last few steps shows it a little later, before 1, at which gradient descent diverges.
    """
    weight, noise = nn.Parameter(torch.full((256,), 100.0)), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD([weight], lr=1e-3)
    targets = (100 + torch.randn(256, generator=noise) for _ in range(1000))
    found = suggest(optimizer, stepping(optimizer, lambda _: (weight - next(targets)).square().sum()))
    assert 1 / 3 < found.highest_sound < 1
    assert found.rates[-1] > found.highest_sound
    assert found.losses[-1] > 1.4 * found.losses[0]


def test_adam_moves_each_weight_by_the_rate():
    weight = nn.Parameter(torch.full((4,), 0.5))
    optimizer = torch.optim.Adam([weight], lr=1e-3)
    found = suggest(optimizer, stepping(optimizer, lambda _: weight.square().sum()))
    assert found.highest_sound == pytest.approx(0.5, rel=1e-2)


def test_the_losses_and_rates_are_those_of_the_ramp():
    weight = nn.Parameter(torch.ones(4))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    seen, calls = [], 0
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
    step = stepping(optimizer, lambda _: weight.square().sum())

    def counted():
        nonlocal calls
        calls += 1
        return step()

    found = suggest(optimizer, counted, steps=60)
    assert found.steps == calls == len(seen)
    assert len(found.rates) == len(found.losses) == 60
    assert found.rates == pytest.approx(seen[-60:])
    assert found.rates[-1] / found.rates[0] == pytest.approx(10 ** (6 * 59 / 60))
    assert found.losses[0] == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize("constant", [5.0, -1.0, -2.3, -5.0, -100.0])
def test_a_constant_in_the_loss(constant):
    """Losses of any sign, and next to 0: as case L13."""

    def found(constant):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

        def loss(number):
            inputs, _ = batch(number)
            return nn.functional.cross_entropy(model(inputs), (5 * inputs[:, 0]).long() % 10) + constant

        return suggest(optimizer, stepping(optimizer, loss)).rate

    assert found(constant) == pytest.approx(found(0.0), rel=1.0)


def everything(model, optimizer):
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    drawn = [torch.get_rng_state(), torch.tensor(random.getstate()[1]), torch.tensor(np.random.get_state()[1])]
    held = (model.state_dict(), optimizer.state_dict()["state"], [p.grad for p in model.parameters()], drawn)
    return copy.deepcopy(groups), copy.deepcopy(held)


class Jumpy(nn.Module):
    """Draws from all generators there are."""

    def __init__(self):
        super().__init__()
        self.network, self.dropout = network(), nn.Dropout(0.1)

    def forward(self, inputs):
        return self.network(self.dropout(inputs)) + 1e-3 * (random.random() + np.random.rand())


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_left_as_it_was(begun, fails):
    model = Jumpy()
    layers = list(model.network)
    optimizer = torch.optim.Adam(
        [
            {"params": layers[0].parameters()},
            {"params": [*layers[1].parameters(), *layers[3].parameters()], "lr": 1e-2},
        ],
        lr=torch.tensor(1e-3),
    )
    step = stepping(optimizer, lambda number: loss_of(model, number))
    if begun:
        step()
    before, rate = everything(model, optimizer), optimizer.param_groups[0]["lr"]
    gradients = [p.grad for p in model.parameters()]

    def broken():
        if optimizer.param_groups[0]["lr"] > 1e-6:
            raise KeyError("a batch")
        return step()

    if fails:
        with pytest.raises(KeyError, match="a batch"):
            suggest(optimizer, broken)
    else:
        suggest(optimizer, step)
    groups, held = everything(model, optimizer)
    assert groups == before[0]
    torch.testing.assert_close(held, before[1], rtol=0, atol=0)
    assert optimizer.param_groups[0]["lr"] is rate
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_several_optimizers_keep_their_ratio():
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    first, second = torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.01)
    ratios = []

    def step():
        ratios.append(first.param_groups[0]["lr"] / second.param_groups[0]["lr"])
        loss = loss_of(model, 0)
        model.zero_grad()
        loss.backward()
        first.step()
        second.step()
        return loss

    assert suggest([first, second], step).rate > 0
    assert ratios == pytest.approx([10.0] * len(ratios))


def without_gradients(optimizer, model):
    return lambda: loss_of(model, 0)


def not_finite(optimizer, model):
    return stepping(optimizer, lambda _: math.nan * loss_of(model, 0))


def harmless(optimizer, model):
    """A loss that no rate raises, of weights that are 0."""
    nn.init.zeros_(model.weight)
    return stepping(optimizer, lambda _: model.weight.sum().sigmoid())


def without_a_loss(optimizer, model):
    return lambda: None


def driven(optimizer, model):
    optimizer.pilot = Pilot(optimizer, 10, policy=Scripted(0.0))
    return stepping(optimizer, lambda _: loss_of(model, 0))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (without_gradients, InvalidArgument, "step must be one step of the training"),
        (not_finite, NonFiniteLoss, "the loss must be a finite scalar, got nan"),
        (harmless, InvalidArgument, "step must be one that a rate of 1e\\+07 harms"),
        (without_a_loss, InvalidArgument, "step must be a function that returns the loss of its step"),
        (lambda *_: lambda: "low", InvalidArgument, "loss must be a scalar tensor or a number"),
        (driven, InvalidArgument, "optimizer must be one that no pilot drives, got 'SGD'"),
    ],
)
def test_what_cannot_be_probed_is_refused(make, error, message):
    model = nn.Linear(6, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = make(optimizer, model)
    with pytest.raises(error, match=message):
        suggest(optimizer, step)


def test_an_optimizer_that_reads_the_rate_once_is_refused():
    model = nn.Linear(6, 1)
    optimizer = torch.optim.Rprop(model.parameters())
    with pytest.raises(InvalidArgument, match=r"^optimizer must be one that reads the learning rate at each step"):
        suggest(optimizer, stepping(optimizer, lambda _: loss_of(model, 0)))


@pytest.mark.integration
def test_small_batches_of_noisy_examples_do_not_end_the_probe():
    """Losses of 8 noisy examples: by chance 9 of these 30 probes ended far below the edge, of which 2 are left."""
    rates = list[float]()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        model, teacher = torch.nn.Linear(3, 1), torch.randn(3, 1, generator=generator)
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0)  # the edge lies at 1

        def step(model=model, optimizer=optimizer, teacher=teacher, generator=generator):
            inputs = torch.randn(8, 3, generator=generator)
            targets = inputs @ teacher + torch.randn(8, 1, generator=generator)
            loss = (model(inputs) - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        rates.append(suggest(optimizer, step).rate)
    assert sum(rate < 1e-4 for rate in rates) <= 2
    assert 0.005 < statistics.median(rates) < 0.1
    assert max(rates) < 0.1


@pytest.mark.parametrize("later", [math.inf, math.nan, 1e300])
def test_losses_that_are_not_finite_end_the_probe(later):
    """The average is too high, and the losses that are to confirm it are not finite."""
    losses = iter([1.0] * 6 + [1.0] * 40 + [9.0] + [later] * 200)
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([w], lr=1e-3)

    def step():
        optimizer.zero_grad()
        w.square().sum().backward()
        optimizer.step()
        return next(losses)

    found = suggest(optimizer, step)
    assert found.highest_sound < found.rates[-1]
    assert 0 < found.rate < math.inf


def test_a_step_may_return_a_number():
    answers = []
    for number in (lambda loss: loss, torch.Tensor.item):
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = stepping(optimizer, lambda n, model=model: loss_of(model, n))
        answers.append(suggest(optimizer, lambda step=step, number=number: number(step())).rate)
    assert answers[0] == answers[1]


def on_two_ranks(rank, file, answers):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = suggest(optimizer, stepping(optimizer, lambda n: loss_of(model, n, slice(8 * rank, 8 * rank + 8))))
    answers.put((rank, found.rate, found.steps))
    dist.destroy_process_group()


@pytest.mark.integration
def test_ranks_find_the_rate_of_one_process_that_sees_all_rows(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=on_two_ranks, args=(rank, tmp_path / "store", answers)) for rank in range(2)]
    for process in processes:
        process.start()
    found = sorted(answers.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    alone = suggest(optimizer, stepping(optimizer, lambda n: loss_of(model, n)))
    assert [steps for *_, steps in found] == [alone.steps] * 2
    assert [rate for _, rate, _ in found] == pytest.approx([alone.rate] * 2, rel=1e-4)


def test_the_command(capsys):
    def said(line):
        with pytest.raises(SystemExit) as left:
            cli.main(shlex.split(line))
        assert left.value.code == 0
        return capsys.readouterr().out.splitlines()

    *_, rate, again = said("suggest digits --optimizer momentum")
    assert rate.startswith("Learning rate 0.")
    assert "a tenth of" in rate
    assert again.startswith("Try it: lrpilot train digits --controller none --optimizer momentum --lr 0.")
    evidence = said("suggest digits --optimizer momentum")
    assert evidence[-2:] == [rate, again]
    highest = rate.partition("a tenth of ")[2].partition(",")[0]
    assert any(line.split()[::2] == [highest, "sound"] for line in evidence)
    assert any(line.endswith("too high") for line in map(str.rstrip, evidence))
    assert said("suggest digits --optimizer adamw")[-3].startswith("No loss rose to half above")


def test_the_command_says_when_it_is_unsure():
    """The loss fell and rose again, though not to half above the first one: a rate of 0.5 may be too high."""
    rates = (0.01, 0.1, 1.0, 5.0, 10.0)
    doubtful = Suggestion(0.5, 5.0, rates, (6.0, 2.4, 3.6, 3.0, 20.0), 105)
    assert suggesting._doubt(doubtful) == (
        "Unsure: the averaged loss was lowest, 2.4, at a rate of 0.1, and rose to 3.6 after that. "
        "If 0.5 does not train, take 0.1."
    )
    for losses in (
        (6.0, 2.4, 2.9, 2.5, 20.0),
        (6.0, 5.0, 4.0, 3.0, 20.0),
        (6.0, 5.0, 2.0, 6.0, 20.0),
        (-1.0, -4.0, -3.2, -3.5, 9.0),
    ):
        assert suggesting._doubt(Suggestion(0.5, 5.0, rates, losses, 105)) == ""


def test_the_benchmark_takes_lightnings_rate():
    """From its own curve Lightning takes the same point."""
    pytest.importorskip("lightning", reason="needs lrpilot[lightning]")
    from lightning.pytorch.tuner.lr_finder import _LRFinder

    rates, losses = benchmark.ramp(benchmark.on_digits("sgd", steps=1).fresh(), 1e-8, 1.0, late=1)
    finder = types.SimpleNamespace(results={"lr": rates, "loss": losses})
    assert benchmark.lightning(rates, losses) == pytest.approx(_LRFinder.suggestion(finder))


def test_the_benchmark_takes_fastais_rates():
    """A curve that falls in a straight line of the log rate from step 30 to 59, then rises."""
    rates = [10 ** (0.08 * step - 7) for step in range(100)]
    losses = [2.0] * 30 + [2.0 - 0.05 * step for step in range(1, 31)] + [0.5 + 0.1 * step for step in range(1, 41)]
    losses[44] -= 0.04  # the steepest fall is the one to step 44
    assert benchmark.steep(rates, losses) == pytest.approx(rates[43])
    # Thirty-one falling losses end at step 59, the middle third's middle lies 10 + 5 after their beginning at 28.
    assert benchmark.valley(rates, losses) == pytest.approx(rates[28 + 15])


def test_the_benchmark_judges_rates_by_how_runs_end():
    digits = benchmark.on_digits("sgd", steps=40)
    ends = [benchmark.final_loss(digits, rate, benchmark.SCHEDULES["constant"]) for rate in (0.0, 0.1, 1e4, math.nan)]
    assert ends[1] < 0.9 * ends[0]
    assert ends[2] == pytest.approx(math.log(10), rel=0.1)
    assert ends[3] == ends[0]
