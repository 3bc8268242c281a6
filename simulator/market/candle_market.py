"""The market of a replay: one price an instant, set by the replay, seen by the matching engine as its whole book.

Candles do not know the book, so a taker gets any quantity at the present price plus slippage, on the tick grid and
never rounded in our favour. The mark price is the last price.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from decimal import Decimal
from operator import attrgetter

from core.instrument import Rounding
from simulator.engine.port import Levels
from simulator.market.catalog import SymbolSpec
from simulator.market.model import FundingPoint, MarketEvent, MarketTrade

NEVER_MS = 1 << 62
_ANY_QUANTITY = Decimal(10) ** 15
_BPS = Decimal(10_000)


class CandleMarket:
    """Implements the engine's market port. `slippage_bps` is in hundredths of a percent of the price.

    `funding` holds the payments of each symbol, ascending; without any, none is due.
    """

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        start_ms: int,
        slippage_bps: Decimal = Decimal(0),
        funding: Mapping[str, tuple[FundingPoint, ...]] | None = None,
    ) -> None:
        self.specs = specs
        self.now_ms = start_ms
        self._slippage = slippage_bps / _BPS
        self._prices: dict[str, Decimal] = {}
        self._pending: MarketTrade | None = None
        self._funding = funding or {}

    def set_price(self, symbol: str, price: Decimal, time_ms: int) -> None:
        """Let `symbol` trade at `price` in the next `advance`."""
        self._pending = MarketTrade(time_ms, symbol, price, _ANY_QUANTITY, False, 0, 0, 0)

    def value(self, symbol: str, price: Decimal) -> None:
        """Let `symbol` be worth `price` from now on, without a trade."""
        self._prices[symbol] = price

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        """Yield the trade that was set, if its time has come."""
        trade = self._pending
        if trade is not None and trade.time_ms <= to_ms:
            self._pending = None
            self.now_ms = trade.time_ms
            self._prices[trade.symbol] = trade.price
            yield trade
        if to_ms > self.now_ms:  # noqa: PLR1730 - a call costs three comparisons, and every instant comes through here
            self.now_ms = to_ms

    def last_price(self, symbol: str) -> Decimal:
        return self._prices[symbol]

    def mark_price(self, symbol: str) -> Decimal:
        return self._prices[symbol]

    def depth(self, symbol: str, limit: int) -> tuple[Levels, Levels]:
        """Return one level a side that holds any quantity, away from the price by the slippage."""
        price = self._prices[symbol]
        if not self._slippage:
            level = ((price, _ANY_QUANTITY),)
            return level, level
        instrument = self.specs[symbol].instrument
        bid = instrument.round_price(price * (1 - self._slippage), Rounding.DOWN)
        ask = instrument.round_price(price * (1 + self._slippage), Rounding.UP)
        return ((bid, _ANY_QUANTITY),), ((ask, _ANY_QUANTITY),)

    def funding_rate(self, symbol: str) -> Decimal:
        """Return the rate of the payment that is due now, 0 when none is."""
        point = self._payment(symbol, self.now_ms)
        return Decimal(0) if point is None else point.rate

    def funding_mark(self, symbol: str, time_ms: int) -> Decimal | None:
        """Return the recorded mark price of a payment; None where none was recorded."""
        point = self._payment(symbol, time_ms)
        return point.mark_price if point is not None and point.mark_price else None

    def next_funding_ms(self, symbol: str) -> int:
        """Return the time of the next payment; far away when none is known."""
        points = self._funding.get(symbol, ())
        at = bisect_right(points, self.now_ms, key=_time)
        return points[at].time_ms if at < len(points) else NEVER_MS

    def has_funding(self, symbol: str) -> bool:
        """Return True where payments of `symbol` are known."""
        return bool(self._funding.get(symbol))

    def _payment(self, symbol: str, time_ms: int) -> FundingPoint | None:
        points = self._funding.get(symbol, ())
        at = bisect_left(points, time_ms, key=_time)
        return points[at] if at < len(points) and points[at].time_ms == time_ms else None


_time = attrgetter("time_ms")
