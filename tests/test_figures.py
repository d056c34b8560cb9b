"""What is drawn: a colour for each method, the mean over seeds with a band, and a level for a method without a rate."""

import io
import json
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from lrpilot.core.picture import PILOT
from lrpilot.experiments.report.drawing import COLOURS, name_ends, png, styles, svg
from lrpilot.experiments.report.figures import against_start, errors, learned_rate, learning_curves, rates
from lrpilot.experiments.report.pictures import draw_comparison, draw_run
from lrpilot.experiments.runs.methods import GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE, LABELS
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial


def run(method="sgd", seed=0, status="finished", setting=None, **columns):
    made = result(status, trial=trial(method=method, seed=seed, setting=setting or {}))
    made.curve.update({"train_loss": [1.0, 0.5]} | columns)
    return made


def test_every_method_has_one_colour_and_its_further_lines_are_dashed():
    assert COLOURS.keys() == LABELS.keys()
    assert COLOURS["pilot"] == PILOT
    made = frame([run("online-stable"), run("online-stable", seed=1), run("adam")])
    made.loc[made.seed == 1, "label"] = "actor-critic, stable, x_j = x_i"
    assert styles(made) == {
        "Adam": {"color": COLOURS["adam"], "linestyle": "-", "gid": "of:Adam"},
        "actor-critic, stable": {"color": COLOURS["online-stable"], "linestyle": "-", "gid": "of:actor-critic, stable"},
        "actor-critic, stable, x_j = x_i": {
            "color": COLOURS["online-stable"],
            "linestyle": "--",
            "gid": "of:actor-critic, stable, x_j = x_i",
        },
    }


def test_a_colour_can_be_read_as_text():
    """At least 3 to 1 against white, by the contrast that WCAG defines."""

    def luminance(colour):
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.dot(channels, (0.2126, 0.7152, 0.0722))

    assert {name for name, colour in COLOURS.items() if 1.05 / (luminance(colour) + 0.05) < 3} == set()


@pytest.mark.parametrize(
    "together", [(*GIVEN_AN_OPTIMIZER, *GIVEN_NO_RATE), [name for name in COLOURS if name not in GIVEN_NO_RATE]]
)
def test_what_is_drawn_together_can_be_told_apart(together):
    used = [COLOURS[name] for name in together]
    assert len(set(used)) == len(used)


def test_learning_curves_have_the_papers_form_above_and_log_axes_with_bands_below():
    runs = [
        run(train_loss=[1.0, 0.5]),
        run(seed=1, train_loss=[3.0, 0.7]),
        run(seed=2, status="diverged", train_loss=[2.0, 2.5]),
    ]
    figure = learning_curves("M1", frame([*runs, run("adam", status="diverged")]))
    above, _, accuracy, below, _, error = figure.axes
    for loss in (above, below):
        mean = loss.lines[0]
        assert list(mean.get_xdata()) == [20, 40]
        assert list(mean.get_ydata()) == pytest.approx([2.0, 0.6])
        assert to_hex(mean.get_color()) == COLOURS["sgd"]
        assert [line.get_label() for line in loss.lines[:2]] == ["SGD (1 of 3 diverged)", "Adam (1 of 1 diverged)"]
    crosses = [(list(line.get_xdata()), list(line.get_ydata())) for line in below.lines if line.get_marker() == "x"]
    assert crosses[0] == ([40], [2.5])
    assert not [line for line in above.lines if line.get_marker() == "x"]
    assert [text.get_text() for text in error.texts] == ["SGD (1 of 3 diverged)", "Adam (1 of 1 diverged)"]
    corners = below.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in np.round(corners, 6)} == {(20, 1.0), (20, 3.0), (40, 0.5), (40, 0.7)}
    assert not above.collections
    assert (above.get_yscale(), below.get_yscale()) == ("linear", "log")
    assert list(accuracy.lines[0].get_ydata()) == [91.0, 98.0, 97.0]
    assert list(error.lines[0].get_ydata()) == [9.0, 2.0, 3.0]


def test_without_accuracies_there_are_four_panels():
    figure = learning_curves("M1", frame([run()]), accuracy=False)
    assert [axes.get_ylabel() for axes in figure.axes] == ["training loss", "test loss"] * 2


def own_lines(axes, label):
    return [line for line in axes.lines if line.get_gid() == f"of:{label}"]


def test_rates_are_a_panel_for_each_label_with_the_others_in_grey():
    runs = [run(rate=[0.1, 0.2]), run(seed=1, status="diverged", rate=[0.3, 0.4]), run("adam", rate=[0.01, 0.02])]
    sgd, adam = rates("M1", frame(runs)).axes
    *lines, cross = own_lines(sgd, "SGD")
    assert [list(line.get_ydata()) for line in lines] == [[0.1, 0.2], [0.3, 0.4]]
    assert (list(cross.get_xdata()), list(cross.get_ydata()), cross.get_marker()) == ([40], [0.4], "x")
    assert [list(line.get_ydata()) for line in own_lines(adam, "Adam")] == [[0.01, 0.02]]
    assert sgd.get_yscale() == adam.get_yscale() == "log"
    assert sgd.get_ylim() == adam.get_ylim()
    for panel in (sgd, adam):
        grey = [line for line in panel.lines if line.get_gid() is None]
        assert [line.get_color() for line in grey] == ["0.82"] * 3
    assert [axes.get_title(loc="left") for axes in (sgd, adam)] == ["SGD (1 of 2 diverged)", "Adam"]


def test_errors_by_method_are_a_mean_and_a_band_over_seeds():
    runs = [result(trial=trial(method="sgd", seed=seed), errors=(9, 5, end)) for seed, end in enumerate((2.0, 4.0))]
    (axes,) = errors("M1", frame(runs)).axes
    (mean,) = own_lines(axes, "SGD")
    assert list(mean.get_ydata()) == [9.0, 5.0, 3.0]
    assert {2.0, 4.0} <= set(axes.collections[0].get_paths()[0].vertices[:, 1])


def test_names_stand_at_the_end_of_their_lines_and_never_upon_each_other():
    axes = Figure().subplots()
    for name, end in {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.5}.items():
        axes.plot([0, 1], [0.1, end], label=name)
    axes.set_ylim(0, 1)
    name_ends(axes)
    ends = {text.get_text(): text.xy[1] for text in axes.texts}
    heights = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert ends == pytest.approx({"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.5})
    assert heights["a"] == pytest.approx(0.9)
    assert heights["b"] + heights["c"] + heights["d"] == pytest.approx(1.5)
    assert np.diff(sorted(heights.values())).min() > 0.06


def test_no_letter_is_outside_the_picture():
    made = [
        result(
            trial=trial(method=method, setting={"optimizer": "sgd", "lr": rate} if rate else {}), errors=(9, 9, error)
        )
        for method, rates_of in {"constant": (0.1, 0.01), "cosine": (0.1, 0.01), "prodigy": (None,)}.items()
        for error, rate in enumerate(rates_of, start=2)
    ]
    figure = against_start({name: frame(made) for name in "ABCDEF"}, title="All", compact=True)
    height, width = image.imread(io.BytesIO(png(figure))).shape[:2]
    assert (width, height) == tuple(figure.bbox.size.astype(int))  # in pixels of the file
    renderer = FigureCanvasAgg(figure).get_renderer()
    names = [text for axes in figure.axes for text in axes.texts]
    assert {text.get_text() for text in names} == {"constant rate", "cosine", "best rate-free:\nProdigy"}
    for text in names:
        assert text.get_window_extent(renderer).x1 <= width


def test_names_of_several_rows_do_not_overlap_where_lines_end_together():
    made = [
        result(trial=trial(method=method, setting={"lr": rate} if rate else {}), errors=(9, 9, error))
        for method, rate, error in (
            *(
                (method, rate, error)
                for method in ("pilot", "constant", "cosine")
                for rate, error in ((0.1, 9), (1, 2))
            ),
            ("schedule-free-adamw", None, 2),
        )
    ]
    figure = against_start({name: frame(made) for name in "ABCD"}, title="One\nTwo", compact=True)
    png(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in (axes for axes in figure.axes if axes.axison):
        boxes = sorted((Text.get_window_extent(text, renderer) for text in axes.texts), key=lambda box: box.y0)
        assert len(boxes) == 4
        assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))


def test_an_svg_says_what_belongs_to_which_curve_and_where_its_panels_are():
    runs = frame([run(rate=[0.1, 0.2]), run("adam", rate=[0.01, 0.02])])
    figure = rates("M1", runs)
    text = svg(figure, "m1")
    tree = ElementTree.fromstring(text)
    curves = [each.get("data-of") for each in tree.iter() if each.get("class") == "curve"]
    assert sorted(curves) == ["Adam", "Adam", "SGD", "SGD"]  # of each the line and the title
    first, second = json.loads(tree.get("data-panels"))
    assert first["x"][2] == "linear"
    assert first["y"] == [*figure.axes[0].get_ylim(), "log"]
    assert first["box"][0] < first["box"][2] < second["box"][0]
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert all(each.startswith("m1-") for each in ids)
    assert len(set(ids)) == len(ids)
    assert text == svg(rates("M1", runs), "m1")


def test_the_learned_rate_is_a_mean_over_finished_runs_beside_every_run():
    changes = [{"rate": [0.1, 0.2]}, {"seed": 1, "rate": [0.3, 0.4]}, {"seed": 2, "status": "diverged", "rate": [9, 9]}]
    mean, each = learned_rate("M1", frame(run("online-stable", **change) for change in changes)).axes
    assert [list(line.get_ydata()) for line in mean.lines] == [pytest.approx([0.2, 0.3])]
    assert [list(line.get_ydata()) for line in each.lines] == [[0.1, 0.2], [0.3, 0.4], [9, 9], [9]]  # and its cross
    assert (mean.get_yscale(), each.get_yscale()) == ("linear", "log")


def test_against_start_has_a_point_for_each_run_and_a_level_for_what_is_given_no_rate():
    errors = {("sgd", 0.1): (2.0, 4.0), ("sgd", 0.01): (5.0,), ("prodigy", None): (1.0, 3.0)}
    runs = frame(
        result(trial=trial(method=method, seed=seed, setting={"lr": rate} if rate else {}), errors=(9.0, 9.0, error))
        for (method, rate), seeds in errors.items()
        for seed, error in enumerate(seeds)
    )
    (axes,) = against_start({"M1": runs}).axes
    line, points, crosses, level = axes.lines
    assert not len(crosses.get_xdata())
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.01, 0.1], [5.0, 3.0])
    assert sorted(zip(points.get_xdata(), points.get_ydata(), strict=True)) == [(0.01, 5.0), (0.1, 2.0), (0.1, 4.0)]
    assert set(level.get_ydata()) == {2.0}
    assert level.get_linestyle() == "--"


def test_an_error_of_nothing_can_be_drawn(tmp_path):
    """A log axis without a number above 0 makes matplotlib warn, which is an error here."""
    numbers = {"loss": 0.5, "learning_rate": 0.1, "test_loss": 0.0, "test_error": 0.0}
    draw_run([{"step": step, **numbers} for step in (1, 2)], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_demonstration_is_two_files_that_name_every_run(tmp_path):
    records = [{"step": step, "learning_rate": 0.1, "test_error": 5.0} for step in (1, 2)]
    learned = {"pilot": "pilot"}
    draw_comparison({"pilot": records, "fixed 1": records}, tmp_path / "demo.png", title="It learns.", learned=learned)
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "demo.svg").read_text()
    assert all(f">{text}</text>" in drawn for text in ("pilot", "fixed 1", "It learns."))
    assert PILOT in drawn
