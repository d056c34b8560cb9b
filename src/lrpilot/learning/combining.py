"""One policy out of several: the mean of their weights, or a panel of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lrpilot.errors import InvalidArgument
from lrpilot.pilot.policy import Panel, Policy

if TYPE_CHECKING:
    from torch import Tensor


def mean_of(policies: Sequence[Policy]) -> Policy:
    """A policy whose weights are the mean of theirs.

    Half-way between a policy and what it becomes by further learning often lies a better one than either, for what was
    forgotten is half remembered (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models").

    Raises:
        InvalidArgument: there is none, or their widths differ, or one is a panel.
    """
    _check(policies)
    mean = Policy(width=policies[0].width, provenance=_provenance("mean", policies))
    weights = [policy.state_dict() for policy in policies]

    def average(name: str) -> Tensor:
        return torch.stack([each[name] for each in weights]).mean(0)

    mean.load_state_dict({name: average(name) for name in weights[0]})
    return mean


def panel_of(policies: Sequence[Policy]) -> Policy:
    """A policy whose answer is the median of theirs, see `lrpilot.pilot.policy.Panel`; the critic is the first one's.

    Raises:
        InvalidArgument: there are not three of them or another odd number, or their widths differ, or one is a panel.
    """
    _check(policies)
    if len(policies) < 3 or len(policies) % 2 == 0:
        raise InvalidArgument("policies", "three, or more and an odd number", len(policies))
    panel = Policy(width=policies[0].width, members=len(policies), provenance=_provenance("panel", policies))
    assert isinstance(panel.actor, Panel)
    for actor, policy in zip(panel.actor.members, policies, strict=True):
        actor.load_state_dict(policy.actor.state_dict())
    panel.critic.load_state_dict(policies[0].critic.state_dict())
    return panel


def _check(policies: Sequence[Policy]) -> None:
    if not policies or any(policy.members > 1 or policy.width != policies[0].width for policy in policies):
        allowed = "some of one width, none of them a panel"
        raise InvalidArgument("policies", allowed, [(policy.width, policy.members) for policy in policies])


def _provenance(how: str, policies: Sequence[Policy]) -> dict[str, object]:
    return {"made_by": f"lrpilot pretrain {how}", "of": [policy.provenance for policy in policies]}
