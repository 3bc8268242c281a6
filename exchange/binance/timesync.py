"""Two times of the venue: its gateway's clock, which signatures obey, and its market's, which trading rules count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import Clock

JUMP_MS = 2_000
"""A wall clock that leaves the steady one by more than this was stepped, or the machine slept."""


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One question for the gateway's time: sent, answered (our steady ms) and what it said."""

    sent_ms: int
    received_ms: int
    server_ms: int

    @property
    def round_trip_ms(self) -> int:
        return self.received_ms - self.sent_ms

    @property
    def offset_ms(self) -> int:
        """Server minus ours, taking the answer for the midpoint of the round trip; wrong by half of it at most."""
        return self.server_ms - (self.sent_ms + self.received_ms) // 2


def best_offset_ms(samples: Sequence[TimeSample]) -> int:
    """Return the offset of the sample with the shortest round trip; raises ValueError when there is none."""
    if not samples:
        raise ValueError("no time sample")
    return min(samples, key=lambda sample: sample.round_trip_ms).offset_ms


class GatewayTime:
    """Our steady clock plus the offset to the venue's gateway: what every signature carries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_ms = 0
        self.synchronised = False

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.offset_ms

    def adjust(self, offset_ms: int) -> int:
        """Take over a new offset and return by how much it moved (0 the first time)."""
        moved = offset_ms - self.offset_ms if self.synchronised else 0
        self.offset_ms = offset_ms
        self.synchronised = True
        return moved


class VenueClock:
    """The newest market time seen in any message. Fed by the gateway and by both streams; never goes back."""

    __slots__ = ("_newest_ms",)

    def __init__(self) -> None:
        self._newest_ms = 0

    def observe(self, event_time_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, event_time_ms)

    def venue_time_ms(self) -> int:
        """UTC epoch milliseconds; 0 until the first message."""
        return self._newest_ms


class JumpWatch:
    """Notices that the wall clock was stepped or the machine slept: wall and steady time parted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gap_ms = clock.wall_ms() - clock.now_ms()

    def jump_ms(self) -> int:
        """Return the step since the last call when it exceeds `JUMP_MS`, else 0."""
        gap = self._clock.wall_ms() - self._clock.now_ms()
        step = gap - self._gap_ms
        if abs(step) <= JUMP_MS:
            return 0
        self._gap_ms = gap
        return step
