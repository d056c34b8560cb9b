"""Accelerate: the pilot as in a plain loop, and `register_for_checkpointing` for `save_state` and `load_state`."""

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import lrpilot

EPOCHS, ACCUMULATE = 9, 2

accelerator = Accelerator(gradient_accumulation_steps=ACCUMULATE, cpu=True)
inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
inputs = inputs.float() / 16
loader = DataLoader(TensorDataset(inputs[:1500], labels[:1500]), batch_size=16, shuffle=True)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

steps = EPOCHS * -(-len(loader) // ACCUMULATE)  # of the optimizer; an epoch's last one may be of fewer batches
pilot = lrpilot.Pilot(optimizer, total_steps=steps)
accelerator.register_for_checkpointing(pilot)

for _ in range(EPOCHS):
    for x, y in loader:
        with accelerator.accumulate(model):
            loss = torch.nn.functional.cross_entropy(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            pilot.step(loss)
            accelerator.log(pilot.scalars(), step=pilot.last_epoch)  # to the trackers, if there are any

print(f"test error: {(model(inputs[1500:]).argmax(1) != labels[1500:]).double().mean():.1%}")
