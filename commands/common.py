"""What every command shares: kind errors, options, the event loop, signals."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from core.errors import ConfigurationError, TraderError

T = TypeVar("T")

SymbolsOption = Annotated[
    str | None, typer.Option("--symbols", help="Symbols, such as BTCUSDT,ETHUSDT; or a number of generated symbols.")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of recorded 1m candles (archive files) to play; default: generated."),
]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the market: the same seed plays the same market.")]
EnvFileOption = Annotated[Path, typer.Option("--env-file", help="File of settings.")]
DbOption = Annotated[
    str | None, typer.Option("--db", help="Database, overrides DB_URL: sqlite:///... or postgresql://...")
]


def kind_errors(command: Callable[..., T]) -> Callable[..., T]:
    """Turn errors that a person can act on into their one line and an exit code: 2 to configure, 1 otherwise."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> T:
        try:
            return command(*args, **kwargs)
        except TraderError as error:
            typer.secho(str(error), err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
            raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1) from None

    return wrapper


def run_loop(work: Callable[[], Any]) -> int:
    """Run a coroutine to its end on the fastest event loop that this platform has; return its exit code."""
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        code: int = runner.run(work())
        return code


def stop_on_signals() -> asyncio.Event:
    """Return an event that Ctrl-C or SIGTERM sets; a second one ends the process at once."""
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":  # its loops take no signal handlers
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ask))
        else:
            loop.add_signal_handler(number, ask)
    return stop
