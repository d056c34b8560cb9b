"""Changes core, online and pilot in one place at a time; reports the changes that the module's own tests do not notice.

    python .ci/mutants.py [core/history pilot/timetable ...] [--sample 25 [--seed 1]]

cosmic-ray makes the changes: whole numbers by one and others by a tenth, operators into their opposites, comparisons at
their edge, conditions, loops, exceptions. Annotations, decorators and what an error says are left alone. The tests are
collected once; each change is made in a forked process, in the functions as they stand in memory, and judged by those
tests that call one of them, the fastest first. After a change outside of functions all is imported anew.

``survivors.toml`` lists the changes that no test can or should notice, each with its reason: at most one in twenty. One
that is listed and does not survive is told.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import json
import math
import os
import random
import re
import resource
import signal
import sys
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

import cosmic_ray.plugins
import parso
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.operators.number_replacer import NumberReplacer

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "lrpilot"
SEEN = ROOT / "runs" / "mutants.json"
SURVIVORS = Path(__file__).with_name("survivors.toml")
TESTS = {
    "core/files": "files arguments",
    "core/folders": "files",
    "core/signals": "files",
    "core/snapshot": "snapshot arguments",
    "online/actor_critic": "actor_critic joint online oracle",
    "online/arrays": "actor chunk critic online_changes",
    "online/controller": "controls online online_changes oracle repeat",
    "online/evaluation": "evaluation online online_changes",
    "online/offline": "offline contracts",
    "online/placement": "arguments online",
    "online/watch": "online_changes",
    "pilot/arithmetic": "arithmetic features",
    "pilot/buffers": "pilot_guard pilot_shape",
    "pilot/calls": "calls pilot_steps",
    "pilot/controller": "pilot pilot_changes pilot_horizon pilot_shape pilot_steps",
    "pilot/copies": "pilot_guard pilot_shape",
    "pilot/deciding": "pilot pilot_changes pilot_horizon pilot_rates pilot_shape pilot_steps stuck",
    "pilot/guard": "pilot_guard",
    "pilot/interval": "features measurement",
    "pilot/memory": "features",
    "pilot/parts": "pilot pilot_shape",
    "pilot/policy": "policy combining",
    "pilot/policy_file": "policy",
    "pilot/ranks": "pilot_ranks",
    "pilot/rates": "rates pilot_changes",
    "pilot/soundness": "features pilot_guard soundness timetable",
    "pilot/steps": "measurement steps pilot_steps",
    "pilot/timetable": "timetable pilot_horizon",
    "pilot/vectors": "measurement",
}
"""The tests that pin a module, where they are not those of its own name."""
SLOW = 3.0
"""Seconds of the processor's time for one test; those that take longer judge nothing. Nor do those that start other
processes, each of which takes as long to import torch, and the code as it stands on the disk."""
OPERATORS = re.compile(
    "core/(AddNot|ExceptionReplacer|ZeroIterationForLoop|Replace(And|Or|True|False|Break|Continue)With[A-Z][a-z]+"
    "|ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is)"
    "|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul|BitOr_BitAnd|BitAnd_BitOr)"
    "|ReplaceUnaryOperator_Delete_(Not|USub))"
)
ARGUMENTS = ["-q", "--no-header", "--no-summary", "--capture=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
ARGUMENTS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is there already after a fork


class NumberChanged(NumberReplacer):
    """Whole numbers by one, others by a tenth of themselves: anything would notice 1e-8 plus one."""

    def mutate(self, node: Any, index: int) -> Any:
        """The number, changed up or down."""
        number = ast.literal_eval(node.value)
        step = 1 if isinstance(number, int) else abs(number) / 10
        return parso.python.tree.Number(repr(number + (step, -step)[index]), node.start_pos, node.prefix)


class Mutant(NamedTuple):
    """A changed module: the line as it was, the line as it is now, and the source of all of it."""

    module: str
    was: str
    now: str
    source: str


def modules() -> list[str]:
    """The names of all that can be changed."""
    files = [file for folder in ("core", "online", "pilot") for file in sorted((PACKAGE / folder).glob("[!_]*.py"))]
    return [str(file.relative_to(PACKAGE).with_suffix("")) for file in files]


def tests_of(module: str) -> list[Path]:
    """The files of tests that pin a module."""
    names = TESTS.get(module, Path(module).name).split()
    return [file for name in names if (file := ROOT / "tests" / f"test_{name}.py").exists()]


def path_of(module: str) -> Path:
    """Where a module stands."""
    return PACKAGE / f"{module}.py"


def mutants(module: str, most: int | None = None, *, seed: int = 0) -> list[Mutant]:
    """All changes of a module, or ``most`` of them drawn at random."""
    source = path_of(module).read_text()
    tree, meaningless = get_ast(source), list(_meaningless(ast.parse(source)))
    names = filter(OPERATORS.fullmatch, cosmic_ray.plugins.operator_names())
    changes: list[tuple[Any, int]] = []
    for operator in [*(cosmic_ray.plugins.get_operator(name)() for name in names), NumberChanged()]:
        places = [(node, start) for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node)]
        for occurrence, (node, place) in enumerate(places):
            separates = node.type == "operator" and node.parent.type == "parameters"  # the * before keywords
            if not separates and not any(start <= place < end for start, end in meaningless):
                changes.append((operator, occurrence))
    if most is not None:
        random.Random(seed).shuffle(changes)
    found: dict[str, Mutant] = {}
    for operator, occurrence in changes:
        changed = MutationVisitor.mutate_code(source, operator, occurrence)
        if changed and changed != source and _compiles(changed):
            lines = zip(source.splitlines(), changed.splitlines(), strict=False)
            was, now = next((old.strip(), new.strip()) for old, new in lines if old != new)
            found[changed] = Mutant(module, was, now, changed)
        if len(found) == most:
            break
    return list(found.values())


def _compiles(source: str) -> bool:
    """Whether it is Python: the star of an argument is no multiplication."""
    try:
        compile(source, "", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _meaningless(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a change means nothing: annotations, decorators, what is raised, what is imported for its type."""
    for node in ast.walk(tree):
        nodes: list[Any] = []
        if isinstance(node, ast.AnnAssign | ast.arg):
            nodes = [node.annotation]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            nodes = [*node.decorator_list, getattr(node, "returns", None)]
        elif isinstance(node, ast.Raise):
            nodes = [node.exc]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes = [node]
        yield from (((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n)


def functions_of(mutant: Mutant) -> dict[CodeType, CodeType] | None:
    """The functions that a mutant changes, as they were and as they are; None if it changes anything else."""
    path = path_of(mutant.module)
    sources = path.read_text(), mutant.source
    return functions_changed(*(compile(source, path, "exec", dont_inherit=True) for source in sources))


def functions_changed(old: CodeType, new: CodeType) -> dict[CodeType, CodeType] | None:
    """The functions in which two compiled modules differ; None if they differ elsewhere."""
    if _own(old) != _own(new):
        return None
    pairs: dict[CodeType, CodeType] = {}
    for was, now in zip(_inner(old), _inner(new), strict=True):
        if was == now:
            continue
        is_function = was.co_flags & 1  # its variables are no dictionary's
        inner = {was: now} if is_function else functions_changed(was, now)
        if inner is None:
            return None
        pairs |= inner
    return pairs


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    constants = [(type(c), c) for c in code.co_consts if not isinstance(c, CodeType)]
    return code.co_code, constants, code.co_names


class Replacing(MetaPathFinder, Loader):
    """Imports a module with another source."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = f"lrpilot.{mutant.module.replace('/', '.')}"
        self.code = compile(mutant.source, path_of(mutant.module), "exec", dont_inherit=True)

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """Answers for this module alone."""
        return spec_from_loader(name, self, origin=self.code.co_filename) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed source."""
        exec(self.code, vars(module))


class Ordered:
    """A pytest plugin that runs some of the collected tests, in a given order."""

    def __init__(self, order: dict[str, int]) -> None:
        self.order = order

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and sort."""
        items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda item: self.order[item.nodeid])


class Runner:
    """A pytest plugin that tries changes on the collected tests, instead of running these once.

    Args:
        chosen: the mutants of each module.
        known: what :attr:`seconds` and :attr:`called` were when they were last measured.
    """

    def __init__(self, chosen: dict[str, list[Mutant]], known: dict[str, Any]) -> None:
        self.chosen, self.known = chosen, known
        self.package = _digest(*sorted(PACKAGE.rglob("*.py")))
        self.survivors: dict[str, list[Mutant]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests, try the changes."""
        items: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            items[item.path].append(item)
        try:
            self.seen = {item: self.measured(item, _digest(item.path)) for item in session.items}
        finally:
            SEEN.parent.mkdir(exist_ok=True)
            SEEN.write_text(json.dumps(self.known))
        self.functions: dict[CodeType, list[FunctionType]] = defaultdict(list)
        gc.unfreeze()  # what tests have frozen
        for held in gc.get_objects():
            if type(held) is FunctionType and (held.__module__ or "").startswith("lrpilot."):
                self.functions[held.__code__].append(held)
        gc.collect()
        gc.freeze()  # so that no fork copies what it only looks at; frozen objects would not have been listed above
        for module, changes in self.chosen.items():
            begin = time.perf_counter()
            tests = [item for file in tests_of(module) for item in items[file] if self.seen[item][0] <= SLOW]
            tests.sort(key=lambda item: self.seen[item][0])
            control = Mutant(module, "", "", f"{path_of(module).read_text()}\nCONTROL = None\n")
            anew = any(functions_of(mutant) is None for mutant in changes)
            if anew and not self.survives(control, tests):
                pytest.exit(f"the tests of {module} fail after a fresh import of the unchanged code", returncode=1)
            self.survivors[module] = [mutant for mutant in changes if self.survives(mutant, tests)]
            print(f"{module}: {len(self.survivors[module])} of {len(changes)}, {time.perf_counter() - begin:.0f} s")
            for _, was, now, _ in self.survivors[module]:
                print(f"    {was}\n    {now}\n")
            sys.stdout.flush()
        return True

    def measured(self, item: pytest.Item, version: str) -> tuple[float, list[str]]:
        """The seconds that a test takes, and the functions of the package that it calls."""
        key = f"{self.package} {version} {item.nodeid}"
        if key not in self.known:
            called = set[CodeType]()

            def trace(frame: FrameType, event: str, value: object) -> None:
                called.add(frame.f_code)

            begin = _seconds()
            for follow in (sys.settrace, threading.settrace):
                follow(trace)
            good = self.passes(item)
            for follow in (sys.settrace, threading.settrace):
                follow(None)
            if not good:
                pytest.exit(f"{item.nodeid} fails on the unchanged code", returncode=1)
            ours = sorted({_name(code) for code in called if code.co_filename.startswith(str(PACKAGE))})
            self.known[key] = _seconds() - begin, ours
        return self.known[key]

    def survives(self, mutant: Mutant, tests: list[pytest.Item]) -> bool:
        """Whether all tests pass with a change."""
        pairs = functions_of(mutant)
        if pairs is not None:
            names = set(map(_name, pairs))
            tests = [item for item in tests if names.intersection(self.seen[item][1])]
        limit = 20 + 10 * sum(self.seen[item][0] for item in tests)
        attempt = partial(pass_anew, mutant) if pairs is None else partial(self.pass_changed, pairs)
        return in_a_fork(partial(attempt, tests), limit)

    def pass_changed(self, pairs: dict[CodeType, CodeType], tests: list[pytest.Item]) -> bool:
        """Change functions where they stand, and run the tests until one fails."""
        for was, now in pairs.items():
            for function in self.functions[was]:
                function.__code__ = now
        return all(map(self.passes, tests))

    def passes(self, item: pytest.Item) -> bool:
        """Run a test with its fixtures; it may be run again."""
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take notice of what fails."""
        self.failed |= report.failed


def pass_anew(mutant: Mutant, tests: list[pytest.Item]) -> bool:
    """Forget the package and the tests, import them with the change, and run the tests until one fails."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "lrpilot" or str(getattr(module, "__file__", "")).startswith(f"{ROOT}/tests"):
            del sys.modules[name]
    sys.meta_path.insert(0, Replacing(mutant))
    order = {item.nodeid: place for place, item in enumerate(tests)}
    files = sorted({str(item.path) for item in tests})
    return pytest.main([*ARGUMENTS, "-x", *files], [Ordered(order)]) == 0


def in_a_fork(passing: Callable[[], bool], limit: float) -> bool:
    """What a function answers in a process of its own; False if it dies.

    It has ``limit`` seconds of the processor's time, ten minutes of everybody's, and 4 GiB.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    answer = False
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(600)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit),) * 2)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 2**32,) * 2)
        answer = passing()
    finally:
        os._exit(0 if answer else 1)


def _seconds() -> float:
    """The processor's time that this process and its ended children have taken."""
    return sum(os.times()[:4])


def _name(code: CodeType) -> str:
    """Of a function, the module and what stands outermost in it."""
    return f"{Path(code.co_filename).relative_to(PACKAGE)} {code.co_qualname.partition('.<locals>')[0]}"


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def report(chosen: dict[str, list[Mutant]], survivors: dict[str, list[Mutant]], *, sampled: bool) -> bool:
    """Print how many survive; whether each has its reason and all of them are at most one in twenty changes.

    A few modules alone may have more.
    """
    listed = {
        (entry["module"], line) for entry in tomllib.loads(SURVIVORS.read_text())["survivor"] for line in entry["lines"]
    }
    tried = survive = left = 0
    print(f"\n{'module':28}{'tried':>7}{'survive':>9}{'listed':>8}{'left':>6}")
    for module, found in survivors.items():
        lines = [mutant.now for mutant in found]
        unlisted = [line for line in lines if (module, line) not in listed]
        tried, survive, left = tried + len(chosen[module]), survive + len(lines), left + len(unlisted)
        print(f"{module:28}{len(chosen[module]):7}{len(lines):9}{len(lines) - len(unlisted):8}{len(unlisted):6}")
        stale = {line for name, line in listed if name == module}.difference(lines)
        for line in sorted(stale) if not sampled else ():
            print(f"    listed, and does not survive: {line}")
    share, z = survive / max(1, tried), 1.96  # Wilson's interval
    middle, width = share + z * z / (2 * tried), z * math.sqrt(share * (1 - share) / tried + (z / tried / 2) ** 2)
    low, high = ((middle + sign * width) / (1 + z * z / tried) for sign in (-1, 1))
    between = f", 95 % between {low:.1%} and {high:.1%}" if sampled else ""
    print(f"{survive} of {tried} survive: {share:.1%}{between}; {left} without a reason")
    return not left and (share <= 0.05 or len(chosen) < len(modules()))


def main() -> None:
    """Take the modules in turn, all of the three folders if none is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", default=modules())
    parser.add_argument("--sample", type=int, help="try so many changes of each module, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="another number draws another sample")
    options = parser.parse_args()
    chosen = {module: mutants(module, options.sample, seed=options.seed) for module in options.modules}
    sys.path.insert(0, str(PACKAGE.parent))
    runner = Runner(chosen, json.loads(SEEN.read_text()) if SEEN.exists() else {})
    files = sorted({str(file) for module in chosen for file in tests_of(module)})
    if pytest.main([*ARGUMENTS, *files], [runner]) not in (0, 5):
        sys.exit("the tests did not run")
    sys.exit(not report(chosen, runner.survivors, sampled=bool(options.sample)))


if __name__ == "__main__":
    main()
