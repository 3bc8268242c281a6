"""Whose fill it is: the rules at their limits, for fills that name no order of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.commands import Accepted, FetchFills
from core.effects import Persist
from core.enums import Direction, Leg, LiquiditySide, OrderType, PositionMode, PositionSide, Side
from core.ids import ClientOrderId
from core.orders import AlgoOrderReport, FillReport, OrderReport, PositionReport
from core.records import TradeState
from executor import audit, ledger
from executor.account import PositionFact
from executor.adoption import adopt_position, track_listed
from executor.book import Book
from executor.corrections import correct
from executor.desk import Desk, Suspicion
from executor.tracked import Phase
from executor.trade import Trade
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, ETH, START_MS, D, Lab

KEY = (BTC, PositionSide.BOTH)


def _open() -> tuple[Lab, Desk, Trade]:
    lab = Lab()
    lab.open_long()
    lab.run(1_000)
    desk = lab.core._desk
    desk.out.drain(desk.venue_ms)
    return lab, desk, desk.book.active[1]


def _fill(lab: Lab, side: Side = Side.SELL, **changes: object) -> FillReport:
    """Return a fill of an unknown order at the venue's price."""
    base = FillReport(
        symbol=BTC,
        trade_id=5_000,
        venue_order_id=7_000,
        client_order_id="",
        side=side,
        position_side=PositionSide.BOTH,
        price=lab.venue.prices[BTC],
        quantity=D("0.1"),
        fee=D("0.005"),
        fee_asset="USDT",
        realized_pnl=D(0),
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=lab.now_ms,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


# --- somebody else's ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_ms", "belongs"), [(0, False), (1, True)])
def test_fill_belongs_to_a_trade_that_was_decided_before_it(late_ms: int, belongs: bool) -> None:
    lab, _, trade = _open()
    fill = _fill(lab, event_time_ms=trade.created_time_ms + late_ms)
    assert ledger._belongs(trade, fill) is belongs


@pytest.mark.parametrize(
    ("phase", "side", "belongs"),
    [
        (Phase.IN_DOUBT, Side.SELL, True),
        (Phase.IN_DOUBT, Side.BUY, False),
        (Phase.REFUSED, Side.SELL, False),
        (Phase.REFUSED, Side.BUY, False),
    ],
)
def test_fill_before_ours_was_heard_of_belongs_where_it_may_have_closed_it(
    phase: Phase, side: Side, belongs: bool
) -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    trade = lab.core._desk.book.active[1]
    assert trade.entry is not None
    trade.entry.phase = phase
    assert ledger._belongs(trade, _fill(lab, side, event_time_ms=lab.now_ms + 5)) is belongs


@pytest.mark.parametrize(("late_ms", "belongs"), [(0, True), (1, False)])
def test_fill_after_our_last_exit_is_a_position_of_its_own(late_ms: int, belongs: bool) -> None:
    lab, _, trade = _open()
    trade.book(_fill(lab, quantity=trade.leaves), None, lab.now_ms)
    assert trade.leaves == 0
    assert ledger._belongs(trade, _fill(lab, event_time_ms=lab.now_ms + late_ms)) is belongs


def test_fill_while_ours_are_missing_or_a_unit_is_open_belongs() -> None:
    lab, _, trade = _open()
    trade.book(_fill(lab, quantity=trade.leaves - D(1)), None, lab.now_ms)
    assert trade.leaves == 1
    assert ledger._belongs(trade, _fill(lab, event_time_ms=lab.now_ms + 5))
    trade.book(_fill(lab, trade_id=5_001, quantity=D(1)), None, lab.now_ms)
    stop = trade.newest(Leg.STOP)
    assert stop is not None
    stop.reported = D("0.001")
    trade.recount()
    assert ledger._belongs(trade, _fill(lab, event_time_ms=lab.now_ms + 5))


def test_fill_of_nobody_is_recorded_and_its_leg_compared() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    fill = replace(_fill(lab, Side.BUY), symbol=ETH)
    assert ledger.book_foreign(desk, fill) is None
    assert (ETH, PositionSide.BOTH) in desk.suspects
    told = desk.positions.from_query([], [(ETH, PositionSide.BOTH)], desk.now_ms, 0)
    assert told == set(), "a reading that left before the fill tells nothing"
    (effect,) = desk.out.drain(desk.venue_ms)
    (row,) = effect.records  # type: ignore[union-attr]
    assert effect.durable  # type: ignore[union-attr]
    assert (row.intent_id, row.leg, row.strategy, row.trade_id) == (None, None, "", 5_000)
    assert (row.side, row.price, row.quantity, row.fee) == (Side.BUY, fill.price, fill.quantity, fill.fee)


# --- presumed -------------------------------------------------------------------------------------------------


def _doubtful() -> tuple[Lab, Desk, Trade]:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    desk = lab.core._desk
    return lab, desk, desk.book.active[1]


@pytest.mark.parametrize(("booked", "fits"), [("0", True), ("0.1", False)])
def test_fill_is_presumed_of_an_order_that_it_still_fits_into(booked: str, fits: bool) -> None:
    lab, _, trade = _doubtful()
    order = trade.entry
    assert order is not None and order.quantity is not None
    order.booked = D(booked)
    owner = ledger._presumed_owner(_fill(lab, Side.BUY, quantity=order.quantity), [(trade, order)])
    assert owner == ((trade, order) if fits else None)
    assert order.venue_order_id == (7_000 if fits else None)
    assert trade.flagged == ("entry recognised from the trade list" if fits else "")


@pytest.mark.parametrize(("late_ms", "fits"), [(0, True), (1, False)])
def test_fill_is_not_presumed_of_an_order_proved_absent_before_it(late_ms: int, fits: bool) -> None:
    lab, _, trade = _doubtful()
    order = trade.entry
    assert order is not None
    order.phase, order.update_time_ms = Phase.ABSENT, lab.now_ms
    fill = _fill(lab, Side.BUY, event_time_ms=lab.now_ms + late_ms)
    assert (ledger._presumed_owner(fill, [(trade, order)]) is not None) is fits


def test_fill_is_not_presumed_of_a_stop_which_closes_everything() -> None:
    lab, _, trade = _open()
    stop = trade.newest(Leg.STOP)
    assert stop is not None
    stop.quantity = D(100)
    assert ledger._presumed_owner(_fill(lab), [(trade, stop)]) is None


def test_candidates_are_unknown_orders_of_that_symbol_leg_and_side_running_or_over() -> None:
    lab, desk, trade = _doubtful()
    fill = _fill(lab, Side.BUY)
    assert ledger._candidates(desk, fill) == [(trade, trade.entry)]
    assert ledger._candidates(desk, replace(fill, symbol=ETH)) == []
    assert ledger._candidates(desk, replace(fill, side=Side.SELL)) == []
    assert ledger._candidates(desk, replace(fill, event_time_ms=trade.created_time_ms - 1)) == []
    desk.book.retire(trade)
    assert ledger._candidates(desk, fill) == [(trade, trade.entry)]
    assert ledger._candidates(desk, replace(fill, symbol=ETH)) == []
    assert trade.entry is not None
    trade.entry.phase = Phase.REFUSED
    assert ledger._candidates(desk, fill) == []


def test_held_fill_of_an_entry_in_doubt_is_given_to_it_after_the_wait() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.venue.hide_from_lookup.add("ft-1-1-E0")
    lab.signal()
    lab.reply(FetchFills(BTC, start_time_ms=START_MS), Accepted((replace(lab.venue.fills[0], client_order_id=""),)))
    lab.run(2_000)
    assert not lab.rows.fills, "its look-up may still tell whose it is"
    lab.run(5_000)
    assert lab.state() is TradeState.PROTECTED
    assert "entry recognised from the trade list" in lab.trade().flagged
    assert lab.rows.orders["ft-1-1-E0"].venue_order_id == lab.venue.fills[0].venue_order_id


def _closing(*, apply: bool) -> Lab:
    """Return a laboratory whose close is in doubt; look-ups do not find it and the stream is silent."""
    lab = Lab()
    lab.open_long(max_holding_ms=1_000)
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.CLOSE, apply=apply)
    lab.venue.hide_from_lookup |= {"ft-1-1-C0", "somebody"}
    lab.run(1_000)
    assert len(lab.submitted(Leg.CLOSE)) == 1
    return lab


def _presume_strangers_fill(lab: Lab) -> tuple[FillReport, FillReport]:
    """Somebody else and our close, late, share the position; the stranger's fill is presumed to be our close's."""
    order = lab.submitted(Leg.CLOSE)[0].approved.order
    lab.venue.market_order(BTC, Side.SELL, D("6.664"), "somebody")
    lab.venue.market_order(BTC, Side.SELL, order.quantity, order.client_order_id, reduce_only=True)
    stranger, own = lab.venue.fills[-2:]
    told = tuple(replace(fill, client_order_id="") for fill in (stranger, own))
    lab.reply(FetchFills(BTC, start_time_ms=START_MS), Accepted(told))
    lab.run(4_000)
    assert "close recognised from the trade list" in lab.trade().flagged
    assert lab.rows.orders["ft-1-1-C0"].venue_order_id == stranger.venue_order_id
    return stranger, own


def test_fill_presumed_of_our_close_goes_back_when_the_venue_tells_the_closes_own_id() -> None:
    lab = _closing(apply=False)
    stranger, own = _presume_strangers_fill(lab)
    lab.venue.hide_from_lookup.clear()
    lab.run(15_000)
    assert lab.state() is TradeState.CLOSED
    order = lab.rows.orders["ft-1-1-C0"]
    assert (order.venue_order_id, order.filled_quantity) == (own.venue_order_id, own.quantity)
    rows = {row.trade_id: (row.client_order_id, row.leg, row.intent_id) for row in lab.rows.fills.values()}
    assert rows[stranger.trade_id] == ("", None, 1)
    assert rows[own.trade_id] == ("ft-1-1-C0", Leg.CLOSE, 1)
    trade = lab.core._desk.book.by_intent(1)
    assert trade is not None
    assert (trade.exited_elsewhere, trade.exited, trade.lacks_fills) == (D("6.664"), trade.entered, False)
    assert sum(row.fee for row in lab.rows.fills.values()) == lab.trade().fees


def test_fill_taken_for_somebody_elses_comes_to_our_close_when_the_venue_tells_its_id() -> None:
    lab = _closing(apply=True)
    own = lab.venue.fills[-1]
    desk = lab.core._desk
    ledger.book_foreign(desk, replace(own, client_order_id=""))
    trade = desk.book.active[1]
    assert trade.exited_elsewhere == own.quantity
    lab.venue.hide_from_lookup.clear()
    lab.run(15_000)
    assert (trade.exited_elsewhere, trade.exited, trade.lacks_fills) == (0, own.quantity, False)
    assert lab.state() is TradeState.CLOSED
    row = lab.rows.fills[BTC, own.trade_id]
    assert (row.client_order_id, row.leg) == ("ft-1-1-C0", Leg.CLOSE)


def test_further_fills_of_a_strangers_order_are_not_ours_once_our_own_id_is_known() -> None:
    lab = _closing(apply=False)
    stranger, _ = _presume_strangers_fill(lab)
    desk = lab.core._desk
    further = _fill(lab, trade_id=9_000, venue_order_id=stranger.venue_order_id, quantity=D(1))
    assert desk.book.owner_of_fill(further) is not None
    lab.venue.hide_from_lookup.clear()
    lab.run(15_000)
    assert desk.book.owner_of_fill(further) is None


# --- corrections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "side", "text"),
    [("0.5", Side.SELL, "less by"), ("99", Side.BUY, "more by")],
)
def test_correction_books_the_difference_at_the_mark(held: str, side: Side, text: str) -> None:
    lab, desk, trade = _open()
    lab.price(BTC, "100.2")
    desk.out.drain(desk.venue_ms)
    before = trade.leaves
    desk.positions.facts[KEY] = PositionFact(D(held), desk.now_ms, 0, from_stream=False)
    assert audit._adopt(desk, KEY, desk.positions.facts[KEY]) is trade
    fill = trade.fills[-1]
    difference = abs(D(held) - before)
    assert (fill.side, fill.quantity, fill.price, fill.fee) == (side, difference, D("100.2"), 0)
    assert fill.realized_pnl == (D("0.2") * difference if side is Side.SELL else 0)
    assert (fill.trade_id, fill.correction, desk.corrections) == (-1_002, True, 1)
    assert desk.book.is_seen(BTC, -1_002)
    assert trade.leaves == D(held)
    alerts = [e.alert for e in desk.out.drain(desk.venue_ms) if hasattr(e, "alert")]
    assert alerts[0].text.startswith(text)


def test_correction_of_a_short_has_its_signs_turned_and_counts_on() -> None:
    lab = Lab()
    lab.signal(BTC, Direction.SHORT)
    lab.run(1_500)
    desk = lab.core._desk
    trade = desk.book.active[1]
    lab.price(BTC, "99.9")
    desk.corrections = 4
    for held in ("-0.5", "-0.25"):
        audit._adopt(desk, KEY, PositionFact(D(held), desk.now_ms, 0, from_stream=False))
    assert trade.leaves == D("0.25")
    assert [f.trade_id for f in trade.fills[-2:]] == [-1_002, -1_003]
    assert trade.fills[-1].realized_pnl == D("0.1") * D("0.25")
    assert desk.corrections == 6


def test_correction_without_any_price_takes_the_entry_or_the_plan() -> None:
    _, desk, trade = _open()
    desk.market.clear()
    correct(desk, trade, D("-0.1"))
    assert trade.fills[-1].price == trade.entry_price == 100
    trade.orders.clear()
    trade.added = trade.added_cost = D(0)
    trade.recount()
    trade.reference_price = D("101.5")
    correct(desk, trade, D("0.3"))
    assert trade.fills[-1].price == D("101.5")
    assert trade.fills[-1].realized_pnl == 0


def test_position_turned_round_is_blocked_and_named() -> None:
    lab, desk, trade = _open()
    trade.book(_fill(lab, quantity=trade.leaves), None, lab.now_ms)
    assert audit._adopt(desk, KEY, PositionFact(D("-2"), desk.now_ms, 0, from_stream=False)) is None
    assert desk.foreign_positions == {BTC: "position of -2 that is not ours"}


def test_position_that_a_stranger_opened_after_our_trade_ended_is_blocked_and_not_ours() -> None:
    """Of the same side and size as ours was: only the stranger's fill tells them apart."""
    lab, desk, trade = _open()
    held = trade.leaves
    trade.book(_fill(lab, quantity=held), None, lab.now_ms)
    fact = PositionFact(held, desk.now_ms, 0, from_stream=False)
    theirs = replace(_fill(lab, trade_id=9_100, quantity=held), side=Side.BUY)
    desk.strangers.note(replace(theirs, event_time_ms=trade.last_fill_time_ms))
    assert not audit._is_opened_after(desk, trade, fact), "it may have been there before"
    desk.strangers.drop(theirs)
    desk.strangers.note(replace(theirs, event_time_ms=trade.last_fill_time_ms + 1))
    assert audit._is_opened_after(desk, trade, fact)
    assert not audit._is_opened_after(desk, trade, replace(fact, quantity=held * 2))
    assert audit._adopt(desk, KEY, fact) is None
    assert desk.foreign_positions == {BTC: f"position of {held} that is not ours"}


@pytest.mark.parametrize("why", ["open", "entry unknown", "entry alive"])
def test_position_beside_a_trade_that_may_hold_it_is_no_strangers(why: str) -> None:
    lab, desk, trade = _open()
    held = trade.leaves
    theirs = replace(_fill(lab, trade_id=9_100, quantity=held), side=Side.BUY)
    desk.strangers.note(replace(theirs, event_time_ms=trade.last_fill_time_ms + 1))
    entry = trade.entry
    assert entry is not None
    if why != "open":
        trade.book(_fill(lab, quantity=held), None, lab.now_ms)
    if why == "entry unknown":
        del trade.orders[trade.client_order_id]
    elif why == "entry alive":
        entry.phase = Phase.LIVE
    assert not audit._is_opened_after(desk, trade, PositionFact(held, desk.now_ms, 0, from_stream=False))


@pytest.mark.parametrize(
    ("long", "short", "is_lifted"),
    [("0", "0", True), (None, "0", True), ("0", None, True), ("1", "0", False), ("0", "-1", False)],
)
def test_block_of_a_foreign_position_goes_only_when_every_side_is_flat(
    long: str | None, short: str | None, is_lifted: bool
) -> None:
    desk = Lab().core._desk
    desk.config = replace(desk.config, position_mode=PositionMode.HEDGE)
    key = (BTC, PositionSide.LONG)
    for side, quantity in ((PositionSide.LONG, long), (PositionSide.SHORT, short)):
        desk.positions.facts.pop((BTC, side), None)
        if quantity is not None:
            desk.positions.facts[BTC, side] = PositionFact(D(quantity), desk.now_ms, 0, from_stream=False)
    desk.positions.facts[ETH, PositionSide.LONG] = PositionFact(D(3), desk.now_ms, 0, from_stream=False)
    desk.foreign_positions = {BTC: "somebody's"}
    desk.suspects[key] = Suspicion(desk.now_ms)
    audit._clear(desk, key)
    assert (desk.foreign_positions == {}) is is_lifted
    assert key not in desk.suspects


# --- adoption -------------------------------------------------------------------------------------------------


def _lost(
    quantity: str = "1", side: Side = Side.SELL, client_id: str = "ft-1-7-S3"
) -> tuple[Desk, AlgoOrderReport, PositionReport]:
    lab = Lab()
    lab.open_long()
    report = next(a for a in lab.venue.algos.values() if a.type is OrderType.STOP_MARKET)
    fresh = Lab(epoch=2)
    stop = replace(report, client_order_id=client_id, side=side, quantity=D("0"))
    row = PositionReport(BTC, PositionSide.BOTH, D(quantity), D("100.5"), D(0), START_MS)
    desk = fresh.core._desk
    desk.out.drain(desk.venue_ms)
    desk.next_intent = 12
    return desk, stop, row


@pytest.mark.parametrize(("quantity", "side"), [("1", Side.SELL), ("0.5", Side.SELL), ("-1", Side.BUY)])
def test_position_that_our_stop_protects_becomes_a_trade(quantity: str, side: Side) -> None:
    desk, stop, row = _lost(quantity, side)
    desk.corrections = 2
    trade = adopt_position(desk, stop, (row,), 77)
    assert trade is not None
    assert trade.signed_leaves == D(quantity)
    assert (trade.intent_id, trade.epoch, trade.client_order_id) == (12, 2, "ft-2-c-E0")
    assert (desk.next_intent, desk.corrections) == (13, 3)
    assert (trade.strategy, trade.state, trade.evidence) == ("adopted", TradeState.FILLED, "adopted from the venue")
    assert (trade.entry_price, trade.stop_price, trade.target_price) == (D("100.5"), stop.trigger_price, None)
    assert trade.plan.stop_price == stop.trigger_price
    assert trade.risk_usd == abs(D("100.5") - stop.trigger_price) * abs(D(quantity))
    assert trade.max_holding_ms == desk.limits_of(BTC).max_holding_ms
    assert trade.entry_counted is True
    (fill,) = trade.fills
    assert (fill.trade_id, fill.correction, fill.fee) == (-12_001, True, 0)
    assert desk.book.is_seen(BTC, -12_001)
    order = trade.orders["ft-1-7-S3"]
    assert (order.leg, order.attempt, order.intent_id, order.sent_ms) == (Leg.STOP, 3, 12, 77)
    assert (order.quantity, order.price, order.stop_price) == (None, None, stop.trigger_price)
    assert order.close_position and order.phase is Phase.LIVE
    persist = next(e for e in desk.out.drain(desk.venue_ms) if isinstance(e, Persist))
    assert persist.durable


def test_adopted_trade_obeys_the_symbols_longest_holding_time() -> None:
    desk, stop, row = _lost()
    symbols = {**desk.config.symbols, BTC: replace(desk.config.symbols[BTC], max_holding_ms=60_000)}
    desk.config = replace(desk.config, symbols=symbols)
    trade = adopt_position(desk, stop, (row,), 77)
    assert trade is not None and trade.max_holding_ms == 60_000


@pytest.mark.parametrize(
    ("quantity", "side", "client_id"),
    [
        ("0", Side.SELL, "ft-1-7-S3"),
        ("1", Side.BUY, "ft-1-7-S3"),
        ("1", Side.SELL, "web_1"),
        ("-1", Side.SELL, "ft-1-7-S3"),
    ],
)
def test_position_is_not_adopted_where_the_stop_does_not_protect_it(quantity: str, side: Side, client_id: str) -> None:
    desk, stop, row = _lost(quantity, side, client_id)
    assert adopt_position(desk, stop, (row,), 77) is None
    assert adopt_position(desk, stop, (replace(row, symbol=ETH),), 77) is None
    assert not desk.book.active
    assert desk.next_intent == 12


def test_position_that_a_trade_explains_is_not_adopted_again() -> None:
    lab, desk, _ = _open()
    stop = lab.venue.algos[lab.live_stops()[0]]
    row = lab.venue._position_report(BTC)
    assert adopt_position(desk, replace(stop, client_order_id="ft-1-9-S0"), (row,), 77) is None


def test_plain_order_of_a_known_trade_is_taken_back_as_it_stands() -> None:
    lab, desk, trade = _open()
    report: OrderReport = replace(
        lab.venue.orders["ft-1-1-E0"], client_order_id="ft-1-1-C2", side=Side.SELL, reduce_only=True, price=D("99.5")
    )
    identity = ClientOrderId.parse("ft-1-1-C2")
    assert identity is not None
    track_listed(desk, trade, replace(report, type=OrderType.UNKNOWN), identity)
    order = trade.orders["ft-1-1-C2"]
    assert (order.service.name, order.type, order.leg, order.attempt) == ("PLAIN", OrderType.MARKET, Leg.CLOSE, 2)
    assert (order.quantity, order.price, order.stop_price) == (report.quantity, D("99.5"), None)
    assert (order.reduce_only, order.sent_ms) == (True, desk.now_ms)
    track_listed(desk, trade, replace(report, client_order_id="ft-1-1-C3", type=OrderType.LIMIT), identity)
    assert trade.orders["ft-1-1-C3"].type is OrderType.LIMIT


# --- the book -------------------------------------------------------------------------------------------------


def test_leg_is_held_by_the_trade_with_open_quantity_else_by_the_oldest() -> None:
    _, _, first = _open()
    book = Book(recent_max=2)
    second = replace(first, intent_id=2, orders={}, added=D("0.5"), added_cost=D(50))
    idle = replace(first, intent_id=3, orders={}, fills=[])
    second.recount()
    assert book.open_on(BTC, PositionSide.BOTH) is None
    book.add(idle)
    assert book.open_on(BTC, PositionSide.BOTH) is idle, "an entry under way may hold the leg"
    book.add(second)
    assert book.open_on(BTC, PositionSide.BOTH) is second
    assert book.open_on(BTC, PositionSide.LONG) is None
    second.state = TradeState.CLOSED
    assert book.open_on(BTC, PositionSide.BOTH) is idle


def test_trade_that_is_revived_is_no_longer_among_the_recent_ones() -> None:
    _, desk, trade = _open()
    book = desk.book
    book.retire(trade)
    assert list(book.recent()) == [trade] and book.of_symbol(BTC) == []
    book.revive(trade)
    assert list(book.recent()) == [] and book.of_symbol(BTC) == [trade]
