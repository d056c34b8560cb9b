"""Learning the pilot's policy over the population: first from schedules tried out, then by actor-critic.

    draw a group -> roll out schedules and policy side by side -> distil        (stage 1, lrpilot.learning.distill)
    draw groups  -> roll out the policy with exploration       -> PPO with GAE  (stage 2, lrpilot.learning.ppo)

Resumable after every checkpoint; the curves are written as they grow; it ends in a policy file.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.errors import InvalidArgument
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.population.schedules import PEAKS
from lrpilot.learning.population.trainings import Pool
from lrpilot.pilot.policy import Policy

from .curves import draw_curves
from .distill import Lesson, Regrets, learn_from
from .group_rollouts import roll_out_group
from .ppo import ValuedRollout, update
from .pretrain_config import PretrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable


def pretrain(
    config: PretrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    commit: str = "",
) -> Policy:
    """Learn a policy and write it to ``out/policy.safetensors``; curves to ``out/curves.jsonl`` and ``.png``.

    Args:
        config: what to do.
        out: a folder, made if need be.
        resume: go on from ``out/checkpoint.pt`` if there is one (the recent rollouts are not kept).
        report: called with each line of the curves.
        commit: of the source, for the policy's provenance.
    """
    run = Pretraining(config, Path(out), report=report, commit=commit)
    checkpoint = run.out / "checkpoint.pt"
    if resume and checkpoint.is_file():
        run.load(checkpoint)
    else:
        (run.out / "curves.jsonl").write_text("")
    return run.finish()


class Pretraining:
    """The state of one pretraining: the policy, its optimizers, the random generator, the counts."""

    def __init__(
        self,
        config: PretrainConfig,
        out: Path,
        *,
        report: Callable[[dict[str, Any]], None] = lambda event: None,
        commit: str = "",
        evaluation: EvaluationPopulation | None = None,
    ) -> None:
        torch.set_flush_denormal(True)
        self.config, self.out, self._report, self._commit = config, out, report, commit
        out.mkdir(parents=True, exist_ok=True)
        self._generator = torch.Generator().manual_seed(config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.policy = Policy(width=config.width)
        self._actor = torch.optim.Adam(self.policy.actor.parameters(), lr=config.distil_rate)
        self._critic = torch.optim.Adam(self.policy.critic.parameters(), lr=1e-3)
        self._pool = Pool(load_sources(config.seed, mnist=config.mnist))
        self._distilled = self._improved = 0
        self._seconds = 0.0
        self._lessons: list[Lesson] = []
        self._evaluation = evaluation

    def finish(self) -> Policy:
        """Do what is left to do."""
        config, last = self.config, self._seconds
        while self._distilled < config.distil_groups or self._improved < config.ppo_iterations:
            begin = time.monotonic()
            event = self._distil() if self._distilled < config.distil_groups else self._improve()
            self._seconds += time.monotonic() - begin
            self._log(event)
            if self._seconds - last > config.evaluate_every:
                last = self._seconds
                self.evaluate()
        self.evaluate()
        return self.policy

    def evaluate(self) -> None:
        """Run the policy on the evaluation population, write the checkpoint, the policy and the picture."""
        if self._evaluation is None:
            self._evaluation = EvaluationPopulation.usual(self._pool)
        judged = self._evaluation.judge(self.policy, deviates=self.config.deviates)
        self._log({"stage": "evaluation", **judged, **asdict(self._evaluation.reference)})
        self.save()
        draw_curves(self.out / "curves.jsonl", self.out / "curves.png")

    def _distil(self) -> dict[str, Any]:
        config, generator = self.config, self._generator
        replicas = PEAKS + config.distil_flown
        # Half of the replicas are pushed about, so that the policy learns to come back.
        noise = torch.where(torch.rand(1, replicas, generator=generator) < 0.5, 0.0, 0.15)
        rollout, grid, log_warm_up = roll_out_group(
            self.policy,
            self._pool,
            config,
            generator,
            tasks=config.distil_tasks,
            replicas=replicas,
            noise=noise,
            schedules=True,
        )
        scores = rollout.scores.view(-1, replicas)
        regrets = Regrets.from_scores(grid, scores[:, :PEAKS], replicas)
        self._lessons = [*self._lessons, Lesson(rollout, regrets, log_warm_up)][-config.distil_memory :]
        done = self._distilled / config.distil_groups
        for group in self._actor.param_groups:
            group["lr"] = config.distil_rate * (1 - done) + 0.03 * config.distil_rate
        losses = [
            learn_from(
                self._lessons,
                self.policy.actor,
                self._actor,
                runs=config.distil_runs,
                newest=i % 4 == 0,
                generator=generator,
            )
            for i in range(config.distil_updates)
        ]
        self._distilled += 1
        best = scores[:, :PEAKS].amin(1, keepdim=True)
        return {
            "stage": "distil",
            "index": self._distilled,
            "loss": sum(losses) / max(len(losses), 1),
            "regret": (scores[:, PEAKS:] - best).mean().item(),
        }

    def _improve(self) -> dict[str, Any]:
        config = self.config
        noise = torch.full((1, config.ppo_replicas), config.exploration)
        batch: list[ValuedRollout] = []
        for _ in range(config.ppo_groups):
            rollout, _, _ = roll_out_group(
                self.policy,
                self._pool,
                config,
                self._generator,
                tasks=config.ppo_tasks,
                replicas=config.ppo_replicas,
                noise=noise,
                schedules=False,
            )
            valued = ValuedRollout.of(
                rollout, self.policy, replicas=config.ppo_replicas, dense=config.dense, decay=config.gae
            )
            batch.append(valued)
        rate = config.ppo_rate * (1 - self._improved / config.ppo_iterations)
        for group in self._actor.param_groups:
            group["lr"] = rate if self._improved >= 5 else 0.0  # the critic comes first
        errors: list[float] = []
        for _ in range(config.ppo_epochs):
            order = [batch[i] for i in torch.randperm(len(batch), generator=self._generator)]
            errors = [
                update(
                    half,
                    self.policy,
                    self._actor,
                    self._critic,
                    exploration=config.exploration,
                    clip=config.clip,
                )
                for half in (order[: len(batch) // 2], order[len(batch) // 2 :])
                if half
            ]
        self._improved += 1
        return {
            "stage": "ppo",
            "index": self._improved,
            "score": torch.cat([part.rollout.scores for part in batch]).mean().item(),
            "value_error": sum(errors) / len(errors),
        }

    def _log(self, event: dict[str, Any]) -> None:
        event = {**event, "hours": round(self._seconds / 3600, 4)}
        with (self.out / "curves.jsonl").open("a") as file:
            file.write(json.dumps(event) + "\n")
        self._report(event)

    def save(self) -> None:
        """Write checkpoint and policy, each so that a reader never sees half of it."""
        self.policy.provenance = {
            "made_by": "lrpilot pretrain",
            "configuration": asdict(self.config),
            "commit": self._commit,
            "hours": round(self._seconds / 3600, 3),
            "distilled": self._distilled,
            "improved": self._improved,
        }
        self.policy.save(self.out / "policy.safetensors")
        state = {
            "configuration": asdict(self.config),
            "policy": self.policy.state_dict(),
            "actor": self._actor.state_dict(),
            "critic": self._critic.state_dict(),
            "generator": self._generator.get_state(),
            "counts": [self._distilled, self._improved],
            "seconds": self._seconds,
            "lines": len((self.out / "curves.jsonl").read_text().splitlines()),
        }
        partial = self.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.out / "checkpoint.pt")

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; what the curves say of later than it is taken away."""
        state = torch.load(path, weights_only=True)
        if state["configuration"] != asdict(self.config):
            raise InvalidArgument("config", f"the one that {path.name} was made with", self.config)
        self.policy.load_state_dict(state["policy"])
        self._actor.load_state_dict(state["actor"])
        self._critic.load_state_dict(state["critic"])
        self._generator.set_state(state["generator"])
        self._distilled, self._improved = state["counts"]
        self._seconds = state["seconds"]
        curves = self.out / "curves.jsonl"
        lines = curves.read_text().splitlines(keepends=True)
        curves.write_text("".join(lines[: state["lines"]]))
