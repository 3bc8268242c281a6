"""The gate before the threads lets the urgent go first; the inbox keeps order and never stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from core.clock import VirtualClock
from core.enums import Priority
from exchange.binance.inbox import PAUSE_MS, Inbox
from exchange.binance.rest import PriorityGate


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the inbox looks again by a timer of the loop
            await asyncio.sleep(0.001)


def slow_inbox(clock: VirtualClock, seen: list[int]) -> Inbox:
    """An inbox of which each frame takes a whole slice to deliver."""

    def deliver(frame: Any, at_ms: int, at_ns: int) -> None:
        seen.append(frame["n"])
        clock.advance_to(clock.now_ms() + 4)

    return Inbox(deliver, clock)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_gate_lets_the_most_urgent_waiter_in_first_then_the_oldest() -> None:
    gate = PriorityGate(1)
    order: list[str] = []
    await gate.enter(Priority.QUERY)

    async def come(name: str, priority: Priority) -> None:
        await gate.enter(priority)
        order.append(name)
        gate.leave()

    waiters = [
        asyncio.create_task(come(name, priority))
        for name, priority in (
            ("query 1", Priority.QUERY),
            ("query 2", Priority.QUERY),
            ("entry", Priority.ENTRY),
            ("exit", Priority.EXIT),
        )
    ]
    await settle()
    assert gate.waiting == 4
    gate.leave()
    await asyncio.gather(*waiters)
    assert order == ["exit", "entry", "query 1", "query 2"]


async def test_gate_never_loses_a_slot_to_a_cancelled_waiter() -> None:
    gate = PriorityGate(1)
    await gate.enter(Priority.QUERY)
    waiting = asyncio.create_task(gate.enter(Priority.QUERY))
    handed = asyncio.create_task(gate.enter(Priority.QUERY))
    await settle()
    waiting.cancel()
    await settle()
    gate.leave()  # goes to `handed` ...
    handed.cancel()  # ... which is cancelled in the same moment
    await settle()
    async with asyncio.timeout(1):
        await gate.enter(Priority.QUERY)


async def test_inbox_delivers_in_order_with_the_arrival_of_each() -> None:
    clock = VirtualClock(1_000)
    seen: list[tuple[Any, int, int]] = []
    inbox = Inbox(lambda frame, at_ms, at_ns: seen.append((frame["n"], at_ms, at_ns)), clock)
    for number in range(3):
        inbox.put({"n": number})
        clock.advance_to(clock.now_ms() + 5)
    assert inbox.depth == 3
    assert seen == []  # never inside the callback
    await settle()
    assert seen == [(0, 1_000, 1_000_000_000), (1, 1_005, 1_005_000_000), (2, 1_010, 1_010_000_000)]


async def test_inbox_gives_the_loop_back_when_its_slice_is_over() -> None:
    clock, seen = VirtualClock(1_000), list[int]()
    inbox = slow_inbox(clock, seen)
    for number in range(3):
        inbox.put({"n": number})
    turns = []
    for _ in range(3):
        await asyncio.sleep(0)
        turns.append(len(seen))
    assert turns == [1, 2, 3]
    assert seen == [0, 1, 2]


async def test_inbox_delivers_what_fits_into_one_slice_in_one_turn() -> None:
    seen: list[int] = []
    inbox = Inbox(lambda frame, at_ms, at_ns: seen.append(frame["n"]), VirtualClock(1))
    for number in range(1_000):
        inbox.put({"n": number})
    await asyncio.sleep(0)
    assert seen == list(range(1_000))


async def test_inbox_that_is_held_waits_but_not_for_ever() -> None:
    clock, seen = VirtualClock(1_000), list[int]()
    inbox = slow_inbox(clock, seen)
    inbox.is_held = lambda: True
    for number in range(3):
        inbox.put({"n": number})
    await settle()
    clock.advance_to(clock.now_ms() + int(PAUSE_MS) - 1)
    await settle()
    assert seen == []
    inbox.put({"n": 3})
    clock.advance_to(clock.now_ms() + 1)
    await until(lambda: len(seen) == 3)
    await settle()
    assert (seen, inbox.depth) == ([0, 1, 2], 1)
    clock.advance_to(clock.now_ms() + int(PAUSE_MS) - 1)
    await until(lambda: len(seen) == 4)
    inbox.put({"n": 4})
    inbox.is_held = lambda: False
    await until(lambda: len(seen) == 5)
    assert inbox.depth == 0


async def test_inbox_goes_on_after_a_message_that_cannot_be_handled() -> None:
    seen: list[int] = []

    def deliver(frame: Any, at_ms: int, at_ns: int) -> None:
        if frame["n"] == 1:
            raise RuntimeError("bad message")
        seen.append(frame["n"])

    inbox = Inbox(deliver, VirtualClock(1))
    for number in range(3):
        inbox.put({"n": number})
    await settle()
    inbox.put({"n": 3})
    await settle()
    assert seen == [0, 2, 3]


async def test_inbox_delivers_urgent_frames_first_each_kind_in_its_order() -> None:
    seen: list[int] = []
    inbox = Inbox(
        lambda frame, at_ms, at_ns: seen.append(frame["n"]), VirtualClock(1), lambda frame: frame["n"] % 2 == 1
    )
    for number in range(6):
        inbox.put({"n": number})
    assert (inbox.depth, inbox.has_urgent) == (6, True)
    await settle()
    assert seen == [1, 3, 5, 0, 2, 4]
    assert (inbox.depth, inbox.has_urgent) == (0, False)


async def test_inbox_takes_an_urgent_frame_before_what_its_slice_left() -> None:
    clock, seen = VirtualClock(1_000), list[int]()

    def deliver(frame: Any, _at_ms: int, _at_ns: int) -> None:
        seen.append(frame["n"])
        clock.advance_to(clock.now_ms() + 4)

    inbox = Inbox(deliver, clock, lambda frame: frame["n"] == 9)
    for number in (0, 1, 2):
        inbox.put({"n": number})
    await asyncio.sleep(0)
    inbox.put({"n": 9})
    await settle()
    assert seen == [0, 9, 1, 2]
