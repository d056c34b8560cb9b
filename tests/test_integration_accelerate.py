"""Accelerate needs no code of ours: the rates of the plain loop, its checkpoints and its trackers."""

from __future__ import annotations

import pytest

from loops import network
from lrpilot.pilot.controller import Pilot
from scripted import Reactive
from trainers import OTHERS_WARNINGS, Plain, assert_same_run, example, loader, mse, sgd

pytest.importorskip("accelerate", reason="needs lrpilot[accelerate]")

import accelerate
from accelerate.tracking import GeneralTracker, on_main_process

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration, pytest.mark.usefixtures("fresh_accelerate")]


class Log(GeneralTracker):
    name, requires_logging_directory, tracker = "log", False, None

    def __init__(self):
        super().__init__()
        self.rows = []

    @on_main_process
    def store_init_configuration(self, values): ...

    @on_main_process
    def log(self, values, step=None, **kwargs):
        self.rows.append(values)


class Run:
    """A loop as Accelerate's guide has it."""

    def __init__(self, epochs, *, log=None, clip=None, **settings):
        accelerator = accelerate.Accelerator(cpu=True, log_with=log, **settings)
        accelerator.init_trackers("run")
        self.clip = clip
        model = network()
        self.model, self.optimizer, self.loader = accelerator.prepare(model, sgd(model), loader())
        steps = epochs * len(self.loader) // accelerator.gradient_accumulation_steps
        self.pilot = Pilot(self.optimizer, steps, policy=Reactive())
        accelerator.register_for_checkpointing(self.pilot)
        self.accelerator = accelerator

    def run(self, epochs):
        for _ in range(epochs):
            for inputs, targets in self.loader:
                with self.accelerator.accumulate(self.model):
                    with self.accelerator.autocast():
                        loss = mse(self.model(inputs), targets)
                    self.accelerator.backward(loss)
                    if self.clip is not None and self.accelerator.sync_gradients:
                        self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
                self.pilot.step(loss)
                self.accelerator.log(self.pilot.scalars(), step=self.pilot.last_epoch)
        return self


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, {}),
        ({"gradient_accumulation_steps": 2}, {"accumulate": 2}),
        ({"gradient_accumulation_steps": 3}, {"accumulate": 3}),
        ({"mixed_precision": "bf16"}, {"bf16": True}),
        ({"clip": 0.1}, {"clip": 0.1}),
    ],
)
def test_the_rates_of_the_plain_loop(settings, same):
    assert_same_run(Run(5, **settings).run(5).pilot, Plain(5, **same).run(5))


@pytest.mark.parametrize(("planned", "then"), [(5, 5), (2, 3)])
def test_a_resume(tmp_path, planned, then):
    """The same run, and a longer one (case L25)."""
    Run(planned).run(2).accelerator.save_state(tmp_path)
    again = Run(then)
    again.accelerator.load_state(tmp_path)
    again.run(then - 2)
    plain = Plain(planned).run(2)
    if then != planned:
        plain.pilot.extend(plain.steps(then))
    assert_same_run(again.pilot, plain.run(then - 2))


def test_the_rate_is_logged():
    log = Log()
    Run(5, log=log).run(5)
    plain = Plain(5).run(5)
    assert [row["lr"] for row in log.rows] == plain.rates


def test_the_example():
    example("accelerate")
