"""What every command shares: kind errors, options, the event loop, signals."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from core.errors import ConfigurationError, TraderError
from utils.redaction import redact

T = TypeVar("T")
ACCOUNT = "binance-usdm"
"""What the lease is about: one trader an account."""

STOPPED = 130
"""Exit code after Ctrl-C."""
DEFAULT_ENV_FILE = Path(".env")


def in_turn(*hearers: Callable[[str], None]) -> Callable[[str], None]:
    """Return one that tells all of them, in this order."""

    def tell(text: str) -> None:
        for hear in hearers:
            hear(text)

    return tell


def _existing(path: Path) -> Path:
    """Refuse a file of settings that was named but is not there; only the default one may be absent."""
    if path != DEFAULT_ENV_FILE and not path.is_file():
        raise ConfigurationError(f"command line: --env-file: there is no file {path}; .env.example shows what goes in")
    return path


SymbolsOption = Annotated[
    str | None,
    typer.Option(
        "--symbols",
        help="Trade these symbols, such as BTCUSDT,ETHUSDT, or a number of generated ones. "
        "(default: those of config/symbols.yaml, or all of --data)",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Play the recorded 1m candles of this folder. (default: a generated market)"),
]
SeedOption = Annotated[
    int | None, typer.Option(help="Play the generated market of this seed. (default: SIM_SEED, else 7)")
]
EnvFileOption = Annotated[Path, typer.Option("--env-file", help="Read settings from this file.", callback=_existing)]
DbOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Use this database: sqlite:///... or postgresql://... (default: DB_URL, else ./database/trader.db)",
    ),
]


def kind_errors(command: Callable[..., T]) -> Callable[..., T]:
    """Turn errors into one line and an exit code: 2 to configure, 130 for Ctrl-C, 1 otherwise; tracebacks go to the
    log file."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> T:
        try:
            return command(*args, **kwargs)
        except TraderError as error:
            _complain(str(error))
            raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1) from None
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            _complain("stopped as asked; there was nothing more to keep")
            raise typer.Exit(STOPPED) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            _complain(f"{where}{error.strerror or error}; check that it may be written and that the disk is not full")
            logging.getLogger("main").debug("ended by an OSError", exc_info=error)
            raise typer.Exit(1) from None
        except Exception as error:
            _complain(f"unexpected {type(error).__name__}: {error}; a fault of the program, its log has the traceback")
            logging.getLogger("main").critical("unexpected error", exc_info=error)
            raise typer.Exit(1) from None

    return wrapper


def _complain(text: str) -> None:
    typer.secho(redact(text), err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)


def writable_folder(name: str, folder: Path) -> None:
    """Make the folder of a setting where it is missing; raises ConfigurationError when nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return  # not the setting's fault, and no reason to refuse: trading goes on without these files
        raise ConfigurationError(
            f"{name}: nothing can be written in {folder} ({error.strerror}); name another folder, or allow it"
        ) from None


def run_loop(work: Callable[[], Any]) -> int:
    """Run a coroutine to its end on the fastest event loop that this platform has; return its exit code."""
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        code: int = runner.run(work())
        return code


def stop_on_signals(notice: str = "stopping: no new entries, saving") -> asyncio.Event:
    """Return an event that Ctrl-C or SIGTERM sets; a second one ends the process at once. `notice` is for people."""
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            if sys.stdout.isatty():  # the live view hides the cursor; nobody else would show it again
                os.write(sys.stdout.fileno(), b"\x1b[?25h\n")
            os._exit(130)
        if sys.stderr.isatty():
            typer.echo(f"{notice}; Ctrl-C again ends at once", err=True)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":  # its loops take no signal handlers
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ask))
        else:
            loop.add_signal_handler(number, ask)
    return stop
