"""Command line and composition root: every part of the trader is made and plugged together here, and nowhere else.

Heavy parts are imported by the command that needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from core.enums import Environment
from core.errors import ConfigurationError, RuntimeFailure, TraderError

if TYPE_CHECKING:
    from rich.console import Console

    from config.settings import Settings
    from core.clock import Clock
    from core.summary import RunSummary
    from database.database import Database
    from database.totals import RunTotals
    from exchange.binance.gateway import BinanceGateway
    from exchange.binance.market_stream import BinanceMarketStream
    from exchange.binance.settings import VenueSettings
    from exchange.binance.user_stream import BinanceUserStream
    from executor.settlement import Books
    from executor.shell import Executor
    from simulator.options import ExchangeOptions
    from status.console import LiveView, RecentEvents
    from status.health import HealthBoard
    from status.looplag import LoopLagProbe
    from strategies.feed import CandleFeed
    from utils.tasks import Loops

    Stream = BinanceMarketStream | BinanceUserStream

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent
DEFAULT_SPEED = 600.0
"""Market time per wall time of a first run: a trade within seconds, some dozens within a minute."""
SPEEDED_START_MS = 1_767_603_600_000
"""Where a market that runs faster than the clock begins, 2026-01-05 09:00 UTC: the same seed shows the same days."""
ACCOUNT = "binance-usdm"
SIGNALS_MAX = 1_024
READY_WAIT_S = 60.0
ALERT_FLUSH_S = 5.0
T = TypeVar("T")


class RunByDefault(TyperGroup):
    """`main.py --for 60` means `main.py run --for 60`: whoever names no command wants to trade."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        about_the_program = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in about_the_program):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunByDefault,
    help="Trades Binance USDS-M futures. Without a command it runs: keyless and offline, on an embedded exchange.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)


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


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """See the commands below; each explains itself with --help."""


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


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line of `run` adds to the settings."""

    seconds: float | None
    symbols: tuple[str, ...] | int | None
    exchange_url: str | None
    fresh: bool
    keep_database: bool
    """The database was named on the command line: never set it aside without being told to."""
    throwaway: bool = False
    """An account for a look only: the embedded exchange keeps no journal."""


@app.command()
@kind_errors
def run(
    mode: Annotated[
        Environment | None,
        typer.Option(help="Where to trade; default from .env, else sim. mainnet also needs ALLOW_MAINNET=yes."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop after so many seconds; default: until told.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help=f"Market time per wall time, sim only; default {DEFAULT_SPEED:g}.")
    ] = None,
    data: DataOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = None,
    db: DbOption = None,
    exchange: Annotated[
        str | None, typer.Option(help="Trade on an embedded exchange that already runs: http://127.0.0.1:PORT")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: set the old database and account aside (sim and paper only).")
    ] = False,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Trade until told to stop (Ctrl-C), then print a summary. This is what runs when no command is given."""
    from config.load import load_settings
    from config.universe import requested_symbols
    from utils.logging import setup_logging

    overrides = {"mode": mode, "db_url": db, "sim_speed": speed, "sim_data_dir": data, "sim_seed": seed}
    settings = load_settings(env_file, overrides)
    # In a terminal the live summary has the screen; the lines go to the file.
    setup_logging(settings.log_level, settings.log_dir, not sys.stdout.isatty(), settings.secret_values())
    options = RunOptions(seconds, requested_symbols(symbols), exchange, fresh, keep_database=db is not None)
    raise typer.Exit(_run_loop(lambda: trade(settings, options)))


def _run_loop(work: Callable[[], Any]) -> int:
    """Run a coroutine to its end on the fastest event loop that this platform has; return its exit code."""
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        code: int = runner.run(work())
        return code


# --- the wiring -------------------------------------------------------------------------------------------------------


async def trade(settings: Settings, options: RunOptions) -> int:
    """Make every part, plug them together, trade until told to stop, stop in order, print the summary.

    Returns the exit code: 0 for a clean stop, 1 when a part failed.
    """
    from rich.console import Console

    from config.symbols import load_trading_config
    from core.clock import SystemClock
    from utils.logging import install_asyncio_hook
    from utils.tasks import Loops, every

    clock, loops, stop = SystemClock(), Loops(), _stop_on_signals()
    install_asyncio_hook(asyncio.get_running_loop())
    limits_file = settings.config_dir / "symbols.yaml"
    configured = tuple(load_trading_config(limits_file, settings).symbols)
    async with AsyncExitStack() as stack:
        # The venue first: an embedded exchange starts in its own process while the heavy imports are read here.
        opening = asyncio.create_task(open_venue(settings, options, configured, clock, stack, loops))
        await asyncio.sleep(0.05)
        from alerts import catalog
        from alerts.connections import ConnectionAlerts
        from alerts.dispatcher import AlertDispatcher
        from alerts.errors import ErrorAlertHandler
        from alerts.sink import OutboxSink
        from alerts.slack import SlackChannel
        from config.universe import choose_symbols
        from core.bus import Bus
        from core.router import EventRouter
        from core.signal import Signal
        from database.database import open_database
        from database.keeper import keep_lease
        from exchange.binance.gateway import BinanceGateway
        from exchange.binance.market_stream import BinanceMarketStream
        from exchange.binance.user_stream import BinanceUserStream
        from executor.core import TradingCore
        from executor.settlement import Settler
        from executor.setup import prepare
        from executor.shell import Executor
        from status.console import RecentEvents, print_summary, run_console
        from status.health import HealthBoard
        from status.heartbeat import HeartbeatWriter
        from status.looplag import LoopLagProbe
        from status.news import NewsWriter
        from strategies.feed import CandleFeed
        from strategies.loader import StrategyBook
        from strategies.runner import StrategyRunner
        from strategies.watch import watch_strategies

        venue = await opening
        database = open_database(settings.db_url, settings.mode.value, clock=clock)
        stack.callback(database.close)
        epoch = database.acquire_lease(ACCOUNT, f"{settings.mode.value} trader", clock.now_ms())
        stack.callback(database.release_lease, ACCOUNT, epoch)
        console, board = Console(), HealthBoard(clock, mode=settings.mode.value, version=VERSION)
        events = RecentEvents(logging.getLogger("main").info)
        writer, alerts = NewsWriter(database.writer, events), OutboxSink(database.writer)
        webhook = settings.slack_webhook_url
        channels = [SlackChannel(webhook.get_secret_value())] if webhook else []
        dispatcher = AlertDispatcher(database.outbox, channels, clock, on_step=lambda: board.beat("alerts"))
        logging.getLogger().addHandler(ErrorAlertHandler(alerts, clock, epoch=epoch))
        router = EventRouter(ConnectionAlerts(alerts, clock, epoch=epoch).on_change)

        gateway = BinanceGateway(venue.settings, clock, on_event=router)
        stack.push_async_callback(gateway.close)
        await gateway.start()
        offered, recorded = tuple(gateway.instruments()), settings.sim_data_dir is not None
        symbols = choose_symbols(options.symbols, configured, offered, prefer_offered=recorded)
        book = StrategyBook(settings.strategies_dir, symbols)
        config = load_trading_config(limits_file, settings, symbols)
        config = replace(config, symbols={name: book.limits(limits) for name, limits in config.symbols.items()})
        setup = await prepare(gateway, config, symbols)
        restored = database.restore_state(gateway.venue_time_ms())
        core = TradingCore(config, gateway, epoch=epoch, next_intent=1, restored=restored, setup=setup)
        signals: Bus[Signal] = Bus(SIGNALS_MAX)
        executor = Executor(core, gateway, writer, alerts, clock, gateway, signals=signals)
        runner = StrategyRunner(book, writer, signals.publish)
        feed = CandleFeed(
            gateway,
            {symbol: book.intervals(symbol) for symbol in symbols},
            runner.handle,
            history_start=lambda symbol, interval, at: book.history(symbol, interval).start_before(at, interval),
            venue_time=gateway,
            clock=clock,
        )
        router.connect(candles=feed.accept, catch_up=feed.catch_up, events=executor.offer)
        market = BinanceMarketStream(venue.settings, clock, symbols, router, venue_time=gateway.venue_time)
        user = BinanceUserStream(venue.settings, gateway, clock, router, venue_time=gateway.venue_time)
        lag = LoopLagProbe(clock)
        watch_health(board, database, executor, feed, market, user, gateway, lag)

        stack.push_async_callback(loops.stop)
        for name, work in {
            "executor": executor.run(),
            "market stream": market.run(),
            "user stream": user.run(),
            "gateway": gateway.maintain(),
            "signals": runner.run(lambda: board.beat("strategies")),
            "gaps": feed.run(lambda: board.beat("feed")),
            "heartbeat": HeartbeatWriter(board, settings.status_dir).run(),
            "loop lag": lag.run(),
            "alerts": dispatcher.run(),
            "lease": keep_lease(database, ACCOUNT, epoch, clock, lambda: board.beat("lease")),
            "yaml": watch_strategies(book, lambda told: events.add(gateway.venue_time_ms(), told.message)),
            "retention": every(3_600, functools.partial(forget, database, settings, gateway)),
        }.items():
            loops.start(name, work)
        session = Session(settings, venue, symbols, clock.now_ms(), gateway.venue_time_ms())
        read_totals = database.repository.run_totals
        settler = Settler(gateway, executor.reconcile, database.writer, read_totals, config.quote_asset)
        failure = await loops.until(stop, work=ready(market, user, executor))
        opening_books = await settler.settle() if failure is None else None
        failure = failure or await loops.until(stop, work=warm_up(feed, console, len(symbols)))
        alerts.emit(
            catalog.started(
                epoch=epoch, mode=settings.mode.value, symbols=len(symbols), version=VERSION, time_ms=clock.now_ms()
            )
        )
        view = functools.partial(live_view, session, executor, board, clock, gateway, events)
        loops.start("console", run_console(view, console))
        failure = failure or await loops.until(stop, options.seconds)

        executor.stop_entries()
        closing_books = await settler.settle()
        await executor.stop()
        summary = summarize(session, executor, opening_books, closing_books, clock, gateway)
        reason = "stopped as asked" if failure is None else f"stopped because a part failed: {failure}"
        alerts.emit(catalog.stopped(epoch=epoch, reason=reason, summary=summary, time_ms=clock.now_ms()))
        await loops.stop()
        await database.writer.commit([])
        await dispatcher.flush(ALERT_FLUSH_S)
        await HeartbeatWriter(board, settings.status_dir).write_once()
    print_summary(summary, console)
    if failure is not None:
        typer.secho(f"a part of the trader failed: {failure}; see {settings.log_dir}/trader.jsonl", err=True)
    return 0 if failure is None else 1


@dataclass(frozen=True, slots=True)
class Venue:
    """Where this run trades. `speed` is market time per wall time, None at a real venue."""

    settings: VenueSettings
    speed: float | None


@dataclass(frozen=True, slots=True)
class Session:
    """What stays the same during a run. `started_ms` is our clock, `venue_started_ms` venue time."""

    settings: Settings
    venue: Venue
    symbols: tuple[str, ...]
    started_ms: int
    venue_started_ms: int


async def open_venue(
    settings: Settings,
    options: RunOptions,
    configured: tuple[str, ...],
    clock: Clock,
    stack: AsyncExitStack,
    loops: Loops,
) -> Venue:
    """Return where to trade: the real venue, an exchange that already runs, or our own child process."""
    from exchange.binance.settings import VenueSettings, urls_for

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

    if settings.mode in (Environment.TESTNET, Environment.MAINNET):
        assert settings.binance_api_key is not None and settings.binance_api_secret is not None
        keys = (settings.binance_api_key.get_secret_value(), settings.binance_api_secret.get_secret_value())
        return Venue(at(*urls_for(settings.mode), *keys), None)

    from simulator.options import key_pair

    keys = key_pair(os.environ)
    if options.exchange_url is not None:
        address = options.exchange_url.rstrip("/")
        return Venue(at(address, address.replace("http", "ws", 1), *keys), None)

    from simulator.child import ChildExchange

    child_options = exchange_options(settings, options, configured, clock)
    child = ChildExchange(child_options)
    info = await child.start()
    stack.push_async_callback(child.stop)
    loops.start("exchange", child.wait_failed())
    return Venue(at(info.rest_url, info.stream_url, *keys), info.speed)


def exchange_options(
    settings: Settings, options: RunOptions, configured: tuple[str, ...], clock: Clock
) -> ExchangeOptions:
    """Return how to start our own exchange; sets an account of another market aside where that is allowed."""
    from database.aside import journal_path, set_aside
    from simulator.identity import other_market
    from simulator.options import ExchangeOptions, key_pair

    journal = journal_path(settings.db_url)
    is_paper = settings.mode is Environment.PAPER
    speed = 1.0 if is_paper else settings.sim_speed or DEFAULT_SPEED
    api_key, api_secret = key_pair(os.environ)
    wanted = ExchangeOptions(
        seed=settings.sim_seed,
        speed=speed,
        data_dir=None if is_paper else settings.sim_data_dir,
        symbols=options.symbols or (None if settings.sim_data_dir is not None else configured or None),
        journal=None if options.throwaway else journal,
        api_key=api_key,
        api_secret=api_secret,
        deposit=settings.sim_deposit,
        live_url=settings.paper_rest_url if is_paper else None,
        live_stream_url=settings.paper_stream_url if is_paper else None,
    )
    other = None if options.fresh else other_market(wanted)
    if options.fresh or (other is not None and not options.keep_database):
        folder = set_aside(settings.db_url, clock.wall_ms(), journal)
        if folder is not None:
            why = "starting over" if options.fresh else f"the database belongs to another market ({other})"
            typer.echo(f"{why}: the old database and account are kept in {folder}")
    starts_anew = not journal.exists() and wanted.data_dir is None and speed > 1
    return replace(wanted, start_ms=SPEEDED_START_MS) if starts_anew else wanted


async def ready(market: Stream, user: Stream, executor: Executor) -> None:
    """Return when both streams are proved and the books agree with the venue."""
    await asyncio.gather(market.ready(), user.ready())
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


def summarize(
    session: Session,
    executor: Executor,
    opening: Books[RunTotals] | None,
    closing: Books[RunTotals] | None,
    clock: Clock,
    gateway: BinanceGateway,
) -> RunSummary:
    """Return what this run did: the closing books less the opening ones."""
    from core.summary import RunSummary

    summary = RunSummary(
        mode=session.settings.mode.value,
        symbols=len(session.symbols),
        duration_ms=clock.now_ms() - session.started_ms,
        market_ms=gateway.venue_time_ms() - session.venue_started_ms,
        open_positions=len(executor.view().open_positions),
    )
    if opening is None or closing is None:
        return summary
    did = closing.totals.since(opening.totals)
    return replace(
        summary,
        entries=did.entries,
        closed_trades=did.closed_trades,
        wins=did.wins,
        losses=did.losses,
        realized_pnl=did.realized_pnl,
        fees=did.fees,
        funding=did.funding,
        denials=did.denials,
        wallet_start=opening.wallet,
        wallet_end=closing.wallet,
    )


def live_view(
    session: Session,
    executor: Executor,
    board: HealthBoard,
    clock: Clock,
    gateway: BinanceGateway,
    events: RecentEvents,
) -> LiveView:
    """Return what the terminal shows now."""
    from status.console import LiveView, PositionLine

    core = executor.view()
    lines = [
        PositionLine(
            trade.symbol,
            trade.strategy,
            trade.direction,
            trade.quantity,
            trade.entry_price,
            None,
            trade.stop_price,
            trade.target_price,
            trade.unrealized_pnl,
        )
        for trade in core.open_positions
    ]
    return LiveView(
        mode=session.settings.mode.value,
        venue_time_ms=gateway.venue_time_ms(),
        uptime_ms=clock.now_ms() - session.started_ms,
        health="red" if board.wedged() else "green",
        symbols=len(session.symbols),
        equity=core.equity,
        net_pnl=core.day_net_pnl,
        entries=core.entries_filled,
        closed_trades=core.trades_closed,
        wins=0,
        positions=lines,
        events=events.lines(),
        speed=session.venue.speed,
    )


def watch_health(
    board: HealthBoard,
    database: Database,
    executor: Executor,
    feed: CandleFeed,
    market: BinanceMarketStream,
    user: BinanceUserStream,
    gateway: BinanceGateway,
    lag: LoopLagProbe,
) -> None:
    """Say which loops must beat, and what the heartbeat shows beside them."""
    for loop, max_age_ms in {"strategies": 10_000, "feed": 10_000, "alerts": 60_000, "lease": 20_000}.items():
        board.register(loop, max_age_ms)
    board.watch("venue_time_ms", gateway.venue_time_ms)
    board.watch("streams", lambda: {"market": market.health(), "user": user.health()})
    board.watch("event_loop_lag_ms", lag.take)
    board.watch("queues", lambda: {**executor.health(), "symbols_waiting": len(feed.waiting())})
    board.watch("venue", lambda: {"used_weight": gateway.used_weight, **gateway.latency})
    board.watch("database", lambda: database_gauges(database))
    board.watch("risk", lambda: risk_status(executor))
    board.watch("open_positions", lambda: [trade.symbol for trade in executor.view().open_positions])


def database_gauges(database: Database) -> dict[str, Any]:
    writer = database.writer
    return {
        "lag_ms": round(writer.lag_ms, 1),
        "depth": writer.depth,
        "rows_written": writer.rows_written,
        "rows_dropped": writer.rows_dropped,
        "error": writer.last_error,
    }


def risk_status(executor: Executor) -> dict[str, Any]:
    view = executor.view()
    return {
        "entries_allowed": view.is_open_for_entries,
        "reconciled": view.is_reconciled,
        "degraded": view.is_degraded,
        "halts": [f"{halt.scope}: {halt.reason}" for halt in view.halts],
        "blocked": view.blocked,
        "day_net_pnl": view.day_net_pnl,
        "equity": view.equity,
    }


async def forget(database: Database, settings: Settings, gateway: BinanceGateway) -> None:
    """Delete what the user does not want to keep any longer."""
    days, decision_days = settings.retention_days, settings.decision_retention_days
    await asyncio.to_thread(database.retention.run, gateway.venue_time_ms(), days, decision_days)


# --- other commands ---------------------------------------------------------------------------------------------------


@app.command()
@kind_errors
def exchange(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8800,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anything but loopback is yours to protect.")
    ] = "127.0.0.1",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the market: the same seed plays the same market.")] = 3,
    speed: Annotated[float, typer.Option(help="Market time per wall time.")] = 1.0,
    data: DataOption = None,
    symbols: SymbolsOption = None,
    start: Annotated[
        str | None, typer.Option(help="First instant of the market, such as 2026-01-05T06:00; default: now.")
    ] = None,
    deposit: Annotated[str, typer.Option(help="First deposit, USDT.")] = "10000",
    journal: Annotated[
        Path | None, typer.Option(help="File that keeps the account between runs; default: none.")
    ] = None,
    live_url: Annotated[
        str | None, typer.Option(help="Take the market from this venue (paper): its REST base.")
    ] = None,
    live_stream_url: Annotated[str | None, typer.Option(help="The same venue's stream base, ws:// or wss://.")] = None,
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
    )
    raise typer.Exit(_run_loop(lambda: _serve(options, ready_line=ready_line, parent_watch=parent_watch)))


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

    stop = _stop_on_signals()
    if parent_watch:
        watch_parent(stop)

    def ready(info: ReadyInfo) -> None:
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


def _stop_on_signals() -> asyncio.Event:
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


@app.command()
@kind_errors
def check(
    mode: Annotated[Environment | None, typer.Option(help="Check for this mode; default from .env, else sim.")] = None,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
    connect: Annotated[bool, typer.Option(help="Also connect to the venue and read the account.")] = True,
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
        book = StrategyBook(settings.strategies_dir, names)
        pairs = [active.name for symbol in names for active in book.on(symbol)]
        unused = "".join(f"; {path} names no traded symbol" for path in book.unused_files())
        return f"{len(set(pairs))} strategies on {len(names)} symbols{unused}"

    findings += checks.examine(str(limits_file), read_limits)
    findings += checks.examine(str(settings.strategies_dir), read_strategies)
    findings += checks.examine("database", lambda: _check_database(settings))
    if connect and all(finding.ok for finding in findings):
        findings += checks.examine("connection", lambda: asyncio.run(_check_connection(settings)))
    report = checks.report(findings, effective)
    typer.echo("\n".join(report.lines()))
    raise typer.Exit(0 if report.ok else 2)


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
        return (
            f"{venue.settings.rest_url}: {len(gateway.instruments())} symbols, clock offset {gateway.clock_offset_ms} ms, "
            f"wallet {', '.join(wallets) or 'empty'}"
        )


@app.command()
@kind_errors
def dashboard(
    port: Annotated[int | None, typer.Option(help="Port; default STREAMLIT_PORT.")] = None,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Show the dashboard in a browser, on this machine only. It reads the same database while the trader runs."""
    from config.load import load_settings

    settings = load_settings(env_file, {"db_url": db, "streamlit_port": port})
    environment = os.environ | {"DB_URL": settings.db_url, "STATUS_DIR": str(settings.status_dir)}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "main.py")]
    os.execve(sys.executable, [*command, "--server.port", str(settings.streamlit_port)], environment)


@app.command()
@kind_errors
def why(
    symbol: Annotated[str, typer.Argument(help="Symbol, such as BTCUSDT.")],
    at: Annotated[
        str | None, typer.Option(help="Venue time (UTC), such as 2026-01-05T14:03; default: the last one.")
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


if __name__ == "__main__":
    app()
