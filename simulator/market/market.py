"""The market as the matching engine and the servers see it: one clock, trades in time order, quotes, candles, funding.

Own orders do not move it: it is the same market whoever trades in it. It does no I/O and reads no clock; it moves only
when `advance` is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from heapq import heappop, heappush, heapreplace
from random import Random

import numpy as np

from core.errors import ConfigurationError
from simulator.market import book, intervals
from simulator.market.catalog import SymbolSpec
from simulator.market.columns import MINUTE_MS, CandleSource, Columns, join
from simulator.market.generator import GeneratedSource
from simulator.market.model import FundingPoint, KlineClosed, KlineView, MarketEvent, MarketTrade
from simulator.market.path import first_time_ms
from simulator.market.recorded import Recording
from simulator.market.tape import EIGHT, HOUR_MS, Tape

__all__ = ["FundingPoint", "KlineClosed", "KlineView", "Market", "MarketEvent", "MarketTrade"]

AGG_TRADES_WINDOW_MINUTES = 1440


class Market:
    """All symbols' markets under one clock. Times are UTC epoch milliseconds; unknown symbols raise KeyError.

    `specs` lists the contracts in symbol order, `start_ms` is the first instant that can be played (history lies
    before it), `end_ms` the instant after which there is no market (None: it never ends), `now_ms` the market time.
    A start outside the source raises ConfigurationError.
    """

    def __init__(self, source: CandleSource, *, seed: int, start_ms: int, end_ms: int | None = None) -> None:
        self.specs: Mapping[str, SymbolSpec] = source.specs
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.now_ms = start_ms
        self._source, self._seed = source, seed
        rng = Random(0)  # seeded anew for every candle
        self._tapes = [Tape(spec, source, seed, order, rng) for order, spec in enumerate(self.specs.values())]
        self._by_symbol = {tape.symbol: tape for tape in self._tapes}
        first = min(source.span(symbol)[0] for symbol in self.specs) * MINUTE_MS
        if start_ms < first or (end_ms is not None and start_ms >= end_ms):
            until = "" if end_ms is None else f" to {end_ms - 1}"
            raise ConfigurationError(f"start {start_ms} lies outside the market; allowed: {first}{until}")
        self._queue: list[tuple[int, int]] = []
        self._minute = 0
        self._closing: list[KlineClosed] = []
        self.seek(start_ms)

    @classmethod
    def generated(cls, specs: Sequence[SymbolSpec], *, seed: int, start_ms: int, history_days: int = 10) -> Market:
        """Return a market of generated candles that starts at `start_ms`, with history before it."""
        source = GeneratedSource(specs, seed=seed, start_ms=start_ms, history_days=history_days)
        return cls(source, seed=seed, start_ms=start_ms)

    @classmethod
    def recorded(cls, recording: Recording, *, seed: int, start_ms: int | None = None) -> Market:
        """Return a market that plays `recording` to its end, from `start_ms` or from where it suggests."""
        start_ms = recording.start_ms if start_ms is None else start_ms
        return cls(recording, seed=seed, start_ms=start_ms, end_ms=recording.end_ms)

    # -- time ---------------------------------------------------------------------------------------------------

    def seek(self, time_ms: int) -> None:
        """Jump to `time_ms` without playing what lies between: afterwards all is as if it had been played.

        Raises ValueError for a time before `start_ms`.
        """
        if time_ms < self.start_ms:
            raise ValueError(f"market time {time_ms} lies before the market's start {self.start_ms}")
        minute = time_ms // MINUTE_MS
        for tape in self._tapes:
            self._settle_before(tape, minute)
        self._closing = []
        self._enter(minute)
        self.now_ms = minute * MINUTE_MS
        for _ in self.advance(time_ms):
            pass
        self.now_ms = time_ms

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        """Play the market up to and including `to_ms`, yielding events in time order.

        At a candle's end every `KlineClosed` comes before the next candle's trades; ties go by symbol order. The
        iterator may be dropped at any point: the market then stands at the event that was yielded last.
        """
        if self.end_ms is not None:
            to_ms = min(to_ms, self.end_ms)
        queue, tapes = self._queue, self._tapes
        while True:
            while self._closing:
                yield self._closing.pop()
            boundary = (self._minute + 1) * MINUTE_MS
            while queue:
                time_ms, order = queue[0]
                if time_ms > to_ms or time_ms >= boundary:
                    break
                _, trade, following = tapes[order].play()
                if following is None:
                    heappop(queue)
                else:
                    heapreplace(queue, (following, order))
                self.now_ms = time_ms
                yield trade
            if boundary > to_ms:
                break
            self._close_minute(boundary)
        self.now_ms = max(self.now_ms, to_ms)

    def _close_minute(self, boundary: int) -> None:
        closing = []
        for tape in self._tapes:
            view = tape.closed_view()
            if view is not None:
                closing.append(KlineClosed(tape.symbol, "1m", view, boundary))
        closing.reverse()  # popped from the end
        self._closing = closing
        self.now_ms = boundary
        self._enter(self._minute + 1)

    def _enter(self, minute: int) -> None:
        self._minute = minute
        self._queue.clear()
        for tape in self._tapes:
            bar = tape.enter(minute)
            if bar is not None and bar.parts:
                heappush(self._queue, (first_time_ms(tape.key, bar), tape.order))

    def _settle_before(self, tape: Tape, minute: int) -> None:
        tape.bar = None
        bar = tape.bar_at(minute - 1)
        if bar is None:
            first, _ = self._source.span(tape.symbol)
            earlier = self._source.columns(tape.symbol, first, minute)
            bars = tape.bars(earlier.between(int(earlier.minute[-1]), minute)) if len(earlier) else []
            bar = bars[0] if bars else None
        if bar is not None:
            tape.settle(bar)
        else:
            tape.tick_now = max(1, int(tape.spec.reference_price / tape.tick))

    # -- prices -------------------------------------------------------------------------------------------------

    def last_price(self, symbol: str) -> Decimal:
        tape = self._by_symbol[symbol]
        return tape.tick_now * tape.tick

    def best_bid(self, symbol: str) -> Decimal:
        tape = self._by_symbol[symbol]
        return book.touch(tape.tick_now, tape.taker_bought, tape.spec.spread_ticks)[0] * tape.tick

    def best_ask(self, symbol: str) -> Decimal:
        tape = self._by_symbol[symbol]
        return book.touch(tape.tick_now, tape.taker_bought, tape.spec.spread_ticks)[1] * tape.tick

    def depth(self, symbol: str, limit: int) -> tuple[list[book.Level], list[book.Level]]:
        """Return up to `limit` bids (best first, falling) and asks (best first, rising) as (price, quantity)."""
        tape = self._by_symbol[symbol]
        tick, step = tape.tick, tape.step
        best = book.touch(tape.tick_now, tape.taker_bought, tape.spec.spread_ticks)
        sides = []
        for best_tick, direction in zip(best, (-1, 1), strict=True):
            ticks, steps = book.side_levels(
                tape.book_key, best_tick, direction, count=limit, level_steps=tape.level_steps, now_ms=self.now_ms
            )
            sides.append([(price * tick, quantity * step) for price, quantity in zip(ticks, steps, strict=True)])
        return sides[0], sides[1]

    def index_price(self, symbol: str) -> Decimal:
        """Return the mean price of the current minute's trades, 8 decimals: the stand-in for a spot index."""
        return self._by_symbol[symbol].average()

    def mark_price(self, symbol: str) -> Decimal:
        """Return the median of three prices, 8 decimals, as the venue forms it.

        They are the index carried to the next funding at the current rate, the middle between index and last price,
        and the last price.
        """
        tape = self._by_symbol[symbol]
        index, last = tape.average(), tape.tick_now * tape.tick
        interval = tape.spec.funding_interval_hours * HOUR_MS
        until = self.next_funding_ms(symbol) - self.now_ms
        carried = index * (1 + self.funding_rate(symbol) * until / interval)
        return sorted((carried, (index + last) / 2, last))[1].quantize(EIGHT, rounding=ROUND_HALF_EVEN)

    # -- funding ------------------------------------------------------------------------------------------------

    def next_funding_ms(self, symbol: str) -> int:
        """Return the first funding time after now."""
        interval = self.specs[symbol].funding_interval_hours * HOUR_MS
        return self.now_ms - self.now_ms % interval + interval

    def funding_rate(self, symbol: str) -> Decimal:
        """Return the rate that will be paid at `next_funding_ms`, a fraction of the notional; longs pay if positive."""
        return self.funding_rate_at(symbol, self.next_funding_ms(symbol))

    def funding_rate_at(self, symbol: str, funding_ms: int) -> Decimal:
        """Return the rate of the payment at `funding_ms` (a funding time of the symbol)."""
        return self._by_symbol[symbol].funding_rate(funding_ms)

    def funding_history(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 100
    ) -> list[FundingPoint]:
        """Return past payments in rising time: from `start_ms` on, else the last `limit` ones."""
        tape = self._by_symbol[symbol]
        interval = tape.spec.funding_interval_hours * HOUR_MS
        end_ms = self.now_ms if end_ms is None else min(end_ms, self.now_ms)
        first = (self._source.span(symbol)[0] + 1) * MINUTE_MS
        if start_ms is None:
            start_ms = end_ms - end_ms % interval - (limit - 1) * interval
        start_ms = max(first, start_ms)
        points = []
        for time_ms in range(start_ms + -start_ms % interval, end_ms + 1, interval):
            before = self._source.columns(symbol, time_ms // MINUTE_MS - 1, time_ms // MINUTE_MS)
            if len(before):
                price = int(before.close[0]) * tape.tick
                points.append(FundingPoint(time_ms, self.funding_rate_at(symbol, time_ms), price.quantize(EIGHT)))
            if len(points) == limit:
                break
        return points

    # -- candles and trades -------------------------------------------------------------------------------------

    def forming(self, symbol: str, interval: str) -> KlineView:
        """Return the candle that is forming now; flat at the last price while it has no trade."""
        tape = self._by_symbol[symbol]
        row = tape.forming_row() if interval == "1m" else tape.forming_wide(interval)
        return tape.view(row, intervals.next_open_time(interval, self.now_ms), False)

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[KlineView]:
        """Return candles by rising open time, the forming one last.

        With `start_ms` the first `limit` that open at or after it (and not after `end_ms`), else the last `limit`.
        The oldest candle of a large interval may begin inside the history. KeyError for an unknown interval.
        """
        tape = self._by_symbol[symbol]
        end_ms = self.now_ms if end_ms is None else min(end_ms, self.now_ms)
        last_open = intervals.open_time(interval, end_ms)
        if start_ms is None:
            start_ms = intervals.open_time_before(interval, last_open, limit - 1)
        else:
            if intervals.open_time(interval, start_ms) < start_ms:
                start_ms = intervals.next_open_time(interval, start_ms)
            beyond = start_ms
            if interval == "1M" or last_open - start_ms > limit * (intervals.next_open_time(interval, 0)):
                for _ in range(limit - 1):
                    beyond = intervals.next_open_time(interval, beyond)
                last_open = min(last_open, beyond)
        if start_ms > last_open:
            return []
        end = intervals.next_open_time(interval, last_open)
        columns = intervals.aggregate(self._minutes(tape, start_ms // MINUTE_MS, end // MINUTE_MS), interval)
        views = []
        for row in columns.rows()[:limit]:
            end = intervals.next_open_time(interval, row[0] * MINUTE_MS)
            views.append(tape.view(row, end, end <= self.now_ms))
        return views

    def _minutes(self, tape: Tape, start: int, end: int) -> Columns:
        """Return the one-minute candles in [start, end), the current one as far as it has been played."""
        closed = self._source.columns(tape.symbol, start, min(end, self._minute))
        if tape.bar is None or not end > self._minute >= start:
            return closed
        row = tape.forming_row()
        if row[11] < 0 and len(closed):  # no trade yet: ids run on, so that sums over a larger candle keep its first
            row = (*row[:11], int(closed.first_trade[-1] + closed.count[-1]), row[12])
        return join([closed, Columns(*(np.array([value], dtype=np.int64) for value in row))])

    def agg_trades(
        self, symbol: str, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[MarketTrade]:
        """Return aggregate trades by rising id within the last 24 hours.

        From `from_id` on, or from `start_ms` on, else the last `limit` ones up to `end_ms`.
        """
        tape = self._by_symbol[symbol]
        oldest = self._minute - AGG_TRADES_WINDOW_MINUTES
        until = self.now_ms if end_ms is None else min(end_ms, self.now_ms)
        if from_id is None and start_ms is None:
            return self._last_trades(tape, oldest, until, limit)
        first = oldest if start_ms is None else max(oldest, start_ms // MINUTE_MS)
        columns = self._source.columns(symbol, first, self._minute + 1)
        if from_id is not None and len(columns):
            skipped = int(np.searchsorted(columns.first_part, from_id, side="right")) - 1
            columns = columns.between(int(columns.minute[max(skipped, 0)]), self._minute + 1)
        found: list[MarketTrade] = []
        for minute in columns.minute.tolist():
            for trade in self._trades_of(tape, minute, until):
                if (from_id is None or trade.agg_id >= from_id) and (start_ms is None or trade.time_ms >= start_ms):
                    found.append(trade)
            if len(found) >= limit:
                break
        return found[:limit]

    def _last_trades(self, tape: Tape, oldest: int, until: int, limit: int) -> list[MarketTrade]:
        found: list[MarketTrade] = []
        for minute in range(until // MINUTE_MS, oldest, -1):
            found = self._trades_of(tape, minute, until) + found
            if len(found) >= limit:
                break
        return found[-limit:]

    def _trades_of(self, tape: Tape, minute: int, until_ms: int) -> list[MarketTrade]:
        """Return the trades of one minute up to `until_ms`; of the current minute those that have been played."""
        bar = tape.bar if minute == self._minute else tape.bar_at(minute)
        if bar is None:
            return []
        made = (tape.trades or [])[: tape.played] if minute == self._minute else tape.prints_of(bar)
        return [tape.trade(bar, index, one) for index, one in enumerate(made) if one.time_ms <= until_ms]
