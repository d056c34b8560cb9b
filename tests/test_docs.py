"""The documentation holds: its Python runs, its names exist, and the examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import lrpilot
from lrpilot.pilot.controller import Pilot

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs/research/trials.md"  # speaks of code that is gone
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {NOTEBOOK})

# The names that a training script has, and those that the README's pieces of code leave to the reader.
BEFORE = """
import math
import torch
import lrpilot
from torch.nn.functional import cross_entropy

torch.manual_seed(0)
def network():
    return torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = [(torch.randn(8, 64), torch.randint(10, (8,))) for _ in range(20)]
epochs = 2
def loss_fn(batch):
    return cross_entropy(model(batch[0]), batch[1])
def step():
    loss = loss_fn(loader[0])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
def fresh_network_and_optimizer():
    global model
    model = network()
    return torch.optim.SGD(model.parameters(), lr=0.1)
def train(optimizer, pilot):
    for batch in loader * epochs:
        loss = loss_fn(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)
def held_out_error():
    return 0.1
"""


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


CODE = [(page, number, block) for page in PAGES for number, block in enumerate(blocks(page), start=1)]


@pytest.mark.parametrize(
    "block", [b for *_, b in CODE], ids=[f"{page.relative_to(ROOT)}-{number}" for page, number, _ in CODE]
)
def test_a_block_of_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(BEFORE, names)
    exec(compile(block, "block", "exec"), names)


def named() -> set[str]:
    """What pages call ``lrpilot.X`` or ``pilot.X`` between backticks, files left out."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    words = {word for span in spans for word in re.findall(r"(?<![\w/.-])(?:lrpilot|pilot)(?:\.\w+)+", span)}
    return {word for word in words if word.rpartition(".")[2] not in ("py", "md", "safetensors")}


def exists(name: str) -> bool:
    """Whether a name leads to something. A module need not be importable here; what a property gives is not asked."""
    first, *rest = name.split(".")
    found = lrpilot if first == "lrpilot" else Pilot
    for place, word in enumerate(rest, start=1):
        if isinstance(found, property):
            return True
        if isinstance(found, ModuleType) and not hasattr(found, word):
            module = f"{found.__name__}.{word}"
            if find_spec(module) is None or place == len(rest):
                return find_spec(module) is not None
            import_module(module)
        found = getattr(found, word, None)
    return found is not None


def test_every_name_exists(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # before Keras is imported
    names = named()
    assert len(names) > 15
    assert {name for name in names if not exists(name)} == set()
    assert not exists("pilot.steps")
    assert not exists("lrpilot.Copilot")


SOURCES = sorted(path for path in (ROOT / "src").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_examples_in_docstrings(path):
    module = import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


def test_every_page_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not re.search(rf": {re.escape(page)}$", contents, re.MULTILINE)} == set()
