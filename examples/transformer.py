"""A small causal transformer learns to write Python, byte by byte: the pilot beside cosine and OneCycle at three rates.

It needs no download: its text is the source of modules that come with Python. About a minute on one core;
`python examples/transformer.py 100` makes 100 steps a run instead of 300.
"""

import argparse
import inspect
import subprocess
import sys
import tarfile
import typing

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

import lrpilot

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
RATES = (1e-4, 1e-3, 1e-2)
BATCH, CONTEXT, WIDTH = 16, 64, 64
MODULES = (argparse, inspect, subprocess, tarfile, typing)

torch.set_num_threads(1)
text = "".join(map(inspect.getsource, MODULES)).encode("ascii", "ignore")
data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
training, held_out = data[: -len(data) // 10], data[-len(data) // 10 :]


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(128, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        block = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 128)

    def forward(self, inputs: Tensor) -> Tensor:
        seen = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        hidden = self.bytes(inputs) + self.places(torch.arange(CONTEXT))
        return self.head(self.blocks(hidden, mask=seen, is_causal=True))


def loss_on(model: Transformer, source: Tensor, generator: torch.Generator, batch: int) -> Tensor:
    starts = torch.randint(len(source) - CONTEXT, (batch,), generator=generator)
    windows = torch.stack([source[start : start + CONTEXT + 1] for start in starts])
    return cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def train(method: str, rate: float) -> float:
    """The held-out loss in nats a byte, after STEPS steps from the same weights on the same batches."""
    torch.manual_seed(0)
    model, generator = Transformer(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    pilot = lrpilot.Pilot(optimizer, total_steps=STEPS) if method == "pilot" else None
    cosine = CosineAnnealingLR(optimizer, STEPS) if method == "cosine" else None
    cycle = OneCycleLR(optimizer, max_lr=rate, total_steps=STEPS + 1) if method == "OneCycle" else None
    for _ in range(STEPS):
        loss = loss_on(model, training, generator, BATCH)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pilot:
            pilot.step(loss)
        elif schedule := cosine or cycle:
            schedule.step()
    with torch.no_grad():
        return loss_on(model.eval(), held_out, generator, 512).item()


if __name__ == "__main__":
    print(
        f"held-out loss, nats a byte, after {STEPS} steps from a rate of\n{'':10}", *(f"{rate:>8g}" for rate in RATES)
    )
    for method in ("pilot", "cosine", "OneCycle"):
        print(f"{method:10}", *(f"{train(method, rate):8.3f}" for rate in RATES), flush=True)
