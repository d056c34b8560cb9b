"""Observations: the paper's is the loss itself; the stable one knows no scale."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.online.observation import BatchLoss, RelativeLogLoss


def test_batch_loss_is_the_loss() -> None:
    assert BatchLoss()(torch.tensor(2.25)).tolist() == [2.25]


def test_relative_log_loss_by_hand() -> None:
    observe = RelativeLogLoss(decay=0.5)
    assert observe(torch.tensor(4.0)).tolist() == [0.0, 0.0]
    observe.commit(torch.tensor(4.0))  # the first: mean 0
    observe.commit(torch.tensor(1.0))  # log(1/4) halves into the mean
    mean = -math.log(4) / 2
    assert observe(torch.tensor(2.0)).tolist() == pytest.approx([math.log(0.5) - mean, mean])


def test_observing_alone_changes_nothing() -> None:
    observe = RelativeLogLoss()
    observe.commit(torch.tensor(1.0))
    before = observe(torch.tensor(0.5))
    observe(torch.tensor(100.0))
    assert torch.equal(before, observe(torch.tensor(0.5)))


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e7])
def test_relative_log_loss_ignores_the_scale_of_the_loss(scale: float) -> None:
    plain, scaled = RelativeLogLoss(), RelativeLogLoss()
    for loss in (2.0, 1.5, 1.7, 0.3):
        plain.commit(torch.tensor(loss))
        scaled.commit(torch.tensor(loss * scale))
    torch.testing.assert_close(plain(torch.tensor(0.4)), scaled(torch.tensor(0.4 * scale)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", [0.0, -3.0])
def test_losses_that_are_not_positive_stay_finite(loss: float) -> None:
    observe = RelativeLogLoss()
    observe.commit(torch.tensor(1.0))
    assert observe(torch.tensor(loss)).isfinite().all()


def test_the_running_mean_remembers_a_hundred_steps() -> None:
    """The deviation from it is then what has changed within an epoch or so, and noise does not move it."""
    observe = RelativeLogLoss()
    observe.commit(torch.tensor(1.0))
    observe.commit(torch.tensor(math.e))
    assert observe(torch.tensor(1.0)).tolist() == pytest.approx([-0.01, 0.01])


def test_losses_are_read_down_to_a_hundred_millionth_of_the_first() -> None:
    """float32 tells losses apart down to there beside one of size 1; below lies only rounding, and the log of 0."""
    observe = RelativeLogLoss()
    observe.commit(torch.tensor(2.0))
    for loss in (2e-8, 1e-12, 0.0, -5.0):
        assert observe(torch.tensor(loss))[0].item() == pytest.approx(math.log(1e-8))
    assert observe(torch.tensor(4e-8))[0].item() == pytest.approx(math.log(2e-8))


def test_an_observation_is_as_many_numbers_as_it_says() -> None:
    for observe in (BatchLoss(), RelativeLogLoss()):
        assert observe(torch.tensor(1.0)).shape == (observe.size,)


def test_an_observation_resumes() -> None:
    one, two = RelativeLogLoss(), RelativeLogLoss()
    for loss in (2.0, 3.0):
        one.commit(torch.tensor(loss))
    two.load_state_dict(one.state_dict())
    for each in (one, two):
        each.commit(torch.tensor(1.0))
    assert torch.equal(one(torch.tensor(0.5)), two(torch.tensor(0.5)))
    assert BatchLoss().state_dict() == {}


@pytest.mark.parametrize("first", [0.0, -2.0])
def test_a_first_loss_that_is_not_positive_counts_by_its_size(first: float) -> None:
    """Of 0 by the smallest number there is: all losses are far above it."""
    observe = RelativeLogLoss()
    observe.commit(torch.tensor(first))
    if first:
        assert observe(torch.tensor(2.0 * math.e)).tolist() == pytest.approx([1.0, 0.0])
    else:
        assert observe(torch.tensor(1.0))[0].item() == pytest.approx(126 * math.log(2.0))  # float32's is 2^-126
