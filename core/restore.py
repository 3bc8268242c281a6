"""What a restart knows from the database, before the venue has been asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from core.records import (
    FillRecord,
    HaltRecord,
    IntentRecord,
    OrderRecord,
    PerformanceRecord,
    PositionRecord,
)


@dataclass(frozen=True, slots=True)
class RestoredState:
    """Unfinished business, today's totals and counters.

    `intents` and `positions` are those not CLOSED or REFUSED, and those with a correction of late that real fills have
    not explained yet; `orders` and `fills` belong to them. `last_trade_ids` holds the highest booked trade id by
    symbol; `last_income_time_ms` the newest ledger row. `next_intent` is one above the highest intent id ever used.
    """

    intents: tuple[IntentRecord, ...] = ()
    positions: tuple[PositionRecord, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    fills: tuple[FillRecord, ...] = ()
    booked_trades: frozenset[tuple[str, int]] = frozenset()
    """Symbol and trade id of late fills whose rows say which trade of ours they belong to: none is booked again."""
    foreign_fills: tuple[FillRecord, ...] = ()
    """Fills of late that no trade of ours explains, oldest first: what a stranger's position is made of."""
    last_trade_ids: Mapping[str, int] = field(default_factory=dict)
    last_income_time_ms: int | None = None
    booked_incomes: frozenset[tuple[int, str]] = frozenset()
    """Transaction id and type of the newest ledger rows that were booked, so that none is booked again."""
    recent_performance: tuple[PerformanceRecord, ...] = ()
    """Rows of today and yesterday: what becomes known late is added to the row of its own day."""
    consecutive_losses: int = 0
    """Losing trades in a row at the end of today's closed ones."""
    halts: tuple[HaltRecord, ...] = ()
    peak_equity: Decimal | None = None
    day_start_equity: Decimal | None = None
    next_intent: int = 1
    first_valued_time_ms: int | None = None
    """When the account was first valued: the books begin there at the latest. None: nobody has run yet."""
