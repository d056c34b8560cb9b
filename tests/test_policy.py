from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.learning.bank import store
from lrpilot.learning.bank.store import fingerprint as bank_fingerprint
from lrpilot.learning.pretrain_config import PretrainConfig
from lrpilot.learning.stages import BLOCK
from lrpilot.pilot import policy_file
from lrpilot.pilot.features import FEATURES, LINEAR_DECAY
from lrpilot.pilot.policy import LARGEST_STEP, Policy, Recurrent, bounded_step

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def policy() -> Policy:
    torch.manual_seed(0)
    return Policy(width=8, provenance={"seed": 3})


def test_round_trip_is_exact(policy, tmp_path):
    policy.save(tmp_path / "policy.safetensors")
    loaded = Policy.load(tmp_path / "policy.safetensors")
    assert loaded.provenance == {"seed": 3}
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.safetensors"]


def test_loading_takes_no_random_numbers():
    """A run with the pilot and one without draw the same masks and the same batches."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Policy.load()
    assert torch.rand(3).tolist() == expected.tolist()


def test_loading_where_torch_swaps_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which recurrent layers cannot."""
    before = Policy.load().state_dict()
    monkeypatch.setattr(torch.__future__, "_swap_module_params_on_conversion", True)
    assert torch.__future__.get_swap_module_params_on_conversion()
    for name, value in Policy.load().state_dict().items():
        assert torch.equal(value, before[name])


def test_saving_in_a_home_and_where_it_does_harm(policy, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    policy.save("~/policy")
    assert Policy.load(tmp_path / "policy")
    with pytest.raises(Unusable, match="no home directory"):
        policy.save("~nobody-of-this-name/policy")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Unusable, match="is not a regular file"):
        policy.save(pipe)
    assert pipe.is_fifo()


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_acting_step_by_step_equals_the_sequence(policy, shape):
    features = torch.randn(4, *shape, len(FEATURES))
    memory, steps = policy.initial_memory(shape), []
    for seen in features:
        step, memory = policy.act(seen, memory)
        assert step.shape == shape
        steps.append(step)
    raw, _ = policy.actor(features.view(4, -1, len(FEATURES)))
    expected = bounded_step(raw.detach().view(4, *shape), features[..., LINEAR_DECAY])
    torch.testing.assert_close(torch.stack(steps), expected)
    assert not torch.allclose(policy.act(features[1], policy.initial_memory(shape))[0], steps[1])


def test_steps_are_bounded_beside_the_decay():
    raw = torch.tensor([-1e9, 0.0, 1e9])
    steps = bounded_step(raw, torch.tensor(-0.5))
    assert steps.tolist() == pytest.approx([-0.5 - math.log(10), -0.5, -0.5 + math.log(10)])


def write(policy: Policy, path, **change) -> None:
    """A policy file with another header or other weights, its checksum right."""
    tensors = change.pop("tensors", policy.state_dict())
    policy_file.write(path, {"width": policy.width, "largest_step": LARGEST_STEP} | change, tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "of format 2"),
        ({"kind": "something else"}, "of the kind"),
        ({"features": {"weather": [0.0, 0.0, 0.0]}}, "weather"),
        ({"features": policy_file.feature_values() | {"noise": [0.0, 0.0, 0.0]}}, "noise"),
        ({"features": policy_file.feature_values() | {"noise": 3}}, "noise"),
        ({"features": policy_file.feature_values() | {"noise": ["a", "b", "c"]}}, "noise"),
        ({"features": {}}, "names its features"),
        ({"largest_step": 1.0}, "action"),
        ({"width": 16}, "all its weights"),
        ({"width": 0}, "width"),
        ({"width": "wide"}, "width"),
        ({"width": True}, "width"),
        ({"width": 10**9}, "width"),
        ({"members": 2}, "members"),
        ({"members": True}, "members"),
        ({"members": 3}, "all its weights"),
        ({}, None),
    ],
)
def test_wrong_headers_are_refused_by_name(policy, tmp_path, change, message):
    path = tmp_path / "policy.safetensors"
    write(policy, path, **change)
    if message is None:
        Policy.load(path)
        return
    with pytest.raises(InvalidArgument, match=message) as caught:
        Policy.load(path)
    assert "\n" not in str(caught.value)
    assert "policy" in str(caught.value)


@pytest.mark.parametrize("bad", ["infinite", "not a number", "integer", "huge", "infinite as float32", "eight bits"])
def test_weights_that_are_not_finite_numbers_are_refused(policy, tmp_path, bad):
    tensors = {name: value.clone() for name, value in policy.state_dict().items()}
    name = "actor.head.bias"
    tensors[name] = {
        "infinite": torch.tensor([math.inf]),
        "not a number": torch.tensor([math.nan]),
        "integer": torch.tensor([1]),
        "huge": torch.tensor([1e30]),
        "infinite as float32": torch.tensor([1e300], dtype=torch.float64),
        "eight bits": torch.tensor([math.nan]).to(torch.float8_e4m3fn),
    }[bad]
    write(policy, tmp_path / "bad", tensors=tensors)
    with pytest.raises(InvalidArgument, match=r"finite.*actor\.head\.bias"):
        Policy.load(tmp_path / "bad")


def test_the_values_that_files_carry_are_as_they_were():
    """Of three intervals that were made up once; with others, or other formulas, every policy's file would be refused.
    A new feature is a line more in the golden file."""
    golden = json.loads((Path(__file__).parent / "golden" / "feature_values.json").read_text())
    values = policy_file.feature_values()
    assert values.keys() == golden.keys()
    for name, expected in golden.items():
        assert values[name] == pytest.approx(expected, abs=1e-3), name


def test_no_flipped_bit_goes_unnoticed(policy, tmp_path):
    path, generator = tmp_path / "policy.safetensors", torch.Generator().manual_seed(0)
    policy.save(path)
    whole = path.read_bytes()
    for place in torch.randint(8 * len(whole), (300,), generator=generator).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InvalidArgument):
            Policy.load(path)


def test_a_file_without_its_checksum_is_refused(policy, tmp_path):
    header = {"format": 2, "kind": "lrpilot pilot", "features": policy_file.feature_values(), "width": 8}
    header["largest_step"] = LARGEST_STEP
    save_file(policy.state_dict(), tmp_path / "bare", metadata={"lrpilot": json.dumps(header)})
    with pytest.raises(InvalidArgument, match="checksum"):
        Policy.load(tmp_path / "bare")


def test_the_policy_of_0_1_sees_nothing_of_later_features():
    policy = Policy.load(FIXTURES / "policy-0.1.0.safetensors")
    later = torch.zeros(len(FEATURES))
    later[FEATURES.index("tensor_update") :] = 1.0
    step, _ = policy.act(torch.zeros(len(FEATURES)), policy.initial_memory())
    same, _ = policy.act(later, policy.initial_memory())
    assert torch.equal(step, same)
    assert step != 0
    other, _ = policy.act(later.roll(-25), policy.initial_memory())
    assert not torch.equal(step, other)


def test_a_later_feature_is_seen_by_name_not_by_place(policy, tmp_path):
    """A policy made for the first and the last feature alone reads these two columns."""
    names = [FEATURES[0], FEATURES[-1]]
    tensors = {name: value.clone() for name, value in policy.state_dict().items()}
    for part in ("actor", "critic"):
        tensors[f"{part}.encoder.weight"] = tensors[f"{part}.encoder.weight"][:, [0, -1]]
    values = policy_file.feature_values()
    write(policy, tmp_path / "two", tensors=tensors, features={name: values[name] for name in names})
    weight = Policy.load(tmp_path / "two").actor.encoder.weight
    torch.testing.assert_close(weight[:, [0, -1]], policy.actor.encoder.weight[:, [0, -1]])
    assert not weight[:, 1:-1].any()


def test_the_narrowest_policy_is_one(tmp_path):
    Policy(width=1).save(tmp_path / "narrow")
    assert Policy.load(tmp_path / "narrow").width == 1


def test_a_policy_is_as_wide_as_the_shipped_one_unless_said():
    assert Policy().width == Policy.load("shipped").width == PretrainConfig().width
    assert Policy().provenance == {}


def test_corrupt_foreign_and_missing_files_are_refused(policy, tmp_path):
    path = tmp_path / "policy.safetensors"
    policy.save(path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not a policy at all", bytes([255] * 64) + whole):
        path.write_bytes(broken)
        with pytest.raises(InvalidArgument, match="intact"):
            Policy.load(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InvalidArgument, match="kind"):
        Policy.load(path)
    for missing in (tmp_path / "nowhere", "~nobody-of-this-name/policy", "a" * 5000, "a\0b"):
        with pytest.raises(InvalidArgument, match="shipped"):
            Policy.load(missing)


def test_an_untrained_policy_is_near_the_linear_decay(policy):
    features = torch.zeros(len(FEATURES))
    features[LINEAR_DECAY] = -0.3
    step, _ = policy.act(features, policy.initial_memory())
    assert step.item() == pytest.approx(-0.3, abs=0.3)


def test_an_untrained_head_is_a_tenth_of_torchs_own_start():
    """So that the first actions are small beside the largest one, and what is learned decides, not the start."""
    torch.manual_seed(0)
    network = Recurrent(5, 8)
    torch.manual_seed(0)
    torch.nn.Linear(5, 8), torch.nn.GRU(8, 8)
    head = torch.nn.Linear(8, 1)
    torch.testing.assert_close(network.head.weight, 0.1 * head.weight)
    assert network.head.bias.item() == 0


def test_the_shipped_policy_is_small_and_says_what_made_it():
    path = files("lrpilot.pilot") / "policies" / "pilot.safetensors"
    assert len(path.read_bytes()) < 1_000_000
    shipped = Policy.load("shipped")
    assert (shipped.members, shipped.provenance["made_by"]) == (3, "lrpilot pretrain panel")
    banked, halfway, early = shipped.provenance["of"]
    assert halfway["made_by"] == "lrpilot pretrain mean"
    config = PretrainConfig(bank_rounds=3)
    blocks = config.bank_rounds * config.bank_updates // BLOCK
    for part, iterations, mixed in ((banked, 50, 2), (halfway["of"][0], 0, 0), (halfway["of"][1], 50, 0)):
        made = PretrainConfig(**{"ppo_bank": 0} | part["configuration"])  # which fields of later date stood for
        assert made == replace(config, ppo_iterations=iterations, ppo_bank=mixed)
        assert part["done"] == {"distil": config.distil_groups, "bank": blocks, "ppo": iterations}
        assert part["bank"] == bank_fingerprint(store.read("results/bank.jsonl")[:300])  # so many there were then
    assert (early["distilled"], early["improved"]) == (config.distil_groups, config.ppo_iterations)
