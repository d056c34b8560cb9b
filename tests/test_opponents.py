"""The pilot's opponents take their first steps as their papers or packages say; the range test finds its valley."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial

import pytest
import torch
from dog import DoG, LDoG
from torch import nn

from lrpilot.baselines.nadamw import NAdamW
from lrpilot.baselines.opponents import OPPONENTS
from lrpilot.baselines.peers import effective_rate, evaluation_weights
from lrpilot.baselines.range_test import RangeTest, valley
from lrpilot.baselines.schedules import one_cycle, warmed_up
from lrpilot.experiments.runs.controllers import Terms
from lrpilot.experiments.runs.methods import GRIDS, METHODS, SEARCHES
from lrpilot.experiments.runs.methods import OPPONENTS as NAMES
from lrpilot.experiments.runs.perform import perform
from lrpilot.experiments.studies.comparison import Comparison


class Distance(nn.Module):
    """w, from (0, 1); its loss is that of the distance to (3, -1)."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.0, 1.0]))

    def loss(self, scale=1.0):
        return 0.5 * scale * (self.w - torch.tensor([3.0, -1.0])).square().sum()


def stepped(network, optimizer, steps, **told):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = network.loss()
        loss.backward()
        optimizer.step(**{name: loss.detach() for name in told})
    return network.w.detach().clone()


def driven(name, steps, total=None):
    """A method's own controller on the distance, its optimizer and the weights after some steps."""
    network = Distance()
    method = METHODS[name]
    optimizer = method.make_optimizer(network, {})
    controller = method.controller(optimizer, Terms(steps=total or steps, generator=torch.Generator()))
    for _ in range(steps):
        controller.step(lambda _: network.loss(), None)
    return network, controller


def test_nadamw_by_hand():
    w = nn.Parameter(torch.tensor([2.0]))
    optimizer = NAdamW([w], lr=0.1, betas=(0.9, 0.99), eps=0.0, weight_decay=0.5)
    w.grad = torch.tensor([4.0])
    optimizer.step()
    # m = 0.4, v = 0.16, ahead (0.9 * 0.4 + 0.1 * 4) / (1 - 0.9) = 7.6, root sqrt(0.16 / 0.01) = 4
    assert w.item() == pytest.approx(2.0 * 0.95 - 0.1 * 7.6 / 4)
    w.grad = torch.tensor([-1.0])
    before = w.item()
    optimizer.step()
    m, v = 0.9 * 0.4 - 0.1, 0.99 * 0.16 + 0.01
    ahead, root = (0.9 * m - 0.1) / (1 - 0.9**2), math.sqrt(v / (1 - 0.99**2))
    assert w.item() == pytest.approx(before * 0.95 - 0.1 * ahead / root)


def test_algoperfs_setting_rises_for_two_percent_of_the_run_and_falls_to_nothing():
    _, controller = driven("nadamw", 2, total=100)
    assert controller.get_last_lr()[0] == pytest.approx(0.0017486387539278373)
    _, controller = driven("nadamw", 100)
    assert 0 < controller.get_last_lr()[0] < 1e-5


@pytest.mark.parametrize("layerwise", [False, True])
def test_dog_is_evaluated_at_its_papers_average(layerwise):
    ours, theirs = Distance(), Distance()
    optimizer = OPPONENTS["ldog" if layerwise else "dog"](ours)
    plain = (LDoG if layerwise else DoG)(theirs.parameters(), reps_rel=1e-6)
    average = theirs.w.detach().clone()
    for t in range(1, 6):
        stepped(ours, optimizer, 1)
        stepped(theirs, plain, 1)
        average += 9 / (8 + t) * (theirs.w.detach() - average)  # gamma 8, Shamir and Zhang
    assert torch.equal(ours.w, theirs.w)
    with evaluation_weights(optimizer):
        assert torch.allclose(ours.w, average, rtol=0, atol=1e-7)
    assert torch.equal(ours.w, theirs.w)
    assert effective_rate(optimizer) == pytest.approx(float(plain.param_groups[0]["eta"][0]))


def test_dogs_first_step_by_hand():
    network = Distance()
    w = stepped(network, OPPONENTS["dog"](network), 1)
    gradient = torch.tensor([-3.0, 2.0])
    assert torch.allclose(w, torch.tensor([0.0, 1.0]) - 2e-6 / math.sqrt(13.0) * gradient, rtol=0, atol=1e-9)
    normalised = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert OPPONENTS["dog"](normalised).param_groups[0]["reps_rel"] == 1e-4


def test_momos_first_step_is_polyaks():
    """loss / |g|^2 = 6.5 / 13, below the largest rate of 1."""
    network, _ = driven("momo", 1)
    assert torch.allclose(network.w, torch.tensor([1.5, 0.0]), atol=1e-6)


def test_momo_adams_first_step_is_adams_at_its_largest_rate():
    network, _ = driven("momo-adam", 1)
    assert torch.allclose(network.w, torch.tensor([0.01, 0.99]), atol=1e-6)


def test_mechanics_factor_is_in_the_rate_that_is_logged():
    network = Distance()
    optimizer = OPPONENTS["mechanic"](network)
    assert effective_rate(optimizer) == 0.0
    stepped(network, optimizer, 200)
    assert effective_rate(optimizer) == pytest.approx(float(optimizer.state["_mechanic"]["s"].sum()))
    assert network.loss() < 6.5


def test_polling_takes_the_best_of_three_rates():
    """From 1e-3 to 1e-2, 1e-1 and 1, the rate that ends at the minimum of a distance."""
    rates = [driven("relative-polling", steps)[1].get_last_lr()[0] for steps in (1, 2, 3)]
    assert rates == pytest.approx([1e-2, 1e-1, 1.0])
    network, controller = driven("relative-polling", 3)
    assert torch.allclose(network.w, torch.tensor([3.0, -1.0]))
    assert controller.mends


def test_greedy_raises_the_rate_after_eleven_better_losses():
    network = Distance()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    controller = METHODS["greedy"].controller(optimizer, Terms(steps=20, generator=torch.Generator()))
    used = []
    for _ in range(13):
        controller.step(lambda _: network.loss(), None)
        used += controller.get_last_lr()
    assert used == pytest.approx([0.01] * 11 + [0.01 / 0.95] * 2)
    again = torch.optim.SGD(network.parameters(), lr=0.01)
    other = METHODS["greedy"].controller(again, Terms(steps=20, generator=torch.Generator()))
    other.load_state_dict(controller.state_dict())
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.integration
@pytest.mark.parametrize("name", OPPONENTS)
def test_every_opponent_comes_nearer_to_the_minimum(name):
    network, controller = driven(name, 3000)
    with evaluation_weights(controller.optimizer):
        assert network.loss().item() < 1.0  # from 6.5


def factors(make, steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule, used = make(optimizer, steps), []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


def test_warmed_up_schedules_by_hand():
    linear = factors(partial(warmed_up, decay="linear", share=0.2), 10)
    assert linear == pytest.approx([1.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25])
    cosine = factors(partial(warmed_up, decay="cosine", share=0.2), 10)
    assert cosine[2:7:4] == pytest.approx([2.0, 1.0])
    assert factors(partial(warmed_up, decay="cosine"), 1) == [2.0]


def test_one_cycle_rises_for_three_tenths_and_leaves_plain_sgd_plain():
    used = factors(one_cycle, 100)
    assert used[0] == pytest.approx(2.0 / 25)
    assert used.index(max(used)) in (29, 30)
    assert used[-1] == pytest.approx(2.0 / 25 / 1e4)
    plain = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    one_cycle(plain, 10)
    assert plain.param_groups[0]["momentum"] == 0
    heavy = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0, momentum=0.9)
    one_cycle(heavy, 10)
    assert heavy.param_groups[0]["momentum"] == pytest.approx(0.95)


def test_the_valley_is_half_way_down_the_longest_fall():
    losses = [5.0, 5.1, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 9.0]  # a fall of 7 that ends at place 7: 0 + 2 + 1
    assert valley(losses) == 3
    assert valley([1.0, 2.0, 3.0]) == 0
    assert valley([3.0, 2.0]) == 0


def test_a_range_test_rises_exponentially_and_ends_where_the_loss_is_four_times_the_least():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    test = RangeTest(optimizer, 9)
    used = []
    for _ in range(8):
        used.append(optimizer.param_groups[0]["lr"])
        test.step(1.0)
    assert used == pytest.approx([10.0**power for power in range(-7, 1)])
    assert not test.over
    test.step(1000.0)
    assert test.over
    assert optimizer.param_groups[0]["lr"] == pytest.approx(10.0)
    lost = RangeTest(optimizer)
    lost.step(math.nan)
    assert lost.over
    assert lost.suggestion() == 1e-7


def test_a_range_test_comes_before_the_run_and_counts():
    (trial,) = Comparison.of("digits", "momentum", steps=30, seeds=1, methods=["range-test"]).trials()
    made = perform(trial)
    assert (made.status, made.steps) == ("finished", 30)
    assert len(made.earlier["seconds"]) == 1
    peak = max(made.curve["rate"])
    assert 1e-4 < peak < 1.0
    assert made.curve["rate"][-1] < peak / 100


@pytest.mark.parametrize("name", [*GRIDS, *NAMES, "untrained"])
def test_compare_can_run_every_opponent(name):
    trial = Comparison.of("digits", "adamw", steps=20, seeds=1, methods=[name]).trials()[-1]
    made = perform(trial)
    assert (made.status, made.reason) == ("finished", None)
    assert math.isfinite(made.final("test_loss"))
    assert made.steps == (1 if name == "untrained" else 20)


def test_an_untrained_networks_loss_is_that_before_the_first_step():
    (trial,) = Comparison.of("digits", seeds=1, methods=["untrained"]).trials()
    (least, *_) = Comparison.of("digits", seeds=1, steps=1, methods=["constant"]).trials()
    assert perform(trial).final("test_loss") == pytest.approx(perform(least).final("test_loss"), abs=1e-3)


@pytest.mark.integration
def test_packages_are_imported_when_used():
    packages = ("dog", "momo", "mechanic_pytorch", "prodigyplus", "efficient_polling_lr_scheduler", "transformers")
    code = f"import sys, lrpilot.experiments.runs.methods; sys.exit(any(name in sys.modules for name in {packages}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_searches_and_opponents_have_names_of_their_own():
    assert set(SEARCHES) == {"range-test"}
    assert set(OPPONENTS) | {"mechanic-cosine"} == set(NAMES)
