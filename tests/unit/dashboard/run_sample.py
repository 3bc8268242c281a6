"""Stored backtests as they could have been, with their files: seeded, for tests and pictures."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from backtest.equity import EquityCurve
from backtest.output import write_equity
from core.clock import VirtualClock
from database.runs import add_run
from database.tables import BacktestRunRow
from utils.timefmt import to_datetime

T0 = 1_746_057_600_000  # 2025-05-01
MINUTE, DAY = 60_000, 86_400_000
DEPOSIT = 10_000.0


def write_runs(url: str, folder: Path, count: int = 3, days: int = 30, strategy: str = "vwap_reversion") -> list[int]:
    """Store runs and write their curves; return their numbers, oldest first."""
    return [write_run(url, folder / f"run-{n}", n, days, strategy) for n in range(count)]


def write_run(url: str, out: Path, seed: int, days: int = 30, strategy: str = "vwap_reversion", **changes: Any) -> int:
    """Store one run of its own parameters and curve; `changes` replace columns of its row."""
    random = np.random.default_rng(seed)
    minutes = days * 1_440
    steps = np.where(random.random(minutes) < 0.003, random.normal(0.9, 14, minutes), 0.0)
    equity = DEPOSIT + np.cumsum(steps)
    out.mkdir(parents=True, exist_ok=True)
    times = T0 + MINUTE * np.arange(1, minutes + 1, dtype=np.int64)
    write_equity(out / "equity.parquet", EquityCurve(times, equity, np.zeros(minutes)))
    net = Decimal(str(round(equity[-1] - DEPOSIT, 8)))
    row = BacktestRunRow(
        created_time=to_datetime(T0 + 60 * DAY + seed * 7_300_000),
        duration_ms=2_150,
        is_complete=True,
        strategies=strategy,
        symbols="BTCUSDT" if seed % 2 == 0 else "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT",
        start_time=to_datetime(T0),
        end_time=to_datetime(T0 + days * DAY),
        net_pnl=net,
        parameters=json.dumps({"BTCUSDT": {strategy: {"k": 2.0 + seed / 10, "adx_max": 20, "interval": "1m"}}}),
        settings=json.dumps({"settings": {"slippage_bps": str(seed % 2), "deposit": "10000"}}),
        metrics=json.dumps(_metrics(net, equity, seed)),
        data_source="data",
        data_sha256=f"{seed % 2:02x}" * 32,
        code_version="0.1.0 0123456789ab",
        report=str(out / "report.html"),
    )
    for name, value in changes.items():
        setattr(row, name, value)
    return add_run(url, row, environment="sim", clock=VirtualClock(T0))


def _metrics(net: Decimal, equity: Any, seed: int) -> dict[str, Any]:
    peak = np.maximum.accumulate(equity)
    return {
        "deposit": "10000",
        "net_pnl": str(net),
        "return_pct": float(net) / 100,
        "cagr_pct": float(net) / 8,
        "sharpe": None if seed == 9 else 1.25 - seed,
        "sortino": 1.9 - seed,
        "calmar": 0.8 - seed,
        "max_drawdown_pct": float((100 * (1 - equity / peak)).max()),
        "trades": 84 + seed,
        "win_rate_pct": 41.2,
        "win_rate_low_pct": 31.4,
        "win_rate_high_pct": 51.9,
        "profit_factor": 1.08,
        "expectancy_r": 0.03,
        "average_hold_minutes": 47.25,
        "time_in_market_pct": 11.4,
        "fees": "61.20",
        "slippage": "0",
        "funding": "-1.75",
        "signals_denied": 2,
        "ambiguous_exits": 1,
    }
