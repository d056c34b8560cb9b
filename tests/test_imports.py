"""The map of the package holds: imports run down its layers, in no circle, and `import lrpilot` stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lrpilot

ROOT = Path(lrpilot.__file__).parent
LAYERS = (
    "errors",
    "core",
    "online pilot",
    "suggestion",
    "learning",
    "baselines",
    "integrations",
    "experiments",
    "commands",
    "cli public",
    "__init__ __main__",
)
"""From the ground up. Two folders of one layer are independent of each other."""
HEIGHT = {folder: height for height, layer in enumerate(LAYERS) for folder in layer.split()}

MODULES = {
    ".".join(("lrpilot", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in ROOT.rglob("*.py")
}


def imported(module: str, file: Path) -> set[str]:
    """The modules of the package that one names anywhere in its text, under TYPE_CHECKING too."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parent = ".".join([*base, *filter(None, [node.module])])
            names |= {name if (name := f"{parent}.{alias.name}") in MODULES else parent for alias in node.names}
    return names & MODULES.keys()


IMPORTS = [(module, other) for module, file in MODULES.items() for other in imported(module, file)]


def top(module: str) -> str:
    """The folder, or the file, directly below `lrpilot`."""
    return f"{module}.__init__".split(".")[1]


def folder(module: str) -> str:
    """The innermost folder of a module; files directly below `lrpilot` stand for themselves."""
    inside = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    return module if inside == "lrpilot" else inside


def assert_no_circle(arrows: list[tuple[str, str]]) -> None:
    graph = TopologicalSorter()
    for begin, end in arrows:
        if begin != end:
            graph.add(begin, end)
    try:
        graph.prepare()
    except CycleError as error:
        raise AssertionError("a circle: " + " <- ".join(error.args[1])) from None


def test_every_folder_stands_in_the_map():
    assert {top(module) for module in MODULES} <= HEIGHT.keys()


def test_imports_run_down_the_layers():
    across = [(module, other) for module, other in IMPORTS if top(module) != top(other)]
    assert [f"{module} -> {other}" for module, other in across if HEIGHT[top(other)] >= HEIGHT[top(module)]] == []


def test_nothing_imports_an_integration():
    """Each needs a library of its own."""
    leaves = {module for module in MODULES if top(module) == "integrations"}
    assert len(leaves) > 1
    assert [(module, other) for module, other in IMPORTS if other in leaves] == []


def test_no_module_and_no_folder_imports_itself_in_a_circle():
    assert_no_circle(IMPORTS)
    assert_no_circle([(folder(module), folder(other)) for module, other in IMPORTS])


def test_importing_the_package_adds_safetensors_alone_to_torch():
    listing = "print(*{name.split('.')[0] for name in sys.modules} - before)"
    before = "import sys, torch; before = {name.split('.')[0] for name in sys.modules}"
    script = f"{before}; import lrpilot; lrpilot.Pilot; {listing}"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) - set(sys.stdlib_module_names) - {"lrpilot"} == {"safetensors"}


def run_without_numpy(script):
    without = "import sys; sys.modules['numpy'] = None; import lrpilot; "
    return subprocess.run([sys.executable, "-c", without + script], capture_output=True, text=True, check=False)


def test_the_pilot_does_without_numpy():
    """And loads nothing of the paper's algorithm, which does not."""
    drive = (
        "import torch; w = torch.nn.Parameter(torch.ones(3)); o = torch.optim.SGD([w], lr=0.1); "
        "pilot = lrpilot.Pilot(o, 30)\n"
        "for _ in range(30):\n loss = w.square().sum(); o.zero_grad(); loss.backward(); o.step(); pilot.step(loss)\n"
        "print(bool(w.abs().max() < 1), [name for name in sys.modules if name.startswith('lrpilot.online')])"
    )
    ran = run_without_numpy(drive)
    assert (ran.stdout, ran.returncode) == ("True []\n", 0), ran.stderr


def test_the_actor_critic_says_that_it_needs_numpy():
    last = run_without_numpy("lrpilot.OnlineActorCritic").stderr.splitlines()[-1]
    assert last == "ModuleNotFoundError: OnlineActorCritic needs NumPy: pip install 'lrpilot[online]'"


def test_torch_is_loaded_with_the_first_public_name():
    script = "import sys, lrpilot; print('torch' in sys.modules); lrpilot.Pilot; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\nTrue\n"


def test_every_public_name_is_there():
    assert all(getattr(lrpilot, name) is not None for name in lrpilot.__all__)
    assert set(dir(lrpilot)) == set(lrpilot.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = lrpilot.no_such_name
