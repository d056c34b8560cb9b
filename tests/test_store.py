"""The store: a line a run, whole files or none, nothing made twice, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lrpilot.errors import Unusable
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial

ROOT = Path(__file__).parents[1]


def visible(folder):
    return [entry.name for entry in folder.iterdir() if not entry.name.endswith(".lock")]


def test_what_was_saved_is_loaded(tmp_path):
    store = Store(tmp_path)
    assert store.load(trial()) is None
    path = store.save(result())
    assert path == tmp_path / "table3.jsonl"
    for reader in (store, Store(tmp_path)):
        assert reader.load(trial()).to_json() == result().to_json()
    assert visible(tmp_path) == ["table3.jsonl"]


def test_an_experiment_is_a_file_of_a_line_a_run_sorted_by_name(tmp_path):
    store = Store(tmp_path)
    for method in ("sgd", "adam", "prodigy"):
        for seed in (2, 1):
            path = store.save(replace(result(), trial=trial(method=method, seed=seed)))
    runs = [json.loads(line)["trial"] for line in path.read_text().splitlines()]
    assert [(run["method"], run["seed"]) for run in runs] == [
        ("adam", 1), ("adam", 2), ("prodigy", 1), ("prodigy", 2), ("sgd", 1), ("sgd", 2)
    ]  # fmt: skip
    before = path.read_bytes()
    store.save(replace(result(), trial=trial(method="adam", seed=2)))
    assert path.read_bytes() == before  # the same run again leaves the same file


def test_a_folder_of_experiments_is_read_as_one(tmp_path):
    store = Store(tmp_path)
    for steps in (2000, 12000):
        store.save(replace(result(), trial=trial(experiment=f"compare/{steps}-steps", steps=steps)))
    store.save(result())
    assert [each.trial.steps for each in store.saved("compare")] == [12000, 2000]
    assert [each.trial.steps for each in store.saved("compare/2000-steps")] == [2000]


def test_a_loaded_setting_keeps_its_order(tmp_path):
    store = Store(tmp_path)
    store.save(result())
    assert store.load(trial()).trial.setting_name == trial().setting_name == "lr=0.1,gamma=0.0001"


def test_another_length_is_another_trial(tmp_path):
    store = Store(tmp_path)
    store.save(result())
    assert store.load(trial(steps=41)) is None
    assert store.load(trial(validation=1)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trial": {}}', "null", "\x00\udcff", "<<<<<<< ours"])
def test_a_damaged_line_is_named_counts_as_none_and_is_replaced(tmp_path, text, caplog):
    store = Store(tmp_path)
    for seed in (1, 2, 3):
        path = store.save(replace(result(), trial=trial(seed=seed)))
    first, _, third = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, text.encode(errors="surrogateescape"), third, b""]))
    assert store.missing([trial(seed=seed) for seed in (1, 2, 3)]) == [trial(seed=2)]
    (said,) = caplog.messages  # once, though three trials were asked for
    assert f"{path}, line 2" in said
    before = path.read_bytes()
    store.save(replace(result(), trial=trial(seed=2)))
    assert [json.loads(line)["trial"]["seed"] for line in path.read_text().splitlines()] == [1, 2, 3]
    kept = path.with_name("table3.jsonl.previous")
    assert kept.read_bytes() == before  # a line of a later version could be read there
    store.save(replace(result(), trial=trial(seed=4)))
    assert kept.read_bytes() == before


def changed(path, **values):
    """The first result's line with some values changed: a path such as curve__rate names one within."""
    line = json.loads(path.read_text().splitlines()[0])
    for name, value in values.items():
        *outer, last = name.split("__")
        place = line
        for part in outer:
            place = place[part]
        place[last] = value
    return json.dumps(line)


WRONG = [
    {"status": "well"},
    {"status": None},
    {"steps": "40"},
    {"seconds": None},
    {"seconds": -1},
    {"curve": [1, 2]},
    {"curve__rate": [0.1]},
    {"curve__rate": "0.1"},
    {"curve__rate": ["0.1", "0.1"]},
    {"curve__rate": [[0.1], [0.1]]},
    {"curve__rate": None},
    {"evaluations": {}},
    {"evaluations__test_error": []},
    {"evaluations": {name: [] for name in result().evaluations}},
    {"about": "here"},
    {"about__commit": 3},
    {"trial": []},
    {"trial__seed": "3"},
    {"trial__seed": 1.5},
    {"trial__steps": 0},
    {"trial__task": 7},
    {"trial__setting": ["lr"]},
    {"trial__setting__lr": [0.1]},
    {"trial__fraction": 2},
    {"trial__setting__lr": "0.1"},
    {"trial__setting__lr": 0},
    {"evaluations__test_error": [-1.0] * len(result().evaluations["test_error"])},
    {"evaluations__test_loss": [10**400] * len(result().evaluations["test_loss"])},
    {"steps": 10**400},
    {"version": 2},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_line_of_wrong_contents_is_named_and_skipped(tmp_path, wrong, caplog):
    store = Store(tmp_path)
    path = store.save(*(replace(result(), trial=trial(seed=seed)) for seed in (1, 2)))
    path.write_text(f"{changed(path, **wrong)}\n{path.read_text().splitlines()[1]}\n")
    assert [each.trial.seed for each in Store(tmp_path).saved("table3")] == [2]
    (said,) = caplog.messages
    assert f"{path}, line 1 is no result" in said


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_file_in_another_alphabet_is_skipped_line_by_line(tmp_path, encoding, caplog):
    store = Store(tmp_path)
    path = store.save(result())
    path.write_bytes(path.read_text().encode(encoding))
    assert Store(tmp_path).saved("table3") == []
    assert f"{path}, line 1 is no result" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices with names")
@pytest.mark.parametrize("thing", ["pipe", "endless", "folder", "circle"])
def test_a_file_that_cannot_be_read_is_named_passed_over_and_left(tmp_path, thing, caplog):
    store, file = Store(tmp_path), tmp_path / "compare" / "40-steps.jsonl"
    store.save(replace(result(), trial=trial(experiment="compare/60-steps")))
    if thing == "pipe":
        os.mkfifo(file)
    elif thing == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if thing == "endless" else file)
    assert [each.trial.experiment for each in store.saved("compare")] == ["compare/60-steps"]
    if thing != "circle":
        assert f"{file} cannot be read" in caplog.messages[0]
    with pytest.raises((OSError, Unusable), match=r"40-steps\.jsonl"):
        store.save(replace(result(), trial=trial(experiment="compare/40-steps")))
    assert not file.is_file()


def test_a_result_of_an_unknown_method_is_named_and_kept_in_its_file(tmp_path, caplog):
    store = Store(tmp_path)
    path = store.save(result(), replace(result(), trial=trial(method="newer")))
    assert list(frame(store.saved("table3")).method) == ["sgd"]
    assert "table3/m1/newer" in caplog.text
    assert len(path.read_text().splitlines()) == 2


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
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            store.save(result("diverged"))
    assert path.read_text() == before
    assert store.load(trial()).status == "finished"
    assert visible(tmp_path) == ["table3.jsonl"]


def test_stores_that_save_at_the_same_time_lose_nothing(tmp_path):
    def save(seeds):
        store = Store(tmp_path)
        for seed in seeds:
            store.save(replace(result(), trial=trial(seed=seed)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(save, [range(start, 40, 4) for start in range(4)]))
    assert len(Store(tmp_path).saved("table3")) == 40


@pytest.mark.integration
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
        path = tmp_path / "table3.jsonl"
        assert not path.exists() or Store(tmp_path).load(trial()) is not None


@pytest.mark.parametrize("file", sorted((ROOT / "results").rglob("*.jsonl")), ids=lambda file: file.name)
def test_committed_results_are_sound_and_sorted(file, caplog):
    relative = file.relative_to(ROOT / "results").with_suffix("")
    if relative.parts[0] not in ("quick", "compare"):
        pytest.skip("not of a store")
    store = Store(ROOT / "results" / "quick") if relative.parts[0] == "quick" else Store(ROOT / "results")
    names = [each.trial.name for each in store.saved(str(relative).removeprefix("quick/"))]
    stored = [json.loads(line)["trial"] for line in file.read_text().splitlines()]
    assert caplog.messages == []
    assert len(names) == len(stored) > 0
    assert [name.split("/")[-1] for name in names] == [f"seed-{each['seed']}" for each in stored]
