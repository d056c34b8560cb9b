"""States that a released version wrote, kept in ``fixtures/VERSION.tar.xz``: later versions load them and go on.

``python tests/released.py`` writes those of the present version: to be done before it is released, and never after.
Controllers are small, so that the file is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import lrpilot
from loops import loss_of, network, train
from lrpilot import OfflineActorCritic, OnlineActorCritic, Pilot, Setting
from lrpilot.online.settings import PAPER, deviating
from lrpilot.pilot.policy import Policy

FIXTURES = Path(__file__).parent / "fixtures"
PAUSE, STEPS = 30, 60
"""After how many steps a state was taken, and how long the run is."""
TRAIN = ["train", "digits", "--optimizer", "sgd", "--steps", str(STEPS), "--evaluate-every", str(PAUSE)]


class Run:
    """A network, its optimizer and a controller of one of `CONTROLLERS`."""

    def __init__(self, name: str) -> None:
        self.network = network()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)
        self.controller = CONTROLLERS[name](self.optimizer)

    def advance(self, begin: int, end: int) -> None:
        """Take the steps from ``begin`` to ``end``."""
        if isinstance(self.controller, Pilot):
            train(self.controller, self.network, end - begin, begin=begin)
            return
        for step in range(begin, end):
            self.controller.step(lambda step: loss_of(self.network, step), step)

    def state(self) -> dict[str, Any]:
        """What a user saves, and the trace so far."""
        trace = {name: self.controller.history[name] for name in ("loss", "rate")}
        return {**{name: part.state_dict() for name, part in vars(self).items()}, "trace": trace}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` gave."""
        for name, part in vars(self).items():
            part.load_state_dict(state[name])


def online(setting: Setting) -> Callable[[torch.optim.Optimizer], OnlineActorCritic]:
    """A controller from the same weights every time."""
    setting = replace(setting, units=4, critic_units=3)
    return lambda optimizer: OnlineActorCritic(optimizer, setting, generator=torch.Generator().manual_seed(0))


def small_policy() -> Policy:
    """Of the shipped one's kind."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Policy(width=4)


STABLE_OF_0_2 = replace(
    deviating("D2", "D3", "D4", "D5", "D8", "D9", "D10"),
    unroll="sliding",
    initialisation="tensorflow",
    critic_activation="relu",
)
"""What ``setting="stable"`` was up to version 0.2."""
LITERAL = replace(PAPER, unroll="sliding", initialisation="tensorflow", critic_activation="relu", discount=0.99)
"""What ``setting="paper"`` was in version 0.1."""

CONTROLLERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "pilot": lambda optimizer: Pilot(optimizer, STEPS, policy=small_policy(), rollback=True),
    "online-stable": online(STABLE_OF_0_2),
    "online-paper": online(LITERAL),
}


def study() -> OfflineActorCritic:
    """A study between two runs of the appendix."""
    return OfflineActorCritic(replace(LITERAL, units=4, critic_units=3), generator=torch.Generator().manual_seed(0))


def write(archive: Path) -> None:
    """All that is kept of a version."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in CONTROLLERS:
            run = Run(name)
            run.advance(0, PAUSE)
            torch.save(run.state(), folder / f"{name}.pt")
        model, offline = network(), study()
        with offline.run(torch.optim.SGD(model.parameters(), lr=0.05)) as controller:
            for step in range(PAUSE):
                controller.step(lambda step: loss_of(model, step), step)
        torch.save(offline.state_dict(), folder / "offline.pt")
        out = folder / "run"
        subprocess.run([sys.executable, "-m", "lrpilot", *TRAIN, "--out", str(out)], check=True)
        (out / "checkpoint.previous").replace(out / "checkpoint")  # that of step PAUSE
        for file in out.iterdir():
            if file.name not in ("config.json", "metrics.jsonl", "checkpoint"):
                file.unlink()
        shutil.make_archive(str(archive).removesuffix(".tar.xz"), "xztar", folder)


if __name__ == "__main__":
    write(FIXTURES / f"{lrpilot.__version__}.tar.xz")
