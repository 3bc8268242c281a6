"""Clocks. The only module that reads the machine's time; everything else is handed a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time. `now_ms` never goes back; `wall_ms` may, and a jump between the two is a fault."""

    def now_ms(self) -> int:
        """Steady UTC epoch milliseconds: the wall clock at start plus monotonic time since."""
        ...

    def wall_ms(self) -> int:
        """The machine's wall clock, UTC epoch milliseconds."""
        ...

    def monotonic_ns(self) -> int:
        """Monotonic nanoseconds, for latencies."""
        ...


class SystemClock:
    """The machine's clock, anchored once so that `now_ms` is immune to NTP steps and suspend jumps."""

    __slots__ = ("_anchor_ms", "_anchor_ns")

    def __init__(self) -> None:
        self._anchor_ms = time.time_ns() // 1_000_000
        self._anchor_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        return self._anchor_ms + (time.monotonic_ns() - self._anchor_ns) // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class VirtualClock:
    """A clock that moves only when told to: backtests, simulations and tests."""

    __slots__ = ("_now_ms", "_skew_ms")

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms
        self._skew_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    def wall_ms(self) -> int:
        return self._now_ms + self._skew_ms

    def monotonic_ns(self) -> int:
        return self._now_ms * 1_000_000

    def advance_to(self, time_ms: int) -> None:
        """Move to `time_ms`; raises ValueError if that lies in the past."""
        if time_ms < self._now_ms:
            raise ValueError(f"clock cannot go back from {self._now_ms} to {time_ms}")
        self._now_ms = time_ms

    def skew_wall(self, skew_ms: int) -> None:
        """Shift the wall clock against the steady one, as an NTP step would."""
        self._skew_ms = skew_ms
