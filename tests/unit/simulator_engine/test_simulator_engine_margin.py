"""Margin: brackets, what an order costs, liquidation price, isolated wallets, margin call and liquidation."""

from __future__ import annotations

import pytest

from core.enums import AlgoStatus, OrderStatus, OrderType, PositionSide, Side
from simulator.engine.events import MarginCallEvent, OrderEvent
from simulator.engine.margin import Leg, bracket_of, liquidation_price, maintenance_margin, max_notional
from tests.unit.simulator_engine.support import (
    BRACKETS,
    BTC,
    BUY,
    ETH,
    SELL,
    D,
    Desk,
    assert_identity,
    refusal,
    words,
)


def test_maintenance_margin_is_continuous_where_brackets_meet() -> None:
    for bracket in BRACKETS[:-1]:
        edge = bracket.notional_cap
        assert maintenance_margin(BRACKETS, edge) == edge * bracket.maint_margin_ratio - bracket.cum


@pytest.mark.parametrize(("notional", "expected"), [(0, 1), (49_999, 1), (50_000, 2), (250_000, 3), (10**9, 3)])
def test_bracket_holds_its_floor_but_not_its_cap(notional: int, expected: int) -> None:
    assert bracket_of(BRACKETS, D(notional)).bracket == expected


@pytest.mark.parametrize(("leverage", "limit"), [(50, 50_000), (21, 50_000), (20, 250_000), (10, 1_000_000), (51, 0)])
def test_leverage_limits_the_notional(leverage: int, limit: int) -> None:
    assert max_notional(BRACKETS, leverage) == limit


@pytest.mark.parametrize(("quantity", "wallet"), [(40, 3000), (-40, 3000), (100, 9000), (-300, 50_000), (60, 2000)])
def test_at_the_liquidation_price_balance_equals_maintenance(quantity: int, wallet: int) -> None:
    leg = Leg(D(quantity), abs(D(quantity)) * 1000)
    price = liquidation_price(BRACKETS, [leg], D(wallet), D(1000))
    balance = D(wallet) + leg.quantity * price - leg.sign * leg.cost
    assert abs(balance - maintenance_margin(BRACKETS, abs(leg.quantity) * price)) < D("1e-15")
    assert (price < 1000) is (quantity > 0)


def test_liquidation_price_of_both_hedge_legs_is_one_price() -> None:
    legs = [Leg(D(50), D(50_000)), Leg(D(-20), D(21_000))]
    price = liquidation_price(BRACKETS, legs, D(2000), D(1000))
    balance = D(2000) + sum(leg.quantity * price - leg.sign * leg.cost for leg in legs)
    needed = sum(maintenance_margin(BRACKETS, abs(leg.quantity) * price) for leg in legs)
    assert abs(balance - needed) < D("1e-15")


def test_hedge_legs_that_cancel_out_have_no_liquidation_price() -> None:
    legs = [Leg(D("10.1"), D(10_100)), Leg(D("-9.9"), D(9_900))]
    assert liquidation_price(BRACKETS, legs, D(100), D(1000)) == 0


def test_position_without_debt_has_no_liquidation_price() -> None:
    assert liquidation_price(BRACKETS, [Leg(D(1), D(1000))], D(10_000), D(1000)) == 0


def test_view_of_a_position_shows_its_margins() -> None:
    desk = Desk()
    desk.market_order(BUY, "60")
    view = desk.exchange.positions(BTC)[0]
    balance = desk.exchange.account().balance
    assert view.notional == 60_000
    assert view.position_initial_margin == view.initial_margin == 3_000
    assert view.maintenance_margin == D(60_000) * D("0.025") - 750
    assert view.max_notional == 250_000
    assert balance.margin_balance == balance.wallet_balance + view.unrealised_pnl
    assert balance.available_balance == balance.margin_balance - 3_000
    at_risk = balance.wallet_balance + 60 * view.liquidation_price - D(60) * view.entry_price
    needed = maintenance_margin(BRACKETS, 60 * view.liquidation_price)
    assert abs(at_risk - needed) < D("0.000001")


def test_cross_liquidation_price_counts_the_other_contracts() -> None:
    desk = Desk()
    desk.market_order(BUY, "100")
    alone = desk.exchange.positions(BTC)[0].liquidation_price
    desk.market_order(BUY, "50", symbol=ETH)
    desk.trade("950", symbol=ETH)
    assert desk.exchange.positions(BTC)[0].liquidation_price > alone


# what an order costs


def test_orders_on_both_sides_ask_for_the_worse_side_only() -> None:
    desk = Desk()
    free = desk.exchange.account().balance.available_balance
    desk.limit_order(BUY, "10", "1000")
    desk.limit_order(SELL, "10", "1010")
    assert desk.exchange.account().balance.available_balance == free - D(10_100) / 20


def test_order_that_only_reduces_costs_nothing() -> None:
    desk = Desk(deposit=D(5100))
    desk.market_order(BUY, "100")
    with refusal(-2019):
        desk.market_order(BUY, "5")
    desk.limit_order(SELL, "100", "1040")
    assert desk.exchange.positions(BTC)[0].open_order_initial_margin == 0


def test_order_that_loses_at_once_costs_its_open_loss() -> None:
    desk = Desk(deposit=D(600))
    with refusal(-2019):
        desk.limit_order(BUY, "10", "1040")
    desk.limit_order(BUY, "10", "1000")


def test_turning_round_costs_the_part_beyond_flat() -> None:
    desk = Desk(deposit=D(1000))
    desk.market_order(BUY, "15")
    desk.market_order(SELL, "30")
    assert desk.position() == -15
    with refusal(-2019):
        desk.market_order(BUY, "36")


def test_higher_leverage_frees_margin_but_lowers_the_limit() -> None:
    desk = Desk()
    desk.exchange.set_leverage(BTC, 50)
    desk.market_order(BUY, "49")
    assert desk.exchange.positions(BTC)[0].initial_margin == 980
    with refusal(-2027):
        desk.market_order(BUY, "2")


def test_reduce_only_orders_count_in_no_notional() -> None:
    desk = Desk()
    desk.market_order(BUY, "10")
    desk.limit_order(SELL, "10", "1010", reduce_only=True)
    desk.limit_order(SELL, "5", "1020")
    assert desk.exchange.positions(BTC)[0].ask_notional == 5 * D(1020)


def test_position_can_be_reduced_when_no_margin_is_free() -> None:
    desk = Desk(deposit=D(5100))
    desk.market_order(BUY, "100")
    desk.trade("985")
    assert desk.exchange.account().balance.available_balance == 0
    desk.limit_order(SELL, "50", "980")
    assert desk.position() == 50


# isolated


def test_isolated_position_sets_its_margin_aside() -> None:
    desk = Desk()
    desk.isolate()
    desk.market_order(BUY, "10")
    view = desk.exchange.positions(BTC)[0]
    balance = desk.exchange.account().balance
    assert view.isolated_wallet == D("1000.1") * 10 / 20
    assert balance.cross_wallet_balance == balance.wallet_balance - view.isolated_wallet
    assert view.isolated_margin == view.isolated_wallet + view.unrealised_pnl
    desk.trade("1010")
    desk.market_order(SELL, "4")
    assert desk.exchange.positions(BTC)[0].isolated_wallet == view.isolated_wallet * D("0.6")
    desk.market_order(SELL, "6")
    assert desk.exchange.account().balance.cross_wallet_balance == desk.wallet()
    assert_identity(desk.exchange)


def test_isolated_liquidation_loses_the_isolated_wallet_at_most() -> None:
    desk = Desk()
    desk.isolate()
    desk.market_order(BUY, "10")
    before = desk.wallet()
    own = desk.exchange.positions(BTC)[0].isolated_wallet
    desk.trade("900")
    assert desk.position() == 0
    assert before - own <= desk.wallet() <= before - own + 10 * D("0.1")
    assert_identity(desk.exchange)


def test_isolated_position_does_not_touch_cross_positions() -> None:
    desk = Desk()
    desk.isolate()
    desk.market_order(BUY, "10")
    desk.market_order(BUY, "10", symbol=ETH)
    desk.trade("900")
    assert desk.position() == 0
    assert desk.position(ETH) == 10


# margin call and liquidation


def test_margin_call_comes_once_before_liquidation() -> None:
    desk = Desk(deposit=D(10_100))
    desk.market_order(BUY, "100")
    desk.events()
    steps = [str(price) for price in range(995, 900, -1)]
    happened = desk.trade(*steps)
    calls = [event for event in happened if isinstance(event, MarginCallEvent)]
    assert len(calls) == 1
    call_at = calls[0].positions[0]
    assert D("0.8") <= call_at.maintenance_margin / (calls[0].cross_wallet_balance + call_at.unrealised_pnl) < 1
    kinds = words(happened)
    assert kinds.index("MarginCallEvent") < kinds.index("CALCULATED:FILLED")


def test_margin_call_is_repeated_after_recovery() -> None:
    desk = Desk(deposit=D(10_100))
    desk.market_order(BUY, "100")
    happened = desk.trade("918", "960", "918")
    assert words(happened).count("MarginCallEvent") == 2
    assert desk.position() == 100


@pytest.mark.parametrize("side", [BUY, SELL])
def test_liquidation_happens_at_the_price_that_was_shown(side: Side) -> None:
    desk = Desk()
    desk.market_order(side, "100")
    shown = desk.exchange.positions(BTC)[0].liquidation_price
    tick = D("0.1")
    due = -(-shown // tick) * tick if side is SELL else shown // tick * tick
    desk.trade(due + side.sign * tick)
    assert desk.position() == 100 * side.sign
    desk.trade(due)
    assert desk.position() == 0


def test_liquidation_cancels_orders_and_is_marked_as_the_venue_marks_it() -> None:
    desk = Desk()
    resting = desk.limit_order(BUY, "1", "960", symbol=ETH)
    desk.market_order(BUY, "100")
    stop = desk.algo(SELL, OrderType.STOP_MARKET, "200", close_position=True)
    desk.events()
    happened = desk.trade("905")
    expired = next(e for e in happened if isinstance(e, OrderEvent) and e.order.order_id == resting.order_id)
    closing = [e for e in happened if isinstance(e, OrderEvent) and e.execution_type == "CALCULATED"][-1]
    assert (expired.order.status, expired.expiry_reason) == (OrderStatus.EXPIRED, 5)
    assert closing.order.client_order_id.startswith("autoclose-")
    assert (closing.order.type, closing.order.status) == (OrderType.LIQUIDATION, OrderStatus.FILLED)
    assert desk.exchange.get_algo(stop.algo_id).status is AlgoStatus.EXPIRED
    assert desk.exchange.account().balance.wallet_balance >= 0
    assert_identity(desk.exchange)


def test_liquidation_after_a_gap_never_leaves_a_debt() -> None:
    desk = Desk()
    desk.market_order(BUY, "100")
    desk.trade("500")
    assert desk.position() == 0
    assert 0 <= desk.wallet() <= 100 * D("0.1")
    assert_identity(desk.exchange)


def test_liquidation_fees_of_all_levels_together_take_no_more_than_is_left() -> None:
    desk = Desk()
    desk.market_order(BUY, "100")
    desk.market.marks[BTC] = D(901)
    desk.market.book([("901", "50"), ("900.9", "50")], [("902", "1")])
    desk.market.close_candle()
    desk.play()
    fees = [trade.commission for trade in desk.exchange.user_trades(BTC)[1:]]
    assert fees == [D("34.995"), D(0)]
    assert desk.wallet() == 0


def test_liquidation_stops_when_the_rest_is_sound() -> None:
    desk = Desk()
    desk.market_order(BUY, "100")
    desk.market_order(BUY, "5", symbol=ETH)
    shown = desk.exchange.positions(BTC)[0].liquidation_price
    desk.trade(shown // D("0.1") * D("0.1"))
    assert desk.position() == 0
    assert desk.position(ETH) == 5
    assert desk.wallet() > 0


def test_forced_liquidation_of_a_sound_position_closes_it() -> None:
    desk = Desk()
    desk.market_order(SELL, "1")
    desk.exchange.liquidate(BTC)
    assert desk.position() == 0
    assert words(desk.events())[-1] == "CALCULATED:FILLED"
    assert_identity(desk.exchange)


def test_hedge_legs_are_liquidated_one_by_one() -> None:
    desk = Desk()
    desk.exchange.set_position_mode(True)
    desk.market_order(BUY, "100", position_side=PositionSide.LONG)
    desk.market_order(SELL, "10", position_side=PositionSide.SHORT)
    desk.trade("800")
    assert desk.position(side=PositionSide.LONG) == 0
    assert desk.wallet() >= 0
    assert_identity(desk.exchange)
