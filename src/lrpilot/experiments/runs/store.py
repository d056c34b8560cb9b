"""Results on disk: one small JSON file for each run, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .trial import Result, Trial


class Store:
    """The results below a folder, such as ``results/quick``.

    A file is named after its trial (:attr:`Trial.path`), so that the tree can be read without this class, and
    two processes that make different trials never meet.

    Args:
        root: the folder; made when the first result is saved.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def load(self, trial: Trial) -> Result | None:
        """The result of exactly this trial; None where there is none.

        A file that cannot be read, or that belongs to a trial of other length or data, counts as none: the
            trial is
        made again and the file replaced.
        """
        result = _read(self.root / trial.path)
        # The trial as asked for: its setting keeps the order that names are made of.
        return replace(result, trial=trial) if result is not None and result.trial == trial else None

    def saved(self, experiment: str) -> list[Result]:
        """Every result of one experiment (a folder below the root), in the order of their paths.

        Files that cannot be read are left out.
        """
        files = sorted((self.root / experiment).rglob("seed-*.json"))
        return [result for file in files if (result := _read(file)) is not None]

    def save(self, result: Result) -> Path:
        """Write a result, replacing an earlier one of the same trial. Returns its file.

        It is written beside its place and moved there when it is on the disk, so that a process killed at any
        moment leaves the old file or the new one.
        """
        path = self.root / result.trial.path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result.to_json(), separators=(",", ":"), sort_keys=True, allow_nan=False)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def missing(self, trials: Iterable[Trial], *, retry_failed: bool = False) -> list[Trial]:
        """Those of the trials that have no result, in their order; with ``retry_failed`` also those that
        crashed.
        """
        return [trial for trial in trials if self._is_missing(trial, retry_failed=retry_failed)]

    def _is_missing(self, trial: Trial, *, retry_failed: bool) -> bool:
        result = self.load(trial)
        return result is None or (retry_failed and result.status == "failed")


def _read(file: Path) -> Result | None:
    try:
        return Result.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
