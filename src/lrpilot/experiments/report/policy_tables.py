"""What the pilot's policy owes to its parts: a table for each of the studies in ``studies/ablations.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from pandas import DataFrame

from lrpilot.experiments.studies.ablations import BUDGET, HIGH_STARTS, VARIANTS, Finding

from .tables import Table, mean_text


def policy_tables(findings: Sequence[Finding]) -> list[Table]:
    """What was found, a table for each study that has findings."""
    writers = {"feature": _features, "retrained": _variants, "horizon": _horizons, "quadratic": _quadratics}
    found = {name: [finding for finding in findings if finding["study"] == name] for name in writers}
    return [write(found[name]) for name, write in writers.items() if found[name]]


def _features(findings: Sequence[Finding]) -> Table:
    scores = DataFrame(findings).sort_values("score", ascending=False, kind="stable").set_index("hidden").score
    whole = scores.get("none", math.nan)
    rows = [[str(hidden), f"{score:.3f}", f"{score - whole:+.3f}"] for hidden, score in scores.items()]
    note = "The policy as it is, with one feature at 0, which is how a feature that was not measured reads."
    return Table("One feature hidden", ["hidden", "mean score", "change"], rows, note)


def _variants(findings: Sequence[Finding]) -> Table:
    runs, three = DataFrame(findings), partial(mean_text, digits=3)
    columns = {
        "mean score": ("score", three),
        "mean regret": ("regret", three),
        "median regret": ("median_regret", three),
        "seeds": ("score", lambda scores: str(len(scores))),
    }
    order = [variant for variant in VARIANTS if variant in set(runs.variant)]
    note = f"Each learned anew from {BUDGET} groups of schedules unless said, without PPO; scored after whole runs."
    return Table.of("Learned anew", "variant", runs.groupby("variant").agg(**columns).reindex(order), note)


def _horizons(findings: Sequence[Finding]) -> Table:
    (finding,) = findings
    header = ["judged after", *(f"{100 * float(share):g}% of the run" for share in finding["decades"])]
    rows = [["decades from the best rate at the end", *(f"{shift:+.2f}" for shift in finding["decades"].values())]]
    return Table("Short-horizon bias: which constant rate looks best", header, rows)


def _quadratics(findings: Sequence[Finding]) -> Table:
    rows = [
        [f"{each['variance']:g}", f"{each['constant']:.2f}", f"{each['decay']:.2f}"]
        + [f"{ratio:.2f}" for ratio in each["pilot"].values()]
        for each in findings
    ]
    header = ["variance", "best constant", "best linear decay", *(f"pilot from {start:g}" for start in HIGH_STARTS)]
    note = "Expected loss at the end as a multiple of that of the best possible schedule."
    return Table("The noisy quadratic against its optimum", header, rows, note)
