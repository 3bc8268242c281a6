"""Which files of the venue's public archive hold a span of days, and what they are called. Pure.

The archive keeps `data/futures/um/<monthly|daily>/klines/<SYMBOL>/<interval>/<SYMBOL>-<interval>-<period>.zip`, funding
by month under `data/futures/um/monthly/fundingRate/<SYMBOL>/`, and beside each file one named `.CHECKSUM`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

FUNDING = "fundingRate"
LATE_DAYS = 35
"""A month that ended so few days ago may not be published as one file yet; its days are."""
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file: `what` is an interval (candles) or `FUNDING`, `period` a month (2025-01) or a day (2025-01-31), UTC."""

    symbol: str
    what: str
    period: str

    @property
    def name(self) -> str:
        """Return the name without ending."""
        return f"{self.symbol}-{self.what}-{self.period}"

    @property
    def path(self) -> str:
        """Return where it lies in the archive."""
        folder = f"fundingRate/{self.symbol}" if self.is_funding else f"klines/{self.symbol}/{self.what}"
        return f"data/futures/um/{'monthly' if self.is_month else 'daily'}/{folder}/{self.name}.zip"

    @property
    def is_month(self) -> bool:
        return len(self.period) == len("2025-01")

    @property
    def is_funding(self) -> bool:
        return self.what == FUNDING

    @property
    def first_day(self) -> date:
        return date.fromisoformat(f"{self.period}-01" if self.is_month else self.period)

    @property
    def last_day(self) -> date:
        return _next_month(self.first_day) - ONE_DAY if self.is_month else self.first_day

    def of_month(self) -> ArchiveFile:
        """Return the file of the month that holds this one."""
        return ArchiveFile(self.symbol, self.what, self.period[:7])

    def of_days(self) -> tuple[ArchiveFile, ...]:
        """Return the files of the single days of this one."""
        return tuple(self.of_day(day) for day in days(self.first_day, self.last_day))

    def of_day(self, day: date) -> ArchiveFile:
        return ArchiveFile(self.symbol, self.what, day.isoformat())

    def may_come_late(self, today: date) -> bool:
        """Return whether its absence may only mean that the month is not published as one file yet."""
        return self.is_month and not self.is_funding and (today - self.last_day).days <= LATE_DAYS


def plan(
    symbols: Sequence[str], interval: str, first: date, last: date, today: date, *, funding: bool
) -> list[ArchiveFile]:
    """Return the files for the days `first` to `last`, both included: a month that is over as one file, else days.

    Today and what comes after is not in the archive yet; funding comes by whole months only.
    """
    last = min(last, today - ONE_DAY)
    files = []
    for symbol in symbols:
        month = first.replace(day=1)
        while month <= last:
            following = _next_month(month)
            if following <= today:
                files.append(ArchiveFile(symbol, interval, f"{month:%Y-%m}"))
                files += [ArchiveFile(symbol, FUNDING, f"{month:%Y-%m}")] if funding else []
            else:
                files += [
                    ArchiveFile(symbol, interval, day.isoformat())
                    for day in days(max(first, month), min(last, following - ONE_DAY))
                ]
            month = following
    return files


def days(first: date, last: date) -> list[date]:
    """Return the days from `first` to `last`, both included."""
    return [first + ONE_DAY * number for number in range((last - first).days + 1)]


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
