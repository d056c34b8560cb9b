"""Ray Train: the pilot as in a plain loop; every worker's decides alike, and `report` carries rate and state."""

import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray import train
from ray.train.torch import TorchTrainer, prepare_model
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import lrpilot


def loop(config: dict[str, Any]) -> None:
    inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    loader = DataLoader(TensorDataset(inputs.float() / 16, labels), batch_size=32)
    network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    model = prepare_model(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    pilot = lrpilot.Pilot(optimizer, total_steps=config["epochs"] * len(loader))
    parts = {"model": network, "optimizer": optimizer, "pilot": pilot}
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            for name, state in torch.load(Path(folder) / "state.pt").items():
                parts[name].load_state_dict(state)
    for _ in range(pilot.last_epoch // len(loader), config["epochs"]):
        for x, y in loader:
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pilot.step(loss)
        with tempfile.TemporaryDirectory() as folder:
            torch.save({name: part.state_dict() for name, part in parts.items()}, Path(folder) / "state.pt")
            train.report(pilot.scalars(), checkpoint=train.Checkpoint.from_directory(folder))


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False)
    scaling = train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5})
    result = TorchTrainer(loop, train_loop_config={"epochs": 5}, scaling_config=scaling).fit()
    print(result.metrics)
    ray.shutdown()
