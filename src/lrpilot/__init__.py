"""lrpilot sets the learning rate while a network trains.

Two controllers that know nothing of each other stand on one ground floor; each folder's page is a map of its files::

    core/          hyperparameters of a group, the history of a run, copies of a network
    online/        the paper: an actor and a critic that learn the rate during the very run that they drive
    pilot/         a policy learned beforehand drives the rate, in the shape of a scheduler
    learning/      how that policy is learned: from thousands of batched trainings, and from a bank of real ones
    baselines/     what both are measured against
    integrations/  the pilot in trainers that have a loop of their own
    experiments/   tasks, runs, studies and reports
    commands/      the command's subcommands, and what they show on a terminal

Imports run upwards in this list, never down: ``core`` imports none of the others.

The public names are loaded when the first of them is asked for: the command answers Ctrl-C before torch is there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .public import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    public = import_module(f"{__name__}.public")  # `from . import` would ask here for it

    return [*public.__all__, "__version__"] if name == "__all__" else getattr(public, name)


def __dir__() -> list[str]:
    return __getattr__("__all__")
