"""Opens the venue of a run: the real one, an embedded exchange that already runs, or a child process of our own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import typer

from commands.common import writable_folder
from commands.options import RunOptions
from config.settings import Settings
from core.clock import Clock
from core.enums import CountdownEffect, Environment
from core.errors import ConfigurationError
from database.aside import journal_path, refuse_in_use, set_aside
from database.engine import parse_url, sqlite_path
from exchange.binance.settings import VenueSettings, urls_for
from executor.deadman import VenueCountdown, refusal_of_venue
from executor.policy import ExecutionPolicy
from simulator.child import ChildExchange
from simulator.identity import other_market
from simulator.options import ExchangeOptions, key_pair
from simulator.remote import ask_market
from utils.tasks import Loops

DEFAULT_SPEED = 600.0
"""Market time per wall time of a first run: a trade within seconds, some dozens within a minute."""
SPEEDED_START_MS = 1_767_412_800_000
"""Where a market that runs faster than the clock begins, 2026-01-03 04:00 UTC: the same seed shows the same days."""


@dataclass(frozen=True, slots=True)
class Venue:
    """Where this run trades. `speed` is market time per wall time, None at a real venue."""

    settings: VenueSettings
    speed: float | None
    market_end_ms: int | None = None
    """The venue time at which a recorded market ends; None: not known to end."""
    countdown: CountdownEffect = CountdownEffect.UNKNOWN
    """Which orders the venue's countdown-cancel takes."""
    close: Callable[[], Awaitable[None]] | None = None
    """Ends an exchange of our own; its market stands still until the next run. None where there is none."""


async def open_venue(
    settings: Settings,
    options: RunOptions,
    configured: tuple[str, ...],
    clock: Clock,
    stack: AsyncExitStack,
    loops: Loops,
) -> Venue:
    """Return where to trade: the real venue, an exchange that already runs, or our own child process."""

    def at(rest_url: str, stream_url: str, key: str, secret: str) -> VenueSettings:
        return VenueSettings(
            rest_url,
            stream_url,
            key,
            secret,
            recv_window_ms=settings.recv_window_ms,
            ws_max_backoff_s=settings.ws_max_backoff_sec,
            environment=settings.mode,
        )

    refuse_in_use(settings.db_url)
    file = sqlite_path(parse_url(settings.db_url))
    if file is not None:
        writable_folder("DB_URL", file.parent)
    if settings.mode in (Environment.TESTNET, Environment.MAINNET):
        assert settings.binance_api_key is not None and settings.binance_api_secret is not None
        keys = (settings.binance_api_key.get_secret_value(), settings.binance_api_secret.get_secret_value())
        return Venue(at(*urls_for(settings.mode), *keys), None)

    keys = key_pair(os.environ)
    if options.exchange_url is not None:
        address = options.exchange_url.rstrip("/")
        facts = await ask_market(address)
        reached = at(address, address.replace("http", "ws", 1), *keys)
        return Venue(reached, None) if facts is None else Venue(reached, facts.speed, facts.end_ms, facts.countdown)

    child_options = await asyncio.to_thread(exchange_options, settings, options, configured, clock)
    child = ChildExchange(child_options)
    info = await child.start()
    stack.push_async_callback(child.stop)
    loops.start("exchange", child.wait_failed())
    effect = CountdownEffect.ALL if child_options.countdown_cancels_algos else CountdownEffect.PLAIN
    return Venue(at(info.rest_url, info.stream_url, *keys), info.speed, info.market_end_ms, effect, child.stop)


def execution_policy(settings: Settings, venue: Venue) -> ExecutionPolicy:
    """Return how patient the executor is; raises ConfigurationError where the dead-man timer could take a stop."""
    if settings.countdown_cancel_sec is None:
        return ExecutionPolicy()
    refusal = refusal_of_venue(VenueCountdown(settings.mode, venue.countdown))
    if refusal is not None:
        raise ConfigurationError(refusal)
    return ExecutionPolicy(countdown_ms=settings.countdown_cancel_sec * 1000)


def exchange_options(
    settings: Settings, options: RunOptions, configured: tuple[str, ...], clock: Clock
) -> ExchangeOptions:
    """Return how to start our own exchange; sets an account of another market aside where that is allowed."""

    journal = journal_path(settings.db_url)
    is_paper = settings.mode is Environment.PAPER
    speed = 1.0 if is_paper else settings.sim_speed or DEFAULT_SPEED
    api_key, api_secret = key_pair(os.environ)
    wanted = ExchangeOptions(
        seed=settings.sim_seed,
        speed=speed,
        data_dir=None if is_paper else settings.sim_data_dir,
        symbols=options.symbols or (None if settings.sim_data_dir is not None else configured or None),
        journal=None if options.throwaway or options.lockstep else journal,
        lockstep=options.lockstep,
        api_key=api_key,
        api_secret=api_secret,
        deposit=settings.sim_deposit,
        live_url=settings.paper_rest_url if is_paper else None,
        live_stream_url=settings.paper_stream_url if is_paper else None,
    )
    other = None if options.fresh else other_market(wanted)
    if options.fresh or (other is not None and not options.keep_database):
        if wanted.data_dir is not None:  # nothing is set aside for data that cannot be played
            from simulator.market.recorded import load_directory

            load_directory(wanted.data_dir, wanted.symbols if isinstance(wanted.symbols, tuple) else None)
        folder = set_aside(settings.db_url, clock.wall_ms(), journal)
        if folder is not None:
            why = "starting over" if options.fresh else f"the database belongs to another market ({other})"
            typer.echo(f"{why}: the old database and account are kept in {folder}")
    starts_anew = not journal.exists() and wanted.data_dir is None and speed > 1
    return replace(wanted, start_ms=SPEEDED_START_MS) if starts_anew else wanted
