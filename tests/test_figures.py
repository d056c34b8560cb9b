"""What is drawn: a colour for each method, the mean over seeds with a band, and a level for a method without a rate."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from lrpilot.experiments.report.drawing import COLOURS, colours
from lrpilot.experiments.report.figures import against_start, learning_curves, rates
from lrpilot.experiments.report.pictures import draw_run
from lrpilot.experiments.runs.methods import LABELS, RATE_FREE
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial


def run(method="sgd", seed=0, status="finished", setting=None, **columns):
    made = result(status, trial=trial(method=method, seed=seed, setting=setting or {}))
    made.curve.update({"train_loss": [1.0, 0.5]} | columns)
    return made


def test_a_method_has_one_colour_and_other_lines_get_one_that_is_free():
    alone, among = colours(["pilot"]), colours(["x_j = x_i", "SGD", "pilot", "another line"])
    assert alone["pilot"] == among["pilot"] == COLOURS["pilot"]
    assert len(set(among.values())) == 4
    assert COLOURS.keys() <= LABELS.keys()


@pytest.mark.parametrize(
    "together", [RATE_FREE, [name for name in COLOURS if name not in ("sgd", "adam", "adagrad", "rmsprop")]]
)
def test_what_is_drawn_together_can_be_told_apart(together):
    used = list(colours(LABELS[name] for name in together).values())
    assert len(set(used)) == len(used)


def test_learning_curves_are_means_over_finished_runs_with_a_band_from_least_to_greatest():
    runs = [
        run(train_loss=[1.0, 0.5]),
        run(seed=1, train_loss=[3.0, 0.7]),
        run(seed=2, status="diverged", train_loss=[9.0, 9.0]),
    ]
    loss, _, accuracy = learning_curves("M1", frame([*runs, run("adam", status="diverged")])).axes
    mean = loss.lines[0]
    assert list(mean.get_xdata()) == [20, 40]
    assert list(mean.get_ydata()) == pytest.approx([2.0, 0.6])
    assert to_hex(mean.get_color()) == COLOURS["sgd"]
    corners = loss.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in np.round(corners, 6)} == {(20, 1.0), (20, 3.0), (40, 0.5), (40, 0.7)}
    assert list(accuracy.lines[0].get_ydata()) == [91.0, 98.0, 97.0]
    assert [line.get_label() for line in loss.lines] == ["SGD", "Adam (diverged)"]


def test_rates_are_a_line_for_each_run_in_epochs_where_asked_for():
    runs = frame([run(rate=[0.1, 0.2]), run(seed=1, status="diverged", rate=[0.3, 0.4])])
    (axes,) = rates("M1", runs, epoch=10).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.1, 0.2], [0.3, 0.4]]
    assert list(axes.lines[0].get_xdata()) == [2.0, 4.0]
    assert axes.get_xscale() == "log"


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
