"""Speed and memory of the backtest: a year of one-minute candles, one core, after imports.

    uv run python -m benchmarks.backtest [--runs 5] [--days 365]

The market is a seeded random walk with a daily rhythm of volatility and volume, so that every machine measures the same
work. Each case is run in turn, `--runs` times over; medians count, and every rate is also given as a ratio to the bare
columns (indicators and decisions without any execution) and to `plain_loop`. `cold_process` is the whole command, with
imports and a CSV file of the candles. One JSON line at the end holds all of it.

`plain_loop` is the machine's yardstick: the leanest honest loop over the same candles in plain Python floats, without
executor, exchange, decimals or records. Absolute rates differ threefold between machines; a rate divided by that of
`plain_loop` can be compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from math import inf, sqrt
from pathlib import Path

import numpy as np

from backtest.candles import MINUTE_MS, ReplayCandles, from_units
from backtest.parameters import active_strategies
from backtest.run import replay, run
from backtest.settings import ReplaySettings
from backtest.signals import decide
from core.candle import DAY_MS
from core.enums import Direction, PositionMode
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from simulator.market.catalog import CATALOG, generated_specs
from strategies.base import Decision, Indicators, Strategy, Values
from strategies.indicators import Adx, SessionVwap
from strategies.loader import ActiveStrategy
from strategies.params import StrategyParams

ROOT = Path(__file__).resolve().parent.parent / "strategies"
START_MS = 1_735_689_600_000  # 2025-01-01
DAY_MINUTES = 1_440
GROWTH_DAYS = 30


class PlainReversion(Strategy):
    """The rules of vwap_reversion as a user would write them: candle by candle, in plain Python."""

    name = "plain_reversion"

    def indicators(self) -> Indicators:
        return {"adx": Adx(14), ("vwap", "sd"): SessionVwap()}

    def decide(self, v: Values) -> Decision:
        if not v.adx < 20 or not v.sd > 0:
            return None
        if v.close < v.vwap - 2 * v.sd:
            return self.enter(Direction.LONG, stop_pct=Decimal("0.3"), target_pct=Decimal("0.6"))
        if v.close > v.vwap + 2 * v.sd:
            return self.enter(Direction.SHORT, stop_pct=Decimal("0.3"), target_pct=Decimal("0.6"))
        return None


Row = tuple[float, float, float, float, float, int]
"""open, high, low, close, volume, number of the UTC day."""


def plain_rows(candles: ReplayCandles) -> Iterator[Row]:
    """Return the candles as Python numbers, taken out of the columns a day at a time, so that no second copy stands."""
    one = candles.columns
    columns = (one.open, one.high, one.low, one.close, one.volume, one.open_time // DAY_MS)
    days = range(0, len(one), DAY_MINUTES)
    return chain.from_iterable(
        zip(*(column[start : start + DAY_MINUTES].tolist() for column in columns), strict=True) for start in days
    )


def plain_loop(rows: Iterator[Row], window: int = 14, quantity: float = 0.04, fee_rate: float = 0.0005) -> int:
    """Trade the rules of vwap_reversion in one loop, one position at a time; returns the number of trades.

    ADX by Wilder, VWAP of the UTC day with its volume-weighted deviation; entry at the next open, stop 0.3 % and target
    0.6 % from it, the stop first where a candle touches both. It waits as long as the strategy for its first decision,
    and in the year it makes as many trades; levels are not put on the tick grid.
    """
    keep, alpha, ready = 1.0 - 1.0 / window, 1.0 / window, Adx(window).warmup - 1
    previous_high, previous_low = inf, -inf  # the first candle moves nowhere
    rise = fall = adx = anchor = weight = first = second = entry = stop = target = wallet = 0.0
    today = side = waiting = trades = 0
    for count, (open_, high, low, close, volume, day) in enumerate(rows):
        if waiting:
            side, waiting, entry = waiting, 0, open_
            stop, target = entry * (1.0 - 0.003 * side), entry * (1.0 + 0.006 * side)
        if side:
            leaves = 0.0
            if (low <= stop) if side > 0 else (high >= stop):
                leaves = min(open_, stop) if side > 0 else max(open_, stop)
            elif (high >= target) if side > 0 else (low <= target):
                leaves = max(open_, target) if side > 0 else min(open_, target)
            if leaves:
                wallet += quantity * (side * (leaves - entry) - fee_rate * (leaves + entry))
                trades += 1
                side = 0
        up, down = high - previous_high, previous_low - low
        previous_high, previous_low = high, low
        share = alpha if count > window else 1.0 / (count or 1)  # the first mean is that of `window` values
        held = keep if count > window else 1.0 - share
        rise = rise * held + (up * share if up > down and up > 0.0 else 0.0)
        fall = fall * held + (down * share if down > up and down > 0.0 else 0.0)
        if count >= window:
            both = rise + fall
            share = alpha if count >= 2 * window else 1.0 / (count - window + 1)
            adx += ((100.0 * abs(rise - fall) / both if both else 0.0) - adx) * share
        typical = (high + low + close) / 3.0
        if day != today:
            today, anchor = day, typical
            weight = first = second = 0.0
        distance = typical - anchor
        moment = volume * distance
        weight += volume
        first += moment
        second += moment * distance
        if not side and adx < 20.0 and count >= ready and weight:
            mean = first / weight
            variance = second / weight - mean * mean
            if variance > 0.0:
                width, away = 2.0 * sqrt(variance), close - anchor - mean
                waiting = 1 if away < -width else -1 if away > width else 0
    return trades


def market(symbol: str, days: int, seed: int) -> ReplayCandles:
    """Return candles of `days` days around 68,250 with a tick of 0.1.

    One minute moves by 0.05 % (standard deviation) within a range of 0.06 %: what BTCUSDT did in May 2025.
    """
    rng = np.random.default_rng(seed)
    count = days * DAY_MINUTES
    rhythm = 1 + 0.5 * np.sin(2 * np.pi * np.arange(count) / DAY_MINUTES)
    moves = rng.standard_normal(count) * 0.0005 * rhythm
    # A weak pull back to the start keeps a year's walk in one order of magnitude.
    level, path = 0.0, np.empty(count)
    for index, move in enumerate(moves.tolist()):
        level += move - 0.00002 * level
        path[index] = level
    close = np.rint(682_500 * np.exp(path)).astype(np.int64)
    open_ = np.concatenate(([682_500], close[:-1])).astype(np.int64)
    reach = np.abs(rng.standard_normal((2, count))) * 0.00014 * rhythm * close
    high = np.maximum(open_, close) + np.rint(reach[0]).astype(np.int64)
    low = np.minimum(open_, close) - np.rint(reach[1]).astype(np.int64)
    volume = np.round(rng.gamma(2.0, 30.0, count) * rhythm, 3)
    times = START_MS + MINUTE_MS * np.arange(count, dtype=np.int64)
    spec = {one.symbol: one for one in generated_specs(60)}[symbol]
    listed = CATALOG["BTCUSDT"]
    made = type(spec)(
        **{name: getattr(listed, name) for name in spec.__slots__ if name != "instrument"},
        instrument=type(spec.instrument)(
            **{name: getattr(listed.instrument, name) for name in spec.instrument.__slots__ if name != "symbol"},
            symbol=symbol,
        ),
    )
    return from_units(symbol, made, 1, times, (open_, high, low, close), volume)


def config_for(*symbols: str, open_positions: int | None = None) -> TradingConfig:
    limits = RiskLimits(max_drawdown_fraction=None, max_daily_loss_fraction=None, min_balance=None)
    if open_positions is not None:
        limits = replace(limits, max_open_positions=open_positions, max_total_exposure_fraction=None)
    return TradingConfig(
        PositionMode.ONEWAY,
        "USDT",
        SizingPolicy(risk_usd=Decimal(10)),
        limits,
        {symbol: SymbolLimits(symbol) for symbol in symbols},
    )


def medians(cases: dict[str, Callable[[], int]], runs: int) -> dict[str, tuple[float, int]]:
    """Return the median seconds of each case and what it returned; the cases take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    results: dict[str, int] = {}
    for _ in range(runs):
        for name, case in cases.items():
            start = time.perf_counter()
            results[name] = case()
            seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(values), results[name]) for name, values in seconds.items()}


def growth_cases(
    count: int, days: int, settings: ReplaySettings
) -> tuple[dict[str, Callable[[], int]], dict[str, int]]:
    """Return one symbol and `count` symbols in one portfolio as cases, and the candles of each.

    All may hold positions at once, so that a candle means the same work in both.
    """
    symbols = [spec.symbol for spec in generated_specs(count)]
    markets = [market(symbol, days, seed) for seed, symbol in enumerate(symbols, 1)]
    strategies = active_strategies(ROOT, ["vwap_reversion"], symbols)
    config = config_for(*symbols, open_positions=count)

    def case(number: int) -> Callable[[], int]:
        return lambda: len(replay(markets[:number], strategies[:number], config, settings)[1].trades)

    names = {f"{days}_days_of_{number}": number for number in (1, count)}
    cases = {name: case(number) for name, number in names.items()}
    return cases, {name: sum(map(len, markets[:number])) for name, number in names.items()}


def cold_case(candles: ReplayCandles, folder: Path) -> Callable[[], int]:
    """Return the whole command as a case: from the shell, through a CSV file, to written trades."""
    prices = np.column_stack((candles.open, candles.high, candles.low, candles.close)) / 10**candles.decimals
    columns = (candles.open_time, *prices.T, candles.columns.volume)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    text = "".join("{},{:.1f},{:.1f},{:.1f},{:.1f},{}\n".format(*row) for row in rows)
    (folder / f"{candles.symbol}-1m.csv").write_text(text, encoding="ascii")
    out = folder / "out"
    command = [
        sys.executable, str(ROOT.parent / "main.py"), "backtest", "vwap_reversion", "--data", str(folder), "--no-risk",
        "--no-report", "--no-store", "--out", str(out),
    ]  # fmt: skip

    def case() -> int:
        subprocess.run(command, cwd=ROOT.parent, check=True, capture_output=True)
        return (out / "trades.csv").read_bytes().count(b"\n") - 1

    return case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--portfolio", type=int, default=10, help="symbols of the portfolio case; 0 leaves it out")
    parser.add_argument("--growth", type=int, default=50, help="symbols of the growth case; 0 leaves it out")
    options = parser.parse_args()
    settings = ReplaySettings(deposit=Decimal(100_000))
    one = market("BTCUSDT", options.days, seed=1)
    (gated,) = active_strategies(ROOT, ["vwap_reversion"], ["BTCUSDT"])
    plain = ActiveStrategy("plain_reversion", "BTCUSDT", PlainReversion, StrategyParams())
    config = config_for("BTCUSDT")
    cases: dict[str, Callable[[], int]] = {
        "plain_loop": lambda: plain_loop(plain_rows(one)),
        "columns_only": lambda: len(decide(gated, one).indices),
        "vwap_reversion": lambda: len(replay([one], [gated], config, settings)[1].trades),
        "vwap_reversion_with_metrics": lambda: run([one], [gated], config, settings).metrics.trades,
        "plain_python_strategy": lambda: len(replay([one], [plain], config, settings)[1].trades),
    }
    measured = medians(cases, options.runs)
    peak_one_mb = _peak_mb()
    candles = {name: len(one) for name in (*cases, "cold_process")}
    with tempfile.TemporaryDirectory() as folder:
        measured |= medians({"cold_process": cold_case(one, Path(folder))}, options.runs)
    if options.portfolio:
        symbols = [spec.symbol for spec in generated_specs(options.portfolio)]
        many = [market(symbol, options.days, seed) for seed, symbol in enumerate(symbols, 1)]
        strategies = active_strategies(ROOT, ["vwap_reversion"], symbols)
        shared = config_for(*symbols)
        name = f"portfolio_of_{options.portfolio}"
        case = {name: lambda: len(replay(many, strategies, shared, settings)[1].trades)}
        measured |= medians(case, options.runs)
        candles[name] = sum(map(len, many))
    growth = None
    if options.growth:
        cases, candles_of = growth_cases(options.growth, min(options.days, GROWTH_DAYS), settings)
        measured |= medians(cases, options.runs)
        candles |= candles_of
        first, last = (measured[name][0] / candles[name] for name in cases)
        growth = round(last / first, 2)
    base = measured["columns_only"][0] / candles["columns_only"]
    yardstick = candles["plain_loop"] / measured["plain_loop"][0]
    result = {
        "days": options.days,
        "runs": options.runs,
        "python": sys.version.split()[0],
        "peak_mb_one_symbol": peak_one_mb,
        "time_per_candle_growth": growth,
    }
    for name, (seconds, trades) in measured.items():
        rate = candles[name] / seconds
        result[name] = {
            "seconds": round(seconds, 4),
            "candles_per_s": round(rate),
            "times_columns_only": round(seconds / candles[name] / base, 2),
            "of_plain_loop": round(rate / yardstick, 3),
            "signals" if name == "columns_only" else "trades": trades,
        }
        of_loop = rate / yardstick
        sys.stdout.write(f"{name:30} {seconds:8.3f} s {rate:12,.0f} candles/s {of_loop:6.2f} x {trades:7,}\n")
    sys.stdout.write(json.dumps(result) + "\n")


def _peak_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


if __name__ == "__main__":
    main()
