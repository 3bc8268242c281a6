"""Auto-deleveraging and settlement: positions that the exchange closes itself."""

from __future__ import annotations

import pytest

from core.enums import AlgoStatus, OrderStatus, OrderType, PositionSide
from simulator.engine.errors import ApiError
from simulator.engine.events import DELISTED, AccountEvent, OrderEvent
from tests.unit.simulator_engine.support import BTC, BUY, ETH, SELL, D, Desk, assert_identity, words


@pytest.fixture
def desk() -> Desk:
    found = Desk()
    found.market_order(BUY, "2")
    found.events()
    return found


def test_adl_of_a_share_closes_that_share_at_the_mark_without_a_fee(desk: Desk) -> None:
    wallet = desk.wallet()
    desk.market.marks[BTC] = D("1100.04")
    desk.exchange.deleverage(BTC, D("0.4"))
    account, order = desk.events()
    assert isinstance(account, AccountEvent) and isinstance(order, OrderEvent)
    assert (order.order.client_order_id, order.order.type, order.execution_type) == (
        "adl_autoclose",
        OrderType.LIQUIDATION,
        "CALCULATED",
    )
    assert order.fill is not None and (order.fill.price, order.fill.quantity) == (D("1100.0"), D("0.800"))
    assert (order.fill.commission, order.order.status) == (D(0), OrderStatus.FILLED)
    assert desk.position() == D("1.200")
    assert desk.wallet() > wallet
    assert_identity(desk.exchange)


def test_adl_of_a_sliver_takes_one_lot(desk: Desk) -> None:
    desk.exchange.deleverage(BTC, D("0.00001"))
    assert desk.position() == D("1.999")


def test_adl_of_everything_expires_what_was_bound_to_the_position(desk: Desk) -> None:
    stop = desk.algo(SELL, OrderType.STOP_MARKET, "900", close_position=True)
    desk.limit_order(SELL, "2", "1100", reduce_only=True)
    desk.events()
    desk.exchange.deleverage(BTC, D(1))
    assert words(desk.events()) == ["ACCOUNT:ORDER", "CALCULATED:FILLED", "EXPIRED:EXPIRED", "ALGO:EXPIRED"]
    assert desk.position() == 0
    assert desk.exchange.get_algo(stop.algo_id).status is AlgoStatus.EXPIRED


def test_adl_of_a_part_leaves_the_stop_and_shrinks_nothing_that_still_fits(desk: Desk) -> None:
    desk.algo(SELL, OrderType.STOP_MARKET, "900", close_position=True)
    desk.limit_order(SELL, "1", "1100", reduce_only=True)
    desk.exchange.deleverage(BTC, D("0.5"))
    assert len(desk.exchange.open_algos()) == len(desk.exchange.open_orders()) == 1


def test_adl_reduces_both_legs_of_a_hedge() -> None:
    desk = Desk()
    desk.exchange.set_position_mode(True)
    desk.market_order(BUY, "1", position_side=PositionSide.LONG)
    desk.market_order(SELL, "3", position_side=PositionSide.SHORT)
    desk.exchange.deleverage(BTC, D("0.5"))
    assert desk.position(side=PositionSide.LONG) == D("0.5")
    assert desk.position(side=PositionSide.SHORT) == D("-1.5")
    assert_identity(desk.exchange)


def test_settlement_ends_all_orders_then_closes_the_position(desk: Desk) -> None:
    desk.limit_order(BUY, "1", "950")
    free = desk.algo(BUY, OrderType.STOP_MARKET, "1200")
    desk.market_order(BUY, "1", ETH)
    desk.events()
    desk.exchange.settle_contract(BTC)
    events = desk.events()
    assert words(events) == ["EXPIRED:EXPIRED", "ALGO:EXPIRED", "ACCOUNT:ORDER", "CALCULATED:FILLED"]
    assert events[0].expiry_reason == DELISTED  # type: ignore[attr-defined]
    settled = events[-1].order  # type: ignore[attr-defined]
    assert settled.client_order_id.startswith("settlement_autoclose-") and settled.type is OrderType.MARKET
    assert desk.exchange.get_algo(free.algo_id).status is AlgoStatus.EXPIRED
    assert (desk.position(), desk.position(ETH)) == (D(0), D(1))
    assert_identity(desk.exchange)


def test_settlement_of_a_flat_symbol_closes_nothing_and_of_an_unknown_one_is_refused(desk: Desk) -> None:
    desk.exchange.settle_contract(ETH)
    assert desk.events() == []
    with pytest.raises(ApiError, match="-1121"):
        desk.exchange.settle_contract("NONEUSDT")


def test_forced_closes_come_back_from_the_journal(desk: Desk) -> None:
    desk.exchange.deleverage(BTC, D("0.4"))
    desk.exchange.settle_contract(BTC)
    changes = desk.exchange.take_changes()
    again = Desk()
    again.exchange.restore(changes)
    assert again.exchange.all_orders(BTC) == desk.exchange.all_orders(BTC)
    assert again.wallet() == desk.wallet()
