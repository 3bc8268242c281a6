"""The venue's ledger rows: funding goes to the trade that held the position, traded symbols are noted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from decimal import Decimal

from core.commands import FetchIncome
from core.orders import IncomeReport
from core.records import IncomeRecord
from executor.desk import Desk
from executor.trade import Trade

FUNDING = "FUNDING_FEE"
_TOLD_BY_FILLS = frozenset({"REALIZED_PNL", "COMMISSION"})
_SEEN_MAX = 10_000


class IncomeBook:
    """Rows seen so far. Rows that fills tell already (realised result, commission) are not stored again."""

    def __init__(self, newest_time_ms: int | None, booked: Iterable[tuple[int, str]] = ()) -> None:
        self.newest_time_ms = newest_time_ms
        self._seen: OrderedDict[tuple[int, str], None] = OrderedDict.fromkeys(sorted(booked))

    def start(self, time_ms: int) -> None:
        """Read rows from `time_ms` (venue time) on, or from an older one that is known already."""
        self.newest_time_ms = min(self.newest_time_ms or time_ms, time_ms)

    def command(self) -> FetchIncome:
        """Return the read of every row since the newest known one (that one again: ids tell them apart)."""
        return FetchIncome(start_time_ms=self.newest_time_ms or 0)

    def take(self, desk: Desk, rows: Iterable[IncomeReport]) -> set[str]:
        """Book new rows and return the symbols that were traded according to them."""
        traded: set[str] = set()
        seen, newest_ms = self._seen, self.newest_time_ms or 0
        for row in rows:  # after a restart these are the rows of an hour
            key = (row.transaction_id, row.income_type)
            if key in seen:
                continue
            seen[key] = None
            if row.event_time_ms > newest_ms:
                newest_ms = self.newest_time_ms = row.event_time_ms
            if row.income_type in _TOLD_BY_FILLS:
                traded.add(row.symbol)
            else:
                self._book(desk, row)
        while len(seen) > _SEEN_MAX:
            seen.popitem(last=False)
        return traded

    def _book(self, desk: Desk, row: IncomeReport) -> None:
        trade = _holder(desk, row) if row.income_type == FUNDING and row.asset == desk.config.quote_asset else None
        if trade is not None:
            _add_funding(desk, trade, row.amount)
        record = IncomeRecord(
            transaction_id=row.transaction_id,
            income_type=row.income_type,
            symbol=row.symbol,
            amount=row.amount,
            asset=row.asset,
            event_time_ms=row.event_time_ms,
            intent_id=None if trade is None else trade.intent_id,
        )
        desk.write(row.symbol, record, durable=True)


def _holder(desk: Desk, row: IncomeReport) -> Trade | None:
    """Return the trade that held the symbol at the row's time, open or recently closed."""
    trades = [*desk.book.of_symbol(row.symbol), *(t for t in desk.book.recent() if t.symbol == row.symbol)]
    for trade in trades:
        opened = trade.opened_time_ms
        closed = trade.closed_time_ms
        if opened is not None and opened <= row.event_time_ms and (closed is None or row.event_time_ms <= closed):
            return trade
    return None


def _add_funding(desk: Desk, trade: Trade, amount: Decimal) -> None:
    trade.funding += amount
    desk.touch(trade, durable=True)
    if trade.is_over:
        desk.write(trade.symbol, desk.days.funded_late(trade, amount, trade.closed_time_ms or desk.venue_ms))
