"""A policy on disk and in flight: recurrent actor and critic, safetensors with a versioned header.

Never a pickle: a policy file holds numbers and a JSON header, so that loading one can run no code.
"""

from __future__ import annotations

import hashlib
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from lrpilot.errors import InvalidArgument

from .features import FEATURES, LINEAR_DECAY

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FORMAT = 1
KIND = "lrpilot pilot"
LARGEST_STEP = math.log(10.0)
"""A decision multiplies the rate by at most ten, or divides it by as much, beside the linear decay."""


class Flies(Protocol):
    """What the pilot asks of a policy."""

    def initial_memory(self) -> Tensor: ...  # noqa: D102

    def act(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102


def bounded_step(raw: Float[Tensor, "*run"], linear_decay: Float[Tensor, "*run"]) -> Float[Tensor, "*run"]:
    """The log-rate step for a raw action: a linear decay to zero, and a bounded deviation from it.

    step = linear_decay + ln 10 tanh(raw)

    So an actor that gives 0 decays linearly, as the best plain schedules do, and has only to find the peak
    and what this run needs differently. In the anytime mode ``linear_decay`` is 0.
    """
    return linear_decay + LARGEST_STEP * raw.tanh()


class Recurrent(nn.Module):
    """Features -> hidden layer -> GRU -> one number for each decision."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(features, width)
        self.memory = nn.GRU(width, width)
        self.head = nn.Linear(width, 1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def forward(
        self,
        features: Float[Tensor, "decision run feature"],
        state: Float[Tensor, "1 run width"] | None = None,
    ) -> tuple[Float[Tensor, "decision run"], Float[Tensor, "1 run width"]]:
        """Outputs for a sequence of decisions, and the state after it."""
        hidden, after = self.memory(nn.functional.silu(self.encoder(features)), state)
        return self.head(hidden).squeeze(-1), after


class Policy(nn.Module):
    """The pilot's actor, which moves the log rate, and its critic, which foretells the rest of the run.

    Attributes:
        actor: features -> raw action.
        critic: features -> the expected sum of the rewards to come.
        provenance: what made the policy (configuration, seed, commit, hours), for the header.
    """

    def __init__(self, *, width: int = 64, provenance: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.width = width
        self.actor = Recurrent(len(FEATURES), width)
        self.critic = Recurrent(len(FEATURES), width)
        self.provenance = provenance or {}

    def initial_memory(self, shape: tuple[int, ...] = ()) -> Float[Tensor, "*run width"]:
        """The actor's memory before the first decision of runs of this shape."""
        return torch.zeros(*shape, self.width)

    @torch.no_grad()
    def act(
        self, features: Float[Tensor, "*run feature"], memory: Float[Tensor, "*run width"]
    ) -> tuple[Float[Tensor, "*run"], Float[Tensor, "*run width"]]:
        """The log-rate step for an observation (see `lrpilot.pilot.features.observe`), and the memory after it.

        Deterministic: the same observations give the same steps. The step is at most ln 10 beside the linear
        decay, so the rate may rise tenfold at a decision.
        """
        runs = features.shape[:-1]
        raw, state = self.actor(features.reshape(1, -1, features.shape[-1]), memory.reshape(1, -1, self.width))
        step = bounded_step(raw.view(runs), features[..., LINEAR_DECAY])
        return step, state.view(*runs, self.width)

    def save(self, path: str | Path) -> None:
        """Write the policy; a reader never sees half a file."""
        header = {
            "format": FORMAT,
            "kind": KIND,
            "width": self.width,
            "features": list(FEATURES),
            "largest_step": LARGEST_STEP,
            "provenance": self.provenance,
        }
        tensors = {name: value.detach().contiguous() for name, value in self.state_dict().items()}
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(save(tensors, metadata={"lrpilot": json.dumps(header)}))
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path = "shipped") -> Self:
        """Read a policy; ``"shipped"`` is the one that comes with the package.

        Raises:
            InvalidArgument: if there is no such file, or it is corrupt, of another kind, of a newer format or
                made for other features.
        """
        path = _file(path)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            header = json.loads(metadata.get("lrpilot", "{}"))
        except (SafetensorError, OSError, ValueError) as error:
            raise InvalidArgument("policy", f"an intact policy file ({error})", str(path)) from error
        _check_header(header, path)
        policy = cls(width=header["width"], provenance=header.get("provenance"))
        try:
            policy.load_state_dict(tensors)
        except RuntimeError as error:
            raise InvalidArgument("policy", "a policy file with all its weights", str(path)) from error
        return policy.eval()


def fingerprint(path: str | Path = "shipped") -> str:
    """The first twelve digits of the SHA-256 of a policy file: what tells one policy's results from another's.

    Raises:
        InvalidArgument: if there is no such file.
    """
    return hashlib.sha256(_file(path).read_bytes()).hexdigest()[:12]


def _file(path: str | Path) -> Path:
    if str(path) == "shipped":
        path = Path(str(files("lrpilot.pilot") / "policies" / "pilot.safetensors"))
    path = Path(path)
    if not path.is_file():
        raise InvalidArgument("policy", "'shipped' or the path of a policy file", str(path))
    return path


def _check_header(header: Any, path: Path) -> None:
    """Refuse, by name, what this version cannot fly with."""
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise InvalidArgument("policy", f"a file of the kind {KIND!r}", str(path))
    if header.get("format") != FORMAT:
        raise InvalidArgument("policy", f"of format {FORMAT} ({path})", header.get("format"))
    if header.get("features") != list(FEATURES) or header.get("largest_step") != LARGEST_STEP:
        raise InvalidArgument("policy", "made for this version's features and action", str(path))
    if not isinstance(header.get("width"), int) or not 1 <= header["width"] <= 4096:
        raise InvalidArgument("policy", f"of a width from 1 to 4096 ({path})", header.get("width"))
