"""Fine-tuning with frozen layers: a network that knows the digits 0 to 4 learns 5 to 9 from fifty examples.

The body stays frozen for the first half, then learns at a tenth of the head's rate, a ratio that the pilot keeps.
Beside it, cosine from the same rates. Seconds on one core; `python examples/fine_tuning.py 50` makes 50 steps, not 400.
"""

import copy
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

import lrpilot

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
RATES = (1e-4, 1e-3, 1e-2)

torch.set_num_threads(1)
inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
inputs = inputs.float().reshape(-1, 1, 8, 8) / 16
OLD, NEW = (labels < 5).nonzero()[:, 0], (labels >= 5).nonzero()[:, 0]
FEW, TEST = NEW[:50], NEW[50:]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()
    body = nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten())
    return nn.Sequential(body, nn.Linear(512, 5))


def pretrained() -> nn.Sequential:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pilot = lrpilot.Pilot(optimizer, total_steps=2 * STEPS)
    for _ in range(2 * STEPS):
        batch = OLD[torch.randint(len(OLD), (32,))]
        loss = cross_entropy(model(inputs[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)
    model[1] = nn.Linear(512, 5)  # a new head
    return model


def fine_tune(model: nn.Sequential, method: str, rate: float) -> float:
    """The error in percent on the digits 5 to 9 that were not among the fifty."""
    torch.manual_seed(1)
    body, head = model
    groups = [{"params": body.parameters(), "lr": rate / 10}, {"params": head.parameters(), "lr": rate}]
    optimizer = torch.optim.AdamW(groups)
    pilot = lrpilot.Pilot(optimizer, total_steps=STEPS, rollback=True) if method == "pilot" else None
    cosine = CosineAnnealingLR(optimizer, STEPS) if method == "cosine" else None
    body.requires_grad_(False)
    for step in range(STEPS):
        if step == STEPS // 2:
            body.requires_grad_(True)
        batch = FEW[torch.randint(len(FEW), (16,))]
        loss = cross_entropy(model(inputs[batch]), labels[batch] - 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pilot:
            pilot.step(loss)
        elif cosine:
            cosine.step()
    return 100 * (model(inputs[TEST]).argmax(1) + 5 != labels[TEST]).double().mean().item()


if __name__ == "__main__":
    print(f"wrong digits, %, after {STEPS} steps at a head's rate of")
    print(f"{'':10}", *(f"{rate:>8g}" for rate in RATES))
    known = pretrained()
    for method in ("pilot", "cosine"):
        print(f"{method:10}", *(f"{fine_tune(copy.deepcopy(known), method, rate):8.1f}" for rate in RATES), flush=True)
