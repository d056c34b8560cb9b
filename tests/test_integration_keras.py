"""Keras 3 on torch: the rates of the plain loop, resumed runs, the history, and networks that are taken back."""

from __future__ import annotations

import os
import warnings

import pytest
import torch

from lrpilot.errors import InvalidArgument
from scripted import Reactive, Scripted
from trainers import INPUTS, OTHERS_WARNINGS, SIZE, TARGETS, Plain, assert_same_run, example, mse

os.environ["KERAS_BACKEND"] = "torch"
pytest.importorskip("keras", reason="needs lrpilot[keras]")

import keras

from lrpilot.errors import PilotWarning
from lrpilot.integrations.keras import PilotCallback

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]
RATE = 2.0**-4  # the same number in Keras's float32


def make(policy="float32"):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh", dtype=policy), keras.layers.Dense(1, dtype=policy)]
    return keras.Sequential([keras.Input((6,)), *layers])


def torch_sgd(model):
    return torch.optim.SGD([variable.value for variable in model.trainable_variables], lr=RATE)


def fit(
    epochs, *, model=None, resume=None, policy="float32", begin=0, callback=None, others=(), validation=None, **settings
):
    model = model or make(policy)
    if not model.compiled:
        model.compile(keras.optimizers.SGD(RATE, **settings), loss=mse)
    callback = callback or PilotCallback(policy=Reactive())
    if resume is not None:
        callback.load_state_dict(resume)
    callbacks = [callback, *others]
    arguments = {"batch_size": SIZE, "shuffle": False, "verbose": 0, "initial_epoch": begin, "callbacks": callbacks}
    told = model.fit(INPUTS.numpy(), TARGETS.numpy(), epochs=epochs, validation_data=validation, **arguments)
    return model, callback, told


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, {}),
        ({"gradient_accumulation_steps": 2}, {"accumulate": 2}),
        ({"policy": "mixed_bfloat16"}, {"make": lambda: make("mixed_bfloat16")}),
    ],
)
def test_the_rates_of_the_plain_loop(settings, same):
    _, callback, told = fit(5, **settings)
    plain = Plain(5, optimizer=torch_sgd, **{"make": make, **same}).run(5)
    assert_same_run(callback.pilot, plain)
    per_epoch = len(plain.rates) // 5
    assert told.history["learning_rate"] == pytest.approx(plain.rates[per_epoch - 1 :: per_epoch], rel=1e-7)  # float32


def test_a_network_that_is_built_by_fit_may_be_validated():
    """After a validation Keras trains on with torch's modules in evaluation mode: for the pilot that is none."""
    runs, data = [], (INPUTS.numpy(), TARGETS.numpy())
    for validation in (None, data):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
        _, callback, _ = fit(3, model=model, validation=validation)
        runs.append(callback.pilot.history)
    assert len(runs[1]["loss"]) == 36
    for column in ("loss", "rate"):
        assert runs[1][column].tolist() == runs[0][column].tolist()


@pytest.mark.parametrize(("planned", "then"), [(5, 5), (2, 3)])
def test_a_resume(tmp_path, planned, then):
    """The same run, stopped early by Keras, and a longer one (case L25): network and optimizer by Keras's own file."""
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: setattr(model, "stop_training", epoch == 1))
    model = make()
    _, callback, _ = fit(planned, model=model, others=[stop])
    model.save(tmp_path / "model.keras")
    torch.save(callback.state_dict(), tmp_path / "pilot.pt")
    again = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"mse": mse})
    _, callback, _ = fit(then, model=again, resume=torch.load(tmp_path / "pilot.pt", weights_only=True), begin=2)
    plain = Plain(planned, make=make, optimizer=torch_sgd).run(2)
    if then != planned:
        plain.pilot.extend(plain.steps(then))
    assert_same_run(callback.pilot, plain.run(then - 2))


class Interrupted(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_training_that_goes_on_without_a_pilots_state_is_planned_for_what_is_left(tmp_path):
    """As Keras's own BackupAndRestore resumes, and as `initial_epoch` does."""
    callback = fit(4, begin=1)[1]
    assert callback.pilot.total_steps == 3 * 12 == callback.pilot.last_epoch
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    with pytest.raises(KeyboardInterrupt):
        fit(4, others=[backup, Interrupted()])
    callback = fit(4, others=[backup])[1]
    assert callback.pilot.total_steps == 2 * 12 == callback.pilot.last_epoch
    assert callback.pilot.history["rate"][0] == RATE / 10


def test_after_an_interruption_a_fit_begins_anew():
    model = make()
    with pytest.raises(KeyboardInterrupt):
        fit(5, model=model, others=[Interrupted()])
    model.set_weights(make().get_weights())
    assert_same_run(fit(5, model=model)[1].pilot, Plain(5, make=make, optimizer=torch_sgd).run(5))


def test_a_callback_that_has_resumed_begins_anew_with_the_next_network():
    callback = PilotCallback(policy=Reactive())
    callback.load_state_dict(fit(2)[1].state_dict())
    fit(3, begin=2, callback=callback)
    _, callback, _ = fit(5, callback=callback)
    assert_same_run(callback.pilot, Plain(5, make=make, optimizer=torch_sgd).run(5))


def test_the_optimizer_gets_its_rate_back():
    model, first, _ = fit(2)
    assert float(model.optimizer.learning_rate) == RATE
    assert "scale_loss" not in vars(model.optimizer)
    _, second, _ = fit(2, model=model)
    assert second.pilot.history["rate"][0] == first.pilot.history["rate"][0] == RATE / 10


def test_a_network_is_taken_back_with_momenta_and_statistics():
    def normalized():
        return keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])

    model, start = normalized(), normalized()
    model.compile(keras.optimizers.SGD(1e4, momentum=0.9), loss=mse)
    start.set_weights(model.get_weights())
    start(INPUTS[:SIZE].numpy(), training=True)  # the copy is made at the first step, after the first forward pass
    seen, momenta = [], []

    def look(decision):
        seen.append(model.get_weights())
        momenta.extend(variable.numpy() for variable in model.optimizer.momentums)

    callback = PilotCallback(policy=Scripted(-2.0), on_rollback=look)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the learning rate stands")
        model.fit(
            INPUTS.numpy(), TARGETS.numpy(), batch_size=SIZE, epochs=20, shuffle=False, verbose=0, callbacks=[callback]
        )
    assert seen
    assert all((mine == theirs).all() for mine, theirs in zip(seen[0], start.get_weights(), strict=True))
    assert momenta
    assert not any(momentum.any() for momentum in momenta)


def test_another_callback_writes_the_rate():
    """Case L6."""
    other = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    with pytest.warns(PilotWarning, match="writes the learning rate too"):
        _, callback, _ = fit(3, others=[other])
    assert callback.pilot.history["rate"][0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("compile_options", "message"),
    [
        ({"jit_compile": True}, "jit_compile must be False"),
        ({"optimizer": "schedule"}, "learning_rate must be a number"),
    ],
)
def test_what_cannot_be_driven_is_refused(compile_options, message):
    if "optimizer" in compile_options:
        schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
        compile_options = {"optimizer": keras.optimizers.SGD(schedule)}
    model = make()
    model.compile(**{"optimizer": "sgd", "loss": mse, **compile_options})
    with pytest.raises(InvalidArgument, match=message):
        fit(1, model=model)


def test_the_example():
    example("keras")
