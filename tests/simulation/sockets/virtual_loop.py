"""An event loop on virtual time with real sockets and real threads: whoever waits costs nothing, whoever works does.

`time()` stands still while anything happens: while a callback is ready, a socket readable, or a thread at work. Only
when all of it rests does it jump to the next timer. So every time-out of the trader, of the SDK and of the exchange
keeps its proportion, however slow the machine is.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Any

STALL_S = 8.0
"""Real time that work outside the loop may take before it counts as stuck for good."""

LONGEST_S = 900.0
"""Virtual time after which a run that has not ended never will."""

BASE_MS = 1_774_000_000_000
"""Where the clocks of a run begin, UTC epoch milliseconds."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop
    _resumed_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        worked_s = time.thread_time() - self._resumed_s
        if self.loop.counts_work and worked_s > self.loop.longest_work_s:
            self.loop.longest_work_s = worked_s
        try:
            return self._select(timeout)
        finally:
            self._resumed_s = time.thread_time()

    def _select(self, timeout: float | None) -> list[Any]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        began = time.monotonic()
        while self.loop.must_wait():
            events = super().select(0.05)
            if events:
                return events
            if time.monotonic() - began > STALL_S:
                raise RuntimeError(f"work outside the event loop is stuck for {STALL_S:g} s ({self.loop.outside} jobs)")
        if timeout is None:
            return self._wait_for_anything(began)
        self.loop.virtual_s += timeout
        if self.loop.virtual_s > LONGEST_S:
            self.loop.virtual_s = 0.0  # so that the clean-up has time of its own
            raise RuntimeError(f"the run has not ended after {LONGEST_S:g} virtual seconds")
        return []

    def _wait_for_anything(self, began: float) -> list[Any]:
        """No timer is set: only a thread that nobody counts could still call."""
        while time.monotonic() - began < STALL_S:
            events = super().select(0.05)
            if events:
                return events
        raise RuntimeError("nothing is left that could ever happen, and the run has not ended")


class VirtualLoop(asyncio.SelectorEventLoop):
    """`outside` counts jobs that threads do for the loop. `held` tells how many of them wait for the loop itself (a
    request that our own server answers late), so that time may go on. While `counts_work`, `longest_work_s` becomes the
    longest processor time for which one round of callbacks kept everybody else waiting."""

    def __init__(self) -> None:
        self.virtual_s = 0.0
        self.outside = 0
        self.counts_work = False
        self.longest_work_s = 0.0
        self.held: Callable[[], int] = lambda: 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.virtual_s

    def must_wait(self) -> bool:
        return self.outside > 0 and self.outside > self.held()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Let time stand still until the block is left: what it waits for is done by a thread of somebody else."""
        self.outside += 1
        try:
            yield
        finally:
            self.outside -= 1

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        if executor is None:
            executor = self._default_pool()
        job = executor.submit(func, *args)
        self.outside += 1
        future = asyncio.wrap_future(job, loop=self)
        job.add_done_callback(self._job_ended)  # after the line above: the result is with the loop before the count
        return future

    def _default_pool(self) -> concurrent.futures.Executor:
        pool: concurrent.futures.ThreadPoolExecutor | None = getattr(self, "_default_executor", None)
        if pool is None:
            pool = concurrent.futures.ThreadPoolExecutor(4, "virtual-loop")
            self.set_default_executor(pool)
        return pool

    def _job_ended(self, _: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
            self.call_soon_threadsafe(self._one_less)

    def _one_less(self) -> None:
        self.outside -= 1


class LoopClock:
    """The loop's time as a clock. `skew_ms` shifts the wall clock against the steady one, as an NTP step does."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew_ms = 0

    def now_ms(self) -> int:
        return BASE_MS + int(self._loop.virtual_s * 1000)

    def wall_ms(self) -> int:
        return self.now_ms() + self.skew_ms

    def monotonic_ns(self) -> int:
        return int(self._loop.virtual_s * 1e9)


@contextlib.contextmanager
def virtual_loop() -> Iterator[VirtualLoop]:
    """A loop of its own for the block, cleaned up behind it."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
