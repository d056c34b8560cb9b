"""How much of each experiment is run: in CI, in an afternoon, or all that the paper did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much one of the paper's tasks is run.

    Where it ``screens``, the first seed alone tries the whole grid, and the others the settings that it chose by test
    and by validation error.
    """

    steps: int  # of a run
    evaluations: int  # looks at test and validation set in a run
    repeats: int  # seeds
    screens: bool = False
    validation: int = 5000  # examples held out of the training set
    batch_size: int = 50  # the paper's is 1 (after Schaul et al.) for M0 to M2
    offline_runs: int = 0  # training runs of the offline version

    @property
    def seeds(self) -> range:
        """Of the runs, the first of which screens."""
        return range(self.repeats)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of all experiments."""

    name: str  # its folder below results/
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # the grid of section 4.1
    sizes: Mapping[str, Size]  # by task
    start_repeats: int  # seeds from each starting rate
    reading_repeats: int  # seeds of each reading and of each discount
    reading_steps: int  # length of their runs
    offline_share: float = 1.0  # length of the offline version's training runs beside the run that is reported


def _sizes(vectors: Size, m2: Size, mnist: Size, cifar10: Size) -> Mapping[str, Size]:
    return {"m0": vectors, "m1": vectors, "m2": m2, "mnist-cnn": mnist, "cifar10-cnn": cifar10}


_smoke = Size(steps=120, evaluations=4, repeats=2, validation=500)
_smoke_cnn = Size(steps=12, evaluations=1, repeats=1, screens=True, validation=500, offline_runs=2)
SMOKE = Profile(
    name="smoke",
    rates=(1e-2, 1e-1),
    sizes=_sizes(_smoke, _smoke, _smoke_cnn, replace(_smoke_cnn, steps=8)),
    start_repeats=1,
    reading_repeats=1,
    reading_steps=60,
)
_quick = Size(steps=7_200, evaluations=24, repeats=5)
_quick_cnn = Size(steps=2_000, evaluations=8, repeats=3, screens=True, validation=2000, offline_runs=5)
QUICK = Profile(
    name="quick",
    sizes=_sizes(
        _quick,
        replace(_quick, repeats=3, screens=True),
        _quick_cnn,
        replace(_quick_cnn, steps=1_200, evaluations=5, offline_runs=10),
    ),
    start_repeats=10,
    reading_repeats=3,
    reading_steps=2_400,
    offline_share=0.25,
)
_paper = Size(steps=360_000, evaluations=36, repeats=5, batch_size=1)
_paper_cnn = Size(steps=20_000, evaluations=40, repeats=5, offline_runs=5)
PAPER = Profile(
    name="paper",
    sizes=_sizes(_paper, _paper, _paper_cnn, replace(_paper_cnn, steps=10_000, offline_runs=10)),
    start_repeats=10,
    reading_repeats=5,
    reading_steps=360_000,
)
PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, PAPER)}
