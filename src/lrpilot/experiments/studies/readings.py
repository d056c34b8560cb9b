"""Under which reading Algorithm 1 works: what is varied, and the table of what came of it.

From the literal setting upwards: other readings of what the paper leaves open, single deviations, and several
together. From the stable setting downwards: each deviation taken away, with those that need it; and upwards: those
that it does without. M0 and M1, which have no dropout, say nothing of D9.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lrpilot.experiments.report.tables import Summary, Table, by_method, by_setting, choose_setting
from lrpilot.experiments.runs.trial import setting_name
from lrpilot.online.settings import DEVIATIONS, STABLE_DEVIATIONS

if TYPE_CHECKING:
    from lrpilot.experiments.runs.trial import Result, Scalar

METHOD = "online-paper"  # every reading is this one with a setting of its own
TASKS = ("m0", "m1")
SOUND = 1.1
"""Sound on a task: no run diverges, and the mean error is at most this multiple of the best constant rate's."""


def _stable(*, without: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> Mapping[str, Scalar]:
    numbers = {*STABLE_DEVIATIONS, *also} - {*without}
    return {"deviations": "+".join(number for number in DEVIATIONS if number in numbers)}


READINGS: Mapping[str, Mapping[str, Scalar]] = {
    "paper": {},
    "actor's output weights N(0, 0.01)": {"output_scale": 0.01},
    "actor's output weights N(0, 1)": {"output_scale": 1.0},
    "PyTorch's initial weights": {"initialisation": "pytorch"},
    "actor's Adam at 1e-4": {"actor_learning_rate": 1e-4},
    "actor's Adam at 1e-2": {"actor_learning_rate": 1e-2},
    "critic's Adam at 1e-4": {"critic_learning_rate": 1e-4},
    "critic's Adam at 1e-2": {"critic_learning_rate": 1e-2},
    "discount 0": {"discount": 0.0},
    "x_j = x_i": {"actor_batch": "same"},
    "critic with tanh": {"critic_activation": "tanh"},
    "evaluations advance the memory": {"keep_evaluations": True},
    "no unrolling": {"unroll": 1},
    "paper + D1 (log loss seen)": {"deviations": "D1"},
    "paper + D2 (log rate)": {"deviations": "D2"},
    "paper + D3 (next batch's reward)": {"deviations": "D3"},
    "paper + D6 (replay)": {"deviations": "D6"},
    "paper + D7 (exploration)": {"deviations": "D7"},
    "paper + D1 + D2 + D6 + D7 (all but the reward)": {"deviations": "D1+D2+D6+D7"},
    "paper + D3 + D4 (its slope)": {"deviations": "D3+D4"},
    "paper + D2 + D3 + D4": {"deviations": "D2+D3+D4"},
    "paper + D2 + D3 + D4 + D5": {"deviations": "D2+D3+D4+D5"},
    "paper + D2 + D3 + D5": {"deviations": "D2+D3+D5"},
    "paper + D2 + D3 + D5 + D8": {"deviations": "D2+D3+D5+D8"},
    "stable": _stable(),
    "stable - D2": _stable(without=("D2",)),
    "stable - D3 (and D4, D8)": _stable(without=("D3", "D4", "D8")),
    "stable - D4": _stable(without=("D4",)),
    "stable - D5 (discount 0.99)": _stable(without=("D5",)),
    "stable - D8": _stable(without=("D8",)),
    "stable - D10 (actor's Adam at 1e-3)": _stable(without=("D10",)),
    "stable + D1": _stable(also=("D1",)),
    "stable + D6": _stable(also=("D6",)),
    "stable + D7": _stable(also=("D7",)),
    "stable + D1 + D6 + D7": _stable(also=("D1", "D6", "D7")),
}


def table(results: Iterable[Result]) -> Table:
    """One row a reading: the test error on each task, the rates at the end, and where the reading is sound.

    Args:
        results: of any readings, and of plain SGD over the grid, which they are held against.
    """
    runs = by_method(results)
    grouped = {task: by_setting(r for r in runs.get(METHOD, []) if r.trial.task == task) for task in TASKS}
    constant = {task: [r for r in runs.get("sgd", []) if r.trial.task == task] for task in TASKS}
    best = {
        task: statistics.fmean(choose_setting(tried, "test_error").errors())
        for task, tried in constant.items()
        if tried
    }
    names = {setting_name(setting): label for label, setting in READINGS.items()}
    rows = []
    for name, label in names.items():
        if not any(name in settings for settings in grouped.values()):
            continue
        cells, sound = [], []
        for task in TASKS:
            made = grouped[task].get(name, [])
            cells += [_errors(made), _rates(made)]
            sound.append(bool(made) and task in best and _is_sound(made, best[task]))
        where = [task.upper() for task, holds in zip(TASKS, sound, strict=True) if holds]
        rows.append([label, *cells, ", ".join(where) or "nowhere"])
    header = ["reading", *(f"{task.upper()}, {what}" for task in TASKS for what in ("error %", "rate at the end"))]
    limits = ", ".join(f"{task.upper()} {SOUND * error:.2f}" for task, error in best.items())
    note = f"Sound: no run diverges, and the mean error is at most {SOUND:g}x the best constant rate's ({limits})."
    return Table("Readings of Algorithm 1", [*header, "sound on"], rows, note)


def _errors(runs: Sequence[Result]) -> str:
    if not runs:
        return "-"
    unfinished = sum(result.status != "finished" for result in runs)
    text = Summary.of([result.final("test_error") for result in runs]).text()
    return text + (f" ({unfinished} diverged)" if unfinished else "")


def _rates(runs: Sequence[Result]) -> str:
    """The smallest and the largest last rate of the finished runs."""
    last = sorted(result.curve["rate"][-1] for result in runs if result.status == "finished")
    return f"{last[0]:.2g} to {last[-1]:.2g}" if last else "-"


def _is_sound(runs: Sequence[Result], best: float) -> bool:
    finished = all(result.status == "finished" for result in runs)
    return finished and statistics.fmean(result.final("test_error") for result in runs) <= SOUND * best
