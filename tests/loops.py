"""A small network and its batches, for tests of loops as people write them."""

from __future__ import annotations

import torch
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))


def batch(step, rows=slice(None)):
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
    return inputs[rows], inputs[rows, :2].sum(1, keepdim=True)


def loss_of(model, step, rows=slice(None)):
    inputs, targets = batch(step, rows)
    return (model(inputs) - targets).square().mean()


def train(pilot, model, steps, *, begin=0, optimizers=None):
    """The plain loop; returns the rate of each step."""
    optimizers, rates = optimizers or [pilot.optimizer], []
    for step in range(begin, begin + steps):
        loss = loss_of(model, step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        rates.append(optimizers[0].param_groups[0]["lr"])
        for optimizer in optimizers:
            optimizer.step()
        pilot.step(loss)
    return rates


def take_a_step(optimizer):
    """One along made-up gradients, for tests that need no network to learn."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer.step()
