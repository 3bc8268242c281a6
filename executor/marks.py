"""What the market says about each symbol: last and mark price with their ages, and the volatility window."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from core.events import MarkPriceUpdated, PriceUpdated

ZERO = Decimal(0)


class MoveWindow:
    """Lowest and highest price of the last `window_ms` of venue time; constant cost per price (monotonic queues)."""

    __slots__ = ("_high", "_low", "window_ms")

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self._low: deque[tuple[int, Decimal]] = deque()
        self._high: deque[tuple[int, Decimal]] = deque()

    def push(self, time_ms: int, price: Decimal) -> Decimal:
        """Add a price and return the range of the window as a percentage of its low."""
        low, high = self._low, self._high
        while low and low[-1][1] >= price:
            low.pop()
        while high and high[-1][1] <= price:
            high.pop()
        told = (time_ms, price)
        low.append(told)
        high.append(told)
        start = time_ms - self.window_ms
        while low[0][0] < start:
            low.popleft()
        while high[0][0] < start:
            high.popleft()
        bottom, top = low[0][1], high[0][1]
        return (top - bottom) * 100 / bottom if top != bottom else ZERO


class SymbolMarket:
    """Newest prices of one symbol. `*_received_ms` are our clock."""

    __slots__ = (
        "index_price",
        "last_event_ms",
        "last_funding_time_ms",
        "last_price",
        "last_received_ms",
        "mark_price",
        "mark_received_ms",
        "next_funding_time_ms",
        "window",
    )

    def __init__(self, window_ms: int) -> None:
        self.last_price: Decimal | None = None
        self.last_event_ms = 0
        self.last_received_ms: int | None = None
        self.mark_price: Decimal | None = None
        self.index_price: Decimal | None = None
        self.mark_received_ms: int | None = None
        self.next_funding_time_ms: int | None = None
        self.last_funding_time_ms: int | None = None
        self.window = MoveWindow(window_ms)

    def on_price(self, event: PriceUpdated) -> Decimal:
        """Take a last price and return the percentage move inside the window; an older price is ignored."""
        if event.event_time_ms < self.last_event_ms:
            return ZERO
        self.last_price = event.price
        self.last_event_ms = event.event_time_ms
        self.last_received_ms = event.received_time_ms
        return self.window.push(event.event_time_ms, event.price)

    def on_mark(self, event: MarkPriceUpdated) -> None:
        self.mark_price = event.mark_price
        self.index_price = event.index_price
        self.mark_received_ms = event.received_time_ms
        if self.next_funding_time_ms is not None and event.next_funding_time_ms > self.next_funding_time_ms:
            self.last_funding_time_ms = self.next_funding_time_ms
        self.next_funding_time_ms = event.next_funding_time_ms

    def price_age_ms(self, now_ms: int) -> int | None:
        return None if self.last_received_ms is None else now_ms - self.last_received_ms

    @property
    def valuation_price(self) -> Decimal | None:
        """Mark price, or the last price before the first mark."""
        return self.mark_price if self.mark_price is not None else self.last_price

    @property
    def trading_price(self) -> Decimal | None:
        """Last price, or the mark before the first trade."""
        return self.last_price if self.last_price is not None else self.mark_price


class Market(dict[str, SymbolMarket]):
    """All symbols' markets, made on first use with the symbol's volatility window."""

    __slots__ = ("_windows_ms",)
    of = dict.__getitem__
    """Return the market of a symbol: a look-up of the dictionary itself, as every event begins with one."""

    def __init__(self, windows_ms: dict[str, int]) -> None:
        super().__init__()
        self._windows_ms = windows_ms

    def __missing__(self, symbol: str) -> SymbolMarket:
        market = self[symbol] = SymbolMarket(self._windows_ms.get(symbol, 5_000))
        return market
