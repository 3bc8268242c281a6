"""An exchange with a fault desk: on a scripted market for the engine, on a generated one with gateway and streams."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from simulator.engine.config import ExchangeConfig
from simulator.faults.desk import FaultDesk
from simulator.faults.injector import FaultInjector
from simulator.faults.rest import Answer
from simulator.faults.schedule import Fault, FaultSchedule
from simulator.faults.streams import FaultySession
from simulator.market.catalog import select_specs
from simulator.market.market import Market
from simulator.server.auth import Credentials
from simulator.server.formats import Precision
from simulator.server.gateway import Gateway
from simulator.server.limits import Limiter, RateLimits
from simulator.server.listen_keys import ListenKeys
from simulator.server.routing import Venue
from simulator.server.stream_names import Category
from simulator.server.wire import RawRequest, RawResponse
from tests.unit.simulator_engine.support import Desk as EngineDesk
from tests.unit.simulator_engine.support import ScriptedMarket
from tests.unit.simulator_server.support import KEY, SECRET, START_MS, SYMBOLS, WALL_MS, signed

BTC, ETH = "BTCUSDT", "ETHUSDT"
D = Decimal
ORDER = {"symbol": BTC, "side": "BUY", "type": "MARKET", "quantity": "0.010"}


class FaultyEngine(EngineDesk):
    """An exchange on a scripted market, with faults. `now_ms` is the gateway's time, moved by `wait`."""

    def __init__(self, *faults: Fault, **config: object) -> None:
        self.now_ms = WALL_MS
        self.injector = FaultInjector(FaultSchedule(0, faults))
        self.injector.start(self.now_ms)
        self.desk = FaultDesk(self.injector, lambda: self.now_ms)
        self.market = ScriptedMarket()
        self.faulty_market = self.desk.market(self.market)  # type: ignore[arg-type]
        self.exchange = self.desk.exchange(self.faulty_market, ExchangeConfig(**config))  # type: ignore[arg-type]
        self.wait(0)

    def wait(self, milliseconds: int) -> None:
        """Let gateway time pass and happen what is due."""
        self.now_ms += milliseconds
        self.desk.tick()

    def inject(self, kind: str, **values: Any) -> Fault:
        return self.injector.inject(kind, self.now_ms, **values)


class FaultyVenue:
    """Gateway and streams with faults over a generated market, without sockets, on a clock that the test moves."""

    def __init__(self, *faults: Fault) -> None:
        self.now_ms = WALL_MS
        self.injector = FaultInjector(FaultSchedule(0, faults))
        self.injector.start(self.now_ms)
        self.desk = FaultDesk(self.injector, lambda: self.now_ms)
        source = Market.generated(select_specs(SYMBOLS), seed=7, start_ms=START_MS)
        self.market = self.desk.market(source)
        self.exchange = self.desk.exchange(self.market, ExchangeConfig(seed=7))
        precisions = {symbol: Precision.of(spec.instrument) for symbol, spec in self.market.specs.items()}
        self.keys = ListenKeys(SECRET)
        self.hub = self.desk.hub(self.market, precisions, self.keys)
        venue = Venue(
            self.exchange, self.market, Limiter(RateLimits()), self.keys, precisions, self.hub.note_book_shown
        )
        self.gateway = Gateway(venue, Credentials(KEY, SECRET))
        self.rest = self.desk.rest(self._respond)

    def gateway_ms(self) -> int:
        return self.now_ms + self.injector.clock_offset_ms(self.now_ms)

    def _respond(self, request: RawRequest) -> RawResponse:
        response = self.gateway.handle(request, self.gateway_ms())
        self.hub.publish(self.exchange.drain_events())
        return response

    def inject(self, kind: str, **values: Any) -> Fault:
        return self.injector.inject(kind, self.now_ms, **values)

    def wait(self, milliseconds: int) -> None:
        """Let market and gateway time pass and happen what is due."""
        self.now_ms += milliseconds
        self.hub.publish(self.exchange.advance(self.exchange.now_ms + milliseconds))
        self.desk.tick()
        self.hub.publish(self.exchange.drain_events())
        self.hub.tick(self.gateway_ms())

    def send(self, method: str, path: str, **parameters: Any) -> Answer:
        query = signed({**parameters, "timestamp": self.now_ms})
        return self.rest.handle(RawRequest(method, path, query, api_key=KEY))

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        """Send a request that must be answered with 200 at once and return its JSON."""
        answer = self.send(method, path, **parameters)
        assert answer.response is not None and answer.response.status == 200 and not answer.delay_ms, answer
        return orjson.loads(answer.response.body)

    def error(self, method: str, path: str, **parameters: Any) -> tuple[int, int]:
        answer = self.send(method, path, **parameters)
        assert answer.response is not None
        return answer.response.status, orjson.loads(answer.response.body)["code"]

    def position(self) -> Decimal:
        return next((view.quantity for view in self.exchange.positions(BTC)), D(0))

    def connect(self, category: Category, *names: str, is_combined: bool = True) -> FaultySession:
        session = self.desk.streams.open(category, is_combined=is_combined)
        for name in names:
            self.hub.join(session, name)
        return session

    def user_stream(self) -> FaultySession:
        return self.connect(Category.PRIVATE, self.call("POST", "/fapi/v1/listenKey")["listenKey"])
