"""The live path under load: the real trader at the real exchange protocol over sockets, 263 symbols.

    uv run python -m benchmarks.live_path [--quick] [--minutes N] [--speed-minutes N] [--symbols N]

First at speed 1, where latencies count: from the arrival of the candle that closed to the order on the wire, a frame's
handling, the event loop's lag, memory. Then at speed 60, where 263 candles close every second: nothing may be lost.
Both runs end with the comparison of the database with the exchange's own klines and journal. Latencies are read from
the trader's heartbeat, which counts from the end of its start on; percentiles are exact to 4 %.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.trading_run import Load, RunFailed, TradingRun, json_line, resident_mb
from benchmarks.truth import MINUTE_MS, Books, Compared, close_to_match_ms, compare_candles, compare_fills
from benchmarks.truth import compare_orders as compare_order_ends

SYMBOLS = 263
ENTRIES = 30
"""In one close: a market-wide move, far more than the shipped strategy makes on a usual minute. Nearly all symbols
signal, and there is room for so many positions."""
SCATTERED_K = 2.7
"""With `--scattered` about so many symbols signal as otherwise get a position, anywhere in the close, and there is room
for all: no order is the last before the last candle was looked at."""
MARKET_START = "2026-01-03T04:00"
SAMPLE_EVERY_S = 5.0
SETTLED_S = 1.0
"""What happened at the exchange less than this before the last look may still be under way."""
WARM_MEMORY_S = 60.0
"""Caches fill in the first minute; the slope is counted from there, in a quick run from its middle."""

TARGETS_MS = {"frame_to_order": 50.0, "message": 5.0, "loop_lag": 20.0}
MEMORY_MB_MAX = 500.0
GROWTH_MB_MAX = 25.0
"""Over ten minutes at the slope measured: 5 % of what is allowed counts as flat."""


@dataclass
class Watched:
    """What was seen of a run: heartbeats first and last, memory by second, the machine's load."""

    first: dict[str, Any]
    last: dict[str, Any]
    start_up_s: float
    memory: list[tuple[float, float]] = field(default_factory=list)
    load: list[float] = field(default_factory=list)

    @property
    def memory_mb_max(self) -> float:
        return max(megabytes for _, megabytes in self.memory)

    def growth_mb(self) -> float:
        """Growth over ten minutes at the least-squares slope of the warm part."""
        length_s = self.memory[-1][0]
        warm = [sample for sample in self.memory if sample[0] >= min(WARM_MEMORY_S, length_s / 2)]
        return slope(warm) * 600 if len(warm) > 2 else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of y over x."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def watch(run: TradingRun, seconds: float) -> Watched:
    """Look at a running trader for `seconds` of being ready, then stop it."""
    first = run.wait_until_warm()
    began_s = time.monotonic()
    seen = Watched(first, first, run.start_up_s)
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        seen.memory.append((elapsed_s, resident_mb(run.trader_pid)))
        seen.load.append(os.getloadavg()[0])
        seen.last = run.heartbeat()
        time.sleep(SAMPLE_EVERY_S)
    seen.last = run.heartbeat()
    run.stop_trader()
    return seen


def compare(run: TradingRun, seen: Watched) -> dict[str, Compared]:
    """Hold candles, fills and ends of orders in the database against the exchange, for the time that was watched."""
    until_ms = int(seen.last["venue_time_ms"] - SETTLED_S * 1000 * run.load.speed)
    first_ms = seen.first["venue_time_ms"] // MINUTE_MS * MINUTE_MS
    last_ms = until_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS
    books = Books(run.database)
    try:
        return {
            "candles": compare_candles(books, run.rest_url, first_ms, last_ms),
            "fills": compare_fills(books, run.journal, until_ms),
            "order_ends": compare_order_ends(books, run.journal, until_ms),
        }
    finally:
        books.close()


def show_stages(seen: Watched, run: TradingRun) -> None:
    print(f"{'stage (ms)':<34}{'p50':>10}{'p99':>10}{'max':>10}{'count':>10}{'target p99':>12}")
    for stage, row in seen.last["latency"].items():
        target = TARGETS_MS.get(stage)
        shown = f"<= {target:g}" if target is not None and run.load.speed == 1 else ""
        print(f"{stage:<34}{row['p50']:>10.3f}{row['p99']:>10.3f}{row['max']:>10.3f}{row['count']:>10}{shown:>12}")
    venue = seen.last["venue"]
    trips = f"{venue['p50_ms']:>10.3f}{venue['p99_ms']:>10.3f}{venue['max_ms']:>10.3f}{venue['count']:>10}"
    print(f"{'order_round_trip':<34}{trips}")


def figures(run: TradingRun, seen: Watched, compared: dict[str, Compared]) -> dict[str, Any]:
    """Return everything that was measured of one run, as plain numbers."""
    found: dict[str, Any] = {
        "symbols": run.load.symbols,
        "speed": run.load.speed,
        "start_up_s": round(seen.start_up_s, 1),
        "watched_s": round(seen.memory[-1][0]),
        "latency_ms": seen.last["latency"],
        "memory_mb_max": round(seen.memory_mb_max, 1),
        "memory_growth_mb_per_10_min": round(seen.growth_mb(), 1),
        "load_median": sorted(seen.load)[len(seen.load) // 2],
        "reconnects": seen.last["streams"]["market"]["reconnects"] + seen.last["streams"]["user"]["reconnects"],
        "rows_dropped": seen.last["database"]["rows_dropped"],
    }
    for name, result in compared.items():
        found[name] = {"expected": result.expected, "lost_or_different": len(result.wrong)}
    return found


def measure(load: Load, folder: Path, seconds: float) -> tuple[dict[str, Any], list[str]]:
    """Run once, print what was seen, and return the figures and what missed its target."""
    print(f"\n{load.symbols} symbols at speed {load.speed:g} for {seconds:.0f} s, logs in {folder}", flush=True)
    with TradingRun(load, folder) as run:
        seen = watch(run, seconds)
        compared = compare(run, seen)
        found = figures(run, seen, compared)
        show_stages(seen, run)
        misses = [result.text(name) for name, result in compared.items() if result.wrong or not result.expected]
        if load.speed == 1:
            books = Books(run.database)
            matched = close_to_match_ms(books)
            books.close()
            if matched:
                p50, p99 = matched[len(matched) // 2], matched[min(len(matched) - 1, int(len(matched) * 0.99))]
                found["close_event_to_match_ms"] = {"p50": p50, "p99": p99, "max": matched[-1], "count": len(matched)}
                row = f"{p50:>10}{p99:>10}{matched[-1]:>10}{len(matched):>10}"
                print(f"{'close event to match, by exchange':<34}{row}")
            misses += missed_targets(found)
    for name, result in compared.items():
        print(result.text(name))
    print(
        f"memory at most {found['memory_mb_max']} MB, growth {found['memory_growth_mb_per_10_min']} MB in 10 minutes; "
        f"ready after {found['start_up_s']} s; load {found['load_median']:.1f}; reconnects {found['reconnects']}",
        flush=True,
    )
    return found, misses


def missed_targets(found: dict[str, Any]) -> list[str]:
    """Return a line for every target of the run at speed 1 that was missed or not measured."""
    misses = []
    for stage, target in TARGETS_MS.items():
        row = found["latency_ms"].get(stage)
        if row is None or row["p99"] > target:
            misses.append(f"{stage}: p99 {row and row['p99']} ms, target {target:g} ms")
    if found["memory_mb_max"] > MEMORY_MB_MAX:
        misses.append(f"memory: {found['memory_mb_max']} MB, target {MEMORY_MB_MAX:g} MB")
    if found["memory_growth_mb_per_10_min"] > GROWTH_MB_MAX:
        misses.append(f"memory grows by {found['memory_growth_mb_per_10_min']} MB in 10 minutes")
    return misses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes at speed 1 (default 10)")
    parser.add_argument("--speed-minutes", type=float, default=2.0, help="minutes at speed 60 (default 2); 0: none")
    parser.add_argument("--quick", action="store_true", help="a look: 90 s at speed 1 and 20 s at speed 60")
    parser.add_argument("--symbols", type=int, default=SYMBOLS, help=f"generated symbols (default {SYMBOLS})")
    parser.add_argument(
        "--positions",
        type=int,
        default=ENTRIES,
        help=f"entries in each close at speed 1 (default {ENTRIES})",
    )
    parser.add_argument(
        "--scattered", action="store_true", help="entries anywhere in a close, with room for all symbols"
    )
    parser.add_argument("--folder", type=Path, default=None, help="keep logs and databases here")
    options = parser.parse_args()
    minutes, speed_minutes = (1.5, 1 / 3) if options.quick else (options.minutes, options.speed_minutes)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="live_path_"))
    result: dict[str, Any] = {"benchmark": "live_path"}
    misses: list[str] = []
    try:
        real_time = Load(options.symbols, 1, options.positions, 40_000, MARKET_START)
        if options.scattered:
            real_time = replace(real_time, positions=options.symbols, k=SCATTERED_K)
        result["speed_1"], missed = measure(real_time, folder / "speed_1", minutes * 60)
        misses += missed
        if speed_minutes:
            fast = Load(options.symbols, 60, 8, 300_000, MARKET_START)
            result["speed_60"], missed = measure(fast, folder / "speed_60", speed_minutes * 60)
            misses += missed
    except RunFailed as failure:
        misses.append(str(failure))
    result["missed"] = misses
    for miss in misses:
        print(f"MISSED {miss}")
    print(json_line(result))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
