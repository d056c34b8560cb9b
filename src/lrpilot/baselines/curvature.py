"""bbprop: a diagonal of the curvature, passed backwards through a network as gradients are.

For softmax cross-entropy on networks made of linear layers and tanh (Becker and LeCun, 1988; Schaul, Zhang,
LeCun, 2013). Off-diagonal terms are dropped at every layer and so is the second derivative of tanh, so the
result is >= 0. It is the exact second derivative in the last linear layer (softmax regression is no more than
that), and the Gauss-Newton diagonal below it wherever each unit feeds one unit only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lrpilot.errors import InvalidArgument


def softmax_curvature(logits: Tensor) -> Tensor:
    """Second derivative of cross-entropy by each logit, D_k = p_k (1 - p_k), of (sample, class) logits."""
    p = torch.softmax(logits, dim=-1)
    return p * (1.0 - p)


def through_linear(curvature: Tensor, weight: Tensor) -> Tensor:
    """From the outputs of y = W x + b to its inputs, D_j = sum_k W_kj^2 D_k: (sample, in)."""
    return curvature @ weight.square()


def through_tanh(curvature: Tensor, outputs: Tensor) -> Tensor:
    """From the outputs y of tanh to its inputs, D <- D (1 - y^2)^2; shapes stay."""
    return curvature * (1.0 - outputs.square()).square()


class LayerPass(NamedTuple):
    """What one forward and backward pass left at one linear layer, without gradients of its own."""

    layer: nn.Linear
    inputs: Tensor  # (sample, in)
    deltas: Tensor  # (sample, out): each sample's own gradient by the layer's outputs
    curvature: Tensor  # (sample, out): each sample's D at the layer's outputs


class BackwardRecorder:
    """Watches a network's ordinary forward and backward passes and takes from them what curvature needs.

    Registers forward hooks on the linear layers; passes without gradients (evaluation) are ignored. The
    loss must be the MEAN softmax cross-entropy of the network's outputs over the batch.

    Args:
        network: ``nn.Sequential`` of ``nn.Flatten``, ``nn.Linear`` and ``nn.Tanh``, ending in a linear layer.

    Raises:
        InvalidArgument: a network made of anything else, for which bbprop is not defined here.
    """

    def __init__(self, network: nn.Module) -> None:
        modules = list(network) if isinstance(network, nn.Sequential) else [network]
        modules = [module for module in modules if not isinstance(module, nn.Flatten)]
        if (
            not modules
            or not isinstance(modules[-1], nn.Linear)
            or not all(isinstance(module, nn.Linear | nn.Tanh) for module in modules)
        ):
            raise InvalidArgument(
                "network",
                "an nn.Sequential of Flatten, Linear and Tanh that ends in Linear",
                [type(module).__name__ for module in modules],
            )
        self.layers: list[nn.Linear] = []
        self._tanh_counts: list[int] = []  # between the layer before and this one
        tanh_count = 0
        for module in modules:
            if isinstance(module, nn.Linear):
                self.layers.append(module)
                self._tanh_counts.append(tanh_count)
                tanh_count = 0
            else:
                tanh_count += 1
        if any(count > 1 for count in self._tanh_counts) or self._tanh_counts[0]:
            raise InvalidArgument("network", "at most one Tanh between two Linear, none before the first", network)
        self._inputs: list[Tensor | None] = [None] * len(self.layers)
        self._gradients: list[Tensor | None] = [None] * len(self.layers)
        self._logits: Tensor | None = None
        self._passes = 0
        for index, layer in enumerate(self.layers):
            layer.register_forward_hook(self._watch(index))

    def _watch(self, index: int):
        last = index == len(self.layers) - 1

        def keep_gradient(gradient: Tensor) -> None:
            self._gradients[index] = gradient

        def keep_inputs(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not output.requires_grad:
                return
            self._inputs[index] = inputs[0].detach()
            output.register_hook(keep_gradient)
            if last:
                self._logits = output.detach()
                self._passes += 1

        return keep_inputs

    def take(self) -> list[LayerPass]:
        """The pass since the last call, from the first layer to the last, and forget it.

        Raises:
            InvalidArgument: not exactly one forward pass with gradients, and its backward pass, came since.
        """
        passes, logits, inputs, gradients = self._passes, self._logits, self._inputs, self._gradients
        self._passes, self._logits = 0, None
        self._inputs, self._gradients = [None] * len(self.layers), [None] * len(self.layers)
        if passes != 1 or logits is None or any(gradient is None for gradient in gradients):
            raise InvalidArgument(
                "a step's passes",
                "one forward pass with gradients and its backward pass",
                f"{passes} forward and {sum(gradient is not None for gradient in gradients)} of "
                f"{len(gradients)} layers' backward passes",
            )
        taken: list[LayerPass] = []
        curvature = softmax_curvature(logits)
        for index in reversed(range(len(self.layers))):
            layer, x, gradient = self.layers[index], inputs[index], gradients[index]
            # The mean loss divides each sample's gradient by their number.
            taken.append(LayerPass(layer, x, gradient * len(gradient), curvature))  # type: ignore[arg-type]
            if index > 0:
                curvature = through_linear(curvature, layer.weight.detach())
                if self._tanh_counts[index]:
                    curvature = through_tanh(curvature, x)  # type: ignore[arg-type] - the tanh's outputs
        return taken[::-1]


def weight_curvature(record: LayerPass) -> Tensor:
    """The batch's mean curvature by the weights, h(W_kj) = D_k x_j^2: (out, in)."""
    return _mean_outer(record.curvature, record.inputs.square())


def bias_curvature(record: LayerPass) -> Tensor:
    """The batch's mean curvature by the biases, h(b_k) = D_k: (out,)."""
    return record.curvature.mean(0)


def weight_square(record: LayerPass) -> Tensor:
    """The batch's mean of each sample's squared gradient by the weights, delta_k^2 x_j^2: (out, in)."""
    return _mean_outer(record.deltas.square(), record.inputs.square())


def bias_square(record: LayerPass) -> Tensor:
    """The batch's mean of each sample's squared gradient by the biases, delta_k^2: (out,)."""
    return record.deltas.square().mean(0)


def square_norms(record: LayerPass) -> tuple[Tensor, Tensor]:
    """The batch's mean of each sample's squared gradient norm, of the weights and of the biases: two scalars.

    A sample's weight gradient is the outer product of delta and x, so its norm is the product of theirs.
    """
    deltas = record.deltas.square().sum(1)
    inputs = record.inputs.square().sum(1)
    return (deltas * inputs).mean(), deltas.mean()


def _mean_outer(left: Tensor, right: Tensor) -> Tensor:
    if len(left) == 1:
        return torch.outer(left[0], right[0])
    return left.T @ right / len(left)
