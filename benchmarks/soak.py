"""A month in minutes: 30 virtual days, 50 symbols, a fault every five minutes, with the real database.

    uv run python -m benchmarks.soak [--days 30] [--symbols 50] [--fault-every-minutes 5]

Looks for what only shows in the long run: rows that get lost, memory that grows, a database that grows for no reason.
Every virtual day the fills of the day before are compared with the exchange's, and memory and tables are measured; at
the end wallet, positions, orders and candles must agree to the last digit. Two restarts of the trading core are among
the faults. Ctrl-C ends the run at the present minute and reports what it has seen.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.live_path import slope
from benchmarks.soak_check import SoakCheck, container_sizes
from benchmarks.soak_market import MINUTE_MS
from benchmarks.soak_tables import table_sizes
from benchmarks.soak_world import START_MS, Plan, SoakWorld
from benchmarks.trading_run import json_line, resident_mb
from core.candle import DAY_MS
from utils.logging import setup_logging

SLOPE_MB_MAX = 1.0
WARM_SHARE = 0.65
"""Bounded memories (known ids, recent trades) fill in the days after the last restart, at 30 % of the run: the slope
counts from this share of the run on."""
DAYS_MIN = 3
"""So many measured days make a slope."""
SETTLE_MS = 3 * MINUTE_MS
"""Funding may be paid at the last instant: the trader hears of it with the next comparison."""
GREW_MIN = 200
"""A collection that is longer than this and still grows is worth a look."""


@dataclass
class Days:
    """What was measured at the end of each virtual day."""

    memory: list[tuple[float, float]] = field(default_factory=list)
    tables: list[dict[str, tuple[int, int]]] = field(default_factory=list)
    containers: list[dict[str, int]] = field(default_factory=list)

    def slope_mb(self) -> float | None:
        """Least-squares growth a day of the warm part; None where the run was too short to tell."""
        warm = [(day, mb) for day, mb in self.memory if day >= WARM_SHARE * self.memory[-1][0]]
        return slope(warm) if len(warm) > DAYS_MIN else None

    def growth(self) -> dict[str, dict[str, int]]:
        """Rows and bytes a day of every table that grew, over the measured days."""
        first, last, days = self.tables[0], self.tables[-1], max(1, len(self.tables) - 1)
        return {
            name: {"rows": (rows - first[name][0]) // days, "bytes": (size - first[name][1]) // days}
            for name, (rows, size) in last.items()
            if rows > first[name][0]
        }

    def grew(self) -> dict[str, list[int]]:
        """Collections of the trader that became longer over the warm part of the run, with both lengths."""
        if len(self.containers) < 2:
            return {}
        before, last = self.containers[0], self.containers[-1]
        return {
            path: [before.get(path, 0), size]
            for path, size in sorted(last.items(), key=lambda item: -item[1])
            if size > GREW_MIN and size > 1.1 * before.get(path, 0)
        }


def soak(plan: Plan) -> tuple[dict[str, Any], list[str]]:
    """Run to the end (or Ctrl-C) and return the figures and what is wrong."""
    world = SoakWorld(plan)
    check, days = SoakCheck(world), Days()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    is_cut = False
    measure(world, days)
    try:
        while world.now_ms < world.end_ms:
            world.run_until(world.now_ms + MINUTE_MS)
            check.look()
            if world.now_ms - START_MS == int(plan.days * DAY_MS * WARM_SHARE) // MINUTE_MS * MINUTE_MS:
                take_census(world, days)
            if (world.now_ms - START_MS) % DAY_MS == 0 or world.now_ms == world.end_ms:
                end_of_day(world, check, days, time.monotonic() - began_s)
    except KeyboardInterrupt:
        is_cut = True
        print("stopped; reporting what was seen so far", flush=True)
    if not is_cut:
        world.run_until(world.now_ms + SETTLE_MS)
        check.compare_day(world.end_ms - DAY_MS, world.now_ms + 1)
        check.compare_end()
    take_census(world, days)
    found = figures(world, check, days)
    found |= {"wall_s": round(time.monotonic() - began_s, 1), "cpu_s": round(time.process_time() - began_cpu_s, 1)}
    world.disk.close()
    found["database_bytes"] = sum(f.stat().st_size for f in plan.folder.glob("trader.db*"))
    problems = list(check.problems)
    growth_mb = days.slope_mb()
    if growth_mb is not None and growth_mb >= SLOPE_MB_MAX:
        problems.append(f"memory grows by {growth_mb:.2f} MB a virtual day")
    return found | {"is_complete": not is_cut, "problems": problems}, problems


def end_of_day(world: SoakWorld, check: SoakCheck, days: Days, seconds: float) -> None:
    """Compare, forget what the configuration's defaults forget, measure, say one line."""
    if world.now_ms - 2 * DAY_MS >= START_MS:
        check.compare_day(world.now_ms - 2 * DAY_MS, world.now_ms - DAY_MS)
    world.disk.settle()
    world.disk.database.retention.run(world.now_ms, None)
    measure(world, days)
    day, megabytes = days.memory[-1]
    trades = days.tables[-1]["positions"][0]
    size_mb = sum(size for _, size in days.tables[-1].values()) / 1e6
    print(
        f"day {day:5.2f}: {seconds:6.1f} s, {megabytes:6.1f} MB resident, {size_mb:7.1f} MB database, {trades} trades, "
        f"{sum(world.faults.values())} faults, {check.checks} checks, {len(check.problems)} problems",
        flush=True,
    )


def measure(world: SoakWorld, days: Days) -> None:
    gc.collect()
    days.memory.append(((world.now_ms - START_MS) / DAY_MS, resident_mb(os.getpid())))
    days.tables.append(table_sizes(world.disk.path))


def take_census(world: SoakWorld, days: Days) -> None:
    days.containers.append(container_sizes(world.core, world.runner, world.alerts))


def figures(world: SoakWorld, check: SoakCheck, days: Days) -> dict[str, Any]:
    growth_mb = days.slope_mb()
    tables = days.growth()
    return {
        "benchmark": "soak",
        "virtual_days": round((world.now_ms - START_MS) / DAY_MS, 2),
        "symbols": len(world.symbols),
        "seed": world.plan.seed,
        "faults": sum(world.faults.values()),
        "faults_by_kind": dict(sorted(world.faults.items())),
        "core_starts": world.starts,
        "core_events": world.events,
        "trades": days.tables[-1]["positions"][0],
        "checks": check.checks,
        "memory_mb": {"first": round(days.memory[0][1], 1), "last": round(days.memory[-1][1], 1)},
        "memory_slope_mb_per_day": None if growth_mb is None else round(growth_mb, 3),
        "growth_per_day": tables,
        "growth_bytes_per_day": sum(row["bytes"] for row in tables.values()),
        "still_growing": days.grew(),
    }


def show_growth(found: dict[str, Any]) -> None:
    """Print the database's growth, table by table, the largest first."""
    print(f"{'table':<24}{'rows a day':>12}{'KB a day':>12}{'bytes a row':>12}")
    for name, row in sorted(found["growth_per_day"].items(), key=lambda item: -item[1]["bytes"]):
        print(f"{name:<24}{row['rows']:>12}{row['bytes'] / 1e3:>12.1f}{row['bytes'] / max(1, row['rows']):>12.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30.0, help="virtual days (default 30)")
    parser.add_argument("--symbols", type=int, default=50, help="contracts (default 50)")
    parser.add_argument("--fault-every-minutes", type=float, default=5.0, help="mean virtual time between faults")
    parser.add_argument("--seed", type=int, default=1, help="of market and faults (default 1)")
    parser.add_argument("--folder", type=Path, default=None, help="keep the database here")
    options = parser.parse_args()
    if not (options.days > 0 and options.symbols > 0 and options.fault_every_minutes > 0):
        parser.error("days, symbols and minutes must be above 0")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak_"))
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "trader.db").exists():
        parser.error(f"{folder} holds a run already; name an empty folder")
    setup_logging("INFO", folder, console=False, secrets=())  # faults by the thousand are told by the thousand
    try:
        plan = Plan(options.days, options.symbols, int(options.fault_every_minutes * MINUTE_MS), options.seed, folder)
        found, problems = soak(plan)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    show_growth(found)
    for problem in problems:
        print(f"WRONG {problem}")
    print(json_line(found))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
