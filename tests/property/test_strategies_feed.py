"""Whatever the stream does to its candles, the feed delivers each one once, in order, without a hole."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import VirtualClock
from strategies.base import History as Needed
from strategies.feed import CandleFeed
from strategies.series import Phase
from tests.unit.strategies.support import MINUTE, START, History, closed, walk

BEFORE, DURING = 60, 40
MARKET = walk(BEFORE + DURING)


def mangled(seed: int, drop: float, repeat: float, swap: float) -> list[int]:
    """Minutes of the stream with some dropped, repeated and swapped."""
    rng = random.Random(seed)
    minutes = [m for m in range(BEFORE, BEFORE + DURING) if rng.random() >= drop]
    minutes = [m for minute in minutes for m in [minute] * (2 if rng.random() < repeat else 1)]
    for index in range(len(minutes) - 1):
        if rng.random() < swap:
            minutes[index], minutes[index + 1] = minutes[index + 1], minutes[index]
    return minutes


async def play(minutes: list[int], failing: set[int], during_warm_up: int) -> list[tuple[str, int, Phase]]:
    heard: list[tuple[str, int, Phase]] = []
    source = History(MARKET, START + BEFORE * MINUTE)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    feed = CandleFeed(
        source,
        {"BTCUSDT": ("1m", "3m", "15m")},
        lambda event, phase: heard.append(
            (event.candle.interval, (event.candle.open_time_ms - START) // MINUTE, phase)
        ),
        history_start=lambda symbol, interval, at: Needed(30).start_before(at, interval),
        venue_time=source,
        clock=VirtualClock(START),
        sleep=sleep,
    )
    task = asyncio.create_task(feed.run())
    for step, minute in enumerate(minutes):
        if step == during_warm_up:
            await feed.warm_up()
        source.failures = 2 if step in failing else 0
        source.now = max(source.now, START + (minute + 1) * MINUTE)
        feed.accept(closed(MARKET[minute]))
        for _ in range(random.Random(step).choice([0, 3, 60])):
            await asyncio.sleep(0)
    if during_warm_up >= len(minutes):
        await feed.warm_up()
    source.failures = 0
    for _ in range(500):
        await asyncio.sleep(0)
    assert feed.waiting() == ()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return heard


@given(
    seed=st.integers(0, 10**6),
    drop=st.floats(0, 0.6),
    repeat=st.floats(0, 0.5),
    swap=st.floats(0, 0.5),
    failing=st.sets(st.integers(0, DURING), max_size=8),
    during_warm_up=st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_feed_delivers_a_continuous_series_whatever_the_stream_does(
    seed, drop, repeat, swap, failing, during_warm_up
) -> None:
    minutes = mangled(seed, drop, repeat, swap)
    heard = asyncio.run(play(minutes, failing, during_warm_up))
    base = [minute for interval, minute, _ in heard if interval == "1m"]
    newest = max([*minutes, BEFORE - 1])
    assert base == list(range(base[0], newest + 1))
    warm_at = max(minutes[:during_warm_up], default=BEFORE - 1) + 1
    assert base[0] == warm_at - 29
    for interval, size in (("3m", 3), ("15m", 15)):
        built = [minute for name, minute, _ in heard if name == interval]
        assert built == list(range(built[0], built[0] + size * len(built), size))
        assert built[-1] + size > newest + 1 - size
