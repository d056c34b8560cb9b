"""The noisy quadratic f(w) = 1/2 sum_i h_i (w_i - x_i)^2, x_i ~ N(0, s^2): the task whose optimum is known.

Under SGD the moments follow m_i <- (1 - a h_i)^2 m_i + a^2 h_i^2 s^2 / B, with m_i = E[w_i^2] and batch size
B, so the schedule that is best at the END of the run, not at the next step, can be found by descending
through these moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lrpilot.learning.population import plain

from .data import INPUTS
from .networks import Network, Parameter

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def quadratic() -> Network:
    """The network whose outputs are its 64 parameters, whatever the inputs."""
    parameters = (Parameter((1, INPUTS), 1),)

    def forward(values: list[Tensor], x: Tensor, drop: object = None) -> Tensor:
        return values[0].expand_as(x)

    return Network("quadratic", parameters, forward, plain.Point)


def expected_losses(
    rates: Float[Tensor, " step"],
    curvature: Float[Tensor, " dim"],
    moments: Float[Tensor, " dim"],
    variance: float,
) -> Float[Tensor, " step"]:
    """1/2 sum_i h_i m_i after each step of SGD; ``variance`` is s^2 / B, ``moments`` those at the start."""
    losses: list[Tensor] = []
    for rate in rates:
        moments = (1 - rate * curvature) ** 2 * moments + rate**2 * curvature**2 * variance
        losses.append(0.5 * (curvature * moments).sum())
    return torch.stack(losses)


def best_schedule(
    curvature: Float[Tensor, " dim"],
    moments: Float[Tensor, " dim"],
    variance: float,
    *,
    steps: int,
    iterations: int = 200,
) -> Float[Tensor, " step"]:
    """The rates that minimise the expected loss after the last step, by Adam on their logs: the best it came by."""
    start = (1 / curvature.max()) * torch.linspace(1, 0.05, steps)
    log_rates = start.log().requires_grad_()
    optimizer = torch.optim.Adam([log_rates], lr=0.05)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, iterations)
    best, least = log_rates.detach().clone(), torch.tensor(torch.inf)
    for _ in range(iterations):
        loss = expected_losses(log_rates.exp(), curvature, moments, variance)[-1].log()
        if loss < least:
            best, least = log_rates.detach().clone(), loss.detach()
        (log_rates.grad,) = torch.autograd.grad(loss, log_rates)
        if not log_rates.grad.isfinite().all():
            break
        optimizer.step()
        decay.step()
    return best.exp()
