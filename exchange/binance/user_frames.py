"""Private stream events → user events. An event that we cannot read becomes `UnknownVenueMessage`: a reason to
reconcile, never a crash."""

from __future__ import annotations

from typing import Any

from core.enums import AlgoStatus, LiquiditySide, OrderStatus, OrderType, PositionSide, Side
from core.events import (
    AccountConfigChanged,
    AccountUpdated,
    AlgoOrderUpdated,
    MarginCalled,
    OrderUpdated,
    UnknownVenueMessage,
    UserEvent,
)
from core.orders import AlgoOrderReport, BalanceReport, FillReport, OrderReport, PositionReport
from exchange.binance.mapping import signed_quantity
from exchange.binance.wire import (
    Row,
    WireError,
    as_row,
    as_rows,
    decimal,
    decimal_or_none,
    decimal_or_zero,
    flag,
    integer,
    open_word,
    text,
    word,
)

LISTEN_KEY_EXPIRED = "listenKeyExpired"

_IGNORED = frozenset(
    {
        "TRADE_LITE",  # every fill also comes as ORDER_TRADE_UPDATE, with its fee
        "STRATEGY_UPDATE",
        "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",  # superseded by ALGO_UPDATE's reject reason
        LISTEN_KEY_EXPIRED,  # the stream itself reacts to it
    }
)


def decode_user(data: Any, received_time_ms: int) -> UserEvent | None:
    """Return the event of one private message, or None for kinds that carry nothing new. Never raises."""
    kind = data.get("e") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        return UnknownVenueMessage("message without a kind", 0, received_time_ms)
    if kind in _IGNORED:
        return None
    try:
        return _decode(kind, data, received_time_ms)
    except WireError as error:
        return UnknownVenueMessage(f"{kind}: {error}", event_time_of(data), received_time_ms)


def event_time_of(data: Row) -> int:
    """The venue's time of a message, 0 when it has none that can be read."""
    try:
        return integer(data, "E")
    except WireError:
        return 0


def _decode(kind: str, data: Row, received_time_ms: int) -> UserEvent:
    event_time_ms = integer(data, "E")
    match kind:
        case "ORDER_TRADE_UPDATE":
            return OrderUpdated(_order(as_row(data.get("o"))), event_time_ms, received_time_ms)
        case "ALGO_UPDATE":
            report = _algo_order(as_row(data.get("o")), integer(data, "T"))
            return AlgoOrderUpdated(report, event_time_ms, received_time_ms)
        case "ACCOUNT_UPDATE":
            return _account(data, event_time_ms, received_time_ms)
        case "ACCOUNT_CONFIG_UPDATE":
            return _account_config(data, event_time_ms, received_time_ms)
        case "MARGIN_CALL":
            symbols = tuple(text(row, "s") for row in as_rows(data.get("p")))
            return MarginCalled(symbols, event_time_ms, received_time_ms)
        case _:
            return UnknownVenueMessage(kind[:64], event_time_ms, received_time_ms)


def _order(row: Row) -> OrderReport:
    return OrderReport(
        symbol=text(row, "s"),
        client_order_id=text(row, "c"),
        venue_order_id=integer(row, "i"),
        side=word(Side, row, "S"),
        position_side=word(PositionSide, row, "ps"),
        type=open_word(OrderType, row, "o", OrderType.UNKNOWN),
        status=open_word(OrderStatus, row, "X", OrderStatus.UNKNOWN),
        execution_type=text(row, "x"),
        quantity=decimal(row, "q"),
        price=decimal_or_zero(row, "p"),
        filled_quantity=decimal(row, "z"),
        average_price=decimal_or_none(row, "ap"),
        reduce_only=flag(row, "R"),
        close_position=flag(row, "cp"),
        update_time_ms=integer(row, "T"),
        expiry_reason=integer(row, "er") if "er" in row else 0,
        original_type=open_word(OrderType, row, "ot", OrderType.UNKNOWN) if "ot" in row else OrderType.UNKNOWN,
        fill=_fill(row),
    )


def _fill(row: Row) -> FillReport | None:
    """The execution inside an order update: a trade, or a liquidation's CALCULATED step."""
    trade_id = integer(row, "t") if "t" in row else 0
    if text(row, "x") not in ("TRADE", "CALCULATED") or trade_id <= 0 or not decimal_or_zero(row, "l"):
        return None
    return FillReport(
        symbol=text(row, "s"),
        trade_id=trade_id,
        venue_order_id=integer(row, "i"),
        client_order_id=text(row, "c"),
        side=word(Side, row, "S"),
        position_side=word(PositionSide, row, "ps"),
        price=decimal(row, "L"),
        quantity=decimal(row, "l"),
        fee=decimal_or_zero(row, "n"),  # absent when nothing was charged
        fee_asset=str(row.get("N") or ""),
        realized_pnl=decimal_or_zero(row, "rp"),
        liquidity_side=LiquiditySide.MAKER if flag(row, "m") else LiquiditySide.TAKER,
        event_time_ms=integer(row, "T"),
    )


def _algo_order(row: Row, update_time_ms: int) -> AlgoOrderReport:
    return AlgoOrderReport(
        symbol=text(row, "s"),
        client_order_id=text(row, "caid"),
        algo_id=integer(row, "aid"),
        side=word(Side, row, "S"),
        position_side=word(PositionSide, row, "ps"),
        type=open_word(OrderType, row, "o", OrderType.UNKNOWN),
        status=open_word(AlgoStatus, row, "X", AlgoStatus.UNKNOWN),
        trigger_price=decimal_or_zero(row, "tp"),
        quantity=decimal_or_zero(row, "q"),
        close_position=flag(row, "cp"),
        reduce_only=flag(row, "R"),
        update_time_ms=update_time_ms,
        venue_order_id=integer(row, "ai") if row.get("ai") not in (None, "", "0", 0) else None,
        actual_price=decimal_or_none(row, "ap"),
        actual_quantity=decimal_or_none(row, "aq"),
        reject_reason=str(row.get("rm") or ""),
    )


def _account(data: Row, event_time_ms: int, received_time_ms: int) -> AccountUpdated:
    account = as_row(data.get("a"))
    time_ms = integer(data, "T")
    return AccountUpdated(
        reason=text(account, "m"),
        balances=tuple(_balance(row) for row in as_rows(account.get("B", []))),
        positions=tuple(_position(row, time_ms) for row in as_rows(account.get("P", []))),
        event_time_ms=event_time_ms,
        received_time_ms=received_time_ms,
    )


def _balance(row: Row) -> BalanceReport:
    return BalanceReport(
        asset=text(row, "a"),
        wallet_balance=decimal(row, "wb"),
        cross_wallet_balance=decimal(row, "cw"),
        balance_change=decimal_or_zero(row, "bc"),
    )


def _position(row: Row, update_time_ms: int) -> PositionReport:
    side = word(PositionSide, row, "ps")
    return PositionReport(
        symbol=text(row, "s"),
        position_side=side,
        quantity=signed_quantity(side, decimal(row, "pa")),
        entry_price=decimal(row, "ep"),
        unrealized_pnl=decimal_or_zero(row, "up"),
        update_time_ms=update_time_ms,
    )


def _account_config(data: Row, event_time_ms: int, received_time_ms: int) -> AccountConfigChanged:
    if "ac" in data:
        change = as_row(data["ac"])
        return AccountConfigChanged(text(change, "s"), integer(change, "l"), None, event_time_ms, received_time_ms)
    multi_assets = flag(as_row(data.get("ai")), "j")
    return AccountConfigChanged(None, None, multi_assets, event_time_ms, received_time_ms)
