"""Run the simulation through sockets over many schedules, or replay one; see `--help`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.sockets import sites
from tests.simulation.sockets.campaign import RunResult, Tally, leave_interrupts_to_the_parent, run_seed
from tests.simulation.sockets.plan import SYSTEMATIC, second_try

CI, FULL = 200, 2_000
SHOWN_MAX = 20
TRIES = 3
"""How often a pair that was not met is tried again, alone: which thread comes first is not in our hands."""


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when every invariant held and every pair was met, 1 after a violation, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.seed is not None:
        return _replay(options.seed, options.log, console)
    count = options.schedules or (FULL if options.full else CI)
    began = time.perf_counter()
    tally = Tally()
    is_complete = _run(range(options.start, options.start + count), options.jobs, tally, console)
    is_all = options.start == 0 and count >= CI
    for attempt in range(TRIES if is_all else 0):
        if is_complete and tally.missing():
            again = [second_try(pair, attempt) for pair in tally.missing()]
            is_complete = _run(again, min(options.jobs, len(again)), tally, console)
    _report(tally, time.perf_counter() - began, console)
    if tally.violations or (is_complete and is_all and tally.missing()):
        return 1
    return 0 if is_complete else 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.sockets",
        description=f"Real SDK, real sockets, real database, virtual time. The first {len(SYSTEMATIC)} schedules go "
        "through every fault hook at every call site, the others are random.",
    )
    parser.add_argument("--schedules", type=_positive, help=f"how many schedules ({CI})")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} schedules")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, help="processes (one a core)")
    parser.add_argument("--seed", type=int, help="replay this seed alone")
    parser.add_argument("--log", type=Path, help="with --seed: write plan and history to this file")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1 (got {text})")
    return int(text)


def _run(seeds: Sequence[int], processes: int, tally: Tally, console: Console) -> bool:
    """Run all seeds into `tally`; an interrupt ends it with what is finished and returns False."""
    bar = Progress(
        TextColumn("[bold]simulation through sockets"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]} violations"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    pool = None
    try:
        results: Iterable[RunResult] = map(run_seed, seeds)
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            pool = context.Pool(processes, initializer=leave_interrupts_to_the_parent)
            results = pool.imap_unordered(run_seed, seeds)
        with bar:
            task = bar.add_task("", total=len(seeds), found=0)
            for result in results:
                tally.add(result)
                bar.update(task, advance=1, found=tally.violations)
    except KeyboardInterrupt:
        console.print(f"interrupted after {tally.runs} of {len(seeds)} schedules")
        return False
    finally:
        if pool is not None:
            pool.terminate()
            pool.join()
    return True


# --- report -----------------------------------------------------------------------------------------------------


def _report(tally: Tally, wall_s: float, console: Console) -> None:
    _print_coverage(tally, console)
    table = Table(title="Simulation through sockets", show_header=False)
    table.add_row("schedules run", f"{tally.runs:,}")
    table.add_row("virtual time", f"{tally.virtual_s / 3_600:,.2f} hours")
    table.add_row("process starts", f"{tally.starts:,}")
    table.add_row("fills", f"{tally.fills:,}")
    table.add_row("faults injected", f"{tally.faults.total():,}")
    for name, count in sorted(tally.acts.items()):
        table.add_row(f"  {name}", f"{count:,}")
    for name, count in sorted(tally.moments.items()):
        table.add_row(f"  killed {name}", f"{count:,}")
    table.add_row("invariant checks", f"{tally.checks.total():,}")
    for name, count in sorted(tally.checks.items()):
        table.add_row(f"  {name}", f"{count:,}")
    table.add_row("longest settling", f"{tally.settled_s:.0f} s after the faults")
    table.add_row("violations", f"{tally.violations:,} in {len(tally.failing)} schedules")
    table.add_row("wall time", f"{wall_s:,.1f} s ({tally.cpu_s:,.1f} s of processor time)")
    console.print(table)
    for pair in tally.missing():
        console.print(f"not met: {pair.hook.value} at {pair.site}", markup=False, highlight=False)
    for seed, found in sorted(tally.failing.items())[:SHOWN_MAX]:
        console.print(f"seed {seed}: {len(found)} violations", markup=False)
        for text in found[:3]:
            console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  replay: uv run python -m tests.simulation.sockets --seed {seed}", markup=False)
    print(json.dumps(tally.to_row(wall_s)))


def _print_coverage(tally: Tally, console: Console) -> None:
    """Say for each hook at which call sites it took hold, and how often; and where it cannot."""
    table = Table(title="hook: call site x times it took hold", show_header=False)
    for hook in dict.fromkeys(pair.hook for pair in sites.pairs()):
        places = [f"{pair.site} x {tally.faults[pair]}" for pair in sites.pairs() if pair.hook is hook]
        table.add_row(hook.value, ", ".join(places))
    console.print(table)
    reasons: dict[str, list[str]] = {}
    for hook in sites.REST_HOOKS:
        for route in sites.ROUTES:
            reason = sites.impossible(hook, route)
            if reason is not None:
                reasons.setdefault(f"{hook.value}: {reason}", []).append(route)
    for reason, routes in reasons.items():
        console.print(f"impossible: {reason}: {', '.join(routes)}", markup=False, highlight=False, soft_wrap=True)


def _replay(seed: int, log: Path | None, console: Console) -> int:
    result = run_seed(seed, keeps_log=True)
    lines = [*result.log, *(f"violation {text}" for text in result.violations)]
    if log is not None:
        log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        console.print(f"{len(lines)} lines written to {log}", soft_wrap=True)
    else:
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    row = {"seed": seed, "faults": result.faults.total(), "checks": result.checks.total()}
    print(json.dumps(row | {"violations": len(result.violations)}))
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
