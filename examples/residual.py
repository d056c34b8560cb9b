"""A small residual network with batch normalisation, SGD with momentum: the pilot beside cosine and a constant rate.

On scikit-learn's handwritten digits, no download. A minute on one core; `python examples/residual.py 50` makes 50 steps
a run instead of 400.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu
from torch.optim.lr_scheduler import CosineAnnealingLR

import lrpilot

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
RATES = (1e-3, 1e-1, 1.0)
BATCH, WIDTH = 64, 16

torch.set_num_threads(1)
images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
images = images.float().reshape(-1, 1, 8, 8) / 16
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
images, labels = images[order], labels[order]
TRAINING = 1297  # of 1797; the other 500 are held out


class Residual(nn.Module):
    """x + f(x), the convolutions of f each before a batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return relu(x + self.norms[1](self.second(relu(self.norms[0](self.first(x))))))


def network() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * WIDTH, 10))
    return nn.Sequential(stem, *(Residual() for _ in range(3)), head)


def train(method: str, rate: float) -> float:
    """The held-out error in percent, after STEPS steps from the same weights on the same batches."""
    torch.manual_seed(0)
    model, generator = network(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    pilot = lrpilot.Pilot(optimizer, total_steps=STEPS) if method == "pilot" else None
    cosine = CosineAnnealingLR(optimizer, STEPS) if method == "cosine" else None
    for _ in range(STEPS):
        batch = torch.randint(TRAINING, (BATCH,), generator=generator)
        loss = cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pilot:
            pilot.step(loss)
        elif cosine:
            cosine.step()
    with torch.no_grad():
        wrong = model.eval()(images[TRAINING:]).argmax(1) != labels[TRAINING:]
    return 100 * wrong.double().mean().item()


if __name__ == "__main__":
    print(f"held-out error, %, after {STEPS} steps from a rate of")
    print(f"{'':10}", *(f"{rate:>8g}" for rate in RATES))
    for method in ("pilot", "cosine", "constant"):
        print(f"{method:10}", *(f"{train(method, rate):8.1f}" for rate in RATES), flush=True)
