"""Learning the pilot's policy: from schedules on a population and on a bank of real trainings, then by actor-critic.

    draw a group -> roll out schedules and policy side by side -> distil        (stage 1, lrpilot.learning.distill)
    the bank     -> run the teacher, then the policy           -> distil        (stage 2, lrpilot.learning.bank)
    draw groups  -> roll out the policy with exploration       -> PPO with GAE  (stage 3, lrpilot.learning.ppo)

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
from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.learning.bank.rounds import Rounds
from lrpilot.learning.bank.store import Entry
from lrpilot.learning.bank.store import fingerprint as bank_fingerprint
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.population.rollouts import Rollout
from lrpilot.learning.population.trainings import Pool
from lrpilot.pilot.policy import Policy

from .curves import draw_curves
from .distill import Lesson, Regrets
from .pretrain_config import PretrainConfig
from .stages import BankRounds, Distillation, Improvement, Learner, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


CHECKPOINT, KIND = "checkpoint", "lrpilot pretraining"


def pretrain(
    config: PretrainConfig,
    out: str | Path,
    *,
    bank: Sequence[Entry] = (),
    workers: int = 1,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    stopped: Callable[[], bool] = lambda: False,
    commit: str = "",
) -> Policy | None:
    """Learn a policy and write it to ``out/policy.safetensors``; curves to ``out/curves.jsonl`` and ``.png``.

    Args:
        config: what to do.
        out: a new or empty folder, made if need be; or that of the pretraining to go on with.
        bank: what the second stage learns from; it may grow until that stage begins.
        workers: processes that run the bank's trainings; the result does not depend on it.
        resume: go on from the checkpoint in ``out``: what comes is as if it had never stopped.
        report: called with each line of the curves.
        stopped: asked after each group, iteration or block whether to save and leave; None is returned then.
        commit: of the source, for the policy's provenance.

    Raises:
        InvalidArgument: nothing to resume, or something else in the way; rounds over a bank without one.
        Unusable: the folder is in use, or its checkpoint is damaged or of another configuration.
    """
    with working_folder(Path(out), CHECKPOINT, resume=resume):
        run = Pretraining(config, Path(out), bank=bank, workers=workers, report=report, commit=commit)
        if resume:
            run.load()
        else:
            run.save()
        return run.finish(stopped)


class Pretraining:
    """The state of one pretraining: what its stages share, and how far each has come."""

    def __init__(
        self,
        config: PretrainConfig,
        out: Path,
        *,
        bank: Sequence[Entry] = (),
        workers: int = 1,
        report: Callable[[dict[str, Any]], None] = lambda event: None,
        commit: str = "",
        evaluation: EvaluationPopulation | None = None,
    ) -> None:
        if config.bank_rounds and not bank:
            raise InvalidArgument("bank", "tasks to learn from, or bank_rounds=0", "none")
        torch.set_flush_denormal(True)
        self.config, self.out, self._report, self._commit = config, out, report, commit
        self._curves = Log(out / "curves.jsonl")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.policy = Policy(width=config.width)
        self._learner = Learner(
            config,
            self.policy,
            actor=torch.optim.Adam(self.policy.actor.parameters(), lr=config.distil_rate),
            critic=torch.optim.Adam(self.policy.critic.parameters(), lr=1e-3),
            generator=torch.Generator().manual_seed(config.seed),
            pool=Pool(load_sources(config.seed, mnist=config.mnist)),
        )
        self._bank = bank_fingerprint(bank)
        rounds = Rounds(bank, out / "runs", noise=config.bank_noise, seed=config.seed)
        self._stages: tuple[Stage, ...] = (
            Distillation(config),
            BankRounds(config, rounds, workers=workers),
            Improvement(config, rounds),
        )
        self._seconds = 0.0
        self._evaluation = evaluation

    def finish(self, stopped: Callable[[], bool] = lambda: False) -> Policy | None:
        """Do what is left to do, or what is possible until ``stopped``. Evaluates after steps that taught something."""
        last = self._seconds
        for stage in self._stages:
            while stage.done < stage.total:
                if stopped():
                    self.save()
                    return None
                begin, before = time.monotonic(), stage.done
                event = stage.advance(self._learner)
                self._seconds += time.monotonic() - begin
                self._log({"stage": stage.name, "index": stage.done, "total": stage.total, **event})
                if stage.done > before and self._seconds - last > self.config.evaluate_every:
                    last = self._seconds
                    self.evaluate()
        self.evaluate()
        return self.policy

    def evaluate(self) -> None:
        """Run the policy on the evaluation population, write the checkpoint, the policy and the picture."""
        if self._evaluation is None:
            self._evaluation = EvaluationPopulation.usual(self._learner.pool)
        judged = self._evaluation.judge(self.policy, deviates=self.config.deviates)
        self._log({"stage": "evaluation", **judged, **asdict(self._evaluation.reference)})
        self.save()
        draw_curves(self._curves.read(), self.out / "curves.png")

    def _log(self, event: dict[str, Any]) -> None:
        event = {**event, "hours": round(self._seconds / 3600, 4)}
        self._curves.append(event)
        self._report(event)

    def save(self) -> None:
        """Write the checkpoint, which tells that a pretraining is here, then the policy; each whole or not at all."""
        learner = self._learner
        state = {
            "policy": self.policy.state_dict(),
            "actor": learner.actor.state_dict(),
            "critic": learner.critic.state_dict(),
            "generator": learner.generator.get_state(),
            "done": [stage.done for stage in self._stages],
            "seconds": self._seconds,
            "curves": self._curves.mark(),
            "distilled": learner.distilled,
            "bank": self._bank if learner.distilled else None,
            "lessons": [_as_state(lesson) for lesson in learner.lessons],
        }
        save_state(self.out / CHECKPOINT, KIND, state, configuration=fingerprint(asdict(self.config)))
        self.policy.provenance = {
            "made_by": "lrpilot pretrain",
            "configuration": asdict(self.config),
            "bank": self._bank,
            "commit": self._commit,
            "hours": round(self._seconds / 3600, 3),
            "done": {stage.name: stage.done for stage in self._stages},
        }
        self.policy.save(self.out / "policy.safetensors")

    def load(self) -> None:
        """Go on from the checkpoint; what the curves say of later than it is taken away.

        Raises:
            Unusable: it is damaged, or made with another configuration.
        """
        file, learner = self.out / CHECKPOINT, self._learner
        state = load_state(file, KIND, configuration=fingerprint(asdict(self.config)))
        try:
            self.policy.load_state_dict(state["policy"])
            learner.actor.load_state_dict(state["actor"])
            learner.critic.load_state_dict(state["critic"])
            learner.generator.set_state(state["generator"])
            for stage, done in zip(self._stages, state["done"], strict=True):
                stage.done = done
            self._seconds = float(state["seconds"])
            learner.distilled, bank = state["distilled"], state["bank"]
            learner.lessons = [_of_state(lesson) for lesson in state["lessons"]]
            mark = state["curves"]
        except Exception as error:  # whatever a state of other contents leads to
            raise Unusable(f"{file} does not fit: begin again in another --out") from error
        if bank not in (None, self._bank):
            raise Unusable(f"{file} belongs to another bank: give the one that it began with")
        self._curves.cut(*mark)


def _as_state(lesson: Lesson) -> StateDict:
    return {**vars(lesson), "rollout": vars(lesson.rollout), "regrets": vars(lesson.regrets)}


def _of_state(state: StateDict) -> Lesson:
    return Lesson(Rollout(**state["rollout"]), Regrets(**state["regrets"]), state["log_warm_up"])
