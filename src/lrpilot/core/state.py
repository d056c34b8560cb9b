"""States: what a ``state_dict`` holds."""

from __future__ import annotations

from typing import Any

StateDict = dict[str, Any]
"""Tensors, numbers, strings and plain containers of them by name: all that ``torch.save`` and ``torch.load`` take with
``weights_only=True``. A state is a value: giving one copies, loading one copies, and loading is all or nothing."""
