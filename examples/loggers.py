"""The pilot's numbers in a logger, without a network: `python examples/loggers.py tensorboard FOLDER`.

`pilot.scalars()` goes to the logger's curves at each step; `on_decision` hears of each decision, and prints it here.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import lrpilot

Log = Callable[[dict[str, float], int], object]


def tensorboard(folder: str) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    add = SummaryWriter(folder).add_scalar
    return lambda numbers, step: [add(f"pilot/{name}", value, step) for name, value in numbers.items()]


def wandb(folder: str) -> Log:
    import wandb

    return wandb.init(project="pilot", dir=folder, mode="offline").log  # `wandb sync` sends it later


def mlflow(folder: str) -> Log:
    import mlflow

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # its own advice is a database: f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(Path(folder).absolute().as_uri())
    return mlflow.log_metrics


def trackio(folder: str) -> Log:
    os.environ["TRACKIO_DIR"] = folder
    import trackio  # type: ignore[import-not-found]

    return trackio.init(project="pilot").log


if __name__ == "__main__":
    log: Log = globals()[sys.argv[1]](sys.argv[2])
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    pilot = lrpilot.Pilot(optimizer, total_steps=50, on_decision=print)
    for _ in range(50):
        inputs = torch.randn(16, 4)
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)
        log(pilot.scalars() | {"train_loss": loss.item()}, pilot.last_epoch)
