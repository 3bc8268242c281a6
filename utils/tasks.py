"""A set of named background loops: the first that fails tells its owner, and all end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from utils.errors import TraderError
from utils.logging import get_logger

log = get_logger(__name__)


class Loops:
    """Background tasks of one process. A loop that raises is logged with its name and makes `failed` return.

    Used from the event loop's thread.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] | None = None

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until `stop`. Returning is fine; raising is a failure of the whole set."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def failed(self) -> BaseException:
        """Wait for the first failure and return it."""
        return await asyncio.shield(self._future())

    async def until(
        self, stop: asyncio.Event, seconds: float | None = None, work: Coroutine[Any, Any, None] | None = None
    ) -> BaseException | None:
        """Wait for the end of `work`, for `stop`, a failed loop, or `seconds`, whichever comes first.

        Returns what failed, None otherwise. `work` is cancelled when something else ends the wait.
        """
        stopping, failing = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self.failed())
        working = None if work is None else asyncio.ensure_future(work)
        ends = {end for end in (stopping, failing, working) if end is not None}
        done, pending = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if failing in done:
            return failing.result()
        return working.exception() if working is not None and working in done else None

    async def stop(self) -> None:
        """Cancel what still runs and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _future(self) -> asyncio.Future[BaseException]:
        if self._failure is None:
            self._failure = asyncio.get_running_loop().create_future()
        return self._failure

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        is_understood = isinstance(error, TraderError)  # it says itself what is wrong: a traceback would only hide it
        log.error("loop failed", loop=task.get_name(), reason=str(error), exc_info=None if is_understood else error)
        if not self._future().done():
            self._future().set_result(error)


async def every(
    interval_s: float,
    step: Callable[[], Awaitable[object]],
    *,
    beat: Callable[[], None] = lambda: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do `step` now and every `interval_s` until cancelled; `beat` after each success. A failure is only logged."""
    while True:
        try:
            await step()
            beat()
        except Exception:
            log.exception("periodic step failed")
        await sleep(interval_s)
