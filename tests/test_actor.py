"""The actor against `nn.LSTMCell`, its initial weights against the table, its window against what was committed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lrpilot.online.actor import Actor, Initialisation, Recollection, initialise_linear
from lrpilot.online.actor_critic import ActorCritic
from lrpilot.online.settings import PAPER


def stacked_cells(actor: Actor, observations: torch.Tensor, states: list) -> torch.Tensor:
    """The raw output after the last observation, by two cells of PyTorch's; ``states`` move on."""
    cells = []
    for layer, width in ((0, actor.lstm.input_size), (1, 20)):
        cell = nn.LSTMCell(width, 20).double()
        for mine, theirs in (("weight_ih", "weight_ih_l"), ("weight_hh", "weight_hh_l"), ("bias_ih", "bias_ih_l")):
            getattr(cell, mine).data = getattr(actor.lstm, f"{theirs}{layer}").data
        cell.bias_hh.data = getattr(actor.lstm, f"bias_hh_l{layer}").data
        cells.append(cell)
    x = observations[0]
    for observation in observations:
        x = observation
        for i, cell in enumerate(cells):
            states[i] = cell(x, states[i])
            x = states[i][0]
    return actor.output(x)


@pytest.mark.parametrize("initialisation", ["tensorflow", "pytorch"])
def test_steps_and_unrolled_sequences_equal_two_stacked_cells(initialisation: Initialisation) -> None:
    """Three sequences of six observations in two places, all begun at a memory that is not zero."""
    actor = Actor(inputs=3, initialisation=initialisation, generator=torch.Generator().manual_seed(0)).double()
    observations = torch.randn(6, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    states = [tuple(torch.randn(2, 20, dtype=torch.float64) for _ in range(2)) for _ in range(2)]
    memory = tuple(np.stack([state[part].numpy() for state in states]) for part in range(2))
    outputs, end = actor.unroll(observations.numpy(), memory)
    assert outputs.requires_grad
    for sequence in range(3):
        theirs, mine = list(states), memory
        for step in range(6):
            raw = stacked_cells(actor, observations[step : step + 1, sequence], theirs)
            torch.testing.assert_close(outputs[step, sequence], raw)
            answer, mine = actor.step(observations[step, sequence].numpy(), mine)
            torch.testing.assert_close(torch.from_numpy(answer), raw.detach())
        for part in range(2):
            expected = torch.stack([state[part] for state in theirs]).detach().numpy()
            np.testing.assert_allclose(mine[part], expected)
            if sequence == 0:
                np.testing.assert_allclose(end[part], expected)


@pytest.mark.parametrize("how", ["Adam", "load", "hand"])
def test_a_step_reads_the_weights_as_they_are(how: str) -> None:
    """However they have changed since the last one."""
    actor = Actor(generator=torch.Generator().manual_seed(0))
    memory, seen = actor.initial_memory(), np.array([[2.0]])
    actor.step(seen, memory)
    if how == "load":
        actor.load_state_dict(Actor(generator=torch.Generator().manual_seed(1)).state_dict())
    elif how == "hand":
        with torch.no_grad():
            actor.lstm.weight_ih_l0.mul_(2.0)
            actor.output.bias.add_(1.0)
    else:
        pair = ActorCritic(PAPER, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        actor = pair.actor
        before, _ = actor.step(seen, memory)
        for parameter in actor.parameters():
            parameter.grad = torch.ones_like(parameter)
        pair.update_actor()
        assert not np.allclose(actor.step(seen, memory)[0], before)
    outputs, _ = actor.unroll(seen[None, None], memory)
    np.testing.assert_allclose(actor.step(seen, memory)[0], outputs[0, 0].detach().numpy(), rtol=1e-5, atol=1e-7)


def test_initial_weights_are_tensorflows() -> None:
    actor = Actor(generator=torch.Generator().manual_seed(0))
    bound = math.sqrt(3 / 21)
    assert 0.95 * bound < actor.lstm.weight_ih_l0.abs().max() <= bound
    assert actor.lstm.weight_hh_l0.abs().max() <= bound
    assert actor.lstm.weight_hh_l1.abs().max() <= math.sqrt(3 / 40)
    torch.testing.assert_close(
        actor.lstm.weight_hh_l1.std(), torch.tensor(bound * math.sqrt(21 / 40 / 3)), rtol=0.05, atol=0
    )
    assert actor.lstm.bias_ih_l0.view(4, 20).tolist() == [[0.0] * 20, [1.0] * 20, [0.0] * 20, [0.0] * 20]
    assert not actor.lstm.bias_hh_l0.requires_grad
    assert not actor.lstm.bias_hh_l0.any()
    assert 0.05 < actor.output.weight.std() < 0.2
    assert actor.output.bias.item() == 0.0


def test_pytorch_initialisation_is_the_other_reading() -> None:
    actor = Actor(initialisation="pytorch", generator=torch.Generator().manual_seed(0))
    assert actor.lstm.bias_hh_l0.requires_grad
    assert actor.lstm.weight_hh_l0.abs().max() <= 1 / math.sqrt(20)
    assert actor.lstm.bias_ih_l0.std() > 0.05
    assert actor.output.weight.abs().max() <= 1 / math.sqrt(20)
    assert actor.output.bias.item() != 0.0


def test_a_linear_layers_weights_have_three_readings() -> None:
    """Deviations: of a uniform number within b it is b / sqrt(3); of a normal one cut at two deviations 0.88 of it."""
    expected = {"tensorflow": (math.sqrt(3 / 12), 0.5 / math.sqrt(3)), "pytorch": (math.sqrt(1 / 12), 1 / 6)}
    for reading, (bound, deviation) in (expected | {"small": (0.2, 0.088)}).items():
        layer = nn.Linear(12, 1000)
        initialise_linear(layer, reading, torch.Generator().manual_seed(0))
        for farthest in (layer.weight.max(), -layer.weight.min()):
            assert 0.98 * bound < farthest <= bound
        torch.testing.assert_close(layer.weight.std(), torch.tensor(deviation), rtol=0.03, atol=0)
        if reading == "pytorch":
            torch.testing.assert_close(layer.bias.std(), torch.tensor(deviation), rtol=0.1, atol=0)
        else:
            assert torch.equal(layer.bias, torch.full((1000,), 0.1 if reading == "small" else 0.0))


def test_small_weights_are_the_tutorials() -> None:
    """The output's: normal 0.1, cut at two deviations, bias 0.1. The cells' are TensorFlow's."""
    actors = [Actor(initialisation="small", generator=torch.Generator().manual_seed(seed)) for seed in range(100)]
    weights = torch.cat([actor.output.weight.flatten() for actor in actors])
    assert 0.19 < weights.abs().max() <= 0.2
    torch.testing.assert_close(weights.std(), torch.tensor(0.088), rtol=0.03, atol=0)  # of a normal 0.1, so cut
    assert {actor.output.bias.item() for actor in actors} == {torch.tensor(0.1).item()}
    assert torch.equal(actors[0].lstm.weight_hh_l1, Actor(generator=torch.Generator().manual_seed(0)).lstm.weight_hh_l1)
    still = Actor(initialisation="small", output_scale=0.0)
    assert not still.output.weight.any()
    assert not still.output.bias.any()


def test_same_seed_same_weights() -> None:
    one, two = (Actor(generator=torch.Generator().manual_seed(3)) for _ in range(2))
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_window_starts_at_the_memory_before_its_first_observation() -> None:
    recollection = Recollection((np.zeros(1), np.zeros(1)), unroll=4)
    for k in range(1, 6):
        recollection.commit(np.array([float(k)]), (np.full(1, float(k)),) * 2)
    window, start = recollection.window(np.array([9.0]))
    assert window.flatten().tolist() == [3.0, 4.0, 5.0, 9.0]
    assert start[0].item() == 2.0  # the memory after observation 2
    assert recollection.memory[0].item() == 5.0


def test_recollection_resumes() -> None:
    one, two = (Recollection((np.zeros(1), np.zeros(1)), unroll=3) for _ in range(2))
    for k in range(4):
        one.commit(np.array([float(k)]), (np.full(1, float(k)),) * 2)
    two.load_state_dict(one.state_dict())
    x = np.array([7.0])
    assert np.array_equal(one.window(x)[0], two.window(x)[0])
    assert np.array_equal(one.window(x)[1][0], two.window(x)[1][0])


def test_a_fresh_actor_of_the_papers_size_begins_near_half_a_hundredth() -> None:
    """With output weights N(0, 0.1), where the protocol says that the rate starts: 0.005, at the loss of ten classes.
    Twenty units in two layers are section 4.1's."""
    fresh = [Actor(generator=torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert {(actor.lstm.hidden_size, actor.lstm.num_layers) for actor in fresh} == {(20, 2)}
    weights = torch.cat([actor.output.weight.flatten() for actor in fresh])
    torch.testing.assert_close(weights.std(), torch.tensor(0.1), rtol=0.03, atol=0)
    raws = [abs(actor.step(np.array([[2.3]]), actor.initial_memory())[0]).item() for actor in fresh]
    assert 0.003 < sorted(raws)[100] < 0.008


def test_the_window_is_the_papers_twenty_steps() -> None:
    recollection = Recollection((np.zeros(1), np.zeros(1)))
    for k in range(30):
        recollection.commit(np.array([float(k)]), (np.zeros(1), np.zeros(1)))
    assert recollection.window(np.array([99.0]))[0].shape == (20, 1)
