"""The paper's future work: more to decide on than one rate, and other optimizers than SGD."""

from __future__ import annotations

from pandas import DataFrame, Series

from lrpilot.experiments.runs.methods import EXTENSIONS, LABELS
from lrpilot.experiments.runs.trial import setting_name
from lrpilot.experiments.studies.frame import choose, groups
from lrpilot.experiments.studies.plans import VALUES, mean_values

from .tables import Table, count_text, interval, mean_text


def tried(runs: DataFrame) -> list[str]:
    """The extensions that there are runs of."""
    return [name for name in EXTENSIONS if f"online-{name}" in set(runs.method)]


def beside_the_rate(heading: str, name: str, runs: DataFrame) -> Table:
    """An extension on one task beside the one rate, its untrained actor and constants at its mean values."""
    _, start = EXTENSIONS[name]
    methods = (f"online-{name}", "online-stable", f"frozen-{name}", f"mean-{name}")
    own = runs[runs.method.isin(methods) & ((runs.setting == setting_name(start)) | (runs.method == methods[-1]))]
    learned = own[own.method == methods[0]].set_index("seed").test_error
    cells = {}
    for method in (method for method in methods if method in set(own.method)):
        mine = own[own.method == method]
        less = (mine.set_index("seed").test_error - learned).dropna()
        row = {"error %": mean_text(mine.test_error), "runs": count_text(mine.finished)}
        row["more than the extension, 95% interval"] = "-" if method == methods[0] else _between(less)
        row["values, means"] = mine.setting.iloc[0] if method == methods[-1] else _values(mine.run)
        cells[LABELS[method]] = row
    note = "Differences are paired by seed; an interval above 0 speaks for the extension."
    return Table.of(f"{heading}: {name}", "method", DataFrame.from_dict(cells, orient="index"), note)


def on_optimizers(heading: str, runs: DataFrame) -> Table:
    """The actor-critic on each optimizer beside the optimizer's best constant rate, chosen by test error."""
    cells = {}
    for optimizer, own in groups(runs, "setting_optimizer").items():
        constant = own[own.method == "constant"]
        best = choose(constant, "test_error") if len(constant) else constant
        learned = own[own.method == "online-stable"]
        more = (learned.set_index("seed").test_error - best.set_index("seed").test_error).dropna()
        cells[optimizer] = {
            "actor-critic, error %": mean_text(learned.test_error) if len(learned) else "-",
            "runs": count_text(learned.finished),
            "best constant rate": f"{best.setting_lr.iloc[0]:g}" if len(best) else "-",
            "its error %": mean_text(best.test_error) if len(best) else "-",
            "actor-critic's is more by, 95% interval": _between(more),
        }
    return Table.of(f"{heading}: other optimizers", "optimizer", DataFrame.from_dict(cells, orient="index"))


def _values(runs: Series) -> str:
    """``rate 0.1, momentum 0.6``; of a rate for each tensor all of them."""
    means = mean_values(runs)
    by_knob = {knob: [f"{v:g}" for name, v in means.items() if name.split("/")[0] == knob] for knob in VALUES}
    return ", ".join(f"{knob} {' '.join(values)}" for knob, values in by_knob.items() if values)


def _between(differences: Series) -> str:
    """``[-0.12, +0.30]``: a 95 % Student interval of the mean of paired differences in percent; or a dash."""
    ends = interval(list(differences))
    return f"[{ends[0]:+.2f}, {ends[1]:+.2f}]" if ends else "-"
