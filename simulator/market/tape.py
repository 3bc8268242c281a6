"""One symbol's market state: where its walk through the current candle stands. The facade in `market.py` moves it."""

from __future__ import annotations

from dataclasses import fields
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random

from simulator.market.catalog import SymbolSpec
from simulator.market.columns import MINUTE_MS, CandleSource, Columns
from simulator.market.model import KlineView, MarketTrade
from simulator.market.noise import key_of
from simulator.market.path import Bar, Print, prints

CHUNK_MINUTES = 60
EIGHT = Decimal("0.00000001")
_FIELDS = tuple(field.name for field in fields(Columns))


class Tape:
    """State of one symbol: current candle, its trades, how many of them have been played, the touch."""

    __slots__ = (
        "_chunk",
        "_chunk_end",
        "_chunk_start",
        "_random",
        "_source",
        "bar",
        "book_key",
        "grid",
        "key",
        "level_steps",
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

    def __init__(self, spec: SymbolSpec, source: CandleSource, seed: int, order: int, random: Random) -> None:
        self.spec, self.symbol, self.order = spec, spec.symbol, order
        self.grid = source.grid(spec.symbol)
        self.tick, self.step = self.grid.tick, self.grid.step
        self.key = key_of(seed, spec.symbol, "path")
        self.book_key = key_of(seed, spec.symbol, "book")
        self.level_steps = float(spec.level_quantity / self.step)
        self._source, self._random = source, random
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
            self._chunk_start = minute - minute % CHUNK_MINUTES
            self._chunk_end = self._chunk_start + CHUNK_MINUTES
            columns = self._source.columns(self.symbol, self._chunk_start, self._chunk_end)
            self._chunk = {bar.minute: bar for bar in self.bars(columns)}
        return self._chunk.get(minute)

    def bars(self, columns: Columns) -> list[Bar]:
        """Return the rows of `columns` with quote volumes in ticks x steps (-1 where they lie off that grid)."""
        rows = [Bar(*row) for row in zip(*(getattr(columns, name).tolist() for name in _FIELDS), strict=True)]
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
        return prints(self.key, bar, self._random)

    def settle(self, bar: Bar) -> None:
        """Stand where `bar` ends: its close, and the side of its last trade."""
        self.tick_now = bar.close
        if bar.parts:
            self.taker_bought = self.prints_of(bar)[-1].taker_buys

    def enter(self, minute: int) -> Bar | None:
        """Begin `minute`: return its candle, or None where there is none."""
        if self.bar is not None:
            self.tick_now = self.bar.close
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

    def forming_columns(self) -> tuple[int, ...] | None:
        """Return the forming minute as the values of a `Columns` row; None where the source has no candle now.

        Before the first trade it is flat at the last price with ids of -1.
        """
        bar = self.bar
        if bar is None:
            return None
        done = (self.trades or [])[: self.played]
        if not done:
            flat = self.tick_now
            return (bar.minute, flat, flat, flat, flat, 0, 0, 0, 0, 0, 0, -1, -1)
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

    def view(self, row: tuple[int, ...], next_open_ms: int, closed: bool) -> KlineView:
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
        row = self._source.columns(self.symbol, bar.minute, bar.minute + 1) if bar.quote < 0 else None
        if row is not None:
            bar = bar._replace(quote=int(row.quote[0]), taker_quote=int(row.taker_quote[0]))
        elif self.grid.quote_per_cell != 1:
            cell = self.grid.quote_per_cell
            bar = bar._replace(quote=bar.quote * cell, taker_quote=bar.taker_quote * cell)
        return self.view(bar, (bar.minute + 1) * MINUTE_MS, True)
