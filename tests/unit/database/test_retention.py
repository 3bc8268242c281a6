"""Old rows go only where the user said so, and never what a restart needs."""

from __future__ import annotations

from dataclasses import replace

from core.candle import DAY_MS
from core.records import TradeState
from tests.unit.database import examples
from tests.unit.database.examples import MINUTE, T0, D

NOW = T0 + 100 * DAY_MS


def days_ago(days: float) -> int:
    return int(NOW - days * DAY_MS)


async def test_without_retention_days_only_old_decisions_go(database):
    await database.writer.commit(
        [
            examples.decision(open_time_ms=days_ago(31)),
            examples.decision("ETHUSDT", days_ago(45)),
            examples.decision(open_time_ms=days_ago(29)),
            examples.candle(open_time_ms=days_ago(99)),
            examples.fill(event_time_ms=days_ago(99)),
        ]
    )
    assert database.retention.run(NOW, days=None) == 2
    assert database.repository.decisions("ETHUSDT") == []
    assert len(database.repository.decisions("BTCUSDT")) == 1
    assert len(database.repository.candles("BTCUSDT")) == 1


async def test_old_candles_of_each_symbol_go_in_slices(database):
    rows = [
        examples.candle(symbol, days_ago(day) + n * MINUTE)
        for symbol in ("BTCUSDT", "ETHUSDT")
        for day in (40, 20, 5)
        for n in range(3)
    ]
    await database.writer.commit(rows)
    assert database.retention.run(NOW, days=10) == 12
    assert [c.open_time_ms for c in database.repository.candles("ETHUSDT")] == [
        days_ago(5) + n * MINUTE for n in range(3)
    ]


async def test_finished_trades_go_and_unfinished_ones_stay_with_all_that_is_theirs(database):
    old = days_ago(50)
    closed = {"state": TradeState.CLOSED}
    await database.writer.commit(
        [
            examples.intent(1, created_time_ms=old, **closed),
            examples.position(1, closed_time_ms=old, **closed),
            examples.order("ft-1-1-E0", intent_id=1, updated_time_ms=old),
            examples.fill(1, intent_id=1, event_time_ms=old),
            examples.intent(2, created_time_ms=old),
            examples.position(2),
            examples.order("ft-1-2-E0", intent_id=2, updated_time_ms=old),
            examples.fill(2, intent_id=2, event_time_ms=old),
            examples.intent(3, created_time_ms=old, **closed),
            examples.fill(3, intent_id=3, event_time_ms=old),
        ]
    )
    before = database.restore_state()
    database.retention.run(NOW, days=10)
    after = database.restore_state()
    assert after == before
    assert [order.intent_id for order in database.repository.orders()] == [2]
    assert sorted(fill.trade_id for fill in database.repository.fills()) == [2, 3]  # 3: the newest of its symbol
    assert database.repository.closed_positions() == []


async def test_newest_valuation_and_ledger_row_stay_however_old(database):
    await database.writer.commit(
        [examples.account_stat(days_ago(n), str(9000 + n)) for n in (60, 50)]
        + [examples.income(n, event_time_ms=days_ago(n)) for n in (60, 50)]
    )
    before = database.restore_state(NOW)
    assert database.retention.run(NOW, days=10) == 2
    after = database.restore_state(NOW)
    assert (after.booked_incomes, before.booked_incomes) == (
        {(50, "FUNDING_FEE")},
        {(50, "FUNDING_FEE"), (60, "FUNDING_FEE")},
    )
    assert after.first_valued_time_ms == days_ago(50)  # asked only where no ledger row was ever booked
    same = {name: getattr(before, name) for name in ("booked_incomes", "first_valued_time_ms")}
    assert replace(after, **same) == before
    assert before.peak_equity == D("10010")


async def test_unsent_alerts_stay(database):
    await database.writer.commit([examples.alert("sent"), examples.alert("waiting")])
    database.outbox.mark_sent(1, NOW)
    database.retention.run(NOW, days=10)
    assert [item.id for item in database.outbox.due(NOW, 10)] == [2]


async def test_nothing_old_deletes_nothing(database):
    await database.writer.commit([examples.candle(open_time_ms=days_ago(1)), examples.decision(open_time_ms=NOW)])
    assert database.retention.run(NOW, days=10) == 0
