"""Measures how late the event loop runs what is due: a sleeper that compares when it woke with when it should have."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from core.clock import Clock

INTERVAL_S = 0.02
SAMPLES_MAX = 30_000
"""Ten minutes at the default interval; older samples of an unread window are not needed for its percentiles."""


class LoopLagProbe:
    """Samples the loop's lag. A block of any length is one sample, so look at `max` beside the percentiles.

    `on_lag` hears every sample in nanoseconds.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        interval_s: float = INTERVAL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_lag: Callable[[int], None] | None = None,
    ) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._sleep = sleep
        self._on_lag = on_lag
        self._lags_ms: list[float] = []
        self.lag_ms_max = 0.0  # since the start

    async def run(self) -> None:
        """Sample until cancelled."""
        interval_ms = self._interval_s * 1_000
        while True:
            started_ns = self._clock.monotonic_ns()
            await self._sleep(self._interval_s)
            self._add((self._clock.monotonic_ns() - started_ns) / 1e6 - interval_ms)

    def _add(self, lag_ms: float) -> None:
        lag_ms = max(0.0, lag_ms)  # a timer may fire a little early
        if self._on_lag is not None:
            self._on_lag(int(lag_ms * 1e6))
        self.lag_ms_max = max(self.lag_ms_max, lag_ms)
        if len(self._lags_ms) < SAMPLES_MAX:
            self._lags_ms.append(lag_ms)

    def take(self) -> dict[str, float | int]:
        """Return p50, p99, max (ms) and the number of samples since the last call, and start a new window."""
        window, self._lags_ms = sorted(self._lags_ms), []
        return {
            "p50": percentile(window, 50),
            "p99": percentile(window, 99),
            "max": round(window[-1], 3) if window else 0.0,
            "samples": len(window),
        }


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of sorted values, rounded to 0.001; 0 for none."""
    if not ascending:
        return 0.0
    rank = max(1, math.ceil(len(ascending) * percent / 100))
    return round(ascending[rank - 1], 3)
