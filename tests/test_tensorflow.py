"""TensorFlow's optimizers against traces computed with plain numbers, and against PyTorch's defaults."""

import copy
import math

import pytest
import torch
from torch import nn

from lrpilot.baselines.tensorflow import TFAdagrad, TFAdam, TFRMSprop
from lrpilot.errors import InvalidArgument

# Large, tiny and sign-changing: a misplaced epsilon or a wrong start value shows in the tiny ones.
GRADIENTS = [0.5, -2.0, 3e-8, 1e-4, -0.7]
START = 0.3


def trace(make_optimizer, gradients=GRADIENTS, dtype=torch.float64):
    """The parameter after each of the given gradients."""
    parameter = nn.Parameter(torch.tensor([START], dtype=dtype))
    optimizer = make_optimizer([parameter])
    values = []
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=dtype)
        optimizer.step()
        values.append(parameter.item())
    return values


def adam_by_hand(lr, eps, gradients):
    theta, mean, square, values = START, 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * g
        square = 0.999 * square + 0.001 * g * g
        rate = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        theta -= rate * mean / (math.sqrt(square) + eps)
        values.append(theta)
    return values


@pytest.mark.parametrize("fused", [True, False])
def test_adam_follows_tensorflow(fused):
    values = trace(lambda p: TFAdam(p, 0.01, eps=1e-3, fused=fused))
    assert values == pytest.approx(adam_by_hand(0.01, 1e-3, GRADIENTS), abs=1e-12)


def test_adam_first_step_is_the_textbook_one():
    # t = 1: sqrt(1 - b2) g / (sqrt(1 - b2) |g| + eps) = 0.0316228 * 0.5 / (0.0158114 + 0.001)
    assert trace(lambda p: TFAdam(p, 1.0, eps=1e-3), [0.5])[0] == pytest.approx(0.3 - 0.94052, abs=1e-5)


def test_torch_adam_places_epsilon_elsewhere():
    values = trace(lambda p: torch.optim.Adam(p, 0.01, eps=1e-3))
    assert values != pytest.approx(adam_by_hand(0.01, 1e-3, GRADIENTS), abs=1e-6)


def test_adagrad_follows_tensorflow():
    theta, total, expected = START, 0.1, []
    for g in GRADIENTS:
        total += g * g
        theta -= 0.01 * g / math.sqrt(total)
        expected.append(theta)
    assert trace(lambda p: TFAdagrad(p, 0.01)) == pytest.approx(expected, abs=1e-12)
    assert trace(lambda p: torch.optim.Adagrad(p, 0.01)) != pytest.approx(expected, abs=1e-4)


def test_rmsprop_follows_tensorflow():
    theta, square, expected = START, 1.0, []
    for g in GRADIENTS:
        square += 0.1 * (g * g - square)
        theta -= 0.01 * g / math.sqrt(square + 1e-10)
        expected.append(theta)
    assert trace(lambda p: TFRMSprop(p, 0.01)) == pytest.approx(expected, abs=1e-12)
    assert trace(lambda p: torch.optim.RMSprop(p, 0.01)) != pytest.approx(expected, abs=1e-4)
    same_settings = trace(lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-10))
    assert same_settings != pytest.approx(expected, abs=1e-4)  # the accumulator's start is what remains


def test_rmsprop_epsilon_stands_inside_the_root():
    # A square of zero leaves lr g / sqrt(eps): decay 0 forgets the start, and 1e-16 is nothing beside 1e-4.
    value = trace(lambda p: TFRMSprop(p, 1.0, decay=0.0, eps=1e-4), [1e-8])[0]
    assert START - value == pytest.approx(1e-8 / 1e-2, rel=1e-6)


@pytest.mark.parametrize("make", [TFAdam, TFAdagrad, TFRMSprop])
def test_groups_tensor_rates_and_missing_gradients(make):
    first, second, idle = (nn.Parameter(torch.ones(3)) for _ in range(3))
    rate = torch.tensor(0.1)
    optimizer = make([{"params": [first, idle]}, {"params": [second], "lr": 0.2}], rate)
    first.grad, second.grad = torch.ones(3), torch.ones(3)
    optimizer.step()
    assert torch.allclose(2 * (1 - first), 1 - second, rtol=1e-5)
    assert torch.equal(idle, torch.ones(3))
    rate.fill_(0.0)
    before = first.clone()
    optimizer.step()
    assert torch.equal(first, before)


@pytest.mark.parametrize("make", [TFAdam, TFAdagrad, TFRMSprop])
def test_state_survives_saving(make):
    def run(steps, optimizer, parameter):
        for step in steps:
            parameter.grad = torch.sin(torch.arange(3.0) + step)
            optimizer.step()

    whole = nn.Parameter(torch.ones(3))
    run(range(8), make([whole], 0.1), whole)
    halves = nn.Parameter(torch.ones(3))
    first = make([halves], 0.1)
    run(range(4), first, halves)
    second = make([halves], 0.5)
    second.load_state_dict(first.state_dict())
    run(range(4, 8), second, halves)
    assert torch.equal(whole, halves)


@pytest.mark.parametrize(
    "build",
    [
        lambda p: TFAdam(p, -1.0),
        lambda p: TFAdam(p, float("nan")),
        lambda p: TFAdam(p, betas=(0.9, 1.0)),
        lambda p: TFAdam(p, eps=0.0),
        lambda p: TFAdagrad(p, 0.1, initial_accumulator_value=0.0),
        lambda p: TFRMSprop(p, 0.1, decay=1.0),
        lambda p: TFRMSprop(p, 0.1, eps=0.0),
        lambda p: TFAdam(p, betas=(-0.1, 0.9)),
        lambda p: TFRMSprop(p, torch.ones(2)),
    ],
)
def test_settings_out_of_range_are_named(build):
    with pytest.raises(InvalidArgument, match="must be"):
        build([nn.Parameter(torch.ones(1))])


def test_adam_counts_the_optimizers_updates_and_not_a_parameters():
    """TensorFlow's powers of beta are the optimizer's: a gradient that begins at the 21st update is corrected as that.

    m = 0.1 g, v = 0.001 g^2, and the step lr sqrt(1 - 0.999^21) / (1 - 0.9^21) m / sqrt(v).
    """
    early, late, joined = (nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(3))
    optimizer = TFAdam([early, late], 0.01)
    for _ in range(20):
        early.grad = torch.ones_like(early)
        optimizer.step()
    optimizer.add_param_group({"params": [joined]})
    for parameter in (early, late, joined):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    step = 0.01 * math.sqrt(1 - 0.999**21) / (1 - 0.9**21) * 0.1 / math.sqrt(0.001)
    assert late.item() == pytest.approx(1 - step, rel=1e-6)
    assert joined.item() == late.item()


def test_adam_counts_updates_that_a_parameter_sat_out():
    """Both have had two gradients when the fourth update is made, one of them with a pause."""
    steady, pausing = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    optimizer = TFAdam([steady, pausing], 0.01)
    for t in range(4):
        steady.grad = torch.ones_like(steady)
        pausing.grad = torch.ones_like(pausing) if t in (0, 3) else None
        before = pausing.item()
        optimizer.step()
    mean, square = 0.1 * 0.9 + 0.1, 0.001 * 0.999 + 0.001
    step = 0.01 * math.sqrt(1 - 0.999**4) / (1 - 0.9**4) * mean / math.sqrt(square)
    assert pausing.item() == pytest.approx(before - step, rel=1e-6)


def sparse_and_dense(make, *, rows, steps=3):
    """A table of four rows trained on gradients that hold some of them, given as sparse tensors and as dense ones."""
    tables = []
    for sparse in (True, False):
        table = nn.Parameter(torch.ones(4, 2, dtype=torch.float64))
        optimizer = make([table], 0.1)
        for step in range(steps):
            values = torch.sin(torch.arange(2.0 * len(rows), dtype=torch.float64).view(-1, 2) + step)
            held = torch.sparse_coo_tensor(torch.tensor([rows]), values, (4, 2), check_invariants=True)
            table.grad = held if sparse else held.to_dense()
            optimizer.step()
        tables.append(table.detach())
    return tables


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's own, from within its Adagrad
@pytest.mark.parametrize("make", [TFAdam, TFAdagrad, TFRMSprop])
def test_sparse_gradients_of_the_same_rows_are_as_good_as_dense_ones(make):
    sparse, dense = sparse_and_dense(make, rows=[0, 2, 0])  # the first row twice
    torch.testing.assert_close(sparse, dense)
    assert torch.equal(sparse[1], torch.ones(2, dtype=torch.float64))


def test_rows_without_a_gradient_coast_under_adam_and_rest_under_rmsprop():
    """TensorFlow's Adam moves all rows by their decaying mean; its RMSprop touches the rows of the gradient alone."""
    for make in (TFAdam, TFRMSprop):
        table = nn.Parameter(torch.ones(2, 1, dtype=torch.float64))
        optimizer = make([table], 0.1)
        for row in (0, 1):
            gradient = torch.tensor([[2.0]], dtype=torch.float64)
            table.grad = torch.sparse_coo_tensor(torch.tensor([[row]]), gradient, (2, 1), check_invariants=True)
            optimizer.step()
            if row == 0:
                after_one = table[0].item()
        assert (table[0].item() != after_one) == (make is TFAdam)
    assert optimizer.state[table]["square"].tolist() == [[pytest.approx(0.9 * 1 + 0.1 * 2 * 2)]] * 2


def test_defaults_are_tensorflows():
    """Of release 0.12. Its Adagrad and RMSprop have no default rate."""
    parameter = nn.Parameter(torch.ones(1))
    adam, rmsprop = TFAdam([parameter]).param_groups[0], TFRMSprop([parameter], 0.1).param_groups[0]
    assert (adam["lr"], adam["betas"], adam["eps"]) == (1e-3, (0.9, 0.999), 1e-8)
    assert (rmsprop["decay"], rmsprop["eps"]) == (0.9, 1e-10)
    adagrad = TFAdagrad([parameter], 0.1).param_groups[0]
    assert (adagrad["initial_accumulator_value"], adagrad["eps"]) == (0.1, 0.0)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("make", "other", "lacks"),
    [
        (TFAdam, torch.optim.Adam, "mean, square, updates"),
        (TFAdam, lambda params: TFRMSprop(params, 0.1), "betas, fused, mean, step, updates"),
        (lambda params: TFRMSprop(params, 0.1), torch.optim.Adam, "decay, square"),
        (lambda params: TFRMSprop(params, 0.1), torch.optim.RMSprop, "decay, square"),
    ],
)
def test_the_state_of_another_optimizer_is_refused_and_changes_nothing(make, other, lacks):
    mine, theirs = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer, stranger = make([mine]), other([theirs])
    for parameter, each in ((mine, optimizer), (theirs, stranger)):
        parameter.grad = torch.ones(3)
        each.step()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(InvalidArgument, match=rf"the state must be that of a TF\w+, got 'one without {lacks}'"):
        optimizer.load_state_dict(stranger.state_dict())
    for wrong in (None, {}, [], {"state": None, "param_groups": None}):
        with pytest.raises(InvalidArgument, match=r"the state must be that of a TF\w+, got"):
            optimizer.load_state_dict(wrong)
    torch.testing.assert_close(optimizer.state_dict(), before)
    optimizer.step()


def test_a_state_without_the_number_of_updates_is_refused():
    optimizer = TFAdam([nn.Parameter(torch.ones(3))])
    state = copy.deepcopy(optimizer.state_dict())
    del state["param_groups"][0]["updates"]
    with pytest.raises(InvalidArgument, match="that of a TFAdam, got 'one without updates'"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["updates"] == 0


def test_the_ends_of_the_ranges_are_allowed():
    parameter = nn.Parameter(torch.ones(1))
    TFAdam([parameter], 0.0, betas=(0.0, 0.0))
    TFRMSprop([parameter], 0.0, decay=0.0)
