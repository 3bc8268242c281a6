"""`main.py kill`, `flatten` and `resume`: the commands of the kill switch, with or without a running trader.

While the trader runs they ask it through the database and wait; else they do the work themselves. What is decided, and
in which order, is `executor/kill.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import (
    DataOption,
    DbOption,
    EnvFileOption,
    SeedOption,
    SymbolsOption,
    kind_errors,
    run_loop,
    writable_folder,
)
from core.enums import Environment
from core.errors import ConfigurationError, RuntimeFailure, TraderError

if TYPE_CHECKING:
    from commands.options import RunOptions
    from config.settings import Settings

KILL_FILE = "KILL"
"""In STATUS_DIR: while it exists, a running trader is killed. `resume` removes it."""

ModeOption = Annotated[Environment | None, typer.Option("--mode", help="The account's mode. (default: MODE, else sim)")]
ExchangeOption = Annotated[
    str | None,
    typer.Option(
        "--exchange", help="Ask an embedded exchange that runs already, sim only. (default: the one of the last run)"
    ),
]


@kind_errors
def kill(
    mode: ModeOption = None,
    db: DbOption = None,
    symbols: SymbolsOption = None,
    data: DataOption = None,
    seed: SeedOption = None,
    exchange: ExchangeOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Stop entries, cancel and close everything of ours, wait until the venue confirms it. Stays so until `resume`.

    Works while the trader runs and when it does not. A file KILL in STATUS_DIR does the same to a running trader.
    """
    settings, options = _read(mode, db, symbols, data, seed, exchange, env_file)
    is_named = _names_exchange(symbols, data, seed, exchange)
    raise typer.Exit(run_loop(lambda: _ask_or_do(settings, options, None, is_named=is_named)))


@kind_errors
def flatten(
    symbol: Annotated[str, typer.Argument(help="The symbol to empty, such as BTCUSDT.")],
    mode: ModeOption = None,
    db: DbOption = None,
    symbols: SymbolsOption = None,
    data: DataOption = None,
    seed: SeedOption = None,
    exchange: ExchangeOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Cancel and close everything of ours on one symbol, wait until the venue confirms it. Then it trades on.

    Works while the trader runs and when it does not.
    """
    settings, options = _read(mode, db, symbols, data, seed, exchange, env_file)
    is_named = _names_exchange(symbols, data, seed, exchange)
    raise typer.Exit(run_loop(lambda: _ask_or_do(settings, options, symbol.strip().upper(), is_named=is_named)))


@kind_errors
def resume(
    yes: Annotated[bool, typer.Option("--yes", help="Yes, entries may be made again.")] = False,
    mode: ModeOption = None,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Lift the kill switch after the account was verified flat. The drawdown counts anew; a day's loss limit stays."""
    if not yes:
        raise ConfigurationError("command line: resume lets the trader enter again; say so with: main.py resume --yes")
    settings, _ = _read(mode, db, None, None, None, None, env_file)
    (settings.status_dir / KILL_FILE).unlink(missing_ok=True)
    raise typer.Exit(run_loop(lambda: _resume(settings)))


def _read(
    mode: Environment | None,
    db: str | None,
    symbols: str | None,
    data: Path | None,
    seed: int | None,
    exchange: str | None,
    env_file: Path,
) -> tuple[Settings, RunOptions]:
    from commands.options import RunOptions, refuse_contradictions
    from config.load import load_settings
    from config.universe import requested_symbols
    from utils.logging import setup_logging

    settings = load_settings(env_file, {"mode": mode, "db_url": db, "sim_data_dir": data, "sim_seed": seed})
    writable_folder("LOG_DIR", settings.log_dir)
    setup_logging(settings.log_level, settings.log_dir, False, settings.secret_values())
    options = RunOptions(None, requested_symbols(symbols), exchange, fresh=False, keep_database=True)
    refuse_contradictions(settings, options, data=data is not None, speed=False)
    return settings, options


async def _ask_or_do(settings: Settings, options: RunOptions, symbol: str | None, *, is_named: bool) -> int:
    """Kill the account, or empty one symbol; returns the exit code: 0 only when the venue confirmed it.

    `is_named`: the command line says which embedded exchange it is; else the one of the last run is meant.
    """
    from commands.remembered import recall_exchange
    from commands.unwind import Asked, ask, known_symbols, unwind
    from database.database import open_database

    _refuse_without_database(settings)
    try:
        database = open_database(settings.db_url, settings.mode.value, backup=False)
    except ConfigurationError:
        raise
    except TraderError as error:
        if symbol is not None:
            raise
        raise RuntimeFailure(f"{error}; {_leave_file(settings)}") from None
    try:
        if symbol is not None and symbol not in known_symbols(settings, database):
            raise ConfigurationError(
                f"command line: {symbol} is neither in {settings.config_dir}/symbols.yaml nor in the database"
            )
        kind = "kill" if symbol is None else "flatten"
        answer = await ask(database, kind, symbol, typer.echo)
        if answer is Asked.GONE:
            if not is_named:
                settings, options = recall_exchange(database, settings, options)
            return await unwind(settings, options, database, symbol, typer.echo)
        return 0 if answer is Asked.DONE else 1
    finally:
        database.close()


async def _resume(settings: Settings) -> int:
    from commands.unwind import Asked, ask, lift
    from database.database import open_database

    _refuse_without_database(settings)
    database = open_database(settings.db_url, settings.mode.value, backup=False)
    try:
        answer = await ask(database, "resume", None, typer.echo)
        if answer is Asked.GONE:
            return await lift(database, settings.mode.value, typer.echo)
        return 0 if answer is Asked.DONE else 1
    finally:
        database.close()


def _names_exchange(*options: object) -> bool:
    return any(option is not None for option in options)


def _refuse_without_database(settings: Settings) -> None:
    """In sim and paper a database that is not there means an account that is not there."""
    from database.engine import parse_url, sqlite_path

    path = sqlite_path(parse_url(settings.db_url))
    is_ours = settings.mode in (Environment.SIM, Environment.PAPER)
    if is_ours and path is not None and not path.exists():
        raise RuntimeFailure(f"there is no database at {path}: nothing has traded there; name another one with --db")


def _leave_file(settings: Settings) -> str:
    """The database does not work, so that nothing can be asked through it: leave the file that needs none."""
    writable_folder("STATUS_DIR", settings.status_dir)
    path = settings.status_dir / KILL_FILE
    path.touch()
    return f"{path} was written: a running trader obeys it within a second; watch its log"
