"""A picture of a pretraining from its log, redrawn while it runs."""

from __future__ import annotations

import json
from pathlib import Path


def draw_curves(log: Path, picture: Path) -> None:
    """Draw the evaluations in a file of JSON lines: mean score over hours beside what schedules reach."""
    from matplotlib.figure import Figure

    events = [json.loads(line) for line in log.read_text().splitlines()]
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
    partial = picture.with_name("partial." + picture.name)
    figure.savefig(partial, dpi=120)
    partial.replace(picture)
