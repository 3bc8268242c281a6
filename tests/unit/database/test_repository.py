"""What people are shown is what was written."""

from __future__ import annotations

from decimal import Decimal

from core.enums import Leg, OrderService
from core.records import TradeState
from core.signal import signal_id_for
from tests.unit.database import examples
from tests.unit.database.examples import MINUTE, T0, D


def test_every_read_of_an_empty_database_is_empty(database):
    repository = database.repository
    assert repository.symbols() == []
    assert repository.latest_account_stat() is None
    assert repository.equity_curve() == []
    assert repository.day_pnl() is None
    for rows in (
        repository.open_positions(),
        repository.closed_positions(),
        repository.orders(),
        repository.fills(),
        repository.signals(),
        repository.denials(),
        repository.candles("BTCUSDT"),
        repository.results_by_strategy(),
        repository.results_by_symbol(),
        repository.halts(),
        repository.decisions("BTCUSDT"),
    ):
        assert rows == []
    totals = repository.run_totals()
    assert (totals.entries, totals.net_pnl) == (0, Decimal(0))


async def test_symbols_are_those_with_candles_ascending(database):
    await database.writer.commit([examples.candle(s, T0 + n) for s in ("SOLUSDT", "BTCUSDT") for n in (0, MINUTE)])
    assert database.repository.symbols() == ["BTCUSDT", "SOLUSDT"]


async def test_candles_are_the_last_ones_before_the_end_ascending(database):
    rows = [examples.candle(open_time_ms=T0 + n * MINUTE) for n in range(10)]
    await database.writer.commit([*rows, examples.candle("ETHUSDT")])
    times = [c.open_time_ms for c in database.repository.candles("BTCUSDT", limit=3, end_ms=T0 + 8 * MINUTE)]
    assert times == [T0 + n * MINUTE for n in (5, 6, 7)]


async def test_equity_curve_is_thinned_to_the_last_of_each_span(database):
    await database.writer.commit([examples.account_stat(T0 + n * 1000, str(10_000 + n)) for n in range(1000)])
    curve = database.repository.equity_curve(points_max=100)
    assert 90 <= len(curve) <= 100
    assert curve[-1].equity == D("10999")
    assert [p.event_time_ms for p in curve] == sorted(p.event_time_ms for p in curve)
    assert len(database.repository.equity_curve(since_ms=T0 + 995_000)) == 5


async def test_day_pnl_is_the_change_since_midnight_without_transfers(database):
    await database.writer.commit(
        [
            examples.account_stat(T0 - 1000, "9000"),
            examples.account_stat(T0 + 1000, "9500"),
            examples.account_stat(T0 + 2000, "10110"),
            examples.income(1, "1000", income_type="TRANSFER", symbol="", intent_id=None),
            examples.income(2, "500", income_type="TRANSFER", event_time_ms=T0 - 5000, intent_id=None),
            examples.income(3, "-0.5"),
        ]
    )
    assert database.repository.day_pnl() == D("110")


async def test_open_positions_carry_their_last_mark(database):
    await database.writer.commit(
        [
            examples.position(1),
            examples.mark(1),
            examples.position(2, state=TradeState.CLOSED, closed_time_ms=T0),
            examples.position(3, opened_time_ms=None, quantity=D(0)),
        ]
    )
    (view,) = database.repository.open_positions()
    assert (view.record, view.mark_price, view.unrealized_pnl) == (
        examples.position(1),
        examples.mark().mark_price,
        examples.mark().unrealized_pnl,
    )


async def test_closed_positions_are_newest_first_and_by_symbol(database):
    closed = {"state": TradeState.CLOSED, "quantity": D(0)}
    await database.writer.commit(
        [
            examples.position(1, closed_time_ms=T0 + 1, **closed),
            examples.position(2, closed_time_ms=T0 + 3, symbol="ETHUSDT", **closed),
            examples.position(3, closed_time_ms=T0 + 2, **closed),
        ]
    )
    assert [p.record.intent_id for p in database.repository.closed_positions()] == [2, 3, 1]
    assert [p.record.intent_id for p in database.repository.closed_positions(symbol="BTCUSDT")] == [3, 1]


async def test_results_sum_days_by_strategy_and_by_symbol(database):
    await database.writer.commit(
        [
            examples.performance("BTCUSDT", "2025-05-01"),
            examples.performance("BTCUSDT", "2025-05-02", realized_pnl=D("0.1"), wins=1, losses=0, trades=1),
            examples.performance("ETHUSDT", "2025-05-02", realized_pnl=D("0.2")),
        ]
    )
    (strategy,) = database.repository.results_by_strategy()
    assert (strategy.name, strategy.trades, strategy.wins, strategy.losses) == ("vwap_reversion", 7, 5, 2)
    assert strategy.net_pnl == D("12.8") - D("6.75") - D("0.3")
    assert [(r.name, r.trades, r.realized_pnl) for r in database.repository.results_by_symbol()] == [
        ("BTCUSDT", 4, D("12.6")),
        ("ETHUSDT", 3, D("0.2")),
    ]


async def test_decisions_are_the_last_of_each_strategy_at_that_time(database):
    for n, gate in enumerate(["adx", "band", "signal"]):
        await database.writer.commit([examples.decision(open_time_ms=T0 + n * MINUTE, gate=gate, adx=20.0 + n)])
    (last,) = database.repository.decisions("BTCUSDT")
    assert (last.verdict.gate, last.verdict.numbers) == ("signal", {"adx": 22.0})
    (earlier,) = database.repository.decisions("BTCUSDT", at_ms=T0 + 2 * MINUTE + 30_000)
    assert earlier.verdict.gate == "band"
    assert database.repository.decisions("BTCUSDT", at_ms=T0 - 1) == []


async def test_decision_for_a_signal_tells_what_became_of_it(database):
    signal_id = signal_id_for("vwap_reversion", "BTCUSDT", "1m", T0)
    await database.writer.commit(
        [examples.decision(gate="signal"), examples.signal(signal_id), examples.denial(signal_id)]
    )
    (view,) = database.repository.decisions("BTCUSDT")
    assert view.signal == examples.signal(signal_id)
    assert view.denial == examples.denial(signal_id)


def a_trade(n: int, *, epoch: int, pnl: str, at_ms: int):
    """Entry and exit of one trade with stop and target on the venue; fees 0.3, funding -0.1."""
    protection = {"service": OrderService.ALGO, "venue_order_id": None, "algo_id": n, "intent_id": n}
    return [
        examples.intent(n, epoch=epoch, state=TradeState.CLOSED),
        examples.order(f"ft-1-{n}-S0", leg=Leg.STOP, **protection),
        examples.order(f"ft-1-{n}-T0", leg=Leg.TARGET, **protection),
        examples.fill(2 * n, intent_id=n, fee=D("0.1"), event_time_ms=at_ms, price=D(100), quantity=D(2)),
        examples.fill(
            2 * n + 1,
            intent_id=n,
            leg=Leg.TARGET,
            fee=D("0.2"),
            realized_pnl=D(pnl),
            event_time_ms=at_ms,
            price=D(100),
            quantity=D(2),
        ),
        examples.income(n, "-0.1", intent_id=n, event_time_ms=at_ms),
        examples.position(
            n,
            state=TradeState.CLOSED,
            realized_pnl=D(pnl),
            fees=D("0.3"),
            funding=D("-0.1"),
            closed_time_ms=at_ms,
        ),
    ]


async def test_run_totals_adds_up_exactly(database):
    await database.writer.commit(
        [
            *a_trade(1, epoch=1, pnl="5", at_ms=T0),
            *a_trade(2, epoch=2, pnl="-3", at_ms=T0 + 10),
            *a_trade(3, epoch=2, pnl="0.35", at_ms=T0 + 20),
            examples.candle(),
            examples.candle("ETHUSDT"),
            examples.signal(),
            examples.denial(),
        ]
    )
    totals = database.repository.run_totals()
    assert totals.net_pnl == D("2.35") - D("0.9") - D("0.3")
    assert (totals.entries, totals.entries_protected, totals.closed_trades) == (3, 3, 3)
    assert (totals.wins, totals.losses) == (1, 2)  # 0.35 does not cover fees and funding
    assert (totals.volume, totals.symbols_with_candles) == (D(1200), 2)
    assert (totals.signals, totals.denials) == (1, 1)


async def test_run_totals_of_an_epoch_and_since_a_time_count_only_those(database):
    await database.writer.commit(
        [*a_trade(1, epoch=1, pnl="5", at_ms=T0), *a_trade(2, epoch=2, pnl="-3", at_ms=T0 + 10)]
    )
    for totals in (
        database.repository.run_totals(epoch=2),
        database.repository.run_totals(since_ms=T0 + 10),
        database.repository.run_totals(since_ms=T0 + 1, epoch=2),
    ):
        assert (totals.closed_trades, totals.net_pnl) == (1, D("-3.4"))


async def test_run_totals_entry_without_target_is_not_protected(database):
    stop = examples.order("ft-1-1-S0", leg=Leg.STOP, service=OrderService.ALGO, algo_id=1)
    await database.writer.commit([examples.intent(), examples.fill(), stop])
    totals = database.repository.run_totals()
    assert (totals.entries, totals.entries_protected) == (1, 0)
