"""skorch: one line, `callbacks=[PilotCallback()]`; a grid search that no longer has the rate in its grid."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from lrpilot.integrations.skorch import PilotCallback

inputs, labels = load_digits(return_X_y=True)
inputs = (inputs / 16).astype(np.float32)


class Network(torch.nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10), torch.nn.Softmax(-1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


net = NeuralNetClassifier(
    Network,
    optimizer=torch.optim.SGD,
    lr=1e-4,
    max_epochs=5,
    batch_size=32,
    callbacks=[PilotCallback()],
    verbose=0,
)
search = GridSearchCV(net, {"module__width": [16, 64]}, cv=2, scoring="accuracy")
search.fit(inputs[:1500], labels[:1500])
print(search.best_params_, f"test accuracy: {search.score(inputs[1500:], labels[1500:]):.1%}")
