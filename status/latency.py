"""How long each stage of the live path takes, as percentiles of the last minutes.

Stages, in milliseconds: `message` (one market frame decoded and handled), `frame_to_signal` (the deciding frame was
received, its signal is made), `frame_to_recorded` (the entry's intent is on disk), `frame_to_order` (the entry request
leaves), `loop_lag`. The last three are counted from the arrival of the candle that closed.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np

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
_RAW_MAX = 200_000
"""Durations of a stage that wait to be counted: those of some minutes at the highest speed."""


class _Histogram:
    """Counts by duration; `worst_ns` is exact."""

    __slots__ = ("bins", "count", "worst_ns")

    def __init__(self) -> None:
        self.bins = np.zeros(_BINS, dtype=np.int64)
        self.count = 0
        self.worst_ns = 0

    def add(self, durations_ns: Sequence[int]) -> None:
        """Count durations; at least one."""
        durations = np.array(durations_ns, dtype=np.int64)
        decades = np.log10(np.maximum(durations, _FLOOR_NS) / _FLOOR_NS)
        places = np.minimum((decades * BINS_A_DECADE).astype(np.int64), _BINS - 1)
        self.bins += np.bincount(places, minlength=_BINS)
        self.count += len(durations)
        self.worst_ns = max(self.worst_ns, int(durations.max()))


class LatencyBook:
    """Durations by stage. `record` may be called from any thread and only notes: it is called hundreds of times in the
    moment when candles close. Counting waits for the next `snapshot`.
    """

    def __init__(self, clock: Clock, *, window_ms: int = WINDOW_MS) -> None:
        self._clock = clock
        self._window_ms = window_ms
        self._lock = threading.Lock()
        self._began_ms = clock.now_ms()
        self.since_ns = 0
        """Durations that began before this monotonic moment are no part of what is measured."""
        self._raw: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_RAW_MAX))
        self._now: dict[str, _Histogram] = {}
        self._before: dict[str, _Histogram] = {}

    def record(self, stage: str, duration_ns: int) -> None:
        self._raw[stage].append(duration_ns)

    def _count(self) -> None:
        """Move what was noted into the histograms; more may be noted meanwhile."""
        for stage, raw in list(self._raw.items()):
            if raw:
                self._now.setdefault(stage, _Histogram()).add([raw.popleft() for _ in range(len(raw))])

    def reset(self) -> None:
        """Forget everything: what a start takes says nothing about trading. A candle that came meanwhile has waited for
        its symbol's history."""
        with self._lock:
            self._count()
            self._now, self._before, self._began_ms = {}, {}, self._clock.now_ms()
            self.since_ns = self._clock.monotonic_ns()

    def snapshot(self) -> dict[str, dict[str, float | int]]:
        """Return p50, p99, max (ms) and count of every stage that has happened."""
        with self._lock:
            self._count()
            found = {stage: self._of(stage) for stage in sorted(self._now.keys() | self._before.keys())}
            if self._clock.now_ms() - self._began_ms >= self._window_ms:
                self._now, self._before, self._began_ms = {}, self._now, self._clock.now_ms()
        return found

    def _of(self, stage: str) -> dict[str, float | int]:
        parts = [part[stage] for part in (self._now, self._before) if stage in part]
        bins: list[int] = np.sum([part.bins for part in parts], axis=0).tolist()
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

    def noting(
        self, offer: Callable[[Sequence[Signal]], Sequence[Signal]]
    ) -> Callable[[Sequence[Signal]], Sequence[Signal]]:
        """Return `offer` with the arrival of each signal noted on the way."""

        def note_and_offer(signals: Sequence[Signal]) -> Sequence[Signal]:
            now_ns = self._clock.monotonic_ns()
            for signal in signals:
                if signal.received_ns:
                    self._received_ns[signal.symbol] = signal.received_ns
                    self._record("frame_to_signal", signal.symbol, now_ns)
            return offer(signals)

        return note_and_offer

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
        if received_ns is not None and received_ns >= self._book.since_ns:
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
