"""A few days of a seeded market, and what a search over them needs."""

from __future__ import annotations

import functools
from decimal import Decimal
from pathlib import Path
from typing import Any

from backtest.candles import ReplayCandles
from backtest.optimize.objectives import objectives_of
from backtest.optimize.space import Dimension, Space
from backtest.optimize.study import Plan, Row, open_study, rows_of, search
from backtest.optimize.trial import Bench, Runner, World
from backtest.parameters import active_strategies
from backtest.settings import ReplaySettings
from benchmarks.backtest import ROOT, config_for, market

NOW_MS = 1_800_000_000_000
SPACE = Space(
    (
        Dimension("k", low=1.2, high=2.4, step=0.2),
        Dimension("adx_max", low=15, high=40),
        Dimension("stop_pct", low=0.2, high=0.6, is_log=True),
    )
)
GRID = Space((Dimension("k", low=1.0, high=2.0, step=0.5), Dimension("adx_window", is_whole=True, low=10, high=13)))


@functools.cache
def candles(days: int = 2, seed: int = 3) -> ReplayCandles:
    return market("BTCUSDT", days, seed)


def world(objective: str = "net_pnl", days: int = 2, trades_min: int = 1, **params: Any) -> World:
    overrides = [f"{name}={value}" for name, value in params.items()]
    active = tuple(active_strategies(ROOT, ["vwap_reversion"], ["BTCUSDT"], overrides))
    settings = ReplaySettings(deposit=Decimal(100_000))
    return World((candles(days),), active, config_for("BTCUSDT"), settings, objectives_of(objective), trades_min)


def plan_for(one: World, space: Space = SPACE, **more: Any) -> Plan:
    return Plan(**{"space": space, "objectives": one.objectives, "trials": 16, "start_ms": one.start_ms,
                   "end_ms": one.end_ms, "prunes": False, **more})  # fmt: skip


def runner(one: World) -> Runner:
    bench = Bench(one)
    return lambda tasks: [bench.run(task) for task in tasks]


def searched(one: World, plan: Plan, storage: Any = None, run: Runner | None = None, **more: Any) -> list[Row]:
    """Search, and return the trials."""
    study = open_study(storage, "study", plan, {"of": "a test"})
    search(study, plan, run or runner(one), now_ms=lambda: NOW_MS, **more)
    return rows_of(study, plan.space)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
