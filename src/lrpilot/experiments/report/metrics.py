"""How good a method is over tasks, from losses alone: its sensitivity to the starting rate, its regret to others.

A task's losses of one method are an array [setting, seed]; the same column of two methods is the same seed. A run that
did not finish has an infinite loss, and counts, as does every loss above it, as the untrained network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import trim_mean

Losses = np.ndarray  # of numbers, [setting, seed] unless said otherwise

FLOOR = 0.001
"""Share of the untrained loss that is added before a logarithm: beneath it, how near a loss comes to 0 is luck."""
DRAWS = 2000  # of the bootstrap


def sensitivity(losses: Losses, untrained: float, best: float) -> float:
    """LR sensitivity (Wortsman et al., 2023): the mean over starts and seeds of the capped loss, less the best of all.

    Args:
        losses: from each starting rate.
        untrained: the cap.
        best: the least loss that any method reached on the task.
    """
    return float(np.minimum(losses, untrained).mean() - best)


def log_regret(losses: Losses, other: Losses, untrained: float) -> Losses:
    """log of a loss over another's of the same seed, [setting, seed]; below 0 where it is the lower one.

    Args:
        losses: the method's.
        other: the opponent's, [seed].
        untrained: the cap of both.
    """
    mine, theirs = (np.log(np.minimum(each, untrained) + FLOOR * untrained) for each in (losses, other))
    return mine - theirs


def interquartile_mean(regrets: Sequence[Losses]) -> float:
    """The mean of the middle half of all numbers of all tasks (Agarwal et al., 2021).

    A task with fewer seeds weighs as much as the others: each of its numbers counts so many times more.
    """
    return float(trim_mean(np.concatenate([each.ravel() for each in _with_equal_weights(regrets)]), 0.25))


def _with_equal_weights(regrets: Sequence[Losses]) -> list[Losses]:
    seeds = math.lcm(*(each.shape[-1] for each in regrets))
    return [each.repeat(seeds // each.shape[-1], axis=-1) for each in regrets]


def bootstrap(regrets: Sequence[Losses]) -> tuple[float, float] | None:
    """The 95% percentile interval of the interquartile mean, seeds resampled within each task.

    The tasks are the strata, as rliable has them; all settings of a task are drawn with the same seeds. None where no
    task has two seeds.
    """
    if max(each.shape[1] for each in regrets) < 2:
        return None
    generator = np.random.default_rng(0)
    drawn: list[np.ndarray] = []  # of each task, [draw, setting, seed]
    for each in regrets:
        seeds = generator.integers(each.shape[1], size=(DRAWS, each.shape[1]))
        drawn.append(each[:, seeds].swapaxes(0, 1))
    means = trim_mean(np.concatenate([d.reshape(DRAWS, -1) for d in _with_equal_weights(drawn)], axis=1), 0.25, axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_over_tasks(regrets: Sequence[Losses]) -> tuple[float, float]:
    """The same with the tasks resampled too, and the seeds within each: what other tasks of the kind might give."""
    generator = np.random.default_rng(0)

    def drawn() -> float:
        tasks = [regrets[i] for i in generator.integers(len(regrets), size=len(regrets))]
        return interquartile_mean([t[:, generator.integers(t.shape[1], size=t.shape[1])] for t in tasks])

    low, high = np.percentile([drawn() for _ in range(DRAWS)], [2.5, 97.5])
    return float(low), float(high)


def share_at_or_below(losses: Sequence[Losses], others: Sequence[Losses]) -> float:
    """The share of starts, over tasks, whose mean loss over seeds is at or below the opponent's mean."""
    wins = [mine.mean(1) <= theirs.mean() for mine, theirs in zip(losses, others, strict=True)]
    return float(np.concatenate(wins).mean())


def profile(regrets: Sequence[Losses], levels: Sequence[float]) -> Losses:
    """The share of runs whose regret is at most each level, [level]: every task weighs the same."""
    shares = [(each.ravel()[:, None] <= np.asarray(levels)).mean(0) for each in regrets]
    return np.mean(shares, axis=0)


@dataclass(frozen=True)
class Summary:
    """The interquartile mean of a log-regret, with its interval and what it is made of."""

    mean: float
    interval: tuple[float, float] | None
    below: float  # share of starts at or below the opponent
    regrets: Sequence[Losses] = field(repr=False, compare=False)  # of each task

    @classmethod
    def of(cls, pairs: Sequence[tuple[Losses, Losses, float]]) -> Summary | None:
        """Of a method's losses and an opponent's, [setting, seed] and [seed], and their cap, of each task; or None."""
        if not pairs:
            return None
        regrets = [log_regret(*pair) for pair in pairs]
        losses, others, _ = zip(*pairs, strict=True)
        return cls(interquartile_mean(regrets), bootstrap(regrets), share_at_or_below(losses, others), regrets)

    def __str__(self) -> str:
        """``-0.031 [-0.040, -0.022]``."""
        ends = " [{:+.3f}, {:+.3f}]".format(*self.interval) if self.interval else ""
        return f"{self.mean:+.3f}{ends}"

    @property
    def ratio(self) -> float:
        """The mean as a multiple of the opponent's loss."""
        return math.exp(self.mean)

    @property
    def factor(self) -> str:
        """``0.97x [0.96, 0.98]``: the same as a multiple of the opponent's loss."""
        return f"{self.ratio:.2f}x{' ' + _factors(self.interval) if self.interval else ''}"

    @property
    def over_tasks(self) -> str:
        """``[0.94, 1.01]``: the interval with the tasks resampled too, as multiples of the opponent's loss."""
        return _factors(bootstrap_over_tasks(self.regrets))


def _factors(interval: tuple[float, float]) -> str:
    return "[{:.2f}, {:.2f}]".format(*map(math.exp, interval))
