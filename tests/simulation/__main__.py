"""Run the in-process simulation over many seeds, or replay one: `uv run python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.campaign import HOUR, Job, SeedResult, Tally, run_seed

CHUNK = 4
SHOWN_MAX = 20
"""Failing seeds that are written out; the JSON line names all of them."""


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when every invariant held, 1 after a violation, 130 when interrupted before one was seen."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.seed is not None:
        return _replay(Job(options.seed, options.minutes, options.hedge), options.log, console)
    jobs = [Job(options.start + i, options.minutes, options.hedge) for i in range(options.seeds)]
    began = time.perf_counter()
    tally, is_complete = _run(jobs, options.jobs, console, stops_early=options.stop_at_first)
    _report(tally, time.perf_counter() - began, jobs[0], console)
    if tally.violations:
        return 1
    return 0 if is_complete else 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=_positive, default=100, help="how many seeds (100)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--minutes", type=_minutes, default=HOUR, help="simulated minutes a seed, at least 8 (60)")
    parser.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, help="processes (one a core)")
    parser.add_argument("--hedge", action="store_true", help="hedge mode instead of one-way")
    parser.add_argument("--stop-at-first", action="store_true", help="end with the first seed that fails")
    parser.add_argument("--seed", type=int, help="replay this seed alone")
    parser.add_argument("--log", type=Path, help="with --seed: write every event and effect to this file")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1 (got {text})")
    return int(text)


def _minutes(text: str) -> int:
    if _positive(text) < 8:
        raise argparse.ArgumentTypeError(f"must be at least 8, the last 4 are without faults (got {text})")
    return int(text)


# --- many -------------------------------------------------------------------------------------------------------


def _run(jobs: list[Job], processes: int, console: Console, *, stops_early: bool) -> tuple[Tally, bool]:
    """Run all jobs; an interrupt, or with `stops_early` a failing seed, ends it with what is finished."""
    tally = Tally()
    bar = Progress(
        TextColumn("[bold]simulation"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]} violations"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=2,  # the bar shares the cores with the seeds
    )
    pool = None
    try:
        if processes > 1:
            pool = multiprocessing.Pool(processes, initializer=_prepare_worker)
            results: Iterable[SeedResult] = pool.imap_unordered(run_seed, jobs, chunksize=CHUNK)
        else:
            results = map(run_seed, jobs)
        with bar:
            task = bar.add_task("", total=len(jobs), found=0)
            for result in results:
                tally.add(result)
                bar.update(task, advance=1, found=tally.violations)
                if stops_early and tally.failing:
                    return tally, False
    except KeyboardInterrupt:
        console.print(f"interrupted after {tally.seeds} of {len(jobs)} seeds")
        return tally, False
    finally:
        if pool is not None:
            pool.terminate()
            pool.join()
    return tally, True


def _prepare_worker() -> None:
    """Leave interrupts to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _report(tally: Tally, wall_s: float, job: Job, console: Console) -> None:
    table = Table(title="Simulation", show_header=False)
    table.add_row("seeds run", f"{tally.seeds:,} of {job.minutes} simulated minutes")
    table.add_row("simulated days", f"{tally.days:,.2f}")
    table.add_row("faults injected", f"{tally.faults.total():,}")
    for kind, count in tally.faults.most_common():
        table.add_row(f"  {kind}", f"{count:,}")
    table.add_row("invariant checks", f"{tally.checks.total():,}")
    for name, count in sorted(tally.checks.items()):
        table.add_row(f"  {name}", f"{count:,}")
    table.add_row("trades closed", f"{tally.trades:,}")
    table.add_row("process starts", f"{tally.starts:,}")
    table.add_row("violations", f"{tally.violations:,} in {len(tally.failing)} seeds")
    table.add_row("wall time", f"{wall_s:,.1f} s ({tally.cpu_s:,.1f} s of processor time)")
    console.print(table)
    for seed, found in sorted(tally.failing.items())[:SHOWN_MAX]:
        console.print(f"seed {seed}: {len(found)} violations", markup=False)
        for text in found[:3]:
            console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  replay: {Job(seed, job.minutes, job.hedge).replay_command()}", markup=False, soft_wrap=True)
    print(json.dumps(tally.to_row(wall_s)))


# --- one --------------------------------------------------------------------------------------------------------


def _replay(job: Job, log: Path | None, console: Console) -> int:
    """Run one seed again and write its log; what it found stands at the log's end too."""
    world, watcher = job.run(trace=log is not None)
    lines = [*world.log, *(f"violation {text}" for text in world.violations)]
    if log is not None:
        log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        console.print(f"{len(lines)} lines written to {log}", soft_wrap=True)
    for text in world.violations:
        console.print(f"violation {text}", markup=False, highlight=False, soft_wrap=True)
    faults = world.faults_by_name().total()
    row = {"seed": job.seed, "faults": faults, "checks": watcher.checks.total(), "violations": len(world.violations)}
    print(json.dumps(row))
    return 1 if world.violations else 0


if __name__ == "__main__":
    sys.exit(main())
