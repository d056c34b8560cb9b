"""What the policy owes to its parts: the studies on small cases, and a ledger that goes on where it stood."""

import math
from types import SimpleNamespace

import pytest
import torch

from benchmarks import policy as bench
from benchmarks.ledger import Ledger
from benchmarks.policy import policy_tables, short_horizons
from lrpilot.learning.population.rollouts import Explorer
from lrpilot.learning.population.schedules import SPACING
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.policy import Policy

DECADES = SPACING / math.log(10)


def test_a_ledger_makes_what_is_missing_alone(tmp_path):
    ledger, made = Ledger(tmp_path / "new" / "findings.jsonl"), []
    for hidden in ("noise", "trend", "noise"):
        ledger.complete({"hidden": hidden}, lambda hidden=hidden: made.append(hidden) or {"score": 1.0})
    assert made == ["noise", "trend"]
    assert list(Ledger(ledger.path)) == [{"hidden": "noise", "score": 1.0}, {"hidden": "trend", "score": 1.0}]


def test_a_short_horizon_sees_another_rate_as_the_best():
    losses = torch.full((50, 1, 4), 1.0)
    losses[:10, 0, 1] = 0.5  # best in the first (10/50)^1.7 = 6.5 % of the run
    losses[10:, 0, 3] = 0.2
    ends = (torch.arange(1, 51) / 50) ** 1.7
    found = short_horizons(SimpleNamespace(constants=[(ends, losses)]))
    assert found == pytest.approx(
        {"0.02": -2 * DECADES, "0.05": -2 * DECADES, "0.1": 0, "0.25": 0, "0.5": 0, "1": 0}, abs=1e-6
    )


def test_a_hidden_feature_is_seen_as_zero():
    policy, seen = Policy(), torch.randn(5, len(FEATURES))
    place = FEATURES.index("noise")
    zeroed = seen.clone()
    zeroed[:, place] = 0
    assert torch.equal(Explorer(policy, 0.0, None, hidden=place)(seen), Explorer(policy, 0.0, None)(zeroed))
    assert not torch.equal(Explorer(policy, 0.0, None, hidden=place)(seen), Explorer(policy, 0.0, None)(seen))


@pytest.mark.integration
def test_on_the_quadratic_nothing_beats_the_best_schedule(monkeypatch):
    monkeypatch.setattr(bench, "QUADRATIC_STEPS", 40)
    monkeypatch.setattr(bench, "QUADRATIC_RUNS", 30)
    monkeypatch.setattr(bench, "HIGH_STARTS", (0.5,))
    found = bench.quadratic(Policy(), 0.1)
    assert 1 < found["decay"] < found["constant"]
    assert found["pilot"]["0.5"] > 0.9  # a mean over thirty noisy runs


def test_each_study_has_a_table():
    findings = [
        {"study": "feature", "hidden": "none", "score": -2.0},
        {"study": "feature", "hidden": "noise", "score": -1.9},
        {"study": "retrained", "variant": "reference", "seed": 0, "score": -2.0, "regret": 0.1, "median_regret": 0.05},
        {"study": "horizon", "decades": {"0.1": -0.5, "1": 0.0}},
        {"study": "quadratic", "variance": 0.1, "constant": 8.0, "decay": 2.0, "pilot": {"0.01": 1.5}},
    ]
    features, variants, horizons, quadratics = policy_tables(findings)
    assert features.rows == [["noise", "-1.900", "+0.100"], ["none", "-2.000", "+0.000"]]
    assert variants.rows == [["reference", "-2.000", "0.100", "0.050", "1"]]
    assert horizons.rows[0][1:] == ["-0.50", "+0.00"]
    assert quadratics.rows == [["0.1", "8.00", "2.00", "1.50"]]
