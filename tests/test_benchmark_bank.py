"""A policy is judged on what no policy learns from, once."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import bank
from lrpilot.learning.bank import store
from lrpilot.learning.bank.task import BLOCK, HELD_OUT
from lrpilot.learning.bank.training import BankTraining
from lrpilot.learning.combining import mean_of, panel_of
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


@pytest.mark.integration
def test_held_out_tasks_are_judged_once_and_the_regrets_tabled(small_bank, tmp_path, capsys):
    policy, out = tmp_path / "policy.safetensors", tmp_path / "judged.jsonl"
    Policy(width=8, provenance={"configuration": {"seed": 7}, "hours": 0.25, "done": {"distil": 3}}).save(policy)
    card = tmp_path / "card.md"
    card.write_text("".join(f"<!-- {part}:begin -->\n<!-- {part}:end -->\n" for part in ("origin", "bank", "held-out")))
    call = ["--policy", str(policy), "--bank", str(small_bank), "--out", str(out), "--readme", str(card)]
    bank.app(call, standalone_mode=False)
    before = out.read_bytes()
    bank.app(call, standalone_mode=False)
    assert out.read_bytes() == before
    lines = {line["policy"]: line for line in map(json.loads, before.splitlines())}
    assert [line["task"] for line in lines.values()] == [HELD, HELD]
    (entry,) = [entry for entry in store.read(small_bank) if entry.task.held_out]
    frame = bank.regrets(out, [entry])
    for name, line in lines.items():
        regrets = frame[frame["policy"] == name]["regret"].tolist()
        assert regrets == pytest.approx([score - entry.best for score in line["scores"]])
    again = BankTraining(replace(entry.task, seed=entry.task.seed + 2))
    assert lines[bank.SAME_SCHEDULE]["scores"][1] == round(again.score(again.follow(entry.best_schedule)), 5)
    assert fingerprint(policy) in capsys.readouterr().out
    written = card.read_text()
    assert all(
        row in written
        for row in ("| seed | 7 |", "| hours | 0.25 |", "| distil steps | 3 |", f"| {fingerprint(policy)} | 1 |")
    )


def test_the_origin_of_a_policy_made_of_others(tmp_path):
    a, b, c, d = (
        Policy(width=8, provenance={"commit": name, "configuration": {"seed": i}}) for i, name in enumerate("stuv")
    )
    d.provenance |= {"improved": 5}  # as 0.1 called it
    panel_of([a, mean_of([b, c]), d]).save(tmp_path / "policy.safetensors")
    said, _, table = bank.origin(tmp_path / "policy.safetensors").partition("\n\n")
    assert said == f"Fingerprint {fingerprint(tmp_path / 'policy.safetensors')}: panel(A, mean(B, C), D)."
    assert "| commit | s | t | u | v |\n| seed | 0 | 1 | 2 | 3 |\n| ppo steps | - | - | - | 5 |" in table


def test_what_the_bank_holds_by_hand(small_bank):
    entries = store.read(small_bank)
    line = json.loads(small_bank.read_text().splitlines()[0])
    *_, last = bank.contents(entries).rows
    task = line["task"]
    tried = 2 * len(line["tried"])
    layers = [task["network_options"]["inputs"], *task["network_options"]["widths"], task["network_options"]["outputs"]]
    weights = sum((above + 1) * below for above, below in pairwise(layers))
    batch = task["batch_size"]
    ranges = ("30 to 30", f"{weights} to {weights}", f"{batch} to {batch}")
    assert last == ("all", "2", "1", str(tried), *ranges, task["optimizer"])


def test_the_table_by_hand(tmp_path, small_bank):
    (entry,) = [entry for entry in store.read(small_bank) if entry.task.held_out]
    scores = [entry.best + regret for regret in (0.0, 0.1, 0.3, 0.201, 1.0)]
    line = {"policy": "abc", "task": HELD, "scores": scores, "untrained": entry.best + 0.5}
    (tmp_path / "judged.jsonl").write_text(json.dumps(line) + "\n")
    table = bank.table(bank.regrets(tmp_path / "judged.jsonl", [entry]), "policy")
    assert table.rows == [("abc", "1", "0.320", "0.201", "60%", "1")]


def test_the_sentence_by_hand(tmp_path, small_bank):
    entries = store.read(small_bank)
    best, tried = entries[1].best, len(entries[1].scores)
    known = {"task": HELD, "untrained": best + 0.5}
    lines = [
        {"policy": "abc", "scores": [best + regret for regret in (0.0, 0.1, 0.3, 0.3, 1.0)]} | known,
        {"policy": bank.SAME_SCHEDULE, "scores": [best + regret for regret in (0.0, 0.0, 0.05, 0.3, 0.1)]} | known,
    ]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = bank.in_words(bank.regrets(tmp_path / "judged.jsonl", entries), "abc", entries)
    assert "1 held-out trainings" in said
    assert f"less than 35.0 % above the best of {tried} schedules" in said
    assert "60 % of the runs 22 % or more above it (by loss and error together), and 1 of 5 are worse" in said
    assert said.endswith("again with other seeds, have 5.1 % and 20 %.")
