"""Look-ups over what has been: orders, conditional orders, trades and ledger rows, with the venue's windows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TypeVar

from core.candle import DAY_MS
from simulator.engine.context import Context
from simulator.engine.errors import ApiError
from simulator.engine.orders import AlgoOrder, Income, PlainOrder, Trade
from simulator.engine.retention import is_kept
from simulator.engine.state import snapshot

Row = TypeVar("Row")
WEEK_MS = 7 * DAY_MS
_TRADE_ID, _TIME_MS = attrgetter("trade_id"), attrgetter("time_ms")


class History:
    def __init__(self, context: Context) -> None:
        self._context = context

    def all_orders(
        self, symbol: str, order_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[PlainOrder]:
        """Return plain orders of every status by id: from `order_id` on, or of a window by creation time."""
        self._context.spec(symbol)
        rows = self._kept(self._context.state.orders_by_symbol.get(symbol, []))
        rows = self._page(
            rows, order_id, lambda o: o.order_id, lambda o: o.create_time_ms, window=(start_ms, end_ms), limit=limit
        )
        return [snapshot(row) for row in rows]

    def all_algos(
        self, symbol: str, algo_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[AlgoOrder]:
        """Return conditional orders of every status by id."""
        self._context.spec(symbol)
        rows = self._kept(self._context.state.algos_by_symbol.get(symbol, []))
        rows = self._page(
            rows, algo_id, lambda o: o.algo_id, lambda o: o.create_time_ms, window=(start_ms, end_ms), limit=limit
        )
        return [snapshot(row) for row in rows]

    def trades(
        self,
        symbol: str | None,
        from_id: int | None,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        *,
        order_id: int | None = None,
    ) -> list[Trade]:
        """Return fills by trade id, of one symbol or of all; `from_id` excludes times (-1128)."""
        if symbol is not None:
            self._context.spec(symbol)
        state = self._context.state
        rows = state.trades if symbol is None else state.trades_by_symbol.get(symbol, [])
        if order_id is not None:
            rows = [row for row in rows if row.order_id == order_id]
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        return self._page(rows, from_id, _TRADE_ID, _TIME_MS, window=(start_ms, end_ms), limit=limit)

    def income(
        self,
        symbol: str | None,
        income_type: str | None,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        *,
        page: int = 1,
    ) -> list[Income]:
        """Return ledger rows in the order in which they were booked.

        With a start or a page the rows count from the window's beginning, otherwise the newest `limit` come.
        """
        if symbol is not None:
            self._context.spec(symbol)
        first_ms = start_ms if start_ms is not None else self._context.now_ms - WEEK_MS
        rows = _between(self._context.state.incomes, _TIME_MS, first_ms, end_ms)
        if symbol is not None or income_type is not None:
            rows = [row for row in rows if symbol in (None, row.symbol) and income_type in (None, row.income_type)]
        limit = _checked_limit(limit)
        if start_ms is None and page == 1:
            return rows[-limit:]
        return rows[(page - 1) * limit : page * limit]

    def _kept(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if is_kept(row, self._context.now_ms)]  # type: ignore[arg-type]

    def _page(
        self,
        rows: Sequence[Row],
        from_id: int | None,
        id_of: Callable[[Row], int],
        time_of: Callable[[Row], int],
        *,
        window: tuple[int | None, int | None],
        limit: int,
    ) -> list[Row]:
        """Rows from an id on; or of a window (at most 7 days, -4165); or the newest of the last 7 days."""
        limit = _checked_limit(limit)
        if from_id is not None:
            return list(rows[bisect_left(rows, from_id, key=id_of) :][:limit])
        start_ms, end_ms = window
        if start_ms is not None and end_ms is not None:
            if start_ms > end_ms:
                raise ApiError(-1023, "Start time is greater than end time.")
            if end_ms - start_ms > WEEK_MS:
                raise ApiError(-4165, "Search window is restricted to 7 days.")
        if start_ms is not None:
            last_ms = end_ms if end_ms is not None else start_ms + WEEK_MS
            return _between(rows, time_of, start_ms, last_ms)[:limit]
        last_ms = end_ms if end_ms is not None else self._context.now_ms
        return _between(rows, time_of, last_ms - WEEK_MS, last_ms)[-limit:]


def _between(rows: Sequence[Row], time_of: Callable[[Row], int], start_ms: int, end_ms: int | None) -> list[Row]:
    first = bisect_left(rows, start_ms, key=time_of)
    last = len(rows) if end_ms is None else bisect_right(rows, end_ms, key=time_of)
    return list(rows[first:last])


def _checked_limit(limit: int) -> int:
    if limit <= 0:
        raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, 1000)
