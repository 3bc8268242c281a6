"""The embedded exchange of a run: served on loopback, watched at its door and at its journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Protocol

from aiohttp import web

from core.clock import Clock
from simulator.engine.events import ExchangeEvent
from simulator.engine.orders import Income, Trade
from simulator.faults.desk import FaultDesk
from simulator.faults.http import FaultyHttpServer
from simulator.faults.injector import FaultInjector
from simulator.market.live import LiveMarket
from simulator.market.market import Market
from simulator.options import ExchangeOptions
from simulator.server.driver import MarketDriver
from simulator.server.limits import ConnectionRules
from simulator.server.session import Session
from simulator.server.stream_names import Category
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse
from simulator.service import EmbeddedExchange

TICK_S = 0.05
"""How often the market moves; the served exchange of a run in real time does it every 10 ms."""

WRITE_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 10.0
"""When the client's sockets give up. Their own time-outs are real time, so the server ends the connection then."""

ALGO_SPACE, ORDER_SPACE = "/fapi/v1/algoOrder", "/fapi/v1/order"


class Witness(Protocol):
    """Who watches the exchange."""

    def on_arrival(self, request: RawRequest) -> None:
        """A request has come in; the exchange has not seen it yet."""

    def on_response(self, request: RawRequest, response: RawResponse) -> None:
        """The sound exchange has answered it; what comes back to the client may be another thing."""

    def on_events(self, events: list[ExchangeEvent]) -> None:
        """The account or the market has changed."""

    def on_connection(self, category: Category) -> None:
        """A client has opened a stream connection."""

    def on_price_sent(self, symbol: str) -> None:
        """A frame with a price of the symbol has really gone out."""


class WatchedExchange(EmbeddedExchange):
    """An embedded exchange on virtual time. `rng` draws the way of each request and answer."""

    def __init__(
        self, options: ExchangeOptions, clock: Clock, faults: FaultInjector, witness: Callable[[], Witness], rng: Random
    ) -> None:
        super().__init__(options, clock, faults)
        self.clock = clock
        self.at_server: dict[int, web.Request] = {}
        self.witness = witness
        self._desk = _Desk(faults, clock.wall_ms, self, rng)
        self._clock = self._desk.clock(clock)

    def held(self) -> int:
        """Requests whose client still waits for our answer."""
        return sum(1 for request in self.at_server.values() if request.transport is not None)

    def _wire(self, source: Market | LiveMarket) -> None:
        super()._wire(source)
        self._driver = MarketDriver(self.exchange, self.publish, self._clock, speed=self._options.speed, tick_s=TICK_S)

    def respond(self, request: RawRequest) -> RawResponse:
        self.witness().on_arrival(request)
        response = super().respond(request)
        self.witness().on_response(request, response)
        return response

    def publish(self, events: list[ExchangeEvent]) -> None:
        if events:
            self.witness().on_events(events)
        super().publish(events)

    def trades(self) -> list[Trade]:
        return list(self.exchange._context.state.trades)

    def incomes(self) -> list[Income]:
        return list(self.exchange._context.state.incomes)

    @property
    def wallet(self) -> Decimal:
        return self.exchange.wallet_balance


class _Desk(FaultDesk):
    def __init__(self, injector: FaultInjector, now: Callable[[], int], exchange: WatchedExchange, rng: Random) -> None:
        super().__init__(injector, now)
        self._owner = exchange
        self._rng = rng

    def server(
        self,
        respond: Callable[[RawRequest], RawResponse],
        hub: StreamHub,
        clock: Clock,
        rules: ConnectionRules,
    ) -> FaultyHttpServer:
        server = _Server(self.rest(respond), self.streams, hub, clock, rules)
        server.belongs_to(self._owner, self._rng)
        return server


class _Outgoing(deque[bytes]):
    """The frames that leave a market connection, after all faults."""

    def __init__(self, witness: Callable[[], Witness]) -> None:
        super().__init__()
        self.witness = witness

    def append(self, frame: bytes) -> None:
        super().append(frame)
        head = frame[:400]
        if b'"markPriceUpdate"' in head or b'"kline"' in head:
            self.witness().on_price_sent(head.partition(b'"s":"')[2].partition(b'"')[0].decode())


class _Server(FaultyHttpServer):
    """Every request and every answer takes its time; a client whose patience is over is cut off."""

    _owner: WatchedExchange
    _rng: Random

    def belongs_to(self, owner: WatchedExchange, rng: Random) -> None:
        self._owner, self._rng = owner, rng

    def _open_session(self, category: Category, *, is_combined: bool, events: frozenset[str] | None) -> Session:
        session = super()._open_session(category, is_combined=is_combined, events=events)
        self._owner.witness().on_connection(category)
        if category is not Category.PRIVATE:
            session.outgoing = _Outgoing(self._owner.witness)
        return session

    async def _answer(self, request: web.Request, raw: RawRequest) -> web.StreamResponse:
        self._owner.at_server[id(request)] = request
        try:
            async with asyncio.timeout(READ_TIMEOUT_S if raw.method == "GET" else WRITE_TIMEOUT_S):
                await asyncio.sleep(self._rng.uniform(0.001, 0.04))
                answer = await super()._answer(request, raw)
                await asyncio.sleep(self._rng.uniform(0.0, 0.03))
                return answer
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        finally:
            del self._owner.at_server[id(request)]
