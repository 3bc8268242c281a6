"""Tries mutants quickly: pytest collects once, and every mutant gets a forked process of its own.

    cd mutants && python -m tests.mutation.trials [--again] [MODULE ...]   # what `tests.mutation --run` starts

mutmut makes the mutants and notes which tests reach which function, but collects the tests anew for every mutant, which
takes longer than running them. Here a child of the process that has collected them sets its mutant and runs those that
reach it up to the first failure: those first that noticed other changes of that function, then of its module, then the
quickest. Now and then one runs all of them without a mutant: a test that
failed then would count every mutant as killed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import resource
import signal
import sys
import tomllib
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

ENVIRONMENT = "MUTANT_UNDER_TEST"
"""What mutmut's mutated functions look at when they are called."""
ALWAYS_FAIL = "fail"
NO_MUTANT = ""
STATS = Path("mutmut-stats.json")
PACKAGE = Path("executor")
UNTESTED, TIMED_OUT = 33, 36
"""mutmut's own codes."""
SURVIVED = (0, UNTESTED)
PATIENCE_S, PATIENCE_FACTOR = 5, 10
"""A test that runs longer than this and so many times its usual time hangs."""
MEMORY_BYTES = 4 << 30
"""A mutant that loops may also fill lists."""
CONTROL_EVERY = 250
SAVE_EVERY = 50


class ControlFailed(Exception):
    """The tests say something without a mutant, or nothing with one that fails everywhere."""


@dataclass(frozen=True)
class Trial:
    """One mutant and what is to be run with it. `module` is empty for a control."""

    module: str
    mutant: str
    tests: tuple[str, ...]


class Verdicts:
    """The exit codes of one module's mutants, kept where mutmut keeps them; None: not tried yet, or to be tried
    `again` since it survived."""

    def __init__(self, module: str, *, again: bool = False) -> None:
        self._path = PACKAGE / f"{module}.py.meta"
        self._meta = json.loads(self._path.read_text())
        self.codes: dict[str, int | None] = self._meta["exit_code_by_key"]
        if again:
            self.codes |= {mutant: None for mutant, code in self.codes.items() if code in SURVIVED}

    @property
    def is_complete(self) -> bool:
        return None not in self.codes.values()

    def __str__(self) -> str:
        killed = sum(code not in (None, *SURVIVED) for code in self.codes.values())
        return f"{killed} of {len(self.codes)} killed"

    def save(self) -> None:
        scratch = self._path.with_suffix(".tmp")
        scratch.write_text(json.dumps(self._meta, indent=4))
        scratch.replace(self._path)


def function_of(mutant: str) -> str:
    """Return the name under which mutmut notes the tests of the function that a mutant changes."""
    return re.sub(r"__mutmut_\d+$", "", mutant)


class Plan:
    """All mutants not tried yet, each with its tests, and a control now and then."""

    def __init__(self, modules: Sequence[str], collected: set[str], *, again: bool) -> None:
        stats = json.loads(STATS.read_text())
        self._durations: dict[str, float] = stats["duration_by_test"]
        self._tests: dict[str, list[str]] = stats["tests_by_mangled_function_name"]
        self._collected = collected
        self._noticed: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By function, and by module: how often each test was the one that failed."""
        self.all_tests = tuple(sorted(collected & self._durations.keys(), key=self._cost))
        self.verdicts = {module: Verdicts(module, again=again) for module in modules}

    def _cost(self, test: str) -> tuple[float, str]:
        return self._durations[test], test

    def limit_s(self, test: str) -> int:
        return PATIENCE_S + round(PATIENCE_FACTOR * self._durations.get(test, 0.0))

    def in_order(self, trial: Trial) -> list[str]:
        """Return the tests of a trial, the likeliest to notice first."""
        by_function, by_module = self._noticed[function_of(trial.mutant)], self._noticed[trial.module]
        return sorted(trial.tests, key=lambda test: (-by_function[test], -by_module[test], self._durations[test], test))

    def note(self, trial: Trial, code: int, failed: str) -> Verdicts:
        """Take the outcome of a trial; `failed` is the test that noticed, if one did."""
        if failed:
            for place in (function_of(trial.mutant), trial.module):
                self._noticed[place][failed] += 1
        verdicts = self.verdicts[trial.module]
        verdicts.codes[trial.mutant] = code
        return verdicts

    def control(self, mutant: str = NO_MUTANT) -> Trial:
        return Trial("", mutant, self.all_tests)

    def trials(self) -> Iterator[Trial]:
        count = 0
        for module, verdicts in self.verdicts.items():
            for mutant, code in verdicts.codes.items():
                if code is not None:
                    continue
                reached = self._collected & set(self._tests.get(function_of(mutant), ()))
                if count % CONTROL_EVERY == 0:
                    yield self.control()
                count += 1
                yield Trial(module, mutant, tuple(reached))

    @property
    def left(self) -> int:
        return sum(code is None for each in self.verdicts.values() for code in each.codes.values())


class Runner:
    """A pytest plugin in the place of the loop over all tests."""

    def __init__(self, modules: Sequence[str], workers: int, *, again: bool) -> None:
        self._modules, self._workers, self._again = modules, workers, again
        self._running: dict[int, tuple[Trial, int]] = {}
        """By process: its trial, and where to read which test failed."""
        self._items: dict[str, tuple[pytest.Item, int]] = {}
        """Every test by name, with its limit in seconds."""
        self.failure: str | None = None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        plan = Plan(self._modules, {item.nodeid for item in session.items}, again=self._again)
        self._items = {item.nodeid: (item, plan.limit_s(item.nodeid)) for item in session.items}
        gc.freeze()  # a child's garbage collector would copy every page that it looks at
        try:
            self._check(plan)
            self._try_all(plan)
        except ControlFailed as failed:
            self.failure = str(failed)
        finally:
            for pid in self._running:
                os.kill(pid, signal.SIGKILL)
            for verdicts in plan.verdicts.values():
                verdicts.save()
        return True

    def _check(self, plan: Plan) -> None:
        trial = plan.control(ALWAYS_FAIL)
        self._start(trial, trial.tests)
        _, code, _ = self._finish()
        if code == 0:
            raise ControlFailed(f"no test fails where every function of {PACKAGE} fails: the mutants are not what runs")

    def _try_all(self, plan: Plan) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(file=sys.__stderr__)) as progress:
            task = progress.add_task("mutants", total=plan.left)
            waiting = deque(plan.trials())
            while waiting or self._running:
                while waiting and len(self._running) < self._workers:
                    self._start(waiting[0], plan.in_order(waiting.popleft()))
                trial, code, failed = self._finish()
                if not trial.module:
                    if code != 0:
                        raise ControlFailed(
                            f"a test failed without a mutant (exit code {code}): run the tests by themselves"
                        )
                    continue
                verdicts = plan.note(trial, code, failed)
                progress.update(task, advance=1, description=trial.module)
                if verdicts.is_complete or progress.tasks[task].completed % SAVE_EVERY == 0:
                    verdicts.save()
                if verdicts.is_complete:
                    progress.console.print(f"{trial.module}: {verdicts}")

    # --- one trial --------------------------------------------------------------------------------------------------

    def _start(self, trial: Trial, tests: Sequence[str]) -> None:
        heard, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = self._run(trial, tests, told)
            finally:
                os._exit(code)
        os.close(told)
        self._running[pid] = trial, heard

    def _finish(self) -> tuple[Trial, int, str]:
        """Wait for any trial to end; return it, its exit code (negative for the signal that ended it), and which test
        failed, if one did."""
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        trial, heard = self._running.pop(pid)
        failed = os.read(heard, 4_096).decode()
        os.close(heard)
        return trial, TIMED_OUT if code == -signal.SIGALRM else code, failed

    def _run(self, trial: Trial, tests: Sequence[str], told: int) -> int:
        """In the child: run the tests up to the first failure."""
        if not tests:
            return UNTESTED
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.environ[ENVIRONMENT] = trial.mutant
        items = [self._items[test] for test in tests]
        for (item, limit_s), (following, _) in zip(items, [*items[1:], (None, 0)], strict=True):
            signal.alarm(limit_s)
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                os.write(told, item.nodeid.encode())
                return 1
        return 0


def modules_with_mutants(named: Sequence[str]) -> list[str]:
    """Return the modules to try: those named, else all that have mutants.

    Raises FileNotFoundError where one has none."""
    found = sorted(path.name.removesuffix(".py.meta") for path in PACKAGE.glob("*.py.meta"))
    missing = [name for name in named if name not in found]
    if missing or not found:
        raise FileNotFoundError(
            f"no mutants of {', '.join(missing) or PACKAGE}; there are: {', '.join(found) or 'none'}"
        )
    return list(named) or found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.trials", description="Try mutants in this folder.")
    parser.add_argument("--again", action="store_true", help="those too that survived before: tests have been written")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    options = parser.parse_args(arguments)
    try:
        modules = modules_with_mutants(options.modules)
    except FileNotFoundError as missing:
        print(missing, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runner = Runner(modules, os.cpu_count() or 1, again=options.again)
    os.environ[ENVIRONMENT] = NO_MUTANT
    config = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    tests = [*config["pytest_add_cli_args"], *config["pytest_add_cli_args_test_selection"]]
    code = pytest.main(["--rootdir=.", "-q", *tests], plugins=[runner])
    if runner.failure is not None:
        print(runner.failure, file=sys.stderr)
        return 1
    return 0 if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
