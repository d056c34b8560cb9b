"""Tasks: prepared data, the loss on a batch, evaluation."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.tasks.catalogue import HELP, TASKS, evaluate, load_task, loss_of
from lrpilot.experiments.tasks.tensors import Examples


def test_digits_lie_in_the_unit_interval():
    inputs = load_task("digits").data.train.inputs
    assert inputs.dtype == torch.float32
    assert (inputs.min(), inputs.max()) == (0, 1)


def test_validation_and_fraction_are_taken_before_anything_is_computed():
    task = load_task("digits", validation=100, fraction=0.5)
    assert (len(task.data.train), len(task.data.validation), len(task.data.test)) == (669, 100, 359)
    assert task.data.validation.inputs.max() == 1


def test_unknown_tasks_are_refused_with_what_there_is():
    with pytest.raises(InvalidArgument, match=r"did you mean mnist-cnn\?\), got 'mnist_cnn'") as raised:
        load_task("mnist_cnn")
    assert all(name in str(raised.value) for name in TASKS)
    with pytest.raises(InvalidArgument, match="image-folder:PATH"):
        load_task("image-folder:")


def test_the_help_names_every_task():
    assert [name.strip() for name in HELP.split(",")[:-1]] == list(TASKS)
    assert "image-folder:PATH" in HELP


def test_own_pictures_get_a_network_of_their_size(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("a", "b", "c"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for index in range(5):
            Image.new("RGB", (50, 50), (40 * index, 0, 255)).save(tmp_path / "own" / name / f"{index}.png")
    task = load_task(f"image-folder:{tmp_path / 'own'}")
    assert task.data.label == "own"
    assert task.data.train.inputs.mean(0).abs().max() < 1e-6  # centred, pixel by pixel
    network = task.make_network(torch.Generator().manual_seed(0))
    assert network(task.data.test.inputs).shape == (3, 3)


def test_loss_is_the_mean_cross_entropy():
    network = nn.Linear(2, 3)
    batch = torch.randn(4, 2), torch.tensor([0, 2, 1, 1])
    by_hand = -torch.stack([network(x).log_softmax(0)[y] for x, y in zip(*batch, strict=True)]).mean()
    torch.testing.assert_close(loss_of(network)(batch), by_hand)


def test_evaluation_counts_errors_and_averages_losses():
    examples = Examples(torch.eye(3)[[0, 1, 2, 2, 0] * 50], torch.tensor([0, 1, 2, 1, 2] * 50))
    loss, error = evaluate(nn.Identity(), examples)
    assert error == pytest.approx(40)
    assert loss == pytest.approx(F.cross_entropy(examples.inputs, examples.targets).item())


def test_evaluation_is_without_dropout_and_restores_each_module():
    frozen = nn.BatchNorm1d(4).eval()
    network = nn.Sequential(nn.Linear(4, 4), frozen, nn.Dropout(0.5), nn.Linear(4, 2))
    examples = Examples(torch.randn(20, 4), torch.zeros(20, dtype=torch.int64))
    assert evaluate(network, examples) == evaluate(network, examples)
    assert [module.training for module in network] == [True, False, True, True]
    assert network.training


@pytest.mark.data
@pytest.mark.parametrize(("name", "shape"), [("m1", (784,)), ("mnist-lstm", (1, 28, 28)), ("mnist-cnn", (1, 28, 28))])
def test_mnist_tasks(data, name, shape):
    task = load_task(name, folder=data)
    assert task.data.label == "MNIST"
    assert task.data.train.inputs.shape == (60_000, *shape)
    centred = task.data.train.inputs.mean(0).abs().max().item() < 1e-4
    assert centred == (name != "mnist-cnn")


@pytest.mark.data
def test_cifar10_task_carries_the_label_of_its_copy(data):
    task = load_task("cifar10-cnn", folder=data)
    assert task.data.label == "CIFAR-10 (JPEG)"
    assert task.data.train.inputs.shape == (50_000, 3, 32, 32)
    assert len(task.data.test) == 10_000
    assert task.data.train.targets.bincount().tolist() == [5_000] * 10
    assert task.data.train.inputs.mean(0).abs().max() < 1e-4


def test_a_task_is_one_record(monkeypatch):
    """Whatever is asked of a task by its name comes from its record: nothing else knows the names."""
    from lrpilot.experiments.runs.perform import perform
    from lrpilot.experiments.studies.comparison import Comparison

    monkeypatch.setitem(TASKS, "halved", replace(TASKS["digits"], name="halved", compared=12, batch_size=16))
    (trial, *_) = Comparison.of("halved", seeds=1, methods=["constant"]).trials()
    assert (trial.steps, trial.batch_size) == (12, 16)
    assert perform(trial).status == "finished"
