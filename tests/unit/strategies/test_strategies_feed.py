"""The feed: history, stream, gaps, duplicates, disorder, failures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import pytest

from core.clock import VirtualClock
from core.events import CandleClosed
from strategies.aggregate import joined
from strategies.base import History as Needed
from strategies.feed import CandleFeed
from strategies.series import CandleSeries, Gap, Offer, Phase
from tests.unit.strategies.support import MINUTE, START, History, candle, closed, walk

NOW = 300  # minutes of history before the stream begins
MARKET = walk(NOW + 60)


class Heard:
    """What the feed delivered."""

    def __init__(self) -> None:
        self.items: list[tuple[str, str, int, Phase]] = []

    def __call__(self, event: CandleClosed, phase: Phase) -> None:
        one = event.candle
        self.items.append((one.symbol, one.interval, (one.open_time_ms - START) // MINUTE, phase))

    def minutes(self, phase: Phase | None = None, interval: str = "1m", symbol: str = "BTCUSDT") -> list[int]:
        return [m for s, i, m, p in self.items if s == symbol and i == interval and phase in (None, p)]


class Bench:
    def __init__(self, intervals: dict[str, Iterable[str]] | None = None, candles=MARKET, needed: int = 50) -> None:
        self.heard = Heard()
        self.source = History(candles, START + NOW * MINUTE)
        self.slept: list[float] = []
        self.feed = CandleFeed(
            self.source,
            intervals or {"BTCUSDT": ("1m",)},
            self.heard,
            history_start=lambda symbol, interval, at: Needed(needed).start_before(at, interval),
            venue_time=self.source,
            clock=VirtualClock(START),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def stream(self, *minutes: int, market=MARKET) -> None:
        for minute in minutes:
            self.source.now = max(self.source.now, START + (minute + 1) * MINUTE)
            self.feed.accept(closed(market[minute]))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.feed.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_warm_up_delivers_the_needed_history_in_order() -> None:
    bench = Bench()
    seen = []
    assert await bench.feed.warm_up(lambda done, total: seen.append((done, total))) == {}
    assert bench.heard.minutes(Phase.WARM_UP) == list(range(NOW - 49, NOW))
    assert seen == [(1, 1)]
    assert bench.feed.waiting() == ()


async def test_warm_up_reads_long_history_in_batches_of_1500() -> None:
    market = walk(4_000)
    bench = Bench(candles=market, needed=3_900)
    bench.source.now = START + 4_000 * MINUTE
    await bench.feed.warm_up()
    assert bench.heard.minutes(Phase.WARM_UP) == list(range(101, 4_000))
    assert [limit for *_, limit in bench.source.requests][:2] == [1500, 1500]
    assert max(limit for *_, limit in bench.source.requests) == 1500


async def test_request_for_a_short_gap_has_a_small_limit_because_weight_grows_with_it() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    async with bench.running():
        await bench.stream(NOW, NOW + 4)
    assert bench.source.requests[-1][-1] <= 5


async def test_stream_candle_follows_history() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    await bench.stream(NOW, NOW + 1)
    assert bench.heard.minutes(Phase.LIVE) == [NOW, NOW + 1]


async def test_candles_during_warm_up_wait_and_come_in_order() -> None:
    bench = Bench()
    bench.source.now = START + (NOW + 1) * MINUTE
    bench.feed.accept(closed(MARKET[NOW]))
    bench.feed.accept(closed(MARKET[NOW + 1]))
    await bench.feed.warm_up()
    assert bench.heard.minutes() == list(range(NOW - 48, NOW + 2))
    assert bench.heard.minutes(Phase.LIVE) == [NOW + 1]


async def test_gap_is_filled_before_the_next_candle() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    async with bench.running():
        await bench.stream(NOW, NOW + 4)
    assert bench.heard.minutes()[-5:] == [NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 4]
    assert bench.heard.minutes(Phase.BACKFILL) == [NOW + 1, NOW + 2, NOW + 3]
    assert bench.heard.minutes(Phase.LIVE) == [NOW, NOW + 4]
    assert bench.feed.backfilled == 3


async def test_nothing_is_delivered_while_a_gap_cannot_be_filled() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    bench.source.failures = 10**9
    async with bench.running():
        await bench.stream(NOW, NOW + 4, NOW + 5)
        assert bench.heard.minutes(Phase.LIVE) == [NOW]
        assert bench.feed.waiting() == ("BTCUSDT",)
        bench.source.failures = 0
        await bench.settle()
        await bench.stream(NOW + 6)
    assert bench.heard.minutes()[-7:] == list(range(NOW, NOW + 7))
    assert bench.slept[:5] == [1.0, 2.0, 5.0, 10.0, 30.0]


async def test_only_the_newest_of_the_candles_that_waited_is_live() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    bench.source.failures = 1
    async with bench.running():
        await bench.stream(NOW, NOW + 3, NOW + 4, NOW + 5)
    assert bench.heard.minutes(Phase.LIVE) == [NOW, NOW + 5]
    assert bench.heard.minutes(Phase.BACKFILL) == [NOW + 1, NOW + 2, NOW + 3, NOW + 4]


async def test_candles_that_waited_and_are_not_the_newest_are_late() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    bench.source.hidden = {START + (NOW + 3) * MINUTE}  # not in the history yet: known from the stream alone
    async with bench.running():
        await bench.stream(NOW, NOW + 3, NOW + 4)
    assert bench.heard.minutes(Phase.BACKFILL) == [NOW + 1, NOW + 2, NOW + 3]
    assert bench.heard.minutes(Phase.LIVE) == [NOW, NOW + 4]


async def test_duplicate_and_old_candles_are_dropped() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    await bench.stream(NOW, NOW, NOW - 3, NOW + 1, NOW)
    assert bench.heard.minutes(Phase.LIVE) == [NOW, NOW + 1]
    assert bench.feed.duplicates() == 3


async def test_swapped_candles_are_put_in_order() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    async with bench.running():
        await bench.stream(NOW + 1, NOW, NOW + 2)
    assert bench.heard.minutes()[-3:] == [NOW, NOW + 1, NOW + 2]


async def test_hole_that_the_venue_itself_has_is_accepted_after_some_tries() -> None:
    market = [one for one in MARKET if one.open_time_ms != START + (NOW + 1) * MINUTE]
    bench = Bench(candles=market)
    await bench.feed.warm_up()
    async with bench.running():
        await bench.stream(NOW, NOW + 2, NOW + 3)
    assert bench.heard.minutes()[-3:] == [NOW, NOW + 2, NOW + 3]
    assert bench.slept == [1.0, 2.0], "the venue's history may lag, so it is asked more than once"


async def test_candles_behind_a_hole_of_the_venue_are_not_lost_with_it() -> None:
    market = [one for one in MARKET if one.open_time_ms != START + (NOW + 1) * MINUTE]
    bench = Bench(candles=market)
    await bench.feed.warm_up()
    async with bench.running():
        await bench.stream(NOW, NOW + 5)
    assert bench.heard.minutes()[-5:] == [NOW, NOW + 2, NOW + 3, NOW + 4, NOW + 5]


async def test_catch_up_during_a_gap_changes_nothing() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    bench.source.failures = 1
    async with bench.running():
        bench.feed.accept(closed(MARKET[NOW + 2]))
        bench.feed.catch_up()
        bench.source.now = START + (NOW + 3) * MINUTE
        await bench.settle()
    assert bench.heard.minutes()[-3:] == [NOW, NOW + 1, NOW + 2]


async def test_history_that_lags_behind_the_stream_is_asked_again() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    missing = START + (NOW + 1) * MINUTE
    bench.source.hidden.add(missing)

    async def appears(seconds: float) -> None:
        bench.source.hidden.discard(missing)

    bench.feed._sleep = appears
    async with bench.running():
        await bench.stream(NOW, NOW + 2)
    assert bench.heard.minutes()[-3:] == [NOW, NOW + 1, NOW + 2]


async def test_catch_up_reads_what_the_stream_missed_without_waiting_for_the_next_candle() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    bench.source.now = START + (NOW + 3) * MINUTE
    async with bench.running():
        bench.feed.catch_up()
        await bench.settle()
        await bench.stream(NOW + 3)
    assert bench.heard.minutes()[-4:] == [NOW, NOW + 1, NOW + 2, NOW + 3]
    assert bench.heard.minutes(Phase.LIVE) == [NOW + 3]


async def test_symbol_without_history_fails_alone_and_is_tried_again() -> None:
    both = {"BTCUSDT": ("1m",), "ETHUSDT": ("1m",)}
    bench = Bench(both, candles=[*MARKET, *walk(NOW + 60, symbol="ETHUSDT")])
    good, bench.source.candles = bench.source.candles, None

    async def only_btc(symbol, *rest):
        if symbol == "ETHUSDT":
            bench.source.failures = 1
        return await good(symbol, *rest)

    bench.source.candles = only_btc
    failed = await bench.feed.warm_up()
    assert failed == {"ETHUSDT": "history cannot be read: try again"}
    assert bench.feed.waiting() == ("ETHUSDT",)
    bench.source.candles = good
    async with bench.running():
        await bench.settle()
    assert bench.feed.waiting() == ()
    assert bench.heard.minutes(symbol="ETHUSDT") == list(range(NOW - 49, NOW))


async def test_new_symbol_without_any_history_starts_with_its_first_candle() -> None:
    bench = Bench(candles=[])
    await bench.feed.warm_up()
    await bench.stream(NOW)
    assert bench.heard.minutes(Phase.LIVE) == [NOW]


def longer(interval: str, size: int) -> list:
    return [joined(MARKET[i : i + size], interval, MARKET[i].open_time_ms) for i in range(0, len(MARKET), size)]


async def test_longer_intervals_come_from_history_then_from_the_minutes() -> None:
    bench = Bench({"BTCUSDT": ("1m", "5m", "15m")}, candles=[*MARKET, *longer("5m", 5), *longer("15m", 15)], needed=10)
    bench.source.now = START + (NOW + 3) * MINUTE
    await bench.feed.warm_up()
    await bench.stream(*range(NOW + 3, NOW + 31))
    assert bench.heard.minutes(interval="5m") == list(range(NOW - 45, NOW + 30, 5))
    assert bench.heard.minutes(Phase.LIVE, "5m") == [NOW, NOW + 5, NOW + 10, NOW + 15, NOW + 20, NOW + 25]
    assert bench.heard.minutes(Phase.LIVE, "15m") == [NOW, NOW + 15]
    ends = [(i, m) for _, i, m, p in bench.heard.items if p is Phase.LIVE][-4:]
    assert ends == [("1m", NOW + 29), ("5m", NOW + 25), ("15m", NOW + 15), ("1m", NOW + 30)]


async def test_warm_up_reaches_back_to_the_start_of_every_forming_candle() -> None:
    bench = Bench({"BTCUSDT": ("1m", "15m")}, candles=[*MARKET, *longer("15m", 15)], needed=2)
    bench.source.now = START + (NOW + 10) * MINUTE
    await bench.feed.warm_up()
    await bench.stream(*range(NOW + 10, NOW + 15))
    assert bench.heard.minutes(Phase.LIVE, "15m") == [NOW]


async def test_unknown_symbols_and_other_intervals_of_the_stream_are_ignored() -> None:
    bench = Bench()
    await bench.feed.warm_up()
    before = list(bench.heard.items)
    bench.feed.accept(closed(candle(NOW, symbol="XYZUSDT")))
    bench.feed.accept(closed(longer("5m", 5)[NOW // 5]))
    assert bench.heard.items == before


async def test_run_beats_while_idle() -> None:
    bench = Bench()
    beats = []
    task = asyncio.create_task(bench.feed.run(lambda: beats.append(1)))
    await bench.settle()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert beats


def test_series_names_the_gap_and_stays_unchanged() -> None:
    series = CandleSeries("1m")
    assert series.offer(candle(0)) is Offer.ACCEPTED
    assert series.offer(candle(3)) == Gap(START + MINUTE, START + 2 * MINUTE)
    assert series.offer(candle(1)) is Offer.ACCEPTED
    assert series.offer(candle(1)) is Offer.DUPLICATE
    assert series.last_open_time_ms == START + MINUTE


@pytest.mark.parametrize("last", [1, 5])
def test_series_after_an_accepted_hole_goes_on(last) -> None:
    series = CandleSeries("1m")
    series.offer(candle(0))
    series.accept_hole(candle(last).open_time_ms)
    assert series.offer(candle(last)) is Offer.ACCEPTED
