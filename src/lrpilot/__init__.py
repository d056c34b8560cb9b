"""lrpilot sets the learning rate while a network trains.

The data's way through the package, one file for each arrow::

    batch -> loss -> observation s_t -> actor -> action a_t -> optimizer.step -> reward r_t -> critic -> actor

    observation.py  losses -> s_t             reward.py       f_t, f_{t+1} -> r_t
    actor.py        s_t, memory -> raw        critic.py       s_t, a_t -> Q
    action.py       raw -> a_t                losses.py       equations 5 to 10 as pure functions
    exploration.py  a_t -> the executed rate  replay.py       remembered transitions
    rates.py        a_t -> optimizer          evaluation.py   f_{t+1} without a trace in the network
    actor_critic.py the actor's decisions, both updates
    settings.py     which parts: paper, stable
    online.py       Algorithm 1
    offline.py      the appendix: equation 10

The pilot, whose policy was learned beforehand::

    loss, gradients, updates -> features -> policy -> a step in log rate -> optimizer

    loss_buffer.py  the losses between two decisions
    measurement.py  the user's steps -> what is measured    features.py   -> what the policy sees
    policy.py       features -> a step in log rate          timetable.py  when
    guard.py        takes a destroyed network back          logbook.py    what was seen and done
    pilot.py        all of it, in the shape of a scheduler
    refinement.py   the policy goes on learning over a user's own runs
    population/     thousands of small trainings at once, on which pretrain.py learns the policy:
    distill.py      first from swept schedules, then ppo.py as an actor and a critic
"""

from .errors import InvalidArgument, NonFiniteLoss
from .offline import OfflineActorCritic
from .online import OnlineActorCritic
from .pilot import Pilot
from .settings import PAPER, STABLE, Setting

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
