"""An actor and a critic that learn together: the decisions of Algorithm 1 and its two updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.state import StateDict, Stateful
from lrpilot.online import losses

from .actor import Actor, Recollection
from .critic import Critic
from .replay import Transition
from .reward import Reward
from .settings import Setting

if TYPE_CHECKING:
    from jaxtyping import Float


class ActorCritic:
    """Actor, critic, their optimizers, what the actor remembers and what the critic replays.

    Args:
        setting: what they are made of.
        generator: draws initial weights and replayed transitions.
        like: an empty tensor on the device and of the dtype that the networks take.
    """

    def __init__(self, setting: Setting, *, generator: torch.Generator, like: Tensor) -> None:
        observation_size = setting.observation().size
        self.setting = setting
        self.action = setting.action()
        self.actor = Actor(
            observation_size,
            setting.units,
            setting.layers,
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
        self.begin_run(1.0)

    def begin_run(self, rate: float) -> None:
        """Forget the last run's memory and transitions; a raw output of 0 means ``rate``, where there is a centre."""
        self.action.centre(rate)
        self._replay = self.setting.replay()
        self._recollection = Recollection(self.actor.initial_memory(), self.setting.unroll)

    @torch.no_grad()
    def decide(self, s_t: Float[Tensor, " s"]) -> Float[Tensor, ""]:
        """Line 6, ``a_t = pi(s_t)``: the decision, which advances the actor's memory."""
        raw, memory = self.actor(s_t.unsqueeze(0), self._recollection.memory)
        self._recollection.commit(s_t, memory)
        return self.action.rate(raw)

    @torch.no_grad()
    def foresee(self, s_tp1: Float[Tensor, " s"]) -> Float[Tensor, ""]:
        """Line 13, ``pi(s_i^{t+1})`` from the memory after step t, which (as a rule) it leaves alone."""
        raw, memory = self.actor(s_tp1.unsqueeze(0), self._recollection.memory)
        if self.setting.keep_evaluations:
            self._recollection.commit(s_tp1, memory)
        return self.action.rate(raw)

    def remember(self, transition: Transition) -> Transition:
        """Store a transition; answers with those that the critic is to learn from now, this one first."""
        return self._replay.learn_from(transition, self._generator)

    def improve_critic(self, batch: Transition, reward: Reward) -> Float[Tensor, ""]:
        """Lines 13 to 15: one step of Adam on equation 8. Returns the TD error of the first transition.

        Args:
            batch: what to learn from.
            reward: scales the remembered rewards.
        """
        gamma = self.setting.discount
        rate = batch.rate.clone().requires_grad_(self.setting.learn_slope)
        q_t = self.critic(batch.observation, self.action.describe(rate))
        q_tp1 = torch.zeros_like(q_t)
        if gamma > 0:
            with torch.no_grad():
                q_tp1 = self.critic(batch.next_observation, self.action.describe(batch.next_rate))
        y_t = losses.td_target(reward.scaled(batch.reward), q_tp1, gamma)
        loss = losses.critic_loss(y_t, q_t)
        if self.setting.learn_slope and batch.slope is not None:  # Deviation D4
            (dq_da,) = torch.autograd.grad(q_t.sum(), rate, create_graph=True)
            loss = loss + losses.slope_loss(reward.scaled(batch.slope), batch.rate * dq_da)
        _descend(self._critic_optimizer, loss)
        return losses.td_error(y_t, q_t)[0].detach()

    def policy_loss(self, s_j: Float[Tensor, " s"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Line 19 and equation 9 as a loss, through the last ``unroll`` steps of the memory; and dQ/da at pi(s_j)."""
        window, start = self._recollection.window(s_j)
        raw, memory = self.actor(window, start)
        if self.setting.keep_evaluations:
            self._recollection.commit(s_j, (memory[0].detach(), memory[1].detach()))
        a_j = self.action.rate(raw)
        a = a_j.detach().requires_grad_()
        (dq_da,) = torch.autograd.grad(self.critic(s_j, self.action.describe(a)), a)
        return losses.actor_loss(a_j, dq_da), dq_da

    def improve_actor(self, s_j: Float[Tensor, " s"]) -> Float[Tensor, ""]:
        """Lines 19 and 20: one step of Adam on equation 9. Returns dQ/da at pi(s_j)."""
        loss, dq_da = self.policy_loss(s_j)
        _descend(self._actor_optimizer, loss)
        return dq_da

    def _adam(self, network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
        parameters = [p for p in network.parameters() if p.requires_grad]
        fused = parameters[0].device.type in ("cpu", "cuda")
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
            "replay": self._replay,
        }

    def state_dict(self) -> StateDict:
        """All that a bit-exact resume needs, but the generator's state."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
