"""Observations: the paper's is the loss itself; the stable one knows no scale."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrpilot.online.observation import BatchLoss, RelativeLogLoss


def test_batch_loss_is_the_loss() -> None:
    assert BatchLoss()(2.25).tolist() == [2.25]


def test_relative_log_loss_by_hand() -> None:
    observe = RelativeLogLoss(decay=0.5)
    assert observe(4.0).tolist() == [0.0, 0.0]
    observe.commit(4.0)  # the first: mean 0
    observe.commit(1.0)  # log(1/4) halves into the mean
    mean = -math.log(4) / 2
    assert observe(2.0).tolist() == pytest.approx([math.log(0.5) - mean, mean])


def test_observing_alone_changes_nothing() -> None:
    observe = RelativeLogLoss()
    observe.commit(1.0)
    before = observe(0.5)
    observe(100.0)
    assert np.array_equal(before, observe(0.5))


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e7])
def test_relative_log_loss_ignores_the_scale_of_the_loss(scale: float) -> None:
    plain, scaled = RelativeLogLoss(), RelativeLogLoss()
    for loss in (2.0, 1.5, 1.7, 0.3):
        plain.commit(loss)
        scaled.commit(loss * scale)
    np.testing.assert_allclose(plain(0.4), scaled(0.4 * scale))


@pytest.mark.parametrize("loss", [0.0, -3.0])
def test_losses_that_are_not_positive_stay_finite(loss: float) -> None:
    observe = RelativeLogLoss()
    observe.commit(1.0)
    assert np.isfinite(observe(loss)).all()


def test_the_running_mean_remembers_a_hundred_steps() -> None:
    """The deviation from it is then what has changed within an epoch or so, and noise does not move it."""
    observe = RelativeLogLoss()
    observe.commit(1.0)
    observe.commit(math.e)
    assert observe(1.0).tolist() == pytest.approx([-0.01, 0.01])


def test_the_running_mean_keeps_what_it_was() -> None:
    observe = RelativeLogLoss(decay=0.5)
    for loss in (1.0, math.e, math.e):
        observe.commit(loss)
    assert observe(1.0).tolist() == pytest.approx([-0.75, 0.75])


def test_losses_are_read_down_to_a_hundred_millionth_of_the_first() -> None:
    """float32 tells losses apart down to there beside one of size 1; below lies only rounding, and the log of 0."""
    observe = RelativeLogLoss()
    observe.commit(2.0)
    for loss in (2e-8, 1e-12, 0.0, -5.0):
        assert observe(loss)[0] == pytest.approx(math.log(1e-8))
    assert observe(4e-8)[0] == pytest.approx(math.log(2e-8))


def test_an_observation_is_as_many_numbers_as_it_says() -> None:
    for observe in (BatchLoss(), RelativeLogLoss()):
        assert observe(1.0).shape == (observe.size,)


def test_an_observation_resumes() -> None:
    one, two = RelativeLogLoss(), RelativeLogLoss()
    for loss in (2.0, 3.0):
        one.commit(loss)
    two.load_state_dict(one.state_dict())
    for each in (one, two):
        each.commit(1.0)
    assert np.array_equal(one(0.5), two(0.5))
    assert BatchLoss().state_dict() == {}


@pytest.mark.parametrize("first", [0.0, -2.0])
def test_a_first_loss_that_is_not_positive_counts_by_its_size(first: float) -> None:
    """Of 0 by the smallest number there is: all losses are far above it."""
    observe = RelativeLogLoss()
    observe.commit(first)
    if first:
        assert observe(2.0 * math.e).tolist() == pytest.approx([1.0, 0.0])
    else:
        assert observe(1.0)[0] == pytest.approx(126 * math.log(2.0))  # float32's is 2^-126
