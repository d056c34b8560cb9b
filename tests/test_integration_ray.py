"""Ray Train needs no code of ours: the rates of the plain loop, a worker that dies and resumes, reported rates."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from trainers import OTHERS_WARNINGS, Plain, example

ray = pytest.importorskip("ray", reason="needs lrpilot[ray]")
try:
    from ray import train
    from ray.train.torch import TorchTrainer
except ImportError:
    pytest.skip("needs ray[train], which lrpilot[ray] has", allow_module_level=True)

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    modules = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}  # as this process finds them
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # how soon a lost worker is noticed
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=modules)
        yield
        ray.shutdown()


def fit(loop, config, folder, **settings):
    scaling = train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5})
    run = train.RunConfig(storage_path=str(folder), **settings)
    return TorchTrainer(loop, train_loop_config=config, scaling_config=scaling, run_config=run).fit()


def loop(config):
    """The plain loop, which dies once, after two epochs."""
    plain = Plain(5)
    parts = {"model": plain.model, "optimizer": plain.optimizer, "pilot": plain.pilot}
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            for name, state in torch.load(Path(folder) / "state.pt").items():
                parts[name].load_state_dict(state)
    for epoch in range(plain.pilot.last_epoch // 12, 5):
        plain.run(1)
        rates = {"rates": plain.pilot.history["rate"].tolist(), "resumed": checkpoint is not None}
        with tempfile.TemporaryDirectory() as folder:
            torch.save({name: part.state_dict() for name, part in parts.items()}, Path(folder) / "state.pt")
            train.report(plain.pilot.scalars() | rates, checkpoint=train.Checkpoint.from_directory(folder))
        if checkpoint is None and epoch == 1:
            raise RuntimeError("a worker is lost")


def test_the_rates_of_the_plain_loop(tmp_path):
    metrics = fit(loop, {}, tmp_path, failure_config=train.FailureConfig(max_failures=1)).metrics
    plain = Plain(5).run(5)
    assert metrics["resumed"]
    assert metrics["rates"] == plain.rates
    assert metrics["lr"] == plain.rates[-1]


def test_the_example(tmp_path):
    metrics = fit(example("ray", name="example")["loop"], {"epochs": 2}, tmp_path).metrics
    assert metrics["step"] == 2 * 57
