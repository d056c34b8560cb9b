"""The recipes for loggers: what each keeps on disk, without a network, is the rate that each step was made at."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import subprocess
import sys
from importlib.util import find_spec

import pytest

from trainers import EXAMPLES, OTHERS_WARNINGS

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars("pilot/lr")}


def wandb(folder):
    from wandb.proto.wandb_internal_pb2 import Record

    rates = {}
    for data in leveldb_records(next(folder.rglob("*.wandb")).read_bytes(), header=7):
        row = {item.key or item.nested_key[0]: item.value_json for item in Record.FromString(data).history.item}
        if row:
            rates[json.loads(row["_step"])] = json.loads(row["lr"])
    return rates


def leveldb_records(data, *, header, block=1 << 15):
    """LevelDB's log: blocks of records, each with its checksum, length and kind (whole, first, middle or last part)."""
    place, parts = header, b""
    while place + 7 <= len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def mlflow(folder):
    rows = (line.split() for line in next(folder.rglob("metrics/lr")).read_text().splitlines())
    return {int(step): float(value) for _, value, step in rows}


def trackio(folder):
    rows = sqlite3.connect(folder / "pilot.db").execute("SELECT step, metrics FROM metrics").fetchall()
    return {step: json.loads(metrics)["lr"] for step, metrics in rows}


@pytest.mark.parametrize("read", [tensorboard, wandb, mlflow, trackio])
def test_the_rate_of_each_step_is_kept(read, tmp_path):
    if find_spec(read.__name__) is None:
        pytest.skip(f"needs {read.__name__}")
    command = [sys.executable, EXAMPLES / "loggers.py", read.__name__, tmp_path / "kept"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rates = read(tmp_path / "kept")
    assert sorted(rates) == list(range(1, 51))
    assert rates[1] == pytest.approx(1e-4)
    decisions = re.findall(r"^step (\d+): .* rate (\S+) -> (\S+) ", printed, re.MULTILINE)
    assert len(decisions) > 10
    for step, before, after in decisions:
        assert rates[int(step)] == pytest.approx(float(before), rel=0.01)
        assert rates[int(step) + 1] == pytest.approx(float(after), rel=0.01)
