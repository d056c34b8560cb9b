"""What the pilot saw and did, to be read, plotted and repeated without it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lrpilot.core.history import History
from lrpilot.core.state import StateDict

from .features import FEATURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Decision:
    """One decision of the pilot, or an intervention of its guard.

    Attributes:
        step: after how many steps.
        loss: mean over the steps since the last decision.
        rate_before: the learning rate of the last of these steps (of the first parameter group).
        rate: the one from now on.
        reason: ``"policy"``, or what made the guard intervene.
        features: the observation, named by `lrpilot.pilot.features.FEATURES`; empty at the end of the run.
        back_to: the step to which the network was taken back; None if it was not.
    """

    step: int
    loss: float
    rate_before: float
    rate: float
    reason: str
    features: tuple[float, ...] = ()
    back_to: int | None = None

    def observation(self) -> dict[str, float]:
        """The features by name."""
        return dict(zip(FEATURES, self.features, strict=False))

    def __str__(self) -> str:
        back = "" if self.back_to is None else f", network taken back to step {self.back_to}"
        return (
            f"step {self.step}: loss {self.loss:.4g}, rate {self.rate_before:.3g} -> {self.rate:.3g} "
            f"(x{self.rate / (self.rate_before or math.nan):.3g}), {self.reason}{back}"
        )


class Logbook(History):
    """The loss and the rate of each step, and every decision.

    ``logbook["loss"]`` (float32) and ``logbook["rate"]`` (float64, the first group's) are one-dimensional tensors with
    one number for each step; ``decisions`` is a list of `Decision`.
    """

    def __init__(self) -> None:
        super().__init__("loss", "rate")
        self.decisions: list[Decision] = []

    def explain(self) -> str:
        """The run in words: a line for each decision."""
        return "\n".join(map(str, self.decisions))

    def plot(self) -> Figure:
        """Loss and learning rate against the step, a dashed line where the guard intervened. Needs matplotlib."""
        figure = super().plot()
        for decision in self.decisions:
            if decision.back_to is not None:
                for axes in figure.axes:
                    axes.axvline(decision.step, color="0.4", linestyle="--", linewidth=0.8)
                figure.axes[0].annotate(
                    f" back to step {decision.back_to}",
                    (decision.step, 1),
                    xycoords=("data", "axes fraction"),
                    fontsize=7,
                    va="top",
                )
        return figure

    def replayable(self) -> list[float]:
        """The rate of each step, and in the place of those that were undone the one that followed them.

        Without a guard, the rates that destroyed the network would do so again.
        """
        rates = super().replayable()
        since = math.inf
        for decision in reversed(self.decisions):
            if decision.back_to is not None and decision.step < since:  # else this return was undone with what followed
                since = decision.back_to
                after = rates[decision.step] if decision.step < len(rates) else decision.rate
                rates[since : decision.step] = [after] * (decision.step - since)
        return rates

    def state_dict(self) -> StateDict:
        """A copy of the columns, and the decisions as plain mappings."""
        return {
            "columns": super().state_dict(),
            "decisions": [asdict(decision) for decision in self.decisions],
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        super().load_state_dict(state["columns"])
        self.decisions = [Decision(**decision) for decision in state["decisions"]]
