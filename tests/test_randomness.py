"""A controller's own random numbers."""

from __future__ import annotations

import pytest
import torch

from lrpilot.core.randomness import own_generator
from lrpilot.errors import InvalidArgument


def test_a_seed_of_62_bits_from_torchs_global_generator() -> None:
    """As many as an int64 holds beside its sign and one to spare: two controllers hardly ever get the same."""
    torch.manual_seed(0)
    seeds = [own_generator(None).initial_seed() for _ in range(200)]
    assert len(set(seeds)) == 200
    assert 2**61 < max(seeds) < 2**62
    torch.manual_seed(0)
    assert own_generator(None).initial_seed() == seeds[0]


def test_a_generator_that_is_given_is_used() -> None:
    given = torch.Generator()
    assert own_generator(given) is given


def test_a_generator_elsewhere_is_refused() -> None:
    class Elsewhere(torch.Generator):
        device = torch.device("cuda")

    with pytest.raises(InvalidArgument, match="generator must be one on the CPU, got 'cuda'"):
        own_generator(Elsewhere())
