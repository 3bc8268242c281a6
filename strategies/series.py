"""Continuity of closed candles: what comes next, what was seen before, what is missing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from core.candle import INTERVAL_MS, ClosedCandle


class Phase(Enum):
    """How a closed candle reached the strategies: history at start, late after a gap, or in time."""

    WARM_UP = "warm_up"
    BACKFILL = "backfill"
    LIVE = "live"


class Offer(Enum):
    """Answer to a candle that was offered to a series."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing candles: open times of the first and the last one, both included."""

    start_ms: int
    end_ms: int


class CandleSeries:
    """Open times of one symbol and interval without hole or repetition. The first candle may be any."""

    __slots__ = ("duplicates", "holes", "last_open_time_ms", "step_ms")

    def __init__(self, interval: str) -> None:
        self.step_ms = INTERVAL_MS[interval]
        self.last_open_time_ms: int | None = None
        self.duplicates = 0
        self.holes = 0

    def offer(self, candle: ClosedCandle) -> Offer | Gap:
        """Accept the next candle, refuse one that was seen (or is older), or name the gap in front of it.

        After a gap the series is unchanged: offer the missing candles, then this one again.
        """
        last = self.last_open_time_ms
        if last is not None:
            if candle.open_time_ms <= last:
                self.duplicates += 1
                return Offer.DUPLICATE
            if candle.open_time_ms != last + self.step_ms:
                return Gap(last + self.step_ms, candle.open_time_ms - self.step_ms)
        self.last_open_time_ms = candle.open_time_ms
        return Offer.ACCEPTED

    def accept_hole(self, next_open_time_ms: int) -> None:
        """Go on at `next_open_time_ms`: the venue itself has no candles in between."""
        self.holes += 1
        self.last_open_time_ms = next_open_time_ms - self.step_ms
