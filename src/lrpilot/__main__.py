"""``python -m lrpilot``: the command."""

from .cli import main

main()
