"""`main.py exchange`: the embedded exchange served alone."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import DataOption, SymbolsOption, kind_errors, run_loop, stop_on_signals
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from simulator.options import ExchangeOptions


@kind_errors
def exchange(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Listen on this port; 0 takes a free one.")] = 8800,
    host: Annotated[
        str, typer.Option(help="Listen on this address; anything but loopback is yours to protect.")
    ] = "127.0.0.1",
    seed: Annotated[int, typer.Option(min=0, help="Play the generated market of this seed.")] = 7,
    speed: Annotated[float, typer.Option(help="Play the market so many times as fast as the clock.")] = 1.0,
    data: DataOption = None,
    symbols: SymbolsOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Begin the market at this UTC time, such as 2026-01-05T06:00. "
            "(default: now; with --data the earliest possible)"
        ),
    ] = None,
    deposit: Annotated[str, typer.Option(help="Open the account with so much USDT.")] = "10000",
    journal: Annotated[
        Path | None,
        typer.Option(help="Keep the account in this file between runs. (default: none, every start begins anew)"),
    ] = None,
    live_url: Annotated[
        str | None,
        typer.Option(help="Take the market from the public data of the venue with this REST base. (default: none)"),
    ] = None,
    live_stream_url: Annotated[
        str | None, typer.Option(help="Stream base of the venue of --live-url, ws:// or wss://. (default: none)")
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="Let things go wrong as this fault schedule (JSON) says.")] = None,
    countdown_cancels_algos: Annotated[
        bool, typer.Option("--countdown-cancels-algos", help="Let countdown-cancel take conditional orders too.")
    ] = False,
    lockstep: Annotated[
        bool,
        typer.Option(
            "--lockstep",
            help="Play --data by the rules of a backtest, a step at a time, when the trader asks for it (main.py run "
            "--lockstep). (default: by the clock)",
        ),
    ] = False,
    ready_line: Annotated[bool, typer.Option("--ready-line", hidden=True)] = False,
    parent_watch: Annotated[bool, typer.Option("--parent-watch", hidden=True)] = False,
) -> None:
    """Serve the embedded exchange alone and print its addresses. Any client of the real venue can be pointed there."""
    from config.universe import requested_symbols
    from simulator.options import ExchangeOptions, key_pair
    from utils.logging import setup_logging
    from utils.timefmt import parse_time

    setup_logging("INFO", Path(os.environ.get("LOG_DIR", "logs")), not ready_line, (), file_name="exchange.jsonl")
    api_key, api_secret = key_pair(os.environ)
    options = ExchangeOptions(
        port=port,
        host=host,
        seed=seed,
        speed=speed,
        data_dir=data,
        symbols=requested_symbols(symbols),
        start_ms=_start_ms(start, parse_time),
        journal=journal,
        api_key=api_key,
        api_secret=api_secret,
        deposit=_decimal("--deposit", deposit),
        live_url=live_url,
        live_stream_url=live_stream_url,
        faults=faults,
        countdown_cancels_algos=countdown_cancels_algos,
        lockstep=lockstep,
    )
    raise typer.Exit(run_loop(lambda: _serve(options, ready_line=ready_line, parent_watch=parent_watch)))


def _start_ms(text: str | None, parse: Callable[[str], int]) -> int | None:
    if text is None:
        return None
    try:
        return int(text) if text.isdigit() else parse(text)
    except ValueError as error:
        raise ConfigurationError(f"command line: --start: {error}") from None


def _decimal(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:
        raise ConfigurationError(f"command line: {name}: must be a number (got {text})") from None
    if not value.is_finite() or value <= 0:
        raise ConfigurationError(f"command line: {name}: must be above 0 (got {text})")
    return value


async def _serve(options: ExchangeOptions, *, ready_line: bool, parent_watch: bool) -> int:
    from simulator.child import watch_parent
    from simulator.service import ReadyInfo, serve

    stop = stop_on_signals()
    if parent_watch:
        watch_parent(stop)

    def ready(info: ReadyInfo) -> None:
        gc.freeze()  # the market's tables live until the end: collections stay short
        if ready_line:
            print(info.line(), flush=True)  # noqa: T201 - the parent process waits for this line
            return
        typer.echo(f"REST     {info.rest_url}\nstreams  {info.stream_url}")
        typer.echo(f"API key  {options.api_key}\nsecret   {options.api_secret}")
        typer.echo(
            f"{len(info.symbols)} symbols at speed {info.speed:g}; trade on it: main.py --exchange {info.rest_url}"
        )

    await serve(options, ready=ready, stop=stop)
    return 0
