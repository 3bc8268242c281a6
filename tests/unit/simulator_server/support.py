"""A gateway and a stream hub over a real market and engine, without sockets, on a clock that the test moves."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import orjson

from simulator.engine.config import ExchangeConfig
from simulator.engine.exchange import Exchange
from simulator.market.catalog import select_specs
from simulator.market.market import Market
from simulator.server.auth import Credentials
from simulator.server.formats import Precision
from simulator.server.gateway import Gateway
from simulator.server.limits import Limiter, RateLimits
from simulator.server.listen_keys import ListenKeys
from simulator.server.routing import Venue
from simulator.server.session import Session
from simulator.server.stream_names import Category
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse

START_MS = 1_748_764_800_000  # 2025-06-01 08:00:00 UTC
WALL_MS = 1_790_000_000_000
KEY, SECRET = "test-key", "test-secret"
SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Desk:
    """One exchange with everything that stands in front of it."""

    def __init__(self, *, limits: RateLimits | None = None, seed: int = 7) -> None:
        self.market = Market.generated(select_specs(SYMBOLS), seed=seed, start_ms=START_MS)
        self.exchange = Exchange(self.market, ExchangeConfig(seed=seed))
        self.precisions = {symbol: Precision.of(spec.instrument) for symbol, spec in self.market.specs.items()}
        self.keys = ListenKeys(SECRET)
        self.hub = StreamHub(self.market, self.precisions, self.keys)
        self.limiter = Limiter(limits or RateLimits())
        venue = Venue(self.exchange, self.market, self.limiter, self.keys, self.precisions, self.hub.note_book_shown)
        self.gateway = Gateway(venue, Credentials(KEY, SECRET))
        self.wall_ms = WALL_MS

    def send(self, request: RawRequest) -> RawResponse:
        """Handle a raw request and publish what it caused."""
        response = self.gateway.handle(request, self.wall_ms)
        self.hub.publish(self.exchange.drain_events())
        return response

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        """Send a correctly signed request and return its decoded JSON; fails unless the answer is 200."""
        response = self.refused(method, path, **parameters)
        assert response.status == 200, response.body
        return orjson.loads(response.body)

    def refused(self, method: str, path: str, **parameters: Any) -> RawResponse:
        """Send a correctly signed request and return the raw answer, whatever it is."""
        return self.send(RawRequest(method, path, signed({**parameters, "timestamp": self.wall_ms}), api_key=KEY))

    def error(self, method: str, path: str, **parameters: Any) -> tuple[int, int]:
        """Return (HTTP status, code) of a refusal."""
        response = self.refused(method, path, **parameters)
        return response.status, orjson.loads(response.body)["code"]

    def play(self, milliseconds: int, *, wall_ms: int = 0) -> None:
        """Let the market run on, publish it, then let wall time pass and do what has become due."""
        self.hub.publish(self.exchange.advance(self.market.now_ms + milliseconds))
        self.wall_ms += wall_ms
        self.hub.tick(self.wall_ms)

    def connect(self, category: Category, *names: str, is_combined: bool = False) -> Session:
        """Open a stream connection that has joined `names`."""
        session = Session(category, is_combined=is_combined)
        for name in names:
            self.hub.join(session, name)
        return session

    def user_stream(self) -> Session:
        key = self.call("POST", "/fapi/v1/listenKey")["listenKey"]
        return self.connect(Category.PRIVATE, key)


def signed(parameters: dict[str, Any], secret: str = SECRET) -> str:
    """Return the query string with its signature at the end."""
    query = urlencode(parameters)
    return f"{query}&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"


def frames(session: Session) -> list[Any]:
    """Return and remove the decoded frames that wait in a session."""
    found = [orjson.loads(frame) for frame in session.outgoing]
    session.outgoing.clear()
    return found
