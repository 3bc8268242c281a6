"""What the page of backtests shows: stored runs, several of them side by side, and their equity curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from dashboard.formatting import MINUS, NONE, percent, signed
from database.runs import RunBook
from database.tables import BacktestRunRow
from utils.side_by_side import differences, flatten
from utils.timefmt import duration, short, to_ms

LISTED, COMPARED_MAX = 50, 6
POINTS_MAX = 1_200
"""A curve is thinned to about so many points: no screen has more columns for it."""
SHA_SHOWN = 12
EQUITY_FILE = "equity.parquet"


@dataclass(frozen=True, slots=True)
class Run:
    """A stored backtest. `metrics` are those of `metrics.json`: money as exact text, the rest as numbers or None.

    `overwritten_by` is the later run whose files lie where this one's report lay, None where they are its own.
    """

    row: BacktestRunRow
    metrics: dict[str, Any]
    overwritten_by: int | None = None

    @property
    def number(self) -> int:
        assert self.row.id is not None
        return self.row.id

    @property
    def folder(self) -> Path:
        """Where the run's files lie: `report` names the page in it, or the folder itself."""
        path = Path(self.row.report)
        return path.parent if path.suffix == ".html" else path


@dataclass(frozen=True, slots=True)
class Curve:
    """Equity of a run in percent of its deposit, less 100: where it stood above (or below) its start."""

    name: str
    time_ms: tuple[int, ...]
    gain_pct: tuple[float, ...]


def runs(book: RunBook, strategy: str | None = None) -> list[Run]:
    """Return the newest runs, newest first."""
    return [Run(row, json.loads(row.metrics)) for row in book.runs(strategy, limit=LISTED)]


def chosen(book: RunBook, numbers: Sequence[int]) -> list[Run]:
    """Return these runs in this order, with what became of their files."""
    rows = [book.run(number) for number in numbers]
    return [Run(row, json.loads(row.metrics), book.overwritten_by(row)) for row in rows]


def side_by_side(compared: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return a row of text for each number of the runs: its name, then the value of each."""
    return [(label, *(tell(run.metrics) for run in compared)) for label, tell in _NUMBERS]


def apart(compared: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return a row for all in which the runs differ: data, code, parameters, settings."""
    return differences(
        [{**_facts(run), **_flat(run.row.parameters), **_flat(run.row.settings)} for run in compared],
    )


def curve(run: Run) -> Curve | str:
    """Return the equity of a run from the file in its folder, or why there is none to show."""
    if run.overwritten_by is not None:
        return f"backtest {run.overwritten_by} wrote into the same folder"
    path = run.folder / EQUITY_FILE
    try:
        table = parquet.read_table(path, columns=["time_ms", "equity"])
        time_ms, equity = table["time_ms"].to_numpy(), table["equity"].to_numpy()
        deposit = float(run.metrics["deposit"])
    except FileNotFoundError:
        return f"{path} is gone"
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        return f"{path} cannot be read ({type(error).__name__})"
    if not len(equity) or deposit <= 0:
        return f"{path} is empty"
    at = thinned(equity)
    return Curve(
        f"#{run.number} {run.row.strategies}",
        tuple(int(time) for time in time_ms[at]),
        tuple(float(value) for value in 100 * (equity[at] / deposit - 1)),
    )


def thinned(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the places to draw: the lowest and the highest value of each stretch, so that no dip is lost."""
    if len(values) <= POINTS_MAX:
        return np.arange(len(values), dtype=np.int64)
    edges = np.linspace(0, len(values), POINTS_MAX // 2 + 1).astype(np.int64)
    places = [0, len(values) - 1]
    for start, end in pairwise(edges):
        places += [start + int(np.argmin(values[start:end])), start + int(np.argmax(values[start:end]))]
    return np.unique(np.array(places, dtype=np.int64))


def sharpe(metrics: dict[str, Any]) -> str:
    return _ratio(metrics.get("sharpe"))


def drawdown(metrics: dict[str, Any]) -> str:
    return _share(metrics.get("max_drawdown_pct"))


def _flat(text: str) -> dict[str, str]:
    return flatten(json.loads(text))


def _facts(run: Run) -> dict[str, str]:
    row = run.row
    return {
        "strategies": row.strategies,
        "symbols": row.symbols,
        "from": short(to_ms(row.start_time)),
        "to": short(to_ms(row.end_time)),
        "stopped early": "no" if row.is_complete else "yes",
        "data": row.data_source,
        "data SHA-256": row.data_sha256[:SHA_SHOWN],
        "code": row.code_version,
    }


# --- numbers as people read them --------------------------------------------------------------------------------------


def _money(value: Any) -> str:
    return NONE if value is None else signed(Decimal(str(value)))


def _ratio(value: Any) -> str:
    return NONE if value is None else f"{float(value):,.2f}".replace("-", MINUS)


def _share(value: Any, *, sign: bool = False) -> str:
    return NONE if value is None else percent(Decimal(str(value)) / 100, sign=sign)


def _count(value: Any) -> str:
    return NONE if value is None else f"{int(value):,}"


def _time(minutes: Any) -> str:
    return NONE if minutes is None else duration(round(float(minutes) * 60_000))


def _won(metrics: dict[str, Any]) -> str:
    rate, low, high = (metrics.get(f"win_rate{part}_pct") for part in ("", "_low", "_high"))
    if rate is None or low is None or high is None:
        return NONE
    return f"{rate:.1f} % ({low:.0f} to {high:.0f})"


_NUMBERS = (
    ("Net", lambda m: _money(m.get("net_pnl"))),
    ("Return", lambda m: _share(m.get("return_pct"), sign=True)),
    ("A year", lambda m: _share(m.get("cagr_pct"), sign=True)),
    ("Sharpe", sharpe),
    ("Sortino", lambda m: _ratio(m.get("sortino"))),
    ("Calmar", lambda m: _ratio(m.get("calmar"))),
    ("Max drawdown", drawdown),
    ("Trades", lambda m: _count(m.get("trades"))),
    ("Won (95 %)", _won),
    ("Profit factor", lambda m: _ratio(m.get("profit_factor"))),
    ("Expectancy, R", lambda m: _ratio(m.get("expectancy_r"))),
    ("Holding time", lambda m: _time(m.get("average_hold_minutes"))),
    ("Time in market", lambda m: _share(m.get("time_in_market_pct"))),
    ("Fees", lambda m: _money(m.get("fees")).removeprefix("+")),
    ("Slippage", lambda m: _money(m.get("slippage")).removeprefix("+")),
    ("Funding", lambda m: _money(m.get("funding"))),
    ("Signals denied", lambda m: _count(m.get("signals_denied"))),
    ("Ambiguous exits", lambda m: _count(m.get("ambiguous_exits"))),
)
