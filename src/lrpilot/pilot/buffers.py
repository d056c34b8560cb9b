"""Buffers of the networks that an optimizer trains, such as BatchNorm's running statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lrpilot.errors import InvalidArgument

from .living import living


class Buffers:
    """Buffers, each held by its module and its name there: a module may put another tensor in its place.

    Args:
        optimizer: that trains them.
        network: one or several, whose buffers they are; None: all that hold one of the optimizer's parameters.

    Raises:
        InvalidArgument: ``network`` is none.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, network: nn.Module | Sequence[nn.Module] | None = None
    ) -> None:
        networks = networks_beside(optimizer) if network is None else _several(network)
        places = [(module, name) for network in networks for module in _modules(network) for name in _buffers(module)]
        self._places = list({id(_buffers(module)[name]): (module, name) for module, name in reversed(places)}.values())
        self._places.reverse()
        parameters = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        self._owner = next((m for n in networks for m in _modules(n) if parameters & set(_parameters(m))), None)

    def __len__(self) -> int:
        return len(self._places)

    def tensors(self) -> dict[int, Tensor]:
        """The buffers as they stand, by numbers that depend on the networks and the optimizer alone."""
        standing = ((number, _buffers(module).get(name)) for number, (module, name) in enumerate(self._places))
        return {number: tensor for number, tensor in standing if tensor is not None}

    def copies(self, numbers: Iterable[int] | None = None) -> dict[int, Tensor]:
        """Copies of those with the given numbers, or of all."""
        wanted = None if numbers is None else set(numbers)
        return {n: t.detach().clone() for n, t in self.tensors().items() if wanted is None or n in wanted}

    def changed(self, copies: Mapping[int, Tensor]) -> list[int]:
        """The numbers of those that are not as they were copied; another dtype or device is no change."""
        # By value: BatchNorm's kernels change its statistics without counting up the tensors' versions.
        now = self.tensors()
        return [n for n, before in copies.items() if n not in now or not torch.equal(now[n], before.to(now[n]))]

    @torch.no_grad()
    def restore(self, copies: Mapping[int, Tensor]) -> None:
        """Put the copies back."""
        now = self.tensors()
        for number, value in copies.items():
            if number in now and now[number].shape == value.shape:
                now[number].copy_(value)
            else:
                module, name = self._places[number]
                _kept(module, "_buffers")[name] = value.clone()

    @property
    def evaluating(self) -> bool:
        """Whether a network has been put into evaluation mode."""
        return self._owner is not None and not self._owner.training


def networks_beside(optimizer: torch.optim.Optimizer) -> list[nn.Module]:
    """The networks that hold one of the optimizer's parameters, outermost first.

    An optimizer knows no modules, so they are looked for among all living objects. That finds them whether or not they
    run compiled, and before their first forward pass.
    """
    place = {p: i for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    found: list[tuple[int, int, int, nn.Module]] = []
    for module in living(lambda kind: issubclass(kind, nn.Module)):
        modules = list(_modules(module))
        held = {place[p] for part in modules for p in _parameters(part) if p in place}
        if held:
            found.append((min(held), -len(held), -len(modules), module))
    found.sort(key=lambda network: network[:3])
    return [network for *_, network in found]


def _several(network: nn.Module | Sequence[nn.Module]) -> Sequence[nn.Module]:
    networks = network if isinstance(network, list | tuple) else (network,)
    for each in networks:
        if not isinstance(each, nn.Module):
            raise InvalidArgument("network", "a torch.nn.Module, or several", network)
    return networks  # type: ignore[return-value]


# Modules may override ``parameters`` and its kin with methods that need arguments, so these read what Module keeps.
# One that is still being built keeps nothing yet.


def _modules(network: nn.Module) -> Iterator[nn.Module]:
    seen: set[int] = set()
    waiting = [network]
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield module
        waiting.extend(child for child in reversed(_kept(module, "_modules").values()) if isinstance(child, nn.Module))


def _parameters(module: nn.Module) -> Iterable[Tensor]:
    return [parameter for parameter in _kept(module, "_parameters").values() if parameter is not None]


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer for name, buffer in _kept(module, "_buffers").items() if buffer is not None}


def _kept(module: nn.Module, name: str) -> dict[str, Any]:
    return vars(module).get(name, {})
