"""The pilot against grids and peers: which runs, which numbers stand where, and the command on digits."""

import json
import math
import re
from dataclasses import replace

import pytest

from lrpilot.cli import main
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.report.drawing import COLOURS
from lrpilot.experiments.report.evidence import Evidence
from lrpilot.experiments.report.report import update_readme
from lrpilot.experiments.report.starts import by_rate, comparisons, headline, picture, shown, standings
from lrpilot.experiments.runs import execute
from lrpilot.experiments.runs.perform import perform
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import CONTENDERS, HIGH_STARTS, LOW_STARTS, Comparison
from lrpilot.experiments.studies.frame import frame
from lrpilot.experiments.studies.profiles import SMOKE
from lrpilot.pilot.policy import Policy
from lrpilot.pilot.policy_file import fingerprint
from made_up import result

ERRORS = {  # by method and rate; seed s adds s
    "pilot": dict(zip(HIGH_STARTS, (2.0, 2.1, 2.2, 2.3, 2.5), strict=True)),
    "constant": dict(zip(HIGH_STARTS, (50.0, 20.0, 5.0, 3.0, 90.0), strict=True)),
    "cosine": dict(zip(HIGH_STARTS, (60.0, 30.0, 6.0, 4.0, 1.75), strict=True)),
}
PEER_ERRORS = dict(zip(CONTENDERS[3:], (1.9, 1.8, 9.0, 8.0, 1.25, 7.0), strict=True))


def pretend(trial, data=None):
    error = PEER_ERRORS.get(trial.method) or ERRORS[trial.method].get(trial.setting["lr"], 60.0)
    status = "diverged" if error == 90.0 else "finished"
    return result(status, trial=trial, errors=(90.0, 50.0, error + trial.seed))


def made(store, comparison):
    store.save(*map(pretend, comparison.trials()))
    return found(store)


def found(store):
    return comparisons(frame(store.saved("compare")))


def row(table, start):
    return next(cells for cells in table.rows if cells[0] == start)


def command(*arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def test_the_runs_are_every_start_of_pilot_and_grids_and_every_peer_once():
    trials = Comparison.of("M1", seeds=2).trials()
    assert len(trials) == 2 * (3 * 5 + 6)
    assert len({trial.name for trial in trials}) == len(trials)
    assert {trial.task for trial in trials} == {"m1"}
    for method in ("pilot", "constant", "cosine"):
        assert [t.setting["lr"] for t in trials if t.method == method and t.seed == 1] == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert {trial.steps for trial in trials} == {12_000}
    assert {trial.batch_size for trial in trials} == {50}
    assert {trial.validation for trial in trials} == {0}
    assert [trial.seed for trial in trials] == sorted(trial.seed for trial in trials)  # a seed of all, then the next


def test_a_refined_pilot_runs_only_where_asked_for():
    assert "pilot-refined" not in {trial.method for trial in Comparison.of("digits").trials()}
    trials = Comparison.of("digits", seeds=2, methods=["pilot-refined"]).trials()
    assert len(trials) == 10
    assert {trial.setting["runs"] for trial in trials} == {8}


def test_each_optimizer_has_its_starts_and_the_peers_runs_serve_all():
    momentum, adam = (Comparison.of("m0", name) for name in ("momentum", "Adam"))
    for trials in (momentum.trials(), adam.trials()):
        assert {trial.setting["lr"] for trial in trials if "lr" in trial.setting} == {*LOW_STARTS}
    shared = {trial.name for trial in momentum.trials()} & {trial.name for trial in adam.trials()}
    assert {path.split("/")[3] for path in shared} == set(CONTENDERS[3:])


def test_results_of_another_policy_are_other_runs(tmp_path):
    store, comparison = Store(tmp_path), Comparison.of("m0", seeds=1)
    made(store, comparison)
    other = replace(comparison, policy="0123456789ab")
    assert {trial.method for trial in store.missing(other.trials())} == {"pilot"}
    made(store, other)
    ((key, runs),) = found(store).items()
    assert [cells[0] for cells in by_rate(key, runs).rows][:2] == ["pilot, policy 0123456789ab", "pilot"]


def test_the_fingerprint_is_that_of_the_file(tmp_path):
    a, b = (Policy(width=4) for _ in range(2))
    a.save(tmp_path / "a")
    b.save(tmp_path / "b")
    a.save(tmp_path / "again")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "again") != fingerprint(tmp_path / "b")
    assert re.fullmatch("[0-9a-f]{12}", fingerprint())
    with pytest.raises(InvalidArgument, match="policy"):
        fingerprint(tmp_path / "none")


def test_a_run_refuses_a_policy_that_is_not_there():
    pilot = next(t for t in Comparison.of("digits", steps=5).trials() if t.method == "pilot")
    gone = perform(replace(pilot, setting={**pilot.setting, "policy": "0123456789ab"}))
    assert gone.status == "failed"
    assert fingerprint() in gone.reason


@pytest.mark.integration
def test_another_policy_runs_under_its_own_name(tmp_path, capsys):
    Policy(width=4).save(tmp_path / "other")
    arguments = ("compare", "digits", "--steps", "30", "--seeds", "1", "--results", str(tmp_path), "--methods", "pilot")
    assert command(*arguments, "--policy", str(tmp_path / "other")) == 0
    assert command(*arguments) == 0
    assert capsys.readouterr().out.count("5 done, 0 diverged, 0 failed.\nPicture") == 2
    other, shipped = (
        {result.trial.setting["lr"]: result for result in Store(tmp_path).saved("compare") if of in str(result.trial)}
        for of in (fingerprint(tmp_path / "other"), fingerprint())
    )
    assert other[0.01].curve["rate"] != shipped[0.01].curve["rate"]
    assert command(*arguments, "--policy", str(tmp_path / "none")) == 2


def test_the_pilots_rates_are_means_over_steps():
    pilot = next(t for t in Comparison.of("digits", steps=60).trials() if t.setting == {**t.setting, "lr": 1e-4})
    whole = perform(replace(pilot, evaluations=1, steps=12)).curve["rate"]
    assert len(whole) == 6
    assert 1e-5 < whole[0] < 1e-4  # of two steps, the first at a tenth of the start


def test_tables(tmp_path):
    compared = made(Store(tmp_path), Comparison.of("m1", seeds=2))
    ((key, runs),) = compared.items()
    table = by_rate(key, runs)
    assert table.header[1:6] == ["from 0.0001", "from 0.001", "from 0.01", "from 0.1", "from 1"]
    pilot = row(table, "pilot")
    assert pilot[1] == "2.50 ± 0.71"  # 2.0 and 3.0
    assert pilot[7:] == ["1.20", "2"]  # (2.5 + 0.5) / (2.0 + 0.5)
    assert row(table, "constant rate")[5] == "90.00 ± 0.00"
    assert row(table, "constant rate")[-1] == "2 (2 diverged)"
    assert row(table, "Schedule-Free SGD")[1:] == ["-"] * 5 + ["1.75 ± 0.71", "-", "2"]
    (stands,) = standings(compared).rows
    assert stands[1:5] == ["3.00 ± 0.71", "2.50 ± 0.71", "1.20", "5 x 2"]
    assert stands[5:] == ["3.50 ± 0.71 (0.1)", "2.25 ± 0.71 (1)", "1.75 ± 0.71 (Schedule-Free SGD)"]
    assert standings(compared).bold == [7]


def test_a_part_makes_tables_and_a_picture_too(tmp_path):
    store = Store(tmp_path)
    compared = made(store, Comparison.of("m1", seeds=1, methods=["constant"]))
    (stands,) = standings(compared).rows
    assert stands[1:] == ["-", "-", "-", "-", "3.00 (0.1)", "-", "-"]
    assert picture(compared, "x").png.startswith(b"\x89PNG")
    assert standings({("m1", "sgd", 10): frame([])}).rows[0][1:] == ["-"] * 7


def test_the_picture_has_a_line_a_method_and_a_level_a_peer(tmp_path):
    store = Store(tmp_path)
    made(store, Comparison.of("m1", seeds=2))
    drawn = picture(made(store, Comparison.of("m0", seeds=2)), "x").figure
    panels = [axes for axes in drawn.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == ["m0, sgd, 6,000 steps", "m1, sgd, 12,000 steps"]
    lines = {line.get_label(): line for line in panels[0].lines}
    assert list(lines["pilot"].get_xdata()) == list(HIGH_STARTS)
    assert list(lines["pilot"].get_ydata()) == pytest.approx([2.5, 2.6, 2.7, 2.8, 3.0])
    assert set(lines["Prodigy"].get_ydata()) == {1.9 + 0.5}
    colours = {label: str(line.get_color()) for label, line in lines.items() if not label.startswith("_")}
    assert len(set(colours.values())) == len(colours) == len(CONTENDERS)
    assert {text.get_text(): text.get_color() for text in panels[0].texts} == colours


@pytest.mark.integration
def test_report_and_readme_begin_with_the_comparisons(tmp_path, capsys):
    store = Store(tmp_path / "results")
    for task, optimizer in (("m1", "sgd"), ("m0", "sgd")):
        made(store, Comparison.of(task, optimizer, seeds=1))
    assert command("report", "--results", str(store.root), "--out", str(tmp_path / "pages")) == 0
    said = "the pilot's test error from its worst of five starting rates"
    assert said in " ".join(capsys.readouterr().out.split())
    text = (tmp_path / "pages/report.md").read_text()
    assert text.index(said) < text.index("## ")
    assert "## The pilot from any starting rate" in text
    assert "![Final test error" in text
    assert (tmp_path / "pages/compare-sgd.png").exists()
    assert text.index("m0, sgd, 6,000 steps: final") < text.index("m1, sgd, 12,000 steps: final")
    readme = tmp_path / "README.md"
    names = ("headline", "comparison", "evidence")
    readme.write_text("".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in names) + "After\n")
    update_readme(readme, Evidence.load(SMOKE, Store(store.root / "smoke")), compared=store)
    (link,) = re.findall(r"!\[.*\]\((.*)\)", readme.read_text())
    assert readme.read_text().endswith("<!-- evidence:end -->\nAfter\n")
    assert "| m0, sgd, 6,000 steps |" in readme.read_text()
    assert link == "results/compare/headline.png"
    assert (tmp_path / link).read_bytes().startswith(b"\x89PNG")
    assert headline({}) is None


def test_the_readme_shows_every_optimizers_standing_at_the_longest_runs(tmp_path):
    store = Store(tmp_path)
    for optimizer, steps in (("sgd", None), ("adam", None), ("adam", 50)):
        made(store, Comparison.of("m1", optimizer, steps=steps, seeds=1))
    table = standings(shown(store))
    assert [row[0] for row in table.rows] == ["m1, sgd, 12,000 steps", "m1, adam, 12,000 steps"]


def test_the_headline_draws_each_optimizers_largest_network_then_fills_the_row(tmp_path):
    store = Store(tmp_path)
    for task, optimizer in (("m0", "sgd"), ("m1", "sgd"), ("m2", "sgd"), ("m1", "adamw"), ("m0", "adamw")):
        made(store, Comparison.of(task, optimizer, seeds=1))
    drawn = headline(shown(store)).figure
    panels = [axes for axes in drawn.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "AdamW, 12,000 steps\nMNIST, one hidden layer of 120",
        "SGD, no momentum, 12,000 steps\nMNIST, hidden layers of 500, 300",
        "SGD, no momentum, 12,000 steps\nMNIST, one hidden layer of 120",
    ]
    for panel in panels:  # of the rate-free ones only the best, by its name and in its colour
        named = {line.get_label().replace("\n", " "): line for line in panel.lines if line.get_label()[0] != "_"}
        assert list(named) == ["pilot", "constant rate", "cosine", "best rate-free: Schedule-Free SGD"]
        level = named["best rate-free: Schedule-Free SGD"]
        assert set(level.get_ydata()) == {1.25}
        assert level.get_color() == COLOURS["schedule-free-sgd"]


@pytest.mark.parametrize("optimizer", ["momentum", "nadam"])
def test_the_headline_has_a_panel_for_whatever_optimizer_was_compared(optimizer, tmp_path):
    compared = made(Store(tmp_path), Comparison.of("digits", optimizer, seeds=1))
    (panel,) = [axes for axes in headline(compared).figure.axes if axes.axison]
    name = {"momentum": "SGD, momentum 0.9"}.get(optimizer, optimizer)
    assert panel.get_title(loc="left") == f"{name}, 2,000 steps\n8x8 digits, one hidden layer of 64"


@pytest.mark.integration
def test_the_command_compares_on_digits_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    arguments = ["compare", "digits", "--steps", "60", "--seeds", "1", "--results", str(tmp_path)]
    assert command(*arguments, "--methods", "pilot,constant", "--methods", "prodigy") == 0
    out = capsys.readouterr().out
    assert "11 done, 0 diverged, 0 failed" in out
    folder = tmp_path / "compare/60-steps"
    assert (folder / "digits-sgd.png").read_bytes().startswith(b"\x89PNG")
    file = folder.with_suffix(".jsonl")
    made = [json.loads(line) for line in file.read_text().splitlines()]
    pilots = [each for each in made if each["trial"]["method"] == "pilot"]
    assert len(pilots) == 5
    assert {each["trial"]["setting"]["policy"] for each in pilots} == {fingerprint()}
    assert all(math.isfinite(each["evaluations"]["test_error"][-1]) for each in pilots)
    lowest = next(each for each in pilots if each["trial"]["setting"]["lr"] == 1e-4)
    assert lowest["curve"]["rate"][-1] != 1e-4  # it drove

    again = []
    monkeypatch.setattr(execute, "perform", lambda trial, data: again.append(trial) or perform(trial, data))
    file.write_text("".join(json.dumps(each) + "\n" for each in made[1:]))
    assert command(*arguments, "--methods", "pilot,constant,prodigy") == 0
    assert len(again) == 1
    assert "1 done" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::lrpilot.PilotWarning")
def test_a_start_whose_loss_is_not_finite_is_mended_not_counted_as_diverged():
    pilot = next(t for t in Comparison.of("digits", steps=300).trials() if t.method == "pilot")
    high = perform(replace(pilot, setting={**pilot.setting, "lr": 1e30}))
    assert (high.status, high.steps) == ("finished", 300)
    assert perform(replace(pilot, method="constant", setting={"lr": 1e30})).status == "diverged"


def test_a_pictures_folder_needs_no_folders_in_the_results(tmp_path):
    trial = Comparison.of(f"image-folder:{tmp_path}", steps=5).trials()[0]
    assert trial.name.count("/") == 5
    assert trial.task == f"image-folder:{tmp_path.resolve()}"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("compare", "m7"), "task"),
        (("compare", "m1", "--optimizer", "sdg"), "did you mean sgd"),
        (("compare", "m1", "--optimizer", "lbfgs"), "any training loop"),
        (("compare", "m1", "--methods", "pilot,prodgy"), "did you mean prodigy"),
        (("compare", "m1", "--seeds", "0"), "seeds"),
        (("compare", "m1", "--steps", "0"), "steps"),
        (("compare", "m1", "--workers", "0"), "workers"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, named, capsys):
    assert command(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert named in error
    assert "\n" not in error
