"""Each integration needs the library of its own extra, and no other trainer's."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.integration

TRAINERS = {
    "lightning": {"lightning"},
    "transformers": {"transformers", "accelerate"},
    "skorch": {"skorch"},
    "keras": {"keras"},
    "gymnasium": {"gymnasium"},
    "stable_baselines3": {"stable_baselines3", "gymnasium"},
}
OTHERS = {"timm", "ray", "accelerate"}

SCRIPT = """
import importlib, sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked} else self.finder.find_spec(name, path, target)

    def find_distributions(self, context):
        found = getattr(self.finder, "find_distributions", lambda context: [])
        return [] if (context.name or "").replace("-", "_") in {blocked} else found(context)

sys.meta_path[:] = map(Hiding, sys.meta_path)
importlib.import_module("lrpilot.integrations.{name}")
"""


@pytest.mark.parametrize("name", TRAINERS)
def test_an_extra_stands_alone(name):
    if find_spec(name) is None:
        pytest.skip(f"needs {name}")
    blocked = set.union(*TRAINERS.values(), OTHERS) - TRAINERS[name]
    environment = os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = SCRIPT.format(blocked=blocked, name=name)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
