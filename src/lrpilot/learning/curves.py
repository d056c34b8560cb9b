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

    from lrpilot.core.picture import INK, PILOT, plain_panel

    evaluations = [event for event in events if event["stage"] == "evaluation"]
    if not evaluations:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    plain_panel(axes)
    hours, last = [event["hours"] for event in evaluations], evaluations[-1]
    axes.plot(hours, [event["score"] for event in evaluations], "o-", color=PILOT)
    levels = {
        "policy, any start": ("score", PILOT),
        "one constant rate for all": ("single_constant", INK),
        "one decaying rate for all": ("single_decay", INK),
        "each task's best constant rate": ("best_constant", INK),
        "each task's best decaying rate": ("best_decay", INK),
    }
    for text, (name, colour) in levels.items():
        if colour == INK:
            axes.axhline(last[name], linestyle="--" if name.startswith("best") else ":", color="0.5", linewidth=1)
        axes.annotate(
            f" {text}", (1, last[name]), xycoords=("axes fraction", "data"), fontsize=8, color=colour, va="center"
        )
    axes.set(xlabel="hours", ylabel="mean final score (log; lower is better)")
    axes.set_title("Pretraining", loc="left")
    content = io.BytesIO()
    figure.savefig(content, dpi=120)
    replace_file(picture, content.getvalue())
