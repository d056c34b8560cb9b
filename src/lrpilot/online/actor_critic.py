"""An actor and a critic that learn together: the decisions of Algorithm 1 and its two updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from lrpilot.core.state import StateDict, Stateful

from . import losses
from .actor import Actor, Recollection
from .arrays import Array, to_arrays, to_tensors
from .chunk import Chunk
from .controls import Layout
from .critic import Critic
from .joint import JointAction
from .replay import Transition
from .reward import Reward
from .settings import Setting

if TYPE_CHECKING:
    from jaxtyping import Float

    from .actor import LSTMState

ONE_RATE = Layout()
quietly = np.errstate(all="ignore")
"""NumPy does not warn: an action that is not finite is refused where it would be executed."""


class ActorCritic:
    """Actor, critic, their optimizers, what the actor remembers and what the critic replays.

    Args:
        setting: what they are made of.
        generator: draws initial weights and replayed transitions.
        dtype: of the actor's weights: float32 or float64.
        layout: which numbers an action consists of. All places have the same actor, which has a memory for each and
            reads, beside the observation, what the place shows of itself; the critic sees the observation and all
            numbers.
    """

    def __init__(
        self, setting: Setting, *, generator: torch.Generator, dtype: torch.dtype, layout: Layout = ONE_RATE
    ) -> None:
        observation_size = setting.observation().size
        self.setting, self.layout, self.dtype = setting, layout, dtype
        self.action = JointAction(setting.action(), layout)
        self.actor = Actor(
            observation_size + layout.shown,
            setting.units,
            setting.layers,
            knobs=len(layout.limits),
            initialisation=setting.initialisation,
            output_scale=setting.output_scale,
            generator=generator,
        ).to(dtype)
        self.critic = Critic(
            observation_size + self.action.size,
            setting.critic_units,
            activation=setting.critic_activation,
            initialisation=setting.initialisation,
            generator=generator,
        )
        self._generator = generator
        self._actor_optimizer = self._adam(self.actor, setting.actor_learning_rate)
        self._critic_optimizer = self._adam(self.critic, setting.critic_learning_rate)
        self.begin_run([0.5] * len(layout.seats))

    def begin_run(self, action: Sequence[float]) -> None:
        """Forget the last run's memory and transitions; a raw output of 0 means ``action``, where there is a centre."""
        self.action.centre(action)
        self._shown = np.zeros((self.layout.places, self.layout.shown))
        self._replay = self.setting.replay()
        self._recollection = Recollection(self.actor.initial_memory(self.layout.places), self.setting.unroll_steps)
        self._chunk = Chunk(branches=self.setting.actor_batch != "next")
        self._last: tuple[Array, LSTMState, tuple[Array, LSTMState]] | None = None  # read: from where, the answer

    def notice(self, shown: Float[Array, "place shown"]) -> None:
        """What each place shows of itself, for all that is read until the next time."""
        self._shown, self._last = shown, None

    def _place(self, s: Float[Array, " s"]) -> Float[Array, "place x"]:
        """What the actor reads in each place: the observation, and what the place shows."""
        everywhere = s[None].repeat(self.layout.places, axis=0)
        return np.concatenate((everywhere, self._shown), axis=1) if self.layout.shown else everywhere

    def _read(self, s: Float[Array, " s"]) -> tuple[Float[Array, " action"], LSTMState]:
        """The actor's raw action at ``s`` and the memory then.

        The last answer is kept: as a rule the next decision reads the very s_j that the actor was judged at.
        """
        memory = self._recollection.memory
        if self._last is None or self._last[0] is not s or self._last[1] is not memory:
            outputs, after = self.actor.step(self._place(s), memory)
            self._last = s, memory, (self.action.pick(outputs), after)
        return self._last[2]

    @quietly
    def decide(self, s_t: Float[Array, " s"]) -> Float[Array, " action"]:
        """Line 6, ``a_t = pi(s_t)``: the decision, which advances the actor's memory."""
        raw, memory = self._read(s_t)
        here = self._place(s_t)
        self._recollection.commit(here, memory)
        self._chunk.visit(here)
        return self.action.rate(raw)

    @quietly
    def foresee(self, s_tp1: Float[Array, " s"]) -> Float[Array, " action"]:
        """Lines 13 and 19, ``pi(s^{t+1})`` from the memory after step t, which (as a rule) it leaves alone."""
        raw, memory = self._read(s_tp1)
        if self.setting.keep_evaluations:
            self._recollection.commit(self._place(s_tp1), memory)
        return self.action.rate(raw)

    def remember(self, transition: Transition) -> Transition:
        """Store a transition; answers with those that the critic is to learn from now, this one first."""
        return self._replay.learn_from(transition, self._generator)

    @quietly
    def improve_critic(self, batch: Transition, reward: Reward) -> float:
        """Lines 13 to 15: one step of Adam on equation 8. Returns the TD error of the first transition.

        Args:
            batch: what to learn from.
            reward: scales the remembered rewards.
        """
        gamma, seen = self.setting.discount, self.action.describe(batch.rate)
        reading = self.critic.read(batch.observation, seen)
        q_t = self.critic.q(reading)
        target = reward.scaled(np.asarray(batch.reward))
        if gamma:
            q_tp1 = self.critic.q(self.critic.read(batch.next_observation, self.action.describe(batch.next_rate)))
            target = losses.td_target(target, q_tp1, gamma)
        td_error = losses.td_error(target, q_t)
        along_slope = None
        if self.setting.learn_slope and batch.slope is not None:  # Deviation D4
            derivative = self.action.derivative(batch.rate, seen)
            dq_da = self.action.gather(self.critic.slope(reading) * derivative)
            missing = reward.scaled(batch.slope) - batch.rate * dq_da
            missing[np.isnan(missing)] = 0.0  # what nobody measured
            along_slope = self.action.spread(losses.descent(missing) * batch.rate) * derivative
        self.critic.differentiate(reading, losses.descent(td_error), along_slope)
        self._update_critic()
        return float(td_error[0])

    @torch.no_grad()
    def _update_critic(self) -> None:
        """One step of Adam: torch's own function, without the bookkeeping of ``Optimizer.step``, which takes longer."""
        optimizer = self._critic_optimizer
        if not optimizer.state:
            optimizer.step()  # which makes the state
            return
        group = optimizer.param_groups[0]
        parameters, (beta1, beta2) = group["params"], group["betas"]
        kept = [optimizer.state[parameter] for parameter in parameters]
        adam(
            parameters,
            [parameter.grad for parameter in parameters],
            [state["exp_avg"] for state in kept],
            [state["exp_avg_sq"] for state in kept],
            [],
            [state["step"] for state in kept],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
        )

    @quietly
    def policy_gradient(self, s_j: Float[Array, " s"], weight: float = 1.0) -> tuple[bool, Float[Array, " action"]]:
        """Line 19 and equation 9: add its gradient to the actor's. Returns whether it was complete, and dQ/da.

        Sliding, it is that of ``s_j``, through the last ``unroll_steps`` steps of the memory. In chunks it is the sum
        over the outputs of a whole chunk, with dQ/da of each as it was at its step, and comes when the chunk is
        complete.

        Args:
            s_j: observation of the other batch.
            weight: of this step.
        """
        here = self._place(s_j)
        if self.setting.unroll == "chunk":
            dq_da = self._dq_da(s_j, self.foresee(s_j))
            self._chunk.judge(here, weight * dq_da, self._recollection.memory)
            complete = len(self._chunk) == self.setting.unroll_steps
            if complete:
                self.end_chunk()
            return complete, dq_da
        window, start = self._recollection.window(here)
        outputs, memory = self.actor.unroll(window[:, None], start)
        if self.setting.keep_evaluations:
            self._recollection.commit(here, memory)
        last = outputs[-1, 0]
        dq_da = self._dq_da(s_j, self.action.rate(self._raw(last)))
        self._propagate(last, weight * dq_da)
        return True, dq_da

    @quietly
    def end_chunk(self) -> None:
        """Add the gradient of equation 9, summed over the outputs of the chunk so far; the chunk ends with it."""
        outputs, _ = self.actor.unroll(*self._chunk.read())
        self._propagate(self._chunk.outputs(outputs), self._chunk.slopes())
        self._chunk.drop()

    def _propagate(self, outputs: Float[Tensor, "*batch place knob"], dq_da: Float[Array, "*batch action"]) -> None:
        """Equation 9, from what the actor put out back to its weights."""
        along = losses.policy_gradient(self.action.slope(self._raw(outputs)), dq_da)
        outputs.backward(torch.from_numpy(self.action.unpick(along)).to(outputs))

    def _raw(self, outputs: Float[Tensor, "*batch place knob"]) -> Float[Array, "*batch action"]:
        return self.action.pick(outputs.detach().double().numpy())

    def _dq_da(self, s: Float[Array, " s"], a: Float[Array, " action"]) -> Float[Array, " action"]:
        """``dQ(s, a) / da``."""
        seen = self.action.describe(a)
        slope = self.critic.slope(self.critic.read(s, seen))
        return self.action.gather(slope * self.action.derivative(a, seen))

    def improve_actor(self, s_j: Float[Array, " s"]) -> Float[Array, " action"]:
        """Lines 19 and 20: one step of Adam on equation 9, if it is complete. Returns dQ/da at pi(s_j)."""
        complete, dq_da = self.policy_gradient(s_j)
        if complete:
            self.update_actor()
        return dq_da

    def update_actor(self) -> None:
        """Line 20: one step of Adam along the gradient that has been added up."""
        self._actor_optimizer.step()
        self._actor_optimizer.zero_grad()
        for parameter in self.actor.parameters():
            torch.autograd.graph.increment_version(parameter)  # a fused step does not, and the actor goes by it
        self._last = None

    def interrupt(self) -> None:
        """Steps that nobody judges lie ahead: a chunk under way would have a gap, and is dropped."""
        self._chunk.drop()

    def _adam(self, network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
        parameters = [p for p in network.parameters() if p.requires_grad]
        betas, epsilon = self.setting.betas, self.setting.epsilon
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, eps=epsilon, fused=True)

    def _parts(self) -> dict[str, Stateful]:
        return {
            "action": self.action,
            "actor": self.actor,
            "critic": self.critic,
            "actor_optimizer": self._actor_optimizer,
            "critic_optimizer": self._critic_optimizer,
            "recollection": self._recollection,
            "chunk": self._chunk,
            "replay": self._replay,
        }

    def state_dict(self) -> StateDict:
        """All that a bit-exact resume needs, but the generator's state."""
        return {"shown": to_tensors(self._shown), **{name: part.state_dict() for name, part in self._parts().items()}}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._shown = to_arrays(state["shown"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
