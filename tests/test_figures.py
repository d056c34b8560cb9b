"""What is drawn: a colour for each method, the mean over seeds with a band, and a level for a method without a rate."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lrpilot.experiments.report.drawing import COLOURS, plain_numbers, styles
from lrpilot.experiments.report.figures import against_start, learned_rate, learning_curves, rates
from lrpilot.experiments.report.pictures import draw_run
from lrpilot.experiments.runs.methods import GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE, LABELS
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial


def run(method="sgd", seed=0, status="finished", setting=None, **columns):
    made = result(status, trial=trial(method=method, seed=seed, setting=setting or {}))
    made.curve.update({"train_loss": [1.0, 0.5]} | columns)
    return made


def test_every_method_has_one_colour_and_its_further_lines_are_dashed():
    assert COLOURS.keys() == LABELS.keys()
    made = frame([run("online-stable"), run("online-stable", seed=1), run("adam")])
    made.loc[made.seed == 1, "label"] = "actor-critic, stable, x_j = x_i"
    assert styles(made) == {
        "Adam": {"color": COLOURS["adam"], "linestyle": "-"},
        "actor-critic, stable": {"color": COLOURS["online-stable"], "linestyle": "-"},
        "actor-critic, stable, x_j = x_i": {"color": COLOURS["online-stable"], "linestyle": "--"},
    }


@pytest.mark.parametrize(
    "together", [(*GIVEN_AN_OPTIMIZER, *GIVEN_NO_RATE), [name for name in COLOURS if name not in GIVEN_NO_RATE]]
)
def test_what_is_drawn_together_can_be_told_apart(together):
    used = [COLOURS[name] for name in together]
    assert len(set(used)) == len(used)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.95, 2.1, ["1", "1.2", "1.4", "1.6", "1.8", "2"]),
        (0.9, 8.0, ["1", "1.5", "2", "3", "4", "5", "7"]),
        (0.009, 0.6, ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]),
        (0.0009, 20.0, ["0.001", "0.01", "0.1", "1", "10"]),
    ],
)
def test_a_log_axis_has_enough_plain_numbers(low, high, shown):
    axes = Figure().subplots()
    plain_numbers(axes)
    axes.set_ylim(low, high)
    labels = [
        label.get_text()
        for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert labels == shown
    assert not any(label.get_text() for label in axes.get_yticklabels(minor=True))


def test_learning_curves_have_the_papers_form_above_and_one_to_be_read_below():
    runs = [
        run(train_loss=[1.0, 0.5]),
        run(seed=1, train_loss=[3.0, 0.7]),
        run(seed=2, status="diverged", train_loss=[9.0, 9.0]),
    ]
    figure = learning_curves("M1", frame([*runs, run("adam", status="diverged")]))
    above, _, accuracy, below, _, error = figure.axes
    for loss in (above, below):
        mean = loss.lines[0]
        assert list(mean.get_xdata()) == [20, 40]
        assert list(mean.get_ydata()) == pytest.approx([2.0, 0.6])
        assert to_hex(mean.get_color()) == COLOURS["sgd"]
        assert [line.get_label() for line in loss.lines] == ["SGD (1 of 3 diverged)", "Adam (1 of 1 diverged)"]
    corners = below.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in np.round(corners, 6)} == {(20, 1.0), (20, 3.0), (40, 0.5), (40, 0.7)}
    assert not above.collections
    assert (above.get_yscale(), below.get_yscale()) == ("linear", "log")
    assert list(accuracy.lines[0].get_ydata()) == [91.0, 98.0, 97.0]
    assert list(error.lines[0].get_ydata()) == [9.0, 2.0, 3.0]


def test_without_accuracies_there_are_four_panels():
    figure = learning_curves("M1", frame([run()]), accuracy=False)
    assert [axes.get_ylabel() for axes in figure.axes] == ["training loss", "test loss"] * 2


def test_rates_are_a_line_for_each_run_on_a_log_axis():
    runs = frame([run(rate=[0.1, 0.2]), run(seed=1, status="diverged", rate=[0.3, 0.4])])
    (axes,) = rates("M1", runs).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.1, 0.2], [0.3, 0.4]]
    assert axes.get_yscale() == "log"


def test_the_learned_rate_is_a_mean_over_finished_runs_beside_every_run():
    changes = [{"rate": [0.1, 0.2]}, {"seed": 1, "rate": [0.3, 0.4]}, {"seed": 2, "status": "diverged", "rate": [9, 9]}]
    mean, each = learned_rate("M1", frame(run("online-stable", **change) for change in changes)).axes
    assert [list(line.get_ydata()) for line in mean.lines] == [pytest.approx([0.2, 0.3])]
    assert [list(line.get_ydata()) for line in each.lines] == [[0.1, 0.2], [0.3, 0.4], [9, 9]]
    assert (mean.get_yscale(), each.get_yscale()) == ("linear", "log")


def test_against_start_has_a_point_for_each_run_and_a_level_for_what_is_given_no_rate():
    errors = {("sgd", 0.1): (2.0, 4.0), ("sgd", 0.01): (5.0,), ("prodigy", None): (1.0, 3.0)}
    runs = frame(
        result(trial=trial(method=method, seed=seed, setting={"lr": rate} if rate else {}), errors=(9.0, 9.0, error))
        for (method, rate), seeds in errors.items()
        for seed, error in enumerate(seeds)
    )
    (axes,) = against_start({"M1": runs}).axes
    line, points, level = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.01, 0.1], [5.0, 3.0])
    assert sorted(zip(points.get_xdata(), points.get_ydata(), strict=True)) == [(0.01, 5.0), (0.1, 2.0), (0.1, 4.0)]
    assert set(level.get_ydata()) == {2.0}
    assert level.get_linestyle() == "--"


def test_an_error_of_nothing_can_be_drawn(tmp_path):
    """A log axis without a number above 0 makes matplotlib warn, which is an error here."""
    numbers = {"loss": 0.5, "learning_rate": 0.1, "test_loss": 0.0, "test_error": 0.0}
    draw_run([{"step": step, **numbers} for step in (1, 2)], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
