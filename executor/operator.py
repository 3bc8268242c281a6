"""Takes what people ask of the running trader, by file or by the database, and tells them how it goes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from core.clock import Clock
from core.errors import TraderError
from core.ports import OperatorRequest, OperatorRequests
from executor.halts import ALL
from executor.shell import Executor
from executor.view import CoreView

log = structlog.get_logger(__name__)

POLL_S = 0.5
RESUME_LIFE_MS = 60_000
"""A resume that nobody took for so long is about another situation."""

ANSWER_MS = 2_000
"""A resume that has not taken effect by then was refused."""


@dataclass(slots=True)
class _Task:
    request: OperatorRequest
    scope: str
    count: int
    begun_ms: int
    told: str = ""


class OperatorDesk:
    """Watches the file KILL and the requests of people, and follows each until the venue has confirmed it.

    A kill or flatten that an earlier process did not finish is taken up again.
    """

    def __init__(self, executor: Executor, requests: OperatorRequests, kill_file: Path, clock: Clock) -> None:
        self._executor = executor
        self._requests = requests
        self._kill_file = kill_file
        self._clock = clock
        self._tasks: dict[int, _Task] = {}
        self._has_seen_file = False

    async def run(self) -> None:
        """Look every half second until cancelled. A database that fails does not end it: the file still works."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.step()

    async def step(self) -> None:
        self._look_at_file()
        try:
            for request in await asyncio.to_thread(self._requests.unfinished):
                if request.id not in self._tasks:
                    await self._begin(request)
            for task in list(self._tasks.values()):
                await self._follow(task)
        except (TraderError, TimeoutError, OSError) as error:
            log.warning("requests of people cannot be read or answered", error=str(error))

    def _look_at_file(self) -> None:
        has_file = self._kill_file.exists()
        if has_file and not (self._has_seen_file and self._executor.view().is_killed):
            self._executor.kill(f"the file {self._kill_file.name} exists")
        self._has_seen_file = has_file

    async def _begin(self, request: OperatorRequest) -> None:
        now_ms, view = self._clock.now_ms(), self._executor.view()
        scope = request.symbol if request.kind == "flatten" and request.symbol else ALL
        if request.kind == "resume":
            if now_ms - request.issued_time_ms > RESUME_LIFE_MS:
                await self._report(request, "failed", "it is too old; ask again")
                return
            self._executor.resume()
            count = view.resumed
        elif request.kind in ("kill", "flatten"):
            if scope == ALL:
                self._executor.kill(f"asked by {request.issuer}")
            else:
                self._executor.flatten(scope, f"asked by {request.issuer}")
            count = view.flat_counts.get(scope, 0)
        else:
            await self._report(request, "failed", f"{request.kind} is not known")
            return
        self._tasks[request.id] = _Task(request, scope, count, now_ms)

    async def _follow(self, task: _Task) -> None:
        view = self._executor.view()
        state, text = self._progress(task, view)
        if state != "running":
            del self._tasks[task.request.id]
        if (state, text) != ("running", task.told):
            task.told = text
            await self._report(task.request, state, text)

    def _progress(self, task: _Task, view: CoreView) -> tuple[str, str]:
        if task.request.kind == "resume":
            if view.resumed > task.count:
                return "done", "resumed"
            if self._clock.now_ms() - task.begun_ms < ANSWER_MS:
                return "running", ""
            return "failed", f"not verified flat yet: {view.unwinding.get(ALL, 'nothing is known')}"
        if view.flat_counts.get(task.scope, 0) > task.count:
            return "done", "flat: the venue confirms that no position and no order of ours is left"
        return "running", view.unwinding.get(task.scope, "")

    async def _report(self, request: OperatorRequest, state: str, text: str) -> None:
        await asyncio.to_thread(self._requests.report, request.id, state, text, self._clock.now_ms())
