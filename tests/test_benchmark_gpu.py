"""The script for a CUDA device: its parts on the CPU, and that it refuses to do without one."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.costs import Cost
from benchmarks.gpu import RUNS, Run, tables
from lrpilot.cli import main


@pytest.mark.parametrize("name", RUNS)
def test_every_controller_runs(monkeypatch, name):
    monkeypatch.setattr(gpu, "STEPS", 40)
    run = RUNS[name]("cpu")
    assert run.after < run.before
    assert len(run.reads) == 40
    assert bool(run.decisions) == (name == "Pilot")
    if name != "Pilot":
        assert (sum(run.reads) > 0) == (name != "a constant rate")


def test_host_waits_between_decisions():
    runs = {"Pilot": Run(2.0, 0.5, [3, 1, 5, 0], frozenset({1, 3})), "stable": Run(2.0, 1.0, [1, 2, 1, 2])}
    first, second = tables("a card", "63 passed in 9.00s", runs, {"m0": [Cost("plain SGD", 0.25, 1.0)]})
    assert first.rows == [["Pilot", "2.000", "0.500", "2.25", "1"], ["stable", "2.000", "1.000", "1.50", "-"]]
    assert "On a card" in first.note
    assert "63 passed" in first.note
    assert second.rows == [["m0", "plain SGD", "0.25", "1.00", "-"]]


def test_without_a_device_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as left:
        main(["bench", "gpu"])
    assert left.value.code == "a CUDA device is needed, and torch sees none: nothing was run"
    assert capsys.readouterr().out == ""
