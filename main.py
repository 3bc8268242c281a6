"""Command line and composition root: every part of the trader is made and plugged together here, and nowhere else.

Heavy parts are imported by the command that needs them, so that `--help` answers at once. `commands/` holds the bodies
of the other commands.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.backtest import backtest
from commands.backtests import app as backtests
from commands.check import check
from commands.common import (
    ACCOUNT,
    DataOption,
    DbOption,
    EnvFileOption,
    SeedOption,
    SymbolsOption,
    in_turn,
    kind_errors,
    run_loop,
    stop_on_signals,
    writable_folder,
)
from commands.download import download
from commands.drift import drift
from commands.exchange import exchange
from commands.kill import KILL_FILE, flatten, kill, resume
from commands.look import dashboard, why
from commands.optimize import optimize
from commands.root import RunByDefault
from commands.version import VERSION
from commands.walkforward import walkforward
from core.enums import Environment
from core.errors import PersistenceError

if TYPE_CHECKING:
    from commands.options import RunOptions
    from config.settings import Settings
    from database.database import Database
    from exchange.binance.gateway import BinanceGateway
    from strategies.loader import ReloadOutcome

SIGNALS_MAX = 1_024
RECORDED_WARM_UPS_MAX = 50
"""With more symbols the history read at the start is not stored: it is hundreds of thousands of rows."""
ALERT_FLUSH_S = 5.0
NEWS_DELAY_S = 0.1
"""Orders leave before people are told why."""
NOTES_DELAY_S = 0.2
"""And before candles and verdicts are written down."""


app = typer.Typer(
    cls=RunByDefault,
    help="Trades Binance USDS-M futures. Without a command it runs: keyless and offline, on an embedded exchange.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)


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


@app.command()
@kind_errors
def run(
    mode: Annotated[
        Environment | None,
        typer.Option(help="Trade there; mainnet also needs ALLOW_MAINNET=yes. (default: MODE, else sim)"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop after so many seconds. (default: run until told to stop)")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            help="Play the market so many times as fast as the clock, sim only. (default: SIM_SPEED, else 600)"
        ),
    ] = None,
    data: DataOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = None,
    db: DbOption = None,
    exchange: Annotated[
        str | None,
        typer.Option(
            help="Trade on an embedded exchange that runs already, sim only: http://127.0.0.1:PORT. "
            "(default: start one)"
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Start over, sim and paper only: the old database and account are set aside, not deleted."
        ),
    ] = False,
    lockstep: Annotated[
        bool,
        typer.Option(
            "--lockstep",
            help="Play --data by the rules of a backtest, as fast as the trader acts, on a new account. "
            "(default: by the clock)",
        ),
    ] = False,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Trade until told to stop (Ctrl-C), then print a summary. This is what runs when no command is given."""
    from commands.options import RunOptions, refuse_contradictions
    from config.load import load_settings
    from config.universe import requested_symbols
    from utils.logging import setup_logging

    overrides = {"mode": mode, "db_url": db, "sim_speed": speed, "sim_data_dir": data, "sim_seed": seed}
    settings = load_settings(env_file, overrides)
    writable_folder("LOG_DIR", settings.log_dir)
    writable_folder("STATUS_DIR", settings.status_dir)
    # In a terminal the live summary has the screen; the lines go to the file.
    setup_logging(settings.log_level, settings.log_dir, not sys.stdout.isatty(), settings.secret_values())
    options = RunOptions(seconds, requested_symbols(symbols), exchange, fresh or lockstep, db is not None, lockstep)
    refuse_contradictions(settings, options, data=data is not None, speed=speed is not None)
    if sys.stdout.isatty():  # the live summary comes when venue, books and history are there: some seconds
        typer.echo(f"starting in mode {settings.mode.value}; Ctrl-C stops")
    raise typer.Exit(run_loop(lambda: trade(settings, options)))


# --- the wiring -------------------------------------------------------------------------------------------------------


async def trade(settings: Settings, options: RunOptions) -> int:
    """Make every part, plug them together, trade until told to stop, stop in order, print the summary.

    Returns the exit code: 0 for a clean stop, 1 when a part failed.
    """
    from config.symbols import load_trading_config
    from core.clock import SystemClock
    from utils.garbage import collect_in_quiet
    from utils.logging import install_asyncio_hook
    from utils.tasks import Loops, every

    clock, loops, stop = SystemClock(), Loops(), stop_on_signals()
    install_asyncio_hook(asyncio.get_running_loop())
    limits_file = settings.config_dir / "symbols.yaml"
    configured = tuple(load_trading_config(limits_file, settings).symbols)
    from commands.remembered import remember_exchange
    from commands.venue import execution_policy, open_venue

    async with AsyncExitStack() as stack:
        # The venue first: an embedded exchange starts in its own process while the heavy imports are read here.
        opening = asyncio.create_task(open_venue(settings, options, configured, clock, stack, loops))
        await asyncio.sleep(0.05)
        from rich.console import Console

        from alerts import catalog
        from alerts.connections import ConnectionAlerts
        from alerts.daily import DailySummary
        from alerts.dispatcher import AlertDispatcher
        from alerts.errors import ErrorAlertHandler
        from alerts.sink import OutboxSink
        from alerts.slack import SlackChannel
        from commands.conditions import ConditionsLog, contracts_of
        from commands.funding import FundingLog
        from commands.nightly import NightlyDrift
        from commands.pace import Parts, keep_pace
        from commands.ready import ready, warm_up
        from commands.watch import Session, has_ended, live_view, market_end, summarize, watch_health
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
        from executor.operator import OperatorDesk
        from executor.settlement import Settler
        from executor.setup import prepare
        from executor.shell import Executor
        from status.console import RecentEvents, print_summary, run_console
        from status.health import HealthBoard
        from status.heartbeat import HeartbeatWriter
        from status.latency import LatencyBook, OrderLatency
        from status.looplag import LoopLagProbe
        from status.news import NewsWriter
        from strategies.feed import CandleFeed
        from strategies.loader import StrategyBook
        from strategies.runner import StrategyRunner
        from strategies.watch import watch_strategies

        venue = await opening
        policy = execution_policy(settings, venue)
        database = open_database(settings.db_url, settings.mode.value, clock=clock)
        stack.callback(database.close)
        epoch = database.acquire_lease(ACCOUNT, f"{settings.mode.value} trader", clock.now_ms())
        stack.callback(database.release_lease, ACCOUNT, epoch)
        remember_exchange(database, settings, options)
        console, board = Console(), HealthBoard(clock, mode=settings.mode.value, version=VERSION)
        events = RecentEvents(logging.getLogger("main").info)
        call_later = asyncio.get_running_loop().call_later
        writer = NewsWriter(database.writer, events, functools.partial(call_later, NEWS_DELAY_S))
        alerts = OutboxSink(database.writer)
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
        core = TradingCore(config, gateway, epoch=epoch, next_intent=1, restored=restored, setup=setup, policy=policy)
        signals: Bus[Signal] = Bus(SIGNALS_MAX)
        executor = Executor(
            core,
            gateway,
            writer,
            alerts,
            clock,
            gateway,
            signals=signals,
            # The machine's wall clock against the venue's; our steady clock may lag behind both after a suspend.
            clock_offset_ms=lambda: gateway.clock_offset_ms + clock.now_ms() - clock.wall_ms(),
        )
        keep_history = len(symbols) <= RECORDED_WARM_UPS_MAX
        latency = LatencyBook(clock)
        orders = OrderLatency(latency, clock)
        runner = StrategyRunner(
            book,
            writer,
            orders.noting(signals.put_now),
            signals.publish_all,
            record_warm_up=keep_history,
            later=functools.partial(call_later, NOTES_DELAY_S),
        )
        stack.callback(runner.flush)  # however this ends: before the database is closed
        feed = CandleFeed(
            gateway,
            {symbol: book.intervals(symbol) for symbol in symbols},
            runner.handle,
            history_start=book.history_start,
            venue_time=gateway,
            clock=clock,
        )
        funding = FundingLog(database.writer)
        router.connect(candles=feed.accept, catch_up=feed.catch_up, events=executor.offer, marks=funding.on_mark)
        market = BinanceMarketStream(venue.settings, clock, symbols, router, venue_time=gateway.venue_time)
        user = BinanceUserStream(venue.settings, gateway, clock, router, venue_time=gateway.venue_time)
        lag = LoopLagProbe(clock, on_lag=functools.partial(latency.record, "loop_lag"))

        conditions = ConditionsLog(database, VERSION, config, book, contracts_of(gateway.instruments(), setup))
        conditions.note(gateway.venue_time_ms())

        def edited(outcome: ReloadOutcome) -> None:
            core.set_limits({name: book.limits(limits) for name, limits in config.symbols.items()})
            conditions.note(gateway.venue_time_ms())
            events.add(gateway.venue_time_ms(), outcome.message, is_told=True)  # the watcher logs it at its level

        nightly = NightlyDrift(settings)
        stack.callback(nightly.close)
        mode = settings.mode.value
        daily = DailySummary(alerts, database.repository, gateway, clock, mode=mode, review=nightly)
        gateway.on_sent, executor.on_sent = orders.on_wire, orders.on_recorded
        market.hold_while(executor.has_orders_leaving)
        user.hold_while(executor.has_requests_leaving)
        executor.gather_while(market.has_backlog)
        market.on_handled = functools.partial(latency.record, "message")
        watch_health(board, database, executor, feed, market, user, gateway, lag, latency)

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
            "lease": keep_lease(
                database,
                ACCOUNT,
                epoch,
                clock,
                lambda: board.beat("lease"),
                on_checked=executor.lease_checked,
                on_lost=in_turn(gateway.refuse_writes, executor.lease_lost),
            ),
            "operator": OperatorDesk(executor, database.requests, settings.status_dir / KILL_FILE, clock).run(),
            "yaml": watch_strategies(book, edited),
            "daily summary": every(5, functools.partial(asyncio.to_thread, daily.step)),
            "retention": every(3_600, functools.partial(forget, database, settings, gateway)),
        }.items():
            loops.start(name, work)
        session = Session(settings, venue, symbols, clock.now_ms(), gateway.venue_time_ms())
        read_totals = database.repository.run_totals
        settler = Settler(gateway, executor.reconcile, database.writer, read_totals, config.quote_asset)
        failure = await loops.until(stop, work=ready(market, user, executor))
        opening_books = await settler.settle() if failure is None else None
        gc.freeze()  # what lives until the end need not be looked at again: collections stay short
        failure = failure or await loops.until(stop, work=warm_up(feed, console, len(symbols)))
        gc.freeze()  # nor what the history of hundreds of symbols has left
        loops.start("garbage", collect_in_quiet(lambda: executor.is_at_rest() and not market.has_backlog()))
        latency.reset()
        alerts.emit(
            catalog.started(
                epoch=epoch, mode=settings.mode.value, symbols=len(symbols), version=VERSION, time_ms=clock.now_ms()
            )
        )
        opening_wallet = None if opening_books is None else opening_books.wallet
        view = functools.partial(live_view, session, executor, board, clock, gateway, events, opening_wallet)
        loops.start("console", run_console(view, console))
        if options.lockstep:
            parts = Parts(executor, runner, feed, signals, market, user)
            loops.start("pace", keep_pace(venue.settings.rest_url, parts, clock, gateway))
        failure = failure or await loops.until(stop, options.seconds, market_end(venue, gateway))

        executor.stop_entries()
        closing_books = await settler.settle() if opening_books is not None else None
        await executor.stop()
        await loops.stop()
        if venue.close is not None:
            await venue.close()  # at once: its market must not go on while nobody watches
        summary = summarize(session, executor, opening_books, closing_books, clock, gateway)
        reason = "stopped as asked" if failure is None else f"stopped because a part failed: {failure}"
        alerts.emit(catalog.stopped(epoch=epoch, reason=reason, summary=summary, time_ms=clock.now_ms()))
        runner.flush()
        writer.flush()
        try:
            await database.writer.commit([])
        except PersistenceError as error:
            failure = failure or error
        await dispatcher.flush(ALERT_FLUSH_S)
        await HeartbeatWriter(board, settings.status_dir).write_once()
    if has_ended(venue, gateway):
        typer.echo("the recorded market has come to its end; --fresh plays it again")
    print_summary(summary, console)
    if failure is not None:
        typer.secho(f"a part of the trader failed: {failure}; see {settings.log_dir}/trader.jsonl", err=True)
    return 0 if failure is None else 1


async def forget(database: Database, settings: Settings, gateway: BinanceGateway) -> None:
    """Delete what the user does not want to keep any longer."""
    days, decision_days = settings.retention_days, settings.decision_retention_days
    await asyncio.to_thread(database.retention.run, gateway.venue_time_ms(), days, decision_days)


for command in (kill, flatten, resume, why, dashboard, check, exchange):
    app.command()(command)
for command in (download, backtest, optimize, walkforward, drift):
    app.command()(command)
app.add_typer(backtests, name="backtests")

if __name__ == "__main__":
    app()
