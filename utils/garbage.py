"""Python's search for cyclic garbage, in moments in which nothing waits for the interpreter.

By itself the interpreter searches whenever so many more objects were made than freed, which is where most is made: in
the middle of a moment in which hundreds of candles close, with orders waiting behind a search of 10 to 15 ms. So its
own threshold is set high, and searching is done between such moments.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

THRESHOLD = 100_000
"""New objects until the interpreter searches on its own after all: where there is never a quiet moment."""
EVERY_S = 0.25
YOUNG_MIN = 1_000
"""Fewer new objects than this are not worth a search; so many take about a millisecond."""
OLDER_EVERY, OLDEST_EVERY = 4, 1_000
"""Every so many searches are through what survived earlier ones, and through everything."""


async def collect_in_quiet(
    is_quiet: Callable[[], bool], wait: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Search while `is_quiet` says that it disturbs nobody, until cancelled; then the interpreter does it again."""
    threshold = gc.get_threshold()
    gc.set_threshold(THRESHOLD, *threshold[1:])
    searches = 0
    try:
        while True:
            await wait(EVERY_S)
            if gc.get_count()[0] >= YOUNG_MIN and is_quiet():
                searches += 1
                gc.collect(generation_of(searches))
    finally:
        gc.set_threshold(*threshold)


def generation_of(search: int) -> int:
    """Return which generation, and those younger, the search of that number (from 1) goes through."""
    if search % OLDEST_EVERY == 0:
        return 2
    return 1 if search % OLDER_EVERY == 0 else 0
