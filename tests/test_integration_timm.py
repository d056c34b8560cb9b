"""timm needs no code of ours: its optimizers, its layer-wise rates, its checkpoints."""

from __future__ import annotations

import csv

import pytest
import torch

from lrpilot.pilot.controller import Pilot
from scripted import Reactive
from trainers import OTHERS_WARNINGS, example

pytest.importorskip("timm", reason="needs lrpilot[timm]")

import timm
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, NativeScaler, update_summary

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

    def __init__(self, steps, *, accumulate=1, bf16=False):
        self.model = model()
        self.optimizer = optimizer_of(self.model, layer_decay=0.5)
        self.pilot = Pilot(self.optimizer, steps, policy=Reactive())
        self.scaler = NativeScaler(device="cpu")
        self.accumulate, self.bf16 = accumulate, bf16

    def run(self, begin, end, *, summary=None):
        for step in range(self.accumulate * begin, self.accumulate * end):
            loss = loss_of(self.model, step, bf16=self.bf16)
            update = (step + 1) % self.accumulate == 0
            self.scaler(
                loss / self.accumulate,
                self.optimizer,
                clip_grad=0.5,
                parameters=self.model.parameters(),
                need_update=update,
            )
            if update:
                self.optimizer.zero_grad()
            self.pilot.step(loss)
            if summary is not None:
                update_summary(step, {"loss": loss.item()}, {}, summary, lr=self.pilot.get_used_lr()[0])
        return self


class Plain:
    """Without timm's scaler, its clipping, its `lr_scale` and its optimizer."""

    def __init__(self, steps, *, accumulate=1, bf16=False):
        self.model = model()
        groups = [
            {"params": g["params"], "weight_decay": g["weight_decay"], "lr": 1e-3 * g["lr_scale"]}
            for g in optimizer_of(self.model, layer_decay=0.5).param_groups
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3)
        self.pilot = Pilot(self.optimizer, steps, policy=Reactive())
        self.accumulate, self.bf16 = accumulate, bf16
        self.rates = []  # of each step, by group

    def run(self, begin, end):
        for step in range(self.accumulate * begin, self.accumulate * end):
            loss = loss_of(self.model, step, bf16=self.bf16)
            (loss / self.accumulate).backward()
            if (step + 1) % self.accumulate == 0:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
                self.rates.append([group["lr"] for group in self.optimizer.param_groups])
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.pilot.step(loss)
        return self


def loss_of(network, step, *, bf16):
    rows = slice(8 * (step % 6), 8 * (step % 6) + 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return torch.nn.functional.cross_entropy(network(IMAGES[rows]), LABELS[rows])


def seen_rates(run):
    """A list that grows with the rates of each step of timm's optimizer, by group."""
    rates = []
    run.optimizer.register_step_pre_hook(lambda o, *_: rates.append([group["lr"] for group in o.param_groups]))
    return rates


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2}, {"accumulate": 3}, {"bf16": True}])
def test_the_rates_of_the_plain_loop(settings):
    """Case L27: clipping and layer-wise rates included."""
    run = Run(30, **settings)
    rates = seen_rates(run)
    run.run(0, 30)
    assert rates == Plain(30, **settings).run(0, 30).rates
    assert len({step[0] for step in rates}) > 5
    assert len(set(rates[0])) == 4  # of the embedding, two blocks and the head


@pytest.mark.parametrize(("planned", "then"), [(30, 30), (20, 30)])
def test_a_resume(tmp_path, planned, then):
    """Beside timm's own checkpoint: the same run, and a longer one (case L25)."""
    run = Run(planned).run(0, 13)
    saver = CheckpointSaver(run.model, run.optimizer, checkpoint_dir=str(tmp_path), amp_scaler=run.scaler)
    saver.save_checkpoint(0)
    torch.save(run.pilot.state_dict(), tmp_path / "pilot.pt")
    again = Run(then)
    checkpoint = torch.load(tmp_path / "last.pth.tar", weights_only=False)
    again.model.load_state_dict(checkpoint["state_dict"])
    again.optimizer.load_state_dict(checkpoint["optimizer"])
    again.scaler.load_state_dict(checkpoint["amp_scaler"])
    again.pilot.load_state_dict(torch.load(tmp_path / "pilot.pt", weights_only=True))
    rates = seen_rates(again)
    again.run(13, then)
    plain = Plain(planned).run(0, 13)
    if then != planned:
        plain.pilot.extend(then)
    assert rates == plain.run(13, then).rates[13:]


def test_the_rate_is_logged(tmp_path):
    """In timm's summary."""
    Run(30).run(0, 30, summary=tmp_path / "summary.csv")
    with open(tmp_path / "summary.csv") as file:
        logged = [float(row["lr"]) for row in csv.DictReader(file)]
    assert logged == [rates[0] for rates in Plain(30).run(0, 30).rates]


def test_lookahead():
    """Two steps forward, one back: the optimizer within is driven, and counted."""
    network = model()
    optimizer = create_optimizer_v2(network, opt="lookahead_sgd", lr=1e-2)
    pilot = Pilot(optimizer, 12, policy=Reactive())
    rates = []
    for step in range(12):
        loss = loss_of(network, step, bf16=False)
        optimizer.zero_grad()
        loss.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        pilot.step(loss)
    assert pilot.history["rate"].tolist() == rates
    assert pilot.last_epoch == 12
    assert len(set(rates)) > 5


def test_the_example():
    example("timm")
