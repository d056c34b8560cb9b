"""lrpilot sets the learning rate while a network trains.

Two controllers that know nothing of each other stand on one ground floor; each folder's page is a map of its files::

    core/          hyperparameters of a group, the history of a run, copies of a network
    online/        the paper: an actor and a critic that learn the rate during the very run that they drive
    pilot/         a policy learned beforehand drives the rate, in the shape of a scheduler
    learning/      how that policy is learned: from thousands of batched trainings, and from a bank of real ones
    baselines/     what both are measured against
    experiments/   tasks, runs, studies and reports, and the command's subcommands

Imports run upwards in this list, never down: ``core`` imports none of the others.
"""

from .errors import InvalidArgument, NonFiniteLoss
from .online.controller import OnlineActorCritic
from .online.offline import OfflineActorCritic
from .online.settings import PAPER, STABLE, Setting
from .pilot.controller import Pilot

__all__ = [
    "PAPER",
    "STABLE",
    "InvalidArgument",
    "NonFiniteLoss",
    "OfflineActorCritic",
    "OnlineActorCritic",
    "Pilot",
    "Setting",
]


def __dir__() -> list[str]:
    return __all__
