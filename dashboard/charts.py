"""The charts: equity, candles with the trades on them, backtests side by side. Floats do here: these are pictures.

A figure is a function of what it shows and is kept while that stays the same: many visitors and quiet minutes then
cost nothing. Traces and layout go to Plotly in one piece, because it checks each addition again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from core.candle import ClosedCandle
from core.enums import Direction
from core.records import AccountStatRecord, PositionRecord
from dashboard import words
from dashboard.formatting import net_pnl, price, signed
from dashboard.style import AMBER, DOWN, GRID, INK, MUTED, PANEL, SERIES, UP
from utils.timefmt import to_datetime

if TYPE_CHECKING:
    from dashboard.runs import Curve

CONFIG = {"displayModeBar": False, "scrollZoom": False}
EQUITY_HEIGHT, CANDLES_HEIGHT, CURVES_HEIGHT = 270, 430, 340
FIGURES_KEPT = 16

Trace = dict[str, Any]


@lru_cache(maxsize=FIGURES_KEPT)
def equity_figure(curve: tuple[AccountStatRecord, ...]) -> go.Figure:
    """Equity over venue time, filled towards where the shown span began."""
    times = [to_datetime(point.event_time_ms) for point in curve]
    values = [float(point.equity) for point in curve]
    colour = UP if values[-1] >= values[0] else DOWN
    start = {
        "type": "scatter",
        "x": times,
        "y": [values[0]] * len(values),
        "mode": "lines",
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }
    line = {
        "type": "scatter",
        "x": times,
        "y": values,
        "mode": "lines",
        "line": {"color": colour, "width": 2},
        "fill": "tonexty",
        "fillcolor": _faded(colour, 0.14),
        "hovertemplate": "%{y:,.2f}<extra></extra>",
    }
    margin = max((max(values) - min(values)) * 0.12, values[0] * 0.0005)
    layout = _layout(EQUITY_HEIGHT)
    layout["yaxis"] |= {"range": [min(values) - margin, max(values) + margin], "tickformat": ",.0f"}
    return go.Figure(data=[start, line], layout=layout)


@lru_cache(maxsize=FIGURES_KEPT)
def gains_figure(curves: tuple[tuple[int, Curve], ...]) -> go.Figure:
    """The equity of several backtests in percent of their deposits, named below, each in the colour of its place."""
    traces: list[Trace] = [
        {
            "type": "scatter",
            "name": curve.name,
            "x": [to_datetime(time_ms) for time_ms in curve.time_ms],
            "y": curve.gain_pct,
            "mode": "lines",
            "line": {"color": SERIES[place % len(SERIES)], "width": 1.8},
            "hovertemplate": "%{y:+.2f} %",
        }
        for place, curve in curves
    ]
    layout = _layout(CURVES_HEIGHT)
    layout |= {"showlegend": True, "legend": {"orientation": "h", "y": -0.16, "x": 0, "font": {"color": INK}}}
    layout["yaxis"] |= {"ticksuffix": " %", "zeroline": True, "zerolinecolor": MUTED}
    return go.Figure(data=traces, layout=layout)


@lru_cache(maxsize=FIGURES_KEPT)
def candle_figure(candles: tuple[ClosedCandle, ...], trades: tuple[PositionRecord, ...]) -> go.Figure:
    """Candles with volume below, each trade's entry and exit, and the levels of what is open."""
    shown = [trade for trade in trades if _is_within(trade, candles[0].open_time_ms)]
    is_open = [trade for trade in shown if trade.closed_time_ms is None]
    layout = _layout(CANDLES_HEIGHT)
    layout["xaxis"] |= {"rangeslider": {"visible": False}, "anchor": "y2"}
    layout["yaxis"] |= {"domain": [0.2, 1.0]}
    layout["yaxis2"] = {"domain": [0.0, 0.14], "visible": False, "fixedrange": True}
    layout["bargap"] = 0.25
    layout["shapes"] = [level for trade in is_open for level in _levels(trade)]
    layout["annotations"] = [label for trade in is_open for label in _labels(trade)]
    traces = [_volume(candles), _candles(candles), _path(shown, won=True), _path(shown, won=False)]
    traces += [_entries(shown, direction) for direction in Direction]
    return go.Figure(data=[*traces, _exits(shown)], layout=layout)


def exit_words(record: PositionRecord) -> str:
    reason = record.exit_reason
    return "closed" if reason is None else words.EXITS.get(reason, reason.value)


def _is_within(record: PositionRecord, start_ms: int) -> bool:
    return record.opened_time_ms is not None and record.entry_price is not None and record.opened_time_ms >= start_ms


def _volume(candles: tuple[ClosedCandle, ...]) -> Trace:
    colours = [_faded(UP if candle.close >= candle.open else DOWN, 0.28) for candle in candles]
    return {
        "type": "bar",
        "x": [to_datetime(candle.open_time_ms) for candle in candles],
        "y": [float(candle.volume) for candle in candles],
        "yaxis": "y2",
        "marker": {"color": colours, "line": {"width": 0}},
        "hovertemplate": "volume %{y:,.4g}<extra></extra>",
    }


def _candles(candles: tuple[ClosedCandle, ...]) -> Trace:
    return {
        "type": "candlestick",
        "x": [to_datetime(candle.open_time_ms) for candle in candles],
        "open": [float(candle.open) for candle in candles],
        "high": [float(candle.high) for candle in candles],
        "low": [float(candle.low) for candle in candles],
        "close": [float(candle.close) for candle in candles],
        "increasing": {"line": {"color": UP, "width": 1}, "fillcolor": UP},
        "decreasing": {"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
    }


def _path(trades: list[PositionRecord], *, won: bool) -> Trace:
    """Lines from entry to exit of all trades with this result."""
    x: list[Any] = []
    y: list[Any] = []
    for record in trades:
        if record.closed_time_ms is None or record.exit_price is None or (net_pnl(record) > 0) is not won:
            continue
        x += [to_datetime(record.opened_time_ms or 0), to_datetime(record.closed_time_ms), None]
        y += [float(record.entry_price or 0), float(record.exit_price), None]
    line = {"color": UP if won else DOWN, "width": 1.4, "dash": "dot"}
    return {"type": "scatter", "x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def _entries(trades: list[PositionRecord], direction: Direction) -> Trace:
    records = [record for record in trades if record.direction is direction]
    symbol, colour = ("triangle-up", UP) if direction is Direction.LONG else ("triangle-down", DOWN)
    return {
        "type": "scatter",
        "x": [to_datetime(record.opened_time_ms or 0) for record in records],
        "y": [float(record.entry_price or 0) for record in records],
        "mode": "markers",
        "marker": {"symbol": symbol, "size": 13, "color": colour, "line": {"color": INK, "width": 1.2}},
        "text": [f"{direction.value.lower()} entry {price(record.entry_price)}" for record in records],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _exits(trades: list[PositionRecord]) -> Trace:
    done = [record for record in trades if record.closed_time_ms is not None and record.exit_price is not None]
    colours = [UP if net_pnl(record) > 0 else DOWN for record in done]
    return {
        "type": "scatter",
        "x": [to_datetime(record.closed_time_ms or 0) for record in done],
        "y": [float(record.exit_price or 0) for record in done],
        "mode": "markers",
        "marker": {"symbol": "circle", "size": 9, "color": colours, "line": {"color": INK, "width": 1.4}},
        "text": [f"{exit_words(r)} {price(r.exit_price)}<br>{signed(net_pnl(r))} USDT" for r in done],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _named_levels(record: PositionRecord) -> list[tuple[str, Any, str]]:
    levels = (
        ("target", record.target_price, UP),
        ("entry", record.entry_price, AMBER),
        ("stop", record.stop_price, DOWN),
    )
    return [level for level in levels if level[1] is not None]


def _levels(record: PositionRecord) -> list[dict[str, Any]]:
    return [
        {
            "type": "line",
            "xref": "x domain",
            "x0": 0,
            "x1": 1,
            "y0": float(level),
            "y1": float(level),
            "line": {"color": colour, "width": 1, "dash": "dash"},
        }
        for _, level, colour in _named_levels(record)
    ]


def _labels(record: PositionRecord) -> list[dict[str, Any]]:
    return [
        {
            "xref": "x domain",
            "x": 0,
            "y": float(level),
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "text": f"{name} {price(level)}",
            "font": {"color": colour, "size": 11},
            "bgcolor": PANEL,
        }
        for name, level, colour in _named_levels(record)
    ]


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": MUTED, "size": 12},
        "showlegend": False,
        "hovermode": "x",
        "hoverlabel": {"bgcolor": "#1b2436", "bordercolor": GRID, "font": {"color": INK}},
        "dragmode": False,
        "uirevision": "kept",  # a refresh keeps the zoom
        "xaxis": {"showgrid": False, "zeroline": False, "linecolor": GRID, "automargin": True},
        "yaxis": {"gridcolor": GRID, "zeroline": False, "side": "right", "automargin": True},
    }


def _faded(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
