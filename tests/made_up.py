"""Trials and results that no network was trained for."""

import json
import math

from lrpilot.experiments.runs.trial import Result, Trial


def trial(**changes):
    return Trial(
        **{
            "experiment": "table3",
            "task": "m1",
            "method": "sgd",
            "setting": {"lr": 0.1, "gamma": 1e-4},
            "seed": 3,
            "steps": 40,
            "batch_size": 50,
            **changes,
        }
    )


def result(status="finished", errors=(9.0, 2.0, 3.0), **changes):
    return Result(
        trial=changes.pop("trial", trial()),
        status=status,
        steps=40,
        seconds=1.0,
        curve={"step": [20, 40], "train_loss": [1.0, math.nan], "rate": [0.1, 0.1]},
        evaluations={
            "step": [10, 20, 40],
            "seconds": [0.2, 0.5, 1.0],
            "test_loss": [0.5, 0.2, 0.3],
            "test_error": list(errors),
            "validation_loss": [0.5, 0.1, 0.2],
            "validation_error": list(errors),
        },
        about={"commit": "abc"},
        **changes,
    )


def forget(file, gone):
    """Take a trial's line out of a file of results."""
    lines = file.read_text().splitlines(keepends=True)
    kept = [line for line in lines if Trial(**json.loads(line)["trial"]).name != gone.name]
    assert len(kept) == len(lines) - 1
    file.write_text("".join(kept))
