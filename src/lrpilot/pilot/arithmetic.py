"""Arithmetic on the numbers of one run, which are floats, or of many runs at once, which are tensors [*run].

A decision takes some hundred operations on single numbers, and each of them would cost a tensor fifty times what it
costs a float. Both follow IEEE 754: log(0) is -inf, and what divides by 0 is infinite or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    Number = float | Float[Tensor, "*run"]
    Truth = bool | Bool[Tensor, "*run"]


def where(condition: Truth, yes: Number, no: Number) -> Number:
    """``yes`` where the condition holds, ``no`` elsewhere."""
    if isinstance(condition, Tensor):
        return torch.where(condition, yes, no)
    return yes if condition else no


def log(number: Number) -> Number:
    """The natural logarithm; NaN below 0."""
    if isinstance(number, Tensor):
        return number.log()
    if number > 0:
        return math.log(number)
    return -math.inf if number == 0 else math.nan


def exp(number: Number) -> Number:
    """The exponential."""
    return number.exp() if isinstance(number, Tensor) else math.exp(number)


def ratio(above: Number, below: Number) -> Number:
    """above / below."""
    if isinstance(below, Tensor) or below != 0:
        return above / below
    return above * math.copysign(math.inf, below)


def isnan(number: Number) -> Truth:
    """Whether it is not a number."""
    return number != number


def isfinite(number: Number) -> Truth:
    """Whether it is neither infinite nor NaN."""
    return abs(number) < math.inf


def minimum(one: Number, other: Number) -> Number:
    """The lower of two; ``other`` if either is NaN."""
    return where(one < other, one, other)


def maximum(one: Number, other: Number) -> Number:
    """The higher of two; ``other`` if either is NaN."""
    return where(one > other, one, other)


def anywhere(condition: Truth) -> bool:
    """Whether it holds for any of the runs."""
    return bool(condition.any()) if isinstance(condition, Tensor) else condition


def single(number: Number | Truth) -> Number:
    """A float, or a tensor in float32."""
    return number.float() if isinstance(number, Tensor) else float(number)


def beside(number: Number) -> float | Float[Tensor, "*run 1"]:
    """So that it can be reckoned with the losses [*run, step] of each run."""
    return number.unsqueeze(-1) if isinstance(number, Tensor) else number


def as_in(memory: Number, reduced: Float[Tensor, "*run"]) -> Number:
    """What losses were reduced to, of the kind of a number that is remembered: a float where that is one."""
    return reduced if isinstance(memory, Tensor) else reduced.item()


def column(numbers: Sequence[Number]) -> Float[Tensor, "*run number"]:
    """Numbers side by side, float32."""
    tensors = [number for number in numbers if isinstance(number, Tensor)]
    if not tensors:
        return torch.tensor(numbers, dtype=torch.float32)
    like, *_ = tensors
    everywhere = (torch.as_tensor(number, dtype=torch.float32, device=like.device) for number in numbers)
    return torch.stack(torch.broadcast_tensors(*everywhere), dim=-1)
