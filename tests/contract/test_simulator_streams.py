"""The embedded exchange through the official SDK's stream client, and through bare sockets where it has no method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest

from simulator.server.limits import ConnectionRules
from simulator.service import ExchangeOptions
from tests.contract.simulator_support import START_MS, RunningExchange, eventually, running, stream_client

MINUTE = 60_000
QUICK = ConnectionRules(ping_every_s=0.05, pong_within_s=1.0)


@pytest.fixture
async def exchange() -> AsyncIterator[RunningExchange]:
    async with running(ExchangeOptions(speed=600.0, start_ms=START_MS)) as served:
        yield served


@pytest.fixture
async def client(exchange: RunningExchange) -> AsyncIterator[Any]:
    connected = await stream_client(exchange.info)
    yield connected
    await connected.close_connection()


async def listen(client: Any, category: str, streams: list[str]) -> list[Any]:
    """Subscribe through the SDK and return the growing list of raw messages."""
    heard: list[Any] = []
    await client.subscribe(streams, stream_url=category)
    for stream in streams:
        client.on("message", heard.append, stream)
    return heard


async def test_candles_arrive_once_each_and_equal_the_rest_ones(exchange: RunningExchange, client: Any) -> None:
    symbols = [symbol.lower() for symbol in exchange.info.symbols]
    heard = await listen(client, "market", [f"{symbol}@kline_1m" for symbol in symbols])
    await eventually(lambda: sum(m["data"]["k"]["x"] for m in heard) >= 5 * len(symbols), what="5 candles a symbol")
    for symbol in symbols:
        candles = [m["data"]["k"] for m in heard if m["stream"] == f"{symbol}@kline_1m" and m["data"]["k"]["x"]]
        opens = [candle["t"] for candle in candles]
        assert opens == list(range(opens[0], opens[0] + len(opens) * MINUTE, MINUTE))
        rows = await exchange.call(
            exchange.rest.kline_candlestick_data,
            symbol=symbol.upper(),
            interval="1m",
            start_time=opens[0],
            limit=len(opens),
        )
        assert rows == [
            [c[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")] + ["0"] for c in candles
        ]


async def test_every_market_stream_reaches_the_sdk(client: Any) -> None:
    market = await listen(
        client, "market", ["btcusdt@markPrice@1s", "btcusdt@aggTrade", "ethusdt@kline_5m", "ethusdt@markPrice"]
    )
    public = await listen(client, "public", ["btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@depth10"])
    wanted = {"btcusdt@markPrice@1s", "btcusdt@aggTrade", "ethusdt@kline_5m", "ethusdt@markPrice"}
    await eventually(lambda: {m["stream"] for m in market} == wanted, what="all market streams")
    await eventually(lambda: len({m["stream"] for m in public}) == 3, what="all public streams")
    for message in market + public:
        assert message["data"]["s"].lower() == message["stream"].split("@")[0]


async def test_streams_stay_silent_under_the_wrong_category(client: Any) -> None:
    wrong = await listen(client, "public", ["btcusdt@kline_1m"])
    right = await listen(client, "market", ["ethusdt@kline_1m"])
    await eventually(lambda: len(right) > 3, what="frames of the right category")
    assert wrong == []


async def test_an_order_with_stop_and_target_is_told_to_its_end(exchange: RunningExchange, client: Any) -> None:
    rest, call = exchange.rest, exchange.call
    key = (await call(rest.start_user_data_stream)).listen_key
    heard: list[Any] = []
    handle = await client.user_data(key)
    handle.on("message", lambda event: heard.append(event.actual_instance))
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
    await call(rest.new_order, **order, new_client_order_id="entry-1")
    price = Decimal((await call(rest.account_trade_list, symbol="BTCUSDT"))[0].price)
    algo = {"algo_type": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "close_position": "true"}
    for kind, name, factor in (("STOP_MARKET", "stop-1", "0.996"), ("TAKE_PROFIT_MARKET", "target-1", "1.004")):
        trigger = (price * Decimal(factor)).quantize(Decimal("0.1"))
        await call(rest.new_algo_order, **algo, type=kind, trigger_price=str(trigger), client_algo_id=name)

    def kinds() -> list[str]:
        return [type(event).__name__ for event in heard]

    def algo_states(name: str) -> list[str]:
        return [e.o.X for e in heard if type(e).__name__ == "AlgoUpdate" and e.o.caid == name]

    await eventually(lambda: {"FINISHED", "EXPIRED"} <= {*algo_states("stop-1"), *algo_states("target-1")}, within_s=30)
    states = [algo_states("stop-1"), algo_states("target-1")]
    assert ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"] in states
    assert ["NEW", "EXPIRED"] in states
    assert kinds()[:4] == ["OrderTradeUpdate", "AccountUpdate", "TradeLite", "OrderTradeUpdate"]
    fills = [e.o for e in heard if type(e).__name__ == "OrderTradeUpdate" and e.o.x == "TRADE"]
    assert sum(Decimal(fill.l) * (1 if fill.S == "BUY" else -1) for fill in fills) == 0
    wallet = [e for e in heard if type(e).__name__ == "AccountUpdate"][-1].a.B[0].wb
    income = await call(rest.get_income_history, limit=1000)
    assert sum(Decimal(row.income) for row in income) == Decimal(wallet)
    assert await call(rest.position_information_v3) == []


async def test_closing_the_listen_key_tells_its_stream(exchange: RunningExchange, client: Any) -> None:
    key = (await exchange.call(exchange.rest.start_user_data_stream)).listen_key
    heard: list[Any] = []
    await client.subscribe([key], stream_url="private")
    client.on("message", heard.append, key)
    await exchange.call(exchange.rest.change_initial_leverage, symbol="BTCUSDT", leverage=3)
    await eventually(lambda: len(heard) == 1, what="a first user event")
    await exchange.call(exchange.rest.close_user_data_stream)
    await eventually(lambda: len(heard) == 2, what="listenKeyExpired")
    assert heard[1]["data"]["e"] == "listenKeyExpired"


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    message = await asyncio.wait_for(socket.receive(), 10)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return orjson.loads(message.data)


@pytest.mark.parametrize(
    "path",
    [
        "/market/ws/btcusdt@aggTrade",
        "/market/ws/btcusdt@aggTrade/ethusdt@aggTrade",
        "/public/ws/btcusdt@bookTicker",
        "/ws/btcusdt@bookTicker",
    ],
)
async def test_raw_paths_send_bare_payloads(exchange: RunningExchange, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(exchange.info.stream_url + path) as socket:
        assert "e" in await receive(socket)


@pytest.mark.parametrize(
    "path", ["/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade", "/stream?streams=btcusdt@bookTicker"]
)
async def test_combined_paths_send_wrapped_payloads(exchange: RunningExchange, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(exchange.info.stream_url + path) as socket:
        assert set(await receive(socket)) == {"stream", "data"}


async def test_unrouted_paths_serve_public_streams_only(exchange: RunningExchange) -> None:
    key = (await exchange.call(exchange.rest.start_user_data_stream)).listen_key
    path = f"/ws/{key}/btcusdt@kline_1m/btcusdt@bookTicker"
    async with aiohttp.ClientSession() as http, http.ws_connect(exchange.info.stream_url + path) as socket:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
        await exchange.call(exchange.rest.new_order, **order)
        assert {(await receive(socket))["e"] for _ in range(10)} == {"bookTicker"}


@pytest.mark.parametrize(
    "path", ["/private/ws/{key}", "/private/ws?listenKey={key}", "/private/stream?listenKey={key}"]
)
async def test_all_ways_into_the_user_stream(exchange: RunningExchange, path: str) -> None:
    key = (await exchange.call(exchange.rest.start_user_data_stream)).listen_key
    url = exchange.info.stream_url + path.format(key=key)
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await exchange.call(exchange.rest.change_initial_leverage, symbol="BTCUSDT", leverage=3)
        frame = await receive(socket)
        assert frame.get("data", frame)["e"] == "ACCOUNT_CONFIG_UPDATE"


async def test_named_events_only(exchange: RunningExchange) -> None:
    key = (await exchange.call(exchange.rest.start_user_data_stream)).listen_key
    url = f"{exchange.info.stream_url}/private/ws?listenKey={key}&events=ACCOUNT_UPDATE/ALGO_UPDATE"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
        await exchange.call(exchange.rest.new_order, **order)
        assert (await receive(socket))["e"] == "ACCOUNT_UPDATE"


async def test_numeric_pseudo_streams_and_integer_ids_are_fine(exchange: RunningExchange) -> None:
    url = exchange.info.stream_url + "/market/ws/0"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1})
        assert await receive(socket) == {"result": None, "id": 1}
        assert (await receive(socket))["e"] == "aggTrade"


async def test_invalid_json_is_answered_then_the_connection_closes(exchange: RunningExchange) -> None:
    url = exchange.info.stream_url + "/market/ws"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await socket.send_str("{broken")
        assert (await receive(socket))["error"]["code"] == 3
        assert (await asyncio.wait_for(socket.receive(), 10)).type is aiohttp.WSMsgType.CLOSE


async def test_more_than_ten_messages_a_second_close_the_connection(exchange: RunningExchange) -> None:
    url = exchange.info.stream_url + "/market/ws"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        for number in range(12):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        for _ in range(10):
            await receive(socket)
        message = await asyncio.wait_for(socket.receive(), 10)
        assert message.type is aiohttp.WSMsgType.CLOSE and message.data == 1008


async def test_server_pings_and_drops_a_peer_that_does_not_answer() -> None:
    options = ExchangeOptions(start_ms=START_MS, rules=QUICK)
    async with running(options) as exchange, aiohttp.ClientSession() as http:
        url = exchange.info.stream_url + "/market/ws"
        async with http.ws_connect(url, autoping=False) as silent:
            found = [await asyncio.wait_for(silent.receive(), 10) for _ in range(3)]
            assert [message.type for message in found] == [aiohttp.WSMsgType.PING] * 3
            while (message := await asyncio.wait_for(silent.receive(), 10)).type is aiohttp.WSMsgType.PING:
                pass
            assert message.type is aiohttp.WSMsgType.CLOSE and message.extra == "no pong"
        async with http.ws_connect(url, autoping=False) as polite:
            for _ in range(10):
                ping = await asyncio.wait_for(polite.receive(), 10)
                assert ping.type is aiohttp.WSMsgType.PING
                await polite.pong(ping.data)


async def test_a_client_that_vanishes_leaves_nothing_behind(exchange: RunningExchange, client: Any) -> None:
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(exchange.info.stream_url + "/market/ws/btcusdt@aggTrade")
        await receive(socket)
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.abort()
    heard = await listen(client, "market", ["btcusdt@aggTrade"])
    await eventually(lambda: len(heard) > 5, what="frames for the client that is still there")
    ids = [message["data"]["a"] for message in heard]
    assert len(ids) == len(set(ids))
