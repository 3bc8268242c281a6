"""Reads the live venue's public data and feeds it to a `LiveMarket`: REST at the start and for gaps, streams meanwhile.

No key is needed. Streams come over the split paths (`/market`, `/public`); a connection that breaks or falls silent is
opened again after a growing pause, and the candles that were missed are fetched by REST. Trades that happened while no
connection was there are not played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from core.clock import Clock
from core.errors import ConfigurationError, RuntimeFailure
from simulator.market.catalog import CATALOG, spec_for_live
from simulator.market.live import LiveMarket, LiveSnapshot
from simulator.market.live_wire import (
    WIRE_FAULTS,
    Json,
    funding_of,
    instrument_of,
    klines_of_rows,
    marking_of_premium,
    quote_of_ticker,
)
from simulator.market.model import KlineView
from utils.backoff import Backoff
from utils.logging import get_logger

HISTORY_CANDLES = 1500
WEIGHT_PAUSE = 2000
"""Used request weight (of 2400 a minute) from which on the client waits for the next minute."""
SILENCE_S = 15.0
SUBSCRIBE_BATCH = 200
MEND_EVERY_S = 1.0
RECONNECT_S = (0.5, 30.0)
"""First and longest pause before a lost connection is opened again."""
REQUEST_TIMEOUT_S = 10.0
MARKET_STREAMS = ("aggTrade", "kline_1m", "markPrice@1s")
PUBLIC_STREAMS = ("bookTicker",)

log = get_logger(__name__)


class LiveClient:
    """Connects a `LiveMarket` to the venue: `open` builds it, `run` keeps it fed until cancelled, `close` ends.

    `symbols` None takes those of the catalogue that the venue lists.
    """

    def __init__(
        self,
        rest_url: str,
        stream_url: str,
        symbols: Sequence[str] | None,
        *,
        clock: Clock,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._rest_url = rest_url.rstrip("/")
        self._stream_url = stream_url.rstrip("/")
        self._wanted = symbols
        self._clock = clock
        self._silence_s = silence_s
        self._session: aiohttp.ClientSession | None = None
        self._market: LiveMarket | None = None
        self._pause_until_ms = 0

    async def open(self) -> LiveMarket:
        """Read contracts, candles, quotes and mark prices; return the market, standing at the venue's time.

        Raises RuntimeFailure when the venue does not answer, ConfigurationError for a symbol that it does not list.
        """
        is_local = urlsplit(self._rest_url).hostname in ("127.0.0.1", "localhost", "::1")
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S), trust_env=not is_local
        )
        try:
            return await self._open()
        except WIRE_FAULTS as error:
            raise RuntimeFailure(
                f"live market {self._rest_url}: an answer is not of the USDS-M protocol ({error!r}); check the URL"
            ) from error

    async def _open(self) -> LiveMarket:
        listed = {row["symbol"]: row for row in (await self._get("/fapi/v1/exchangeInfo"))["symbols"]}
        symbols = self._choose(listed)
        premiums = {row["symbol"]: row for row in await self._get("/fapi/v1/premiumIndex")}
        quotes = {row["symbol"]: row for row in await self._get("/fapi/v1/ticker/bookTicker")}
        fundings = await self._get("/fapi/v1/fundingRate", limit=1000)
        now_ms = max(int(premiums[symbol]["time"]) for symbol in symbols)
        snapshots = []
        for symbol in symbols:
            klines = await self._klines(symbol, None, now_ms)
            if not klines:
                raise RuntimeFailure(f"live market {self._rest_url}: no candles of {symbol}; leave it out")
            recent = [view.volume for view in klines[-60:]]
            fee = listed[symbol].get("liquidationFee", "0.015")
            spec = spec_for_live(
                instrument_of(listed[symbol]), klines[-1].close, sum(recent, Decimal(0)) / len(recent), Decimal(fee)
            )
            snapshots.append(
                LiveSnapshot(
                    spec,
                    klines,
                    quote_of_ticker(quotes[symbol]),
                    marking_of_premium(premiums[symbol]),
                    [funding_of(row) for row in fundings if row["symbol"] == symbol],
                )
            )
        self._market = LiveMarket(snapshots, now_ms)
        return self._market

    def _choose(self, listed: dict[str, Json]) -> list[str]:
        if self._wanted is None:
            return [symbol for symbol in CATALOG if symbol in listed]
        unknown = [symbol for symbol in self._wanted if symbol not in listed]
        if unknown:
            raise ConfigurationError(f"symbols: {', '.join(unknown)} not listed by {self._rest_url}; leave them out")
        return list(self._wanted)

    async def run(self) -> None:
        """Keep the market fed until cancelled."""
        assert self._market is not None, "open() comes first"
        symbols = [symbol.lower() for symbol in self._market.specs]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow("market", [f"{s}@{name}" for s in symbols for name in MARKET_STREAMS]))
            tasks.create_task(self._follow("public", [f"{s}@{name}" for s in symbols for name in PUBLIC_STREAMS]))
            tasks.create_task(self._mend())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # -- streams ------------------------------------------------------------------------------------------------

    async def _follow(self, category: str, names: list[str]) -> None:
        """Keep one connection open, for ever."""
        backoff = Backoff(*RECONNECT_S)
        while True:
            try:
                await self._read_stream(category, names, backoff)
                reason = "closed by the venue"
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            pause = backoff.next_delay()
            log.warning("live stream lost", category=category, reason=reason, again_in_s=round(pause, 1))
            await asyncio.sleep(pause)

    async def _read_stream(self, category: str, names: list[str], backoff: Backoff) -> None:
        assert self._session is not None
        assert self._market is not None
        async with self._session.ws_connect(f"{self._stream_url}/{category}/stream", max_msg_size=0) as socket:
            for number, first in enumerate(range(0, len(names), SUBSCRIBE_BATCH), start=1):
                frame = {"method": "SUBSCRIBE", "params": names[first : first + SUBSCRIBE_BATCH], "id": number}
                await socket.send_str(orjson.dumps(frame).decode())
            if category == "market":  # candles may have closed while there was no connection
                self._market.gaps.update(self._market.specs)
            while True:
                message = await socket.receive(timeout=self._silence_s)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._take(message.data)
                backoff.reset()

    def _take(self, text: str) -> None:
        assert self._market is not None
        try:
            frame: Any = orjson.loads(text)
            event = frame.get("data", frame)
            if "e" in event:
                self._market.feed(event)
        except WIRE_FAULTS as error:
            log.warning("live message passed over", reason=repr(error), text=text[:200])

    # -- REST ---------------------------------------------------------------------------------------------------

    async def _mend(self) -> None:
        """Fetch the candles that are missing, whenever some are."""
        market = self._market
        assert market is not None
        while True:
            await asyncio.sleep(MEND_EVERY_S)
            for symbol in sorted(market.gaps):
                try:
                    now_ms = market.newest_ms
                    views = await self._klines(symbol, market.missing_from_ms(symbol), now_ms)
                    market.mend(symbol, views, now_ms)
                except (RuntimeFailure, *WIRE_FAULTS) as error:
                    log.warning("live candles not fetched", symbol=symbol, reason=str(error))
                    break

    async def _klines(self, symbol: str, start_ms: int | None, now_ms: int) -> list[KlineView]:
        span = {} if start_ms is None else {"startTime": start_ms}
        rows = await self._get("/fapi/v1/klines", symbol=symbol, interval="1m", limit=HISTORY_CANDLES, **span)
        return klines_of_rows(rows, now_ms)

    async def _get(self, path: str, **parameters: str | int) -> Any:
        """Return the answer to one GET; RuntimeFailure names what went wrong."""
        assert self._session is not None
        await self._rest()
        try:
            async with self._session.get(self._rest_url + path, params=parameters) as response:
                status, body = response.status, await response.read()
                self._note_weight(response.headers.get("X-MBX-USED-WEIGHT-1M"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise RuntimeFailure(
                f"live market {self._rest_url}{path}: no answer ({reason}); check the URL and the network"
            ) from error
        if status != 200:
            said = body[:120].decode(errors="replace")
            raise RuntimeFailure(
                f"live market {self._rest_url}{path}: HTTP {status} {said!r}; check the URL, or wait if it is a limit"
            )
        return orjson.loads(body)

    def _note_weight(self, used: str | None) -> None:
        with suppress(ValueError):
            if used is not None and int(used) >= WEIGHT_PAUSE:
                now_ms = self._clock.now_ms()
                self._pause_until_ms = now_ms - now_ms % 60_000 + 60_000

    async def _rest(self) -> None:
        """Wait until the venue's weight window begins anew, if it is nearly used up."""
        left_ms = self._pause_until_ms - self._clock.now_ms()
        if left_ms > 0:
            log.info("waiting for the venue's request weight", seconds=round(left_ms / 1000))
            await asyncio.sleep(left_ms / 1000)
