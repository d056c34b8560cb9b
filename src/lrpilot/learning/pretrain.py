"""Learning the pilot's policy over the population: first from schedules tried out, then by actor-critic.

    draw a group -> roll out schedules and policy side by side -> distil        (stage 1, lrpilot.learning.distill)
    draw groups  -> roll out the policy with exploration       -> PPO with GAE  (stage 2, lrpilot.learning.ppo)

Resumable after every checkpoint; the curves are written as they grow; it ends in a policy file.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.core.files import Log, fingerprint, load_state, save_state
from lrpilot.core.folders import working_folder
from lrpilot.core.state import StateDict
from lrpilot.errors import Unusable
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.population.rollouts import Rollout
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


CHECKPOINT, KIND = "checkpoint", "lrpilot pretraining"


def pretrain(
    config: PretrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    stopped: Callable[[], bool] = lambda: False,
    commit: str = "",
) -> Policy | None:
    """Learn a policy and write it to ``out/policy.safetensors``; curves to ``out/curves.jsonl`` and ``.png``.

    Args:
        config: what to do.
        out: a new or empty folder, made if need be; or that of the pretraining to go on with.
        resume: go on from the checkpoint in ``out``: what comes is as if it had never stopped.
        report: called with each line of the curves.
        stopped: asked after each group or iteration whether to save and leave; None is returned then.
        commit: of the source, for the policy's provenance.

    Raises:
        InvalidArgument: nothing to resume, or something else in the way.
        Unusable: the folder is in use, or its checkpoint is damaged or of another configuration.
    """
    with working_folder(Path(out), CHECKPOINT, resume=resume):
        run = Pretraining(config, Path(out), report=report, commit=commit)
        if resume:
            run.load()
        else:
            run.save()
        return run.finish(stopped)


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
        self._curves = Log(out / "curves.jsonl")
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

    def finish(self, stopped: Callable[[], bool] = lambda: False) -> Policy | None:
        """Do what is left to do, or what is possible until ``stopped``."""
        config, last = self.config, self._seconds
        while self._distilled < config.distil_groups or self._improved < config.ppo_iterations:
            if stopped():
                self.save()
                return None
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
        draw_curves(self._curves.read(), self.out / "curves.png")

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
        if self._distilled == config.distil_groups:
            self._lessons = []  # nothing more is learned from them
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
        self._curves.append(event)
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
            "policy": self.policy.state_dict(),
            "actor": self._actor.state_dict(),
            "critic": self._critic.state_dict(),
            "generator": self._generator.get_state(),
            "counts": [self._distilled, self._improved],
            "seconds": self._seconds,
            "curves": self._curves.mark(),
            "lessons": [_as_state(lesson) for lesson in self._lessons],
        }
        save_state(self.out / CHECKPOINT, KIND, state, configuration=fingerprint(asdict(self.config)))

    def load(self) -> None:
        """Go on from the checkpoint; what the curves say of later than it is taken away.

        Raises:
            Unusable: it is damaged, or made with another configuration.
        """
        file = self.out / CHECKPOINT
        state = load_state(file, KIND, configuration=fingerprint(asdict(self.config)))
        try:
            self.policy.load_state_dict(state["policy"])
            self._actor.load_state_dict(state["actor"])
            self._critic.load_state_dict(state["critic"])
            self._generator.set_state(state["generator"])
            self._distilled, self._improved = state["counts"]
            self._seconds = float(state["seconds"])
            self._lessons = [_of_state(lesson) for lesson in state["lessons"]]
            mark = state["curves"]
        except Exception as error:  # whatever a state of other contents leads to
            raise Unusable(f"{file} does not fit: begin again in another --out") from error
        self._curves.cut(*mark)


def _as_state(lesson: Lesson) -> StateDict:
    return {**vars(lesson), "rollout": vars(lesson.rollout), "regrets": vars(lesson.regrets)}


def _of_state(state: StateDict) -> Lesson:
    return Lesson(Rollout(**state["rollout"]), Regrets(**state["regrets"]), state["log_warm_up"])
