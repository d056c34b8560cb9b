"""The demonstration: learned rates from a poor start, beside every fixed rate, on handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lrpilot.experiments.runs.configuration import Configuration
from lrpilot.experiments.runs.training import Record
from lrpilot.experiments.tasks.catalogue import load_task

POOR_START = 1e-4  # a rate at which these networks learn next to nothing
FIXED_RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1e0)  # the grid of the paper's section 4.1
LEARNED = {"pilot": "pilot", "online": "online-stable"}  # controllers, and the methods that they are


@dataclass(frozen=True)
class Row:
    """One run of the demonstration."""

    label: str  # how it was driven
    start: float  # its first learning rate
    records: list[Record]  # the last one has the final test error

    @property
    def error(self) -> float:
        """Test error at the end, in percent."""
        return self.records[-1].test_error or 0.0


def run_demo(*, steps: int, show: Callable[[Row], None]) -> list[Row]:
    """Train the network of ``digits`` with the pilot, the online actor-critic and each fixed rate.

    All have the same initial weights and the same batches; ``show`` is called with each run as it ends.
    """
    task, rows = load_task("digits"), []
    runs = [(name, name, POOR_START) for name in LEARNED] + [(f"fixed {rate:g}", "none", rate) for rate in FIXED_RATES]
    for label, controller, rate in runs:
        asked = Configuration(controller=controller, lr=rate, steps=steps, evaluate_every=max(1, steps // 100))
        rows.append(Row(label, rate, list(asked.complete(task).training(task).run())))
        show(rows[-1])
    return rows


def verdict(rows: list[Row]) -> str:
    """What the demonstration shows, in two sentences."""
    pilot = next(row for row in rows if row.label == "pilot")
    fixed = [row for row in rows if row.label not in LEARNED]
    best, kept = min(fixed, key=lambda row: row.error), next(row for row in fixed if row.start == pilot.start)
    return (
        f"From a rate of {pilot.start:g} the pilot ends at a test error of {pilot.error:.1f} %.\n"
        f"The best of {len(fixed)} fixed rates, {best.start:g}, ends at {best.error:.1f} %; "
        f"{kept.start:g}, kept fixed, at {kept.error:.1f} %."
    )
