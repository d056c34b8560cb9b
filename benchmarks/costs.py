"""The cost of one kind of step, and the tables of such costs."""

from __future__ import annotations

import statistics
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Cost:
    """The cost of one kind of step.

    Attributes:
        kind: what takes the step.
        milliseconds: of processor time, median over the rounds.
        ratio: to a plain SGD step of the same round, median over the rounds.
        passes: the share of it that a plain step and the forward passes beyond it take, as measured by themselves in
            the same rounds; None where that is not known.
    """

    kind: str
    milliseconds: float
    ratio: float
    passes: float | None = None

    @classmethod
    def of(cls, kind: str, seconds: Sequence[float], plain: Sequence[float], passes: float | None = None) -> Cost:
        """From the seconds that a step of this kind and a plain one took in each round."""
        ratios = [mine / his for mine, his in zip(seconds, plain, strict=True)]
        return cls(kind, 1e3 * statistics.median(seconds), statistics.median(ratios), passes)

    def cells(self) -> list[str]:
        """What the tables say of it."""
        share = "-" if self.passes is None else f"{100 * self.passes:.0f}"
        return [self.kind, f"{self.milliseconds:.2f}", f"{self.ratio:.2f}", share]


HEADER = ("network", "a step of", "ms", "x plain SGD", "in passes, %")


def rows(costs: dict[str, list[Cost]]) -> list[list[str]]:
    """The measured costs by network, as cells under `HEADER`."""
    return [[network, *cost.cells()] for network, kinds in costs.items() for cost in kinds]


def markdown(costs: dict[str, list[Cost]]) -> str:
    """The same as a table in Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows(costs))])


@contextmanager
def one_thread() -> Generator[None]:
    """For a while, torch computes in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
