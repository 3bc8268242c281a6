"""What a plan does to the process, to its disk and at its operator's hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tests.simulation.sockets.plan import Act
from tests.simulation.sockets.trader import ACCOUNT, Trader

if TYPE_CHECKING:
    from tests.simulation.sockets.world import World


class Acts:
    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        for act in sorted(self._world.plan.acts, key=lambda one: one.at_ms):
            await asyncio.sleep(max(0.0, (self._world.started_ms + act.at_ms - self._world.now_ms) / 1000))
            if self._world.trader is not None and self._do(act, self._world.trader):
                self._world.acts_done[act.kind] += 1
                self._world.note(f"act {act.kind} {act.for_ms} {act.amount}")

    def _do(self, act: Act, trader: Trader) -> bool:
        """Do what the plan says to the present process; False where there is nothing to do it to."""
        kind = act.kind
        if kind == "kill":
            trader.killed_at = trader.killed_at or "any time"
            trader.kill()
        elif kind == "kill_at_moment":
            trader.kill_after = act.amount
        elif kind == "stop":
            self._later(trader.stop)
        elif kind == "suspend":
            self._world.loop.virtual_s += 25.0 + act.amount
            self._world.safety.excuses.extend(20_000)
        elif kind == "own_clock":
            trader.clock.skew_ms += (act.amount - 20) * 300
            self._world.safety.excuses.extend(10_000)
        elif kind.startswith("disk_"):
            trader.disk.trouble = trader.disk.trouble or kind
            self._later(lambda: self._mend_disk(trader, act.for_ms))
        elif kind == "lease_taken":
            return self._take_lease(trader)
        elif trader.executor is None:
            return False
        elif kind == "kill_switch":
            trader.executor.kill("the plan")
        elif kind == "kill_in_doubt":
            self._later(self._kill_when_in_doubt)
        elif kind == "flatten":
            trader.executor.flatten(self._world.rng.choice(self._world.symbols), "the plan")
        elif kind == "resume":
            trader.executor.resume()
        return True

    def _later(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _kill_when_in_doubt(self) -> None:
        """Press the kill switch while it is unknown what has become of an entry."""
        until = self._world.loop.time() + 10
        while self._world.loop.time() < until and not self._world.is_over:
            await asyncio.sleep(0.1)
            trader = self._world.trader
            if trader is not None and trader.is_ready and trader.executor is not None and self._world.ledger.in_doubt():
                trader.executor.kill("the plan, in doubt")
                return

    async def _mend_disk(self, trader: Trader, after_ms: int) -> None:
        await asyncio.sleep(after_ms / 1000)
        if trader.disk.trouble != "gone":
            trader.disk.trouble = None

    def _take_lease(self, trader: Trader) -> bool:
        """Somebody else has taken the account over while this process stood still: it must find out and fall silent."""
        if trader.is_dead or not trader.is_ready or trader.disk.trouble is not None:
            return False
        with sqlite3.connect(self._world.ledger.file) as connection:
            connection.execute(
                "UPDATE lease SET epoch = epoch + 1, process_start = 'gone', holder = 'another' WHERE account = ?",
                (ACCOUNT,),
            )
        connection.close()
        self._world.zombie = trader
        return True
