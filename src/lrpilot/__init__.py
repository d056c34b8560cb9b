"""lrpilot sets the learning rate while a network trains.

Two controllers that know nothing of each other stand on one ground floor; each folder's page is a map of its files::

    core/          hyperparameters of a group, the history of a run, copies of a network
    online/        the paper: an actor and a critic that learn the rate during the very run that they drive
    pilot/         a policy learned beforehand drives the rate, in the shape of a scheduler
    learning/      how that policy is learned: from thousands of batched trainings, and from a bank of real ones
    baselines/     what both are measured against
    integrations/  the pilot in trainers that have a loop of their own
    experiments/   tasks, runs, studies and reports, and the command's subcommands

Imports run upwards in this list, never down: ``core`` imports none of the others.
"""

from .core.schedule import load_schedule
from .errors import Diverged, InvalidArgument, NonFiniteLoss, NonFiniteRate
from .learning.refinement import Refinement, RefinementConfig
from .online.action import AbsoluteRate, LogRate
from .online.controller import OnlineActorCritic
from .online.exploration import LogNormal
from .online.observation import BatchLoss, RelativeLogLoss
from .online.offline import OfflineActorCritic
from .online.opening import Opening
from .online.replay import LastTransition, Replay
from .online.reward import LossDecrement, TransferredDecrement
from .online.settings import PAPER, STABLE, Setting, deviating
from .pilot.controller import Pilot
from .pilot.logbook import Decision, Logbook
from .pilot.notices import PilotWarning
from .pilot.policy import Policy

__version__ = "0.1.0"

__all__ = [
    "PAPER",
    "STABLE",
    "AbsoluteRate",
    "BatchLoss",
    "Decision",
    "Diverged",
    "InvalidArgument",
    "LastTransition",
    "LogNormal",
    "LogRate",
    "Logbook",
    "LossDecrement",
    "NonFiniteLoss",
    "NonFiniteRate",
    "OfflineActorCritic",
    "OnlineActorCritic",
    "Opening",
    "Pilot",
    "PilotWarning",
    "Policy",
    "Refinement",
    "RefinementConfig",
    "RelativeLogLoss",
    "Replay",
    "Setting",
    "TransferredDecrement",
    "__version__",
    "deviating",
    "load_schedule",
]


def __dir__() -> list[str]:
    return __all__
