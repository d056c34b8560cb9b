"""Proximal policy optimisation of the recurrent actor and critic over whole rollouts, as pure functions.

The reward is the telescoping decrease of the log loss to the end of the run, undiscounted, and at the end
the final score (training and held-out). Advantages are centred over the replicas of one task at the same
decision: replicas share data, batches and initial weights, so that what is left is owed to their rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.learning.population.rollouts import Rollout
    from lrpilot.pilot.policy import Policy


def rewards(rollout: Rollout, *, dense: float) -> Float[Tensor, "decision run"]:
    """The reward that follows each decision; their sum is the run's return.

    r_d = dense (m_d - m_{d+1}), m_d the mean log loss of interval d, clipped to one nat; the last decision's
    reward has minus the final score added.
    """
    drops = (rollout.log_losses[:-1] - rollout.log_losses[1:]).clamp(-1, 1)
    earned = dense * drops
    earned[-1] -= rollout.scores
    return earned


def advantages(
    earned: Float[Tensor, "decision run"], values: Float[Tensor, "decision run"], *, decay: float
) -> Float[Tensor, "decision run"]:
    """Generalised advantage estimates without discount.

    A_d = delta_d + decay A_{d+1},   delta_d = r_d + V_{d+1} - V_d,   V after the last decision 0
    """
    result = torch.empty_like(values)
    following, after = torch.zeros_like(values[0]), torch.zeros_like(values[0])
    for decision in range(len(values) - 1, -1, -1):
        delta = earned[decision] + after - values[decision]
        following = delta + decay * following
        result[decision], after = following, values[decision]
    return result


def centre_over_replicas(values: Float[Tensor, "decision run"], replicas: int) -> Float[Tensor, "decision run"]:
    """Take away each task's mean over its replicas, and scale the whole to a standard deviation of one."""
    grouped = values.view(len(values), -1, replicas)
    centred = (grouped - grouped.mean(2, keepdim=True)).view_as(values)
    return (centred / (centred.std() + 1e-6)).clamp(-4, 4)


def clipped_loss(
    means: Float[Tensor, "decision run"],
    old_means: Float[Tensor, "decision run"],
    actions: Float[Tensor, "decision run"],
    advantage: Float[Tensor, "decision run"],
    *,
    exploration: float,
    clip: float,
) -> Float[Tensor, ""]:
    """-mean min(rho A, clip(rho, 1 - clip, 1 + clip) A), rho the ratio of two Gaussians of one width."""
    log_ratio = ((actions - old_means).square() - (actions - means).square()) / (2 * exploration**2)
    ratio = log_ratio.clamp(max=math.log(100.0)).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


@dataclass(frozen=True)
class ValuedRollout:
    """A group's rollout with what PPO learns from it, each [decision, run].

    Attributes:
        rollout: under the policy as it was.
        old_means: the raw actions that this policy proposed, before exploration.
        advantage: how much better than the critic foretold, centred over the replicas of a task.
        returns: what the critic should have foretold.
    """

    rollout: Rollout
    old_means: Tensor
    advantage: Tensor
    returns: Tensor

    @classmethod
    def of(cls, rollout: Rollout, policy: Policy, *, replicas: int, dense: float, decay: float) -> ValuedRollout:
        """What a policy's own rollout of ``replicas`` runs for each task teaches it."""
        with torch.no_grad():
            means, _ = policy.actor(rollout.observations)
            values, _ = policy.critic(rollout.observations)
        estimate = advantages(rewards(rollout, dense=dense), values, decay=decay)
        return cls(rollout, means, centre_over_replicas(estimate, replicas), estimate + values)


def update(
    batch: list[ValuedRollout],
    policy: Policy,
    actor: torch.optim.Optimizer,
    critic: torch.optim.Optimizer,
    *,
    exploration: float,
    clip: float,
) -> float:
    """One step of actor and critic; the critic's squared error."""
    total = 0.0
    actor.zero_grad()
    critic.zero_grad()
    for part in batch:
        means, _ = policy.actor(part.rollout.observations)
        settings = {"exploration": exploration, "clip": clip}
        loss = clipped_loss(means, part.old_means, part.rollout.raw, part.advantage, **settings)
        values, _ = policy.critic(part.rollout.observations)
        error = (values - part.returns).square().mean()
        ((loss + 0.5 * error) / len(batch)).backward()
        total += error.item() / len(batch)
    for network, optimizer in ((policy.actor, actor), (policy.critic, critic)):
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
    return total
