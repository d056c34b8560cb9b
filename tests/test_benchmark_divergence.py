"""Runs from rates that are decades off: what each ends in, and what is counted."""

import pytest
import torch

from benchmarks import divergence
from benchmarks.divergence import DRIVERS, TAKEN, run, table
from benchmarks.small_runs import problem


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(divergence, "STEPS", 30)


@pytest.mark.parametrize("optimizer", TAKEN)
def test_every_optimizer_is_driven(optimizer):
    found = run("Pilot", optimizer, 1e-3)
    assert found["fault"] is None
    assert found["untrained"] == problem("no biases", 0).whole()
    assert found["loss"] != found["untrained"]


def test_all_of_torchs_optimizers_but_two():
    classes = {kind for kind in vars(torch.optim).values() if isinstance(kind, type)}
    optimizers = {kind.__name__.lower() for kind in classes if issubclass(kind, torch.optim.Optimizer)}
    assert set(TAKEN) == optimizers - {"optimizer", "lbfgs", "sparseadam", "rprop"} | {"momentum"}


def test_a_constant_rate_diverges_in_silence():
    found = run("a constant rate", "sgd", 1e3)
    assert (found["loss"], found["said"], found["fault"]) == (None, None, None)


def test_an_error_that_is_none_of_ours_is_a_fault(monkeypatch):
    monkeypatch.setitem(DRIVERS, "Pilot", lambda task, optimizer: lambda chosen: [][0])
    assert "IndexError" in run("Pilot", "sgd", 0.1)["fault"]


def test_what_is_counted():
    def found(driver, optimizer, loss, **more):
        return {
            "optimizer": optimizer,
            "driver": driver,
            "untrained": 1.0,
            "loss": loss,
            "said": None,
            "fault": None,
        } | more

    constant, pilot, stable = DRIVERS
    findings = [
        found(constant, "sgd", 0.5),
        found(constant, "sgd", None),
        found(constant, "rprop", 1.5),  # at no rate of the grid does it train
        found(pilot, "rprop", 1.5),
        found(pilot, "sgd", 1.5),
        found(pilot, "sgd", None, said="the loss must be a finite scalar"),
        found(stable, "sgd", 0.4, fault="Traceback"),
    ]
    counted = table(findings)
    assert counted.note is not None
    assert counted.note.endswith(" 30 steps. Above the untrained loss with Pilot: sgd (2).")
    assert counted.rows == [
        [constant, "3", "0", "1", "1", "0"],
        [pilot, "3", "1", "0", "2", "0"],
        [stable, "1", "0", "0", "0", "1"],
    ]
