"""What a person sees: a live summary in a terminal, plain lines in a pipe, and the result of the run at its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from core.enums import Direction
from core.instrument import plain
from core.summary import RunSummary
from utils.timefmt import clock, duration, short

REFRESH_S = 0.5
PLAIN_INTERVAL_S = 10.0
EVENTS_SHOWN = 8
POSITIONS_SHOWN = 12

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PositionLine:
    """One open position as shown; prices and PnL in quote asset, `quantity` unsigned in base asset."""

    symbol: str
    strategy: str
    direction: Direction
    quantity: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    unrealized_pnl: Decimal | None


@dataclass(frozen=True, slots=True)
class LiveView:
    """What is shown at one moment. `speed` is market time per wall time, None for a real market."""

    mode: str
    venue_time_ms: int
    uptime_ms: int
    health: str
    symbols: int
    equity: Decimal | None
    net_pnl: Decimal
    entries: int
    closed_trades: int
    wins: int
    positions: Sequence[PositionLine] = ()
    events: Sequence[str] = ()
    speed: float | None = None


class RecentEvents:
    """The last few things that happened, for the live summary; in a pipe each is printed as it comes."""

    def __init__(self, echo: Callable[[str], None] | None = None, shown: int = EVENTS_SHOWN) -> None:
        self._lines: deque[str] = deque(maxlen=shown)
        self._echo = echo

    def add(self, time_ms: int, text: str, *, is_told: bool = False) -> None:
        """Remember an event; `is_told`: somebody has logged it already."""
        line = f"{clock(time_ms)} {text}"
        self._lines.append(line)
        if self._echo is not None and not is_told:
            self._echo(line)

    def lines(self) -> tuple[str, ...]:
        """Return the events, oldest first."""
        return tuple(self._lines)


async def run_console(view: Callable[[], LiveView], console: Console, *, sleep: Sleep = asyncio.sleep) -> None:
    """Show `view()` until cancelled: redrawn in place in a terminal, a line every ten seconds elsewhere."""
    if console.is_terminal:
        await _run_live(view, console, sleep)
    else:
        while True:
            await sleep(PLAIN_INTERVAL_S)
            console.print(status_line(view()), markup=False, highlight=False, soft_wrap=True)


async def _run_live(view: Callable[[], LiveView], console: Console, sleep: Sleep) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            # The view is read on the event loop, whose state it is; drawing it takes milliseconds and is done beside.
            await asyncio.to_thread(live.update, draw(view()), refresh=True)
            await sleep(REFRESH_S)


def status_line(view: LiveView) -> str:
    """Return the state as one plain line."""
    speed = f" x{view.speed:g}" if view.speed is not None else ""
    equity = money(view.equity) if view.equity is not None else "?"
    return (
        f"{short(view.venue_time_ms)} {view.mode}{speed} | equity {equity} | net {money(view.net_pnl, sign=True)} | "
        f"{len(view.positions)} open | {view.entries} entries, {view.closed_trades} closed, {view.wins} won | "
        f"{view.health}"
    )


def draw(view: LiveView) -> RenderableType:
    """Return the live summary: headline, open positions, last events."""
    return Group(_headline(view), _positions(view.positions), _events(view.events))


def _headline(view: LiveView) -> RenderableType:
    text = Text()
    text.append(f" {view.mode.upper()} ", style="bold white on red" if view.mode == "mainnet" else "bold black on cyan")
    text.append(f" {view.health} ", style="bold green" if view.health == "green" else "bold red")
    text.append(f" {short(view.venue_time_ms)} UTC")
    if view.speed is not None:
        text.append(f"  x{view.speed:g}", style="dim")
    text.append(f"  up {duration(view.uptime_ms)}", style="dim")
    text.append("  equity ")
    text.append(money(view.equity) if view.equity is not None else "?", style="bold")
    text.append("  net ")
    text.append(money(view.net_pnl, sign=True), style=_colour(view.net_pnl))
    text.append(f"  {view.entries} entries, {view.closed_trades} closed, {view.wins} won  {view.symbols} symbols")
    return Panel(text, title="futures trader", title_align="left")


def _positions(positions: Sequence[PositionLine]) -> RenderableType:
    title = f"Open positions ({len(positions)})"
    table = Table(title=title, title_justify="left", expand=True, box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("Symbol", min_width=8)
    table.add_column("Side", min_width=5)
    table.add_column("Strategy", no_wrap=True, overflow="ellipsis")  # gives way first in a narrow terminal
    for name in ("Quantity", "Entry", "Mark", "Stop", "Target", "PnL"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in positions[:POSITIONS_SHOWN]:
        prices = (line.entry_price, line.mark_price, line.stop_price, line.target_price)
        pnl = line.unrealized_pnl
        table.add_row(
            line.symbol,
            Text(line.direction.value, style="green" if line.direction is Direction.LONG else "red"),
            line.strategy,
            plain(line.quantity),
            *("-" if price is None else plain(price) for price in prices),
            Text("-") if pnl is None else Text(money(pnl, sign=True), style=_colour(pnl)),
        )
    if len(positions) > POSITIONS_SHOWN:
        table.caption = f"and {len(positions) - POSITIONS_SHOWN} more"
    return table


def _events(events: Sequence[str]) -> RenderableType:
    return Panel(Text("\n".join(events) or "nothing yet"), title="Last events", title_align="left")


def summary_rows(summary: RunSummary) -> list[tuple[str, str]]:
    """Return the end of a run as (name, value). Money is exact, every digit of it."""
    rows = [
        ("mode", summary.mode),
        ("ran for", duration(summary.duration_ms)),
        ("market time", duration(summary.market_ms)),
        ("symbols", str(summary.symbols)),
        ("entries", str(summary.entries)),
        ("closed trades", f"{summary.closed_trades} ({summary.wins} won, {summary.losses} lost)"),
        ("realised PnL", plain(summary.realized_pnl)),
        ("fees", plain(summary.fees)),
        ("funding", plain(summary.funding)),
        ("net PnL", plain(summary.net_pnl)),
        *_wallet_rows(summary),
        ("open positions", str(summary.open_positions)),
        ("denied signals", str(summary.denials)),
    ]
    return rows + ([("errors", str(summary.errors))] if summary.errors else [])


def _wallet_rows(summary: RunSummary) -> list[tuple[str, str]]:
    change = summary.wallet_change
    if change is None or summary.wallet_start is None or summary.wallet_end is None:
        return [("wallet", "not compared: venue or database did not answer in time")]
    difference = plain(change - summary.net_pnl)
    verdict = "equals net PnL" if summary.matches_wallet else f"differs from net PnL by {difference}"
    return [
        ("wallet", f"{plain(summary.wallet_start)} -> {plain(summary.wallet_end)}"),
        ("wallet change", f"{plain(change)} ({verdict})"),
    ]


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print the end of a run: a table in a terminal, `name: value` lines in a pipe."""
    rows = summary_rows(summary)
    if not console.is_terminal:
        for name, value in rows:
            console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(title="Summary", title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def money(value: Decimal, *, sign: bool = False) -> str:
    """Return an amount with two decimals and thousands separators, for looking at, not for reckoning."""
    return f"{value:+,.2f}" if sign else f"{value:,.2f}"


def _colour(value: Decimal) -> str:
    return "green" if value > 0 else "red" if value < 0 else "default"
