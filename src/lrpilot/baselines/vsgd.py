"""vSGD-l, vSGD-b and vSGD-g: rates from running means of gradients, their squares and the curvature.

Schaul, Zhang, LeCun, "No More Pesky Learning Rates", 2013; mini-batches as in Schaul, LeCun, "Adaptive
learning rates and parallelization for stochastic, sparse, non-smooth gradients", 2013.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lrpilot.errors import InvalidArgument

from .curvature import (
    BackwardRecorder,
    LayerPass,
    bias_curvature,
    bias_square,
    square_norms,
    weight_curvature,
    weight_square,
)

Granularity = Literal["local", "block", "global"]
_TINY = torch.finfo(torch.float32).tiny  # makes 0 / 0 a zero: a pixel that is always blank has no gradient


def signal_fraction(mean_square: Tensor, square: Tensor, samples: int) -> Tensor:
    """gbar^2 / (vbar / n + (n - 1) gbar^2 / n): the share of signal in the mean of n gradients.

    In [0, 1], in the shape of its arguments; at n = 1 it is gbar^2 / vbar.
    """
    if samples == 1:
        return mean_square / (square + _TINY)
    return mean_square.mul(samples) / (square + (samples - 1) * mean_square + _TINY)


class VSGD(torch.optim.Optimizer):
    """SGD that estimates its own rates: one for each parameter, each block or the whole network.

    Use it as any optimizer: forward, mean cross-entropy, ``backward()``, ``step()``. It watches ``network``'s
    passes (see ``curvature.BackwardRecorder``) for the samples' own gradients and for the curvature.

    The first ``initial_samples`` samples move nothing: they start the running means, those of the squares and
    of the curvature overestimated ``overestimate`` times, so that the first rates are cautious.

    Args:
        network: ``nn.Sequential`` of Flatten, Linear and Tanh, ending in Linear.
        granularity: "local" (vSGD-l), "block" (vSGD-b: each weight matrix, each bias) or "global" (vSGD-g).
        lr: factor on the estimated rate, >= 0. The method's own value is 1.
        initial_samples: samples without updates, >= 1. Counted in whole batches.
        overestimate: the factor C >= 1; by default a tenth of the number of parameters, and at least 1.
        epsilon: the least curvature, > 0.

    Raises:
        InvalidArgument: a setting out of its range; a network that bbprop does not cover.
    """

    def __init__(
        self,
        network: nn.Sequential,
        granularity: Granularity = "local",
        *,
        lr: float = 1.0,
        initial_samples: int = 60,
        overestimate: float | None = None,
        epsilon: float = 1e-9,
    ) -> None:
        if granularity not in get_args(Granularity):
            raise InvalidArgument("granularity", f"one of {', '.join(get_args(Granularity))}", granularity)
        if not lr >= 0.0:
            raise InvalidArgument("lr", "a number >= 0", lr)
        if initial_samples < 1:
            raise InvalidArgument("initial_samples", "an integer >= 1", initial_samples)
        if epsilon <= 0.0:
            raise InvalidArgument("epsilon", "a number > 0", epsilon)
        self._recorder = BackwardRecorder(network)
        parameters = [p for layer in self._recorder.layers for p in layer.parameters()]
        if overestimate is None:
            overestimate = max(1.0, sum(p.numel() for p in parameters) / 10)
        if overestimate < 1.0:
            raise InvalidArgument("overestimate", "a number >= 1", overestimate)
        defaults = {
            "lr": lr,
            "granularity": granularity,
            "initial_samples": initial_samples,
            "overestimate": overestimate,
            "epsilon": epsilon,
            "samples": 0,  # seen while the running means start
            "batches": 0,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update from the pass just made. Returns the closure's value, if one is given.

        Raises:
            InvalidArgument: not exactly one forward and backward pass since the last step.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        records = self._recorder.take()
        group = self.param_groups[0]
        samples = len(records[0].inputs)
        if group["samples"] < group["initial_samples"]:
            self._start(records, samples)
        elif group["granularity"] == "local":
            self._step_local(records, samples)
        else:
            self._step_blocks(records, samples)
        return loss

    def effective_rate(self) -> float:
        """The median rate over all parameters at the last step; 0 before the first update.

        Not the mean: a weight whose input is always blank has almost no curvature, and a huge rate of no
            effect.
        """
        held = [(p, self.state[p]["rate"]) for p in self.param_groups[0]["params"] if "rate" in self.state[p]]
        if not held:
            return 0.0
        rates = torch.cat([rate.expand_as(p).flatten() for p, rate in held])
        return self.param_groups[0]["lr"] * float(rates.median())

    def _start(self, records: list[LayerPass], samples: int) -> None:
        """Sum up the first samples; with the last of them, turn the sums into the running means' start."""
        group = self.param_groups[0]
        local = group["granularity"] == "local"
        for p, gradient, square, curvature in _moments(records, elementwise=local):
            state = self.state[p]
            if not state:
                state.update(gradient=torch.zeros_like(p), curvature=torch.zeros_like(p))
                state["square"] = torch.zeros_like(square)
            state["gradient"].add_(gradient, alpha=samples)
            state["square"].add_(square, alpha=samples)
            state["curvature"].add_(curvature, alpha=samples)
        group["samples"] += samples
        group["batches"] += 1
        if group["samples"] < group["initial_samples"]:
            return
        for p in group["params"]:
            state = self.state[p]
            state["gradient"].div_(group["samples"])
            state["square"].mul_(group["overestimate"] / group["samples"])
            state["curvature"].mul_(group["overestimate"] / group["samples"]).clamp_(min=group["epsilon"])
            # tau counts steps, each of which averages one batch.
            state["memory"] = torch.full_like(state["square"], float(group["batches"]))

    def _step_local(self, records: list[LayerPass], samples: int) -> None:
        """eta_i = gbar_i^2 / (hbar_i vbar_i), and tau_i <- (1 - gbar_i^2 / vbar_i) tau_i + 1."""
        group = self.param_groups[0]
        for p, gradient, square, curvature in _moments(records, elementwise=True):
            state = self.state[p]
            weight = state["memory"].reciprocal()
            mean = state["gradient"].lerp_(gradient, weight)
            square = state["square"].lerp_(square, weight)
            curvature = state["curvature"].lerp_(curvature.clamp_(min=group["epsilon"]), weight)
            fraction = signal_fraction(mean.square(), square, samples)
            state["memory"].addcmul_(state["memory"], fraction, value=-1.0).add_(1.0)
            state["rate"] = rate = fraction.div_(curvature)
            p.addcmul_(rate, gradient, value=-group["lr"])

    def _step_blocks(self, records: list[LayerPass], samples: int) -> None:
        """eta = sum gbar_i^2 / (max_i hbar_i l), l the running squared norm, in each block on its own.

        A global block shares all its sums, so that each parameter's tensors hold the same tau and l.
        """
        group = self.param_groups[0]
        parts: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
        for p, gradient, norm, curvature in _moments(records, elementwise=False):
            state = self.state[p]
            weight = 1.0 / float(state["memory"])  # a number: broadcasting a tensor costs more than reading it
            mean = state["gradient"].lerp_(gradient, weight)
            norm = state["square"].lerp_(norm, weight)
            curvature = state["curvature"].lerp_(curvature.clamp_(min=group["epsilon"]), weight)
            flat = mean.flatten()
            parts.append((p, gradient, torch.dot(flat, flat), norm, curvature.amax()))
        if group["granularity"] == "global":
            shared = (
                torch.stack([part[2] for part in parts]).sum(),
                torch.stack([part[3] for part in parts]).sum(),
                torch.stack([part[4] for part in parts]).amax(),
            )
            parts = [(p, gradient, *shared) for p, gradient, *_ in parts]
        for p, gradient, mean_square, norm, curvature in parts:
            state = self.state[p]
            fraction = signal_fraction(mean_square, norm, samples)
            state["memory"].mul_(1.0 - fraction).add_(1.0)
            state["rate"] = rate = fraction / curvature
            p.sub_(gradient, alpha=group["lr"] * float(rate))


def _moments(records: list[LayerPass], *, elementwise: bool) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Of each parameter: itself, its mean gradient, mean square (or mean squared norm), mean curvature."""
    for record in records:
        weight, bias = record.layer.weight, record.layer.bias
        single = len(record.inputs) == 1
        norms = (None, None) if elementwise else square_norms(record)
        for p, norm, square_of, curvature_of in (
            (weight, norms[0], weight_square, weight_curvature),
            (bias, norms[1], bias_square, bias_curvature),
        ):
            if p is None or p.grad is None:
                continue
            gradient = p.grad
            if norm is None:
                # With one sample, the mean gradient is that sample's own.
                norm = gradient.square() if single else square_of(record)
            yield p, gradient, norm, curvature_of(record)
