"""The library's Algorithm 1 equals the literal transcription in `oracle.py`, number for number, over 200 steps."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrpilot
import oracle

STEPS = 200


def problem() -> tuple[nn.Module, list, list]:
    """A small classifier in double precision, and two independent streams of batches."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.5, generator=generator)

    def stream() -> list:
        inputs = torch.randn(STEPS + 1, 16, 4, dtype=torch.float64, generator=generator)
        targets = inputs[..., :3].argmax(-1)  # learnable from the inputs
        return list(zip(inputs, targets, strict=True))

    return network, stream(), stream()


SLIDING = {"unroll": "sliding", "initialisation": "tensorflow", "critic_activation": "relu"}
READINGS = {
    "sliding": SLIDING,
    "sliding, x_j drawn": {**SLIDING, "actor_batch": "draw", "discount": 0.9},
    "sliding, x_j = x_i": {**SLIDING, "actor_batch": "same"},
    "sliding, critic on x_j": {**SLIDING, "critic_batch": "other"},
    # The actor slower: at 1e-3 this reading's rate may run away, where rounding alone parts two runs.
    "sliding, small weights": {**SLIDING, "initialisation": "small", "actor_learning_rate": 3e-4},
    "chunk": {"initialisation": "tensorflow"},
    "chunk, x_j drawn": {"actor_batch": "draw"},
    "chunk, x_j = x_i": {"actor_batch": "same"},
    "chunk, critic on x_j": {"critic_batch": "other"},
    "chunk, critic on x_j drawn": {"critic_batch": "other", "actor_batch": "draw"},
    "chunk, small weights": {},
    "chunk, short view, slower actor": {"discount": 0.5, "actor_learning_rate": 3e-4},
    "chunk of seven, ReLU, quicker critic": {
        "unroll_steps": 7,
        "critic_activation": "relu",
        "critic_learning_rate": 1e-2,
    },
}
"""Changes of the paper's setting, by what they are."""
SLOW = {"marks": pytest.mark.integration}  # the sliding window's further readings


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, id=name, **(SLOW if name.startswith("sliding,") else {}))
        for name, changes in READINGS.items()
    ],
)
def test_trace_equals_the_transcription(changes: dict) -> None:
    network, batches, others = problem()
    setting = dataclasses.replace(lrpilot.PAPER, **changes)
    x_j = setting.actor_batch
    twin = copy.deepcopy(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    drawn = iter(others)
    controller = lrpilot.OnlineActorCritic(
        optimizer,
        setting,
        draw=(lambda: next(drawn)) if x_j == "draw" else None,
        generator=torch.Generator().manual_seed(1),
        dtype=torch.float64,
    )
    theta, phi = oracle.numbers_of(controller.learner.actor, controller.learner.critic)
    literal = oracle.Algorithm1(
        list(twin.parameters()),
        lambda batch: cross_entropy(twin(batch[0]), batch[1]),
        theta,
        phi,
        gamma=setting.discount,
        unroll=setting.unroll_steps,
        chunks=setting.unroll == "chunk",
        critic_on_j=setting.critic_batch == "other",
        activation={"relu": torch.relu, "tanh": torch.tanh}[setting.critic_activation],
        theta_rate=setting.actor_learning_rate,
        phi_rate=setting.critic_learning_rate,
    )

    def loss_fn(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return cross_entropy(network(batch[0]), batch[1])

    for t in range(STEPS):
        controller.step(loss_fn, batches[t])
        literal.step(batches[t], {"next": batches[t + 1], "draw": others[t], "same": None}[x_j])
        for mine, his in zip(network.parameters(), literal.w, strict=True):
            torch.testing.assert_close(mine, his, rtol=1e-8, atol=1e-10)
    controller.step(loss_fn, batches[STEPS])  # what step 200 teaches is learned when the next batch is known

    close = {"rtol": 1e-8, "atol": 1e-10}
    as_tensor = lambda numbers: torch.tensor(numbers, dtype=torch.float64)  # noqa: E731
    torch.testing.assert_close(controller.history["rate"][:STEPS], as_tensor(literal.rates), **close)
    torch.testing.assert_close(controller.history["td_error"], as_tensor(literal.td_errors), **close)
    theta, phi = oracle.numbers_of(controller.learner.actor, controller.learner.critic)
    for name in theta:
        torch.testing.assert_close(theta[name], literal.theta[name], **close)
    for name in phi:
        torch.testing.assert_close(phi[name], literal.phi[name], **close)
    # The trace is worth comparing: the rate moves and the TD error is not idle.
    assert controller.history["rate"].std() > 0.1 * controller.history["rate"].mean()
    assert controller.history["td_error"].abs().max() > 1e-3


@pytest.mark.parametrize("unroll", ["sliding", "chunk"])
@pytest.mark.parametrize(
    "change",
    [
        {"unroll_steps": 19},
        {"discount": 0.98},
        {"actor_batch": "same"},
        {"critic_batch": "other"},
        {"initialisation": "tensorflow"},
        {"actor_learning_rate": 9e-4},
        {"critic_learning_rate": 9e-4},
        {"critic_activation": "relu"},
    ],
)
def test_another_reading_gives_another_trace(unroll: str, change: dict) -> None:
    """The comparison above would notice any of these."""
    base = dataclasses.replace(lrpilot.PAPER, unroll=unroll)
    assert not torch.allclose(rates(base), rates(dataclasses.replace(base, **change)), rtol=1e-8, atol=1e-10)


def test_chunks_and_evaluations_that_advance_the_memory_are_readings_of_their_own() -> None:
    sliding = dataclasses.replace(lrpilot.PAPER, unroll="sliding")
    for change in ({"unroll": "chunk"}, {"keep_evaluations": True}):
        other = rates(dataclasses.replace(sliding, **change))
        assert not torch.allclose(rates(sliding), other, rtol=1e-8, atol=1e-10)


def rates(setting: lrpilot.Setting) -> torch.Tensor:
    """Of sixty steps."""
    network, batches, _ = problem()
    controller = lrpilot.OnlineActorCritic(
        torch.optim.SGD(network.parameters(), lr=1.0),
        setting,
        generator=torch.Generator().manual_seed(1),
        dtype=torch.float64,
    )
    for batch in batches[:60]:
        controller.step(lambda b: cross_entropy(network(b[0]), b[1]), batch)
    return controller.history["rate"]
