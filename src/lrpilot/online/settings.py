"""The two named settings of Algorithm 1: the same algorithm with different parts passed in.

Each field of :class:`Setting` that the paper leaves open carries the reading of ``docs/algorithm.md`` as its default;
the other reading is one ``dataclasses.replace`` away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import combinations
from types import FunctionType
from typing import Any, Literal, TypeVar

import numpy as np

from lrpilot.core.arguments import LONGEST, real
from lrpilot.core.state import Stateful
from lrpilot.errors import InvalidArgument

from .action import AbsoluteRate, Action, LogRate
from .actor import Initialisation
from .critic import ACTIVATIONS, Activation
from .exploration import LogNormal
from .observation import BatchLoss, Observation, RelativeLogLoss
from .opening import Opening
from .replay import LastTransition, Replay
from .reward import LastingDecrement, LossDecrement, Reward, TransferredDecrement

Part = TypeVar("Part")
ActorBatch = Literal["next", "draw", "same"]
Unroll = Literal["sliding", "chunk"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What Algorithm 1 is made of. Parts are given as factories: a part may hold state, and each run has its own.

    Attributes:
        observation: the state function chi; section 3.1.
        action: what the actor's output means; section 4.1.
        reward: equation 5, or a normalised form of it.
        learn_slope: whether the critic is taught the reward's measured slope as well.
        replay: which transitions the critic learns from.
        exploration: how the executed rate departs from the actor's, or None.
        opening: a sweep of rates before the actor takes over, or None.
        repeat_time: after more than so many steps an action holds for ``sqrt(steps made / repeat_time)`` times as long
            as at the beginning, when it holds for one step or for as many as the opening finds. The batches of these
            steps count as one. None: an action always holds for one step. It also does where further knobs are driven,
            and where f_{t+1} is looked at (the paper's reward, a discount, ``actor_batch="same"``).
        discount: gamma, in [0, 1].
        actor_batch: which batch is x_j: the one that the next step trains on (``"next"``, no further forward pass),
            one of its own (``"draw"``, one further forward pass), or x_i itself (``"same"``, the paper's ablation).
        critic_batch: which batch the critic's states and rewards are of: x_i (``"own"``), as in lines 11 to 13 of
            Algorithm 1, or x_j (``"other"``). Section 4.3 says that "the input xj of the critic network is different
            from the input xi of the actor network", and section 3.4 explains that a step that disagrees with x_j makes
            "the critic's output on xj" small, which holds for the latter alone. Costs as many forward passes (x_j
            before the step in place of x_i after it), and a copy of the parameters.
        actor_learning_rate, critic_learning_rate, betas, epsilon: of Adam; TensorFlow's defaults.
        learn_actor: False freezes the actor (a control).
        unroll: how the actor is "unrolled for 20 steps during training" (section 4.1): ``"sliding"``, an update at
            every step, from the last output, through the steps before it; or ``"chunk"``, one update every
            ``unroll_steps`` steps, from the outputs of all of them. The memory at the beginning is a constant in both.
        unroll_steps: of truncated back-propagation.
        units, layers, critic_units, critic_activation: sizes; section 4.1.
        initialisation: of actor and critic.
        output_scale: deviation of the actor's output weights; if small, its bias as well.
        keep_evaluations: whether the evaluations at s_i^{t+1} and s_j^{t+1} advance the actor's memory too.
        dropout: fresh masks in each evaluation, or masks shared within a step.
    """

    observation: Callable[[], Observation] = BatchLoss
    action: Callable[[], Action] = AbsoluteRate
    reward: Callable[[], Reward] = LossDecrement
    learn_slope: bool = False
    replay: Callable[[], LastTransition | Replay] = LastTransition
    exploration: LogNormal | None = None
    opening: Callable[[], Opening] | None = None
    repeat_time: float | None = None
    discount: float = 0.9
    actor_batch: ActorBatch = "next"
    critic_batch: Literal["own", "other"] = "own"
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    learn_actor: bool = True
    unroll: Unroll = "chunk"
    unroll_steps: int = 20
    units: int = 20
    layers: int = 2
    critic_units: int = 10
    critic_activation: Activation = "tanh"
    initialisation: Initialisation = "small"
    output_scale: float = 0.1
    keep_evaluations: bool = False
    dropout: Literal["fresh", "shared"] = "fresh"

    def __post_init__(self) -> None:
        """Check every range; raise :class:`InvalidArgument` at the first that is left."""
        self._make("observation", Observation)
        action, reward = self._make("action", Action), self._make("reward", Reward)
        self._make("replay", Stateful)
        if self.opening is not None:
            self._make("opening", Opening)
        if not (self.exploration is None or isinstance(self.exploration, LogNormal)):
            raise InvalidArgument("exploration", "a LogNormal, or None", self.exploration)
        if not (self.repeat_time is None or 0 < real(self.repeat_time) < float("inf")):
            raise InvalidArgument("repeat_time", "a finite number above 0, or None", self.repeat_time)
        if not 0 <= real(self.discount) <= 1:
            raise InvalidArgument("discount", "a number in [0, 1]", self.discount)
        for name in ("actor_learning_rate", "critic_learning_rate", "epsilon"):
            if not 0 < real(getattr(self, name)) < float("inf"):
                raise InvalidArgument(name, "a finite number above 0", getattr(self, name))
        if not 0 <= real(self.output_scale) < float("inf"):
            raise InvalidArgument("output_scale", "a finite number of at least 0", self.output_scale)
        pair = isinstance(self.betas, tuple) and len(self.betas) == 2
        if not (pair and all(0 <= real(beta) < 1 for beta in self.betas)):
            raise InvalidArgument("betas", "a tuple of two numbers in [0, 1)", self.betas)
        for name in ("unroll_steps", "units", "layers", "critic_units"):
            number = getattr(self, name)
            if not (isinstance(number, int) and not isinstance(number, bool) and number >= 1):
                raise InvalidArgument(name, "a whole number of at least 1", number)
            if number > LONGEST:
                raise InvalidArgument(name, f"a whole number of at most {LONGEST}", number)
        for name in ("learn_slope", "learn_actor", "keep_evaluations"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgument(name, "True or False", getattr(self, name))
        action.centre([1.0], settled=False)
        scaled = self.initialisation != "pytorch"
        if scaled and self.output_scale == 0 and not np.all(action.rate(np.zeros(1))):
            raise InvalidArgument("output_scale", "above 0 where a raw output of 0 is a rate of 0", self.output_scale)
        if not reward.measures_slope:
            if self.opening is not None:
                raise InvalidArgument("opening", "None where the reward measures no slope", _plain(self.opening))
            if self.learn_slope:
                raise InvalidArgument("learn_slope", "False where the reward measures no slope", True)
        elif self.critic_batch == "other":
            raise InvalidArgument("critic_batch", "'own' where the reward measures a slope", self.critic_batch)
        if self.keep_evaluations and self.unroll == "chunk":
            raise InvalidArgument("keep_evaluations", "False in chunks, which decisions alone advance", True)
        choices: dict[str, tuple[str, ...]] = {
            "actor_batch": ("next", "draw", "same"),
            "critic_batch": ("own", "other"),
            "unroll": ("sliding", "chunk"),
            "critic_activation": tuple(ACTIVATIONS),
            "initialisation": ("tensorflow", "small", "pytorch"),
            "dropout": ("fresh", "shared"),
        }
        for name, allowed in choices.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in allowed:
                raise InvalidArgument(name, f"one of {', '.join(allowed)}", getattr(self, name))

    def _make(self, name: str, kind: type[Part]) -> Part:
        """The part of that name, as a run has it."""
        factory = getattr(self, name)
        try:
            made = factory()
        except (TypeError, AttributeError) as error:
            raise InvalidArgument(name, "a class, or a function that makes one", factory) from error
        if not isinstance(made, kind):
            raise InvalidArgument(name, f"what makes a part like {kind.__name__}", made)
        return made

    def describe(self) -> dict[str, object]:
        """Every field as plain numbers and names, for a run's configuration and to tell two settings apart."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @property
    def name(self) -> str:
        """``"paper"`` or ``"stable"``; of any other setting, in what it differs from the paper's."""
        mine = self.describe()
        for name, setting in SETTINGS.items():
            if mine == setting.describe():
                return name
        paper = PAPER.describe()
        return ", ".join(["paper", *(f"{name}={value!r}" for name, value in mine.items() if value != paper[name])])

    def check_same(self, described: dict[str, object]) -> None:
        """Raise :class:`InvalidArgument` at the first field in which a described setting differs from this one."""
        mine = self.describe()
        for name, value in described.items():
            if value != mine.get(name):
                raise InvalidArgument(f"the saved setting's {name}", f"{mine.get(name)!r} as here", value)


def _plain(part: object) -> object:
    if isinstance(part, type | FunctionType):
        return part.__name__
    if isinstance(part, partial):
        return {_plain(part.func): [*part.args, dict(part.keywords)]}
    if isinstance(part, LogNormal):
        return {"LogNormal": vars(part)}
    return list(part) if isinstance(part, tuple) else part


PAPER = Setting()
"""The paper, literally."""

DEVIATIONS: Mapping[str, Mapping[str, Any]] = {
    "D1": {"observation": RelativeLogLoss},
    "D2": {"action": LogRate, "output_scale": 0.0},  # a raw action of 0 is the rate of the centre
    "D3": {"reward": TransferredDecrement},
    "D4": {"learn_slope": True},
    "D5": {"discount": 0.0},
    "D6": {"replay": Replay},
    "D7": {"exploration": LogNormal()},
    "D8": {"opening": Opening},
    "D9": {"dropout": "shared"},
    "D10": {"actor_learning_rate": 3e-4},
    "D11": {"reward": LastingDecrement},
    "D12": {"actor_learning_rate": 2e-3},
    "D13": {"repeat_time": 1000.0},
}
"""The numbered deviations of ``docs/algorithm.md``: the fields that each changes.

D4 and D8 need D3 or D11, D13 needs D5 and D11.

The stable setting does without D1, D3, D6, D7 and D10, which are studied (``lrpilot reproduce readings``).
"""


def deviating(*numbers: str) -> Setting:
    """The paper's setting with some of the :data:`DEVIATIONS`.

    Raises:
        InvalidArgument: there is no such deviation, one without another that it needs, or two of the same field.
    """
    for number in numbers:
        if not isinstance(number, str) or number not in DEVIATIONS:
            raise InvalidArgument("deviations", f"some of {', '.join(DEVIATIONS)}", number)
    given = set(numbers)
    if given & {"D4", "D8"} and not given & {"D3", "D11"}:
        raise InvalidArgument("deviations", "with D3 or D11, which measure what D4 and D8 need", numbers)
    if "D13" in given and not {"D5", "D11"} <= given:
        raise InvalidArgument("deviations", "with D5 and D11, without which D13 can do nothing", numbers)
    for one, other in combinations(sorted(given), 2):
        if DEVIATIONS[one].keys() & DEVIATIONS[other].keys():
            raise InvalidArgument("deviations", f"with one of {one} and {other}, not with both", numbers)
    return Setting(**{name: value for number in numbers for name, value in DEVIATIONS[number].items()})


STABLE_DEVIATIONS = ("D2", "D4", "D5", "D8", "D9", "D11", "D12", "D13")
STABLE = deviating(*STABLE_DEVIATIONS)
"""The deviations without one of which Algorithm 1 fails, from some start or in long runs; and D5, to save a pass."""

SETTINGS: dict[str, Setting] = {"paper": PAPER, "stable": STABLE}


def check_draw(draw: Callable[[], Any] | None, setting: Setting) -> None:
    """Refuse a way to draw x_j that is missing, is no function, or that nobody would ask."""
    if (draw is not None) != (setting.actor_batch == "draw") or not (draw is None or callable(draw)):
        raise InvalidArgument("draw", "a function exactly when actor_batch is 'draw'", draw)


def resolve(setting: str | Setting) -> Setting:
    """A setting by its name, or the setting itself."""
    if isinstance(setting, Setting):
        return setting
    if not isinstance(setting, str) or setting not in SETTINGS:
        raise InvalidArgument("setting", f"one of {', '.join(SETTINGS)} or a Setting", setting)
    return SETTINGS[setting]
