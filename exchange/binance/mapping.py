"""REST answers of the venue → domain reports. Pure; raises WireError where a required field is missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, assert_never

from core.candle import ClosedCandle
from core.commands import (
    CancelOrder,
    CommissionRate,
    FetchBalances,
    FetchCommissionRate,
    FetchFills,
    FetchIncome,
    FetchLeverageBrackets,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositionMode,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    Payload,
    QueryOrder,
    SetCountdownCancel,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    SubmitOrder,
    SymbolConfig,
    VenueCommand,
)
from core.enums import (
    AlgoStatus,
    LiquiditySide,
    MarginType,
    OrderService,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    Side,
)
from core.instrument import plain
from core.orders import (
    AlgoOrderReport,
    AlgoOrderRequest,
    BalanceReport,
    FillReport,
    IncomeReport,
    LeverageBracket,
    OrderReport,
    PositionReport,
)
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
    to_decimal,
    to_integer,
    word,
)

_KLINE_FIELDS = 11


def payload_of(command: VenueCommand, body: Any) -> Payload:  # noqa: PLR0911, PLR0912 - one row per command
    """Return the payload of an accepted command from the decoded body; raises WireError when it does not fit."""
    match command:
        case SubmitOrder():
            if isinstance(command.approved.order, AlgoOrderRequest):
                return algo_order_report(as_row(body))
            return order_report(as_row(body), "ACK")
        case QueryOrder():
            algo = command.service is OrderService.ALGO
            return algo_order_report(as_row(body)) if algo else order_report(as_row(body), "QUERY")
        case IdentifyOrder():
            return order_report(as_row(body), "QUERY")
        case CancelOrder():
            _require_cancelled(command, as_row(body))
            return None
        case FetchPositions():
            return tuple(position_report(row) for row in as_rows(body))
        case FetchOpenOrders():
            return tuple(order_report(row, "QUERY") for row in as_rows(body))
        case FetchOpenAlgoOrders():
            return tuple(algo_order_report(row) for row in as_rows(body))
        case FetchFills():
            return tuple(fill_report(row) for row in as_rows(body))
        case FetchIncome():
            return tuple(income_report(row) for row in as_rows(body))
        case FetchBalances():
            return tuple(balance_report(row) for row in as_rows(body))
        case FetchSymbolConfig():
            return tuple(symbol_config(row) for row in as_rows(body))
        case FetchLeverageBrackets():
            return leverage_brackets(body)
        case FetchCommissionRate():
            return commission_rate(as_row(body))
        case FetchPositionMode():
            return _position_mode(as_row(body))
        case SetLeverage():
            _require(integer(as_row(body), "leverage") == command.leverage, "leverage")
            return None
        case SetCountdownCancel():
            _require(str(as_row(body).get("countdownTime")) == str(command.countdown_ms), "countdownTime")
            return None
        case SetMarginType() | SetPositionMode():
            _require(str(as_row(body).get("code")) == "200", "code")
            return None
        case _:
            assert_never(command)


def order_report(row: Row, execution_type: str) -> OrderReport:
    """Map a plain order as acknowledged ("ACK") or queried ("QUERY"). Acks carry no average price."""
    kind = open_word(OrderType, row, "type", OrderType.UNKNOWN)
    return OrderReport(
        symbol=text(row, "symbol"),
        client_order_id=text(row, "clientOrderId"),
        venue_order_id=integer(row, "orderId"),
        side=word(Side, row, "side"),
        position_side=word(PositionSide, row, "positionSide"),
        type=kind,
        status=open_word(OrderStatus, row, "status", OrderStatus.UNKNOWN),
        execution_type=execution_type,
        quantity=decimal(row, "origQty"),
        price=decimal_or_zero(row, "price"),
        filled_quantity=decimal(row, "executedQty"),
        average_price=decimal_or_none(row, "avgPrice"),
        reduce_only=flag(row, "reduceOnly"),
        close_position=flag(row, "closePosition"),
        update_time_ms=integer(row, "updateTime"),
        original_type=open_word(OrderType, row, "origType", OrderType.UNKNOWN) if "origType" in row else kind,
    )


def algo_order_report(row: Row) -> AlgoOrderReport:
    """Map a conditional order as acknowledged, listed or queried."""
    order_id = row.get("actualOrderId")
    return AlgoOrderReport(
        symbol=text(row, "symbol"),
        client_order_id=text(row, "clientAlgoId"),
        algo_id=integer(row, "algoId"),
        side=word(Side, row, "side"),
        position_side=word(PositionSide, row, "positionSide"),
        type=open_word(OrderType, row, "orderType", OrderType.UNKNOWN),
        status=open_word(AlgoStatus, row, "algoStatus", AlgoStatus.UNKNOWN),
        trigger_price=decimal_or_zero(row, "triggerPrice"),
        quantity=decimal_or_zero(row, "quantity"),
        close_position=flag(row, "closePosition"),
        reduce_only=flag(row, "reduceOnly"),
        update_time_ms=integer(row, "updateTime"),
        venue_order_id=integer(row, "actualOrderId") if order_id not in (None, "", "0", 0) else None,
        actual_price=decimal_or_none(row, "actualPrice"),
        actual_quantity=decimal_or_none(row, "actualQty"),
    )


def position_report(row: Row) -> PositionReport:
    side = word(PositionSide, row, "positionSide")
    return PositionReport(
        symbol=text(row, "symbol"),
        position_side=side,
        quantity=signed_quantity(side, decimal(row, "positionAmt")),
        entry_price=decimal(row, "entryPrice"),
        unrealized_pnl=decimal(row, "unRealizedProfit"),
        update_time_ms=integer(row, "updateTime"),
        mark_price=decimal_or_none(row, "markPrice"),
        liquidation_price=decimal_or_none(row, "liquidationPrice"),
    )


def signed_quantity(side: PositionSide, amount: Decimal) -> Decimal:
    """Return `amount` with the sign of its leg: hedge legs are positive long, negative short, whatever was sent."""
    if side is PositionSide.BOTH:
        return amount
    return abs(amount) if side is PositionSide.LONG else -abs(amount)


def fill_report(row: Row) -> FillReport:
    """Map a userTrades row. It names the order by number only: the client order id is empty."""
    return FillReport(
        symbol=text(row, "symbol"),
        trade_id=integer(row, "id"),
        venue_order_id=integer(row, "orderId"),
        client_order_id="",
        side=word(Side, row, "side"),
        position_side=word(PositionSide, row, "positionSide"),
        price=decimal(row, "price"),
        quantity=decimal(row, "qty"),
        fee=decimal(row, "commission"),
        fee_asset=text(row, "commissionAsset"),
        realized_pnl=decimal(row, "realizedPnl"),
        liquidity_side=LiquiditySide.MAKER if flag(row, "maker") else LiquiditySide.TAKER,
        event_time_ms=integer(row, "time"),
    )


def income_report(row: Row) -> IncomeReport:
    return IncomeReport(
        transaction_id=integer(row, "tranId"),
        income_type=text(row, "incomeType"),
        symbol=str(row.get("symbol") or ""),
        amount=decimal(row, "income"),
        asset=text(row, "asset"),
        event_time_ms=integer(row, "time"),
    )


def balance_report(row: Row) -> BalanceReport:
    return BalanceReport(
        asset=text(row, "asset"),
        wallet_balance=decimal(row, "balance"),
        cross_wallet_balance=decimal(row, "crossWalletBalance"),
        available=decimal(row, "availableBalance"),
    )


def symbol_config(row: Row) -> SymbolConfig:
    return SymbolConfig(
        symbol=text(row, "symbol"),
        leverage=integer(row, "leverage"),
        margin_type=word(MarginType, row, "marginType"),
    )


def leverage_brackets(body: Any) -> dict[str, tuple[LeverageBracket, ...]]:
    """Map the notional ladders; the venue answers a bare object when one symbol was asked."""
    rows = [as_row(body)] if isinstance(body, dict) else as_rows(body)
    return {text(row, "symbol"): tuple(_bracket(step) for step in as_rows(row.get("brackets"))) for row in rows}


def _bracket(row: Row) -> LeverageBracket:
    return LeverageBracket(
        bracket=integer(row, "bracket"),
        initial_leverage=integer(row, "initialLeverage"),
        notional_floor=decimal(row, "notionalFloor"),
        notional_cap=decimal(row, "notionalCap"),
        maintenance_margin_rate=decimal(row, "maintMarginRatio"),
        maintenance_amount=decimal(row, "cum"),
    )


def commission_rate(row: Row) -> CommissionRate:
    return CommissionRate(
        symbol=text(row, "symbol"),
        maker=plain(decimal(row, "makerCommissionRate")),
        taker=plain(decimal(row, "takerCommissionRate")),
    )


def candles(symbol: str, interval: str, body: Any) -> list[ClosedCandle]:
    """Map kline rows, the last of which may still be forming: the caller drops it by its close time."""
    if not isinstance(body, list):
        raise WireError(f"expected a list of candles, got {type(body).__name__}")
    return [_candle(symbol, interval, row) for row in body]


def _candle(symbol: str, interval: str, row: Any) -> ClosedCandle:
    if not isinstance(row, list) or len(row) < _KLINE_FIELDS:
        raise WireError("a candle row needs 11 fields")
    return ClosedCandle(
        symbol=symbol,
        interval=interval,
        open_time_ms=to_integer("open time", row[0]),
        open=to_decimal("open", row[1]),
        high=to_decimal("high", row[2]),
        low=to_decimal("low", row[3]),
        close=to_decimal("close", row[4]),
        volume=to_decimal("volume", row[5]),
        quote_volume=to_decimal("quote volume", row[7]),
        trade_count=to_integer("trade count", row[8]),
        taker_buy_volume=to_decimal("taker volume", row[9]),
        taker_buy_quote_volume=to_decimal("taker quote volume", row[10]),
    )


def _require_cancelled(command: CancelOrder, row: Row) -> None:
    """A cancellation counts only when the answer names the order."""
    key = "clientAlgoId" if command.service is OrderService.ALGO else "clientOrderId"
    _require(row.get(key) == command.client_order_id, key)


def _position_mode(row: Row) -> PositionMode:
    _require("dualSidePosition" in row, "dualSidePosition")
    return PositionMode.HEDGE if flag(row, "dualSidePosition") else PositionMode.ONEWAY


def _require(condition: bool, key: str) -> None:
    if not condition:
        raise WireError(f"field {key!r} does not confirm the request")


def newest_time_ms(payload: Payload) -> int:
    """The newest market time that a payload carries, 0 when it carries none."""
    if isinstance(payload, OrderReport | AlgoOrderReport):
        return payload.update_time_ms
    if not isinstance(payload, tuple):
        return 0
    newest = 0
    for row in payload:
        if isinstance(row, OrderReport | AlgoOrderReport | PositionReport):
            newest = max(newest, row.update_time_ms)
        elif isinstance(row, FillReport | IncomeReport):
            newest = max(newest, row.event_time_ms)
    return newest
