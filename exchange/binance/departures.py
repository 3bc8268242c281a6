"""Requests leave before answers are read: the order of both matters where many orders go at once.

Thirty orders of one close are signed and written by thirty threads of one interpreter. An answer that is read as soon
as it comes takes that interpreter from a request that has not left, and so does all that follows from the answer.
"""

from __future__ import annotations

import threading

PATIENCE_S = 0.04
"""So long, at most, an answer waits for requests that are about to leave."""


class Departures:
    """Counts requests that a thread has taken up and not written yet. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._all_left = threading.Event()
        self._all_left.set()

    def expect(self) -> None:
        """A request is about to leave; call `left` once for it, whatever becomes of it."""
        with self._lock:
            self._under_way += 1
            self._all_left.clear()

    def left(self) -> None:
        with self._lock:
            self._under_way -= 1
            if not self._under_way:
                self._all_left.set()

    def let_go_first(self) -> None:
        """Return when all that was expected has left, or when patience is over."""
        if not self._all_left.is_set():
            self._all_left.wait(PATIENCE_S)
