"""What is missing is made, what is there is not, and nothing stops the rest."""

import io
import sys

import pytest
from rich.console import Console

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs import execute
from lrpilot.experiments.runs.execute import Engine, complete, run
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.catalogue import plans_of
from lrpilot.experiments.studies.profiles import SMOKE
from made_up import forget, result, trial


def quietly():
    return Console(file=io.StringIO(), width=120)


def reproduce(names, store, console=None, **options):
    return complete(plans_of(names, SMOKE, store), store, console=console or quietly(), **options)


@pytest.fixture
def made(monkeypatch):
    """Trials in the order in which they were made, without training anything: adam crashes, lr=0.1 diverges."""
    trials = []

    def pretend(each, data=None):
        trials.append(each)
        crashes = each.method == "adam"
        diverges = each.setting.get("lr") == 0.1
        return result("failed" if crashes else "diverged" if diverges else "finished", trial=each)

    monkeypatch.setattr(execute, "perform", pretend)
    return trials


def test_a_rerun_makes_only_what_is_missing(tmp_path, made):
    store = Store(tmp_path)
    tally = reproduce(["start"], store)
    everything = list(made)
    assert {each.experiment for each in everything} == {"table3", "start"}  # with what it needs
    assert tally.total() == len(everything)
    assert tally["diverged"] > 0
    assert tally["failed"] > 0
    made.clear()
    assert str(reproduce(["start"], store)) == "0 done, 0 diverged, 0 failed"
    assert made == []
    gone = everything[5]
    forget(tmp_path / f"{gone.experiment}.jsonl", gone)
    reproduce(["start"], store)
    assert made == [gone]


def test_crashed_runs_are_made_again_on_request_and_once(tmp_path, made):
    store = Store(tmp_path)
    reproduce(["table3"], store)
    made.clear()
    tally = reproduce(["table3"], store, retry_failed=True)
    assert {each.method for each in made} == {"adam"}
    assert tally["failed"] == len(made) == len({each.name for each in made})


def test_results_are_saved_as_they_come(tmp_path, made, monkeypatch):
    pretend = execute.perform

    def interrupted(each, data=None):
        if len(made) == 7:
            raise KeyboardInterrupt
        return pretend(each, data)

    monkeypatch.setattr(execute, "perform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproduce(["table3"], Store(tmp_path))
    assert len((tmp_path / "table3.jsonl").read_text().splitlines()) == 7


def test_only_some(tmp_path, made):
    reproduce(["table3"], Store(tmp_path), only=lambda each: each.task == "m1")
    assert {each.task for each in made} == {"m1"}


def test_progress_says_how_runs_ended_and_how_many_are_left(tmp_path, made):
    console = quietly()
    reproduce(["discount"], Store(tmp_path), console=console)
    shown = console.file.getvalue()
    assert f"discount: {len(made)} done, 0 diverged, 0 failed, 0 left" in shown


def real_trials():
    return [
        trial(
            task="digits", method="sgd", setting={"lr": 0.05}, seed=seed, batch_size=32, validation=100, evaluations=1
        )
        for seed in range(3)
    ]


def check_as_alone(results):
    alone = {each.trial.seed: each for each in run(real_trials(), Engine())}
    assert sorted(each.trial.seed for each in results) == [0, 1, 2]
    for each in results:
        assert each.evaluations["test_loss"] == alone[each.trial.seed].evaluations["test_loss"]


@pytest.mark.integration
def test_side_by_side_gives_what_one_after_another_gives():
    check_as_alone(list(run(real_trials(), Engine(workers=2))))


@pytest.mark.integration
def test_on_a_local_ray_of_two_workers():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        check_as_alone(list(run(real_trials(), Engine(workers=2, ray="local"))))
    finally:
        ray.shutdown()


def test_without_ray_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidArgument, match=r"lrpilot\[ray\]"):
        list(run(real_trials(), Engine(ray="auto")))


def test_no_more_processes_are_started_than_there_are_runs(monkeypatch):
    asked = []
    monkeypatch.setattr("joblib.Parallel", lambda n_jobs, **_: asked.append(n_jobs) or (lambda runs: map(str, runs)))
    assert len(list(run(real_trials(), Engine(workers=1000)))) == 3
    assert asked == [3]


def test_workers_out_of_range_are_named():
    with pytest.raises(InvalidArgument, match="workers"):
        Engine(workers=0)
