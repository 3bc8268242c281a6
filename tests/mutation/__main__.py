"""Mutation testing of the executor: one thing in it is changed at a time, and a test has to notice.

uv run --with mutmut==3.8.1 python -m tests.mutation --run             # all; goes on where it was stopped
uv run --with mutmut==3.8.1 python -m tests.mutation --run doubt risk  # these modules
uv run --with mutmut==3.8.1 python -m tests.mutation --run --again     # those too that survived, after new tests
uv run python -m tests.mutation                                        # the rate of each module
uv run python -m tests.mutation --survivors doubt                      # what was changed unnoticed
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutation.report import Rate, rates, survivors

MUTANTS = Path("mutants")
HOW = "uv run --with mutmut==3.8.1 python -m tests.mutation --run"
SMALL = "executor.calm.*"
"""mutmut makes all mutants and then tries what it is asked to: something small."""


def run(modules: list[str], *, again: bool) -> int:
    """Let mutmut make the mutants, new ones of what has changed, and try those that have not been tried."""
    mutmut = shutil.which("mutmut")
    if mutmut is None:
        print(f"mutmut is not here: {HOW}", file=sys.stderr)
        return 2
    made = subprocess.run([mutmut, "run", SMALL], check=False)
    if made.returncode:
        return made.returncode
    command = [sys.executable, "-m", "tests.mutation.trials", *(["--again"] if again else []), *modules]
    return subprocess.run(command, cwd=MUTANTS, check=False).returncode


def show(rows: list[Rate]) -> None:
    total = Rate("all", sum(r.made for r in rows), sum(r.tried for r in rows), sum(r.killed for r in rows))
    print(f"{'module':<14}{'made':>7}{'tried':>7}{'killed':>8}")
    for row in (*rows, total):
        print(f"{row.module:<14}{row.made:>7}{row.tried:>7}{row.killed:>8}{row.percent:>8.1f} %")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", nargs="*", metavar="MODULE", help="make the mutants of these modules (all) and try them"
    )
    parser.add_argument("--again", action="store_true", help="with --run: those too that survived before")
    parser.add_argument("--survivors", metavar="MODULE", help="show what was changed in the mutants that survived")
    options = parser.parse_args(arguments)
    if options.run is not None and (code := run(options.run, again=options.again)):
        return code
    rows = rates()
    if not rows:
        print(f"no mutants here; make them: {HOW}", file=sys.stderr)
        return 2
    if options.survivors is None:
        show(rows)
        return 0
    if options.survivors not in {row.module for row in rows}:
        names = ", ".join(row.module for row in rows)
        print(f"no mutants of {options.survivors!r}; there are: {names}", file=sys.stderr)
        return 2
    print("\n".join(survivors(options.survivors)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
