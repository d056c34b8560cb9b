"""How a run of the bank ended, in one number."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FinalMeasures:
    """Mean losses on rows trained on and held out, and the error on the latter (NaN for regression)."""

    training_loss: float
    held_out_loss: float
    error: float


LOST = FinalMeasures(math.inf, math.inf, 1.0)
"""How a run ends whose numbers are not finite."""


@dataclass(frozen=True)
class Yardstick:
    """What a task's runs are measured by.

    Attributes:
        untrained: the network before its first step.
        guess: the loss of the best constant answer.
        classes: of a classification; 0 for regression.
        held_out: rows that the error is measured on.
    """

    untrained: FinalMeasures
    guess: float
    classes: int
    held_out: int

    def score(self, measured: FinalMeasures) -> float:
        """Lower is better: the mean of log losses and, for classification, of the log error.

        1/4 log training loss + 1/4 log held-out loss + 1/2 log held-out error, or 1/2 and 1/2 of the log losses for
        regression. Losses are relative to the untrained network's or the best constant answer's, whichever is lower;
        0.005 is added, and they are capped at 1.5 of that. To the error one hundredth is added, or two rows' share if
        that is more: on 30 rows the difference between none and one wrong is luck.
        """
        losses = 0.5 * self._log_loss(measured.training_loss, self.untrained.training_loss)
        losses += 0.5 * self._log_loss(measured.held_out_loss, self.untrained.held_out_loss)
        if not self.classes:
            return losses
        worst = 1 - 1 / self.classes
        error = min(measured.error if math.isfinite(measured.held_out_loss) else worst, worst)
        return 0.5 * losses + 0.5 * math.log((error + max(0.01, 2 / self.held_out)) / worst)

    def _log_loss(self, loss: float, untrained: float) -> float:
        reference = min(untrained, self.guess)
        return math.log(min(loss if math.isfinite(loss) else math.inf, 1.5 * reference) / reference + 0.005)
