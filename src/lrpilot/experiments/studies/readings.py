"""Under which reading Algorithm 1 works: what is varied.

From the literal setting upwards: other readings of what the paper leaves open, single deviations, and several
together. From the stable setting downwards: each deviation taken away, with those that need it; and upwards: those
that it does without. M0 and M1, which have no dropout, say nothing of D9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lrpilot.online.settings import DEVIATIONS, STABLE_DEVIATIONS

if TYPE_CHECKING:
    from lrpilot.experiments.runs.trial import Scalar

METHOD = "online-paper"  # every reading is this one with a setting of its own
TASKS = ("m0", "m1")


def _stable(*, without: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> Mapping[str, Scalar]:
    numbers = {*STABLE_DEVIATIONS, *also} - {*without}
    return {"deviations": "+".join(number for number in DEVIATIONS if number in numbers)}


READINGS: Mapping[str, Mapping[str, Scalar]] = {
    "paper": {},
    "actor's output weights N(0, 0.01)": {"output_scale": 0.01},
    "actor's output weights N(0, 1)": {"output_scale": 1.0},
    "PyTorch's initial weights": {"initialisation": "pytorch"},
    "actor's Adam at 1e-4": {"actor_learning_rate": 1e-4},
    "actor's Adam at 1e-2": {"actor_learning_rate": 1e-2},
    "critic's Adam at 1e-4": {"critic_learning_rate": 1e-4},
    "critic's Adam at 1e-2": {"critic_learning_rate": 1e-2},
    "discount 0": {"discount": 0.0},
    "x_j = x_i": {"actor_batch": "same"},
    "critic with tanh": {"critic_activation": "tanh"},
    "evaluations advance the memory": {"keep_evaluations": True},
    "no unrolling": {"unroll_steps": 1},
    "paper + D1 (log loss seen)": {"deviations": "D1"},
    "paper + D2 (log rate)": {"deviations": "D2"},
    "paper + D3 (next batch's reward)": {"deviations": "D3"},
    "paper + D6 (replay)": {"deviations": "D6"},
    "paper + D7 (exploration)": {"deviations": "D7"},
    "paper + D1 + D2 + D6 + D7 (all but the reward)": {"deviations": "D1+D2+D6+D7"},
    "paper + D3 + D4 (its slope)": {"deviations": "D3+D4"},
    "paper + D2 + D3 + D4": {"deviations": "D2+D3+D4"},
    "paper + D2 + D3 + D4 + D5": {"deviations": "D2+D3+D4+D5"},
    "paper + D2 + D3 + D5": {"deviations": "D2+D3+D5"},
    "paper + D2 + D3 + D5 + D8": {"deviations": "D2+D3+D5+D8"},
    "stable": _stable(),
    "stable - D2": _stable(without=("D2",)),
    "stable - D3 (and D4, D8)": _stable(without=("D3", "D4", "D8")),
    "stable - D4": _stable(without=("D4",)),
    "stable - D5 (discount 0.99)": _stable(without=("D5",)),
    "stable - D8": _stable(without=("D8",)),
    "stable - D10 (actor's Adam at 1e-3)": _stable(without=("D10",)),
    "stable + D1": _stable(also=("D1",)),
    "stable + D6": _stable(also=("D6",)),
    "stable + D7": _stable(also=("D7",)),
    "stable + D1 + D6 + D7": _stable(also=("D1", "D6", "D7")),
}
