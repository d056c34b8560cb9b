"""The command: what it prints, and one clear line for everything that can be given wrongly."""

import io
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lrpilot import cli


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """An empty working directory, no data set in reach and no network."""
    from torchvision.datasets import MNIST

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
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
    assert lines[0].startswith("step 20/40  0:00:")
    assert " left  error " in lines[0]
    assert "test error" in lines[2]
    assert lines[2].startswith("digits: test error ")
    assert re.fullmatch(r"Learning rate: began at 0\.01, peaked at [\d.]+, ended at [\d.e-]+\.", lines[3])
    assert f"{directory.relative_to(tmp_path)}/curves.png" in lines[4]
    assert directory.name.startswith("digits-pilot-")
    assert len(lines) == 6


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
    "train --lr 1e31": ["lr must be at most 1e+30, got 1e+31"],
    "train --lr 1e308 --controller none --optimizer adam": ["lr must be at most 1e+30"],
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
    "train --steps 100000000000000000000": ["steps must be a whole number of at most 2147483647"],
    "train --seed 99999999999999999999": ["seed must be a whole number of at most 2147483647"],
    "train --batch-size 99999999999999999999": ["batch_size must be a whole number of at most"],
    "train --lr 1e999": ["lr must be a finite number above 0, got inf"],
    "train --controller ''": ["controller must be one of", "got ''"],
    "train --optimizer ''": ["optimizer must be one of", "got ''"],
    "train --setting ''": ["setting must be"],
    "train --out ''": ["a path is empty"],
    "train --data ''": ["a path is empty"],
    "train --out /dev/null": ["/dev/null"],
    "train --out /dev/null/run": ["/dev/null/run: Not a directory"],
    f"train --out {'x' * 300}": ["File name too long"],
    "train --resume --out nothing": ["there is nothing to resume", "got 'nothing'"],
    "train --resume --out ~/nothing": ["there is nothing to resume", "home/nothing'"],
    "train '' ": ["task must be one of"],
    "demo --out ''": ["a path is empty"],
    "demo --out /dev/null": ["/dev/null is not a regular file"],
    "demo --out /dev/null/run.png": ["/dev/null: File exists"],
    "demo --steps 0": ["steps must be a whole number of at least 1, got 0"],
    "compare --results /dev/null --steps 5": ["/dev/null"],
    "demo --out .": ["is not a regular file"],
    "demo --out /": ["/ is not a regular file"],
    "demo --out demo.svg": ["--out must be the name of a PNG file, got 'demo.svg'"],
    "suggest --optimizer rprop": ["optimizer must be one that reads the learning rate at each step", "got 'Rprop'"],
    "compare --workers 99999999999999999999": ["workers must be a whole number of at most 2147483647"],
    "compare --ray ''": ["--ray must be left out, or an address, got ''"],
    "reproduce ALL --only m7": ["--only must be part of the name of one of the ", "got 'm7'"],
    "train image-folder:circle": ["no pictures at", "circle"],
    "compare --seeds 99999999999999999999": ["seeds must be a whole number of at most"],
    "pretrain --seed 99999999999999999999": ["seed must be a whole number of at most 2147483647"],
    "pretrain --iterations 99999999999999999999": ["iterations must be a whole number of at most"],
    "compare --policy ~/policy": ["policy must be", "home/policy"],
    "reproduce table1 --results /dev/null --only m7": ["/dev/null"],
    "reproduce table1 --only cnn/sgd --only CNN": [
        "--only must be part of the name of one of the ", "runs, such as table1/mnist-cnn/", "got 'CNN'"],
    "bench divergence --optimizer sdg": ["--optimizer must be one of", "did you mean sgd?", "got 'sdg'"],
    "bench faults --command trane": ["--command must be one of train, compare,", "got 'trane'"],
    "bench faults --fault nap": ["--fault must be one of killed, disk full, two at once", "got 'nap'"],
    "bench readings --task m7": ["--task must be one of m0, m1, m2", "got 'm7'"],
    "bench readings --task m2": ["--task must be one of m0, m1, where the first rung is, or several, got ['m2']"],
    "bench readings --fix discount=0.9,half": ["discount must be", "got 'half'"],
    "report --results /dev/zero": ["/dev/zero"],
    "train --nonsense": ["--nonsense"],
    "fly": ["fly"],
}  # fmt: skip


@pytest.mark.parametrize("command", list(BAD))
def test_bad_input_gets_one_line(lrpilot, command):
    Path("circle").symlink_to("circle")
    code, out, err = lrpilot(command)
    assert code == 2
    assert out == ""
    assert err.startswith("lrpilot: ")
    assert err.count("\n") == 1
    for part in BAD[command]:
        assert part in err
    assert not Path("runs").exists()


@pytest.mark.parametrize("task", ["m0", "image-folder:nowhere"])
def test_data_that_is_not_there_is_no_result_of_a_comparison(lrpilot, task):
    code, _, err = lrpilot(f"compare {task} --data nowhere --steps 5 --seeds 1 --methods constant")
    assert code == 2
    assert err.startswith("lrpilot: ")
    assert "nowhere" in err
    assert err.count("\n") == 1
    assert not list(Path().rglob("*.jsonl"))
    assert not Path("nowhere").exists()


def test_a_task_may_be_spelt_in_capitals(lrpilot):
    lrpilot("train DIGITS --controller none --steps 5 --out run")
    assert lrpilot("train digits --resume --out run")[0] == 0


def test_a_warning_of_the_pilot_is_one_line(lrpilot):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = lrpilot("train --optimizer rprop --steps 3")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("lrpilot: warning: Rprop reads the learning rate at its first step alone")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, _, err = lrpilot("train --optimizer rprop --steps 3")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("lrpilot: Rprop reads")


def test_ctrl_c_in_a_benchmark(lrpilot, monkeypatch):
    from benchmarks import rollouts

    monkeypatch.setattr(rollouts, "load_sources", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    code, _, err = lrpilot("bench rollouts")
    assert (code, err.strip()) == (130, "Stopped.")


def test_a_terminal_of_no_width_shows_all(lrpilot, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    assert "Learning rate " in lrpilot("suggest --steps 10")[1]


def test_what_looks_like_a_picture_in_words_is_printed_as_it_is(lrpilot):
    assert "tensorboard --logdir a:dog:b\n" in lrpilot("train --steps 3 --out a:dog:b")[1]


def test_a_group_of_commands_alone_shows_its_help(lrpilot):
    code, out, err = lrpilot("bench")
    assert code == 2
    assert "overhead" in out
    assert err == ""


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


@pytest.mark.integration
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
    from lrpilot.commands.progress import Display

    show = Display.show

    def interrupted(self, record):
        show(self, record)
        if record.step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Display, "show", interrupted)
        code, out, err = lrpilot("train --steps 40 --evaluate-every 10 --out run --controller none")
    assert (code, err) == (130, "")
    assert out.splitlines()[-1] == "Stopped. Resume with: lrpilot train digits --out run --resume"
    code, out, err = lrpilot("train digits --out run --resume")
    assert (code, err) == (0, "")
    assert "going on from step 2" in out
    assert "step 40/40" in out


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, lrpilot):
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "lrpilot.commands.app", raising=False)
    code, _, err = lrpilot("train")
    assert code == 2
    assert err == "lrpilot: the command needs typer: pip install 'lrpilot[experiments]'\n"


@pytest.mark.integration
def test_the_library_does_not_import_what_only_the_command_needs():
    needed = {"typer", "rich", "matplotlib", "sklearn", "torchvision", "tensorboard", "PIL"}
    program = f"import lrpilot, lrpilot.cli, sys; lrpilot.Pilot; print({needed} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


@pytest.mark.integration
def test_help_waits_neither_for_tables_nor_for_pictures():
    program = "import sys, lrpilot.commands.app; print({'pandas', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_help_without_arguments(lrpilot):
    code, out, err = lrpilot("")
    assert (code, err) == (0, "")
    assert "train" in out
    assert "demo" in out


def test_a_rate_that_stays_is_said_once_and_one_that_moves_from_its_first_step(lrpilot):
    """A run of 400 steps is recorded every second one; the pilot begins at a tenth of the rate that is given."""
    _, still, _ = lrpilot("train --steps 4 --controller none --lr 0.05")
    assert "Learning rate: 0.05 throughout." in still
    _, moved, _ = lrpilot("train --steps 400 --lr 1e-6 --out run")
    assert "Learning rate: began at 1e-07, peaked at" in moved


def test_demo_prints_a_table_and_says_where_the_picture_is(lrpilot):
    code, out, err = lrpilot("demo --steps 60 --out pictures/demo.png")
    assert (code, err) == (0, "")
    for label in ("pilot", "online", "fixed 0.0001", "fixed 0.001", "fixed 0.01", "fixed 0.1", "fixed 1"):
        assert label in out
    assert out.splitlines()[-1].endswith("pictures/demo.png")
    assert Path("pictures/demo.png").read_bytes().startswith(b"\x89PNG")
    fixed = dict(re.findall(r"^  fixed ([\d.]+).*: ([\d.]+) %$", out, re.MULTILINE))
    best = min(fixed, key=lambda rate: float(fixed[rate]))
    told = f"The best of 5 fixed rates, {best}, ends at {fixed[best]} %; 0.0001, kept fixed, at {fixed['0.0001']} %."
    assert told in out.splitlines()
    assert max(map(len, out.splitlines())) <= 80


def test_the_version(lrpilot):
    code, out, err = lrpilot("--version")
    assert (code, out.split()[0], err) == (0, "lrpilot", "")


@pytest.mark.integration
def test_shells_complete_subcommands_and_options():
    for words, wanted in (("lrpilot su", "suggest"), ("lrpilot train --res", "--resume")):
        environment = os.environ | {"_LRPILOT_COMPLETE": "complete_bash", "COMP_WORDS": words}
        environment |= {"COMP_CWORD": str(len(words.split()) - 1)}
        ran = subprocess.run([*PROGRAM], capture_output=True, text=True, env=environment)
        assert ran.stdout.split() == [wanted]


def test_every_command_that_can_resume_says_how(lrpilot):
    for command in ("train", "pretrain", "compare", "reproduce", "pretrain bank"):
        _, out, _ = lrpilot(f"{command} --help")
        assert "esume" in out


PROGRAM = [sys.executable, "-m", "lrpilot"]


@pytest.mark.integration
def test_it_is_a_module_too():
    ran = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.split()[0], ran.stderr) == (0, "lrpilot", "")


@pytest.mark.integration
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["typer", "torch", "torch.nn", "lrpilot.pilot"])
def test_ctrl_c_while_the_command_is_still_loading(module, number):
    """The signal comes with the import of a module, by which the moment is the same on any machine."""
    program = f"""
import os, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Finder)
from lrpilot.cli import main
main(["demo"])
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Stopped.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_anywhere_stops_in_one_line(lrpilot, monkeypatch, number):
    from lrpilot.experiments.studies import demo

    monkeypatch.setattr(demo, "load_task", lambda name: os.kill(os.getpid(), number))
    code, _, err = lrpilot("demo")
    assert (code, err.strip()) == (130, "Stopped.")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device", "here/it"), 2, "here/it: No space left on device"),
        (PermissionError(13, "Permission denied"), 2, "output: Permission denied"),
        (MemoryError(), 2, "there is not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] can't allocate memory: you tried 9\nframe"), 2, "memory"),
        (RecursionError("too deep"), 70, "a fault in lrpilot, RecursionError: too deep"),
        (KeyError("x\ny"), 70, "a fault in lrpilot, KeyError"),
    ],
)
def test_whatever_is_raised_ends_in_one_line(lrpilot, monkeypatch, error, code, said):
    from lrpilot.experiments.studies import demo

    def fail(name):
        raise error

    monkeypatch.setattr(demo, "load_task", fail)
    left, _, err = lrpilot("demo")
    assert left == code
    assert err.startswith("lrpilot: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.integration
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["train", "--steps", "10"]])
def test_a_full_device_as_output_is_one_line(arguments, tmp_path):
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (2, "lrpilot: output: No space left on device\n")


@pytest.mark.integration
@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&- >&- 2>&-", "| true"])
def test_closed_streams_do_no_harm(closing, tmp_path):
    command = f"{shlex.join([*PROGRAM, 'train', '--steps', '10', '--out', 'run'])} {closing}"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert "Traceback" not in ran.stderr
    assert (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.integration
@pytest.mark.skipif(os.name != "posix", reason="devices with names")
def test_a_device_a_pipe_and_a_folder_are_never_replaced_by_a_picture(lrpilot, tmp_path):
    (tmp_path / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "folder", "link"):
        code, _, err = lrpilot(f"demo --steps 20 --out {name}")
        assert (code, err.count("\n")) == (2, 1)
        assert "is not a regular file and is left as it is" in err
    assert Path("/dev/null").is_char_device()


def test_the_home_is_put_for_its_sign(lrpilot, tmp_path):
    code, out, _ = lrpilot("train --steps 10 --out '~/my runs/one'")
    assert code == 0
    assert (tmp_path / "home/my runs/one/checkpoint").exists()
    assert f"tensorboard --logdir '{tmp_path}/home/my runs/one'\n" in out


@pytest.mark.integration
def test_without_a_home_nothing_breaks(tmp_path):
    program = "import os; os.path.expanduser = lambda path: path; from lrpilot.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    for arguments, code in ((["train", "--steps", "10"], 0), (["train", "m0"], 2), (["train", "--out", "~/x"], 2)):
        command = [sys.executable, "-c", program, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert ran.returncode == code
        assert "there is no home directory: set HOME" in ran.stderr or code == 0
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_line_of_progress_has_whole_numbers_and_the_time_left_first(width):
    from rich.console import Console

    from lrpilot.commands.progress import Display
    from lrpilot.experiments.runs.configuration import Configuration
    from lrpilot.experiments.runs.training import Record

    stream = io.StringIO()
    with Display(Console(file=stream, force_terminal=True, width=width, color_system=None)) as display:
        display.begin(Configuration(task="mnist-attention", steps=20_000), 0)
        display._began -= 0.1  # 123,450 steps a second
        display.show(Record(step=12_345, loss=0.98765, learning_rate=1.234e-3, seconds=9.0, test_error=92.41))
        display._progress.refresh()
        shown = stream.getvalue().replace("\r", "\n").splitlines()[-1]
    assert "0:00:00 left 12345/20000 error 92.4 %" in shown
    assert "…" not in shown
    assert ("steps/s  rate 0.00123  loss 0.988" in shown) == (width >= 80)
    assert width < 80 or int(re.search(r"  (\d+) steps/s", shown)[1]) <= 123_450


@pytest.mark.parametrize("width", [1, 10, 20])
def test_a_terminal_too_narrow_for_the_numbers_does_not_end_the_run(width):
    from rich.console import Console

    from lrpilot.commands.progress import Display
    from lrpilot.experiments.runs.configuration import Configuration
    from lrpilot.experiments.runs.training import Record

    stream = io.StringIO()
    with Display(Console(file=stream, force_terminal=True, width=width, color_system=None)) as display:
        display.begin(Configuration(task="mnist-attention", steps=20_000), 0)
        display.show(Record(step=12_345, loss=0.98765, learning_rate=1.234e-3, seconds=9.0, test_error=92.41))
    assert "error" not in stream.getvalue()


@pytest.mark.data
def test_train_on_real_mnist(lrpilot, data):
    code, out, err = lrpilot(f"train m0 --controller none --steps 300 --data {data}")
    assert (code, err) == (0, "")
    error = float(out.splitlines()[-4].split("test error ")[1].split(" %")[0])
    assert 5 < error < 20
