"""The report: one self-contained HTML page that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from backtest.candles import ReplayCandles
from backtest.equity import EquityCurve
from backtest.metrics import Metrics, drawdown_curve
from backtest.page import BLUE, GREEN, GREY, RED, Section, layout, plotly_for, write_page
from backtest.summary import rows_of
from backtest.trades import BacktestTrade
from core.candle import DAY_MS
from core.enums import Direction
from utils.timefmt import day, to_datetime

POINTS_MAX = 3_000


def write_report(  # noqa: PLR0917 - everything that is shown
    path: Path,
    title: str,
    metrics: Metrics,
    trades: Sequence[BacktestTrade],
    curve: EquityCurve,
    candles: Sequence[ReplayCandles],
    notes: Iterable[str] = (),
    made_with: Mapping[str, Any] | None = None,
) -> None:
    """Write the page. Curves are thinned to a few thousand points, which keep the extremes of what they leave out.

    `made_with` is what metrics.json has under `run`.
    """
    go = plotly_for(path)
    deposit = float(metrics.deposit)
    sections = [
        ("Equity and drawdown", "", _equity(go, curve, deposit)),
        ("Monthly returns", "Percent of the equity at the start of each month.", _months(go, curve, deposit)),
        (
            "Distribution of R",
            "Net result of each trade over what was planned to be lost at its stop.",
            _r_multiples(go, trades),
        ),
        *[(f"Trades on {one.symbol}", "", _chart(go, one, trades)) for one in candles],
        ("By hour", "Net result by the UTC hour of the entry.", _by_hour(go, trades)),
        ("By symbol", "", _by_symbol(go, trades)),
        ("Exposure", "Open notional over time.", _exposure(go, curve)),
        ("From gross to net", "What fees, slippage and funding made of the result.", _costs(go, metrics)),
    ]
    shown = [Section(*section) for section in sections] + _made_with(made_with or {})
    span = f"{day(metrics.start_time_ms)} to {day(metrics.end_time_ms)}, UTC"
    write_page(path, title, (span, *notes), rows_of(metrics), shown)


def _made_with(run: Mapping[str, Any]) -> list[Section]:
    """Return the tables of what the result was made with: data and settings, and each strategy's parameters."""
    facts = {"data": run.get("data"), "data SHA-256": run.get("data_sha256"), "code": run.get("code")}
    facts |= run.get("settings", {}) | run.get("options", {})
    rows = [(str(name), str(value)) for name, value in facts.items() if value not in (None, False)]
    found = {
        f"{symbol} {strategy}" if len(strategies) > 1 else symbol: parameters
        for symbol, strategies in run.get("parameters", {}).items()
        for strategy, parameters in strategies.items()
    }
    sections = [Section("Made with", table=[("setting", "value"), *rows])] if rows else []
    if found:
        names = dict.fromkeys(name for parameters in found.values() for name in parameters)
        table = [(name, *(_text(parameters.get(name)) for parameters in found.values())) for name in names]
        sections.append(Section("Parameters", table=[("parameter", *found), *table]))
    return sections


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _times(values: Iterable[int]) -> list[Any]:
    return [to_datetime(int(value)).replace(tzinfo=None) for value in values]


def _thin(curve: EquityCurve, deposit: float) -> np.ndarray:
    """Return the points to draw: of each stretch its lowest and highest equity."""
    count = len(curve.equity)
    if count <= POINTS_MAX:
        return np.arange(count)
    edges = np.linspace(0, count, POINTS_MAX // 2 + 1).astype(int)
    chosen = {0, count - 1}
    for start, end in pairwise(edges.tolist()):
        part = curve.equity[start:end]
        chosen |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(chosen))


def _equity(go: Any, curve: EquityCurve, deposit: float) -> Any:
    at = _thin(curve, deposit)
    times = _times(curve.time_ms[at])
    falls = drawdown_curve(curve, deposit)[at]
    figure = go.Figure()
    figure.add_scatter(x=times, y=curve.equity[at].tolist(), name="equity", line={"color": BLUE, "width": 1.5})
    figure.add_scatter(
        x=times, y=falls.tolist(), name="drawdown %", yaxis="y2", fill="tozeroy", line={"color": RED, "width": 1}
    )
    axes = {
        "yaxis": {"domain": [0.34, 1], "title": "USDT", "tickformat": ","},
        "yaxis2": {"domain": [0, 0.28], "title": "drawdown %"},
        "xaxis": {"anchor": "y2"},
    }
    return layout(figure, 460, hovermode="x unified", **axes)


def _months(go: Any, curve: EquityCurve, deposit: float) -> Any:
    starts, equity = curve.daily()
    names = [day(int(start))[:7] for start in starts]
    ends: dict[str, float] = dict(zip(names, equity.tolist(), strict=True))
    before, returns = deposit, {}
    for name, end in ends.items():
        returns[name] = 100 * (end - before) / before if before > 0 else 0.0
        before = end
    values = list(returns.values())
    figure = go.Figure(go.Bar(x=list(returns), y=values, marker_color=_colours(values), texttemplate="%{y:.2f} %"))
    return layout(figure, xaxis={"type": "category"}, yaxis={"title": "%"})


def _r_multiples(go: Any, trades: Sequence[BacktestTrade]) -> Any:
    figure = go.Figure(go.Histogram(x=[t.r_multiple for t in trades if t.is_closed], nbinsx=60, marker_color=BLUE))
    figure.add_vline(x=0, line_color=GREY)
    return layout(figure, xaxis={"title": "R"}, yaxis={"title": "trades"})


def _chart(go: Any, candles: ReplayCandles, trades: Sequence[BacktestTrade]) -> Any:
    """Candles joined to at most a thousand, with every entry and exit."""
    count = len(candles)
    columns = candles.columns
    starts = np.unique(np.linspace(0, count, min(count, 1_000), endpoint=False).astype(int))
    ends = np.append(starts[1:], count) - 1
    figure = go.Figure(
        go.Candlestick(
            x=_times(columns.open_time[starts]),
            open=columns.open[starts].tolist(),
            high=np.maximum.reduceat(columns.high, starts).tolist(),
            low=np.minimum.reduceat(columns.low, starts).tolist(),
            close=columns.close[ends].tolist(),
            increasing_line_color=GREEN,
            decreasing_line_color=RED,
            opacity=0.5,
        )
    )
    own = [trade for trade in trades if trade.symbol == candles.symbol]
    for direction, symbol in ((Direction.LONG, "triangle-up"), (Direction.SHORT, "triangle-down")):
        entered = [trade for trade in own if trade.direction is direction]
        figure.add_scatter(
            x=_times(trade.entry_time_ms for trade in entered),
            y=[float(trade.entry_price) for trade in entered],
            mode="markers",
            name=direction.value.lower(),
            marker={"symbol": symbol, "size": 9, "color": BLUE},
        )
    closed = [trade for trade in own if trade.exit_time_ms is not None and trade.exit_price is not None]
    figure.add_scatter(
        x=_times(trade.exit_time_ms or 0 for trade in closed),
        y=[float(trade.exit_price or 0) for trade in closed],
        mode="markers",
        name="exit",
        text=[f"{trade.exit_reason}: {trade.pnl:.2f}" for trade in closed],
        marker={"symbol": "x", "size": 7, "color": _colours([float(trade.pnl) for trade in closed])},
    )
    return layout(figure, 420, xaxis={"rangeslider": {"visible": False}})


def _by_hour(go: Any, trades: Sequence[BacktestTrade]) -> Any:
    sums = [0.0] * 24
    for trade in trades:
        sums[trade.entry_time_ms % DAY_MS // 3_600_000] += float(trade.pnl)
    figure = go.Figure(go.Bar(x=list(range(24)), y=sums, marker_color=_colours(sums)))
    return layout(figure, xaxis={"title": "hour, UTC", "dtick": 2}, yaxis={"title": "USDT"})


def _by_symbol(go: Any, trades: Sequence[BacktestTrade]) -> Any:
    sums: dict[str, float] = {}
    for trade in trades:
        sums[trade.symbol] = sums.get(trade.symbol, 0.0) + float(trade.pnl)
    names = sorted(sums, key=sums.__getitem__, reverse=True)
    values = [sums[name] for name in names]
    figure = go.Figure(go.Bar(x=names, y=values, marker_color=_colours(values)))
    return layout(figure, yaxis={"title": "USDT"})


def _exposure(go: Any, curve: EquityCurve) -> Any:
    count = len(curve.exposure)
    starts = np.unique(np.linspace(0, count, min(count, POINTS_MAX), endpoint=False).astype(int))
    most = np.maximum.reduceat(curve.exposure, starts)
    figure = go.Figure(
        go.Scatter(x=_times(curve.time_ms[starts]), y=most.tolist(), fill="tozeroy", line={"color": GREY, "width": 1})
    )
    return layout(figure, 220, yaxis={"title": "USDT"})


def _costs(go: Any, metrics: Metrics) -> Any:
    slippage = float(metrics.slippage)
    steps = {
        "before costs": float(metrics.gross_pnl) + slippage,
        "slippage": -slippage,
        "fees": -float(metrics.fees),
        "funding": float(metrics.funding),
    }
    figure = go.Figure(
        go.Waterfall(
            x=[*steps, "net"],
            measure=["absolute", "relative", "relative", "relative", "total"],
            y=[*steps.values(), 0],
            text=[f"{value:+,.2f}" for value in (*steps.values(), float(metrics.net_pnl))],
            increasing={"marker": {"color": GREEN}},
            decreasing={"marker": {"color": RED}},
            totals={"marker": {"color": BLUE}},
        )
    )
    return layout(figure, yaxis={"title": "USDT"})


def _colours(values: Iterable[float]) -> list[str]:
    return [GREEN if value >= 0 else RED for value in values]
