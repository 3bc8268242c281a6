"""The typed bounded bus between strategies and the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Bus(Generic[T]):
    """A bounded FIFO queue that neither drops nor reorders: a full one makes the producer wait.

    `depth_max` is the deepest it ever was, for the heartbeat.
    """

    def __init__(self, capacity: int) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue(maxsize=capacity)
        self.depth_max = 0

    async def publish(self, item: T) -> None:
        """Append `item`, waiting while the bus is full."""
        await self._queue.put(item)
        self.depth_max = max(self.depth_max, self._queue.qsize())

    async def publish_all(self, items: Sequence[T]) -> None:
        """Append `items` in their order, waiting only while the bus is full."""
        for item in items:
            if self._queue.full():
                self.depth_max = self._queue.qsize()
                await self._queue.put(item)
            else:
                self._queue.put_nowait(item)
        self.depth_max = max(self.depth_max, self._queue.qsize())

    async def take(self) -> list[T]:
        """Wait for at least one item, then return all that are there, oldest first."""
        items = [await self._queue.get()]
        while not self._queue.empty():
            items.append(self._queue.get_nowait())
        return items

    @property
    def depth(self) -> int:
        return self._queue.qsize()
