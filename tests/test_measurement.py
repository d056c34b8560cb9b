from __future__ import annotations

import copy
import gc
import math
import weakref
from dataclasses import astuple, replace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.pilot.measurement import Measured, Measurement
from lrpilot.pilot.rates import Rates
from lrpilot.pilot.steps import StepHooks


def flat(tensors):
    return torch.cat([t.detach().double().reshape(-1) for t in tensors])


def concluded(measurement, optimizer):
    return measurement.conclude(measurement.totals(optimizer).tolist())


def measure(optimizer, parameters, steps, *, train):
    """What the hooks measure over some steps, and the same by hand from full copies."""
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    gradients, updates = [], []
    for step in range(steps):
        before = flat(parameters)
        train(step)
        updates.append(flat(parameters) - before)
        gradients.append(flat([torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in parameters]))
    measured = concluded(hooks.measurement, optimizer)
    hooks.close()
    cos = torch.nn.functional.cosine_similarity
    pairs = range(steps - 1)
    by_hand = Measured(
        torch.stack([cos(gradients[t], gradients[t + 1], dim=0) for t in pairs]).mean(),
        torch.stack([cos(-updates[t], gradients[t + 1], dim=0) for t in pairs]).mean(),
        torch.stack([-gradients[t] @ updates[t] for t in range(steps)]).mean(),
        torch.stack([-gradients[t + 1] @ updates[t] for t in pairs]).mean(),
        torch.stack([g.norm() for g in gradients]).mean(),
        torch.stack([u.norm() for u in updates]).mean(),
        flat(parameters).norm(),
        *tensor_updates(parameters, updates[-1]),
    )
    return measured, by_hand


def tensor_updates(parameters, update):
    """Median and largest |dw| / |w| over the matrices, from the flat update of the last step."""
    parts = update.split([torch.view_as_real(p).numel() if p.is_complex() else p.numel() for p in parameters])
    ratios = [
        (part.norm() / p.detach().double().norm())
        for p, part in zip(parameters, parts, strict=True)
        if sum(size > 1 for size in p.shape) > 1
    ]
    ratios = torch.stack(ratios).sort().values
    return ratios[len(ratios) // 2], ratios[-1]


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)).to(dtype)


def batch(step, dtype=torch.float32):
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(step)).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6), (torch.bfloat16, 1e-3)])
@pytest.mark.parametrize("foreach", [True, False])
def test_it_measures_what_full_copies_show(dtype, tolerance, foreach):
    model = network(dtype)
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, foreach=foreach)

    def train(step):
        optimizer.zero_grad()
        model(batch(step, dtype)).square().mean().backward()
        optimizer.step()

    measured, by_hand = measure(optimizer, parameters, 4, train=train)
    for mine, exact in zip(astuple(measured), astuple(by_hand), strict=True):
        torch.testing.assert_close(torch.tensor(mine).double(), exact, rtol=tolerance, atol=tolerance)


def test_half_precision_norms_are_summed_in_float32():
    weights = nn.Parameter(torch.ones(70_000, dtype=torch.float16))  # its square sum is above float16's largest
    optimizer = torch.optim.SGD([weights], lr=0.0)
    norm = concluded(Measurement(), optimizer).weight_norm
    assert norm == pytest.approx(70_000**0.5)


def test_sparse_missing_and_frozen_gradients():
    torch.manual_seed(0)
    table = nn.Embedding(10, 3, sparse=True)
    head, unused, frozen = nn.Linear(3, 1), nn.Linear(2, 2), nn.Linear(4, 4).requires_grad_(False)
    watched = [*table.parameters(), *head.parameters(), *unused.parameters()]
    optimizer = torch.optim.SGD([{"params": watched}, {"params": list(frozen.parameters())}], lr=0.1)

    def train(step):
        optimizer.zero_grad()
        head(table(torch.tensor([step, 2, 2]))).square().mean().backward()
        optimizer.step()

    measured, by_hand = measure(optimizer, watched, 4, train=train)
    for mine, exact in zip(astuple(measured), astuple(by_hand), strict=True):
        torch.testing.assert_close(torch.tensor(mine).double(), exact, rtol=1e-5, atol=1e-6)


def test_complex_parameters():
    weights = nn.Parameter(torch.tensor([3.0 + 4.0j, 1.0j]))
    optimizer = torch.optim.SGD([weights], lr=0.1)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    weights.abs().square().sum().backward()  # gradient 2 w
    optimizer.step()
    measured = concluded(hooks.measurement, optimizer)
    assert measured.gradient_norm == pytest.approx(2 * 26**0.5)
    assert measured.decrease == pytest.approx(0.1 * 4 * 26)


def test_a_closure_within_the_step():
    model = network()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.01)

    def train(step):
        def closure():
            optimizer.zero_grad()
            loss = model(batch(step)).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    measured, by_hand = measure(optimizer, parameters, 4, train=train)
    for mine, exact in zip(astuple(measured), astuple(by_hand), strict=True):
        torch.testing.assert_close(torch.tensor(mine).double(), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_a_gradient_scaler_does_not_show(fused):
    model = network()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def train(step):
        optimizer.zero_grad()
        scaler.scale(model(batch(step)).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()

    measured, by_hand = measure(optimizer, parameters, 4, train=train)
    for mine, exact in zip(astuple(measured), astuple(by_hand), strict=True):
        torch.testing.assert_close(torch.tensor(mine).double(), exact, rtol=1e-4, atol=1e-5)
    unscaled = network()
    unscaled(batch(0)).square().mean().backward()
    assert flat(p.grad for p in unscaled.parameters()).norm() < 100  # a scaled one would be a thousandfold


def test_a_skipped_step_is_not_measured():
    weights = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weights], lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    for factor in (1.0, torch.inf, 1.0):
        optimizer.zero_grad()
        scaler.scale((factor * weights).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    measured = concluded(hooks.measurement, optimizer)
    assert measured.gradient_norm == pytest.approx(3**0.5)
    assert measured.gradient_cosine == pytest.approx(1.0)


def test_nothing_measured_is_nan_but_the_weights():
    optimizer = torch.optim.SGD([nn.Parameter(torch.tensor([3.0, 4.0]))], lr=0.1)
    measured = concluded(Measurement(), optimizer)
    assert measured.weight_norm == 5
    assert all(math.isnan(value) for value in astuple(replace(measured, weight_norm=math.nan)))


def test_where_nothing_is_trained_there_is_nothing_to_sum():
    optimizer, measurement = torch.optim.SGD([nn.Parameter(torch.ones(2), requires_grad=False)], lr=0.1), Measurement()
    for _ in range(2):
        measurement.before_step(optimizer)
        optimizer.step()
        measurement.after_step(optimizer)
        assert measurement.totals(optimizer).tolist() == []
    assert concluded(measurement, optimizer).weight_norm == 0


def test_six_steps_are_measured_and_no_more():
    """Five pairs: enough for a mean cosine, and a run of some thousand steps is measured in few of them."""
    weights = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weights], lr=0.1)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    weights.grad = torch.ones(3)
    for _ in range(9):
        optimizer.step()
    assert (len(hooks.measurement.steps), len(hooks.measurement.pairs)) == (6, 5)


def test_hooks_keep_nothing_alive_and_go():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    model(batch(0)).sum().backward()
    optimizer.step()
    measurement = weakref.ref(hooks.measurement)
    gc.disable()
    try:
        hooks.close()
        assert measurement() is None
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
    finally:
        gc.enable()


def test_no_more_than_three_copies_are_held_and_taken_once():
    """What a step takes is what the step before gave back."""
    model = network()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = measurement = Measurement()
    memory = set()
    for step in range(4):
        optimizer.zero_grad()
        model(batch(step)).square().mean().backward()
        optimizer.step()
        held = [*measurement._gradients, *measurement._descents, *measurement._spare]
        memory |= {(tensor.data_ptr(), tensor.numel()) for tensor in held}
    assert sum(numbers for _, numbers in memory) == 3 * sum(p.numel() for p in parameters)


def test_a_state_is_a_copy():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()

    def train(step):
        optimizer.zero_grad()
        model(batch(step)).square().mean().backward()
        optimizer.step()

    train(0)
    state = hooks.measurement.state_dict(optimizer)
    before = {name: flat(state[name]) for name in ("gradients", "descents")}
    train(1)
    train(2)
    assert all(torch.equal(flat(state[name]), value) for name, value in before.items())


def test_a_group_that_joins_amid_a_measurement_begins_it_anew():
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([first], lr=0.1)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    for step in range(3):
        if step == 1:
            optimizer.add_param_group({"params": [second]})
        optimizer.zero_grad()
        (3 * first.sum() + 4 * second.sum()).backward()
        optimizer.step()
    measured = concluded(hooks.measurement, optimizer)
    assert measured.gradient_norm == pytest.approx(34**0.5)
    assert measured.gradient_cosine == pytest.approx(1.0)


def test_a_measurement_goes_on_where_the_last_one_ended():
    """Three steps and then two more give the same pairs as five in a row."""
    numbers = []
    for cut in (None, 3):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
        hooks.measurement = Measurement()
        pairs = []
        for step in range(5):
            if step == cut:
                pairs += hooks.measurement.pairs
                hooks.measurement = hooks.measurement.next()
            optimizer.zero_grad()
            model(batch(step)).square().mean().backward()
            optimizer.step()
        pairs += hooks.measurement.pairs
        numbers.append(torch.stack(pairs))
        if cut:
            assert len(hooks.measurement.pairs) == len(hooks.measurement.steps) == 2
            assert not math.isnan(concluded(hooks.measurement, optimizer).update_cosine)
    assert torch.equal(*numbers)


def watched(*parameters, lr=0.1):
    """An optimizer, and a measurement of its steps."""
    optimizer = torch.optim.SGD(parameters, lr=lr)
    hooks = StepHooks([optimizer], Rates(Knobs(optimizer, (LearningRate(),))))
    hooks.measurement = Measurement()
    return optimizer, hooks


def test_small_tensors_of_one_kind_are_measured_together():
    """Up to 2^14 numbers at a time: reading more of them costs more than one operation."""
    single, double = torch.float32, torch.float64
    sizes = ((10, single), (20, single), (30, double), (16_384, single), (5, single), (16_379, single), (1, single))
    parameters = [nn.Parameter(torch.ones(size, dtype=dtype)) for size, dtype in sizes]
    optimizer, hooks = watched(*parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert [len(piece) for piece in hooks.measurement.state_dict(optimizer)["descents"]] == [30, 30, 16_384, 16_384, 1]
    assert concluded(hooks.measurement, optimizer).gradient_norm == pytest.approx(
        math.sqrt(10 + 20 + 30 + 2 * 16_384 + 1)
    )


def test_a_missing_gradient_counts_as_zeros():
    """Beside another one in its bundle, and alone, where it takes no memory."""
    missing, given, alone = (
        nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in [torch.float32] * 2 + [torch.float64]
    )
    optimizer, hooks = watched(missing, given, alone)
    given.grad = torch.tensor([3.0, 4.0])
    for _ in range(2):
        optimizer.step()
    measured = concluded(hooks.measurement, optimizer)
    assert measured.gradient_norm == 5.0
    assert measured.gradient_cosine == pytest.approx(1.0)
    assert hooks.measurement.state_dict(optimizer)["gradients"][1] is None


@pytest.mark.parametrize("devices", [("cuda:0", "cpu"), ("cpu", "cuda:0")])
def test_parameters_on_two_devices(devices):
    """On a device that is not there nothing is computed, but each copy stands beside its parameter, and the sums on
    the first one's device. So do those of a state that was loaded onto the CPU."""
    with FakeTensorMode():
        parameters = [nn.Parameter(torch.empty(2, device=device)) for device in devices]
        optimizer, first = torch.optim.SGD(parameters, lr=0.1), Measurement()
        for _ in range(2):
            for parameter in parameters:
                parameter.grad = torch.ones_like(parameter)
            first.before_step(optimizer)
            optimizer.step()
            first.after_step(optimizer)
        state = first.state_dict(optimizer)
        kept = {name: [tensor.cpu() for tensor in state[name]] for name in ("steps", "pairs", "gradients", "descents")}
        again = Measurement()
        again.load_state_dict(state | kept | {"squares": state["squares"].cpu()}, optimizer)
        for measurement in (first, again):
            assert measurement.totals(optimizer).device == torch.device(devices[0])
            held = measurement.state_dict(optimizer)
            for name in ("gradients", "descents"):
                assert [tensor.device for tensor in held[name]] == list(map(torch.device, devices))
            for tensor in (*held["steps"], *held["pairs"], held["squares"]):
                assert tensor.device == torch.device(devices[0])


def test_a_measurement_is_resumed_amid_its_steps():
    """Gradients of 1, 2 and 4 along one line: all cosines are 1, and a step of 0.1 g takes 0.1 g g' off the loss."""
    weights = nn.Parameter(torch.tensor([10.0]))
    optimizer, hooks = watched(weights)
    for gradient in (1.0, 2.0):
        weights.grad = torch.tensor([gradient])
        optimizer.step()
    state = hooks.measurement.state_dict(optimizer)
    saved = copy.deepcopy(state)
    hooks.measurement = Measurement()
    hooks.measurement.load_state_dict(state, optimizer)
    weights.grad = torch.tensor([4.0])
    optimizer.step()
    measured = concluded(hooks.measurement, optimizer)
    assert (measured.gradient_cosine, measured.update_cosine) == pytest.approx((1.0, 1.0))
    assert measured.decrease == pytest.approx(0.1 * (1 + 4 + 16) / 3, rel=1e-5)
    assert measured.next_decrease == pytest.approx(0.1 * (1 * 2 + 2 * 4) / 2, rel=1e-5)
    assert measured.gradient_norm == pytest.approx(7 / 3)
    assert measured.update_norm == pytest.approx(0.7 / 3, rel=1e-5)
    assert measured.weight_norm == pytest.approx(9.3)
    assert measured.tensor_update == measured.largest_tensor_update == pytest.approx(0.4 / 9.3, rel=1e-5)
    optimizer.step()
    torch.testing.assert_close(state, saved, rtol=0, atol=0)  # a value: what came later does not show in it


def test_a_measurement_before_its_first_step_is_resumed_too():
    weights = nn.Parameter(torch.tensor([3.0]))
    optimizer, hooks = watched(weights)
    hooks.measurement.load_state_dict(Measurement().state_dict(optimizer), optimizer)
    weights.grad = torch.tensor([1.0])
    optimizer.step()
    assert concluded(hooks.measurement, optimizer).gradient_norm == 1.0


def test_what_was_measured_is_resumed_though_it_has_been_frozen_since():
    """A state of version 0.2 does not say what was: all that is to be trained."""
    weights, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer, hooks = watched(weights, frozen)
    weights.grad = frozen.grad = torch.ones(2)
    optimizer.step()
    frozen.requires_grad_(False)
    state = hooks.measurement.state_dict(optimizer)
    older = {name: value for name, value in state.items() if name != "places"}
    for given, thawed, taken in ((state, False, 1), (older, False, 0), (older, True, 1)):
        frozen.requires_grad_(thawed)
        again = Measurement()
        again.load_state_dict(given, optimizer)
        assert len(again.steps) == taken


@pytest.mark.parametrize("next_one", [False, True])
@pytest.mark.parametrize(
    "others", [[torch.ones(4)], [torch.ones(2), torch.ones(3)], [torch.ones(2), torch.ones(2, dtype=torch.float64)]]
)
def test_nothing_is_taken_up_of_other_parameters(others, next_one):
    """Of another number, size or precision. Nor from a measurement that goes on with another's last step."""
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    optimizer, hooks = watched(*weights)
    for parameter in weights:
        parameter.grad = torch.ones(2)
    optimizer.step()
    state = (hooks.measurement.next() if next_one else hooks.measurement).state_dict(optimizer)
    other, again = watched(*map(nn.Parameter, others))
    again.measurement.load_state_dict(state, other)
    assert (again.measurement.steps, again.measurement.pairs) == ([], [])
    for parameter in other.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    other.step()
    assert again.measurement.pairs == []
    assert concluded(again.measurement, other).gradient_norm == pytest.approx(sum(map(len, others)) ** 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_a_measurement_of_complex_numbers_is_resumed_too(dtype):
    weights = nn.Parameter(torch.ones(3, dtype=dtype))
    optimizer, hooks = watched(weights)
    weights.grad = torch.ones(3, dtype=dtype)
    optimizer.step()
    again = Measurement()
    again.load_state_dict(hooks.measurement.state_dict(optimizer), optimizer)
    expected = astuple(concluded(hooks.measurement, optimizer))
    assert astuple(concluded(again, optimizer)) == pytest.approx(expected, nan_ok=True)
    assert len(again.steps) == 1


def test_weights_that_come_to_nothing_have_moved_without_bound():
    """From 0.1 to 0 in one step: no number of times their own size. Without a gradient they do not move."""
    weights = nn.Parameter(torch.full((2, 2), 0.1))
    optimizer, hooks = watched(weights)
    for gradient, least, most in ((1.0, 1e6, math.inf), (0.0, 0.0, 0.0)):
        weights.grad = torch.full((2, 2), gradient)
        optimizer.step()
        assert weights.tolist() == [[0.0, 0.0]] * 2
        assert least <= concluded(hooks.measurement, optimizer).tensor_update <= most


def test_a_sharded_tensor_counts_as_often_as_it_is_spread():
    """This rank holds a part of it: over 2 and over 4 ranks, and 3 that hold the same. Averaged over all ranks, the
    sums are those over the whole."""

    class Placement:
        def __init__(self, shards):
            self.is_shard = lambda: shards

    class Mesh:
        size = (2, 3, 4).__getitem__

    class Local(nn.Parameter):
        device_mesh, placements = Mesh, (Placement(True), Placement(False), Placement(True))

        def to_local(self):
            return self.detach()

    held, whole = Local(torch.ones(4)), nn.Parameter(torch.ones(3))
    optimizer, hooks = watched(held, whole)
    held.grad, whole.grad = torch.full((4,), 2.0), torch.ones(3)
    optimizer.step()
    measured = concluded(hooks.measurement, optimizer)
    assert measured.gradient_norm == pytest.approx(math.sqrt(8 * 4 * 4 + 3))
    assert measured.update_norm == pytest.approx(0.1 * math.sqrt(8 * 4 * 4 + 3))
    assert measured.weight_norm == pytest.approx(math.sqrt(8 * 4 * 0.64 + 3 * 0.81))
    assert measured.largest_tensor_update == pytest.approx(0.2 / 0.8)
