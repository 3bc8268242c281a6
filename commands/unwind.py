"""Behind the kill switch's commands: asking the running trader, or being one for as long as the emptying takes."""

from __future__ import annotations

import asyncio
import functools
import getpass
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from enum import Enum

from alerts.dispatcher import AlertDispatcher
from alerts.sink import OutboxSink
from alerts.slack import SlackChannel
from commands.common import ACCOUNT, in_turn, stop_on_signals
from commands.options import RunOptions
from commands.venue import open_venue
from config.settings import Settings
from config.symbols import load_trading_config
from core.clock import SystemClock
from core.errors import RuntimeFailure
from core.events import Tick
from core.router import EventRouter
from database.database import Database
from database.keeper import keep_lease
from exchange.binance.gateway import BinanceGateway
from exchange.binance.market_stream import BinanceMarketStream
from exchange.binance.user_stream import BinanceUserStream
from executor.core import TradingCore
from executor.halts import ALL, KILL, VERIFIED
from executor.shell import Executor
from utils.tasks import Loops

POLL_S = 0.3
ALERT_FLUSH_S = 5.0
Echo = Callable[[str], object]


class Asked(Enum):
    """How asking the running trader ended."""

    DONE = "done"
    FAILED = "failed"
    GONE = "gone"
    """No trader runs, or it ended before it was done."""


def known_symbols(settings: Settings, database: Database) -> set[str]:
    """Return the symbols that may be emptied: configured, stored, or open."""
    configured = load_trading_config(settings.config_dir / "symbols.yaml", settings).symbols
    restored = database.restore_state()
    return {*configured, *database.repository.symbols(), *(intent.symbol for intent in restored.intents)}


async def ask(database: Database, kind: str, symbol: str | None, echo: Echo) -> Asked:
    """Ask the trader that holds the account, and tell its progress until it is done."""
    clock = SystemClock()
    holder = database.lease_holder(ACCOUNT, clock.now_ms())
    if holder is None:
        return Asked.GONE
    issuer = f"main.py {kind} of {_user()}"
    number = await asyncio.to_thread(database.requests.enqueue, kind, symbol, issuer, clock.now_ms())
    echo(f"asked {holder}: {kind} {symbol or 'everything' if kind != 'resume' else ''}".rstrip())
    told = ""
    while True:
        request = await asyncio.to_thread(database.requests.get, number)
        if request.result and request.result != told:
            told = request.result
            echo(told)
        if request.state in ("done", "failed"):
            return Asked(request.state)
        if database.lease_holder(ACCOUNT, clock.now_ms()) is None:
            await asyncio.to_thread(
                database.requests.report, number, "failed", "the trader ended before it was done", clock.now_ms()
            )
            echo("the trader ended before it was done; going on without it")
            return Asked.GONE
        await asyncio.sleep(POLL_S)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


async def lift(database: Database, mode: str, echo: Echo) -> int:
    """Lift the latch while no trader runs; raises RuntimeFailure before the account was verified flat."""
    clock = SystemClock()
    epoch = database.acquire_lease(ACCOUNT, f"{mode} resume", clock.now_ms())
    try:
        halts = [halt for halt in database.repository.halts() if halt.scope == ALL and halt.until_time_ms is None]
        if not halts:
            echo("nothing is latched")
            return 0
        if any(halt.reason == KILL and not halt.detail.endswith(VERIFIED) for halt in halts):
            raise RuntimeFailure("the account was not verified flat yet: run main.py kill first, then resume --yes")
        newest = database.repository.latest_account_stat()
        peak = [] if newest is None else [replace(newest, peak_equity=newest.equity)]
        await database.writer.commit([*(replace(halt, active=False) for halt in halts), *peak])
        echo("resumed: the next run may enter again")
        return 0
    finally:
        database.release_lease(ACCOUNT, epoch)


async def unwind(settings: Settings, options: RunOptions, database: Database, symbol: str | None, echo: Echo) -> int:
    """Take the account, empty it (or one symbol), give it back. Returns 0 only when the venue confirmed it."""
    clock, loops, stop = SystemClock(), Loops(), stop_on_signals()
    configured = tuple(load_trading_config(settings.config_dir / "symbols.yaml", settings).symbols)
    async with AsyncExitStack() as stack:
        echo("no trader runs: connecting")
        venue = await open_venue(settings, options, configured, clock, stack, loops)
        epoch = database.acquire_lease(ACCOUNT, f"{settings.mode.value} kill", clock.now_ms())
        stack.callback(database.release_lease, ACCOUNT, epoch)
        alerts = OutboxSink(database.writer)
        webhook = settings.slack_webhook_url
        channels = [SlackChannel(webhook.get_secret_value())] if webhook else []
        dispatcher = AlertDispatcher(database.outbox, channels, clock)
        router = EventRouter(lambda _change: None)
        gateway = BinanceGateway(venue.settings, clock, on_event=router)
        stack.push_async_callback(gateway.close)
        await gateway.start()
        restored = database.restore_state(gateway.venue_time_ms())
        wanted = dict.fromkeys([*configured, *(intent.symbol for intent in restored.intents)])
        symbols = tuple(name for name in wanted if name in gateway.instruments())
        config = load_trading_config(settings.config_dir / "symbols.yaml", settings, symbols)
        core = TradingCore(config, gateway, epoch=epoch, next_intent=1, restored=restored)
        executor = Executor(core, gateway, database.writer, alerts, clock, gateway)
        router.connect(candles=lambda _candle: None, catch_up=lambda: None, events=executor.offer)
        executor.stop_entries()
        executor.offer(Tick(gateway.venue_time_ms(), clock.now_ms()))
        executor.kill("main.py kill") if symbol is None else executor.flatten(symbol, "main.py flatten")
        stack.push_async_callback(loops.stop)
        lease = functools.partial(keep_lease, database, ACCOUNT, epoch, clock, lambda: None)
        for name, work in {
            "executor": executor.run(),
            "market stream": BinanceMarketStream(
                venue.settings, clock, symbols, router, venue_time=gateway.venue_time
            ).run(),
            "user stream": BinanceUserStream(
                venue.settings, gateway, clock, router, venue_time=gateway.venue_time
            ).run(),
            "gateway": gateway.maintain(),
            "alerts": dispatcher.run(),
            "lease": lease(
                on_checked=executor.lease_checked, on_lost=in_turn(gateway.refuse_writes, executor.lease_lost)
            ),
        }.items():
            loops.start(name, work)
        failure = await loops.until(stop, work=_flat(executor, symbol or ALL, echo))
        is_flat = executor.view().flat_counts.get(symbol or ALL, 0) > 0
        await executor.stop()
        await loops.stop()
        await database.writer.commit([])
        await dispatcher.flush(ALERT_FLUSH_S)
    if is_flat:
        echo("flat: the venue confirms that no position and no order of ours is left")
        return 0
    why = "a part failed" if failure is not None else "stopped"
    echo(f"{why} before the venue confirmed it; what is latched stays so: run it again")
    return 1


async def _flat(executor: Executor, scope: str, echo: Echo) -> None:
    """Tell what is left until nothing is."""
    told = ""
    while executor.view().flat_counts.get(scope, 0) == 0:
        text = executor.view().unwinding.get(scope, "")
        if text and text != told:
            told = text
            echo(text)
        await asyncio.sleep(POLL_S)
