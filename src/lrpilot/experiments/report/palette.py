"""The colour of each method, the same in every picture."""

from collections.abc import Iterable
from itertools import cycle

from lrpilot.experiments.runs.methods import LABELS

COLOURS = {
    "pilot": "#d62728",  # a red that no other line has
    "pilot-refined": "#ff9896",
    "constant": "#444444",
    "cosine": "#aaaaaa",
    "online-paper": "#7f2ca0",
    "online-stable": "#111111",
    "frozen-paper": "#c5b0d5",
    "frozen-stable": "#5c6bc0",
    "offline-paper": "#9467bd",
    "offline-stable": "#666666",
    "sgd": "#1f77b4",
    "adam": "#ff7f0e",
    "adagrad": "#2ca02c",
    "rmsprop": "#8c564b",
    "sgd-inverse-time": "#bcbd22",
    "sgd-cosine": "#999999",
    "vsgd-l": "#e377c2",
    "vsgd-b": "#f7b6d2",
    "vsgd-g": "#c2185b",
    "prodigy": "#1f77b4",  # these six are never drawn beside the paper's baselines
    "prodigy-cosine": "#17becf",
    "d-adaptation-sgd": "#2ca02c",
    "d-adaptation-adam": "#98df8a",
    "schedule-free-sgd": "#ff7f0e",
    "schedule-free-adamw": "#8c564b",
}
SPARE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#aec7e8")


def colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label: its method's, or for any other line the next spare one that this picture lacks."""
    labels = list(dict.fromkeys(labels))
    own = {LABELS[method]: colour for method, colour in COLOURS.items()}
    taken = {own[label] for label in labels if label in own}
    spare = cycle([colour for colour in SPARE if colour not in taken])
    return {label: own.get(label) or next(spare) for label in labels}
