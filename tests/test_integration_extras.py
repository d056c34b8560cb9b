"""Each integration needs what its own extra installs, and nothing else that happens to be installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.integration

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

MODULES = {
    "lightning": "lrpilot.integrations.lightning",
    "transformers": "lrpilot.integrations.transformers",
    "skorch": "lrpilot.integrations.skorch",
    "keras": "lrpilot.integrations.keras",
    "gymnasium": "lrpilot.integrations.gymnasium",
    "stable_baselines3": "lrpilot.integrations.stable_baselines3",
    "accelerate": "accelerate, lrpilot",
    "timm": "timm, lrpilot",
}
"""What is imported, by extra; Stable-Baselines3 has none and goes with Gymnasium's. Ray brings some packages
under their own names, which hiding would hide."""

SCRIPT = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden} else self.finder.find_spec(name, path, target)

    def find_distributions(self, context):
        found = getattr(self.finder, "find_distributions", lambda context: [])
        return [] if (context.name or "").replace("-", "_") in {hidden} else found(context)

sys.meta_path[:] = map(Hiding, sys.meta_path)
import {modules}
"""


def installed_for(requirements: list[str]) -> set[str]:
    """The packages that pip would install, as far as they are installed here."""
    found, ahead = set(), [(Requirement(line), "") for line in requirements]
    while ahead:
        wanted, extra = ahead.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        for part in {"", *wanted.extras} - {part for other, part in found if other == name}:
            found.add((name, part))
            with contextlib.suppress(PackageNotFoundError):
                ahead += [(Requirement(line), part) for line in requires(name) or ()]
    return {name for name, _ in found}


@pytest.mark.parametrize("name", MODULES)
def test_an_extra_stands_alone(name):
    if find_spec(name) is None:
        pytest.skip(f"needs {name}")
    extras = PROJECT["optional-dependencies"]
    own = extras.get(name, ["stable-baselines3", *extras["gymnasium"]])
    installed = installed_for([*PROJECT["dependencies"], *own]) | {"lrpilot"}
    owners = packages_distributions()
    hidden = {module for module in owners if installed.isdisjoint(map(canonicalize_name, owners[module]))}
    assert len(hidden) > 20
    environment = os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = SCRIPT.format(hidden=hidden, modules=MODULES[name])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
