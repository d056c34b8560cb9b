"""Equations 5 to 10 of the paper as pure functions, in the paper's letters.

Equations 8 and 9 are printed in the paper as *ascent* directions. Here each is the gradient of a loss that a minimiser
descends, so that one step of SGD on it moves along the printed direction.

Notation: ``f`` loss of the network, ``r`` reward, ``q`` value Q(s, a), ``gamma`` discount, ``a`` action, ``t`` step,
``_t`` now and ``_tp1`` one step later. Every function takes numbers or arrays, and is elementwise unless it says
otherwise.
"""

from __future__ import annotations

from typing import TypeVar

from .arrays import Array

Numbers = TypeVar("Numbers", float, Array)


def reward(f_t: Numbers, f_tp1: Numbers) -> Numbers:
    """Equation 5: ``r_t = f_t - f_{t+1}``, the decrement of the loss on one and the same batch.

    >>> reward(2.5, 2.0)
    0.5
    """
    return f_t - f_tp1


def td_target(r_t: Numbers, q_tp1: Numbers, gamma: float) -> Numbers:
    """Equation 6: ``y_t = r_t + gamma Q(s_{t+1}, a_{t+1})``. No gradient flows out of it.

    >>> td_target(0.5, 2.0, 0.9)
    2.3
    """
    return r_t + gamma * q_tp1


def td_error(y_t: Numbers, q_t: Numbers) -> Numbers:
    """Equation 7: ``delta_t = y_t - Q(s_t, a_t)``."""
    return y_t - q_t


def descent(error: Array) -> Array:
    """The gradient of ``1/2 (y - x)^2``, averaged over transitions, with respect to x; ``error`` is y - x.

    With the TD error it is equation 8 as a loss, with respect to Q: times ``grad Q(s_t, a_t)``, its negative is the
    printed direction ``delta_t grad Q(s_t, a_t)``. With what a critic's slope misses of a measured one it is deviation
    D4 in ``docs/algorithm.md``, which is not in the paper.

    >>> import numpy as np
    >>> descent(np.array([3.0, -1.0]))
    array([-1.5,  0.5])
    """
    return -error / len(error)


def policy_gradient(da_draw: Numbers, dq_da: Numbers) -> Numbers:
    """Equation 9 as a loss, ``-a dQ/da`` with ``dQ/da`` held fixed: its gradient with respect to the raw output.

    Its negative, propagated back through the actor, is ``grad pi(s) grad_a Q(s, a)|a=pi(s)``: the deterministic policy
    gradient. ``da_draw`` is how the action changes with what the actor puts out.
    """
    return -da_draw * dq_da


def run_weight(t: int) -> float:
    """The appendix' weight ``h(t) = 1/t`` of step ``t`` (counted from 1) in equation 10.

    >>> run_weight(4)
    0.25
    """
    return 1.0 / t
