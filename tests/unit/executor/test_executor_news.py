"""Rows are made anew only for what may have changed: nothing that a row tells may change without being news."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal

from core.enums import Leg, OrderService
from core.records import ExitReason, IntentRecord, PositionRecord
from executor.tracked import Phase, TrackedOrder
from executor.trade import Trade
from tests.unit.executor.lab import Lab

FIXED_ORDER = frozenset(
    [
        "client_order_id",
        "symbol",
        "strategy",
        "intent_id",
        "leg",
        "attempt",
        "service",
        "side",
        "position_side",
        "type",
        "quantity",
        "price",
        "stop_price",
        "reduce_only",
        "close_position",
        "created_time_ms",
    ]
)
"""What an order is from its first moment on."""
FIXED_TRADE = frozenset(
    [
        "intent_id",
        "epoch",
        "signal_id",
        "symbol",
        "strategy",
        "direction",
        "position_side",
        "quantity",
        "reference_price",
        "plan",
        "stop_price",
        "target_price",
        "risk_usd",
        "client_order_id",
        "created_time_ms",
        "quote_asset",
        "max_holding_ms",
    ]
)


def changed(value: object) -> object:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | Decimal):
        return value + 1
    if isinstance(value, Phase):
        return Phase.IN_DOUBT if value is not Phase.IN_DOUBT else Phase.DONE
    if isinstance(value, str):
        return f"{value}?"
    return 7 if value is None else value


def told(trade: Trade) -> list[object]:
    orders = [order.to_record(0) for order in trade.orders.values()]
    return [trade.to_intent_record(0), trade.to_position_record(0), *orders]


def open_trade() -> Trade:
    lab = Lab()
    lab.open_long()
    (trade,) = lab.core._desk.book.active.values()
    return trade


def test_no_row_changes_with_an_order_that_tells_no_news() -> None:
    trade = open_trade()
    for name in [one.name for one in fields(TrackedOrder) if one.name not in FIXED_ORDER]:
        for order in trade.orders.values():
            order.takes_news()
            before, value = told(trade), getattr(order, name)
            setattr(order, name, changed(value))
            assert order.takes_news() or told(trade) == before, name
            setattr(order, name, value)


def test_no_row_changes_with_a_trade_whose_facts_are_the_same() -> None:
    trade = open_trade()
    for name in [one.name for one in fields(Trade) if one.name not in FIXED_TRADE]:
        rows, facts, value = told(trade)[:2], trade._facts(), getattr(trade, name)
        setattr(trade, name, ExitReason.STOP if name == "exit_reason" else changed(value))
        assert trade._facts() != facts or told(trade)[:2] == rows, name
        assert trade._is_intent_changed() or told(trade)[0] == rows[0], name
        setattr(trade, name, value)


def test_a_trade_is_written_once_and_then_when_it_has_changed() -> None:
    trade = open_trade()
    assert trade.take_records(1) == []
    trade.flag("seen")
    assert [type(row) for row in trade.take_records(2)] == [PositionRecord]
    trade.evidence = "told"
    assert [type(row) for row in trade.take_records(3)] == [IntentRecord]
    stop = trade.newest(Leg.STOP)
    assert stop is not None and stop.service is OrderService.ALGO
    stop.detail = "moved"
    assert trade.take_records(4) == [stop.to_record(4)]
    assert trade.take_records(5) == []
