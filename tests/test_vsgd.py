"""vSGD against a transcription in plain numbers, and its promises: cautious start, no rate to choose."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lrpilot.baselines.vsgd import VSGD, signal_fraction
from lrpilot.errors import InvalidArgument

SAMPLES, CLASSES, INPUTS = 40, 3, 4


def problem(*, hidden=False, dtype=torch.float64):
    torch.manual_seed(0)
    layers = [nn.Linear(INPUTS, 5), nn.Tanh(), nn.Linear(5, CLASSES)] if hidden else [nn.Linear(INPUTS, CLASSES)]
    network = nn.Sequential(*layers).to(dtype)
    x = torch.randn(SAMPLES, INPUTS, dtype=dtype)
    return network, x, (x @ torch.randn(INPUTS, CLASSES, dtype=dtype)).argmax(1)


def run(network, optimizer, x, y, *, batch, steps):
    losses = []
    for step in range(steps):
        rows = [(step * batch + k) % len(x) for k in range(batch)]
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def transcription(network, x, y, granularity, *, batch, steps, first, factor, eps=1e-9):
    """The papers' formulas for softmax regression, one number at a time. Returns weights and biases, flat."""
    weight = network[0].weight.detach().tolist()
    bias = network[0].bias.detach().tolist()
    theta = [w for row in weight for w in row] + bias
    blocks = {
        "local": [[i] for i in range(len(theta))],
        "block": [list(range(CLASSES * INPUTS)), list(range(CLASSES * INPUTS, len(theta)))],
        "global": [list(range(len(theta)))],
    }[granularity]

    def sample(row):
        inputs = x[row].tolist()
        logits = torch.tensor(
            [
                sum(theta[k * INPUTS + j] * inputs[j] for j in range(INPUTS)) + theta[CLASSES * INPUTS + k]
                for k in range(CLASSES)
            ],
            dtype=torch.float64,
        )
        p = torch.softmax(logits, 0).tolist()
        delta = [p[k] - (k == int(y[row])) for k in range(CLASSES)]
        g = [delta[k] * inputs[j] for k in range(CLASSES) for j in range(INPUTS)] + delta
        d = [p[k] * (1 - p[k]) for k in range(CLASSES)]
        return g, [d[k] * inputs[j] ** 2 for k in range(CLASSES) for j in range(INPUTS)] + d

    def batch_means(step):
        drawn = [sample((step * batch + k) % len(x)) for k in range(batch)]
        size = range(len(theta))
        gbar = [sum(g[i] for g, _ in drawn) / batch for i in size]
        square = [sum(sum(g[i] ** 2 for i in block) for g, _ in drawn) / batch for block in blocks]
        return gbar, square, [sum(h[i] for _, h in drawn) / batch for i in size]

    starts = [batch_means(step) for step in range(first)]
    gbar = [sum(s[0][i] for s in starts) / first for i in range(len(theta))]
    square = [factor * sum(s[1][b] for s in starts) / first for b in range(len(blocks))]
    hbar = [max(eps, factor * sum(s[2][i] for s in starts) / first) for i in range(len(theta))]
    tau = [float(first)] * len(blocks)
    for step in range(first, steps):
        g, v, h = batch_means(step)
        for b, block in enumerate(blocks):
            w = 1 / tau[b]
            square[b] = (1 - w) * square[b] + w * v[b]
            for i in block:
                gbar[i] = (1 - w) * gbar[i] + w * g[i]
                hbar[i] = (1 - w) * hbar[i] + w * max(eps, h[i])
            signal = sum(gbar[i] ** 2 for i in block)
            fraction = signal / (square[b] / batch + (batch - 1) * signal / batch)
            for i in block:
                theta[i] -= fraction / max(hbar[j] for j in block) * g[i]
            tau[b] = (1 - fraction) * tau[b] + 1
    return theta


@pytest.mark.parametrize("granularity", ["local", "block", "global"])
@pytest.mark.parametrize(("batch", "initial", "first"), [(1, 6, 6), (4, 6, 2)])
def test_trace_equals_the_transcription(granularity, batch, initial, first):
    network, x, y = problem()
    expected = transcription(network, x, y, granularity, batch=batch, steps=30, first=first, factor=2.0)
    start = network[0].weight.detach().flatten().tolist()
    optimizer = VSGD(network, granularity, initial_samples=initial, overestimate=2.0)
    run(network, optimizer, x, y, batch=batch, steps=30)
    actual = network[0].weight.detach().flatten().tolist() + network[0].bias.detach().tolist()
    assert actual == pytest.approx(expected, rel=1e-9)
    assert actual[: len(start)] != pytest.approx(start, rel=1e-2)  # the control: it did move


def test_transcriptions_differ_between_granularities():
    network, x, y = problem()
    traces = [
        transcription(network, x, y, kind, batch=1, steps=30, first=6, factor=2.0)
        for kind in ("local", "block", "global")
    ]
    assert traces[0] != pytest.approx(traces[1], rel=1e-2)
    assert traces[1] != pytest.approx(traces[2], rel=1e-2)


def test_signal_fraction_by_hand():
    # gbar^2 = 0.04, vbar = 0.2, n = 5: 0.04 / (0.04 + 4 * 0.04 / 5) = 0.04 / 0.072
    mean_square, square = torch.tensor(0.04), torch.tensor(0.2)
    assert signal_fraction(mean_square, square, 5).item() == pytest.approx(0.04 / 0.072)
    assert signal_fraction(mean_square, square, 1).item() == pytest.approx(0.2)
    assert signal_fraction(torch.zeros(()), torch.zeros(()), 1).item() == 0.0


@pytest.mark.parametrize("granularity", ["local", "block", "global"])
def test_first_samples_move_nothing(granularity):
    network, x, y = problem(hidden=True)
    before = [p.clone() for p in network.parameters()]
    optimizer = VSGD(network, granularity, initial_samples=6)
    run(network, optimizer, x, y, batch=1, steps=6)
    assert all(torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True))
    assert optimizer.effective_rate() == 0.0
    run(network, optimizer, x, y, batch=1, steps=1)
    assert not all(torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True))
    assert optimizer.effective_rate() > 0.0


@pytest.mark.parametrize("granularity", ["local", "block", "global"])
@pytest.mark.parametrize("batch", [1, 8])
def test_learns_without_a_rate(granularity, batch):
    network, x, y = problem(hidden=True, dtype=torch.float32)
    losses = run(network, VSGD(network, granularity, initial_samples=10), x, y, batch=batch, steps=1500)
    assert sum(losses[-40:]) / 40 < 0.35 * sum(losses[:40]) / 40


def test_a_blank_input_stays_harmless():
    network, x, y = problem(dtype=torch.float32)
    x[:, 0] = 0.0
    column = network[0].weight[:, 0].clone()
    run(network, VSGD(network, "local", initial_samples=6), x, y, batch=1, steps=100)
    assert torch.isfinite(network[0].weight).all()
    assert torch.equal(network[0].weight[:, 0], column)


def test_default_overestimate_is_a_tenth_of_the_parameters():
    network = nn.Sequential(nn.Linear(784, 10))
    assert VSGD(network).param_groups[0]["overestimate"] == 785.0


@pytest.mark.parametrize("granularity", ["local", "global"])
def test_state_survives_saving(granularity):
    whole, x, y = problem(hidden=True)
    run(whole, VSGD(whole, granularity, initial_samples=6), x, y, batch=1, steps=80)
    halves, x, y = problem(hidden=True)
    first = VSGD(halves, granularity, initial_samples=6)
    run(halves, first, x, y, batch=1, steps=40)
    again, x, y = problem(hidden=True)
    again.load_state_dict(halves.state_dict())
    second = VSGD(again, granularity, initial_samples=6)
    second.load_state_dict(first.state_dict())
    run(again, second, x, y, batch=1, steps=40)  # forty samples: the second half begins at the first row too
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"granularity": "layer"},
        {"lr": -1.0},
        {"initial_samples": 0},
        {"overestimate": 0.5},
        {"epsilon": 0.0},
    ],
)
def test_settings_out_of_range_are_named(settings):
    with pytest.raises(InvalidArgument, match=next(iter(settings))):
        VSGD(nn.Sequential(nn.Linear(2, 2)), **settings)


def test_it_starts_as_its_paper_says():
    """Sixty samples without updates, overestimated by a tenth of the number of parameters (at least 1), a curvature of
    at least 1e-9, which only a parameter without any has."""
    wide, narrow = nn.Linear(99, 3), nn.Linear(2, 2)
    group = VSGD(nn.Sequential(wide)).param_groups[0]
    assert (group["initial_samples"], group["overestimate"], group["epsilon"], group["lr"]) == (60, 30.0, 1e-9, 1.0)
    assert VSGD(nn.Sequential(narrow)).param_groups[0]["overestimate"] == 1.0
    assert VSGD(nn.Sequential(nn.Linear(2, 2)), initial_samples=1).param_groups[0]["initial_samples"] == 1


def test_the_share_of_signal_where_there_is_no_gradient_is_zero():
    """A pixel that is always blank: 0 / 0, made 0 by float32's smallest number, which changes nothing else."""
    blank, tiny = torch.zeros(1), torch.full((1,), 1e-16)
    for samples in (1, 50):
        assert signal_fraction(blank, blank, samples).item() == 0.0
        assert signal_fraction(tiny.square(), tiny.square(), samples).item() == pytest.approx(1.0, rel=1e-5)
