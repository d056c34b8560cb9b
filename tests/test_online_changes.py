"""Algorithm 1 where the run is not an ordinary one: changes, gradients and losses of every kind."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import warnings
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

import lrpilot
from test_online import Problem, controller

every_setting = pytest.mark.parametrize("setting", ["paper", "stable"])


def mean_loss(problem: Problem) -> float:
    """Without dropout, on batches that were never trained on."""
    problem.network.eval()
    with torch.no_grad():
        return sum(float(problem.loss_fn(problem.batch(10_000 + t))) for t in range(10)) / 10


@every_setting
@pytest.mark.parametrize("when", [3, 15, 60])
def test_parameters_may_be_frozen_unfrozen_and_added_at_any_step(setting: str, when: int) -> None:
    """Case L3: within the opening (15 and before) and after it (60); what joins trains, what is frozen rests."""
    problem = Problem()
    first, last = problem.network[0], problem.network[4]
    first.requires_grad_(False)
    drive = controller(problem, setting)
    bias = nn.Parameter(torch.zeros(3))

    def loss_fn(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return nn.functional.cross_entropy(problem.network(batch[0]) + bias, batch[1])

    still = first.weight.clone()
    for t in range(120):
        if t == when:
            assert torch.equal(first.weight, still)
            first.requires_grad_(True)
            last.requires_grad_(False)
            problem.optimizer.add_param_group({"params": [bias], "lr": 0.005})
            held = last.weight.clone()
        drive.step(loss_fn, problem.batch(t))
    assert len(drive.history["rate"]) == 120
    if setting == "paper" or when == 60:  # the opening takes the network back to where it began
        assert torch.equal(last.weight, held)
    assert not torch.equal(first.weight, still)
    assert bias.abs().max() > 0
    ends = drive.get_last_lr()
    assert ends[1] / ends[0] == pytest.approx(0.1)


@pytest.mark.parametrize("added_at", [5, 40])
def test_resume_after_a_group_was_added_is_exact(added_at: int) -> None:
    """Saved within the opening (at 20) and after it (at 70)."""

    def run(saved_at: int | None) -> lrpilot.OnlineActorCritic:
        problem, extra = Problem(), nn.Parameter(torch.zeros(3))
        drive = controller(problem, "stable")

        def loss_fn(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            return nn.functional.cross_entropy(problem.network(batch[0]) + extra, batch[1])

        for t in range(90):
            if t == added_at:
                problem.optimizer.add_param_group({"params": [extra], "lr": 0.005})
            if t == saved_at:
                state = [part.state_dict() for part in (problem.network, problem.optimizer, drive)]
                kept, random, value = copy.deepcopy(state), torch.get_rng_state(), extra.detach().clone()
                problem, extra = Problem(), nn.Parameter(value)
                if t > added_at:
                    problem.optimizer.add_param_group({"params": [extra], "lr": 0.005})
                drive = controller(problem, "stable")
                for part, one in zip((problem.network, problem.optimizer, drive), kept, strict=True):
                    part.load_state_dict(one)
                torch.set_rng_state(random)
            drive.step(loss_fn, problem.batch(t))
        return drive

    straight = run(None)
    for saved_at in (20, 70):
        assert torch.equal(run(saved_at).history["rate"], straight.history["rate"])


@every_setting
def test_one_state_loaded_twice_gives_two_equal_runs(setting: str) -> None:
    """Case S7."""
    source = Problem()
    drive = controller(source, setting)
    for t in range(60):
        drive.step(source.loss_fn, source.batch(t))
    parts = (source.network, source.optimizer)
    state, others = drive.state_dict(), copy.deepcopy([part.state_dict() for part in parts])
    random = torch.get_rng_state()
    traces = []
    for _ in range(2):
        problem = Problem()
        resumed = controller(problem, setting)
        for part, one in zip((problem.network, problem.optimizer), others, strict=True):
            part.load_state_dict(copy.deepcopy(one))
        resumed.load_state_dict(state)
        torch.set_rng_state(random)
        for t in range(60, 100):
            resumed.step(problem.loss_fn, problem.batch(t))
        traces.append(resumed.history["rate"])
    assert torch.equal(*traces)


@every_setting
@pytest.mark.parametrize("lost", ["step", "history", "learner"])
def test_a_state_that_does_not_fit_changes_nothing(setting: str, lost: str) -> None:
    one, two = Problem(), Problem()
    source, drive, twin = controller(one, setting), controller(two, setting), controller(Problem(), setting)
    for t in range(5):
        source.step(one.loss_fn, one.batch(t))
    state = source.state_dict()
    del state[lost]
    with pytest.raises(lrpilot.InvalidArgument, match="the saved state must be that of an OnlineActorCritic like this"):
        drive.load_state_dict(state)
    mine, untouched = drive.state_dict(), twin.state_dict()
    assert torch.equal(mine["generator"], untouched["generator"])
    for name, value in untouched["learner"]["actor"].items():
        assert torch.equal(mine["learner"]["actor"][name], value)
    assert len(drive.history["rate"]) == mine["step"] == 0


def test_a_state_of_another_precision_is_refused() -> None:
    state = controller(Problem(), "paper", dtype=torch.float64).state_dict()
    with pytest.raises(
        lrpilot.InvalidArgument, match=r"the saved dtype must be torch\.float32 as here, got 'torch\.fl"
    ):
        controller(Problem(), "paper").load_state_dict(state)


@every_setting
def test_copies_and_pickles_go_on_alike(setting: str) -> None:
    problem = Problem()
    drive = controller(problem, setting)
    for t in range(20):
        drive.step(problem.loss_fn, problem.batch(t))
    random, traces = torch.get_rng_state(), []
    for each, driven in (
        copy.deepcopy((problem, drive)),
        pickle.loads(pickle.dumps((problem, drive))),
        (problem, drive),
    ):
        torch.set_rng_state(random)
        for t in range(20, 60):
            driven.step(each.loss_fn, each.batch(t))
        traces.append(driven.history["rate"])
    assert torch.equal(traces[0], traces[2])
    assert torch.equal(traces[1], traces[2])


def test_sparse_gradients_are_driven_as_dense_ones_are() -> None:
    """Case S11. SGD does the same with either; sums in another order leave a little difference."""

    def rates(sparse: bool) -> torch.Tensor:
        torch.manual_seed(0)
        table, head = nn.Embedding(20, 4, sparse=sparse), nn.Linear(4, 1)
        optimizer = torch.optim.SGD([*table.parameters(), *head.parameters()], lr=0.1)
        drive = lrpilot.OnlineActorCritic(optimizer, generator=torch.Generator().manual_seed(1))
        for t in range(60):
            rows = torch.randint(20, (16,), generator=torch.Generator().manual_seed(t))
            drive.step(lambda rows: (head(table(rows)).squeeze(-1) - rows / 20).square().mean(), rows)
        return drive.history["rate"]

    torch.testing.assert_close(rates(True), rates(False), rtol=1e-3, atol=0)


def test_complex_weights_are_driven_as_their_two_parts_are() -> None:
    """Case S11."""

    def rates(complex_: bool) -> torch.Tensor:
        parts = torch.linspace(1, 2, 8).view(4, 2)
        w = nn.Parameter(torch.view_as_complex(parts.clone()) if complex_ else parts.clone())
        drive = lrpilot.OnlineActorCritic(torch.optim.SGD([w], lr=0.1), generator=torch.Generator().manual_seed(1))

        def loss_fn(target: torch.Tensor) -> torch.Tensor:
            return ((torch.view_as_real(w) if complex_ else w) - target).square().mean()

        for t in range(60):
            drive.step(loss_fn, 0.3 * torch.randn(4, 2, generator=torch.Generator().manual_seed(t)))
        return drive.history["rate"]

    torch.testing.assert_close(rates(True), rates(False), rtol=1e-3, atol=0)


@every_setting
def test_a_batch_may_reach_no_parameter(setting: str) -> None:
    """Case S11: from the first one on, and now and then."""
    w, elsewhere = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    drive = lrpilot.OnlineActorCritic(torch.optim.SGD([w], lr=0.1), setting, generator=torch.Generator().manual_seed(1))
    for t in range(60):
        drive.step(lambda t: ((elsewhere if t % 7 == 0 else w) - 1.5).square().mean(), t)
    assert (w - 1.5).abs().max() < 0.5
    assert torch.equal(elsewhere, torch.ones(4))


@pytest.mark.integration
def test_a_loss_that_grows_a_millionfold_opens_the_run_anew() -> None:
    """Case S4. The rate ends about a millionth of what it was, the network as well trained as without the change."""
    plain, changed = Problem(), Problem()
    drive, other = controller(plain, "stable"), controller(changed, "stable")
    for t in range(300):
        drive.step(plain.loss_fn, plain.batch(t))
        other.step(lambda batch: (1e6 if t >= 150 else 1.0) * changed.loss_fn(batch), changed.batch(t))  # noqa: B023
    assert 0.2e-6 < other.get_last_lr()[0] / drive.get_last_lr()[0] < 5e-6
    assert mean_loss(changed) < 1.1 * mean_loss(plain)


@pytest.mark.integration
@pytest.mark.parametrize(("factor", "begins"), [(1e4, 60), (1e5, 150), (1e6, 60), (1e8, 150)])
def test_a_loss_that_grows_in_mid_run_is_trained_on(factor: float, begins: int) -> None:
    """Where the step before the sweep was one at the old rate, up to 1e5 times too large, it is taken back."""
    plain, changed = Problem(), Problem()
    drive, other = controller(plain, "stable"), controller(changed, "stable")
    for t in range(begins + 150):
        drive.step(plain.loss_fn, plain.batch(t))
        scale = factor if t >= begins else 1.0
        other.step(lambda batch: scale * changed.loss_fn(batch), changed.batch(t))  # noqa: B023
    assert mean_loss(changed) < 2 * mean_loss(plain)


def test_the_step_before_a_loss_of_another_size_is_taken_back() -> None:
    """It may have been made with the other loss at the old rate: the next one leads on from where it began."""
    problem = Problem()
    drive = controller(problem, "stable")
    stood: list[torch.Tensor] = []
    weight = problem.network[0].weight
    problem.optimizer.register_step_pre_hook(lambda *_: stood.append(weight.detach().clone()))
    for t in range(100):
        drive.step(problem.loss_fn, problem.batch(t))
    assert drive._opening.done
    drive.step(lambda batch: 1e7 * problem.loss_fn(batch), problem.batch(100))
    moved = [(after - before).abs().max() for before, after in pairwise(stood)]
    assert moved[-1] < 1e-6 < moved[-2]


def test_a_rate_that_is_not_finite_is_refused_before_the_step() -> None:
    """Case S4, with a controller that has no opening: the actor itself diverges."""
    problem = Problem()
    drive = controller(problem, "paper")
    for t in range(30):
        drive.step(problem.loss_fn, problem.batch(t))
    before, rate = copy.deepcopy(problem.network.state_dict()), drive.get_last_lr()
    with torch.no_grad():
        drive.learner.actor.output.bias.fill_(float("nan"))
    with pytest.raises(
        lrpilot.NonFiniteRate, match=r"must be a finite number, got nan at step 30, after one of"
    ) as caught:
        drive.step(problem.loss_fn, problem.batch(30))
    assert (caught.value.step, caught.value.learning_rate) == (30, rate[0])
    assert drive.get_last_lr() == rate
    for name, value in problem.network.named_parameters():
        assert torch.equal(value, before[name])


@pytest.mark.integration
@pytest.mark.parametrize("shift", [-0.9, 5.0])
def test_a_loss_that_is_shifted_or_goes_below_zero_trains_as_well(shift: float) -> None:
    """It begins above 0. Three runs together, for other dropout masks alone change one's loss by a seventh."""
    results = {0.0: 0.0, shift: 0.0}
    for seed in range(3):
        for added in results:
            problem = Problem(seed=seed)
            drive = controller(problem, "stable")
            for t in range(300):
                drive.step(lambda batch: problem.loss_fn(batch) + added, problem.batch(t))  # noqa: B023
            assert (float(drive.history["loss"][-1]) < 0) == (added < 0)
            results[added] += mean_loss(problem)
    assert results[shift] < 1.2 * results[0.0]


@pytest.mark.parametrize("shift", [-2.3, -1000.0])
def test_an_opening_refuses_a_first_loss_that_is_not_above_zero(shift: float) -> None:
    """Case S5: at once, with the network untouched."""
    problem = Problem()
    before = copy.deepcopy(list(problem.network.parameters()))
    drive = controller(problem, "stable")
    with pytest.raises(
        lrpilot.InvalidArgument, match="the first loss must be above 0 where an opening measures its ri"
    ):
        drive.step(lambda batch: problem.loss_fn(batch) + shift, problem.batch(0))
    for mine, value in zip(problem.network.parameters(), before, strict=True):
        assert torch.equal(mine, value)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (torch.tensor(1.0),),
            r"what step takes must be a function loss_fn\(batch\) and a batch, got 'Tensor and no batch'",
        ),
        (
            (lambda batch: batch,),
            r"what step takes must be a function loss_fn\(batch\) and a batch, got 'function and no batch'",
        ),
        ((lambda batch: 1.0, 0), "the loss must be a tensor of one element, got 'float'"),
        ((lambda batch: torch.tensor(1.0), 0), "the loss must be one that carries its graph, got 'one without'"),
    ],
)
def test_what_step_wants_is_said_in_one_line(arguments: tuple, said: str) -> None:
    """Case L19."""
    with pytest.raises(lrpilot.InvalidArgument, match=said):
        controller(Problem(), "stable").step(*arguments)


@every_setting
def test_ambient_defaults_do_not_reach_the_controller(setting: str) -> None:
    """The same run where new tensors would be bfloat16, and on a device that holds no numbers."""

    def rates(around: Callable[[], None]) -> torch.Tensor:
        problem = Problem()
        try:
            around()
            drive = controller(problem, setting)
            for t in range(40):
                drive.step(problem.loss_fn, batches[t])
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
        return drive.history["rate"]

    def strange() -> None:
        torch.set_default_dtype(torch.bfloat16)
        torch.set_default_device("meta")

    batches = [Problem().batch(t) for t in range(40)]
    assert torch.equal(rates(strange), rates(lambda: None))


def test_it_says_what_it_is() -> None:
    problem = Problem()
    drive = controller(problem, "paper")
    assert repr(drive) == "OnlineActorCritic(SGD, paper, step=0, lr=0.05)"
    drive.step(problem.loss_fn, problem.batch(0))
    assert repr(drive) == f"OnlineActorCritic(SGD, paper, step=1, lr={drive.get_last_lr()[0]:.3g})"


@pytest.mark.parametrize("setting", ["paper", dataclasses.replace(lrpilot.STABLE, exploration=lrpilot.LogNormal())])
def test_what_was_decided_for_the_forward_pass_holds_after_a_resume(setting: str | lrpilot.Setting) -> None:
    """A dropout is in no other state: that of network and optimizer do not hold it."""

    def begun() -> tuple[Problem, lrpilot.OnlineActorCritic]:
        problem = Problem()
        return problem, controller(
            problem, setting, controls=(lrpilot.LearningRate(), lrpilot.Dropout(problem.network))
        )

    problem, drive = begun()
    for t in range(60):
        drive.step(problem.loss_fn, problem.batch(t))
    state = copy.deepcopy([part.state_dict() for part in (problem.network, problem.optimizer, drive)])
    random, left_out = torch.get_rng_state(), problem.network[3].p
    assert left_out != 0.2
    losses = [drive.step(problem.loss_fn, problem.batch(t)).item() for t in range(60, 80)]
    problem, drive = begun()
    for part, one in zip((problem.network, problem.optimizer, drive), state, strict=True):
        part.load_state_dict(one)
    assert problem.network[3].p == left_out
    torch.set_rng_state(random)
    assert [drive.step(problem.loss_fn, problem.batch(t)).item() for t in range(60, 80)] == losses


def capped() -> lrpilot.AbsoluteRate:
    return lrpilot.AbsoluteRate(0.05)


def test_a_setting_of_functions_is_saved_by_their_names() -> None:
    setting = dataclasses.replace(lrpilot.PAPER, action=capped, replay=lambda: lrpilot.LastTransition())
    file = io.BytesIO()
    torch.save(controller(Problem(), setting).state_dict(), file)
    file.seek(0)
    state = torch.load(file)
    assert (state["setting"]["action"], state["setting"]["replay"]) == ("capped", "<lambda>")
    again = dataclasses.replace(setting, replay=lambda: lrpilot.LastTransition())
    controller(Problem(), again).load_state_dict(state)


@every_setting
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_step_whose_second_look_fails_is_left_out_of_what_is_learned(setting: str, error: type) -> None:
    problem = Problem()
    drive = controller(problem, setting)

    def fails(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        if not torch.is_grad_enabled():
            raise error
        return problem.loss_fn(batch)

    for t in range(30):
        if t == 7:
            with pytest.raises(error):
                drive.step(fails, problem.batch(t))
        else:
            drive.step(problem.loss_fn, problem.batch(t))
    assert len(drive.history["loss"]) == 30
    if setting == "paper":
        assert len(drive.history["reward"]) == 30 - 1 - 1  # the one that failed, and the last, not learned from yet


@every_setting
def test_a_state_of_another_network_is_refused(setting: str) -> None:
    source, other = Problem(), Problem()
    given = controller(
        source, dataclasses.replace(lrpilot.PAPER, critic_batch="other") if setting == "paper" else setting
    )
    for t in range(80):
        given.step(source.loss_fn, source.batch(t))
    other.network = nn.Linear(6, 3)
    other.optimizer = torch.optim.SGD(other.network.parameters(), lr=0.05)
    taken = controller(other, given.setting)
    with pytest.raises(
        lrpilot.InvalidArgument, match=r"the saved steps must be of parameters of the shapes \{0: \(3, 6\), 1"
    ):
        taken.load_state_dict(given.state_dict())
    taken.step(other.loss_fn, other.batch(0))


def told(
    problem: Problem, drive: lrpilot.OnlineActorCritic, *, after: Callable[[], object] = lambda: None
) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for t in range(20):
            drive.step(problem.loss_fn, problem.batch(t))
            after()
    assert all(issubclass(warning.category, lrpilot.PilotWarning) for warning in caught)
    return [str(warning.message) for warning in caught]


@every_setting
def test_another_writer_of_the_rate_is_told_of_once(setting: str) -> None:
    problem = Problem()
    assert told(problem, controller(problem, setting)) == []
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(problem.optimizer, 100)
    (said,) = told(problem, controller(problem, setting), after=scheduler.step)
    assert said.startswith("something else writes the learning rate too, such as a scheduler")
    problem = Problem()
    controller(problem, setting).step(problem.loss_fn, problem.batch(0))
    resumed = controller(problem, setting)
    resumed.step(problem.loss_fn, problem.batch(0))
    state = resumed.state_dict()
    problem.optimizer.param_groups[0]["lr"] = 0.01
    resumed.load_state_dict(state)  # from here on, whatever stands there
    assert told(problem, resumed) == []


@every_setting
def test_losses_that_reach_no_parameter_are_told_of_once(setting: str) -> None:
    problem, other = Problem(), Problem()
    problem.optimizer = other.optimizer
    (said,) = told(problem, controller(problem, setting))
    assert said.startswith("the losses of 5 batches in a row have reached no parameter that the SGD trains")


@pytest.mark.parametrize("reached", [[0] * 4 + [1] + [0] * 5, [0] * 5])
def test_four_batches_in_a_row_may_reach_no_parameter(reached: list[int]) -> None:
    problem, other = Problem(), Problem()
    drive = controller(problem, "paper")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for t, reaches in enumerate(reached[:-1]):
            drive.step(problem.loss_fn if reaches else other.loss_fn, problem.batch(t))
    with pytest.warns(lrpilot.PilotWarning, match="the losses of 5 batches in a row have reached no parameter"):
        drive.step(other.loss_fn, problem.batch(99))


def test_what_joins_during_the_opening_is_taken_back_with_the_rest() -> None:
    """Scripted losses with a gradient of 1, as in `test_online`: the tenth step ends the sweep."""
    w, joined = (nn.Parameter(torch.ones(1)) for _ in range(2))
    drive = lrpilot.OnlineActorCritic(torch.optim.SGD([w], lr=0.01), "stable")
    for t, loss in enumerate((2.0, 1.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 8.0, 9.0)):
        if t == 3:
            drive.optimizer.add_param_group({"params": [joined]})
        both = w.sum() + joined.sum()
        drive.step(lambda batch, both=both: both - both.detach() + batch, loss)
    assert drive._opening.done
    assert (w.item(), joined.item()) == (1.0, 1.0)


@every_setting
def test_a_loss_of_one_element_comes_back_as_a_number(setting: str) -> None:
    problem = Problem()
    loss = controller(problem, setting).step(lambda batch: problem.loss_fn(batch).reshape(1), problem.batch(0))
    assert loss.shape == ()


@every_setting
def test_a_compiled_network_is_driven_as_it_is_without_and_nothing_is_said(setting: str) -> None:
    traces = []
    for wrap in (lambda network: network, lambda network: torch.compile(network, backend="eager")):
        problem = Problem()
        network = wrap(problem.network)
        drive = controller(problem, setting)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for t in range(30):
                drive.step(
                    lambda b, network=network: nn.functional.cross_entropy(network(b[0]), b[1]), problem.batch(t)
                )
        traces.append(drive.history["rate"])
    torch.testing.assert_close(*traces)
