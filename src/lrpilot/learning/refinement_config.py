"""The numbers of a refinement."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrpilot.core.arguments import real, whole
from lrpilot.errors import InvalidArgument

from .pretrain_config import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class RefinementConfig:
    """How a policy is refined. The defaults are those of its pretraining where that has them.

    Attributes:
        exploration: standard deviation of the Gaussian noise on the raw action. More of it tries more, and costs the
            runs that try.
        actor_rate: Adam's learning rate for the actor.
        critic_rate: Adam's learning rate for the critic.
        epochs: updates after each run.
        memory: how many of the last runs they are made on.
        clip: of the probability ratio: how far the policy may move away from the one that made a run.
        gae: decay of the advantage estimate, in [0, 1]; at 1 a decision is credited with all that came after it.
        dense: share of the decrease in log loss, interval by interval, in the reward beside the final score.
        tail: share of a run, at its end, over which the loss is averaged for the score.
    """

    exploration: float = PretrainConfig.exploration
    actor_rate: float = PretrainConfig.ppo_rate
    critic_rate: float = 1e-3
    epochs: int = 6
    memory: int = 16
    clip: float = PretrainConfig.clip
    gae: float = PretrainConfig.gae
    dense: float = PretrainConfig.dense
    tail: float = 0.1

    def __post_init__(self) -> None:
        """Check every range; raise :class:`InvalidArgument` at the first that is left."""
        for name in ("exploration", "clip"):
            if not 0 < real(getattr(self, name)) < math.inf:
                raise InvalidArgument(name, "a finite number above 0", getattr(self, name))
        for name in ("actor_rate", "critic_rate"):
            if not 0 <= real(getattr(self, name)) < math.inf:
                raise InvalidArgument(name, "a finite number of at least 0", getattr(self, name))
        for name in ("gae", "dense"):
            if not 0 <= real(getattr(self, name)) <= 1:
                raise InvalidArgument(name, "a number in [0, 1]", getattr(self, name))
        if not 0 < real(self.tail) <= 1:
            raise InvalidArgument("tail", "a number above 0 and at most 1", self.tail)
        whole("epochs", self.epochs, least=0)
        whole("memory", self.memory)
