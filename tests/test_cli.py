"""The command: what it prints, and one clear line for everything that can be given wrongly."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lrpilot import cli


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """An empty working directory, no data set in reach and no network."""
    from torchvision.datasets import MNIST

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LRPILOT_DATA", raising=False)
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:1/"])


@pytest.fixture
def lrpilot(capsys):
    def run(command):
        with pytest.raises(SystemExit) as left:
            cli.main(shlex.split(command))
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


def test_train_without_a_task_trains_on_digits_and_says_how_it_went(lrpilot, tmp_path):
    code, out, err = lrpilot("train --steps 40 --evaluate-every 20")
    assert (code, err) == (0, "")
    (directory,) = (tmp_path / "runs").iterdir()
    lines = out.splitlines()
    assert lines[0].startswith("step 20/40  loss ")
    assert "test error" in lines[1]
    assert lines[2].startswith("digits: test error ")
    assert f"{directory.relative_to(tmp_path)}/curves.png" in lines[3]
    assert directory.name.startswith("digits-pilot-")
    assert len(lines) == 4


@pytest.mark.parametrize(
    "options",
    ["--controller none --optimizer Adam", "--setting paper", "--optimizer sgd --momentum 0.9 --lr 0.01 --seed 3"],
)
def test_choices_reach_the_run(lrpilot, options):
    code, _, err = lrpilot(f"train digits --steps 10 --batch-size 16 {options} --out run")
    assert (code, err) == (0, "")
    config = Path("run/config.json").read_text()
    for words in zip(*[iter(options.split())] * 2, strict=True):
        assert words[1].lower() in config


BAD = {
    "train digitz": ["task must be one of digits, m0", "(did you mean digits?)", "got 'digitz'"],
    "train image-folder:": ["task must be image-folder:PATH", "got 'image-folder:'"],
    "train image-folder:nowhere": ["no pictures at", "nowhere"],
    "train --controller onlin": ["controller must be one of online, pilot, none (did you mean online?)", "got 'onlin'"],
    "train --setting papper": ["setting must be one of", "paper", "got 'papper'"],
    "train --setting paper --controller none": ["setting must be left out with --controller none"],
    "train --optimizer adamm": ["optimizer must be one of", "tf-rmsprop", "did you mean adam?", "got 'adamm'"],
    "train --optimizer LBFGS": ["optimizer must be", "evaluates the loss several times", "got 'lbfgs'"],
    "train --optimizer sparseadam": ["sparse"],
    "train --lr 0": ["lr must be a finite number above 0, got 0.0"],
    "train --lr -0.1": ["lr must be a finite number above 0, got -0.1"],
    "train --lr nan": ["lr must be a finite number above 0, got nan"],
    "train --lr fast": ["'--lr'"],
    "train --optimizer adam --momentum 0.9": ["momentum must be left out for adam"],
    "train --momentum 1.5": ["momentum must be a number in [0, 1), got 1.5"],
    "train --steps 0": ["steps must be a whole number of at least 1, got 0"],
    "train --steps many": ["'--steps'"],
    "train --batch-size 0": ["batch_size must be a whole number of at least 1, got 0"],
    "train --batch-size 5000": ["batch_size must be a whole number in [1, 1438]", "got 5000"],
    "train --evaluate-every 0": ["evaluate_every must be"],
    "train --checkpoint-every 0": ["checkpoint_every must be"],
    "train --seed -1": ["seed must be a whole number of at least 0, got -1"],
    "train --resume": ["out must be the directory of the run that --resume goes on with"],
    "train m1": ["MNIST is not in", "cache/lrpilot/data", "train-images-idx3-ubyte", "--data", "LRPILOT_DATA"],
    "train m1 --data here": ["MNIST is not in here", "--data", "LRPILOT_DATA"],
    "train --nonsense": ["--nonsense"],
    "fly": ["fly"],
}  # fmt: skip


@pytest.mark.parametrize("command", list(BAD))
def test_bad_input_gets_one_line(lrpilot, command):
    code, out, err = lrpilot(command)
    assert code == 2
    assert out == ""
    assert err.startswith("lrpilot: ")
    assert err.count("\n") == 1
    for part in BAD[command]:
        assert part in err
    assert not Path("runs").exists()


def test_a_damaged_data_file_is_named_in_one_line(lrpilot):
    raw = Path("data/MNIST/raw")
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"damaged")
    code, _, err = lrpilot("train m0 --data data")
    assert code == 2
    assert err.startswith("lrpilot: data/MNIST/raw/train-images-idx3-ubyte is damaged")
    assert err.count("\n") == 1


def test_a_loss_that_is_not_finite_names_step_and_rate(lrpilot):
    code, out, err = lrpilot("train --controller none --lr 1e30 --steps 50 --out run")
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("lrpilot: the loss must be a finite scalar, got ")
    assert "at step " in err
    assert "1e+30" in err
    assert "run/curves.png" in out
    assert '"diverged": true' in Path("run/metrics.jsonl").read_text()


def test_a_directory_of_another_configuration(lrpilot):
    lrpilot("train --controller none --steps 5 --out run")
    code, _, err = lrpilot("train --controller none --steps 6 --out run --resume")
    assert code == 2
    assert err == "lrpilot: steps must be 5 as in run/config.json, or --out another directory, got 6\n"
    code, _, err = lrpilot("train --steps 6 --out run")
    assert code == 2
    assert "out must be a new or an empty directory (--resume goes on with the run in it), got 'run'" in err


def test_a_truncated_checkpoint_is_told_and_mended(lrpilot):
    command = "train --controller none --steps 40 --evaluate-every 10 --out run"
    lrpilot(command)
    whole = Path("run/checkpoint").read_bytes()
    Path("run/checkpoint").write_bytes(whole[:1000])
    code, out, err = lrpilot(f"{command} --resume")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "run/checkpoint is damaged: going on from checkpoint.previous"
    assert out.splitlines()[1].startswith("step 40/40")


def test_ctrl_c_stops_with_the_command_that_goes_on(lrpilot, monkeypatch):
    from lrpilot.experiments.runs.progress import Display

    show = Display.show

    def interrupted(self, record):
        show(self, record)
        if record.step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Display, "show", interrupted)
        code, out, err = lrpilot("train --steps 40 --evaluate-every 10 --out run --controller none")
    assert (code, err) == (130, "")
    assert out.splitlines()[-1] == "Stopped. Go on with: lrpilot train digits --out run --resume"
    code, out, err = lrpilot("train digits --out run --resume")
    assert (code, err) == (0, "")
    assert "going on from step 2" in out
    assert "step 40/40" in out


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, lrpilot):
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "lrpilot.experiments.commands.app", raising=False)
    code, _, err = lrpilot("train")
    assert code == 2
    assert err == "lrpilot: the command needs typer: pip install 'lrpilot[experiments]'\n"


def test_the_library_does_not_import_what_only_the_command_needs():
    needed = {"typer", "rich", "matplotlib", "sklearn", "torchvision", "tensorboard", "PIL"}
    program = f"import lrpilot, lrpilot.cli, sys; print({needed} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_help_without_arguments(lrpilot):
    code, out, err = lrpilot("")
    assert (code, err) == (0, "")
    assert "train" in out
    assert "demo" in out


def test_demo_prints_a_table_and_says_where_the_picture_is(lrpilot):
    code, out, err = lrpilot("demo --steps 60 --out pictures/demo.png")
    assert (code, err) == (0, "")
    for label in ("pilot", "online", "fixed 0.0001", "fixed 0.001", "fixed 0.01", "fixed 0.1", "fixed 1"):
        assert label in out
    assert out.splitlines()[-1].endswith("pictures/demo.png")
    assert Path("pictures/demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.data
def test_train_on_real_mnist(lrpilot, data):
    code, out, err = lrpilot(f"train m0 --controller none --steps 300 --data {data}")
    assert (code, err) == (0, "")
    error = float(out.splitlines()[-2].split("test error ")[1].split(" %")[0])
    assert 5 < error < 20
