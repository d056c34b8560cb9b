"""Files damaged in whatever way, command lines of whatever words: one line, never a traceback, nothing changed.

Short by itself; long by ``HYPOTHESIS_PROFILE=long`` (``make fuzz``).
"""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrpilot import cli
from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.experiments.report.pictures import draw_run
from lrpilot.experiments.runs.configuration import Configuration
from lrpilot.experiments.runs.run_directory import CHECKPOINT, CONFIG, METRICS, PREVIOUS, RunDirectory
from lrpilot.experiments.runs.single_run import train
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result
from made_up import result

PLAIN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Silent:
    def begin(self, *_):
        pass

    show = say = begin


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(Configuration(controller="none", steps=20), display=Silent(), draw=draw_run, out=out, checkpoint_every=5)
    return out


@st.composite
def damages(draw):
    """A function from bytes to other bytes."""
    place, length = draw(st.floats(0, 1)), draw(st.integers(0, 40))
    new = draw(st.one_of(st.binary(max_size=40), st.sampled_from([b"\n", b"null", b"NaN", b"1e999", b"[" * 10_000])))

    def damage(content):
        start = round(place * len(content))
        return content[:start] + new + content[start + length :]

    return damage


@PLAIN
@given(name=st.sampled_from([CONFIG, METRICS, CHECKPOINT, PREVIOUS]), damage=damages())
def test_a_damaged_run_is_refused_in_one_line_or_read_as_it_was(whole, tmp_path, name, damage):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    before[name] = damage(before[name])
    (copy / name).write_bytes(before[name])
    try:
        with RunDirectory(copy, resume=True) as directory:
            saved = directory.saved_configuration()
            state, problem = directory.restore()
    except (Unusable, InvalidArgument) as error:
        said = str(error)
        unchanged = {file.name: file.read_bytes() for file in copy.iterdir()} == before
        assert (said.count("\n"), str(copy / name) in said, unchanged) == (0, True, True)
    else:
        assert (saved.controller, saved.lr, saved.steps) == ("none", 0.1, 20)
        assert state["step"] in ((15, 20) if problem else (20,))
        assert (copy / METRICS).read_bytes() == (whole / METRICS).read_bytes()[: (copy / METRICS).stat().st_size]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def results_with_something_else(draw):
    """A result's JSON in which one value is another."""
    values = result().to_json()
    place, path = values, draw(st.lists(st.integers(0, 20), min_size=1, max_size=3))
    for step in path[:-1]:
        inner = [value for value in place.values() if isinstance(value, dict) and value]
        if inner:
            place = inner[step % len(inner)]
    place[list(place)[path[-1] % len(place)]] = draw(JSON)
    return values


@PLAIN
@given(values=results_with_something_else())
def test_a_result_with_something_else_in_it_is_skipped_or_can_be_shown(tmp_path, values):
    file = tmp_path / "table3.jsonl"
    file.write_text(json.dumps(values) + "\n")
    for each in Store(tmp_path).saved("table3"):
        assert isinstance(each, Result)
        assert each.final("test_error") == each.final("test_error") or each.status == "finished"
        assert each.best("test_loss") >= 0 or each.best("test_loss") < 0
        assert each.trial.name.count("/") >= 4


COMMANDS = ("train", "demo", "compare", "reproduce", "report", "pretrain", "bench", "digits", "m0", "all", "table1")
OPTIONS = ("--steps", "--lr", "--seed", "--out", "--resume", "--controller", "--optimizer", "--setting", "--batch-size")
WORDS = st.one_of(
    st.sampled_from((*COMMANDS, *OPTIONS, "--data", "--results", "--profile", "--", "-1")),
    st.integers().map(str),
    st.floats().map(str),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)


@PLAIN
@given(words=st.lists(WORDS, max_size=6))
def test_a_command_line_of_any_words_ends_in_one_line(words, tmp_path, monkeypatch, capsys):
    from lrpilot.commands import pretraining
    from lrpilot.experiments.runs import execute, single_run
    from lrpilot.experiments.studies import demo

    def stop(*_, **__):
        raise Unusable("as far as it goes")

    monkeypatch.chdir(tmp_path)
    for module, name in ((single_run, "load_task"), (demo, "load_task"), (execute, "run"), (pretraining, "replace")):
        monkeypatch.setattr(module, name, stop)
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    captured = capsys.readouterr()
    assert left.value.code in (0, 2), captured.err
    assert captured.err.count("\n") <= 1
    assert not Path("runs").exists()
