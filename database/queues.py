"""What waits to be written: requests in two lanes, and which lane a record belongs to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from core.records import (
    AccountStatRecord,
    CandleRecord,
    DecisionRecord,
    DenialRecord,
    FundingRecord,
    PositionMarkRecord,
    Record,
    SignalRecord,
    SignalStatus,
)

BULK_TYPES = frozenset(
    {CandleRecord, DecisionRecord, DenialRecord, AccountStatRecord, PositionMarkRecord, FundingRecord}
)


@dataclass(slots=True)
class WriteRequest:
    """Records to write, or a `task` to run, and whom to tell. `done` is called on the writer thread."""

    records: Sequence[Record]
    enqueued_ns: int
    task: Callable[[Connection], Any] | None = None
    done: Callable[[Any, BaseException | None], None] | None = None


@dataclass(slots=True)
class Lane:
    requests: deque[WriteRequest] = field(default_factory=deque)
    rows: int = 0

    def push(self, request: WriteRequest) -> None:
        self.requests.append(request)
        self.rows += len(request.records)

    def push_back(self, requests: Sequence[WriteRequest]) -> None:
        self.requests.extendleft(reversed(requests))
        self.rows += sum(len(request.records) for request in requests)

    def take(self, rows_max: int | None) -> list[WriteRequest]:
        """Remove and return the oldest requests, at least one, up to `rows_max` rows."""
        taken: list[WriteRequest] = []
        rows = 0
        while self.requests and (not taken or rows_max is None or rows + len(self.requests[0].records) <= rows_max):
            request = self.requests.popleft()
            rows += len(request.records)
            taken.append(request)
        self.rows -= rows
        return taken


def is_bulk(record: Record) -> bool:
    """Whether nothing waits for the record: the signals that were denied have no intent that might."""
    is_denied = isinstance(record, SignalRecord) and record.status is SignalStatus.DENIED
    return is_denied or type(record) in BULK_TYPES
