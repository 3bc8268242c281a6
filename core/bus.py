"""The typed bounded bus between strategies and the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Bus(Generic[T]):
    """A bounded FIFO queue that neither drops nor reorders: a full one makes the producer wait.

    `on_put` wakes the consumer, which takes what is there in its own turn of the loop: a task of the bus's own between
    the two would cost another turn, each with a handful of frames before it. `depth_max` is the deepest it ever was.
    """

    def __init__(self, capacity: int) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue(maxsize=capacity)
        self.depth_max = 0
        self.on_put: Callable[[], None] = lambda: None

    def put_now(self, items: Sequence[T]) -> Sequence[T]:
        """Append `items` in their order as far as there is room; returns the rest."""
        taken = 0
        for item in items:
            if self._queue.full():
                break
            self._queue.put_nowait(item)
            taken += 1
        if taken:
            self.depth_max = max(self.depth_max, self._queue.qsize())
            self.on_put()
        return items[taken:]

    async def publish_all(self, items: Sequence[T]) -> None:
        """Append `items` in their order, waiting while the bus is full."""
        while items := self.put_now(items):
            await self._queue.put(items[0])
            self.on_put()
            items = items[1:]

    def take_now(self) -> list[T]:
        """Return all that are there, oldest first."""
        items: list[T] = []
        while not self._queue.empty():
            items.append(self._queue.get_nowait())
        return items

    @property
    def depth(self) -> int:
        return self._queue.qsize()
