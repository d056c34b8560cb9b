"""The training loop: a task, an optimizer, a controller; records come out, nothing is printed or written.

training = Training(load_task("m1"), Plan(steps=7200, batch_size=50, evaluate_every=720),
                    make_optimizer=..., make_controller=...)
for record in training.run():
    print(record.step, record.loss, record.test_error)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrpilot.baselines.peers import evaluation_weights
from lrpilot.errors import Diverged, InvalidArgument, NonFiniteLoss
from lrpilot.experiments.choices import at_least
from lrpilot.experiments.tasks.catalogue import LoadedTask, evaluate, loss_of
from lrpilot.experiments.tasks.tensors import Batches

from .controllers import Controller

LOGS = 200  # records of loss and rate in a run, unless said otherwise


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long a run is, and when it is looked at."""

    steps: int  # updates of the network
    batch_size: int  # examples a step
    evaluate_every: int  # steps between evaluations on the test set; the last step is always evaluated
    log_every: int = 0  # steps between records of loss and rate; 0: about 200 in the run
    seed: int = 0  # of all random numbers: weights, order of the examples, dropout, the controller

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, batch_size=self.batch_size, evaluate_every=self.evaluate_every)
        at_least(0, log_every=self.log_every, seed=self.seed)

    def next_record(self, step: int) -> int:
        """The first step after ``step`` that leaves a record."""
        log_every = self.log_every or max(1, self.steps // LOGS)
        return min(self.steps, *(step - step % every + every for every in (log_every, self.evaluate_every)))

    def evaluates(self, step: int) -> bool:
        """Whether the record after ``step`` updates contains an evaluation."""
        return step == self.steps or step % self.evaluate_every == 0


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run at one moment."""

    step: int  # updates made so far
    loss: float  # mean over the steps since the record before; NaN in the last one of a diverged run
    learning_rate: float  # of the last step
    seconds: float  # spent training so far, evaluations not counted
    test_loss: float | None = None  # mean cross entropy on the test set, where it was evaluated
    test_error: float | None = None  # percent
    validation_loss: float | None = None  # the same of what the task holds out
    validation_error: float | None = None
    diverged: bool = False  # the loss was not finite and the run is over

    def as_json(self) -> dict[str, Any]:
        """The fields that say something, for ``json.dumps``; a number that is not finite is None (null)."""
        said = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return {name: None if not math.isfinite(value) else value for name, value in said.items()}


class Training:
    """One run, from its first step or from where a saved one stopped.

    ``clock`` tells the seconds that :attr:`Record.seconds` is measured with. Two runs of one seed start from the same
    weights and see the same batches, whatever drives them.
    """

    def __init__(
        self,
        task: LoadedTask,
        plan: Plan,
        *,
        make_optimizer: Callable[[torch.nn.Module], Optimizer],
        make_controller: Callable[[torch.nn.Module, Optimizer, torch.Generator], Controller],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        seeds = torch.randint(2**62, (4,), generator=torch.Generator().manual_seed(plan.seed)).tolist()
        network, batches, controller, dropout = (torch.Generator().manual_seed(seed) for seed in seeds)
        self.task = task
        self.plan = plan
        self.network = task.make_network(network)
        self.optimizer = make_optimizer(self.network)
        self.controller = make_controller(self.network, self.optimizer, controller)
        self.step = 0
        self.seconds = 0.0
        self.failure: Diverged | None = None  # why the run ended early, if it diverged
        self.stop_requested = False  # set it (from a signal handler, say) and run() ends after the step under way
        self._batches = Batches(task.data.train, plan.batch_size, generator=batches)
        self._random_state = dropout.get_state()
        self._losses: list[Tensor] = []
        self._clock = clock

    def run(self) -> Iterator[Record]:
        """Train, and yield a record every ``log_every`` steps and after each evaluation, up to the last step.

        A run that diverges yields a last record that says so and sets :attr:`failure`. Whenever a record is
        out, and after the end, :meth:`state_dict` may be taken.
        """
        torch.set_rng_state(self._random_state)
        while self.step < self.plan.steps and not self.failure and not self.stop_requested:
            due = self.plan.next_record(self.step)
            self._train_until(due)
            record = self._record() if self.step == due or self.failure else None
            self._random_state = torch.get_rng_state()
            if record:
                yield record
                torch.set_rng_state(self._random_state)

    def _train_until(self, step: int) -> None:
        loss_fn = loss_of(self.network, self.task.loss)
        draw, train = self._batches.draw, self.controller.step
        started = self._clock()
        try:
            while self.step < step and not self.stop_requested:
                self._losses.append(train(loss_fn, draw()))
                self.step += 1
        except Diverged as failure:
            self.failure = failure
        self.seconds += self._clock() - started

    def _record(self) -> Record:
        rate = self.controller.get_last_lr()[0]
        losses = torch.stack(self._losses) if self._losses else torch.full((1,), math.nan)
        if self.controller.mends:
            losses = losses[losses.isfinite()]
        elif not self.failure and not losses.isfinite().all():
            bad = int(losses.isfinite().logical_not().nonzero()[0])
            self.failure = NonFiniteLoss(self.step - len(losses) + bad, rate, losses[bad].item())
        self._losses.clear()
        measured: dict[str, float] = {}
        if self.failure or self.plan.evaluates(self.step):
            with evaluation_weights(self.optimizer):
                for name in ("test", "validation"):
                    if examples := getattr(self.task.data, name):
                        measured[f"{name}_loss"], measured[f"{name}_error"] = evaluate(
                            self.network, examples, self.task.loss
                        )
        return Record(
            step=self.step,
            loss=math.nan if self.failure else losses.mean().item(),
            learning_rate=rate,
            seconds=self.seconds,
            diverged=self.failure is not None,
            **measured,
        )

    def _parts(self) -> dict[str, Any]:
        controlled = {"network": self.network, "optimizer": self.optimizer, "controller": self.controller}
        return {**controlled, "batches": self._batches}

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on: a resumed run equals an uninterrupted one, bit for bit."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        numbers = {"step": self.step, "seconds": self.seconds}
        return {**numbers, **parts, "random_state": self._random_state, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave, for the same task, plan, optimizer and controller."""
        if not (isinstance(state["step"], int) and 0 <= state["step"] <= self.plan.steps):
            raise InvalidArgument("the saved step", f"a whole number in [0, {self.plan.steps}]", state["step"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self._random_state = state["random_state"]
        self._losses = list(state["losses"])
        self.step, self.seconds = state["step"], state["seconds"]
