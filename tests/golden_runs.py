"""Two small runs of the shipped policy, whose every observation, decision and rate is kept in ``golden/pilot.json``.

``python tests/golden_runs.py`` writes the file anew: to be done with a new policy, or with a change of the observation
that is meant. Inputs are float64 and made without a random generator, so that every machine gives the same.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from lrpilot import Pilot

FILE = Path(__file__).parent / "golden" / "pilot.json"
STEPS = 300


def quadratic(make_optimizer: Any) -> dict[str, Any]:
    """An ill-conditioned quadratic in a 4x3 matrix and a bias, whose minimum sways from step to step."""
    matrix = torch.nn.Parameter(torch.linspace(0.5, 2.0, 12, dtype=torch.float64).reshape(4, 3))
    bias = torch.nn.Parameter(torch.full((3,), -1.0, dtype=torch.float64))
    curvature = torch.logspace(-2, 0, 12, dtype=torch.float64).reshape(4, 3)
    place = torch.arange(12, dtype=torch.float64).reshape(4, 3)
    optimizer = make_optimizer([matrix, bias])
    pilot = Pilot(optimizer, STEPS)
    for step in range(STEPS):
        target = 0.3 * torch.sin(7.0 * step + place)
        loss = (curvature * (matrix - target).square()).sum() + 0.1 * (bias - math.cos(3.0 * step)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)
    decisions = [d for d in pilot.history.decisions if d.features]
    return {
        "features": [[round(value, 6) for value in d.features] for d in decisions],
        "steps": [d.step for d in decisions],
        "rates": [float(f"{rate:.7g}") for rate in pilot.history["rate"].tolist()],
        "taken_back": [d.back_to is not None for d in decisions],
    }


def runs() -> dict[str, Any]:
    """A sound start with SGD, and one with Adam that is a thousand times too high."""
    return {
        "sgd": quadratic(lambda parameters: torch.optim.SGD(parameters, lr=0.1)),
        "adam": quadratic(lambda parameters: torch.optim.Adam(parameters, lr=100.0)),
    }


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(runs(), indent=None, separators=(",", ":")) + "\n")
