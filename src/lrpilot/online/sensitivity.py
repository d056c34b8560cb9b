"""How a step depends on each number of an action, and what that is worth to a batch. ``a_t, g -> a df/da``.

A batch's loss f after the step depends on a number a of the action through w_{t+1} alone: ::

    a d(-f)/da = -(a dw_{t+1}/da) . g        g: the gradient of f at w_{t+1}

A step is proportional to its learning rate, so that along the rate of a place ``a dw_{t+1}/da = w_{t+1} - w_t`` is how
the step moved that place's parameters. Along any other knob the step is made once more, from the same state, with the
number a tenth smaller, and the difference taken: exact where a step is linear in it (a momentum, a weight decay).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.snapshot import Snapshot
from lrpilot.core.state import StateDict

from .controls import Controls
from .displacement import Displacement

if TYPE_CHECKING:
    from jaxtyping import Float

SHARE = 0.1
"""By how much a number is made smaller. A larger share loses less in the parameters' rounding, more to curvature."""


class Sensitivity:
    """Steps made otherwise, one for each further knob that works in the optimizer's step.

    Each costs a step of the optimizer, a copy of its state, and as much memory as the trainable parameters take.

    Args:
        controls: whose numbers they are.
        step: how the step itself moved the parameters.
        like: an empty tensor on the device and of the dtype that :meth:`along` answers in.
        memory: how much of the steps before counts, as in :class:`Displacement`.
    """

    def __init__(self, controls: Controls, step: Displacement, *, like: Tensor, memory: float = 0.0) -> None:
        self._controls, self._step, self._like = controls, step, like
        self._otherwise = {
            knob: Displacement(controls.optimizer, like=like, memory=memory) for knob in controls.in_step[1:]
        }

    def begin(self, action: Sequence[float]) -> None:
        """Make the other steps and take them back; ``action`` is written then: called right before the step."""
        optimizer = self._controls.optimizer
        for knob, otherwise in self._otherwise.items():
            snapshot = Snapshot(optimizer)
            seats = zip(action, self._controls.layout.seats, strict=True)
            self._controls.write([number * (1 - SHARE) if mine == knob else number for number, (_, mine) in seats])
            optimizer.step()
            otherwise.begin()
            snapshot.restore()
        self._controls.write(action)

    def end(self) -> None:
        """Keep how the other steps differ from the one that was made: called right after the step."""
        for otherwise in self._otherwise.values():
            otherwise.end()

    def forget(self) -> None:
        """Remember no step before the next: the network has been put back, or will be."""
        for otherwise in self._otherwise.values():
            otherwise.forget()

    @torch.no_grad()
    def along(self, *, trail: bool = False) -> Float[Tensor, " action"]:
        """``-(a dw_{t+1}/da) . g`` along each number, g in ``.grad``; NaN where it does not work in the step.

        Args:
            trail: of the steps that are remembered, in place of the last.
        """
        gains = {0: self._by_place(self._step, trail)}
        gains |= {knob: self._by_place(otherwise, trail) / SHARE for knob, otherwise in self._otherwise.items()}
        unknown = self._like.new_tensor(torch.nan)
        return torch.stack(
            [gains[knob][place] if knob in gains else unknown for place, knob in self._controls.layout.seats]
        )

    def _by_place(self, moved: Displacement, trail: bool) -> Float[Tensor, " place"]:
        return moved.decrements(trail=trail) if self._controls.by_group else moved.decrement(trail=trail).reshape(1)

    def state_dict(self) -> StateDict:
        """How the other steps of the last step differed from it."""
        return {"otherwise": [otherwise.state_dict() for otherwise in self._otherwise.values()]}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        for otherwise, saved in zip(self._otherwise.values(), state["otherwise"], strict=True):
            otherwise.load_state_dict(saved)
