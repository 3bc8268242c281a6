"""What a replay came to, as numbers. Every formula is in docs/backtest.md; money comes from exact sums.

Ratios are of daily returns (UTC days, equity at the end of each), annualised with 365 days, risk-free rate 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

import numpy as np

from backtest.equity import EquityCurve, FloatArray
from backtest.replay import ReplayResult
from backtest.trades import BacktestTrade
from core.candle import DAY_MS

YEAR_DAYS = 365.0
_Z = 1.959963984540054
"""Of the normal distribution: 95 % of it lies within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Money as exact decimal text, ratios as floats; None where a number does not exist (no trade, a single day)."""

    start_time_ms: int
    end_time_ms: int
    candles: int
    deposit: str
    wallet: str
    net_pnl: str
    gross_pnl: str
    fees: str
    slippage: str
    funding: str
    open_pnl: float
    return_pct: float
    cagr_pct: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown_pct: float
    max_drawdown_days: float
    trades: int
    open_trades: int
    wins: int
    losses: int
    win_rate_pct: float | None
    win_rate_low_pct: float | None
    win_rate_high_pct: float | None
    profit_factor: float | None
    expectancy_r: float | None
    average_hold_minutes: float | None
    turnover: str
    time_in_market_pct: float
    ambiguous_exits: int
    finer_exits: int
    signals: int
    signals_skipped: int
    signals_denied: int

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def measure(result: ReplayResult, curve: EquityCurve, candles: int) -> Metrics:
    """Return the numbers of a replay that played so many candles."""
    closed = [trade for trade in result.trades if trade.is_closed]
    wins = sum(trade.pnl > 0 for trade in closed)
    losses = sum(trade.pnl < 0 for trade in closed)
    low, high = wilson_interval(wins, len(closed))
    gross_gain = sum((trade.pnl for trade in closed if trade.pnl > 0), Decimal(0))
    gross_loss = -sum((trade.pnl for trade in closed if trade.pnl < 0), Decimal(0))
    fees, funding = _total(result.trades, "fee"), _total(result.trades, "funding")
    net = result.wallet - result.deposit
    deposit, end = float(result.deposit), float(curve.equity[-1])
    days = (int(curve.time_ms[-1]) - int(curve.time_ms[0])) / DAY_MS
    growth = end / deposit if deposit > 0 else 0.0
    cagr = yearly(growth, days)
    depth, length_ms = drawdown(curve, deposit)
    sharpe, sortino = ratios(curve, deposit)
    holds = [trade.exit_time_ms - trade.entry_time_ms for trade in closed if trade.exit_time_ms is not None]
    return Metrics(
        start_time_ms=int(curve.time_ms[0]) - 60_000,
        end_time_ms=int(curve.time_ms[-1]),
        candles=candles,
        deposit=str(result.deposit),
        wallet=str(result.wallet),
        net_pnl=str(net),
        gross_pnl=str(net + fees - funding),
        fees=str(fees),
        slippage=str(_total(result.trades, "slippage")),
        funding=str(funding),
        open_pnl=end - float(result.wallet),
        return_pct=100 * (growth - 1),
        cagr_pct=None if cagr is None else 100 * cagr,
        sharpe=sharpe,
        sortino=sortino,
        calmar=cagr / depth if cagr is not None and depth > 0 else None,
        max_drawdown_pct=100 * depth,
        max_drawdown_days=length_ms / DAY_MS,
        trades=len(closed),
        open_trades=len(result.trades) - len(closed),
        wins=wins,
        losses=losses,
        win_rate_pct=100 * wins / len(closed) if closed else None,
        win_rate_low_pct=None if low is None else 100 * low,
        win_rate_high_pct=None if high is None else 100 * high,
        profit_factor=float(gross_gain / gross_loss) if gross_loss else None,
        expectancy_r=sum(trade.r_multiple for trade in closed) / len(closed) if closed else None,
        average_hold_minutes=sum(holds) / len(holds) / 60_000 if holds else None,
        turnover=str(sum((trade.turnover for trade in result.trades), Decimal(0))),
        time_in_market_pct=100 * float(np.count_nonzero(curve.exposure)) / len(curve.exposure),
        ambiguous_exits=result.ambiguous_exits,
        finer_exits=result.finer_exits,
        signals=result.signals + result.skipped,
        signals_skipped=result.skipped,
        signals_denied=sum(result.denials.values()),
    )


def wilson_interval(wins: int, trades: int) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the win rate (Wilson 1927), fractions; None without trades."""
    if not trades:
        return None, None
    rate, z2 = wins / trades, _Z * _Z
    centre = (rate + z2 / (2 * trades)) / (1 + z2 / trades)
    half = _Z / (1 + z2 / trades) * math.sqrt(rate * (1 - rate) / trades + z2 / (4 * trades * trades))
    return max(0.0, centre - half), min(1.0, centre + half)


def daily_returns(curve: EquityCurve, deposit: float) -> FloatArray:
    """Return the return of each UTC day against the end of the day before, the first against the deposit."""
    _, equity = curve.daily()
    before = np.concatenate(([deposit], equity[:-1]))
    returns: FloatArray = np.divide(equity - before, before, out=np.zeros_like(equity), where=before > 0)
    return returns


def ratios(curve: EquityCurve, deposit: float) -> tuple[float | None, float | None]:
    """Return (Sharpe, Sortino); None with fewer than two days or without any deviation."""
    returns = daily_returns(curve, deposit)
    if len(returns) < 2:
        return None, None
    mean, scale = float(returns.mean()), math.sqrt(YEAR_DAYS)
    deviation = float(returns.std(ddof=1))
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return (
        mean / deviation * scale if deviation > 0 else None,
        mean / downside * scale if downside > 0 else None,
    )


def yearly(growth: float, days: float) -> float | None:
    """Return the growth of a year at this pace as a fraction, None below a day or where a float cannot hold it."""
    if days < 1 or growth <= 0:
        return None
    try:
        return float(growth ** (YEAR_DAYS / days) - 1)
    except OverflowError:  # tenfold in a day: no pace that lasts
        return None


def drawdown(curve: EquityCurve, deposit: float) -> tuple[float, int]:
    """Return the deepest fall from a peak (a fraction of it) and the longest time below one, in ms."""
    peaks = np.maximum(np.maximum.accumulate(curve.equity), deposit)
    depth = float(((peaks - curve.equity) / peaks).max()) if deposit > 0 else 0.0
    at_peak = np.flatnonzero(curve.equity >= peaks)
    edges = np.concatenate(([-1], at_peak, [len(peaks)]))
    return max(0.0, depth), int((np.diff(edges) - 1).max()) * 60_000


def drawdown_curve(curve: EquityCurve, deposit: float) -> FloatArray:
    """Return the fall from the highest equity so far, in percent (0 or negative)."""
    peaks = np.maximum(np.maximum.accumulate(curve.equity), deposit)
    falls: FloatArray = 100 * (curve.equity - peaks) / peaks
    return falls


def _total(trades: Sequence[BacktestTrade], name: str) -> Decimal:
    return sum((getattr(trade, name) for trade in trades), Decimal(0))
