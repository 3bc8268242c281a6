"""How many of the mutants that `mutmut run` made of a package the tests killed, by module.

    uv run --with mutmut==3.8.1 mutmut run          # makes and tries them, into mutants/; goes on where it was stopped
    uv run python -m tests.mutation                 # reads the outcome
    uv run python -m tests.mutation --survivors doubt

A mutant counts as killed when a test failed with it, timed out or crashed; one that no test runs counts as survived.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("mutants") / "executor"
PASSED, NO_TESTS = (0,), (5, 33)
"""Exit codes of a trial in which no test failed, and of a mutant that no test runs."""


@dataclass(frozen=True)
class Rate:
    """Mutants of one module: made, tried so far, and killed."""

    module: str
    made: int
    tried: int
    killed: int

    @property
    def percent(self) -> float:
        return 100 * self.killed / self.tried if self.tried else 0.0


def codes(module: Path) -> dict[str, int | None]:
    """Return the exit code of the trial of every mutant of a module; None: not tried yet."""
    found: dict[str, int | None] = json.loads(module.read_text())["exit_code_by_key"]
    return found


def rates(folder: Path = FOLDER) -> list[Rate]:
    """Return the rate of every module that has mutants."""
    rows = []
    for meta in sorted(folder.glob("*.py.meta")):
        tried = [code for code in codes(meta).values() if code is not None]
        killed = sum(1 for code in tried if code not in (*PASSED, *NO_TESTS))
        rows.append(Rate(meta.name.removesuffix(".py.meta"), len(codes(meta)), len(tried), killed))
    return [row for row in rows if row.made]


def survivors(module: str, folder: Path = FOLDER) -> Iterator[str]:
    """Yield what was changed in each mutant of a module that no test noticed."""
    source = (folder / f"{module}.py").read_text()
    functions = {
        node.name: (ast.get_source_segment(source, node) or "").splitlines()[1:]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for key, code in codes(folder / f"{module}.py.meta").items():
        if code in (*PASSED, *NO_TESTS):
            name = key.rpartition(".")[2]
            original = functions.get(re.sub(r"__mutmut_\d+$", "__mutmut_orig", name), [])
            lines = difflib.unified_diff(original, functions.get(name, []), n=0, lineterm="")
            changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("---", "+++")]
            yield "\n  ".join([key, *changed])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--survivors", metavar="MODULE", help="show what was changed in the mutants that survived")
    options = parser.parse_args(arguments)
    rows = rates()
    if not rows:
        print("no mutants here; make them: uv run --with mutmut==3.8.1 mutmut run", file=sys.stderr)
        return 2
    if options.survivors is not None:
        if options.survivors not in {row.module for row in rows}:
            print(
                f"no mutants of {options.survivors!r}; there are: {', '.join(r.module for r in rows)}", file=sys.stderr
            )
            return 2
        print("\n".join(survivors(options.survivors)))
        return 0
    total = Rate("all", sum(r.made for r in rows), sum(r.tried for r in rows), sum(r.killed for r in rows))
    print(f"{'module':<14}{'made':>7}{'tried':>7}{'killed':>8}")
    for row in (*rows, total):
        print(f"{row.module:<14}{row.made:>7}{row.tried:>7}{row.killed:>8}{row.percent:>8.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
