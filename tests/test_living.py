"""What is found among all living objects."""

from __future__ import annotations

import gc

import pytest
import torch

from lrpilot.pilot.living import living, schedulers_of


class Thing:
    pass


class Kin(Thing):
    pass


@pytest.mark.usefixtures("all_objects")
@pytest.mark.parametrize("frozen", [True, False])
def test_all_that_lives_is_found(frozen: bool) -> None:
    """Also what is frozen, which is so again afterwards."""
    thing, kin = Thing(), Kin()
    gc.unfreeze()
    if frozen:
        gc.freeze()
    try:
        assert set(living(lambda kind: issubclass(kind, Thing))) == {thing, kin}
        assert (gc.get_freeze_count() > 0) == frozen
        assert living(lambda kind: kind is Kin) == [kin]
        assert (gc.get_freeze_count() > 0) == frozen
    finally:
        gc.unfreeze()


def test_schedulers_of_every_library_are_known_by_their_names() -> None:
    """And hold the optimizer under the name that all use."""

    class CosineScheduler:
        def __init__(self, optimizer: object) -> None:
            self.optimizer = optimizer

    class LRMonitor(CosineScheduler):  # by its kind
        pass

    class WarmupLR:
        def __init__(self, optimizer: object) -> None:
            self.optimizer = optimizer

    class Trainer(WarmupLR):
        pass

    class LRFinder:
        def __init__(self, optimizer: object) -> None:
            self.optimizer = optimizer

    class SlottedLR:
        __slots__ = ("optimizer",)

    driven, other = (torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1) for _ in range(2))
    slotted = SlottedLR()
    slotted.optimizer = driven
    held = [LRMonitor(driven), LRMonitor(driven), Trainer(driven), LRFinder(driven), CosineScheduler(other), slotted]
    assert schedulers_of(driven) == ["LRMonitor", "Trainer"]
    assert len(held) == 6
