"""Learning from schedules: what a peak's regret costs, and that descending along it finds the best one."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.learning.distill import Regrets, distillation_loss
from lrpilot.learning.population.schedules import PEAKS, SPACING
from lrpilot.pilot.policy import LARGEST_STEP


def valley(lowest: float, best: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid and scores with one best peak, steeper above it."""
    index = torch.arange(PEAKS)
    scores = torch.where(index < best, 0.3 * (best - index), 1.0 * (index - best)).float()
    return (lowest + SPACING * index)[None], scores[None]


def test_regret_is_least_at_the_best_peak_and_rises_on_both_sides():
    grid, scores = valley(-5.0, 6)
    regrets = Regrets.from_scores(grid, scores, 1)
    peaks = torch.linspace(-9, 8, 400)[:, None]
    costs = regrets.cost(peaks)[:, 0]
    assert abs(peaks[costs.argmin()].item() - grid[0, 6].item()) < SPACING / 2
    low, high = costs[: costs.argmin()], costs[costs.argmin() + 1 :]
    assert (low.diff() < 1e-6).all()
    assert (high.diff() > -1e-6).all()
    assert regrets.best.item() == pytest.approx(grid[0, 6].item(), abs=SPACING / 2)


def test_descending_the_distillation_loss_finds_the_peak_from_far_away():
    grid, scores = valley(-5.0, 6)
    regrets = Regrets.from_scores(grid, scores, 1)
    for start in (-7.0, 1.0):
        log_peak = torch.full((1, 1), start)
        for _ in range(6):  # six decisions, each with a raw action of its own
            raw = torch.zeros(1, 1, requires_grad=True)
            optimizer = torch.optim.Adam([raw], lr=0.05)
            for _ in range(60):
                optimizer.zero_grad()
                distillation_loss(raw, log_peak, regrets).sum().backward()
                optimizer.step()
            log_peak = log_peak + LARGEST_STEP * raw.detach().tanh()
        assert abs(log_peak.item() - grid[0, 6].item()) < SPACING


def regrets_of(*scores: float) -> Regrets:
    """Of one task whose grid begins at 0."""
    return Regrets.from_scores(SPACING * torch.arange(PEAKS)[None], torch.tensor([scores]), 1)


def test_scores_are_smoothed_by_a_tenth_of_each_neighbour():
    """Noise of single runs is averaged; a cliff beside the best peak still shows."""
    costs = regrets_of(*[1.0] * 6, 0.0, *[1.0] * 5).costs[0]
    regret = {5: 0.9 - 0.2, 6: 0.0, 7: 0.9 - 0.2}  # smoothed scores: 0.2 in the middle, 0.9 beside, 1 elsewhere
    expected = [regret.get(index, 0.8) for index in range(PEAKS)]
    assert costs.tolist() == pytest.approx([r / (r + 0.25) for r in expected], abs=1e-6)


def test_a_regret_of_a_quarter_costs_one_half():
    """A diverged run's regret is several nats: squeezed, it counts no more than three or four mediocre ones."""
    costs = regrets_of(*[0.0] * 6, *[0.25] * 6).costs[0]
    assert costs[[0, -1]].tolist() == pytest.approx([0.0, 0.5])


def test_the_best_peak_is_a_mean_by_regret_in_units_of_a_twentieth():
    """Peaks within five percent of the score count as about equally good: more than that is not noise."""
    regrets = regrets_of(*[0.0] * 6, *[0.05] * 6)
    smooth = [*[0.0] * 5, 0.005, 0.045, *[0.05] * 5]
    weights = [math.exp(-regret / 0.05) for regret in smooth]
    mean = sum(weight * SPACING * index for index, weight in enumerate(weights)) / sum(weights)
    assert regrets.best.item() == pytest.approx(mean, rel=1e-5)


def test_outside_the_grid_too_high_costs_three_times_as_much_as_too_low():
    """By grid spacings; a pull of 0.03 a nat towards the best peak leads back from anywhere."""
    regrets = regrets_of(*[0.0] * PEAKS)  # all peaks equally good, the best one in the middle of the grid
    middle, top = SPACING * (PEAKS - 1) / 2, SPACING * (PEAKS - 1)
    costs = regrets.cost(torch.tensor([[-10 * SPACING], [middle], [top + 10 * SPACING]]))[:, 0]
    pull = 0.03 * (middle + 10 * SPACING - 0.5)  # Huber's: linear, less a half
    assert costs.tolist() == pytest.approx([10 * 0.1 + pull, 0.0, 10 * 0.3 + pull], abs=1e-5)
