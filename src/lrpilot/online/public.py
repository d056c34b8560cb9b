"""The public names of the paper's algorithm."""

from .action import AbsoluteRate, LogRate
from .controller import OnlineActorCritic
from .exploration import LogNormal
from .observation import BatchLoss, RelativeLogLoss
from .offline import OfflineActorCritic
from .opening import Opening
from .replay import LastTransition, Replay
from .reward import LastingDecrement, LossDecrement, TransferredDecrement
from .settings import PAPER, STABLE, Setting, deviating

__all__ = [
    "PAPER",
    "STABLE",
    "AbsoluteRate",
    "BatchLoss",
    "LastTransition",
    "LastingDecrement",
    "LogNormal",
    "LogRate",
    "LossDecrement",
    "OfflineActorCritic",
    "OnlineActorCritic",
    "Opening",
    "RelativeLogLoss",
    "Replay",
    "Setting",
    "TransferredDecrement",
    "deviating",
]
