"""How many mutants the tests killed, by module, and what was changed in those that survived.

A mutant counts as killed when a test failed with it, timed out or crashed; one that no test runs counts as survived.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
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
