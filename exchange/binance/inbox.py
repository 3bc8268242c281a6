"""Between the SDK's callback and our decoders: the callback only takes a frame down, the loop delivers in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from core.clock import Clock
from exchange.binance.connection import Frame

_LOG = logging.getLogger(__name__)

SLICE_MS = 1.0
"""How long frames are delivered before everything else gets a turn: of the candles of one minute the first have their
orders on the wire while the last are still being decided."""


class Inbox:
    """Unbounded, first in first out. `deliver` gets the frame and its arrival (steady ms, monotonic ns)."""

    def __init__(self, deliver: Callable[[Frame, int, int], None], clock: Clock) -> None:
        self._deliver = deliver
        self._clock = clock
        self._frames: deque[tuple[Frame, int, int]] = deque()
        self._scheduled = False
        self.delivered = 0
        """Frames handled so far."""

    @property
    def depth(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> None:
        """Take a frame down; must be called on the event loop."""
        self._frames.append((frame, self._clock.now_ms(), self._clock.monotonic_ns()))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        frames = self._frames
        slice_end_ns = self._clock.monotonic_ns() + int(SLICE_MS * 1e6)
        while frames:
            try:
                self._deliver(*frames.popleft())
            except Exception:
                _LOG.exception("a stream message could not be handled; the stream goes on")
            self.delivered += 1
            if self._clock.monotonic_ns() >= slice_end_ns:
                break
        if frames:
            asyncio.get_running_loop().call_soon(self._drain)
        else:
            self._scheduled = False
