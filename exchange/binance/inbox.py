"""Between the SDK's callback and our decoders: the callback only takes a frame down, the loop delivers in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from core.clock import Clock
from exchange.binance.connection import Frame

_LOG = logging.getLogger(__name__)

SLICE_MS = 1.5
"""How long frames are delivered before everything else gets a turn: about twenty candles that closed."""
PAUSE_MS = 50.0
"""So long, at most, frames wait where `is_held`, since the oldest of them came."""
LOOK_AGAIN_MS = 1.0


class Inbox:
    """Unbounded; `deliver` gets the frame and its arrival (steady ms, monotonic ns).

    First come those that are `urgent`, then the others, both in the order of their arrival. While `is_held` says so,
    frames wait a moment: what they would set off is less urgent than what is under way.
    """

    def __init__(
        self,
        deliver: Callable[[Frame, int, int], None],
        clock: Clock,
        is_urgent: Callable[[Frame], bool] = lambda _: False,
        pause_ms: float = PAUSE_MS,
    ) -> None:
        self._deliver = deliver
        self._clock = clock
        self._is_urgent = is_urgent
        self._pause_ns = int(pause_ms * 1e6)
        self.is_held: Callable[[], bool] = lambda: False
        self._urgent: deque[tuple[Frame, int, int]] = deque()
        self._frames: deque[tuple[Frame, int, int]] = deque()
        self._scheduled = False
        self.delivered = 0
        """Frames handled so far."""

    @property
    def depth(self) -> int:
        return len(self._urgent) + len(self._frames)

    @property
    def has_urgent(self) -> bool:
        return bool(self._urgent)

    def put(self, frame: Frame) -> None:
        """Take a frame down; must be called on the event loop."""
        frames = self._urgent if self._is_urgent(frame) else self._frames
        frames.append((frame, self._clock.now_ms(), self._clock.monotonic_ns()))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        urgent, frames, now_ns = self._urgent, self._frames, self._clock.monotonic_ns()
        came_ns = (urgent or frames)[0][2]
        if now_ns - came_ns < self._pause_ns and self.is_held():
            asyncio.get_running_loop().call_later(LOOK_AGAIN_MS / 1000, self._drain)
            return
        slice_end_ns = now_ns + int(SLICE_MS * 1e6)
        while urgent or frames:
            try:
                self._deliver(*(urgent or frames).popleft())
            except Exception:
                _LOG.exception("a stream message could not be handled; the stream goes on")
            self.delivered += 1
            if self._clock.monotonic_ns() >= slice_end_ns:
                break
        if urgent or frames:
            asyncio.get_running_loop().call_soon(self._drain)
        else:
            self._scheduled = False
