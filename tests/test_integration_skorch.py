"""skorch: the rates of the plain loop, its pickles and its history."""

from __future__ import annotations

import pickle
from functools import partial

import pytest
import torch

from loops import network
from scripted import Reactive
from trainers import INPUTS, OTHERS_WARNINGS, SIZE, TARGETS, Plain, assert_same_run, example, mse

pytest.importorskip("skorch", reason="needs lrpilot[skorch]")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet

from lrpilot.errors import PilotWarning
from lrpilot.integrations.skorch import PilotCallback

pytestmark = [OTHERS_WARNINGS, pytest.mark.integration]


class Mean(torch.nn.Module):
    def forward(self, outputs, targets):
        return mse(outputs, targets)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, inputs):
        return self.network(inputs)


def net(epochs, kind=NeuralNet, **options):
    return kind(
        Model,
        Mean,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.02,
        max_epochs=epochs,
        batch_size=SIZE,
        train_split=None,
        callbacks=[("pilot", PilotCallback(policy=Reactive(), **options))],
        verbose=0,
    )


def pilot_of(fitted):
    return dict(fitted.callbacks_)["pilot"].pilot_


def test_the_rates_of_the_plain_loop():
    fitted = net(5).fit(INPUTS, TARGETS)
    plain = Plain(5).run(5)
    assert_same_run(pilot_of(fitted), plain)
    assert [rate for epoch in fitted.history[:, "batches", :, "lr"] for rate in epoch] == plain.rates
    assert fitted.history[:, "lr"] == plain.rates[11::12]


def test_a_longer_run():
    """`partial_fit` goes on for as many epochs; `fit` begins anew."""
    fitted = net(2).fit(INPUTS, TARGETS).partial_fit(INPUTS, TARGETS)
    plain = Plain(2).run(2)
    plain.pilot.extend(48)
    assert_same_run(pilot_of(fitted), plain.run(2))
    assert pilot_of(fitted.fit(INPUTS, TARGETS)).last_epoch == 24


@pytest.mark.parametrize("copied", [lambda n: pickle.loads(pickle.dumps(n)), clone])
def test_a_copy(copied):
    """A pickled net resumes; a clone has the callback's parameters and begins anew."""
    copy = copied(net(1, total_steps=60).fit(INPUTS, TARGETS)).set_params(max_epochs=4)
    plain = Plain(5)
    if copied is clone:
        copy.set_params(max_epochs=5)
    else:
        plain.run(1)
    copy.partial_fit(INPUTS, TARGETS)
    assert_same_run(pilot_of(copy), plain.run(5 if copied is clone else 4))


def test_a_search_sets_any_parameter():
    """Also one that the callback was not made with."""
    lengths = {"callbacks__pilot__total_steps": [40, 60], "callbacks__pilot__rollback": [True]}
    bare = net(2).set_params(callbacks=[("pilot", PilotCallback())])
    search = GridSearchCV(bare, lengths, scoring="neg_mean_squared_error", cv=2).fit(INPUTS.numpy(), TARGETS.numpy())
    pilot = pilot_of(search.best_estimator_)
    assert pilot.total_steps == search.best_params_["callbacks__pilot__total_steps"]
    assert pilot._guard.rollback
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        bare.set_params(callbacks__pilot__nothing=1).fit(INPUTS, TARGETS)


def test_epoch_by_epoch():
    fitted = net(1, total_steps=60).initialize()
    for _ in range(5):
        fitted.partial_fit(INPUTS, TARGETS)
    assert_same_run(pilot_of(fitted), Plain(5).run(5))


class Loop(NeuralNet):
    """As skorch's guide has gradient accumulation, with autocast beside it."""

    def __init__(self, *args, accumulate=1, bf16=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.accumulate, self.bf16 = accumulate, bf16

    def train_step_single(self, batch, **fit_params):
        self._set_training(True)
        inputs, targets = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            outputs = self.infer(inputs)
            loss = self.get_loss(outputs, targets, X=inputs, training=True)
        (loss / self.accumulate).backward()
        return {"loss": loss, "y_pred": outputs}

    def train_step(self, batch, **fit_params):
        step = self.train_step_single(batch, **fit_params)
        if len(self.history[-1, "batches"]) % self.accumulate == 0:
            self.optimizer_.step()
            self.optimizer_.zero_grad()
        return step


@pytest.mark.parametrize("settings", [{"accumulate": 2}, {"accumulate": 3}, {"bf16": True}])
def test_the_rates_of_the_plain_loop_in_a_step_of_ones_own(settings):
    plain = Plain(5, **settings)
    fitted = net(5, partial(Loop, **settings), total_steps=plain.steps(5)).fit(INPUTS, TARGETS)
    assert_same_run(pilot_of(fitted), plain.run(5))


def test_accumulation_without_a_length_is_warned_of():
    with pytest.warns(PilotWarning, match="12 batches of an epoch were 6 steps"):
        net(2, partial(Loop, accumulate=2)).fit(INPUTS, TARGETS)


def test_accelerate(fresh_accelerate):
    """In bf16; `partial_fit` goes on with the run, though the net's optimizer is a wrapper."""
    from skorch.hf import AccelerateMixin

    class Accelerated(AccelerateMixin, NeuralNet): ...

    accelerator = fresh_accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    kind = partial(Accelerated, accelerator=accelerator, unwrap_after_train=False)
    fitted = net(2, kind).fit(INPUTS, TARGETS).partial_fit(INPUTS, TARGETS)
    plain = Plain(2, bf16=True).run(2)
    plain.pilot.extend(48)
    assert_same_run(pilot_of(fitted), plain.run(2))


def test_the_example():
    example("skorch")
