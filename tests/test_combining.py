"""One policy out of several, against what each of them answers."""

import shlex

import pytest
import torch

from loops import network
from lrpilot.cli import main
from lrpilot.errors import InvalidArgument
from lrpilot.learning.combining import mean_of, panel_of
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.policy import Policy


@pytest.fixture
def policies() -> list[Policy]:
    torch.manual_seed(0)
    made = [Policy(width=8, provenance={"seed": seed}) for seed in range(3)]
    for policy in made:
        policy.actor.head.weight.data.mul_(30)  # so that their answers differ
    return made


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_a_panel_answers_with_the_median_and_each_member_remembers(policies, shape):
    panel = panel_of(policies)
    memory, memories = panel.initial_memory(shape), [policy.initial_memory(shape) for policy in policies]
    ranks = set()
    for _ in range(40):
        seen = 3 * torch.randn(*shape, len(FEATURES))
        step, memory = panel.act(seen, memory)
        answers = [policy.act(seen, each) for policy, each in zip(policies, memories, strict=True)]
        steps, memories = zip(*answers, strict=True)
        low, middle, high = torch.stack(steps).sort(0).values
        torch.testing.assert_close(step, middle)
        assert (low < high).all()
        ranks |= set(torch.stack(steps).argsort(0)[1].flatten().tolist())
        torch.testing.assert_close(memory, torch.cat(memories, -1))
    assert len(ranks) > 1


def test_a_panel_keeps_in_a_file(policies, tmp_path):
    panel = panel_of(policies)
    panel.save(tmp_path / "panel.safetensors")
    loaded = Policy.load(tmp_path / "panel.safetensors")
    assert (loaded.width, loaded.members) == (8, 3)
    assert loaded.provenance == {"made_by": "lrpilot pretrain panel", "of": [{"seed": 0}, {"seed": 1}, {"seed": 2}]}
    for name, value in panel.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    critic = {name.removeprefix("critic."): value for name, value in loaded.state_dict().items() if "critic" in name}
    assert all(torch.equal(policies[0].critic.state_dict()[name], value) for name, value in critic.items())


def test_a_mean_by_hand(policies):
    mean = mean_of(policies[:2])
    for name, value in mean.state_dict().items():
        first, second = (policy.state_dict()[name] for policy in policies[:2])
        torch.testing.assert_close(value, (first + second) / 2)
    assert mean.provenance == {"made_by": "lrpilot pretrain mean", "of": [{"seed": 0}, {"seed": 1}]}


def test_what_cannot_be_combined_is_refused(policies):
    for few in (policies[:1], policies[:2]):
        with pytest.raises(InvalidArgument, match="policies must be three, or more and an odd number, got"):
            panel_of(few)
    for combine in (mean_of, panel_of):
        for wrong in ([], [*policies[:2], Policy(width=4)], [panel_of(policies)]):
            with pytest.raises(InvalidArgument, match="policies must be some of one width, none of them a panel, got"):
                combine(wrong)


def test_a_run_goes_on_with_another_kind_of_policy(policies):
    """The memory of one policy is none for another: the run's state loads, and the policy begins to remember."""

    def begin(policy):
        return Pilot(torch.optim.SGD(network().parameters(), lr=0.1), 100, policy=policy)

    state = begin(policies[0]).state_dict()
    state["policy_memory"] += 1.0
    pilot = begin(panel_of(policies))
    pilot.load_state_dict(state)
    assert torch.equal(pilot.state_dict()["policy_memory"], torch.zeros(24))
    again = begin(policies[0])
    again.load_state_dict(state)
    assert torch.equal(again.state_dict()["policy_memory"], torch.ones(8))


@pytest.mark.parametrize("how", ["mean", "panel"])
def test_a_policy_that_is_read_is_not_replaced(how, policies, tmp_path, capsys):
    files = [tmp_path / f"{number}.safetensors" for number in range(3)]
    for policy, file in zip(policies, files, strict=True):
        policy.save(file)
    (tmp_path / "link").symlink_to(files[1])
    (tmp_path / "folder").mkdir()
    before = [file.read_bytes() for file in files]
    for out in (files[0], tmp_path / "link", tmp_path / "folder" / ".." / "2.safetensors"):
        with pytest.raises(SystemExit) as left:
            main(["pretrain", how, *map(str, files), "--out", str(out)])
        assert left.value.code == 2
        said = f"lrpilot: --out must be another file than those of POLICIES, which it would replace, got '{out}'\n"
        assert capsys.readouterr().err == said
    assert [file.read_bytes() for file in files] == before


def test_the_commands(policies, tmp_path, capsys):
    names = [tmp_path / f"{index}.safetensors" for index in range(3)]
    for policy, name in zip(policies, names, strict=True):
        policy.save(name)
    files = shlex.join(map(str, names))
    for kind, combine in (("mean", mean_of), ("panel", panel_of)):
        out = tmp_path / "new" / f"{kind}.safetensors"
        with pytest.raises(SystemExit) as left:
            main(shlex.split(f"pretrain {kind} {files} --out {out}"))
        assert left.value.code == 0
        assert str(out.name) in capsys.readouterr().out.replace("\n", "")
        expected = combine(policies).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in Policy.load(out).state_dict().items())
