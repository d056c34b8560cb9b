"""A policy on disk: safetensors with a JSON header, so that loading one can run no code.

The header names the features that the policy was made for, with the values that a few made-up intervals give. A version
that computes one of them otherwise refuses the file and names the feature. Features that came later are not seen by an
older policy: their weights are zero.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lrpilot.core.files import expanded, replace_file
from lrpilot.errors import InvalidArgument, Unusable

from .features import FEATURES, observe
from .interval import Interval
from .memory import Memory

FORMAT = 2
KIND = "lrpilot pilot"
LARGEST_WEIGHT = 1e6
"""Far beyond any that is learned, and far from where the networks' sums overflow."""
UNSIGNED = {"caa253dfa75a": "0.1.0"}
"""Fingerprints of the released policies of format 1, which had neither checksum nor feature values, and the release."""


def write(path: str | Path, header: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a policy file; a reader never sees half of one."""
    kept = {name: value.detach().contiguous() for name, value in tensors.items()}
    header = {"format": FORMAT, "kind": KIND, "features": feature_values(), **header}
    header["checksum"] = _checksum(header, kept)
    replace_file(expanded(path), save(kept, metadata={"lrpilot": json.dumps(header)}))


def read(path: str | Path, *, largest_step: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and weights of a policy file, checked.

    Args:
        path: of the file, or "shipped".
        largest_step: the action's bound, which must be the policy's.

    Raises:
        InvalidArgument: see `lrpilot.Policy.load`.
    """
    path = locate(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        header = json.loads(metadata.get("lrpilot", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InvalidArgument("policy", f"an intact policy file ({error})", str(path)) from error
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise InvalidArgument("policy", f"a file of the kind {KIND!r}", str(path))
    if header.get("format") == 1 and fingerprint(path) in UNSIGNED:
        header["features"] = dict.fromkeys(header["features"])
    elif header.get("format") != FORMAT:
        raise InvalidArgument("policy", f"of format {FORMAT} ({path})", header.get("format"))
    elif header.get("checksum") != _checksum(header, tensors):
        raise InvalidArgument("policy", "an intact policy file (its checksum differs)", str(path))
    if header.get("largest_step") != largest_step:
        raise InvalidArgument("policy", "made for this version's action", str(path))
    _check_features(header.get("features"), path)
    if type(header.get("width")) is not int or not 1 <= header["width"] <= 4096:
        raise InvalidArgument("policy", f"of a width from 1 to 4096 ({path})", header.get("width"))
    if type(header.setdefault("members", 1)) is not int or header["members"] not in range(1, 100, 2):
        raise InvalidArgument("policy", f"of an odd number of members below 100 ({path})", header["members"])
    for name, value in tensors.items():
        if not (value.is_floating_point() and (value.float().abs() <= LARGEST_WEIGHT).all()):
            allowed = f"a policy file whose weights are finite numbers, none beyond {LARGEST_WEIGHT:g} ({path})"
            raise InvalidArgument("policy", allowed, name)
    return header, tensors


def fill(policy: nn.Module, tensors: Mapping[str, Tensor], features: Mapping[str, Any], path: str | Path) -> None:
    """Put the weights into a fresh policy, those of features that it was not made for at zero.

    Raises:
        InvalidArgument: weights are missing or of another shape.
    """
    columns = [FEATURES.index(name) for name in features]
    widened = dict(tensors)
    for name, value in tensors.items():
        if name.endswith(".encoder.weight") and value.shape[1:] == (len(columns),):
            widened[name] = value.new_zeros(len(value), len(FEATURES)).index_copy(1, torch.tensor(columns), value)
    own = policy.state_dict()
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in widened.items()}:
        raise InvalidArgument("policy", "a policy file with all its weights", str(path))
    for name, value in widened.items():  # not `load_state_dict`, which may be set to swap tensors, and then fails
        own[name].copy_(value)


def feature_values() -> dict[str, list[float]]:
    """What `observe` gives for a run of three made-up intervals: by name, a number for each."""
    generator = torch.Generator().manual_seed(0)
    memory, rows = Memory.fresh(), []
    for index in range(3):
        losses = 2.0 * 0.8**index * (0.9 + 0.2 * torch.rand(12, generator=generator))
        numbers = iter((0.05 + 0.9 * torch.rand(11, generator=generator)).unbind())
        interval = Interval(
            losses=losses,
            gradient_cosine=next(numbers),
            update_cosine=next(numbers),
            decrease=0.02 * next(numbers),
            next_decrease=0.02 * next(numbers),
            gradient_norm=next(numbers),
            update_norm=0.1 * next(numbers),
            weight_norm=10 * next(numbers),
            tensor_update=0.01 * next(numbers),
            largest_tensor_update=0.1 + next(numbers),
            log_rate=2 * next(numbers),
            last_step=next(numbers),
            boundaries=(0.1 * index, 0.1 * index + 0.1, 0.1 * index + 0.25),
        )
        seen, memory = observe(interval, memory)
        rows.append([round(value, 4) for value in seen.tolist()])
    return {name: [row[i] for row in rows] for i, name in enumerate(FEATURES)}


def fingerprint(path: str | Path = "shipped") -> str:
    """The first twelve digits of the SHA-256 of a policy file: what tells one policy's results from another's.

    Raises:
        InvalidArgument: there is no such file.
    """
    return hashlib.sha256(locate(path).read_bytes()).hexdigest()[:12]


def locate(path: str | Path) -> Path:
    """The file of a policy; ``~`` is the user's home."""
    if not isinstance(path, str | Path):
        raise InvalidArgument("policy", "'shipped' or the path of a policy file", path)
    if str(path) == "shipped":
        path = Path(str(files("lrpilot.pilot") / "policies" / "pilot.safetensors"))
    try:
        file = expanded(path)
        there = file.is_file()
    except InvalidArgument as error:
        raise InvalidArgument("policy", "'shipped' or the path of a policy file", path) from error
    except (OSError, Unusable) as error:  # no such home, or a name longer than files have
        raise InvalidArgument("policy", f"'shipped' or the path of a policy file ({error})", str(path)) from error
    if not there:
        raise InvalidArgument("policy", "'shipped' or the path of a policy file", str(path))
    return file


def _check_features(features: Any, path: Path) -> None:
    known = feature_values()
    if not isinstance(features, dict) or not features:
        raise InvalidArgument("policy", "a policy file that names its features", str(path))
    for name, values in features.items():
        if name not in known:
            raise InvalidArgument("policy", f"made for features that this version has ({path})", name)
        if not (values is None or _close(values, known[name])):
            raise InvalidArgument("policy", f"made for features as this version computes them ({path})", name)


def _close(values: Any, expected: list[float]) -> bool:
    try:
        return all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(values, expected, strict=True))
    except (TypeError, ValueError):  # no list of as many numbers
        return False


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of everything in the file but this."""
    digest = hashlib.sha256(json.dumps({**header, "checksum": None}, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(ctypes.string_at(value.data_ptr(), value.nbytes))  # without NumPy, which need not be there
    return digest.hexdigest()
