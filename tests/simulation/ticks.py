"""When the core of a process is ticked: finely while it is busy, else as often as the market moves, and not at all at
moments at which a tick would do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.events import Tick
from executor.shell import PAUSE_MS_MAX, TICK_MS

if TYPE_CHECKING:
    from tests.simulation.process import Process

BUSY_MS = 3_000
"""After a request, an answer or private news the core is ticked finely for so long, else with every market step."""


class Ticks:
    """`_next_ms` is when the next tick is, whether it is sent or left out; before `_woken_ms` all are left out."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = world = process.world
        self.busy_until_ms = self.stirred_until_ms = self._last_ms = world.now_ms
        """Stirred by anything but readings: these change nothing, and what they find amiss ends the core's calm."""
        self._next_ms = self._woken_ms = world.now_ms + TICK_MS

    def start(self) -> None:
        self._world.at_last(self._woken_ms, self._tick)

    def stay_busy(self, *, is_reading: bool) -> None:
        """Tick finely from now on, for a while."""
        now_ms = self._world.now_ms
        if self._next_ms < now_ms:
            self._pass_over(now_ms)
        self.busy_until_ms = now_ms + BUSY_MS
        if not is_reading:
            self.stirred_until_ms = self.busy_until_ms
        if self._next_ms > now_ms + TICK_MS:
            self._next_ms = now_ms + TICK_MS
        self.wake()

    def catch_up(self) -> None:
        """Let the core know of the time that has passed, before it is told anything."""
        if self._next_ms < self._world.now_ms:
            self._pass_over(self._world.now_ms)

    def wake(self) -> None:
        """Look at the next tick, also where it would have been left out."""
        if self._woken_ms > self._next_ms:
            self._woken_ms = self._next_ms
            self._world.at_last(self._woken_ms, self._tick)

    def wake_if_passed(self) -> None:
        """Do so when a price has passed a stop."""
        if self._woken_ms > self._next_ms and self._process.core.pulse.is_passed():
            self.wake()

    def resume(self) -> None:
        """Begin anew after a standstill, at this moment; what came meanwhile is told before `go_on`."""
        now_ms = self._world.now_ms
        if now_ms - self._last_ms >= PAUSE_MS_MAX:
            self._process.is_paused = True
        self._last_ms = self._next_ms = now_ms

    def go_on(self) -> None:
        self._next_ms = self._woken_ms = self._world.now_ms
        self._tick()

    def _tick(self) -> None:
        """Tick the core, again and again while nothing else happens."""
        world, process = self._world, self._process
        if world.now_ms != self._woken_ms or process.is_suspended:
            return
        while process.is_alive:
            now_ms = world.now_ms
            self.catch_up()
            if now_ms - self._last_ms >= PAUSE_MS_MAX:
                process.is_paused = True
            self._last_ms = now_ms
            if process.owes_writing:
                process.write_what_waits()
            if world.every_tick or not process.core.pulse.let_pass(now_ms, now_ms):
                process.take(Tick(now_ms, now_ms))
            self._next_ms = self._after(now_ms)
            self._woken_ms = due_ms = self._due_ms()
            if not world.pass_to(due_ms):
                world.at_last(due_ms, self._tick)
                return

    def _after(self, at_ms: int) -> int:
        return at_ms + (TICK_MS if at_ms < self.busy_until_ms else self._world.step_ms)

    def _due_ms(self) -> int:
        """Return when the first tick is that may do anything, if nothing happens before."""
        at_ms, process = self._next_ms, self._process
        if self._world.every_tick or process.owes_writing:
            return at_ms
        due_ms = process.core.pulse.due_ms()
        while at_ms < due_ms:
            at_ms = self._after(at_ms)
        return at_ms

    def _pass_over(self, now_ms: int) -> None:
        """Let the ticks before this moment pass that were left out."""
        at_ms = self._next_ms
        while at_ms < now_ms:
            self._last_ms, at_ms = at_ms, self._after(at_ms)
        self._next_ms = at_ms
        passes = self._process.core.pulse.let_pass(self._last_ms, self._last_ms)
        assert passes, f"a tick was due at {self._last_ms} or before"
