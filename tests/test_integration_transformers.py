"""Hugging Face's Trainer: the rates of the plain loop, its own checkpoints and its own log."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loops import network
from lrpilot.errors import InvalidArgument
from scripted import Reactive
from trainers import INPUTS, OTHERS_WARNINGS, SIZE, TARGETS, Plain, assert_same_run, example, mse, sgd

pytest.importorskip("transformers", reason="needs lrpilot[transformers]")
pytest.importorskip("accelerate", reason="needs lrpilot[transformers]")

from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from lrpilot.errors import PilotWarning
from lrpilot.integrations.transformers import PilotTrainer

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]


class Model(nn.Module):
    """As the Trainer wants it: a loss for its first output."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, inputs, labels):
        return {"loss": mse(self.network(inputs), labels)}


class InOrder(Trainer):
    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(self.train_dataset)


class Ordered(PilotTrainer, InOrder):
    """Any other trainer of the family is driven alike."""


def train(tmp_path, epochs, *, resume=None, **settings):
    model = Model()
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=epochs,
        per_device_train_batch_size=settings.pop("per_device_train_batch_size", SIZE),
        max_grad_norm=settings.pop("max_grad_norm", 0.0),
        logging_steps=1,
        save_strategy="epoch",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **settings,
    )
    trainer = Ordered(
        model,
        arguments,
        train_dataset=[{"inputs": x, "labels": y} for x, y in zip(INPUTS, TARGETS, strict=True)],
        optimizers=(sgd(model), None),
        pilot_options={"policy": Reactive()},
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, {}),
        ({"gradient_accumulation_steps": 2}, {"accumulate": 2}),
        ({"gradient_accumulation_steps": 3}, {"accumulate": 3}),
        ({"bf16": True}, {"bf16": True}),
        ({"max_grad_norm": 0.1}, {"clip": 0.1}),
    ],
)
def test_the_rates_of_the_plain_loop(tmp_path, settings, same):
    trainer = train(tmp_path, 5, **settings)
    plain = Plain(5, **same).run(5)
    assert_same_run(trainer.lr_scheduler, plain)
    assert [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row] == plain.rates


def test_a_resume(tmp_path):
    train(tmp_path, 5)
    plain = Plain(5).run(5)
    for step in (24, 36):
        assert_same_run(train(tmp_path, 5, resume=str(tmp_path / f"checkpoint-{step}")).lr_scheduler, plain)


def test_a_longer_run(tmp_path):
    """Case L25."""
    train(tmp_path, 3)
    plain = Plain(3).run(3)
    plain.pilot.extend(plain.steps(4))
    assert_same_run(train(tmp_path, 4, resume=str(tmp_path / "checkpoint-36")).lr_scheduler, plain.run(1))


def test_a_scheduler_of_ones_own_is_refused():
    model = Model()
    optimizer = sgd(model)
    with pytest.raises(
        InvalidArgument, match=r"^optimizers must be \(optimizer, None\), for the pilot .* got 'LambdaLR'$"
    ):
        PilotTrainer(model, optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)))


def test_arguments_of_a_scheduler_are_warned_of(tmp_path):
    given = {"lr_scheduler_type": "cosine", "warmup_steps": 5}
    with pytest.warns(PilotWarning) as told:
        PilotTrainer(Model(), TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **given))
    said = [str(warning.message) for warning in told if warning.category is PilotWarning]
    reason = "is not used: the pilot sets the learning rate, from the first step to the last"
    assert said == [f"lr_scheduler_type=cosine {reason}", f"warmup_steps=5 {reason}"]


def test_arguments_at_their_defaults_are_not(tmp_path, recwarn):
    PilotTrainer(Model(), TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none"))
    assert not [warning for warning in recwarn if warning.category is PilotWarning]


def test_training_that_goes_on_without_a_pilots_state_is_planned_for_what_is_left(tmp_path):
    train(tmp_path, 3, save_only_model=True)
    pilot = train(tmp_path, 4, resume=str(tmp_path / "checkpoint-24")).lr_scheduler
    assert pilot.total_steps == 2 * 12 == pilot.last_epoch


def test_a_length_that_could_be_one_in_batches(tmp_path):
    """Two epochs of 48 batches, two for a step, are 48 steps: also an epoch in batches, which nobody meant."""
    trainer = train(tmp_path, 2, per_device_train_batch_size=SIZE // 4, gradient_accumulation_steps=2)
    assert trainer.lr_scheduler.total_steps == 48


def test_each_training_gets_its_own_pilot(tmp_path):
    trainer = train(tmp_path, 1)
    first = trainer.lr_scheduler
    trainer.train()
    assert trainer.lr_scheduler is not first
    assert trainer.lr_scheduler.last_epoch == 12


def test_the_example():
    example("transformers")
