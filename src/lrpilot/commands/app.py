"""The command ``lrpilot``: its subcommands."""

from __future__ import annotations
