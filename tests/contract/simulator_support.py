"""Runs an embedded exchange in the test's own loop and points the official SDK at it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)

from simulator.service import DEFAULT_API_KEY, DEFAULT_API_SECRET, ExchangeOptions, ReadyInfo, serve

START_MS = 1_748_736_000_000 + 8 * 3_600_000  # 2025-06-01 08:00:00 UTC
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


@dataclass(slots=True)
class RunningExchange:
    """A served exchange with one SDK REST client."""

    info: ReadyInfo
    rest: Any
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Call a typed SDK method off the loop and return its model (or list of models)."""
        response = await asyncio.to_thread(method, **arguments)
        return response.data()

    async def headers(self, method: Callable[..., Any], **arguments: Any) -> Any:
        response = await asyncio.to_thread(method, **arguments)
        return response.headers


def rest_client(info: ReadyInfo, secret: str = DEFAULT_API_SECRET, key: str = DEFAULT_API_KEY) -> Any:
    """Return the SDK's REST client without retries."""
    configuration = ConfigurationRestAPI(
        api_key=key, api_secret=secret, base_path=info.rest_url, retries=0, timeout=10_000
    )
    return DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api


async def stream_client(info: ReadyInfo) -> Any:
    """Return the SDK's connected stream client."""
    configuration = ConfigurationWebSocketStreams(stream_url=info.stream_url)
    client = DerivativesTradingUsdsFutures(config_ws_streams=configuration).websocket_streams
    return await client.create_connection()


@asynccontextmanager
async def running(options: ExchangeOptions) -> AsyncIterator[RunningExchange]:
    """Serve `options` for the length of a with block."""
    stop = asyncio.Event()
    ready: asyncio.Future[ReadyInfo] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(options, ready=ready.set_result, stop=stop))
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    exchange = RunningExchange(ready.result(), rest_client(ready.result()), stop, task)
    try:
        yield exchange
    finally:
        stop.set()
        await task


async def eventually(condition: Callable[[], bool], *, within_s: float = 10.0, what: str = "condition") -> None:
    """Wait until `condition` holds; fails naming `what` after `within_s` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        assert loop.time() < deadline, f"{what} did not come true within {within_s} s"
        await asyncio.sleep(0.01)
