"""Reading lists that the venue hands out page by page: trades by id, the ledger and candles by time.

Each generator yields calls and is sent the decoded page; it returns the whole. Pure: sending is the gateway's work.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from core.candle import ClosedCandle
from core.commands import FetchFills, FetchIncome
from core.orders import FillReport, IncomeReport
from exchange.binance.calls import PAGE_SIZE, Call, fills_page, income_page, klines

T = TypeVar("T")
Pages = Generator[Call, tuple[T, ...], tuple[T, ...]]

SPAN_MS = 7 * 86_400_000 - 1
"""The longest span that userTrades and income accept."""
HISTORY_MS = 89 * 86_400_000
"""How far back the venue keeps trades and ledger rows, less a day."""
KLINES_PER_PAGE = 499
"""A page of 499 candles weighs 2, one of 1000 weighs 5: small pages are never dearer and mostly cheaper."""


def read_fills(command: FetchFills, now_ms: int) -> Pages[FillReport]:
    """All fills from an id or a time on, ascending; without either those of the last seven days."""
    found: dict[int, FillReport] = {}
    from_id = command.from_trade_id
    if from_id is None:
        start_ms = _first(command.start_time_ms, now_ms)
        now_ms = max(now_ms, start_ms)  # the newest time that we know may lag the venue's: read one page at least
        while not found and start_ms <= now_ms:
            page = yield fills_page(command, None, (start_ms, start_ms + SPAN_MS))
            found |= {fill.trade_id: fill for fill in page}
            start_ms += SPAN_MS + 1
        if not found:
            return ()
        from_id = max(found) + 1
    while True:
        page = yield fills_page(command, from_id, None)
        found |= {fill.trade_id: fill for fill in page}
        if len(page) < PAGE_SIZE:
            return tuple(found[trade_id] for trade_id in sorted(found))
        from_id = max(fill.trade_id for fill in page) + 1


def read_income(command: FetchIncome, now_ms: int) -> Pages[IncomeReport]:
    """All ledger rows since a time, ascending, each once."""
    found: dict[tuple[int, str], IncomeReport] = {}
    start_ms = _first(command.start_time_ms, now_ms)
    now_ms = max(now_ms, start_ms)
    while start_ms <= now_ms:
        page = yield income_page(command, (start_ms, start_ms + SPAN_MS))
        found |= {(row.transaction_id, row.income_type): row for row in page}
        if len(page) < PAGE_SIZE:
            start_ms += SPAN_MS + 1
            continue
        newest_ms = max(row.event_time_ms for row in page)
        # Rows of one moment may straddle two pages: read that moment again, unless it fills a page alone.
        start_ms = newest_ms if newest_ms > start_ms else newest_ms + 1
    return tuple(sorted(found.values(), key=lambda row: (row.event_time_ms, row.transaction_id)))


def read_candles(
    symbol: str, interval: str, start_time_ms: int | None, end_time_ms: int | None, limit: int
) -> Pages[ClosedCandle]:
    """Up to `limit` candles: the first ones from a start on, or without one the last ones up to the end."""
    found: dict[int, ClosedCandle] = {}
    while len(found) < limit:
        wanted = min(KLINES_PER_PAGE, limit - len(found))
        page = yield klines(symbol, interval, start_time_ms, end_time_ms, wanted)
        new = {candle.open_time_ms: candle for candle in page if candle.open_time_ms not in found}
        found |= new
        if len(page) < wanted or not new:
            break
        if start_time_ms is not None:
            start_time_ms = max(found) + 1
        else:
            end_time_ms = min(found) - 1
    return tuple(found[open_time_ms] for open_time_ms in sorted(found))


def _first(start_time_ms: int | None, now_ms: int) -> int:
    start_ms = start_time_ms if start_time_ms is not None else now_ms - SPAN_MS
    return max(0, start_ms, now_ms - HISTORY_MS)
