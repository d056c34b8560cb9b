"""From results to tables: means, spreads, intervals, ranks, and the paper's numbers beside ours."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lrpilot.experiments.runs.trial import Result

BOOTSTRAP_DRAWS = 9999


@dataclass(frozen=True)
class Table:
    """Cells of text under a header, with a title above and a note below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def to_markdown(self) -> str:
        """As a pipe table."""
        lines = [f"**{self.title}**", "", *(_pipe(row) for row in [self.header, ["---"] * len(self.header)])]
        lines += [_pipe(row) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def to_html(self) -> str:
        """As a table element with a caption, everything escaped."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        note = f'<p class="note">{html.escape(self.note)}</p>' if self.note else ""
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


@dataclass(frozen=True)
class Summary:
    """A handful of numbers: their mean, standard deviation and count, and an interval for the mean."""

    values: Sequence[float]
    mean: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Of at least one finite number; the standard deviation of a single one is nan."""
        return cls(values, statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan)

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return len(self.values)

    def interval(self) -> tuple[float, float] | None:
        """The 95% percentile bootstrap interval of the mean, drawn with a fixed seed; None below two numbers."""
        if len(self.values) < 2:
            return None
        if max(self.values) == min(self.values):
            return self.mean, self.mean
        import numpy as np
        from scipy.stats import bootstrap

        drawn = bootstrap((np.asarray(self.values),), np.mean, method="percentile", n_resamples=BOOTSTRAP_DRAWS, rng=0)
        low, high = drawn.confidence_interval
        return float(low), float(high)

    def text(self, digits: int = 2) -> str:
        """``2.31 ± 0.05``."""
        if math.isnan(self.spread):
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {self.spread:.{digits}f}"

    def interval_text(self, digits: int = 2) -> str:
        """``[2.27, 2.36]``, or a dash."""
        interval = self.interval()
        return "-" if interval is None else f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


@dataclass(frozen=True)
class Choice:
    """The runs of a method at the setting that was chosen for it."""

    method: str
    setting: str
    results: Sequence[Result]

    def errors(self) -> list[float]:
        """The final test error of each run, in percent."""
        return [result.final("test_error") for result in self.results]

    @property
    def unfinished(self) -> int:
        """How many of the runs diverged or failed."""
        return sum(result.status != "finished" for result in self.results)


def by_setting(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results of one method, by setting, each list in the order of the seeds."""
    grouped: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.trial.seed):
        grouped.setdefault(result.trial.setting_name, []).append(result)
    return grouped


def by_method(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results by method, in the order in which methods first appear."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.trial.method, []).append(result)
    return grouped


def choose_setting(results: Iterable[Result], measure: str) -> Choice:
    """The setting of one method with the least mean final ``measure``, and its runs.

    Where all settings were tried with one seed and the best went on with more, they are compared by the seeds
    that all of them have.

    Args:
        results: all of one method, at least one.
        measure: ``test_error``, as the paper chose, or ``validation_error``.
    """
    settings = by_setting(results)
    shared = set.intersection(*({result.trial.seed for result in runs} for runs in settings.values()))

    def mean(runs: Sequence[Result]) -> float:
        compared = [result for result in runs if result.trial.seed in shared] or runs
        return statistics.fmean(result.final(measure) for result in compared)

    name = min(settings, key=lambda setting: mean(settings[setting]))
    return Choice(settings[name][0].trial.method, name, settings[name])


def ranks(values: Mapping[str, float]) -> dict[str, int]:
    """1 for the least; equal values share the better rank."""
    return {key: 1 + sum(other < value for other in values.values()) for key, value in values.items()}


def comparison(
    title: str,
    results: Iterable[Result],
    labels: Mapping[str, str],
    *,
    paper: Mapping[str, float] | None = None,
    accuracy: bool = False,
    note: str = "",
) -> Table:
    """One row a method: its runs at the setting chosen by test error, then those at the one chosen by
    validation.

    Args:
        title: above the table.
        results: of one task.
        labels: what to call each method; methods without results are left out.
        paper: the paper's number by method, in the table's own unit.
        accuracy: whether to print accuracies, as the paper's Table 2 does, instead of errors (percent both).
        note: below the table.
    """
    methods = by_method(results)
    by_test = {name: choose_setting(methods[name], "test_error") for name in labels if name in methods}
    by_validation = {name: choose_setting(methods[name], "validation_error") for name in by_test}
    test_ranks = ranks({name: statistics.fmean(choice.errors()) for name, choice in by_test.items()})
    validation_ranks = ranks({name: statistics.fmean(choice.errors()) for name, choice in by_validation.items()})

    def shown(errors: Sequence[float]) -> Summary:
        return Summary.of([100 - error for error in errors] if accuracy else errors)

    rows = []
    for name, choice in by_test.items():
        other, final = by_validation[name], shown(choice.errors())
        count = f"{final.count}" + (f" ({choice.unfinished} diverged)" if choice.unfinished else "")
        rows.append(
            [
                labels[name],
                choice.setting,
                final.text(),
                final.interval_text(),
                count,
                shown([result.best("test_error") for result in choice.results]).text(),
                str(test_ranks[name]),
                other.setting,
                shown(other.errors()).text(),
                str(validation_ranks[name]),
                f"{paper[name]:.2f}" if paper and name in paper else "-",
            ]
        )
    unit = "accuracy %" if accuracy else "error %"
    header = ["method", "setting, by test", unit, "95% interval", "runs", "best in the run", "rank"]
    return Table(title, [*header, "setting, by validation", unit, "rank", "paper"], rows, note)


def paper_form(
    title: str,
    tasks: Mapping[str, Iterable[Result]],
    labels: Mapping[str, str],
    paper: Mapping[str, Mapping[str, float]],
) -> Table:
    """Table 3 as the paper prints it, one row a network and one column a method; the paper's number in
    brackets.
    """
    rows = []
    for task, results in tasks.items():
        methods = by_method(results)
        row = [task.upper()]
        for name in labels:
            if name not in methods:
                row.append("-")
                continue
            mean = statistics.fmean(choose_setting(methods[name], "test_error").errors())
            theirs = paper.get(task, {}).get(name)
            row.append(f"{mean:.2f}" + (f" ({theirs:.2f})" if theirs is not None else ""))
        rows.append(row)
    return Table(title, ["network", *labels.values()], rows)


def overview(
    title: str,
    tasks: Mapping[str, Iterable[Result]],
    labels: Mapping[str, str],
    paper: Mapping[str, Mapping[str, float]],
    headings: Mapping[str, str],
) -> Table:
    """One row a method, one column a task: final test error in percent, the paper's in brackets.

    Args:
        title: above the table.
        tasks: the results by task.
        labels: what to call each method; methods without results are left out.
        paper: the paper's errors, by task and method.
        headings: what to call each task.
    """
    grouped = {task: by_method(results) for task, results in tasks.items()}
    rows = []
    for name in labels:
        if not any(name in methods for methods in grouped.values()):
            continue
        row = [labels[name]]
        for task, methods in grouped.items():
            ours = "-"
            if name in methods:
                ours = Summary.of(choose_setting(methods[name], "test_error").errors()).text()
            theirs = paper.get(task, {}).get(name)
            row.append(ours + (f" ({theirs:.2f})" if theirs is not None else ""))
        rows.append(row)
    note = "Mean ± standard deviation over seeds, at the setting with the least test error (the paper's way)."
    return Table(title, ["method", *(headings[task] for task in grouped)], rows, note)


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
