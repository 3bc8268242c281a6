"""The venue's ledger rows: whose funding it is, what is stored, and what a row says about trades that we missed."""

from __future__ import annotations

import pytest

from core.commands import FetchFills, FetchIncome
from core.effects import Persist
from core.orders import IncomeReport
from core.records import IncomeRecord, TradeState
from executor import income
from executor.days import utc_day
from executor.income import IncomeBook
from tests.unit.executor.lab import BTC, ETH, START_MS, D, Lab

DAY_MS = 86_400_000
RECONCILE_MS = 31_000


def _row(lab: Lab, number: int, amount: str, time_ms: int, kind: str = "FUNDING_FEE", **changes: str) -> None:
    symbol, asset = changes.get("symbol", BTC), changes.get("asset", "USDT")
    lab.venue.incomes.append(IncomeReport(9_000 + number, kind, symbol, D(amount), asset, time_ms))


def _opened_ms(lab: Lab, intent: int = 1) -> int:
    opened = lab.trade(intent).opened_time_ms
    assert opened is not None
    return opened


def _closed(lab: Lab) -> int:
    """Open a trade, let it reach its target, and return when it closed (venue time)."""
    lab.open_long()
    lab.run(3_000)
    lab.price(BTC, "100.7")
    lab.run(500)
    assert lab.state() is TradeState.CLOSED
    closed = lab.trade().closed_time_ms
    assert closed is not None
    return closed


def _booked(lab: Lab, number: int) -> int | None:
    return lab.rows.incomes[9_000 + number, "FUNDING_FEE"].intent_id


def test_transfer_while_nobody_ran_is_booked_though_nothing_was_ever_traded() -> None:
    lab = Lab()
    lab.run(1_000)
    _row(lab, 1, "500", START_MS - 1, "TRANSFER", symbol="")
    lab.run(RECONCILE_MS)
    assert lab.rows.incomes == {}
    again = lab.restart(away_ms=3 * 3_600_000)
    _row(lab, 2, "-200", lab.now_ms + 1_000, "TRANSFER", symbol="")
    again.run(RECONCILE_MS)
    assert list(again.rows.incomes) == [(9_002, "TRANSFER")]


def test_funding_that_is_paid_twice_adds_up_on_the_open_trade() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.pay_funding(BTC, D("-0.5"))
    lab.flush()
    lab.run(1_000)
    lab.venue.pay_funding(BTC, D("0.2"))
    lab.flush()
    lab.run(1_000)
    assert lab.trade().funding == D("-0.3")
    assert {row.intent_id for row in lab.rows.incomes.values()} == {1}


def test_funding_that_is_known_late_goes_to_the_closed_trade_and_to_its_day() -> None:
    lab = Lab()
    closed = _closed(lab)
    before = next(iter(lab.rows.performance.values()))
    _row(lab, 1, "-0.5", closed - 1_000)
    _row(lab, 2, "0.2", closed - 500)
    lab.run(RECONCILE_MS)
    (row,) = lab.rows.performance.values()
    assert lab.trade().funding == D("-0.3") == row.funding
    assert (row.trades, row.wins, row.realized_pnl, row.fees) == (1, 1, before.realized_pnl, before.fees)
    assert row.day == utc_day(closed)
    assert (_booked(lab, 1), _booked(lab, 2)) == (1, 1)


def test_funding_that_is_known_only_after_midnight_counts_for_the_day_on_which_the_trade_closed() -> None:
    midnight = START_MS - START_MS % DAY_MS + DAY_MS
    lab = Lab(now_ms=midnight - 6_000)
    closed = _closed(lab)
    assert closed < midnight
    _row(lab, 1, "-0.5", closed - 1_000)
    lab.run(RECONCILE_MS)
    (row,) = lab.rows.performance.values()
    assert (row.day, row.funding, row.trades, row.wins) == (utc_day(closed), D("-0.5"), 1, 1)
    assert lab.core._desk.days.net_pnl() == 0


@pytest.mark.parametrize(
    ("after_open_ms", "after_close_ms", "owner"),
    [(-1, None, None), (0, None, 1), (None, 0, 1), (None, 1, None)],
)
def test_funding_belongs_to_the_trade_that_held_the_symbol_at_its_time(
    after_open_ms: int | None, after_close_ms: int | None, owner: int | None
) -> None:
    lab = Lab()
    closed = _closed(lab)
    time_ms = _opened_ms(lab) + after_open_ms if after_open_ms is not None else closed + (after_close_ms or 0)
    _row(lab, 1, "-0.5", time_ms)
    lab.run(RECONCILE_MS)
    assert _booked(lab, 1) == owner
    assert lab.trade().funding == (D("-0.5") if owner else 0)


def test_funding_of_the_second_trade_is_not_given_to_the_first_nor_to_another_symbol() -> None:
    lab = Lab()
    first_closed = _closed(lab)
    lab.price(BTC, "100")
    lab.run(600_500)
    lab.signal(number=12)
    lab.signal(ETH, number=12)
    lab.run(2_000)
    assert lab.state(2) is lab.state(3) is TradeState.PROTECTED
    _row(lab, 1, "-0.5", lab.now_ms - 500)
    _row(lab, 2, "-0.25", lab.now_ms - 500, symbol=ETH)
    _row(lab, 3, "-0.125", first_closed)
    lab.run(RECONCILE_MS)
    assert [lab.trade(number).funding for number in (1, 2, 3)] == [D("-0.125"), D("-0.5"), D("-0.25")]
    assert lab.trade(2).state is TradeState.PROTECTED


def test_rows_that_are_no_funding_of_the_quote_asset_are_stored_without_a_trade() -> None:
    lab = Lab()
    lab.open_long()
    lab.run(1_000)
    _row(lab, 1, "-0.5", lab.now_ms, asset="BNB")
    _row(lab, 2, "-0.5", lab.now_ms, kind="INSURANCE_CLEAR")
    _row(lab, 3, "100", lab.now_ms, kind="TRANSFER", symbol="")
    lab.run(RECONCILE_MS)
    assert lab.trade().funding == 0
    assert [row.intent_id for row in lab.rows.incomes.values()] == [None, None, None]
    assert {row.asset for row in lab.rows.incomes.values()} == {"BNB", "USDT"}


def test_row_that_is_listed_again_is_booked_once() -> None:
    lab = Lab()
    lab.open_long()
    _row(lab, 1, "-0.5", lab.now_ms)
    lab.run(3 * RECONCILE_MS)
    assert lab.trade().funding == D("-0.5")
    starts = [c.start_time_ms for c in lab.sent(FetchIncome)]  # type: ignore[attr-defined]
    assert starts[-1] == lab.venue.incomes[0].event_time_ms, "read from the newest known row on"


@pytest.mark.parametrize("kind", ["REALIZED_PNL", "COMMISSION"])
def test_row_of_an_unseen_trade_makes_its_fills_be_read_and_is_not_stored(kind: str) -> None:
    lab = Lab()
    lab.run(1_000)
    _row(lab, 1, "-0.5", lab.now_ms, kind=kind, symbol=ETH)
    before = len(lab.sent(FetchFills))
    lab.run(RECONCILE_MS)
    assert [c.symbol for c in lab.sent(FetchFills)[before:]] == [ETH]  # type: ignore[attr-defined]
    assert not lab.rows.incomes


def test_ledger_rows_are_read_from_the_newest_on_and_booked_once() -> None:
    desk, book = Lab().core._desk, IncomeBook(None)
    assert book.command() == FetchIncome(start_time_ms=0)
    rows = [IncomeReport(n, "TRANSFER", "", D(1), "USDT", time_ms) for n, time_ms in ((1, 5), (2, 9), (3, 7))]
    desk.out.drain(0)
    book.take(desk, rows)
    book.take(desk, rows)
    assert book.command() == FetchIncome(start_time_ms=9)
    written = [row for effect in desk.out.drain(0) if isinstance(effect, Persist) for row in effect.records]
    assert [row.transaction_id for row in written if isinstance(row, IncomeRecord)] == [1, 2, 3]


def test_ledger_rows_are_remembered_up_to_a_number_the_newest_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(income, "_SEEN_MAX", 2)
    desk, book = Lab().core._desk, IncomeBook(None)
    rows = [IncomeReport(n, "TRANSFER", "", D(1), "USDT", n) for n in (1, 2)]
    book.take(desk, rows)
    assert list(book._seen) == [(1, "TRANSFER"), (2, "TRANSFER")]
    book.take(desk, [IncomeReport(3, "TRANSFER", "", D(1), "USDT", 3)])
    assert list(book._seen) == [(2, "TRANSFER"), (3, "TRANSFER")]


def test_funding_of_an_open_trade_is_on_the_disk_before_anything_else_happens() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    desk.out.drain(desk.venue_ms)
    income._add_funding(desk, desk.book.active[1], D("0.5"))
    (effect,) = desk.out.drain(desk.venue_ms)
    assert isinstance(effect, Persist)
    assert effect.durable
