"""States of every released version load, and the runs go on."""

import json
import shutil

import pytest
import torch

import lrpilot
from lrpilot.cli import main
from released import CONTROLLERS, FIXTURES, PAUSE, STEPS, Run, study

VERSIONS = sorted(file.name.removesuffix(".tar.xz") for file in FIXTURES.glob("*.tar.xz"))


@pytest.fixture(params=VERSIONS)
def kept(request, tmp_path):
    """The folder of a version's files."""
    shutil.unpack_archive(FIXTURES / f"{request.param}.tar.xz", tmp_path, filter="data")
    return tmp_path


def test_the_present_version_is_kept():
    """Written before it is released: see `released`."""
    assert lrpilot.__version__ in VERSIONS


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_goes_on(kept, name):
    state = torch.load(kept / f"{name}.pt", weights_only=True)
    run = Run(name)
    run.load(state)
    for column in ("loss", "rate"):
        assert torch.equal(run.controller.history[column], state["trace"][column])
    run.advance(PAUSE, STEPS)
    losses, rates = run.controller.history["loss"], run.controller.history["rate"]
    assert len(losses) == len(rates) == STEPS
    assert losses.isfinite().all()
    assert (rates[PAUSE:] > 0).all()
    assert losses[-5:].mean() < losses[:5].mean()


def test_a_study_goes_on(kept):
    state = torch.load(kept / "offline.pt", weights_only=True)
    offline, untrained = study(), study()
    offline.load_state_dict(state)
    assert (offline.runs, untrained.runs) == (1, 0)
    weights = zip(offline.learner.actor.parameters(), untrained.learner.actor.parameters(), strict=True)
    assert not all(torch.equal(learned, fresh) for learned, fresh in weights)
    model = torch.nn.Linear(2, 1)
    with offline.run(torch.optim.SGD(model.parameters(), lr=0.05)) as controller:
        for _ in range(2):
            assert controller.step(lambda batch: model(batch).square().mean(), torch.ones(3, 2)).isfinite()
    assert offline.runs == 2


def test_a_run_of_the_command_goes_on(kept):
    out = kept / "run"
    before = (out / "metrics.jsonl").read_text().splitlines()
    with pytest.raises(SystemExit) as left:
        main(["train", "digits", "--out", str(out), "--resume"])
    assert left.value.code == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [json.loads(line)["step"] for line in before]
    assert lines[: len(lines) // 2] == [json.loads(line) for line in before[: len(lines) // 2]]
    assert lines[-1]["step"] == STEPS
    assert lines[-1]["test_error"] < 50
