"""Positions and the ledger: averaging, closing, turning round, reduce-only, hedge legs, fees, recorded fills."""

from __future__ import annotations

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from core.enums import OrderStatus, OrderType, PositionSide, TimeInForce
from simulator.engine import money
from simulator.engine.config import ExchangeConfig
from simulator.engine.events import OrderEvent
from simulator.engine.exchange import Exchange
from simulator.engine.requests import PlaceOrder
from tests.unit.simulator_engine.support import (
    BTC,
    BUY,
    SELL,
    D,
    Desk,
    ScriptedMarket,
    Spec,
    assert_identity,
    instrument,
    refusal,
    words,
)

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def test_round_trip_books_profit_and_fees_to_the_last_digit() -> None:
    desk = Desk()
    desk.market_order(BUY, "0.3")
    desk.trade("1010")
    desk.market_order(SELL, "0.3")
    fees = D("0.3") * D("1000.1") * D("0.0005") + D("0.3") * D("1010") * D("0.0005")
    assert desk.wallet() == D(10_000) + D("0.3") * D("9.9") - fees
    assert_identity(desk.exchange)


def test_entry_price_is_the_average_and_break_even_includes_fees() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.trade("1010")
    desk.market_order(BUY, "1")
    view = desk.exchange.positions(BTC)[0]
    assert view.entry_price == (D("1000.1") + D("1010.1")) / 2
    assert view.break_even_price == view.entry_price * D("1.0005")
    assert view.unrealised_pnl == 2 * D(1010) - D("2010.2")


def test_closing_in_thirds_realises_exactly_the_whole() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.trade("1000.7")
    desk.market_order(BUY, "2")
    desk.trade("1003.3")
    for _ in range(3):
        desk.market_order(SELL, "1")
    trades = desk.exchange.user_trades(BTC)
    paid = D("1000.1") + 2 * D("1000.8")
    assert sum(trade.realised_pnl for trade in trades) == 3 * D("1003.3") - paid
    assert_identity(desk.exchange)


def test_selling_more_than_held_turns_the_position_round() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.trade("1010")
    order = desk.market_order(SELL, "3")
    trade = desk.exchange.user_trades(BTC)[-1]
    view = desk.exchange.positions(BTC)[0]
    assert order.status is OrderStatus.FILLED
    assert trade.realised_pnl == D("9.9")
    assert (view.quantity, view.entry_price) == (D(-2), D(1010))
    assert_identity(desk.exchange)


def test_taker_and_maker_fees_differ() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.limit_order(SELL, "1", "1010")
    desk.trade("1011")
    assert [trade.commission for trade in desk.exchange.user_trades(BTC)] == [D("0.50005"), D("0.202")]


@pytest.mark.parametrize("booked", [money.realised_pnl, money.commission, money.funding_fee, money.margin_transfer])
def test_money_is_cut_towards_zero_at_eight_decimals(booked: Callable[[Decimal], Decimal]) -> None:
    assert [booked(D(text)) for text in ("0.123456789", "-0.123456789", "2.5E-9")] == [
        D("0.12345678"),
        D("-0.12345678"),
        D(0),
    ]


def test_fee_with_more_than_eight_decimals_is_cut() -> None:
    exchange = Exchange(ScriptedMarket({BTC: Spec(instrument(), taker_fee=D("0.000333333"))}))
    exchange.place_order(PlaceOrder(BTC, BUY, OrderType.MARKET, quantity=D("0.007")))
    assert exchange.user_trades(BTC)[0].commission == D("0.00233356")
    assert_identity(exchange)


def test_recorded_account_is_reproduced_by_the_ledger(shared_data: Path) -> None:
    """98 fills of a real testnet account, fees and realised PnL.

    The venue cuts floating-point numbers, so that some of its figures are one unit of the last digit short
    (0.00029999 for exactly 0.0003), and it drops what a partial close does not realise, which we carry on. Where
    figures differ, they differ by no more than that unit.
    """
    rows = list(csv.DictReader((shared_data / "messages/binance_um_userTrades_testnet_2025-06-21.csv").open()))
    spec = Spec(instrument(), taker_fee=D("0.0004"))
    market = ScriptedMarket({BTC: spec})
    exchange = Exchange(market, ExchangeConfig(default_leverage=10))
    for row in rows:
        price, quantity = row["price"], row["qty"]
        market.last[BTC] = D(price)
        market.book([(price, quantity)], [(price, quantity)])
        side = BUY if row["side"] == "BUY" else SELL
        exchange.place_order(PlaceOrder(BTC, side, OrderType.MARKET, quantity=D(quantity)))
    trades = exchange.user_trades(BTC, from_id=1, limit=1000)
    assert len(trades) == len(rows)
    fee_gaps = [abs(t.commission - D(r["commission"])) for t, r in zip(trades, rows, strict=True)]
    pnl_gaps = [abs(t.realised_pnl - D(r["realizedPnl"])) for t, r in zip(trades, rows, strict=True)]
    assert max(fee_gaps + pnl_gaps) <= D("0.00000001")
    assert fee_gaps.count(D(0)) == 86
    assert pnl_gaps.count(D(0)) == 87
    assert_identity(exchange)


# reduce-only


def test_reduce_only_without_opposite_position_is_refused() -> None:
    desk = Desk()
    desk.market_order(SELL, "1")
    with refusal(-2022):
        desk.market_order(SELL, "1", reduce_only=True)
    desk.market_order(BUY, "1", reduce_only=True)
    assert desk.position() == 0


def test_reduce_only_larger_than_the_position_only_closes_it() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    order = desk.market_order(SELL, "5", reduce_only=True)
    last = [event for event in desk.events() if isinstance(event, OrderEvent)][-1]
    assert desk.position() == 0
    assert (order.status, order.executed_quantity, last.expiry_reason) == (OrderStatus.EXPIRED, D(1), 4)


def test_resting_reduce_only_quantity_blocks_another_close() -> None:
    desk = Desk()
    desk.market_order(BUY, "2")
    desk.limit_order(SELL, "2", "1010", reduce_only=True)
    with refusal(-4118):
        desk.market_order(SELL, "1", reduce_only=True)
    desk.exchange.cancel_all(BTC)
    desk.market_order(SELL, "2", reduce_only=True)
    assert desk.position() == 0


def test_reduce_only_orders_that_fit_together_are_accepted() -> None:
    desk = Desk()
    desk.market_order(BUY, "2")
    desk.limit_order(SELL, "1", "1010", reduce_only=True)
    desk.limit_order(SELL, "1", "1020", reduce_only=True)
    desk.trade("1030")
    assert desk.position() == 0


def test_resting_reduce_only_beyond_a_shrunken_position_expires_newest_first() -> None:
    desk = Desk()
    desk.market_order(BUY, "2")
    kept = desk.limit_order(SELL, "1", "1010", reduce_only=True)
    displaced = desk.limit_order(SELL, "1", "1005", reduce_only=True)
    desk.events()
    desk.market_order(SELL, "1")
    assert desk.exchange.get_order(BTC, kept.order_id).status is OrderStatus.NEW
    assert desk.exchange.get_order(BTC, displaced.order_id).status is OrderStatus.EXPIRED
    last = desk.events()[-1]
    assert isinstance(last, OrderEvent)
    assert last.expiry_reason == 4


def test_resting_reduce_only_never_turns_the_position() -> None:
    desk = Desk()
    desk.market_order(BUY, "2")
    order = desk.limit_order(SELL, "2", "1010", reduce_only=True)
    desk.market_order(SELL, "1")
    desk.trade("1020")
    assert desk.position() == 0
    after = desk.exchange.get_order(BTC, order.order_id)
    assert (after.status, after.executed_quantity) == (OrderStatus.EXPIRED, D(1))
    assert_identity(desk.exchange)


def test_reduce_only_needs_neither_margin_nor_minimum_notional() -> None:
    desk = Desk(deposit=D(60))
    desk.market_order(BUY, "1")
    desk.limit_order(SELL, "0.001", "1040", reduce_only=True)
    assert len(desk.exchange.open_orders(BTC)) == 1


# hedge mode


def hedged() -> Desk:
    desk = Desk()
    desk.exchange.set_position_mode(True)
    return desk


def test_hedge_mode_keeps_two_legs() -> None:
    desk = hedged()
    desk.market_order(BUY, "1", position_side=LONG)
    desk.market_order(SELL, "2", position_side=SHORT)
    assert (desk.position(side=LONG), desk.position(side=SHORT)) == (D(1), D(-2))
    desk.market_order(SELL, "1", position_side=LONG)
    assert (desk.position(side=LONG), desk.position(side=SHORT)) == (D(0), D(-2))
    assert_identity(desk.exchange)


def test_hedge_mode_refuses_both_and_reduce_only() -> None:
    desk = hedged()
    with refusal(-4061):
        desk.market_order(BUY, "1")
    with refusal(-1106):
        desk.market_order(SELL, "1", position_side=LONG, reduce_only=True)


def test_closing_side_of_a_hedge_leg_only_reduces() -> None:
    desk = hedged()
    with refusal(-2022):
        desk.market_order(SELL, "1", position_side=LONG)
    desk.market_order(BUY, "1", position_side=LONG)
    order = desk.market_order(SELL, "3", position_side=LONG)
    assert (desk.position(side=LONG), order.executed_quantity) == (D(0), D(1))


def test_hedge_positions_show_both_legs_only_where_there_is_something() -> None:
    desk = hedged()
    desk.market_order(BUY, "1", position_side=LONG)
    assert [view.position_side for view in desk.exchange.positions()] == [LONG]
    assert len(desk.exchange.positions(BTC, include_flat=True)) == 2


@pytest.mark.parametrize("quantity", ["0.007", "0.333", "7.777"])
def test_identity_survives_awkward_quantities(quantity: str) -> None:
    desk = Desk()
    for price in ("1000.3", "1001.7", "999.9"):
        desk.trade(price)
        desk.market_order(BUY, quantity)
    for price in ("1003.1", "990.7"):
        desk.trade(price)
        desk.market_order(SELL, str(Decimal(quantity) * 2))
    assert_identity(desk.exchange)


def test_maker_fill_tells_account_then_order() -> None:
    desk = Desk()
    desk.limit_order(BUY, "1", "990", time_in_force=TimeInForce.GTX)
    desk.events()
    assert words(desk.trade("980")) == ["ACCOUNT:ORDER", "TRADE:FILLED"]
