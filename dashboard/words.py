"""Codes and names of the trader in words of people."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from core.enums import Leg
from core.records import ExitReason, SignalStatus

DENIALS = {
    "stopping": "the trader is stopping",
    "degraded": "the trader runs degraded: exits only",
    "not_reconciled": "not yet reconciled with the exchange",
    "stream_down": "a stream is down",
    "clock_offset": "our clock is off",
    "equity_unknown": "the equity is unknown",
    "symbol_unknown": "the exchange does not list this symbol",
    "symbol_blocked": "the symbol is blocked",
    "symbol_not_trading": "the symbol is not trading",
    "halted": "entries are halted",
    "stale_data": "prices are too old",
    "funding_window": "too close to funding",
    "position_open": "a position is open already",
    "order_unresolved": "an earlier order is not resolved yet",
    "signal_duplicate": "this candle has signalled before",
    "signal_stale": "the signal came too late",
    "stop_missing": "there is no stop",
    "stop_wrong_side": "the stop is on the wrong side",
    "stop_too_close": "the stop is too close",
    "target_wrong_side": "the target is on the wrong side",
    "min_balance": "the balance is below the minimum",
    "daily_loss": "the daily loss limit is reached",
    "strategy_daily_loss": "the strategy's daily loss limit is reached",
    "symbol_daily_loss": "the symbol's daily loss limit is reached",
    "lease_lost": "another process trades this account",
    "drawdown": "the drawdown limit is reached",
    "consecutive_losses": "too many losses in a row",
    "daily_quantity": "the day's quantity limit is reached",
    "max_open_positions": "enough positions are open",
    "no_risk_budget": "there is nothing to risk",
    "margin_insufficient": "not enough margin",
    "max_position_notional": "the position would be too large",
    "symbol_exposure": "too much exposure to this symbol",
    "total_exposure": "too much exposure in total",
    "leverage_bracket": "the leverage bracket does not allow it",
    "liquidation_too_close": "liquidation would come before the stop",
    "quantity_too_small": "the quantity is below the exchange's minimum",
    "notional_too_small": "the order value is below the exchange's minimum",
    "price_out_of_range": "the price is out of the exchange's range",
    "price_out_of_band": "the price is too far from the mark price",
}
"""A code that is not here yet is shown as its own words."""

STATUSES = {
    SignalStatus.RECEIVED: "received",
    SignalStatus.APPROVED: "approved",
    SignalStatus.DENIED: "denied",
    SignalStatus.REFUSED: "refused by the exchange",
    SignalStatus.ENTERED: "entered",
}

EXITS = {
    ExitReason.STOP: "stop",
    ExitReason.TARGET: "target",
    ExitReason.MAX_HOLDING: "held long enough",
    ExitReason.STOP_FAILED: "stop could not be placed",
    ExitReason.KILL: "kill switch",
    ExitReason.FLATTEN: "flattened",
    ExitReason.EXTERNAL: "closed by hand",
    ExitReason.LIQUIDATION: "liquidated",
    ExitReason.ADL: "auto-deleveraged",
    ExitReason.SETTLEMENT: "settled",
    ExitReason.RECONCILED: "closed while away",
}

LEGS = {Leg.ENTRY: "entry", Leg.STOP: "stop", Leg.TARGET: "target", Leg.CLOSE: "close"}

NUMBERS_SHOWN = 4


def denial(code: str, context: Mapping[str, str]) -> str:
    """`the stop is too close (distance 0.0001, min fraction 0.0005)`."""
    words = DENIALS.get(code, humanised(code))
    numbers = [f"{humanised(name)} {short_number(value)}" for name, value in context.items() if value]
    return f"{words} ({', '.join(numbers[:NUMBERS_SHOWN])})" if numbers else words


def humanised(name: str) -> str:
    """`max_open_positions` as `max open positions`."""
    return name.replace("_", " ").strip().lower()


def short_number(text: str) -> str:
    """A number with at most six significant digits; anything else as it is."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value.is_finite():
        return text
    if value == value.to_integral_value() and abs(value) < 10**9:
        return f"{value:,.0f}"
    places = max(0, 5 - value.adjusted())
    return f"{value:,.{places}f}".rstrip("0").rstrip(".")
