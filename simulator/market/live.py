"""A market that follows the live venue: the facade of `Market`, fed with decoded public messages.

Nothing moves by itself: `feed` queues what the venue said, and `advance` lets it happen, in the order in which it came.
Market time is the venue's: the newest event time that has happened. Times never go back; an event that comes late is
stamped with the newest time. Every 1m candle closes exactly once and in order: a candle that comes before an earlier
one is held back, and its symbol is listed in `gaps` until `mend` brings what is missing.

Own orders do not reach the venue, so they do not move this market. Behind the touch, which is the venue's, the book is
the one of `book.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import groupby

from simulator.market import book, intervals
from simulator.market.catalog import SymbolSpec
from simulator.market.columns import MINUTE_MS
from simulator.market.live_wire import (
    Json,
    Marking,
    Quote,
    kline_of_frame,
    marking_of_event,
    quote_of_event,
    trade_of,
)
from simulator.market.model import FundingPoint, KlineClosed, KlineView, MarketEvent, MarketTrade
from simulator.market.noise import key_of

CANDLES_KEPT = 3000
TRADES_KEPT = 2000
FUNDINGS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """All of one symbol at the start. `klines` are 1m candles by rising time; the last one may still be forming."""

    spec: SymbolSpec
    klines: Sequence[KlineView]
    quote: Quote
    marking: Marking
    funding: Sequence[FundingPoint] = ()


@dataclass(frozen=True, slots=True)
class _Candles:
    """Candles of one symbol; `is_complete` means that none is missing between them: the venue has no others."""

    symbol: str
    views: Sequence[KlineView]
    is_complete: bool


News = MarketTrade | _Candles | tuple[str, Quote] | tuple[str, Marking]


@dataclass(slots=True)
class _Desk:
    """What is known of one symbol now."""

    spec: SymbolSpec
    last: Decimal
    quote: Quote
    marking: Marking
    next_open_ms: int
    closed: deque[KlineView]
    forming: KlineView | None
    funding: deque[FundingPoint]
    trades: deque[MarketTrade] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    waiting: dict[int, KlineView] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: LiveSnapshot) -> _Desk:
        closed = [view for view in snapshot.klines if view.closed]
        forming = next((view for view in snapshot.klines if not view.closed), None)
        newest = forming or closed[-1]
        return cls(
            snapshot.spec,
            newest.close,
            snapshot.quote,
            snapshot.marking,
            forming.open_time_ms if forming else newest.close_time_ms + 1,
            deque(closed, maxlen=CANDLES_KEPT),
            forming,
            deque(snapshot.funding, maxlen=FUNDINGS_KEPT),
        )


class LiveMarket:
    """The facade of `Market` over what the venue says; see the module. `end_ms` is None: it never ends."""

    def __init__(self, snapshots: Sequence[LiveSnapshot], now_ms: int) -> None:
        self.specs: Mapping[str, SymbolSpec] = {one.spec.symbol: one.spec for one in snapshots}
        self.start_ms = self.now_ms = self.newest_ms = now_ms
        self.end_ms: int | None = None
        self.gaps: set[str] = set()
        self._desks = {one.spec.symbol: _Desk.of(one) for one in snapshots}
        self._queue: deque[tuple[int, News]] = deque()
        self._readers: dict[str, Callable[[Json], tuple[int, News]]] = {
            "aggTrade": lambda event: (int(event["T"]), trade_of(event)),
            "kline": lambda event: (
                int(event["E"]),
                _Candles(event["s"], (kline_of_frame(event["k"]),), is_complete=False),
            ),
            "bookTicker": lambda event: (int(event["E"]), (event["s"], quote_of_event(event))),
            "markPriceUpdate": lambda event: (int(event["E"]), (event["s"], marking_of_event(event))),
        }

    # -- what the venue says ------------------------------------------------------------------------------------

    def feed(self, event: Json) -> None:
        """Queue one stream event; unknown types and symbols are passed over. Raises `WIRE_FAULTS` for a bad one."""
        reader = self._readers.get(event["e"])
        if reader is not None and event["s"] in self._desks:
            self._put(*reader(event))

    def mend(self, symbol: str, views: Sequence[KlineView], now_ms: int) -> None:
        """Queue candles that REST told at `now_ms`: all that the venue has from the first of them on."""
        self.gaps.discard(symbol)
        self._put(now_ms, _Candles(symbol, views, is_complete=True))

    def missing_from_ms(self, symbol: str) -> int:
        """Return the open time of the oldest candle of `symbol` that has not closed here."""
        return self._desks[symbol].next_open_ms

    def _put(self, time_ms: int, news: News) -> None:
        self.newest_ms = max(self.newest_ms, time_ms)
        self._queue.append((time_ms, news))

    # -- time ---------------------------------------------------------------------------------------------------

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        """Let happen what the venue said up to `to_ms`. Pass `newest_ms` for all of it."""
        queue = self._queue
        while queue and queue[0][0] <= to_ms:
            time_ms, news = queue.popleft()
            self.now_ms = max(self.now_ms, time_ms)
            yield from self._happen(news)

    def _happen(self, news: News) -> Iterator[MarketEvent]:
        if isinstance(news, MarketTrade):
            yield self._trade(news)
        elif isinstance(news, _Candles):
            yield from self._candles(news)
        elif isinstance(news[1], Quote):
            self._desks[news[0]].quote = news[1]
        else:
            self._mark(self._desks[news[0]], news[1])

    def _trade(self, trade: MarketTrade) -> MarketTrade:
        desk = self._desks[trade.symbol]
        if trade.time_ms < self.now_ms:
            trade = replace(trade, time_ms=self.now_ms)
        desk.last = trade.price
        desk.trades.append(trade)
        return trade

    def _mark(self, desk: _Desk, marking: Marking) -> None:
        before = desk.marking
        if before.next_funding_ms < marking.next_funding_ms:
            desk.funding.append(FundingPoint(before.next_funding_ms, before.rate, marking.mark))
        desk.marking = marking

    def _candles(self, news: _Candles) -> Iterator[KlineClosed]:
        desk = self._desks[news.symbol]
        for view in news.views:
            if view.open_time_ms < desk.next_open_ms:
                continue
            if view.closed:
                desk.waiting[view.open_time_ms] = view
            elif desk.forming is None or _is_newer(view, desk.forming):
                desk.forming = view
        told_until = news.views[-1].open_time_ms if news.is_complete and news.views else 0
        while desk.waiting:
            following = desk.waiting.pop(desk.next_open_ms, None)
            if following is None:
                oldest = min(desk.waiting)
                if oldest > told_until:
                    self.gaps.add(news.symbol)
                    return
                following = desk.waiting.pop(oldest)  # the venue has none between: it did not trade
            desk.closed.append(following)
            desk.next_open_ms = following.close_time_ms + 1
            if desk.forming is not None and desk.forming.open_time_ms < desk.next_open_ms:
                desk.forming = None
            yield KlineClosed(news.symbol, "1m", following, max(following.close_time_ms + 1, self.now_ms))

    # -- prices -------------------------------------------------------------------------------------------------

    def last_price(self, symbol: str) -> Decimal:
        return self._desks[symbol].last

    def best_bid(self, symbol: str) -> Decimal:
        return self._desks[symbol].quote.bid

    def best_ask(self, symbol: str) -> Decimal:
        return self._desks[symbol].quote.ask

    def depth(self, symbol: str, limit: int) -> tuple[list[book.Level], list[book.Level]]:
        """Return up to `limit` bids and asks: the venue's touch, and made-up levels behind it."""
        desk = self._desks[symbol]
        quote, rules = desk.quote, desk.spec.instrument
        sides = []
        for best, quantity, direction in ((quote.bid, quote.bid_quantity, -1), (quote.ask, quote.ask_quantity, 1)):
            ticks, steps = book.side_levels(
                key_of(symbol, "book"),
                int(best / rules.tick_size),
                direction,
                count=limit,
                level_steps=float(desk.spec.level_quantity / rules.step_size),
                now_ms=self.now_ms,
            )
            levels = [
                (best + (tick - ticks[0]) * rules.tick_size, size * rules.step_size)
                for tick, size in zip(ticks, steps, strict=True)
            ]
            sides.append([(best, quantity), *levels[1:]])
        return sides[0], sides[1]

    def mark_price(self, symbol: str) -> Decimal:
        return self._desks[symbol].marking.mark

    def index_price(self, symbol: str) -> Decimal:
        return self._desks[symbol].marking.index

    # -- funding ------------------------------------------------------------------------------------------------

    def funding_rate(self, symbol: str) -> Decimal:
        """Return the rate that will be paid at `next_funding_ms`, as the venue expects it now."""
        return self._desks[symbol].marking.rate

    def next_funding_ms(self, symbol: str) -> int:
        return self._desks[symbol].marking.next_funding_ms

    def funding_history(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 100
    ) -> list[FundingPoint]:
        """Return the payments known here in rising time: from `start_ms` on, else the last `limit` ones."""
        points = [one for one in self._desks[symbol].funding if _within(one.time_ms, start_ms, end_ms)]
        return points[:limit] if start_ms is not None else points[-limit:]

    # -- candles and trades -------------------------------------------------------------------------------------

    def forming(self, symbol: str, interval: str) -> KlineView:
        """Return the candle that is forming now; flat at the last price while the venue has told none."""
        desk = self._desks[symbol]
        minute = desk.forming or _flat(desk.next_open_ms, desk.last)
        opened = intervals.open_time(interval, minute.open_time_ms)
        parts = [minute]
        for view in reversed(desk.closed):
            if view.open_time_ms < opened:
                break
            parts.append(view)
        return _sum(parts[::-1], interval, closed=False)

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[KlineView]:
        """Return candles by rising open time, the forming one last; as `Market.klines`, from the minutes kept here."""
        desk = self._desks[symbol]
        forming = desk.forming or _flat(desk.next_open_ms, desk.last)
        minutes = [*desk.closed, forming] if forming.open_time_ms <= self.now_ms else list(desk.closed)
        views = []
        for opened, group in groupby(minutes, lambda view: intervals.open_time(interval, view.open_time_ms)):
            if _within(opened, start_ms, end_ms):
                parts = list(group)
                is_closed = parts[-1].closed and parts[-1].close_time_ms + 1 == intervals.next_open_time(
                    interval, opened
                )
                views.append(_sum(parts, interval, closed=is_closed))
        return views[:limit] if start_ms is not None else views[-limit:]

    def agg_trades(
        self, symbol: str, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[MarketTrade]:
        """Return trades by rising id out of those kept here: from an id or a time on, else the last `limit` ones."""
        found = [
            trade
            for trade in self._desks[symbol].trades
            if (from_id is None or trade.agg_id >= from_id) and _within(trade.time_ms, start_ms, end_ms)
        ]
        return found[-limit:] if from_id is None and start_ms is None else found[:limit]


def _within(time_ms: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or time_ms >= start_ms) and (end_ms is None or time_ms <= end_ms)


def _is_newer(view: KlineView, than: KlineView) -> bool:
    return (view.open_time_ms, view.volume) >= (than.open_time_ms, than.volume)


def _flat(open_ms: int, price: Decimal) -> KlineView:
    zero = Decimal(0)
    return KlineView(
        open_ms, open_ms + MINUTE_MS - 1, price, price, price, price, zero, zero, 0, zero, zero, -1, -1, False
    )  # fmt: skip


def _sum(parts: Sequence[KlineView], interval: str, *, closed: bool) -> KlineView:
    """Return one candle out of minutes. Ids are the first and the last that are known."""
    opened = intervals.open_time(interval, parts[0].open_time_ms)
    zero = Decimal(0)
    return KlineView(
        opened,
        intervals.next_open_time(interval, opened) - 1,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum((part.volume for part in parts), zero),
        sum((part.quote_volume for part in parts), zero),
        sum(part.trade_count for part in parts),
        sum((part.taker_buy_volume for part in parts), zero),
        sum((part.taker_buy_quote_volume for part in parts), zero),
        next((part.first_trade_id for part in parts if part.first_trade_id >= 0), -1),
        next((part.last_trade_id for part in reversed(parts) if part.last_trade_id >= 0), -1),
        closed,
    )
