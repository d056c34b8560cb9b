"""Lightning: the rates of the plain loop, its own checkpoints and its own logger."""

from __future__ import annotations

import csv
import logging
import warnings

import pytest

import lrpilot
from loops import network
from lrpilot.errors import InvalidArgument
from scripted import Reactive
from trainers import BATCHES, OTHERS_WARNINGS, SIZE, Plain, assert_same_run, example, loader, mse, sgd

pytest.importorskip("lightning", reason="needs lrpilot[lightning]")

import lightning
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning, GradientAccumulationScheduler
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from lrpilot.integrations.lightning import PilotCallback

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = network()

    def training_step(self, pair, index):
        return mse(self.network(pair[0]), pair[1])

    def configure_optimizers(self):
        return sgd(self.network)


def fit(tmp_path, epochs, *, module=None, data=None, resume=None, more=(), callback=None, **settings):
    callback = callback or PilotCallback(policy=Reactive())
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[callback, *more],
        default_root_dir=tmp_path,
        logger=CSVLogger(tmp_path),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(module or Module(), data or loader(), ckpt_path=resume)
    return trainer, callback.pilot


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, {}),
        ({"accumulate_grad_batches": 2}, {"accumulate": 2}),
        ({"accumulate_grad_batches": 3}, {"accumulate": 3}),
        ({"precision": "bf16-mixed"}, {"bf16": True}),
        ({"gradient_clip_val": 0.1}, {"clip": 0.1}),
    ],
)
def test_the_rates_of_the_plain_loop(tmp_path, settings, same):
    _, pilot = fit(tmp_path, 5, **settings)
    assert_same_run(pilot, Plain(5, **same).run(5))


class Stopping(lightning.Callback):
    def on_train_epoch_end(self, trainer, module):
        trainer.should_stop = trainer.current_epoch == 2


@pytest.mark.parametrize("finished", [False, True])
def test_a_training_without_an_end_that_nobody_finished(tmp_path, finished):
    class Finishing(lightning.Callback):
        def on_train_epoch_start(self, trainer, module):
            if finished and trainer.current_epoch == 2:
                callback.pilot.finish(len(loader()))

    callback = PilotCallback(policy=Reactive())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", lrpilot.PilotWarning)
        fit(tmp_path, -1, callback=callback, more=[Finishing(), Stopping()])
    said = [str(warning.message) for warning in told if issubclass(warning.category, lrpilot.PilotWarning)]
    assert [message.partition(" that ")[2][:19] for message in said] == ([] if finished else ["has not decayed: gi"])


def test_a_resume(tmp_path):
    """At an epoch's end: within one, Lightning gives the batches from the first one on again."""

    class Save(lightning.Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    fit(tmp_path, 5, more=[Save()])
    plain = Plain(5).run(5)
    for epoch in (1, 2):
        assert_same_run(fit(tmp_path, 5, resume=tmp_path / f"{epoch}.ckpt")[1], plain)


def test_a_longer_run(tmp_path):
    """Case L25."""
    trainer, _ = fit(tmp_path, 3)
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    _, pilot = fit(tmp_path, 4, resume=tmp_path / "three.ckpt")
    plain = Plain(3).run(3)
    plain.pilot.extend(plain.steps(4))
    assert_same_run(pilot, plain.run(1))


def test_a_batch_that_is_skipped(tmp_path):
    class Skipping(Module):
        def training_step(self, pair, index):
            return None if index == 3 else super().training_step(pair, index)

    with pytest.warns(lrpilot.PilotWarning, match="SGD took 2 steps between two calls"):  # Lightning steps all the same
        _, pilot = fit(tmp_path, 2, module=Skipping())
    assert len(pilot.history["rate"]) == 2 * BATCHES


def test_a_callback_that_has_resumed_begins_anew_with_the_next_network(tmp_path):
    trainer, _ = fit(tmp_path, 1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    callback = PilotCallback(policy=Reactive())
    fit(tmp_path, 2, resume=tmp_path / "one.ckpt", callback=callback)
    _, pilot = fit(tmp_path, 5, callback=callback)
    assert_same_run(pilot, Plain(5).run(5))


def test_training_that_goes_on_without_a_pilots_state_is_planned_for_what_is_left(tmp_path):
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    trainer.fit(Module(), loader())
    trainer.save_checkpoint(tmp_path / "without.ckpt")
    _, pilot = fit(tmp_path, 3, resume=tmp_path / "without.ckpt")
    assert pilot.total_steps == 2 * BATCHES == pilot.last_epoch


def test_a_length_that_could_be_one_in_batches(tmp_path):
    """Two epochs of 48 batches, two for a step, are 48 steps: also an epoch in batches, which nobody meant."""
    data = DataLoader(loader().dataset, batch_size=SIZE // 4)
    _, pilot = fit(tmp_path, 2, data=data, accumulate_grad_batches=2)
    assert pilot.total_steps == 48


def test_the_rate_is_logged(tmp_path):
    trainer, pilot = fit(tmp_path, 5)
    with open(f"{trainer.logger.log_dir}/metrics.csv") as file:
        logged = [float(row["lr"]) for row in csv.DictReader(file)]
    assert logged == pytest.approx(pilot.history["rate"].tolist(), rel=1e-6)


def test_a_loop_of_its_own_is_refused(tmp_path):
    class Manual(Module):
        automatic_optimization = False

    with pytest.raises(InvalidArgument, match="automatic_optimization"):
        fit(tmp_path, 1, module=Manual())


def test_a_loop_of_its_own(tmp_path):
    """With a pilot of the optimizer that Lightning hands out, which is a wrapper."""

    class Manual(Module):
        automatic_optimization = False

        def on_train_start(self):
            self.pilot = lrpilot.Pilot(self.optimizers(), 5 * BATCHES, policy=Reactive())

        def training_step(self, pair, index):
            loss = super().training_step(pair, index)
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.pilot.step(loss)

    trainer = lightning.Trainer(
        max_epochs=5,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Manual()
    trainer.fit(module, loader())
    assert_same_run(module.pilot, Plain(5).run(5))


def test_fabric():
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    model = network()
    model, optimizer = fabric.setup(model, sgd(model))
    pilot = lrpilot.Pilot(optimizer, 5 * BATCHES, policy=Reactive())
    for inputs, targets in [pair for _ in range(5) for pair in loader()]:
        optimizer.zero_grad()
        loss = mse(model(inputs), targets)
        fabric.backward(loss)
        optimizer.step()
        pilot.step(loss)
    assert_same_run(pilot, Plain(5).run(5))


def test_the_example():
    example("lightning")


class Unfreezing(BaseFinetuning):
    """As Lightning's documentation has it: it adds a group and leaves the rate alone."""

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 2:
            self.unfreeze_and_add_param_group(pl_module.backbone, optimizer)


class WithBackbone(Module):
    def __init__(self):
        super().__init__()
        self.backbone = self.network[0]

    def configure_optimizers(self):
        return torch.optim.SGD((p for p in self.parameters() if p.requires_grad), lr=0.1)


def test_an_unfrozen_backbone_keeps_its_tenth(tmp_path, recwarn):
    trainer, _ = fit(tmp_path, 4, module=WithBackbone(), more=[Unfreezing()])
    assert not [warning for warning in recwarn if issubclass(warning.category, lrpilot.PilotWarning)]
    head, backbone = (group["lr"] for group in trainer.optimizers[0].param_groups)
    assert backbone == pytest.approx(head / 10)


def test_a_length_that_lightning_does_not_know_is_told_of(tmp_path):
    """Ten batches an epoch; from the second epoch on two make a step."""

    class Extending(lightning.Callback):
        def on_train_start(self, trainer, module):
            callback.pilot.extend(length)

    batches = len(loader())
    length, callback = batches + 2 * -(-batches // 2), PilotCallback(policy=Reactive())
    with pytest.warns(lrpilot.PilotWarning, match="^GradientAccumulationScheduler changes how many steps") as told:
        trainer, pilot = fit(
            tmp_path, 3, callback=callback, more=[GradientAccumulationScheduler({0: 1, 1: 2}), Extending()]
        )
    assert len([each for each in told if issubclass(each.category, lrpilot.PilotWarning)]) == 1
    assert trainer.global_step == pilot.last_epoch == pilot.total_steps == length


def test_a_callback_that_writes_the_rate_is_named(tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", lrpilot.PilotWarning)
        fit(tmp_path, 4, module=WithBackbone(), more=[BackboneFinetuning(unfreeze_backbone_at_epoch=2)])
    said = [str(warning.message) for warning in told if issubclass(warning.category, lrpilot.PilotWarning)]
    assert said[0].startswith("BackboneFinetuning writes the learning rate at each epoch too: unfreeze with a Base")
    assert len(said) == 2  # the second as the pilot finds a rate that it did not write
