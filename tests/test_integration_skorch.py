"""skorch: the rates of the plain loop, its pickles and its history."""

from __future__ import annotations

import pickle

import pytest
import torch

from loops import network
from scripted import Reactive
from trainers import INPUTS, OTHERS_WARNINGS, SIZE, TARGETS, Plain, assert_same_run, example, mse

pytest.importorskip("skorch", reason="needs lrpilot[skorch]")

from sklearn.base import clone
from skorch import NeuralNet

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


def test_epoch_by_epoch():
    fitted = net(1, total_steps=60).initialize()
    for _ in range(5):
        fitted.partial_fit(INPUTS, TARGETS)
    assert_same_run(pilot_of(fitted), Plain(5).run(5))


def test_accumulation():
    class Third(NeuralNet):
        def train_step(self, batch, **fit_params):
            self.taken = getattr(self, "taken", 0) + 1
            step = self.train_step_single(batch, **fit_params)
            if self.taken % 3 == 0:
                for parameter in self.module_.parameters():
                    parameter.grad /= 3
                self.optimizer_.step()
                self.optimizer_.zero_grad()
            return step

    fitted = net(5, Third, total_steps=20).fit(INPUTS, TARGETS)
    plain = Plain(5, accumulate=3).run(5)
    assert len(pilot_of(fitted).history["loss"]) == 20
    torch.testing.assert_close(pilot_of(fitted).history["rate"], plain.pilot.history["rate"], rtol=1e-5, atol=0)


def test_the_example():
    example("skorch")
