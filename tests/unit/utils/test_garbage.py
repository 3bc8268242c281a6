"""Garbage is searched for in quiet moments, and by the interpreter itself once nobody else does."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from utils.garbage import OLDER_EVERY, OLDEST_EVERY, THRESHOLD, YOUNG_MIN, collect_in_quiet, generation_of


class Node:
    def __init__(self) -> None:
        self.itself = self


class Moments:
    """The waits of a collector, one by one."""

    def __init__(self) -> None:
        self._turns: asyncio.Queue[None] = asyncio.Queue()
        self._waiting = asyncio.Event()
        self.is_quiet = True

    async def wait(self, seconds: float) -> None:
        self._waiting.set()
        await self._turns.get()

    async def begin(self) -> None:
        await self._waiting.wait()

    async def pass_one(self) -> None:
        self._waiting.clear()
        self._turns.put_nowait(None)
        await self._waiting.wait()


def garbage() -> list[weakref.ref[Node]]:
    return [weakref.ref(Node()) for _ in range(YOUNG_MIN * 2)]


def alive(nodes: list[weakref.ref[Node]]) -> int:
    return sum(1 for node in nodes if node() is not None)


async def test_collector_frees_cycles_in_quiet_moments_only_and_leaves_the_threshold_as_it_was() -> None:
    before = gc.get_threshold()
    moments = Moments()
    task = asyncio.create_task(collect_in_quiet(lambda: moments.is_quiet, moments.wait))
    await moments.begin()
    assert gc.get_threshold() == (THRESHOLD, *before[1:])
    nodes = garbage()
    moments.is_quiet = False
    await moments.pass_one()
    assert alive(nodes) == len(nodes)
    moments.is_quiet = True
    await moments.pass_one()
    assert alive(nodes) == 0
    few = [weakref.ref(Node())]
    await moments.pass_one()
    assert alive(few) == 1  # not worth it
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gc.get_threshold() == before


def test_older_objects_are_searched_less_often() -> None:
    found = [generation_of(search) for search in range(1, OLDEST_EVERY + 1)]
    assert found.count(2) == 1
    assert found[-1] == 2
    assert found.count(1) == OLDEST_EVERY // OLDER_EVERY - 1
    assert found[OLDER_EVERY - 1] == 1
