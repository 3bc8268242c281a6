"""Settings, funding, look-ups, transfers, and the journal that brings an account back."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from core.candle import DAY_MS
from core.enums import AlgoStatus, MarginType, OrderType, PositionSide, TimeInForce
from simulator.engine.config import ExchangeConfig
from simulator.engine.events import AccountConfigEvent, AccountEvent
from simulator.engine.exchange import Exchange
from simulator.engine.state import Change
from tests.unit.simulator_engine.support import (
    BTC,
    BUY,
    ETH,
    HOUR_MS,
    SELL,
    START_MS,
    D,
    Desk,
    assert_identity,
    refusal,
    words,
)

# settings


def test_leverage_is_set_told_and_idempotent() -> None:
    desk = Desk()
    assert desk.exchange.symbol_config(BTC)[0].leverage == 20
    config = desk.exchange.set_leverage(BTC, 10)
    assert (config.leverage, config.max_notional) == (10, 1_000_000)
    assert desk.events() == [AccountConfigEvent(BTC, 10, START_MS)]
    desk.exchange.set_leverage(BTC, 10)
    assert desk.events() == []


@pytest.mark.parametrize("leverage", [0, 51, -1])
def test_leverage_out_of_range_is_refused(leverage: int) -> None:
    with refusal(-4028):
        Desk().exchange.set_leverage(BTC, leverage)


def test_leverage_that_the_position_is_too_large_for_is_refused() -> None:
    desk = Desk()
    desk.market_order(BUY, "60")
    with refusal(-2027):
        desk.exchange.set_leverage(BTC, 21)


def test_leverage_lower_than_the_margin_allows_is_refused() -> None:
    desk = Desk()
    desk.market_order(BUY, "60")
    with refusal(-2028):
        desk.exchange.set_leverage(BTC, 3)
    desk.exchange.set_leverage(BTC, 10)


def test_lower_leverage_with_isolated_position_is_refused() -> None:
    desk = Desk()
    desk.isolate()
    desk.market_order(BUY, "1")
    with refusal(-4161):
        desk.exchange.set_leverage(BTC, 10)
    desk.exchange.set_leverage(BTC, 25)


def test_margin_type_change_is_refused_when_unchanged_or_in_use() -> None:
    desk = Desk()
    with refusal(-4046):
        desk.exchange.set_margin_type(BTC, MarginType.CROSSED)
    desk.limit_order(BUY, "1", "990")
    with refusal(-4047):
        desk.exchange.set_margin_type(BTC, MarginType.ISOLATED)
    desk.exchange.cancel_all(BTC)
    desk.market_order(BUY, "1")
    with refusal(-4048):
        desk.exchange.set_margin_type(BTC, MarginType.ISOLATED)
    desk.market_order(SELL, "1")
    desk.exchange.set_margin_type(BTC, MarginType.ISOLATED)
    assert desk.exchange.symbol_config(BTC)[0].margin_type is MarginType.ISOLATED


def test_position_mode_change_is_refused_when_unchanged_or_in_use() -> None:
    desk = Desk()
    with refusal(-4059):
        desk.exchange.set_position_mode(False)
    stop = desk.algo(SELL, OrderType.STOP_MARKET, "990")
    with refusal(-4067):
        desk.exchange.set_position_mode(True)
    desk.exchange.cancel_algo(stop.algo_id)
    desk.market_order(BUY, "1", symbol=ETH)
    with refusal(-4068):
        desk.exchange.set_position_mode(True)
    desk.market_order(SELL, "1", symbol=ETH)
    desk.exchange.set_position_mode(True)
    assert desk.exchange.is_hedge_mode


def test_unknown_symbol_is_refused_everywhere() -> None:
    exchange = Desk().exchange
    calls = (
        exchange.open_orders,
        exchange.all_orders,
        exchange.cancel_all,
        exchange.open_algos,
        exchange.all_algos,
        exchange.cancel_all_algos,
        exchange.user_trades,
        exchange.income,
        exchange.positions,
        exchange.symbol_config,
        exchange.commission_rate,
        exchange.brackets,
    )
    for call in calls:
        with refusal(-1121):
            call("NOSUCH")


def test_fees_and_brackets_are_the_contracts() -> None:
    exchange = Desk().exchange
    fees = exchange.commission_rate(BTC)
    assert (fees.maker, fees.taker) == (D("0.0002"), D("0.0005"))
    assert list(exchange.brackets()) == [BTC, ETH]
    assert exchange.brackets(ETH)[ETH][0].initial_leverage == 50


# funding


def test_long_pays_positive_funding_once_at_its_time() -> None:
    desk = Desk()
    desk.market_order(BUY, "10")
    desk.market.marks[BTC] = D("1001.2345")
    before = desk.wallet()
    desk.events()
    events = desk.exchange.advance(desk.market.funding_ms)
    assert desk.wallet() == before - D("1.0012345")
    told = [event for event in events if isinstance(event, AccountEvent)]
    assert [(event.reason, event.positions, event.time_ms) for event in told] == [
        ("FUNDING_FEE", (), desk.market.funding_ms)
    ]
    assert told[0].balances[0].change == D("-1.0012345")
    desk.exchange.advance(desk.market.funding_ms + HOUR_MS)
    rows = desk.exchange.income(income_type="FUNDING_FEE")
    assert [(row.symbol, row.income, row.time_ms) for row in rows] == [(BTC, D("-1.0012345"), desk.market.funding_ms)]
    assert_identity(desk.exchange)


def test_short_receives_positive_funding_every_interval() -> None:
    desk = Desk()
    desk.market_order(SELL, "10")
    desk.exchange.advance(desk.market.funding_ms + 17 * HOUR_MS)
    rows = desk.exchange.income(income_type="FUNDING_FEE")
    assert [row.income for row in rows] == [D(1)] * 3
    assert_identity(desk.exchange)


def test_isolated_position_pays_funding_from_its_own_wallet() -> None:
    desk = Desk()
    desk.isolate()
    desk.market_order(BUY, "10")
    before = desk.exchange.positions(BTC)[0].isolated_wallet
    desk.events()
    events = desk.exchange.advance(desk.market.funding_ms)
    told = [event for event in events if isinstance(event, AccountEvent)]
    assert desk.exchange.positions(BTC)[0].isolated_wallet == before - 1
    assert told[0].positions[0].isolated_wallet == before - 1


def test_market_that_still_names_a_paid_time_is_paid_once() -> None:
    desk = Desk()
    desk.market_order(BUY, "10")
    due_ms = desk.market.funding_ms
    desk.market.next_funding_ms = lambda symbol: due_ms  # type: ignore[method-assign]
    desk.exchange.advance(due_ms + 9 * HOUR_MS)
    rows = desk.exchange.income(income_type="FUNDING_FEE")
    assert [row.time_ms for row in rows] == [due_ms, due_ms + 8 * HOUR_MS]


def test_funding_too_small_to_book_is_left_out() -> None:
    desk = Desk()
    desk.market_order(BUY, "0.005")
    desk.market.rate = D("0.000000001")
    desk.exchange.advance(desk.market.funding_ms)
    assert desk.exchange.income(income_type="FUNDING_FEE") == []


def test_account_without_deposit_starts_empty() -> None:
    desk = Desk(deposit=D(0))
    assert desk.exchange.balances()[0].wallet_balance == 0
    assert desk.exchange.income() == []
    with refusal(-2019):
        desk.market_order(BUY, "1")


def test_flat_account_pays_no_funding() -> None:
    desk = Desk()
    assert words(list(desk.exchange.advance(desk.market.funding_ms + DAY_MS))) == []


# transfers, trades, income, orders


def test_transfer_changes_the_wallet_and_is_told() -> None:
    desk = Desk()
    desk.exchange.transfer(D(500))
    desk.exchange.transfer(D(-200))
    assert desk.wallet() == 10_300
    assert words(desk.events()) == ["ACCOUNT:DEPOSIT", "ACCOUNT:WITHDRAW"]
    assert_identity(desk.exchange)


def test_user_trades_page_by_id_and_window() -> None:
    desk = Desk()
    times = []
    for _ in range(5):
        desk.market_order(BUY, "1")
        times.append(desk.exchange.now_ms)
        desk.exchange.advance(desk.exchange.now_ms + DAY_MS)
    exchange = desk.exchange
    assert [t.trade_id for t in exchange.user_trades(BTC, from_id=3, limit=2)] == [3, 4]
    assert [t.time_ms for t in exchange.user_trades(BTC, start_ms=times[1], end_ms=times[3])] == times[1:4]
    assert [t.trade_id for t in exchange.user_trades(BTC, limit=2)] == [4, 5]
    assert [t.trade_id for t in exchange.user_trades(BTC, order_id=2)] == [2]
    assert exchange.user_trades(ETH) == []
    with refusal(-1128):
        exchange.user_trades(BTC, from_id=1, start_ms=1)
    with refusal(-1023):
        exchange.user_trades(BTC, start_ms=2, end_ms=1)
    with refusal(-4165):
        exchange.user_trades(BTC, start_ms=0, end_ms=8 * DAY_MS)
    with refusal(-1130):
        exchange.user_trades(BTC, limit=0)


def test_income_is_filtered_and_paged() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.market_order(SELL, "1", symbol=ETH)
    rows = desk.exchange.income()
    assert [row.income_type for row in rows] == ["TRANSFER", "COMMISSION", "COMMISSION"]
    assert [row.tran_id for row in rows] == [1, 2, 3]
    assert len(desk.exchange.income(ETH)) == 1
    assert [row.tran_id for row in desk.exchange.income(limit=2)] == [2, 3]
    assert [row.tran_id for row in desk.exchange.income(start_ms=0, limit=2)] == [1, 2]
    assert [row.tran_id for row in desk.exchange.income(start_ms=0, limit=2, page=2)] == [3]


def test_unfilled_orders_are_forgotten_after_three_days_and_all_after_ninety() -> None:
    desk = Desk()
    filled = desk.market_order(BUY, "1")
    dead = desk.limit_order(BUY, "1", "990")
    desk.exchange.cancel_order(BTC, dead.order_id)
    kept = desk.limit_order(BUY, "1", "980")
    start_ms = desk.exchange.now_ms
    desk.exchange.advance(start_ms + 3 * DAY_MS)
    assert len(desk.exchange.all_orders(BTC, start_ms=start_ms)) == 3
    desk.exchange.advance(start_ms + 3 * DAY_MS + 1)
    assert [o.order_id for o in desk.exchange.all_orders(BTC, order_id=1)] == [filled.order_id, kept.order_id]
    with refusal(-2013):
        desk.exchange.get_order(BTC, dead.order_id)
    desk.exchange.advance(start_ms + 92 * DAY_MS)
    assert [o.order_id for o in desk.exchange.all_orders(BTC, order_id=1)] == [kept.order_id]
    assert desk.exchange.user_trades(BTC, from_id=1) == []
    gone = [change for change in desk.exchange.take_changes() if change.value is None]
    assert {change.key for change in gone if change.kind == "order"} == {str(filled.order_id), str(dead.order_id)}


# journal


def busy_desk() -> Desk:
    desk = Desk()
    desk.exchange.set_leverage(ETH, 10)
    desk.isolate(ETH)
    desk.market_order(BUY, "1")
    desk.algo(SELL, OrderType.STOP_MARKET, "990", close_position=True)
    desk.algo(SELL, OrderType.TRAILING_STOP_MARKET, None, quantity=D(1), callback_rate=D(5), reduce_only=True)
    desk.market_order(SELL, "2", symbol=ETH)
    desk.limit_order(BUY, "1", "985", symbol=ETH, reduce_only=True)
    far_ms = desk.exchange.now_ms + 800_000
    desk.limit_order(BUY, "1", "980", time_in_force=TimeInForce.GTD, good_till_ms=far_ms)
    desk.trade("1005", "1003")
    return desk


def through_json(changes: list[Change]) -> list[Change]:
    """What a journal does: every fact as text and back."""
    text = [json.dumps([change.kind, change.key, change.value]) for change in changes]
    return [Change(*json.loads(line)) for line in text]


def everything(exchange: Exchange) -> list[object]:
    return [
        exchange.account(),
        exchange.positions(include_flat=True),
        exchange.open_orders(),
        exchange.open_algos(),
        exchange.all_orders(BTC),
        exchange.all_algos(BTC),
        exchange.user_trades(),
        exchange.income(),
        exchange.symbol_config(),
        exchange.is_hedge_mode,
    ]


def test_restored_exchange_equals_the_one_that_was_journalled() -> None:
    desk = busy_desk()
    facts = through_json(desk.exchange.take_changes())
    revived = Exchange(desk.market, ExchangeConfig())
    revived.restore(facts)
    assert everything(revived) == everything(desk.exchange)
    assert revived.take_changes() == []
    assert revived.drain_events() == []


def test_restored_exchange_goes_on_exactly_as_the_first_would_have() -> None:
    first, second = busy_desk(), busy_desk()
    revived = Exchange(second.market, ExchangeConfig())
    revived.restore(through_json(second.exchange.take_changes()))
    second.exchange = revived
    logs = []
    for desk in (first, second):
        desk.events()
        log = desk.trade("1010", "984", "1001", "979", symbol=ETH) + desk.trade("1012", "989", "960")
        log += desk.exchange.advance(START_MS + DAY_MS)
        desk.market_order(BUY, "1")
        logs.append([*log, *desk.events()])
    assert logs[0] == logs[1]
    assert everything(first.exchange) == everything(second.exchange)


def test_changes_are_told_once_with_their_latest_value() -> None:
    desk = Desk()
    desk.exchange.take_changes()
    order = desk.limit_order(BUY, "3", "990")
    desk.trade("980", quantity="1")
    changes = desk.exchange.take_changes()
    about = [change for change in changes if (change.kind, change.key) == ("order", str(order.order_id))]
    assert len(about) == 1
    assert about[0].value is not None
    assert about[0].value["executed_quantity"] == "1"
    assert desk.exchange.take_changes() == []


def test_later_facts_and_deletions_win_on_restore() -> None:
    desk = Desk()
    order = desk.limit_order(BUY, "3", "990")
    facts = desk.exchange.take_changes()
    desk.exchange.cancel_order(BTC, order.order_id)
    facts += desk.exchange.take_changes()
    revived = Exchange(desk.market, ExchangeConfig())
    revived.restore([*facts, Change("order", "77", None)])
    assert revived.open_orders() == []
    assert revived.account() == desk.exchange.account()


def test_restore_of_nothing_leaves_a_new_account() -> None:
    desk = Desk(deposit=D(123))
    desk.exchange.restore([])
    assert desk.wallet() == 123


def test_funding_already_paid_is_not_paid_again_after_a_restart() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.exchange.advance(desk.market.funding_ms)
    revived = Exchange(desk.market, ExchangeConfig())
    revived.restore(desk.exchange.take_changes())
    revived.advance(desk.market.funding_ms + HOUR_MS)
    assert len(revived.income(income_type="FUNDING_FEE")) == 1


def test_hedge_leg_is_restored_with_its_side() -> None:
    desk = Desk()
    desk.exchange.set_position_mode(True)
    desk.market_order(SELL, "2", position_side=PositionSide.SHORT)
    revived = Exchange(desk.market, ExchangeConfig())
    revived.restore(through_json(desk.exchange.take_changes()))
    assert [(view.position_side, view.quantity) for view in revived.positions()] == [(PositionSide.SHORT, D(-2))]


def test_triggered_stop_limit_finishes_after_a_restart() -> None:
    desk = Desk()
    finished = desk.algo(BUY, OrderType.STOP_MARKET, "1005", quantity=D(1))
    order = desk.algo(BUY, OrderType.STOP, "1010", quantity=D(1), price=D(1001))
    desk.trade("1011")
    revived = Exchange(desk.market, ExchangeConfig())
    revived.restore(through_json(desk.exchange.take_changes()))
    desk.exchange = revived
    assert [algo.status for algo in revived.open_algos()] == [AlgoStatus.TRIGGERED]
    desk.trade("1000")
    done = revived.get_algo(order.algo_id)
    assert (done.status, done.actual_price, done.actual_quantity) == (AlgoStatus.FINISHED, D(1001), D(1))
    assert revived.get_algo(finished.algo_id).status is AlgoStatus.FINISHED


def test_funds_are_those_of_the_balances() -> None:
    desk = Desk()
    desk.isolate()
    desk.market_order(BUY, "1")
    desk.limit_order(BUY, "0.2", "99", symbol=ETH)
    desk.market_order(BUY, "3", symbol=ETH)
    (funds,), (balance,) = desk.exchange.funds(), desk.exchange.balances()
    assert funds.wallet_balance != funds.cross_wallet_balance != funds.available_balance
    assert all(getattr(funds, one.name) == getattr(balance, one.name) for one in fields(funds))
