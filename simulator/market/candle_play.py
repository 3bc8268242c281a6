"""A recorded market that trades by the rules of a backtest: each candle's own prices, no book, no path made up inside.

History, candles and contracts are those of a recorded market; prices, depth and mark price are `CandleMarket`'s, the
market that a backtest trades in. It moves only as it is told: `simulator.server.lockstep` walks the candles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from simulator.engine.port import Levels
from simulator.market.candle_market import CandleMarket
from simulator.market.columns import MINUTE_MS
from simulator.market.market import Market
from simulator.market.model import FundingPoint, KlineClosed, KlineView, MarketEvent, MarketTrade
from simulator.market.recorded import Recording


@dataclass(frozen=True, slots=True)
class CandlePrices:
    """The four prices of a candle."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class CandlePlay(Market):
    """`prices` is what the matching engine trades in; `minute_ms` is the open of the minute that is being played.

    It begins at the first full minute from `start_ms` on. Nothing is known of funding, so none is paid; single trades
    are not made up, so `agg_trades` has none.
    """

    def __init__(self, recording: Recording, *, seed: int, start_ms: int | None = None) -> None:
        start_ms = recording.start_ms if start_ms is None else start_ms
        start_ms += -start_ms % MINUTE_MS
        self.prices = CandleMarket(recording.specs, start_ms)
        super().__init__(recording, seed=seed, start_ms=start_ms, end_ms=recording.end_ms)

    @property
    def now_ms(self) -> int:
        """The market time: that of the price that was played last."""
        return self.prices.now_ms

    @now_ms.setter
    def now_ms(self, time_ms: int) -> None:
        self.prices.now_ms = time_ms

    @property
    def minute_ms(self) -> int:
        return self._minute * MINUTE_MS

    @property
    def has_ended(self) -> bool:
        return self.end_ms is not None and self.minute_ms >= self.end_ms

    def seek(self, time_ms: int) -> None:
        """Stand at the first full minute from `time_ms` on, each symbol at its close before."""
        if time_ms < self.start_ms:
            raise ValueError(f"market time {time_ms} lies before the market's start {self.start_ms}")
        minute = -(-time_ms // MINUTE_MS)
        for tape in self._tapes:
            self._settle_before(tape, minute)
            self.prices.value(tape.symbol, tape.tick_now * tape.tick)
        self._enter(minute)
        self.now_ms = minute * MINUTE_MS

    def candle(self, symbol: str) -> CandlePrices | None:
        """Return the prices of the minute that is being played; None where the recording has no candle."""
        tape = self._by_symbol[symbol]
        bar, tick = tape.bar, tape.tick
        if bar is None:
            return None
        return CandlePrices(bar.open * tick, bar.high * tick, bar.low * tick, bar.close * tick)

    def close_minute(self) -> list[KlineClosed]:
        """Return the finished candles of the minute; every symbol is worth its close from now on."""
        boundary = self.minute_ms + MINUTE_MS
        closed = []
        for tape in self._tapes:
            view = tape.closed_view()
            if view is not None:
                self.prices.value(tape.symbol, view.close)
                closed.append(KlineClosed(tape.symbol, "1m", view, boundary))
        return closed

    def next_minute(self) -> None:
        """Go on to the candles of the next minute; the prices stay until one of it is played."""
        self._enter(self._minute + 1)

    # -- what the engine and the servers see ---------------------------------------------------------------------

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        """Yield the price that was set for this time, if one was."""
        return self.prices.advance(to_ms)

    def last_price(self, symbol: str) -> Decimal:
        return self.prices.last_price(symbol)

    def best_bid(self, symbol: str) -> Decimal:
        return self.prices.depth(symbol, 1)[0][0][0]

    def best_ask(self, symbol: str) -> Decimal:
        return self.prices.depth(symbol, 1)[1][0][0]

    def depth(self, symbol: str, limit: int) -> tuple[Levels, Levels]:  # type: ignore[override]
        return self.prices.depth(symbol, limit)

    def index_price(self, symbol: str) -> Decimal:
        return self.prices.last_price(symbol)

    def mark_price(self, symbol: str) -> Decimal:
        return self.prices.mark_price(symbol)

    def funding_rate(self, symbol: str) -> Decimal:
        return self.prices.funding_rate(symbol)

    def next_funding_ms(self, symbol: str) -> int:
        return self.prices.next_funding_ms(symbol)

    def funding_history(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 100
    ) -> list[FundingPoint]:
        return []

    def forming(self, symbol: str, interval: str) -> KlineView:
        """Return the forming candle: closed minutes, and one that is flat at the present price."""
        tape = self._by_symbol[symbol]
        tape.tick_now = int(self.prices.last_price(symbol) / tape.tick)
        return super().forming(symbol, interval)

    def agg_trades(
        self, symbol: str, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[MarketTrade]:
        return []
