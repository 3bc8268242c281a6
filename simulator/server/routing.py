"""What a REST end point is made of: security, cost and a handler that turns a call into a JSON value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from simulator.engine.errors import ApiError
from simulator.engine.exchange import Exchange
from simulator.market.catalog import SymbolSpec
from simulator.server.auth import Security
from simulator.server.countdown import Countdowns
from simulator.server.formats import Precision
from simulator.server.limits import Limiter
from simulator.server.listen_keys import ListenKeys
from simulator.server.parameters import Parameters
from simulator.server.ports import Levels, MarketFeed

BookObserver = Callable[[str, Levels, Levels], None]
"""Told of every book that REST has shown, so that the next difference frame can bridge it."""


@dataclass(slots=True)
class Venue:
    """Everything that handlers work on. `precisions` has one entry a listed symbol."""

    exchange: Exchange
    market: MarketFeed
    limiter: Limiter
    listen_keys: ListenKeys
    precisions: dict[str, Precision]
    on_book_shown: BookObserver = lambda symbol, bids, asks: None
    countdowns: Countdowns = field(default_factory=Countdowns)
    speed: float = 1.0
    """Market time per wall time."""

    def spec(self, symbol: str) -> SymbolSpec:
        """Return the contract; an unknown symbol is refused with -1121."""
        spec = self.market.specs.get(symbol)
        if spec is None:
            raise ApiError(-1121, "Invalid symbol.")
        return spec


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request: its parameters and the gateway's time."""

    venue: Venue
    parameters: Parameters
    now_ms: int

    def symbol(self) -> str:
        """Return the required `symbol` if it is listed."""
        symbol = self.parameters.required("symbol")
        self.venue.spec(symbol)
        return symbol

    def optional_symbol(self) -> str | None:
        """Return `symbol` if it was sent and is listed, None if it was not sent."""
        symbol = self.parameters.text("symbol")
        if symbol is not None:
            self.venue.spec(symbol)
        return symbol

    def precision(self, symbol: str) -> Precision:
        return self.venue.precisions[symbol]


Handler = Callable[[Call], Any]
Weight = int | Callable[[Parameters], int]


@dataclass(frozen=True, slots=True)
class Route:
    """One end point. `weight` may depend on the parameters; `counts_order` charges the order windows."""

    method: str
    path: str
    security: Security
    weight: Weight
    handler: Handler
    counts_order: bool = False

    def cost(self, parameters: Parameters) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(parameters)


def one_or_all(one: int, every: int) -> Callable[[Parameters], int]:
    """Weight that depends on whether a symbol was named."""
    return lambda parameters: one if "symbol" in parameters else every


def table(routes: Iterable[Route]) -> dict[tuple[str, str], Route]:
    """Return the routes by (method, path)."""
    return {(route.method, route.path): route for route in routes}
