"""Several processes: sharded parameters, ranks without a pilot, ranks that may end early. Each on two of them."""

from __future__ import annotations

import copy
import multiprocessing

import pytest
import torch
import torch.distributed as dist
from torch import nn

from loops import loss_of
from lrpilot.errors import InvalidArgument
from lrpilot.pilot import ranks
from lrpilot.pilot.controller import Pilot
from scripted import Reactive, Scripted

STEPS = 40


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


def train(pilot, model, steps, *, begin=0, rank=None):
    for step in range(begin, begin + steps):
        rows = slice(None) if rank is None else slice(8 * rank, 8 * rank + 8)
        loss = loss_of(model, step, rows)
        pilot.optimizer.zero_grad()
        loss.backward()
        pilot.optimizer.step()
        pilot.step(loss)


def fully_sharded(rank):
    """Case L20: decisions, guard and state are those of one process that sees all rows."""
    from torch.distributed.fsdp import fully_shard

    collectives = []
    reduce = dist.all_reduce

    def counted(*args, **kwargs):
        collectives.append(args)
        return reduce(*args, **kwargs)

    ranks.dist.all_reduce = counted
    model = plain()
    for layer in model:
        fully_shard(layer)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, STEPS, policy=Reactive(), rollback=True)
    train(pilot, model, 17, rank=rank)
    twin = plain()
    for layer in twin:
        fully_shard(layer)
    fully_shard(twin)
    twin.load_state_dict(model.state_dict())
    again = Pilot(torch.optim.AdamW(twin.parameters(), lr=0.01), STEPS, policy=Reactive(), rollback=True)
    again.optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    again.load_state_dict(pilot.state_dict())
    decided = len(pilot.history.decisions)
    one_each = len(collectives) == decided
    train(pilot, model, STEPS - 17, begin=17, rank=rank)
    train(again, twin, STEPS - 17, begin=17, rank=rank)
    wild = plain()
    for layer in wild:
        fully_shard(layer)
    fully_shard(wild)
    start = [p.to_local().clone() for p in wild.parameters()]
    guarded = Pilot(torch.optim.SGD(wild.parameters(), lr=1e6), 1000, policy=Scripted(0.0))
    while not any(d.back_to is not None for d in guarded.history.decisions):
        train(guarded, wild, 1, rank=rank)
    back = all(torch.equal(p.to_local(), s) for p, s in zip(wild.parameters(), start, strict=True))
    return pilot.history["rate"].tolist(), again.history["rate"].tolist(), one_each, back


def on_one_rank(rank):
    """Case L21: a pilot on rank 0 alone says so rather than wait for ever."""
    model = nn.parallel.DistributedDataParallel(plain())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    if rank == 0:
        ranks.PATIENCE = ranks.timedelta(seconds=1)
        pilot = Pilot(optimizer, STEPS, policy=Scripted(0.0))
        try:
            train(pilot, model, 1, rank=rank)
        except InvalidArgument as error:
            return str(error)
        return "no error"
    loss_of(model, 0).backward()
    return None


def joined(rank):
    """Case L21: under Join a rank may end before the others."""
    model = nn.parallel.DistributedDataParallel(plain())
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), STEPS, policy=Scripted(0.0))
    try:
        with model.join():
            train(pilot, model, 10 + 10 * rank, rank=rank)
    except InvalidArgument as error:
        return str(error)
    return "no error"


def alone(rank):
    """A group of its own lets a rank decide alone, beside one that has no pilot."""
    groups = [dist.new_group([r]) for r in range(2)]
    if rank == 0:
        model = plain()
        pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), STEPS, policy=Reactive(), process_group=groups[0])
        train(pilot, model, STEPS)
        return len(pilot.history.decisions)
    return None


def work(rank, store, task, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    queue.put((rank, task(rank)))
    queue.close()
    queue.join_thread()
    dist.barrier()
    dist.destroy_process_group()


def on_two_ranks(task, store):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=work, args=(rank, store, task, queue)) for rank in range(2)]
    for process in processes:
        process.start()
    try:
        results = dict(queue.get(timeout=100) for _ in processes)
        for process in processes:
            process.join(30)
    finally:
        for process in processes:
            process.kill()
    return results[0], results[1]


@pytest.mark.integration
def test_fully_sharded_parameters(tmp_path):
    first, second = on_two_ranks(fully_sharded, tmp_path / "store")
    assert first == second
    rates, resumed, one_each, back = first
    assert resumed == rates
    assert one_each
    assert back
    model = plain()
    pilot = Pilot(torch.optim.AdamW(model.parameters(), lr=0.01), STEPS, policy=Reactive(), rollback=True)
    train(pilot, model, STEPS)
    # Losses and gradients are means of two halves here, whose squares are not those of the whole.
    assert rates == pytest.approx(pilot.history["rate"].tolist(), rel=0.3)


@pytest.mark.integration
def test_a_pilot_on_one_rank_alone(tmp_path):
    message, _ = on_two_ranks(on_one_rank, tmp_path / "store")
    assert message.startswith("process_group must be one on whose every rank a Pilot is made")


@pytest.mark.integration
def test_ranks_that_may_end_early(tmp_path):
    for message in on_two_ranks(joined, tmp_path / "store"):
        assert message.startswith("process_group must be one whose ranks take equally many steps (leave Join out")


@pytest.mark.integration
def test_a_rank_that_decides_alone(tmp_path):
    decisions, _ = on_two_ranks(alone, tmp_path / "store")
    assert decisions > 20


@pytest.fixture
def beside_another(monkeypatch):
    """This process as the first of two ranks, without the other: it gives 10 to each number. Counts collectives."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    calls = []
    monkeypatch.setattr(ranks.dist, "get_world_size", lambda group=None: 2)
    monkeypatch.setattr(ranks.dist, "all_reduce", lambda numbers, group=None: calls.append(group) or numbers.add_(10.0))
    monkeypatch.setattr(ranks, "PATIENCE", ranks.timedelta(milliseconds=20))
    yield calls
    dist.destroy_process_group()


def announce(pilot):
    """That the other rank has made so many pilots for the default group."""
    ranks._store(dist.group.WORLD).set(f"lrpilot/{pilot}/1", "")


def test_one_process_decides_by_its_own_numbers():
    numbers = torch.tensor([1.0, 2.0])
    assert ranks.Ranks(None).mean(numbers) is numbers


def test_the_mean_over_ranks_is_one_collective(beside_another):
    """And after the first decision nothing else: nobody looks again whether the others are there."""
    deciding = ranks.Ranks(None)
    announce(1)
    for _ in range(2):
        assert deciding.mean(torch.tensor([2.0, 4.0])).tolist() == [6.0, 7.0]
        ranks._store(dist.group.WORLD).delete_key("lrpilot/1/1")
    assert beside_another == [None, None]


def test_each_pilot_of_a_group_waits_for_its_own_fellow(beside_another):
    first, second = ranks.Ranks(None), ranks.Ranks(dist.group.WORLD)
    announce(1)
    first.mean(torch.zeros(1))
    with pytest.raises(InvalidArgument, match="got '2 ranks, some without one'"):
        second.mean(torch.zeros(1))
    announce(2)
    second.mean(torch.zeros(1))
    assert beside_another == [None, dist.group.WORLD]


def test_a_pilot_made_before_the_group_announces_itself_when_it_decides(monkeypatch, request):
    early = ranks.Ranks(None)
    request.getfixturevalue("beside_another")
    announce(1)
    assert early.mean(torch.tensor([2.0])).tolist() == [6.0]
    assert ranks._store(dist.group.WORLD).check(["lrpilot/1/0"])


@pytest.mark.parametrize("enabled", [True, False])
def test_ranks_that_join_may_end_early(beside_another, enabled):
    from torch.distributed.algorithms.join import Joinable

    class Ending(Joinable):
        join_hook = join_device = join_process_group = None

        def __init__(self):
            super().__init__()
            self._join_config = self._join_config._replace(enable=enabled)

    ending, deciding = Ending(), ranks.Ranks(None)
    announce(1)
    if enabled:
        with pytest.raises(InvalidArgument, match="ranks under torch"):
            deciding.mean(torch.zeros(1))
    else:
        deciding.mean(torch.zeros(1))
    assert isinstance(ending, Joinable)  # it lives until now
