"""The actor: a small LSTM that reads what training shows and answers with a raw action. ``s_t, memory -> raw``."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lrpilot.core.state import StateDict

from .arrays import Array, to_arrays, to_tensors

if TYPE_CHECKING:
    from jaxtyping import Float

    LSTMState = tuple[Float[Array, "layer place unit"], Float[Array, "layer place unit"]]
    """What the layers put out and what their cells hold, after a step, in each place (as a rule there is one)."""

Initialisation = Literal["tensorflow", "small", "pytorch"]


def initialise_small(layer: nn.Linear, scale: float, generator: torch.Generator | None) -> None:
    """As TensorFlow's tutorials of 2016: weights normal with deviation ``scale``, cut at two; biases ``scale``."""
    with torch.no_grad():
        nn.init.trunc_normal_(layer.weight, a=-2.0, b=2.0, generator=generator).mul_(scale)
        layer.bias.fill_(scale)


def initialise_linear(layer: nn.Linear, initialisation: Initialisation, generator: torch.Generator | None) -> None:
    """Weights of a linear layer: uniform ±sqrt(3/fan-in) and bias 0; small; or PyTorch's ±1/sqrt(fan-in) for both."""
    if initialisation == "small":
        initialise_small(layer, 0.1, generator)
        return
    bound = math.sqrt((3 if initialisation == "tensorflow" else 1) / layer.in_features)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
        if initialisation == "tensorflow":
            layer.bias.zero_()


class Actor(nn.Module):
    """A 2-layer LSTM of 20 units with a linear output (section 4.1 of the paper).

    Args:
        inputs: size of the observation.
        units: LSTM units in each layer.
        layers: LSTM layers.
        knobs: numbers put out; the paper: one, the rate.
        initialisation: ``"tensorflow"``: weights uniform ±sqrt(3 / fan-in) over the concatenated [input, hidden]
            matrix, forget bias 1, other biases 0, output weights normal with deviation ``output_scale`` and bias 0.
            ``"small"``: the same, but for the output: weights normal, cut at two deviations, bias ``output_scale``.
            ``"pytorch"``: PyTorch's own defaults.
        output_scale: see above; 0 lets every run begin at a raw action of exactly 0.
        generator: draws the initial weights.
    """

    def __init__(
        self,
        inputs: int = 1,
        units: int = 20,
        layers: int = 2,
        *,
        knobs: int = 1,
        initialisation: Initialisation = "tensorflow",
        output_scale: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, units, layers, device="cpu", dtype=torch.float32)  # where the generator draws
        self.output = nn.Linear(units, knobs, device="cpu", dtype=torch.float32)
        self._units, self._weights = units, list(self.parameters())
        self._read: tuple[list[int], tuple[list[tuple[Array, Array]], Array, Array]] | None = None
        with torch.no_grad():
            for name, parameter in self.lstm.named_parameters():
                if initialisation == "pytorch":
                    bound = 1 / math.sqrt(units)
                    parameter.uniform_(-bound, bound, generator=generator)
                elif name.startswith("bias_hh"):
                    # TensorFlow's cell has one bias; a second one would double its step under Adam.
                    parameter.zero_().requires_grad_(False)
                elif name.startswith("bias_ih"):
                    parameter.zero_()[units : 2 * units] = 1.0  # forget gate: second of i, f, g, o
                else:
                    fan_in = units + (inputs if name.endswith("l0") else units)
                    bound = math.sqrt(3 / fan_in)
                    parameter.uniform_(-bound, bound, generator=generator)
            if initialisation == "pytorch":
                initialise_linear(self.output, "pytorch", generator)
            elif initialisation == "small":
                initialise_small(self.output, output_scale, generator)
            else:
                self.output.weight.normal_(0.0, output_scale, generator=generator)
                self.output.bias.zero_()

    def initial_memory(self, places: int = 1) -> LSTMState:
        """The memory before the first step: zeros."""
        zeros = np.zeros((self.lstm.num_layers, places, self.lstm.hidden_size))
        return zeros, zeros

    def step(
        self, observation: Float[Array, "place s"], memory: LSTMState
    ) -> tuple[Float[Array, "place knob"], LSTMState]:
        """The raw outputs after reading one observation, and the memory then: a decision, at which nothing is learned.

        But for rounding what :meth:`unroll` answers to a sequence of one step, in a tenth of the time.
        """
        layers, w_out, b_out = self._formula()
        hidden, cells = np.empty_like(memory[0]), np.empty_like(memory[1])
        x, units = observation, self._units
        for number, (w, b) in enumerate(layers):
            squashed = np.tanh(np.concatenate((x, memory[0][number]), axis=1) @ w + b)
            gates = 0.5 * squashed + 0.5  # the logistic function
            candidate = squashed[:, 2 * units : 3 * units]
            c = gates[:, units : 2 * units] * memory[1][number] + gates[:, :units] * candidate
            x = gates[:, 3 * units :] * np.tanh(c)
            hidden[number], cells[number] = x, c
        return x @ w_out + b_out, (hidden, cells)

    def _formula(self) -> tuple[list[tuple[Array, Array]], Array, Array]:
        """The weights as :meth:`step` computes with them: over [input, hidden], and halved where tanh is a gate's.

        They are read again when the parameters have changed.
        """
        versions = [parameter._version for parameter in self._weights]  # pyright: ignore[reportPrivateUsage]
        if self._read is None or self._read[0] != versions:
            scale = np.repeat([0.5, 0.5, 1.0, 0.5], self._units)
            layers = list[tuple[Array, Array]]()
            for layer in self.lstm.all_weights:
                w_x, w_h, b_x, b_h = (parameter.detach().double().numpy() for parameter in layer)
                layers.append((np.concatenate((w_x, w_h), axis=1).T * scale, (b_x + b_h) * scale))
            w_out, b_out = (parameter.detach().double().numpy() for parameter in self.output.parameters())
            self._read = versions, (layers, w_out.T.copy(), b_out.copy())
        return self._read[1]

    def unroll(
        self, observations: Float[Array, "step sequence place s"], memory: LSTMState
    ) -> tuple[Float[Tensor, "step sequence place knob"], LSTMState]:
        """The raw outputs after each observation of some sequences, all of which begin at ``memory``, with their graph.

        And the memory at the end of the first sequence.
        """
        sequences, places = observations.shape[1:3]
        like = self.output.weight
        begin = tuple(torch.from_numpy(part).to(like).repeat(1, sequences, 1) for part in memory)
        read, end = self.lstm(torch.from_numpy(observations).to(like).flatten(1, 2), begin)
        last = tuple(part[:, :places].detach().double().numpy() for part in end)
        return self.output(read.unflatten(1, (sequences, -1))), last


class Recollection:
    """What the actor remembers of a run: its memory, and the last steps for truncated back-propagation.

    Holds the memory after the last committed observation, and for a window of ``unroll - 1`` committed observations
    the observations themselves and the memory before each. Mutable; saved by :meth:`state_dict`.

    Args:
        memory: the memory before the first step.
        unroll: length of the window in steps, the observation to be judged included (the paper: 20).
    """

    def __init__(self, memory: LSTMState, unroll: int = 20) -> None:
        self.memory = memory
        self._window: deque[tuple[Array, LSTMState]] = deque(maxlen=unroll - 1)

    def commit(self, observation: Float[Array, "place s"], memory: LSTMState) -> None:
        """Append an observation; ``memory`` is the one after it."""
        self._window.append((observation, self.memory))
        self.memory = memory

    def window(self, observation: Float[Array, "place s"]) -> tuple[Float[Array, "step place s"], LSTMState]:
        """The last committed observations followed by ``observation``, and the memory at their start."""
        start = self._window[0][1] if self._window else self.memory
        return np.stack([*(seen for seen, _ in self._window), observation]), start

    def state_dict(self) -> StateDict:
        """All tensors of the memory and the window."""
        return to_tensors({"memory": self.memory, "window": list(self._window)})

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        state = to_arrays(state)
        self.memory = tuple(state["memory"])
        self._window.clear()
        self._window.extend((seen, tuple(memory)) for seen, memory in state["window"])
