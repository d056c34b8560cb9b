"""The environments' speeds: what is counted, and the table and numbers that the command leaves."""

from __future__ import annotations

import json

import pytest

from lrpilot.cli import main
from lrpilot.pilot.timetable import decision_steps

pytest.importorskip("gymnasium", reason="needs lrpilot[gymnasium]")

from benchmarks import environments
from benchmarks.environments import Speed, of_many, of_one


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(environments, "STEPS", 20)


def test_an_episode_is_counted_for_each_of_its_trainings():
    actions = len(decision_steps(20)) - 1  # there is none before the first interval
    assert of_one()(0) == (actions, 20)
    assert of_many(3)(0) == (3 * actions, 3 * 20)


def test_a_speed_is_of_all_episodes_over_the_time_that_they_took(monkeypatch):
    clock = iter([2.0, 10.0])
    monkeypatch.setattr(environments.time, "process_time", lambda: next(clock))
    assert Speed.of("any", 1, lambda seed: (6 + 4 * seed, 20), 2) == Speed("any", 1, 2.0, 5.0)


def test_the_command_leaves_a_table_and_its_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(environments, "find_spec", lambda name: None)
    monkeypatch.setattr(environments, "of_one", lambda: lambda seed: (8, 20))
    monkeypatch.setattr(environments, "of_many", lambda count: lambda seed: (8 * count, 20 * count))
    page, numbers = tmp_path / "page.md", tmp_path / "numbers.json"
    page.write_text("<!-- environments:begin -->\n<!-- environments:end -->\n")
    with pytest.raises(SystemExit) as left:
        main(["bench", "environments", "--episodes", "2", "--out", str(numbers), "--readme", str(page)])
    assert left.value.code == 0
    assert "DACBench is left out" in capsys.readouterr().out
    speeds = [Speed(**row) for row in json.loads(numbers.read_text())["speeds"]]
    assert [speed.trainings for speed in speeds] == [1, 16, 64, 256]
    assert all(speed.training_steps == pytest.approx(2.5 * speed.steps) for speed in speeds)
    assert all(speed.steps > 0 for speed in speeds)
    assert all(f"| {' | '.join(speed.cells())} |" in page.read_text() for speed in speeds)
