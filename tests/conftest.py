"""What every test runs under, and the data sets that some of them need."""

import gc
import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with Ctrl-C ignored
torch.set_num_threads(1)  # the networks are small: threads only contend with the other test processes

settings.register_profile("short", max_examples=30, derandomize=True)
settings.register_profile("long", max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


class RecentObjects:
    """The ``gc`` of `lrpilot.pilot.living`, to which what is frozen does not exist."""

    get_objects = staticmethod(gc.get_objects)

    @staticmethod
    def get_freeze_count():
        return 0


@pytest.fixture(autouse=True)
def recent_objects(monkeypatch):
    """A pilot searches for its network among what this test has made, not among the million objects that were there."""
    gc.collect()
    gc.freeze()
    monkeypatch.setattr("lrpilot.pilot.living.gc", RecentObjects)


@pytest.fixture
def all_objects(recent_objects, monkeypatch):
    """The search is as it is outside of tests, and what is frozen may be thawed."""
    monkeypatch.setattr("lrpilot.pilot.living.gc", gc)


@pytest.fixture(autouse=True)
def denormal():
    """Pretraining flushes denormal numbers to zero; the next test has them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def fresh_accelerate():
    """The library, which keeps one state a process, without what other tests have left in it."""
    accelerate = pytest.importorskip("accelerate", reason="needs lrpilot[accelerate]")

    def reset():
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        accelerate.state.GradientState._reset_state()

    reset()
    yield accelerate
    reset()


MNIST = "MNIST/raw/train-images-idx3-ubyte"
CIFAR10_JPEG = "cifar10-jpeg.zip"
FOLDER = Path(os.environ.get("LRPILOT_DATA", "data")).resolve()  # before any test changes either


@pytest.fixture
def data():
    """The folder under LRPILOT_DATA. Without MNIST and CIFAR-10 in it the test is skipped, or fails when
    LRPILOT_REQUIRE_DATA is set."""
    missing = [name for name in (MNIST, CIFAR10_JPEG) if not (FOLDER / name).exists()]
    if missing:
        reason = f"needs {' and '.join(missing)} in {FOLDER} (set LRPILOT_DATA)"
        if os.environ.get("LRPILOT_REQUIRE_DATA"):
            pytest.fail(reason)
        pytest.skip(reason)
    return FOLDER
