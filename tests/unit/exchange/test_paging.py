"""Paged reads return everything once, in order, whatever the page boundaries."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.candle import ClosedCandle
from core.commands import FetchFills, FetchIncome
from core.enums import LiquiditySide, PositionSide, Side
from core.orders import FillReport, IncomeReport
from exchange.binance import paging
from exchange.binance.calls import PAGE_SIZE, Call
from exchange.binance.paging import SPAN_MS, Pages, read_candles, read_fills, read_income

T = TypeVar("T")
DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def walk(pages: Pages[T], serve: Callable[[Call], tuple[T, ...]]) -> tuple[tuple[T, ...], list[Call]]:
    calls = [next(pages)]
    while True:
        try:
            calls.append(pages.send(serve(calls[-1])))
        except StopIteration as done:
            return done.value, calls


def fill(trade_id: int, time_ms: int) -> FillReport:
    one = Decimal(1)
    return FillReport(
        "X", trade_id, 1, "", Side.BUY, PositionSide.BOTH, one, one, one, "USDT", one, LiquiditySide.TAKER, time_ms
    )


class Trades:
    """Answers as the venue documents userTrades: fromId excludes times, spans of at most seven days, 1000 rows."""

    def __init__(self, fills: list[FillReport]) -> None:
        self.fills = fills

    def __call__(self, call: Call) -> tuple[FillReport, ...]:
        params = call.params
        assert not ("fromId" in params and "startTime" in params)
        if "fromId" in params:
            rows = [row for row in self.fills if row.trade_id >= int(params["fromId"])]
        else:
            start, end = int(params["startTime"]), int(params["endTime"])
            assert end - start <= SPAN_MS
            rows = [row for row in self.fills if start <= row.event_time_ms <= end]
        return tuple(rows[:PAGE_SIZE])


def test_fills_from_an_id_are_read_over_all_pages() -> None:
    venue = Trades([fill(number, NOW_MS) for number in range(1, 2502)])
    fills, calls = walk(read_fills(FetchFills("X", from_trade_id=2), NOW_MS), venue)
    assert [row.trade_id for row in fills] == list(range(2, 2502))
    assert len(calls) == 3


def test_fills_since_a_time_skip_empty_weeks_and_go_on_by_id() -> None:
    first_ms = NOW_MS - 20 * DAY_MS
    venue = Trades([fill(number, first_ms + 15 * DAY_MS + number) for number in range(1500)])
    fills, calls = walk(read_fills(FetchFills("X", start_time_ms=first_ms), NOW_MS), venue)
    assert len(fills) == 1500
    assert [("fromId" in call.params) for call in calls] == [False, False, False, True]


def test_fills_of_a_quiet_account_are_empty() -> None:
    fills, calls = walk(read_fills(FetchFills("X", start_time_ms=NOW_MS - DAY_MS), NOW_MS), Trades([]))
    assert fills == ()
    assert len(calls) == 1


def test_fills_are_asked_for_even_when_our_newest_time_lags_the_start() -> None:
    late = fill(1, NOW_MS + 5_000)
    fills, _ = walk(read_fills(FetchFills("X", start_time_ms=NOW_MS + 1_000), NOW_MS), Trades([late]))
    assert fills == (late,)


def test_fills_older_than_the_venue_keeps_are_not_asked_for() -> None:
    _, calls = walk(read_fills(FetchFills("X", start_time_ms=0), NOW_MS), Trades([]))
    assert int(calls[0].params["startTime"]) == NOW_MS - paging.HISTORY_MS


class Ledger:
    """Answers as the venue documents income: ascending, inside the span, 1000 rows."""

    def __init__(self, rows: list[IncomeReport]) -> None:
        self.rows = sorted(rows, key=lambda row: row.event_time_ms)

    def __call__(self, call: Call) -> tuple[IncomeReport, ...]:
        start, end = int(call.params["startTime"]), int(call.params["endTime"])
        assert end - start <= SPAN_MS
        return tuple([row for row in self.rows if start <= row.event_time_ms <= end][:PAGE_SIZE])


def income(number: int, time_ms: int, kind: str = "FUNDING_FEE") -> IncomeReport:
    return IncomeReport(number, kind, "X", Decimal(1), "USDT", time_ms)


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 5))
def test_income_returns_each_row_once_for_any_clustering(offsets: list[int], page: int) -> None:
    rows = [income(number, NOW_MS - 1_000 + offset) for number, offset in enumerate(sorted(offsets))]
    largest_moment = max((offsets.count(offset) for offset in offsets), default=0)
    if largest_moment >= page:  # a moment that fills a page alone cannot be paged by time
        page = largest_moment + 1
    ledger = Ledger(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "PAGE_SIZE", page)

        def serve(call: Call) -> tuple[IncomeReport, ...]:
            return ledger(call)[:page]

        found, _ = walk(read_income(FetchIncome(NOW_MS - 1_000), NOW_MS), serve)
    assert sorted(row.transaction_id for row in found) == list(range(len(rows)))


def test_income_same_transaction_of_two_types_is_two_rows() -> None:
    ledger = Ledger([income(1, NOW_MS, "COMMISSION"), income(1, NOW_MS, "REALIZED_PNL")])
    found, _ = walk(read_income(FetchIncome(NOW_MS), NOW_MS), ledger)
    assert len(found) == 2


def test_income_of_many_weeks_is_asked_in_spans() -> None:
    ledger = Ledger([income(number, NOW_MS - number * DAY_MS) for number in range(30)])
    found, calls = walk(read_income(FetchIncome(NOW_MS - 30 * DAY_MS), NOW_MS), ledger)
    assert len(found) == 30
    assert len(calls) == 5


def candle(index: int) -> ClosedCandle:
    one = Decimal(1)
    return ClosedCandle("X", "1m", index * 60_000, one, one, one, one, one)


class Klines:
    def __init__(self, count: int) -> None:
        self.rows = [candle(index) for index in range(count)]

    def __call__(self, call: Call) -> tuple[ClosedCandle, ...]:
        limit = int(call.params["limit"])
        assert limit <= 1500
        start, end = call.params.get("startTime"), call.params.get("endTime")
        rows = [row for row in self.rows if start is None or row.open_time_ms >= int(start)]
        rows = [row for row in rows if end is None or row.open_time_ms <= int(end)]
        return tuple(rows[:limit] if start is not None else rows[-limit:])


@pytest.mark.parametrize("limit", [1, 99, 1000, 1500, 2600])
def test_candles_without_a_start_are_the_last_ones(limit: int) -> None:
    rows, _ = walk(read_candles("X", "1m", None, None, limit), Klines(3000))
    assert list(rows) == Klines(3000).rows[-limit:]


@pytest.mark.parametrize("limit", [1, 1000, 2600])
def test_candles_from_a_start_are_the_first_ones(limit: int) -> None:
    rows, _ = walk(read_candles("X", "1m", 60_000, None, limit), Klines(3000))
    assert list(rows) == Klines(3000).rows[1 : limit + 1]


def test_candles_end_where_the_history_ends() -> None:
    rows, calls = walk(read_candles("X", "1m", None, None, 2600), Klines(700))
    assert len(rows) == 700
    assert len(calls) == 2
    rows, calls = walk(read_candles("X", "1m", None, None, 998), Klines(998))
    assert len(rows) == 998
    assert len(calls) == 2


@pytest.mark.parametrize(("limit", "weight"), [(99, 1), (499, 2), (598, 3), (720, 4), (1000, 5), (1440, 6), (1500, 7)])
def test_candles_cost_no_more_weight_than_one_large_page(limit: int, weight: int) -> None:
    _, calls = walk(read_candles("X", "1m", None, None, limit), Klines(3000))
    assert sum(call.weight for call in calls) == weight
