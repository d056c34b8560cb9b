"""An actor and a critic that learn together: the decisions of Algorithm 1 and its two updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.state import StateDict, Stateful
from lrpilot.online import losses

from .actor import Actor, Recollection
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


class ActorCritic:
    """Actor, critic, their optimizers, what the actor remembers and what the critic replays.

    Args:
        setting: what they are made of.
        generator: draws initial weights and replayed transitions.
        like: an empty tensor on the device and of the dtype that the networks take.
        layout: which numbers an action consists of. All places have the same actor, which has a memory for each and
            reads, beside the observation, what the place shows of itself; the critic sees the observation and all
            numbers.
    """

    def __init__(
        self, setting: Setting, *, generator: torch.Generator, like: Tensor, layout: Layout = ONE_RATE
    ) -> None:
        observation_size = setting.observation().size
        self.setting, self.layout = setting, layout
        self.action = JointAction(setting.action(), layout)
        self.actor = Actor(
            observation_size + layout.shown,
            setting.units,
            setting.layers,
            knobs=len(layout.limits),
            initialisation=setting.initialisation,
            output_scale=setting.output_scale,
            generator=generator,
        ).to(like)
        self.critic = Critic(
            observation_size + self.action.size,
            setting.critic_units,
            activation=setting.critic_activation,
            initialisation=setting.initialisation,
            generator=generator,
        ).to(like)
        self._generator = generator
        self._actor_optimizer = self._adam(self.actor, setting.actor_learning_rate)
        self._critic_optimizer = self._adam(self.critic, setting.critic_learning_rate)
        self.begin_run([0.5] * len(layout.seats))

    def begin_run(self, action: Sequence[float]) -> None:
        """Forget the last run's memory and transitions; a raw output of 0 means ``action``, where there is a centre."""
        self.action.centre(action)
        self._shown = self.critic.value.weight.new_zeros(self.layout.places, self.layout.shown)
        self._replay = self.setting.replay()
        self._recollection = Recollection(self.actor.initial_memory(self.layout.places), self.setting.unroll_steps)
        self._chunk = Chunk(branches=self.setting.actor_batch != "next")
        self._last: tuple[Tensor, LSTMState, tuple[Tensor, LSTMState]] | None = None  # read: from where, the answer

    def notice(self, shown: Float[Tensor, "place shown"]) -> None:
        """What each place shows of itself, for all that is read until the next time."""
        self._shown, self._last = shown, None

    def _place(self, s: Float[Tensor, " s"]) -> Float[Tensor, "place x"]:
        """What the actor reads in each place: the observation, and what the place shows."""
        everywhere = s.expand(self.layout.places, -1)
        return torch.cat((everywhere, self._shown), dim=1) if self.layout.shown else everywhere

    def _read(self, s: Float[Tensor, " s"]) -> tuple[Float[Tensor, " action"], LSTMState]:
        """The actor's raw action at ``s`` and the memory then; sliding, from the very kernel that reads its window.

        The last answer is kept: as a rule the next decision reads the very s_j that the actor was judged at.
        """
        memory = self._recollection.memory
        if self._last is None or self._last[0] is not s or self._last[1] is not memory:
            if self.setting.unroll == "chunk":
                outputs, after = self.actor.step(self._place(s), memory)
            else:
                outputs, after = self.actor(self._place(s).unsqueeze(0), memory)
            self._last = s, memory, (self.action.pick(outputs), after)
        return self._last[2]

    @torch.no_grad()
    def decide(self, s_t: Float[Tensor, " s"]) -> Float[Tensor, " action"]:
        """Line 6, ``a_t = pi(s_t)``: the decision, which advances the actor's memory."""
        raw, memory = self._read(s_t)
        here = self._place(s_t)
        self._recollection.commit(here, memory)
        self._chunk.visit(here)
        return self.action.rate(raw)

    @torch.no_grad()
    def foresee(self, s_tp1: Float[Tensor, " s"]) -> Float[Tensor, " action"]:
        """Lines 13 and 19, ``pi(s^{t+1})`` from the memory after step t, which (as a rule) it leaves alone."""
        raw, memory = self._read(s_tp1)
        if self.setting.keep_evaluations:
            self._recollection.commit(self._place(s_tp1), memory)
        return self.action.rate(raw)

    def remember(self, transition: Transition) -> Transition:
        """Store a transition; answers with those that the critic is to learn from now, this one first."""
        return self._replay.learn_from(transition, self._generator)

    @torch.no_grad()
    def improve_critic(self, batch: Transition, reward: Reward) -> Float[Tensor, ""]:
        """Lines 13 to 15: one step of Adam on equation 8. Returns the TD error of the first transition.

        Args:
            batch: what to learn from.
            reward: scales the remembered rewards.
        """
        gamma, seen = self.setting.discount, self.action.describe(batch.rate)
        q_t = self.critic(batch.observation, seen)
        q_tp1 = torch.zeros_like(q_t)
        if gamma:
            q_tp1 = self.critic(batch.next_observation, self.action.describe(batch.next_rate))
        td_error = losses.td_error(losses.td_target(reward.scaled(batch.reward), q_tp1, gamma), q_t)
        along_slope = None
        if self.setting.learn_slope and batch.slope is not None:  # Deviation D4
            dq_da = self.action.chain(batch.rate, self.critic.slope(batch.observation, seen))
            missing = (reward.scaled(batch.slope) - batch.rate * dq_da).nan_to_num(0.0)  # what nobody measured
            along_slope = self.action.unchain(batch.rate, losses.descent(missing) * batch.rate)
        self.critic.differentiate(batch.observation, seen, losses.descent(td_error), along_slope)
        self._critic_optimizer.step()
        return td_error[0]

    def policy_loss(
        self, s_j: Float[Tensor, " s"], weight: float = 1.0
    ) -> tuple[Float[Tensor, ""] | None, Float[Tensor, " action"]]:
        """Line 19 and equation 9 as a loss, summed over the numbers of the action; and dQ/da at pi(s_j).

        Sliding, the loss is that of ``s_j``, through the last ``unroll_steps`` steps of the memory. In chunks it is
        the sum over the outputs of a whole chunk, with dQ/da of each as it was at its step, and None until the chunk
        is complete.

        Args:
            s_j: observation of the other batch.
            weight: of this step.
        """
        if self.setting.unroll == "chunk":
            dq_da = self._dq_da(s_j, self.foresee(s_j))
            self._chunk.judge(self._place(s_j), weight * dq_da, self._recollection.memory)
            return (self.chunk_loss() if len(self._chunk) == self.setting.unroll_steps else None), dq_da
        here = self._place(s_j)
        outputs, memory = self.actor(*self._recollection.window(here))
        if self.setting.keep_evaluations:
            self._recollection.commit(here, (memory[0].detach(), memory[1].detach()))
        a_j = self.action.rate(self.action.pick(outputs))
        dq_da = self._dq_da(s_j, a_j.detach())
        return losses.actor_loss(a_j, weight * dq_da), dq_da

    def chunk_loss(self) -> Float[Tensor, ""]:
        """Equation 9 as a loss, summed over the outputs of the chunk so far, with which the chunk ends."""
        raw = self._chunk.outputs(self.action.pick(self.actor.outputs(*self._chunk.read())))
        loss = losses.actor_loss(self.action.rate(raw), self._chunk.slopes())
        self._chunk.drop()
        return loss

    def _dq_da(self, s: Float[Tensor, " s"], a: Float[Tensor, " action"]) -> Float[Tensor, " action"]:
        """``dQ(s, a) / da``."""
        return self.action.chain(a, self.critic.slope(s, self.action.describe(a)))

    def improve_actor(self, s_j: Float[Tensor, " s"]) -> Float[Tensor, " action"]:
        """Lines 19 and 20: one step of Adam on equation 9, if its loss is complete. Returns dQ/da at pi(s_j)."""
        loss, dq_da = self.policy_loss(s_j)
        if loss is not None:
            self._actor_optimizer.zero_grad()
            loss.backward()
            self._actor_optimizer.step()
            self._last = None
        return dq_da

    def interrupt(self) -> None:
        """Steps that nobody judges lie ahead: a chunk under way would have a gap, and is dropped."""
        self._chunk.drop()

    def _adam(self, network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
        parameters = [p for p in network.parameters() if p.requires_grad]
        fused = next(network.parameters()).device.type in ("cpu", "cuda")
        betas, epsilon = self.setting.betas, self.setting.epsilon
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)

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
        return {"shown": self._shown, **{name: part.state_dict() for name, part in self._parts().items()}}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._shown = state["shown"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
