"""Paper: the exchange takes its market from another venue (here a second embedded one) and keeps its own account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError, RuntimeFailure
from simulator.service import ExchangeOptions
from tests.contract.simulator_support import START_MS, RunningExchange, eventually, running, stream_client

SYMBOLS = ("BTCUSDT", "ETHUSDT")
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}


@pytest.fixture
async def venue() -> AsyncIterator[RunningExchange]:
    """The exchange in the part of the live one."""
    async with running(ExchangeOptions(speed=300.0, start_ms=START_MS)) as served:
        yield served


def paper(venue: RunningExchange, **changes: Any) -> ExchangeOptions:
    chosen = {"live_url": venue.info.rest_url, "live_stream_url": venue.info.stream_url, "symbols": SYMBOLS}
    return ExchangeOptions(**{**chosen, **changes})


async def test_candles_seen_on_paper_are_the_venues(venue: RunningExchange) -> None:
    async with running(paper(venue)) as exchange:
        assert set(exchange.info.symbols) == set(SYMBOLS)
        client = await stream_client(exchange.info)
        heard: list[Any] = []
        names = [f"{symbol.lower()}@kline_1m" for symbol in SYMBOLS]
        await client.subscribe(names, stream_url="market")
        for name in names:
            client.on("message", lambda message: heard.append(message["data"]["k"]), name)
        await eventually(lambda: sum(candle["x"] for candle in heard) >= 8, within_s=20, what="closed candles")
        await client.close_connection()
        closed = [candle for candle in heard if candle["x"]]
        for candle in closed:
            rows = await venue.call(
                venue.rest.kline_candlestick_data,
                symbol=candle["s"],
                interval="1m",
                start_time=candle["t"],
                limit=1,
            )
            ours = [Decimal(candle[key]) for key in ("o", "h", "l", "c", "v", "q")]
            assert ours == [Decimal(rows[0][position]) for position in (1, 2, 3, 4, 5, 7)]
        opens = [candle["t"] for candle in closed if candle["s"] == "BTCUSDT"]
        assert opens == list(range(opens[0], opens[0] + len(opens) * 60_000, 60_000))


async def test_orders_fill_at_the_venues_price_and_stay_off_the_venue(venue: RunningExchange) -> None:
    async with running(paper(venue)) as exchange:
        await exchange.call(exchange.rest.new_order, **BUY)
        trade = (await exchange.call(exchange.rest.account_trade_list, symbol="BTCUSDT"))[0]
        quotes = await venue.call(venue.rest.symbol_order_book_ticker, symbol="BTCUSDT")
        assert abs(Decimal(trade.price) / Decimal(quotes.actual_instance.ask_price) - 1) < Decimal("0.005")
        assert [p.position_amt for p in await exchange.call(exchange.rest.position_information_v3)] == ["0.010"]
        assert await venue.call(venue.rest.position_information_v3) == []


async def test_stops_trigger_on_the_venues_trades(venue: RunningExchange) -> None:
    async with running(paper(venue)) as exchange:
        rest, call = exchange.rest, exchange.call
        await call(rest.new_order, **BUY)
        price = Decimal((await call(rest.account_trade_list, symbol="BTCUSDT"))[0].price)
        algo = {"algo_type": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "close_position": "true"}
        for kind, factor in (("STOP_MARKET", "0.998"), ("TAKE_PROFIT_MARKET", "1.002")):
            trigger = (price * Decimal(factor)).quantize(Decimal("0.1"))
            await call(rest.new_algo_order, **algo, type=kind, trigger_price=str(trigger))
        for _ in range(600):
            if not await call(rest.position_information_v3):
                break
            await asyncio.sleep(0.05)
        states = {row.algo_status for row in await call(rest.query_all_algo_orders, symbol="BTCUSDT")}
        assert states == {"FINISHED", "EXPIRED"}


async def test_the_account_outlives_the_process_but_the_market_is_the_present_one(
    venue: RunningExchange, tmp_path: Path
) -> None:
    options = paper(venue, journal=tmp_path / "journal")
    async with running(options) as exchange:
        await exchange.call(exchange.rest.new_order, **BUY)
        before = (await exchange.call(exchange.rest.account_information_v3)).total_wallet_balance
        left_at = exchange.info.market_time_ms
    async with running(options) as exchange:
        assert exchange.info.market_time_ms > left_at
        account = await exchange.call(exchange.rest.account_information_v3)
        assert account.total_wallet_balance == before
        assert account.positions[0].position_amt == "0.010"
    generated = ExchangeOptions(journal=tmp_path / "journal")
    with pytest.raises(RuntimeFailure, match="its market is live:"):
        async with running(generated):
            pass


async def test_a_venue_that_is_not_there_or_not_fully_named_is_one_clear_line(venue: RunningExchange) -> None:
    with pytest.raises(RuntimeFailure, match="no answer"):
        async with running(ExchangeOptions(live_url="http://127.0.0.1:9", live_stream_url="ws://127.0.0.1:9")):
            pass
    with pytest.raises(ConfigurationError, match="stream base"):
        async with running(ExchangeOptions(live_url=venue.info.rest_url)):
            pass
    with pytest.raises(ConfigurationError, match="NOPEUSDT"):
        async with running(paper(venue, symbols=("NOPEUSDT",))):
            pass
