"""Keeping a finished backtest in the database, after its results are written: nothing waits for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from core.clock import SystemClock
from core.errors import TraderError
from utils.timefmt import to_datetime

if TYPE_CHECKING:
    from backtest.run import Backtest
    from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Started:
    """When a run began, by a clock that goes on."""

    clock: SystemClock
    time_ms: int

    @classmethod
    def now(cls) -> Started:
        clock = SystemClock()
        return cls(clock, clock.now_ms())


def store_run(
    settings: Settings,
    started: Started,
    done: Backtest,
    out: Path,
    made_with: Mapping[str, Any],
    *,
    is_complete: bool,
    has_report: bool,
) -> int | None:
    """Store the run and tell its number. A database that cannot take it is told in one line: the files are there."""
    from database.runs import add_run
    from database.tables import BacktestRunRow

    metrics = done.metrics
    row = BacktestRunRow(
        created_time=to_datetime(started.time_ms),
        duration_ms=started.clock.now_ms() - started.time_ms,
        is_complete=is_complete,
        strategies=",".join(made_with["strategies"]),
        symbols=",".join(one.symbol for one in done.candles),
        start_time=to_datetime(metrics.start_time_ms),
        end_time=to_datetime(metrics.end_time_ms),
        net_pnl=Decimal(metrics.net_pnl),
        parameters=_json(made_with["parameters"]),
        settings=_json({name: made_with[name] for name in ("settings", "options", "limits")}),
        metrics=_json(metrics.as_dict()),
        data_source=made_with["data"],
        data_sha256=made_with["data_sha256"],
        code_version=made_with["code"],
        report=str((out / "report.html" if has_report else out).resolve()),
    )
    try:
        number = add_run(settings.db_url, row, environment=settings.mode.value, clock=started.clock)
    except TraderError as error:
        typer.secho(f"the run is not stored: {error}", err=True)
        return None
    typer.echo(f"stored as backtest {number}; main.py backtests show {number}")
    return number


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)
