"""What trainers, loggers and notebooks look for in a scheduler."""

from __future__ import annotations

import html
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lrpilot.core.knobs import LearningRate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrpilot.core.knobs import Knobs

    from .logbook import Logbook
    from .rates import Rates


class Shape:
    """The read-only side of a `Pilot`: the attributes of torch's schedulers, and its run in words and pictures."""

    knobs: Knobs
    _step: int
    _rates: Rates

    if TYPE_CHECKING:

        @property
        def total_steps(self) -> int | None: ...  # noqa: D102 - of `Deciding`
        @property
        def history(self) -> Logbook: ...  # noqa: D102

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group as it stands."""
        return self.knobs.read("learning_rate")

    def get_used_lr(self) -> list[float]:
        """The learning rate of each parameter group in the last step, which right after a decision is another one."""
        return self._rates.used(self._step)

    @property
    def base_lrs(self) -> list[float]:
        """The learning rates that the user gave, by group."""
        return [LearningRate().given(group) for group in self.knobs.optimizer.param_groups]

    @property
    def last_epoch(self) -> int:
        """How many steps have been counted."""
        return self._step

    @property
    def _last_lr(self) -> list[float]:
        return self.get_last_lr()

    def scalars(self) -> dict[str, float]:
        """Numbers for a progress bar or a logger; reading them waits for no device.

        ``lr`` is the rate of the last step (of the first group), ``loss`` the mean up to the last decision,
        ``decisions`` and ``rollbacks`` are counts.
        """
        decisions = self.history.decisions
        return {
            "step": self._step,
            "lr": self.get_used_lr()[0],
            "loss": decisions[-1].loss if decisions else float("nan"),
            "decisions": len(decisions),
            "rollbacks": sum(decision.back_to is not None for decision in decisions),
        }

    def explain(self) -> str:
        """The run in words: a line for each decision, one for all of them, and one that says where the run stands."""
        rate = f"rate {self.get_last_lr()[0]:.3g}"
        if self.total_steps is None:
            now = f"now at step {self._step}, {rate}; no end is announced: pilot.finish(steps) ends with a decay"
        else:
            now = f"now at step {self._step} of {self.total_steps}, {rate}"
        return "\n".join([*self.history.explain().splitlines(), *self._in_short(), now])

    def _in_short(self) -> Iterator[str]:
        decisions = self.history.decisions
        if len(decisions) < 2:
            return
        first, last, highest = decisions[0], decisions[-1], max(decisions, key=lambda decision: decision.rate)
        backs = sum(decision.back_to is not None for decision in decisions)
        back = f"; network taken back {backs} time{'s' * (backs > 1)}" if backs else ""
        yield (
            f"in short: loss {first.loss:.3g} -> {last.loss:.3g}; rate {first.rate_before:.3g} -> {highest.rate:.3g} "
            f"(highest, from step {highest.step}) -> {last.rate:.3g}{back}"
        )

    def plot(self) -> Figure:
        """Loss and rate by step, as a matplotlib figure."""
        return self.history.plot()

    def __repr__(self) -> str:
        length = "" if self.total_steps is None else f" of {self.total_steps}"
        rate, driven = self.get_last_lr()[0], type(self.knobs.optimizer).__name__
        return f"{type(self).__name__}({driven}, step {self._step}{length}, rate {rate:.3g})"

    def _repr_html_(self) -> str:
        lines = [repr(self), *self.history.explain().splitlines()[-3:]]
        return f"<pre>{html.escape(chr(10).join(lines))}</pre>"

    def _repr_png_(self) -> bytes | None:
        if self._step == 0 or find_spec("matplotlib") is None:
            return None
        return self.plot()._repr_png_()  # type: ignore[attr-defined] - of `lrpilot.core.picture`
