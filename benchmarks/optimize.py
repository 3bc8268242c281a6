"""How long an optimisation takes: 1,000 trials of `vwap_reversion` on a month of one symbol, on two cores.

    uv run python -m benchmarks.optimize [--trials 1000] [--jobs 2] [--days 30] [--runs 1]

Each trial is a whole backtest of the month through the full executor; the study is kept in a journal file. Measured
from the loaded candles to the last trial told, workers' start included, once with pruning (the default) and once
without. Ends with one line of JSON: medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from backtest.optimize.objectives import OBJECTIVES
from backtest.optimize.pool import Pool
from backtest.optimize.space import Dimension, Space
from backtest.optimize.storage import open_storage
from backtest.optimize.study import Plan, open_study, rows_of, search
from backtest.optimize.trial import World
from backtest.parameters import active_strategies
from backtest.settings import ReplaySettings
from benchmarks.backtest import ROOT, config_for, market
from core.clock import SystemClock

TARGET_S = 60.0
"""For 1,000 trials."""
SPACE = Space(
    (
        Dimension("k", low=1.5, high=3.5, step=0.1),
        Dimension("adx_window", is_whole=True, low=7, high=40),
        Dimension("adx_max", low=12, high=35),
        Dimension("target_pct", low=0.3, high=1.5, step=0.05),
        Dimension("stop_pct", low=0.15, high=0.8, is_log=True),
    )
)


def measure(world: World, trials: int, jobs: int, *, prunes: bool) -> dict[str, float]:
    """Run one study and return its seconds and what it was made of."""
    plan = Plan(SPACE, world.objectives, trials, world.start_ms, world.end_ms, prunes=prunes, jobs=jobs)
    with tempfile.TemporaryDirectory() as folder:
        start, own, workers = time.perf_counter(), time.process_time(), _children_s()
        with Pool(world, jobs) as pool:
            study = open_study(open_storage(str(Path(folder) / "study.journal")), "benchmark", plan, {})
            search(study, plan, pool.run, now_ms=SystemClock().wall_ms)
        seconds, own = time.perf_counter() - start, time.process_time() - own
        rows = rows_of(study, SPACE)
    trades = sum(row.result.get("trades", 0) for row in rows)
    return {
        "seconds": seconds,
        "cpu_seconds": own + _children_s() - workers,
        "optuna_cpu_seconds": own,
        "trials": len(rows),
        "pruned": sum(row.state == "pruned" for row in rows),
        "trades": trades,
    }


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    candles = market("BTCUSDT", options.days, seed=1)
    active = tuple(active_strategies(ROOT, ["vwap_reversion"], ["BTCUSDT"]))
    settings = ReplaySettings(deposit=Decimal(100_000))
    world = World((candles,), active, config_for("BTCUSDT"), settings, (OBJECTIVES["sharpe"],), 10)
    slowest = 0.0
    result: dict[str, object] = {"days": options.days, "jobs": options.jobs, "runs": options.runs}
    for name, prunes in (("with_pruning", True), ("without_pruning", False)):
        runs = [measure(world, options.trials, options.jobs, prunes=prunes) for _ in range(options.runs)]
        found = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        result[name] = found
        slowest = max(slowest, found["seconds"])
        sys.stdout.write(
            f"{name:18} {found['trials']:6,.0f} trials {found['seconds']:8.2f} s  pruned {found['pruned']:,.0f}, "
            f"trades {found['trades']:,.0f}, CPU {found['cpu_seconds']:.1f} s, of which Optuna "
            f"{found['optuna_cpu_seconds']:.1f} s\n"
        )
        sys.stdout.flush()
    sys.stdout.write(json.dumps(result) + "\n")
    sys.exit(int(slowest * 1_000 / options.trials > TARGET_S))


if __name__ == "__main__":
    main()
