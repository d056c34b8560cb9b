"""What counts as a step of one optimizer, or of several that train one network."""

from __future__ import annotations

import pytest
import torch

from loops import take_a_step
from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.pilot.interval import MEASURED_STEPS
from lrpilot.pilot.measurement import Measurement
from lrpilot.pilot.optimizers import together
from lrpilot.pilot.rates import Rates
from lrpilot.pilot.steps import StepHooks


def hooked(count: int, *, taken: int = 0, fused: bool = False) -> tuple[list[torch.optim.Optimizer], StepHooks]:
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(count)]
    optimizers = [torch.optim.SGD([p], lr=0.1 * (i + 1), fused=fused) for i, p in enumerate(parameters)]
    rates = Rates(Knobs(together(optimizers), (LearningRate(),)))
    rates.write(0.1, step=-1)
    return optimizers, StepHooks(optimizers, rates, taken=taken)


def test_steps_of_one_are_counted() -> None:
    (optimizer,), hooks = hooked(1, taken=5)
    assert hooks.taken == 5
    for _ in range(3):
        take_a_step(optimizer)
    assert hooks.taken == 8
    assert not hooks.captured
    hooks.close()
    take_a_step(optimizer)
    assert hooks.taken == 8


def test_a_step_within_a_step_of_the_same_optimizer_is_one() -> None:
    """torch calls the hooks in the step of a class and again in that of its base class, if both have been made."""
    parameters = [torch.nn.Parameter(torch.ones(1))]

    class Base(torch.optim.SGD):
        def step(self, closure=None):  # type: ignore[no-untyped-def]
            return super().step(closure)

    class Derived(Base):
        def step(self, closure=None):  # type: ignore[no-untyped-def]
            return super().step(closure)

    _, optimizer = Base(parameters, lr=0.1), Derived(parameters, lr=0.1)
    heard = []
    optimizer.register_step_post_hook(lambda *_: heard.append(1))
    rates = Rates(Knobs(optimizer, (LearningRate(),)))
    rates.write(0.1, step=-1)
    hooks = StepHooks([optimizer], rates)
    hooks.measurement = measurement = Measurement()
    for _ in range(2):
        take_a_step(optimizer)
    assert len(heard) > 2
    assert hooks.taken == len(measurement.steps) == 2


def test_a_step_that_an_error_ended_does_not_count() -> None:
    (optimizer,), hooks = hooked(1)

    def fails() -> float:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        optimizer.step(fails)
    take_a_step(optimizer)
    assert hooks.taken == 1


def test_one_step_of_each_is_a_step() -> None:
    """Counted with the first of them, in whatever order; one that steps again has begun the next."""
    (one, two), hooks = hooked(2)
    counted = []
    for optimizer in (one, two, two, one, one, one, two):
        take_a_step(optimizer)
        counted.append(hooks.taken)
    assert counted == [1, 1, 2, 2, 3, 4, 4]


def test_a_step_of_several_is_measured_from_the_first_to_the_last() -> None:
    """Along gradients of 0.001, at rates of 0.1 and 0.2: one measurement of both, of each whole step."""
    optimizers, hooks = hooked(2)
    hooks.measurement = measurement = Measurement()
    for _ in range(2):
        for optimizer in optimizers:
            take_a_step(optimizer)
    assert len(measurement.steps) == 2
    for moved, pulled, decrease in (step.tolist() for step in measurement.steps):
        assert moved == pytest.approx(1e-8 + 4e-8, rel=1e-2)
        assert pulled == pytest.approx(2e-6)
        assert decrease == pytest.approx(1e-7 + 2e-7, rel=1e-2)


def test_no_more_than_a_few_steps_are_measured() -> None:
    (optimizer,), hooks = hooked(1)
    hooks.measurement = measurement = Measurement()
    for _ in range(MEASURED_STEPS + 2):
        take_a_step(optimizer)
    assert len(measurement.steps) == MEASURED_STEPS


def test_a_step_that_the_others_have_not_taken_is_not_measured() -> None:
    """One that skips the others' turn begins anew, from its own step on."""
    (one, two), hooks = hooked(2)
    hooks.measurement = measurement = Measurement()
    take_a_step(one)
    take_a_step(one)
    assert measurement.steps == []
    take_a_step(two)
    (step,) = measurement.steps
    assert step.tolist()[0] == pytest.approx(1e-8 + 4e-8, rel=1e-2)


def test_a_call_of_the_pilot_ends_a_step() -> None:
    """Whoever has left it out begins the next one: with a skipped step the order does not slip for good."""
    (one, two), hooks = hooked(2)
    hooks.measurement = measurement = Measurement()
    counted, idle = [], []
    for present in ([one, two], [two], [one, two], [one]):
        for optimizer in present:
            take_a_step(optimizer)
        counted.append(hooks.taken)
        idle.append(hooks.idle)
        hooks.called = True
    assert counted == [1, 2, 3, 4]
    assert idle == [set(), {0}, set(), {1}]
    assert len(measurement.steps) == 2
    for moved, _, _ in (step.tolist() for step in measurement.steps):
        assert moved == pytest.approx(1e-8 + 4e-8, rel=1e-2)


def test_the_first_step_is_heard_of_once_and_before_it_is_taken() -> None:
    (optimizer,), hooks = hooked(1)
    heard: list[float] = []
    hooks.first = lambda all_of_them: heard.append(all_of_them.param_groups[0]["params"][0].item())
    assert hooks.first is not None
    for _ in range(2):
        take_a_step(optimizer)
    assert heard == [1.0]
    assert hooks.first is None


@pytest.mark.parametrize("gone", ["first", "measurement"])
def test_one_listener_may_go_and_the_other_stay(gone: str) -> None:
    (optimizer,), hooks = hooked(1)
    heard: list[object] = []
    hooks.first, hooks.measurement = heard.append, (measurement := Measurement())
    setattr(hooks, gone, None)
    take_a_step(optimizer)
    assert (len(heard), len(measurement.steps)) == ((0, 1) if gone == "first" else (1, 0))


@pytest.mark.parametrize("which", [0, 1])
def test_a_rate_that_somebody_has_written_is_noticed_once_a_step(which: int) -> None:
    """In the first group of the first optimizer: the others' follow it."""
    optimizers, hooks = hooked(2)
    optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.7})
    noticed: list[int] = []
    hooks.rates.notice = noticed.append  # type: ignore[method-assign]
    hooks.rates.written = None
    for optimizer in optimizers:
        take_a_step(optimizer)
    assert noticed == [1]
    hooks.rates.written = optimizers[which].param_groups[0]["lr"]
    for optimizer in optimizers:
        take_a_step(optimizer)
    assert noticed == ([1] if which == 0 else [1, 2])


def test_another_pilots_hooks_are_taken_off() -> None:
    optimizers, hooks = hooked(2)
    optimizers[0].register_step_post_hook(lambda *_: None)  # somebody else's
    others, elsewhere = hooked(1)
    StepHooks.replace(optimizers)
    assert (hooks.replaced, elsewhere.replaced) == (True, False)
    for optimizer in (*optimizers, *others):
        take_a_step(optimizer)
    assert (hooks.taken, elsewhere.taken) == (0, 1)
    assert [len(optimizer._optimizer_step_post_hooks) for optimizer in optimizers] == [1, 0]


@pytest.mark.parametrize("resumed", [2, 1])
def test_an_optimizers_state_that_is_loaded_brings_back_no_rate_where_the_pilot_has_just_resumed(resumed: int) -> None:
    """At any other time it counts: somebody means to go back."""
    (optimizer,), hooks = hooked(1, taken=2)
    hooks.resumed = resumed
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = 0.7
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == (0.1 if resumed == 2 else 0.7)
    assert hooks.loaded == (resumed != 2)


def test_a_step_that_is_captured_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a CUDA graph, whose replays no hook hears. Only where a parameter is on such a device is it asked."""
    (optimizer,), hooks = hooked(1)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    take_a_step(optimizer)
    assert not hooks.captured
    monkeypatch.setattr(hooks, "_on_cuda", True)
    take_a_step(optimizer)
    assert hooks.captured


@pytest.mark.parametrize(
    ("found", "on_cuda", "captured", "counts"),
    [
        (1.0, False, False, False),
        (0.0, False, False, True),
        (None, False, False, True),
        (1.0, True, False, False),
        (1.0, True, True, True),  # to look would end the capture
        (1.0, False, True, False),
    ],
)
def test_a_step_that_does_nothing_does_not_count(
    monkeypatch: pytest.MonkeyPatch, found: float | None, on_cuda: bool, captured: bool, counts: bool
) -> None:
    """As torch's scaler tells a fused optimizer whose gradients are not finite."""
    (optimizer,), hooks = hooked(1, fused=True)
    hooks.measurement = measurement = Measurement()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: captured)
    monkeypatch.setattr(hooks, "_on_cuda", on_cuda)
    if found is not None:
        optimizer.found_inf = torch.tensor(found)  # type: ignore[attr-defined]
    heard: list[object] = []
    hooks.first = heard.append
    take_a_step(optimizer)
    assert hooks.taken == len(measurement.steps) == len(heard) == counts


def test_a_step_of_an_optimizer_without_groups_does_not_count() -> None:
    (optimizer,), hooks = hooked(1)
    optimizer.param_groups.clear()
    optimizer.step()
    assert hooks.taken == 0
