"""The console: terminal and pipe, and the exact summary at the end."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console

from core.enums import Direction
from core.summary import RunSummary
from status.console import (
    LiveView,
    PositionLine,
    RecentEvents,
    draw,
    print_summary,
    run_console,
    status_line,
    summary_rows,
)

VIEW = LiveView(
    mode="sim",
    venue_time_ms=1_767_182_602_123,
    uptime_ms=75_000,
    health="green",
    symbols=10,
    equity=Decimal("10012.3456"),
    net_pnl=Decimal("-3.2"),
    entries=12,
    closed_trades=9,
    wins=5,
    positions=(
        PositionLine(
            "BTCUSDT",
            "vwap_reversion",
            Direction.LONG,
            Decimal("0.010"),
            Decimal("64250.10"),
            Decimal("64300.00"),
            Decimal("64057.40"),
            None,
            Decimal("0.499"),
        ),
    ),
    events=("12:03:20 BTCUSDT entered [long] at 64250.10",),
    speed=60,
)
SUMMARY = RunSummary(
    mode="sim",
    symbols=10,
    duration_ms=60_000,
    market_ms=3_600_000,
    entries=21,
    closed_trades=9,
    wins=5,
    losses=4,
    realized_pnl=Decimal("12.34567891"),
    fees=Decimal("3.1"),
    funding=Decimal("-0.00000001"),
    wallet_start=Decimal("10000"),
    wallet_end=Decimal("10009.24567890"),
    open_positions=1,
    denials=3,
)


def screen(*, terminal: bool, width: int = 120) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=terminal, width=width, color_system=None), stream


async def run_for(console: Console, rounds: int) -> None:
    count = 0

    async def sleep(_: float) -> None:
        nonlocal count
        count += 1
        if count > rounds:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_console(lambda: VIEW, console, sleep=sleep)


def test_status_line_is_one_plain_line() -> None:
    assert status_line(VIEW) == (
        "2025-12-31 12:03:22 sim x60 | equity 10,012.35 | net -3.20 | 1 open | 12 entries, 9 closed, 5 won | green"
    )
    assert "x60" not in status_line(replace(VIEW, speed=None))


async def test_run_console_in_a_pipe_prints_a_line_a_round_without_escapes() -> None:
    console, stream = screen(terminal=False, width=40)
    await run_for(console, rounds=2)
    assert stream.getvalue() == (status_line(VIEW) + "\n") * 2


async def test_run_console_in_a_terminal_shows_positions_and_events() -> None:
    console, stream = screen(terminal=True)
    await run_for(console, rounds=1)
    for needle in ("SIM", "10,012.35", "BTCUSDT", "64057.40", "+0.50", "entered [long]", "green"):
        assert needle in stream.getvalue()


def test_draw_many_positions_are_cut_and_counted() -> None:
    console, stream = screen(terminal=False)
    console.print(draw(replace(VIEW, positions=VIEW.positions * 15)))
    assert stream.getvalue().count("vwap_reversion") == 12
    assert "Open positions (15)" in stream.getvalue()
    assert "and 3 more" in stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_draw_fits_any_terminal(width: int) -> None:
    console, stream = screen(terminal=False, width=width)
    console.print(draw(VIEW))
    assert max(map(len, stream.getvalue().splitlines())) <= width


def test_recent_events_keeps_the_last_and_echoes_each() -> None:
    echoed: list[str] = []
    events = RecentEvents(echo=echoed.append, shown=2)
    for number in range(3):
        events.add(1_767_182_602_123, f"event {number}")
    assert events.lines() == ("12:03:22 event 1", "12:03:22 event 2")
    assert len(echoed) == 3
    events.add(1_767_182_602_123, "logged by its maker", is_told=True)
    assert events.lines()[-1] == "12:03:22 logged by its maker" and len(echoed) == 3


def test_summary_rows_compare_pnl_with_the_wallet_to_the_last_digit() -> None:
    rows = dict(summary_rows(SUMMARY))
    assert rows["net PnL"] == "9.24567890"
    assert rows["wallet change"] == "9.24567890 (equals net PnL)"
    off = replace(SUMMARY, wallet_end=Decimal("10009.24567891"))
    assert dict(summary_rows(off))["wallet change"] == "9.24567891 (differs from net PnL by 0.00000001)"
    unknown = replace(SUMMARY, wallet_end=None)
    assert dict(summary_rows(unknown))["wallet"] == "not compared: venue or database did not answer in time"
    assert (SUMMARY.matches_wallet, off.matches_wallet, unknown.matches_wallet) == (True, False, None)


def test_print_summary_pipe_gets_lines_and_terminal_a_table() -> None:
    console, stream = screen(terminal=False, width=30)
    print_summary(SUMMARY, console)
    lines = stream.getvalue().splitlines()
    assert "closed trades: 9 (5 won, 4 lost)" in lines
    assert lines == [f"{name}: {value}" for name, value in summary_rows(SUMMARY)]
    console, stream = screen(terminal=True)
    print_summary(SUMMARY, console)
    assert "Summary" in stream.getvalue() and "9.24567890 (equals net PnL)" in stream.getvalue()
