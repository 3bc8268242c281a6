"""Writes `status/heartbeat.json`: every few seconds, atomically, off the event loop.

Keys: `time`, `time_ms` (when written), `mode`, `version`, `pid`, `uptime_s`, `health` (green or red), `reasons`,
`loops` {name: {age_ms, max_age_ms, ok, steps}}, `event_loop_lag_ms` {p50, p99, max, samples}, `latency`
{stage: {p50, p99, max, count}} in ms (stages in `status/latency.py`), and what else was watched: by convention
`streams`, `queues`, `database`, `risk`, `open_positions`, `venue_time`. A reader must look at the age of `time_ms`
too: a process that hangs writes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from status.health import HealthBoard
from utils.atomic import write_atomic
from utils.logging import get_logger

FILE_NAME = "heartbeat.json"
INTERVAL_S = 5.0

log = get_logger(__name__)


class HeartbeatWriter:
    """Writes the board's snapshot to `directory/heartbeat.json` until cancelled."""

    def __init__(
        self,
        board: HealthBoard,
        directory: Path,
        *,
        interval_s: float = INTERVAL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._board = board
        self.path = directory / FILE_NAME
        self._interval_s = interval_s
        self._sleep = sleep
        self._failing = False

    async def run(self) -> None:
        """Write now and every `interval_s`; a failed write is logged once and tried again at the next beat."""
        while True:
            await self.write_once()
            await self._sleep(self._interval_s)

    async def write_once(self) -> bool:
        """Write one heartbeat; return whether it is on disk. The snapshot is taken on the event loop, the writing is
        done in a thread, so that a slow disk delays nothing."""
        text = to_json(self._board.snapshot())
        try:
            await asyncio.to_thread(write_atomic, self.path, text)
        except OSError as error:
            if not self._failing:
                log.warning("heartbeat cannot be written", path=str(self.path), error=str(error))
            self._failing = True
            return False
        self._failing = False
        return True


def to_json(snapshot: dict[str, Any]) -> str:
    """Return the snapshot as indented JSON; Decimals as plain text, anything unknown as its text."""
    return json.dumps(snapshot, indent=2, default=_plain, ensure_ascii=False) + "\n"


def _plain(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)
