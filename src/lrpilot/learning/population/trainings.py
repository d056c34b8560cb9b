"""The batched trainings: runs = tasks x replicas, task by task; none can disturb another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from lrpilot.pilot.interval import MEASURED_STEPS

from .averages import IntervalAverages
from .optimizers import Optimizer
from .score import Performance

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from lrpilot.pilot.interval import Interval

    from .data import Source
    from .draw import Group, Tasks

EXAMINED = 128
"""Examples in one forward pass of an evaluation."""


class Pool:
    """All sources as one table, so that runs of different data sets can be batched."""

    def __init__(self, sources: list[Source]) -> None:
        self.inputs = torch.cat([s.inputs for s in sources])
        self.labels = torch.cat([s.labels for s in sources])
        self.targets = torch.cat([s.targets for s in sources])
        self.means = torch.stack([s.inputs.mean() for s in sources])
        sizes = torch.tensor([len(s.inputs) for s in sources])
        self.offsets = sizes.cumsum(0) - sizes
        self.training = torch.tensor([s.training for s in sources])
        self.held_out = sizes - self.training


class Trainings:
    """All runs of one group, from their random start: advance them, evaluate them, take some back.

    Replicas of a task share its data, its batches and its initial weights; only their rates differ.
    """

    def __init__(self, group: Group, tasks: Tasks, pool: Pool, *, replicas: int, generator: torch.Generator) -> None:
        self.group, self.tasks, self.pool = group, tasks, pool
        self.replicas, self._generator = replicas, generator
        self.runs = len(tasks.source) * replicas
        self._loss_scale = tasks.loss_scale.repeat_interleave(replicas)
        self._curvature = tasks.curvature.repeat_interleave(replicas, 0)
        self._sizes = [p.size for p in group.network.parameters]
        self.weights = self._initial().repeat_interleave(replicas, 0)
        self._start = self.weights.clone()
        self._optimizer = Optimizer(group.rule, self.weights)
        self._averages: IntervalAverages | None = None
        self._taken_back = torch.zeros(self.runs, dtype=torch.bool)

    def take_back(self, runs: Bool[Tensor, " run"]) -> None:
        """Give these runs their initial weights and a fresh optimizer."""
        if runs.any():
            self.weights[runs] = self._start[runs]
            self._optimizer.reset(runs)
            self._taken_back = self._taken_back | runs

    def broken(self) -> Bool[Tensor, " run"]:
        """The runs whose weights are not finite."""
        return ~torch.isfinite(self.weights.sum(1))

    def advance(self, steps: int, log_rate: Float[Tensor, " run"]) -> Interval:
        """Train all runs for some steps; what was seen, but rate, last step and boundaries (0 and None)."""
        rate = log_rate.exp().unsqueeze(1)
        losses: list[Tensor] = []
        gapless = steps <= MEASURED_STEPS  # every step is measured, and so was the one before
        self._averages = averages = IntervalAverages(
            self.runs, before=self._averages if gapless else None, kept=~self._taken_back
        )
        self._taken_back = torch.zeros_like(self._taken_back)
        indices = self._draw_rows(steps)
        for step in range(steps):
            loss, gradient = self._gradient(*self._batch(indices[step]))
            losses.append(loss)
            if step < steps - MEASURED_STEPS:
                self._optimizer.step(self.weights, gradient, rate)
                continue
            averages.before(gradient, self.weights)
            self._optimizer.step(self.weights, gradient.clone(), rate)
            averages.after(gradient, self.weights)
        updates = self._tensor_updates(averages.last_update)
        return averages.interval(torch.stack(losses, -1), self.weights, updates)

    def _tensor_updates(self, update: Tensor) -> Tensor:
        """[run, matrix]: |dw| / |w| of each weight matrix."""
        parts = zip(update.split(self._sizes, 1), self.weights.split(self._sizes, 1), strict=True)
        shapes = [p.shape for p in self.group.network.parameters]
        matrices = [i for i, shape in enumerate(shapes) if sum(size > 1 for size in shape) > 1] or range(len(shapes))
        ratios = [change.norm(dim=1) / (value.norm(dim=1) + 1e-15) for change, value in parts]
        return torch.stack([ratios[i] for i in matrices], 1)

    @torch.no_grad()
    def evaluate(self, examples: int = 384) -> Performance:
        """Losses on rows trained on and on rows held out, and the error on the latter."""
        if self.group.goal == "quadratic":
            noise = self.tasks.noise.repeat_interleave(self.replicas).unsqueeze(1)
            exact = 0.5 * (self._curvature * (self.weights.square() + noise.square())).sum(1)
            return Performance(exact, exact, torch.full_like(exact, torch.nan))
        tasks = self.tasks
        first, trained_on = (part[tasks.source].unsqueeze(1) for part in (self.pool.offsets, self.pool.training))
        held = self.pool.held_out[tasks.source].unsqueeze(1)
        index = torch.arange(examples)
        trained = (tasks.begin.unsqueeze(1) + index[: examples // 2] % tasks.rows.unsqueeze(1)) % trained_on
        held_out = trained_on + index % held
        training_loss, _ = self._examine(first + trained)
        loss, error = self._examine(first + held_out)
        return Performance(training_loss, loss, error)

    def _initial(self) -> Tensor:
        """[task, parameter]: uniform +-gain/sqrt(fan_in), as torch's layers start, times the task's gains."""
        parts: list[Tensor] = []
        gain, bias_gain = self.tasks.gain.unsqueeze(1), self.tasks.bias_gain.unsqueeze(1)
        for p in self.group.network.parameters:
            if p.fan_in == 0:
                parts.append(torch.ones(len(gain), p.size))
                continue
            uniform = 2 * torch.rand(len(gain), p.size, generator=self._generator) - 1
            bias = p.shape[0] == 1 and self.group.goal != "quadratic"
            parts.append(uniform * (bias_gain if bias else gain) / p.fan_in**0.5)
        return torch.cat(parts, 1)

    def _draw_rows(self, steps: int) -> Tensor:
        """[step, task, example]: rows of the pool."""
        tasks, pool = self.tasks, self.pool
        share = torch.rand(steps, len(tasks.rows), self.group.batch_size, generator=self._generator)
        row = (tasks.begin.unsqueeze(1) + (share * tasks.rows.unsqueeze(1)).long()) % pool.training[
            tasks.source
        ].unsqueeze(1)
        return row + pool.offsets[tasks.source].unsqueeze(1)

    def _inputs(self, rows: Tensor) -> Tensor:
        tasks = self.tasks
        shift = (tasks.centred * self.pool.means[tasks.source]).view(-1, 1, 1)
        return (self.pool.inputs[rows] - shift) * tasks.input_scale.view(-1, 1, 1)

    def _answers(self, rows: Tensor, inputs: Tensor) -> Tensor:
        if self.group.goal == "classify":
            return self.pool.labels[rows]
        if self.group.goal == "regress":
            return self.pool.targets[rows]
        return inputs / self.tasks.input_scale.view(-1, 1, 1)

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and noisy answers, [run, example, ...]."""
        noise = self.tasks.noise.unsqueeze(1)
        if self.group.goal == "quadratic":
            drawn = torch.randn(*rows.shape, self.weights.shape[1], generator=self._generator)
            inputs = answers = noise.unsqueeze(2) * drawn
        else:
            inputs = self._inputs(rows)
            answers = self._answers(rows, inputs)
            if self.group.goal == "classify":
                wrong = torch.rand(rows.shape, generator=self._generator) < noise
                answers = torch.where(wrong, answers.roll(1, 1), answers)
            else:
                drawn = torch.randn(answers.shape, generator=self._generator)
                answers = answers + noise.unsqueeze(2) * drawn
        return inputs.repeat_interleave(self.replicas, 0), answers.repeat_interleave(self.replicas, 0)

    def _split(self, weights: Tensor) -> list[Tensor]:
        parts = torch.split(weights, self._sizes, 1)
        shapes = [p.shape for p in self.group.network.parameters]
        return [part.view(len(weights), *shape) for part, shape in zip(parts, shapes, strict=True)]

    def _losses(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """[run, example], without the loss scale."""
        if self.group.goal == "classify":
            flat = F.cross_entropy(outputs.flatten(0, 1), answers.flatten(), reduction="none")
            return flat.view(answers.shape)
        squares = (outputs - answers).square()
        if self.group.goal == "quadratic":
            return 0.5 * (squares * self._curvature.unsqueeze(1)).sum(2)
        return squares.mean(2)

    def _gradient(self, inputs: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Losses [run] and gradient [run, parameter], both times the loss scale."""
        values = [part.requires_grad_() for part in self._split(self.weights)]
        loss = self._losses(self.group.network.forward(values, inputs, self._drop), answers).mean(1) * self._loss_scale
        # Runs do not share parameters, so the gradient of the sum holds each run's own.
        gradients = torch.autograd.grad(loss.sum(), values)
        return loss.detach(), torch.cat([g.flatten(1) for g in gradients], 1)

    def _drop(self, hidden: Tensor) -> Tensor:
        """Dropout, for all replicas of a task alike."""
        if not self.group.dropout:
            return hidden
        tasks = hidden.shape[0] // self.replicas
        kept = torch.rand(tasks, *hidden.shape[1:], generator=self._generator) >= self.group.dropout
        return hidden * kept.repeat_interleave(self.replicas, 0) / (1 - self.group.dropout)

    def _examine(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and error over rows [task, example], each [run]."""
        values = self._split(self.weights)
        losses: list[Tensor] = []
        errors: list[Tensor] = []
        for part in torch.split(rows, EXAMINED, 1):
            inputs = self._inputs(part)
            answers = self._answers(part, inputs).repeat_interleave(self.replicas, 0)
            outputs = self.group.network.forward(values, inputs.repeat_interleave(self.replicas, 0))
            losses.append(self._losses(outputs, answers))
            if self.group.goal == "classify":
                errors.append((outputs.argmax(2) != answers).float())
        loss = torch.cat(losses, 1).mean(1)
        return loss, torch.cat(errors, 1).mean(1) if errors else torch.full_like(loss, torch.nan)
