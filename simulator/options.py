"""How the embedded exchange is started, and what it says once it answers.

The default key pair is public knowledge: it guards nothing but a toy account on the loopback interface, and lets any
client of the real venue be pointed here unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson

from simulator.server.limits import ConnectionRules, RateLimits

DEFAULT_API_KEY = "embedded-exchange-public-key"
DEFAULT_API_SECRET = "embedded-exchange-public-secret"  # noqa: S105 - public by design, see the module
KEY_VARIABLE = "EXCHANGE_API_KEY"
SECRET_VARIABLE = "EXCHANGE_API_SECRET"  # noqa: S105 - the variable's name
DEFAULT_SEED = 7
ABOUT_MARKET = "/embedded/market"
STEP_MARKET = "/embedded/step"
"""Beside the venue's own paths: what a client may ask that knows it trades on an embedded exchange."""


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How an exchange is started.

    `symbols` are names, or a number of generated symbols, or None: the ten of the catalogue, or all of `data_dir`.
    `start_ms` is the market's first instant: by default the present for a generated market, the earliest possible one
    for a recorded one. `speed` is market time per wall time. `port` 0 takes a free one. `deposit` opens the account.
    `faults` is a file with a fault schedule. `countdown_cancels_algos`: countdown-cancel takes conditional orders too.
    `lockstep`: play recorded candles by the rules of a backtest, on and on only as the trader asks for it.
    """

    port: int = 0
    host: str = "127.0.0.1"
    seed: int = DEFAULT_SEED
    speed: float = 1.0
    data_dir: Path | None = None
    symbols: tuple[str, ...] | int | None = None
    start_ms: int | None = None
    journal: Path | None = None
    api_key: str = DEFAULT_API_KEY
    api_secret: str = field(default=DEFAULT_API_SECRET, repr=False)
    deposit: Decimal = Decimal("10000")
    live_url: str | None = None
    live_stream_url: str | None = None
    faults: Path | None = None
    countdown_cancels_algos: bool = False
    lockstep: bool = False
    limits: RateLimits = field(default_factory=RateLimits)
    rules: ConnectionRules = field(default_factory=ConnectionRules)


@dataclass(frozen=True, slots=True)
class ReadyInfo:
    """Where a started exchange is reached, and what it plays."""

    rest_url: str
    stream_url: str
    symbols: tuple[str, ...]
    market_time_ms: int
    speed: float
    market_end_ms: int | None = None
    """The instant after which a recorded market stands still; None: it never ends."""

    def line(self) -> str:
        """Return the one line `READY {json}` that a parent process waits for."""
        text = orjson.dumps(
            {
                "rest_url": self.rest_url,
                "stream_url": self.stream_url,
                "symbols": self.symbols,
                "market_time_ms": self.market_time_ms,
                "speed": self.speed,
                "market_end_ms": self.market_end_ms,
            }
        )
        return f"READY {text.decode()}"

    @classmethod
    def from_line(cls, line: str) -> ReadyInfo | None:
        """Return the info of a `READY` line, None for any other line."""
        if not line.startswith("READY "):
            return None
        found = orjson.loads(line.removeprefix("READY "))
        return cls(
            found["rest_url"],
            found["stream_url"],
            tuple(found["symbols"]),
            found["market_time_ms"],
            found["speed"],
            found.get("market_end_ms"),
        )


def key_pair(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the API key and secret from the environment, the public defaults where it has none."""
    return environment.get(KEY_VARIABLE) or DEFAULT_API_KEY, environment.get(SECRET_VARIABLE) or DEFAULT_API_SECRET
