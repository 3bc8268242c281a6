"""How long each stage of the live path takes, as percentiles of the last minutes.

Stages, in milliseconds: `message` (one market frame decoded and handled), `frame_to_signal` (the deciding frame was
received, its signal is made), `frame_to_recorded` (the entry's intent is on disk), `frame_to_order` (the entry request
leaves), `loop_lag`. The last three are counted from the arrival of the candle that closed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Sequence

from core.clock import Clock
from core.commands import SubmitOrder, VenueCommand
from core.enums import Priority
from core.signal import Signal

WINDOW_MS = 900_000
"""Percentiles cover the current window and the one before it: 15 to 30 minutes."""

BINS_A_DECADE = 60
"""Logarithmic bins, each 4 % wide: what the percentiles are exact to."""

_FLOOR_NS = 1_000
_BINS = 7 * BINS_A_DECADE  # 1 us to 10 s


class _Histogram:
    """Counts by duration; `worst_ns` is exact."""

    __slots__ = ("bins", "count", "worst_ns")

    def __init__(self) -> None:
        self.bins = [0] * _BINS
        self.count = 0
        self.worst_ns = 0

    def add(self, duration_ns: int) -> None:
        place = int(math.log10(duration_ns / _FLOOR_NS) * BINS_A_DECADE) if duration_ns > _FLOOR_NS else 0
        self.bins[min(place, _BINS - 1)] += 1
        self.count += 1
        self.worst_ns = max(self.worst_ns, duration_ns)


class LatencyBook:
    """Durations by stage. `record` may be called from any thread and costs about a microsecond."""

    def __init__(self, clock: Clock, *, window_ms: int = WINDOW_MS) -> None:
        self._clock = clock
        self._window_ms = window_ms
        self._lock = threading.Lock()
        self._began_ms = clock.now_ms()
        self._now: dict[str, _Histogram] = {}
        self._before: dict[str, _Histogram] = {}

    def record(self, stage: str, duration_ns: int) -> None:
        with self._lock:
            histogram = self._now.get(stage)
            if histogram is None:
                histogram = self._now[stage] = _Histogram()
            histogram.add(duration_ns)

    def reset(self) -> None:
        """Forget everything: what a start takes says nothing about trading."""
        with self._lock:
            self._now, self._before, self._began_ms = {}, {}, self._clock.now_ms()

    def snapshot(self) -> dict[str, dict[str, float | int]]:
        """Return p50, p99, max (ms) and count of every stage that has happened."""
        with self._lock:
            found = {stage: self._of(stage) for stage in sorted(self._now.keys() | self._before.keys())}
            if self._clock.now_ms() - self._began_ms >= self._window_ms:
                self._now, self._before, self._began_ms = {}, self._now, self._clock.now_ms()
        return found

    def _of(self, stage: str) -> dict[str, float | int]:
        parts = [part[stage] for part in (self._now, self._before) if stage in part]
        bins = [sum(counts) for counts in zip(*(part.bins for part in parts), strict=True)]
        worst_ns = max(part.worst_ns for part in parts)
        return {
            "p50": _percentile(bins, 50, worst_ns),
            "p99": _percentile(bins, 99, worst_ns),
            "max": round(worst_ns / 1e6, 3),
            "count": sum(part.count for part in parts),
        }


class OrderLatency:
    """Follows a signal to its order. A symbol has one entry under way at a time, so its newest signal is the one."""

    def __init__(self, book: LatencyBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._received_ns: dict[str, int] = {}

    def following(
        self, publish: Callable[[Sequence[Signal]], Awaitable[None]]
    ) -> Callable[[Sequence[Signal]], Awaitable[None]]:
        """Return `publish` with the arrival of each signal noted on the way."""

        async def publish_and_note(signals: Sequence[Signal]) -> None:
            now_ns = self._clock.monotonic_ns()
            for signal in signals:
                if signal.received_ns:
                    self._received_ns[signal.symbol] = signal.received_ns
                    self._book.record("frame_to_signal", now_ns - signal.received_ns)
            await publish(signals)

        return publish_and_note

    def on_recorded(self, command: VenueCommand) -> None:
        """An entry's intent is on disk and its request is handed to the gateway."""
        if isinstance(command, SubmitOrder) and command.priority is Priority.ENTRY:
            self._record("frame_to_recorded", command.approved.order.symbol, self._clock.monotonic_ns())

    def on_wire(self, command: VenueCommand, sent_ns: int) -> None:
        """A request leaves at `sent_ns`; called from a worker thread."""
        if isinstance(command, SubmitOrder) and command.priority is Priority.ENTRY:
            self._record("frame_to_order", command.approved.order.symbol, sent_ns)

    def _record(self, stage: str, symbol: str, at_ns: int) -> None:
        received_ns = self._received_ns.get(symbol)
        if received_ns is not None:
            self._book.record(stage, at_ns - received_ns)


def _percentile(bins: list[int], percent: float, worst_ns: int) -> float:
    """Return the upper edge (ms) of the bin that holds the nearest-rank percentile, at most the worst."""
    rank = max(1, math.ceil(sum(bins) * percent / 100))
    seen = 0
    for place, count in enumerate(bins):
        seen += count
        if seen >= rank:
            return round(min(worst_ns, _FLOOR_NS * 10 ** ((place + 1) / BINS_A_DECADE)) / 1e6, 3)
    return 0.0
