"""The oracle: Algorithm 1 transcribed literally and slowly, from the paper and `docs/algorithm.md` alone.

It shares no code with the library: the LSTM is written out gate by gate, Adam is written out, and every line of the
algorithm stands where the paper has it. Only the initial numbers (of actor and critic) are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM cell; gates in the order input, forget, candidate, output."""
    i, f, g, o = (w_x @ x + w_h @ h + b).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def pi(theta: Parameters, states: Sequence[Tensor], memory: list[tuple[Tensor, Tensor]]):
    """|output of the 2-layer LSTM| after reading `states` in order from `memory`; and the memory then."""
    memory = list(memory)
    x = states[0]
    for s in states:
        x = s
        for layer in (0, 1):
            h, c = memory[layer]
            w_x, w_h, b = (theta[f"{name}{layer}"] for name in ("w_x", "w_h", "b"))
            h, c = lstm_cell(x, h, c, w_x, w_h, b)
            memory[layer] = (h, c)
            x = h
    return (theta["v"] @ x + theta["d"]).abs().squeeze(), memory


def q(phi: Parameters, s: Tensor, a: Tensor, activation: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Q(s, a): one hidden layer."""
    hidden = activation(phi["w"] @ torch.cat([s, a.reshape(1)]) + phi["b"])
    return (phi["v"] @ hidden + phi["d"]).squeeze()


class Adam:
    """Adam that ASCENDS, with the defaults the paper uses."""

    def __init__(self, parameters: Parameters, rate: float = 0.001) -> None:
        self.parameters, self.rate = parameters, rate
        self.m = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.v = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.t = 0

    def ascend(self, gradients: Parameters) -> None:
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = 0.9 * self.m[name] + 0.1 * g
            self.v[name] = 0.999 * self.v[name] + 0.001 * g * g
            m_hat = self.m[name] / (1 - 0.9**self.t)
            v_hat = self.v[name] / (1 - 0.999**self.t)
            step = self.rate * m_hat / (v_hat.sqrt() + 1e-8)
            self.parameters[name] = (self.parameters[name] + step).detach()


def gradient(of: Tensor, parameters: Parameters) -> Parameters:
    grads = torch.autograd.grad(of, list(parameters.values()))
    return dict(zip(parameters, grads, strict=True))


def tracked(parameters: Parameters) -> Parameters:
    return {name: p.detach().requires_grad_() for name, p in parameters.items()}


class Algorithm1:
    """`step(x_i, x_j)` is one pass through lines 3 to 20; `x_j` is None where it is x_i itself.

    What the paper leaves open: `chunks`: line 20 comes once in `unroll` steps, for the sum of what it would do in each;
    `critic_on_j`: lines 11 to 14 are about x_j (section 4.3) instead of x_i (Algorithm 1).
    """

    def __init__(
        self,
        w: Sequence[Tensor],
        f: Callable[[Any], Tensor],
        theta: Parameters,
        phi: Parameters,
        *,
        gamma: float = 0.99,
        unroll: int = 20,
        chunks: bool = False,
        critic_on_j: bool = False,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        theta_rate: float = 0.001,
        phi_rate: float = 0.001,
    ) -> None:
        self.w, self.f, self.gamma, self.unroll = list(w), f, gamma, unroll
        self.theta, self.phi = theta, phi
        self.chunks, self.critic_on_j, self.activation = chunks, critic_on_j, activation
        self.theta_adam, self.phi_adam = Adam(theta, theta_rate), Adam(phi, phi_rate)
        zeros = torch.zeros(theta["w_h0"].shape[1], dtype=theta["v"].dtype)
        self.memory = [(zeros, zeros), (zeros, zeros)]
        self.committed: list[tuple[Tensor, Any]] = []  # (state, memory before it)
        self.judged: list[tuple[Tensor, Tensor]] = []  # (s_j, dQ/da) since line 20 last came, in chunks
        self.rates: list[float] = []
        self.td_errors: list[float] = []

    def chi(self, x: Any) -> Tensor:
        """The state: the average loss of the mini-batch."""
        with torch.no_grad():
            return self.f(x).reshape(1)

    def step(self, x_i: Any, x_j: Any = None) -> None:
        # Line 4
        s_i = self.chi(x_i)
        # Line 6: the decision advances the memory
        with torch.no_grad():
            a, after = pi(self.theta, [s_i], self.memory)
        self.committed.append((s_i, self.memory))
        self.memory = after
        # The batch that the critic learns about
        x_k = x_j if self.critic_on_j and x_j is not None else x_i
        s_k = self.chi(x_k)
        # Lines 8 and 9
        for w, g in zip(self.w, torch.autograd.grad(self.f(x_i), self.w), strict=True):
            with torch.no_grad():
                w -= a * g
        # Lines 11 and 12, on the same batch
        s_k_next = self.chi(x_k)
        r = s_k - s_k_next
        # Lines 13 and 14: from the memory after this step, which is not advanced
        with torch.no_grad():
            a_next, _ = pi(self.theta, [s_k_next], self.memory)
            q_next = q(self.phi, s_k_next, a_next, self.activation)
        phi = tracked(self.phi)
        q_now = q(phi, s_k, a, self.activation)
        delta = (r + self.gamma * q_next - q_now).detach().squeeze()
        # Line 15: ascend delta * grad Q
        self.phi_adam.ascend({name: delta * g for name, g in gradient(q_now, phi).items()})
        self.phi = self.phi_adam.parameters
        # Lines 17 and 18
        s_j = s_k_next if x_j is None else self.chi(x_j)
        if self.chunks:
            self.judge(s_j)
        else:
            self.slide(s_j)

        self.rates.append(float(a))
        self.td_errors.append(float(delta))

    def slide(self, s_j: Tensor) -> None:
        """Lines 19 and 20 in every step, from the last of `unroll` outputs."""
        # Line 19: the last unroll - 1 committed states, then s_j; the memory before them is a constant
        window = self.committed[-(self.unroll - 1) :]
        theta = tracked(self.theta)
        a_j, _ = pi(theta, [s for s, _ in window] + [s_j], window[0][1])
        # Line 20: ascend grad pi * dQ/da, with the phi of line 15
        dq_da = self.slope(s_j, a_j)
        self.theta_adam.ascend({name: dq_da * g for name, g in gradient(a_j, theta).items()})
        self.theta = self.theta_adam.parameters

    def judge(self, s_j: Tensor) -> None:
        """Line 19 in every step; line 20 when there are `unroll` of them, for the sum of equation 9 over all."""
        with torch.no_grad():
            a_j, _ = pi(self.theta, [s_j], self.memory)
        self.judged.append((s_j, self.slope(s_j, a_j)))
        if len(self.judged) < self.unroll:
            return
        # The first s_j was read after one step of the chunk. The memory after that step is a constant
        lived = self.committed[-(self.unroll - 1) :]
        memory, theta, total = lived[0][1], tracked(self.theta), torch.zeros((), dtype=s_j.dtype)
        for n, (s, dq_da) in enumerate(self.judged):
            a_j, _ = pi(theta, [s], memory)
            total = total + dq_da * a_j
            if n < len(lived):
                _, memory = pi(theta, [lived[n][0]], memory)
        self.theta_adam.ascend(gradient(total, theta))
        self.theta = self.theta_adam.parameters
        self.judged = []

    def slope(self, s: Tensor, a: Tensor) -> Tensor:
        """dQ/da with the phi of line 15."""
        a_free = a.detach().requires_grad_()
        (dq_da,) = torch.autograd.grad(q(self.phi, s, a_free, self.activation), a_free)
        return dq_da


def numbers_of(actor: torch.nn.Module, critic: torch.nn.Module) -> tuple[Parameters, Parameters]:
    """theta and phi from a library actor and critic: numbers only."""
    state = {name: p.detach().clone() for name, p in actor.state_dict().items()}
    theta = {"v": state["output.weight"], "d": state["output.bias"]}
    for layer in (0, 1):
        theta[f"w_x{layer}"] = state[f"lstm.weight_ih_l{layer}"]
        theta[f"w_h{layer}"] = state[f"lstm.weight_hh_l{layer}"]
        theta[f"b{layer}"] = state[f"lstm.bias_ih_l{layer}"] + state[f"lstm.bias_hh_l{layer}"]
    held = {name: p.detach().clone().to(state["output.bias"]) for name, p in critic.state_dict().items()}
    phi = {
        "w": held["hidden.weight"],
        "b": held["hidden.bias"],
        "v": held["value.weight"],
        "d": held["value.bias"],
    }
    return theta, phi
