"""The score by hand: what decides which rate is called better is pinned here."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.learning.population.score import Performance, score

UNTRAINED = Performance(torch.tensor([2.0]), torch.tensor([4.0]), torch.tensor([0.9]))


def scored(training: float, held_out: float, error: float, *, untrained: Performance = UNTRAINED) -> float:
    return score(Performance(*(torch.tensor([n]) for n in (training, held_out, error))), untrained).item()


def test_classification_weighs_the_losses_a_quarter_each_and_the_error_a_half():
    """What generalises weighs three quarters; the training loss is there because it is the least noisy."""
    expected = math.log(0.5 + 0.005) / 4 + math.log(0.25 + 0.005) / 4 + math.log((0.09 + 0.01) / 0.9) / 2
    assert scored(1.0, 1.0, 0.09) == pytest.approx(expected)


def test_regression_weighs_both_losses_alike():
    untrained = UNTRAINED._replace(held_out_error=torch.tensor([math.nan]))
    expected = math.log(0.5 + 0.005) / 2 + math.log(0.25 + 0.005) / 2
    assert scored(1.0, 1.0, math.nan, untrained=untrained) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [3.0, 1e6, math.inf, math.nan])
def test_a_loss_counts_up_to_one_and_a_half_times_the_untrained_ones(loss):
    """A lost run is lost: how far its loss went says nothing about its rate."""
    assert scored(loss, 6.0, 0.9) == pytest.approx(math.log(1.505) / 2 + math.log(0.91 / 0.9) / 2)


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_without_a_finite_loss_the_error_is_that_of_guessing(loss):
    assert scored(2.0, loss, 0.0) == pytest.approx(math.log(1.005) / 4 + math.log(1.505) / 4 + math.log(0.91 / 0.9) / 2)


def test_losses_and_errors_are_floored():
    """A run that memorises a tiny task perfectly would otherwise outweigh all others of the population."""
    assert scored(0.0, 0.0, 0.0) == pytest.approx(math.log(0.005) / 2 + math.log(0.01 / 0.9) / 2)
