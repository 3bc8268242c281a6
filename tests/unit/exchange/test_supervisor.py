"""Connections are replaced, rotated and reported exactly as promised; time and peers are scripted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from core.clock import VirtualClock
from core.errors import RuntimeFailure
from core.events import StreamState
from exchange.binance import supervisor as module
from exchange.binance.supervisor import Replace, Supervisor

START_MS = 1_700_000_000_000
READY, LOST = StreamState.READY, StreamState.LOST


class FakeConnection:
    def __init__(self, log: list[str], number: int, clock: VirtualClock, fails: bool) -> None:
        self._log = log
        self._number = number
        self._clock = clock
        self._fails = fails
        self.opened_ms = 0
        self.lost: str | None = None

    async def open(self) -> None:
        if self._fails:
            self._log.append(f"refused {self._number}")
            raise RuntimeFailure("refused")
        self._log.append(f"open {self._number}")
        self.opened_ms = self._clock.now_ms()

    async def close(self) -> None:
        self._log.append(f"close {self._number}")


class Stage:
    """Runs a supervisor on a virtual clock; `script` acts at every step of its waiting."""

    def __init__(self, *, rotate_ms: int = 10**12, backoff_max_s: float = 8.0) -> None:
        self.clock = VirtualClock(START_MS)
        self.log: list[str] = []
        self.states: list[tuple[StreamState, str]] = []
        self.waits: list[float] = []
        self.made: list[FakeConnection] = []
        self.failing = 0
        self.verdict: Replace | None = None
        self.script: Callable[[float], None] = lambda seconds: None
        self.supervisor = Supervisor(
            "test",
            self._make,
            self._judge,
            lambda state, detail: self.states.append((state, detail)),
            self.clock,
            rotate_ms=rotate_ms,
            backoff_max_s=backoff_max_s,
            wait=self._wait,
        )

    async def _make(self) -> FakeConnection:
        fails = self.failing > 0
        self.failing -= fails
        self.made.append(FakeConnection(self.log, len(self.made), self.clock, fails))
        return self.made[-1]

    async def _judge(self) -> Replace | None:
        verdict, self.verdict = self.verdict, None
        return verdict

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance_to(self.clock.now_ms() + int(seconds * 1000))
        self.script(seconds)
        await asyncio.sleep(0)

    async def run_until(self, done: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.supervisor.run())
        async with asyncio.timeout(5):
            while not done():  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_first_connection_is_opened_at_once_and_told() -> None:
    stage = Stage()
    await stage.run_until(lambda: bool(stage.states))
    assert stage.log == ["open 0", "close 0"]
    assert stage.states == [(READY, "test: connected")]


async def test_loss_is_told_once_and_the_next_connection_is_a_new_one() -> None:
    stage = Stage()

    def lose(_: float) -> None:
        if len(stage.made) == 1:
            stage.made[0].lost = "the connection ended"

    stage.script = lose
    await stage.run_until(lambda: len(stage.states) == 3)
    assert [state for state, _ in stage.states] == [READY, LOST, READY]
    assert stage.states[1][1] == "test: the connection ended"
    assert stage.log[:3] == ["open 0", "close 0", "open 1"]
    assert stage.supervisor.reconnects == 1


@pytest.mark.parametrize("where", ["opening", "judging"])
async def test_cancellation_that_a_library_swallows_ends_it_all_the_same(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, waits = Stage(), []

    async def swallow(*_: object) -> None:
        waits.append(where)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    if where == "opening":
        monkeypatch.setattr(FakeConnection, "open", swallow)
    else:
        monkeypatch.setattr(stage, "_judge", swallow)
        stage.supervisor._judge = stage._judge
    await stage.run_until(lambda: bool(waits))
    assert len(waits) == 1
    assert stage.log[-1] == "close 0"


async def test_failed_attempts_pause_longer_up_to_the_cap() -> None:
    stage = Stage(backoff_max_s=4.0)
    stage.failing = 12
    await stage.run_until(lambda: bool(stage.states))
    pauses = stage.waits[:12]
    for number, pause in enumerate(pauses):
        ceiling = min(4.0, 0.5 * 2**number)
        assert ceiling / 2 <= pause <= ceiling
    assert stage.states == [(READY, "test: connected")]


async def test_flapping_connection_backs_off_and_a_stable_one_starts_over() -> None:
    stage = Stage()
    lived = {0: 0, 1: 0, 2: 120}

    def lose(_: float) -> None:
        current = stage.made[-1]
        if (
            current.opened_ms
            and stage.clock.now_ms() - current.opened_ms >= lived.get(len(stage.made) - 1, 10**9) * 1000
        ):
            current.lost = "again"

    stage.script = lose
    await stage.run_until(lambda: [state for state, _ in stage.states].count(READY) == 4)
    pauses = [seconds for seconds in stage.waits if seconds != module.CHECK_EVERY_S]
    assert len(pauses) == 3
    assert pauses[1] >= 0.5 > pauses[2]


async def test_planned_replacement_opens_the_new_one_first_and_is_no_loss() -> None:
    stage = Stage(rotate_ms=10_000)
    await stage.run_until(lambda: len(stage.states) == 2)
    assert stage.log[:3] == ["open 0", "open 1", "close 0"]
    assert [state for state, _ in stage.states] == [READY, READY]
    assert stage.states[1][1] == "test: rotated"
    assert module.OVERLAP_S in stage.waits


async def test_rotation_whose_new_connection_fails_keeps_the_old_one() -> None:
    stage = Stage(rotate_ms=10_000)

    def fail(_: float) -> None:
        if len(stage.made) == 1:
            stage.failing = 2

    stage.script = fail
    await stage.run_until(lambda: len(stage.states) == 2)
    assert stage.log[:6] == ["open 0", "refused 1", "close 1", "refused 2", "close 2", "open 3"]
    assert LOST not in [state for state, _ in stage.states]


async def test_old_connection_lost_during_a_rotation_is_told() -> None:
    stage = Stage(rotate_ms=10_000)

    def fail(_: float) -> None:
        if len(stage.made) == 1:
            stage.failing = 3
        if len(stage.made) == 3:
            stage.made[0].lost = "cut meanwhile"

    stage.script = fail
    await stage.run_until(lambda: len(stage.states) == 3)
    assert [state for state, _ in stage.states] == [READY, LOST, READY]


@pytest.mark.parametrize(("blind", "expected"), [(True, [READY, LOST, READY]), (False, [READY, READY])])
async def test_judge_decides_whether_a_replacement_is_blind(blind: bool, expected: list[StreamState]) -> None:
    stage = Stage()

    def judge(_: float) -> None:
        if len(stage.made) == 1:
            stage.verdict = Replace("silent", blind)

    stage.script = judge
    await stage.run_until(lambda: len(stage.states) == len(expected))
    assert [state for state, _ in stage.states] == expected


async def test_replacement_on_request_happens_at_the_next_check() -> None:
    stage = Stage()

    def ask(_: float) -> None:
        if len(stage.made) == 1:
            stage.supervisor.replace("the listen key expired")

    stage.script = ask
    await stage.run_until(lambda: len(stage.states) == 3)
    assert stage.states[1] == (LOST, "test: the listen key expired")
