"""A learning rate for those who only want a number: a tenth of the highest that is sound.

the ceiling, at which a step would move the weights by their own size -> a ramp of rates up to it, from the untrained
network -> the last rate before the loss lay half above the untrained network's -> a tenth of it
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .core.arguments import whole
from .core.knobs import Knobs, LearningRate
from .core.snapshot import Snapshot, parameters_of
from .errors import InvalidArgument, NonFiniteLoss
from .pilot.buffers import Buffers
from .pilot.defaults import own_defaults
from .pilot.interval import MEASURED_STEPS, Interval
from .pilot.loss_buffer import Loss, LossBuffer
from .pilot.measurement import Measured, Measurement
from .pilot.memory import CHANGED, Memory, anchored
from .pilot.optimizers import names, together, unwrapped
from .pilot.ranks import Ranks
from .pilot.steps import StepHooks

MARGIN = 10.0
"""The highest sound rate is divided by this: what did best on trainings of the bank, whose best rates are known."""
REACH = 8
"""The ceiling is sought within so many decades to either side of the given rate."""
MOVED = 1e-3
"""It is computed from the first step that moves the weights by this share of their size, or more."""
DECADES = 6
"""The ramp begins so many decades below the ceiling."""
KEPT = 0.7
"""The share of the running average of the losses that stays at each step."""
NOISE = 2.0
"""So many standard deviations of single losses above the untrained network's are noise, in the average of several."""

CERTAIN = 3.0
"""A rise ends the probe at so many standard errors: with two, chance ends twice as many probes of small batches."""


@dataclass(frozen=True)
class Suggestion:
    """A rate, and what it rests on.

    Attributes:
        rate: to begin with, or for a schedule's peak: of the first group, to which the others keep their ratios.
        highest_sound: the last rate before the loss rose, or the ceiling: where a step moves the weights by their size.
        rates: of the ramp, step by step.
        losses: at these, their running average.
        steps: taken in all.
    """

    rate: float
    highest_sound: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int

    def __str__(self) -> str:
        sound = f"{self.highest_sound:.2g}, the highest rate that was sound in {self.steps} steps"
        return f"{self.rate:.2g}, a tenth of {sound}"


def suggest(
    optimizer: Optimizer | Sequence[Optimizer],
    step: Callable[[], Tensor | float],
    *,
    steps: int = 100,
    network: nn.Module | Sequence[nn.Module] | None = None,
) -> Suggestion:
    """A learning rate, from a probe of about 115 steps that leaves network, optimizer and random numbers as they were.

    The rate rises from step to step, through six decades at most, until the losses lie half above the untrained
    network's, and a look at six more losses (steps, too) has confirmed it.

    >>> generator = torch.manual_seed(0)
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> def step():
    ...     loss = (model(torch.ones(8, 3)) - 1).square().mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> 0.01 < suggest(optimizer, step).rate < 0.1
    True

    Args:
        optimizer: as `Pilot` takes it, at any rate within eight decades of what is to be found.
        step: makes one step of the training, on another batch each time, and returns its loss, of any sign. What it
            changes beside (an iterator, a ``GradScaler``) stays changed.
        steps: of the ramp: about 1 % of the run's steps, and at least the default.
        network: whose buffers are put back; None: looked for, as `Pilot` does.

    Returns:
        The rate for the optimizer's first group, and the evidence for it.

    Raises:
        InvalidArgument: a pilot drives the optimizer already, it is Rprop, or ``step`` does not train or gives no loss.
        NonFiniteLoss: the first losses are not finite.
    """
    optimizers = unwrapped(optimizer)
    listeners = (hook for each in optimizers for hook in vars(each)["_optimizer_step_post_hooks"].values())
    if any(isinstance(getattr(hook, "__self__", None), StepHooks) for hook in listeners):
        raise InvalidArgument("optimizer", "one that no pilot drives", names(optimizers))
    if any(isinstance(each, torch.optim.Rprop) for each in optimizers):
        raise InvalidArgument("optimizer", "one that reads the learning rate at each step, not at its first", "Rprop")
    if not callable(step):
        raise InvalidArgument("step", "a function that makes one step of the training and returns its loss", step)
    driven, steps = together(optimizers), whole("steps", steps)
    with _left_alone(optimizers, Buffers(driven, network)) as put_back:
        return _Probe(driven, optimizers, step, put_back).ramp(steps)


class _Probe:
    """Steps at rates that rise.

    Args:
        driven: all optimizers as one.
        optimizers: those that make a step together.
        step: makes one.
        put_back: puts the network back to its start.
    """

    def __init__(
        self,
        driven: Optimizer,
        optimizers: Sequence[Optimizer],
        step: Callable[[], Tensor | float],
        put_back: Callable[[], None],
    ) -> None:
        self._driven, self._optimizers, self._step, self._put_back = driven, optimizers, step, put_back
        self._knobs, self._ranks, self._taken = Knobs(driven, (LearningRate(),)), Ranks(None), 0

    def ramp(self, steps: int) -> Suggestion:
        """The steps up to the ceiling, or to the first at which the loss has risen."""
        ceiling = self._ceiling()
        self._put_back()
        self._average = self._untrained
        rates: list[float] = []
        losses: list[float] = []
        highest = ceiling / 10**DECADES
        for left in reversed(range(steps)):
            rate = ceiling / 10 ** (DECADES * left / steps)
            risen = self._rises(self._loss_at(rate))
            rates.append(rate)
            losses.append(self._average)
            if risen:
                break
            highest = rate
        return Suggestion(highest / MARGIN, highest, tuple(rates), tuple(losses), self._taken)

    def _ceiling(self) -> float:
        """The rate at which a step would move the weights by their size; where the loss has risen before, that one."""
        given = self._knobs.given["learning_rate"]
        self._lowest = given / 10**REACH
        losses, seen = self._measured(self._lowest, MEASURED_STEPS)
        self._first = losses
        self._untrained = self._average = statistics.fmean(losses)
        if not math.isfinite(self._untrained):
            raise NonFiniteLoss(0, given / 10**REACH, self._untrained)
        if not seen.gradient_norm > 0:
            raise InvalidArgument("step", "one step of the training: forward, backward, optimizer.step", "no gradients")
        with own_defaults():
            norms = ("gradient_norm", "weight_norm", "tensor_update")
            known = {name: torch.tensor(getattr(seen, name)) for name in norms}
            floor = anchored(Interval.unmeasured(torch.tensor(losses), **known), Memory.fresh()).floor
        self._half = (CHANGED - 1) * (self._untrained - float(floor))
        self._highest_loss = self._untrained + max(self._half, NOISE * statistics.pstdev(losses))
        # Weights that the very first steps have moved are those of a network that begins at 0.
        size = seen.weight_norm if seen.update_norm < MOVED * seen.weight_norm else math.inf
        for decade in range(1 - REACH, REACH + 1):
            rate = given * 10.0**decade
            (loss,), seen = self._measured(rate, 1)
            if MOVED * size <= seen.update_norm < math.inf:
                return rate * size / seen.update_norm
            if self._rises(loss):
                return rate
        raise InvalidArgument("step", f"one that a rate of {given * 10.0**REACH:g} harms", "one that it does not")

    def _measured(self, rate: float, count: int) -> tuple[list[float], Measured[float]]:
        """The losses of so many steps, and what they show beside."""
        measurement = Measurement()
        handles = [
            self._optimizers[0].register_step_pre_hook(lambda *_: measurement.before_step(self._driven)),
            self._optimizers[-1].register_step_post_hook(lambda *_: measurement.after_step(self._driven)),
        ]
        try:
            losses = [self._loss_at(rate) for _ in range(count)]
        finally:
            for handle in handles:
                handle.remove()
        return losses, measurement.conclude(self._ranks.mean(measurement.totals(self._driven)).tolist())

    def _loss_at(self, rate: float) -> float:
        self._knobs.write({"learning_rate": rate})
        self._taken += 1
        loss: Loss | None = self._step()
        if loss is None:
            raise InvalidArgument("step", "a function that returns the loss of its step", "one that returns None")
        losses = LossBuffer()
        losses.append(loss)
        return self._ranks.mean(losses.values).item()

    def _rises(self, loss: float) -> bool:
        """Whether the running average, this loss included, is too high, and not by chance; or is not finite.

        Some more losses of the network as it is tell: their mean is too high, and by `CERTAIN` standard errors of
        the difference between it and the untrained network's.
        """
        self._average = KEPT * self._average + (1 - KEPT) * loss
        if not self._highest_loss < self._average < math.inf:
            return not self._average < math.inf
        again = [self._loss_at(self._lowest) for _ in range(MEASURED_STEPS)]
        if not math.isfinite(sum(again)):
            return True
        rise = statistics.fmean(again) - self._untrained
        error = math.hypot(*(statistics.stdev(each) / math.sqrt(len(each)) for each in (again, self._first)))
        if not rise <= max(self._half, CERTAIN * error):
            return True
        self._average = statistics.fmean(again)
        return False


@contextmanager
def _left_alone(optimizers: Sequence[Optimizer], buffers: Buffers) -> Generator[Callable[[], None]]:
    """What is yielded puts parameters, their state and buffers back; at the end all is as it was."""
    snapshots, copies = [Snapshot(optimizer) for optimizer in optimizers], buffers.copies()
    stateful = [set(optimizer.state) for optimizer in optimizers]
    groups = [(group, {k: _copy(v) for k, v in group.items()}) for each in optimizers for group in each.param_groups]
    gradients = [(p, p.grad) for optimizer in optimizers for p in parameters_of(optimizer)]

    def put_back() -> None:
        for optimizer, snapshot, known in zip(optimizers, snapshots, stateful, strict=True):
            snapshot.restore()
            for parameter in optimizer.state.keys() - known:
                del optimizer.state[parameter]
        buffers.restore(copies)
        for parameter, _ in gradients:
            parameter.grad = None

    with _random_numbers_kept():
        try:
            put_back()
            yield put_back
        finally:
            put_back()
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for group, values in groups:
                for name in group.keys() - values.keys():
                    del group[name]
                for name, value in values.items():
                    if isinstance(value, Tensor):
                        group[name].copy_(value)
                    else:
                        group[name] = value


def _copy(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value


@contextmanager
def _random_numbers_kept() -> Generator[None]:
    """Those of torch, of Python and, where it is used, of NumPy, which data sets draw from."""
    numpy = sys.modules.get("numpy")
    ours, theirs = random.getstate(), numpy.random.get_state() if numpy else None
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(ours)
            if numpy:
                numpy.random.set_state(theirs)
