"""Why live trading and its replay part, and which of those reasons a denial belongs to."""

from __future__ import annotations

from enum import StrEnum

from executor.denials import DenialCode


class Cause(StrEnum):
    """Why a trade differs from its replay."""

    DATA = "data"
    LATENCY = "latency"
    FILL = "fill"
    FILTER = "filter"
    RISK = "risk"
    PARAMETERS = "parameters"


MEANINGS = {
    Cause.DATA: "the trader saw other candles than were stored, or none",
    Cause.LATENCY: "it acted later than at the next open",
    Cause.FILL: "it was filled at another price, or paid other fees",
    Cause.FILTER: "a rule of the contract or the venue refused an order",
    Cause.RISK: "size, a limit, or somebody who closed it",
    Cause.PARAMETERS: "limits or parameters were changed during the day",
}
OPEN_MEANWHILE = DenialCode.POSITION_OPEN.value

_FILTER = {
    DenialCode.QUANTITY_TOO_SMALL,
    DenialCode.NOTIONAL_TOO_SMALL,
    DenialCode.PRICE_OUT_OF_RANGE,
    DenialCode.PRICE_OUT_OF_BAND,
    DenialCode.SYMBOL_UNKNOWN,
    DenialCode.SYMBOL_NOT_TRADING,
    DenialCode.LEVERAGE_BRACKET,
}
_DATA = {
    DenialCode.STALE_DATA,
    DenialCode.STREAM_DOWN,
    DenialCode.EQUITY_UNKNOWN,
    DenialCode.NOT_RECONCILED,
    DenialCode.DEGRADED,
}
_LATENCY = {DenialCode.SIGNAL_STALE, DenialCode.CLOCK_OFFSET, DenialCode.ORDER_UNRESOLVED}


def cause_of_denial(code: str) -> Cause:
    """Return which cause a refusal belongs to: of our own checks by code, of the venue always the filter."""
    try:
        known = DenialCode(code)
    except ValueError:
        return Cause.FILTER
    if known in _FILTER:
        return Cause.FILTER
    if known in _DATA:
        return Cause.DATA
    return Cause.LATENCY if known in _LATENCY else Cause.RISK


def words_of(code: str) -> str:
    """Return a code as people read it."""
    return code.replace("_", " ")
