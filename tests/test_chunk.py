"""Chunks against the actor, read step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpilot.online.actor import Actor
from lrpilot.online.chunk import Chunk

GENERATOR = torch.Generator().manual_seed(0)
ACTOR = Actor(inputs=2, units=4, generator=GENERATOR).double()
SEEN = [torch.randn(2, 2, dtype=torch.float64, generator=GENERATOR).numpy() for _ in range(8)]
"""In two places each."""


def lived(chunk: Chunk, *, branches: bool) -> list[np.ndarray]:
    """Three steps are judged, each from the memory of the decisions so far; the actor's answers by hand.

    The decision before the first and the one after the last belong to other chunks.
    """
    memory, answers = ACTOR.initial_memory(places=2), []
    for step in range(4):
        visited, judged = SEEN[step], SEEN[4 + step] if branches else SEEN[step + 1]
        chunk.visit(visited)
        _, memory = ACTOR.step(visited, memory)
        if step < 3:
            answer, _ = ACTOR.step(judged, memory)
            answers.append(answer)
            chunk.judge(judged, np.array([float(step)]), memory)
    return answers


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("resumed", [True, False])
def test_a_chunk_answers_what_the_actor_did(branches: bool, resumed: bool) -> None:
    chunk = Chunk(branches=branches)
    answers = lived(chunk, branches=branches)
    if resumed:
        state, chunk = chunk.state_dict(), Chunk(branches=branches)
        chunk.load_state_dict(state)
    assert len(chunk) == 3
    observations, memory = chunk.read()
    assert observations.shape[1] == (3 if branches else 1)
    outputs = chunk.outputs(ACTOR.unroll(observations, memory)[0])
    np.testing.assert_allclose(outputs.detach().numpy(), np.stack(answers))
    assert chunk.slopes().tolist() == [[0.0], [1.0], [2.0]]


def test_a_chunk_of_one_step() -> None:
    """What the paper's reading with ``unroll_steps=1`` learns from."""
    chunk, memory = Chunk(branches=True), ACTOR.initial_memory(places=2)
    chunk.judge(SEEN[0], np.zeros(1), memory)
    answer, _ = ACTOR.step(SEEN[0], memory)
    outputs = chunk.outputs(ACTOR.unroll(*chunk.read())[0])
    np.testing.assert_allclose(outputs.detach().numpy(), answer[None])


def test_a_chunk_that_is_dropped_is_empty() -> None:
    chunk = Chunk(branches=True)
    lived(chunk, branches=True)
    chunk.drop()
    assert len(chunk) == 0
    with pytest.raises(RuntimeError, match="an empty chunk"):
        chunk.read()
    answers = lived(chunk, branches=True)
    outputs = chunk.outputs(ACTOR.unroll(*chunk.read())[0])
    np.testing.assert_allclose(outputs.detach().numpy(), np.stack(answers))


def test_a_state_is_a_value() -> None:
    chunk = Chunk(branches=True)
    chunk.judge(SEEN[0], np.zeros(1), ACTOR.initial_memory())
    state = chunk.state_dict()
    chunk.visit(SEEN[1])
    chunk.judge(SEEN[2], np.zeros(1), ACTOR.initial_memory())
    assert (len(state["judged"]), len(state["visited"])) == (1, 0)
    chunk.load_state_dict(state)
    chunk.visit(SEEN[1])
    chunk.judge(SEEN[2], np.zeros(1), ACTOR.initial_memory())
    assert (len(state["judged"]), len(state["visited"])) == (1, 0)
