"""Faults over sockets: what the official SDK really gets to see, and what the exchange really did."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from binance_common.errors import BadRequestError, NetworkError, RateLimitBanError, ServerError, TooManyRequestsError

from core.clock import SystemClock
from core.errors import ConfigurationError
from simulator.child import ChildExchange
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault, FaultSchedule
from simulator.service import EmbeddedExchange, ExchangeOptions
from tests.conftest import ROOT
from tests.contract.simulator_support import START_MS, eventually, rest_client, stream_client

BTC = "BTCUSDT"
ORDER: dict[str, Any] = {"symbol": BTC, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
POST = "POST /fapi/v1/order"


class FaultyExchangeRun:
    """A served exchange whose faults the test switches while it runs."""

    def __init__(self, exchange: EmbeddedExchange, info: Any) -> None:
        self.exchange = exchange
        self.info = info
        self.rest = rest_client(info)
        self.clock = SystemClock()

    def inject(self, kind: str, **values: Any) -> Fault:
        assert self.exchange.faults is not None
        return self.exchange.faults.inject(kind, self.clock.wall_ms(), **values)

    async def order(self, **changes: Any) -> Any:
        return (await asyncio.to_thread(self.rest.new_order, **(ORDER | changes))).data()

    def quantity(self) -> str:
        return next((str(view.quantity) for view in self.exchange.exchange.positions(BTC)), "0")


@asynccontextmanager
async def faulty(schedule: FaultSchedule | None = None, **options: Any) -> AsyncIterator[FaultyExchangeRun]:
    exchange = EmbeddedExchange(
        ExchangeOptions(start_ms=START_MS, symbols=(BTC, "ETHUSDT"), **options),
        SystemClock(),
        FaultInjector(schedule or FaultSchedule()),
    )
    info = await exchange.start()
    stop = asyncio.Event()
    task = asyncio.create_task(exchange.run(stop))
    try:
        yield FaultyExchangeRun(exchange, info)
    finally:
        stop.set()
        await task
        await exchange.close()


@pytest.mark.parametrize(
    ("kind", "values", "error", "is_applied"),
    [
        ("apply_then_drop", {}, NetworkError, True),
        ("noapply_then_drop", {}, NetworkError, False),
        ("hang", {"amount": 300}, NetworkError, True),
        ("apply_then_status", {"amount": 503}, ServerError, True),
        ("noapply_then_status", {"amount": 503}, ServerError, False),
        ("refuse", {"amount": -2019}, BadRequestError, False),
        ("throttle", {"for_ms": 60_000}, TooManyRequestsError, False),
        ("ban", {"for_ms": 60_000}, RateLimitBanError, False),
        ("body_html", {}, json.JSONDecodeError, True),
        ("body_truncated", {}, json.JSONDecodeError, True),
        ("body_empty", {}, json.JSONDecodeError, True),
        ("body_shape", {}, None, True),
        ("slow_first_byte", {"amount": 300}, None, True),
        ("redirect", {}, None, True),
        ("late_apply", {"amount": 150}, NetworkError, True),
    ],
)
async def test_what_the_sdk_sees_of_a_faulty_order_and_what_became_of_it(
    kind: str, values: dict[str, Any], error: type[Exception] | None, is_applied: bool
) -> None:
    async with faulty() as run:
        run.inject(kind, target=POST, **values)
        started = time.monotonic()
        if error is not None:
            with pytest.raises(error):
                await run.order()
        else:
            answer = await run.order()
            has_content = kind in ("slow_first_byte", "redirect")
            assert (getattr(answer, "order_id", None) is not None) is has_content
        if kind in ("hang", "slow_first_byte"):
            assert time.monotonic() - started >= 0.3
        if kind == "late_apply":
            await eventually(lambda: run.quantity() != "0", what="late order")
        assert run.quantity() == ("0.010" if is_applied else "0")


async def test_faults_of_the_order_route_leave_other_routes_alone_and_end_with_clear() -> None:
    async with faulty() as run:
        run.inject("noapply_then_drop", target=POST, for_ms=600_000)
        assert (await asyncio.to_thread(run.rest.position_information_v3)).data() == []
        with pytest.raises(NetworkError):
            await run.order()
        assert run.exchange.faults is not None
        run.exchange.faults.clear()
        assert (await run.order()).order_id


async def test_schedule_plays_by_the_clock_and_forced_closes_reach_the_user_stream() -> None:
    schedule = FaultSchedule.from_json(
        '{"seed": 3, "faults": [{"at_ms": 0, "kind": "foreign_position", "target": "BTCUSDT", "amount": 2000},'
        ' {"at_ms": 1500, "kind": "adl", "amount": "0.4"}, {"at_ms": 1600, "kind": "settle"}]}'
    )
    async with faulty(schedule) as run:
        connection = await stream_client(run.info)
        key = (await asyncio.to_thread(run.rest.start_user_data_stream)).data().listen_key
        stream = await connection.user_data(key)
        seen: list[Any] = []
        stream.on("message", lambda message: seen.append(getattr(message, "actual_instance", message)))

        def calculated() -> list[str]:
            orders = [event.o for event in seen if hasattr(event, "o") and getattr(event.o, "x", "") == "CALCULATED"]
            return [str(order.c) for order in orders]

        await eventually(lambda: len(calculated()) == 2, what="forced closes")
        assert calculated()[0] == "adl_autoclose" and calculated()[1].startswith("settlement_autoclose-")
        assert run.quantity() in ("0", "0.000")
        await connection.close_connection()


async def connect(run: FaultyExchangeRun, http: aiohttp.ClientSession, path: str) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect(run.info.stream_url + path, autoping=False)


MARKET = "/market/stream?streams=btcusdt@markPrice@1s"


@pytest.mark.parametrize("code", [1001, 1008, 1011, 1006])
async def test_stream_closes_with_the_code_of_the_fault(code: int) -> None:
    async with faulty() as run, aiohttp.ClientSession() as http:
        socket = await connect(run, http, MARKET)
        await socket.receive(timeout=3)
        run.inject("stream_close", target="market", amount=code)
        while not socket.closed:
            await socket.receive(timeout=3)
        assert socket.close_code == code


async def test_half_open_stream_stays_connected_and_answers_nothing() -> None:
    async with faulty() as run, aiohttp.ClientSession() as http:
        socket = await connect(run, http, MARKET)
        await socket.receive(timeout=3)
        run.inject("stream_half_open", target="market")
        await asyncio.sleep(0.1)
        await socket.ping()
        seen: list[aiohttp.WSMsgType] = []
        with pytest.raises(TimeoutError):
            while True:
                seen.append((await socket.receive(timeout=1.5)).type)
        assert aiohttp.WSMsgType.PONG not in seen
        assert not socket.closed
        other = await connect(run, http, MARKET)
        assert (await other.receive(timeout=3)).type is aiohttp.WSMsgType.TEXT


async def test_connections_are_refused_and_then_taken_again() -> None:
    async with faulty() as run, aiohttp.ClientSession() as http:
        fault = run.inject("stream_refuse", for_ms=400)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await connect(run, http, MARKET)
        assert run.exchange.faults is not None and run.exchange.faults.fired[-1].fault is fault
        await asyncio.sleep(0.45)
        socket = await connect(run, http, MARKET)
        assert (await socket.receive(timeout=3)).type is aiohttp.WSMsgType.TEXT


async def test_malformed_frame_reaches_the_client_as_no_json() -> None:
    async with faulty() as run, aiohttp.ClientSession() as http:
        run.inject("stream_malformed", target="market")
        socket = await connect(run, http, MARKET)
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads((await socket.receive(timeout=3)).data)
        assert orjson.loads((await socket.receive(timeout=3)).data)["data"]["e"] == "markPriceUpdate"


async def test_clock_jump_makes_sound_requests_untimely() -> None:
    async with faulty() as run:
        run.inject("clock_jump", amount=3_600_000)
        with pytest.raises(BadRequestError, match="Timestamp") as caught:
            await asyncio.to_thread(run.rest.position_information_v3)
        assert caught.value.status_code == -1021


async def test_contract_change_shows_in_exchange_info() -> None:
    async with faulty() as run:
        run.inject("symbol_status", for_ms=60_000, target=BTC, detail="SETTLING")
        await asyncio.sleep(0.1)
        info = (await asyncio.to_thread(run.rest.exchange_information)).data()
        assert {symbol.symbol: symbol.status for symbol in info.symbols} == {BTC: "SETTLING", "ETHUSDT": "TRADING"}


async def test_faulty_account_survives_a_restart_from_its_journal(tmp_path: Path) -> None:
    async with faulty(journal=tmp_path / "journal") as run:
        run.inject("apply_then_drop", target=POST)
        with pytest.raises(NetworkError):
            await run.order()
        run.inject("adl", amount="0.5")
        await eventually(lambda: run.quantity() == "0.005", what="deleveraging")
    async with faulty(journal=tmp_path / "journal") as run:
        assert run.quantity() == "0.005"


async def test_schedule_comes_from_a_file_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"faults": [{"at_ms": 0}]}')
    with pytest.raises(ConfigurationError, match=r"faults\.json: fault schedule: entry 1"):
        EmbeddedExchange(ExchangeOptions(faults=path), SystemClock())
    with pytest.raises(ConfigurationError, match=r"nothing\.json: cannot be read"):
        EmbeddedExchange(ExchangeOptions(faults=tmp_path / "nothing.json"), SystemClock())
    path.write_text(FaultSchedule.generate(4).to_json())
    exchange = EmbeddedExchange(ExchangeOptions(faults=path), SystemClock())
    assert exchange.faults is not None and exchange.faults.schedule == FaultSchedule.generate(4)


async def test_child_process_plays_the_schedule_of_its_command_line(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(FaultSchedule(1, (Fault(0, FaultKind.APPLY_THEN_DROP, target=POST, skip=1),)).to_json())
    options = ExchangeOptions(start_ms=START_MS, symbols=(BTC,), faults=path)
    child = ChildExchange(options, cwd=ROOT)
    try:
        rest = rest_client(await child.start())
        assert (await asyncio.to_thread(rest.new_order, **ORDER)).data().order_id
        with pytest.raises(NetworkError):
            await asyncio.to_thread(rest.new_order, **ORDER)
        positions = (await asyncio.to_thread(rest.position_information_v3)).data()
        assert [position.position_amt for position in positions] == ["0.020"]
    finally:
        await child.stop()


def test_exchange_without_a_schedule_has_none_of_it() -> None:
    async def build() -> EmbeddedExchange:
        exchange = EmbeddedExchange(ExchangeOptions(start_ms=START_MS), SystemClock())
        await exchange.start()
        await exchange.close()
        return exchange

    exchange = asyncio.run(build())
    parts = (exchange.exchange, exchange.market, exchange.hub, exchange._server, exchange._clock)
    assert exchange.faults is None
    assert not [part for part in parts if "faults" in type(part).__module__]
