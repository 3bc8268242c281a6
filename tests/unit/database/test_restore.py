"""A restart knows all unfinished business and nothing that is over."""

from __future__ import annotations

from decimal import Decimal

from core.candle import DAY_MS
from core.enums import Leg
from core.records import TradeState
from core.restore import RestoredState
from tests.unit.database import examples
from tests.unit.database.examples import T0, D


def test_restore_of_an_empty_database_is_empty(database):
    assert database.restore_state() == RestoredState()


async def test_restore_returns_unfinished_trades_with_their_orders_and_fills(database):
    open_trade = (
        examples.intent(2),
        examples.position(2),
        examples.order("ft-1-2-E0", intent_id=2),
        examples.order("ft-1-2-S0", intent_id=2, leg=Leg.STOP, created_time_ms=T0 + 90_000),
        examples.fill(12, intent_id=2),
    )
    finished = (
        examples.intent(1, state=TradeState.CLOSED),
        examples.position(1, state=TradeState.CLOSED),
        examples.order("ft-1-1-E0", intent_id=1),
        examples.fill(11, intent_id=1),
        examples.intent(3, state=TradeState.REFUSED),
    )
    await database.writer.commit([*open_trade, *finished])
    state = database.restore_state()
    assert state.intents == (examples.intent(2),)
    assert state.positions == (examples.position(2),)
    assert [order.client_order_id for order in state.orders] == ["ft-1-2-E0", "ft-1-2-S0"]
    assert [fill.trade_id for fill in state.fills] == [12]
    assert state.last_trade_ids == {"BTCUSDT": 12}
    assert state.next_intent == 4


async def test_restore_position_open_though_its_intent_is_closed_still_counts(database):
    await database.writer.commit([examples.intent(1, state=TradeState.CLOSED), examples.position(1)])
    state = database.restore_state()
    assert [intent.intent_id for intent in state.intents] == [1]
    assert [position.intent_id for position in state.positions] == [1]


async def test_restore_returns_trades_whose_correction_stands_though_they_are_over(database):
    def trade(number: int, *quantities: str, **changes):
        fills = [
            examples.fill(-number * 1_000 - i, intent_id=number, quantity=D(q), correction=True, **changes)
            for i, q in enumerate(quantities, 2)
        ]
        return (
            examples.intent(number, state=TradeState.CLOSED),
            examples.position(number, state=TradeState.CLOSED),
            *fills,
        )

    trades = (*trade(1, "3.0"), *trade(2, "3", "-1", "-2.00"), *trade(3, "3", "-1"), *trade(4, "1", event_time_ms=0))
    await database.writer.commit(list(trades))
    state = database.restore_state(now_ms=T0 + 3_600_000)
    assert [intent.intent_id for intent in state.intents] == [1, 3]
    assert [position.intent_id for position in state.positions] == [1, 3]
    assert {fill.intent_id for fill in state.fills} == {1, 3}


async def test_restore_returns_the_fills_of_no_trade_of_late_oldest_first(database):
    late = [examples.fill(number, intent_id=None, event_time_ms=T0 + number) for number in (12, 13)]
    older = examples.fill(11, intent_id=None, event_time_ms=T0 - 6 * 3_600_000)
    await database.writer.commit([late[1], older, examples.fill(14), late[0]])
    assert database.restore_state(now_ms=T0 + 3_600_000).foreign_fills == tuple(late)


async def test_restore_tells_which_fills_of_late_are_booked_to_a_trade(database):
    old = examples.fill(11, intent_id=1, event_time_ms=T0 - 6 * 3_600_000)
    await database.writer.commit([old, examples.fill(12, intent_id=1), examples.fill(13, intent_id=None)])
    assert database.restore_state(now_ms=T0 + 3_600_000).booked_trades == {("BTCUSDT", 12)}


async def test_restore_tells_when_the_account_was_first_valued(database):
    await database.writer.commit([examples.account_stat(T0 + 9_000), examples.account_stat(T0)])
    assert database.restore_state().first_valued_time_ms == T0


async def test_restore_returns_active_halts_only(database):
    await database.writer.commit([examples.halt("BTCUSDT"), examples.halt("ETHUSDT")])
    await database.writer.commit([examples.halt("ETHUSDT", active=False)])
    assert database.restore_state().halts == (examples.halt("BTCUSDT"),)


async def test_restore_counts_days_back_from_the_newest_valuation(database):
    await database.writer.commit(
        [
            examples.account_stat(T0 - 5_000, "9990"),
            examples.account_stat(T0 + 5_000, "10001"),
            examples.account_stat(T0 + 9_000, "10002", peak_equity=D("10500")),
            examples.performance(day="2025-05-01"),
            examples.performance(day="2025-04-30"),
            examples.performance(day="2025-04-29"),
        ]
    )
    state = database.restore_state()
    assert state.day_start_equity == Decimal("9990")
    assert state.peak_equity == Decimal("10500")
    assert [row.day for row in state.recent_performance] == ["2025-04-30", "2025-05-01"]


async def test_restore_on_a_later_day_starts_from_the_last_valuation_with_no_results(database):
    await database.writer.commit([examples.account_stat(T0, "10001"), examples.performance(day="2025-05-01")])
    state = database.restore_state(now_ms=T0 + 2 * DAY_MS + 60_000)
    assert state.day_start_equity == Decimal("10001")
    assert state.recent_performance == ()


async def test_restore_after_midnight_knows_yesterdays_rows(database):
    await database.writer.commit([examples.account_stat(T0, "10001"), examples.performance(day="2025-05-01")])
    state = database.restore_state(now_ms=T0 + DAY_MS + 60_000)
    assert state.recent_performance == (examples.performance(day="2025-05-01"),)


async def test_restore_first_day_starts_with_the_first_valuation(database):
    await database.writer.commit([examples.account_stat(T0 + 60_000, "10001"), examples.account_stat(T0 + 120_000)])
    assert database.restore_state().day_start_equity == Decimal("10001")


async def test_restore_knows_the_newest_ledger_row(database):
    await database.writer.commit([examples.income(1), examples.income(2, event_time_ms=T0 + 999)])
    assert database.restore_state().last_income_time_ms == T0 + 60_000
