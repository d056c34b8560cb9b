"""Golden traces: what the shipped policy sees, decides and writes over two runs, digit by digit."""

from __future__ import annotations

import json

import pytest
import torch

import golden_runs
from lrpilot.pilot.features import FEATURES


@pytest.fixture(scope="module")
def traces():
    return json.loads(golden_runs.FILE.read_text()), golden_runs.runs()


@pytest.mark.parametrize("run", ["sgd", "adam"])
def test_every_observation_is_as_it_was(traces, run):
    kept, now = (torch.tensor(part[run]["features"]) for part in traces)
    for index, name in enumerate(FEATURES):
        torch.testing.assert_close(
            now[:, index], kept[:, index], rtol=1e-3, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("run", ["sgd", "adam"])
def test_every_rate_and_decision_is_as_it_was(traces, run):
    kept, now = (part[run] for part in traces)
    assert now["steps"] == kept["steps"]
    assert now["taken_back"] == kept["taken_back"]
    assert now["rates"] == pytest.approx(kept["rates"], rel=2e-3)


def test_the_two_runs_show_what_a_pilot_does(traces):
    """A trace in which nothing happens would hold nothing: rates rise and fall, a network is taken back."""
    kept, _ = traces
    rates = kept["sgd"]["rates"]
    assert max(rates) > 2 * rates[0]
    assert rates[-1] < max(rates) / 5
    assert any(kept["adam"]["taken_back"])
