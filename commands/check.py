"""`main.py check`: everything that a run needs, looked at before the run."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import DbOption, EnvFileOption, kind_errors
from core.enums import Environment
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from config.settings import Settings


@kind_errors
def check(
    mode: Annotated[
        Environment | None, typer.Option(help="Check what this mode needs. (default: MODE, else sim)")
    ] = None,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
    connect: Annotated[bool, typer.Option(help="Connect to the venue too, and read the account.")] = True,
) -> None:
    """Validate .env, every YAML file, the database and the connection; print the effective configuration."""
    from config import check as checks
    from config.load import load_settings_with_origins
    from config.symbols import load_trading_config
    from strategies.loader import StrategyBook

    loaded = load_settings_with_origins(env_file, {"mode": mode, "db_url": db})
    settings = loaded.settings
    limits_file = settings.config_dir / "symbols.yaml"
    findings = [
        checks.Finding(True, "settings", f"mode {settings.mode.value}"),
        *checks.check_file_mode(env_file, settings),
    ]
    effective = checks.effective_settings(loaded)
    names: list[str] = []

    def read_limits() -> str:
        config = load_trading_config(limits_file, settings)
        names.extend(config.symbols)
        effective.extend(checks.effective_trading(config, limits_file))
        return f"{len(config.symbols)} symbols"

    def read_strategies() -> str:
        if not names:  # each file is read all the same, by the symbol that it is named after
            StrategyBook(settings.strategies_dir, symbols_of_files(settings.strategies_dir))
            return f"every file can be read; which symbols are traded is not known until {limits_file} is right"
        book = StrategyBook(settings.strategies_dir, names)
        pairs = [active.name for symbol in names for active in book.on(symbol)]
        unused = "".join(f"; {path} names no traded symbol" for path in book.unused_files())
        count = len(set(pairs))
        return f"{count} {'strategy' if count == 1 else 'strategies'} on {len(names)} symbols{unused}"

    findings += checks.examine(str(limits_file), read_limits)
    findings += checks.examine(str(settings.strategies_dir), read_strategies)
    if settings.countdown_cancel_sec is not None:
        findings += checks.examine("dead-man timer", lambda: check_countdown(settings))
    findings += checks.examine("database", lambda: _check_database(settings))
    if connect and all(finding.ok for finding in findings):
        findings += checks.examine("connection", lambda: asyncio.run(_check_connection(settings)))
    report = checks.report(findings, effective)
    typer.echo("\n".join(report.lines()))
    raise typer.Exit(0 if report.ok else 2)


def symbols_of_files(strategies_dir: Path) -> list[str]:
    """Return the symbols that have a file of their own in the folder of any strategy."""
    return sorted({path.stem for path in strategies_dir.glob("*/*.yaml") if path.stem != "default"})


def check_countdown(settings: Settings) -> str:
    """Say what the dead-man timer does; raises ConfigurationError where the mode's venue may take stops with it."""
    from config.settings import KEYED_MODES
    from core.enums import CountdownEffect
    from executor.deadman import VenueCountdown, refusal_of_venue

    # What an exchange does that already runs (--exchange) is asked when a run begins.
    effect = CountdownEffect.UNKNOWN if settings.mode in KEYED_MODES else CountdownEffect.PLAIN
    refusal = refusal_of_venue(VenueCountdown(settings.mode, effect))
    if refusal is not None:
        raise ConfigurationError(refusal)
    return f"resting entries go {settings.countdown_cancel_sec} s after the trader fell silent"


def _check_database(settings: Settings) -> str:
    """Look at the database without making or changing it."""
    from database.database import open_repository
    from database.engine import parse_url, sqlite_path

    path = sqlite_path(parse_url(settings.db_url))
    if path is not None and not path.exists():
        return f"{path} will be made by the first run"
    repository = open_repository(settings.db_url)
    environment = repository.environment()
    repository.close()
    if environment != settings.mode.value:
        raise ConfigurationError(
            f"it belongs to {environment}, not {settings.mode.value}: name another one in DB_URL (or --db)"
        )
    return f"belongs to {environment}"


async def _check_connection(settings: Settings) -> str:
    """Connect as a run would, with an exchange of its own in sim, and read the account."""
    from commands.options import RunOptions
    from commands.venue import open_venue
    from core.clock import SystemClock
    from core.commands import FetchBalances
    from exchange.binance.gateway import BinanceGateway
    from utils.tasks import Loops

    clock, loops = SystemClock(), Loops()
    async with AsyncExitStack() as stack:
        options = RunOptions(0, None, None, fresh=False, keep_database=True, throwaway=True)
        venue = await open_venue(settings, options, (), clock, stack, loops)
        stack.push_async_callback(loops.stop)
        gateway = BinanceGateway(venue.settings, clock)
        stack.push_async_callback(gateway.close)
        await gateway.start()
        reply = await gateway.execute(FetchBalances())
        wallets = [f"{row.wallet_balance} {row.asset}" for row in reply.payload() if row.wallet_balance]
        symbols, offset_ms = len(gateway.instruments()), gateway.clock_offset_ms
        wallet = ", ".join(wallets) or "empty"
        return f"{venue.settings.rest_url}: {symbols} symbols, clock offset {offset_ms} ms, wallet {wallet}"
