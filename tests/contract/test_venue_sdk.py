"""What the installed SDK does, held still: each test is a fact that the adapter was built on or around.

A failure after an upgrade means that the adapter must be looked at again, not that the SDK is wrong.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

import binance_common.utils
import binance_common.websocket
import orjson
import pytest
import requests
from aiohttp import web
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_common.errors import BadRequestError, ClientError, NetworkError, ServerError
from binance_common.utils import encoded_string, send_request
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

from core.errors import ConfigurationError
from exchange.binance import sdk
from tests.contract.venue_double import API_KEY, API_SECRET, VenueDouble, error, raw, until, venue_double

PATH = "/fapi/v1/order"


@pytest.fixture(autouse=True)
def quick_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binance_common.websocket.SUBSCRIBE_MESSAGE_DELAY_SECONDS", 0.0)


@pytest.fixture
async def venue() -> AsyncIterator[VenueDouble]:
    async with venue_double() as double:
        yield double


async def call(venue: VenueDouble, method: str = "POST", payload: dict[str, Any] | None = None, **options: Any) -> Any:
    configuration = ConfigurationRestAPI(API_KEY, API_SECRET, base_path=venue.url, backoff=1, **options)
    session = requests.Session()
    try:
        return await asyncio.to_thread(
            send_request, session, configuration, method, PATH, payload=payload or {}, is_signed=True
        )
    finally:
        session.close()


async def test_timestamp_in_the_payload_is_the_one_that_is_signed_and_sent(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = {}
    await call(venue, payload={"timestamp": "123"})
    (hit,) = venue.hits
    assert hit.query["timestamp"] == "123"
    assert hit.raw_query.count("timestamp=") == 1
    assert hit.body == b""


async def test_payload_without_a_model_comes_back_as_it_is(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = {"orderId": 8389765739703625592, "anything": [1, {"a": "b"}]}
    answer = await call(venue)
    assert answer.data() == {"orderId": 8389765739703625592, "anything": [1, {"a": "b"}]}


@pytest.mark.parametrize(("method", "hits"), [("POST", 1), ("PUT", 1), ("GET", 4), ("DELETE", 4)])
async def test_retries_repeat_get_and_delete_only(venue: VenueDouble, method: str, hits: int) -> None:
    venue.answers[method, PATH] = raw(503, "{}")
    with pytest.raises(ServerError):
        await call(venue, method, retries=3)
    assert len(venue.hits) == hits


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_no_retries_means_one_request(venue: VenueDouble, method: str) -> None:
    venue.answers[method, PATH] = raw(503, "{}")
    with pytest.raises(ServerError):
        await call(venue, method, retries=0)
    assert len(venue.hits) == 1


async def test_redirect_would_send_a_post_again(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = raw(307, "", Location="/again")
    venue.answers["POST", "/again"] = {}
    await call(venue)
    assert [hit.path for hit in venue.hits] == [PATH, "/again"]


async def test_server_error_keeps_the_http_status_only(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = error(503, -1008, "Server is currently overloaded")
    with pytest.raises(ServerError) as caught:
        await call(venue)
    assert caught.value.status_code == 503
    assert "overloaded" not in str(caught.value)


async def test_time_out_of_the_back_end_loses_its_code_on_408(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = error(408, -1007, "Timeout waiting for response from backend server.")
    with pytest.raises(ClientError) as caught:
        await call(venue)
    assert caught.value.status_code is None
    venue.answers["POST", PATH] = error(400, -1007, "Timeout waiting for response from backend server.")
    with pytest.raises(BadRequestError) as refused:
        await call(venue)
    assert refused.value.status_code == -1007


async def test_transport_error_text_carries_the_signed_address(venue: VenueDouble) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    venue.answers["POST", PATH] = hang
    with pytest.raises(NetworkError) as caught:
        await call(venue, timeout=100)
    assert isinstance(caught.value.__cause__, requests.RequestException)

    configuration = ConfigurationRestAPI(API_KEY, API_SECRET, base_path="http://127.0.0.1:9", retries=0)
    with pytest.raises(NetworkError, match="signature="):
        await asyncio.to_thread(send_request, requests.Session(), configuration, "POST", PATH, is_signed=True)


def test_floats_would_be_sent_with_exponents() -> None:
    assert encoded_string({"quantity": 0.00001}) == "quantity=1e-05"
    assert encoded_string({"quantity": "0.00001"}) == "quantity=0.00001"


def streams(venue: VenueDouble) -> Any:
    configuration = ConfigurationWebSocketStreams(stream_url=venue.url.replace("http", "ws"))
    return DerivativesTradingUsdsFutures(config_ws_streams=configuration).websocket_streams


async def test_streams_open_three_sockets_unless_told_otherwise(venue: VenueDouble) -> None:
    client = streams(venue)
    await client.create_connection()
    assert sorted(socket.path for socket in venue.sockets) == ["/market/stream", "/private/stream", "/public/stream"]
    await client.close_connection()
    client = streams(venue)
    client.url_paths = ["private"]
    await client.create_connection()
    await until(lambda: [socket.path for socket in venue.sockets] == ["/private/stream"])
    await client.close_connection()


async def test_connect_failure_is_swallowed(venue: VenueDouble) -> None:
    venue.accept_sockets = False
    client = streams(venue)
    assert await client.create_connection() is None
    await client.session.close()


async def market_client(venue: VenueDouble, seen: list[Any]) -> Any:
    client = streams(venue)
    client.url_paths = ["market"]
    await client.create_connection()
    await client.subscribe(["a@kline_1m"], stream_url="market")
    client.on("message", seen.append, "a@kline_1m")
    return client


async def test_raw_subscription_delivers_the_whole_combined_frame(venue: VenueDouble) -> None:
    seen: list[Any] = []
    client = await market_client(venue, seen)
    socket = await venue.socket("/market/stream")
    await socket.push("a@kline_1m", {"e": "kline"})
    await until(lambda: seen)
    assert seen == [{"stream": "a@kline_1m", "data": {"e": "kline"}}]
    await client.close_connection()


async def test_lost_connection_is_never_repaired_and_blocks_a_new_subscription(venue: VenueDouble) -> None:
    closes: list[int] = []
    client = await market_client(venue, [])
    client.on_connection("close", lambda: closes.append(1))
    await (await venue.socket("/market/stream")).ws.close()
    await until(lambda: closes)
    assert client.connections == []
    await client.create_connection()
    await client.subscribe(["a@kline_1m"], stream_url="market")
    await asyncio.sleep(0.05)
    assert venue.sockets[0].frames == []  # believed to be subscribed still
    await client.close_connection()


async def test_malformed_frame_ends_the_reader_without_any_event(venue: VenueDouble) -> None:
    events: list[str] = []
    client = await market_client(venue, [])
    for event in ("close", "error", "reconnect"):
        client.on_connection(event, lambda event=event: events.append(event))
    before = asyncio.all_tasks()
    reader = next(task for task in before if "receive_loop" in repr(task.get_coro()))
    await (await venue.socket("/market/stream")).ws.send_str("{broken")
    with pytest.raises(ValueError, match="line 1 column"):
        await reader
    assert events == []
    assert client.connections[0].is_open
    await client.session.close()


async def test_refused_subscription_is_only_told_to_the_future_that_nobody_awaits(venue: VenueDouble) -> None:
    venue.refuse_streams = {"a@kline_1m"}
    client = streams(venue)
    client.url_paths = ["market"]
    await client.create_connection()
    await client.subscribe(["a@kline_1m"], stream_url="market")
    (answer,) = client.connections[0].pending_request.values()
    with pytest.raises(ValueError, match="Invalid request"):
        await answer
    assert "a@kline_1m" in client.stream_connections.stream_connections_map
    await client.close_connection()


def test_versions_are_those_that_were_proved() -> None:
    sdk.require_proved_sdk()
    assert version("binance-common").startswith(sdk.PROVED_VERSIONS["binance-common"])


def test_unproved_version_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "version", lambda name: "99.0")
    with pytest.raises(ConfigurationError, match="uv sync"):
        sdk.require_proved_sdk()


def test_sdk_chatter_below_warning_is_dropped_from_the_root_logger(caplog: pytest.LogCaptureFixture) -> None:
    sdk.quiet_sdk_loggers()
    sdk.quiet_sdk_loggers()
    root = logging.getLogger()
    assert sum(isinstance(item, sdk._SdkChatter) for item in root.filters) == 1
    path = "/somewhere/binance_common/websocket.py"
    chatter = logging.LogRecord("root", logging.INFO, path, 1, "listenKey=CANARY", None, None)
    warning = logging.LogRecord("root", logging.WARNING, path, 1, "something is wrong", None, None)
    ours = logging.LogRecord("root", logging.INFO, "/project/main.py", 1, "hello", None, None)
    assert [bool(root.filter(record)) for record in (chatter, warning, ours)] == [False, True, True]


@pytest.mark.parametrize("module", [binance_common.websocket, binance_common.utils])
def test_hurried_sdk_reads_json_with_orjson_and_still_refuses_what_is_none(module: ModuleType) -> None:
    assert "json.loads(" in inspect.getsource(module)  # by this name the module asks for its reader
    sdk.hurry_sdk_json()
    sdk.hurry_sdk_json()
    reader = vars(module)["json"]
    assert reader.loads is orjson.loads
    assert reader.loads('{"i": 8389765739703625592}') == {"i": 8389765739703625592}
    with pytest.raises(json.JSONDecodeError):
        reader.loads('{"i": ')
