"""The bench runs every kind on the same footing. (How fast each is, is for the bench to say, not for a test.)"""

from __future__ import annotations

from benchmarks.overhead import Cost, markdown, measure_arithmetic, measure_task
from lrpilot.experiments.tasks.catalogue import load_task

KINDS = ["plain SGD", "a forward pass", "online (stable)", "online (paper)", "literal transcription"]


def test_every_kind_is_measured_and_plain_sgd_is_the_unit() -> None:
    costs = measure_task(load_task("digits"), rounds=2, steps=1, warm_up=1)
    assert [cost.kind for cost in costs] == KINDS
    assert costs[0].ratio == 1.0
    assert all(cost.milliseconds > 0 for cost in costs)
    shares = {cost.kind: cost.passes for cost in costs if cost.passes is not None}
    assert shares.keys() == {"online (stable)", "online (paper)"}
    assert all(0 < share < 1 for share in shares.values())


def test_a_table_has_a_row_for_each_kind() -> None:
    costs = {"m0": [Cost("plain SGD", 0.25, 1.0), Cost("online (paper)", 1.0, 4.0, 0.954)]}
    assert markdown(costs).splitlines()[2:] == [
        "| m0 | plain SGD | 0.25 | 1.00 | - |",
        "| m0 | online (paper) | 1.00 | 4.00 | 95 |",
    ]


def test_arithmetic() -> None:
    kinds = [cost.kind for cost in measure_arithmetic(rounds=2, steps=1, warm_up=1)]
    assert kinds == [kind for kind in KINDS if kind != "a forward pass"]
