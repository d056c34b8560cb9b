"""Installs the wheel under each supported Python with the oldest torch and the newest; runs a quick part of the suite.

    python .ci/matrix.py [3.11/oldest 3.14/newest ...]

A cell whose Python is neither on the path nor to be had from uv is named and left out; each cell's environment is
removed when it is done. Ends with 1 if a cell failed or none could be tried.
"""

from __future__ import annotations

import glob
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
TORCH = {"oldest": ["torch==2.5.*", "torchvision==0.20.*"], "newest": ["torch", "torchvision"]}
CELLS = [
    *(f"{python}/oldest" for python in ("3.11", "3.12")),  # torch 2.5 was built for no later one
    *(f"{python}/newest" for python in ("3.11", "3.12", "3.13", "3.14")),
]
QUICK = [
    f"tests/test_{name}.py"
    for name in (
        "contracts",
        "pilot",
        "online",
        "offline",
        "oracle",
        "policy",
        "golden",
        "released",
        "run_directory",
        "cli",
    )
]


def python_of(cell: str) -> str | None:
    """The interpreter of a cell, or None."""
    version = cell.partition("/")[0]
    if found := shutil.which(f"python{version}"):
        return found
    if shutil.which("uv") is None:
        return None
    subprocess.run(["uv", "python", "install", version], check=False)
    found = subprocess.run(["uv", "python", "find", version], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def run_cell(cell: str, wheel: str, python: str) -> bool:
    """Whether the tests pass there, on the installed package."""
    with tempfile.TemporaryDirectory(prefix="lrpilot-matrix-") as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        here = str(Path(folder) / "bin" / "python")
        wanted = [f"{wheel}[experiments]", *TORCH[cell.partition("/")[2]], "pytest>=9.0", "hypothesis>=6.100"]
        installed = subprocess.run([here, "-m", "pip", "install", "--quiet", *wanted], check=False)
        if installed.returncode:
            return False
        where = "import lrpilot, torch; print('lrpilot from', lrpilot.__path__[0], 'torch', torch.__version__)"
        subprocess.run([here, "-c", where], check=True)
        return subprocess.run([here, "-m", "pytest", "-q", *QUICK], cwd=CHECKOUT, check=False).returncode == 0


def main(cells: list[str]) -> int:
    """Try the cells and print what came of each."""
    if unknown := [cell for cell in cells if cell not in CELLS]:
        print(f"no such cell: {', '.join(unknown)}; there are {', '.join(CELLS)}")
        return 2
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(CHECKOUT)], check=True
        )
        (wheel,) = glob.glob(f"{folder}/*.whl")
        for cell in cells or CELLS:
            python = python_of(cell)
            if python is None:
                results[cell] = "no such Python here"
                continue
            print(f"== {cell}", flush=True)
            results[cell] = "passed" if run_cell(cell, wheel, python) else "FAILED"
    for cell, result in results.items():
        print(f"Python {cell.replace('/', ', torch ')}: {result}")
    return int("FAILED" in results.values() or "passed" not in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
