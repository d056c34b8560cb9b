"""The names that ``import lrpilot`` offers."""

from .core.knobs import Beta, Dropout, Knob, LearningRate, Momentum, WeightDecay
from .core.schedule import load_schedule
from .errors import Diverged, InvalidArgument, NonFiniteLoss, NonFiniteRate, NonFiniteWeights, PilotWarning
from .learning.refinement import Refinement, RefinementConfig
from .online.action import AbsoluteRate, LogRate
from .online.controller import OnlineActorCritic
from .online.exploration import LogNormal
from .online.observation import BatchLoss, RelativeLogLoss
from .online.offline import OfflineActorCritic
from .online.opening import Opening
from .online.replay import LastTransition, Replay
from .online.reward import LastingDecrement, LossDecrement, TransferredDecrement
from .online.settings import PAPER, STABLE, Setting, deviating
from .pilot.controller import Pilot
from .pilot.logbook import Decision, Logbook
from .pilot.policy import Policy
from .suggestion import Suggestion, suggest

__all__ = [
    "PAPER",
    "STABLE",
    "AbsoluteRate",
    "BatchLoss",
    "Beta",
    "Decision",
    "Diverged",
    "Dropout",
    "InvalidArgument",
    "Knob",
    "LastTransition",
    "LastingDecrement",
    "LearningRate",
    "LogNormal",
    "LogRate",
    "Logbook",
    "LossDecrement",
    "Momentum",
    "NonFiniteLoss",
    "NonFiniteRate",
    "NonFiniteWeights",
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
    "Suggestion",
    "TransferredDecrement",
    "WeightDecay",
    "deviating",
    "load_schedule",
    "suggest",
]
