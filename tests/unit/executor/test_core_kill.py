"""The kill switch against a scripted venue: it empties, keeps at it, says so only afterwards, and stays latched."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.commands import CancelOrder, FetchPositions, InDoubt, RefusalKind, SubmitOrder
from core.effects import Persist, Send
from core.enums import Direction, Leg, PositionSide, Priority, Side
from core.events import AccountUpdated, OrderUpdated, StreamKind, StreamState
from core.ids import ClientOrderId
from core.limits import SizingPolicy
from core.orders import BalanceReport, PositionReport
from core.records import ExitReason, HaltRecord, TradeState
from executor import valuation
from executor.desk import HeldFill, Unwinding
from executor.inputs import FlattenRequested, KillRequested, LeaseLost, ResumeRequested
from executor.kill import CRITICAL_AFTER_MS, on_snapshot, restore, tick, unwind, watch_limits
from executor.tracked import Phase
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, ETH, D, Lab, refused, trading_config


def kill(lab: Lab) -> None:
    lab.feed(KillRequested("a person asked", lab.now_ms))


def is_flat_at_venue(lab: Lab) -> bool:
    orders = [o for o in lab.venue.orders.values() if not o.status.is_terminal]
    algos = [a for a in lab.venue.algos.values() if not a.status.is_terminal]
    return lab.venue.position(BTC) == lab.venue.position(ETH) == 0 and not orders and not algos


def reported_flat(lab: Lab) -> bool:
    return "the account is flat" in lab.titles()


def test_kill_empties_the_account_and_reports_flat_only_after_the_venue_is() -> None:
    lab = Lab()
    lab.open_long()
    lab.signal(ETH, Direction.SHORT)
    lab.run(500)
    kill(lab)
    for _ in range(60):
        assert not reported_flat(lab) or is_flat_at_venue(lab)
        lab.run(250)
    assert reported_flat(lab)
    assert lab.trade().exit_reason is ExitReason.KILL
    assert lab.core.view().flat_counts == {"*": 1}
    assert lab.rows.halts["*", "kill"].detail.endswith("verified flat")


def test_kill_is_recorded_before_the_first_close_leaves() -> None:
    lab = Lab()
    lab.open_long()
    lab.effects.clear()
    kill(lab)
    lab.run(1_000)
    latch = next(
        i
        for i, e in enumerate(lab.effects)
        if isinstance(e, Persist) and e.durable and any(isinstance(r, HaltRecord) for r in e.records)
    )
    close = next(i for i, e in enumerate(lab.effects) if isinstance(e, Send) and isinstance(e.command, SubmitOrder))
    assert latch < close


def test_kill_cancels_protection_only_after_the_close() -> None:
    lab = Lab()
    lab.open_long()
    kill(lab)
    lab.run(5_000)
    commands = lab.venue.commands
    close = next(i for i, c in enumerate(commands) if isinstance(c, SubmitOrder) and c.approved.order.leg is Leg.CLOSE)
    cancels = [i for i, c in enumerate(commands) if isinstance(c, CancelOrder)]
    assert all(i > close for i in cancels)


def test_killed_account_takes_no_entry_until_resumed() -> None:
    lab = Lab()
    kill(lab)
    lab.run(3_000)
    lab.signal()
    assert lab.rows.denials[-1].context["reason"] == "*: kill"
    assert not lab.core.view().is_open_for_entries
    lab.feed(ResumeRequested(lab.now_ms))
    assert lab.core.view().resumed == 1
    lab.run(500)
    lab.signal(number=1)
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


def test_resume_before_the_venue_confirmed_is_refused() -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(refused(RefusalKind.THROTTLED, -1003), kind=FetchPositions, times=100)
    kill(lab)
    lab.run(1_000)
    lab.feed(ResumeRequested(lab.now_ms))
    assert lab.core.view().is_killed
    assert lab.core.view().resumed == 0


def test_entry_that_waited_for_its_commit_is_not_sent_after_the_latch() -> None:
    lab = Lab()
    lab.signal()
    command = lab.submitted(Leg.ENTRY)[0]
    assert command.priority is Priority.ENTRY
    kill(lab)
    assert lab.core.refusal_of(command, lab.now_ms) == "the kill switch is on"
    closing = replace(command, priority=Priority.EXIT)
    assert lab.core.refusal_of(closing, lab.now_ms) is None


def test_entry_that_the_process_slept_over_is_not_sent_and_an_exit_is() -> None:
    """Its intent was on disk, then the process stood still: the price that it was decided at says nothing any more."""
    lab = Lab()
    lab.signal()
    command = lab.submitted(Leg.ENTRY)[0]
    limit_ms = lab.core._desk.config.limits.stale_data_ms
    assert lab.core.refusal_of(command, lab.now_ms + limit_ms // 2) is None
    late_ms = lab.now_ms + limit_ms + 1
    assert "has grown old since the entry was decided" in (lab.core.refusal_of(command, late_ms) or "")
    assert lab.core.refusal_of(replace(command, priority=Priority.EXIT), late_ms) is None


@pytest.mark.parametrize("kind", [StreamKind.USER, StreamKind.MARKET])
def test_entry_that_waited_for_its_commit_is_not_sent_once_a_stream_was_lost(kind: StreamKind) -> None:
    lab = Lab()
    lab.signal()
    command = lab.submitted(Leg.ENTRY)[0]
    lab.stream(kind, StreamState.LOST)
    assert "a stream was lost" in (lab.core.refusal_of(command, lab.now_ms) or "")
    assert lab.core.refusal_of(replace(command, priority=Priority.EXIT), lab.now_ms) is None


@pytest.mark.parametrize("what", ["user_ready", "market_ready", "reconciled"])
def test_entry_needs_both_streams_and_a_comparison_at_the_moment_it_leaves(what: str) -> None:
    lab = Lab()
    lab.signal()
    command = lab.submitted(Leg.ENTRY)[0]
    limit_ms = lab.core._desk.config.limits.stale_data_ms
    assert lab.core.refusal_of(command, lab.now_ms + limit_ms) is None
    setattr(lab.core._desk.link, what, False)
    said = lab.core.refusal_of(command, lab.now_ms)
    assert said == "a stream was lost or a comparison became due since the entry was decided"


def test_entry_that_waited_for_its_commit_is_not_sent_once_its_symbol_was_halted() -> None:
    lab = Lab()
    lab.signal()
    command = lab.submitted(Leg.ENTRY)[0]
    lab.core._desk.halt(ETH, "volatility", "moved too far", 60_000)
    assert lab.core.refusal_of(command, lab.now_ms) is None
    lab.core._desk.halt(BTC, "volatility", "moved too far", 60_000)
    assert lab.core.refusal_of(command, lab.now_ms) == "BTCUSDT was halted since the entry was decided"


def test_kill_with_entry_in_doubt_that_filled_closes_it() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.signal()
    assert lab.venue.position(BTC) > 0
    kill(lab)
    lab.hold_events = False
    lab.run(20_000)
    assert is_flat_at_venue(lab)
    assert reported_flat(lab)


def test_kill_with_entry_in_doubt_that_never_arrived_waits_for_proof() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    kill(lab)
    lab.run(2_000)
    assert not reported_flat(lab)
    lab.run(40_000)
    assert reported_flat(lab)


@pytest.mark.parametrize(
    "outcome",
    [
        InDoubt("HTTP 503"),
        refused(RefusalKind.REDUCE_ONLY, -4118),
        refused(RefusalKind.REDUCE_ONLY, -2022),
        refused(RefusalKind.BANNED, -1003),
    ],
)
def test_kill_repeats_a_close_that_fails(outcome: object) -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(outcome, leg=Leg.CLOSE, times=3)  # type: ignore[arg-type]
    kill(lab)
    lab.run(90_000)
    assert is_flat_at_venue(lab)
    assert reported_flat(lab)


def test_close_blocked_by_a_resting_target_cancels_the_target_and_keeps_the_stop() -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(refused(RefusalKind.REDUCE_ONLY, -4118), leg=Leg.CLOSE, times=1)
    kill(lab)
    lab.run(250)
    cancelled = {c.client_order_id for c in lab.sent(CancelOrder)}  # type: ignore[attr-defined]
    assert {ClientOrderId.parse(i).leg for i in cancelled} == {Leg.TARGET}  # type: ignore[union-attr]
    assert lab.live_stops()


def test_restart_in_the_middle_of_a_kill_goes_on_and_stays_latched() -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(refused(RefusalKind.THROTTLED, -1008), leg=Leg.CLOSE, times=100)
    kill(lab)
    lab.run(1_000)
    assert not is_flat_at_venue(lab)
    lab.venue.rules.clear()
    again = lab.restart()
    assert again.core.view().is_killed
    again.run(20_000)
    assert is_flat_at_venue(again)
    assert reported_flat(again)
    third = again.restart()
    third.run(5_000)
    third.signal(number=5)
    assert third.rows.denials[-1].code == "halted"


def test_kill_with_a_broken_database_still_empties() -> None:
    lab = Lab()
    lab.open_long()
    lab.fail_writes = True
    kill(lab)
    lab.run(15_000)
    assert is_flat_at_venue(lab)
    assert reported_flat(lab)


def test_kill_with_a_dead_user_stream_empties_by_rest() -> None:
    lab = Lab()
    lab.open_long()
    lab.stream(StreamKind.USER, StreamState.LOST)
    lab.hold_events = True
    kill(lab)
    lab.run(60_000)
    assert is_flat_at_venue(lab)
    assert reported_flat(lab)


def test_kill_that_is_not_verified_for_long_says_so_once() -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(refused(RefusalKind.THROTTLED, -1003), leg=Leg.CLOSE, times=10_000)
    kill(lab)
    lab.run(CRITICAL_AFTER_MS + 5_000)
    assert lab.titles().count("the account is not flat yet") == 1
    assert not reported_flat(lab)
    assert BTC in lab.core.view().unwinding["*"]


def test_second_kill_compares_again_and_counts() -> None:
    lab = Lab()
    kill(lab)
    lab.run(3_000)
    kill(lab)
    lab.run(4_000)
    assert lab.core.view().flat_counts == {"*": 2}
    assert lab.titles().count("Kill switch") == 1


def test_foreign_position_is_left_alone_and_named() -> None:
    lab = Lab()
    lab.venue.market_order(BTC, Side.BUY, D("0.5"), "by-hand-1")
    lab.run(40_000)
    kill(lab)
    lab.run(10_000)
    assert lab.venue.position(BTC) == D("0.5")
    text = next(a.text for a in lab.alerts if a.title == "the account is flat")
    assert BTC in text


def test_flatten_empties_one_symbol_and_lets_it_trade_again() -> None:
    lab = Lab()
    lab.open_long()
    lab.signal(ETH, Direction.LONG)
    lab.run(500)
    lab.feed(FlattenRequested(BTC, "a person asked", lab.now_ms))
    lab.signal(BTC, number=3)
    assert lab.rows.denials[-1].code == "halted"
    lab.run(6_000)
    assert lab.venue.position(BTC) == 0
    assert lab.venue.position(ETH) != 0
    assert lab.trade().exit_reason is ExitReason.FLATTEN
    assert lab.core.view().flat_counts == {BTC: 1}
    lab.signal(BTC, number=4)
    lab.run(500)
    assert lab.state(3) is TradeState.PROTECTED


def test_flatten_survives_a_restart() -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(refused(RefusalKind.THROTTLED, -1003), leg=Leg.CLOSE, times=100)
    lab.feed(FlattenRequested(BTC, "a person asked", lab.now_ms))
    lab.venue.rules.clear()
    again = lab.restart()
    again.run(10_000)
    assert again.venue.position(BTC) == 0
    assert not again.rows.halts[BTC, "flatten"].active


def test_daily_loss_trips_the_switch_once_and_drawdown_counts_anew_after_resume() -> None:
    lab = Lab(config=trading_config(max_daily_loss=D(5), max_drawdown_fraction=D("0.0005")))
    lab.open_long()
    lab.price(BTC, "99.75", fire=False)
    lab.run(8_000)
    assert is_flat_at_venue(lab)
    assert lab.core.view().is_killed
    assert any(a.dedupe_key.startswith("risk_limit_hit:") for a in lab.alerts)
    lab.feed(ResumeRequested(lab.now_ms))
    lab.run(5_000)
    assert not lab.core.view().is_killed
    assert lab.core.view().peak_equity == lab.core.view().equity


def test_money_taken_out_is_no_drawdown() -> None:
    lab = Lab(config=trading_config(max_drawdown_fraction=D("0.1")))
    lab.run(2_000)
    row = BalanceReport("USDT", D(5_000), D(5_000), None, D(-5_000))
    lab.feed(AccountUpdated("WITHDRAW", (row,), (), lab.now_ms, lab.now_ms))
    lab.run(3_000)
    assert not lab.core.view().is_killed


def test_lost_lease_stops_every_write_and_says_so_once() -> None:
    lab = Lab()
    lab.open_long()
    before = len(lab.sent(SubmitOrder)) + len(lab.sent(CancelOrder))
    lab.feed(LeaseLost("epoch 2 took over", lab.now_ms))
    lab.feed(LeaseLost("epoch 2 took over", lab.now_ms))
    lab.signal(ETH)
    kill(lab)
    lab.run(5_000)
    assert len(lab.sent(SubmitOrder)) + len(lab.sent(CancelOrder)) == before
    assert lab.rows.denials[-1].code == "lease_lost"
    assert lab.titles().count("Another process took this account over") == 1


def test_streamed_order_of_a_younger_epoch_freezes_entries() -> None:
    lab = Lab()
    lab.open_long()
    entry = next(o for o in lab.venue.orders.values())
    stranger = replace(
        entry, client_order_id=str(ClientOrderId(9, 77, Leg.ENTRY, 0)), venue_order_id=987_654, fill=None
    )
    lab.feed(OrderUpdated(stranger, lab.now_ms, lab.now_ms))
    assert any(h.reason == "other_instance" for h in lab.core.view().halts)


def test_limit_that_is_hit_is_told_once_a_day() -> None:
    lab = Lab(config=trading_config(min_balance=D(50_000)))
    lab.signal()
    lab.signal(number=1)
    keys = {a.dedupe_key for a in lab.alerts if a.dedupe_key.startswith("risk_limit_hit:min_balance")}
    assert len(keys) == 1


def test_quantity_is_unchanged_by_the_price_of_a_kill() -> None:
    lab = Lab()
    lab.open_long()
    entered = lab.trade().entry_quantity
    kill(lab)
    lab.run(5_000)
    closes = [c.approved.order.quantity for c in lab.submitted(Leg.CLOSE)]
    assert sum((q for q in closes if q is not None), Decimal(0)) == entered


def test_drawdown_trips_the_switch_and_a_resume_lets_it_go_on() -> None:
    lab = Lab(config=trading_config(max_daily_loss_fraction=None, max_drawdown_fraction=D("0.0005")))
    lab.open_long()
    lab.price(BTC, "99.75", fire=False)
    lab.run(8_000)
    assert "drawdown" in lab.rows.halts["*", "kill"].detail
    assert is_flat_at_venue(lab)
    lab.feed(ResumeRequested(lab.now_ms))
    lab.run(5_000)
    assert not lab.core.view().is_killed


def test_entry_that_rests_too_long_is_cancelled() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.fault(None, leg=Leg.ENTRY)
    lab.signal()
    order = lab.core._desk.book.active[1].entry
    assert order is not None
    order.phase = Phase.LIVE
    lab.run(59_000)
    assert not lab.sent(CancelOrder)
    order.phase = Phase.LIVE
    lab.run(3_000)
    assert [c.client_order_id for c in lab.sent(CancelOrder)][:1] == [order.client_order_id]  # type: ignore[attr-defined]


def test_scope_that_was_latched_without_an_answer_is_emptied_after_a_moment() -> None:
    lab = Lab()
    lab.open_long()
    lab.fault(None, kind=FetchPositions, times=1)
    kill(lab)
    lab.run(250)
    assert lab.venue.position(BTC) > 0
    lab.run(8_000)
    assert is_flat_at_venue(lab)


def test_position_that_the_books_do_not_know_holds_back_the_word_flat_until_it_is_known_to_be_foreign() -> None:
    lab = Lab()
    kill(lab)
    lab.hold_events = True
    lab.venue.market_order(BTC, Side.BUY, D("0.5"), "by-hand-1")
    lab.venue.events.clear()
    for _ in range(160):
        assert not reported_flat(lab) or BTC in lab.core.view().blocked
        lab.run(250)
    assert reported_flat(lab)


def test_order_of_ours_that_cannot_be_cancelled_holds_back_the_word_flat() -> None:
    lab = Lab()
    lab.open_long()
    algo = next(a for a in lab.venue.algos.values() if not a.status.is_terminal)
    stray = replace(algo, client_order_id=str(ClientOrderId(1, 55, Leg.TARGET, 0)), symbol=ETH)
    kill(lab)
    lab.run(250)
    lab.venue.algos[stray.client_order_id] = stray
    blocked = lab.fault(doubt(), kind=CancelOrder, where=lambda c: getattr(c, "symbol", "") == ETH, times=10_000)
    lab.run(20_000)
    assert lab.venue.position(BTC) == 0
    assert not reported_flat(lab)
    assert "order" in lab.core.view().unwinding["*"]
    lab.venue.rules.remove(blocked)
    lab.run(40_000)
    assert reported_flat(lab)


def test_reading_that_began_before_the_books_were_clear_proves_nothing() -> None:
    lab = Lab()
    kill(lab)
    lab.run(250)
    desk = lab.core._desk
    unwinding = desk.unwinding["*"]
    unwinding.is_verified, unwinding.clear_since_ms = False, lab.now_ms
    on_snapshot(desk, lab.now_ms - 1, (), ())
    assert not unwinding.is_verified
    on_snapshot(desk, lab.now_ms, (), ())
    assert unwinding.is_verified


@pytest.mark.parametrize("limit", [{"max_daily_loss": D(5)}, {"max_daily_loss_fraction": D("0.0005")}])
def test_either_limit_on_the_day_s_loss_trips_the_switch_by_itself(limit: dict[str, object]) -> None:
    alone = {"max_daily_loss": None, "max_daily_loss_fraction": None, "max_drawdown_fraction": None, **limit}
    lab = Lab(config=trading_config(**alone))
    lab.open_long()
    lab.price(BTC, "99.75", fire=False)
    lab.run(8_000)
    assert lab.core.view().is_killed
    assert is_flat_at_venue(lab)


def test_account_without_limits_on_its_loss_is_not_closed_for_one() -> None:
    lab = Lab(config=trading_config(max_daily_loss=None, max_daily_loss_fraction=None, max_drawdown_fraction=None))
    lab.open_long()
    lab.price(BTC, "99.75", fire=False)
    lab.run(8_000)
    assert not lab.core.view().is_killed
    assert lab.venue.position(BTC) > 0


@pytest.mark.parametrize("what", ["equity", "reconciled"])
def test_limits_are_not_judged_by_what_is_not_known(what: str) -> None:
    lab = Lab(config=trading_config(max_daily_loss=D(5), max_drawdown_fraction=D("0.0005")))
    lab.open_long()
    desk = lab.core._desk
    lab.price(BTC, "99.75", fire=False)
    valuation.revalue(desk)
    if what == "equity":
        desk.account.wallet = None
    else:
        desk.link.reconciled = False
    watch_limits(desk)
    assert not desk.halts.is_active("*", "kill")
    desk.account.wallet, desk.link.reconciled = D(10_000), True
    watch_limits(desk)
    assert desk.halts.is_active("*", "kill")


def test_kill_closes_a_position_of_a_fraction_of_a_unit() -> None:
    lab = Lab(config=replace(trading_config(), sizing=SizingPolicy(fixed_quantity=D("0.2"))))
    lab.open_long()
    assert lab.venue.position(BTC) == D("0.2")
    kill(lab)
    lab.run(5_000)
    assert lab.venue.position(BTC) == 0


def test_entry_that_has_to_be_left_is_cancelled_before_everything_else_and_once_in_a_while() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.fault(None, leg=Leg.ENTRY)
    lab.signal()
    entry = lab.core._desk.book.active[1].entry
    assert entry is not None
    kill(lab)
    lab.core._desk.unwinding["*"].is_recorded = True
    entry.phase = Phase.LIVE
    unwind(lab.core._desk, lab.core._desk.book.active[1])
    unwind(lab.core._desk, lab.core._desk.book.active[1])
    effects = lab.core._desk.out.drain(0)
    (sent,) = [e.command for e in effects if isinstance(e, Send) and isinstance(e.command, CancelOrder)]
    assert (sent.client_order_id, sent.priority) == (entry.client_order_id, Priority.EXIT)
    assert entry.cancel_asked is True


def test_scopes_are_judged_each_by_what_is_its_own() -> None:
    """What is left of one symbol holds back neither the other's word nor is held back by it."""
    lab = Lab()
    lab.open_long()
    algo = next(a for a in lab.venue.algos.values() if not a.status.is_terminal)
    position = PositionReport(BTC, PositionSide.BOTH, D("0.5"), D(100), D(0), lab.now_ms)
    desk = lab.core._desk
    desk.book.active.clear()
    for symbol in ("AAAUSDT", BTC, ETH):
        desk.unwinding[symbol] = Unwinding(symbol, ExitReason.FLATTEN, 0, is_recorded=True, clear_since_ms=0)
    desk.unwinding["AAAUSDT"].clear_since_ms = None
    on_snapshot(desk, lab.now_ms, (position,), (algo,))
    assert desk.flat_counts == {ETH: 1}
    assert desk.unwinding[BTC].remaining == f"the venue has position {BTC} 0.5, order {algo.client_order_id}"
    on_snapshot(desk, lab.now_ms, (position,), tuple(replace(algo, client_order_id=f"ft-1-{n}-S0") for n in range(6)))
    assert desk.unwinding[BTC].remaining.count(",") == 4, "five are named"


def test_fill_without_an_owner_keeps_its_own_scope_from_being_clear() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    desk.book.active.clear()
    desk.held[BTC, 5] = HeldFill(lab.venue.fills[0], lab.now_ms)
    for symbol in (BTC, ETH):
        desk.unwinding[symbol] = Unwinding(symbol, ExitReason.FLATTEN, lab.now_ms, is_recorded=True)
    tick(desk)
    assert desk.unwinding[BTC].clear_since_ms is None
    assert desk.unwinding[BTC].remaining == "fills without an owner"
    assert desk.unwinding[ETH].clear_since_ms == lab.now_ms


@pytest.mark.parametrize(
    ("scope", "reason", "is_taken_up"),
    [
        ("*", "kill", True),
        ("*", "daily_loss", False),
        (BTC, "flatten", True),
        (BTC, "kill", False),
        ("*", "flatten", False),
    ],
)
def test_restart_takes_up_only_what_was_being_emptied(scope: str, reason: str, is_taken_up: bool) -> None:
    desk = Lab().core._desk
    desk.halt(scope, reason, "before", None)
    restore(desk)
    assert (scope in desk.unwinding) is is_taken_up
