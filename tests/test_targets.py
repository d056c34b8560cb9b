"""What the stable setting is held to, on the real MNIST. Minutes long: `make test-slow`, with LRPILOT_DATA set."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrpilot import OnlineActorCritic
from lrpilot.experiments.runs.optimizers import make_optimizer
from lrpilot.experiments.runs.training import Plan, Training
from lrpilot.experiments.tasks.catalogue import load_task

STARTS = (1e-4, 1e-2, 0.5)
SEEDS = range(5)


@pytest.mark.slow
def test_stable_trains_m1_from_any_start(data: Path) -> None:
    """12,000 steps, batch 50, from three starts, five seeds: none diverges, the mean test error is at most 3.2 %."""
    task = load_task("m1", folder=data)
    errors = []
    for start in STARTS:
        for seed in SEEDS:
            training = Training(
                task,
                Plan(steps=12_000, batch_size=50, evaluate_every=12_000, seed=seed),
                make_optimizer=lambda network, lr=start: make_optimizer("sgd", network.parameters(), learning_rate=lr),
                make_controller=lambda _, optimizer, generator: OnlineActorCritic(optimizer, generator=generator),
            )
            last = list(training.run())[-1]
            assert not last.diverged
            errors.append(last.test_error or 100.0)
            print(f"start {start:g}, seed {seed}: {errors[-1]:.2f} %")
    mean = sum(errors) / len(errors)
    print(f"mean {mean:.2f} %, worst {max(errors):.2f} %")
    assert mean <= 3.2
