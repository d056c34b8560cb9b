"""What the report and the README conclude: worked out by hand on made-up runs."""

from __future__ import annotations

import math

import pytest

from lrpilot.experiments.report import metrics
from lrpilot.experiments.report.conclusions import conclusions, in_words
from lrpilot.experiments.report.evidence import Evidence
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import Comparison
from lrpilot.experiments.studies.profiles import SMOKE
from made_up import result

PILOT = {1e-4: 3.0, 1e-3: 2.0, 1e-2: 2.0, 1e-1: 2.0, 1.0: 2.0}
CONSTANT = {1e-4: 40.0, 1e-3: 20.0, 1e-2: 10.0, 1e-1: 4.0, 1.0: 8.0}
COSINE = {1e-4: 50.0, 1e-3: 20.0, 1e-2: 10.0, 1e-1: 2.5, 1.0: 5.0}


def error_of(trial) -> float:
    by_start = {"pilot": PILOT, "constant": CONSTANT, "cosine": COSINE}
    if trial.method == "untrained":
        return 90.0
    if trial.setting.get("optimizer") == "adam":
        return {"pilot": 3.0, "cosine": 2.9}.get(trial.method, 4.0)
    return by_start[trial.method][trial.setting["lr"]] if trial.method in by_start else 1.0


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Of the bootstrap, whose intervals are not looked at here."""
    monkeypatch.setattr(metrics, "DRAWS", 20)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    methods = ("pilot", "constant", "cosine", "prodigy", "untrained")
    for trial in Comparison.of("m1", seeds=2, methods=methods).trials():
        store.save(result(trial=trial, errors=(90.0, 90.0, error_of(trial))))
    return store


def factor(best):
    """The middle half of the pilot's five errors is 2: with a thousandth of the untrained network's added to each."""
    return math.exp(math.log(2 + 0.09) - math.log(best + 0.09))


def test_the_cards_hold_the_numbers_worked_out_by_hand(store):
    start, constant, cosine, peer = conclusions(Evidence.load(SMOKE, Store(store.root / "smoke")), store)
    assert start.value == "1.50x"
    assert "10x for a constant rate, 20x for a cosine" in start.text
    for card, best, share in ((constant, 4.0, 100), (cosine, 2.5, 80), (peer, 1.0, 0)):
        assert card.value.startswith(f"{factor(best):.2f}x [")
        assert card.text.endswith(f"at or below it from {share} % of starts")


def test_in_words_they_are_losses_cost_and_scope(store):
    text = in_words(store)
    for best in (4.0, 2.5, 1.0):
        assert f"{factor(best):.2f}x [" in text
    # Of five starts the worst is 3 %: above the peer's 1 %.
    assert "from its worst start its error is above that of the best such optimizer in 1 of 1" in text
    assert "(furthest: m1, sgd, 12,000 steps, 3.00 % against 1.00 %)." in text
    assert "1.00 times the processor time" in text
    assert "95,410 weights (`m1`)" in text
    assert "12,000 steps" in text


def test_at_more_length_they_are_the_sensitivity_and_every_opponent(store):
    text = in_words(store, "compared.md")
    assert "its test error is 1.50 times that from its best" in text
    assert "By test loss the three are" in text
    assert "a constant rate's 10.0 times, a cosine's 20.0 times" in text
    # Of five starts the worst is 3 %: below the best constant rate's 4 %, above the cosine's 2.5 % and the peer's 1 %.
    assert "the best constant rate of five in 1 of 1, of the best cosine of five in 0 of 1 (furthest above:" in text
    assert "m1, sgd, 12,000 steps, 3.00 % against 1.00 %)." in text
    assert f"{factor(2.5):.2f}x [" in text


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("evidence.md", "with Adam and AdamW above the best cosine in 1 of 1."),
        ("compared.md", "With Adam and AdamW it is at or below the best cosine in 0 of 1."),
    ],
)
def test_adam_has_words_of_its_own(store, template, sentence):
    assert "AdamW" not in in_words(store, template)
    for trial in Comparison.of(
        "m1", optimizer="adam", seeds=2, methods=("pilot", "constant", "cosine", "prodigy")
    ).trials():
        store.save(result(trial=trial, errors=(90.0, 90.0, error_of(trial))))
    assert sentence in in_words(store, template)


def test_without_results_nothing_is_concluded(tmp_path):
    assert conclusions(Evidence.load(SMOKE, Store(tmp_path)), Store(tmp_path)) == []
    assert in_words(Store(tmp_path)) == ""
