"""timm needs no code of ours: its optimizers, its layer-wise rates, its checkpoints."""

from __future__ import annotations

import copy

import pytest
import torch

from lrpilot.pilot.controller import Pilot
from scripted import Reactive
from trainers import OTHERS_WARNINGS, example

pytest.importorskip("timm", reason="needs lrpilot[timm]")

import timm
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, NativeScaler

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]


def model():
    torch.manual_seed(0)
    return timm.create_model("test_vit", img_size=32, num_classes=2, depth=2)


def optimizer_of(network, layer_decay=None):
    return create_optimizer_v2(network, opt="adamw", lr=1e-3, weight_decay=0.05, layer_decay=layer_decay)


IMAGES = torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(48) % 2


class Run:
    """The loop of timm's train.py, in which the pilot stands where its scheduler stood."""

    def __init__(self, steps):
        self.model = model()
        self.optimizer = optimizer_of(self.model, layer_decay=0.5)
        self.pilot = Pilot(self.optimizer, steps, policy=Reactive())
        self.scaler = NativeScaler(device="cpu")

    def run(self, begin, end, *, accumulate=1):
        for step in range(accumulate * begin, accumulate * end):
            rows = slice(8 * (step % 6), 8 * (step % 6) + 8)
            with torch.autocast("cpu", torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(self.model(IMAGES[rows]), LABELS[rows])
            self.scaler(
                loss / accumulate,
                self.optimizer,
                clip_grad=0.5,
                parameters=self.model.parameters(),
                need_update=(step + 1) % accumulate == 0,
            )
            if (step + 1) % accumulate == 0:
                self.optimizer.zero_grad()
            self.pilot.step(loss)
        return self


def plain(steps, *, accumulate=1):
    """Without timm's scaler, its clipping, its `lr_scale` and its optimizer; the rates of each step, by group."""
    network = model()
    groups = [
        {"params": g["params"], "weight_decay": g["weight_decay"], "lr": 1e-3 * g["lr_scale"]}
        for g in optimizer_of(network, layer_decay=0.5).param_groups
    ]
    optimizer, rates = torch.optim.AdamW(groups, lr=1e-3), []
    pilot = Pilot(optimizer, steps, policy=Reactive())
    for step in range(accumulate * steps):
        rows = slice(8 * (step % 6), 8 * (step % 6) + 8)
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(IMAGES[rows]), LABELS[rows])
        (loss / accumulate).backward()
        if (step + 1) % accumulate == 0:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            rates.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            optimizer.zero_grad()
        pilot.step(loss)
    return rates


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_rates_of_the_plain_loop(accumulate):
    """Case L27: bf16, clipping and layer-wise rates included."""
    rates = []
    run = Run(30)
    run.optimizer.register_step_pre_hook(lambda o, *_: rates.append([group["lr"] for group in o.param_groups]))
    run.run(0, 30, accumulate=accumulate)
    assert rates == plain(30, accumulate=accumulate)
    assert len({step[0] for step in rates}) > 5
    assert len(set(rates[0])) == 4  # of the embedding, two blocks and the head


def test_a_resume(tmp_path):
    """Beside timm's own checkpoint."""
    whole = Run(30).run(0, 30)
    run = Run(30).run(0, 13)
    saver = CheckpointSaver(run.model, run.optimizer, checkpoint_dir=str(tmp_path), amp_scaler=run.scaler)
    saver.save_checkpoint(0)
    torch.save(run.pilot.state_dict(), tmp_path / "pilot.pt")
    again = Run(30)
    checkpoint = torch.load(tmp_path / "last.pth.tar", weights_only=False)
    again.model.load_state_dict(checkpoint["state_dict"])
    again.optimizer.load_state_dict(checkpoint["optimizer"])
    again.scaler.load_state_dict(checkpoint["amp_scaler"])
    again.pilot.load_state_dict(torch.load(tmp_path / "pilot.pt", weights_only=True))
    assert again.run(13, 30).pilot.history["rate"].tolist() == whole.pilot.history["rate"].tolist()


def test_a_longer_run():
    """A state of a run of 20 steps goes on as one of 30 (case L25)."""
    run, again = Run(20).run(0, 13), Run(30)
    again.model.load_state_dict(run.model.state_dict())
    again.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    again.pilot.load_state_dict(run.pilot.state_dict())
    run.pilot.extend(30)
    assert again.run(13, 30).pilot.history["rate"].tolist() == run.run(13, 30).pilot.history["rate"].tolist()


def test_the_example():
    example("timm")
