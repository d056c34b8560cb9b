"""The examples run, are short, and compare what they say they compare; the notebook shows its pictures."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[1] / "examples"


def lines_of(name: str, *arguments: str) -> list[str]:
    """What an example prints as a command of its own."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()


def table(lines: list[str]) -> tuple[list[float], dict[str, list[float]]]:
    """The rates of the header and a row of numbers for each method, of an example that compares."""
    rates, *rows = lines[1:]
    return [float(rate) for rate in rates.split()], {
        method: [float(cell) for cell in cells] for method, *cells in map(str.split, rows)
    }


def test_an_example_is_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert len(lengths) > 10
    assert {name: length for name, length in lengths.items() if length > (60 if "with_" in name else 79)} == {}


def test_the_transformer_learns_to_write_python_under_every_method():
    rates, losses = table(lines_of("transformer", "20"))
    assert rates == [1e-4, 1e-3, 1e-2]
    assert list(losses) == ["pilot", "cosine", "OneCycle"]
    assert losses["cosine"][0] != losses["OneCycle"][0]
    assert all(loss < math.log(128) for own in losses.values() for loss in own)  # that of guessing a byte
    assert all(own[-1] < 4 for own in losses.values())


def test_the_residual_network_learns_digits():
    rates, errors = table(lines_of("residual", "40"))
    assert rates == [0.001, 0.1, 1.0]
    assert list(errors) == ["pilot", "cosine", "constant"]
    assert all(own[1] < 50 for own in errors.values())  # at 0.1; guessing has 90
    assert errors["constant"] != errors["cosine"]


def test_fine_tuning_uses_what_was_learned_before():
    _, errors = table(lines_of("fine_tuning", "40"))
    assert list(errors) == ["pilot", "cosine"]
    assert errors["pilot"][1] < 60  # guessing among five has 80
    assert errors["cosine"][0] > errors["cosine"][1] > errors["cosine"][2]  # forty steps at a low rate are too few


def test_a_run_of_unknown_length_ends_with_a_decay():
    before, after, told = lines_of("unknown_length", "300")
    rates = [float(line.rpartition("rate ")[2]) for line in (before, after)]
    steps = [int(re.search(r"(\d+) steps", line)[1]) for line in (before, after, told)]
    assert steps == [300, 375, 375]
    assert rates[1] < rates[0] / 3


def test_the_notebook_runs_and_shows_two_pictures():
    pytest.importorskip("nbclient", reason="needs the dependency group test")
    pytest.importorskip("ipykernel", reason="needs the dependency group test")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "digits.ipynb", as_version=4)
    stored = pictures(notebook)
    NotebookClient(notebook, timeout=120).execute()
    assert len(pictures(notebook)) == len(stored) == 2


def pictures(notebook) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
