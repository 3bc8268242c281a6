"""Why our own checks refuse an entry: a closed vocabulary. Never confused with a venue's rejection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.enums import Word


class DenialCode(Word):
    """The first check that refused. Stored with every denied signal."""

    # state of the trader and the venue
    STOPPING = "stopping"
    LEASE_LOST = "lease_lost"
    DEGRADED = "degraded"
    NOT_RECONCILED = "not_reconciled"
    STREAM_DOWN = "stream_down"
    CLOCK_OFFSET = "clock_offset"
    EQUITY_UNKNOWN = "equity_unknown"
    # state of the symbol
    SYMBOL_UNKNOWN = "symbol_unknown"
    SYMBOL_BLOCKED = "symbol_blocked"
    SYMBOL_NOT_TRADING = "symbol_not_trading"
    HALTED = "halted"
    STALE_DATA = "stale_data"
    FUNDING_WINDOW = "funding_window"
    POSITION_OPEN = "position_open"
    ORDER_UNRESOLVED = "order_unresolved"
    # the signal
    SIGNAL_DUPLICATE = "signal_duplicate"
    SIGNAL_STALE = "signal_stale"
    STOP_MISSING = "stop_missing"
    STOP_WRONG_SIDE = "stop_wrong_side"
    STOP_TOO_CLOSE = "stop_too_close"
    TARGET_WRONG_SIDE = "target_wrong_side"
    # account limits
    MIN_BALANCE = "min_balance"
    DAILY_LOSS = "daily_loss"
    STRATEGY_DAILY_LOSS = "strategy_daily_loss"
    SYMBOL_DAILY_LOSS = "symbol_daily_loss"
    DRAWDOWN = "drawdown"
    CONSECUTIVE_LOSSES = "consecutive_losses"
    DAILY_QUANTITY = "daily_quantity"
    MAX_OPEN_POSITIONS = "max_open_positions"
    # size
    NO_RISK_BUDGET = "no_risk_budget"
    MARGIN_INSUFFICIENT = "margin_insufficient"
    MAX_POSITION_NOTIONAL = "max_position_notional"
    SYMBOL_EXPOSURE = "symbol_exposure"
    TOTAL_EXPOSURE = "total_exposure"
    LEVERAGE_BRACKET = "leverage_bracket"
    LIQUIDATION_TOO_CLOSE = "liquidation_too_close"
    # filters of the instrument
    QUANTITY_TOO_SMALL = "quantity_too_small"
    NOTIONAL_TOO_SMALL = "notional_too_small"
    PRICE_OUT_OF_RANGE = "price_out_of_range"
    PRICE_OUT_OF_BAND = "price_out_of_band"


ACCOUNT_LIMITS = frozenset(
    {
        DenialCode.MIN_BALANCE,
        DenialCode.DAILY_LOSS,
        DenialCode.DRAWDOWN,
        DenialCode.CONSECUTIVE_LOSSES,
        DenialCode.TOTAL_EXPOSURE,
    }
)
STRATEGY_LIMITS = frozenset({DenialCode.STRATEGY_DAILY_LOSS, DenialCode.DAILY_QUANTITY})
SYMBOL_LIMITS = frozenset({DenialCode.SYMBOL_DAILY_LOSS, DenialCode.MAX_POSITION_NOTIONAL, DenialCode.SYMBOL_EXPOSURE})
"""Denials that mean "a limit that somebody set is reached": people hear of each once a day and scope."""


def limit_scope(code: DenialCode, strategy: str, symbol: str) -> str | None:
    """Return whose limit a denial tells of ("" for the account), or None when it tells of no such limit."""
    if code in ACCOUNT_LIMITS:
        return ""
    if code in STRATEGY_LIMITS:
        return strategy
    return symbol if code in SYMBOL_LIMITS else None


@dataclass(frozen=True, slots=True)
class Denied:
    """A check's refusal with the numbers it compared, as plain text by name."""

    code: DenialCode
    context: Mapping[str, str] = field(default_factory=dict)


def denied(code: DenialCode, **numbers: object) -> Denied:
    """Return a denial whose context holds each number as text."""
    return Denied(code, {name: str(value) for name, value in numbers.items()})
