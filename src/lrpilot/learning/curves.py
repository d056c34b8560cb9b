"""A picture of a pretraining from its log, redrawn while it runs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrpilot.core.files import replace_file


def draw_curves(events: Sequence[Mapping[str, Any]], picture: Path) -> None:
    """Draw the evaluations among the lines of a pretraining: mean score over hours beside what schedules reach."""
    from matplotlib.figure import Figure

    evaluations = [event for event in events if event["stage"] == "evaluation"]
    if not evaluations:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    hours = [event["hours"] for event in evaluations]
    axes.plot(hours, [event["score"] for event in evaluations], "o-", label="policy, random starts")
    for name, style in (
        ("single_constant", ":"),
        ("single_decay", ":"),
        ("best_constant", "--"),
        ("best_decay", "--"),
    ):
        axes.axhline(evaluations[-1][name], linestyle=style, color="0.5")
        axes.annotate(name.replace("_", " "), (hours[-1], evaluations[-1][name]), fontsize=8, ha="right", va="bottom")
    axes.set(xlabel="hours", ylabel="mean final score (log; lower is better)", title="Pretraining")
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, dpi=120)
    replace_file(picture, content.getvalue())
