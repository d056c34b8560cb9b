"""Training until it no longer helps: nobody says how long, and `finish` lets the rate decay before the end.

Handwritten digits. Once the held-out loss has not improved over five looks, `finish` adds a quarter of the steps made
so far for the decay. Beside it a run that is told the same length at its beginning. Seconds on one core.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

import lrpilot

EVERY, PATIENCE = 50, 5
MOST = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000

torch.set_num_threads(1)
inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
inputs = inputs.float() / 16
TRAINING, HELD_OUT, TEST = slice(1000), slice(1000, 1400), slice(1400, None)


class Run:
    """A network of 64-64-10 with plain SGD, from a rate ten times too low."""

    def __init__(self, total_steps: int | None) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-2)
        self.pilot = lrpilot.Pilot(self.optimizer, total_steps=total_steps)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            batch = torch.randint(1000, (32,))
            loss = cross_entropy(self.model(inputs[TRAINING][batch]), labels[TRAINING][batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.pilot.step(loss)

    def loss(self) -> float:
        with torch.no_grad():
            return cross_entropy(self.model(inputs[HELD_OUT]), labels[HELD_OUT]).item()

    def error(self) -> float:
        return 100 * (self.model(inputs[TEST]).argmax(1) != labels[TEST]).double().mean().item()


if __name__ == "__main__":
    run, best, waited = Run(None), float("inf"), 0
    while waited < PATIENCE and run.pilot.last_epoch < MOST:
        run.train(EVERY)
        waited = 0 if run.loss() < best else waited + 1
        best = min(best, run.loss())
    steps, rate = run.pilot.last_epoch, run.pilot.get_last_lr()[0]
    print(f"no better for {PATIENCE} looks, after {steps} steps: test error {run.error():.1f} %, rate {rate:.2g}")

    run.pilot.finish(steps // 4)
    run.train(steps // 4)
    total, rate = run.pilot.last_epoch, run.pilot.get_last_lr()[0]
    print(f"finished, after {total} steps: test error {run.error():.1f} %, rate {rate:.2g}")

    told = Run(total)
    told.train(total)
    print(f"told {total} steps at the beginning: test error {told.error():.1f} %")
