"""The paper's claims, and lrpilot's own, held against the committed results: what came out, whether it holds.

A claim is judged for both settings of the online actor-critic, by :mod:`.verdict`: its own method, at the worst of its
settings where it has several, against the best of its rivals, each at its setting with the least test error.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from pandas import DataFrame

from lrpilot.experiments.runs.methods import PAPERS_BASELINES, SCHAUL
from lrpilot.experiments.studies.frame import choose
from lrpilot.experiments.tasks.catalogue import MNIST_NETWORKS, PAPERS

from .studies import SOUND
from .tables import Table, steps_text
from .verdict import RISE, TEST_ERROR, TRAINING_LOSS, UNDECIDED, Measure, Verdict, compare

SIMILAR = 1.1  # the factor within which two training losses count as similar; the paper gives none
OVERFITS_AFTER = 5000  # steps after which the paper's baselines overfit; the one step count that its text gives
SETTINGS = ("paper", "stable")
UNKNOWN = "not measured"
ONLINE = "online-{}"
NOTE = (
    "Lower is better throughout; accuracies are turned into errors. A claim compares with the best rival by the "
    "mean, at the setting with the least test error, as in the paper. Means and factor are over the seeds that both "
    "have; the factor is the geometric mean of the ratios of runs of the same seed, in brackets its 95% interval "
    "(Student's, over seeds): a claim holds if all of it is below the limit (1 where none is named), does not hold if "
    "all of it is above, and is undecided otherwise. A run collapsed if it diverged or ended hardly better than "
    "guessing (81%): against a rival that did, nothing is decided; a method that did where its rival never does loses. "
    "The paper's text names no range for Figure 5 and one step count, Figure 4's; what it does not say is not judged."
)


@dataclass(frozen=True)
class Claim:
    """That a measure of one method is below those of its rivals; ``{}`` in the name of a method is the setting."""

    statement: str  # as the table of claims has it
    place: str  # where the paper makes it; empty if it does not
    experiment: str  # whose runs its own are
    task: str  # likewise
    rivals: tuple[str, ...]  # the methods that its own is held against, all of which must have runs
    _: KW_ONLY
    own: str = ONLINE  # the method that it is about
    measure: Measure = TEST_ERROR
    limit: float = 1.0  # the multiple of the best rival's that it stays below
    beside: str | None = None  # the experiment of the rivals' runs where it is another one
    steps: int = 1  # shorter runs decide nothing

    def verdict(self, setting: str, runs: DataFrame) -> Verdict | None:
        """What came of it under one setting; None while the runs that decide are missing."""
        runs = runs[runs.task == self.task]
        own = runs[(runs.experiment == self.experiment) & (runs.method == self.own.format(setting))]
        others = runs[runs.experiment == (self.beside or self.experiment)]
        tried = [others[others.method == rival.format(setting)] for rival in self.rivals]
        if own.empty or any(made.empty for made in tried):
            return None
        own = own[own.setting == own.groupby("setting").test_error.mean().idxmax()]
        best = min((choose(made, "test_error") for made in tried), key=self.measure.mean)
        found, length = compare(own, best, self.measure, self.limit), own.planned_steps.max()
        if found and length < self.steps:
            return Verdict(UNDECIDED, f"{length:,} steps are fewer than the paper's {self.steps:,}; {found.numbers}")
        return found


def verdicts(runs: DataFrame) -> Table:
    """One row a claim that has been measured: verdict and numbers under the literal and the stable setting."""
    rows = []
    for claim in CLAIMS:
        found = [claim.verdict(setting, runs) for setting in SETTINGS]
        if any(found):
            own = runs[(runs.experiment == claim.experiment) & (runs.task == claim.task)]
            rows.append([claim.statement, claim.place, steps_text(own), *(str(one or UNKNOWN) for one in found)])
    return Table("The paper's claims", ["claim", "where", "length", *SETTINGS], rows, NOTE)


LOWEST = "the lowest test error, "
CONVERGES = f"training loss falls about as fast as the best baseline's (within {SIMILAR:g}x), "
OVERFITS = "the test loss rises less above its least than the baselines', a fifth of CIFAR-10"
GENERALISES = "another batch for the actor generalises better than the same one, a fifth of CIFAR-10"
IMPROVES = "learning offline over runs improves on online, "
LEARNED = "(implied) what is learned matters: better than an untrained actor and than a constant rate at its mean, "
LEARNED_OVER_RUNS = "(implied) what is learned over runs matters: better than both, "
ANY_START = f"(ours) any starting rate will do: the worst within {SOUND:g}x the best constant rate's error, "
CONTROLS = ("frozen-{}", "mean-rate-{}")
OFFLINE_CONTROLS = ("untrained-offline-{}", "mean-rate-offline-{}")
CONVOLUTIONAL = ("mnist-cnn", "cifar10-cnn")
MNIST, CIFAR10 = (PAPERS[task].heading for task in CONVOLUTIONAL)

CLAIMS = (
    Claim(LOWEST + MNIST, "Table 1", "table1", "mnist-cnn", PAPERS_BASELINES),
    Claim(LOWEST + CIFAR10, "Table 2", "table2", "cifar10-cnn", PAPERS_BASELINES),
    *(
        Claim(LOWEST + PAPERS[task].heading, "Table 3", "table3", task, (*PAPERS_BASELINES, *SCHAUL))
        for task in MNIST_NETWORKS
    ),
    Claim(CONVERGES + MNIST, "Figure 2", "table1", "mnist-cnn", PAPERS_BASELINES, measure=TRAINING_LOSS, limit=SIMILAR),
    Claim(
        CONVERGES + CIFAR10, "Figure 3", "table2", "cifar10-cnn", PAPERS_BASELINES, measure=TRAINING_LOSS, limit=SIMILAR
    ),
    Claim(OVERFITS, "Figure 4", "figure4", "cifar10-cnn", PAPERS_BASELINES, measure=RISE, steps=OVERFITS_AFTER),
    Claim(GENERALISES, "Figure 6", "figure4", "cifar10-cnn", (ONLINE,), beside="figure6"),
    Claim(IMPROVES + MNIST, "appendix", "appendix", "mnist-cnn", (ONLINE,), own="offline-{}", beside="table1"),
    Claim(IMPROVES + CIFAR10, "appendix", "appendix", "cifar10-cnn", (ONLINE,), own="offline-{}", beside="table2"),
    *(Claim(LEARNED + task.heading, "", str(task.table), name, CONTROLS) for name, task in PAPERS.items()),
    *(
        Claim(LEARNED_OVER_RUNS + PAPERS[task].heading, "", "appendix", task, OFFLINE_CONTROLS, own="offline-{}")
        for task in CONVOLUTIONAL
    ),
    *(
        Claim(ANY_START + PAPERS[task].heading, "", "start", task, ("sgd",), limit=SOUND, beside="table3")
        for task in MNIST_NETWORKS
    ),
)
