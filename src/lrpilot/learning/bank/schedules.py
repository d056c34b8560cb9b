"""The schedules whose scores the bank holds, and the search for the best one.

Peak first, then shape: linear decays on a grid of peaks that is refined around the best; from there, whether to hold
the rate for longer or decay sooner, and whether to warm up for longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

DECADES = 3.5
"""The search goes no farther than this from the usual peak."""


@dataclass(frozen=True)
class Schedule:
    """A warmed-up power-law decay: rate = peak * warmup_factor * (floor + (1 - floor) (1 - t)^power).

    Attributes:
        peak: log10 of the peak rate.
        warm_up: fraction of the run in which the rate rises in proportion, from a tenth of the peak.
        power: 1 is linear; less holds the rate for longer, and 0 keeps it constant.
        floor: fraction of the peak that the decay ends at.
    """

    peak: float
    warm_up: float = 0.04
    power: float = 1.0
    floor: float = 0.0

    def rate(self, progress: float) -> float:
        """The rate at a place in the run, in [0, 1)."""
        return 10.0**self.peak * self.shape(progress)

    def shape(self, progress: float) -> float:
        """The rate relative to the peak, in (0, 1]."""
        warmup_factor = min(1.0, max(0.1, progress / self.warm_up)) if self.warm_up else 1.0
        return warmup_factor * (self.floor + (1 - self.floor) * (1 - progress) ** self.power)


def search(score: Callable[[Schedule], float], usual: float) -> Schedule:
    """The best schedule found; ``score`` is called once for each that is tried, lower is better.

    Args:
        score: of a run under the schedule.
        usual: log10 of the peak to begin at.
    """
    scores: dict[Schedule, float] = {}

    def attempt(*schedules: Schedule) -> Schedule:
        for schedule in schedules:
            if schedule not in scores:
                scores[schedule] = score(schedule)
        return min(scores, key=scores.__getitem__)

    def around(schedule: Schedule, step: float) -> tuple[Schedule, Schedule]:
        return replace(schedule, peak=schedule.peak - step), replace(schedule, peak=schedule.peak + step)

    best = attempt(Schedule(usual), *around(Schedule(usual), 1.0))
    while abs(best.peak - usual) + 1.0 <= DECADES and any(side not in scores for side in around(best, 1.0)):
        best = attempt(*around(best, 1.0))
    best = attempt(*around(best, 0.5))
    best = attempt(*around(best, 0.25))
    linear = best
    attempt(replace(linear, power=0.4, peak=linear.peak - 0.2))
    attempt(replace(linear, power=0.0, peak=linear.peak - 0.4))
    best = attempt(replace(linear, power=2.2, peak=linear.peak + 0.2))
    best = attempt(replace(best, warm_up=0.2, peak=best.peak + 0.2))
    if best != linear:
        best = attempt(*around(best, 0.3))
    return best
