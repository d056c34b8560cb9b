"""What trainers are tested against: the loop that they replace, written out."""

from __future__ import annotations

import contextlib
import runpy
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from loops import batch, network
from lrpilot.pilot.controller import Pilot
from scripted import Reactive

EXAMPLES = Path(__file__).parents[1] / "examples"

BATCHES, SIZE = 12, 16
"""Of an epoch; in each epoch the same ones in the same order."""

OTHERS_WARNINGS = pytest.mark.filterwarnings(  # the last one goes first; the made-up policy lets losses rise
    "ignore", "error::lrpilot.PilotWarning", "ignore:the loss stands at"
)
"""What a trainer warns of is its own affair; what the pilot warns of fails a test."""

INPUTS, TARGETS = map(torch.cat, zip(*map(batch, range(BATCHES)), strict=True))


def loader():
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=SIZE)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


def mse(outputs, targets):
    return (outputs - targets).square().mean()


class Plain:
    """The plain loop, to be run epoch by epoch."""

    def __init__(self, epochs, *, accumulate=1, bf16=False, clip=None, make=network, optimizer=sgd):
        self.model = make()
        self.optimizer = optimizer(self.model)
        self.accumulate, self.bf16, self.clip = accumulate, bf16, clip
        self.pilot = Pilot(self.optimizer, self.steps(epochs), policy=Reactive())
        self.rates = []  # as the optimizer had them, not as the pilot says

    def steps(self, epochs):
        return epochs * BATCHES // self.accumulate

    def run(self, epochs):
        for number, (inputs, targets) in enumerate([pair for _ in range(epochs) for pair in loader()], 1):
            with torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext():
                loss = mse(self.model(inputs), targets)
            (loss / self.accumulate).backward()
            if number % self.accumulate == 0:
                if self.clip is not None:
                    torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
                self.rates.append(self.optimizer.param_groups[0]["lr"])
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.pilot.step(loss)
        return self


def assert_same_run(pilot, plain):
    """To the last bit; and the rates are those that the plain loop's optimizer had, and no constant."""
    assert pilot.history["rate"].tolist() == plain.pilot.history["rate"].tolist() == plain.rates
    assert pilot.history["loss"].tolist() == plain.pilot.history["loss"].tolist()
    assert [(d.step, d.features) for d in pilot.history.decisions] == [
        (d.step, d.features) for d in plain.pilot.history.decisions
    ]
    assert len(set(plain.rates)) > 5


def example(trainer, *, name="__main__"):
    """Run `examples/with_TRAINER.py` as a script or as a module; returns its variables."""
    return runpy.run_path(str(EXAMPLES / f"with_{trainer}.py"), run_name=name)
