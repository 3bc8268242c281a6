"""The summary of each UTC day of the venue, sent once when the day is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

from alerts.catalog import daily_summary
from core.clock import Clock
from core.ports import AlertSink, VenueTime
from core.records import AccountStatRecord, PerformanceRecord
from utils.timefmt import day as day_of


class Results(Protocol):
    """What was stored of past trading. Blocking reads."""

    def performance(self, day: str) -> Sequence[PerformanceRecord]: ...

    def latest_account_stat(self) -> AccountStatRecord | None: ...


REVIEW_AFTER_MS = 300_000
"""The last trades of a day have five minutes to end before the day is looked at again."""


class DailySummary:
    """Call `step` from time to time, in a thread because it reads the database; it emits the summary of a day after
    the venue's time has left it. The equity is the newest stored one.

    `review` is asked at 00:05 about the finished day, and its answer joins the summary, which is sent then; it may
    take its time and must not raise.
    """

    def __init__(
        self,
        sink: AlertSink,
        results: Results,
        venue_time: VenueTime,
        clock: Clock,
        *,
        mode: str,
        review: Callable[[str], str] | None = None,
    ) -> None:
        self._sink = sink
        self._results = results
        self._venue_time = venue_time
        self._clock = clock
        self._mode = mode
        self._review = review
        self._day: str | None = None

    def step(self) -> None:
        now_ms = self._venue_time.venue_time_ms()
        if now_ms == 0:
            return
        today = day_of(now_ms if self._review is None else now_ms - REVIEW_AFTER_MS)
        finished, self._day = self._day, today
        if finished is None or finished == today:
            return
        results = {f"{row.strategy} {row.symbol}": row for row in self._results.performance(finished)}
        stat = self._results.latest_account_stat()
        self._sink.emit(
            daily_summary(
                mode=self._mode,
                day=finished,
                results=results,
                equity=stat.equity if stat is not None else Decimal(0),
                review="" if self._review is None else self._review(finished),
                time_ms=self._clock.now_ms(),
            )
        )
