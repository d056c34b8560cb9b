"""Equations 5 to 10 of the paper as pure functions, in the paper's letters.

Equations 8 and 9 are printed in the paper as *ascent* directions. Here each is a loss, or a loss's
gradient, that a minimiser descends, so that one step of SGD on it moves along the printed direction.

Notation: ``f`` loss of the network, ``r`` reward, ``q`` value Q(s, a), ``gamma`` discount, ``a`` action, ``t`` step,
``_t`` now and ``_tp1`` one step later. Every function is elementwise unless it says otherwise.
"""

from __future__ import annotations

from torch import Tensor


def reward(f_t: Tensor, f_tp1: Tensor) -> Tensor:
    """Equation 5: ``r_t = f_t - f_{t+1}``, the decrement of the loss on one and the same batch.

    >>> from torch import tensor
    >>> reward(tensor(2.5), tensor(2.0))
    tensor(0.5000)
    """
    return f_t - f_tp1


def td_target(r_t: Tensor, q_tp1: Tensor, gamma: float) -> Tensor:
    """Equation 6: ``y_t = r_t + gamma Q(s_{t+1}, a_{t+1})``. No gradient flows out of it.

    >>> from torch import tensor
    >>> td_target(tensor(0.5), tensor(2.0), 0.9)
    tensor(2.3000)
    """
    return (r_t + gamma * q_tp1).detach()


def td_error(y_t: Tensor, q_t: Tensor) -> Tensor:
    """Equation 7: ``delta_t = y_t - Q(s_t, a_t)``."""
    return y_t - q_t


def descent(error: Tensor) -> Tensor:
    """The gradient of ``1/2 (y - x)^2``, averaged over transitions, with respect to x; ``error`` is y - x.

    With the TD error it is equation 8 as a loss, with respect to Q: times ``grad Q(s_t, a_t)``, its negative is the
    printed direction ``delta_t grad Q(s_t, a_t)``. With what a critic's slope misses of a measured one it is deviation
    D4 in ``docs/algorithm.md``, which is not in the paper.

    >>> from torch import tensor
    >>> descent(tensor([3.0, -1.0]))
    tensor([-1.5000,  0.5000])
    """
    return -error / len(error)


def actor_loss(a: Tensor, dq_da: Tensor) -> Tensor:
    """Equation 9 as a loss: ``-a dQ/da`` with ``dQ/da`` held fixed, summed (a scalar).

    Its negative gradient with respect to the actor's parameters is ``grad pi(s) grad_a Q(s, a)|a=pi(s)``: the
    deterministic policy gradient. ``a`` must carry the actor's graph.
    """
    return -(a * dq_da.detach()).sum()


def run_weight(t: int) -> float:
    """The appendix' weight ``h(t) = 1/t`` of step ``t`` (counted from 1) in equation 10.

    >>> run_weight(4)
    0.25
    """
    return 1.0 / t
