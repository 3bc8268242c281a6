"""What a run shows of itself: health probes, the live view, the summary at its end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from commands.venue import Venue
from config.settings import Settings
from core.clock import Clock
from core.summary import RunSummary
from database.database import Database
from database.totals import RunTotals
from exchange.binance.gateway import BinanceGateway
from exchange.binance.market_stream import BinanceMarketStream
from exchange.binance.user_stream import BinanceUserStream
from executor.settlement import Books
from executor.shell import Executor
from status.console import LiveView, PositionLine, RecentEvents
from status.health import HealthBoard
from status.latency import LatencyBook
from status.looplag import LoopLagProbe
from strategies.feed import CandleFeed

ZERO = Decimal(0)
MARKET_END_POLL_S = 0.1
MARKET_END_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Session:
    """What stays the same during a run. `started_ms` is our clock, `venue_started_ms` venue time."""

    settings: Settings
    venue: Venue
    symbols: tuple[str, ...]
    started_ms: int
    venue_started_ms: int


def has_ended(venue: Venue, gateway: BinanceGateway) -> bool:
    """Tell whether a recorded market has been played to its last instant."""
    return venue.market_end_ms is not None and gateway.venue_time_ms() >= venue.market_end_ms - 1


async def market_end(venue: Venue, gateway: BinanceGateway) -> None:
    """Return when the recorded market has ended and its last events have had time to arrive; never in any other."""
    while not has_ended(venue, gateway):  # noqa: ASYNC110 - venue time is a number, not an event
        await asyncio.sleep(MARKET_END_POLL_S)
    await asyncio.sleep(MARKET_END_GRACE_S)


def summarize(
    session: Session,
    executor: Executor,
    opening: Books[RunTotals] | None,
    closing: Books[RunTotals] | None,
    clock: Clock,
    gateway: BinanceGateway,
) -> RunSummary:
    """Return what this run did: the closing books less the opening ones."""
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
    opening_wallet: Decimal | None,
) -> LiveView:
    """Return what the terminal shows now. Counts and net PnL are this run's: what the wallet gained since its start."""
    core = executor.view()
    gained = ZERO if core.wallet is None or opening_wallet is None else core.wallet - opening_wallet
    lines = [
        PositionLine(
            trade.symbol,
            trade.strategy,
            trade.direction,
            trade.quantity,
            trade.entry_price,
            trade.mark_price,
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
        net_pnl=gained,
        entries=core.entries_filled,
        closed_trades=core.trades_closed,
        wins=core.trades_won,
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
    latency: LatencyBook,
) -> None:
    """Say which loops must beat, and what the heartbeat shows beside them."""
    for loop, max_age_ms in {"strategies": 10_000, "feed": 10_000, "alerts": 60_000, "lease": 20_000}.items():
        board.register(loop, max_age_ms)
    board.watch("venue_time_ms", gateway.venue_time_ms)
    board.watch("streams", lambda: {"market": market.health(), "user": user.health()})
    board.watch("event_loop_lag_ms", lag.take)
    board.watch("latency", latency.snapshot)
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
