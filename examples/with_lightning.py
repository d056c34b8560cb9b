"""Lightning: one line, `callbacks=[PilotCallback()]`."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from lrpilot.integrations.lightning import PilotCallback

inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
inputs = inputs.float() / 16
loader = DataLoader(TensorDataset(inputs[:1500], labels[:1500]), batch_size=32, shuffle=True)


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-4)


module = Digits()
trainer = lightning.Trainer(max_epochs=10, callbacks=[PilotCallback()], logger=False, enable_checkpointing=False)
trainer.fit(module, loader)
print(f"test error: {(module.network(inputs[1500:]).argmax(1) != labels[1500:]).double().mean():.1%}")
