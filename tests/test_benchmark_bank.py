"""A policy is judged on what no policy learns from, once."""

import json
from pathlib import Path

import pytest

from benchmarks import bank
from lrpilot.learning.bank import store
from lrpilot.learning.bank.tasks import BLOCK, HELD_OUT
from lrpilot.pilot.policy import Policy
from lrpilot.pilot.policy_file import fingerprint

HELD = BLOCK * (HELD_OUT - 1)


@pytest.fixture
def small_bank(tmp_path):
    """A tiny task twice: to be learned from, and held out."""
    lines = map(json.loads, Path("results/bank.jsonl").read_text().splitlines())
    line = next(line for line in lines if line["task"]["kind"] == "tiny")
    path = tmp_path / "bank.jsonl"
    copies = [{**line, "task": {**line["task"], "index": index, "steps": 30}} for index in (0, HELD)]
    path.write_text("".join(json.dumps(copy) + "\n" for copy in copies))
    return path


def test_held_out_tasks_are_judged_once_and_the_regrets_tabled(small_bank, tmp_path, capsys):
    policy, out = tmp_path / "policy.safetensors", tmp_path / "judged.jsonl"
    Policy(width=8).save(policy)
    call = ["--policy", str(policy), "--bank", str(small_bank), "--out", str(out)]
    bank.app(call, standalone_mode=False)
    before = out.read_bytes()
    bank.app(call, standalone_mode=False)
    assert out.read_bytes() == before
    (line,) = map(json.loads, before.splitlines())
    assert line["task"] == HELD
    (entry,) = [entry for entry in store.read(small_bank) if entry.task.held_out]
    frame = bank.regrets(out, [entry])
    assert frame["regret"].tolist() == pytest.approx([score - entry.best for score in line["scores"]])
    assert fingerprint(policy) in capsys.readouterr().out


def test_the_table_by_hand(tmp_path, small_bank):
    (entry,) = [entry for entry in store.read(small_bank) if entry.task.held_out]
    scores = [entry.best + regret for regret in (0.0, 0.1, 0.3, 0.201, 1.0)]
    line = {"policy": "abc", "task": HELD, "scores": scores, "untrained": entry.best + 0.5}
    (tmp_path / "judged.jsonl").write_text(json.dumps(line) + "\n")
    table = bank.table(bank.regrets(tmp_path / "judged.jsonl", [entry]), "policy")
    assert table.rows == [("abc", "1", "0.320", "0.201", "60%", "1")]
