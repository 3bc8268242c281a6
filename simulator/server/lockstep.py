"""Lock-step play of recorded candles: the market goes on when the trader has acted on what it was shown.

A venue never waits. A replay may: then latency is none, and a run over sockets can be compared with a backtest to the
last digit. Each minute has three instants, as in a backtest: its open, the touches inside it (symbols one after
another, a stop before a target), its close. An order that is sent at a close is on its way until the next open of its
symbol. A step ends where there is something to act on: at every close, at an open with an open position or a new
order, and inside a candle that touched something.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from enum import Enum

import orjson
from aiohttp import web

from core.clock import Clock
from core.enums import OrderType, Side
from simulator.engine.errors import ApiError
from simulator.engine.events import ExchangeEvent
from simulator.engine.exchange import Exchange
from simulator.market.candle_play import CandlePlay, CandlePrices
from simulator.options import STEP_MARKET
from simulator.server.http import JSON_TYPE, HttpServer, Responder
from simulator.server.limits import ConnectionRules
from simulator.server.parameters import Parameters
from simulator.server.session import Session
from simulator.server.stream_names import Category
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse, refusal

INSIDE_MS = 30_000
"""When a touch inside a candle is booked: candles do not tell, so in the middle."""
CLOSE_MS = 59_999
WALL_TICK_S = 0.1
_REPLIES = (b'{"result"', b'{"error"')
_ORDER_PATH = "/fapi/v1/order"


class Instant(Enum):
    """What is played next."""

    OPEN = "open"
    INSIDE = "inside"
    CLOSE = "close"


class LockstepDriver:
    """Walks a `CandlePlay` through its candles, one `step` at a time.

    `publish` takes what happened, `show` sends the present prices to everybody who listens.
    """

    def __init__(
        self,
        exchange: Exchange,
        market: CandlePlay,
        publish: Callable[[list[ExchangeEvent]], None],
        show: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._market = market
        self._publish = publish
        self._show = show
        self._next = Instant.OPEN
        self._parked: list[tuple[str, Callable[[], None], Callable[[], None]]] = []

    async def run(self, tick: Callable[[], None]) -> None:
        """Keep the wall clock's business going (mark prices, listen keys); the market moves by `step` alone."""
        while True:
            tick()
            await asyncio.sleep(WALL_TICK_S)

    # -- orders under way ----------------------------------------------------------------------------------------

    @property
    def holds_orders(self) -> bool:
        """Whether an order that is sent now arrives at the next open only: the market stands at a close."""
        return self._next is Instant.OPEN

    @property
    def parked(self) -> int:
        return len(self._parked)

    def park(self, symbol: str, carry_out: Callable[[], None], refuse: Callable[[], None]) -> None:
        """Keep an order until the next open of `symbol`; `refuse` it when the recording has none."""
        self._parked.append((symbol, carry_out, refuse))

    def _release(self, symbol: str) -> bool:
        due = [order for order in self._parked if order[0] == symbol]
        self._parked = [order for order in self._parked if order[0] != symbol]
        for _, carry_out, _ in due:
            carry_out()
        return bool(due)

    # -- time ----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Play on to the next instant that somebody can act on; False when the recording is over."""
        play = {Instant.OPEN: self._open, Instant.INSIDE: self._inside, Instant.CLOSE: self._close}
        while not (self._market.has_ended and self._next is Instant.OPEN):
            if play[self._next]():
                return True
        while self._parked:
            self._parked.pop(0)[2]()
        return False

    def _open(self) -> bool:
        """Play the first price of the minute, then the orders that were on their way, symbol by symbol."""
        market, time_ms = self._market, self._market.minute_ms
        is_of_interest = False
        for symbol in market.specs:
            candle = market.candle(symbol)
            if candle is not None:
                self._trade(symbol, candle.open, time_ms)
                is_of_interest |= self._release(symbol)
        self._publish(self._exchange.advance(time_ms))
        self._next = Instant.INSIDE
        is_of_interest |= bool(self._exchange.positions())
        if is_of_interest:
            self._show()
        return is_of_interest

    def _inside(self) -> bool:
        """Play the levels that the minute touches."""
        market, time_ms = self._market, self._market.minute_ms + INSIDE_MS
        self._next = Instant.CLOSE
        is_of_interest = False
        for symbol in market.specs:
            candle = market.candle(symbol)
            if candle is not None and not self._exchange.is_flat(symbol):
                is_of_interest |= self._touch(symbol, candle, time_ms)
        if is_of_interest:
            self._show()
        return is_of_interest

    def _touch(self, symbol: str, candle: CandlePrices, time_ms: int) -> bool:
        """Trade at stop and target as far as the candle reaches them, the stop first, then beyond the safe band."""
        exchange = self._exchange
        algos = [one for one in exchange.open_algos(symbol) if candle.low <= one.trigger_price <= candle.high]
        levels = [one.trigger_price for one in sorted(algos, key=lambda one: one.type is not OrderType.STOP_MARKET)]
        for price in levels:
            if not exchange.is_flat(symbol):
                self._trade(symbol, price, time_ms)
        band = exchange.safe_band(symbol)
        if band is not None and (candle.low <= band[0] or candle.high >= band[1]):
            is_long = exchange.positions(symbol)[0].quantity * Side.BUY.sign > 0
            for price in (candle.low if is_long else candle.high, candle.close):
                if not exchange.is_flat(symbol):
                    self._trade(symbol, price, time_ms)
            return True
        return bool(levels)

    def _close(self) -> bool:
        """End the minute: prices first, then the candles on which strategies decide."""
        closed = self._market.close_minute()
        self._publish(self._exchange.advance(self._market.minute_ms + CLOSE_MS))
        self._show()
        self._market.next_minute()
        self._publish(list(closed))
        self._next = Instant.OPEN
        return True

    def _trade(self, symbol: str, price: Decimal, time_ms: int) -> None:
        self._market.prices.set_price(symbol, price, time_ms)
        self._publish(self._exchange.advance(time_ms))


class LockstepServer(HttpServer):
    """Answers the trader's wish to go on, and keeps orders that are sent at a close.

    The market goes on only when the trader has handled every frame that was sent to it and waits for nothing but
    parked orders: `POST STEP_MARKET?inFlight=…&market=…&private=…`, with the numbers of frames handled by category.
    """

    def __init__(
        self, driver: LockstepDriver, respond: Responder, hub: StreamHub, clock: Clock, rules: ConnectionRules
    ) -> None:
        super().__init__(respond, hub, clock, rules)
        self._driver = driver
        self._sent: Counter[Category] = Counter()

    async def _answer(self, request: web.Request, raw: RawRequest) -> web.StreamResponse:
        is_order = (raw.method, raw.path) == ("POST", _ORDER_PATH)
        try:
            told = Parameters(raw.query, raw.body)
            if (raw.method, raw.path) == ("POST", STEP_MARKET):
                answer = RawResponse(200, self._step(told))
            elif is_order and self._driver.holds_orders:
                answer = await self._arrival(raw, told.text("symbol") or "")
            else:
                return await super()._answer(request, raw)
        except ApiError as error:
            answer = refusal(error)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers, content_type=JSON_TYPE)

    def _step(self, told: Parameters) -> bytes:
        is_idle = all(told.integer(name) == value for name, value in self._waits_for().items())
        goes_on = is_idle and self._driver.step()
        return orjson.dumps({**self._waits_for(), "stepped": goes_on, "ended": is_idle and not goes_on})

    def _waits_for(self) -> dict[str, int]:
        frames = {category.value: self._sent[category] for category in (Category.MARKET, Category.PRIVATE)}
        return {"inFlight": self._driver.parked, **frames}

    async def _arrival(self, raw: RawRequest, symbol: str) -> RawResponse:
        """Return the answer that the order gets when it arrives."""
        arrived: asyncio.Future[RawResponse] = asyncio.get_running_loop().create_future()
        closed = ApiError(-4108, "Symbol is closed: the recording is over.")
        self._driver.park(
            symbol,
            lambda: arrived.set_result(self._respond(raw)),
            lambda: arrived.set_result(refusal(closed)),
        )
        return await asyncio.shield(arrived)

    def _open_session(self, category: Category, *, is_combined: bool, events: frozenset[str] | None) -> Session:
        return _CountedSession(self._sent, category, is_combined=is_combined, events=events)


class _CountedSession(Session):
    """Counts the frames of its streams, answers to control frames apart."""

    __slots__ = ("_sent",)

    def __init__(
        self, sent: Counter[Category], category: Category, *, is_combined: bool, events: frozenset[str] | None
    ) -> None:
        super().__init__(category, is_combined=is_combined, events=events)
        self._sent = sent

    def push(self, frame: bytes) -> None:
        if not frame.startswith(_REPLIES):
            self._sent[self.category] += 1
        super().push(frame)
