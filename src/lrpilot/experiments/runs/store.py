"""Results on disk: one file of JSON lines for each experiment, a run a line, sorted by their names.

Two branches that made different runs merge line by line (``.gitattributes``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lrpilot.core.files import read_file, replace_file
from lrpilot.errors import Unusable

from .trial import Result, Trial

log = logging.getLogger(__name__)


class Line(NamedTuple):
    """A result and its text in the file."""

    text: str
    result: Result


class Store:
    """The results below a folder, such as ``results/quick``: an experiment's in ``results/quick/EXPERIMENT.jsonl``.

    A line that is no result is named in the log and counts as none: its run is made again, and the file then written
    without it; as it was it is kept, as ``EXPERIMENT.jsonl.previous``. A file that cannot be read is named and passed
    over, and nothing is saved to it. Processes may save to one store at the same time.

    Args:
        root: the folder; made when the first result is saved.

    Raises:
        Unusable: something else is there.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        there = next(place for place in (self.root, *self.root.absolute().parents) if place.exists())
        if not there.is_dir():
            raise Unusable(f"{there} is not a folder: name another one for results")
        self._named = set[Path]()  # files that cannot be read, once it has been said
        self._skipped = set[Path]()  # files with a line that is no result
        self._read: dict[Path, tuple[object, dict[str, Line]]] = {}

    def load(self, trial: Trial) -> Result | None:
        """The result of exactly this trial; None where there is none, or one of another length or other data."""
        line = self._lines(self._file(trial.experiment)).get(trial.name)
        return line.result if line and line.result.trial == trial else None

    def saved(self, experiment: str) -> list[Result]:
        """Every result of one experiment, or of all below a folder of experiments, in the order of their names."""
        files = [self._file(experiment), *(self.root / experiment).rglob("*.jsonl")]
        results = [line.result for file in files for line in self._lines(file).values()]
        return sorted(results, key=lambda result: result.trial.name.split("/"))

    def save(self, *results: Result) -> Path:
        """Write results of one experiment, replacing earlier ones of the same names. Returns the experiment's file.

        Raises:
            OSError, Unusable: it cannot be read or written, and stays as it is.
        """
        file = self._file(results[0].trial.experiment)
        file.parent.mkdir(parents=True, exist_ok=True)
        texts = [json.dumps(result.to_json(), separators=(",", ":"), allow_nan=False) for result in results]
        with FileLock(file.with_name(f".{file.name}.lock")):
            new = {r.trial.name: Line(t, Result.from_json(json.loads(t))) for r, t in zip(results, texts, strict=True)}
            lines = {**self._parsed(file), **new}
            lines = {name: lines[name] for name in sorted(lines, key=lambda name: name.split("/"))}
            keep = file.with_name(f"{file.name}.previous") if file in self._skipped else None
            replace_file(file, "".join(f"{line.text}\n" for line in lines.values()).encode(), keep=keep)
            self._skipped.discard(file)
            self._read[file] = (_stamp(file), lines)
        return file

    def missing(self, trials: Iterable[Trial], *, retry_failed: bool = False) -> list[Trial]:
        """The trials that have no result, in their order; with ``retry_failed`` also those that crashed."""
        found = ((trial, self.load(trial)) for trial in trials)
        return [trial for trial, result in found if not result or (retry_failed and result.status == "failed")]

    def _file(self, experiment: str) -> Path:
        return self.root / f"{experiment}.jsonl"

    def _lines(self, file: Path) -> dict[str, Line]:
        """What the file holds by name; nothing where it cannot be read."""
        try:
            return self._parsed(file)
        except (OSError, Unusable) as error:
            if file not in self._named:
                log.warning("%s cannot be read, skipped (%s)", file, error)
            self._named.add(file)
            return {}

    def _parsed(self, file: Path) -> dict[str, Line]:
        """The same, read again when it has changed."""
        stamp = _stamp(file)
        if file not in self._read or self._read[file][0] != stamp:
            lines: dict[str, Line] = {}
            for number, text in enumerate(read_file(file).splitlines() if stamp else [], start=1):
                try:
                    line = text.decode()  # json.loads would take UTF-16, too
                    result = Result.from_json(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    log.warning("%s, line %d is no result, skipped (%s)", file, number, error)
                    self._skipped.add(file)
                else:
                    lines[result.trial.name] = Line(line, result)
            self._read[file] = (stamp, lines)
        return self._read[file][1]


def _stamp(file: Path) -> object:
    """Another one whenever the file was replaced; None where there is none."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
