from __future__ import annotations

import math

import pytest
import torch

from benchmarks.rollouts import measure, plain_optimizer, whole_mix
from lrpilot.learning.population.data import INPUTS, TARGETS, Source, load_sources
from lrpilot.learning.population.draw import Group, draw_group, draw_tasks
from lrpilot.learning.population.networks import Network, attention, cnn, mlp, recurrent
from lrpilot.learning.population.optimizers import Optimizer, Rule
from lrpilot.learning.population.quadratic import best_schedule, expected_losses, quadratic
from lrpilot.learning.population.rollouts import BLURRED, blur, roll_out
from lrpilot.learning.population.schedules import Script, log_warm_up, peak_grid, remaining
from lrpilot.learning.population.trainings import Pool, Trainings
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.timetable import decision_steps

NETWORKS = [
    mlp((), "tanh", 10),
    mlp((12, 8), "silu", 10),
    mlp((12, 8), "relu", 4, normalised=True),
    cnn((3, 5), 7, "tanh", 10),
    attention(6, 10, normalised=True),
    attention(6, 4, normalised=False),
    recurrent(9, 10),
]
RULES = [
    Rule("sgd", weight_decay=0.01),
    Rule("momentum", 0.9, weight_decay=0.01),
    Rule("adam", 0.9, 0.99),
    Rule("adamw", 0.8, 0.999, weight_decay=0.1),
    Rule("rmsprop", second=0.9),
    Rule("adagrad"),
]


@pytest.fixture(scope="module")
def pool() -> Pool:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(300, INPUTS, generator=generator)
    labels = (inputs[:, :10] + inputs[:, 10:20]).argmax(1)
    targets = torch.tanh(inputs[:, :TARGETS])
    return Pool([Source("toy", inputs, labels, targets, 200), Source("copy", inputs, labels, targets, 200)])


def train(pool: Pool, group: Group, *, replicas: int = 3, seed: int = 0, tasks: int = 2) -> Trainings:
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_tasks(group, tasks, generator, training_rows=pool.training, anytime=0.0)
    return Trainings(group, drawn, pool, replicas=replicas, generator=generator)


def copy_to_plain(network: Network, values: list[torch.Tensor]) -> torch.nn.Module:
    """The plain module with the parameters of the first run."""
    module = network.plain()
    state = [value[0] for value in values]
    if network.name.startswith("recurrent"):  # torch's order: both weights, then both biases
        state = [state[0], state[2], state[1], state[3], *state[4:]]
    if "batch norm" in network.name:  # ours come last, torch's after each layer
        layers = (len(state) + 1) // 3
        gains = state[2 * layers :]
        state = [part for i in range(layers) for part in (*state[2 * i : 2 * i + 2], *gains[i : i + 1])]
    position = None
    if network.name.startswith("attention"):  # torch lists a module's own parameters first
        position, state = 0, [state[2], *state[:2], *state[3:]]
    if network.name.startswith("cnn"):  # ours flattens channels last
        state[4] = state[4].view(4, -1, state[4].shape[1]).transpose(0, 1).flatten(0, 1)
    with torch.no_grad():
        for index, (parameter, value) in enumerate(zip(module.parameters(), state, strict=True)):
            if parameter.ndim == 4:
                outputs, channels = parameter.shape[:2]
                parameter.copy_(value.view(3, 3, channels, outputs).permute(3, 2, 0, 1))
            elif parameter.ndim == 2 and index != position and len(value) > 1:
                parameter.copy_(value.T)
            else:
                parameter.copy_(value.view(parameter.shape))
    return module


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_networks_equal_plain_modules(network):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(2, *p.shape, generator=generator) / 3 for p in network.parameters]
    inputs = torch.randn(2, 11, INPUTS, generator=generator)
    expected = copy_to_plain(network, values)(inputs[0])
    torch.testing.assert_close(network.forward(values, inputs)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_what_reaches_the_last_layer_goes_through_dropout(network):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(2, *p.shape, generator=generator) for p in network.parameters]
    inputs = torch.randn(2, 11, INPUTS, generator=generator)
    kept = network.forward(values, inputs)
    silenced = network.forward(values, inputs, torch.zeros_like)
    hidden = len(network.parameters) > 2  # a linear model has no hidden units
    assert (silenced == silenced[:, :1]).all() == hidden
    assert torch.equal(silenced, kept) != hidden


def test_dropout_is_the_same_for_replicas_keeps_the_mean_and_ends_with_training(pool):
    group = Group(mlp((6,), "relu", 10), "classify", Rule("sgd"), 100, 8, dropout=0.25)
    trainings = train(pool, group, replicas=3, tasks=2)
    dropped = trainings._drop(torch.ones(6, 500, 20)).view(2, 3, 500, 20)
    assert torch.equal(dropped[:, :1].expand_as(dropped), dropped)
    assert not torch.equal(dropped[0], dropped[1])
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(trainings.evaluate().training_loss, trainings.evaluate().training_loss)


def test_the_grid_of_peaks_spans_3_6_decades_about_the_usual_one():
    """Twelve peaks, 0.33 decades apart: between two of them a score changes by no more than its noise."""
    grid = peak_grid(torch.tensor([0.0, 5.0]), torch.tensor([[0.0], [0.5]])) / math.log(10)
    decades = [-1.815, -1.485, -1.155, -0.825, -0.495, -0.165, 0.165, 0.495, 0.825, 1.155, 1.485, 1.815]
    assert grid[0].tolist() == pytest.approx(decades, abs=1e-6)
    assert grid[1].tolist() == pytest.approx([5 / math.log(10) + 0.165 + each for each in decades], abs=1e-5)


def test_schedules_warm_up_from_a_tenth_over_the_first_25th():
    parts = log_warm_up(10_000).exp()
    assert parts[0].item() == pytest.approx(0.1)
    assert (parts.diff() >= 0).all()
    assert (parts[12:] == 1).all()  # from (12 / 50)^2.2 = 4.3 % of the run on
    ends = torch.tensor(decision_steps(10_000)[8:10]) / 10_000
    assert parts[9].item() == pytest.approx(ends.mean().item() * 25, rel=1e-4)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_optimizers_equal_torch(rule):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 5, generator=generator)
    rates = torch.tensor([[0.1], [0.01], [0.3]])
    models = [torch.nn.ParameterList([row.clone()]) for row in weights]
    peers = [plain_optimizer(rule, model, rate=rate.item()) for model, rate in zip(models, rates, strict=True)]
    ours = Optimizer(rule, weights)
    for _ in range(4):
        gradient = torch.randn(3, 5, generator=generator)
        for model, peer, row in zip(models, peers, gradient, strict=True):
            model[0].grad = row.clone()
            peer.step()
        ours.step(weights, gradient, rates)
    torch.testing.assert_close(weights, torch.stack([model[0].data for model in models]))


def test_measurements_equal_a_slow_transcription(pool):
    group = Group(mlp((6,), "tanh", 10), "classify", Rule("momentum"), 50, 8)
    trainings = train(pool, group)
    other = train(pool, group)
    rate = torch.full((trainings.runs,), -2.0)
    interval = trainings.advance(3, rate)
    rows = other._draw_rows(3)
    gradients, updates = [], []
    for step in range(3):
        before = other.weights.clone()
        _, gradient = other._gradient(*other._batch(rows[step]))
        other._optimizer.step(other.weights, gradient.clone(), rate.exp().unsqueeze(1))
        gradients.append(gradient)
        updates.append(other.weights - before)
    cosine = torch.nn.functional.cosine_similarity
    pairs = range(2)
    expected = {
        "gradient_cosine": sum(cosine(gradients[i], gradients[i + 1]) for i in pairs) / 2,
        "update_cosine": sum(cosine(-updates[i], gradients[i + 1]) for i in pairs) / 2,
        "decrease": -sum((g * u).sum(1) for g, u in zip(gradients, updates, strict=True)) / 3,
        "next_decrease": -sum((updates[i] * gradients[i + 1]).sum(1) for i in pairs) / 2,
        "gradient_norm": sum(g.norm(dim=1) for g in gradients) / 3,
        "update_norm": sum(u.norm(dim=1) for u in updates) / 3,
        "weight_norm": other.weights.norm(dim=1),
    }
    for name, value in expected.items():
        torch.testing.assert_close(getattr(interval, name), value, rtol=1e-3, atol=1e-6)


def test_replicas_share_all_but_the_rate_and_a_broken_run_disturbs_nobody(pool):
    group = Group(mlp((6,), "relu", 10), "classify", Rule("sgd"), 50, 8)
    rate = torch.full((6,), math.log(0.05))
    calm = train(pool, group)
    calm.advance(10, rate)
    torch.testing.assert_close(calm.weights[0], calm.weights[2])
    assert not torch.allclose(calm.weights[0], calm.weights[3])
    wild = train(pool, group)
    rate[1] = 80.0
    wild.advance(10, rate)
    assert wild.broken().tolist() == [False, True, False, False, False, False]
    others = [0, 2, 3, 4, 5]
    torch.testing.assert_close(wild.weights[others], calm.weights[others])
    wild.take_back(wild.broken())
    assert not wild.broken().any()
    torch.testing.assert_close(wild.weights[1], train(pool, group).weights[1])


def test_take_back_forgets_the_optimizer(pool):
    group = Group(mlp((), "relu", 10), "classify", Rule("adam"), 50, 8)
    trainings = train(pool, group)
    trainings.advance(5, torch.full((6,), -3.0))
    trainings.take_back(torch.tensor([True, False, False, False, False, False]))
    optimizer = trainings._optimizer
    assert optimizer._first is not None
    assert optimizer._second is not None
    assert optimizer._first[0].abs().sum() == optimizer._second[0].sum() == optimizer._steps[0] == 0
    assert optimizer._first[1].abs().sum() > 0


@pytest.mark.parametrize("goal", ["classify", "regress", "reconstruct", "quadratic"])
def test_every_goal_is_learned(pool, goal):
    outputs = {"classify": 10, "regress": TARGETS, "reconstruct": INPUTS, "quadratic": INPUTS}[goal]
    network = quadratic() if goal == "quadratic" else mlp((32,), "tanh", outputs)
    trainings = train(pool, Group(network, goal, Rule("adam"), 50, 16))
    trainings.tasks.noise.zero_()
    before = trainings.evaluate()
    trainings.advance(200, torch.full((6,), math.log(0.01)))
    after = trainings.evaluate()
    assert (after.training_loss < 0.8 * before.training_loss).all()
    assert before.held_out_error.isnan().all() == (goal != "classify")


def test_rollouts_follow_scripts_and_take_back(pool):
    group = Group(mlp((6,), "relu", 10), "classify", Rule("sgd"), 200, 8)
    trainings = train(pool, group, replicas=4, tasks=1)
    trainings.tasks.loss_scale.fill_(1.0)
    nan = math.nan
    script = Script(torch.tensor([-2.0, -2.0, nan, nan]), torch.tensor([False, True, False, False]))
    start = torch.tensor([0.0, 0.0, -3.0, 30.0])
    rollout = roll_out(trainings, lambda seen: torch.zeros(len(seen)), start, script)
    # A raw action of 0 is the linear decay, like the script's once it is warm; a constant stands for ever higher peaks.
    torch.testing.assert_close(rollout.log_peaks[:, 2], rollout.log_peaks[:1, 2].expand(len(rollout.log_peaks)))
    torch.testing.assert_close(rollout.log_peaks[:, 0], -2 + log_warm_up(200)[:-1])
    assert (rollout.log_peaks[1:, 1] > rollout.log_peaks[:-1, 1]).all()
    assert rollout.restored[:, :3].sum() == 0
    assert rollout.restored[:3, 3].any()  # the first interval may end before its first update is seen
    assert rollout.log_peaks[3, 3] < 30 - math.log(2.9)
    assert rollout.scores.isfinite().all()
    assert rollout.observations.isfinite().all()
    assert remaining(0.5, 0.7) == pytest.approx(0.4)


def test_the_population_is_a_function_of_the_seed():
    first, second = (load_sources(5, mnist=False, synthetic=2) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a.inputs, b.inputs)
        torch.testing.assert_close(a.labels, b.labels)
    assert {s.inputs.shape[1] for s in first} == {INPUTS}
    other = load_sources(6, mnist=False, synthetic=2)
    assert not torch.equal(first[1].inputs, other[1].inputs)


@pytest.mark.parametrize("steps", [3000, 4000, 6000, 12_000])
def test_no_run_has_a_judged_length(steps):
    generator = torch.Generator().manual_seed(0)
    assert {draw_group(generator, shortest=steps, longest=steps).steps for _ in range(20)} == {steps + 1}


def test_drawing_keeps_to_its_bounds():
    generator = torch.Generator().manual_seed(0)
    groups = [draw_group(generator, shortest=50, longest=300) for _ in range(200)]
    assert all(50 <= group.steps <= 300 for group in groups)
    assert {group.goal for group in groups} == {"classify", "regress", "reconstruct", "quadratic"}
    assert {group.rule.kind for group in groups} == {rule.kind for rule in RULES}
    tasks = draw_tasks(groups[0], 50, generator, training_rows=torch.tensor([100, 4000, 4000]), anytime=0.2)
    assert (tasks.rows <= torch.tensor([100, 4000, 4000])[tasks.source]).all()
    assert (tasks.rows >= 100).all()
    assert 0 < tasks.anytime.sum() < 30


def test_best_schedule_of_the_quadratic_beats_every_constant_and_follows_its_moments():
    curvature, moments = torch.tensor([1.0, 0.1]), torch.tensor([1.0, 4.0])
    by_hand = 0.5 * (0.9**2 * 1 + 0.01 * 0.3 + 0.1 * (0.99**2 * 4 + 0.01**2 * 0.3))
    assert expected_losses(torch.tensor([0.1]), curvature, moments, 0.3).item() == pytest.approx(by_hand)
    best = best_schedule(curvature, moments, 0.3, steps=30)
    reached = expected_losses(best, curvature, moments, 0.3)[-1]
    for rate in torch.logspace(-3, 0.2, 25):
        assert reached < expected_losses(rate.expand(30), curvature, moments, 0.3)[-1]
    assert best[-1] < 0.5 * best[:15].max()  # it decays in the end


def test_blur_shifts_what_the_policy_sees_and_nothing_else(pool):
    group = Group(mlp((6,), "tanh", 10), "classify", Rule("sgd"), 60, 8)
    script = Script.none(6)
    start = torch.full((6,), -3.0)
    shift = blur(6, torch.Generator().manual_seed(0))
    rollouts = [
        roll_out(train(pool, group), lambda seen: torch.zeros(len(seen)), start, script, shift=s) for s in (None, shift)
    ]
    torch.testing.assert_close(rollouts[0].scores, rollouts[1].scores)
    moved = rollouts[1].observations - rollouts[0].observations
    torch.testing.assert_close(moved, shift.expand_as(moved), atol=1e-4, rtol=0)
    names = {FEATURES[i] for i in shift.abs().amax(0).nonzero().flatten().tolist()}
    assert names == set(BLURRED)


@pytest.fixture(scope="module")
def speeds():
    """Of 72 groups, on one thread."""
    threads, sources = torch.get_num_threads(), load_sources(0, mnist=False)
    torch.set_num_threads(1)
    measured = [speed for seed in range(3) for speed in measure(sources, groups=24, seed=seed)]
    torch.set_num_threads(threads)
    return measured


@pytest.mark.slow
def test_batching_is_worth_its_while(speeds):
    """Six times the steps a second over the mix of runs, twenty for the smallest."""
    assert whole_mix(speeds) >= 6
    assert max(s.factor for s in speeds) >= 20


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True, reason="wide layers gain less, and weigh as much as all others: docs/research/trials.md"
)
def test_batching_is_worth_its_while_if_every_group_trained_equally_long(speeds):
    assert sum(1 / s.single for s in speeds) / sum(1 / s.batched for s in speeds) >= 6
