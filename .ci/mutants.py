"""Changes core, online and pilot in one place at a time; reports the changes that the module's own tests do not notice.

    python .ci/mutants.py [core/history pilot/timetable ...]

Works in a copy of the tree under runs/mutants, goes on where it was stopped, and ends with the survivors of each
module as diffs. cosmic-ray makes the changes: numbers by one, an operator into its opposite, comparisons, conditions,
loops, decorators.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "runs" / "mutants"
TESTS = {
    "core/randomness": "online_changes",
    "core/state": "snapshot online_changes",
    "online/actor_critic": "online oracle",
    "online/controller": "online online_changes oracle",
    "pilot/controller": "pilot",
    "pilot/guard": "pilot_guard",
    "pilot/logbook": "pilot",
    "pilot/policy_file": "policy",
}
"""The tests that pin a module, where they are not those of its own name."""

CONFIGURATION = """
[cosmic-ray]
module-path = "src/lrpilot/{module}.py"
timeout = 120.0
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = ["core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Div_Mul|Pow_Mul|BitOr_BitAnd|BitAnd_BitOr)"]
"""


def run(*command: str) -> str:
    """What a command prints, in the copy and with the copy's package in front of an installed one."""
    environment = {**os.environ, "PYTHONPATH": str(WORK / "src")}
    return subprocess.run(command, cwd=WORK, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(modules: list[str]) -> None:
    """Take the modules in turn, all of the three folders if none is named."""
    folders = ("core", "online", "pilot")
    package = ROOT / "src" / "lrpilot"
    files = [file for folder in folders for file in sorted((package / folder).glob("[!_]*.py"))]
    shutil.rmtree(WORK / "src", ignore_errors=True)
    shutil.rmtree(WORK / "tests", ignore_errors=True)
    for part in ("src", "tests", "benchmarks"):
        shutil.copytree(ROOT / part, WORK / part, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", WORK)
    tool = str(Path(sys.executable).parent)
    for module in modules or [str(file.relative_to(package).with_suffix("")) for file in files]:
        name = module.replace("/", "-")
        tests = " ".join(f"tests/test_{test}.py" for test in TESTS.get(module, Path(module).name).split())
        (WORK / f"{name}.toml").write_text(CONFIGURATION.format(module=module, python=sys.executable, tests=tests))
        if not (WORK / f"{name}.sqlite").exists():
            run(f"{tool}/cosmic-ray", "init", f"{name}.toml", f"{name}.sqlite")
            run(f"{tool}/cr-filter-operators", f"{name}.sqlite", f"{name}.toml")
        run(f"{tool}/cosmic-ray", "baseline", f"{name}.toml")
        run(f"{tool}/cosmic-ray", "exec", f"{name}.toml", f"{name}.sqlite")
        print(
            module, run(f"{tool}/cr-report", "--surviving-only", "--show-diff", f"{name}.sqlite"), sep="\n", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
