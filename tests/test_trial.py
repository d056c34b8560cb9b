"""A trial and its result: named plainly, and the same after a journey through JSON."""

import json
import math

import pytest

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.trial import Result
from made_up import result, trial


def test_name_reads_like_the_trial():
    assert trial().name == "table3/m1/sgd/lr=0.1,gamma=0.0001/seed-3"
    assert trial(setting={}).name == "table3/m1/sgd/default/seed-3"


def test_result_survives_json():
    before = result()
    text = json.dumps(before.to_json(), allow_nan=False)
    after = Result.from_json(json.loads(text))
    assert after.trial == before.trial
    assert after.evaluations == before.evaluations
    assert math.isnan(after.curve["train_loss"][1])
    assert after.to_json() == before.to_json()


def test_a_result_from_before_a_column_group_was_added_is_still_one():
    stored = result().to_json()
    del stored["earlier"]
    assert Result.from_json(stored).earlier == {}


def test_numbers_are_stored_to_six_digits():
    stored = result(errors=(1 / 3, 123456789.0, 2.0)).to_json()["evaluations"]["test_error"]
    assert stored == [0.333333, 123457000.0, 2.0]


def test_final_and_best():
    assert result().final("test_error") == 3.0
    assert result().best("test_error") == 2.0
    diverged = result("diverged")
    assert diverged.final("test_error") == 90.0
    assert diverged.final("test_loss") == math.inf
    assert diverged.best("test_error") == 2.0
    assert result("diverged", errors=(95.0, math.nan, math.nan)).best("test_error") == 90.0


@pytest.mark.parametrize("name", ["seed", "steps", "batch_size", "evaluations", "validation"])
def test_numbers_out_of_range_are_named(name):
    with pytest.raises(InvalidArgument, match=name):
        trial(**{name: -1})
