"""Whether a length may be a count of batches."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

import pytest
import torch

from lrpilot.pilot import loaders
from lrpilot.pilot.living import living
from lrpilot.pilot.loaders import batches_for


def loader_of(batches):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(batches)), batch_size=1)


def only(batches, monkeypatch):
    """Other tests' passes may live on; but nothing else is looked at."""

    def of_this_test(wanted):
        found = living(wanted)
        assert all("_num_yielded" in vars(thing) for thing in found)
        return [thing for thing in found if thing is batches]

    monkeypatch.setattr(loaders, "living", of_this_test)


@pytest.mark.parametrize(
    ("given", "steps", "total_steps", "found"),
    [
        (4, 2, 20, 4),  # two batches a step, two passes
        (4, 2, 10, 4),
        (5, 2, 20, 5),  # one batch more has been fetched
        (4, 3, 20, None),  # nearly one for each step
        (4, 2, 15, None),  # no whole number of passes: steps may well be meant
        (10, 2, 20, None),  # the pass is over
    ],
)
def test_batches_of_the_loader_in_the_calling_function(monkeypatch, given, steps, total_steps, found):
    loader = loader_of(10)
    batches = iter(loader)
    for _ in range(given):
        next(batches)
    only(batches, monkeypatch)
    assert batches_for(steps, total_steps) == found


class Holder:
    """Of a loader that has given four batches, and that no calling function holds."""

    def __init__(self, monkeypatch):
        self.loader = loader_of(10)
        self.batches = iter(self.loader)
        for _ in range(4):
            next(self.batches)
        only(self.batches, monkeypatch)


def test_a_loader_that_no_calling_function_holds_is_not_looked_at(monkeypatch):
    holder = Holder(monkeypatch)
    assert batches_for(2, 20) is None
    loader = holder.loader
    assert batches_for(2, 20) == 4
    assert loader is holder.loader


def test_looking_at_variables_keeps_none_alive(monkeypatch):
    """Before Python 3.13 a frame keeps what it was asked for until its function returns: models, and steps' outputs."""
    holder = Holder(monkeypatch)

    def function():
        model = torch.nn.Linear(1, 1)
        gone = weakref.ref(model)
        assert batches_for(2, 20) is None
        del model
        return gone()

    assert function() is None
    assert holder.loader is not None


def test_the_locals_that_a_function_asked_for_stay(monkeypatch):
    holder = Holder(monkeypatch)
    holder.config = locals()
    assert batches_for(2, 20) is None
    assert holder.config["holder"] is holder


@pytest.mark.parametrize(("module", "found"), [(loaders, 4), (None, None)])
def test_the_loop_of_an_installed_trainer_counts_its_steps(monkeypatch, module, found):
    """So that its loader says nothing; lrpilot's own functions, which are installed beside it, are passed over."""
    holder = Holder(monkeypatch)
    loader = holder.loader
    installed = Path(module.__file__ if module else __file__).parent
    monkeypatch.setattr(loaders.sysconfig, "get_path", lambda name: str(installed))
    assert batches_for(2, 20) == found
    assert loader is holder.loader


def test_a_thread_without_a_loader_has_none_in_sight(monkeypatch):
    """Its calling functions end without any of an installed library's."""
    holder = Holder(monkeypatch)
    found = []
    thread = threading.Thread(target=lambda: found.append(batches_for(2, 20)))
    thread.start()
    thread.join()
    assert found == [None]
    assert len(list(holder.batches)) == 6  # still under way


class Counted(torch.utils.data.IterableDataset):
    def __init__(self, length):
        self.length = length

    def __iter__(self):
        return iter(torch.zeros(100))

    def __len__(self):
        return self.length


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "samples"), [(None, False, 10), (1, False, 10), (3, False, 28), (3, True, 32)]
)
def test_a_stream_that_knows_its_length(monkeypatch, batch_size, drop_last, samples):
    """Ten batches. The stream gives more samples than it says, of which a loader that is asked would warn."""
    loader = torch.utils.data.DataLoader(Counted(samples), batch_size=batch_size, drop_last=drop_last)
    batches = iter(loader)
    for _ in range(6):
        next(batches)
    only(batches, monkeypatch)
    assert batches_for(2, 20) == 6
    assert batches_for(2, 18) is None
    for _ in range(20):
        next(batches)
    assert loader.drop_last == drop_last  # still in sight


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(torch.zeros(10))


class Endless(torch.utils.data.Sampler):
    def __init__(self):
        pass

    def __iter__(self):
        return iter(range(10))


class Unwilling(Endless):
    def __len__(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("data", "sampler"), [(Stream(), None), (torch.zeros(10), Endless()), (torch.zeros(10), Unwilling())]
)
def test_a_stream_has_no_length_to_compare_with(monkeypatch, data, sampler):
    loader = torch.utils.data.DataLoader(data, batch_size=1, sampler=sampler)
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    only(batches, monkeypatch)
    assert batches_for(2, 20) is None
    assert loader.batch_size == 1  # still in sight
