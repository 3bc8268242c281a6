"""What happened while nobody looked: missed events, restarts, other people's hands."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from core.commands import (
    Accepted,
    CancelOrder,
    FetchBalances,
    FetchFills,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositions,
    Outcome,
    RefusalKind,
    Refused,
)
from core.enums import AlgoStatus, Leg, OrderService, OrderType, PositionSide, Priority, Side
from core.events import (
    AccountConfigChanged,
    ClockJumped,
    MarginCalled,
    StreamKind,
    StreamState,
    UnknownVenueMessage,
)
from core.orders import AlgoOrderReport
from core.records import ExitReason, TradeState
from executor.inputs import KillRequested, ReconcileRequested
from executor.ledger import fills_command
from executor.policy import ExecutionPolicy
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, ETH, START_MS, D, Lab, Rows, refused, resting_order


def _stop(client_id: str, trigger: str = "99.7", symbol: str = BTC) -> AlgoOrderReport:
    return AlgoOrderReport(
        symbol=symbol,
        client_order_id=client_id,
        algo_id=9,
        side=Side.SELL,
        position_side=PositionSide.BOTH,
        type=OrderType.STOP_MARKET,
        status=AlgoStatus.NEW,
        trigger_price=D(trigger),
        quantity=D(0),
        close_position=True,
        reduce_only=False,
        update_time_ms=START_MS,
    )


# --- before entries -------------------------------------------------------------------------------------------


def test_entries_wait_for_the_first_reconciliation() -> None:
    lab = Lab(ready=False)
    lab.quote(BTC, D(100))
    lab.stream(StreamKind.MARKET, StreamState.READY)
    lab.stream(StreamKind.USER, StreamState.READY)
    lab.signal()
    assert [d.code for d in lab.rows.denials] == ["not_reconciled"]
    lab.run(250)
    lab.signal(number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


@pytest.mark.parametrize("kind", [FetchPositions, FetchOpenOrders, FetchOpenAlgoOrders, FetchBalances])
@pytest.mark.parametrize("answer", [doubt(), refused(RefusalKind.THROTTLED)])
def test_read_that_fails_means_unknown_not_flat(kind: type, answer: object) -> None:
    lab = Lab(ready=False)
    lab.fault(answer, kind=kind, times=3)  # type: ignore[arg-type]
    lab.make_ready()
    lab.run(1_500)
    lab.signal()
    assert [d.code for d in lab.rows.denials] == ["not_reconciled"]
    lab.run(10_000)
    lab.signal(number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


def test_throttled_read_is_not_repeated_before_its_time() -> None:
    lab = Lab(ready=False)
    lab.fault(Refused(RefusalKind.THROTTLED, 0, "used up", 20.0), kind=FetchPositions)
    lab.make_ready()
    lab.run(15_000)
    assert not lab.core.view().is_reconciled
    lab.run(10_000)
    assert lab.core.view().is_reconciled


def test_answer_that_never_comes_is_given_up_and_asked_again() -> None:
    lab = Lab(ready=False)
    lab.fault(None, kind=FetchPositions)
    lab.make_ready()
    lab.run(30_000)
    assert not lab.core.view().is_reconciled
    lab.run(60_000)
    assert lab.core.view().is_reconciled


@pytest.mark.parametrize("kind", list(StreamKind))
def test_stream_that_is_lost_stops_entries_until_it_is_back_and_reconciled(kind: StreamKind) -> None:
    lab = Lab()
    lab.stream(kind, StreamState.LOST)
    lab.run(1_000)
    lab.signal()
    assert lab.rows.denials[-1].code in ("stream_down", "not_reconciled")
    lab.stream(kind, StreamState.READY)
    lab.run(500)
    lab.signal(number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


@pytest.mark.parametrize(
    "event",
    [ClockJumped(5_000, START_MS, START_MS), UnknownVenueMessage("SURPRISE", START_MS, START_MS)],
    ids=lambda event: type(event).__name__,
)
def test_surprise_demands_a_reconciliation_before_entries(event: ClockJumped | UnknownVenueMessage) -> None:
    lab = Lab()
    lab.feed(event)
    lab.signal()
    assert lab.rows.denials[-1].code == "not_reconciled"
    lab.run(500)
    assert lab.core.view().is_reconciled


def test_periodic_reads_that_keep_failing_stop_entries() -> None:
    lab = Lab()
    lab.fault(doubt(), kind=FetchOpenOrders, times=99)
    lab.run(45_000)
    assert not lab.core.view().is_reconciled
    assert "Reconciliation fails" in lab.titles()


# --- missed events --------------------------------------------------------------------------------------------


def test_stop_that_fired_unseen_is_booked_from_the_trade_list() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.mute = True
    lab.price(BTC, "99.5")
    lab.run(40_000)
    row = lab.trade()
    assert row.state is TradeState.CLOSED
    assert row.exit_reason is ExitReason.STOP
    assert D(10_000) + row.realized_pnl - row.fees == lab.venue.wallet
    assert lab.core.view().corrections == 0


def test_fill_event_that_is_lost_is_read_within_seconds_of_the_account_event() -> None:
    lab = Lab()
    lab.venue.fill_parts = (D("0.5"), D("0.5"))
    lab.hold_events = True
    lab.signal()
    lab.hold_events = False
    executions = [e for e in lab.venue.events if getattr(getattr(e, "report", None), "fill", None) is not None]
    lab.venue.events.remove(executions[0])
    lab.run(4_000)
    assert lab.trade().entry_quantity == lab.venue.position(BTC)
    assert len(lab.rows.fills) == 2


def test_order_of_ours_on_a_flat_symbol_is_cancelled() -> None:
    lab = Lab()
    lab.venue.algos["ft-1-7-S0"] = _stop("ft-1-7-S0")
    lab.run(31_000)
    assert lab.venue.algos["ft-1-7-S0"].status is AlgoStatus.CANCELED


def test_order_of_a_younger_epoch_freezes_entries() -> None:
    lab = Lab()
    lab.venue.algos["ft-9-7-S0"] = _stop("ft-9-7-S0")
    lab.run(31_000)
    lab.signal()
    assert lab.rows.denials[-1].code == "halted"
    assert "Another instance trades this account" in lab.titles()
    assert lab.sent(CancelOrder) == []


def test_order_of_a_younger_epoch_is_cancelled_all_the_same_while_the_kill_switch_holds() -> None:
    lab = Lab()
    lab.feed(KillRequested("the operator", lab.now_ms))
    lab.venue.algos["ft-9-7-S0"] = _stop("ft-9-7-S0")
    lab.run(31_000)
    assert lab.venue.algos["ft-9-7-S0"].status is AlgoStatus.CANCELED


def test_plain_order_of_ours_on_a_flat_symbol_is_cancelled_where_it_rests() -> None:
    lab = Lab()
    lab.fault(Accepted((resting_order("ft-1-7-E0"),)), kind=FetchOpenOrders)
    lab.run(31_000)
    assert lab.sent(CancelOrder) == [CancelOrder(BTC, "ft-1-7-E0", OrderService.PLAIN, Priority.EXIT)]


def test_symbol_with_a_position_at_the_venue_alone_has_its_fills_read() -> None:
    lab = Lab()
    lab.run(31_000)
    assert lab.sent(FetchFills) == []
    lab.venue.market_order(ETH, Side.BUY, D(1), "web_1")
    lab.venue.events.clear()
    lab.run(31_000)
    assert {command.symbol for command in lab.sent(FetchFills)} == {ETH}  # type: ignore[union-attr]


def test_order_taken_for_absent_that_turns_up_after_its_trade_is_taken_away() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.TARGET)
    lab.open_long()
    lab.run(30_000)
    assert lab.rows.orders["ft-1-1-T0"].status == "ABSENT"
    lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), "web_1")
    lab.flush()
    lab.run(3_000)
    assert lab.state() is TradeState.CLOSED
    late = replace(_stop("ft-1-1-T0", "100.6"), type=OrderType.TAKE_PROFIT_MARKET, update_time_ms=lab.now_ms)
    lab.venue.algos["ft-1-1-T0"] = late
    lab.run(40_000)
    assert lab.venue.algos["ft-1-1-T0"].status is AlgoStatus.CANCELED
    assert lab.state() is TradeState.CLOSED


# --- other hands ----------------------------------------------------------------------------------------------


def test_position_closed_by_hand_closes_the_trade_and_its_orders() -> None:
    lab = Lab()
    lab.venue._expire_bound = lambda symbol: None  # type: ignore[method-assign]
    lab.open_long()
    lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), "web_1")
    lab.flush()
    lab.run(1_000)
    row = lab.trade()
    assert (row.state, row.exit_reason) == (TradeState.CLOSED, ExitReason.EXTERNAL)
    assert all(a.status.is_terminal for a in lab.venue.algos.values())
    assert D(10_000) + row.realized_pnl - row.fees == lab.venue.wallet


def test_position_partly_closed_by_hand_goes_on_with_the_rest() -> None:
    lab = Lab()
    lab.open_long()
    half = lab.venue.position(BTC) / 2
    lab.venue.market_order(BTC, Side.SELL, half, "web_1")
    lab.flush()
    lab.run(1_000)
    assert lab.trade().quantity == half
    assert lab.state() is TradeState.PROTECTED
    lab.price(BTC, "100.7")
    lab.run(1_000)
    assert lab.trade().state is TradeState.CLOSED


def test_position_enlarged_by_hand_is_adopted_whole_and_flagged() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.market_order(BTC, Side.BUY, D("0.5"), "web_1")
    lab.flush()
    lab.run(1_000)
    assert lab.trade().quantity == lab.venue.position(BTC)
    assert "somebody else" in lab.trade().flagged
    assert len(lab.live_stops()) == 1


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [
        ("autoclose-1", ExitReason.LIQUIDATION),
        ("adl_autoclose", ExitReason.ADL),
        ("settlement_autoclose-1", ExitReason.SETTLEMENT),
    ],
)
def test_position_closed_by_the_venue_is_recognised(client_id: str, reason: ExitReason) -> None:
    lab = Lab()
    lab.venue.fill_parts = (D("0.5"), D("0.5"))
    lab.open_long()
    lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), client_id)
    lab.flush()
    lab.run(1_000)
    assert lab.trade().exit_reason is reason
    lab.signal(number=1)
    lab.run(500)
    if reason is ExitReason.LIQUIDATION:
        assert lab.rows.denials[-1].code == "halted"
    else:
        assert lab.state(2) is TradeState.PROTECTED


def test_liquidation_that_no_stream_told_is_recognised_by_its_order_and_not_taken_for_our_close() -> None:
    lab = Lab()
    lab.open_long(max_holding_ms=1_000)
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.CLOSE, times=9)  # never arrives, and fits the liquidation to the last digit
    lab.run(1_000)
    assert lab.submitted(Leg.CLOSE)
    lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), "autoclose-1")
    lab.run(10_000)
    assert lab.trade().exit_reason is ExitReason.LIQUIDATION
    assert f"{BTC}: liquidation" in lab.titles()
    assert all(order.filled_quantity == 0 for order in lab.rows.orders.values() if order.leg is Leg.CLOSE)


def test_foreign_position_blocks_its_symbol_and_is_left_alone() -> None:
    lab = Lab()
    lab.venue.market_order(ETH, Side.BUY, D(1), "web_1")
    lab.flush()
    lab.run(15_000)
    lab.signal(ETH)
    assert lab.rows.denials[-1].code in ("symbol_blocked", "not_reconciled", "position_open")
    assert lab.venue.position(ETH) == 1
    assert lab.submitted(Leg.CLOSE) == []
    assert "ETHUSDT: position that is not ours" in lab.titles()
    assert len([f for f in lab.rows.fills.values() if f.intent_id is None]) == 1
    lab.venue.market_order(ETH, Side.SELL, D(1), "web_2")
    lab.flush()
    lab.run(40_000)
    lab.signal(ETH, number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


def test_position_turned_by_hand_closes_the_trade_and_blocks_the_rest() -> None:
    lab = Lab()
    lab.open_long()
    ours = lab.venue.position(BTC)
    lab.venue.market_order(BTC, Side.SELL, ours * 2, "web_1")
    lab.flush()
    lab.run(30_000)
    assert lab.venue.position(BTC) == -ours
    lab.signal(number=1)
    assert lab.rows.denials[-1].code in ("symbol_blocked", "not_reconciled", "position_open")
    assert lab.submitted(Leg.CLOSE) == []


def test_foreign_order_blocks_its_symbol_while_it_stands_and_is_left_alone() -> None:
    lab = Lab()
    lab.venue.algos["web_7"] = _stop("web_7", symbol=ETH)
    lab.run(31_000)
    lab.signal(ETH)
    assert lab.rows.denials[-1].code == "symbol_blocked"
    assert lab.sent(CancelOrder) == []
    lab.venue.algos["web_7"] = replace(lab.venue.algos["web_7"], status=AlgoStatus.CANCELED)
    lab.run(31_000)
    lab.signal(ETH, number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


def test_foreign_order_is_told_once_and_only_on_symbols_that_are_traded() -> None:
    lab = Lab()
    lab.venue.algos["web_7"] = _stop("web_7", symbol=ETH)
    lab.venue.algos["web_8"] = _stop("web_8", symbol="DOGEUSDT")
    lab.run(100_000)
    assert [title for title in lab.titles() if "foreign order" in title] == [f"{ETH}: foreign order"]


def test_leverage_changed_by_hand_blocks_the_symbol_until_read_back_equal() -> None:
    lab = Lab()
    lab.fault(doubt(), where=lambda c: type(c).__name__ == "FetchSymbolConfig")
    lab.feed(AccountConfigChanged(BTC, 20, None, lab.now_ms, lab.now_ms))
    lab.signal()
    assert lab.rows.denials[-1].code == "symbol_blocked"
    lab.feed(AccountConfigChanged(BTC, 5, None, lab.now_ms, lab.now_ms))
    lab.signal(number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


def test_margin_call_is_told() -> None:
    lab = Lab()
    lab.feed(MarginCalled((BTC,), lab.now_ms, lab.now_ms))
    assert "Margin call" in lab.titles()


def test_quantity_that_nothing_explains_is_corrected_and_flagged() -> None:
    lab = Lab()
    lab.open_long()
    held = lab.venue.positions[BTC]
    held.quantity -= D("0.5")
    lab.run(60_000)
    assert lab.trade().quantity == held.quantity
    assert "corrected" in lab.trade().flagged
    assert any(f.correction for f in lab.rows.fills.values())
    assert "BTCUSDT: book corrected to the venue's position" in lab.titles()


# --- restart --------------------------------------------------------------------------------------------------


def test_restart_with_open_position_keeps_its_stop_and_goes_on() -> None:
    lab = Lab()
    lab.open_long()
    again = lab.restart()
    assert again.state() is TradeState.PROTECTED
    assert again.submitted(Leg.STOP) == lab.submitted(Leg.STOP)
    again.price(BTC, "100.7")
    again.run(1_000)
    row = again.trade()
    assert (row.state, row.exit_reason) == (TradeState.CLOSED, ExitReason.TARGET)
    assert D(10_000) + row.realized_pnl - row.fees == again.venue.wallet


def test_restart_after_the_stop_fired_while_away_books_it() -> None:
    lab = Lab()
    lab.open_long()
    lab.dead = True
    lab.price(BTC, "99.5")
    again = lab.restart()
    again.run(10_000)
    row = again.trade()
    assert (row.state, row.exit_reason) == (TradeState.CLOSED, ExitReason.STOP)
    assert D(10_000) + row.realized_pnl - row.fees == again.venue.wallet


def test_restart_between_fill_and_stop_places_the_stop() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.signal()
    again = lab.restart(away_ms=1_000)
    again.run(3_000)
    assert again.state() is TradeState.PROTECTED
    assert len(again.live_stops()) == 1
    assert len(again.submitted(Leg.ENTRY)) == 1


def test_restart_with_a_lost_stop_places_a_new_one() -> None:
    lab = Lab()
    lab.open_long()
    del lab.venue.algos[lab.live_stops()[0]]
    again = lab.restart()
    again.run(5_000)
    assert len(again.live_stops()) == 1
    assert again.state() is TradeState.PROTECTED


def test_restart_after_manual_close_while_away_books_it_as_external() -> None:
    lab = Lab()
    lab.open_long()
    lab.dead = True
    lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), "web_1")
    again = lab.restart()
    again.run(10_000)
    assert (again.trade().state, again.trade().exit_reason) == (TradeState.CLOSED, ExitReason.EXTERNAL)


def test_restart_ids_never_meet_those_of_the_earlier_process() -> None:
    lab = Lab()
    lab.open_long()
    lab.price(BTC, "100.7")
    lab.run(1_000)
    again = lab.restart()
    again.signal(number=5)
    again.run(500)
    ids = [c.approved.order.client_order_id for c in again.submitted(Leg.ENTRY)]
    assert ids == ["ft-1-1-E0", "ft-2-2-E0"]


def test_restart_keeps_halts_and_day_totals() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.BUSINESS, -1), leg=Leg.STOP, times=99)
    lab.signal()
    lab.run(6_000)
    again = lab.restart()
    again.signal(number=9)
    assert again.rows.denials[-1].code == "halted"
    assert again.core.view().day_net_pnl == lab.core.view().day_net_pnl != 0


def test_second_restart_changes_nothing() -> None:
    lab = Lab()
    lab.open_long()
    first = lab.restart()
    first.run(31_000)
    positions = dict(first.rows.positions)
    second = first.restart()
    second.run(31_000)
    strip = lambda rows: {k: replace(v, updated_time_ms=0) for k, v in rows.items()}  # noqa: E731
    assert strip(second.rows.positions) == strip(positions)
    assert len(second.submitted(Leg.STOP)) == 1


def test_lost_database_adopts_the_position_that_our_stop_protects() -> None:
    lab = Lab()
    lab.open_long()
    lab.rows = Rows()
    again = lab.restart()
    again.run(2_000)
    row = again.rows.positions[1]
    assert row.strategy == "adopted"
    assert row.quantity == again.venue.position(BTC)
    again.price(BTC, "99.5")
    again.run(3_000)
    assert again.rows.positions[1].state is TradeState.CLOSED
    assert again.venue.position(BTC) == 0


# --- how far back ---------------------------------------------------------------------------------------------

HOUR_MS = 3_600_000


def _list_fills(lab: Lab, outcome: Outcome) -> int:
    """Ask for the fills as a reconciliation would and answer; returns the start that was asked for."""
    command = fills_command(lab.core._desk, BTC)
    lab.reply(command, outcome)
    assert command.start_time_ms is not None
    return command.start_time_ms


def test_fills_of_a_flat_symbol_listed_once_are_not_read_back_to_the_start_for_ever() -> None:
    lab = Lab(policy=ExecutionPolicy(fills_reread_ms=HOUR_MS))
    start_ms = lab.core._desk.history_start_ms
    assert [_list_fills(lab, Accepted(())) for _ in range(2)] == [start_ms, start_ms]  # lists may lag by an hour
    lab.run(3 * HOUR_MS, step_ms=60_000)
    assert _list_fills(lab, Accepted(())) == start_ms
    assert _list_fills(lab, Accepted(())) == lab.now_ms - HOUR_MS


def test_fills_that_could_not_be_read_are_read_from_the_same_time_again() -> None:
    lab = Lab(policy=ExecutionPolicy(fills_reread_ms=0))
    starts = []
    for _ in range(3):
        starts.append(_list_fills(lab, doubt()))
        lab.now_ms += HOUR_MS
        lab.run(250)
    assert starts == [lab.core._desk.history_start_ms] * 3


def test_fills_listed_behind_a_gap_do_not_hide_the_gap() -> None:
    lab = Lab(policy=ExecutionPolicy(fills_reread_ms=0))
    desk = lab.core._desk
    fills_command(desk, BTC)
    lab.reply(FetchFills(BTC, start_time_ms=desk.history_start_ms + 1), Accepted(()))
    assert fills_command(desk, BTC).start_time_ms == desk.history_start_ms


def test_fills_answer_to_an_older_question_counts_from_when_it_was_asked() -> None:
    lab = Lab(policy=ExecutionPolicy(fills_reread_ms=0))
    desk = lab.core._desk
    command, asked_ms = fills_command(desk, BTC), desk.venue_ms
    lab.run(10_000)
    fills_command(desk, BTC)
    lab.reply(command, Accepted(()))
    assert fills_command(desk, BTC).start_time_ms == asked_ms


def test_comparisons_that_are_demanded_again_and_again_get_further_apart() -> None:
    lab = Lab()
    lab.run(40_000)
    begun = []
    for _ in range(60):
        lab.feed(ReconcileRequested("unknown order", lab.now_ms))
        before = len(lab.sent(FetchOpenOrders))
        lab.run(250)
        if len(lab.sent(FetchOpenOrders)) > before:
            begun.append(lab.now_ms)
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    assert gaps[:5] == [500, 1_000, 2_000, 4_000, 5_000]
    assert set(gaps[5:]) <= {5_000}
