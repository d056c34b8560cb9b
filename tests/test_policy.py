from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
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
@pytest.mark.parametrize("members", [1, 3])
def test_acting_step_by_step_equals_the_sequence(shape, members):
    torch.manual_seed(0)
    policy = Policy(width=8, members=members)
    features = torch.randn(4, *shape, len(FEATURES))
    memory, steps = policy.initial_memory(shape), []
    for seen in features:
        step, memory = policy.act(seen, memory)
        assert step.shape == shape
        steps.append(step)
    raw, _ = policy.actor(features.view(4, -1, len(FEATURES)))
    assert raw.shape == (4, math.prod(shape))
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


def noise(values: object) -> dict[str, object]:
    return {"features": policy_file.feature_values() | {"noise": values}}


NOISE = policy_file.feature_values()["noise"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "of format 2"),
        ({"format": 1}, "of format 2"),  # whose checksum nobody would ask for
        ({"kind": "something else"}, "of the kind"),
        ({"features": {"weather": [0.0, 0.0, 0.0]}}, "weather"),
        (noise([0.0, 0.0, 0.0]), "noise"),
        (noise(3), "noise"),
        (noise(["a", "b", "c"]), "noise"),
        (noise(NOISE[:2]), "noise"),
        (noise([value + 0.00095 for value in NOISE]), None),  # a thousandth is far more than rounding
        (noise([value + 0.00105 for value in NOISE]), "noise"),
        ({"features": {}}, "names its features"),
        ({"features": "noise"}, "names its features"),
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


@pytest.mark.parametrize("cut", [slice(0, 1), (slice(None), 0), (slice(None), slice(0, 5))])
def test_an_encoder_of_other_columns_is_refused(policy, tmp_path, cut):
    name = "actor.encoder.weight"
    write(policy, tmp_path / "cut", tensors=policy.state_dict() | {name: policy.actor.encoder.weight.detach()[cut]})
    with pytest.raises(InvalidArgument, match="with all its weights"):
        Policy.load(tmp_path / "cut")


def test_a_file_that_the_system_does_not_give_is_refused(policy, tmp_path, monkeypatch):
    def failing(*args: object, **kwargs: object) -> None:
        raise OSError("Input/output error")

    policy.save(tmp_path / "there")
    monkeypatch.setattr(policy_file, "safe_open", failing)
    with pytest.raises(InvalidArgument, match=r"an intact policy file \(Input/output error\)"):
        Policy.load(tmp_path / "there")


@pytest.mark.parametrize(("weight", "refused"), [(1e6, False), (-1e6, False), (1.01e6, True), (-1.01e6, True)])
def test_weights_of_more_than_a_million_are_refused(policy, tmp_path, weight, refused):
    """Learned ones are below a hundred."""
    write(policy, tmp_path / "large", tensors=policy.state_dict() | {"actor.head.bias": torch.tensor([weight])})
    if refused:
        with pytest.raises(InvalidArgument, match=r"none beyond 1e\+06.*actor\.head\.bias"):
            Policy.load(tmp_path / "large")
    else:
        assert Policy.load(tmp_path / "large").actor.head.bias.item() == weight


@pytest.mark.parametrize(
    ("size", "refused"),
    [
        *(({"width": width}, refused) for width, refused in ((1, False), (4096, False), (4097, True), (-1, True))),
        *(({"members": number}, number not in (1, 3, 99)) for number in (-1, 0, 1, 2, 3, 98, 99, 100, 101)),
    ],
)
def test_how_large_a_policy_may_be(policy, tmp_path, size, refused):
    """Read alone: a file of some bytes could ask for gigabytes."""
    write(policy, tmp_path / "large", **size)
    if refused:
        with pytest.raises(InvalidArgument, match=r"policy must be of (a width|an odd number of members)"):
            policy_file.read(tmp_path / "large", largest_step=LARGEST_STEP)
    else:
        header, _ = policy_file.read(tmp_path / "large", largest_step=LARGEST_STEP)
        assert size.items() <= header.items()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"members": 2}, "members must be an odd number, got 2"),
        pytest.param({"provenance": "mine"}, "provenance must be a dict, or None", marks=pytest.mark.mistyped),
    ],
)
def test_no_policy_is_made_that_could_not_be_read(wrong, message):
    with pytest.raises(InvalidArgument, match=message):
        Policy(width=2, **wrong)


def test_the_values_that_files_carry_are_as_they_were():
    """Of three intervals that were made up once; with others, or other formulas, every policy's file would be refused.
    A new feature is a line more in the golden file."""
    golden = json.loads((Path(__file__).parent / "golden" / "feature_values.json").read_text())
    values = policy_file.feature_values()
    assert values.keys() == golden.keys()
    for name, expected in golden.items():
        assert values[name] == pytest.approx(expected, abs=2e-4), name
        assert values[name] == [round(value, 4) for value in values[name]]  # what the last digits are, torch decides


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


def test_a_file_that_names_no_features_is_refused(policy, tmp_path):
    header = {"format": 2, "kind": "lrpilot pilot", "width": 8, "largest_step": LARGEST_STEP}
    header["checksum"] = policy_file._checksum(header, policy.state_dict())
    save_file(policy.state_dict(), tmp_path / "bare", metadata={"lrpilot": json.dumps(header)})
    with pytest.raises(InvalidArgument, match="names its features"):
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


@pytest.mark.parametrize("width", [8, 2])
def test_a_later_feature_is_seen_by_name_not_by_place(width, tmp_path):
    """A policy made for the first and the last feature alone reads these two columns; other weights are as wide."""
    policy = Policy(width=width)
    names = [FEATURES[0], FEATURES[-1]]
    tensors = {name: value.clone() for name, value in policy.state_dict().items()}
    for part in ("actor", "critic"):
        tensors[f"{part}.encoder.weight"] = tensors[f"{part}.encoder.weight"][:, [0, -1]]
    values = policy_file.feature_values()
    write(policy, tmp_path / "two", tensors=tensors, features={name: values[name] for name in names})
    weight = Policy.load(tmp_path / "two").actor.encoder.weight
    torch.testing.assert_close(weight[:, [0, -1]], policy.actor.encoder.weight[:, [0, -1]])
    assert not weight[:, 1:-1].any()
    torch.testing.assert_close(
        Policy.load(tmp_path / "two").actor.memory.state_dict(), policy.actor.memory.state_dict()
    )


def test_the_narrowest_policy_is_one(tmp_path):
    Policy(width=1).save(tmp_path / "narrow")
    assert Policy.load(tmp_path / "narrow").width == 1


def test_one_actor_is_kept_as_before_there_were_panels(policy, tmp_path):
    """The header names no members: its file, and what tells it from others, stay what they were."""
    policy.save(tmp_path / "one")
    with safe_open(tmp_path / "one", framework="pt") as file:
        assert "members" not in json.loads(file.metadata()["lrpilot"])


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
    for header in ('{"kind": ', "[" * 100_000):
        save_file({"x": torch.zeros(1)}, path, metadata={"lrpilot": header})
        with pytest.raises(InvalidArgument, match="intact"):
            Policy.load(path)
    for metadata in (None, {"lrpilot": "[]"}):
        save_file({"x": torch.zeros(1)}, path, metadata=metadata)
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
