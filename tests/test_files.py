"""Files replaced whole and checked when read, folders of one process, signals answered in good order."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import re
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lrpilot.core.files import (
    VERSION,
    Log,
    expanded,
    fingerprint,
    load_state,
    naming,
    parse_json,
    read_file,
    replace_file,
    save_state,
)
from lrpilot.core.folders import make, make_fresh, working_folder
from lrpilot.core.schedule import save_schedule
from lrpilot.core.signals import answering, stopped_by_signals
from lrpilot.errors import Damaged, InvalidArgument, Unusable
from lrpilot.learning.refinement import Refinement
from lrpilot.pilot.policy import Policy

KIND = "lrpilot test"


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_replaced_and_the_old_one_kept(tmp_path: Path) -> None:
    file, keep = tmp_path / "file", tmp_path / "before"
    replace_file(file, b"one", keep=keep)
    assert names(tmp_path) == ["file"]  # there was nothing to keep
    replace_file(file, b"two", keep=keep)
    assert (read_file(file), read_file(keep)) == (b"two", b"one")
    replace_file(file, b"three")
    assert (read_file(file), read_file(keep)) == (b"three", b"one")
    assert names(tmp_path) == ["before", "file"]


def test_a_file_and_its_name_are_on_the_disk_before_it_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is written with its folder: after a power cut there would be none, or one of an empty file."""
    written: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda number: written.append(stat.S_ISDIR(os.fstat(number).st_mode)))
    replace_file(tmp_path / "file", b"new")
    assert written == [False, True]


def test_a_home_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/file") == Path("/home/me/file")
    with pytest.raises(Unusable, match=r"^~nobody-of-this-name/file cannot be found, for there is no home directory: "):
        expanded("~nobody-of-this-name/file")


def _replace_often(file: Path, digit: int) -> None:
    for _ in range(100):
        replace_file(file, bytes([digit]) * 10_000)
        assert len(set(read_file(file))) == 1


def test_processes_may_replace_one_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_replace_often, args=(tmp_path / "file", digit)) for digit in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert names(tmp_path) == ["file"]


def test_where_a_link_leads_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_what_is_no_regular_file_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for there in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Unusable, match="is not a regular file: remove it"):
            read_file(there)
        with pytest.raises(Unusable, match="is not a regular file and is left as it is"):
            replace_file(there, b"")
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match="nowhere"):
        replace_file(file, b"new", keep=tmp_path / "nowhere" / "kept")
    assert names(tmp_path) == ["file"]
    assert file.read_bytes() == b"old"


WRITERS: dict[str, Callable[[Path], object]] = {
    "policy": Policy().save,
    "refinement": lambda file: Refinement(policy=Policy()).save(file),
    "schedule": lambda file: save_schedule(file, [0.1]),
    "state": lambda file: save_state(file, "kind", {}, configuration="x"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_that_cannot_be_written_is_named_as_given(tmp_path: Path, write: Callable[[Path], object]) -> None:
    missing, link = tmp_path / "missing", tmp_path / "link"
    link.symlink_to(missing / "file")
    (tmp_path / "file").write_bytes(b"")
    for place, said in (
        (missing / "file", f"there is no folder {missing} "),
        (link, f"there is no folder {missing} "),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / ("x" * 250), "File name too long"),
    ):
        with pytest.raises(OSError, match=re.escape(said)) as caught:
            write(place)
        assert str(caught.value).endswith(f": '{place}'")
    assert names(tmp_path) == ["file", "link"]


@pytest.mark.parametrize(
    ("error", "filename"),
    [(OSError(28, "full"), "here"), (OSError(28, "full", "there"), "there"), (OSError("no number"), None)],
)
def test_an_error_says_which_file_it_is_about(error: OSError, filename: str | None) -> None:
    with pytest.raises(OSError, match=r"full|no number") as caught, naming(Path("here")):
        raise error
    assert caught.value.filename == filename


def test_a_fingerprint_is_twelve_digits_of_all_values_in_any_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
    assert len(fingerprint({})) == 12


def saved(tmp_path: Path) -> Path:
    file = tmp_path / "state"
    save_state(file, KIND, {"w": torch.arange(3.0), "n": 7}, configuration="abc")
    return file


def test_a_state_comes_back(tmp_path: Path) -> None:
    state = load_state(saved(tmp_path), KIND, configuration="abc")
    assert state["w"].tolist() == [0.0, 1.0, 2.0]
    assert state["n"] == 7


def with_header(file: Path, **changes: object) -> None:
    line, _, content = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps(json.loads(line) | changes).encode() + b"\n" + content)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"format": "another"}, Damaged, "is not a file of the format 'lrpilot test'"),
        ({"version": VERSION + 1}, Unusable, "is of version 2, this lrpilot reads version 1"),
        ({"version": 0}, Unusable, "is of version 0"),
        ({"sha256": "0"}, Damaged, "is damaged: remove it"),
        ({"configuration": "abd"}, Unusable, "belongs to another configuration"),
    ],
)
def test_a_state_that_is_not_what_was_asked_for(tmp_path: Path, changes: dict, error: type, said: str) -> None:
    file = saved(tmp_path)
    with_header(file, **changes)
    with pytest.raises(error, match=said):
        load_state(file, KIND, configuration="abc")


class Code:
    """What runs when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("content", ["nothing", "code"])
def test_a_state_that_is_no_state(tmp_path: Path, content: str) -> None:
    """Its checksum is right, and yet nothing is loaded from it, nor run."""
    stream = io.BytesIO(b"nothing")
    if content == "code":
        torch.save(Code(tmp_path / "made"), stream)
    sum_of_it = hashlib.sha256(stream.getvalue()).hexdigest()
    header = {"format": KIND, "version": 1, "configuration": "abc", "sha256": sum_of_it}
    (tmp_path / "state").write_bytes(json.dumps(header).encode() + b"\n" + stream.getvalue())
    with pytest.raises(Damaged, match=r"is damaged \(\w+\): remove it"):
        load_state(tmp_path / "state", KIND, configuration="abc")
    assert names(tmp_path) == ["state"]


@pytest.mark.parametrize("content", ["{", "[1]", "7", '"text"', "[" * 100_000])
def test_only_an_object_is_taken_for_one(content: str) -> None:
    with pytest.raises(Damaged, match="it holds no JSON"):
        parse_json(content, Path("file"))
    assert parse_json('{"a": 1}', Path("file")) == {"a": 1}


def test_a_log_goes_back_to_where_it_was(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert log.read() == []
    nothing = log.mark()
    log.cut(*nothing)
    assert names(tmp_path) == []
    log.append({"step": 1})
    log.append({"step": 2})
    mark = log.mark()
    log.append({"step": 3})
    other = Log(tmp_path / "log")  # of the process that goes on
    other.cut(*mark)
    assert other.read() == [{"step": 1}, {"step": 2}]
    other.append({"step": 4})
    assert other.read() == [{"step": 1}, {"step": 2}, {"step": 4}]
    assert other.mark()[0] == (tmp_path / "log").stat().st_size
    other.cut()
    assert (tmp_path / "log").read_bytes() == b""
    assert other.mark() == nothing


def test_a_log_that_was_written_by_others_is_left_as_it_is(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.append({"step": 1})
    mark = log.mark()
    (tmp_path / "log").write_text('{"step": 9}\n{"step": 2}\n')
    with pytest.raises(Unusable, match="is not as this run wrote it"):
        log.cut(*mark)
    assert (tmp_path / "log").read_text() == '{"step": 9}\n{"step": 2}\n'


def test_a_folder_that_a_run_was_begun_in_stays(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with working_folder(out, "config"):
        (out / "config").touch()
        with pytest.raises(Unusable, match="is in use by another process"), working_folder(out, "config", resume=True):
            pass
    (out / "config.1234.unfinished").touch()  # left by a killed process
    with working_folder(out, "config", resume=True):
        (out / "more").touch()
        assert set(names(out)) - {".lock"} == {"config", "more"}
    assert {"config", "more"} <= set(names(out))
    with (
        pytest.raises(InvalidArgument, match="out must be a new or an empty directory"),
        working_folder(out, "config"),
    ):
        pass
    assert (out / "config").exists()


def test_a_folder_that_no_run_was_begun_in_goes_again(tmp_path: Path) -> None:
    with working_folder(tmp_path / "a" / "b", "config"):
        assert (tmp_path / "a" / "b").is_dir()
    assert names(tmp_path) == []
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.unfinished").touch()  # left by a killed process, and no run
    with working_folder(old, "config"):
        pass
    assert names(old) == ["config.unfinished"]
    with (
        pytest.raises(InvalidArgument, match="out must be the directory of a run"),
        working_folder(old, "config", resume=True),
    ):
        pass


def test_folders_that_are_made(tmp_path: Path) -> None:
    assert make(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]
    assert make(tmp_path / "a" / "b") == []
    assert [made[0].name for made in (make_fresh(tmp_path / "run") for _ in range(3))] == ["run", "run-2", "run-3"]


def test_a_signal_is_answered_and_then_what_it_was() -> None:
    heard: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with answering(lambda number, frame: heard.append(number)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert heard == [signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with answering(lambda number, frame: pytest.fail("answered")):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_does_what_it_did_before() -> None:
    asked: list[bool] = []
    with stopped_by_signals(lambda: asked.append(True)):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert asked == [True]


def test_other_threads_leave_signals_alone() -> None:
    held: list[object] = []

    def elsewhere() -> None:
        with answering(lambda number, frame: None):
            held.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert held == [signal.getsignal(signal.SIGINT)]
