"""The last steps before trading: streams proved, books agreed, history read."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from core.errors import RuntimeFailure

if TYPE_CHECKING:
    from rich.console import Console

    from exchange.binance.market_stream import BinanceMarketStream
    from exchange.binance.user_stream import BinanceUserStream
    from executor.shell import Executor
    from strategies.feed import CandleFeed

READY_WAIT_S = 60.0


async def ready(market: BinanceMarketStream, user: BinanceUserStream, executor: Executor) -> None:
    """Return when both streams are proved and the books agree with the venue."""
    try:
        async with asyncio.timeout(READY_WAIT_S):
            await asyncio.gather(market.ready(), user.ready())
    except TimeoutError:
        raise RuntimeFailure(
            f"the venue's streams were not up within {READY_WAIT_S:g} s; check the network, the log says what each met"
        ) from None
    if not await executor.reconcile("start", READY_WAIT_S):
        raise RuntimeFailure("the account could not be compared with the venue; see the log, then start again")


async def warm_up(feed: CandleFeed, console: Console, symbols: int) -> None:
    """Read the history of all symbols, with a progress bar where somebody watches."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading history", total=symbols)
        failed = await feed.warm_up(lambda done, _: progress.update(task, completed=done))
    for symbol, reason in failed.items():
        logging.getLogger("main").warning("%s gives no candles yet: %s", symbol, reason)
