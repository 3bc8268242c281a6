"""The candle feed: closed candles in order, without gaps or repetitions, from history and stream alike.

Thin asyncio shell around `CandleSeries` and `Aggregator`. 1m candles come from outside (`accept`); history and what
the stream missed come by REST. Nothing after a gap is delivered before the gap is filled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.candle import INTERVAL_MS, ClosedCandle, floor_to_interval
from core.clock import Clock
from core.errors import TraderError
from core.events import CandleClosed
from core.ports import CandleSource, VenueTime
from strategies.aggregate import Aggregator
from strategies.series import CandleSeries, Gap, Offer, Phase

BASE = "1m"
BATCH = 1500
"""Most candles that the venue returns at once."""
BREATH = 200
"""Candles of history after which the event loop gets a turn."""
ATTEMPTS = 3
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)

logger = logging.getLogger(__name__)

OnCandle = Callable[[CandleClosed, Phase], object]
HistoryStart = Callable[[str, str, int], int]
"""(symbol, interval, open time of the candle to decide on) to the open time of the oldest candle needed."""


@dataclass
class _Lane:
    """One symbol: its series by interval, and what waits while history or a gap is being read."""

    symbol: str
    series: dict[str, CandleSeries]
    aggregators: dict[str, Aggregator]
    waiting: bool = True
    warm: bool = False
    pending: list[CandleClosed] = field(default_factory=list)


class CandleFeed:
    """Delivers every closed candle of every symbol and interval exactly once and in order to `on_candle`.

    `intervals` by symbol; 1m is always delivered, longer ones are built from it, after the 1m candle that closes them.
    `on_candle(event, phase)` is called on the event loop and must not block. `history_start` says how far back the
    warm-up reaches. Symbols are warmed up `concurrency` at a time.
    """

    def __init__(
        self,
        source: CandleSource,
        intervals: Mapping[str, Iterable[str]],
        on_candle: OnCandle,
        *,
        history_start: HistoryStart,
        venue_time: VenueTime,
        clock: Clock,
        concurrency: int = 8,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._on_candle = on_candle
        self._history_start = history_start
        self._venue_time = venue_time
        self._clock = clock
        self._limit = asyncio.Semaphore(concurrency)
        self._sleep = sleep
        self._work: asyncio.Queue[_Lane] = asyncio.Queue()
        self._lanes = {symbol: _lane(symbol, wanted) for symbol, wanted in intervals.items()}
        self.backfilled = 0

    def accept(self, event: CandleClosed) -> None:
        """Take a closed 1m candle from the stream. Other intervals and unknown symbols are ignored. Never blocks."""
        candle = event.candle
        lane = self._lanes.get(candle.symbol)
        if lane is None or candle.interval != BASE:
            return
        if lane.waiting:
            lane.pending.append(event)
            return
        match lane.series[BASE].offer(candle):
            case Offer.ACCEPTED:
                self._deliver(lane, event, Phase.LIVE)
            case Gap():
                lane.pending.append(event)
                self._queue(lane)

    async def warm_up(self, progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
        """Read the history of all symbols; `progress(done, total)` after each. Returns symbols that failed, with why.

        Those go on being tried by `run` and give no candles until they succeed.
        """
        failed: dict[str, str] = {}
        done = 0

        async def warm(lane: _Lane) -> None:
            nonlocal done
            error = await self._warm(lane)
            if error is None and lane.pending:
                await self._settle(lane)
            elif error is None:
                lane.waiting = False
            else:
                failed[lane.symbol] = error
                self._work.put_nowait(lane)
            done += 1
            if progress is not None:
                progress(done, len(self._lanes))

        async with asyncio.TaskGroup() as group:
            for lane in self._lanes.values():
                group.create_task(warm(lane))
        return failed

    async def run(self, beat: Callable[[], None] | None = None) -> None:
        """Fill gaps until cancelled. `beat` is called at least once a second while the loop is alive."""
        async with asyncio.TaskGroup() as group:
            while True:
                if beat is not None:
                    beat()
                try:
                    async with asyncio.timeout(1.0):
                        lane = await self._work.get()
                except TimeoutError:
                    continue
                group.create_task(self._settle(lane))

    def catch_up(self) -> None:
        """Ask the venue for what the stream may have missed, for all symbols: after a reconnect."""
        for lane in self._lanes.values():
            if not lane.waiting:
                self._queue(lane)

    def waiting(self) -> tuple[str, ...]:
        """Return the symbols that give no candles at the moment because history or a gap is being read."""
        return tuple(lane.symbol for lane in self._lanes.values() if lane.waiting)

    def duplicates(self) -> int:
        """Return how many candles were dropped because they had been seen before."""
        return sum(lane.series[BASE].duplicates for lane in self._lanes.values())

    def _queue(self, lane: _Lane) -> None:
        lane.waiting = True
        self._work.put_nowait(lane)

    async def _settle(self, lane: _Lane) -> None:
        """Read what a waiting symbol misses, however long it takes, then deliver what arrived meanwhile."""
        tries = 0
        while not lane.warm or not await self._fill(lane):
            await self._sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
            tries += 1
            if not lane.warm:
                await self._warm(lane)
        lane.waiting = False

    async def _warm(self, lane: _Lane) -> str | None:
        """Read and deliver the history of a symbol; return an error after some tries."""
        error = "no history"
        for attempt in range(ATTEMPTS):
            try:
                async with self._limit:
                    now = floor_to_interval(self._venue_time.venue_time_ms(), BASE)
                    for interval in list(lane.series)[1:]:
                        await self._warm_interval(lane, interval, now)
                    await self._warm_base(lane, now)
            except TraderError as failure:
                error = str(failure)
                logger.warning("history of %s cannot be read: %s", lane.symbol, error)
                await self._sleep(RETRY_SECONDS[attempt])
            else:
                lane.warm = True
                return None
        return error

    async def _warm_interval(self, lane: _Lane, interval: str, now: int) -> None:
        series = lane.series[interval]
        start = self._history_start(lane.symbol, interval, floor_to_interval(now, interval))
        for candle in await self._read(lane.symbol, interval, start, None):
            if self._take(series, candle):
                self._on_candle(self._event(candle), Phase.WARM_UP)

    async def _warm_base(self, lane: _Lane, now: int) -> None:
        # The minutes of every candle that is forming must be known, so that it can be closed from the stream.
        starts = [floor_to_interval(now, interval) for interval in lane.aggregators]
        start = min([self._history_start(lane.symbol, BASE, now), *starts])
        for index, candle in enumerate(await self._read(lane.symbol, BASE, start, None)):
            if self._take(lane.series[BASE], candle):
                self._deliver(lane, self._event(candle), Phase.WARM_UP)
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)

    def _take(self, series: CandleSeries, candle: ClosedCandle) -> bool:
        """Offer a candle whose predecessors the venue was asked for: holes in front of it are the venue's own."""
        answer = series.offer(candle)
        if isinstance(answer, Gap):
            logger.warning("%s %s: the venue has no candles from %d to %d", *_named(candle, answer))
            series.accept_hole(candle.open_time_ms)
            answer = series.offer(candle)
        return answer is Offer.ACCEPTED

    async def _fill(self, lane: _Lane) -> bool:
        """Read and deliver what lies between the last candle and the newest known, then what waits. False: try again.

        The venue's history may lag behind its stream, so a gap counts as a hole only after some tries.
        """
        series = lane.series[BASE]
        for attempt in range(ATTEMPTS):
            last_try = attempt == ATTEMPTS - 1
            end = max((event.candle.open_time_ms for event in lane.pending), default=None)
            start = None if series.last_open_time_ms is None else series.last_open_time_ms + series.step_ms
            if start is not None and (end is None or start < end):
                try:
                    async with self._limit:
                        missing = await self._read(lane.symbol, BASE, start, None if end is None else end - 1)
                except TraderError as failure:
                    logger.warning("gap of %s cannot be read: %s", lane.symbol, failure)
                    return False
                self._deliver_late(lane, missing, last_try=last_try)
            if self._drain(lane, last_try=last_try):
                break
            await self._sleep(RETRY_SECONDS[attempt])
        return True

    def _deliver_late(self, lane: _Lane, missing: list[ClosedCandle], *, last_try: bool) -> None:
        series = lane.series[BASE]
        for candle in missing:
            if self._take(series, candle) if last_try else series.offer(candle) is Offer.ACCEPTED:
                self.backfilled += 1
                self._deliver(lane, self._event(candle), Phase.BACKFILL)

    def _drain(self, lane: _Lane, *, last_try: bool) -> bool:
        """Deliver the candles that waited, oldest first, up to a gap; on the last try a gap is the venue's own hole."""
        lane.pending.sort(key=lambda event: event.candle.open_time_ms)
        series = lane.series[BASE]
        while lane.pending:
            event = lane.pending[0]
            answer = series.offer(event.candle)
            if isinstance(answer, Gap):
                if not last_try:
                    return False
                logger.warning("%s %s: the venue has no candles from %d to %d", *_named(event.candle, answer))
                series.accept_hole(event.candle.open_time_ms)
                continue
            lane.pending.pop(0)
            if answer is Offer.ACCEPTED:
                # Only the newest one is still worth a trade: the others would enter at prices of minutes ago.
                self._deliver(lane, event, Phase.BACKFILL if lane.pending else Phase.LIVE)
        return True

    async def _read(self, symbol: str, interval: str, start_ms: int, end_ms: int | None) -> list[ClosedCandle]:
        """Return all closed candles from `start_ms` up to `end_ms` or the newest, in as many requests as needed."""
        step = INTERVAL_MS[interval]
        candles: list[ClosedCandle] = []
        while True:
            # A request's weight grows with its limit, so no more is asked for than can be there.
            newest = self._venue_time.venue_time_ms() if end_ms is None else end_ms
            limit = min(BATCH, max(1, (newest - start_ms) // step + 2))
            page = await self._source.candles(symbol, interval, start_ms, end_ms, limit)
            candles += page
            if len(page) < limit:
                return candles
            start_ms = page[-1].open_time_ms + step

    def _deliver(self, lane: _Lane, event: CandleClosed, phase: Phase) -> None:
        self._on_candle(event, phase)
        for interval, aggregator in lane.aggregators.items():
            for candle in aggregator.add(event.candle):
                if self._take(lane.series[interval], candle):
                    built = CandleClosed(candle, event.event_time_ms, event.received_time_ms, event.received_ns)
                    self._on_candle(built, phase)

    def _event(self, candle: ClosedCandle) -> CandleClosed:
        return CandleClosed(candle, candle.close_time_ms, self._clock.now_ms())


def _named(candle: ClosedCandle, gap: Gap) -> tuple[str, str, int, int]:
    return candle.symbol, candle.interval, gap.start_ms, gap.end_ms


def _lane(symbol: str, wanted: Iterable[str]) -> _Lane:
    longer = sorted(set(wanted) - {BASE}, key=INTERVAL_MS.__getitem__)
    return _Lane(
        symbol,
        {interval: CandleSeries(interval) for interval in (BASE, *longer)},
        {interval: Aggregator(interval) for interval in longer},
    )
