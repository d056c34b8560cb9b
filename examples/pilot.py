"""The pilot drives a small network on handwritten digits, from a learning rate that is four decades too low."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import lrpilot

inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
inputs = inputs.float() / 16
loader = DataLoader(TensorDataset(inputs[:1500], labels[:1500]), batch_size=32, shuffle=True)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
pilot = lrpilot.Pilot(optimizer, total_steps=30 * len(loader))
for _ in range(30):
    for x, y in loader:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)

print(pilot.explain())
print(f"test error: {(model(inputs[1500:]).argmax(1) != labels[1500:]).double().mean():.1%}")
