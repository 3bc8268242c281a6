"""Virtual time: nobody waits for real, work never costs time, and what can never end is said."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.simulation.sockets import virtual_loop as module
from tests.simulation.sockets.virtual_loop import virtual_loop


def test_sleep_when_nothing_happens_jumps() -> None:
    began = time.monotonic()
    with virtual_loop() as loop:
        loop.run_until_complete(asyncio.sleep(600))
        assert 600 <= loop.time() < 600.1
    assert time.monotonic() - began < 5


def test_time_stands_still_while_a_thread_works() -> None:
    async def play() -> float:
        ticks = asyncio.create_task(asyncio.sleep(0.010))
        go = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(None, go.wait, 5)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not ticks.done()
        go.set()
        await work
        return asyncio.get_running_loop().time()

    with virtual_loop() as loop:
        assert loop.run_until_complete(play()) == 0.0


def test_time_goes_on_when_all_threads_wait_for_the_loop_itself() -> None:
    async def play() -> None:
        answer = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(None, answer.wait, 5)
        await asyncio.sleep(30)
        answer.set()
        assert await work

    with virtual_loop() as loop:
        loop.held = lambda: 1
        loop.run_until_complete(play())
        assert loop.time() >= 30


def test_work_that_never_ends_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.1)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, module.VirtualLoop)
        with loop.working():
            await asyncio.sleep(1)

    with virtual_loop() as loop, pytest.raises(RuntimeError, match="stuck"):
        try:
            loop.run_until_complete(play())
        finally:
            loop.outside = 0


def test_run_without_an_end_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_S", 10.0)

    async def play() -> None:
        for _ in range(100):
            await asyncio.sleep(1)

    with virtual_loop() as loop, pytest.raises(RuntimeError, match="has not ended"):
        loop.run_until_complete(play())
