"""The trade book: whom a report or a fill belongs to, what is remembered and what is forgotten first."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.enums import Leg, LiquiditySide, OrderService, OrderStatus, OrderType, PositionSide, Side
from core.orders import FillReport, OrderReport
from executor import book as books
from executor.book import Book
from executor.tracked import TrackedOrder
from executor.trade import Trade
from tests.unit.executor.lab import BTC, ETH, bare_trade

D = Decimal
BOTH = PositionSide.BOTH
WEB = "web_1"
"""A client order id that is not of ours."""


def order(of: Trade, leg: Leg = Leg.ENTRY, **changes: object) -> TrackedOrder:
    made = TrackedOrder(
        client_order_id=f"ft-1-{of.intent_id}-{leg.value}0",
        symbol=of.symbol,
        strategy=of.strategy,
        intent_id=of.intent_id,
        leg=leg,
        attempt=0,
        service=OrderService.PLAIN if leg is Leg.ENTRY else OrderService.ALGO,
        side=Side.BUY,
        position_side=BOTH,
        type=OrderType.MARKET if leg is Leg.ENTRY else OrderType.STOP_MARKET,
        quantity=D(1),
        price=None,
        stop_price=None,
        reduce_only=False,
        close_position=False,
        created_time_ms=1,
        sent_ms=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def report(**changes: object) -> OrderReport:
    made = OrderReport(
        symbol=BTC,
        client_order_id=WEB,
        venue_order_id=900,
        side=Side.SELL,
        position_side=BOTH,
        type=OrderType.MARKET,
        status=OrderStatus.NEW,
        execution_type="NEW",
        quantity=D(1),
        price=D(0),
        filled_quantity=D(0),
        average_price=None,
        reduce_only=True,
        close_position=True,
        update_time_ms=1,
        original_type=OrderType.STOP_MARKET,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def fill(client_order_id: str = "", venue_order_id: int = 900, trade_id: int = 1, symbol: str = BTC) -> FillReport:
    return FillReport(
        symbol=symbol,
        trade_id=trade_id,
        venue_order_id=venue_order_id,
        client_order_id=client_order_id,
        side=Side.BUY,
        position_side=BOTH,
        price=D(100),
        quantity=D(1),
        fee=D(0),
        fee_asset="USDT",
        realized_pnl=D(0),
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=1,
    )


def book_of(*trades: Trade, recent_max: int = 10) -> Book:
    book = Book(recent_max)
    for each in trades:
        book.add(each)
    return book


# --- owners -------------------------------------------------------------------------------------------------------


def test_owner_of_fill_is_found_by_client_id_first_and_by_venue_id_else() -> None:
    one, other = bare_trade(1), bare_trade(2)
    book = book_of(one, other)
    mine, theirs = order(one), order(other, venue_order_id=900)
    book.add_order(one, mine)
    book.add_order(other, theirs)
    assert book.owner_of_fill(fill(mine.client_order_id)) == (one, mine)
    assert book.owner_of_fill(fill("")) == (other, theirs)
    assert book.owner_of_fill(fill(WEB)) == (other, theirs)
    assert book.owner_of_fill(fill(WEB, venue_order_id=1)) is None


def test_owner_of_an_order_number_that_was_taken_back_is_nobody() -> None:
    one = bare_trade()
    book = book_of(one)
    book.add_order(one, order(one, venue_order_id=900))
    book.unlink(ETH, 900)
    assert book.owner_of_fill(fill()) is not None
    book.unlink(BTC, 900)
    book.unlink(BTC, 900)
    assert book.owner_of_fill(fill()) is None


def stopped(**changes: object) -> tuple[Book, Trade, TrackedOrder]:
    """Return a book with a trade whose entry and stop stand; `changes` are those of the stop."""
    one = bare_trade()
    book = book_of(one)
    book.add_order(one, order(one, venue_order_id=800))
    stop = order(one, Leg.STOP, **changes)
    book.add_order(one, stop)
    return book, one, stop


@pytest.mark.parametrize("kinds", [{}, {"original_type": OrderType.UNKNOWN, "type": OrderType.STOP_MARKET}])
def test_plain_order_of_a_trigger_belongs_to_the_conditional_order_of_its_kind(kinds: dict[str, object]) -> None:
    book, one, stop = stopped()
    assert book.owner_of_report(report(**kinds)) == (one, stop)


@pytest.mark.parametrize(
    ("told", "of_stop"),
    [
        ({"close_position": False}, {}),
        ({"client_order_id": "ft-1-7-S3"}, {}),
        ({"original_type": OrderType.TAKE_PROFIT_MARKET}, {}),
        ({"original_type": OrderType.MARKET}, {"type": OrderType.MARKET}),
        ({"symbol": ETH}, {}),
        ({"position_side": PositionSide.SHORT}, {}),
        ({}, {"venue_order_id": 700}),
        ({}, {"service": OrderService.PLAIN}),
    ],
    ids=["no-close", "another-of-ours", "target", "market", "symbol", "side", "already-linked", "plain"],
)
def test_plain_order_that_no_trigger_of_ours_can_have_made_belongs_to_nobody(
    told: dict[str, object], of_stop: dict[str, object]
) -> None:
    book, _, _ = stopped(**of_stop)
    assert book.owner_of_report(report(**told)) is None


def test_owner_of_report_is_found_by_client_id_before_venue_id() -> None:
    book, one, stop = stopped(venue_order_id=900)
    entry = one.orders[one.client_order_id]
    assert book.owner_of_report(report(client_order_id=entry.client_order_id)) == (one, entry)
    assert book.owner_of_report(report()) == (one, stop)


# --- what is remembered -------------------------------------------------------------------------------------------


def test_trade_that_is_over_is_found_until_newer_ones_push_it_out() -> None:
    trades = [bare_trade(number) for number in (1, 2, 3)]
    book = book_of(*trades, recent_max=2)
    for number, each in enumerate(trades):
        book.add_order(each, order(each, venue_order_id=100 + number))
        book.add_order(each, order(each, Leg.STOP))
        book.retire(each)
    assert list(book.recent()) == trades[:0:-1]
    assert [book.by_intent(number) for number in (1, 2, 3)] == [None, *trades[1:]]
    assert book.by_client_id("ft-1-1-E0") is None
    assert book.by_client_id("ft-1-1-S0") is None
    assert book.owner_of_fill(fill(venue_order_id=100)) is None
    assert book.owner_of_fill(fill(venue_order_id=101)) is not None
    assert book.by_client_id("ft-1-2-S0") is not None
    assert not book.active
    assert book.of_symbol(BTC) == []


def test_trade_pushed_out_twice_over_is_no_error() -> None:
    """Its orders may have lost their names meanwhile: to a newer trade, or by a look-up that told whose they are."""
    one, two = bare_trade(1), bare_trade(2)
    book = book_of(one, two, recent_max=1)
    book.add_order(one, order(one, venue_order_id=100))
    book.unlink(BTC, 100)
    book._by_client.clear()
    book.retire(one)
    book.retire(two)
    assert list(book.recent()) == [two]


def test_trade_that_comes_back_is_active_and_no_longer_recent() -> None:
    one = bare_trade()
    book = book_of(one)
    book.retire(one)
    book.revive(one)
    assert (book.by_intent(1), book.active, list(book.recent())) == (one, {1: one}, [])
    book.revive(one)
    assert book.of_symbol(BTC) == [one]


def test_trade_by_intent_is_the_one_asked_for() -> None:
    one, two = bare_trade(1), bare_trade(2)
    book = book_of(one, two)
    assert (book.by_intent(1), book.by_intent(2), book.by_intent(3)) == (one, two, None)


def test_fills_of_a_trade_taken_back_from_the_disk_are_seen() -> None:
    one = bare_trade()
    one.book(fill(trade_id=77), None, 5)
    book = book_of(one)
    assert book.is_seen(BTC, 77)
    assert not book.is_seen(BTC, 78)
    assert not book.is_seen(ETH, 77)


def test_seen_trade_ids_are_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "SEEN_MAX", 3)
    book = Book(1)
    for trade_id in (1, 2, 3):
        book.mark_seen(BTC, trade_id)
    assert all(book.is_seen(BTC, trade_id) for trade_id in (1, 2, 3))
    book.mark_seen(BTC, 4)
    assert [book.is_seen(BTC, trade_id) for trade_id in (1, 2, 3, 4)] == [False, True, True, True]
    assert [each.trade_id for each in book.unseen([fill(trade_id=1), fill(trade_id=4)])] == [1]
