"""Algorithm 1: the actor and the critic learn the learning rate during the very run that they drive.

    observation s_t -> actor -> action a_t -> optimizer.step -> reward r_t -> critic -> actor

The line numbers in the code are those of the paper's Algorithm 1.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.core.history import History
from lrpilot.core.knobs import Knob, LearningRate
from lrpilot.core.randomness import own_generator
from lrpilot.core.state import StateDict, Stateful, load_all_or_nothing, on_device
from lrpilot.errors import InvalidArgument, NonFiniteLoss, NonFiniteRate

from .actor_critic import ActorCritic
from .arrays import Array, to_arrays, to_tensors
from .controls import Controls, Granularity
from .displacement import Displacement
from .evaluation import Evaluator, LossFunction, number_of
from .opening import Opening
from .placement import checked_dtype, home_of
from .repeat import ActionRepeat, repeats
from .replay import Transition
from .reward import Evidence
from .sensitivity import Sensitivity
from .settings import Setting, check_draw, resolve
from .watch import Watch

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure


_MISSING: Any = object()


class UnlearnedStep(NamedTuple):
    """What a step leaves to be learned from once the next batch, x_j, is known; in the letters of the paper."""

    s_t: Float[Array, " s"]
    a_t: Float[Array, " action"]
    f_t: float
    f_tp1: float | None
    promised: Tensor | None  # where the network is, until it is learned from
    along: Tensor | None
    steps: int = 1  # for which the action held


class Look(NamedTuple):
    """A batch, its loss as things stand, and the observation of that."""

    batch: Any
    loss: float
    observation: Float[Array, " s"]


class OnlineActorCritic:
    """Drives an optimizer's learning rate by Algorithm 1; if asked, other knobs too, and group by group.

    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    >>> controller = OnlineActorCritic(optimizer)
    >>> def loss_fn(batch):
    ...     inputs, targets = batch
    ...     return (model(inputs) - targets).square().mean()
    >>> loss = controller.step(loss_fn, (torch.ones(8, 3), torch.zeros(8, 1)))

    ``"paper"`` costs one forward pass more than a plain step (two with ``actor_batch="draw"``), ``"stable"``
    none once its opening is over. Any torch optimizer that does not need a closure will do; ratios between
    parameter groups are kept.

    >>> from lrpilot import LearningRate, Momentum
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    >>> controller = OnlineActorCritic(optimizer, controls=(LearningRate(), Momentum()), granularity="group")

    Args:
        optimizer: its parameters are on one device. Actor and critic are on the host, as arrays too small for another.
        setting: ``"stable"``, ``"paper"``, or a :class:`~lrpilot.Setting`. A given learner brings its own.
        draw: for ``actor_batch="draw"`` alone: called without arguments, returns a batch x_j.
        learner: an actor and a critic that have learned in other runs; new ones if None.
        controls: what is driven, :class:`~lrpilot.LearningRate` first. All others begin at the value that the user gave
            and move around it on a log scale of their own.
        granularity: whether a knob has one value in all groups, which keep their ratios (``"global"``), one in each
            parameter group (``"group"``), or one in each tensor (``"tensor"``: the groups are divided in place). One
            actor decides for all, with a memory for each; the critic sees all values.
        generator: draws actor's and critic's initial weights, exploration and replay; a CPU generator. A new one,
            seeded from torch's global one, if None.
        dtype: of the actor's weights: float32 or float64. A given learner brings its own.

    Raises:
        InvalidArgument: an argument outside its range.
    """

    mends = False
    """A loss that is not finite ends the run: :meth:`step` raises."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        setting: str | Setting = "stable",
        *,
        draw: Callable[[], Any] | None = None,
        learner: ActorCritic | None = None,
        controls: Sequence[Knob] = (LearningRate(),),
        granularity: Granularity = "global",
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not (learner is None or isinstance(learner, ActorCritic)):
            raise InvalidArgument("learner", "that of an OfflineActorCritic, or None", learner)
        self.setting = setting = resolve(setting) if learner is None else learner.setting
        check_draw(draw, setting)
        if learner is not None:
            dtype = learner.dtype
        like = torch.empty(0, dtype=checked_dtype(dtype), device=home_of(optimizer))
        self.controls = Controls(optimizer, controls, granularity, like=like)
        self.optimizer = optimizer
        names = self.controls.names
        self._slopes = ["dq_da", *(f"dq_da/{name}" for name in names[1:])]
        self.history = History("loss", *names, "reward", "td_error", *self._slopes)
        """Loss, executed rate and other values of each step; reward, TD error and dQ/da of each that was learned from,
        in order: of steps that an action held for, the same. Of several places the first has ``rate``, the second
        ``rate/1``."""
        self._draw = draw
        self._generator = own_generator(generator)
        self._observation = setting.observation()
        self._reward = setting.reward()
        self._opening = setting.opening() if setting.opening else None
        self._evaluator = Evaluator(shared_masks=setting.dropout == "shared")
        elsewhere = setting.critic_batch == "other" and setting.actor_batch != "same"
        self._one_batch = elsewhere or setting.actor_batch == "same"  # the actor is judged where the critic learns
        moves = self._reward.measures_slope or elsewhere
        memory = self._reward.memory
        self._displacement = Displacement(optimizer, like=like, memory=memory) if moves else None
        measured = len(self.controls.in_step) == len(controls)
        if setting.learn_slope and setting.exploration is None and not measured:
            unmeasured = ", ".join(knob.name for knob in controls if not knob.in_step)
            allowed = f"one that explores, for the slope along {unmeasured} is not measured: deviation D7, as in "
            allowed += "dataclasses.replace(lrpilot.STABLE, exploration=lrpilot.LogNormal())"
            raise InvalidArgument("setting", allowed, setting.name)
        self._sensitivity = None
        if self._displacement is not None and self._reward.measures_slope and len(names) > 1:
            self._sensitivity = Sensitivity(self.controls, self._displacement, like=like, memory=memory)
        layout = self.controls.layout
        self.learner = learner or ActorCritic(setting, generator=self._generator, dtype=dtype, layout=layout)
        if self.learner.layout != layout:
            raise InvalidArgument("controls and granularity", "those of the learner", f"{controls}, {granularity}")
        self.learner.begin_run(self.controls.given)
        self._standing = np.array(self.controls.given)  # decided last
        always = setting.discount or setting.actor_batch == "same"
        looks_every = 1 if always else self._reward.looks_every
        self._looks_every = None if elsewhere else looks_every
        one_by_one = elsewhere or looks_every or len(controls) > 1
        self._repeat_time = None if one_by_one else setting.repeat_time
        self._unlearned: UnlearnedStep | None = None
        self._repeat: ActionRepeat | None = None
        self._watch = Watch(optimizer)
        self._dtype = dtype
        self._step = 0

    def step(self, loss_fn: LossFunction, batch: Any = _MISSING) -> Float[Tensor, ""]:
        """Train on ``batch``: forward, backward, one step of the optimizer at the actor's rate, and learn from it.

        What a step teaches is learned at the beginning of the next one, when x_j is known. In the stable setting an
        action holds for several steps once a run is long, and with a few examples a batch from the beginning. They are
        learned from as one: ``repeat_time`` of :class:`Setting`.

        Args:
            loss_fn: ``loss_fn(batch)`` returns the scalar loss with its graph. It is called once with gradients (twice
                in a step in which an opening takes the network back) and, where the setting asks for it, once
                more without, at the new parameters; running statistics (BatchNorm) move with gradients only. One that
                takes gradients of its own, such as a gradient penalty, does so under ``torch.enable_grad()``.
            batch: whatever ``loss_fn`` takes.

        Returns:
            The loss before the step, detached.

        Raises:
            NonFiniteLoss: the loss is not finite.
            NonFiniteRate: the rate that the actor decided on is not finite.
            InvalidArgument: the loss is no scalar, has no graph, or the first one is not above 0 (with an opening).
        The network is as the last step left it then, and the optimizer's rates are too.
        """
        if not callable(loss_fn) or batch is _MISSING:
            came = type(loss_fn).__name__ + (" and no batch" if batch is _MISSING else "")
            raise InvalidArgument("what step takes", "a function loss_fn(batch) and a batch", came)
        self._watch.look_at_rates()
        loss, f_t = self._forward(loss_fn, batch)  # line 4, and line 18 of the step before
        if self._opening is not None and self._opening.look(f_t):
            begun = self._repeat is not None and self._repeat.begun
            if self._displacement is not None and (begun or self._unlearned is not None):
                if begun:
                    self._displacement.end()
                self._displacement.undo()  # the last action may have done it
                loss, f_t = self._forward(loss_fn, batch)
                self._opening.look(f_t)
            self._unlearned, self._repeat = None, None
            self._reward = self.setting.reward()  # of losses of another size
            self.learner.interrupt()
        if self._sweep is not None:  # Deviation D8
            self._sweep.attach(self.controls.given[0], self.optimizer, self._evaluator.buffers)
        s_t = self._backward(loss, f_t)  # line 8
        if self._displacement is not None and self._holds > 1:
            self._go_on(self._displacement, loss_fn, Look(batch, f_t, s_t))
            return loss.detach().reshape(())
        past, self._unlearned = self._unlearned, None
        if past is not None and not self._learn(past, loss_fn, Look(batch, f_t, s_t)):
            loss, f_t = self._forward(loss_fn, batch)  # of the network as it is now
            s_t = self._backward(loss, f_t)

        decided = self._decide(s_t)  # line 6
        self._observation.commit(f_t)
        a_t = self.controls.in_force(decided, self._standing)
        promised, along = self._update(a_t)  # line 9
        self.history.append(loss=f_t, **self.controls.values(a_t))
        self._step += 1

        f_tp1, kept = None, True
        if (self._looks_every and self._step % self._looks_every == 0) or self._sweep is not None:
            try:
                after = self._evaluator.extra_pass(loss_fn, batch)
                if (sweep := self._sweep) is not None and not sweep.survived(f_t, float(after)):
                    kept = False  # the network is back where it was
                    self._settle(sweep)
                f_tp1 = self._checked(after) if kept else None
            except BaseException:  # nobody learns from this step
                self.learner.interrupt()
                raise
        self._unlearned = UnlearnedStep(s_t, a_t, f_t, f_tp1, promised, along) if kept else None
        self.controls.write(decided.tolist(), in_step=False)
        self._standing = decided
        return loss.detach().reshape(())

    def _forward(self, loss_fn: LossFunction, batch: Any) -> tuple[Tensor, float]:
        """The loss of the batch with its graph, and its checked value f_t."""
        loss = self._evaluator.training_pass(loss_fn, batch)
        f_t = self._checked(loss)
        if not loss.requires_grad:
            raise InvalidArgument("the loss", "one that carries its graph", "one without")
        return loss, f_t

    def _backward(self, loss: Tensor, f_t: float) -> Float[Array, " s"]:
        """The gradients of the loss; the observation s_t of its value."""
        self.optimizer.zero_grad()
        loss.backward()
        self._watch.look_at_gradients()
        self._notice()
        return self._observation(f_t)

    def _notice(self) -> None:
        """Show the learner what each place makes of the gradients that stand now, where there are several."""
        if self.controls.by_group:
            self.learner.notice(self.controls.look().cpu().numpy())

    @property
    def _sweep(self) -> Opening | None:
        """The opening while it lasts."""
        return None if self._opening is None or self._opening.done else self._opening

    def _settle(self, sweep: Opening) -> None:
        """Hand over to the actor if the opening has just ended."""
        if sweep.done:
            self.learner.action.centre(self.controls.at(sweep.rate), settled=True)

    @property
    def _holds(self) -> int:
        """For how many steps the next action does (deviation D13)."""
        found = 1 if self._opening is None else self._opening.repeat
        return repeats(found, self._step, self._repeat_time) if self._repeat_time and self._sweep is None else 1

    def _go_on(self, displacement: Displacement, loss_fn: LossFunction, latest: Look) -> None:
        """One of the steps of an action that holds for several; with the last, what the action before it taught."""
        repeat = self._repeat or self._hold(latest)
        if not repeat.begun:
            displacement.begin()
        repeat.add(latest.loss)
        self._write(repeat.a_t)
        self.optimizer.step()  # line 9
        self.history.append(loss=latest.loss, **self.controls.values(repeat.a_t))
        self._step += 1
        if repeat.over:
            together = Look(latest.batch, repeat.loss, self._observation(repeat.loss))
            with repeat.mean_gradients():
                self._notice()
                if self._unlearned is not None:
                    self.controls.write(self._unlearned.a_t.tolist())  # at which the steps before count
                    self._learn(self._unlearned, loss_fn, together)
                    self.controls.write(repeat.a_t.tolist())
                displacement.end()
                promised, along = self._gains(trail=False)
            self._unlearned = UnlearnedStep(repeat.s_t, repeat.a_t, repeat.loss, None, promised, along, repeat.steps)
            self._standing = repeat.a_t
            repeat = self._hold(together)
        self._repeat = repeat

    def _hold(self, seen: Look) -> ActionRepeat:
        """Line 6, for the steps to come."""
        decided = self._decide(seen.observation)
        self._observation.commit(seen.loss)
        return ActionRepeat(self.optimizer, self._holds, seen.observation, decided)

    def _decide(self, s_t: Float[Array, " s"]) -> Float[Array, " action"]:
        a_t = self.learner.decide(s_t)
        if self._sweep is not None:
            return np.array(self.controls.at(self._sweep.rate))
        if self.setting.exploration is not None:  # Deviation D7
            return self.learner.action.within(self.setting.exploration(a_t, self._step, self._generator))
        return a_t

    def _write(self, a_t: Float[Array, " action"]) -> None:
        """Set the optimizer's knobs."""
        action = a_t.tolist()
        for number in action:
            if not math.isfinite(number):
                raise NonFiniteRate(self._step, self.get_last_lr()[0], number)
        self.controls.write(action)
        self._watch.remember_rates()

    def _update(self, a_t: Float[Array, " action"]) -> tuple[Tensor | None, Tensor | None]:
        """One step of the optimizer; what it promises its own batch, as a whole and along each number, if measured."""
        self._write(a_t)
        if self._displacement is None:
            self.optimizer.step()
            return None, None
        if self._sensitivity is not None:
            self._sensitivity.begin(a_t.tolist())
        self._displacement.begin()
        self.optimizer.step()
        self._displacement.end()
        if self._sensitivity is not None:
            self._sensitivity.end()
        if self._sweep is not None:  # its steps stand alone: the network may be put back
            self._forget()
        return self._gains(trail=False) if self._reward.measures_slope else (None, None)

    def _forget(self) -> None:
        """Let no step count any more but the last."""
        for part in (self._displacement, self._sensitivity):
            if part is not None:
                part.forget()

    def _gains(self, *, trail: bool) -> tuple[Tensor | None, Tensor | None]:
        """By how much the last step lowers the loss whose gradients stand now, as a whole and along each number.

        Of the ``trail``, all the steps that the reward remembers.
        """
        whole = self._displacement and self._displacement.decrement(trail=trail)
        return whole, self._sensitivity and self._sensitivity.along(trail=trail)

    def _learn(self, past: UnlearnedStep, loss_fn: LossFunction, following: Look) -> bool:
        """Lines 11 to 20 for the step before; ``following`` is the batch that has just come.

        Returns:
            False if the opening took the network back.
        """
        if self._displacement is not None and not self._reward.measures_slope:
            past = self._seen_elsewhere(past, self._displacement, loss_fn, following)
        evidence = self._evidence(past)
        r_t, slope = self._reward(evidence)  # line 11
        s_tp1, a_tp1 = past.s_t, past.a_t  # with a discount of 0 nobody looks at them
        if past.f_tp1 is not None:
            s_tp1 = self._observation(past.f_tp1)  # line 12
        if self.setting.discount:
            a_tp1 = self.learner.foresee(s_tp1)
        batch = self.learner.remember(Transition(past.s_t, past.a_t, r_t, s_tp1, a_tp1, slope))
        elsewhere, promised = evidence.elsewhere, evidence.promised
        if (sweep := self._sweep) is not None and elsewhere is not None and promised is not None:
            kept = sweep.climb(elsewhere, promised)
            self._settle(sweep)
            return kept
        td_error = self.learner.improve_critic(batch, self._reward)  # lines 13 to 15
        learned = {"reward": r_t, "td_error": td_error}
        if self.setting.learn_actor:
            s_j = s_tp1 if self._one_batch else self._other(loss_fn, following).observation
            dq_da = self.learner.improve_actor(s_j)  # lines 19 and 20
            learned |= dict(zip(self._slopes, dq_da, strict=True))
        for _ in range(past.steps):
            self.history.append(**learned)
        return True

    def _evidence(self, past: UnlearnedStep) -> Evidence:
        """What the reward asks for; read from where the network is."""
        shown = Evidence(past.f_t, past.f_tp1)
        if past.promised is None:
            return shown
        elsewhere, along = self._gains(trail=True)
        shown = shown._replace(promised=float(past.promised), elsewhere=None if elsewhere is None else float(elsewhere))
        if past.along is None or along is None:
            return shown
        return shown._replace(along=(to_arrays(past.along), to_arrays(along)))

    def _other(self, loss_fn: LossFunction, following: Look) -> Look:
        """Lines 17 and 18: x_j, the batch that has just come or one of its own."""
        if self._draw is None:
            return following
        x_j = self._draw()
        f_j = self._checked(self._evaluator.extra_pass(loss_fn, x_j))
        return Look(x_j, f_j, self._observation(f_j))

    def _seen_elsewhere(
        self, past: UnlearnedStep, displacement: Displacement, loss_fn: LossFunction, following: Look
    ) -> UnlearnedStep:
        """The step as x_j saw it: its losses before the step and after it in place of x_i's."""
        x_j, after, _ = self._other(loss_fn, following)
        with displacement.undone():
            before = self._checked(self._evaluator.extra_pass(loss_fn, x_j))
        return past._replace(s_t=self._observation(before), f_t=before, f_tp1=after)

    def _checked(self, loss: object) -> float:
        """The loss as a finite number."""
        value = number_of(loss)
        if not math.isfinite(value):
            raise NonFiniteLoss(self._step, self.get_last_lr()[0], value)
        return value

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group as it stands."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def export_schedule(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """The executed rates as a plain scheduler for a fresh ``optimizer``: :meth:`History.export_schedule`.

        Raises:
            InvalidArgument: more than one rate was driven, which a scheduler could not repeat.
        """
        if self.controls.names != ["rate"]:
            raise InvalidArgument("what export_schedule repeats", "one rate everywhere", ", ".join(self.controls.names))
        return self.history.export_schedule(optimizer)

    def plot(self) -> Figure:
        """Loss and rate by step, as a matplotlib figure."""
        return self.history.plot()

    def __repr__(self) -> str:
        rates, optimizer = ", ".join(f"{rate:.3g}" for rate in self.get_last_lr()), type(self.optimizer).__name__
        return f"{type(self).__name__}({optimizer}, {self.setting.name}, step={self._step}, lr={rates})"

    def _parts(self) -> dict[str, Stateful]:
        parts = {
            "controls": self.controls,
            "history": self.history,
            "observation": self._observation,
            "reward": self._reward,
            "learner": self.learner,
            "opening": self._opening,
            "displacement": self._displacement,
            "sensitivity": self._sensitivity,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> StateDict:
        """A copy of all that a bit-exact resume needs, beside network, optimizer and torch's own random state."""
        state = {
            "setting": self.setting.describe(),
            "dtype": str(self._dtype),
            "step": self._step,
            "standing": to_tensors(self._standing),
            "unlearned": None if self._unlearned is None else to_tensors(tuple(self._unlearned)),
            "repeat": None if self._repeat is None else self._repeat.state_dict(),
            "generator": self._generator.get_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave, wherever its tensors are.

        Raises:
            InvalidArgument: it comes from another setting or precision, or does not fit; nothing is changed then.
        """
        load_all_or_nothing(self, state, self._take_up)

    def _take_up(self, state: StateDict) -> None:
        self.setting.check_same(state["setting"])
        if state["dtype"] != str(self._dtype):
            raise InvalidArgument("the saved dtype", f"{self._dtype} as here", state["dtype"])
        self._generator.set_state(state.pop("generator").cpu())
        state = on_device(state, home_of(self.optimizer))
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self._step, self._standing, self._unlearned = state["step"], to_arrays(state["standing"]), None
        self._watch.forget()
        self.controls.write(self._standing.tolist(), in_step=False)
        if state["unlearned"] is not None:
            s_t, a_t, f_t, f_tp1, *measured = state["unlearned"]
            f_tp1 = None if f_tp1 is None else float(f_tp1)
            self._unlearned = UnlearnedStep(to_arrays(s_t), to_arrays(a_t), float(f_t), f_tp1, *measured)
        held = state.get("repeat")  # 0.2 had none
        self._repeat = None if held is None else ActionRepeat.of(held, self.optimizer)
