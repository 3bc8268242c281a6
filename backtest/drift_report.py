"""A drift as text for people and as JSON for programs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backtest.drift import Difference, Drift, Trade
from backtest.drift_causes import MEANINGS
from core.instrument import plain
from utils.timefmt import clock, iso


def headline(drift: Drift, quote_asset: str) -> str:
    """Return the drift in one line."""
    if not drift.agreed and not drift.differences:
        return "no trades to compare"
    cost = drift.live_pnl - drift.replay_pnl
    if not drift.differences:
        return f"all {drift.agreed} trades as in the replay"
    causes = ", ".join(
        f"{cause.value} {_signed(costs)}" for cause, costs in drift.costs.items() if costs or drift.count(cause)
    )
    return (
        f"{len(drift.differences)} of {drift.agreed + len(drift.differences)} trades differ, "
        f"{_signed(cost)} {quote_asset} against the replay ({causes})"
    )


def lines_of(drift: Drift, quote_asset: str) -> list[str]:
    """Return the report: totals, then cost and trades by cause, then each trade that differs."""
    lines = [
        f"live {_signed(drift.live_pnl)}, replay {_signed(drift.replay_pnl)}, "
        f"difference {_signed(drift.live_pnl - drift.replay_pnl)} {quote_asset}",
        f"trades that agree: {drift.agreed}; that differ: {len(drift.differences)}; still open: {drift.still_open}",
    ]
    for cause, cost in drift.costs.items():
        count = drift.count(cause)
        if cost or count:
            lines.append(f"  {cause.value:<10} {_signed(cost):>14}  {count:>4} trades  {MEANINGS[cause]}")
    return [*lines, *(_line(one) for one in drift.differences)]


def json_of(drift: Drift, quote_asset: str) -> dict[str, Any]:
    """Return everything; money as exact text, times as UTC."""
    return {
        "quote_asset": quote_asset,
        "headline": headline(drift, quote_asset),
        "agreed": drift.agreed,
        "differ": len(drift.differences),
        "still_open": drift.still_open,
        "live_pnl": format(drift.live_pnl, "f"),
        "replay_pnl": format(drift.replay_pnl, "f"),
        "causes": {
            cause.value: {"cost": format(cost, "f"), "trades": drift.count(cause)}
            for cause, cost in drift.costs.items()
        },
        "differences": [_difference(one) for one in drift.differences],
    }


def _line(one: Difference) -> str:
    side = "only live" if one.replay is None else "only replay" if one.live is None else "both"
    why = "; ".join(f"{part.text} [{part.cause.value} {_signed(part.cost)}]" for part in one.parts)
    trade = one.live or one.replay
    assert trade is not None
    return (
        f"{clock(one.key.decided_ms)} {one.key.symbol} {one.key.strategy} {trade.direction.value} ({side}): "
        f"{_signed(one.cost)} {one.cause.value}: {why}"
    )


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "decided": iso(one.key.decided_ms),
        "symbol": one.key.symbol,
        "strategy": one.key.strategy,
        "cause": one.cause.value,
        "cost": format(one.cost, "f"),
        "parts": [{"cause": part.cause.value, "cost": format(part.cost, "f"), "text": part.text} for part in one.parts],
        "live": _trade(one.live),
        "replay": _trade(one.replay),
    }


def _trade(trade: Trade | None) -> dict[str, Any] | None:
    if trade is None:
        return None
    return {
        "direction": trade.direction.value,
        "quantity": format(trade.quantity, "f"),
        "entry_price": format(trade.entry_price, "f"),
        "exit_price": None if trade.exit_price is None else format(trade.exit_price, "f"),
        "entered": iso(trade.entered_ms),
        "exited": None if trade.exited_ms is None else iso(trade.exited_ms),
        "exit_reason": trade.exit_reason,
        "pnl": format(trade.pnl, "f"),
        "ambiguous": trade.ambiguous,
    }


def _signed(amount: Decimal) -> str:
    rounded = amount.quantize(Decimal("0.01"))
    return f"+{plain(rounded)}" if rounded > 0 else plain(rounded)
