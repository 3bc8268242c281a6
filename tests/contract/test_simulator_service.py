"""The served exchange as a whole: ports, recorded data, journal and disk."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from binance_common.errors import ServerError

from core.clock import SystemClock
from core.enums import CountdownEffect
from core.errors import ConfigurationError, RuntimeFailure
from simulator.journal import Journal
from simulator.remote import MarketFacts, ask_market
from simulator.service import EmbeddedExchange, ExchangeOptions, serve
from tests.contract.simulator_support import START_MS, eventually, rest_client, running

MINUTE = 60_000


def write_candles(folder: Path, count: int = 3000) -> list[list[str]]:
    """Write a small 6-column recording of two symbols and return BTC's rows."""
    rows = []
    for symbol, base in (("BTCUSDT", Decimal("60000.0")), ("ETHUSDT", Decimal("3000.00"))):
        rows = []
        for number in range(count):
            middle = base + (number % 50) - 25
            prices = [middle, middle + 3, middle - 2, middle + 1]
            rows.append([str(START_MS + number * MINUTE), *(str(price) for price in prices), "12.5"])
        text = "open_time,open,high,low,close,volume\n" + "\n".join(",".join(row) for row in rows) + "\n"
        (folder / f"{symbol}-1m.csv.gz").write_bytes(gzip.compress(text.encode()))
    return rows


async def start_only(options: ExchangeOptions) -> None:
    stop = asyncio.Event()
    stop.set()
    await serve(options, ready=lambda _: None, stop=stop)


async def test_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeFailure, match=r"cannot listen on .*--port") as caught:
            await start_only(ExchangeOptions(port=taken.getsockname()[1], start_ms=START_MS))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (ExchangeOptions(speed=0), "speed"),
        (ExchangeOptions(symbols=301), "symbols: 301"),
        (ExchangeOptions(symbols=("BTCUSD",)), "did you mean BTCUSDT"),
        (ExchangeOptions(data_dir=Path("/nowhere")), "no such directory"),
        (ExchangeOptions(data_dir=Path("/nowhere"), symbols=3), "go with a generated market only"),
    ],
)
async def test_bad_options_are_one_clear_line(options: ExchangeOptions, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as caught:
        await start_only(options)
    assert "\n" not in str(caught.value)


async def test_recorded_candles_are_served_as_they_are_in_the_files(tmp_path: Path) -> None:
    rows = write_candles(tmp_path)
    async with running(ExchangeOptions(data_dir=tmp_path, speed=6000.0)) as exchange:
        assert set(exchange.info.symbols) == {"BTCUSDT", "ETHUSDT"}
        found: list[list[Any]] = await exchange.call(
            exchange.rest.kline_candlestick_data, symbol="ETHUSDT", interval="1m", start_time=START_MS, limit=1000
        )
        for candle, row in zip(found, rows, strict=False):
            assert [Decimal(str(value)) for value in candle[:6]] == [Decimal(value) for value in row]
        assert len(found) == 1000
        assert await ask_market(exchange.info.rest_url) == MarketFacts(
            6000.0, START_MS + len(rows) * MINUTE, CountdownEffect.PLAIN
        )


async def test_ask_market_where_nobody_answers_knows_nothing() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert await ask_market(f"http://127.0.0.1:{port}") is None


async def test_ask_market_of_a_generated_market_has_no_end() -> None:
    async with running(ExchangeOptions(start_ms=START_MS, speed=3.0)) as exchange:
        assert await ask_market(exchange.info.rest_url) == MarketFacts(3.0, None, CountdownEffect.PLAIN)


async def test_the_market_stands_still_at_the_end_of_the_recording(tmp_path: Path) -> None:
    write_candles(tmp_path, count=100)
    async with running(ExchangeOptions(data_dir=tmp_path, speed=60_000.0)) as exchange:

        def now() -> int:
            return int(exchange.rest.mark_price(symbol="BTCUSDT").data().actual_instance.time)

        end_ms = START_MS + 100 * MINUTE
        for _ in range(500):
            if await asyncio.to_thread(now) == end_ms:
                break
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(now) == end_ms
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
        filled = await exchange.call(exchange.rest.new_order, **order, new_order_resp_type="RESULT")
        assert filled.status == "FILLED"


async def test_changed_recording_is_another_market(tmp_path: Path) -> None:
    data, journal = tmp_path / "data", tmp_path / "journal"
    data.mkdir()
    write_candles(data, count=200)
    await start_only(ExchangeOptions(data_dir=data, journal=journal))
    await start_only(ExchangeOptions(data_dir=data, journal=journal))
    write_candles(data, count=201)
    with pytest.raises(RuntimeFailure, match="its market is"):
        await start_only(ExchangeOptions(data_dir=data, journal=journal))


async def test_symbols_of_the_journal_stay_listed_when_fewer_are_asked_for(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    options = ExchangeOptions(journal=journal, symbols=("BTCUSDT", "ETHUSDT"))
    async with running(options) as exchange:
        await exchange.call(exchange.rest.new_order, **order)
    async with running(ExchangeOptions(journal=journal, symbols=("SOLUSDT",))) as exchange:
        assert set(exchange.info.symbols) == {"SOLUSDT", "BTCUSDT", "ETHUSDT"}
        positions = await exchange.call(exchange.rest.position_information_v3)
        assert [(p.symbol, p.position_amt) for p in positions] == [("ETHUSDT", "0.100")]


async def test_an_order_is_in_the_journal_before_its_answer(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with running(ExchangeOptions(journal=journal, start_ms=START_MS)) as exchange:
        for number in range(20):
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.002"}
            answer = await exchange.call(exchange.rest.new_order, **order, new_client_order_id=f"id-{number}")
            recording = Journal(journal).load()
            assert recording is not None
            known = {change.key: change.value for change in recording.changes if change.kind == "order"}
            found = known[str(answer.order_id)]
            assert found is not None and found["status"] == "FILLED"


async def test_no_candle_is_shown_before_its_end_is_in_the_journal(tmp_path: Path) -> None:
    """Otherwise a restart would show the same end a second time."""
    options = ExchangeOptions(journal=tmp_path / "journal", start_ms=START_MS, speed=600.0)
    exchange = EmbeddedExchange(options, SystemClock())
    await exchange.start()
    stop = asyncio.Event()
    shown: list[tuple[int, int]] = []
    real = exchange.hub.publish

    def watching(events: Any) -> None:
        ends = [event.time_ms for event in events if hasattr(event, "kline")]
        recording = Journal(tmp_path / "journal").load()
        assert recording is not None
        shown.extend((end, recording.market_ms) for end in ends)
        real(events)

    exchange.hub.publish = watching  # type: ignore[method-assign]
    task = asyncio.create_task(exchange.run(stop))
    await eventually(lambda: len(shown) > 50, what="candle ends")
    stop.set()
    await task
    await exchange.close()
    assert all(written >= end for end, written in shown)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_a_full_disk_ends_the_exchange_and_no_lost_order_is_confirmed(tmp_path: Path) -> None:
    exchange = EmbeddedExchange(ExchangeOptions(journal=tmp_path / "journal", start_ms=START_MS), SystemClock())
    info = await exchange.start()
    stop = asyncio.Event()
    assert exchange._journal is not None and exchange._journal._file is not None
    os.close(exchange._journal._file)
    exchange._journal._file = os.open("/dev/full", os.O_WRONLY)
    task = asyncio.create_task(exchange.run(stop))
    client = rest_client(info)
    with pytest.raises(ServerError, match="503"):
        await asyncio.to_thread(client.new_order, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    with pytest.raises(RuntimeFailure, match="cannot write its journal"):
        await asyncio.wait_for(task, 10)
    await exchange.close()
