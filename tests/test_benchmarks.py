"""Every kind is measured on the same footing. (How fast each is, is for the benchmarks to say, not for a test.)"""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from benchmarks import overhead
from benchmarks.costs import Cost, markdown
from benchmarks.rollouts import Speed, whole_mix
from benchmarks.runs import Still, measure_run
from benchmarks.steps import measure_arithmetic, measure_network
from benchmarks.workloads import WORKLOADS, Workload
from lrpilot.cli import main
from lrpilot.pilot.controller import Pilot

ONLINE = ["online (stable)", "online (paper)", "online (paper, a sliding window)"]
KINDS = ["plain SGD", "a forward pass", *ONLINE, "literal transcription"]


def small(generator):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 10))


SMALL = Workload(small, (3, 4))


def test_every_kind_is_measured_and_plain_sgd_is_the_unit():
    costs = measure_network(SMALL, rounds=2, steps=1, warm_up=1)
    assert [cost.kind for cost in costs] == KINDS
    assert costs[0].ratio == 1.0
    assert all(cost.milliseconds > 0 for cost in costs)
    shares = {cost.kind: cost.passes for cost in costs if cost.passes is not None}
    assert list(shares) == ONLINE
    assert all(0 < share < 1 for share in shares.values())


def test_arithmetic():
    kinds = [cost.kind for cost in measure_arithmetic(rounds=2, steps=1, warm_up=1)]
    assert kinds == [kind for kind in KINDS if kind != "a forward pass"]


def test_a_cost_is_a_median_of_ratios_within_the_rounds():
    cost = Cost.of("online", [0.002, 0.004, 0.009], [0.001, 0.004, 0.003])
    assert cost == Cost("online", pytest.approx(4.0), pytest.approx(2.0))  # not 4 / 3, the ratio of the medians


def test_a_table_has_a_row_for_each_kind():
    costs = {"m0": [Cost("plain SGD", 0.25, 1.0), Cost("online (paper)", 1.0, 4.0, 0.954)]}
    assert markdown(costs).splitlines() == [
        "| network | a step of | ms | x plain SGD | in passes, % |",
        "|---|---|---|---|---|",
        "| m0 | plain SGD | 0.25 | 1.00 | - |",
        "| m0 | online (paper) | 1.00 | 4.00 | 95 |",
    ]


def test_the_bare_run_is_the_unit():
    costs = measure_run(SMALL, 70, pairs=1)
    assert [cost.kind for cost in costs] == ["plain SGD", "the pilot, on the average", "making a pilot, once"]
    assert costs[0].ratio == 1.0
    assert all(cost.milliseconds > 0 for cost in costs)


def test_a_still_pilot_decides_and_leaves_the_rate_alone():
    model = small(None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pilot = Pilot(optimizer, total_steps=40, policy=Still())
    for _ in range(40):
        loss = model(torch.ones(2, 12)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)
    assert len(pilot.history.decisions) > 20
    assert pilot.history["rate"].unique().numel() == 1


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_network_takes_its_made_up_data(name):
    loss_fn, _ = WORKLOADS[name].build()
    assert loss_fn(WORKLOADS[name].batches(1)[0]).isfinite()


@pytest.mark.integration
def test_no_rate_takes_a_measured_network_away():
    """A literal controller may go to any rate: the convolutions diverged within ten steps at 0.2."""
    loss_fn, optimizer = WORKLOADS["mnist-cnn"].build()
    optimizer.param_groups[0]["lr"] = 10.0
    batch = WORKLOADS["mnist-cnn"].batches(1)[0]
    for _ in range(20):
        optimizer.zero_grad()
        loss_fn(batch).backward()
        optimizer.step()
    assert loss_fn(batch) < 3


def test_the_mix_is_weighed_by_the_lengths_of_runs():
    """A run of 600 steps takes 60 s one by one and 6 s batched; one of 100 steps takes 1 s either way."""
    speeds = [Speed("a", "sgd", 8, 600, 100.0, 10.0), Speed("b", "sgd", 8, 100, 100.0, 100.0)]
    assert whole_mix(speeds) == pytest.approx(61 / 7)


def test_the_command_measures_and_writes_where_it_is_told(monkeypatch, tmp_path, capsys):
    costs = [Cost("plain SGD", 0.25, 1.0)]
    monkeypatch.setattr(overhead, "plan", lambda *, quick: {"quick" if quick else "whole": lambda: costs})
    page = tmp_path / "cost.md"
    page.write_text("# Cost\n<!-- overhead:begin -->\nold\n<!-- overhead:end -->\n")
    with pytest.raises(SystemExit) as left:
        main(["bench", "overhead", "--quick", "--out", str(tmp_path / "o.json"), "--readme", str(page)])
    assert left.value.code == 0
    assert "plain SGD" in capsys.readouterr().out
    assert list(json.loads((tmp_path / "o.json").read_text())["costs"]) == ["quick"]
    assert "| quick | plain SGD | 0.25 | 1.00 | - |" in page.read_text()


def test_a_quick_plan_is_part_of_the_whole_one():
    quick, whole = overhead.plan(quick=True), overhead.plan(quick=False)
    assert quick.keys() < whole.keys()
    assert len(whole) == len(overhead.STEPS) + 1 + len(overhead.RUNS)
