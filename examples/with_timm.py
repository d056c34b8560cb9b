"""timm: the pilot in place of `create_scheduler_v2`; layer-wise rates (`layer_decay`) keep their ratios."""

import timm
import torch
from timm.optim import create_optimizer_v2

import lrpilot

generator = torch.Generator().manual_seed(0)
labels = torch.randint(2, (256,), generator=generator)
images = torch.randn(256, 3, 32, 32, generator=generator)
images[labels == 1, 0] += 0.5  # one class is redder

model = timm.create_model("test_vit", img_size=32, num_classes=2)
optimizer = create_optimizer_v2(model, opt="adamw", lr=5e-4, weight_decay=0.05, layer_decay=0.75)
pilot = lrpilot.Pilot(optimizer, total_steps=5 * 8)

for _ in range(5):
    for x, y in zip(images.split(32), labels.split(32), strict=True):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)

print(pilot.explain())
print(f"rates from the first layer to the last: {pilot.get_last_lr()}")
