"""Parameters and gradients as flat vectors of numbers, small ones bundled: what a measurement multiplies and sums."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

BUNDLED = 1 << 14
"""Small tensors are measured together, up to so many numbers: one operation costs more than reading them."""


def trainable(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters that the optimizer trains now, in the order of its groups."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def same_tensors(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether two lists hold the very same tensors."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def bundles(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """The parameters in their order, small neighbours of one kind together."""
    pieces: list[list[Tensor]] = []
    kind, size = None, 0
    for parameter in parameters:
        own = None if is_sharded(parameter) else (parameter.dtype, parameter.device)
        if own is None or own != kind or size + parameter.numel() > BUNDLED:
            pieces.append([])
            size = 0
        pieces[-1].append(parameter)
        kind, size = own, size + parameter.numel()
    return pieces


def sizes_of(tensors: Sequence[Tensor]) -> list[int]:
    """How many numbers each holds."""
    return [tensor.numel() for tensor in tensors]


def kinds_of(tensors: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype, torch.device]]:
    """Shape, precision and device of each."""
    return [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]


def joined(piece: Sequence[Tensor]) -> Float[Tensor, " number"]:
    """The numbers of a bundle: a view where it is one tensor, else a copy."""
    first, *others = map(flat, piece)
    return torch.cat([first, *others]) if others else first


def less(before: Float[Tensor, " number"], piece: Sequence[Tensor]) -> Float[Tensor, " number"]:
    """What the numbers were before, less what they are, in place."""
    now = [flat(tensor) for tensor in piece]
    parts = before.split(sizes_of(now))
    torch._foreach_sub_(parts, now)  # pyright: ignore[reportPrivateUsage] - as torch's own optimizers do
    return before


def joined_gradients(piece: Sequence[Tensor]) -> Float[Tensor, " number"] | None:
    """The same of the gradients: zeros for one that is missing, None where the only one is."""
    first, *others = piece
    if first.grad is None and not others:
        return None
    return joined([torch.zeros_like(p) if p.grad is None else p.grad for p in piece])


def keep(values: Float[Tensor, " number"], room: Tensor | None) -> Float[Tensor, " number"]:
    """A copy, in the memory of ``room`` if it fits."""
    if room is None or kinds_of([room]) != kinds_of([values]):
        return values.clone()
    return room.copy_(values)


def square(values: Float[Tensor, " number"]) -> Float[Tensor, ""]:
    """The sum of squares, at least in float32."""
    numbers = wide(values)
    return torch.dot(numbers, numbers)


def stacked(products: list[Tensor]) -> Float[Tensor, " product"]:
    """One vector, float32, on the first one's device."""
    if not products:
        return torch.zeros(0, dtype=torch.float32, device="cpu")
    device = products[0].device
    if any(product.dtype != torch.float32 or product.device != device for product in products):
        products = [product.to(device, torch.float32) for product in products]
    return torch.stack(products)


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is a DTensor, of which this rank holds a part."""
    return hasattr(tensor, "placements")


def local(tensor: Tensor) -> Tensor:
    """What this rank holds of it."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def all_of(tensor: Tensor, product: Tensor) -> Tensor:
    """A sum over the numbers that this rank holds of a tensor, such that its mean over the ranks is that over all."""
    if not is_sharded(tensor):
        return product
    mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
    return product * math.prod(mesh.size(i) for i, placement in enumerate(placements) if placement.is_shard())


def flat(tensor: Tensor) -> Float[Tensor, " number"]:
    """Dense, real and of one dimension; to be called without gradients."""
    tensor = local(tensor)
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.reshape(-1)


def wide(tensor: Tensor) -> Tensor:
    """At least float32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
