"""One symbol's market state: where its walk through the current candle stands. The facade in `market.py` moves it."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from random import Random

from simulator.market.catalog import SymbolSpec
from simulator.market.columns import MINUTE_MS, CandleSource, Columns, Row
from simulator.market.intervals import aggregate, merge, open_time
from simulator.market.model import KlineView, MarketTrade
from simulator.market.noise import key_of, normals
from simulator.market.path import Bar, Print, prints

CHUNK_MINUTES = 60
EIGHT = Decimal("0.00000001")
HOUR_MS = 3_600_000
_BASE_RATE, _RATE_SPREAD = 0.0001, 0.00008


class Tape:
    """State of one symbol: current candle, its trades, how many of them have been played, the touch."""

    __slots__ = (
        "_chunk",
        "_chunk_end",
        "_chunk_start",
        "_rate",
        "_rng",
        "_source",
        "_wide",
        "bar",
        "book_key",
        "grid",
        "key",
        "level_steps",
        "minute",
        "order",
        "played",
        "price_count",
        "price_sum",
        "spec",
        "step",
        "symbol",
        "taker_bought",
        "tick",
        "tick_now",
        "trades",
    )

    def __init__(self, spec: SymbolSpec, source: CandleSource, seed: int, order: int, rng: Random) -> None:
        self.spec, self.symbol, self.order = spec, spec.symbol, order
        self.grid = source.grid(spec.symbol)
        self.tick, self.step = self.grid.tick, self.grid.step
        self.key = key_of(seed, spec.symbol, "path")
        self.book_key = key_of(seed, spec.symbol, "book")
        self.level_steps = float(spec.level_quantity / self.step)
        self._source, self._rng = source, rng
        self._wide: dict[str, tuple[int, int, Row | None]] = {}
        self._rate = (-1, Decimal(0))
        self.minute = 0
        self._chunk: dict[int, Bar] = {}
        self._chunk_start = self._chunk_end = 0
        self.bar: Bar | None = None
        self.trades: list[Print] | None = None
        self.played = 0
        self.tick_now = 1
        self.taker_bought = True
        self.price_sum = self.price_count = 0

    def bar_at(self, minute: int) -> Bar | None:
        """Return the candle of `minute`, or None where the source has none."""
        if not self._chunk_start <= minute < self._chunk_end:
            # Staggered by symbol, so that not all symbols fetch their next candles in the same minute.
            self._chunk_start = minute - (minute + 7 * self.order) % CHUNK_MINUTES
            self._chunk_end = self._chunk_start + CHUNK_MINUTES
            columns = self._source.columns(self.symbol, self._chunk_start, self._chunk_end)
            self._chunk = {bar.minute: bar for bar in self.bars(columns)}
        return self._chunk.get(minute)

    def bars(self, columns: Columns) -> list[Bar]:
        """Return the rows of `columns` with quote volumes in ticks x steps (-1 where they lie off that grid)."""
        rows = [Bar(*row) for row in columns.rows()]
        cell = self.grid.quote_per_cell
        if cell == 1:
            return rows
        return [
            bar._replace(quote=bar.quote // cell, taker_quote=bar.taker_quote // cell)
            if bar.quote % cell == 0 and bar.taker_quote % cell == 0
            else bar._replace(quote=-1, taker_quote=-1)
            for bar in rows
        ]

    def prints_of(self, bar: Bar) -> list[Print]:
        return prints(self.key, bar, self._rng)

    def settle(self, bar: Bar) -> None:
        """Stand where `bar` ends: its close, and the side of its last trade."""
        self.tick_now = bar.close
        if bar.parts:
            self.taker_bought = self.prints_of(bar)[-1].taker_buys

    def enter(self, minute: int) -> Bar | None:
        """Begin `minute`: return its candle, or None where there is none."""
        if self.bar is not None:
            self.tick_now = self.bar.close
        self.minute = minute
        self.bar = self.bar_at(minute)
        self.trades = None
        self.played = 0
        self.price_sum, self.price_count = self.tick_now, 1
        return self.bar

    def play(self) -> tuple[Print, MarketTrade, int | None]:
        """Play the next trade of the current candle; return it in both forms and the time of the one after it."""
        bar = self.bar
        assert bar is not None
        trades = self.trades
        if trades is None:
            trades = self.trades = self.prints_of(bar)
        played = self.played
        made = trades[played]
        self.played = played + 1
        self.tick_now = made.price
        self.taker_bought = made.taker_buys
        self.price_sum += made.price
        self.price_count += 1
        following = trades[played + 1].time_ms if played + 1 < len(trades) else None
        return made, self.trade(bar, played, made), following

    def trade(self, bar: Bar, index: int, made: Print) -> MarketTrade:
        """Return trade number `index` of `bar` as the market hands it out."""
        return MarketTrade(
            made.time_ms,
            self.symbol,
            made.price * self.tick,
            made.quantity * self.step,
            not made.taker_buys,
            bar.first_part + index,
            made.first_id,
            made.last_id,
        )

    def average(self) -> Decimal:
        """Return the mean price of this minute's trades so far, the price that it began with included."""
        return (self.price_sum * self.tick / self.price_count).quantize(EIGHT, rounding=ROUND_HALF_EVEN)

    def funding_rate(self, funding_ms: int) -> Decimal:
        """Return the rate paid at the funding time `funding_ms`: noise around one basis point, within the cap."""
        if self._rate[0] != funding_ms:
            drawn = float(normals(self.book_key + 2, funding_ms // HOUR_MS, 1)[0])
            cap = self.spec.funding_rate_cap
            rate = Decimal(_BASE_RATE + _RATE_SPREAD * drawn).quantize(EIGHT, rounding=ROUND_HALF_EVEN)
            self._rate = (funding_ms, max(-cap, min(cap, rate)))
        return self._rate[1]

    def forming_row(self) -> Row:
        """Return the forming minute as a row; flat at the last price without any trade yet."""
        bar = self.bar
        done = (self.trades or [])[: self.played]
        if bar is None or not done:
            flat = self.tick_now
            return (self.minute, flat, flat, flat, flat, 0, 0, 0, 0, 0, 0, -1, -1)
        prices = [made.price for made in done]
        cell = self.grid.quote_per_cell
        bought = [made for made in done if made.taker_buys]
        return (
            bar.minute,
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum([made.quantity for made in done]),
            sum([made.price * made.quantity for made in done]) * cell,
            done[-1].last_id - done[0].first_id + 1,
            sum([made.quantity for made in bought]),
            sum([made.price * made.quantity for made in bought]) * cell,
            len(done),
            done[0].first_id,
            bar.first_part,
        )

    def forming_wide(self, interval: str) -> Row:
        """Return the forming candle of a larger interval: its closed minutes, summed once, and the forming one."""
        opened = open_time(interval, self.minute * MINUTE_MS) // MINUTE_MS
        kept = self._wide.get(interval)
        if kept is None or kept[0] != opened:
            kept = (opened, opened, None)
        _, until, row = kept
        if until < self.minute:
            summed = aggregate(self._source.columns(self.symbol, until, self.minute), interval)
            row = merge(row, [tuple(values) for values in summed.rows()])
            self._wide[interval] = (opened, self.minute, row)
        merged = merge(row, [self.forming_row()])
        assert merged is not None
        return (opened, *merged[1:])

    def view(self, row: Row, next_open_ms: int, closed: bool) -> KlineView:
        """Return a row of `Columns` values (quote volumes in the grid's quote unit) as the venue shows it."""
        minute, open_, high, low, close, volume, quote, count, taker, taker_quote, _, first, _ = row
        tick, step, unit = self.tick, self.step, self.grid.quote_unit
        return KlineView(
            minute * MINUTE_MS,
            next_open_ms - 1,
            open_ * tick,
            high * tick,
            low * tick,
            close * tick,
            volume * step,
            quote * unit,
            count,
            taker * step,
            taker_quote * unit,
            first if count else -1,
            first + count - 1 if count else -1,
            closed,
        )

    def closed_view(self) -> KlineView | None:
        """Return the current minute's candle as it ends: the source's row itself."""
        bar = self.bar
        if bar is None:
            return None
        row: Row = bar
        if self.grid.quote_per_cell != 1:  # the bar's quote volumes are rounded to the trading grid
            row = self._source.columns(self.symbol, bar.minute, bar.minute + 1).rows()[0]
        return self.view(row, (bar.minute + 1) * MINUTE_MS, True)
