"""What the report of a profile is written from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Trial
from lrpilot.experiments.studies.catalogue import EXPERIMENTS, plans_of
from lrpilot.experiments.studies.frame import frame
from lrpilot.experiments.studies.plans import found
from lrpilot.experiments.studies.profiles import Profile
from lrpilot.experiments.tasks.catalogue import PAPERS


@dataclass(frozen=True)
class Evidence:
    """The runs of some experiments of a profile, as far as they are made."""

    profile: Profile
    root: Path  # the folder that they were found in
    runs: DataFrame  # all of them, as of `frame`
    planned: Mapping[str, int]  # by experiment, how many runs are known to be needed so far
    unmade: Sequence[Trial]  # those of them that have no result

    @classmethod
    def load(cls, profile: Profile, store: Store, names: Iterable[str] = tuple(EXPERIMENTS)) -> Evidence:
        """The results in a store of these experiments and of those that they need."""
        plans = {name: plan() for name, plan in plans_of(names, profile, store).items()}
        results = [result for plan in plans.values() for result in found(store, plan)]
        unmade = [trial for plan in plans.values() for trial in store.missing(plan)]
        return cls(profile, store.root, frame(results), {name: len(plan) for name, plan in plans.items()}, unmade)

    def of(self, *experiments: str) -> DataFrame:
        """The runs of these experiments."""
        return self.runs[self.runs.experiment.isin(experiments)]

    def by_task(self, *experiments: str) -> dict[str, DataFrame]:
        """The same by task, in the order of the paper, those without any left out."""
        runs = self.of(*experiments)
        return {task: own for task in PAPERS if len(own := runs[runs.task == task])}
