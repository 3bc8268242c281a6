"""Corrections and the real fills behind them: told at last, they leave the rows as if nothing had been hidden."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.commands import FetchFills
from core.effects import Notify, Persist
from core.enums import Direction, Leg, PositionSide, Side
from core.orders import FillReport
from core.records import ExitReason, FillRecord, TradeState
from executor import corrections, ledger
from executor.days import DayLedger
from executor.standing import standing
from executor.strangers import Strangers
from tests.unit.executor.fake_venue import FakeVenue
from tests.unit.executor.lab import BTC, D, Lab

HAND = "web_1"


class Hidden:
    """Hides fills of the venue's trade list from the list's readers until they are shown."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._known = len(lab.venue.fills)
        self._fills: list[FillReport] = []
        lab.venue.mute = True

    def hide(self) -> None:
        self._fills += self._lab.venue.fills[self._known :]
        del self._lab.venue.fills[self._known :]

    def show(self, count: int | None = None) -> None:
        shown = self._fills[:count]
        del self._fills[: len(shown)]
        self._lab.venue.fills += shown
        self._known += len(shown)


def _by_hand(lab: Lab, side: Side, quantity: Decimal) -> None:
    lab.venue.market_order(BTC, side, quantity, HAND)


def _bought(trade_id: int) -> FillReport:
    venue = FakeVenue(prices={BTC: D(100)})
    venue.market_order(BTC, Side.BUY, D(1), HAND)
    return replace(venue.fills[0], trade_id=trade_id)


def _fills(lab: Lab, *, correction: bool) -> list[FillRecord]:
    return [row for row in lab.rows.fills.values() if row.correction is correction]


def _assert_rows_are_the_real_fills(lab: Lab) -> None:
    """Wallet, the position's row and the day's row say the same, to the last digit; corrections add up to nothing."""
    real = lab.venue.fills
    booked = _fills(lab, correction=False)
    assert sorted(row.trade_id for row in booked) == sorted(fill.trade_id for fill in real)
    assert sum(row.quantity for row in _fills(lab, correction=True)) == 0
    rows = lab.rows.fills.values()
    realized, fees = sum((row.realized_pnl for row in rows), D(0)), sum((row.fee for row in rows), D(0))
    assert realized == sum(fill.realized_pnl for fill in real)
    assert D(10_000) + realized - fees == lab.venue.wallet
    trades = lab.rows.positions.values()
    assert (realized, fees) == (sum(t.realized_pnl for t in trades), sum(t.fees for t in trades))
    assert lab.core._desk.book.unexplained == {}


def _assert_day_counts(lab: Lab) -> None:
    closed = [row for row in lab.rows.positions.values() if row.state is TradeState.CLOSED]
    (day,) = lab.rows.performance.values()
    net = [row.realized_pnl - row.fees + row.funding for row in closed]
    assert (day.trades, day.wins, day.losses) == (len(closed), sum(n > 0 for n in net), sum(n < 0 for n in net))
    assert (day.realized_pnl, day.fees) == (sum(r.realized_pnl for r in closed), sum(r.fees for r in closed))


def _reduced_unseen(lab: Lab, *quantities: str) -> Hidden:
    """Open a long, let a hand reduce it unheard at one price, and have it corrected at another."""
    lab.open_long()
    hidden = Hidden(lab)
    for quantity in quantities:
        _by_hand(lab, Side.SELL, D(quantity))
    hidden.hide()
    lab.price(BTC, "100.3")
    lab.run(45_000)
    assert sum(row.quantity for row in _fills(lab, correction=True)) == sum(map(D, quantities))
    return hidden


def test_hidden_reduction_told_late_replaces_its_correction() -> None:
    lab = Lab()
    hidden = _reduced_unseen(lab, "0.5")
    held = lab.trade().quantity
    hidden.show()
    lab.run(31_000)
    assert (lab.trade().quantity, lab.state()) == (held, TradeState.PROTECTED)
    assert "correction undone" in lab.trade().flagged
    assert f"{BTC}: correction undone" in lab.titles()
    _assert_rows_are_the_real_fills(lab)


def test_correction_told_in_parts_is_undone_in_parts() -> None:
    lab = Lab()
    hidden = _reduced_unseen(lab, "0.111", "0.222")
    held = lab.trade().quantity
    hidden.show(1)
    lab.run(31_000)
    assert sum(row.quantity for row in _fills(lab, correction=True)) == D("0.222")
    assert lab.trade().quantity == held
    hidden.show()
    lab.run(31_000)
    assert lab.trade().quantity == held
    _assert_rows_are_the_real_fills(lab)


def test_hidden_addition_told_late_replaces_its_correction() -> None:
    lab = Lab()
    lab.open_long()
    hidden = Hidden(lab)
    lab.price(BTC, "100.1")
    _by_hand(lab, Side.BUY, D(2))
    hidden.hide()
    lab.run(45_000)
    hidden.show()
    lab.run(31_000)
    assert lab.trade().quantity == lab.venue.position(BTC)
    _assert_rows_are_the_real_fills(lab)


@pytest.mark.parametrize("restarts", [False, True])
def test_trade_closed_by_a_correction_takes_its_real_exit_with_its_day(restarts: bool) -> None:
    lab = Lab()
    lab.open_long()
    hidden = Hidden(lab)
    lab.price(BTC, "100.3")
    _by_hand(lab, Side.SELL, lab.venue.position(BTC))
    hidden.hide()
    lab.price(BTC, "99.9")
    lab.run(60_000)
    assert lab.state() is TradeState.CLOSED
    assert lab.trade().exit_reason is ExitReason.RECONCILED
    assert lab.trade().realized_pnl < 0
    assert [row.losses for row in lab.rows.performance.values()] == [1]
    if restarts:
        lab = lab.restart()
        lab.venue.mute = False
        assert lab.state() is TradeState.CLOSED
    hidden.show()
    lab.run(61_000)
    assert lab.trade().exit_reason is ExitReason.EXTERNAL
    assert lab.trade().realized_pnl > 0
    _assert_rows_are_the_real_fills(lab)
    _assert_day_counts(lab)


def test_stop_that_filled_unseen_and_unlisted_is_its_own_exit_in_the_end() -> None:
    lab = Lab()
    lab.open_long()
    hidden = Hidden(lab)
    lab.price(BTC, "99.5")
    hidden.hide()
    lab.price(BTC, "99.2")
    lab.run(60_000)
    assert lab.state() is TradeState.CLOSED
    hidden.show()
    lab.run(61_000)
    assert lab.trade().exit_reason is ExitReason.STOP
    _assert_rows_are_the_real_fills(lab)
    _assert_day_counts(lab)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_strangers_position_unheard_before_our_entry_is_explained_by_its_fill(side: Side) -> None:
    lab = Lab()
    lab.run(1_000)
    hidden = Hidden(lab)
    lab.price(BTC, "99.9")
    _by_hand(lab, side, D(2))
    hidden.hide()
    lab.run(250)
    lab.price(BTC, "100")
    lab.signal()
    lab.run(45_000)
    assert sum(row.quantity for row in _fills(lab, correction=True)) == 2
    hidden.show()
    lab.run(61_000)
    assert lab.trade().quantity == lab.venue.position(BTC)
    _assert_rows_are_the_real_fills(lab)


@pytest.mark.parametrize(("side", "left"), [(Side.BUY, "22.012"), (Side.SELL, "18.012")])
def test_strangers_position_that_our_entry_met_becomes_the_trades_with_its_own_prices(side: Side, left: str) -> None:
    lab = Lab()
    lab.run(1_000)
    lab.hold_events = True  # both are told at once, the stranger's first
    _by_hand(lab, side, D(2))
    lab.signal()
    lab.hold_events = False
    lab.run(45_000)
    assert lab.trade().quantity == lab.venue.position(BTC) == D(left)
    assert _fills(lab, correction=True) == []
    _assert_rows_are_the_real_fills(lab)
    assert "met a position that was not ours" in lab.trade().flagged
    assert "BTCUSDT: position of somebody else adopted" in lab.titles()
    assert lab.live_stops()


@pytest.mark.parametrize("quantity", ["2", "-2"], ids=["same-way", "other-way"])
def test_position_opened_by_a_stranger_after_ours_was_closed_unheard_is_left_alone(quantity: str) -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.mute = True
    _by_hand(lab, Side.SELL, lab.trade().quantity)
    lab.run(1_000)
    theirs = D(quantity)
    _by_hand(lab, Side.BUY if theirs > 0 else Side.SELL, abs(theirs))
    lab.run(61_000)
    assert lab.state() is TradeState.CLOSED
    assert lab.trade().exit_reason is ExitReason.EXTERNAL
    assert lab.venue.position(BTC) == theirs
    assert not lab.live_stops()
    assert "BTCUSDT: position that is not ours" in lab.titles()
    assert _fills(lab, correction=True) == []


@pytest.mark.parametrize("is_heard", [True, False], ids=["heard", "unheard"])
def test_strangers_position_that_our_entry_met_is_explained_after_a_restart_too(is_heard: bool) -> None:
    lab = Lab()
    lab.run(1_000)
    lab.hold_events = True
    lab.venue.mute = not is_heard
    _by_hand(lab, Side.BUY, D(2))
    lab.venue.mute = False
    lab.signal()
    lab.hold_events = False
    lab.run(500)
    assert lab.trade().quantity == D("20.012"), "not adopted yet"
    lab = lab.restart()
    lab.run(45_000)
    assert lab.trade().quantity == lab.venue.position(BTC) == D("22.012")
    assert _fills(lab, correction=True) == []
    _assert_rows_are_the_real_fills(lab)


def test_strangers_position_is_opened_after_a_moment_only_by_fills_that_are_later() -> None:
    strangers = Strangers()
    fills = [replace(_bought(number), event_time_ms=1_000 * number) for number in (1, 2)]
    for fill in fills:
        strangers.note(fill)
    key = (BTC, PositionSide.BOTH)
    assert strangers.opened_after(key, D(1), 1_999)
    assert not strangers.opened_after(key, D(1), 2_000)
    assert strangers.opened_after(key, D(2), 999)
    assert not strangers.opened_after(key, D(2), 1_000)
    assert not strangers.opened_after(key, D(0), 0)
    assert not strangers.opened_after(key, D(3), 0)


def test_strangers_fill_that_turns_out_to_be_ours_is_no_part_of_his_position() -> None:
    strangers = Strangers()
    fills = [_bought(number) for number in (1, 2, 2)]
    for fill in fills:
        strangers.note(fill)
    strangers.drop(fills[0])
    key = (BTC, PositionSide.BOTH)
    assert strangers.find(key, D(2)) == []
    assert strangers.find(key, D(1)) == [fills[1]]


def test_strangers_fills_that_do_not_make_the_difference_stay_his() -> None:
    strangers = Strangers()
    fills = [replace(_bought(number), quantity=D(2)) for number in (1, 2)]
    for fill in fills:
        strangers.note(fill)
    key = (BTC, PositionSide.BOTH)
    assert strangers.take(key, D(3)) == strangers.take((BTC, PositionSide.LONG), D(4)) == []
    assert strangers.take(key, D(4)) == fills
    assert strangers.take(key, D(4)) == []


def test_strangers_newest_fills_count_where_an_older_position_ended_unheard() -> None:
    strangers = Strangers()
    old, new = _bought(1), replace(_bought(2), quantity=D("0.5"))
    for fill in (replace(old, side=Side.SELL), new):
        strangers.note(fill)
    key = (BTC, PositionSide.BOTH)
    assert strangers.take(key, D("0.5")) == [new]
    assert strangers.take(key, D(-1)) == [], "what was left is over"


def test_strangers_position_that_is_over_is_forgotten() -> None:
    strangers = Strangers()
    bought = _bought(1)
    strangers.note(bought)
    strangers.note(replace(bought, trade_id=2, side=Side.SELL))
    strangers.note(replace(bought, trade_id=3))
    assert strangers.take((BTC, PositionSide.BOTH), bought.quantity) == [replace(bought, trade_id=3)]


@pytest.mark.parametrize(("age_ms", "is_claimed"), [(0, False), (1, True)])
def test_strangers_fill_of_an_earlier_process_is_not_claimed(age_ms: int, is_claimed: bool) -> None:
    lab = Lab()
    _reduced_unseen(lab, "0.5")
    desk = lab.core._desk
    trade = desk.book.active[1]
    desk.start_ms = trade.created_time_ms - 60_000
    fill = replace(lab.venue.fills[0], side=Side.SELL, event_time_ms=desk.start_ms + age_ms)
    assert corrections.claimant(desk, fill) is (trade if is_claimed else None)
    assert corrections.claimant(desk, replace(fill, side=Side.BUY)) is None
    assert corrections.claimant(desk, replace(fill, symbol="ETHUSDT")) is None


def test_trade_over_and_explained_is_restored_no_more() -> None:
    lab = Lab()
    lab.open_long()
    hidden = Hidden(lab)
    _by_hand(lab, Side.SELL, lab.venue.position(BTC))
    hidden.hide()
    lab.run(60_000)
    assert [row.intent_id for row in lab.rows.restore().intents] == [1]
    hidden.show()
    lab.run(61_000)
    assert lab.rows.restore().intents == ()


def test_position_that_comes_back_undoes_the_correction_instead_of_adding_another() -> None:
    lab = Lab()
    hidden = _reduced_unseen(lab, "0.5")
    lab.price(BTC, "100.1")
    _by_hand(lab, Side.BUY, D("0.5"))
    hidden.hide()
    lab.run(45_000)
    assert lab.trade().quantity == lab.venue.position(BTC)
    assert [row.quantity for row in _fills(lab, correction=True)] == [D("0.5"), D("-0.5")]
    hidden.show()
    lab.run(61_000)
    _assert_rows_are_the_real_fills(lab)


def test_shares_of_a_result_add_up_without_rounding() -> None:
    lab = Lab()
    lab.signal(BTC, Direction.SHORT)
    lab.run(500)
    desk = lab.core._desk
    trade = desk.book.active[1]
    before = (trade.realized_pnl, trade.exit_cost, trade.leaves, trade.exit_reason)
    lab.price(BTC, "99.97")
    corrections.correct(desk, trade, D("-0.7"))
    fill = replace(lab.venue.fills[0], side=Side.BUY, event_time_ms=desk.venue_ms)
    for part in ("0.3", "0.3", "0.3"):
        corrections.explain(desk, trade, replace(fill, quantity=D(part)))
    assert (trade.realized_pnl, trade.exit_cost, trade.leaves, trade.exit_reason) == before
    assert standing(trade) == []
    assert len({row.trade_id for row in trade.fills}) == len(trade.fills)


def test_fill_after_the_correction_explains_nothing_of_it() -> None:
    lab = Lab()
    _reduced_unseen(lab, "0.5")
    trade = lab.core._desk.book.active[1]
    late = replace(lab.venue.fills[0], trade_id=9_999, side=Side.SELL, quantity=D(1), event_time_ms=lab.now_ms)
    ledger.book_foreign(lab.core._desk, replace(late, client_order_id=HAND, venue_order_id=9_998))
    assert [left.quantity for left in standing(trade)] == [D("0.5")]


@pytest.mark.parametrize(("sold", "left"), [("0.3", "0.5"), ("0.7", "0.3"), ("1.5", "0")])
def test_trade_that_leaves_more_than_it_entered_undoes_its_corrected_exits(sold: str, left: str) -> None:
    """Fills after the corrections explain none of them by their time, but what is sold twice cannot have been ours."""
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    trade = desk.book.active[1]
    entered = trade.entered
    for part in ("0.2", "0.3"):
        corrections.correct(desk, trade, -D(part))
    desk.out.drain(desk.venue_ms)
    fill = replace(
        lab.venue.fills[0],
        trade_id=9_999,
        venue_order_id=9_998,
        client_order_id="",
        side=Side.SELL,
        quantity=entered - 1 + D(sold),
        event_time_ms=lab.now_ms + 1,
    )
    trade.book(fill, None, lab.now_ms)
    corrections.explain(desk, trade, fill)
    assert sum((each.quantity for each in standing(trade)), D(0)) == D(left)
    assert trade.exited <= trade.entered + max(D(0), D(sold) - 1)
    undone = [row for row in trade.fills if row.quantity < 0]
    assert all(desk.book.is_seen(BTC, row.trade_id) for row in undone)
    told = [effect.alert.text for effect in desk.out.drain(desk.venue_ms) if isinstance(effect, Notify)]
    assert [D(text.split()[0]) for text in told] == ([] if D(left) == D("0.5") else [D("0.5") - D(left)])
    assert (desk.book.unexplained == {}) is (D(left) == 0)


def test_entry_of_an_adopted_position_is_no_correction_to_undo() -> None:
    lab = Lab()
    lab.open_long()
    lab.rows.intents.clear()
    lab.rows.positions.clear()
    lab.rows.orders.clear()
    lab.rows.fills.clear()
    again = lab.restart()
    again.run(5_000)
    (trade,) = again.core._desk.book.active.values()
    assert trade.fills[0].correction
    assert standing(trade) == []
    assert again.core._desk.book.unexplained == {}


def test_correction_waits_for_executions_that_are_told_and_not_booked() -> None:
    lab = Lab()
    lab.open_long()
    stop = lab.core._desk.book.active[1].newest(Leg.STOP)
    assert stop is not None
    stop.reported = D("0.1")
    lab.core._desk.book.active[1].recount()
    lab.venue.positions[BTC].quantity -= D("0.5")
    lab.run(60_000)
    assert _fills(lab, correction=True) == []


def test_symbol_of_a_correction_is_read_until_the_lists_reach_back_no_further() -> None:
    lab = Lab()
    lab.open_long()
    hidden = Hidden(lab)
    _by_hand(lab, Side.SELL, lab.venue.position(BTC))
    hidden.hide()
    lab.run(60_000)
    desk = lab.core._desk
    assert BTC not in desk.book.symbols()
    read = len(lab.sent(FetchFills))
    lab.run(31_000)
    assert len(lab.sent(FetchFills)) == read + 1
    (trade,) = desk.book.unexplained.values()
    desk.venue_ms = trade.last_fill_time_ms + desk.policy.fills_reread_ms
    assert corrections.watched_symbols(desk) == {BTC}
    desk.venue_ms += 1
    assert corrections.watched_symbols(desk) == set()


# --- the day's totals -----------------------------------------------------------------------------------------


def test_amended_result_mends_wins_losses_and_the_row_of_losses() -> None:
    lab = Lab()
    lab.open_long()
    trade = lab.core._desk.book.active[1]
    days = DayLedger((), consecutive_losses=2)
    days.roll(lab.now_ms)
    trade.realized_pnl, trade.fees = D(-3), D(1)
    days.closed(trade, lab.now_ms)
    assert (days.consecutive_losses, days.won) == (3, 0)
    trade.realized_pnl = D(5)
    row = days.amended(trade, D(-3), D(1), trade.exit_cost, lab.now_ms)
    assert (row.trades, row.wins, row.losses, row.realized_pnl, row.fees) == (1, 1, 0, D(5), D(1))
    assert (days.consecutive_losses, days.won) == (0, 1)
    trade.realized_pnl = D(-1)
    row = days.amended(trade, D(5), D(1), trade.exit_cost, lab.now_ms)
    assert (row.wins, row.losses, days.consecutive_losses, days.won) == (0, 1, 3, 0)


# --- told with the rows ---------------------------------------------------------------------------------------


def test_alert_of_a_step_is_queued_before_its_rows_are_written() -> None:
    lab = Lab()
    lab.open_long()
    lab.effects.clear()
    _by_hand(lab, Side.SELL, D("0.5"))
    lab.flush()
    told = [i for i, each in enumerate(lab.effects) if isinstance(each, Notify)]
    (written,) = [i for i, each in enumerate(lab.effects) if isinstance(each, Persist) and _has_fill(each)]
    assert told == [written - 1]
    assert f"{BTC}: traded by somebody else" in lab.titles()


def _has_fill(effect: Persist) -> bool:
    return any(isinstance(record, FillRecord) for record in effect.records)
