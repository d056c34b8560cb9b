"""The pilot's policy: features -> a step in log rate. Recurrent actors, and the critic that they learned with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import nn

from lrpilot.core.arguments import whole
from lrpilot.errors import InvalidArgument

from . import policy_file
from .features import FEATURES, LINEAR_DECAY

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

LARGEST_STEP = math.log(10.0)
"""A decision multiplies the rate by at most ten, or divides it by as much, beside the linear decay."""


@runtime_checkable
class Drives(Protocol):
    """What the pilot asks of a policy."""

    def initial_memory(self) -> Tensor: ...  # noqa: D102

    def act(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102


def bounded_step(raw: Float[Tensor, "*run"], linear_decay: Float[Tensor, "*run"]) -> Float[Tensor, "*run"]:
    """The log-rate step for a raw action: a linear decay to zero, and a bounded deviation from it.

    step = linear_decay + ln 10 tanh(raw)

    So an actor that gives 0 decays linearly, as the best plain schedules do, and has only to find the peak
    and what this run needs differently. In the anytime mode ``linear_decay`` is 0.
    """
    return linear_decay + LARGEST_STEP * raw.tanh()


class Recurrent(nn.Module):
    """Features -> hidden layer -> GRU -> one number for each decision."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(features, width)
        self.memory = nn.GRU(width, width)
        self.head = nn.Linear(width, 1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def forward(
        self,
        features: Float[Tensor, "decision run feature"],
        state: Float[Tensor, "1 run width"] | None = None,
    ) -> tuple[Float[Tensor, "decision run"], Float[Tensor, "1 run width"]]:
        """Outputs for a sequence of decisions, and the state after it."""
        hidden, after = self.memory(nn.functional.silu(self.encoder(features)), state)
        return self.head(hidden).squeeze(-1), after


class Panel(nn.Module):
    """Several actors that see the same, of whose answers the median counts: where one errs, the others outvote it.

    Each has a memory of its own, in which the decisions are the panel's.
    """

    def __init__(self, features: int, width: int, members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(Recurrent(features, width) for _ in range(members))

    def forward(
        self,
        features: Float[Tensor, "decision run feature"],
        state: Float[Tensor, "1 run memory"] | None = None,
    ) -> tuple[Float[Tensor, "decision run"], Float[Tensor, "1 run memory"]]:
        """As `Recurrent.forward`; the states of all members stand one after the other."""
        count = len(self.members)
        states = [None] * count if state is None else [part.contiguous() for part in state.chunk(count, -1)]
        answers = [member(features, part) for member, part in zip(self.members, states, strict=True)]
        raw, after = zip(*answers, strict=True)
        return torch.stack(raw).median(0).values, torch.cat(after, -1)


class Policy(nn.Module):
    """The pilot's actor, which moves the log rate, and its critic, which foretells the rest of the run.

    Args:
        width: units of each recurrent layer.
        members: how many actors decide, an odd number; more than one are a `Panel`.
        provenance: what made the policy.

    Raises:
        InvalidArgument: a number outside its range.

    Attributes:
        actor: features -> raw action.
        critic: features -> the expected sum of the rewards to come.
        provenance: what made the policy (configuration, seed, commit, hours), for the header.
    """

    def __init__(self, *, width: int = 64, members: int = 1, provenance: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.width, self.members = whole("width", width), whole("members", members)
        if members % 2 == 0:
            raise InvalidArgument("members", "an odd number", members)
        if not (provenance is None or isinstance(provenance, dict)):
            raise InvalidArgument("provenance", "a dict, or None", provenance)
        width, members = self.width, self.members
        self.actor = Recurrent(len(FEATURES), width) if members == 1 else Panel(len(FEATURES), width, members)
        self.critic = Recurrent(len(FEATURES), width)
        self.provenance = provenance or {}

    def initial_memory(self, shape: tuple[int, ...] = ()) -> Float[Tensor, "*run memory"]:
        """The actor's memory before the first decision of runs of this shape."""
        return torch.zeros(*shape, self.width * self.members)

    @torch.no_grad()
    def act(
        self, features: Float[Tensor, "*run feature"], memory: Float[Tensor, "*run memory"]
    ) -> tuple[Float[Tensor, "*run"], Float[Tensor, "*run memory"]]:
        """The log-rate step for an observation (see `lrpilot.pilot.features.observe`), and the memory after it.

        Deterministic: the same observations give the same steps. The step is at most ln 10 beside the linear
        decay, so the rate may rise tenfold at a decision.
        """
        runs = features.shape[:-1]
        raw, state = self.actor(features.reshape(1, -1, features.shape[-1]), memory.reshape(1, -1, memory.shape[-1]))
        step = bounded_step(raw.view(runs), features[..., LINEAR_DECAY])
        return step, state.view_as(memory)

    def save(self, path: str | Path) -> None:
        """Write the policy, all of it or nothing."""
        header = {"width": self.width, "largest_step": LARGEST_STEP, "provenance": self.provenance}
        header |= {"members": self.members} if isinstance(self.actor, Panel) else {}
        policy_file.write(path, header, self.state_dict())

    @classmethod
    def load(cls, path: str | Path = "shipped") -> Policy:
        """Read a policy; ``"shipped"`` is the one that comes with the package.

        Raises:
            InvalidArgument: there is no such file, or it is damaged, of another kind, of a newer format, or made for
                features or an action that this version computes otherwise.
        """
        header, tensors = policy_file.read(path, largest_step=LARGEST_STEP)
        with torch.random.fork_rng(devices=()):  # initial weights, which are replaced, cost the user no random numbers
            policy = cls(width=header["width"], members=header["members"], provenance=header.get("provenance"))
        policy_file.fill(policy, tensors, header["features"], path)
        return policy.eval()
