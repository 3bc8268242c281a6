"""`main.py dashboard` and `main.py why`: looking at what was written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.common import DbOption, EnvFileOption, kind_errors
from core.errors import ConfigurationError, RuntimeFailure

ROOT = Path(__file__).resolve().parent.parent


@kind_errors
def dashboard(
    port: Annotated[
        int | None, typer.Option(help="Serve the page on this port. (default: STREAMLIT_PORT, else 8501)")
    ] = None,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Show the dashboard in a browser, on this machine only. It reads the same database while the trader runs."""
    from config.load import load_settings

    settings = load_settings(env_file, {"db_url": db, "streamlit_port": port})
    environment = os.environ | {"DB_URL": settings.db_url, "STATUS_DIR": str(settings.status_dir)}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "main.py")]
    os.execve(sys.executable, [*command, "--server.port", str(settings.streamlit_port)], environment)


@kind_errors
def why(
    symbol: Annotated[str, typer.Argument(help="The symbol to explain, such as BTCUSDT.")],
    at: Annotated[
        str | None,
        typer.Option(
            help="Explain the decision at this venue time (UTC), such as 2026-01-05T14:03. (default: the last one)"
        ),
    ] = None,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Explain the last decision about a symbol, or the one at a time, in a sentence."""
    from config.load import load_settings
    from database.database import open_repository
    from strategies.loader import StrategyBook
    from strategies.why import explain
    from utils.timefmt import parse_time

    settings = load_settings(env_file, {"db_url": db})
    repository = open_repository(settings.db_url)
    try:
        moment = None if at is None else parse_time(at)
    except ValueError as error:
        raise ConfigurationError(f"command line: --at: {error}") from None
    views = repository.decisions(symbol.upper(), moment)
    if not views:
        known = ", ".join(repository.symbols()) or "none yet"
        raise RuntimeFailure(f"no decision about {symbol.upper()} is stored for that time; symbols with data: {known}")
    book = StrategyBook(settings.strategies_dir, [symbol.upper()])
    for view in views:
        verdict = view.verdict
        texts = book.texts(verdict.strategy)
        typer.echo(
            explain(
                symbol=verdict.symbol,
                strategy=verdict.strategy,
                gate=verdict.gate,
                numbers=verdict.numbers,
                event_time_ms=verdict.event_time_ms,
                texts=texts,
            )
        )
        if view.denial is not None:
            context = ", ".join(f"{name} {value}" for name, value in view.denial.context.items())
            typer.echo(f"  the executor denied it: {view.denial.code} ({context})")
