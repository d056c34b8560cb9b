"""Algorithm 1: the actor and the critic learn the learning rate during the very run that they drive.

    observation s_t -> actor -> action a_t -> optimizer.step -> reward r_t -> critic -> actor

The line numbers in the code are those of the paper's Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from . import losses
from .actor import Actor, Recollection
from .critic import Critic
from .errors import InvalidArgument, NonFiniteLoss
from .evaluation import Displacement, Evaluator, LossFunction
from .history import History
from .rates import LearningRates
from .replay import Transition
from .settings import Setting, resolve

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure


class Experience(NamedTuple):
    """What a step leaves to be learned from at the next one."""

    s_t: Tensor
    a_t: Tensor
    f_t: Tensor
    f_tp1: Tensor


class OnlineActorCritic:
    """Drives an optimizer's learning rate by Algorithm 1.

    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    >>> controller = OnlineActorCritic(optimizer)
    >>> def loss_fn(batch):
    ...     inputs, targets = batch
    ...     return (model(inputs) - targets).square().mean()
    >>> loss = controller.step(loss_fn, (torch.ones(8, 3), torch.zeros(8, 1)))

    One step costs one forward pass more than a plain one (two with ``actor_batch="draw"``). Any torch optimizer that does
    not need a closure will do; ratios between parameter groups are kept.

    Args:
        optimizer: its parameters are on one device, where actor and critic are put as well.
        setting: ``"stable"``, ``"paper"``, or a :class:`~lrpilot.settings.Setting`.
        draw: for ``actor_batch="draw"`` alone: called without arguments, returns a batch x_j.
        generator: draws actor's and critic's initial weights, exploration and replay; a CPU generator. A new one, seeded
            from torch's global one, if None.
        dtype: of actor and critic.

    Raises:
        InvalidArgument: an argument outside its range.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        setting: str | Setting = "stable",
        *,
        draw: Callable[[], Any] | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        setting = resolve(setting)
        if (draw is not None) != (setting.actor_batch == "draw"):
            raise InvalidArgument("draw", "a function exactly when actor_batch is 'draw'", draw)
        if isinstance(optimizer, torch.optim.LBFGS):
            raise InvalidArgument("optimizer", "one whose step needs no closure", "LBFGS")
        self.setting = setting
        self.rates = LearningRates(optimizer)
        self.optimizer = optimizer
        self.history = History("loss", "rate", "reward", "td_error", "dq_da")
        """The loss, the executed rate, the reward, the TD error and dQ/da of each step so far."""
        self._draw = draw
        self._generator = generator or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self._observation = setting.observation()
        self._action = setting.action()
        self._reward = setting.reward()
        self._replay = setting.replay()
        self._opening = setting.opening() if setting.opening else None
        self._action.centre(self.rates.start)

        device = optimizer.param_groups[0]["params"][0].device
        self._like = torch.empty(0, dtype=dtype, device=device)
        self.actor = Actor(
            self._observation.size,
            setting.units,
            setting.layers,
            initialisation=setting.initialisation,
            output_scale=setting.output_scale,
            generator=self._generator,
        ).to(self._like)
        self.critic = Critic(
            self._observation.size + self._action.size,
            setting.critic_units,
            activation=setting.critic_activation,
            initialisation=setting.initialisation,
            generator=self._generator,
        ).to(self._like)
        self._actor_optimizer = self._adam(self.actor, setting.actor_learning_rate)
        self._critic_optimizer = self._adam(self.critic, setting.critic_learning_rate)
        self._recollection = Recollection(self.actor.initial_memory(), setting.unroll)
        self._evaluator = Evaluator(shared_masks=setting.dropout == "shared")
        self._displacement = Displacement(optimizer) if self._reward.counts_other_batch else None
        self._unlearned: Experience | None = None
        self._step = 0

    def step(self, loss_fn: LossFunction, batch: Any) -> Float[Tensor, ""]:
        """Train on ``batch``: forward, backward, one step of the optimizer at the rate of the actor; then learn from it.

        Args:
            loss_fn: ``loss_fn(batch)`` returns the scalar loss with its graph. It is called once with gradients and
                once without, at the new parameters; running statistics (BatchNorm) move with the first call only.
            batch: whatever ``loss_fn`` takes.

        Returns:
            The loss before the step, detached.

        Raises:
            NonFiniteLoss: names the step and the rate. The network is as the last step left it.
        """
        loss = self._evaluator.training_pass(loss_fn, batch)  # line 4; line 18 for the step before
        f_t = self._checked(loss)
        self.optimizer.zero_grad()
        loss.backward()  # line 8
        if self._unlearned is not None:
            self._learn(self._unlearned, self._other_batch(loss_fn, f_t))

        s_t = self._observation(f_t)
        a_t = self._decide(s_t)
        self._observation.commit(f_t)
        if self._displacement is not None:
            self._displacement.begin()
        self.rates.write(a_t)
        self.optimizer.step()  # line 9
        self.history.append(loss=f_t, rate=a_t)
        self._step += 1

        after = self._evaluator.extra_pass(loss_fn, batch)  # line 12
        restored = self._sweep(f_t, after)
        self._unlearned = None if restored else Experience(s_t, a_t, f_t, self._checked(after))
        return loss.detach()

    def _other_batch(self, loss_fn: LossFunction, f_next: Tensor) -> Tensor | None:
        """The loss at w_{t+1} of x_j; None where x_j is x_i."""
        if self._draw is not None:
            return self._checked(self._evaluator.extra_pass(loss_fn, self._draw()))
        return f_next if self.setting.actor_batch == "next" else None

    def _learn(self, lived: Experience, f_j: Tensor | None) -> None:
        """Lines 11 to 20 for the step before, now that x_j is known (by default the batch that has just come)."""
        gained_elsewhere = None if self._displacement is None else self._displacement.decrement()
        r_t = self._reward(lived.f_t, lived.f_tp1, gained_elsewhere)  # line 11
        s_tp1 = self._observation(lived.f_tp1)
        self._improve_critic(lived.s_t, lived.a_t, r_t, s_tp1)
        if self.setting.learn_actor and not self._opens:
            self._improve_actor(s_tp1 if f_j is None else self._observation(f_j))

    @property
    def _opens(self) -> bool:
        return self._opening is not None and not self._opening.done

    def _decide(self, s_t: Tensor) -> Tensor:
        """Line 6: the rate to execute. The only evaluation that advances the actor's memory."""
        with torch.no_grad():
            raw, memory = self.actor(s_t.unsqueeze(0), self._recollection.memory)
            self._recollection.commit(s_t, memory)
            if self._opening is not None and not self._opening.done:
                self._opening.attach(self.rates.start, self.optimizer, self._evaluator.changing)
                return raw.new_tensor(self._opening.rate)
            a_t = self._action.rate(raw)
            if self.setting.exploration is not None:
                a_t = self.setting.exploration(a_t, self._step, self._generator)
            return a_t

    def _sweep(self, before: Tensor, after: Tensor) -> bool:
        """Let the opening judge the step; returns whether the network was taken back, so that nothing is to be learned."""
        if self._opening is None or self._opening.done:
            return False
        restored = self._opening.judge(float(before), float(after))
        if self._opening.done:
            self._action.centre(self._opening.rate)
        return restored

    def _improve_critic(self, s_t: Tensor, a_t: Tensor, r_t: Tensor, s_tp1: Tensor) -> None:
        """Lines 13 to 15: one step of Adam on equation 8."""
        gamma = self.setting.discount
        a_tp1 = self._evaluate_actor(s_tp1) if gamma > 0 else a_t
        batch = self._replay.learn_from(Transition(s_t, a_t, r_t, s_tp1, a_tp1), self._generator)
        if self._opens:
            return  # the critic sees rates relative to a centre that is not known yet
        q_t = self.critic(batch.observation, self._action.describe(batch.rate))
        q_tp1 = q_t
        if gamma > 0:
            with torch.no_grad():
                q_tp1 = self.critic(batch.next_observation, self._action.describe(batch.next_rate))
        y_t = losses.td_target(self._reward.scaled(batch.reward), q_tp1, gamma)
        _descend(self._critic_optimizer, losses.critic_loss(y_t, q_t))
        self.history.append(reward=r_t, td_error=losses.td_error(y_t, q_t)[0])

    @torch.no_grad()
    def _evaluate_actor(self, s_tp1: Tensor) -> Tensor:
        """``pi(s_i^{t+1})`` from the memory after step t."""
        raw, memory = self.actor(s_tp1.unsqueeze(0), self._recollection.memory)
        if self.setting.keep_evaluations:
            self._recollection.commit(s_tp1, memory)
        return self._action.rate(raw)

    def _improve_actor(self, s_j: Tensor) -> None:
        """Lines 19 and 20: one step of Adam on equation 9, through the last ``unroll`` steps of the memory."""
        window, start = self._recollection.window(s_j)
        raw, memory = self.actor(window, start)
        if self.setting.keep_evaluations:
            self._recollection.commit(s_j, (memory[0].detach(), memory[1].detach()))
        a_j = self._action.rate(raw)
        a = a_j.detach().requires_grad_()
        (dq_da,) = torch.autograd.grad(self.critic(s_j, self._action.describe(a)), a)
        _descend(self._actor_optimizer, losses.actor_loss(a_j, dq_da))
        self.history.append(dq_da=dq_da)

    def _checked(self, loss: Tensor) -> Tensor:
        """The loss as a detached finite scalar in the controller's precision and on its device."""
        if not (isinstance(loss, Tensor) and loss.numel() == 1):
            came = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise InvalidArgument("the loss", "a tensor of one element", came)
        value = loss.detach().to(self._like).reshape(())
        if not math.isfinite(value):
            raise NonFiniteLoss(self._step, self.rates.last()[0], float(value))
        return value

    def _adam(self, network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
        fused = self._like.device.type in ("cpu", "cuda")
        parameters = [p for p in network.parameters() if p.requires_grad]
        betas, epsilon = self.setting.betas, self.setting.epsilon
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group as it stands."""
        return self.rates.last()

    def export_schedule(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """The executed rates as a plain scheduler for a fresh ``optimizer``: :meth:`History.export_schedule`."""
        return self.history.export_schedule(optimizer)

    def plot(self) -> Figure:
        """Loss and rate by step, as a matplotlib figure."""
        return self.history.plot()

    def _parts(self) -> dict[str, Any]:
        parts = {
            "rates": self.rates,
            "history": self.history,
            "observation": self._observation,
            "action": self._action,
            "reward": self._reward,
            "replay": self._replay,
            "opening": self._opening,
            "actor": self.actor,
            "critic": self.critic,
            "actor_optimizer": self._actor_optimizer,
            "critic_optimizer": self._critic_optimizer,
            "recollection": self._recollection,
            "displacement": self._displacement,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact resume needs (beside the network's, the optimizer's and torch's own random state)."""
        return {
            "setting": self.setting.describe(),
            "step": self._step,
            "unlearned": self._unlearned,
            "generator": self._generator.get_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it comes from another setting; nothing is changed then.
        """
        mine = self.setting.describe()
        for name, value in state["setting"].items():
            if value != mine.get(name):
                raise InvalidArgument(f"the saved setting's {name}", f"{mine.get(name)!r} as here", value)
        self._step = state["step"]
        self._unlearned = None if state["unlearned"] is None else Experience(*state["unlearned"])
        self._generator.set_state(state["generator"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
