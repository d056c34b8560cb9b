"""The run that docs/how-it-works.md explains, as a picture and between marker lines, and the notebook's outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from sklearn.datasets import load_digits

import lrpilot
from lrpilot.core.files import replace_file
from lrpilot.experiments.report.drawing import png, svg
from lrpilot.experiments.report.readme import fill

HERE = Path(__file__).parent
STEPS, BATCH = 1_500, 32


def run() -> lrpilot.Pilot:
    """Handwritten digits from a rate four decades too low."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    inputs = inputs.float() / 16
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    pilot = lrpilot.Pilot(torch.optim.SGD(model.parameters(), lr=1e-4), total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(inputs), (BATCH,))
        loss = torch.nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
        pilot.optimizer.zero_grad()
        loss.backward()
        pilot.optimizer.step()
        pilot.step(loss)
    return pilot


def execute(notebook: Path) -> None:
    """Run a notebook and keep what it shows."""
    cells = nbformat.read(notebook, as_version=4)
    NotebookClient(cells, record_timing=False).execute()
    nbformat.write(cells, notebook)


def main() -> None:
    """Write all."""
    execute(HERE.parent / "examples" / "digits.ipynb")
    pilot = run()
    figure = pilot.plot()
    replace_file(HERE / "how-it-works.png", png(figure))
    replace_file(HERE / "how-it-works.svg", svg(figure, "how-it-works").encode())
    lines = pilot.history.explain().splitlines()
    shown = "\n".join([*lines[:9], "...", *lines[24:28], "...", *lines[-3:]])
    text = f"![Loss and learning rate of a run on handwritten digits](how-it-works.png)\n\n```text\n{shown}\n```"
    fill(HERE / "how-it-works.md", "run", text)


if __name__ == "__main__":
    main()
