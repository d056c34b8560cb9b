"""What the policy saw when it learned is what it sees in a user's loop: the same runs, batched and plain."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.draw import Group, draw_tasks
from lrpilot.learning.population.networks import mlp
from lrpilot.learning.population.optimizers import Rule
from lrpilot.learning.population.rollouts import roll_out
from lrpilot.learning.population.schedules import Script
from lrpilot.learning.population.trainings import Pool, Trainings
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import FEATURES, LINEAR_DECAY
from lrpilot.pilot.policy import bounded_step
from lrpilot.pilot.rates import BELOW
from scripted import Scripted

STEPS, RUNS = 120, 4
RAW = (0.3, -0.3, 0.2, 0.1, -0.4, 0.1)

RULES = {
    "sgd": (Rule("sgd", 0.0), -1.0, lambda p, lr: torch.optim.SGD(p, lr=lr)),
    "momentum": (Rule("momentum", 0.9), -2.0, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
    "adam": (Rule("adam", 0.9), -3.0, lambda p, lr: torch.optim.Adam(p, lr=lr)),
    "adamw": (
        Rule("adamw", 0.9, 0.99, 0.1),
        -3.0,
        lambda p, lr: torch.optim.AdamW(p, lr, (0.9, 0.99), weight_decay=0.1),
    ),
    "rmsprop": (Rule("rmsprop", 0.0, 0.99), -3.0, lambda p, lr: torch.optim.RMSprop(p, lr=lr)),
    "adagrad": (Rule("adagrad", 0.0), -2.0, lambda p, lr: torch.optim.Adagrad(p, lr=lr)),
}


class Recorded(Trainings):
    """Keeps the batches it trains on."""

    def _batch(self, rows):
        batch = super()._batch(rows)
        self.batches.append(batch)
        return batch


class ActsRaw(Scripted):
    """The actor's raw action in the user's loop."""

    def act(self, features, memory):
        self.seen.append(features)
        raw = torch.tensor(RAW[int(memory) % len(RAW)])
        return bounded_step(raw, features[LINEAR_DECAY]), memory + 1


class OneRun(nn.Module):
    """Run ``index`` of the population as a module of its own."""

    def __init__(self, trainings, weights, index):
        super().__init__()
        self.trainings, self.index = trainings, index
        self.values = nn.ParameterList(trainings._split(weights[index : index + 1].clone()))

    def forward(self, batch):
        inputs, answers = (part[self.index : self.index + 1] for part in batch)
        losses = self.trainings._losses(self.trainings.group.network.forward(list(self.values), inputs), answers)
        return losses.mean() * self.trainings._loss_scale[self.index]


@pytest.fixture(scope="module")
def sources():
    return load_sources(0, mnist=False)


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "goal"), [*((kind, "classify") for kind in RULES), ("sgd", "regress")])
def test_the_pilot_sees_what_the_population_sees(kind, goal, sources):
    rule, usual, make = RULES[kind]
    group = Group(mlp((16,), "tanh", 10 if goal == "classify" else 4), goal, rule, STEPS, 8)
    generator = torch.Generator().manual_seed(1)
    tasks = draw_tasks(group, RUNS, generator, training_rows=Pool(sources).training, anytime=0.0)
    trainings = Recorded(group, tasks, Pool(sources), replicas=1, generator=generator)
    trainings.batches = []
    weights = trainings.weights.clone()
    # Two sound starts, one far too low, and one that destroys the network.
    start = math.log(10) * (usual + torch.tensor([0.0, -0.5, -3.0, 3.0]))
    if rule.kind in ("sgd", "momentum"):
        start = start - trainings._loss_scale.log()
    decisions = iter(range(1000))
    rollout = roll_out(
        trainings, lambda seen: torch.full((len(seen),), RAW[next(decisions) % len(RAW)]), start, Script.none(RUNS)
    )
    assert rollout.restored[:, 3].any()
    for run in range(RUNS):
        model = OneRun(trainings, weights, run)
        optimizer = make(model.parameters(), BELOW * start[run].exp().item())
        policy = ActsRaw()
        pilot = Pilot(optimizer, STEPS, policy=policy)
        for batch in trainings.batches:
            loss = model(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pilot.step(loss)
            if run == 3 and pilot.history.decisions and pilot.history.decisions[-1].back_to is not None:
                break  # how a network explodes depends on the last digit: compared until it is first taken back
        seen = torch.stack(policy.seen)
        back = torch.tensor([d.back_to is not None for d in pilot.history.decisions])
        assert torch.equal(back, rollout.restored[: len(back), run])
        assert back.any() or run != 3
        expected = rollout.observations[: len(back), run]
        for index, name in enumerate(FEATURES):
            torch.testing.assert_close(
                seen[:, index], expected[:, index], rtol=1e-2, atol=1e-2, msg=lambda m, name=name: f"{name}: {m}"
            )
