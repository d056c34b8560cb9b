"""Drawing trainings at random: a group shares network, optimizer and length; its tasks differ in the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import torch

from .data import CLASSES, INPUTS, TARGETS
from .networks import Network, attention, cnn, mlp, recurrent
from .optimizers import Kind, Rule
from .quadratic import quadratic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

T = TypeVar("T")
Goal = Literal["classify", "regress", "reconstruct", "quadratic"]

RULES: tuple[tuple[Kind, float, float], ...] = (
    # kind, weight in the drawing, log10 of a usual best peak rate
    ("sgd", 0.36, -0.5),
    ("momentum", 0.22, -1.5),
    ("adam", 0.18, -2.3),
    ("adamw", 0.12, -2.3),
    ("rmsprop", 0.07, -2.5),
    ("adagrad", 0.05, -1.6),
)


LARGEST_COST = 200_000.0
"""Microseconds that one run may take."""
JUDGED_LENGTHS = (3000, 4000, 6000, 12_000)
"""Lengths, in steps, of the tasks that the pilot is judged on; no run of the population has one of them."""


@dataclass(frozen=True)
class Group:
    """What the runs of one batch share.

    Attributes:
        network: the functional network.
        goal: classify (cross entropy), regress or reconstruct (mean squared error), quadratic.
        rule: the optimizer but its rate.
        steps: the length of every run.
        batch_size: examples a step.
        cost: microseconds that one run takes on one core, roughly.
        dropout: probability that a hidden unit is dropped.
    """

    network: Network
    goal: Goal
    rule: Rule
    steps: int
    batch_size: int
    cost: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True)
class Tasks:
    """The hidden parameters of the tasks of one group, each [task].

    Attributes:
        source: index of the data set.
        begin: first row of the task's part of it.
        rows: the number of training rows, wrapping around.
        centred: whether the inputs' mean is taken away.
        input_scale: factor on the inputs.
        gain: factor on the weights' start; bias_gain: on the biases'.
        noise: probability of a wrong label, or standard deviation of the targets' noise.
        loss_scale: factor on the loss.
        anytime: whether the length of the run is hidden from the policy.
        usual: log of a rate about which the best peak may be sought, given the optimizer and the loss scale.
        curvature: [task, 64], of the quadratics.
    """

    source: Int[Tensor, " task"]
    begin: Int[Tensor, " task"]
    rows: Int[Tensor, " task"]
    centred: Bool[Tensor, " task"]
    input_scale: Float[Tensor, " task"]
    gain: Float[Tensor, " task"]
    bias_gain: Float[Tensor, " task"]
    noise: Float[Tensor, " task"]
    loss_scale: Float[Tensor, " task"]
    anytime: Bool[Tensor, " task"]
    usual: Float[Tensor, " task"]
    curvature: Float[Tensor, "task 64"]


class Dice:
    """Draws from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high]."""
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform(0, 1) < probability

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, alike or by weight."""
        chances = torch.ones(len(options)) if weights is None else torch.tensor(weights)
        return options[int(torch.multinomial(chances, 1, generator=self.generator))]


def draw_group(generator: torch.Generator, *, shortest: int, longest: int) -> Group:
    """A network, a goal, an optimizer, a length (log-uniform) and a batch size."""
    dice = Dice(generator)
    family = dice.pick(("mlp", "cnn", "attention", "recurrent", "quadratic"), (0.62, 0.14, 0.08, 0.08, 0.08))
    goal: Goal = dice.pick(("classify", "regress"), (0.8, 0.2))
    if family == "mlp" and dice.chance(0.08):
        goal = "reconstruct"
    outputs = {"classify": CLASSES, "regress": TARGETS, "reconstruct": INPUTS, "quadratic": INPUTS}[goal]
    activation = dice.pick(("tanh", "relu", "silu", "sigmoid"), (0.4, 0.38, 0.15, 0.07))
    if family == "mlp":
        depth = dice.pick((0, 1, 2, 3, 5), (0.22, 0.34, 0.26, 0.12, 0.06))
        widths = tuple(dice.pick((16, 24, 32, 48, 64, 96, 128, 192)) for _ in range(depth))
        network = mlp(widths, activation, outputs, normalised=depth > 0 and dice.chance(0.15))
    elif family == "cnn":
        network = cnn(dice.pick(((6, 8), (8, 16), (12, 16))), dice.pick((24, 48)), activation, outputs)
    elif family == "attention":
        network = attention(dice.pick((12, 16)), outputs, normalised=dice.chance(0.7))
    elif family == "recurrent":
        network = recurrent(dice.pick((16, 24, 32)), outputs)
    else:
        goal, network = "quadratic", quadratic()
    batch_size = dice.pick((4, 8, 16, 32, 64), (0.1, 0.25, 0.3, 0.2, 0.15))
    if family in ("cnn", "attention"):
        batch_size = min(batch_size, 32)
    # The policy learns from steps, not examples: costly ones are fewer, so that no kind eats up the time.
    step_cost = _step_cost(family, sum(p.size for p in network.parameters), batch_size)
    affordable = max(min(longest, LARGEST_COST / step_cost), shortest)
    steps = round(math.exp(dice.uniform(math.log(shortest), math.log(affordable))))
    steps += steps in JUDGED_LENGTHS
    dropout = 0.0
    if dice.chance({"mlp": 0.15, "cnn": 0.5, "attention": 0.25}.get(family, 0.0)):
        dropout = dice.pick((0.1, 0.25, 0.5))
    return Group(network, goal, _draw_rule(dice), steps, batch_size, steps * step_cost, dropout)


def _step_cost(family: str, size: int, batch_size: int) -> float:
    """Microseconds that one step of one run takes on one core, roughly, as measured."""
    example = {"cnn": 11.0, "attention": 6.0, "recurrent": 2.5}.get(family, size * 1e-4)
    return 3 + batch_size * example + 0.003 * size


def _draw_rule(dice: Dice) -> Rule:
    kind, _, _ = dice.pick(RULES, [weight for _, weight, _ in RULES])
    decay = 0.0
    if kind == "adamw":
        decay = dice.pick((0.01, 0.1))
    elif dice.chance(0.25):
        decay = dice.pick((1e-4, 1e-3))
    momentum = dice.pick((0.9, 0.95, 0.8), (0.7, 0.15, 0.15)) if kind != "sgd" else 0.0
    second = dice.pick((0.999, 0.99)) if kind != "rmsprop" else dice.pick((0.99, 0.9), (0.7, 0.3))
    return Rule(kind, momentum, second, decay)


def draw_tasks(
    group: Group,
    count: int,
    generator: torch.Generator,
    *,
    training_rows: Int[Tensor, " source"],
    anytime: float,
) -> Tasks:
    """The hidden parameters of ``count`` tasks of a group.

    ``training_rows``: of each data set. ``anytime``: the share of tasks whose length is hidden.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def chance(probability: float) -> Tensor:
        return torch.rand(count, generator=generator) < probability

    def log_normal(sigma: float) -> Tensor:
        return (sigma * torch.randn(count, generator=generator)).exp()

    # Pictures half of the time: they are nearest to what users have.
    pictures = len(training_rows) - 12 if len(training_rows) > 12 else 1
    weights = torch.ones(len(training_rows))
    weights[:pictures] = 1.2 * (len(training_rows) - pictures) / pictures
    source = torch.multinomial(weights, count, replacement=True, generator=generator)
    available = training_rows[source]
    few = (math.log(100.0) + torch.rand(count, generator=generator) * (available / 100).log()).exp()
    usual = {kind: peak for kind, _, peak in RULES}[group.rule.kind]
    loss_scale = torch.where(chance(0.5), 1.0, (uniform(-3, 3) * math.log(10)).exp())
    log_usual = torch.full((count,), usual * math.log(10))
    if group.rule.kind in ("sgd", "momentum"):
        log_usual = (
            log_usual
            - loss_scale.log()
            + math.log(1 - group.rule.momentum)
            - math.log(0.1 if group.rule.kind == "momentum" else 1.0)
        )
    extreme = chance(0.15)
    noise = torch.where(chance(0.65), 0.0, uniform(0, 0.3))
    return Tasks(
        source=source,
        begin=(torch.rand(count, generator=generator) * available).long(),
        rows=torch.where(chance(0.6), available, few.long()),
        centred=chance(0.5),
        input_scale=torch.where(chance(0.35), 1.0, log_normal(0.7)),
        gain=torch.where(extreme, (uniform(-2, 1.2)).exp(), torch.where(chance(0.3), 1.0, log_normal(0.35))),
        bias_gain=torch.where(chance(0.4), 0.0, 1.0),
        noise=noise,
        loss_scale=loss_scale,
        anytime=chance(anytime),
        usual=log_usual,
        curvature=_spectra(count, generator),
    )


def _spectra(count: int, generator: torch.Generator) -> Tensor:
    """Curvatures of the quadratics: power laws of random exponent and size."""
    exponent = 2.5 * torch.rand(count, 1, generator=generator)
    size = torch.exp(torch.randn(count, 1, generator=generator))
    return size * torch.arange(1, INPUTS + 1) ** -exponent
