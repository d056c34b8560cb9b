"""The store: whole files or none, plainly named, nothing made twice."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lrpilot.experiments.runs.store import Store
from made_up import result, trial


def test_what_was_saved_is_loaded(tmp_path):
    store = Store(tmp_path)
    assert store.load(trial()) is None
    path = store.save(result())
    assert path == tmp_path / "table3/m1/sgd/lr=0.1,gamma=0.0001/seed-3.json"
    loaded = store.load(trial())
    assert loaded.to_json() == result().to_json()
    assert [entry.name for entry in path.parent.iterdir()] == ["seed-3.json"]


def test_a_loaded_setting_keeps_its_order(tmp_path):
    store = Store(tmp_path)
    store.save(result())
    assert store.load(trial()).trial.setting_name == trial().setting_name == "lr=0.1,gamma=0.0001"


def test_another_length_is_another_trial(tmp_path):
    store = Store(tmp_path)
    store.save(result())
    assert store.load(trial(steps=41)) is None
    assert store.load(trial(validation=1)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trial": {}}', "null"])
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path, text):
    store = Store(tmp_path)
    path = store.save(result())
    path.write_text(text)
    assert store.load(trial()) is None
    assert store.missing([trial()]) == [trial()]
    store.save(result())
    assert store.load(trial()) is not None


def test_missing_keeps_the_order_and_leaves_out_every_recorded_end(tmp_path):
    store = Store(tmp_path)
    trials = [trial(seed=seed) for seed in range(5)]
    for seed, status in ((1, "finished"), (2, "diverged"), (3, "failed")):
        store.save(replace(result(status), trial=trials[seed]))
    assert [t.seed for t in store.missing(trials)] == [0, 4]
    assert [t.seed for t in store.missing(trials, retry_failed=True)] == [0, 3, 4]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    store = Store(tmp_path)
    path = store.save(result())
    before = path.read_text()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.save(result("diverged"))
    assert path.read_text() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["seed-3.json"]


def test_killed_at_any_moment_there_is_a_whole_file_or_none(tmp_path):
    code = (
        "from lrpilot.experiments.runs.store import Store; from made_up import result, trial\n"
        f"store = Store({str(tmp_path)!r}); print('ready', flush=True)\n"
        "while True:\n"
        "    for status in ('finished', 'diverged'): store.save(result(status))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    for pause in (0.0, 0.003, 0.011):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
            process.stdout.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        path = tmp_path / trial().path
        assert not path.exists() or Store(tmp_path).load(trial()) is not None
