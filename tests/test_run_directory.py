"""Runs on disk: what is written, and that being killed or damaged costs nothing but time."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from lrpilot.core.files import fingerprint, load_state, save_state
from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.experiments.report.pictures import draw_run
from lrpilot.experiments.runs import single_run
from lrpilot.experiments.runs.configuration import Configuration
from lrpilot.experiments.runs.run_directory import CHECKPOINT, CONFIG, CURVES, KIND, METRICS, PREVIOUS
from lrpilot.experiments.runs.single_run import train
from lrpilot.experiments.tasks.catalogue import load_task

STEPS = 60
ASKED = Configuration(task="digits", controller="online", steps=STEPS, evaluate_every=20, lr=0.01)


class Silent:
    """A display that keeps what it is told, and calls back at a step."""

    def __init__(self, at=None, call=None):
        self.lines, self.at, self.call = [], at, call

    def begin(self, configuration, step):
        self.first = step

    def show(self, record):
        if record.step == self.at:
            self.call()

    def say(self, line):
        self.lines.append(line)


def run(out, asked=ASKED, *, display=None, resume=False, checkpoint_every=5):
    display = display or Silent()
    return train(asked, display=display, draw=draw_run, out=out, resume=resume, checkpoint_every=checkpoint_every)


def metrics(out):
    lines = (out / METRICS).read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run(out).finished
    return metrics(out)


class Crash(BaseException):
    """Stands for the process being gone."""


def crash():
    raise Crash


def test_a_run_leaves_everything_behind(tmp_path, undisturbed):
    outcome = run(tmp_path / "run")
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert {CONFIG, METRICS, CHECKPOINT, PREVIOUS, CURVES} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not any(name.endswith(".unfinished") for name in names)
    assert (tmp_path / "run" / CURVES).read_bytes().startswith(b"\x89PNG")
    saved = json.loads((tmp_path / "run" / CONFIG).read_text())
    assert saved["configuration"]["steps"] == STEPS
    assert saved["configuration"]["data"] == "digits"
    assert saved["versions"]["torch"] == torch.__version__.split("+")[0]
    assert metrics(tmp_path / "run") == undisturbed
    assert [record["step"] for record in undisturbed if "test_error" in record] == [20, 40, 60]
    assert outcome.finished
    assert outcome.failure is None


def test_tensorboard_reads_the_events(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "run", display=Silent(at=33, call=stop_by_signal))
    run(tmp_path / "run", resume=True)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert {"loss", "learning_rate", "test_error", "test_loss"} <= set(events.Tags()["scalars"])
    written = [(event.step, event.value) for event in events.Scalars("learning_rate")]
    expected = [(record["step"], record["learning_rate"]) for record in metrics(tmp_path / "run")]
    assert [step for step, _ in written] == [step for step, _ in expected]
    assert [value for _, value in written] == pytest.approx([value for _, value in expected], rel=1e-6)


@pytest.mark.integration
@pytest.mark.parametrize("step", [1, 5, 33, STEPS])
def test_a_run_that_crashes_between_records_resumes_bit_for_bit(tmp_path, undisturbed, step):
    out = tmp_path / "run"
    with pytest.raises(Crash):
        run(out, display=Silent(at=step, call=crash))
    display = Silent()
    assert run(out, display=display, resume=True).finished
    assert display.first == step // 5 * 5  # the last checkpoint
    assert metrics(out) == undisturbed


@pytest.mark.integration
@pytest.mark.parametrize("call", range(1, 5))
@pytest.mark.parametrize("operation", ["replace", "open"])
def test_a_crash_in_the_middle_of_writing_loses_nothing(tmp_path, undisturbed, monkeypatch, operation, call):
    out = tmp_path / "run"
    original, calls = getattr(Path, operation), []

    def dies(self, *arguments, **options):
        if self.name.startswith(("checkpoint", CONFIG)):
            calls.append(self)
            if len(calls) == call:
                if operation == "open":
                    with original(self, "wb") as file:
                        file.write(b"half of it")
                raise Crash
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, operation, dies)
        with pytest.raises(Crash):
            run(out)
    assert run(out, resume=(out / CONFIG).exists()).finished
    assert metrics(out) == undisturbed


def stop_by_signal():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_saves_and_names_the_command_that_goes_on(tmp_path, undisturbed):
    out = tmp_path / "run"
    handler = signal.getsignal(signal.SIGINT)
    outcome = run(out, display=Silent(at=33, call=stop_by_signal), checkpoint_every=50)
    assert not outcome.finished
    assert signal.getsignal(signal.SIGINT) is handler
    assert outcome.resume_command(None) == f"lrpilot train digits --out {out} --resume"
    assert outcome.resume_command(Path("my data")).endswith("--resume --data 'my data'")
    assert outcome.curves.exists()
    display = Silent()
    run(out, Configuration(task="digits"), display=display, resume=True)  # what is left out is as it was
    assert display.first in (33, 34)
    assert display.lines == [f"going on from step {display.first}"]
    assert metrics(out) == undisturbed


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:]],
    ids=["truncated", "empty", "one bit"],
)
def test_a_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path, undisturbed, damage):
    out = tmp_path / "run"
    with pytest.raises(Crash):
        run(out, display=Silent(at=33, call=crash))
    (out / CHECKPOINT).write_bytes(damage((out / CHECKPOINT).read_bytes()))
    display = Silent()
    run(out, display=display, resume=True)
    assert display.first == 25  # not 30
    assert display.lines == [f"{out / CHECKPOINT} is damaged: going on from {PREVIOUS}"]
    assert metrics(out) == undisturbed


@pytest.mark.integration
def test_without_any_sound_checkpoint_the_run_starts_again(tmp_path, undisturbed):
    out = tmp_path / "run"
    run(out)
    for name in (CHECKPOINT, PREVIOUS):
        (out / name).write_bytes(b"damaged")
    display = Silent()
    run(out, display=display, resume=True)
    assert display.first == 0
    assert "starting again from step 0" in display.lines[0]
    assert metrics(out) == undisturbed


def test_without_a_checkpoint_the_run_says_that_it_starts_again(copy, undisturbed):
    for name in (CHECKPOINT, PREVIOUS):
        (copy / name).unlink()
    display = Silent()
    run(copy, display=display, resume=True)
    assert (display.first, display.lines) == (0, [f"no checkpoint in {copy}: starting again from step 0"])
    assert metrics(copy) == undisturbed


def test_a_checkpoint_on_a_disk_that_is_away_is_not_a_missing_one(copy):
    (copy / CHECKPOINT).unlink()
    (copy / CHECKPOINT).symlink_to("/nowhere/checkpoint")
    before = (copy / METRICS).read_bytes()
    with pytest.raises(FileNotFoundError, match=CHECKPOINT):
        run(copy, resume=True)
    assert (copy / METRICS).read_bytes() == before


def test_what_a_killed_process_left_half_written_is_removed(copy):
    (copy / "checkpoint.12345678.unfinished").write_bytes(b"half")
    run(copy, resume=True)
    assert not list(copy.glob("*.unfinished"))


def test_a_finished_run_resumed_stays_as_it_is(tmp_path, undisturbed):
    run(tmp_path / "run")
    assert run(tmp_path / "run", resume=True).finished
    assert metrics(tmp_path / "run") == undisturbed


def test_a_directory_of_another_configuration_is_refused_by_field(tmp_path):
    out = tmp_path / "run"
    run(out, Configuration(task="digits", controller="none", steps=5))
    before = (out / METRICS).read_bytes()
    with pytest.raises(InvalidArgument, match=rf"^steps must be 5 as in .*{CONFIG}.*, got 6$"):
        run(out, Configuration(task="digits", steps=6), resume=True)
    with pytest.raises(InvalidArgument, match=r"^optimizer must be 'sgd' as in .*, got 'adam'$"):
        run(out, Configuration(task="digits", optimizer="adam"), resume=True)
    with pytest.raises(InvalidArgument, match=r"^task must be 'digits' as in .*, got 'm0'$"):
        run(out, Configuration(task="m0"), resume=True)
    assert (out / METRICS).read_bytes() == before


def test_a_directory_in_use_or_unreadable_is_refused(tmp_path):
    out = tmp_path / "run"
    run(out, Configuration(task="digits", controller="none", steps=5))
    with pytest.raises(InvalidArgument, match="out must be a new or an empty directory"):
        run(out)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        run(tmp_path / "file" / "run")
    with pytest.raises(InvalidArgument, match="out must be the directory of the run that --resume goes on with"):
        run(None, resume=True)


def test_a_diverged_run_is_recorded_and_its_checkpoint_is_sound(tmp_path):
    out = tmp_path / "run"
    outcome = run(out, Configuration(task="digits", controller="none", steps=40, lr=1e30), checkpoint_every=1)
    assert not outcome.finished
    assert outcome.failure
    assert outcome.records[-1]["diverged"] is True
    assert outcome.records[-1]["loss"] is None
    if (out / CHECKPOINT).exists():
        fingerprint = json.loads((out / CONFIG).read_text())["fingerprint"]
        state = load_state(out / CHECKPOINT, KIND, configuration=fingerprint)["training"]
        assert state["step"] <= outcome.failure.step


def test_a_directory_in_use_is_refused(tmp_path):
    out = tmp_path / "run"
    refused = []

    def second():
        before = (out / METRICS).read_bytes()
        for resume in (True, False):
            with pytest.raises((Unusable, InvalidArgument)) as raised:
                run(out, resume=resume)
            refused.append(str(raised.value))
        assert (out / METRICS).read_bytes() == before

    assert run(out, display=Silent(at=20, call=second)).finished
    assert refused[0] == f"{out} is in use by another process: wait for it, or name another folder"
    assert "out must be a new or an empty directory" in refused[1]


def test_runs_started_in_one_second_have_each_its_own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(single_run.time, "strftime", lambda _: "20260101-000000")
    asked, others = Configuration(task="digits", controller="none", steps=3), []
    first = run(None, asked, display=Silent(at=1, call=lambda: others.append(run(None, asked))))
    assert [str(each.path) for each in (first, *others)] == [
        "runs/digits-none-20260101-000000",
        "runs/digits-none-20260101-000000-2",
    ]


def test_a_run_that_does_not_begin_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (None, tmp_path / "a" / "b"):
        with pytest.raises(InvalidArgument, match="batch_size"):
            run(out, Configuration(task="digits", batch_size=5000))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InvalidArgument, match="a new or an empty directory"):
        run(tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_nothing_to_resume_is_an_error(tmp_path):
    with pytest.raises(InvalidArgument, match="out must be the directory of a run: there is nothing to resume"):
        run(tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that crashed on its way, to be copied and damaged."""
    out = tmp_path_factory.mktemp("begun") / "run"
    with pytest.raises(Crash):
        run(out, display=Silent(at=33, call=crash))
    return out


@pytest.fixture
def copy(begun, tmp_path):
    return Path(shutil.copytree(begun, tmp_path / "copy"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 3],
        lambda raw: b"",
        lambda raw: None,
        lambda raw: raw.replace(b"0.01", b"0.02", 1),
        lambda raw: b"\x00" * len(raw),
        lambda raw: b"[" * 100_000,
        lambda raw: b"\n".join(raw.splitlines()[::-1]),
    ],
    ids=["short", "empty", "gone", "edited", "NULs", "deep", "turned round"],
)
def test_metrics_that_are_not_the_runs_are_refused_and_left_as_they_are(copy, damage):
    damaged = damage((copy / METRICS).read_bytes())
    (copy / METRICS).unlink()
    if damaged is not None:
        (copy / METRICS).write_bytes(damaged)
    with pytest.raises(Unusable, match=f"{METRICS} is not as this run wrote it: put that back"):
        run(copy, resume=True)
    assert ((copy / METRICS).read_bytes() if (copy / METRICS).exists() else None) == damaged


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"lr": 0.01', '"lr": 0.5'),
        ('"lr": 0.01', '"lr": null'),
        ('"lr": 0.01', '"lr": "0.01"'),
        ('"lr": 0.01,', ""),
        ('"steps": 60', '"steps": 70'),
        ('"steps": 60', '"steps": 60, "stops": 3'),
        ('"seed": 0', '"seed": false'),
        ('"configuration": {', '"configuration": [{'),
        ("{", ""),
        ('"configuration"', '"konfiguration"'),
        ('"version": 1', '"version": 2'),
        ('"lr": 0.01', '"lr": ' + "[" * 100_000),
    ],
)
def test_a_configuration_that_was_edited_is_refused_by_file(copy, old, new):
    text = (copy / CONFIG).read_text()
    assert old in text
    (copy / CONFIG).write_text(text.replace(old, new, 1))
    before = (copy / METRICS).read_bytes()
    with pytest.raises(Unusable, match=rf"^{copy / CONFIG} [^\n]*$"):
        run(copy, resume=True)
    assert (copy / METRICS).read_bytes() == before


def test_a_run_with_a_choice_of_a_later_version_is_refused(copy):
    content = json.loads((copy / CONFIG).read_text())
    content["configuration"]["weight_decay"] = 0.1
    content["fingerprint"] = fingerprint(content["configuration"])
    (copy / CONFIG).write_text(json.dumps(content))
    with pytest.raises(Unusable, match=rf"^{copy / CONFIG} has weight_decay, which this lrpilot does not know: use "):
        run(copy, resume=True)


def test_a_checkpoint_of_another_configuration_is_refused(copy, tmp_path):
    other = tmp_path / "other"
    run(other, Configuration(task="digits", controller="none", steps=20))
    shutil.copy(other / CHECKPOINT, copy / CHECKPOINT)
    with pytest.raises(Unusable, match=f"{CHECKPOINT} belongs to another configuration"):
        run(copy, resume=True)


@pytest.mark.parametrize("content", [{"weights": torch.ones(3)}, [1, 2], None, "text", torch.ones(2)])
def test_a_foreign_archive_is_no_checkpoint(copy, content):
    torch.save(content, copy / CHECKPOINT)
    display = Silent()
    assert run(copy, display=display, resume=True).finished
    assert display.lines == [f"{copy / CHECKPOINT} is damaged: going on from {PREVIOUS}"]


@pytest.mark.parametrize("change", [{"step": "x"}, {"optimizer": {}}, {"controller": {"knobs": 3}}, {"network": {}}])
def test_a_state_that_does_not_fit_is_refused(copy, change):
    fingerprint = json.loads((copy / CONFIG).read_text())["fingerprint"]
    content = load_state(copy / CHECKPOINT, KIND, configuration=fingerprint)
    content["training"].update(change)
    save_state(copy / CHECKPOINT, KIND, content, configuration=fingerprint)
    with pytest.raises(Unusable, match=f"{CHECKPOINT} does not fit this run"):
        run(copy, resume=True)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices with names")
@pytest.mark.parametrize("name", [CONFIG, METRICS, CHECKPOINT])
@pytest.mark.parametrize("thing", ["pipe", "endless", "folder"])
def test_what_is_no_regular_file_is_named_and_not_waited_for(copy, name, thing):
    file = copy / name
    file.unlink()
    if thing == "pipe":
        os.mkfifo(file)
    elif thing == "endless":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    with pytest.raises(Unusable, match=rf"{file} is not a regular file"):
        run(copy, resume=True)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_to_end_saves(tmp_path, number):
    out = tmp_path / "run"
    outcome = run(out, display=Silent(at=33, call=lambda: os.kill(os.getpid(), number)), checkpoint_every=50)
    assert not outcome.finished
    display = Silent()
    run(out, display=display, resume=True)
    assert display.first in (33, 34)


def test_an_ignored_signal_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hang_up = Silent(at=33, call=lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert run(tmp_path / "run", display=hang_up).finished
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.integration
@pytest.mark.parametrize("step", [20, 41])
def test_a_disk_that_fills_leaves_a_run_to_resume(tmp_path, undisturbed, monkeypatch, step):
    out = tmp_path / "run"

    def full():
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))

    with pytest.raises(OSError, match="No space left") as raised:
        run(out, display=Silent(at=step, call=full))
    monkeypatch.undo()
    assert str(out) in str(raised.value)
    assert run(out, resume=True).finished
    assert metrics(out) == undisturbed


def test_a_record_at_a_decision_has_the_rate_of_its_step(tmp_path):
    asked = Configuration(task="digits", controller="pilot", steps=60, evaluate_every=20)
    out, task = tmp_path / "run", load_task("digits")
    run(out, asked)
    training = asked.complete(task).training(task)
    used, step = [], training.optimizer.step
    training.optimizer.step = lambda: used.append(training.optimizer.param_groups[0]["lr"]) or step()
    list(training.run())
    assert len(set(used)) > 10
    assert [record["learning_rate"] for record in metrics(out)] == pytest.approx(used, rel=1e-12)


def _train_in_another_process(out):
    torch.set_num_threads(1)
    resume = (Path(out) / CONFIG).exists()
    train(KILLED, display=Silent(), draw=draw_run, out=Path(out), resume=resume, checkpoint_every=1)


PRELOADED = ["lrpilot.experiments.runs.single_run", "sklearn.datasets", "torch.utils.tensorboard", "torch._dynamo"]
KILLED = Configuration(task="digits", controller="online", steps=400, evaluate_every=50, lr=0.01)


@pytest.mark.integration
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_run_killed_at_ten_random_moments_equals_an_undisturbed_one(tmp_path):
    """Real processes, real SIGKILL; checkpoints at every record, so that many kills come while one is written."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)
    out, seed = tmp_path / "killed", random.randrange(2**32)
    moments = random.Random(seed)
    steps_at_kill = []
    for _ in range(10):
        process = processes.Process(target=_train_in_another_process, args=(str(out),))
        process.start()
        deadline = time.monotonic() + 60
        seen = (out / METRICS).read_bytes().count(b"\n") if (out / METRICS).exists() else 0
        while process.is_alive() and time.monotonic() < deadline:  # until it has got on a little
            if (out / METRICS).exists() and (out / METRICS).read_bytes().count(b"\n") > seen + 3:
                break
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.08))
        process.kill()
        process.join()
        whole = (out / METRICS).read_bytes().splitlines(keepends=True)
        steps_at_kill.append(json.loads([line for line in whole if line.endswith(b"\n")][-1])["step"])
    train(KILLED, display=Silent(), draw=draw_run, out=out, resume=True, checkpoint_every=1)
    train(KILLED, display=Silent(), draw=draw_run, out=tmp_path / "whole", checkpoint_every=100)
    assert metrics(out) == metrics(tmp_path / "whole"), f"moments drawn with seed {seed}"
    assert len({step for step in steps_at_kill if 0 < step < 400}) >= 5  # most kills came in the midst of the run
