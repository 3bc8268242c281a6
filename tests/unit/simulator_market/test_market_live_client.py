"""The live client over real sockets: against another embedded exchange, and against a server that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from core.clock import SystemClock
from core.errors import ConfigurationError, RuntimeFailure
from simulator.market.catalog import select_specs
from simulator.market.live import LiveMarket
from simulator.market.live_client import LiveClient
from simulator.market.market import Market
from simulator.market.model import KlineClosed, MarketEvent, MarketTrade
from simulator.service import ExchangeOptions
from tests.contract.simulator_support import eventually, running
from tests.unit.simulator_market.markets import MINUTE_MS, NEW_YEAR_MS

START = NEW_YEAR_MS + 5 * 3_600_000 + 50_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")


@asynccontextmanager
async def connected(client: LiveClient) -> AsyncIterator[LiveMarket]:
    live = await client.open()
    task = asyncio.create_task(client.run())
    try:
        yield live
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


async def test_live_market_repeats_another_exchange_s_market() -> None:
    """The other exchange takes the part of the live venue: same candles, same trades, same quotes and contracts."""
    options = ExchangeOptions(speed=30.0, seed=11, symbols=SYMBOLS, start_ms=START)
    events: list[MarketEvent] = []
    async with running(options) as upstream:
        client = LiveClient(upstream.info.rest_url, upstream.info.stream_url, SYMBOLS, clock=SystemClock())
        async with connected(client) as live:

            def three_closes_each() -> bool:
                events.extend(live.advance(live.newest_ms))
                return sum(isinstance(event, KlineClosed) for event in events) >= 9

            await eventually(three_closes_each, within_s=20.0, what="three closed candles a symbol")
            assert live.gaps == set()
    original = Market.generated(select_specs(SYMBOLS), seed=11, start_ms=START)
    expected = list(original.advance(live.now_ms + 2 * MINUTE_MS))
    closes = {(one.symbol, one.kline.open_time_ms): one.kline for one in expected if isinstance(one, KlineClosed)}
    trades = {(one.symbol, one.agg_id): one for one in expected if isinstance(one, MarketTrade)}
    seen: list[tuple[str, int]] = []
    for event in events:
        if isinstance(event, MarketTrade):
            same = trades[event.symbol, event.agg_id]
            assert (event.price, event.quantity, event.buyer_is_maker) == (
                same.price,
                same.quantity,
                same.buyer_is_maker,
            )
            assert (event.first_id, event.last_id) == (same.first_id, same.last_id)
            continue
        same_kline = closes[event.symbol, event.kline.open_time_ms]
        for name in ("open", "high", "low", "close", "volume", "quote_volume", "trade_count", "taker_buy_volume"):
            assert getattr(event.kline, name) == getattr(same_kline, name)
        seen.append((event.symbol, event.kline.open_time_ms))
    assert len(seen) == len(set(seen))
    for symbol in SYMBOLS:
        opens = [opened for name, opened in seen if name == symbol]
        assert opens == list(range(opens[0], opens[0] + len(opens) * MINUTE_MS, MINUTE_MS))
        assert live.specs[symbol].instrument == original.specs[symbol].instrument
        history = live.klines(symbol, "1m", None, opens[0] - 1, 1000)
        told = original.klines(symbol, "1m", history[0].open_time_ms, opens[0] - 1, 1000)
        assert [(one.open, one.close, one.volume) for one in history] == [
            (one.open, one.close, one.volume) for one in told
        ]
    times = [event.time_ms for event in events]
    assert times == sorted(times)


class OddVenue:
    """A venue of one symbol whose streams do what a test tells them."""

    def __init__(self) -> None:
        self.candles_until = 0
        self.connections: list[str] = []
        self.script: Callable[[int, web.WebSocketResponse], Awaitable[None]] | None = None
        self.statuses: dict[str, tuple[int, str]] = {}

    def rows(self) -> list[list[Any]]:
        opens = range(NEW_YEAR_MS - 100 * MINUTE_MS, NEW_YEAR_MS + (self.candles_until + 1) * MINUTE_MS, MINUTE_MS)
        return [[at, "10", "11", "9", "10", "5", at + 59_999, "50", 3, "2", "20", "0"] for at in opens]

    def frame(self, minute: int) -> str:
        opened = NEW_YEAR_MS + minute * MINUTE_MS
        values = {"o": "10", "c": "10", "h": "11", "l": "9", "v": "5", "n": 3, "q": "50", "V": "2", "Q": "20"}
        kline = {"t": opened, "T": opened + 59_999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 3, "x": True, **values}
        data = {"e": "kline", "E": opened + MINUTE_MS, "s": "BTCUSDT", "k": kline}
        return json.dumps({"stream": "btcusdt@kline_1m", "data": data})

    async def rest(self, request: web.Request) -> web.StreamResponse:
        if request.path in self.statuses:
            status, text = self.statuses[request.path]
            return web.Response(status=status, text=text)
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "0.1", "maxPrice": "100000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ]
        contract = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING_LATER",
                    "pricePrecision": 2, "quantityPrecision": 3, "filters": filters}  # fmt: skip
        now = NEW_YEAR_MS + self.candles_until * MINUTE_MS + 1
        rows = [row for row in self.rows() if row[0] >= int(request.query.get("startTime", 0))]
        answers: dict[str, Any] = {
            "/fapi/v1/exchangeInfo": {"symbols": [contract]},
            "/fapi/v1/premiumIndex": [{"symbol": "BTCUSDT", "markPrice": "10", "indexPrice": "10", "time": now,
                                       "lastFundingRate": "", "nextFundingTime": now + 99}],
            "/fapi/v1/ticker/bookTicker": [{"symbol": "BTCUSDT", "bidPrice": "9.9", "bidQty": "1", "askPrice": "10",
                                            "askQty": "2"}],
            "/fapi/v1/fundingRate": [{"symbol": "BTCUSDT", "fundingTime": NEW_YEAR_MS, "fundingRate": "0.0001"}],
            "/fapi/v1/klines": rows,
        }  # fmt: skip
        return web.json_response(answers[request.path])

    async def stream(self, request: web.Request) -> web.StreamResponse:
        category = request.match_info["category"]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive_str()
        self.connections.append(category)
        if category == "market" and self.script:
            await self.script(self.connections.count("market"), socket)
            return socket
        async for message in socket:
            assert message.type is WSMsgType.TEXT
        return socket


@asynccontextmanager
async def serving(venue: OddVenue) -> AsyncIterator[tuple[str, str]]:
    app = web.Application()
    app.router.add_get("/{category}/stream", venue.stream)
    app.router.add_get("/fapi/{tail:.*}", venue.rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}", f"ws://{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses: the tests wait on what happens, not on the clock."""
    monkeypatch.setattr("simulator.market.live_client.MEND_EVERY_S", 0.02)
    monkeypatch.setattr("simulator.market.live_client.RECONNECT_S", (0.02, 0.1))


def minutes(events: list[MarketEvent]) -> list[int]:
    return [(one.kline.open_time_ms - NEW_YEAR_MS) // MINUTE_MS for one in events if isinstance(one, KlineClosed)]


@pytest.mark.parametrize("ending", ["closed", "silent", "cut"])
async def test_lost_stream_is_opened_again_and_missed_candles_are_fetched(quick: None, ending: str) -> None:
    venue = OddVenue()
    resumed = asyncio.Event()

    async def script(number: int, socket: web.WebSocketResponse) -> None:
        if number == 1:
            await socket.send_str(venue.frame(0))
            venue.candles_until = 4  # candles 1 to 3 pass while nobody is connected
            if ending == "closed":
                await socket.close()
            elif ending == "cut":
                assert socket._req is not None
                assert socket._req.transport is not None
                socket._req.transport.abort()
            else:
                await resumed.wait()
            return
        resumed.set()
        await socket.send_str("{not json")
        await socket.send_str('{"stream":"x","data":{"e":"aggTrade","s":"BTCUSDT"}}')
        await socket.send_str(venue.frame(4))
        async for _ in socket:
            pass

    venue.script = script
    events: list[MarketEvent] = []
    async with serving(venue) as (rest_url, stream_url):
        silence = 0.3 if ending == "silent" else 15.0
        client = LiveClient(rest_url, stream_url, None, clock=SystemClock(), silence_s=silence)
        async with connected(client) as live:

            def five_closed() -> bool:
                events.extend(live.advance(live.newest_ms))
                return len(minutes(events)) >= 5

            await eventually(five_closed, what="five closed candles")
    assert minutes(events) == [0, 1, 2, 3, 4]


async def test_open_names_a_symbol_that_the_venue_does_not_list() -> None:
    async with serving(OddVenue()) as urls:
        client = LiveClient(*urls, ["BTCUSDT", "DOGEUSDT"], clock=SystemClock())
        with pytest.raises(ConfigurationError, match="DOGEUSDT not listed by"):
            await client.open()
        await client.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((403, "<html>no</html>"), "HTTP 403 '<html>no</html>'; check the URL"),
        ((200, "<html>login</html>"), "an answer is not of the USDS-M protocol"),
        ((200, "{}"), "an answer is not of the USDS-M protocol"),
    ],
)
async def test_open_says_what_is_wrong_with_the_venue(answer: tuple[int, str], reason: str) -> None:
    venue = OddVenue()
    venue.statuses["/fapi/v1/exchangeInfo"] = answer
    async with serving(venue) as urls:
        client = LiveClient(*urls, None, clock=SystemClock())
        with pytest.raises(RuntimeFailure) as caught:
            await client.open()
        await client.close()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_open_says_that_nobody_answers(unused_tcp_port: int) -> None:
    client = LiveClient(f"http://127.0.0.1:{unused_tcp_port}", "ws://127.0.0.1:1", None, clock=SystemClock())
    with pytest.raises(RuntimeFailure, match=r"no answer .*check the URL and the network"):
        await client.open()
    await client.close()
