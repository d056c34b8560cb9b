"""Ray Train needs no code of ours: the rates of the plain loop, a worker that dies and resumes, reported rates."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from loops import network
from lrpilot.pilot.controller import Pilot
from scripted import Reactive
from trainers import OTHERS_WARNINGS, Plain, example, loader, mse, sgd

ray = pytest.importorskip("ray", reason="needs lrpilot[ray]")
try:
    from ray import train
    from ray.train.torch import TorchTrainer, prepare_data_loader, prepare_model
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


class Run:
    """What a worker has: the loop of Ray's guide with the pilot in it."""

    def __init__(self, epochs, *, accumulate=1, bf16=False):
        self.network = network()
        self.model, self.data = prepare_model(self.network), prepare_data_loader(loader())
        self.optimizer = sgd(self.model)
        self.accumulate, self.bf16 = accumulate, bf16
        self.pilot = Pilot(self.optimizer, epochs * len(self.data) // accumulate, policy=Reactive())

    def epoch(self):
        for number, (inputs, targets) in enumerate(self.data, 1):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss = mse(self.model(inputs), targets)
            (loss / self.accumulate).backward()
            if number % self.accumulate == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.pilot.step(loss)

    def state_dict(self):
        return {name: getattr(self, name).state_dict() for name in ("network", "optimizer", "pilot")}

    def load_state_dict(self, state):
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


CASES = {
    "plain": (5, {}),
    "accumulation": (5, {"accumulate": 2}),
    "bf16": (5, {"bf16": True}),
    "longer": (3, {}),  # is announced as a run of three epochs, and resumed as one of five (case L25)
}


def loop(config):
    """All cases in one worker, which dies once, after two epochs."""
    checkpoint = train.get_checkpoint()
    resumed, begin = checkpoint is not None, 0
    runs = {name: Run(5 if resumed else epochs, **settings) for name, (epochs, settings) in CASES.items()}
    if resumed:
        begin = 2
        with checkpoint.as_directory() as folder:
            for name, state in torch.load(Path(folder) / "state.pt").items():
                runs[name].load_state_dict(state)
    for epoch in range(begin, 5):
        for run in runs.values():
            run.epoch()
        rates = {name: run.pilot.history["rate"].tolist() for name, run in runs.items()}
        with tempfile.TemporaryDirectory() as folder:
            torch.save({name: run.state_dict() for name, run in runs.items()}, Path(folder) / "state.pt")
            told = runs["plain"].pilot.scalars() | {"rates": rates, "resumed": resumed}
            train.report(told, checkpoint=train.Checkpoint.from_directory(folder))
        if not resumed and epoch == 1:
            raise RuntimeError("a worker is lost")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return fit(loop, {}, tmp_path_factory.mktemp("ray"), failure_config=train.FailureConfig(max_failures=1))


@pytest.mark.parametrize("case", CASES)
def test_the_rates_of_the_plain_loop(result, case):
    assert result.metrics["resumed"]
    epochs, settings = CASES[case]
    plain = Plain(epochs, **settings).run(2)
    if epochs != 5:
        plain.pilot.extend(plain.steps(5))
    assert result.metrics["rates"][case] == plain.run(3).rates


def test_the_rate_is_reported(result):
    assert result.metrics_dataframe["lr"].tolist() == Plain(5).run(5).rates[11::12]


def test_the_example(tmp_path):
    metrics = fit(example("ray", name="example")["loop"], {"epochs": 2}, tmp_path).metrics
    assert metrics["step"] == 2 * 57
