"""Numbers on the host. Actor and critic are far too small for a device, or for torch's dispatch of each operation.

What Algorithm 1 computes between two steps of the network (observation, decision, reward, the critic's update) are
NumPy arrays in double precision, wherever the network is. Weights are torch's; only the actor's update builds a graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
else:
    Array = np.ndarray

TINY = float(np.finfo(np.float32).tiny)
"""In place of 0 where something is divided by it."""


def weights(parameter: Tensor) -> Array:
    """A parameter's numbers: the very ones, not a copy."""
    return parameter.detach().numpy()


def to_tensors(state: Any) -> Any:
    """The same containers with a tensor in the place of each array: what ``torch.save`` takes."""
    return _each(state, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def to_arrays(state: Any) -> Any:
    """Back from :func:`to_tensors`, wherever the tensors are."""
    return _each(state, Tensor, lambda tensor: tensor.detach().cpu().double().numpy())


def _each(state: Any, kind: type, convert: Any) -> Any:
    if isinstance(state, kind):
        return convert(state)
    if isinstance(state, dict):
        return {name: _each(part, kind, convert) for name, part in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_each(part, kind, convert) for part in state)
    return state
