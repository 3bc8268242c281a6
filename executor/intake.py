"""When signals are taken: behind everything else, those of one close together, and not while orders leave.

The signals of a close come within some milliseconds. Taken one by one, the intents of the first would go to the disk
and their orders to the wire while the others are still being made, each in the others' way: one interpreter does all of
it. Taken together, their intents share one write and their orders leave in one go, the last of thirty three times
earlier. Where no more entries are possible than signals wait, none of those to come could become an order: there is
nothing to wait for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from core.clock import Clock
from core.events import SignalReceived

QUIET_MS = 1.5
"""Signals wait until none has come for so long and no frame waits that may bring another."""
GATHER_MS = 25.0
"""They wait no longer than this for others."""
SLICE_MS = 12.0
"""So long signals are handled before everything else gets a turn."""
VAIN_MAX = 8
"""An order waits no longer for others once so many signals in a row have brought none."""
PAUSE_MS = 50.0
"""So long, at most, signals wait for orders that are on their way to the wire: while the loop is busy, the threads that
write and send get the interpreter only at its pleasure, and the first orders would leave after the last signal."""
LOOK_AGAIN_S = 0.001


class SignalIntake:
    """First in, first out. `has_orders_leaving` and `has_backlog` (frames that may bring signals) are asked anew;
    `room`, how many entries are possible (None: any number), when signals begin to wait."""

    def __init__(
        self, clock: Clock, has_orders_leaving: Callable[[], bool], room: Callable[[], int | None] = lambda: None
    ) -> None:
        self._clock = clock
        self._has_orders_leaving = has_orders_leaving
        self._ask_room = room
        self._room: int | None = None
        self.has_backlog: Callable[[], bool] = lambda: False
        self._waiting: deque[SignalReceived] = deque()
        self._first_ns = self._newest_ns = self._taken_ns = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: SignalReceived) -> None:
        self._newest_ns = self._clock.monotonic_ns()
        if not self._waiting:
            self._first_ns = self._newest_ns
            self._room = self._ask_room()
        self._waiting.append(event)

    def is_due(self) -> bool:
        """Whether signals wait, no more of them is about to come, and no order is on its way; not for ever."""
        if not self._waiting:
            return False
        now_ns = self._clock.monotonic_ns()
        may_wait = not self._is_enough() and now_ns - self._first_ns < GATHER_MS * 1e6
        if may_wait and (self.has_backlog() or now_ns - self._newest_ns < QUIET_MS * 1e6):
            return False
        return not self._has_orders_leaving() or now_ns - self._taken_ns >= PAUSE_MS * 1e6

    def _is_enough(self) -> bool:
        return self._room is not None and 0 < self._room <= len(self._waiting)

    def take(self, handle: Callable[[SignalReceived], bool]) -> None:
        """Handle at least one signal, and more until the slice is over; `handle` tells whether it brought an order."""
        end_ns = self._clock.monotonic_ns() + int(SLICE_MS * 1e6)
        orders = in_vain = 0
        while self._waiting:
            if handle(self._waiting.popleft()):
                orders, in_vain = orders + 1, 0
            else:
                in_vain += 1
            is_vain = orders > 0 and (in_vain >= VAIN_MAX or orders == self._room)
            if is_vain or self._clock.monotonic_ns() >= end_ns:
                break
        if self._room is not None:
            self._room = max(0, self._room - orders)
        self._taken_ns = self._clock.monotonic_ns()
