"""The names that ``import lrpilot`` offers.

Those of the paper's algorithm are loaded when one of them is asked for: they need NumPy, which nothing else here does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.knobs import Beta, Dropout, Knob, LearningRate, Momentum, WeightDecay
from .core.schedule import load_schedule
from .errors import Diverged, InvalidArgument, NonFiniteLoss, NonFiniteRate, NonFiniteWeights, PilotWarning
from .learning.refinement import Refinement, RefinementConfig
from .pilot.controller import Pilot
from .pilot.logbook import Decision, Logbook
from .pilot.policy import Policy
from .suggestion import Suggestion, suggest

if TYPE_CHECKING:
    from .online.public import (
        PAPER,
        STABLE,
        AbsoluteRate,
        BatchLoss,
        LastingDecrement,
        LastTransition,
        LogNormal,
        LogRate,
        LossDecrement,
        OfflineActorCritic,
        OnlineActorCritic,
        Opening,
        RelativeLogLoss,
        Replay,
        Setting,
        TransferredDecrement,
        deviating,
    )

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("lrpilot.online.public"), name)
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise ModuleNotFoundError(f"{name} needs NumPy: pip install 'lrpilot[online]'", name=error.name) from error
